"""Defects of single frames and their exchange (protocol 2.1 to 2.3)."""

from dataclasses import replace

from umi_cli.link.connection import LinkConnection
from umi_cli.link.crc import crc
from umi_cli.link.events import LinkAddresses, LinkSettings
from umi_cli.link.frame import CRC_BYTES, KNOWN_TYPES, Frame, FrameType, LinkErrorCode
from umi_cli.link.stream import FrameReceiver
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.defects.spoilt_link import FrameDefect, SpoiltLink, frames_in_bytes
from umi_cli.wire import u16

EVERY = 7  # th frame is spoilt
MAX_RESYNCS = 4  # in a row; the last of them is dropped
_RESERVED = 0x10
_ANSWERS = (FrameType.SIMPLE_RESPONSE, FrameType.FRAGMENT_RESPONSE, FrameType.RESYNC_RESPONSE)


class CrcUnchecked(Defect):
    """The CRC of what looks like a frame is made right before the link sees it."""

    NAME = "crc-unchecked"
    TITLE = "takes frames whose CRC is wrong"

    def bytes_in(self, link: LinkConnection, data: bytes) -> bytes:
        """Return the bytes with the CRC that a whole frame would have."""
        is_frame = len(data) > CRC_BYTES and len(data) == data[2] + 6
        return data[:-CRC_BYTES] + u16(crc(data[:-CRC_BYTES])) if is_frame else data


class CrcSometimesWrong(Defect):
    """Every few frames one goes out with a wrong CRC."""

    NAME = "crc-sometimes-wrong"
    TITLE = f"sends every {EVERY}th frame with a wrong CRC"

    def __init__(self) -> None:
        self._sent = 0

    def frames_out(self, frame: bytes) -> list[bytes]:
        """Return the frame, or what is left of it."""
        self._sent += 1
        return [frame if self._sent % EVERY else frame[:-1] + bytes([frame[-1] ^ 0xFF])]


class ReservedBitsSet(Defect):
    """A bit that is reserved is set in everything that goes out."""

    NAME = "reserved-bits-set"
    TITLE = "sets a reserved bit of byte 1"

    def frames_out(self, frame: bytes) -> list[bytes]:
        """Return the frame with the bit, and a CRC that is right."""
        body = bytes([frame[0], frame[1] | _RESERVED]) + frame[2:-CRC_BYTES]
        return [body + u16(crc(body))]


class ResyncSequenceWrong(FrameDefect):
    """RESYNC_RESPONSE counts as the first frame."""

    NAME = "resync-sequence-wrong"
    TITLE = "answers RESYNC under sequence 1"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return RESYNC_RESPONSE under another sequence."""
        is_resync = frame.frame_type == FrameType.RESYNC_RESPONSE
        return [replace(frame, sequence=1) if is_resync else frame]


class ResponseSequenceWrong(FrameDefect):
    """A response carries the sequence after its command's."""

    NAME = "response-sequence-wrong"
    TITLE = "answers under another sequence than the command's"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return the frame with the next sequence."""
        is_response = frame.frame_type == FrameType.SIMPLE_RESPONSE
        return [replace(frame, sequence=(frame.sequence + 1) & 0xF) if is_response else frame]


class UnknownTypeSilent(FrameDefect):
    """Frames of unknown types are dropped."""

    NAME = "unknown-type-silent"
    TITLE = "does not answer frames of unknown types"

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Take frames of known types alone."""
        return [frame] if frame.frame_type in KNOWN_TYPES else []


class VersionUnchecked(FrameDefect):
    """Any version is taken for version 1."""

    NAME = "version-unchecked"
    TITLE = "takes frames of any protocol version"

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Return the frame as one of version 1."""
        return [replace(frame, version=1)]


class AddressUnchecked(FrameDefect):
    """Every frame is for us."""

    NAME = "address-unchecked"
    TITLE = "takes frames that are for another address"

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Return the frame with our own address."""
        return [replace(frame, destination=link.addresses.own)]


class ErrorSequenceZero(FrameDefect):
    """An ERROR does not say which frame it is about."""

    NAME = "error-sequence-zero"
    TITLE = "sends ERROR under sequence 0"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return an ERROR under sequence 0."""
        return [replace(frame, sequence=0) if frame.frame_type == FrameType.ERROR else frame]


class BusyUnsaid(FrameDefect):
    """A command that comes while another is at work is left alone."""

    NAME = "busy-unsaid"
    TITLE = "does not answer a command while another is at work"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Drop an ERROR that says busy."""
        is_it = frame.frame_type == FrameType.ERROR and frame.payload == u16(LinkErrorCode.BUSY)
        return [] if is_it else [frame]


