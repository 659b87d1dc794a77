"""How does the kernel's GPIO character device behave? `drivers/gpio/gpiolib-cdev.c`, from outside.

Version 2 of its interface, which is all that libgpiod 2 speaks: `linux/gpio.h`.
"""

import errno
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from struct import Struct

from tests.rig.drivers import OpenFile, Place, UnsupportedError, refused
from tests.rig.records import (
    BIASES,
    DIRECTIONS,
    DRIVES,
    EDGES,
    LineFlag,
    LineInput,
    LineOutput,
    LineReconfigured,
    LineRecord,
    LineReleased,
    LineRequested,
)
from tests.rig.wire import MUST_WAIT, Answer, text
from tests.rig.world import Bench

MAJOR = 254
LINES_MAX = 64
ATTRIBUTES_MAX = 10
EVENTS_PER_LINE = 16
"""How many edges wait to be read before the oldest is lost, if nobody sets it."""
KNOWN_FLAGS = DIRECTIONS | EDGES | DRIVES | BIASES | LineFlag.ACTIVE_LOW
KNOWN_FLAGS |= LineFlag.EVENT_CLOCK_REALTIME
ATTRIBUTE_FLAGS, ATTRIBUTE_VALUES = 1, 2  # 3 is the time to debounce

_CHIP_INFO = Struct("=32s32sI")
_LINE_INFO = Struct("=32s32sIIQ160x16x")
_VALUES = Struct("=QQ")
_CONFIG = Struct("=QI20x")
_ATTRIBUTE = Struct("=I4xQQ")
_CONFIG_BYTES = _CONFIG.size + ATTRIBUTES_MAX * _ATTRIBUTE.size
_OFFSETS = Struct("=64I32s")
_REQUEST_END = Struct("=II20x4x")
_EVENT = Struct("=QIIII24x")
RISING, FALLING = 1, 2


def _both_ways(number: int, size: int) -> int:
    return 3 << 30 | size << 16 | 0xB4 << 8 | number


