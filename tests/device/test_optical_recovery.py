"""What is lost and what is not when the meter or the probe goes away (protocol 2.3, 8).

All on the clock that skips every wait.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.campaign import Outcome, session_under, trust_each_other, watched_nonces
from tests.device.scripted import START_UNIX_S, Request
from umi_cli.application.security_commands import S2StartSession
from umi_cli.device.meter import Meter, PartialReadError
from umi_cli.errors import LostError, OutcomeUnknownError
from umi_cli.link.frame import VERSION, FrameType
from umi_cli.objects.catalogue import Catalogue
from umi_cli.optical.characters import LineSettings, with_parity
from umi_cli.optical.messages import WAKE_UP, request
from umi_cli.optical.sign_on import SignOnProfile
from umi_cli.transports.memory import MemoryPort, SimulatedClock
from umi_cli.transports.optical import OpticalSettings, OpticalTransport
from umi_cli.types import Role, UmiCode
from umi_cli.virtual.optical_port import OpticalPort
from umi_cli.virtual.setup import SimOptions, Simulation

REQUEST = with_parity(request())
COUNTER = UmiCode.parse("umi.255.0.0.65")
CHUNK_BYTES = 1200  # of 336 elements of 12 bytes each: [0:99], [100:199], [200:299], [300:335]
CHUNKS = [(0, 99), (100, 199), (200, 299), (300, 335)]
FOR_EVER_S = 1e9
HEADER_BYTES = 4
BOUND_S = 130.0  # four sign-ons of three attempts each, and what it takes to notice the silence


class Probe:
    """A head on a meter's port that can be lifted: then nothing passes, either way."""

    is_hung_up = False

    def __init__(self, port: OpticalPort, clock: SimulatedClock) -> None:
        self._port = port
        self._clock = clock
        self._lifted_until = 0.0

    def lift(self, seconds: float) -> None:
        self._lifted_until = self._clock.monotonic() + seconds

    @property
    def is_lifted(self) -> bool:
        return self._clock.monotonic() < self._lifted_until

    @property
    def settings(self) -> LineSettings:
        return self._port.settings

    @settings.setter
    def settings(self, settings: LineSettings) -> None:
        self._port.settings = settings

    @property
    def deadline(self) -> float | None:
        return self._port.deadline

    def receive_data(self, data: bytes, now: float, utc: float) -> None:
        self._port.receive_data(b"" if self.is_lifted else data, now, utc)

    def on_timer(self, now: float, utc: float) -> None:
        self._port.on_timer(now, utc)

    def data_to_send(self) -> list[bytes]:
        data = self._port.data_to_send()
        return [] if self.is_lifted else data

    def close(self) -> None:
        self._port.close()


@dataclass
class Bench:
    """A meter that is signed on to, and all that was said to it."""

    clock: SimulatedClock
    simulation: Simulation
    probe: Probe
    meter: Meter
    packets: list[bytes] = field(default_factory=list)
    """What was sent in one frame each, repeats left out."""
    sign_ons: int = 0
    wake_ups: int = 0
    received_bytes: int = 0
    at_bytes: int = 0
    act: Callable[[], None] = lambda: None

    def watch(self, direction: str, data: bytes) -> None:
        """Note what passes; do what a test wants to be done once so many bytes have come."""
        if direction == "out":
            self.sign_ons += data == REQUEST
            self.wake_ups += data == WAKE_UP
            packet = data[HEADER_BYTES:-2]
            is_packet = data[0] & 0xF == VERSION and data[1] & 0xF == FrameType.SIMPLE
            if is_packet and packet not in self.packets[-1:]:
                self.packets.append(packet)
            return
        self.received_bytes += len(data)
        if self.at_bytes and self.received_bytes >= self.at_bytes:
            self.at_bytes = 0
            self.act()

    def after(self, length_bytes: int, act: Callable[[], None]) -> None:
        """Have something done once so many more bytes have come."""
        self.at_bytes = self.received_bytes + length_bytes
        self.act = act

    def lose_power(self, seconds: float) -> None:
        self.simulation.meter.lose_power(self.clock.monotonic() + seconds)

    @property
    def commands(self) -> list[Any]:
        """Return the commands that were sent in the clear."""
        return [Request.of(packet).command for packet in self.packets if packet[0] == 0]

    @property
    def asked(self) -> list[tuple[int, int]]:
        """Return the elements that were asked for, first and last."""
        parts = [getattr(command, "part", None) for command in self.commands]
        return [(part.first, part.last) for part in parts if part]

    def held(self, name: str) -> bytes:
        store = self.simulation.meter.memory.store
        return store.values[Catalogue.load("ei4").resolve(name).code]


class InSmallChunks(OpticalTransport):
    """A probe that asks for little of an array at once."""

    @property
    def chunk_bytes(self) -> int | None:
        return CHUNK_BYTES


def bench(scheme: int = 0, opto: str = "baud:9600") -> Bench:
    clock = SimulatedClock(START_UNIX_S)
    options = {"opto": opto, "time": "2026-11-22T10:00:00Z"}
    simulation = Simulation(SimOptions.from_query("", options), clock.utc())
    trust_each_other(simulation.meter.memory)
    probe = Probe(simulation.new_optical_port("line"), clock)
    made: list[Bench] = []

    def observe(direction: str, data: bytes) -> None:
        if made:
            made[0].watch(direction, data)

    settings = OpticalSettings(profile=SignOnProfile(wakeup=True))
    port = MemoryPort(probe, clock=clock, address="opto:x")
    transport = InSmallChunks(port, settings, "opto:x", observe)
    session = session_under(scheme, transport)
    session._driver._observer = observe
    meter = Meter(transport, session, Catalogue.load("ei4"))
    made.append(Bench(clock, simulation, probe, meter))
    return made[0]


