"""`umi profile`: the load profile of a meter, as a table, CSV, JSON or a chart."""

from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.window import TimeText, Window, check_order, csv_option, window_options
from umi_cli.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from umi_cli.cli.profile_view import ProfileView
    from umi_cli.device.meter import Meter
    from umi_cli.device.profile import Profile
    from umi_cli.output.render import View

EXAMPLES = """\
umi -p sim profile --since 2h
umi -p sim profile --since yesterday --until today --tz Europe/London --csv
umi -p sim profile --since 7d --plot
umi -p sim profile --since 7d --plot week.png --json
umi -p tcp:192.0.2.7:4059 --role host --key host.key profile --acknowledge --csv
"""
TERMINAL = "-"
LONG_READ = 480  # entries: seconds of an optical line; a shorter read is over before a bar is seen
MAX_NOTES = 20  # lines of oddities; a clock that was set back by a day makes 48 of them


@command(examples=EXAMPLES)
@window_options
@csv_option
@click.option(
    "--plot",
    is_flag=False,
    flag_value=TERMINAL,
    metavar="[FILE]",
    help="Draw consumption: in the terminal, or as FILE.png or FILE.svg",
)
@click.option(
    "--acknowledge",
    is_flag=True,
    help="Then move the meter's window behind the last entry that was given",
)
@pass_app
def profile(
    app: App,
    since: TimeText | None,
    until: TimeText | None,
    tz: tzinfo | None,
    plot: str | None,
    acknowledge: bool,
) -> None:
    """Read the load profile.

    Entries come as the meter has them, in its order: gaps, times that stand twice and jumps of the
    clock are reported, and nothing is merged, left out or made up. Consumption is that of the half
    hour which ends at the time, where the entry before ends the half hour before.

    Reading leaves the meter's window alone, which is the read pointer of the head-end; only
    --acknowledge moves it, once the output was written.
    """
    from umi_cli.cli.profile_view import ProfileView
    from umi_cli.device.clock import host_time
    from umi_cli.device.profile import POINTER

    check_order(since, until)
    target = _target(app, plot)
    if acknowledge:
        app.catalogue.resolve(POINTER)
    with app.connect() as meter:
        window = Window.of(since, until, host_time(meter), tz)
        found = _read(app, meter, window, is_all=acknowledge)
        title = _title(meter) if target else ""
        shown = ProfileView.of(found, tz)
        if acknowledge and not found.failure:
            _acknowledge(app, meter, shown, plot, title)
            return
    _tell(app, shown)
    if found.failure:
        _tell_missing(app, found)
    app.emit(shown.record | _draw(shown, target, title), _view(shown, plot))
    if found.failure:
        raise found.failure


def _tell_missing(app: App, found: "Profile") -> None:
    from umi_cli.output.render import timestamp

    times = [each.timestamp for each in found.series.entries if each.timestamp]
    if times:
        app.warn(
            f"this is a part of the profile: what is older than {timestamp(times[0])} is missing"
        )


def _target(app: App, plot: str | None) -> Path | None:
    """Return the file to draw into; None if none is asked for."""
    if plot is None:
        return None
    if plot == TERMINAL:
        if app.report.form != "table":
            raise InputError(
                "a chart in the terminal is no JSON, CSV or wire bytes",
                hint="name a file after --plot, or leave one of the two out",
            )
        return None
    from umi_cli.output.picture import check_target

    target = Path(plot)
    check_target(target)
    return target


def _read(app: App, meter: "Meter", window: Window, *, is_all: bool) -> "Profile":
    """Read what the window asks for, with progress if that takes a while."""
    from umi_cli.device.profile import read_profile

    progress: Any = None

    def tell(done: int, total: int) -> None:
        nonlocal progress
        if progress is None and total > LONG_READ:
            progress = app.progress("profile", total, "entries")
        if progress is not None:
            progress.update(done)

    try:
        return read_profile(
            meter, since=window.since, until=window.until, is_all=is_all, on_progress=tell
        )
    finally:
        if progress is not None:
            progress.finish()


