"""A link whose frames a defect may change on their way in, and a receiver that it may spoil."""

from collections.abc import Callable

from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import Event, LinkAddresses, LinkSettings
from umi_cli.link.frame import CRC_BYTES, HEADER_BYTES, Frame
from umi_cli.link.stream import FrameReceiver
from umi_cli.virtual.defect import Defect

FrameIn = Callable[["SpoiltLink", Frame], list[Frame]]


class SpoiltLink(LinkConnection):
    """A link that takes other frames than those that came.

    Args:
        settings: of the link.
        addresses: of the link.
        frame_in: returns what to take of a frame; it may send something, too.
        receiver: finds the frames in the bytes; a sound one if None.
    """

    def __init__(
        self,
        settings: LinkSettings,
        addresses: LinkAddresses,
        frame_in: FrameIn,
        receiver: FrameReceiver | None = None,
    ) -> None:
        super().__init__(settings, addresses)
        self._frame_in = frame_in
        self._receiver = receiver or self._receiver

    def put(self, frame: bytes) -> None:
        """Send a frame out of turn."""
        self._outbox.append(frame)

    def _on_frame(self, frame: Frame, now: float) -> list[Event]:
        events: list[Event] = []
        for each in self._frame_in(self, frame):
            events += super()._on_frame(each, now)
        return events


class FrameDefect(Defect):
    """Something is wrong with how whole frames are taken or sent."""

    def new_link(self, settings: LinkSettings, addresses: LinkAddresses) -> LinkConnection:
        """Return a link that asks this defect about each frame."""
        return SpoiltLink(settings, addresses, self.frame_in)

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Return what the link takes of a frame that came."""
        return [frame]

    def frames_out(self, frame: bytes) -> list[bytes]:
        """Return what goes out in place of a frame."""
        return [each.encode() for each in self.frame_out(Frame.decode(frame))]

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return what goes out in place of a frame."""
        return [frame]


def frames_in_bytes(data: bytes) -> list[bytes]:
    """Return the frames that stand one after the other in a piece of bytes, by their lengths."""
    frames = []
    while len(data) >= HEADER_BYTES:
        length = HEADER_BYTES + data[2] + CRC_BYTES
        frames.append(data[:length])
        data = data[length:]
    return frames
