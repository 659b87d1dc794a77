"""The half-hourly load profile of a virtual meter, filled as its time passes (protocol 4)."""

from collections.abc import Sequence
from struct import Struct
from zlib import crc32

INTERVAL_S = 1800
CAPACITY = 4800  # records: 100 days, about what a gas meter keeps
DELIVERED = 7 * 48  # records: a new virtual meter has hung on its wall for a week
CLOCK_IN_SYNC = 1 << 0
CLOCK_SET = 1 << 1
SOFTWARE_RESTART = 1 << 5
RATE = 100  # as in the captured record

_RECORD = Struct("<IIHH")


class LoadProfile:
    """Readings at every half hour, in steps of 0.01 m³.

    Args:
        seed: what makes this meter's consumption its own.
        records: (reading, timestamp_s, status, rate), oldest first.
        due_s: when the next record is due; None for a meter that has never run.
        next_status: what will cast doubt on it.
    """

    def __init__(
        self,
        seed: int,
        records: Sequence[Sequence[int]] = (),
        due_s: int | None = None,
        next_status: int = CLOCK_IN_SYNC,
    ) -> None:
        self._seed = seed
        self._table = bytearray(b"".join(_RECORD.pack(*each) for each in records))
        self.due_s = due_s
        self.next_status = next_status

    @property
    def records(self) -> list[tuple[int, ...]]:
        """Return all records, oldest first."""
        return list(_RECORD.iter_unpack(self._table))

    def advance(self, now_s: int) -> None:
        """Add the records of the half hours that have passed by `now_s` (UMI datetime)."""
        last_s = now_s - now_s % INTERVAL_S
        if self.due_s is None:
            self.due_s = last_s - (DELIVERED - 1) * INTERVAL_S
        # A datetime of 0 is none: there is no record of the very first half hour.
        earliest_s = max(self.due_s, last_s - (CAPACITY - 1) * INTERVAL_S, INTERVAL_S)
        for timestamp_s in range(earliest_s, last_s + 1, INTERVAL_S):
            self._record(timestamp_s)
        self.due_s = max(self.due_s, last_s + INTERVAL_S)
        del self._table[: max(0, len(self._table) - CAPACITY * _RECORD.size)]

    def set_clock(self, new_s: int) -> None:
        """Go on from a clock that was set: what was jumped over is not made up."""
        self.due_s = _boundary_after(new_s)
        self.next_status |= CLOCK_SET

    def power_back(self, now_s: int) -> None:
        """Go on after a power cut: nobody measured the half hours that ended meanwhile."""
        # choice: they leave a gap, and the counter stood still meanwhile.
        if self.due_s is not None:
            self.due_s = max(self.due_s, _boundary_after(now_s))

    def since(self, start_s: int) -> bytes:
        """Return the table from the first record at or after a time, 12 bytes each."""
        table = bytes(self._table)
        if start_s == 0:
            return table
        kept = [each for each in _RECORD.iter_unpack(table) if each[1] >= start_s]
        return b"".join(_RECORD.pack(*each) for each in kept)

    def _record(self, timestamp_s: int) -> None:
        reading = 0
        if self._table:
            reading = _RECORD.unpack_from(self._table, len(self._table) - _RECORD.size)[0]
        used = _consumption(self._seed, timestamp_s)
        self._table += _RECORD.pack(
            reading + used & 0xFFFF_FFFF, timestamp_s, self.next_status, RATE
        )
        self.next_status = CLOCK_IN_SYNC


def _boundary_after(time_s: int) -> int:
    return time_s - time_s % INTERVAL_S + INTERVAL_S


def _consumption(seed: int, timestamp_s: int) -> int:
    """Return what was used in the half hour that ends then, in 0.01 m³: by day more."""
    hour = timestamp_s // 3600 % 24
    at_most = 40 if hour in (6, 7, 8, 17, 18, 19, 20, 21) else 12 if 6 <= hour < 23 else 4
    return crc32(b"%d/%d" % (seed, timestamp_s)) % (at_most + 1)
