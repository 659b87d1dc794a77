"""Defects of packets that travel in fragments (protocol 2.4)."""

from dataclasses import replace

from umi_cli.link.fragment import Fragment, FragmentErrorCode, FragmentType
from umi_cli.link.frame import MAX_SEQUENCE, Frame, FrameType
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.defects.spoilt_link import FrameDefect, SpoiltLink

_LENGTH = slice(2, 4)


def _kind(frame: Frame) -> int | None:
    """Return the number of the fragment type that a FRAGMENT frame carries; None for others."""
    is_fragment = frame.frame_type == FrameType.FRAGMENT and frame.payload
    return frame.payload[0] >> 4 if is_fragment else None


def _fragment_error(frame: Frame) -> int | None:
    """Return the number of the fragment ERROR that a frame carries; None if it carries none."""
    is_answer = frame.frame_type == FrameType.FRAGMENT_RESPONSE and len(frame.payload) >= 4
    if not is_answer or frame.payload[0] >> 4 != FragmentType.ERROR:
        return None
    return int.from_bytes(frame.payload[_LENGTH], "little")


def _acknowledged(frame: Frame) -> Frame:
    """Return a frame as one that takes a fragment."""
    return replace(frame, payload=Fragment(fragment_type=FragmentType.ACK).encode())


class _ErrorSwallowed(FrameDefect):
    """A fragment ERROR is sent as if nothing were wrong."""

    CODE: FragmentErrorCode

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return an ACK in place of the error."""
        return [_acknowledged(frame) if _fragment_error(frame) == self.CODE else frame]


class FragmentOrderUnchecked(_ErrorSwallowed):
    """Fragments are taken in any order."""

    NAME = "fragment-order-unchecked"
    TITLE = "takes fragments that follow no FIRST, and does not miss one"
    CODE = FragmentErrorCode.PROTOCOL_ERROR


class FragmentLengthUnchecked(_ErrorSwallowed):
    """Nobody counts what has come."""

    NAME = "fragment-length-unchecked"
    TITLE = "does not compare what has come with what FIRST announced"
    CODE = FragmentErrorCode.LENGTH_ERROR


class FragmentVersionUnchecked(_ErrorSwallowed):
    """Any fragment version will do."""

    NAME = "fragment-version-unchecked"
    TITLE = "takes fragments of an unknown version"
    CODE = FragmentErrorCode.UNKNOWN_FRAGMENT_VERSION


class FragmentsRefused(FrameDefect):
    """Fragments are a frame type that nobody knows."""

    NAME = "fragments-refused"
    TITLE = "knows no FRAGMENT frames from its commander"

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Return a fragment as a frame of an unknown type."""
        is_fragment = frame.frame_type == FrameType.FRAGMENT
        return [replace(frame, frame_type=0x6) if is_fragment else frame]


class FragmentAckSequenceWrong(FrameDefect):
    """A fragment is taken under sequence 0."""

    NAME = "fragment-ack-sequence-wrong"
    TITLE = "takes fragments under sequence 0"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return the acknowledgement under another sequence."""
        is_taken = frame.frame_type == FrameType.FRAGMENT_RESPONSE
        return [replace(frame, sequence=0) if is_taken else frame]


class LongFirstIgnored(FrameDefect):
    """What is too long for the memory is dropped without a word."""

    NAME = "long-first-ignored"
    TITLE = "does not answer a FIRST that announces more than 32,767 bytes"

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Drop a FIRST whose length is 0, or has its highest bit set."""
        if _kind(frame) != FragmentType.FIRST:
            return [frame]
        length = int.from_bytes(frame.payload[_LENGTH], "little")
        return [frame] if 0 < length < 0x8000 else []


class ResyncIgnoredInCommand(FrameDefect):
    """While fragments are put together RESYNC is dropped."""

    NAME = "resync-ignored-in-command"
    TITLE = "does not answer RESYNC while a long command is under way"

    def __init__(self) -> None:
        self._is_open = False
        self._ignored = 0

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Drop RESYNC after FIRST or MIDDLE; in the end it gives in."""
        if frame.frame_type != FrameType.RESYNC:
            self._is_open = _kind(frame) in (FragmentType.FIRST, FragmentType.MIDDLE)
            self._ignored = 0
            return [frame]
        self._ignored += 1
        return [] if self._is_open and self._ignored == 1 else [frame]


class ResyncIgnoredInResponse(FrameDefect):
    """While a long response goes out RESYNC is dropped."""

    NAME = "resync-ignored-in-response"
    TITLE = "does not answer RESYNC while a long response is under way"

    def __init__(self) -> None:
        self._is_open = False

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Drop one RESYNC after a fragment has gone out."""
        is_ignored = self._is_open and frame.frame_type == FrameType.RESYNC
        self._is_open = self._is_open and not is_ignored
        return [] if is_ignored else [frame]

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Note whether a fragment is out."""
        self._is_open = frame.frame_type == FrameType.FRAGMENT
        return [frame]


class GivenUpSticks(FrameDefect):
    """A long command that was given up stands in the way of every other."""

    NAME = "given-up-sticks"
    TITLE = "refuses a FIRST while an older long command is not complete"

    def __init__(self) -> None:
        self._is_open = False

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Return a second FIRST as a fragment of an unknown type."""
        kind = _kind(frame)
        if kind == FragmentType.FIRST and self._is_open:
            self._is_open = False
            return [replace(frame, payload=b"\x90" + frame.payload[1:])]
        self._is_open = kind in (FragmentType.FIRST, FragmentType.MIDDLE)
        return [frame]