def _title(meter: "Meter") -> str:
    """Return what stands above a picture: whose profile it is."""
    from umi_cli.errors import NotInDatasheetError, RefusedError
    from umi_cli.objects.values import to_text

    try:
        serial = to_text(meter.read("manufacturer-id/serial").value)
        return f"Load profile of meter {serial}"
    except (RefusedError, NotInDatasheetError):
        return "Load profile"


def _acknowledge(
    app: App, meter: "Meter", shown: "ProfileView", plot: str | None, title: str
) -> None:
    """Give the result, and then move the meter's window behind it."""
    from umi_cli.device.profile import acknowledge

    pointer = shown.profile.next_pointer()  # or nothing is given at all
    _tell(app, shown)
    target = Path(plot) if title and plot else None
    record = {**shown.record, "acknowledge": pointer, "dry_run": app.settings.dry_run}
    data = record | _draw(shown, target, title)
    app.emit(data, _view(shown, plot))
    app.event("data", data=data)
    app.deliver()
    if pointer is None:
        app.note("there is nothing to acknowledge")
    elif app.settings.dry_run:
        app.note(f"the meter's window would begin at {_text(pointer)}")
    else:
        acknowledge(meter, pointer)
        app.note(f"the meter's window begins at {_text(pointer)} now")


def _tell(app: App, shown: "ProfileView") -> None:
    """Say on stderr what is odd, and what the meter did not show."""
    found = shown.profile
    if found.pointer and found.is_cut_by_pointer:
        say = app.warn if found.since else app.note
        say(
            f"the meter's window begins at {_text(found.pointer)}: what is older it does not show"
            " (profile-control/start_time)"
        )
    if not found.is_unit_known:
        app.warn("the meter does not say what its profile counts in; the datasheet's unit is shown")
    if not shown.rows:
        app.note("there is no entry in that stretch of time")
    sentences = list(shown.sentences())
    for sentence in sentences[:MAX_NOTES]:
        app.note(sentence)
    if len(sentences) > MAX_NOTES:
        app.note(f"and {len(sentences) - MAX_NOTES} more of that kind; --json lists all")


def _draw(shown: "ProfileView", target: Path | None, title: str) -> dict[str, Any]:
    """Draw a picture if one is asked for; return what the record says of it."""
    if target is None or not shown.rows:  # that there is nothing was said
        return {}
    from umi_cli.files import write_atomically
    from umi_cli.output.picture import draw, picture

    zone = shown.zone or UTC
    figure = draw(shown.profile.series, shown.rows, shown.anomalies, zone, title)
    try:
        write_atomically(target, picture(figure, target.suffix))
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from error
    return {"plot": str(target)}


def _view(shown: "ProfileView", plot: str | None) -> "View":
    from umi_cli.output.render import View

    if plot is None:
        return View(blocks=(shown.table,), csv=shown.csv, raw=shown.raw)
    if not shown.rows:
        return View(blocks=(), csv=shown.csv, raw=shown.raw)
    if plot == TERMINAL:
        return View(blocks=(_chart(shown),))
    sentence = f"{plot}: {len(shown.rows)} entries drawn"
    return View(blocks=(sentence,), csv=shown.csv, raw=shown.raw)


def _chart(shown: "ProfileView") -> str:
    import shutil
    import sys

    from umi_cli.output.plot import bars_of, chart, is_ascii

    series = shown.profile.series
    bars, span = bars_of(series, shown.rows, shown.anomalies, shown.zone or UTC)
    return chart(
        bars,
        title=f"consumption per {span}, {series.unit}",
        width=shutil.get_terminal_size().columns,
        ascii_only=is_ascii(sys.stdout.encoding if sys.stdout else None),
    )


def _text(moment: "datetime") -> str:
    from umi_cli.output.render import timestamp

    return timestamp(moment)
