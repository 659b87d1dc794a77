"""How frames are found in a stream of bytes that has no start mark (protocol 2.3).

In step, the length byte of each frame leads to the next one. Out of step (a wrong CRC, a length no
frame has), the receiver slides one byte at a time until a header with version 1, a known type and
a right CRC stands. An idle gap ends whatever stands half received: the next byte starts a frame.
"""

from collections.abc import Callable

from umi_cli.link.crc import crc
from umi_cli.link.frame import (
    CRC_BYTES,
    HEADER_BYTES,
    KNOWN_TYPES,
    MAX_FRAME_PAYLOAD,
    VERSION,
    Frame,
)

DEFAULT_IDLE_GAP_S = 0.1  # choice: protocol 2.3 leaves it to the transport

OnPiece = Callable[[bytes, Frame | None], None]
"""Told a frame, as it came, or a byte that is part of none."""


class FrameReceiver:
    """Turns bytes and their time of arrival into whole frames. Noise is counted and dropped.

    Args:
        idle_gap_s: a pause of that many seconds ends a frame.
        on_piece: told all that came, noise byte by byte, in its order.
    """

    __slots__ = ("_buffer", "_idle_gap_s", "_in_step", "_last_byte_s", "_on_piece", "noise_bytes")

    def __init__(
        self, idle_gap_s: float = DEFAULT_IDLE_GAP_S, on_piece: OnPiece | None = None
    ) -> None:
        self._idle_gap_s = idle_gap_s
        self._on_piece = on_piece
        self._buffer = bytearray()
        self._in_step = True
        self._last_byte_s = 0.0
        self.noise_bytes = 0

    @property
    def deadline(self) -> float | None:
        """Return when `on_timer` wants to be called: the end of the idle gap, if bytes wait."""
        return self._last_byte_s + self._idle_gap_s if self._buffer else None

    def drop(self) -> None:
        """Forget what is half received."""
        self._buffer.clear()
        self._in_step = True

    def receive_data(self, data: bytes, now: float) -> list[Frame]:
        """Take bytes that arrived at `now` (seconds, monotonic); return the frames now whole."""
        frames = self.on_timer(now)
        self._last_byte_s = now
        self._buffer += data
        return frames + self._take_frames()

    def on_timer(self, now: float) -> list[Frame]:
        """Return the frames that stand in what an idle gap has ended; what is left is noise."""
        if self.deadline is None or now < self.deadline:
            return []
        frames: list[Frame] = []
        while self._buffer:
            self._slide()  # what stands at the head waits for bytes that will not come
            frames += self._take_frames()
        self._in_step = True
        return frames

    def _take_frames(self) -> list[Frame]:
        frames = []
        while (length := self._frame_length()) is not None and length <= len(self._buffer):
            candidate = bytes(self._buffer[:length])
            # choice: zeros alone have a right CRC, and are a line that is stuck, or wake-up NULs
            if any(candidate) and crc(candidate[:-CRC_BYTES]) == int.from_bytes(
                candidate[-CRC_BYTES:], "little"
            ):
                del self._buffer[:length]
                self._in_step = True
                frames.append(Frame.decode(candidate))
                if self._on_piece:
                    self._on_piece(candidate, frames[-1])
            else:
                self._slide()
        return frames

    def _frame_length(self) -> int | None:
        """Return how long the frame at the head is, sliding to where one may stand; None: wait."""
        while len(self._buffer) >= HEADER_BYTES:
            head, kind, length = self._buffer[:3]
            plausible = head & 0xF == VERSION and kind & 0xF in KNOWN_TYPES
            if length <= MAX_FRAME_PAYLOAD and (self._in_step or plausible):
                return int(length) + HEADER_BYTES + CRC_BYTES
            self._slide()
        return None

    def _slide(self) -> None:
        if self._on_piece:
            self._on_piece(bytes(self._buffer[:1]), None)
        del self._buffer[0]
        self._in_step = False
        self.noise_bytes += 1
