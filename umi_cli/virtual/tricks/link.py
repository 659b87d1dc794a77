"""Tricks on the link: what is lost, spoilt, doubled or late (protocol 2.1 to 2.3)."""

from dataclasses import replace
from typing import ClassVar

from umi_cli import wire
from umi_cli.application.packet import NO_SIGNATURE
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import LinkAddresses, LinkSettings
from umi_cli.link.frame import CRC_BYTES, MAX_SEQUENCE, Frame, FrameType, LinkErrorCode
from umi_cli.virtual.defects.spoilt_link import SpoiltLink
from umi_cli.virtual.tricks.base import Means, ResponseTrick, Timed, Trick

REFUSALS = 3  # of a command, one after the other
SLOW = 0.6  # of the reader's timeout: late, and in time
STRANGER = 9  # a link address that nobody has
PIECE_PAUSE_S = 0.01  # well within the gap that ends a frame
NOISE = bytes.fromhex("f38ac477e05d9bfe62d8b1934ecf7aa665dd31f0")
"""Bytes with no frame among them, the first of which look like the head of one."""


class ResponseLost(ResponseTrick):
    """A response never arrives."""

    NAME = "response-lost"
    TITLE = "loses its first response"

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return nothing."""
        return []


class CommandUnanswered(Trick):
    """One frame is not answered, however often it comes, until a RESYNC or another frame."""

    NAME = "command-unanswered"
    TITLE = "does not answer the first command, however often its frame comes"

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._lost = b""
        self._is_over = False

    def on_line(self, frame: bytes) -> list[Timed]:
        """Lose a response, and that response when it is repeated."""
        is_response = Frame.decode(frame).frame_type == FrameType.SIMPLE_RESPONSE
        if is_response and not self._lost:
            self._lost = frame
            self.strike()
        self._is_over |= bool(self._lost) and frame != self._lost
        return [] if self._lost and not self._is_over else [(0.0, frame)]


class CrcWrong(ResponseTrick):
    """A response is damaged on its way."""

    NAME = "crc-wrong"
    TITLE = "sends its first response with a bit turned round, and so with a wrong CRC"

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return the frame with a bit of what it tells turned round."""
        data = frame.encode()
        at = len(data) - CRC_BYTES - len(NO_SIGNATURE) - 1
        return [(0.0, data[:at] + bytes([data[at] ^ 0x01]) + data[at + 1 :])]


class SequenceWrong(ResponseTrick):
    """A response belongs to no command."""

    NAME = "sequence-wrong"
    TITLE = "sends its first response under another sequence than the command's"

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return the frame under the next sequence."""
        return [(0.0, replace(frame, sequence=frame.sequence % MAX_SEQUENCE + 1).encode())]


class SourceWrong(ResponseTrick):
    """A response comes from somebody else."""

    NAME = "source-wrong"
    TITLE = "sends its first response from a link address that was not asked"

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return the frame from a stranger."""
        return [(0.0, replace(frame, source=STRANGER).encode())]


class DestinationWrong(ResponseTrick):
    """A response is for somebody else."""

    NAME = "destination-wrong"
    TITLE = "sends its first response to a link address that is not the reader's"

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return the frame to a stranger."""
        return [(0.0, replace(frame, destination=STRANGER).encode())]


class ResyncLost(ResponseTrick):
    """A RESYNC_RESPONSE never arrives."""

    NAME = "resync-lost"
    TITLE = "loses its first RESYNC_RESPONSE"
    KIND = FrameType.RESYNC_RESPONSE

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return nothing."""
        return []


class LastSequence(Trick):
    """Nothing is wrong; the last sequence is reached."""

    NAME = "last-sequence"
    TITLE = "answers as it should, up to sequence 15 and beyond"

    def on_line(self, frame: bytes) -> list[Timed]:
        """Say when the last sequence is answered."""
        decoded = Frame.decode(frame)
        if decoded.sequence == MAX_SEQUENCE and decoded.frame_type == FrameType.SIMPLE_RESPONSE:
            self.strike()
        return [(0.0, frame)]


