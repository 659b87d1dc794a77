"""`umi watch`: parts of a device, read again and again."""

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.params import part_argument
from umi_cli.cli.repeat import check_ends, repeat_options
from umi_cli.errors import SomeFailedError
from umi_cli.output import streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from umi_cli.cli.watch_view import Tracks, Voice
    from umi_cli.device.watching import Round
    from umi_cli.types import ObjectPart

EXAMPLES = """\
umi -p sim watch metrology-clock/now counter --every 2
umi -p sim watch counter --every 0.5 --count 10 --changes -o csv
umi -p tcp:192.0.2.7:4059 watch event-status --every 60 --for 3600 --events
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """How parts are watched."""

    every_s: float
    count: int | None
    for_s: float | None
    failures: int
    only_changes: bool


@command(examples=EXAMPLES)
@part_argument("parts", metavar="PART...", nargs=-1, required=True)
@repeat_options("readings", "From one reading to the next; one that is missed is left out", None)
@click.option("--changes", is_flag=True, help="Show a value only when it has changed")
@pass_app
def watch(
    app: App,
    parts: tuple[str, ...],
    every_s: float,
    count: int | None,
    for_s: float | None,
    failures: int,
    changes: bool,
) -> None:
    """Read parts of a device again and again.

    On a terminal the values stand in a table that is drawn over itself; elsewhere each value is a
    line. A reading that fails is shown, and tried again; Ctrl-C ends. PART is as in umi read.
    """
    check_ends(app.settings.form, count, for_s)
    wanted = [app.catalogue.resolve(text) for text in parts]
    watching = Watching(
        every_s=every_s, count=count, for_s=for_s, failures=failures, only_changes=changes
    )
    watch_parts(app, wanted, watching)


def watch_parts(app: App, parts: "Sequence[ObjectPart]", watching: Watching) -> None:
    """Show parts of a device again and again.

    Raises:
        UmiError: as `device.watching.watch` does, or no part has given a value.
        SomeFailedError: some have, and others never did.
    """
    from umi_cli.cli import watch_view
    from umi_cli.device.lasting import LastingConnection
    from umi_cli.device.schedule import Ending
    from umi_cli.device.watching import watch as rounds

    voice = _voice(app, watching)
    tracks = watch_view.Tracks(app.catalogue)
    is_secret = app.is_secret(*parts)
    try:
        with LastingConnection(
            lambda: app.connect(is_secret=is_secret),
            voice.note,
            max_failures=watching.failures,
            is_watched=streams.is_terminal(sys.stdout),
        ) as connection:
            ending = Ending(count=watching.count, after_s=watching.for_s)
            try:
                for one in rounds(connection, parts, watching.every_s, ending):
                    _give(one, tracks, voice, only_changes=watching.only_changes)
            finally:
                app.report.device = connection.device_id
    finally:
        voice.close()
        if not app.report.is_for_people:
            app.emit({**voice.gathered, **tracks.summary})
    _check_read(tracks, len(parts))


def _check_read(tracks: "Tracks", parts: int) -> None:
    """Make sure that every part has given a value; what failed now and then was told."""
    never = tracks.never_read
    if not never:
        return
    if len(never) == parts:
        raise next(iter(never.values()))
    told = ", ".join(f"{name} ({error})" for name, error in never.items())
    raise SomeFailedError(f"{len(never)} of {parts} parts gave no value: {told}")


def _give(one: "Round", tracks: "Tracks", voice: "Voice", *, only_changes: bool) -> None:
    """Show what was read at once."""
    if one.missed:
        tracks.missed += one.missed
        voice.note(f"left out {one.missed}: the reading before took longer than --every")
    shown = [tracks.take(reading) for reading in one.readings]
    voice.give([each for each in shown if each.is_news or not only_changes])


def _voice(app: App, watching: Watching) -> "Voice":
    """Return what shows the readings, in the form that was asked for."""
    from umi_cli.cli import watch_view

    form = app.settings.form
    if form != "table":
        kinds: dict[str, Callable[[App], Voice]] = {
            "csv": watch_view.CsvVoice,
            "raw": watch_view.RawVoice,
            "json": watch_view.DocumentVoice,
            "events": watch_view.EventVoice,
        }
        return kinds[form](app)
    if streams.is_terminal(sys.stdout) and os.environ.get("TERM") != "dumb":
        from umi_cli.cli.watch_live import LiveVoice

        return LiveVoice(app.settings.port or "", watching.every_s)
    return watch_view.LineVoice(app)
