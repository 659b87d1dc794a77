"""Defects of time: too soon, too late (protocol 8, 9)."""

from dataclasses import replace

from umi_cli.link.frame import Frame, FrameType
from umi_cli.virtual.defect import Defect, PinTime
from umi_cli.virtual.defects.spoilt_link import FrameDefect
from umi_cli.virtual.optical_sign_on import OpticalCharacter


class OpticalTooSoon(Defect):
    """The meter answers while the reader's head still sends."""

    NAME = "optical-too-soon"
    TITLE = "identifies itself 5 ms after the request"

    def optical(self, character: OpticalCharacter) -> OpticalCharacter:
        """Return a port that answers at once."""
        return replace(character, reaction_s=0.005)


class OpticalTooLate(Defect):
    """The meter answers when readers have given up."""

    NAME = "optical-too-late"
    TITLE = "identifies itself 1.8 s after the request"

    def optical(self, character: OpticalCharacter) -> OpticalCharacter:
        """Return a port that takes its time."""
        return replace(character, reaction_s=1.8)


class _Late(Defect):
    """INTB moves late."""

    WHAT: PinTime
    LATE_S: float
    EVERY = 1

    def __init__(self) -> None:
        self._count = 0

    def pin_s(self, what: PinTime, seconds: float) -> float:
        """Return a time that is too long."""
        if what != self.WHAT:
            return seconds
        self._count += 1
        return seconds if self._count % self.EVERY else self.LATE_S


class ReadyLate(_Late):
    """A Peripheral starts everything before it says that it is ready."""

    NAME = "ready-late"
    TITLE = "is ready 700 ms after every second reset"
    WHAT = "ready"
    LATE_S = 0.7
    EVERY = 2


class WakeLate(_Late):
    """A Peripheral sleeps too deeply."""

    NAME = "wake-late"
    TITLE = "is awake 150 ms after every fifth select"
    WHAT = "wake"
    LATE_S = 0.15
    EVERY = 5


class RiseLate(_Late):
    """INTB stays low after a frame."""

    NAME = "rise-late"
    TITLE = "keeps INTB low for 200 ms after a frame"
    WHAT = "rise"
    LATE_S = 0.2


class Sluggish(FrameDefect):
    """The device answers when the line has nearly given up."""

    NAME = "sluggish"
    TITLE = "leaves some commands to be repeated before it answers"

    def __init__(self) -> None:
        self._count = 0

    def frame_out(self, frame: Frame) -> list[Frame]:
        """Return nothing for every thirteenth response: it comes at the repeat."""
        self._count += frame.frame_type == FrameType.SIMPLE_RESPONSE
        is_late = frame.frame_type == FrameType.SIMPLE_RESPONSE and self._count % 13 == 0
        return [] if is_late else [frame]


TIMING_DEFECTS: tuple[type[Defect], ...] = (
    OpticalTooSoon,
    OpticalTooLate,
    ReadyLate,
    WakeLate,
    RiseLate,
    Sluggish,
)