def test_an_array_goes_on_where_the_power_was_lost() -> None:
    line = bench()
    line.meter.read("counter")
    line.after(1500, lambda: line.lose_power(2.0))  # in the second chunk
    found = line.meter.read("profile-table[0:335]")
    assert found.raw == line.simulation.meter.memory.store.read(found.part, Role.GUEST)
    assert line.asked == [CHUNKS[0], CHUNKS[1], *CHUNKS[1:]], "one chunk is asked for again"
    assert line.sign_ons == 1
    assert line.wake_ups == 1, "a meter without power is asleep when it is back"


def test_a_session_under_scheme_2_begins_anew_after_a_loss_of_power() -> None:
    outcome = Outcome()
    with watched_nonces(outcome):
        line = bench(scheme=2)
        line.meter.read("counter")
        line.after(1500, lambda: line.lose_power(2.0))
        found = line.meter.read("profile-table[0:335]")
        line.meter.close()
    assert found.raw == line.simulation.meter.memory.store.read(found.part, Role.GUEST)
    salts = {each.salt_a for each in line.commands if isinstance(each, S2StartSession)}
    assert len(salts) == 2
    assert line.sign_ons == 1
    assert not outcome.violations


@pytest.mark.parametrize("scheme", [0, 1, 2])
def test_a_write_that_ran_and_was_not_answered_is_read_back(scheme: int) -> None:
    line = bench(scheme)
    executed: list[bytes] = []

    def on_write(raw: bytes) -> None:
        executed.append(raw)
        line.lose_power(1.0)

    line.meter.read("counter")
    line.simulation.meter.memory.store.on_write("counter", on_write)
    assert line.meter.write("counter", 5).value == 5
    assert executed == [b"\x05\0\0\0"]
    assert line.sign_ons == 1
    assert line.held("counter") == b"\x05\0\0\0"


def test_a_write_that_never_arrived_is_given_again() -> None:
    line = bench()
    executed: list[bytes] = []
    line.simulation.meter.memory.store.on_write("counter", executed.append)
    line.meter.read("counter")
    line.lose_power(2.0)
    assert line.meter.write("counter", 5, verify=True).value == 5
    assert executed == [b"\x05\0\0\0"]
    assert line.sign_ons == 1


def test_a_write_that_ran_is_in_doubt_when_the_meter_never_comes_back() -> None:
    line = bench()
    line.meter.read("counter")
    line.simulation.meter.memory.store.on_write("counter", lambda raw: line.probe.lift(FOR_EVER_S))
    began = line.clock.monotonic()
    with pytest.raises(OutcomeUnknownError, match=r"WRITE_OBJECT.*unknown whether it ran") as lost:
        line.meter.write("counter", 5)
    assert line.clock.monotonic() - began < BOUND_S
    assert lost.value.exit_code == 17
    assert line.held("counter") == b"\x05\0\0\0"


@pytest.mark.parametrize("scheme", [0, 2])
def test_a_probe_that_is_lifted_for_3_seconds_costs_one_chunk(scheme: int) -> None:
    line = bench(scheme)
    line.meter.read("counter")
    line.after(1500, lambda: line.probe.lift(3.0))
    found = line.meter.read("profile-table[0:335]")
    assert found.raw == line.simulation.meter.memory.store.read(found.part, Role.GUEST)
    if scheme == 0:
        again = [part for part in CHUNKS if line.asked.count(part) > 1]
        assert again in ([], [CHUNKS[1]])
    assert line.sign_ons <= 1


@pytest.mark.parametrize("seconds", [8.0, 15.0, 30.0, 45.0])
def test_a_probe_that_is_put_back_in_time_loses_nothing(seconds: float) -> None:
    line = bench()
    line.meter.read("counter")
    line.after(1500, lambda: line.probe.lift(seconds))
    found = line.meter.read("profile-table[0:335]")
    assert found.raw == line.simulation.meter.memory.store.read(found.part, Role.GUEST)
    assert line.sign_ons >= 1
    assert {part: line.asked.count(part) for part in CHUNKS if part != CHUNKS[1]} == {
        CHUNKS[0]: 1,
        CHUNKS[2]: 1,
        CHUNKS[3]: 1,
    }


@pytest.mark.parametrize("scheme", [0, 1, 2])
def test_a_probe_that_is_lifted_for_ever(scheme: int) -> None:
    line = bench(scheme)
    line.meter.read("counter")
    line.after(1500, lambda: line.probe.lift(FOR_EVER_S))
    began = line.clock.monotonic()
    with pytest.raises(PartialReadError) as caught:
        line.meter.read("profile-table[0:335]")
    assert caught.value.exit_code == 17
    assert isinstance(caught.value.cause, LostError)
    assert "does not come back: opto:x: nothing came back at all" in str(caught.value)
    assert "head" in caught.value.hint
    assert caught.value.got.part.suffix == "[0:99]"
    assert line.clock.monotonic() - began < BOUND_S
    ended = line.clock.monotonic()
    line.meter.close()
    assert line.clock.monotonic() - ended < 1, "nobody signs on to say farewell"
