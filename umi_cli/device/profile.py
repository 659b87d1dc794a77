"""How is the load profile of a meter read, and its window moved on (protocol 4, profile objects)?

Reading leaves profile-control alone: where the meter's window begins is the read pointer of the
head-end, which would miss what somebody else has skipped. A datasheet of another meter does as
well, as far as it has the same names.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from umi_cli.device.backwards import Tail, read_backwards
from umi_cli.device.meter import Meter, PartialReadError
from umi_cli.errors import InputError, MalformedError, NotInDatasheetError, UmiError
from umi_cli.objects.composites import Array, Structure
from umi_cli.objects.series import HALF_HOUR, Entry, Series
from umi_cli.objects.value_types import Integer
from umi_cli.objects.values import Enumerated, Flags, Value
from umi_cli.types import ObjectPart

TABLE, STATUS, POINTER = "profile-table", "profile-status", "profile-control/start_time"
READING, TIMESTAMP, FLAGS, RATE = "reading", "timestamp", "status", "rate"
ENTRIES, WINDOW_START, LAST, UNIT = "entries", "start_time", "last_execution", "unit_code"
DAY_ENTRIES = timedelta(days=1) // HALF_HOUR
STEP = DAY_ENTRIES  # little enough for a bar to move on a slow line
SECOND = timedelta(seconds=1)

_UNIT = re.compile(r"(?:(\d+(?:\.\d+)?) )?(\S+)")  # `0.01 m³`, `dm³`


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What was read of a load profile."""

    series: Series
    """All entries that came, the newest ones of the meter without a hole."""
    since: datetime | None
    until: datetime | None
    pointer: datetime | None
    """Where the window begins that the meter shows; None: it shows all it has."""
    is_whole: bool
    """The series begins where the meter's window does."""
    is_unit_known: bool
    """The meter said what it counts in; the datasheet's unit stands in for it otherwise."""
    failure: UmiError | None = None
    """Why older entries did not come."""

    @property
    def rows(self) -> list[int]:
        """Return the places of the entries that were asked for, in the meter's order."""
        return self.series.within(self.since, self.until)

    @property
    def is_cut_by_pointer(self) -> bool:
        """Tell whether the meter's window begins later than what was asked for."""
        return self.pointer is not None and (self.since is None or self.pointer > self.since)

    def next_pointer(self) -> datetime | None:
        """Return where the window may begin once the rows were taken; None if there are no rows.

        That is behind the last row. The clock may have gone back since an earlier one: the meter
        then shows some again, which is better than to hide what it has yet to write.

        Raises:
            InputError: entries that are no rows would be hidden with them, or may be.
        """
        rows = [place for place in self.rows if self.series.entries[place].timestamp]
        last = self.series.entries[rows[-1]].timestamp if rows else None
        if last is None:
            return None
        given = set(rows)
        hidden = [
            entry
            for place, entry in enumerate(self.series.entries)
            if place not in given and entry.timestamp is not None and entry.timestamp <= last
        ]
        if hidden or not self.is_whole:
            count = f"{len(hidden)} entries" if self.is_whole else "entries"
            raise InputError(
                f"to acknowledge would hide {count} that are not given here",
                hint="leave --since out, so that every entry up to the last one is given",
            )
        return last + SECOND


