"""The event log of a virtual meter, its anomalies, and what acknowledges it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from umi_cli.connecting import connect
from umi_cli.device.event_log import (
    Acknowledgement,
    EventLog,
    LoggedEvent,
    acknowledgement_of,
    anomalies_of,
)
from umi_cli.device.meter import Meter
from umi_cli.types import UmiCode

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
VALVE = UmiCode.parse("umi.255.0.0.32")


def event(minutes: float, number: int = 6, data: bytes = bytes(8)) -> LoggedEvent:
    return LoggedEvent(number=number, time=NOON + timedelta(minutes=minutes), data=data)


@pytest.fixture
def meter() -> Iterator[Meter]:
    with connect("sim:?as=service&time=2026-11-22T12:00:00Z") as meter:
        yield meter


def let_pass(meter: Meter, seconds: float) -> None:
    meter.session.listen(seconds)


def test_the_status(meter: Meter) -> None:
    meter.write("valve", "closed")
    status = EventLog(meter).status()
    assert status.start is None
    assert (status.entries, status.first, status.active) == (2, NOON, 1 << 6 | 1 << 16)


def test_entries_since_a_moment_and_some_before(meter: Meter) -> None:
    log = EventLog(meter)
    for number in range(300):
        meter.write("valve", "closed" if number % 2 else "open")
        let_pass(meter, 3600)
    tail = log.since(NOON + timedelta(hours=290))
    times = [each.time for each in tail.elements]
    assert NOON + timedelta(hours=290) in times
    assert times == sorted(times, key=lambda time: time or NOON)
    assert tail.first > 0
    assert len(log.since(None).elements) == 301
    assert log.since(None).elements[-len(tail.elements) :] == tail.elements


def test_what_stands_before_a_clock_set_back_is_found(meter: Meter) -> None:
    """Its time is later than that of a hundred entries behind it."""
    log = EventLog(meter)
    assert log.status().entries == 1
    let_pass(meter, 86_400 * 3)
    meter.write("valve", "closed")
    late = NOON + timedelta(days=3)
    back = {"new_time": NOON + timedelta(hours=1), "flags": 0, "local_adjust": 0}
    meter.write("clock-control", back)
    for _ in range(127):  # so that the entry of the clock set is the first of its chunk
        meter.write("valve", "open")
    found = log.since(late - timedelta(hours=1)).elements
    assert [each.number for each in found if each.time and each.time >= late] == [6]


def test_the_entry_as_it_stands_in_the_table(meter: Meter) -> None:
    [entry] = EventLog(meter).last()
    assert entry.raw == meter.read("event-table[0]").raw


def test_acknowledging_leaves_the_flags_as_they_are(meter: Meter) -> None:
    log = EventLog(meter)
    meter.write("event-control", {"start_time": NOON, "flags": 5, "acknowledge": 0})
    meter.write("valve", "closed")
    log.acknowledge(Acknowledgement(events=1 << 6, start=None))
    control = meter.read("event-control").value
    assert isinstance(control, dict)
    assert control["start_time"] == NOON
    assert getattr(control["flags"], "number", None) == 5
    assert log.status().active == 1 << 16
    log.acknowledge(Acknowledgement(events=1 << 16, start=NOON + timedelta(seconds=1)))
    assert log.status().entries == 0


def test_settling_waits_until_the_second_is_over(meter: Meter) -> None:
    log = EventLog(meter)
    meter.write("valve", "closed")
    last = log.last()[-1]
    assert log.settle(last)
    meter.write("valve", "open")
    after = log.last()[-1].time
    assert last.time is not None
    assert after is not None
    assert after > last.time


def test_an_entry_of_the_future_never_settles(meter: Meter) -> None:
    log = EventLog(meter)
    log.status()
    assert not log.settle(event(60))
    assert not log.settle(LoggedEvent(number=6, time=None, data=bytes(8)))


def test_anomalies() -> None:
    untimed = LoggedEvent(number=1, time=None, data=bytes(8))
    entries = [event(0), event(5), untimed, event(5), event(3), event(4), event(0)]
    found = [(each.kind, each.index, each.other, each.seconds) for each in anomalies_of(entries)]
    assert found == [
        ("duplicate", 3, 1, 0),
        ("time-goes-back", 4, 3, 120),
        ("duplicate", 6, 0, 0),
        ("time-goes-back", 6, 5, 240),
    ]
    assert anomalies_of([event(0), event(0, number=5), event(1)]) == []


def test_the_window_moves_on_behind_the_last_one_given() -> None:
    given = [event(0), event(1, number=40), event(2, number=18)]
    plan = acknowledgement_of(given, [event(2.1)], is_whole=True)
    assert plan is not None
    assert plan.numbers == [6, 18]
    assert plan.start == NOON + timedelta(minutes=2, seconds=1)


@pytest.mark.parametrize(
    ("others", "is_whole"),
    [
        ([event(1)], True),
        ([event(2)], True),
        ([LoggedEvent(number=1, time=None, data=bytes(8))], True),
        ([], False),
    ],
)
def test_it_stays_where_it_would_hide_what_was_not_given(
    others: list[LoggedEvent], is_whole: bool
) -> None:
    plan = acknowledgement_of([event(0), event(2)], others, is_whole=is_whole)
    assert plan == Acknowledgement(events=1 << 6, start=None)


def test_nothing_given_is_nothing_to_acknowledge() -> None:
    assert acknowledgement_of([], [event(0)], is_whole=True) is None
