"""The pins of one UMI-spi port, on the spidev and gpiod modules of Linux (protocol 9).

Both modules are imported when a port is opened: without them, and elsewhere, umi works as well.
"""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from umi_cli.errors import LostError, NoSuchPortError
from umi_cli.transports.base import LONGEST_WAIT_S, Clock, SystemClock
from umi_cli.transports.board_options import BoardSettings
from umi_cli.transports.bus import SpiBus, open_bus
from umi_cli.transports.gpio import (
    InputLine,
    LinePlace,
    OutputLine,
    find_lines,
    request_input,
    request_output,
)
from umi_cli.transports.guardian import Guardian, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pins:
    """The lines of a port that we hold."""

    interrupt: InputLine
    reset: OutputLine | None
    power: tuple[OutputLine, ...]
    """VDD, then HVDD if it has one."""
    select: OutputLine | None

    @property
    def outputs(self) -> list[OutputLine]:
        return [line for line in (self.reset, self.select, *self.power) if line]

    @property
    def off(self) -> list[Step]:
        """Return the steps that switch the port off: RSTB low first, VDD low last."""
        steps: list[Step] = [partial(self.reset.drive, False)] if self.reset else []
        steps += [partial(self.select.drive, True)] if self.select else []
        return [*steps, *(partial(line.drive, False) for line in reversed(self.power))]


class SpiBoard:
    """The pins of a port, as `transports.base.Board` says.

    Args:
        bus: what the bytes go over.
        pins: the lines; reset is held, and everything is off.
        address: what the user called the port.
        resources: closes everything, in order.
    """

    def __init__(self, bus: SpiBus, pins: _Pins, address: str, resources: ExitStack) -> None:
        self.address = address
        self.clock: Clock = SystemClock()
        self.byte_time_s = 8 / bus.hz
        self.deadline: float | None = None
        """Its descriptor tells when INTB has changed."""
        self._bus = bus
        self._pins = pins
        self._resources = resources

    @property
    def switches_power(self) -> bool:
        """Tell whether VDD can be switched; a self-powered port cannot."""
        return bool(self._pins.power)

    def power(self, on: bool) -> None:
        """Switch VDD on and then HVDD, or off the other way round; `LostError` if they are gone."""
        for line in self._pins.power if on else reversed(self._pins.power):
            line.drive(on)

    def reset(self, held: bool) -> None:
        """Hold RSTB low, or let go of it; `LostError` if it is gone."""
        self._forget_rise()
        if self._pins.reset:
            self._pins.reset.drive(not held)

    def select(self, selected: bool) -> None:
        """Pull CSB low, or let it go; if the controller has it, pull it low for a moment.

        Raises:
            LostError: the pins or the bus are gone.
        """
        if selected:
            self._forget_rise()
        if self._pins.select:
            self._pins.select.drive(not selected)
        elif selected:
            self._bus.pulse()

    def int_is_low(self) -> bool:
        """Tell whether INTB is low now, and forget its edges; `LostError` if it is gone."""
        return self._pins.interrupt.is_low()

    def wait_for_int(self, low: bool, deadline: float) -> bool:
        """Wait until INTB is low, or is or has been high, by its edges; False at the deadline.

        Raises:
            LostError: it is gone.
        """
        interrupt = self._pins.interrupt
        while interrupt.is_low() != low and not (interrupt.has_risen and not low):
            left_s = deadline - self.clock.monotonic()
            if left_s <= 0:
                return False
            interrupt.wait(min(left_s, LONGEST_WAIT_S))
        return True

    def _forget_rise(self) -> None:
        """Take no rise of INTB from before for one that follows."""
        self._pins.interrupt.is_low()
        self._pins.interrupt.has_risen = False

    def exchange(self, data: bytes) -> bytes:
        """Clock bytes out, and as many in; `LostError` if the bus is gone."""
        return self._bus.exchange(data)

    def fileno(self) -> int:
        """Return a descriptor that is readable until `int_is_low` has seen the change of INTB."""
        return self._pins.interrupt.fileno()

    def close(self) -> None:
        """RSTB low, everything off, lines released; twice is harmless."""
        with suppress(LostError):  # what is gone is off; all the rest is closed nevertheless
            self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_board(bus: int, device: int, settings: BoardSettings, address: str) -> SpiBoard:
    """Open a port: reset is held and everything is off, now and whatever ends this program.

    Args:
        bus: spidev's.
        device: spidev's, the controller's chip select.
        settings: the lines, and how to clock.
        address: what the user called the port.

    Raises:
        NoSuchPortError: a module, the bus or a line is missing, or cannot do what it must.
        PortBusyError: a program or a driver holds a line, or the bus.
        PortPermissionError: this user may not.
    """
    lines = settings.lines
    places = dict(zip(lines, find_lines(list(lines.values()), address), strict=True))
    with ExitStack() as resources:
        spi = open_bus(bus, device, settings, address)
        resources.callback(spi.close)
        pins = _request_pins(places, address, resources)
        _guard(pins, address, resources)
        return SpiBoard(spi, pins, address, resources.pop_all())


def _request_pins(places: Mapping[str, LinePlace], address: str, resources: ExitStack) -> _Pins:
    """Take hold of the lines, one by one: a port that was left powered is reset before it is off.

    Each is a request of its own, as they may be on different chips.
    """

    def output(name: str, high: bool, open_drain: bool = False) -> OutputLine | None:
        if name not in places:
            return None
        line = request_output(places[name], address, high=high, open_drain=open_drain)
        resources.callback(line.release)
        return line

    reset = output("rst", high=False, open_drain=True)
    power = tuple(filter(None, (output(name, high=False) for name in ("vdd", "hvdd"))))
    select = output("cs", high=True)
    interrupt = request_input(places["int"], address)
    resources.callback(interrupt.release)
    return _Pins(interrupt=interrupt, reset=reset, power=power, select=select)


def _guard(pins: _Pins, address: str, resources: ExitStack) -> None:
    """See to it that the port is off when it is closed, and when this program is killed."""
    if not pins.outputs:
        return
    try:
        guardian = Guardian(pins.off, [line.fileno() for line in pins.outputs])
    except OSError as error:
        raise NoSuchPortError(
            f"{address}: no process can be started that switches the port off if this one is"
            f" killed ({error.strerror})",
            hint="end other programs, or raise the limit of processes (ulimit -u)",
        ) from error
    resources.enter_context(guardian)
    for step in reversed(pins.off):
        resources.callback(step)
