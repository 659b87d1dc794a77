"""`umi events`: what happened to a device, by its log; once, or as it happens."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.event_view import Entry, EventView
from umi_cli.cli.repeat import DEFAULT_FAILURES, repeat_options
from umi_cli.cli.window import TimeText, Window, check_order, csv_option, window_options
from umi_cli.errors import InputError
from umi_cli.output.render import View, timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umi_cli.device.backwards import Tail
    from umi_cli.device.event_log import Acknowledgement, EventLog, EventStatus, LoggedEvent

EXAMPLES = """\
umi -p sim events --since yesterday --tz Europe/London
umi -p sim events --event clock-set --event 17 --csv
umi -p tcp:192.0.2.7:4059 events --acknowledge --json
umi -p tcp:192.0.2.7:4059 events --follow --events
"""
EVERY_S = 10.0
EVERY = "With --follow: ask so often where the device does not publish; default: 10"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a user asks of the log."""

    since: TimeText | None
    until: TimeText | None
    zone: tzinfo | None
    numbers: frozenset[int]
    """Of the events that are wanted; empty: all."""

    def window(self, now: datetime) -> Window:
        """Return the stretch of time that is wanted; raises as `Window.of` does."""
        return Window.of(self.since, self.until, now, self.zone)

    def wants(self, event: "LoggedEvent") -> bool:
        """Tell whether an event is of a kind that is wanted."""
        return not self.numbers or event.number in self.numbers


@command(examples=EXAMPLES)
@window_options
@click.option(
    "--event", "names", metavar="EVENT|NUMBER", multiple=True, help="Only this event; repeatable"
)
@csv_option
@click.option("--plot", is_flag=True, help="Draw how often each event happened")
@click.option("--acknowledge", is_flag=True, help="Tell the device that these events were taken")
@click.option("--follow", is_flag=True, help="Go on, and show each event as it happens")
@repeat_options("events, with --follow", EVERY, EVERY_S)
@pass_app
def events(
    app: App,
    since: TimeText | None,
    until: TimeText | None,
    tz: tzinfo | None,
    names: tuple[str, ...],
    plot: bool,
    acknowledge: bool,
    follow: bool,
    every_s: float,
    count: int | None,
    for_s: float | None,
    failures: int,
) -> None:
    """Read the event log, and follow it.

    Every entry is shown as the device has it, in its order. The head-end's read pointer stays where
    it is: --acknowledge alone moves it, behind the last event shown, once that was written. Times
    are UTC.
    """
    check_order(since, until)
    numbers = frozenset(app.catalogue.find_event(name).number for name in names)
    request = Request(since=since, until=until, zone=tz, numbers=numbers)
    _check(app, follow=follow, plot=plot, acknowledge=acknowledge, until=until)
    if follow:
        from umi_cli.cli.event_follow import Following, follow_events

        follow_events(
            app,
            request,
            Following(every_s=every_s, count=count, for_s=for_s, failures=failures),
        )
        return
    if count is not None or for_s is not None or failures != DEFAULT_FAILURES:
        raise InputError("--count, --for and --failures go with --follow")
    read_events(app, request, is_plot=plot, acknowledges=acknowledge)


def _check(
    app: App, *, follow: bool, plot: bool, acknowledge: bool, until: TimeText | None
) -> None:
    """Refuse options that exclude each other."""
    others = {"--plot": plot, "--acknowledge": acknowledge, "--until": until is not None}
    for name, is_given in others.items():
        if follow and is_given:
            raise InputError(f"--follow and {name} exclude each other", hint="choose one")
    if plot and app.settings.form != "table":
        raise InputError("--plot is a picture for people", hint="leave --json, --csv and -o out")


def read_events(app: App, request: Request, *, is_plot: bool, acknowledges: bool) -> None:
    """Read the log once, give what was asked for, and acknowledge it if that is wanted.

    Raises:
        UmiError: as `EventLog` does; what came before it is shown.
    """
    from umi_cli.device.event_log import EventLog

    with app.connect() as meter:
        log = EventLog(meter)
        status = log.status()
        now = datetime.fromtimestamp(meter.transport.clock.utc(), UTC)
        window = request.window(now)
        warn_of_window(app, status, window.since)
        tail = log.since(window.since)
        entries = [
            Entry(event=event, element=tail.first + index)
            for index, event in enumerate(tail.elements)
            if event.time is None or event.time in window
        ]
        wanted = [entry for entry in entries if request.wants(entry.event)]
        plan = _plan(log, tail, wanted) if acknowledges and not tail.failure else None
        _show(app, request, entries, wanted, status, plan, is_plot=is_plot)
        if tail.failure:
            app.warn(f"this is a part of the log: the {tail.first} entries before are missing")
            raise tail.failure
        if acknowledges:
            app.deliver()
            _acknowledge(app, request, log, plan)


