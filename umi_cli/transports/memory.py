"""The in-process line: a virtual device at the other end of a function call.

Its clock skips what would be waited for, so a lost answer costs no time at all.
"""

import time
from collections.abc import Callable
from typing import Protocol, Self

from umi_cli.errors import LostError
from umi_cli.link.stream import DEFAULT_IDLE_GAP_S
from umi_cli.optical.characters import LineSettings
from umi_cli.transports.base import Steady, SystemClock


class Line(Protocol):
    """The other end: bytes and time in, bytes out, no I/O."""

    is_hung_up: bool

    @property
    def deadline(self) -> float | None:
        """Return when `on_timer` wants to be called: seconds, monotonic."""
        ...

    def receive_data(self, data: bytes, now: float, utc: float) -> None:
        """Take what was sent at once."""
        ...

    def on_timer(self, now: float, utc: float) -> None:
        """Do what is due."""
        ...

    def data_to_send(self) -> list[bytes]:
        """Return what arrives now, a chunk at a time."""
        ...

    def close(self) -> None:
        """Forget the line."""
        ...


class SimulatedClock:
    """The host's clock, and the waits that were skipped on top.

    Args:
        utc_s: the Unix time to begin with; the host's if None. With one the clock stands still
            but for what is skipped, so that a run can be run again to the letter, and is_watched
            changes nothing.
    """

    def __init__(self, utc_s: float | None = None) -> None:
        self.is_watched = False
        self._skipped_s = 0.0
        self._fixed_s = utc_s

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._skipped_s + (time.monotonic() if self._fixed_s is None else 0.0)

    def utc(self) -> float:
        """Return the Unix time in seconds."""
        return self._skipped_s + (time.time() if self._fixed_s is None else self._fixed_s)

    def sleep(self, seconds: float) -> None:
        """Let time pass: at once, or as it does where somebody watches."""
        if self.is_watched and self._fixed_s is None:
            time.sleep(seconds)
        else:
            self._skipped_s += seconds

    def skip_to(self, moment: float) -> None:
        """Go on to a moment of the monotonic clock, as `sleep` does."""
        self.sleep(max(0.0, moment - self.monotonic()))


class WaitingClock(SystemClock):
    """The host's clock, for an in-process line beside real ones: what is due is waited for."""

    def skip_to(self, moment: float) -> None:
        """Wait until a moment of the monotonic clock."""
        self.sleep(max(0.0, moment - self.monotonic()))