class ShortFragmented(FrameDefect):
    """Even what fits a frame comes as fragments."""

    NAME = "short-fragmented"
    TITLE = "sends responses that fit a frame as fragments"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return a response as a FIRST, whose rest never comes."""
        if frame.frame_type != FrameType.SIMPLE_RESPONSE or not frame.payload:
            return [frame]
        first = Fragment(
            fragment_type=FragmentType.FIRST, data=len(frame.payload), chunk=frame.payload[:20]
        )
        return [replace(frame, frame_type=FrameType.FRAGMENT, payload=first.encode())]


class ResponseLengthWrong(FrameDefect):
    """FIRST announces a byte more than comes."""

    NAME = "response-length-wrong"
    TITLE = "announces one byte more than a long response has"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return FIRST with another length."""
        if _kind(frame) != FragmentType.FIRST:
            return [frame]
        fragment = Fragment.decode(frame.payload)
        return [replace(frame, payload=replace(fragment, data=fragment.data + 1).encode())]


class MiddleAsFirst(FrameDefect):
    """Every fragment of a response but the last is a FIRST."""

    NAME = "middle-as-first"
    TITLE = "sends FIRST where MIDDLE is due"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return MIDDLE as FIRST."""
        if _kind(frame) != FragmentType.MIDDLE:
            return [frame]
        payload = bytes([FragmentType.FIRST << 4]) + frame.payload[1:]
        return [replace(frame, payload=payload)]


class FragmentSequenceFifteen(FrameDefect):
    """The fragments of a response use sequence 15 as well."""

    NAME = "fragment-sequence-fifteen"
    TITLE = "uses sequence 15 for a fragment of a response"

    def __init__(self) -> None:
        self._is_spoilt = False

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Take what acknowledges 15 for what acknowledges 1."""
        is_answer = frame.frame_type == FrameType.FRAGMENT_RESPONSE
        is_ours = is_answer and frame.sequence == MAX_SEQUENCE and self._is_spoilt
        return [replace(frame, sequence=1) if is_ours else frame]

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return the fragment after 14 under 15."""
        kind = _kind(frame)
        self._is_spoilt = frame.sequence == 1 and kind not in (None, FragmentType.FIRST)
        return [replace(frame, sequence=MAX_SEQUENCE) if self._is_spoilt else frame]


class NextNotRepeated(FrameDefect):
    """A NEXT that comes again is dropped."""

    NAME = "next-not-repeated"
    TITLE = "does not send a fragment again"

    def __init__(self) -> None:
        self._last: Frame | None = None

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Drop the repeat of an acknowledgement."""
        is_repeat = frame.frame_type == FrameType.FRAGMENT_RESPONSE and frame == self._last
        self._last = frame
        return [] if is_repeat else [frame]


class LastNextSilent(FrameDefect):
    """Who answers LAST with NEXT is left waiting."""

    NAME = "last-next-silent"
    TITLE = "does not answer NEXT to LAST"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Send no empty response."""
        is_empty = frame.frame_type == FrameType.SIMPLE_RESPONSE and not frame.payload
        return [] if is_empty else [frame]


class TerminationIgnored(FrameDefect):
    """A fragment ERROR of the commander's is taken for NEXT."""

    NAME = "termination-ignored"
    TITLE = "goes on with a response that the commander has ended"

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Return NEXT in place of the error."""
        if _fragment_error(frame) is None:
            return [frame]
        payload = Fragment(fragment_type=FragmentType.NEXT).encode()
        return [replace(frame, payload=payload)]


class FragmentReservedSet(FrameDefect):
    """What is reserved in a fragment is set."""

    NAME = "fragment-reserved-set"
    TITLE = "sets the reserved byte of its fragments"

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return the fragment with its second byte set."""
        if _kind(frame) is None:
            return [frame]
        return [replace(frame, payload=frame.payload[:1] + b"\x01" + frame.payload[2:])]


class StrangeAcknowledgementHangs(FrameDefect):
    """What makes no sense in the middle of a response stops the device."""

    NAME = "strange-acknowledgement-hangs"
    TITLE = "says nothing more after an acknowledgement of an unknown kind"

    def __init__(self) -> None:
        self._muted = 0

    def frame_in(self, link: SpoiltLink, frame: Frame) -> list[Frame]:
        """Drop what comes after it, for a while."""
        is_answer = frame.frame_type == FrameType.FRAGMENT_RESPONSE and frame.payload
        if is_answer and frame.payload[0] >> 4 not in list(FragmentType):
            self._muted = 3
        self._muted = max(0, self._muted - 1)
        return [] if self._muted else [frame]


FRAGMENT_DEFECTS: tuple[type[Defect], ...] = (
    FragmentOrderUnchecked,
    FragmentLengthUnchecked,
    FragmentVersionUnchecked,
    FragmentsRefused,
    FragmentAckSequenceWrong,
    LongFirstIgnored,
    ResyncIgnoredInCommand,
    ResyncIgnoredInResponse,
    GivenUpSticks,
    ShortFragmented,
    ResponseLengthWrong,
    MiddleAsFirst,
    FragmentSequenceFifteen,
    NextNotRepeated,
    LastNextSilent,
    TerminationIgnored,
    FragmentReservedSet,
    StrangeAcknowledgementHangs,
)
