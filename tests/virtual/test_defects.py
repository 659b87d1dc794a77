"""No defect of the virtual meter makes the meter itself raise, whatever it is sent."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from tests.certify.fuzz_world import CATALOGUE, FuzzWorld
from tests.certify.test_fuzz_make import SERVICE
from umi_cli.certify.fuzz_case import Carrier, CaseName, FuzzLayer
from umi_cli.certify.fuzz_make import make_case
from umi_cli.device.meter import Meter
from umi_cli.device.protection2 import Scheme2
from umi_cli.device.session import Session
from umi_cli.errors import UmiError
from umi_cli.reader_fuzz import OWN_ID, parties
from umi_cli.transports.memory import MemoryTransport
from umi_cli.virtual.defects import DEFECTS
from umi_cli.virtual.device import Answer
from umi_cli.virtual.flash import PowerCut
from umi_cli.virtual.peer import Peer

COUNTS = {layer: 10 if layer.changes else 120 for layer in FuzzLayer}
CASES = [
    make_case(replace(SERVICE, sealed_id=None), CaseName(3, layer, number, True))
    for layer, count in COUNTS.items()
    for number in range(count)
]


@contextmanager
def watched(world: FuzzWorld) -> Iterator[list[Exception]]:
    """Collect what the meter raises: over a link it would look like one more error of the line."""
    raised: list[Exception] = []
    execute = world.simulation.meter.execute

    def watch(peer: Peer, packet: bytes, now: float) -> Answer:
        try:
            return execute(peer, packet, now)
        except PowerCut:
            raise
        except Exception as error:
            raised.append(error)
            raise

    world.simulation.meter.execute = watch  # type: ignore[method-assign]
    yield raised


@pytest.mark.parametrize("name", DEFECTS)
def test_a_spoilt_meter_takes_anything(name: str) -> None:
    world = FuzzWorld(name)
    line = world.simulation.new_line("line")
    peer = world.simulation.meter.new_peer("other")
    now = world.clock.monotonic()
    for case in CASES:
        for piece in case.pieces:
            now += 1
            if case.carrier is Carrier.FRAMES:
                line.receive_data(piece, now, world.clock.utc() + now)
            else:
                with suppress(PowerCut):
                    world.simulation.meter.execute(peer, piece, now)


@pytest.mark.parametrize("name", DEFECTS)
def test_a_spoilt_meter_answers_under_a_session_key(name: str) -> None:
    world = FuzzWorld(name)
    transport = MemoryTransport(world.simulation.new_line("line"), clock=world.clock)
    session = Session(transport, own_id=OWN_ID, protection=Scheme2(parties().scheme2))
    with (
        watched(world) as raised,
        suppress(UmiError),
        Meter(transport, session, CATALOGUE) as meter,
    ):
        meter.ping()
        meter.read("counter")
        meter.write("counter", 7)
    assert raised == []
