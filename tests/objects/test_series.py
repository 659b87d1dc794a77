"""What is odd about a load profile, and what was used: nothing is lost, doubled or made up."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.objects.series import HALF_HOUR, Anomaly, Entry, Kind, Series
from umi_cli.objects.values import Flags

START = datetime(2026, 10, 24, 10, tzinfo=UTC)
NO_FLAGS = Flags(0, ())
FULL = (1 << 32) - 1


def entry(half_hours: float | None, count: int = 0, *flags: str) -> Entry:
    moment = None if half_hours is None else START + half_hours * HALF_HOUR
    return Entry(raw=b"", count=count, timestamp=moment, status=Flags(0, flags))


def series(*entries: Entry) -> Series:
    return Series(entries=entries, scale=Decimal("0.01"), unit="m³")


def found(*entries: Entry) -> list[Anomaly]:
    return series(*entries).anomalies()


def between(kind: Kind, first: int, second: int, missing: int = 0) -> Anomaly:
    return Anomaly(kind=kind, first=first, second=second, missing=missing)


def test_a_day_in_order_is_not_odd() -> None:
    assert found(*(entry(number, number, "clock-sync") for number in range(48))) == []


@pytest.mark.parametrize(
    ("times", "odd"),
    [
        ([0, 2], [between(Kind.GAP, 0, 1, 1)]),
        ([0, 7], [between(Kind.GAP, 0, 1, 6)]),
        ([0, 1.5], [between(Kind.OFF_GRID, 1, 1), between(Kind.GAP, 0, 1, 1)]),
        ([0, 0.5], [between(Kind.OFF_GRID, 1, 1)]),
        ([0, 0], [between(Kind.DUPLICATE, 0, 1)]),
        ([0, 1, 0, 1], [
            between(Kind.CLOCK_BACK, 1, 2),
            between(Kind.DUPLICATE, 0, 2),
            between(Kind.DUPLICATE, 1, 3),
        ]),
        ([0, 0, 0], [between(Kind.DUPLICATE, 0, 1), between(Kind.DUPLICATE, 1, 2)]),
        ([5, 2], [between(Kind.CLOCK_BACK, 0, 1)]),
        ([0, None, 2], [between(Kind.NO_TIME, 1, 1)]),
        ([0, None, 4], [between(Kind.NO_TIME, 1, 1), between(Kind.GAP, 0, 2, 2)]),
        ([None], [between(Kind.NO_TIME, 0, 0)]),
    ],
)  # fmt: skip
def test_odd_times(times: list[float | None], odd: list[Anomaly]) -> None:
    """Each is told once, with the two entries that it stands between."""
    assert found(*map(entry, times)) == odd


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        ("clock-set", Kind.CLOCK_SET),
        ("software-restart", Kind.RESTART),
        ("datetime-uncertain", Kind.CLOCK_UNCERTAIN),
        ("invalid-volume-increment", Kind.VOLUME_INVALID),
    ],
)
def test_what_the_meter_says_itself(flag: str, kind: Kind) -> None:
    assert found(entry(0), entry(1, 0, "clock-sync", flag)) == [between(kind, 1, 1)]


def test_what_was_used() -> None:
    """It is exact, and known only behind the entry of the half hour before."""
    line = series(entry(0, 5), entry(1, 12), entry(3, 20), entry(3, 30), entry(2, 40), entry(3, 41))
    used = [line.consumption(place) for place in range(6)]
    assert used == [None, Decimal("0.07"), None, None, None, Decimal("0.01")]
    assert [line.reading(place) for place in (0, 5)] == [Decimal("0.05"), Decimal("0.41")]


def test_nothing_is_used_behind_an_entry_without_a_time() -> None:
    line = series(entry(0, 1), entry(None, 2), entry(2, 3))
    assert [line.consumption(place) for place in range(3)] == [None, None, None]


@pytest.mark.parametrize(
    ("counts", "used", "kinds"),
    [
        ((FULL, 4), Decimal("0.05"), [Kind.COUNTER_WRAP]),
        ((FULL - 9, FULL), Decimal("0.09"), []),
        ((100, 98), Decimal("-0.02"), [Kind.READING_BACK]),
        ((2, FULL), Decimal("-0.03"), [Kind.READING_BACK]),
        ((7, 7), Decimal(0), []),
    ],
)
def test_a_counter_turns_over_or_goes_back(
    counts: tuple[int, int], used: Decimal, kinds: list[Kind]
) -> None:
    line = series(entry(0, counts[0]), entry(1, counts[1]))
    assert line.consumption(1) == used
    assert [anomaly.kind for anomaly in line.anomalies()] == kinds


ENTRIES = st.lists(
    st.builds(
        entry,
        st.none() | st.integers(0, 12) | st.sampled_from([0.5, 3.25]),
        st.integers(0, FULL),
    ),
    max_size=30,
)


@given(ENTRIES)
def test_each_oddity_points_at_entries_that_are_so(entries: Sequence[Entry]) -> None:
    line = Series(entries=entries)
    for anomaly in line.anomalies():
        first, second = entries[anomaly.first], entries[anomaly.second]
        assert 0 <= anomaly.first <= anomaly.second < len(entries)
        if anomaly.kind is Kind.NO_TIME:
            assert second.timestamp is None
            continue
        if anomaly.kind in (Kind.READING_BACK, Kind.COUNTER_WRAP):
            assert anomaly.second == anomaly.first + 1
            continue
        assert first.timestamp is not None
        assert second.timestamp is not None
        step = second.timestamp - first.timestamp
        skipped = entries[anomaly.first + 1 : anomaly.second]
        if anomaly.kind is Kind.DUPLICATE:
            assert (step, anomaly.first < anomaly.second) == (timedelta(0), True)
        elif anomaly.kind is Kind.CLOCK_BACK:
            assert step < timedelta(0)
            assert all(each.timestamp is None for each in skipped)
        elif anomaly.kind is Kind.GAP:
            assert step > (anomaly.missing + len(skipped)) * HALF_HOUR
            assert step <= (anomaly.missing + len(skipped) + 1) * HALF_HOUR
            assert all(each.timestamp is None for each in skipped)


@given(ENTRIES)
def test_every_entry_that_repeats_a_time_is_told_of(entries: Sequence[Entry]) -> None:
    told = [each for each in Series(entries=entries).anomalies() if each.kind is Kind.DUPLICATE]
    times = [each.timestamp for each in entries if each.timestamp]
    assert len(told) == len(times) - len(set(times))


@given(ENTRIES, st.integers(0, 12), st.integers(0, 12))
def test_stretches_of_time_share_the_entries_out(
    entries: Sequence[Entry], one: int, other: int
) -> None:
    """Each entry with a time is in one of three, in its order; one without a time in each."""
    line = Series(entries=entries)
    first, second = (START + number * HALF_HOUR for number in sorted((one, other)))
    parts = [line.within(None, first), line.within(first, second), line.within(second, None)]
    timeless = [place for place, each in enumerate(entries) if each.timestamp is None]
    if first == second:
        assert [place for place in parts[1] if place not in timeless] == []
    assert all(part == sorted(part) for part in parts)
    timed = sorted(place for part in parts for place in part if place not in timeless)
    assert timed == [place for place in range(len(entries)) if place not in timeless]
    assert all(set(timeless) <= set(part) for part in parts)
    assert line.within(None, None) == list(range(len(entries)))


@pytest.mark.parametrize(
    ("since", "until", "concerned"),
    [(1, 2, True), (0, 1, True), (4, 5, True), (5, 6, False), (-3, 0, False), (None, None, True)],
)
def test_a_gap_concerns_what_it_touches(
    since: int | None, until: int | None, concerned: bool
) -> None:
    """A stretch of time in the middle of a gap has no entry, and is told why."""
    line = series(entry(0), entry(4))
    [gap] = line.anomalies()
    limits = [None if each is None else START + each * HALF_HOUR for each in (since, until)]
    assert line.concerns(gap, *limits) is concerned
