"""Pictures: a bar where and as high as each half hour says, gaps in grey, whole files."""

import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from umi_cli.errors import InputError
from umi_cli.objects.series import HALF_HOUR, Entry, Series
from umi_cli.objects.values import Flags
from umi_cli.output.picture import MAX_HALF_HOURS, check_target, draw, picture

pytest.importorskip("matplotlib")

LONDON = ZoneInfo("Europe/London")
START = datetime(2026, 10, 24, 22, tzinfo=UTC)


def series(*half_hours: int) -> Series:
    entries = [
        Entry(
            raw=b"",
            count=10 * place * place,
            timestamp=START + number * HALF_HOUR,
            status=Flags(0, ()),
        )
        for place, number in enumerate(half_hours)
    ]
    return Series(entries=entries, scale=Decimal("0.01"), unit="m³")


def drawn(line: Series) -> Any:
    rows = range(len(line.entries))
    return draw(line, rows, line.anomalies(), LONDON, "Load profile of meter 31733978")


def moment(days: float) -> datetime:
    """Return the moment of a place on the time axis."""
    from matplotlib import dates

    number: Any = dates.num2date
    return datetime.fromtimestamp(round(number(days).timestamp()), UTC)


def bars(figure: Any) -> dict[str, tuple[datetime, float]]:
    """Return where each bar begins and how high it is, by its name."""
    [axes] = figure.axes
    named = [patch for patch in axes.patches if (patch.get_gid() or "").startswith(("ent", "day"))]
    return {
        patch.get_gid(): (moment(patch.get_x()), round(patch.get_height(), 6)) for patch in named
    }


def test_each_half_hour_stands_at_its_place() -> None:
    line = series(0, 1, 2, 6, 7, 6, 7)
    found = bars(drawn(line))
    known = [place for place in range(7) if line.consumption(place) is not None]
    assert known == [1, 2, 4, 6]
    assert found == {
        f"entry-{place}": (
            (line.entries[place].timestamp or START) - HALF_HOUR,
            float(line.consumption(place) or 0),
        )
        for place in known
    }


def test_a_gap_is_grey_from_entry_to_entry() -> None:
    [axes] = drawn(series(0, 1, 6)).axes
    [gap] = [patch for patch in axes.patches if patch.get_gid() == "gap"]
    first, last = gap.get_x(), gap.get_x() + gap.get_width()
    ends = [moment(first), moment(last)]
    assert ends == [START + HALF_HOUR, START + 6 * HALF_HOUR]


def test_the_axes_say_what_they_show() -> None:
    [axes] = drawn(series(0, 1, 2)).axes
    assert axes.get_title() == "Load profile of meter 31733978"
    assert axes.get_xlabel() == "time (Europe/London)"
    assert axes.get_ylabel() == "m³ per half hour"


def test_many_entries_are_drawn_by_the_local_day() -> None:
    line = series(*range(MAX_HALF_HOURS + 60))
    figure = drawn(line)
    found = bars(figure)
    assert list(found)[:2] == ["day-2026-10-24", "day-2026-10-25"]
    begin, height = found["day-2026-10-25"]
    assert begin.astimezone(LONDON).isoformat() == "2026-10-25T00:00:00+01:00"
    places = [2 + number + 1 for number in range(50)]  # 23:00Z is London's midnight
    assert height == pytest.approx(sum(float(line.consumption(place) or 0) for place in places))
    assert figure.axes[0].get_ylabel() == "m³ per day"


@pytest.mark.parametrize("line", [series(), series(0)])
def test_nothing_to_draw_is_drawn(line: Series) -> None:
    assert picture(drawn(line), ".png").startswith(b"\x89PNG")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".SVG"])
def test_the_same_data_gives_the_same_file(suffix: str) -> None:
    line = series(0, 1, 2, 5)
    assert picture(drawn(line), suffix) == picture(drawn(line), suffix)


@pytest.mark.parametrize("name", ["a", "a.jpg", "png", "a.png.txt"])
def test_only_png_and_svg_are_drawn(name: str) -> None:
    with pytest.raises(InputError, match="is no name of a picture"):
        check_target(Path(name))


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError) as caught:
        check_target(Path("a.png"))
    assert "umi-cli[plot]" in caught.value.hint
