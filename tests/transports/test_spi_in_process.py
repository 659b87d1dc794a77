"""UMI-spi over pins in this process: power, frames, and what a port does when a pin fails."""

from collections.abc import Callable

import pytest

import umi_cli
from tests.virtual.bench import START_UNIX_S
from tests.virtual.pinned import (
    IDENTITY,
    MANUFACTURER_ID,
    OWN,
    Pinned,
    frame,
    question,
    resync,
    value_in,
)
from umi_cli.application.commands import ReadObject
from umi_cli.device.session import Session
from umi_cli.errors import LostError, NoAnswerError
from umi_cli.link.frame import HEADER_BYTES, Frame, FrameType
from umi_cli.transports.memory import MemoryBoard, SimulatedClock
from umi_cli.transports.spi import (
    OFF_S,
    POWER_UP_S,
    READY_WITHIN_S,
    RESET_S,
    WAKE_WITHIN_S,
    SpiTransport,
)
from umi_cli.types import DEFAULT_READER_ID
from umi_cli.virtual.delivered import new_memory
from umi_cli.virtual.device import HOST_ALIAS, MeterSettings, VirtualMeter
from umi_cli.virtual.host_end import HostObjects
from umi_cli.virtual.pin_faults import PinFaultRates, PinFaults
from umi_cli.virtual.pins import PATIENCE_S, PinState

READ = ReadObject(code=MANUFACTURER_ID)
OFF_AGAIN = ["RSTB=0", "VDD=0"]


class Moody(PinFaults):
    """Pins that do wrong what a test says, for as long as it says."""

    def __init__(self) -> None:
        super().__init__(PinFaultRates(), 0)
        self.stuck: bool | None = None
        """INTB is low, or is not, whatever the peripheral does."""
        self.waking_s: float | None = None
        self.noise: bytes | None = None
        """What is on MISO."""

    def level(self, now: float, *, is_low: bool) -> bool:
        return is_low if self.stuck is None else self.stuck

    def wake_s(self, usual_s: float) -> float:
        return usual_s if self.waking_s is None else self.waking_s

    def sent(self, data: bytes) -> bytes:
        return data if self.noise is None else self.noise * len(data)


class LoggedBoard(MemoryBoard):
    """A board that remembers what was done with its lines, and breaks when it is told to."""

    def __init__(self, port: "Port", *, switches_power: bool = True) -> None:
        super().__init__(
            port.pinned.pins,
            clock=port.clock,
            address="spi:test",
            on_close=lambda: port.closed.append("board"),
            switches_power=switches_power,
        )
        self.port = port

    def _note(self, line: str, level: bool) -> None:
        self.port.log.append(f"{line}={level:d}")
        if line == self.port.breaks_at:
            raise LostError("the chip is gone")

    def power(self, on: bool) -> None:
        super().power(on)
        self._note("VDD", on)
        if on and self.port.cure == "power":
            self.port.faults.stuck, self.port.cure = None, ""

    def reset(self, held: bool) -> None:
        super().reset(held)
        self._note("RSTB", not held)
        if not held and self.port.cure == "reset":
            self.port.faults.stuck, self.port.cure = None, ""

    def select(self, selected: bool) -> None:
        super().select(selected)
        self._note("CSB", not selected)

    def exchange(self, data: bytes) -> bytes:
        self.port.clocked += len(data)
        if self.port.breaks_at == "SPI":
            raise LostError("the bus is gone")
        return super().exchange(data)