GET_CHIP_INFO = 2 << 30 | _CHIP_INFO.size << 16 | 0xB401
GET_LINE_INFO = _both_ways(0x05, _LINE_INFO.size)
WATCH_LINE_INFO = _both_ways(0x06, _LINE_INFO.size)
SET_CONFIG = _both_ways(0x0D, _CONFIG_BYTES)
GET_VALUES = _both_ways(0x0E, _VALUES.size)
SET_VALUES = _both_ways(0x0F, _VALUES.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpioChip:
    """A GPIO chip as the kernel describes it."""

    number: int = 0
    label: str = "gpio"
    lines: Sequence[str]
    """The names of its lines; a line may have none."""
    held: Mapping[str, str] = field(default_factory=dict)
    """Lines that the kernel itself holds, and as what: `{"CE0": "spi0 CS0"}`."""
    keeps_outputs: bool = False
    """Whether an output that is released is driven on; else it becomes an input."""
    is_denied: bool = False
    """Whether nobody may open it, not even root."""

    @property
    def name(self) -> str:
        return f"gpiochip{self.number}"


@dataclass(slots=True)
class Line:
    """A line of a chip, with those who hold it and drive it."""

    chip: GpioChip
    offset: int
    consumer: str = ""
    holder: "LinesFile | None" = None
    is_held: bool = False
    """By a program or by the kernel."""
    flags: LineFlag = LineFlag.INPUT
    driven: bool | None = None
    """What the processor drives it to, if it does."""
    outside: bool | None = None
    """What the world drives it to, if it does."""

    @property
    def name(self) -> str:
        return self.chip.lines[self.offset] or str(self.offset)

    @property
    def level(self) -> bool:
        """The level on the wire."""
        for level in (self.driven, self.outside):
            if level is not None:
                return level
        return LineFlag.BIAS_PULL_UP in self.flags

    @property
    def is_active(self) -> bool:
        return self.level != (LineFlag.ACTIVE_LOW in self.flags)


@dataclass(frozen=True, slots=True)
class Config:
    """How each line of a request is to be used."""

    flags: list[LineFlag]
    values: list[bool]
    """Whether it is active, if it is an output."""

    @classmethod
    def decode(cls, data: bytes, lines: int) -> "Config":
        """Give each line its flags.

        Raises:
            OSError: EINVAL, as the kernel refuses them.
        """
        common, attributes = _CONFIG.unpack_from(data)
        if attributes > ATTRIBUTES_MAX:
            raise refused(errno.EINVAL)
        flags, values = [LineFlag(common)] * lines, [False] * lines
        is_set = [False] * lines
        for i in range(attributes):
            kind, value, mask = _ATTRIBUTE.unpack_from(data, _CONFIG.size + i * _ATTRIBUTE.size)
            for line in (line for line in range(lines) if mask >> line & 1):
                if kind == ATTRIBUTE_FLAGS:
                    flags[line] = flags[line] if is_set[line] else LineFlag(value)
                    is_set[line] = True  # the first one counts
                elif kind == ATTRIBUTE_VALUES:
                    values[line] = bool(value >> line & 1)
                else:
                    raise UnsupportedError(f"the rig does not debounce lines (attribute {kind})")
        for one in flags:
            _check_flags(one)
        return cls(flags, values)


def _check_flags(flags: LineFlag) -> None:
    """Refuse what contradicts itself, or needs a direction that is not given."""
    is_wrong = (
        flags & ~KNOWN_FLAGS
        or flags & DIRECTIONS == DIRECTIONS
        or (flags & EDGES and LineFlag.INPUT not in flags)
        or (flags & DRIVES and LineFlag.OUTPUT not in flags)
        or flags & DRIVES == DRIVES
        or (flags & BIASES and not flags & DIRECTIONS)
        or (flags & BIASES).bit_count() > 1
    )
    if is_wrong:
        raise refused(errno.EINVAL)


class ChipDriver:
    """One GPIO chip, and the lines that programs hold."""

    def __init__(self, chip: GpioChip, bench: Bench) -> None:
        self.chip = chip
        self.place = Place(
            name=chip.name,
            subsystem="/sys/bus/gpio",
            major=MAJOR,
            minor=chip.number,
            is_denied=chip.is_denied,
        )
        self.bench = bench
        self.is_gone = False
        self.lines = [Line(chip, offset) for offset in range(len(chip.lines))]
        for name, consumer in chip.held.items():
            line = self.lines[list(chip.lines).index(name)]
            line.is_held, line.consumer = True, consumer

    def open(self) -> "ChipFile":
        return ChipFile(self)

    def record(self, kind: Callable[..., LineRecord], line: Line, **fields: object) -> None:
        self.bench.record(kind, chip=self.chip.label, name=line.name, **fields)

    def use(self, line: Line, flags: LineFlag, is_active: bool) -> None:
        """Make the line an input or an output."""
        if flags & DIRECTIONS:
            line.flags = flags
        else:  # as it is
            line.flags = flags | line.flags & DIRECTIONS
        if LineFlag.OUTPUT in flags:
            self.drive(line, is_active)
        elif LineFlag.INPUT in flags:
            line.driven = None

    def drive(self, line: Line, is_active: bool) -> None:
        """Drive an output."""
        level = is_active != (LineFlag.ACTIVE_LOW in line.flags)
        let_go = LineFlag.OPEN_DRAIN if level else LineFlag.OPEN_SOURCE
        floats = let_go in line.flags
        line.driven = None if floats else level
        self.record(LineOutput, line, level=level, floats=floats)
        self.bench.world.line_set(self.chip.label, line.name, level)

    def release(self, line: Line) -> None:
        line.holder, line.is_held, line.consumer = None, False, ""
        if not self.chip.keeps_outputs:
            line.driven = None
            line.flags = LineFlag.INPUT
        line.flags &= DIRECTIONS
        self.record(LineReleased, line)
        self.bench.world.line_released(self.chip.label, line.name)

    def set_outside(self, line: Line, level: bool) -> None:
        """Let the world drive the line."""
        if line.outside == level:
            return
        before, line.outside = line.level, level
        self.record(LineInput, line, level=level)
        if before != line.level and line.holder:
            line.holder.on_edge(line)


class ChipFile(OpenFile):
    """An open `/dev/gpiochipN`."""

    def __init__(self, driver: ChipDriver) -> None:
        self.driver = driver
        self.place = driver.place

    def ioctl(self, request: int, payload: bytes) -> bytes:
        if self.driver.is_gone:
            raise refused(errno.ENODEV)
        if request == GET_CHIP_INFO:
            chip = self.driver.chip
            return _CHIP_INFO.pack(chip.name.encode(), chip.label.encode()[:31], len(chip.lines))
        if request == GET_LINE_INFO:
            return self._line_info(_LINE_INFO.unpack(payload)[2])
        if request == WATCH_LINE_INFO:
            raise UnsupportedError("the rig does not report how lines are used")
        raise refused(errno.EINVAL)

    def _line_info(self, offset: int) -> bytes:
        if offset >= len(self.driver.lines):
            raise refused(errno.EINVAL)
        line = self.driver.lines[offset]
        flags = line.flags | (LineFlag.USED if line.is_held else LineFlag(0))
        name = line.chip.lines[offset].encode()[:31]
        return _LINE_INFO.pack(name, line.consumer.encode()[:31], offset, 0, flags)

    def request(self, payload: bytes, notify: Callable[[], None]) -> "LinesFile":
        """Hand out lines, all or none.

        Args:
            payload: a `struct gpio_v2_line_request`.
            notify: makes the new file readable.
        """
        if self.driver.is_gone:
            raise refused(errno.ENODEV)
        *offsets, consumer = _OFFSETS.unpack_from(payload)
        lines, buffered = _REQUEST_END.unpack_from(payload, _OFFSETS.size + _CONFIG_BYTES)
        if not 0 < lines <= LINES_MAX or max(offsets[:lines]) >= len(self.driver.lines):
            raise refused(errno.EINVAL)
        config = Config.decode(payload[_OFFSETS.size :], lines)
        wanted = [self.driver.lines[offset] for offset in offsets[:lines]]
        if len(set(offsets[:lines])) < lines or any(line.is_held for line in wanted):
            raise refused(errno.EBUSY)
        file = LinesFile(self.driver, wanted, buffered, notify)
        try:
            file.take(config, text(consumer) or "?")
        except BaseException:
            file.close()
            raise
        return file


class LinesFile(OpenFile):
    """The file of a request: what a program holds lines by."""

    def __init__(
        self,
        driver: ChipDriver,
        lines: list[Line],
        buffered: int,
        notify: Callable[[], None],
    ) -> None:
        self.driver = driver
        self.lines = lines
        self.notify = notify
        room = min(buffered, LINES_MAX * EVENTS_PER_LINE) or len(lines) * EVENTS_PER_LINE
        self.events: deque[bytes] = deque(maxlen=1 << (room - 1).bit_length())
        self.is_notified = False
        self.numbers = count(1)
        self.line_numbers = {line.offset: count(1) for line in lines}

    def take(self, config: Config, consumer: str) -> None:
        """Take hold of the lines, one after the other."""
        for line, flags, is_active in self._each(config):
            line.holder, line.is_held, line.consumer = self, True, consumer
            self.driver.record(LineRequested, line, flags=flags, consumer=consumer)
            self.driver.use(line, flags, is_active)

    def _reconfigure(self, config: Config) -> None:
        """Use the lines otherwise; those without a direction stay as they are."""
        for line, flags, is_active in self._each(config):
            if flags & DIRECTIONS:
                self.driver.record(LineReconfigured, line, flags=flags)
                self.driver.use(line, flags, is_active)

    def _each(self, config: Config) -> Iterator[tuple[Line, LineFlag, bool]]:
        return zip(self.lines, config.flags, config.values, strict=True)

    def ioctl(self, request: int, payload: bytes) -> bytes:
        if self.driver.is_gone:
            raise refused(errno.ENODEV)
        if request == SET_CONFIG:
            self._reconfigure(Config.decode(payload, len(self.lines)))
            return payload
        if request not in (GET_VALUES, SET_VALUES):
            raise refused(errno.EINVAL)
        bits, mask = _VALUES.unpack(payload)
        chosen = [(i, line) for i, line in enumerate(self.lines) if mask >> i & 1]
        if not chosen:
            raise refused(errno.EINVAL)
        if request == GET_VALUES:
            return _VALUES.pack(sum(line.is_active << i for i, line in chosen), mask)
        if not all(LineFlag.OUTPUT in line.flags for _, line in chosen):
            raise refused(errno.EPERM)
        for i, line in chosen:
            self.driver.drive(line, bool(bits >> i & 1))
        return payload

    def on_edge(self, line: Line) -> None:
        """Queue the edge, if the program wants it; the oldest goes if there is no room."""
        wanted = LineFlag.EDGE_RISING if line.is_active else LineFlag.EDGE_FALLING
        if wanted not in line.flags:
            return
        is_real = LineFlag.EVENT_CLOCK_REALTIME in line.flags
        now_ns = time.time_ns() if is_real else time.monotonic_ns()
        own = next(self.line_numbers[line.offset])
        number = own if len(self.lines) == 1 else next(self.numbers)
        kind = RISING if line.is_active else FALLING
        self.events.append(_EVENT.pack(now_ns, kind, line.offset, number, own))
        self._notify()

    def _notify(self) -> None:
        if not self.is_notified:
            self.is_notified = True
            self.notify()

    def read(self, count: int, has_byte: bool) -> Answer:
        if self.driver.is_gone:
            raise refused(errno.ENODEV)
        if count < _EVENT.size:
            raise refused(errno.EINVAL)
        if not has_byte:
            return Answer(MUST_WAIT)
        self.is_notified = False
        room = min(count // _EVENT.size, len(self.events))
        data = b"".join(self.events.popleft() for _ in range(room))
        if self.events:
            self._notify()
        return Answer(0, data) if data else Answer(MUST_WAIT)

    def close(self) -> None:
        for line in self.lines:
            if line.holder is self:
                self.driver.release(line)
