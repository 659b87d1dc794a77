"""What is odd about a load profile: gaps, doubled times, clock jumps, restarts (protocol 4).

Entries come in the meter's order and stay in it: nothing here sorts, merges, drops or makes up.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from umi_cli.objects.values import Flags
from umi_cli.types import EPOCH

HALF_HOUR = timedelta(minutes=30)
COUNTER_BITS = 32


class Kind(StrEnum):
    """What can be odd about an entry, or about two."""

    GAP = "gap"
    """Half hours between two entries have none."""
    DUPLICATE = "duplicate"
    """Two entries bear the same time."""
    CLOCK_BACK = "clock-back"
    """An entry bears an earlier time than the one before it."""
    OFF_GRID = "off-grid"
    """A time is no multiple of the interval."""
    NO_TIME = "no-time"
    """An entry bears no time: the clock was not set."""
    CLOCK_SET = "clock-set"
    CLOCK_UNCERTAIN = "clock-uncertain"
    RESTART = "restart"
    VOLUME_INVALID = "volume-invalid"
    READING_BACK = "reading-back"
    """A reading is less than the one before it."""
    COUNTER_WRAP = "counter-wrap"
    """The counter went past its highest number."""


FLAGGED: Mapping[str, Kind] = {
    "clock-set": Kind.CLOCK_SET,
    "software-restart": Kind.RESTART,
    "datetime-uncertain": Kind.CLOCK_UNCERTAIN,
    "invalid-volume-increment": Kind.VOLUME_INVALID,
}
"""By the datasheet's name of the status bit that says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the profile table."""

    raw: bytes
    """As it came over the wire."""
    count: int
    """Where the counter stands: an unscaled number."""
    timestamp: datetime | None
    """The end of the interval; None if the meter did not know it."""
    status: Flags
    """What casts doubt on it."""
    rate: int | None = None
    """Number of the tariff; None where the profile has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """Something odd, between two entries or about one."""

    kind: Kind
    first: int
    """Place of the earlier entry in the series; the later one's again if it is about one alone."""
    second: int
    """Place of the later entry."""
    missing: int = 0
    """How many intervals have no entry, of a gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Entries of a load profile, in the meter's order."""

    entries: Sequence[Entry]
    scale: Decimal = Decimal(1)
    """What a step of the counter is worth."""
    unit: str = ""
    interval: timedelta = HALF_HOUR
    counter_bits: int = COUNTER_BITS

    def reading(self, place: int) -> Decimal:
        """Return where the counter stands, exact, in the unit."""
        return self.entries[place].count * self.scale

    def consumption(self, place: int) -> Decimal | None:
        """Return what was used in the interval that an entry ends; None where that is unknown.

        It is known only if the entry before ends the interval before. A counter that goes past its
        highest number goes on at 0; a step back is negative.
        """
        if place == 0:
            return None
        before, after = self.entries[place - 1], self.entries[place]
        if before.timestamp is None or after.timestamp is None:
            return None
        if after.timestamp - before.timestamp != self.interval:
            return None
        return self._step(place) * self.scale

    def anomalies(self) -> list[Anomaly]:
        """Return all that is odd, in the order of the entries."""
        last_timed: int | None = None
        places: dict[datetime, int] = {}
        found: list[Anomaly] = []
        for place, entry in enumerate(self.entries):
            found += self._of_time(place, last_timed)
            if entry.timestamp is not None:
                last_timed = place
                if entry.timestamp in places:
                    found.append(_between(Kind.DUPLICATE, places[entry.timestamp], place))
                places[entry.timestamp] = place
            found += (_alone(FLAGGED[n], place) for n in entry.status.names if n in FLAGGED)
            found += self._of_reading(place)
        return found

    def within(self, since: datetime | None, until: datetime | None) -> list[int]:
        """Return the places of the entries of a stretch of time, `until` not included.

        An entry without a time cannot be shown to lie outside: it is one of them.
        """
        return [
            place
            for place, entry in enumerate(self.entries)
            if entry.timestamp is None or _overlaps(entry.timestamp, entry.timestamp, since, until)
        ]

    def concerns(self, anomaly: Anomaly, since: datetime | None, until: datetime | None) -> bool:
        """Tell whether something odd touches a stretch of time, `until` not included."""
        first = self.entries[anomaly.first].timestamp
        second = self.entries[anomaly.second].timestamp
        if first is None or second is None:
            return True
        return _overlaps(min(first, second), max(first, second), since, until)

    def _of_time(self, place: int, last_timed: int | None) -> Iterator[Anomaly]:
        """Yield what is odd about the time of an entry, by itself and behind the last time."""
        moment = self.entries[place].timestamp
        if moment is None:
            yield _alone(Kind.NO_TIME, place)
            return
        if (moment - EPOCH) % self.interval:
            yield _alone(Kind.OFF_GRID, place)
        before = None if last_timed is None else self.entries[last_timed].timestamp
        if before is None or last_timed is None:
            return
        if moment < before:
            yield _between(Kind.CLOCK_BACK, last_timed, place)
        # Entries without a time between the two fill an interval each.
        missing = -((before - moment) // self.interval) - (place - last_timed)
        if missing > 0:
            yield Anomaly(kind=Kind.GAP, first=last_timed, second=place, missing=missing)

    def _of_reading(self, place: int) -> Iterator[Anomaly]:
        if place == 0:
            return
        step, before = self._step(place), self.entries[place - 1].count
        if step < 0:
            yield _between(Kind.READING_BACK, place - 1, place)
        elif self.entries[place].count < before:
            yield _between(Kind.COUNTER_WRAP, place - 1, place)

    def _step(self, place: int) -> int:
        """Return how far the counter went since the entry before.

        choice: the shorter way round counts. Half of 2^32 steps in a row is no gas.
        """
        half = 1 << self.counter_bits - 1
        step = self.entries[place].count - self.entries[place - 1].count
        return (step + half) % (2 * half) - half


def _alone(kind: Kind, place: int) -> Anomaly:
    return Anomaly(kind=kind, first=place, second=place)


def _between(kind: Kind, first: int, second: int) -> Anomaly:
    return Anomaly(kind=kind, first=first, second=second)


def _overlaps(
    first: datetime, last: datetime, since: datetime | None, until: datetime | None
) -> bool:
    return (since is None or last >= since) and (until is None or first < until)
