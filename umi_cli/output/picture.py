"""How does consumption look as a picture, PNG or SVG? Drawn by matplotlib, which is an extra."""

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umi_cli.errors import InputError
from umi_cli.objects.series import Anomaly, Kind, Series
from umi_cli.output.plot import days_of, start_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
MAX_HALF_HOURS = 14 * 48  # a bar is a pixel or two wide then; more are drawn by the day
SIZE_INCHES = (12.0, 5.0)
DOTS_PER_INCH = 120
BLUE, ORANGE, GREY = "#3b6ea8", "#c8551b", "#d9d9d9"
MARKS = {
    Kind.CLOCK_SET: ("v", "clock set"),
    Kind.CLOCK_BACK: ("<", "clock went back"),
    Kind.RESTART: ("x", "restart"),
}
"""Shape and name of what is marked above the bars, each kind in a line of its own."""
LINE_OF_MARKS = 0.05


def check_target(path: Path) -> None:
    """Make sure, before a device is asked, that a picture can be drawn and has a known form.

    Raises:
        InputError: it has another suffix, or matplotlib is missing.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path} is no name of a picture", hint=f"let it end in {' or '.join(SUFFIXES)}"
        )
    try:
        import matplotlib.figure  # noqa: F401 - half a second, and an extra
    except ImportError as error:
        raise InputError(
            "pictures are drawn by matplotlib, which is not installed",
            hint="pip install 'umi-cli[plot]'; --plot without a file draws in the terminal",
        ) from error


def picture(figure: "Figure", suffix: str) -> bytes:
    """Return a figure as the bytes of a PNG or SVG file; the same figure gives the same bytes."""
    import matplotlib

    buffer = BytesIO()
    form = suffix.lower().removeprefix(".")
    metadata: dict[str, Any] = {"Date": None} if form == "svg" else {"Software": None}
    with matplotlib.rc_context({"svg.hashsalt": "umi"}):
        figure.savefig(buffer, format=form, dpi=DOTS_PER_INCH, metadata=metadata)
    return buffer.getvalue()


def draw(
    series: Series, rows: Sequence[int], anomalies: Sequence[Anomaly], zone: tzinfo, title: str
) -> "Figure":
    """Draw consumption over time: by the half hour, or by the local day if there are many.

    Stretches without entries are grey. An interval that a clock set back counts once more stands
    before the first as an outline, so that none hides the other.

    Args:
        series: what was read.
        rows: places of the entries to draw.
        anomalies: what is odd about them.
        zone: of the time axis.
        title: above the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    is_by_day = len(rows) > MAX_HALF_HOURS
    if is_by_day:
        _draw_days(axes, series, rows, zone)
    else:
        _draw_half_hours(axes, series, rows, anomalies)
    _draw_gaps(axes, series, anomalies)
    _draw_marks(axes, series, anomalies)
    axes.set_title(title)
    axes.set_ylabel(f"{series.unit} per {'day' if is_by_day else 'half hour'}")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    _label_time(axes, zone)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=6, frameon=False)
    return figure


def _draw_half_hours(
    axes: "Axes", series: Series, rows: Sequence[int], anomalies: Iterable[Anomaly]
) -> None:
    repeated = {anomaly.second for anomaly in anomalies if anomaly.kind is Kind.DUPLICATE}
    looks: list[tuple[list[int], dict[str, Any]]] = [
        ([place for place in rows if place not in repeated], {"color": BLUE}),
        (
            [place for place in rows if place in repeated],
            {"facecolor": "none", "edgecolor": ORANGE, "label": "the same time once more"},
        ),
    ]
    for places, look in looks:
        known = {place: used for place in places if (used := series.consumption(place)) is not None}
        ends = [series.entries[place].timestamp for place in known]
        starts: Any = [end - series.interval for end in ends if end is not None]
        heights = [float(used) for used in known.values()]
        width: Any = series.interval
        if known:
            bars = axes.bar(starts, heights, width=width, align="edge", linewidth=1, **look)
            for place, bar in zip(known, bars, strict=True):
                bar.set_gid(f"entry-{place}")


def _draw_days(axes: "Axes", series: Series, rows: Sequence[int], zone: tzinfo) -> None:
    days = [day for day in days_of(series, rows, zone) if day.total is not None]
    starts: Any = [start_of(day.date, zone) for day in days]
    widths: Any = [day.due * series.interval for day in days]
    heights = [float(day.total or 0) for day in days]
    bars = axes.bar(starts, heights, width=widths, align="edge", color=BLUE, edgecolor="white")
    for day, bar in zip(days, bars, strict=True):
        bar.set_gid(f"day-{day.date.isoformat()}")


def _draw_gaps(axes: "Axes", series: Series, anomalies: Iterable[Anomaly]) -> None:
    label = "no entries"
    for anomaly in anomalies:
        if anomaly.kind is Kind.GAP:
            first, last = _moment(series, anomaly.first), _moment(series, anomaly.second)
            axes.axvspan(first, last, color=GREY, zorder=0, label=label, gid="gap")
            label = "_"  # one line of the legend is enough


def _draw_marks(axes: "Axes", series: Series, anomalies: Sequence[Anomaly]) -> None:
    highest = axes.get_ylim()[1]
    for line, (kind, (shape, label)) in enumerate(MARKS.items()):
        moments = [_moment(series, each.second) for each in anomalies if each.kind is kind]
        if moments:
            heights = [highest * (1 + LINE_OF_MARKS * line)] * len(moments)
            axes.plot(moments, heights, shape, color=ORANGE, label=label, clip_on=False, gid=kind)


def _moment(series: Series, place: int) -> Any:
    return series.entries[place].timestamp


def _label_time(axes: "Axes", zone: tzinfo) -> None:
    """Have the time axis in a zone, with the date once, and the zone's name beside it."""
    from matplotlib import dates

    locator: Any = dates.AutoDateLocator(tz=zone)  # type: ignore[no-untyped-call]
    formatter: Any = dates.ConciseDateFormatter(locator, tz=zone)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    axes.set_xlabel(f"time ({zone})")
    axes.margins(x=0.01)