class Port:
    """A port with a peripheral, and all that can be wrong with it."""

    def __init__(
        self, *, is_self_powered: bool = False, clock: SimulatedClock | None = None
    ) -> None:
        self.clock = clock or SimulatedClock(START_UNIX_S)
        self.faults = Moody()
        self.pinned = Pinned(self.faults, is_self_powered=is_self_powered)
        self.log: list[str] = []
        self.closed: list[str] = []
        self.clocked = 0
        """How many bytes."""
        self.breaks_at = ""
        self.cure = ""
        """What frees INTB: a reset, or power."""
        self.board = LoggedBoard(self, switches_power=not is_self_powered)

    def open(self) -> SpiTransport:
        return SpiTransport(self.board, lambda: self.closed.append("port"))

    @property
    def is_off(self) -> bool:
        """Tell whether its last reset is held, its power off, and CSB high."""
        last = {line.partition("=")[0]: line for line in self.log}
        return {"RSTB=0", "VDD=0"} <= set(last.values()) and last.get("CSB") != "CSB=0"

    def session(self, transport: SpiTransport) -> Session:
        own = VirtualMeter(MeterSettings(), new_memory("ei4", HOST_ALIAS))
        host = HostObjects(own, "port")
        return Session(transport, own_id=DEFAULT_READER_ID, port=OWN, host=host)


class Passing(SimulatedClock):
    """A clock that goes on by itself each time it is looked at, as that of a busy host does."""

    def __init__(self, step_s: float) -> None:
        super().__init__(START_UNIX_S)
        self.step_s = step_s

    def monotonic(self) -> float:
        self.sleep(self.step_s)
        return super().monotonic()


@pytest.fixture
def port() -> Port:
    return Port()


def received(transport: SpiTransport, seconds: float = 1.0) -> Frame:
    return Frame.decode(transport.receive(transport.clock.monotonic() + seconds))


def settle(transport: SpiTransport) -> None:
    """Re-sync, and answer what the peripheral asks with nothing that it understands."""
    transport.send(resync())
    assert received(transport).frame_type == FrameType.RESYNC_RESPONSE
    asked = received(transport)
    assert asked.frame_type == FrameType.SIMPLE
    transport.send(frame(asked.sequence, b"?", FrameType.SIMPLE_RESPONSE))


# Power


def test_a_port_is_powered_in_reset_and_seen(port: Port) -> None:
    transport = port.open()
    assert port.log == ["RSTB=0", "VDD=1", "RSTB=0", "RSTB=1", "CSB=0", "CSB=1"]
    assert POWER_UP_S < port.clock.monotonic() < POWER_UP_S + READY_WITHIN_S
    assert port.pinned.pins.state is PinState.IDLE
    transport.close()


def test_a_port_is_off_when_it_is_closed_and_only_once(port: Port) -> None:
    transport = port.open()
    port.log.clear()
    transport.close()
    transport.close()
    assert port.log == OFF_AGAIN
    assert port.closed == ["board", "port"]
    with pytest.raises(LostError, match="spi:test is closed"):
        port.board.exchange(b"\0")


def test_a_port_is_off_whatever_ends_its_use(port: Port) -> None:
    with pytest.raises(ZeroDivisionError), port.open():
        raise ZeroDivisionError
    assert port.is_off
    assert port.closed == ["board", "port"]


def test_an_empty_port_is_off_again(port: Port) -> None:
    port.pinned.pins.unplug(0.0)
    with pytest.raises(NoAnswerError, match=r"INTB did not fall within 0\.5 s") as caught:
        port.open()
    assert caught.value.exit_code == 14
    assert port.clock.monotonic() == pytest.approx(POWER_UP_S + READY_WITHIN_S)
    assert port.is_off
    assert port.closed == ["board", "port"]
    assert port.clocked == 0


@pytest.mark.parametrize(
    ("stuck", "sentence"), [(True, "INTB stays low"), (False, "INTB did not fall within")]
)
def test_a_port_whose_intb_is_stuck_is_as_good_as_empty(
    port: Port, stuck: bool, sentence: str
) -> None:
    port.faults.stuck = stuck
    with pytest.raises(NoAnswerError, match=sentence):
        port.open()
    assert port.is_off
    assert port.closed == ["board", "port"]
    assert port.clocked == 0


@pytest.mark.parametrize("line", ["VDD", "RSTB", "CSB"])
def test_a_line_that_goes_while_it_powers_up_leaves_it_closed(port: Port, line: str) -> None:
    port.breaks_at = line
    with pytest.raises(LostError, match="the chip is gone"):
        port.open()
    assert port.log[-1] in OFF_AGAIN
    assert port.closed[-1] == "port"


# Frames


def test_a_frame_goes_out_and_its_answer_comes_in(port: Port) -> None:
    with port.open() as transport:
        settle(transport)
        transport.send(question())
        assert value_in(received(transport)) == IDENTITY
        assert transport.misses == 0
        began = port.clock.monotonic()
        assert transport.receive(began + 0.3) == b""
        assert port.clock.monotonic() == pytest.approx(began + 0.3)


def test_every_byte_takes_its_time(port: Port) -> None:
    with port.open() as transport:
        settle(transport)
        assert transport.byte_time_s == 8e-6
        began = port.clock.monotonic()
        port.board.exchange(bytes(1000))
        assert port.clock.monotonic() - began == pytest.approx(8e-3)


def test_what_the_peripheral_has_to_say_comes_first(port: Port) -> None:
    with port.open() as transport:
        settle(transport)
        transport.send(question())
        port.clock.sleep(0.01)
        assert transport.has_frame()
        transport.send(question(2))
        assert transport.has_frame()
        assert [received(transport).sequence for _ in range(2)] == [1, 2]
        assert not transport.has_frame()
        assert transport.fileno() == -1


def test_a_peripheral_that_is_late_misses_the_frame_and_it_is_lost(port: Port) -> None:
    with port.open() as transport:
        settle(transport)
        port.faults.waking_s = WAKE_WITHIN_S + 0.01
        clocked = port.clocked
        for missed in (1, 2):
            transport.send(question())
            assert transport.misses == missed
            assert port.log[-1] == "CSB=1"
            for _ in range(3):  # it wakes in vain, and rests
                port.clock.sleep(PATIENCE_S)
                transport.has_frame()
        assert port.clocked == clocked
        port.faults.waking_s = None
        transport.send(question())
        assert transport.misses == 0
        assert value_in(received(transport)) == IDENTITY


@pytest.mark.parametrize("noise", [b"\0", b"\xff"])
def test_behind_a_head_of_noise_nothing_more_is_clocked(port: Port, noise: bytes) -> None:
    with port.open() as transport:
        settle(transport)
        transport.send(question())
        port.faults.noise = noise
        clocked = port.clocked
        assert transport.receive(port.clock.monotonic() + 1.0) == noise * HEADER_BYTES
        assert port.clocked == clocked + HEADER_BYTES


@pytest.mark.parametrize("act", ["send", "receive"])
def test_csb_is_let_go_when_the_bus_goes(port: Port, act: str) -> None:
    with port.open() as transport:
        settle(transport)
        if act == "receive":
            transport.send(question())
        port.breaks_at = "SPI"
        with pytest.raises(LostError, match="the bus is gone"):
            transport.send(question()) if act == "send" else received(transport)
        assert port.log[-2:] == ["CSB=0", "CSB=1"]
    assert port.is_off


# Coming back


def test_a_reset_brings_it_back(port: Port) -> None:
    with port.open() as transport:
        settle(transport)
        transport.send(question())
        port.clock.sleep(0.01)
        transport.send(question(2))  # and the answer to the first one is fetched
        port.log.clear()
        began = port.clock.monotonic()
        transport.recover()
        assert port.log == ["RSTB=0", "RSTB=1", "CSB=0", "CSB=1"]
        assert port.clock.monotonic() - began > RESET_S
        assert transport.misses == 0
        assert not transport.has_frame()
        settle(transport)


def test_a_call_for_nothing_is_a_miss_until_a_reset(port: Port) -> None:
    with port.open() as transport:
        settle(transport)
        port.faults.stuck, port.cure = True, "reset"
        for missed in (1, 2, 3):
            assert not any(transport.receive(transport.clock.monotonic() + 1))
            assert transport.misses == missed
        transport.recover()
        assert transport.misses == 0
        settle(transport)


def test_power_brings_back_what_a_reset_does_not(port: Port) -> None:
    with port.open() as transport:
        port.faults.stuck, port.cure = False, "power"
        port.log.clear()
        began = port.clock.monotonic()
        transport.recover()
        assert port.log[:5] == ["RSTB=0", "RSTB=1", "RSTB=0", "VDD=0", "RSTB=0"]
        assert port.log[5:] == ["VDD=1", "RSTB=0", "RSTB=1", "CSB=0", "CSB=1"]
        assert port.clock.monotonic() - began > RESET_S + READY_WITHIN_S + OFF_S
        settle(transport)


@pytest.mark.parametrize("stuck", [False, True], ids=["high", "low"])
def test_what_does_not_come_back_is_off(port: Port, stuck: bool) -> None:
    with port.open() as transport:
        port.faults.stuck = stuck
        with pytest.raises(LostError, match="does not answer its reset; the port is off"):
            transport.recover()
        assert port.is_off
        assert port.pinned.pins.state is PinState.OFF


def test_power_is_left_alone_where_the_port_cannot_switch_it() -> None:
    port = Port(is_self_powered=True)
    with port.open() as transport:
        port.faults.stuck, port.cure = False, "power"
        port.log.clear()
        with pytest.raises(LostError):
            transport.recover()
        assert "VDD=1" not in port.log
        port.faults.stuck = None
        transport.recover()
        settle(transport)


def test_a_restart_tells_whether_it_is_there(port: Port) -> None:
    with port.open() as transport:
        assert transport.restart()
        port.pinned.pins.unplug(port.clock.monotonic())
        assert not transport.restart()
    assert port.is_off


# A session over it


@pytest.mark.parametrize("cure", ["reset", "power"])
def test_a_session_outlives_an_intb_that_was_stuck_high(port: Port, cure: str) -> None:
    with port.open() as transport:
        session = port.session(transport)
        session.begin()
        session.request(READ)
        port.faults.stuck, port.cure = False, cure
        assert session.request(READ).value == IDENTITY
        assert not port.cure, "it was there"
    assert port.is_off


def test_a_session_goes_on_though_intb_is_stuck_low(port: Port) -> None:
    """Whatever is clocked in then is looked at, and noise is no frame."""
    with port.open() as transport:
        session = port.session(transport)
        session.begin()
        port.faults.stuck = True
        assert session.request(READ).value == IDENTITY
    assert port.is_off


@pytest.mark.parametrize(
    "strike",
    [
        lambda port: setattr(port.faults, "stuck", False),
        lambda port: setattr(port.faults, "waking_s", 9.0),
        lambda port: setattr(port.faults, "noise", b"\xff"),
        lambda port: setattr(port, "breaks_at", "SPI"),
        lambda port: port.pinned.pins.unplug(port.clock.monotonic()),
    ],
    ids=["high", "never wakes", "miso", "bus", "unplugged"],
)
def test_a_session_that_cannot_go_on_ends_lost_and_off(
    port: Port, strike: Callable[[Port], object]
) -> None:
    with port.open() as transport:
        session = port.session(transport)
        session.begin()
        session.request(READ)
        strike(port)
        with pytest.raises(LostError) as caught:
            session.request(READ)
        assert caught.value.exit_code == 17
    assert port.is_off
    assert port.closed == ["board", "port"]


def test_an_address_opens_it_in_process() -> None:
    with umi_cli.connect("spi:sim") as meter:
        assert meter.read("manufacturer-id").raw == IDENTITY
        assert meter.session.link.addresses.own == 0
    with umi_cli.connect("spi:sim/7") as meter:
        meter.ping()
        assert meter.session.link.addresses.peer == 7


@pytest.mark.parametrize("step_us", [*range(20, 200, 20), *range(200, 2000, 150)])
def test_what_becomes_due_while_we_look_is_not_slept_through(step_us: int) -> None:
    clock = Passing(step_us / 1e6)
    with Port(clock=clock).open() as transport:
        settle(transport)
        for sequence in range(1, 11):
            begun_s = clock.monotonic()
            transport.send(question(sequence))
            assert value_in(received(transport)) == IDENTITY
            assert clock.monotonic() - begun_s < 0.2, "it was there long before"
