"""Whether the device is alive and itself: each invariant can be broken, and is seen then."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.certify.fuzz_world import FuzzWorld
from umi_cli.certify.bench import Bench
from umi_cli.certify.fuzz_device import subject_of
from umi_cli.certify.fuzz_verdict import FuzzFailure, Trouble
from umi_cli.certify.fuzz_watch import Watch
from umi_cli.link.frame import FrameType
from umi_cli.types import RoleSet, UmiId
from umi_cli.virtual.event_log import EventNumber


@contextmanager
def watched(world: FuzzWorld) -> Iterator[tuple[Watch, Bench]]:
    with world.open_bench() as bench:
        watch = Watch(subject_of(bench))
        watch.learn(bench)
        watch.check(bench)
        yield watch, bench


def seen(world: FuzzWorld, happen: Callable[[FuzzWorld], None], *, is_deep: bool) -> Trouble | None:
    """Return what a check sees after something has happened."""
    with watched(world) as (watch, bench):
        happen(world)
        try:
            watch.check(bench)
            if is_deep:
                watch.check_deeply(bench)
        except FuzzFailure as failure:
            return failure.trouble
        return None


def nothing(world: FuzzWorld) -> None:
    """Let nothing happen."""


def become_another(world: FuzzWorld) -> None:
    world.memory.umi_id = UmiId(0x0023_7EFE_0000_1234)


def lose_the_time(world: FuzzWorld) -> None:
    world.memory.clock_offset_s -= 3600


def open_everything(world: FuzzWorld) -> None:
    store = world.memory.store
    for code, found in store.access.items():
        store.access[code] = replace(found, read=RoleSet.everyone())


def run_something_else(world: FuzzWorld) -> None:
    definition = world.memory.store.find("active-software-version")
    assert definition is not None
    value = world.memory.store.values[definition.code]
    world.memory.store.values[definition.code] = b"\x09" + value[1:]


def restart(world: FuzzWorld) -> None:
    world.memory.events.add(EventNumber.RESTART, world.simulation.meter.metering.now_s)


def test_a_meter_that_stays_itself_passes() -> None:
    world = FuzzWorld()
    with watched(world) as (watch, bench):
        assert watch.has_refused_object
        for _ in range(20):
            world.clock.sleep(100)
            assert watch.check(bench) == []
            watch.check_deeply(bench)
        assert not watch.was_slow


@pytest.mark.parametrize(
    ("happen", "is_deep", "expected"),
    [
        (nothing, True, None),
        (become_another, False, Trouble.CHANGED),
        (lose_the_time, False, Trouble.RESTARTED),
        (run_something_else, True, Trouble.CHANGED),
        (open_everything, True, Trouble.PRIVILEGE),
        (restart, True, Trouble.RESTARTED),
    ],
)
def test_what_must_not_happen_is_seen(
    happen: Callable[[FuzzWorld], None], is_deep: bool, expected: Trouble | None
) -> None:
    assert seen(FuzzWorld(), happen, is_deep=is_deep) is expected


def test_a_clock_that_a_case_may_have_set_is_taken_as_it_is() -> None:
    world = FuzzWorld()
    with watched(world) as (watch, bench):
        lose_the_time(world)
        watch.accept_clock()
        watch.check(bench)


def test_a_restart_is_told_once() -> None:
    world = FuzzWorld()
    with watched(world) as (watch, bench):
        restart(world)
        with pytest.raises(FuzzFailure, match="logged a restart"):
            watch.check_deeply(bench)
        watch.check_deeply(bench)
        restart(world)
        watch.accept_restart(bench)
        watch.check_deeply(bench)


def test_silence_is_told_after_three_tries() -> None:
    world = FuzzWorld("crash-on-length")
    with watched(world) as (watch, bench):
        bench.send(b"\x00\x00\xff")
        with pytest.raises(FuzzFailure, match="no longer answers: 3 times RESYNC") as caught:
            watch.check(bench)
        assert caught.value.trouble is Trouble.SILENT
        assert watch.was_slow


def test_an_answer_that_comes_late_belongs_to_the_case() -> None:
    world = FuzzWorld()
    with watched(world) as (watch, bench):
        frame = watch._subject.addresses.frame(3, FrameType.SIMPLE, b"")  # never read an answer
        bench.send(frame)
        (late,) = watch.check(bench)
        assert late.sequence == 3


def test_a_meter_without_a_log_or_a_version_is_watched_all_the_same() -> None:
    world = FuzzWorld()
    with world.open_bench() as bench:
        subject = replace(subject_of(bench), objects=())
        watch = Watch(subject)
        watch.learn(bench)
        assert not watch.has_refused_object
        watch.check(bench)
        watch.check_deeply(bench)
