"""The tester's end of the line: frames as bytes, right or wrong, with no link layer to help."""

from collections.abc import Callable

from umi_cli.link.frame import MAX_FRAME_BYTES, Frame, begins_a_frame
from umi_cli.link.stream import FrameReceiver
from umi_cli.transports.base import Transport

BABBLE_S = 1.0  # beyond what a frame takes, for bytes that never become one
MAX_DRAINED = 100  # frames that nobody has asked for


class RawLine:
    """Sends any bytes, and tells which frames come back.

    Args:
        transport: an open port, which it does not close.
        observer: told every piece of bytes.
    """

    def __init__(self, transport: Transport, observer: Callable[[str, bytes], None]) -> None:
        self._transport = transport
        self._is_host = hasattr(transport, "board")  # pins: it fetches what comes
        self.empty_bytes = 0
        """How many bytes the Host has clocked in where the Peripheral had no frame."""
        self._observer = observer
        self._clock = transport.clock
        self._receiver = FrameReceiver(transport.idle_gap_s)
        self._frames: list[Frame] = []

    @property
    def noise_bytes(self) -> int:
        """Return how many bytes have come that were part of no frame."""
        return self._receiver.noise_bytes + self.empty_bytes

    def send(self, data: bytes) -> None:
        """Send bytes as they stand; `LostError` if the port is gone."""
        self._observer("out", data)
        self._transport.send(data)

    def receive(self, wait_s: float) -> Frame | None:
        """Return the next frame; None if none comes.

        Args:
            wait_s: how long to wait for it to begin; one that has begun is waited for to its end.

        Raises:
            LostError: the port is gone.
        """
        deadline = self._clock.monotonic() + wait_s
        # A device that says something without end must not be listened to without end.
        latest = deadline + 2 * MAX_FRAME_BYTES * self._transport.byte_time_s + BABBLE_S
        while not self._frames:
            ends, now = self._receiver.deadline, self._clock.monotonic()
            if now >= latest or (ends is None and now >= deadline):
                return None
            data = self._transport.receive(deadline if ends is None else ends)
            now = self._clock.monotonic()
            if data:
                self._observer("in", data)
                self._take(data, now)
            else:
                self._frames += self._receiver.on_timer(now)
        return self._frames.pop(0)

    def _take(self, data: bytes, now: float) -> None:
        """Take what has come; what a Host has fetched is a frame from its head on, or nothing.

        INTB is low, too, while a Peripheral waits for the rest of a frame (protocol 9): whatever
        MISO holds then, it says nothing.
        """
        if self._is_host and not begins_a_frame(data):
            self.empty_bytes += len(data)
        else:
            self._frames += self._receiver.receive_data(data, now)

    def drain(self, quiet_s: float) -> list[Frame]:
        """Return everything that comes until the line is quiet for a while."""
        frames: list[Frame] = []
        while len(frames) < MAX_DRAINED and (frame := self.receive(quiet_s)):
            frames.append(frame)
        return frames
