"""How logged events look: a line, a row, a JSON record, in the words of the datasheet."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from umi_cli.output.render import Table, timestamp

if TYPE_CHECKING:
    from umi_cli.device.event_log import Anomaly, LoggedEvent
    from umi_cli.objects.catalogue import Catalogue
    from umi_cli.objects.event_data import EventData

NO_TIME = "not set"
PLOT_MARGIN = 12  # columns beside the names and the picture: gaps, and a number
MIN_PLOT_COLUMNS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A logged event, and where it stands in the table."""

    event: "LoggedEvent"
    element: int


class EventView:
    """Shows logged events.

    Args:
        catalogue: what is known of them.
        zone: the zone of the local times beside UTC; none are shown if None.
    """

    def __init__(self, catalogue: "Catalogue", zone: tzinfo | None) -> None:
        self._catalogue = catalogue
        self._zone = zone

    def name(self, number: int) -> str:
        """Return what the datasheet calls an event."""
        known = self._catalogue.event(number)
        return known.name if known else f"event {number}"

    def record(self, event: "LoggedEvent") -> dict[str, Any]:
        """Return the record of `--json`."""
        from umi_cli.objects.values import to_json

        known = self._catalogue.event(event.number)
        data = self._data(event)
        local = {} if self._zone is None else {"local": self._local(event)}
        return {
            "event": {"number": event.number, "name": known.name if known else None},
            "title": known.title if known else None,
            "timestamp": timestamp(event.time) if event.time else None,
            **local,
            "data": None if data.values is None else to_json(data.values),
            "text": data.text,
            "fault": data.fault or None,
            "raw": event.data,
        }

    def line(self, event: "LoggedEvent") -> str:
        """Return one line for people."""
        moment, local = self._time(event), self._local(event)
        when = moment if local is None else f"{moment}  {local}"
        text = self._data(event).text
        return f"{when}  {self.name(event.number)}" + (f": {text}" if text else "")

    def table(self, entries: Iterable[Entry]) -> Table:
        """Return the table for people."""
        columns = ("time", *self._local_column, "event", "data")
        rows = (
            [self._time(e.event), *self._local_cell(e.event), *self._words(e.event)]
            for e in entries
        )
        return Table(columns=columns, rows=rows)

    def csv(self, events: Iterable["LoggedEvent"]) -> Table:
        """Return the table of `-o csv`; the events may still be to come."""
        columns = ("timestamp", *self._local_column, "number", "event", "data", "raw", "fault")
        return Table(columns=columns, rows=self._csv_rows(events))

    def anomaly(self, anomaly: "Anomaly", entries: Sequence["LoggedEvent"]) -> str:
        """Return an anomaly as a sentence."""
        event, other = entries[anomaly.index], entries[anomaly.other]
        if anomaly.kind == "duplicate":
            return f"the log has this twice: {self.line(event)}"
        return (
            f"the time goes back by {anomaly.seconds} s: {self.line(event)}"
            f" stands behind {self._time(other)}"
        )

    def plot(self, events: Sequence["LoggedEvent"], width: int, levels: str) -> str:
        """Return a picture of how often what happened, in lines of a width."""
        from umi_cli.output.timeline import timeline

        timed = [(self.name(each.number), each.time) for each in events if each.time]
        label = max((len(name) for name, _ in timed), default=0)
        columns = max(MIN_PLOT_COLUMNS, width - label - PLOT_MARGIN)
        return "\n".join(timeline(timed, columns, levels))

    def _csv_rows(self, events: Iterable["LoggedEvent"]) -> Iterator[list[object]]:
        for event in events:
            data = self._data(event)
            known = self._catalogue.event(event.number)
            yield [
                event.time and timestamp(event.time),
                *self._local_cell(event),
                event.number,
                known.name if known else None,
                data.text or None,
                event.data,
                data.fault or None,
            ]

    @property
    def _local_column(self) -> tuple[str, ...]:
        return () if self._zone is None else ("local",)

    def _local_cell(self, event: "LoggedEvent") -> list[object]:
        return [] if self._zone is None else [self._local(event)]

    def _words(self, event: "LoggedEvent") -> list[object]:
        return [self.name(event.number), self._data(event).text]

    def _time(self, event: "LoggedEvent") -> str:
        return timestamp(event.time) if event.time else NO_TIME

    def _local(self, event: "LoggedEvent") -> str | None:
        """Return the local time with its offset."""
        if self._zone is None or event.time is None:
            return None
        return event.time.astimezone(self._zone).isoformat(timespec="seconds")

    def _data(self, event: "LoggedEvent") -> "EventData":
        from umi_cli.objects.event_data import describe

        return describe(self._catalogue.event(event.number), event.data)