def read_profile(
    meter: Meter,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    is_all: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Profile:
    """Read the entries of a stretch of time, and a day before it.

    The table is read from its end backwards. choice: a read is over once it has as many entries as
    there are half hours since `since`, and the oldest whole day of them lies before it. A clock
    that was set puts the order out, and a day of margin takes that up. An entry that bears a time
    in the stretch and was written before all that, by a clock that was far ahead, is found only
    without `since`.

    Args:
        since: the first moment that belongs to it; None for all the meter has.
        until: the first moment after it.
        is_all: read the whole table, whatever `since` is.
        on_progress: told how many entries have come, and how many may have to.

    Raises:
        NotInDatasheetError: the datasheet has no profile table, or another kind of one.
        UmiError: as in `Meter.read`, if nothing came at all.
    """
    return _Reader(meter, None if is_all else since, on_progress).read(since, until)


def acknowledge(meter: Meter, pointer: datetime) -> None:
    """Have the meter's window begin at a moment; what it shows of the profile begins there.

    Raises:
        AccessDeniedError: our role may not.
        UmiError: as in `Meter.write`.
    """
    meter.write(POINTER, pointer)


class _Reader:
    """A read of the profile, and what the datasheet and the status say of its entries."""

    def __init__(
        self, meter: Meter, since: datetime | None, on_progress: Callable[[int, int], None]
    ) -> None:
        self._meter = meter
        self._since = since
        self._on_progress = on_progress
        self._table = meter.catalogue.resolve(TABLE)
        self._counter = _counter_of(meter)
        element = meter.catalogue.type_of(self._table)
        self._element_bytes = element.element.max_bytes if isinstance(element, Array) else 0
        self._status: dict[str, Value] = {}

    def read(self, since: datetime | None, until: datetime | None) -> Profile:
        tail = self._tail()
        pointer = self._status.get(WINDOW_START)
        scale, unit, is_known = self._unit()
        series = Series(
            entries=self._entries(tail.elements),
            scale=scale,
            unit=unit,
            counter_bits=8 * self._counter.width,
        )
        return Profile(
            series=series,
            since=since,
            until=until,
            pointer=pointer if isinstance(pointer, datetime) else None,
            is_whole=tail.first == 0 and tail.failure is None,
            is_unit_known=is_known,
            failure=tail.failure,
        )

    def _tail(self) -> Tail[bytes]:
        if self._meter.catalogue.has(STATUS):
            tail = read_backwards(self._count, self._elements, STEP, self._is_enough)
            self._tell(len(tail.elements))
            return tail
        # Without a status nobody knows how many there are: all of them, as the device gives them.
        try:
            raw, failure = self._meter.read(self._table).raw, None
        except PartialReadError as error:
            raw, failure = error.got.raw, error.cause
        return Tail(elements=self._split(raw), first=0, failure=failure)

    def _count(self) -> int:
        found = self._meter.read(STATUS)
        status = found.value if isinstance(found.value, dict) else {}
        count = status.get(ENTRIES)
        if not isinstance(count, int):
            raise NotInDatasheetError(f"the datasheet has no number of {ENTRIES} in {STATUS}")
        self._status = status
        return count

    def _elements(self, first: int, last: int) -> list[bytes]:
        part = ObjectPart(self._table.code, first, last)
        try:
            return self._split(self._meter.read(part).raw)
        except PartialReadError as error:
            raise error.cause from error  # between half a step and what is held was a hole

    def _split(self, raw: bytes) -> list[bytes]:
        size = self._element_bytes
        if len(raw) % size:
            raise MalformedError(f"{len(raw)} bytes are no elements of {size} bytes")
        return [raw[at : at + size] for at in range(0, len(raw), size)]

    def _is_enough(self, held: Sequence[bytes]) -> bool:
        self._tell(len(held))
        if self._since is None or len(held) < max(self._expected(), DAY_ENTRIES):
            return False
        times = [entry.timestamp for entry in self._entries(held[:DAY_ENTRIES])]
        return all(time is not None and time < self._since for time in times)

    def _expected(self) -> int:
        """Return how many half hours have passed since the stretch began, by the meter's clock."""
        latest = self._status.get(LAST)
        if self._since is None or not isinstance(latest, datetime):
            return 0
        return max(0, (latest - self._since) // HALF_HOUR + 1)

    def _tell(self, done: int) -> None:
        count = self._status.get(ENTRIES)
        total = count if isinstance(count, int) else done
        likely = self._expected() + 2 * DAY_ENTRIES
        if self._since is not None and done <= likely:
            total = min(total, likely)
        self._on_progress(done, total)

    def _entries(self, elements: Sequence[bytes]) -> list[Entry]:
        if not elements:
            return []
        part = ObjectPart(self._table.code, 0, len(elements) - 1)
        records: Any = self._meter.catalogue.decode(part, b"".join(elements))
        return [self._entry(raw, record) for raw, record in zip(elements, records, strict=True)]

    def _entry(self, raw: bytes, record: dict[str, Any]) -> Entry:
        status, rate = record.get(FLAGS), record.get(RATE)
        return Entry(
            raw=raw,
            count=int(record[READING] / (self._counter.scale or 1)),
            timestamp=record[TIMESTAMP],
            status=status if isinstance(status, Flags) else Flags(0, ()),
            rate=rate if isinstance(rate, int) else None,
        )

    def _unit(self) -> tuple[Decimal, str, bool]:
        """Return what a step is worth, its unit, and whether the meter said so."""
        code = self._status.get(UNIT)
        if isinstance(code, Enumerated) and (found := _UNIT.fullmatch(code.name or "")):
            return Decimal(found[1] or 1), found[2], True
        return self._counter.scale or Decimal(1), self._counter.unit, UNIT not in self._status


def _counter_of(meter: Meter) -> Integer:
    """Return the type of the readings; `NotInDatasheetError` unless entries have what is needed."""
    array = meter.catalogue.type_of(meter.catalogue.resolve(TABLE))
    element = array.element if isinstance(array, Array) else array
    members = element.members if isinstance(element, Structure) else ()
    types = {member.name: member.type for member in members}
    counter = types.get(READING)
    if not isinstance(array, Array) or not isinstance(counter, Integer) or TIMESTAMP not in types:
        raise NotInDatasheetError(
            f"{TABLE} of the datasheet {meter.catalogue.datasheet.name} is no table with a"
            f" {READING} and a {TIMESTAMP}",
            hint=f"read it as it is with: umi read {TABLE}",
        )
    return counter
