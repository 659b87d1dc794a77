"""Tricks with a response that is longer than a frame (protocol 2.4)."""

from dataclasses import replace

from umi_cli.link.fragment import Fragment, FragmentErrorCode, FragmentType
from umi_cli.link.frame import Frame, FrameType
from umi_cli.virtual.tricks.base import ResponseTrick, Timed, Trick

WRONG_BY_BYTES = 20


class LongResponse(ResponseTrick):
    """Nothing is wrong; a response comes in fragments."""

    NAME = "long-response"
    TITLE = "sends a long response as it should"
    KIND = FrameType.FRAGMENT


class FragmentLost(LongResponse):
    """The second fragment never arrives."""

    NAME = "fragment-lost"
    TITLE = "loses the second fragment of a long response"
    NTH = 2

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return nothing."""
        return []


class FragmentDoubled(LongResponse):
    """The second fragment arrives twice."""

    NAME = "fragment-doubled"
    TITLE = "sends the second fragment of a long response twice"
    NTH = 2

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return the frame twice."""
        return [(0.0, frame.encode() * 2)]


class _LengthWrong(LongResponse):
    """FIRST announces another length."""

    def announce(self, frame: Frame, by_bytes: int) -> list[Timed]:
        """Return FIRST with a length that is wrong by some bytes."""
        first = Fragment.decode(frame.payload)
        spoilt = replace(first, data=first.data + by_bytes).encode()
        return [(0.0, replace(frame, payload=spoilt).encode())]


class LengthTooLong(_LengthWrong):
    """Less comes than was announced."""

    NAME = "fragments-fewer"
    TITLE = f"announces {WRONG_BY_BYTES} bytes more than it sends in fragments"

    def spoil(self, frame: Frame) -> list[Timed]:
        """Announce more."""
        return self.announce(frame, WRONG_BY_BYTES)


class LengthTooShort(_LengthWrong):
    """More comes than was announced."""

    NAME = "fragments-more"
    TITLE = f"announces {WRONG_BY_BYTES} bytes less than it sends in fragments"

    def spoil(self, frame: Frame) -> list[Timed]:
        """Announce less."""
        return self.announce(frame, -WRONG_BY_BYTES)


class FragmentsEnded(LongResponse):
    """The meter gives a long response up."""

    NAME = "fragments-ended"
    TITLE = "sends a fragment ERROR, terminated, in place of the second fragment"
    NTH = 2

    def spoil(self, frame: Frame) -> list[Timed]:
        """Return the error."""
        ended = Fragment(fragment_type=FragmentType.ERROR, data=FragmentErrorCode.TERMINATED)
        return [(0.0, replace(frame, payload=ended.encode()).encode())]


FRAGMENT_TRICKS: tuple[type[Trick], ...] = (
    LongResponse,
    FragmentLost,
    FragmentDoubled,
    LengthTooLong,
    LengthTooShort,
    FragmentsEnded,
)
