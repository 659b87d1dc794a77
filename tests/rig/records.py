"""What did the far end of the wires see? Frozen records, in the order of events."""

from dataclasses import dataclass
from enum import IntFlag


class LineFlag(IntFlag):
    """How a line is requested: `enum gpio_v2_line_flag` of `linux/gpio.h`."""

    USED = 1 << 0
    ACTIVE_LOW = 1 << 1
    INPUT = 1 << 2
    OUTPUT = 1 << 3
    EDGE_RISING = 1 << 4
    EDGE_FALLING = 1 << 5
    OPEN_DRAIN = 1 << 6
    OPEN_SOURCE = 1 << 7
    BIAS_PULL_UP = 1 << 8
    BIAS_PULL_DOWN = 1 << 9
    BIAS_DISABLED = 1 << 10
    EVENT_CLOCK_REALTIME = 1 << 11


DIRECTIONS = LineFlag.INPUT | LineFlag.OUTPUT
EDGES = LineFlag.EDGE_RISING | LineFlag.EDGE_FALLING
DRIVES = LineFlag.OPEN_DRAIN | LineFlag.OPEN_SOURCE
BIASES = LineFlag.BIAS_PULL_UP | LineFlag.BIAS_PULL_DOWN | LineFlag.BIAS_DISABLED


SHOWN_BYTES = 64


def _short(data: bytes) -> str:
    more = f"... ({len(data)} bytes)" if len(data) > SHOWN_BYTES else ""
    return data[:SHOWN_BYTES].hex() + more


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One event on the wires."""

    number: int
    """Counts up from 0, without gaps."""
    time_s: float
    """When it began, on `time.monotonic()`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiRecord(Record):
    """Something happened to `/dev/spidev<bus>.<device>`."""

    bus: int
    device: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiOpened(SpiRecord):
    """A program opened the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiClosed(SpiRecord):
    """A program closed the device, or died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiTransfer(SpiRecord):
    """Bytes were clocked, in both directions at once."""

    sent: bytes
    """MOSI, as in the program's memory: `lsb_first` is not applied to it."""
    received: bytes = b""
    """MISO, likewise."""
    mode: int
    """0 to 3: clock polarity and phase."""
    hz: int
    lsb_first: bool
    bits_per_word: int
    hardware_select: bool
    """Whether the controller asserted its own chip select: false with SPI_NO_CS."""
    select_is_high: bool
    """Whether that chip select is active high."""
    stays_selected: bool
    """Whether that chip select stays asserted when the transfer has ended."""

    def __repr__(self) -> str:
        """Print the bytes as hex, and not all of many."""
        return (
            f"SpiTransfer(number={self.number}, bus={self.bus}, device={self.device},"
            f" sent={_short(self.sent)}, received={_short(self.received)}, mode={self.mode},"
            f" hz={self.hz}, lsb_first={self.lsb_first}, hardware_select={self.hardware_select})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRecord(Record):
    """Something happened to a line of a GPIO chip."""

    chip: str
    """The label of the chip."""
    name: str
    """The name of the line, or its offset where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRequested(LineRecord):
    """A program got hold of the line."""

    flags: LineFlag
    consumer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineReconfigured(LineRecord):
    """The program that holds the line changed how it is used."""

    flags: LineFlag


@dataclass(frozen=True, slots=True, kw_only=True)
class LineReleased(LineRecord):
    """The program let go of the line, or died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOutput(LineRecord):
    """A program drove the line, to another level or to the same again."""

    level: bool
    """On the wire: ACTIVE_LOW is applied."""
    floats: bool
    """Whether that level is left to the outside: an open drain that is not pulled low."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineInput(LineRecord):
    """The world changed the level that it gives to the line."""

    level: bool
