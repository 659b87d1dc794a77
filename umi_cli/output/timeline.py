"""How often what happened, as a picture in text: a line a kind, a column an hour, a day or more."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from umi_cli.output.render import timestamp
from umi_cli.output.sparkline import BLOCKS, GAP, sparkline

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def timeline(
    happenings: Sequence[tuple[str, datetime]], columns: int, levels: str = BLOCKS
) -> list[str]:
    """Return the lines of a timeline; a heading stands above them.

    Args:
        happenings: what, and when (aware).
        columns: how many there is room for, 1 or more.
        levels: the characters of `sparkline`.
    """
    if not happenings:
        return []
    first = min(moment for _, moment in happenings).astimezone(UTC)
    last = max(moment for _, moment in happenings).astimezone(UTC)
    step, title = _step(last - first, columns)
    start = first.replace(minute=0, second=0, microsecond=0)
    if step >= DAY:
        start = start.replace(hour=0)
    counts = Counter((kind, (moment - start) // step) for kind, moment in happenings)
    kinds = list(dict.fromkeys(kind for kind, _ in happenings))
    width = max(map(len, kinds))
    used = (last - start) // step + 1
    heading = f"events per {title}, {timestamp(start)} to {timestamp(last)}"
    return [heading, *(_line(kind, counts, width, used, levels) for kind in kinds)]


def _step(span: timedelta, columns: int) -> tuple[timedelta, str]:
    """Return what a column stands for, so that all fit; a start in its middle takes one more."""
    for step, title in ((HOUR, "hour"), (DAY, "day")):
        if span // step + 2 <= columns:
            return step, title
    days = span // DAY // max(1, columns - 2) + 1
    return days * DAY, f"{days} days"


def _line(
    kind: str, counts: Counter[tuple[str, int]], width: int, columns: int, levels: str
) -> str:
    row = [counts[kind, column] for column in range(columns)]
    # From none up, so that one event is not as high as many; none at all is a gap.
    drawn = sparkline([0, *row], levels)[1:]
    picture = "".join(GAP if not each else mark for each, mark in zip(row, drawn, strict=True))
    return f"{kind:<{width}}  {picture}  {sum(row)}"
