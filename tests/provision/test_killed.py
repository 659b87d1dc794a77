"""Stations that work at once, and stations that are killed: no value twice, nothing lost."""

import random
import signal
from collections import Counter

import pytest

from tests.provision import worker
from tests.provision.conftest import Place
from tests.provision.worker import Fact, Station, start
from umi_cli.errors import ConflictError
from umi_cli.provision.journal import Journal, Phase, UnitStatus

UNITS_EACH = 25
MAX_POINTS = 400  # far more than a unit has
ROUNDS = 8


def test_stations_make_a_journal_together(place: Place) -> None:
    stations = [start(worker.open_only, place.url, name=f"s{n}") for n in range(4)]
    assert [station.end() for station in stations] == [[("open",)]] * 4
    assert place.open().verify().number == 4


def test_stations_hammer_one_journal(place: Place) -> None:
    stations = [
        start(worker.hammer, place.url, f"{name}-", UNITS_EACH, name=name) for name in ("a", "b")
    ]
    facts = [fact for station in stations for fact in station.end()]
    counts = Counter(fact[0] for fact in facts)
    assert counts == {
        "open": 2,
        "allot": 2 * UNITS_EACH,
        "record": 2 * UNITS_EACH,
        "claim": UNITS_EACH,  # of each number, one station has it
    }
    values = sorted(fact[2] for fact in facts if fact[0] == "allot")
    assert values == [f"{0x00237EFE00100000 + n:016X}" for n in range(2 * UNITS_EACH)]
    check(place.open(), facts)


def check(journal: Journal, facts: list[Fact]) -> None:
    """Check that the chain holds, that no value has two units, and that each fact is there."""
    journal.verify()
    entries = {entry.number: entry for entry in journal.entries()}
    states = {state.unit: state for state in journal.units()}
    given = Counter((kind, v) for state in states.values() for kind, v in state.values.items())
    assert not [value for value, count in given.items() if count > 1]
    for what, *told in facts:
        if what in ("allot", "claim"):
            assert told[1] in states[told[0]].values.values()
        if what == "record":
            assert entries[int(told[1])].unit == told[0]
            assert told[2:] in ([], [entries[int(told[1])].digest.hex()])
        if what == "finish":
            assert states[told[0]].status is UnitStatus.DONE


def test_a_station_killed_at_any_point_loses_nothing(place: Place) -> None:
    """Before and after every statement; the last run reaches its end."""
    facts: list[Fact] = []
    for point in range(1, MAX_POINTS):
        unit = f"unit{point}"
        killed = start(worker.run_and_die, place.url, [unit], point)
        facts += killed.end()
        if killed.process.exitcode == 0:
            break
        assert killed.process.exitcode == -signal.SIGKILL
        with place.open("heir") as journal:
            check(journal, killed.facts)
            went_on = go_on(journal, unit)
            facts += went_on
    assert 30 < point < MAX_POINTS - 1
    journal = place.open()
    check(journal, facts)
    assert {state.status for state in journal.units()} == {UnitStatus.DONE}
    assert len(list(journal.units())) == point


def go_on(journal: Journal, unit: str) -> list[Fact]:
    """Do the rest of a unit, whose lock must be free, and see that its values stay."""
    before = journal.state(unit)
    facts: list[Fact] = []
    if before.status is UnitStatus.DONE:
        with journal.lock(unit):
            return [("finish", unit)]
    worker.run_unit(journal, lambda *fact: facts.append(fact), unit)
    after = journal.state(unit)
    assert before.values.items() <= after.values.items()
    assert after.done == {"flash"}
    assert not after.requested
    return facts


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_stations_killed_at_random_lose_nothing(place: Place, seed: int) -> None:
    rng = random.Random(seed)
    units = [[f"{name}{n}" for n in range(1000)] for name in "ab"]
    stations = [
        start(worker.run_units, place.url, own, name=own[0]) for own in units
    ]  # both for longer than they live
    for station in stations:
        station.hear(rng.randrange(1, 25))
    facts = [fact for station in stations for fact in station.kill()]
    with place.open("heir") as journal:
        check(journal, facts)
        for own in units:
            for unit in own[:6]:
                facts += go_on(journal, unit)
        check(journal, facts)


def test_the_lock_of_a_killed_station_is_free_at_once(place: Place) -> None:
    holder = start(worker.hold, place.url, "unit")
    assert holder.hear(1) == [("held",)]
    journal = place.open()
    with pytest.raises(ConflictError), journal.lock("unit"):
        pass
    holder.kill()
    take_soon(journal, "unit")


def take_soon(journal: Journal, unit: str) -> None:
    """Take a lock at once; a server is given the moment in which it notices."""
    import time

    deadline = time.monotonic() + 15
    while True:
        try:
            with journal.lock(unit):
                return
        except ConflictError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def test_a_station_killed_while_it_writes_holds_nobody_up(place: Place) -> None:
    place.open().close()
    writer: Station = start(worker.grab_writing, place.url)
    assert writer.hear(1) == [("held",)]
    journal = place.open()
    assert journal.head().number == 0  # readers do not wait
    writer.kill()
    assert journal.record("unit", "step", Phase.DONE).number == 1