class AddressesUnswapped(FrameDefect):
    """A response goes to whoever sent it."""

    NAME = "addresses-unswapped"
    TITLE = "copies the addresses of a command into its response"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return a response with its addresses the wrong way round."""
        if frame.frame_type != FrameType.SIMPLE_RESPONSE:
            return [frame]
        return [replace(frame, destination=frame.source, source=frame.destination)]


class StrayAnswered(FrameDefect):
    """An answer that nobody waits for is answered with an ERROR."""

    NAME = "stray-answered"
    TITLE = "answers responses that it does not wait for"

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Take an answer for a frame of an unknown type."""
        is_stray = frame.frame_type in _ANSWERS and frame.frame_type != FrameType.FRAGMENT_RESPONSE
        return [replace(frame, frame_type=0x7) if is_stray else frame]


class RepeatExecuted(FrameDefect):
    """The stored answer is forgotten at once, so that a repeated command runs again."""

    NAME = "repeat-executed"
    TITLE = "executes a repeated frame again"

    def __init__(self) -> None:
        self._last: Frame | None = None

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Have the link start over when the frame that it has just answered comes again."""
        if frame == self._last:
            link.reset()
        self._last = frame
        return [frame]


class SequenceIgnored(FrameDefect):
    """A command that carries the packet of the last one gets the last answer."""

    NAME = "sequence-ignored"
    TITLE = "takes a packet that comes again under a new sequence for a repeat"

    def __init__(self) -> None:
        self._payload = b""
        self._answer: Frame | None = None

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Give the old answer under the new sequence."""
        if frame.frame_type != FrameType.SIMPLE:
            return [frame]
        if frame.payload == self._payload and self._answer:
            link.put(replace(self._answer, sequence=frame.sequence).encode())
            return []
        self._payload, self._answer = frame.payload, None
        return [frame]

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Keep the answer."""
        if frame.frame_type == FrameType.SIMPLE_RESPONSE:
            self._answer = frame
        return [frame]


class ResyncKeepsAnswer(FrameDefect):
    """RESYNC leaves the stored answer where it is."""

    NAME = "resync-keeps-answer"
    TITLE = "gives the answer from before a RESYNC again"

    def __init__(self) -> None:
        self._command: Frame | None = None
        self._answer = b""
        self._is_synced = False

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Give the old answer to the old command."""
        if frame.frame_type == FrameType.RESYNC:
            self._is_synced = True
        elif frame.frame_type == FrameType.SIMPLE:
            if self._is_synced and frame == self._command and self._answer:
                link.put(self._answer)
                return []
            self._command, self._is_synced = frame, False
        return [frame]

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Keep the answer."""
        if frame.frame_type == FrameType.SIMPLE_RESPONSE:
            self._answer = frame.encode()
        return [frame]


class ResyncOnce(FrameDefect):
    """A RESYNC after several is dropped."""

    NAME = "resync-once"
    TITLE = "does not answer the fourth RESYNC in a row"

    def __init__(self) -> None:
        self._in_a_row = 0

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Drop the fourth RESYNC in a row, and count anew."""
        self._in_a_row = self._in_a_row + 1 if frame.frame_type == FrameType.RESYNC else 0
        self._in_a_row %= MAX_RESYNCS
        return [frame] if self._in_a_row or frame.frame_type != FrameType.RESYNC else []


class NoAddressGiven(FrameDefect):
    """A commander without an address stays without."""

    NAME = "no-address-given"
    TITLE = "answers RESYNC from 0 to 0"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return RESYNC_RESPONSE to nobody, and take everybody for the reader."""
        is_resync = frame.frame_type == FrameType.RESYNC_RESPONSE
        return [replace(frame, destination=0) if is_resync and frame.destination == 5 else frame]


class OwnAddressOverruled(FrameDefect):
    """A commander's own address is overruled."""

    NAME = "own-address-overruled"
    TITLE = "answers everybody at the address that it gives to a reader"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return the frame to the reader's usual address."""
        return [replace(frame, destination=5)]


