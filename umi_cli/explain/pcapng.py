"""What a capture file is, block by block: pcapng, as Wireshark reads and writes it.

Source: the pcapng specification (draft-ietf-opsawg-pcapng). Three kinds of blocks are known here,
and any other is passed over:

    section header     byte order, comments, and which machine and program wrote the file
    interface          link type, name, description, how fine its times are
    enhanced packet    interface, time, bytes, direction, comments

What is written is little-endian and its times are microseconds; what is read may be of either byte
order and of any resolution.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from umi_cli.errors import MalformedError
from umi_cli.link.frame import Direction
from umi_cli.wire import ByteOrder, Reader, u8, u16, u32, u64

MAGIC = b"\x0a\x0d\x0d\x0a"
"""What a capture begins with, in either byte order."""
LINK_TYPE_FRAMES = 147
"""LINKTYPE_USER0: link frames, from the first byte of the header to the CRC."""
LINK_TYPE_LINE = 148
"""LINKTYPE_USER1: bytes of the line that are no frame: a sign-on, noise."""
LINK_TYPE_PACKETS = 149
"""LINKTYPE_USER2: application packets whose message was decrypted."""
MAX_BLOCK_BYTES = 1 << 20  # no packet of ours comes near; a damaged length must not fill memory
SNAP_BYTES = 262_144  # the longest packet that Wireshark takes
MAX_UTC_US = 253_402_300_799_999_999  # the last microsecond of the year 9999

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_ORDER_MAGIC = 0x1A2B3C4D
_UNKNOWN_LENGTH = 0xFFFF_FFFF_FFFF_FFFF
_HEAD_BYTES = 8  # type and length
_FRAME_BYTES = 12  # of a block around its body: type, length, length again

_END, _COMMENT = 0, 1
_HARDWARE, _SYSTEM, _APPLICATION = 2, 3, 4  # of a section
_NAME, _DESCRIPTION, _RESOLUTION, _TIME_OFFSET = 2, 3, 9, 14  # of an interface
_FLAGS = 2  # of a packet
_MICROSECONDS = 6  # a negative power of ten
_DIRECTIONS: dict[int, Direction] = {1: "in", 2: "out"}

Options = Sequence[tuple[int, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Where a file, or a part of it, begins."""

    comments: tuple[str, ...] = ()
    hardware: str = ""
    system: str = ""
    """The operating system."""
    application: str = ""
    """What wrote it."""

    def encode(self) -> bytes:
        """Return the block."""
        body = u32(_ORDER_MAGIC) + u16(1) + u16(0) + u64(_UNKNOWN_LENGTH)
        told = {_HARDWARE: self.hardware, _SYSTEM: self.system, _APPLICATION: self.application}
        return _block(_SECTION, body, [*_comments(self.comments), *_texts(told)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What packets were captured on; they name it by its number in the section, from 0 on."""

    link_type: int
    """What the bytes of its packets are, 0..65535."""
    name: str = ""
    description: str = ""
    snap_bytes: int = SNAP_BYTES
    """How much of a packet is kept at most; 0 is all."""

    def encode(self) -> bytes:
        """Return the block; times of its packets are microseconds."""
        body = u16(self.link_type) + u16(0) + u32(self.snap_bytes)
        told = _texts({_NAME: self.name, _DESCRIPTION: self.description})
        return _block(_INTERFACE, body, [*told, (_RESOLUTION, u8(_MICROSECONDS))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet, and what is said of it."""

    interface: int
    """Number of the interface in its section."""
    utc_us: int
    """Unix time in microseconds, 0..`MAX_UTC_US`."""
    data: bytes
    direction: Direction | None = None
    comments: tuple[str, ...] = ()
    is_cut: bool = False
    """Whether it was longer on the line than what was kept."""

    def encode(self) -> bytes:
        """Return the block."""
        body = b"".join(
            (
                u32(self.interface),
                u32(self.utc_us >> 32),
                u32(self.utc_us & 0xFFFF_FFFF),
                u32(len(self.data)),
                u32(len(self.data) + self.is_cut),
                _padded(self.data),
            )
        )
        flags = [(_FLAGS, u32(bits)) for bits, way in _DIRECTIONS.items() if way == self.direction]
        return _block(_PACKET, body, [*flags, *_comments(self.comments)])


Block = Section | Interface | Packet


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _comments(comments: Sequence[str]) -> Options:
    return [(_COMMENT, text.encode()) for text in comments]


def _texts(told: dict[int, str]) -> Options:
    return [(code, text.encode()) for code, text in told.items() if text]


def _block(kind: int, body: bytes, options: Options) -> bytes:
    """Return a block; an option's value is cut at 65,535 bytes."""
    if options:
        body += b"".join(
            u16(code) + u16(len(value[:0xFFFF])) + _padded(value[:0xFFFF])
            for code, value in options
        ) + u32(_END)
    length = u32(len(body) + _FRAME_BYTES)
    return u32(kind) + length + body + length


def read_blocks(file: BinaryIO) -> Iterator[Block]:
    """Yield the sections, interfaces and packets of a capture, one after the other.

    No more than one block is in memory at a time.

    Raises:
        MalformedError: this is no pcapng file, or it is damaged or cut off.
    """
    order: ByteOrder | None = None
    clocks: list[_Clock] = []
    offset = 0
    while head := file.read(_HEAD_BYTES):
        if head.startswith(MAGIC):
            head += file.read(4)  # the byte order of the section, and so of the length before it
            order = _order_of(head)
            clocks.clear()
        if order is None:
            raise MalformedError("this is no pcapng file: no section header begins it", offset=0)
        body = _body(file, head, order, offset)
        block = _decode(int.from_bytes(head[:4], order), body, order, clocks)
        if block is not None:
            yield block
        offset += len(body) + _FRAME_BYTES


def _order_of(head: bytes) -> ByteOrder:
    orders: dict[bytes, ByteOrder] = {
        _ORDER_MAGIC.to_bytes(4, "little"): "little",
        _ORDER_MAGIC.to_bytes(4, "big"): "big",
    }
    order = orders.get(head[8:])
    if order is None:
        raise MalformedError("the section header has no byte order that is known", offset=8)
    return order


def _body(file: BinaryIO, head: bytes, order: ByteOrder, offset: int) -> bytes:
    """Return what a block of which the head has been read holds."""
    length = int.from_bytes(head[4:8], order)
    is_cut = len(head) < _HEAD_BYTES
    if not is_cut and not max(_FRAME_BYTES, len(head)) <= length <= MAX_BLOCK_BYTES:
        raise MalformedError(f"no block of a capture stands at offset {offset}", offset=offset)
    rest = b"" if is_cut else file.read(length - len(head))
    if is_cut or len(rest) < length - len(head):
        raise MalformedError(f"the capture ends in its block at offset {offset}", offset=offset)
    if length % 4 or int.from_bytes(rest[-4:], order) != length:
        raise MalformedError(f"the block at offset {offset} has two lengths", offset=offset)
    return head[8:] + rest[:-4]


@dataclass(frozen=True, slots=True)
class _Clock:
    """What the times of an interface count."""

    units_per_s: int
    start_s: int
    """What they count from, as a Unix time."""

    def utc_us(self, units: int) -> int:
        us = units * 1_000_000 // self.units_per_s + self.start_s * 1_000_000
        if not 0 <= us <= MAX_UTC_US:
            raise MalformedError("a packet's time lies beyond the year 9999, or before 1970")
        return us


def _decode(kind: int, body: bytes, order: ByteOrder, clocks: list[_Clock]) -> Block | None:
    """Decode the body of a block; None if it is of another kind."""
    reader = Reader(body, what="a block of the capture", byte_order=order)
    if kind == _SECTION:
        return _section(reader)
    if kind == _INTERFACE:
        return _interface(reader, order, clocks)
    return _packet(reader, order, clocks) if kind == _PACKET else None


def _section(reader: Reader) -> Section:
    reader.take(4, "byte order")
    if (major := reader.u16("major version")) != 1:
        raise MalformedError(f"a capture of version {major}: only 1 is known")
    reader.take(10, "minor version and length")
    options = _options(reader)
    return Section(
        comments=_comments_of(options),
        hardware=_text_of(options, _HARDWARE),
        system=_text_of(options, _SYSTEM),
        application=_text_of(options, _APPLICATION),
    )


def _interface(reader: Reader, order: ByteOrder, clocks: list[_Clock]) -> Interface:
    link_type = reader.u16("link type")
    reader.take(2, "reserved")
    snap_bytes = reader.u32("snap length")
    options = _options(reader)
    resolution = _value_of(options, _RESOLUTION)[:1] or u8(_MICROSECONDS)
    base, power = (2, resolution[0] & 0x7F) if resolution[0] & 0x80 else (10, resolution[0])
    start = _value_of(options, _TIME_OFFSET)[:8]
    clocks.append(_Clock(base**power, int.from_bytes(start, order, signed=True)))
    return Interface(
        link_type=link_type,
        name=_text_of(options, _NAME),
        description=_text_of(options, _DESCRIPTION),
        snap_bytes=snap_bytes,
    )


def _packet(reader: Reader, order: ByteOrder, clocks: list[_Clock]) -> Packet:
    number = reader.u32("interface")
    if number >= len(clocks):
        raise MalformedError(f"a packet was captured on interface {number}, which is not described")
    units = reader.u32("time") << 32 | reader.u32("time")
    captured, original = reader.u32("captured length"), reader.u32("original length")
    data = reader.take(captured, "packet")
    reader.take(-captured % 4, "padding")
    options = _options(reader)
    flags = int.from_bytes(_value_of(options, _FLAGS)[:4], order)
    return Packet(
        interface=number,
        utc_us=clocks[number].utc_us(units),
        data=data,
        direction=_DIRECTIONS.get(flags & 3),
        comments=_comments_of(options),
        is_cut=original > captured,
    )


def _options(reader: Reader) -> Options:
    """Take the options that stand at the end of a block."""
    options = []
    while reader.remaining:
        code, length = reader.u16("option"), reader.u16("length of an option")
        if code == _END:
            break
        options.append((code, reader.take(length, "option")))
        reader.take(-length % 4, "padding")
    return options


def _value_of(options: Options, wanted: int) -> bytes:
    return next((value for code, value in options if code == wanted), b"")


def _text_of(options: Options, wanted: int) -> str:
    return _value_of(options, wanted).decode(errors="replace")


def _comments_of(options: Options) -> tuple[str, ...]:
    return tuple(value.decode(errors="replace") for code, value in options if code == _COMMENT)
