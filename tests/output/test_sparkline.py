"""Rows of numbers as one line of text, and what happened when."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.output.sparkline import ASCII, BLOCKS, levels_for, sparkline
from umi_cli.output.timeline import timeline

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_levels_go_from_lowest_to_highest() -> None:
    assert sparkline(range(8)) == BLOCKS
    assert sparkline(range(8), ASCII) == ASCII
    assert sparkline([5, None, 5]) == "▁ ▁"
    assert sparkline([-1, 1]) == "▁█"
    assert sparkline([None, None]) == "  "
    assert sparkline([]) == ""


@given(st.lists(st.none() | st.floats(-1e300, 1e300), max_size=40))
def test_each_value_has_a_character(values: list[float | None]) -> None:
    drawn = sparkline(values)
    assert len(drawn) == len(values)
    assert all((mark == " ") == (each is None) for mark, each in zip(drawn, values, strict=True))


@pytest.mark.parametrize(
    ("encoding", "levels"),
    [("utf-8", BLOCKS), ("ascii", ASCII), ("cp1252", ASCII), (None, ASCII), ("nosuch", ASCII)],
)
def test_an_encoding_gets_what_it_can_show(encoding: str | None, levels: str) -> None:
    assert levels_for(encoding) == levels


def test_timeline_by_the_hour() -> None:
    happenings = [("restart", NOON), ("restart", NOON), ("clock-set", NOON + timedelta(hours=3))]
    heading, *lines = timeline(happenings, 20)
    assert heading == "events per hour, 2026-11-22T12:00:00Z to 2026-11-22T15:00:00Z"
    assert lines == ["restart    █     2", "clock-set     █  1"]


@pytest.mark.parametrize(("hours", "title"), [(5, "hour"), (100, "day"), (10_000, "42 days")])
def test_timeline_fits_its_columns(hours: int, title: str) -> None:
    heading, line = timeline([("x", NOON), ("x", NOON + timedelta(hours=hours))], 12)
    assert heading.startswith(f"events per {title}, ")
    assert len(line) <= len("x") + 2 + 12 + 2 + len("2")
    assert line.count("█") == 2
    assert line.endswith("  2")


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.datetimes(datetime(2000, 1, 1), datetime(2136, 1, 1))),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 80),
)
def test_timeline_counts_everything(found: list[tuple[str, datetime]], columns: int) -> None:
    happenings = [(kind, moment.replace(tzinfo=UTC)) for kind, moment in found]
    _, *lines = timeline(happenings, columns)
    assert sum(int(line.split()[-1]) for line in lines) == len(found)


def test_no_timeline_of_nothing() -> None:
    assert timeline([], 10) == []