class _Refused(Trick):
    """A command is refused a few times by the link, and did not run."""

    CODE: ClassVar[LinkErrorCode]

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._refused: Frame | None = None

    def new_link(self, settings: LinkSettings, addresses: LinkAddresses) -> LinkConnection:
        """Return a link that refuses commands at first."""
        return SpoiltLink(settings, addresses, self._frame_in)

    def _frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Refuse a command; the same frame again is refused again, as its stored answer is."""
        if frame.frame_type not in (FrameType.SIMPLE, FrameType.FRAGMENT):
            return [frame]
        if frame != self._refused:
            if self.strikes >= REFUSALS:
                return [frame]
            self.strike()
            self._refused = frame
        link.put(
            Frame(
                sequence=frame.sequence,
                frame_type=FrameType.ERROR,
                destination=frame.source,
                source=frame.destination,
                payload=wire.u16(self.CODE),
            ).encode()
        )
        return []


class Busy(_Refused):
    """The device is at work on something else."""

    NAME = "busy"
    TITLE = f"answers the first {REFUSALS} commands with ERROR 5, busy"
    CODE = LinkErrorCode.BUSY


class CannotForward(_Refused):
    """The port on the way is not ready yet."""

    NAME = "cannot-forward"
    TITLE = f"answers the first {REFUSALS} commands with ERROR 4, cannot forward"
    CODE = LinkErrorCode.CANNOT_FORWARD


class NoiseBefore(ResponseTrick):
    """Noise on the line, and then the response."""

    NAME = "noise-before"
    TITLE = f"sends {len(NOISE)} bytes of noise right before its first response"

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return noise and the frame."""
        return [(0.0, NOISE + frame.encode())]


class InPieces(ResponseTrick):
    """A response arrives in pieces."""

    NAME = "in-pieces"
    TITLE = "sends its first response in three pieces, the first of them one byte"

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return the frame, cut in its header."""
        data = frame.encode()
        pieces = (data[:1], data[1:5], data[5:])
        return [(number * PIECE_PAUSE_S, piece) for number, piece in enumerate(pieces)]


class Doubled(ResponseTrick):
    """A response arrives twice, and the next one takes its time."""

    NAME = "doubled"
    TITLE = "sends its first response twice, and takes its time over the second one"

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return the frame twice."""
        return [(0.0, frame.encode() * 2)]

    def pass_by(self, frame: bytes) -> list[Timed]:
        """Return the response after it late, so that there is time to take the copy for it."""
        return [(SLOW * self.means.timeout_s if self.seen == self.NTH + 1 else 0.0, frame)]


class LateCopy(ResponseTrick):
    """A copy of a response arrives in place of the next one, which comes behind it."""

    NAME = "late-copy"
    TITLE = "sends its first response again when the next command comes, and answers that late"
    NTH = 2

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._first = b""

    def pass_by(self, frame: bytes) -> list[Timed]:
        """Keep the first response."""
        self._first = self._first or frame
        return [(0.0, frame)]

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return the first response now, and the due one later."""
        return [(0.0, self._first), (SLOW * self.means.timeout_s, frame.encode())]


class Slow(ResponseTrick):
    """A response comes late, and in time."""

    NAME = "slow"
    TITLE = f"answers the first command after {SLOW:.0%} of the reader's timeout"

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return the frame later."""
        return [(SLOW * self.means.timeout_s, frame.encode())]


LINK_TRICKS: tuple[type[Trick], ...] = (
    ResponseLost,
    CommandUnanswered,
    CrcWrong,
    SequenceWrong,
    SourceWrong,
    DestinationWrong,
    ResyncLost,
    LastSequence,
    Busy,
    CannotForward,
    NoiseBefore,
    InPieces,
    Doubled,
    LateCopy,
    Slow,
)
