"""A virtual Peripheral at the other end of the rig's wires, and what must hold on them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import campaign
from tests.rig.gpio import GpioChip
from tests.rig.records import LineInput, LineOutput, LineReleased, Record, SpiTransfer
from tests.rig.rig import Rig
from tests.rig.spi import SpiDevice
from tests.rig.world import EmptyWorld
from umi_cli.types import UmiId
from umi_cli.virtual.pin_faults import PinFaultRates
from umi_cli.virtual.pins import PeripheralPins
from umi_cli.virtual.setup import SimOptions, Simulation

SHORTEST_S = 0.0002  # what is due and cannot be done is looked at again and again
LONGEST_S = 1e6
LABEL = "pinctrl-bcm2711"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Which lines lead to a Peripheral."""

    number: int
    """Of the port: it names the lines, `VDD1`."""
    bus: int = 0
    device: int = 0
    has_select_line: bool = True
    """CSB is a GPIO line, and not the controller's own."""

    @property
    def lines(self) -> list[str]:
        names = ["VDD", "RSTB", "INTB"] + (["CSB"] if self.has_select_line else [])
        return [f"{name}{self.number}" for name in names]

    @property
    def address(self) -> str:
        select = f"&cs=CSB{self.number}" if self.has_select_line else ""
        lines = f"int=INTB{self.number}&rst=RSTB{self.number}&vdd=VDD{self.number}"
        return f"spi:{self.bus}.{self.device}?{lines}{select}"


class Port:
    """A Peripheral on one port, driven by what happens on its wires."""

    def __init__(self, wiring: Wiring, simulation: Simulation) -> None:
        self.wiring = wiring
        self.simulation = simulation
        self.pins: PeripheralPins = simulation.new_peripheral("line")
        self.looks_at = 0.0
        """When a timer looks at it next: seconds, monotonic."""


class Peripherals(EmptyWorld):
    """One virtual Peripheral or several, on the ports of a Host.

    Args:
        wirings: where they are.
        state: where the first one remembers.
        datasheet: whose objects they have.
        faults: what goes wrong on the pins.
        seed: of the faults.
    """

    def __init__(
        self,
        wirings: Sequence[Wiring] = (Wiring(number=1),),
        *,
        state: Path | None = None,
        datasheet: str | None = None,
        faults: str = "",
        seed: int = 0,
    ) -> None:
        self.ports: list[Port] = []
        for at, wiring in enumerate(wirings):
            options = SimOptions(
                state=state if at == 0 else None,
                datasheet=datasheet,
                umi_id=UmiId(0x0023_7EFE_0000_0001 + at),
                seed=seed + at,
                pin_faults=PinFaultRates.parse(faults),
            )
            simulation = Simulation(options, time.time())
            campaign.trust_each_other(simulation.meter.memory)
            self.ports.append(Port(wiring, simulation))
        self.unplug_after: int | None = None
        """How many more transfers there are before the first Peripheral is unplugged."""

    def attach(self, rig: Rig) -> None:
        super().attach(rig)
        for port in self.ports:
            rig.drive(f"INTB{port.wiring.number}", True)

    def transfer(self, transfer: SpiTransfer) -> bytes:
        place = (transfer.bus, transfer.device)
        [port] = [
            each
            for each in self.ports
            if (each.wiring.bus, each.wiring.device) == place and self._is_meant(each, transfer)
        ]
        self._count_down()
        now, utc = time.monotonic(), time.time()
        if transfer.hardware_select:
            port.pins.select(True, now, utc)
        answer = port.pins.transfer(transfer.sent, now, utc) if transfer.sent else b""
        if transfer.hardware_select and not transfer.stays_selected:
            port.pins.select(False, now, utc)
        self._show(port)
        return answer

    def _is_meant(self, port: Port, transfer: SpiTransfer) -> bool:
        if not port.wiring.has_select_line:
            return transfer.hardware_select
        return not self.rig.level(f"CSB{port.wiring.number}")

    def _count_down(self) -> None:
        if self.unplug_after is not None:
            self.unplug_after -= 1
            if self.unplug_after < 0:
                self.unplug_after = None
                self.ports[0].pins.unplug(time.monotonic())

    def line_set(self, chip: str, name: str, level: bool) -> None:
        for port in self.ports:
            if name.endswith(str(port.wiring.number)):
                self._on_line(port, name.rstrip("0123456789"), level)
                self._show(port)

    def _on_line(self, port: Port, kind: str, level: bool) -> None:
        now, utc = time.monotonic(), time.time()
        if kind == "VDD":
            port.pins.power(level, now, utc)
        elif kind == "RSTB":
            port.pins.reset(not level, now, utc)
        elif kind == "CSB":
            port.pins.select(not level, now, utc)

    def line_released(self, chip: str, name: str) -> None:
        self.line_set(chip, name, name.startswith("CSB"))  # pull-downs, and a pull-up on CSB

    def publish(self, number: int) -> None:
        """Have something happen in the first Peripheral."""
        with self.rig.lock:
            meter = self.ports[0].simulation.meter
            meter.memory.events.add(number, meter.metering.now_s)
            self._show(self.ports[0])

    def _show(self, port: Port) -> None:
        """Show INTB, and look again when the Peripheral wants to do something."""
        now = time.monotonic()
        port.pins.on_timer(now, time.time())
        self.rig.drive(f"INTB{port.wiring.number}", not port.pins.int_is_low(now))
        due = port.pins.deadline
        if due is not None and due < now + LONGEST_S and not now < port.looks_at <= due:
            port.looks_at = max(due, now + SHORTEST_S)
            self.rig.call_later(port.looks_at - now, lambda: self._show(port))


