"""What does a power cut leave of what a virtual meter was writing? A small model of its flash.

Two image slots and four places for records. Everything goes through three writes that can be
counted and cut short: before one, in the middle (a prefix has landed), or behind it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

SLOTS = 2
# choice: an image of 16 MiB with its header, signature record and tag
SLOT_BYTES = (16 << 20) + 4096
MAX_RECORD_BYTES = 256
ERASED = b"\xff"
UNTOUCHED = -1  # a write that the power was lost before


class PowerCut(Exception):
    """The power was lost while something was written; what has landed stands."""


class Place(IntEnum):
    """Where a record stands: two places take turns, so that one is whole at any moment."""

    BOOT_A = 0
    BOOT_B = 1
    TRANSFER_A = 2
    TRANSFER_B = 3


class WriteKind(IntEnum):
    """What a write does."""

    ERASE = 1
    """A whole slot."""
    DATA = 2
    """Bytes at an offset of a slot; what stood there is overwritten."""
    RECORD = 3
    """Erase a place, and write a record there; an empty one leaves it erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write; it lasts, and the power may be lost while it does."""

    kind: WriteKind
    number: int
    """Of the slot, or of the place."""
    offset: int = 0
    """In the slot."""
    data: bytes = b""

    def __post_init__(self) -> None:
        if not 0 <= self.number < (len(Place) if self.kind is WriteKind.RECORD else SLOTS):
            raise ValueError(f"there is no slot or place {self.number}")
        room = MAX_RECORD_BYTES if self.kind is WriteKind.RECORD else SLOT_BYTES
        if not 0 <= self.offset <= self.offset + len(self.data) <= room:
            raise ValueError(f"{len(self.data)} bytes at {self.offset} are past the end")


class Flash:
    """The flash memory of a meter, erased but for what it is given.

    Args:
        writes: what to begin with.
    """

    def __init__(self, writes: Sequence[Write] = ()) -> None:
        self.count = 0
        """How many writes there were, those that were cut short too."""
        self.interrupt: Callable[[int], int | None] = uninterrupted
        """Asked before each write, of so many bytes, how many land before the power is lost;
        `UNTOUCHED` if it is lost before, None if it stays."""
        self.listener: Callable[[Write], None] = _nobody
        """Told what has landed."""
        self._slots = [bytearray() for _ in range(SLOTS)]
        self._records = [b"" for _ in Place]
        for write in writes:
            self.apply(write)

    def content(self, slot: int, start: int, stop: int) -> bytes:
        """Return bytes of a slot; fewer where nothing was written."""
        return bytes(self._slots[slot][start:stop])

    def record(self, place: Place) -> bytes:
        """Return what stands in a place."""
        return self._records[place]

    def erase(self, slot: int) -> None:
        """Erase a slot; `PowerCut` as each write."""
        self._write(Write(kind=WriteKind.ERASE, number=slot), len(self._slots[slot]))

    def write(self, slot: int, offset: int, data: bytes) -> None:
        """Write bytes at an offset of a slot."""
        write = Write(kind=WriteKind.DATA, number=slot, offset=offset, data=data)
        self._write(write, len(data))

    def write_record(self, place: Place, data: bytes) -> None:
        """Write a record."""
        self._write(Write(kind=WriteKind.RECORD, number=place, data=data), len(data))

    def snapshot(self) -> list[Write]:
        """Return the writes that lead to what stands here."""
        slots = [
            Write(kind=WriteKind.DATA, number=number, data=bytes(content))
            for number, content in enumerate(self._slots)
        ]
        return slots + [
            Write(kind=WriteKind.RECORD, number=place, data=self._records[place]) for place in Place
        ]

    def _write(self, write: Write, length: int) -> None:
        self.count += 1
        landed = self.interrupt(length)
        if landed is None or landed >= length:
            self._land(write)
        elif landed > UNTOUCHED:
            self._land(_torn(write, landed))
        if landed is not None:
            raise PowerCut

    def _land(self, write: Write) -> None:
        self.apply(write)
        self.listener(write)

    def apply(self, write: Write) -> None:
        """Have a write landed that was made before."""
        if write.kind is WriteKind.RECORD:
            self._records[write.number] = write.data
            return
        slot = self._slots[write.number]
        if write.kind is WriteKind.ERASE:
            slot.clear()
            return
        gap = write.offset - len(slot)
        slot += ERASED * gap
        slot[write.offset : write.offset + len(write.data)] = write.data


def _torn(write: Write, landed: int) -> Write:
    """Return what a write has done when so many bytes have landed."""
    if write.kind is WriteKind.ERASE:
        return replace(write, kind=WriteKind.DATA, data=ERASED * landed)
    return replace(write, data=write.data[:landed])


def uninterrupted(length: int) -> int | None:
    """Let every write land whole."""
    return None


def _nobody(write: Write) -> None:
    pass
