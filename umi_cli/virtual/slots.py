"""Which image does a virtual meter boot, and how far has a transfer come? Two slots (protocol 7).

Both are told by records in flash, each with a checksum; two places take turns. A record is
written when all that it speaks of stands, so the newest whole one is always true: whenever the
power is lost, a whole image boots, and a transfer goes on from what was acknowledged.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from struct import Struct
from typing import Protocol, Self, TypeVar
from zlib import crc32

from umi_cli import crypto, wire
from umi_cli.certificates.authorisation import EVERY_TARGET
from umi_cli.images.header import ImageHeader, ImageKind, ImageLabel, Version
from umi_cli.link.crc import crc
from umi_cli.virtual.flash import SLOT_BYTES, SLOTS, Flash, Place

BOOT_PLACES = (Place.BOOT_A, Place.BOOT_B)
TRANSFER_PLACES = (Place.TRANSFER_A, Place.TRANSFER_B)
DETAILS_BYTES = 65  # as umi.1.1.0.2 has them

_CHECKSUM_BYTES = 4
# choice: the records of the virtual meter's flash are its own; no one else reads them
_BOOT = Struct("<IBIBBBH32s65s")
_TRANSFER = Struct("<IBIII")


class NoImageError(Exception):
    """Neither slot holds a whole image: the flash is not as this meter leaves it."""


class _Record(Protocol):
    @property
    def generation(self) -> int: ...

    @classmethod
    def unpack(cls, body: bytes) -> Self: ...


R = TypeVar("R", bound=_Record)


# Boot record: u32 generation, u8 slot, u32 length, u8 major, minor, bugfix, u16 CRC, SHA-256,
# ascii[65] details; u32 CRC-32 of all that
@dataclass(frozen=True, slots=True, kw_only=True)
class BootRecord:
    """An image that may be run: where it is, what it is, and what it must look like."""

    generation: int
    """Counts up; the newest is to boot."""
    slot: int
    length_bytes: int
    """Of the package in the slot, as it came."""
    sha256: bytes = field(repr=False)
    """Of that package."""
    version: Version
    crc: int
    """Of that package; umi.1.1.0.2 tells it."""
    details: str
    """ASCII, up to 65 characters; umi.1.1.0.2 tells them."""

    def __post_init__(self) -> None:
        if self.slot >= SLOTS or self.length_bytes > SLOT_BYTES:
            raise ValueError(f"{self.length_bytes} bytes in slot {self.slot} are no image")

    def encode(self) -> bytes:
        """Return the bytes that stand in flash."""
        version, details = self.version, self.details.encode("ascii")
        return _checked(
            _BOOT.pack(
                self.generation,
                self.slot,
                self.length_bytes,
                version.major,
                version.minor,
                version.bugfix,
                self.crc,
                self.sha256,
                details,
            )
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        """Take apart what stands before a right checksum."""
        generation, slot, length, major, minor, bugfix, number, sha256, details = _BOOT.unpack(body)
        return cls(
            generation=generation,
            slot=slot,
            length_bytes=length,
            sha256=sha256,
            version=Version(major, minor, bugfix),
            crc=number,
            details=details.rstrip(b"\0").decode("ascii"),
        )


# Transfer record: u32 generation, u8 slot, u32 length, u32 block length, u32 received; u32 CRC-32
@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """How far an image transfer has come."""

    generation: int
    """Counts up; the newest is true."""
    slot: int
    length_bytes: int
    """Of the package that is to come; 0: none is."""
    block_bytes: int = 0
    """Of every block but the last; 0 before the first."""
    received_bytes: int = 0

    def __post_init__(self) -> None:
        is_measured = self.block_bytes if self.received_bytes else not self.block_bytes
        if self.slot >= SLOTS or self.length_bytes > SLOT_BYTES or not is_measured:
            raise ValueError("this is no transfer")

    @property
    def blocks(self) -> int:
        """Return how many blocks have come: the number of the next one."""
        return -(-self.received_bytes // self.block_bytes) if self.block_bytes else 0

    @property
    def is_complete(self) -> bool:
        """Tell whether all has come that was announced."""
        return self.received_bytes == self.length_bytes

    @property
    def last_block_at(self) -> int:
        """Return where the last block that has come begins."""
        return (self.blocks - 1) * self.block_bytes

    def encode(self) -> bytes:
        """Return the bytes that stand in flash."""
        return _checked(
            _TRANSFER.pack(
                self.generation,
                self.slot,
                self.length_bytes,
                self.block_bytes,
                self.received_bytes,
            )
        )

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        """Take apart what stands before a right checksum."""
        generation, slot, length, block, received = _TRANSFER.unpack(body)
        return cls(
            generation=generation,
            slot=slot,
            length_bytes=length,
            block_bytes=block,
            received_bytes=received,
        )


def _checked(body: bytes) -> bytes:
    return body + wire.u32(crc32(body))


def _whole(kind: type[R], layout: Struct, data: bytes) -> R | None:
    """Return the record in these bytes; None if it was torn, or there is none."""
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(body) != layout.size or wire.u32(crc32(body)) != checksum:
        return None
    return kind.unpack(body)


class Slots:
    """The two image slots of a meter.

    Args:
        flash: where they are.

    Raises:
        NoImageError: neither holds a whole image.
    """

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        self.running = self.boot()
        """What the meter runs since its last start."""

    def boot(self) -> BootRecord:
        """Start the newest image that is whole."""
        for record, place in sorted(self._bootable(), key=_generation, reverse=True):
            if self._is_whole(record):
                self.running, self._running_place = record, place
                return record
        raise NoImageError("neither slot holds a whole image")

    @property
    def waiting(self) -> BootRecord | None:
        """Return the image that was accepted and will boot next; None if that is the running."""
        newest, _ = max(self._bootable(), key=_generation)
        return newest if newest.generation > self.running.generation else None

    @property
    def transfer(self) -> Transfer | None:
        """Return the transfer that is under way."""
        newest = max(self._transfers(), key=_generation, default=None)
        # A transfer into the slot that runs has ended: only that was not written any more.
        if newest is None or not newest[0].length_bytes or newest[0].slot == self.running.slot:
            return None
        return newest[0]

    def begin(self, length_bytes: int) -> None:
        """Make room for a package, whatever was under way or waited to boot."""
        if self.transfer:
            self.forget()
        slot = 1 - self.running.slot
        if self.waiting:  # before its slot is erased, or another image would boot from there
            self._flash.write_record(_other(BOOT_PLACES, self._running_place), b"")
        self._flash.erase(slot)
        self._note(Transfer(generation=0, slot=slot, length_bytes=length_bytes))

    def add(self, data: bytes) -> None:
        """Take the next block of the transfer: it counts when both writes have landed."""
        transfer = self._under_way()
        self._flash.write(transfer.slot, transfer.received_bytes, data)
        self._note(
            replace(
                transfer,
                block_bytes=transfer.block_bytes or len(data),
                received_bytes=transfer.received_bytes + len(data),
            )
        )

    def last_block(self) -> bytes:
        """Return the block of the transfer that came last."""
        transfer = self._under_way()
        return self._flash.content(transfer.slot, transfer.last_block_at, transfer.received_bytes)

    def package(self) -> bytes:
        """Return what has come."""
        transfer = self._under_way()
        return self._flash.content(transfer.slot, 0, transfer.received_bytes)

    def switch(self, version: Version, details: str) -> None:
        """Have the package that has come boot from the next start on; the transfer is over."""
        package = self.package()
        record = BootRecord(
            generation=self.running.generation + 1,
            slot=self._under_way().slot,
            length_bytes=len(package),
            sha256=crypto.sha256(package),
            version=version,
            crc=crc(package),
            details=details,
        )
        self._flash.write_record(_other(BOOT_PLACES, self._running_place), record.encode())
        self.forget()

    def forget(self) -> None:
        """End the transfer; its slot is forgotten."""
        self._note(replace(self._under_way(), length_bytes=0))

    def _under_way(self) -> Transfer:
        transfer = self.transfer
        if transfer is None:
            raise ValueError("no transfer is under way")
        return transfer

    def _note(self, transfer: Transfer) -> None:
        """Write a transfer record over the older one."""
        newest = max(self._transfers(), key=_generation, default=None)
        place, generation = TRANSFER_PLACES[0], 1
        if newest:
            place, generation = _other(TRANSFER_PLACES, newest[1]), newest[0].generation + 1
        self._flash.write_record(place, replace(transfer, generation=generation).encode())

    def _bootable(self) -> Iterator[tuple[BootRecord, Place]]:
        for place in BOOT_PLACES:
            if record := _whole(BootRecord, _BOOT, self._flash.record(place)):
                yield record, place

    def _transfers(self) -> Iterator[tuple[Transfer, Place]]:
        for place in TRANSFER_PLACES:
            if record := _whole(Transfer, _TRANSFER, self._flash.record(place)):
                yield record, place

    def _is_whole(self, record: BootRecord) -> bool:
        content = self._flash.content(record.slot, 0, record.length_bytes)
        return len(content) == record.length_bytes and crypto.sha256(content) == record.sha256


def _generation(found: tuple[_Record, Place]) -> int:
    return found[0].generation


def _other(places: tuple[Place, Place], place: Place) -> Place:
    return places[1 - places.index(place)]


_DELIVERED_IMAGE = b"umi-cli virtual meter\n"
DELIVERED_MODEL = "EISGMv0"
_DELIVERED_HEADER = ImageHeader(
    kind=ImageKind.DEVICE,
    label=ImageLabel(
        model=DELIVERED_MODEL, version=Version(1, 4, 2), targets=EVERY_TARGET, built_s=0
    ),
    image_bytes=len(_DELIVERED_IMAGE),
    image_sha256=crypto.sha256(_DELIVERED_IMAGE),
)
_DELIVERED_PACKAGE = _DELIVERED_HEADER.encode() + _DELIVERED_IMAGE
DELIVERED = BootRecord(
    generation=1,
    slot=0,
    length_bytes=len(_DELIVERED_PACKAGE),
    sha256=crypto.sha256(_DELIVERED_PACKAGE),
    version=Version(1, 4, 2),
    crc=0x5EFE,  # of a meter in the field, not of what the slot holds
    details="umi-cli virtual meter",
)
"""What a meter runs as it leaves the factory."""


def delivered_flash() -> Flash:
    """Return the flash of a meter that has never taken an image."""
    flash = Flash()
    flash.write(DELIVERED.slot, 0, _DELIVERED_PACKAGE)
    flash.write_record(Place.BOOT_A, DELIVERED.encode())
    flash.count = 0
    return flash