class OneCommander(FrameDefect):
    """There is one stored answer for all commanders."""

    NAME = "one-commander"
    TITLE = "keeps one sequence and one stored answer for all commanders"

    def __init__(self) -> None:
        self._sequence: int | None = None
        self._answer: Frame | None = None

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Give the stored answer to whoever comes with its sequence."""
        if frame.frame_type == FrameType.RESYNC:
            self._answer = None
        elif self._answer and frame.sequence == self._answer.sequence:
            link.put(replace(self._answer, destination=frame.source).encode())
            return []
        return [frame]

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Keep the answer."""
        if frame.frame_type == FrameType.SIMPLE_RESPONSE:
            self._answer = frame
        return [frame]


class SecondCommandLost(Defect):
    """Of what comes at once only the first frame is seen."""

    NAME = "second-command-lost"
    TITLE = "loses a command that comes while it is at work on another"

    def bytes_in(self, link: LinkConnection, data: bytes) -> bytes:
        """Return the first frame of several."""
        frames = frames_in_bytes(data)
        return frames[0] if len(frames) > 1 else data


class _Impatient(FrameReceiver):
    """Drops everything where sliding would begin."""

    __slots__ = ()

    def _slide(self) -> None:
        self.noise_bytes += len(self._buffer)
        self._buffer.clear()


class NoSliding(FrameDefect):
    """A wrong byte costs the frame behind it."""

    NAME = "no-sliding"
    TITLE = "drops a frame that stands right behind noise"

    def new_link(self, settings: LinkSettings, addresses: LinkAddresses) -> LinkConnection:
        """Return a link whose receiver does not slide."""
        receiver = _Impatient(settings.idle_gap_s)
        return SpoiltLink(settings, addresses, self.frame_in, receiver)


class _Patient(FrameReceiver):
    """Knows no idle gap, and never slides on from a header that may be one."""

    __slots__ = ()
    deadline = None

    def on_timer(self, now: float) -> list[Frame]:
        """Wait for the rest, however long it takes."""
        return []


class NoIdleGap(FrameDefect):
    """A frame that broke off is waited for without end."""

    NAME = "no-idle-gap"
    TITLE = "waits for the rest of a frame for ever"

    def new_link(self, settings: LinkSettings, addresses: LinkAddresses) -> LinkConnection:
        """Return a link whose receiver knows no idle gap."""
        receiver = _Patient(settings.idle_gap_s)
        return SpoiltLink(settings, addresses, self.frame_in, receiver)


class PiecesDropped(Defect):
    """What does not come whole does not count."""

    NAME = "pieces-dropped"
    TITLE = "takes a frame only where it comes in one piece"

    def bytes_in(self, link: LinkConnection, data: bytes) -> bytes:
        """Return what is a whole frame."""
        frames = frames_in_bytes(data)
        is_whole = bool(frames) and sum(map(len, frames)) == len(data) == data[2] + 6
        return data if is_whole else b""


class ShortBuffer(FrameDefect):
    """The receive buffer is shorter than the longest frame."""

    NAME = "short-buffer"
    TITLE = "takes no frame of more than 200 bytes"

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Drop what is too long."""
        return [frame] if len(frame.payload) <= 194 else []


class LengthUnchecked(Defect):
    """A length that no frame has is believed."""

    NAME = "length-unchecked"
    TITLE = "answers frames of more than 249 bytes of payload"

    def bytes_in(self, link: LinkConnection, data: bytes) -> bytes:
        """Return a RESYNC in place of what is too long."""
        if len(data) < 4 or data[2] <= 249:
            return data
        return Frame(
            sequence=0, frame_type=FrameType.RESYNC, destination=0, source=link.addresses.peer
        ).encode()


LINK_DEFECTS: tuple[type[Defect], ...] = (
    CrcUnchecked,
    CrcSometimesWrong,
    ReservedBitsSet,
    ResyncSequenceWrong,
    ResponseSequenceWrong,
    UnknownTypeSilent,
    VersionUnchecked,
    AddressUnchecked,
    ErrorSequenceZero,
    BusyUnsaid,
    AddressesUnswapped,
    StrayAnswered,
    RepeatExecuted,
    SequenceIgnored,
    ResyncKeepsAnswer,
    ResyncOnce,
    NoAddressGiven,
    OwnAddressOverruled,
    OneCommander,
    SecondCommandLost,
    NoSliding,
    NoIdleGap,
    PiecesDropped,
    ShortBuffer,
    LengthUnchecked,
)
