"""How does consumption look as bars in a terminal: a line for each half hour, or for each day?

Bars stand in the order of the entries, one for each: an hour that a clock set back counts twice
stands there twice, and what the meter has no entry for is a line without a bar.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal

from umi_cli.objects.series import Anomaly, Kind, Series

BLOCKS = "▏▎▍▌▋▊▉█"  # eighths of a cell
ASCII_BLOCK = "#"
MIN_CELLS = 8
MAX_HALF_HOURS = 100  # two days; more are drawn by the day
UNKNOWN = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A line of a chart."""

    label: str
    value: Decimal | None = None
    """None: unknown, or none."""
    note: str = ""
    is_gap: bool = False
    """It stands for what is missing."""


@dataclass(slots=True)
class Day:
    """A local day's consumption."""

    date: date
    due: int
    """How many intervals it has: 46 or 50 half hours where the clocks change."""
    places: list[int] = field(default_factory=list)
    """Its entries."""
    total: Decimal | None = None
    """Of the intervals whose consumption is known; None if none is."""


def is_ascii(encoding: str | None) -> bool:
    """Tell whether a terminal of that encoding lacks the blocks that bars are made of."""
    try:
        (BLOCKS + "³").encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def bars_of(
    series: Series, rows: Sequence[int], anomalies: Sequence[Anomaly], zone: tzinfo
) -> tuple[list[Bar], str]:
    """Return the bars of entries, and what each stands for: a half hour, or a local day of many."""
    if len(rows) <= MAX_HALF_HOURS:
        return list(_half_hours(series, rows, anomalies, zone)), "half hour"
    return list(_day_bars(days_of(series, rows, zone), series.interval)), "day"


def chart(bars: Sequence[Bar], *, title: str, width: int, ascii_only: bool) -> str:
    """Return bars as lines of text.

    Args:
        bars: from top to bottom.
        title: the line above.
        width: of the terminal, in cells.
        ascii_only: draw with what every terminal has.
    """
    texts = ["" if bar.is_gap else _number(bar.value) for bar in bars]
    columns = [
        max((len(text) for text in column), default=0)
        for column in ([bar.label for bar in bars], texts, [bar.note for bar in bars])
    ]
    cells = max(MIN_CELLS, width - sum(columns) - 4)
    highest = max((bar.value for bar in bars if bar.value is not None), default=Decimal(0))
    lines = [title]
    for bar, text in zip(bars, texts, strict=True):
        drawn = _drawn(bar.value, highest, cells, ascii_only=ascii_only)
        if bar.is_gap:
            drawn = ("." if ascii_only else "·") * cells
        line = f"{bar.label:<{columns[0]}} {drawn:<{cells}} {text:>{columns[1]}} {bar.note}"
        lines.append(line.rstrip())
    return "\n".join(line.replace("³", "3") if ascii_only else line for line in lines)


def days_of(series: Series, rows: Sequence[int], zone: tzinfo) -> list[Day]:
    """Return entries by local day, in the order of the calendar.

    An interval belongs to the day in which it begins: the one that ends at midnight is the last.
    """
    days: dict[date, Day] = {}
    for place in rows:
        moment = series.entries[place].timestamp
        if moment is None:
            continue
        key = (moment - series.interval).astimezone(zone).date()
        day = days.setdefault(key, Day(key, _due(key, zone, series.interval)))
        day.places.append(place)
        used = series.consumption(place)
        if used is not None:
            day.total = (day.total or Decimal(0)) + used
    return [days[key] for key in sorted(days)]


def start_of(day: date, zone: tzinfo) -> datetime:
    """Return the moment at which a local day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _due(day: date, zone: tzinfo, interval: timedelta) -> int:
    return (start_of(day + timedelta(days=1), zone) - start_of(day, zone)) // interval


def _half_hours(
    series: Series, rows: Sequence[int], anomalies: Sequence[Anomaly], zone: tzinfo
) -> Iterator[Bar]:
    odd: dict[int, list[Anomaly]] = {}
    for anomaly in anomalies:
        odd.setdefault(anomaly.second, []).append(anomaly)
    for place in rows:
        for anomaly in odd.get(place, []):
            if anomaly.kind is Kind.GAP:
                yield Bar(label=f"  {anomaly.missing} without entry", is_gap=True)
        notes = [anomaly.kind for anomaly in odd.get(place, []) if anomaly.kind is not Kind.GAP]
        yield Bar(
            label=_label(series.entries[place].timestamp, zone),
            value=series.consumption(place),
            note=" ".join(dict.fromkeys(notes)),
        )


def _label(moment: datetime | None, zone: tzinfo) -> str:
    if moment is None:
        return "no time"
    text = moment.astimezone(zone).isoformat(sep=" ")
    return text.removesuffix("+00:00") + "Z" if zone is UTC else text


def _day_bars(days: Sequence[Day], interval: timedelta) -> Iterator[Bar]:
    before: Day | None = None
    for day in days:
        missing = (day.date - before.date).days - 1 if before else 0
        if missing:
            yield Bar(label=f"  {missing} days", is_gap=True)
        note = "" if len(day.places) == day.due == timedelta(days=1) // interval else _share(day)
        yield Bar(label=f"{day.date.isoformat()} {day.date:%a}", value=day.total, note=note)
        before = day


def _share(day: Day) -> str:
    return f"{len(day.places)} of {day.due}"


def _number(value: Decimal | None) -> str:
    return UNKNOWN if value is None else f"{value:f}"


def _drawn(value: Decimal | None, highest: Decimal, cells: int, *, ascii_only: bool) -> str:
    """Return a bar whose length is a value's share of the highest."""
    if value is None or value <= 0:
        return ""
    eighths = int(value / highest * cells * len(BLOCKS))
    whole, part = divmod(eighths, len(BLOCKS))
    if ascii_only:
        return ASCII_BLOCK * max(1, whole)
    return BLOCKS[-1] * whole + (BLOCKS[part - 1] if part else "") or BLOCKS[0]
