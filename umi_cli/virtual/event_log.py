"""The event log of a virtual meter (protocol 4, events)."""

from collections.abc import Callable, Sequence
from enum import IntEnum
from struct import Struct

from umi_cli.types import UmiId

CAPACITY = 512  # records; the oldest go first
MAX_PUBLISHED = 31  # event n is bit n of the publish/subscribe bit field

_RECORD = Struct("<II8s")


class EventNumber(IntEnum):
    """The events that the virtual meter itself causes."""

    SOFTWARE_UPGRADE = 2
    CONFIGURATION_UPDATE = 3
    VALVE_RELEASED = 5
    VALVE_CLOSED = 6
    RESTART = 16
    OPTO_COMMUNICATIONS = 17
    CLOCK_SET = 18
    FAILED_AUTHENTICATION = 25
    BAD_DECRYPT = 30


class EventLog:
    """What happened, and which of it nobody has acknowledged yet.

    Args:
        records: (event, timestamp_s, data), oldest first; data as hex.
        active: bit n stands for event n.
    """

    def __init__(self, records: Sequence[tuple[int, int, str]] = (), active: int = 0) -> None:
        self._records: list[tuple[int, int, bytes]] = [
            _RECORD.unpack(_RECORD.pack(number, timestamp_s, bytes.fromhex(data)))
            for number, timestamp_s, data in records
        ]
        self.active = active
        self.subscribers: list[Callable[[int, int], None]] = []
        """Told the event's number and time."""
        self.receivers: list[Callable[[UmiId, int, int], None]] = []
        """Told what others publish to us: who, which events (bit n stands for event n), and when.
        """

    def receive(self, source: UmiId, events: int, timestamp_s: int) -> None:
        """Pass on what another device publishes."""
        for tell in list(self.receivers):
            tell(source, events, timestamp_s)

    @property
    def records(self) -> list[tuple[int, int, str]]:
        """Return all records, oldest first; data as hex."""
        return [(number, timestamp_s, data.hex()) for number, timestamp_s, data in self._records]

    def add(self, number: int, now_s: int, data: bytes = b"") -> None:
        """Log an event, and tell the subscribers."""
        self._records.append((number, now_s, data.ljust(8, b"\x00")))
        del self._records[:-CAPACITY]
        if number <= MAX_PUBLISHED:
            self.active |= 1 << number
            for tell in list(self.subscribers):
                tell(number, now_s)

    def since(self, start_s: int) -> list[tuple[int, int, bytes]]:
        """Return the records at or after a time, oldest first."""
        return [record for record in self._records if record[1] >= start_s]


def encode_records(records: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Return the event table: 16 bytes each."""
    return b"".join(_RECORD.pack(*record) for record in records)
