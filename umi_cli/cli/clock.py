"""`umi clock`: a device's clock against this host's, and how it is set."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli.base import group
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.params import TIME
from umi_cli.output.render import Table, View

if TYPE_CHECKING:
    from umi_cli.device.clock import ClockChange, ClockReading

EXAMPLES = """\
umi -p sim clock show
umi -p "sim:?as=service" clock sync --dry-run
"""
# choice: the profile has an entry every half hour, so a jump skips or repeats some with a chance of
# one in six at five minutes, and surely from half an hour on. Less is the daily drift of a clock.
ASK_ABOVE = timedelta(minutes=5)


@group(examples=EXAMPLES)
def clock() -> None:
    """Show and set a device's clock."""


@clock.command(examples="umi -p sim clock show\numi -p sim clock show --json")
@pass_app
def show(app: App) -> None:
    """Show the device's time, this host's, the difference, and when it was set last."""
    from umi_cli.device.clock import read_clock

    with app.connect() as meter:
        found = read_clock(meter)
    rows = {
        "device": found.device or "not set",
        "host": found.host.replace(microsecond=0),
        "difference": _difference(found),
        "last set": found.last_sync or "never",
    }
    app.emit(_record(found), View(blocks=(Table.pairs(rows),)))


@clock.command(
    "set",
    examples='umi -p "sim:?as=service" clock set 2026-11-22T10:00:00Z --yes',
    lacks=("raw",),
)
@click.argument("time", type=TIME, metavar="TIME")
@pass_app
def set_(app: App, time: datetime) -> None:
    """Set the device's clock to a time.

    TIME is RFC 3339 with a zone, such as 2026-11-22T10:00:00Z. A jump of more than five minutes
    leaves a gap in the load profile or has half hours in it twice, so it needs a yes.
    """
    from umi_cli.device.clock import set_clock
    from umi_cli.types import from_datetime

    from_datetime(time)  # what no device can hold is told before one is asked
    with app.connect() as meter:
        change = set_clock(meter, time, check=_asker(app))
    _report(app, change)


@clock.command(
    examples='umi -p "sim:?as=service" clock sync\numi clock sync --role service -y', lacks=("raw",)
)
@pass_app
def sync(app: App) -> None:
    """Set the device's clock to this host's, with the time that the command takes allowed for.

    A jump of more than five minutes needs a yes, as in umi clock set.
    """
    from umi_cli.device.clock import sync_clock

    with app.connect() as meter:
        change = sync_clock(meter, check=_asker(app))
    _report(app, change)


def _asker(app: App) -> Any:
    """Return what asks before a clock is set by so much that the profile shows it."""

    def ask(before: "ClockReading", new_time: datetime) -> None:
        if before.device is None:
            return
        jump = new_time - before.device
        if abs(jump) > ASK_ABOVE:
            way = "forward" if jump > timedelta(0) else "back"
            effect = "a gap" if jump > timedelta(0) else "half hours twice"
            size = timedelta(seconds=round(abs(jump).total_seconds()))
            app.confirm(loss=f"set the clock {way} by {size}, and give the load profile {effect}")

    return ask


def _report(app: App, change: "ClockChange") -> None:
    """Give the difference before and after as the result."""
    record = {
        "set": change.after is not None,
        "new_time": change.new_time,
        "before": _record(change.before),
        "after": _record(change.after) if change.after else None,
    }
    rows = {
        "set to" if change.after else "would be set to": change.new_time,
        "before": _difference(change.before),
        **({"after": _difference(change.after)} if change.after else {}),
    }
    app.emit(record, View(blocks=(Table.pairs(rows),)))


def _record(reading: "ClockReading") -> dict[str, Any]:
    return {
        "device": reading.device,
        "host": reading.host.replace(microsecond=0),
        "difference_s": reading.difference_s,
        "uncertainty_s": round(reading.uncertainty_s, 3),
        "last_sync": reading.last_sync,
    }


def _difference(reading: "ClockReading") -> str:
    """Return how a device's clock stands to the host's, as `3 s ahead`."""
    difference_s = reading.difference_s
    if difference_s is None:
        return "the device's clock is not set"
    if not difference_s:
        return f"none (to {reading.uncertainty_s:.1f} s)"
    side = "ahead" if difference_s > 0 else "behind"
    return f"{timedelta(seconds=abs(difference_s))} {side} (to {reading.uncertainty_s:.1f} s)"