def warn_of_window(app: App, status: "EventStatus", since: datetime | None) -> None:
    """Say where the window begins that the device shows of its log, if that leaves out some."""
    if status.start is None:
        return
    what = f"the device shows its events from {timestamp(status.start)} on only"
    if since is None:
        app.note(what)
    elif since < status.start:
        app.warn(f"{what}, not from {timestamp(since)}: there is the head-end's read pointer")


def _plan(
    log: "EventLog", tail: "Tail[LoggedEvent]", wanted: "Sequence[Entry]"
) -> "Acknowledgement | None":
    """Return what acknowledges the events that will be shown."""
    from umi_cli.device.event_log import acknowledgement_of
    from umi_cli.device.following import SEEN

    if not wanted:
        return None
    given = [entry.event for entry in wanted]
    shown = {entry.element for entry in wanted}
    is_settled = log.settle(given[-1])
    newer = log.newer(tail.elements[-SEEN:])
    others = [
        *(e for index, e in enumerate(tail.elements) if tail.first + index not in shown),
        *newer.elements,
    ]
    is_whole = tail.first == 0 and is_settled and not newer.is_broken
    return acknowledgement_of(given, others, is_whole=is_whole)


def _show(
    app: App,
    request: Request,
    entries: "Sequence[Entry]",
    wanted: "Sequence[Entry]",
    status: "EventStatus",
    plan: "Acknowledgement | None",
    *,
    is_plot: bool,
) -> None:
    """Give the events as the result."""
    from umi_cli.device.event_log import anomalies_of

    view = EventView(app.catalogue, request.zone)
    looked_at = [entry.event for entry in entries]
    anomalies = anomalies_of(looked_at)
    for anomaly in anomalies:
        app.note(view.anomaly(anomaly, looked_at))
    records = [{"element": entry.element, **view.record(entry.event)} for entry in wanted]
    for record in records:
        app.event("logged", **record)
    found = {
        "count": len(records),
        "anomalies": [
            {
                "kind": each.kind,
                "element": entries[each.index].element,
                "other": entries[each.other].element,
                "seconds": each.seconds,
            }
            for each in anomalies
        ],
        "log": _status_record(status),
        "acknowledge": _plan_record(app, view, plan),
    }
    # Under --events each entry is an event of its own already.
    own = {} if app.settings.form == "events" else {"entries": records}
    app.emit({**own, **found}, _view(view, wanted, is_plot=is_plot))


def _view(view: EventView, wanted: "Sequence[Entry]", *, is_plot: bool) -> View:
    shown = [entry.event for entry in wanted]
    raw = [event.raw for event in shown]
    csv = view.csv(shown)
    if not shown:
        return View(blocks=("no events",), csv=csv, raw=raw)
    if is_plot:
        from umi_cli.cli.terminal import columns, levels

        return View(blocks=(view.plot(shown, columns(), levels()),), csv=csv, raw=raw)
    return View(blocks=(view.table(wanted),), csv=csv, raw=raw)


def _status_record(status: "EventStatus") -> dict[str, object]:
    return {
        "start_time": status.start,
        "entries": status.entries,
        "first_timestamp": status.first,
        "latest_timestamp": status.latest,
        "active": status.active,
    }


def _plan_record(
    app: App, view: EventView, plan: "Acknowledgement | None"
) -> dict[str, object] | None:
    if plan is None:
        return None
    return {
        "events": [{"number": n, "name": view.name(n)} for n in plan.numbers],
        "start_time": plan.start,
        "dry_run": app.settings.dry_run,
    }


def _acknowledge(
    app: App, request: Request, log: "EventLog", plan: "Acknowledgement | None"
) -> None:
    """Write the acknowledgement, now that the events are written out."""
    if plan is None:
        app.note("there is nothing to acknowledge")
        return
    if not app.settings.dry_run:
        log.acknowledge(plan)
    view = EventView(app.catalogue, request.zone)
    names = ", ".join(view.name(number) for number in plan.numbers) or "no event that has a bit"
    where = (
        "the read pointer stays where it is, or it would hide what was not shown"
        if plan.start is None
        else f"the log begins at {timestamp(plan.start)}"
    )
    done = "would be acknowledged" if app.settings.dry_run else "acknowledged"
    app.note(f"{done}: {names}; {where}")
