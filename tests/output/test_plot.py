"""Bars in a terminal: one for each entry or each local day, and gaps that are seen."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.objects.series import HALF_HOUR, Entry, Series
from umi_cli.objects.values import Flags
from umi_cli.output.plot import MAX_HALF_HOURS, Bar, bars_of, chart, days_of, is_ascii

LONDON = ZoneInfo("Europe/London")


def series(moments: Sequence[datetime | None]) -> Series:
    entries = [
        Entry(raw=b"", count=number, timestamp=moment, status=Flags(0, ()))
        for number, moment in enumerate(moments)
    ]
    return Series(entries=entries, scale=Decimal("0.01"), unit="m³")


def half_hours(first: str, count: int) -> list[datetime | None]:
    start = datetime.fromisoformat(first)
    return [start + number * HALF_HOUR for number in range(count)]


def draw(*values: int | None, width: int = 30, ascii_only: bool = True) -> list[str]:
    bars = [Bar(label="x", value=None if v is None else Decimal(v)) for v in values]
    return chart(bars, title="t", width=width, ascii_only=ascii_only).splitlines()[1:]


def test_a_bar_is_as_long_as_its_share() -> None:
    assert [line.count("#") for line in draw(0, 1, 10, 20, width=25)] == [0, 1, 9, 18]
    assert [line.count("█") for line in draw(5, 10, width=25, ascii_only=False)] == [9, 18]


def test_what_is_unknown_and_what_is_negative_has_no_bar() -> None:
    lines = draw(None, -3, 6)
    assert [line.split()[-1] for line in lines] == ["?", "-3", "6"]
    assert "#" not in lines[0] + lines[1]


@given(
    st.lists(st.none() | st.integers(-5, 10**6), min_size=1, max_size=20),
    st.integers(0, 120),
    st.booleans(),
)
def test_no_bar_is_wider_than_the_terminal(
    values: list[int | None], width: int, ascii_only: bool
) -> None:
    lines = draw(*values, width=width, ascii_only=ascii_only)
    assert len(lines) == len(values)
    assert all(len(line) <= max(width, 20) for line in lines)
    for value, line in zip(values, lines, strict=True):
        assert (value is not None and value > 0) == any(c in line for c in "#▏▎▍▌▋▊▉█")


@pytest.mark.parametrize(
    ("encoding", "lacks"),
    [("utf-8", False), ("ascii", True), ("cp1252", True), (None, True), ("none-such", True)],
)
def test_blocks_are_drawn_where_the_encoding_has_them(encoding: str | None, lacks: bool) -> None:
    assert is_ascii(encoding) is lacks


@pytest.mark.parametrize(
    ("day", "due"), [("2027-03-28", 46), ("2026-10-25", 50), ("2026-11-22", 48)]
)
def test_a_local_day_has_its_own_half_hours(day: str, due: int) -> None:
    """The entry of midnight ends the day before; the next day begins behind it."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=LONDON).astimezone(UTC)
    moments = [midnight + number * HALF_HOUR for number in range(60)]
    before, found, after = days_of(series(moments), range(60), LONDON)
    assert (len(before.places), len(after.places)) == (1, 59 - due)
    assert (found.date.isoformat(), found.due) == (day, due)
    assert found.places == list(range(1, due + 1))
    assert found.total == Decimal(due) / 100


@given(st.lists(st.integers(0, 2000), max_size=120, unique=True).map(sorted))
def test_days_share_the_entries_out(numbers: list[int]) -> None:
    start = datetime(2026, 10, 1, tzinfo=UTC)
    line = series([start + number * HALF_HOUR for number in numbers])
    days = days_of(line, range(len(numbers)), LONDON)
    assert [place for day in days for place in day.places] == list(range(len(numbers)))
    assert all(len(day.places) <= day.due for day in days)
    used = [line.consumption(place) for place in range(len(numbers))]
    assert sum(day.total or 0 for day in days) == sum(each or 0 for each in used)


def test_many_entries_are_drawn_by_the_day() -> None:
    line = series(half_hours("2026-10-20T00:30Z", MAX_HALF_HOURS + 1))
    bars, span = bars_of(line, range(MAX_HALF_HOURS + 1), line.anomalies(), UTC)
    assert span == "day"
    assert [bar.label for bar in bars] == ["2026-10-20 Tue", "2026-10-21 Wed", "2026-10-22 Thu"]
    assert [bar.note for bar in bars] == ["", "", "5 of 48"]


def test_days_without_an_entry_are_one_line() -> None:
    """A clock that was once in the year 2000 does not make ten thousand of them."""
    moments = half_hours("2000-01-01T00:30Z", 60) + half_hours("2026-10-20T00:30Z", 60)
    bars, _ = bars_of(series(moments), range(120), [], UTC)
    assert [bar.label for bar in bars if bar.is_gap] == ["  9787 days"]
    assert len(bars) == 5


def test_an_entry_without_a_time_has_a_line_of_its_own() -> None:
    line = series([None, *half_hours("2026-10-20T00:30Z", 2)])
    bars, span = bars_of(line, range(3), line.anomalies(), UTC)
    assert span == "half hour"
    assert [(bar.label, bar.note) for bar in bars][:2] == [
        ("no time", "no-time"),
        ("2026-10-20 00:30:00Z", ""),
    ]
