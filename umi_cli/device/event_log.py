"""What happened to a device: its event log, read without moving anybody's read pointer.

Protocol 4: `event-control/start_time` is where the window begins that the device shows of its log;
it is the head-end's read pointer, and stays as it is until somebody acknowledges.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from umi_cli import wire
from umi_cli.device.backwards import Newer, Tail, read_backwards, read_newer
from umi_cli.device.meter import Meter
from umi_cli.errors import AccessDeniedError, NotInDatasheetError
from umi_cli.objects.composites import Array
from umi_cli.types import EPOCH, ObjectPart, from_datetime

STATUS, TABLE, CONTROL = "event-status", "event-table", "event-control"
CHUNK = 128  # entries, on a line that is quick; a slow one says itself how much at once
FEW = 10  # entries, on a slow line where few are needed: as many as a frame holds
MAX_BIT = 31  # event n is bit n of the bit fields, for n up to that
CLOCK_SET = 18
SETTLE_S = 2  # the clock on our side of the line knows the device's to a second
# choice: after a clock was set back, later times stand before earlier ones. So it is read on until
# one is older than asked for by more than clocks are set by.
CLOCK_MARGIN = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """An entry of the event table, as the device has it."""

    number: int
    time: datetime | None
    """By the device's clock, in UTC; None if it is not set."""
    data: bytes

    @property
    def raw(self) -> bytes:
        """Return the entry as it stands in the event table."""
        seconds = 0 if self.time is None else from_datetime(self.time)
        return wire.u32(self.number) + wire.u32(seconds) + self.data

    @property
    def bit(self) -> int:
        """Return its bit in the bit fields of events; 0 if it has none."""
        return 1 << self.number if self.number <= MAX_BIT else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStatus:
    """What the device says of its log."""

    start: datetime | None
    """Where its window begins; None: it shows all that it has."""
    entries: int
    first: datetime | None
    """The time of the first entry."""
    latest: datetime | None
    """The time of the last one."""
    active: int
    """Events that nobody has acknowledged: bit n stands for event n."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """What is odd about an entry; it is reported, and nothing is changed by it."""

    kind: str
    """`time-goes-back`, or `duplicate` of an entry to the last byte."""
    index: int
    """Of the entry, among those that were looked at."""
    other: int
    """Of the entry that it goes back behind, or repeats."""
    seconds: int = 0
    """How far the time goes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What is to be written to `event-control`."""

    events: int
    """Bit n stands for event n."""
    start: datetime | None
    """Where the window is to begin; None: where it does now, for it would hide what was not given.
    """

    @property
    def numbers(self) -> list[int]:
        """Return the numbers of the events."""
        return [number for number in range(MAX_BIT + 1) if self.events >> number & 1]


class EventLog:
    """The event log of an open device.

    Args:
        meter: the device.

    Raises:
        NotInDatasheetError: its datasheet has no event log.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._table = meter.catalogue.resolve(TABLE)
        table = meter.catalogue.type_of(self._table)
        entry_bytes = table.element.max_bytes if isinstance(table, Array) else table.max_bytes
        limit_bytes = meter.transport.chunk_bytes
        self._chunk = CHUNK if limit_bytes is None else max(1, limit_bytes // entry_bytes)
        self._few = CHUNK if limit_bytes is None else min(FEW, self._chunk)

    def status(self) -> EventStatus:
        """Read what the device says of its log; raises as `Meter.read` does."""
        value = self._meter.read(STATUS).value
        return EventStatus(
            start=_member(value, "start_time"),
            entries=int(_member(value, "entries")),
            first=_member(value, "first_timestamp"),
            latest=_member(value, "latest_timestamp"),
            active=int(_member(value, "active")),
        )

    def since(self, moment: datetime | None) -> Tail[LoggedEvent]:
        """Read the entries from a moment on, and some before it; all for None.

        Raises:
            UmiError: as `Meter.read` does, if nothing came at all.
        """
        edge = None if moment is None else max(moment, EPOCH + CLOCK_MARGIN) - CLOCK_MARGIN

        def is_enough(known: Sequence[LoggedEvent]) -> bool:
            latest = _latest_before(known[0])
            return edge is not None and latest is not None and latest < edge

        chunk = self._chunk if moment is None else self._few
        return read_backwards(self._count, self._read, chunk, is_enough)

    def last(self) -> list[LoggedEvent]:
        """Read the newest entries, some ten of them; raises as `since` does."""
        tail = read_backwards(self._count, self._read, self._few, lambda known: True)
        return tail.elements

    def newer(self, seen: Sequence[LoggedEvent]) -> Newer[LoggedEvent]:
        """Read what has come since these; raises as `Meter.read` does."""
        return read_newer(self._count, self._read, self._few, seen)

    def settle(self, last: LoggedEvent) -> bool:
        """Tell whether whatever comes now is later than an entry; wait for that if it is soon.

        Raises:
            LostError: the device was lost meanwhile.
        """
        if last.time is None:
            return False
        ahead_s = from_datetime(last.time) - self._meter.session.device_now_s
        if 0 <= ahead_s <= SETTLE_S:  # more could be logged in the same second
            self._meter.session.listen(ahead_s + 1)
        return ahead_s <= SETTLE_S

    def acknowledge(self, wanted: Acknowledgement) -> None:
        """Write `event-control`; raises as `Meter.write` does."""
        start, flags = self._control()
        value = {
            "start_time": wanted.start or start,
            "flags": flags,
            "acknowledge": wanted.events,
        }
        self._meter.write(CONTROL, value)

    def _control(self) -> tuple[datetime | None, int]:
        """Return where the window begins, and the flags, so that neither changes unasked."""
        try:
            value = self._meter.read(CONTROL).value
        except AccessDeniedError:  # who may write it need not be let read it
            return self.status().start, 0
        flags = _member(value, "flags")
        return _member(value, "start_time"), int(getattr(flags, "number", flags))

    def _count(self) -> int:
        return self.status().entries

    def _read(self, first: int, last: int) -> list[LoggedEvent]:
        part = ObjectPart(self._table.code, first, last)
        value = self._meter.read(part).value
        return [_entry(each) for each in value] if isinstance(value, list) else []


def _entry(value: Any) -> LoggedEvent:
    event = _member(value, "event")
    return LoggedEvent(
        number=int(getattr(event, "number", event)),
        time=_member(value, "timestamp"),
        data=bytes(_member(value, "data")),
    )


def _latest_before(event: LoggedEvent) -> datetime | None:
    """Return the latest time that the entry before this one may have, but for unknown clock sets.

    Before the entry of a clock set stand entries as much later as the clock was set back.
    """
    if event.time is None or event.number != CLOCK_SET:
        return event.time
    change_s = int.from_bytes(event.data[:4], "little", signed=True)
    return event.time + timedelta(seconds=max(0, -change_s))


def _member(value: Any, name: str) -> Any:
    if not isinstance(value, Mapping) or name not in value:
        raise NotInDatasheetError(
            f"the datasheet's event log has no member {name}",
            hint="see what it should have in the datasheet ei4: umi objects event-table",
        )
    return value[name]


def anomalies_of(events: Sequence[LoggedEvent]) -> list[Anomaly]:
    """Return where the time goes back, and which entries repeat another to the last byte."""
    found: list[Anomaly] = []
    seen: dict[LoggedEvent, int] = {}
    timed: int | None = None
    for index, event in enumerate(events):
        if event in seen:
            found.append(Anomaly(kind="duplicate", index=index, other=seen[event]))
        seen.setdefault(event, index)
        if event.time is None:
            continue
        before = None if timed is None else events[timed].time
        if timed is not None and before is not None and event.time < before:
            seconds = int((before - event.time).total_seconds())
            found.append(Anomaly(kind="time-goes-back", index=index, other=timed, seconds=seconds))
        timed = index
    return found


def acknowledgement_of(
    given: Sequence[LoggedEvent], others: Iterable[LoggedEvent], *, is_whole: bool
) -> Acknowledgement | None:
    """Return what acknowledges the entries that were given; None if there is nothing to.

    The window moves on behind the last one, but never past an entry that nobody was given.

    Args:
        given: in the order of the log.
        others: entries of the log that were not given.
        is_whole: there is no entry but these.
    """
    if not given:
        return None
    events = 0
    for event in given:
        events |= event.bit
    last = given[-1].time
    if last is None or not is_whole:
        return Acknowledgement(events=events, start=None)
    start = last + timedelta(seconds=1)
    is_safe = all(each.time is not None and each.time >= start for each in others)
    return Acknowledgement(events=events, start=start if is_safe else None)