def rig_of(world: Peripherals, *, keeps_outputs: bool = False) -> Rig:
    """Return the rig of a Host with those ports."""
    lines = [line for port in world.ports for line in port.wiring.lines]
    places = {(port.wiring.bus, port.wiring.device) for port in world.ports}
    return Rig(
        world,
        chips=[GpioChip(label=LABEL, lines=lines, keeps_outputs=keeps_outputs)],
        spi=[SpiDevice(bus=bus, device=device) for bus, device in sorted(places)],
    )


def check_wires(log: Sequence[Record], wiring: Wiring) -> None:
    """Assert what must hold on the wires of a port, from its first event to its last."""
    number = wiring.number
    levels = {f"VDD{number}": False, f"RSTB{number}": False, f"CSB{number}": True}
    int_is_high = True
    for record in log:
        if isinstance(record, LineOutput) and record.name in levels:
            _check_step(record, levels, number)
            levels[record.name] = record.level
        elif isinstance(record, LineReleased) and record.name in levels:
            levels[record.name] = record.name == f"CSB{number}"
        elif isinstance(record, LineInput) and record.name == f"INTB{number}":
            int_is_high = record.level
        elif isinstance(record, SpiTransfer) and record.sent:
            is_selected = not levels[f"CSB{number}"] if wiring.has_select_line else True
            if (record.bus, record.device) == (wiring.bus, wiring.device) and is_selected:
                assert not int_is_high, f"clocked while INTB is high: {record}"
                assert levels[f"VDD{number}"], f"clocked without power: {record}"
                assert levels[f"RSTB{number}"], f"clocked in reset: {record}"
    assert not levels[f"VDD{number}"], "the port is still powered at the end"
    assert not levels[f"RSTB{number}"], "the Peripheral is not held in reset at the end"
    assert levels[f"CSB{number}"], "the Peripheral is still selected at the end"


def _check_step(record: LineOutput, levels: dict[str, bool], number: int) -> None:
    if record.name == f"VDD{number}" and record.level:
        assert not levels[f"RSTB{number}"], "power came on while reset was released"
    if record.name == f"RSTB{number}" and record.level:
        assert levels[f"VDD{number}"], "reset was released without power"
    if record.name == f"CSB{number}" and not record.level:
        assert levels[f"RSTB{number}"], "selected while in reset"
