"""How a load profile looks: the record of --json, a line an entry, and a sentence an anomaly."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from umi_cli.device.profile import Profile
from umi_cli.objects.series import Anomaly, Kind
from umi_cli.objects.values import to_json, to_text
from umi_cli.output.render import Table, timestamp

SENTENCES = {
    Kind.GAP: "{missing} half hours between {first} and {second} have no entry",
    Kind.DUPLICATE: "{second} stands twice",
    Kind.CLOCK_BACK: "the clock went back: {second} follows {first}",
    Kind.OFF_GRID: "{second} is no half hour",
    Kind.NO_TIME: "an entry has no time",
    Kind.CLOCK_SET: "the clock was set before {second}",
    Kind.CLOCK_UNCERTAIN: "{second} may be wrong, says the meter",
    Kind.RESTART: "the meter started anew before {second}",
    Kind.VOLUME_INVALID: "the reading at {second} is invalid, says the meter",
    Kind.READING_BACK: "the reading at {second} is less than the one before",
    Kind.COUNTER_WRAP: "the counter went past its highest number before {second}",
}


PEOPLE = ("time", "local", "reading", "consumption", "status", "anomalies")
COUNTED = ("reading", "consumption")


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A profile as its user asked for it.

    Args:
        profile: what was read.
        rows: places of the entries that are shown.
        anomalies: what is odd about them, and around them.
        zone: of the local times; None if there are none.
    """

    profile: Profile
    rows: list[int]
    anomalies: list[Anomaly]
    zone: tzinfo | None

    @classmethod
    def of(cls, profile: Profile, zone: tzinfo | None) -> "ProfileView":
        """Return how a profile looks in a zone."""
        series = profile.series
        odd = [
            anomaly
            for anomaly in series.anomalies()
            if series.concerns(anomaly, profile.since, profile.until)
        ]
        return cls(profile, profile.rows, odd, zone)

    @property
    def record(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        profile = self.profile
        numbers = {place: number for number, place in enumerate(self.rows)}
        return {
            "since": profile.since,
            "until": profile.until,
            "pointer": profile.pointer,
            "complete": profile.failure is None,
            "unit": profile.series.unit,
            "interval_s": int(profile.series.interval.total_seconds()),
            "entries": list(self._records()),
            "anomalies": [self._odd_record(anomaly, numbers) for anomaly in self.anomalies],
        }

    @property
    def table(self) -> Table:
        """Return the entries for people."""
        return self._table(*PEOPLE, unit=self.profile.series.unit)

    @property
    def csv(self) -> Table:
        """Return the entries for spreadsheets."""
        return self._table(*PEOPLE, "unit", "rate")

    @property
    def raw(self) -> list[bytes]:
        """Return the wire bytes of each entry."""
        return [self.profile.series.entries[place].raw for place in self.rows]

    def sentences(self) -> Iterator[str]:
        """Yield what is odd, a sentence each."""
        for anomaly in self.anomalies:
            first, second = self._times(anomaly)
            text = SENTENCES[anomaly.kind].format(
                first=_shown(first), second=_shown(second), missing=anomaly.missing
            )
            yield f"{anomaly.kind}: {text}"

    def _table(self, *names: str, unit: str = "") -> Table:
        shown = [name for name in names if name != "local" or self.zone]
        columns = [f"{name} [{unit}]" if unit and name in COUNTED else name for name in shown]
        rows = ([cells[name] for name in shown] for cells in self._cells())
        return Table(columns=tuple(columns), rows=rows)

    def _cells(self) -> Iterator[dict[str, object]]:
        kinds, series = self._kinds(), self.profile.series
        for place in self.rows:
            entry = series.entries[place]
            yield {
                "time": entry.timestamp,
                "local": self._local(entry.timestamp),
                "reading": series.reading(place),
                "consumption": series.consumption(place),
                "unit": series.unit,
                "status": to_text(entry.status),
                "rate": entry.rate,
                "anomalies": ",".join(kinds.get(place, [])),
            }

    def _records(self) -> Iterator[dict[str, Any]]:
        kinds, series = self._kinds(), self.profile.series
        for place in self.rows:
            entry = series.entries[place]
            yield {
                "time": entry.timestamp,
                **({"local": self._local(entry.timestamp)} if self.zone else {}),
                "count": entry.count,
                "reading": to_json(series.reading(place)),
                "consumption": to_json(series.consumption(place)),
                "status": to_json(entry.status),
                "rate": entry.rate,
                "anomalies": kinds.get(place, []),
            }

    def _local(self, moment: datetime | None) -> str | None:
        """Return a local time with its offset, so that an hour that comes twice is told apart."""
        if self.zone is None or moment is None:
            return None
        return moment.astimezone(self.zone).isoformat()

    def _kinds(self) -> dict[int, list[str]]:
        """Return what is odd, by the place of the entry that shows it."""
        kinds: dict[int, list[str]] = {}
        for anomaly in self.anomalies:
            kinds.setdefault(anomaly.second, []).append(anomaly.kind)
        return kinds

    def _odd_record(self, anomaly: Anomaly, numbers: dict[int, int]) -> dict[str, Any]:
        first, second = self._times(anomaly)
        missing = {"missing": anomaly.missing} if anomaly.kind is Kind.GAP else {}
        return {
            "kind": anomaly.kind,
            "from": first,
            "to": second,
            **missing,
            "entries": [numbers.get(anomaly.first), numbers.get(anomaly.second)],
        }

    def _times(self, anomaly: Anomaly) -> tuple[datetime | None, datetime | None]:
        entries = self.profile.series.entries
        return entries[anomaly.first].timestamp, entries[anomaly.second].timestamp


def _shown(moment: datetime | None) -> str:
    return timestamp(moment) if moment else "an entry without a time"
