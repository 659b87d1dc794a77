"""What an `spi:` address says of a port: its lines, how it is clocked, and what is switched."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from umi_cli.errors import InputError

LINES = ("rst", "vdd", "hvdd", "cs", "int")
OPTIONS = (*LINES, "hz", "mode", "order", "power")
DEFAULT_HZ = 1_000_000
MAX_HZ = 100_000_000  # more than any controller clocks
MODES = range(4)
Power = Literal["low", "high", "self"]
POWERS: tuple[Power, ...] = ("low", "high", "self")
_LINE_HINT = "a line is its name, or CHIP-LABEL:OFFSET"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSettings:
    """Which lines a port has, and how it is clocked.

    Raises:
        InputError: they contradict each other, or a number is none that it can be.
    """

    interrupt: str
    """INTB."""
    reset: str | None = None
    """RSTB."""
    vdd: str | None = None
    hvdd: str | None = None
    select: str | None = None
    """CSB, where the controller's own chip select is not it."""
    hz: int = DEFAULT_HZ
    mode: int = 0
    """Clock polarity and phase."""
    lsb_first: bool = False

    def __post_init__(self) -> None:
        if self.hvdd and not self.vdd:
            raise InputError(
                "hvdd= without vdd=: a high-power port switches both",
                hint="name the line of VDD too: vdd=LINE",
            )
        for name, line in self.lines.items():
            twin = next(other for other, its in self.lines.items() if its == line)
            if twin != name:
                raise InputError(
                    f"{twin}= and {name}= are the same line, {line}",
                    hint="each pin of the port has a line of its own",
                )
        if self.mode not in MODES:
            raise InputError(f"mode={self.mode} is no SPI mode", hint="write 0, 1, 2 or 3")
        if not 0 < self.hz <= MAX_HZ:
            raise InputError(f"hz={self.hz} is no rate", hint=f"write 1 to {MAX_HZ}")

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        """Return what an address says.

        Args:
            options: those of the address, whose names are known to be in `OPTIONS`.

        Raises:
            InputError: an option is missing, contradicts another, or has no value it can have.
        """
        for name in LINES:
            if not options.get(name, "-"):
                raise InputError(f"{name}= names no line", hint=_LINE_HINT)
        if "int" not in options:
            raise InputError("the line of INTB is not named", hint=f"write int=LINE; {_LINE_HINT}")
        made = cls(
            interrupt=options["int"],
            reset=options.get("rst"),
            vdd=options.get("vdd"),
            hvdd=options.get("hvdd"),
            select=options.get("cs"),
            hz=_number(options, "hz", DEFAULT_HZ),
            mode=_number(options, "mode", 0),
            lsb_first=_one_of(options, "order", ("msb", "lsb")) == "lsb",
        )
        power = _one_of(options, "power", POWERS) if "power" in options else made.power
        if power != made.power:
            raise InputError(
                f"power={power} contradicts the lines of the port, which make it {made.power}",
                hint="low has vdd=LINE, high has hvdd=LINE too, self has neither",
            )
        return made

    @property
    def power(self) -> Power:
        """Return what is switched: VDD, HVDD with it, or nothing."""
        if self.hvdd:
            return "high"
        return "low" if self.vdd else "self"

    @property
    def lines(self) -> dict[str, str]:
        """Return the lines that there are, by the name of their option."""
        lines = {
            "rst": self.reset,
            "vdd": self.vdd,
            "hvdd": self.hvdd,
            "cs": self.select,
            "int": self.interrupt,
        }
        return {name: line for name, line in lines.items() if line}


def _one_of(options: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    value = options.get(name, known[0])
    if value not in known:
        raise InputError(f"{name}={value:.60} is not known", hint=f"write {' or '.join(known)}")
    return value


def _number(options: Mapping[str, str], name: str, default: int) -> int:
    value = options.get(name, str(default))
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise InputError(f"{name}={value:.60} is no number that it can be", hint="write digits")
    return int(value)
