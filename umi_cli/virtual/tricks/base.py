"""How a meter plays a trick on its reader: the seams of one scenario, and what strikes when.

A trick is a defect that is meant: it happens at one point of a conversation, says that it has
happened, and leaves the meter sound before and after, so that what the reader does next is the
reader's own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from umi_cli.application.packet import Message
from umi_cli.application.payload import Payload
from umi_cli.certificates.cvc import Certificate
from umi_cli.crypto import Signer
from umi_cli.link.frame import Frame, FrameType
from umi_cli.virtual import dispatch
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.dispatch import Call

Timed = tuple[float, bytes]
"""In how many seconds some bytes go out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a trick may need."""

    timeout_s: float = 2.0
    """How long the reader waits for an answer, as its maker says."""
    authority: tuple[Certificate, Signer] | None = field(default=None, repr=False)
    """A signing authority that the reader trusts, and its key."""


def _tell_nobody(packet: bytes, message: Message) -> None:
    """Say nothing."""


class Trick(Defect):
    """A meter that is sound; one instance is for one conversation.

    Args:
        means: what the trick may need.
    """

    DEFER_MS: ClassVar[int] = 0
    """How long the meter works on every read and write, answering WAIT."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self.strikes = 0
        """How often the trick has been played."""
        self.untold_strikes = 0
        """Of those, the ones that no witness was told of yet."""
        self.on_opened: Callable[[bytes, Message], None] = _tell_nobody
        """Told each sealed packet that was opened, and what was in it."""

    def strike(self) -> None:
        """Say that the trick is played now."""
        self.strikes += 1
        self.untold_strikes += 1

    def on_line(self, frame: bytes) -> list[Timed]:
        """Return what goes out in place of a frame, and when."""
        return [(0.0, frame)]

    def run(self, call: Call) -> Payload:
        """Run a command; what was sealed is told."""
        request = call.request
        if request.is_encrypted:
            self.on_opened(request.packet, request.message)
        return dispatch.run(call)


class ResponseTrick(Trick):
    """Something is wrong with the frames of one kind, from one of them on."""

    KIND: ClassVar[FrameType] = FrameType.SIMPLE_RESPONSE
    NTH: ClassVar[int] = 1
    """The first that is spoilt, counted from 1; no other is."""

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self.seen = 0

    def on_line(self, frame: bytes) -> list[Timed]:
        """Return what goes out in place of a frame."""
        decoded = Frame.decode(frame)
        if decoded.frame_type != self.KIND:
            return [(0.0, frame)]
        self.seen += 1
        if self.seen != self.NTH:
            return self.pass_by(frame)
        self.strike()
        return self.spoil(decoded)

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return what goes out in place of the frame that is spoilt."""
        return [(0.0, frame.encode())]

    def pass_by(self, frame: bytes) -> list[Timed]:
        """Return what goes out in place of any other frame of the kind."""
        return [(0.0, frame)]
