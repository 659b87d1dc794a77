"""What a numbered test of the compliance suite is, and how it says what it found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NoReturn

if TYPE_CHECKING:
    from umi_cli.certify.bench import Bench

SHOWN_NAMES = 8
SHOWN_BYTES = 24  # of a value in a message; the report has all that crossed the line
Mark = Literal["F", "C"]
"""Where a demand comes from: the field, or a choice of this project's (protocol, head)."""


class Level(StrEnum):
    """What a test is about; a device passes them in this order."""

    LINK = "link"
    APPLICATION = "application"
    OBJECTS = "objects"
    SECURITY = "security"
    IMAGE = "image"
    TIMING = "timing"

    @property
    def prefix(self) -> str:
        """Return how the numbers of its tests begin, `LNK`."""
        return _PREFIXES[self]


_PREFIXES = {
    Level.LINK: "LNK",
    Level.APPLICATION: "APP",
    Level.OBJECTS: "OBJ",
    Level.SECURITY: "SEC",
    Level.IMAGE: "IMG",
    Level.TIMING: "TIM",
}


class Need(StrEnum):
    """What a test needs beyond a device that answers; without it the test is left out."""

    CHANGES = "changes"
    """It changes the device, and changes it back: --allow-changes."""
    DESTRUCTION = "destruction"
    """What it changes cannot be undone: --destructive."""
    CREDENTIALS = "credentials"
    """A key and a certificate that the device takes, and an anchor: scheme 2."""
    ROLE_KEY = "role-key"
    """The scheme 1 key of a role."""
    AUTHORITY = "authority"
    """The key of a signing authority that the device trusts, to issue bad certificates with."""
    POWER = "power"
    """A way to switch the device off and on."""
    OPTICAL = "optical"
    """An optical port."""
    SPI = "spi"
    """UMI-spi: we are the Host."""
    BOARD = "board"
    """Pins that we can see and move."""

    @property
    def option(self) -> str:
        """Return what the user gives so that it is met."""
        return _OPTIONS[self]


_OPTIONS = {
    Need.CHANGES: "--allow-changes",
    Need.DESTRUCTION: "--destructive",
    Need.CREDENTIALS: "--key, --cert and --anchor",
    Need.ROLE_KEY: "--role-key",
    Need.AUTHORITY: "--ca-key and --ca-cert",
    Need.POWER: "--power",
    Need.OPTICAL: "-p opto:DEVICE",
    Need.SPI: "-p spi:BUS.DEVICE",
    Need.BOARD: "-p spi:BUS.DEVICE?int=LINE&rst=LINE",
}


class Failure(Exception):
    """The device did not do what it must; the message says what it did instead."""


class NotApplicable(Exception):
    """The test says nothing about this device; the message says why."""


class NoScheme2(NotApplicable, Failure):
    """The device has no certificate: no test is about it, and who needs a session has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A numbered test."""

    number: str
    """`LNK-012`; never given to another test."""
    title: str
    """What must hold, as a sentence: `a repeated frame is answered again and executed once`."""
    level: Level
    clause: str
    """Of the protocol, such as `2.3`."""
    mark: Mark
    sends: str
    """What the test sends, in words."""
    expects: str
    """What a sound device does, in words."""
    advice: str
    """What whoever must mend a device that fails looks at."""
    needs: frozenset[Need]
    run: "Callable[[Bench], None]"
    """Raises `Failure`, `NotApplicable`, or returns."""


CASES: dict[str, Case] = {}
"""Every test by its number, in the order of the numbers once `suite` is imported."""


def case(
    number: str,
    title: str,
    *,
    clause: str,
    mark: Mark,
    sends: str,
    expects: str,
    advice: str,
    needs: tuple[Need, ...] = (),
) -> "Callable[[Callable[[Bench], None]], Callable[[Bench], None]]":
    """Make a function a test; the fields are those of `Case`.

    Raises:
        ValueError: the number is taken, or of no level.
    """

    def register(run: "Callable[[Bench], None]") -> "Callable[[Bench], None]":
        if number in CASES:
            raise ValueError(f"{number} is taken")
        level = next((each for each in Level if number.startswith(f"{each.prefix}-")), None)
        if level is None:
            raise ValueError(f"{number} is of no level")
        CASES[number] = Case(
            number=number,
            title=title,
            level=level,
            clause=clause,
            mark=mark,
            sends=sends,
            expects=expects,
            advice=advice,
            needs=frozenset(needs),
            run=run,
        )
        return run

    return register


def fail(message: str) -> NoReturn:
    """End a test: the device did something else."""
    raise Failure(message)


def expect(holds: bool, message: str) -> None:
    """Go on if something holds; `Failure` with the message, which says what was found, if not."""
    if not holds:
        raise Failure(message)


def in_hex(data: bytes) -> str:
    """Return bytes for a message: all of a few, the first of many with how many there are."""
    if not data:
        return "no bytes"
    if len(data) <= SHOWN_BYTES:
        return data.hex()
    return f"{data[:SHOWN_BYTES].hex()}… ({len(data)} bytes)"


def expect_same(found: bytes, wanted: bytes, title: str) -> None:
    """Go on if bytes are those that they must be; `Failure` with both, and where they part."""
    if found == wanted:
        return
    pairs = zip(found, wanted, strict=False)
    shorter = min(len(found), len(wanted))
    at = next((number for number, (one, other) in enumerate(pairs) if one != other), shorter)
    where = ""
    if at >= SHOWN_BYTES:
        where = f": from byte {at} on {in_hex(found[at:])} instead of {in_hex(wanted[at:])}"
    fail(f"{title} is {in_hex(found)} instead of {in_hex(wanted)}{where}")


def listed(names: Sequence[str]) -> str:
    """Return names for a message: the first of many, and how many there are beside."""
    more = len(names) - SHOWN_NAMES
    shown = ", ".join(names[:SHOWN_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown
