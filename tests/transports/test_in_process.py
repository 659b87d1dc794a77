"""The line in this process, on which no wait takes any time."""

import time

import pytest

import umi_cli
from tests.device.scripted import START_UNIX_S, ScriptedDevice
from umi_cli.errors import LostError
from umi_cli.link.frame import Frame, FrameType
from umi_cli.transports.base import SystemClock
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.virtual.setup import SimOptions, Simulation

RESYNC = Frame(sequence=0, frame_type=FrameType.RESYNC, destination=0, source=0).encode()


def transport_to(device: ScriptedDevice, **options: object) -> MemoryTransport:
    return MemoryTransport(device, clock=SimulatedClock(START_UNIX_S), **options)  # type: ignore[arg-type]


def test_bytes_go_there_and_back() -> None:
    with transport_to(ScriptedDevice([])) as transport:
        transport.send(RESYNC)
        answer = Frame.decode(transport.receive(1.0))
    assert answer.frame_type == FrameType.RESYNC_RESPONSE
    assert transport.clock.monotonic() == 0.0, "it came at once"


def test_a_wait_for_nothing_skips_to_its_deadline() -> None:
    transport = transport_to(ScriptedDevice([]))
    assert transport.receive(5.0) == b""
    assert (transport.clock.monotonic(), transport.clock.utc()) == (5.0, START_UNIX_S + 5)
    assert transport.receive(3.0) == b""
    assert transport.clock.monotonic() == 5.0, "time never goes back"


def test_what_the_line_does_in_between_is_done_in_time() -> None:
    class LateLine(ScriptedDevice):
        dues = (1.0, 2.5, 4.0)

        @property
        def deadline(self) -> float | None:
            return self.dues[len(self.times)] if len(self.times) < 3 else None

        def on_timer(self, now: float, utc: float) -> None:
            self.times.append(now)
            self.outbox = [b"late"] if len(self.times) == 2 else []

    device = LateLine([])
    transport = transport_to(device)
    assert transport.receive(10.0) == b"late"
    assert device.times == [1.0, 2.5]
    assert transport.receive(3.0) == b""
    assert device.times == [1.0, 2.5], "what is due after the deadline stays"
    assert transport.receive(10.0) == b""
    assert device.times == [1.0, 2.5, 4.0]


def test_what_came_before_the_line_hung_up_is_received() -> None:
    device = ScriptedDevice([])
    transport = transport_to(device)
    device.outbox, device.is_hung_up = [b"a", b"b"], True
    assert transport.receive(1.0) == b"ab"
    with pytest.raises(LostError, match="sim has hung up"):
        transport.receive(1.0)
    with pytest.raises(LostError, match="sim has hung up"):
        transport.send(b"x")


def test_closing_is_told_once() -> None:
    closed: list[str] = []
    device = ScriptedDevice([])
    transport = transport_to(device, address="here", on_close=lambda: closed.append("once"))
    transport.close()
    transport.close()
    assert (closed, device.is_closed) == (["once"], True)
    for act in (lambda: transport.receive(1.0), lambda: transport.send(b"x")):
        with pytest.raises(LostError, match="here has hung up"):
            act()


def test_the_clocks() -> None:
    before, clock = time.time(), SimulatedClock()
    assert before <= clock.utc() <= time.time()
    clock.skip_to(clock.monotonic() + 1000)
    assert clock.utc() >= before + 1000
    assert SystemClock.monotonic() <= time.monotonic()
    assert before <= SystemClock.utc() <= time.time()
    fixed = SimulatedClock(7.0)
    assert (fixed.monotonic(), fixed.utc(), fixed.monotonic()) == (0.0, 7.0, 0.0)


def test_a_virtual_meter_that_loses_its_power_comes_back() -> None:
    simulation = Simulation(SimOptions(), START_UNIX_S)
    transport = MemoryTransport(simulation.new_line("line"), clock=SimulatedClock(START_UNIX_S))
    simulation.meter.lose_power(3.0)
    transport.send(RESYNC)
    assert transport.receive(2.0) == b""
    assert transport.receive(3.0) == b""
    transport.send(RESYNC)
    assert Frame.decode(transport.receive(4.0)).frame_type == FrameType.RESYNC_RESPONSE


@pytest.mark.parametrize("seed", range(20))
def test_a_line_that_hangs_up_ends_with_17(seed: int) -> None:
    def read_on() -> None:
        for _ in range(1000):
            meter.read("manufacturer-id")

    with umi_cli.connect(f"sim:?fault=hangup:0.2&seed={seed}") as meter:
        with pytest.raises(LostError) as caught:
            read_on()
        assert caught.value.exit_code == 17
        with pytest.raises(LostError):
            meter.ping()