class MemoryTransport(Steady):
    """A port to a line in this process.

    Args:
        line: the other end.
        clock: the time of both ends.
        address: what the user called it.
        on_close: called once when the port is closed.
    """

    timeout_s = 1.0
    byte_time_s = 0.0
    idle_gap_s = DEFAULT_IDLE_GAP_S

    def __init__(
        self,
        line: Line,
        *,
        clock: SimulatedClock | None = None,
        address: str = "sim",
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.address = address
        self.clock = clock or SimulatedClock()
        self._line = line
        self._on_close = on_close
        self._is_open = True

    def send(self, data: bytes) -> None:
        """Hand the bytes over; `LostError` if the line has hung up."""
        self._check_line()
        self._line.receive_data(data, self.clock.monotonic(), self.clock.utc())

    def receive(self, deadline: float) -> bytes:
        """Return what is there, skipping the wait for it; `LostError` if the line has hung up."""
        while True:
            if data := b"".join(self._line.data_to_send()):
                return data
            self._check_line()
            due = self._line.deadline
            if due is None or due >= deadline:
                self.clock.skip_to(deadline)
                return b""
            self.clock.skip_to(due)
            self._line.on_timer(self.clock.monotonic(), self.clock.utc())

    def close(self) -> None:
        """Close the port; twice is harmless."""
        if self._is_open:
            self._is_open = False
            self._line.close()
            self._on_close()

    def _check_line(self) -> None:
        if self._line.is_hung_up or not self._is_open:
            raise LostError(f"{self.address} has hung up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class SettableLine(Line, Protocol):
    """A line whose other end hears what the reader's port is set to."""

    settings: LineSettings


class MemoryPort(MemoryTransport):
    """A serial port to an optical line in this process; arguments as of `MemoryTransport`."""

    def __init__(
        self,
        line: SettableLine,
        *,
        clock: SimulatedClock | None = None,
        address: str = "sim",
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(line, clock=clock, address=address, on_close=on_close)
        self._settable = line

    def set_line(self, settings: LineSettings) -> None:
        """Change the settings of the port."""
        self._check_line()
        self._line.on_timer(self.clock.monotonic(), self.clock.utc())
        self._settable.settings = settings


class Pins(Protocol):
    """A virtual peripheral, as a Host's pins see it."""

    @property
    def deadline(self) -> float | None:
        """Return when `on_timer` wants to be called: seconds, monotonic."""
        ...

    def int_is_low(self, now: float) -> bool:
        """Tell whether INTB is low."""
        ...

    def power(self, on: bool, now: float, utc: float) -> None:
        """Switch VDD."""
        ...

    def reset(self, held: bool, now: float, utc: float) -> None:
        """Hold RSTB low, or release it."""
        ...

    def select(self, selected: bool, now: float, utc: float) -> None:
        """Pull CSB low, or let it go."""
        ...

    def transfer(self, sent: bytes, now: float, utc: float) -> bytes:
        """Clock bytes in, and as many out."""
        ...

    def on_timer(self, now: float, utc: float) -> None:
        """Do what is due."""
        ...


class MemoryBoard:
    """The pins of a port with a virtual peripheral in this process, under a clock that skips waits.

    Args:
        pins: the peripheral's.
        clock: the time of both ends.
        address: what the user called it.
        on_close: called once when the port is closed.
        hz: the rate of the bus.
    """

    def __init__(
        self,
        pins: Pins,
        *,
        clock: SimulatedClock | WaitingClock,
        address: str = "spi:sim",
        on_close: Callable[[], None] = lambda: None,
        hz: int = 1_000_000,
        switches_power: bool = True,
    ) -> None:
        self.address = address
        self.clock = clock
        self.byte_time_s = 8 / hz
        self.switches_power = switches_power
        self._pins = pins
        self._on_close = on_close
        self._is_open = True
        self._was_low = self._has_risen = False

    def power(self, on: bool) -> None:
        """Switch VDD."""
        self._pins.power(on, *self._moment())

    def reset(self, held: bool) -> None:
        """Hold RSTB low, or release it."""
        self._forget_rise()
        self._pins.reset(held, *self._moment())

    def select(self, selected: bool) -> None:
        """Pull CSB low, or let it go."""
        if selected:
            self._forget_rise()
        self._pins.select(selected, *self._moment())
        self.int_is_low()

    def int_is_low(self) -> bool:
        """Tell whether INTB is low now."""
        return self._is_low_at(*self._moment())

    def _is_low_at(self, now: float, utc: float) -> bool:
        self._pins.on_timer(now, utc)
        is_low = self._pins.int_is_low(now)
        self._has_risen = self._has_risen or (self._was_low and not is_low)
        self._was_low = is_low
        return is_low

    def wait_for_int(self, low: bool, deadline: float) -> bool:
        """Wait until INTB is low, or is or has been high; False at the deadline."""
        while True:
            now, utc = self._moment()
            if self._is_low_at(now, utc) == low or (self._has_risen and not low):
                return True
            if now >= deadline:
                return False
            # What is still due at the moment that was looked at waits for something else; what has
            # become due since does not: the host's clock goes on meanwhile.
            due = self._pins.deadline
            self.clock.skip_to(deadline if due is None or due <= now else min(due, deadline))

    def fileno(self) -> int:
        """Return -1: there is no descriptor in this process."""
        return -1

    @property
    def deadline(self) -> float | None:
        """Return when the peripheral may do something."""
        return self._pins.deadline

    def exchange(self, data: bytes) -> bytes:
        """Clock bytes out, and as many in."""
        if not self._is_open:
            raise LostError(f"{self.address} is closed")
        self.clock.sleep(len(data) * self.byte_time_s)
        heard = self._pins.transfer(data, *self._moment())
        self.int_is_low()
        return heard

    def close(self) -> None:
        """Hold RSTB low and switch off; twice is harmless."""
        if self._is_open:
            self._is_open = False
            self.reset(True)
            self.power(False)
            self._on_close()

    def _forget_rise(self) -> None:
        """Take no rise of INTB from before for one that follows, nor that it is high already."""
        self.int_is_low()
        self._has_risen = False

    def _moment(self) -> tuple[float, float]:
        return self.clock.monotonic(), self.clock.utc()
