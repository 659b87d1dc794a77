"""`umi events --follow`: each event as it happens, a line each."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from umi_cli.cli.context import App
from umi_cli.cli.event_view import EventView
from umi_cli.cli.repeat import check_ends
from umi_cli.output import streams

if TYPE_CHECKING:
    from umi_cli.cli.events import Request
    from umi_cli.device.event_log import LoggedEvent
    from umi_cli.device.following import Follower
    from umi_cli.device.lasting import LastingConnection
    from umi_cli.types import UmiId

ANOMALY_REACH = 64  # entries before a new one that it is compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """How a log is followed."""

    every_s: float
    count: int | None
    for_s: float | None
    failures: int


def follow_events(app: App, request: "Request", following: Following) -> None:
    """Show each event as it happens, until the end that was asked for, or Ctrl-C.

    Raises:
        UmiError: the log cannot be read, or the device was lost for good.
    """
    from umi_cli.device.following import Follower
    from umi_cli.device.lasting import LastingConnection

    check_ends(app.settings.form, following.count, following.for_s)
    followers: list[Follower] = []

    def hear(source: "UmiId", events: int, timestamp_s: int) -> None:
        for follower in followers:
            follower.hear(events, timestamp_s)

    with LastingConnection(
        lambda: app.connect(on_event=hear),
        app.note,
        max_failures=following.failures,
        is_watched=streams.is_terminal(sys.stdout),
    ) as connection:
        follower = Follower(
            connection,
            every_s=following.every_s,
            wanted=_bits(app, request),
            for_s=following.for_s,
            tell=app.note,
        )
        followers.append(follower)
        voice = _Voice(app, EventView(app.catalogue, request.zone))
        found = _wanted(app, request, follower, connection, voice)
        try:
            voice.give(islice(found, following.count))
        finally:
            app.report.device = connection.device_id


def _bits(app: App, request: "Request") -> int:
    """Return the events to subscribe to, of those that can be."""
    from umi_cli.device.event_log import MAX_BIT

    numbers = request.numbers or {event.number for event in app.catalogue.events}
    return sum(1 << number for number in numbers if number <= MAX_BIT)


def _wanted(
    app: App,
    request: "Request",
    follower: "Follower",
    connection: "LastingConnection",
    voice: "_Voice",
) -> "Iterator[LoggedEvent]":
    def since() -> datetime | None:
        from umi_cli.cli.events import warn_of_window
        from umi_cli.device.event_log import EventLog

        moment = request.window(datetime.fromtimestamp(connection.utc_s, UTC)).since
        if moment is not None:
            warn_of_window(app, EventLog(connection.meter()).status(), moment)
        return moment

    for event in follower.events(since):
        voice.look_at(event)
        if request.wants(event):
            yield event


class _Voice:
    """Gives events one by one, in the form that was asked for."""

    def __init__(self, app: App, view: EventView) -> None:
        self._app = app
        self._view = view
        self._records: list[dict[str, Any]] = []
        self._before: list[LoggedEvent] = []
        self._anomalies: list[dict[str, Any]] = []
        self._count = 0

    def look_at(self, event: "LoggedEvent") -> None:
        """Say what is odd about an event beside those before it."""
        from umi_cli.device.event_log import anomalies_of

        self._before = [*self._before[-ANOMALY_REACH:], event]
        for anomaly in anomalies_of(self._before):
            if anomaly.index == len(self._before) - 1:
                self._app.note(self._view.anomaly(anomaly, self._before))
                other = self._before[anomaly.other]
                self._anomalies.append(
                    {
                        "kind": anomaly.kind,
                        "timestamp": event.time,
                        "other": other.time,
                        "seconds": anomaly.seconds,
                    }
                )

    def give(self, events: "Iterator[LoggedEvent]") -> None:
        """Give events as they come; what was given stands in the document at the end."""
        form = self._app.settings.form
        try:
            if form == "csv":
                from umi_cli.output.render import csv_lines

                for line in csv_lines(self._view.csv(events)):
                    streams.write(line, flush=True)
                return
            for event in events:
                self._count += 1
                self._give_one(event, form)
        finally:
            if not self._app.report.is_for_people:
                own = {"entries": self._records} if form == "json" else {}
                self._app.emit({**own, "count": self._count, "anomalies": self._anomalies})

    def _give_one(self, event: "LoggedEvent", form: str) -> None:
        if form == "table":
            streams.write(self._view.line(event) + "\n", flush=True)
        elif form == "raw":
            streams.write(event.raw.hex() + "\n", flush=True)
        elif form == "json":
            self._records.append(self._view.record(event))
        else:
            self._app.event("logged", **self._view.record(event))
