"""Our own reader passes every scenario, in this process and on a clock that skips the waits."""

import pytest

from tests.certify.reader_world import (
    CATALOGUE,
    LONG_OBJECT,
    OBJECTS,
    TIMEOUT_S,
    World,
    do_task,
    examine,
    sound_reader,
)
from tests.independent import IndependentReader, NoAnswer, Refused
from umi_cli.certify.reader_case import Task
from umi_cli.certify.reader_suite import READER_CASES
from umi_cli.certify.run import Verdict
from umi_cli.device.meter import Meter
from umi_cli.device.session import Session
from umi_cli.errors import UmiError
from umi_cli.transports.memory import MemoryTransport
from umi_cli.virtual.tricks import TRICKS

OBJECT_PARTS = [CATALOGUE.resolve(name) for name in OBJECTS]


@pytest.mark.parametrize("number", READER_CASES)
def test_our_own_reader_passes(world: World, number: str) -> None:
    assert examine(world, number, sound_reader) == (Verdict.PASSED, "")


def test_every_trick_has_its_scenario() -> None:
    assert {each.trick for each in READER_CASES.values()} == set(TRICKS)


@pytest.mark.parametrize("secured", [Task.SESSION, Task.ROLE])
@pytest.mark.parametrize("number", READER_CASES)
def test_a_reader_that_always_authenticates_fails_nothing(
    world: World, secured: Task, number: str
) -> None:
    def reader(world: World, transport: MemoryTransport, task: Task) -> None:
        protection = world.protection(secured)
        session = Session(transport, protection=protection, timeout_s=TIMEOUT_S)
        with Meter(transport, session, CATALOGUE) as meter:
            do_task(meter, task)

    verdict, message = examine(world, number, reader)
    is_of_the_other = READER_CASES[number].task in {Task.SESSION, Task.ROLE} - {secured}
    assert verdict is (Verdict.LEFT_OUT if is_of_the_other else Verdict.PASSED), message


def test_what_the_second_implementation_leaves_out_is_found(world: World) -> None:
    """It was written to check our codec: it looks at no addresses, and waits for nobody."""

    def reader(world: World, transport: MemoryTransport, task: Task) -> None:
        clock = transport.clock
        independent = IndependentReader(
            transport.send, lambda: transport.receive(clock.monotonic() + TIMEOUT_S)
        )
        objects = [CATALOGUE.resolve(LONG_OBJECT)] if task is Task.LONG else OBJECT_PARTS
        try:
            for part in objects * (9 if task is Task.MANY else 1):
                independent.read(part.code.value)
        except (NoAnswer, Refused, AssertionError) as error:
            raise UmiError(f"it gave up: {error!r}") from error

    verdicts = {number: examine(world, number, reader)[0] for number in READER_CASES}
    failed = {number for number, verdict in verdicts.items() if verdict is Verdict.FAILED}
    assert failed == {f"RDR-{number}" for number in ("005", "006", "009", "010", "036", "037")}
    left_out = {number for number, verdict in verdicts.items() if verdict is Verdict.LEFT_OUT}
    assert left_out == {
        each.number for each in READER_CASES.values() if each.task in (Task.SESSION, Task.ROLE)
    }
