"""Captures: round trips, both byte orders, other resolutions, damage, garbage."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import MalformedError
from umi_cli.explain.pcapng import (
    LINK_TYPE_FRAMES,
    MAGIC,
    MAX_BLOCK_BYTES,
    MAX_UTC_US,
    Block,
    Interface,
    Packet,
    Section,
    read_blocks,
)

SECTION = Section(comments=("first", "second"), hardware="x86", system="Linux", application="umi")
INTERFACE = Interface(link_type=LINK_TYPE_FRAMES, name="sim", description="frames")
PACKET = Packet(
    interface=0,
    utc_us=0x0006_6124_77FF_380A,
    data=b"\x01\x04\x00\x00\xfe\x5b",
    direction="out",
    comments=("repeated, attempt 2",),
)
# The blocks above, byte by byte as the specification has them.
SECTION_BYTES = bytes.fromhex(
    "0a0d0d0a 54000000 4d3c2b1a 0100 0000 ffffffffffffffff"
    "0100 0500 6669727374000000 0100 0600 7365636f6e640000"
    "0200 0300 78383600 0300 0500 4c696e7578000000 0400 0300 756d6900 00000000 54000000"
)
INTERFACE_BYTES = bytes.fromhex(
    "01000000 34000000 9300 0000 00000400 0200 0300 73696d00 0300 0600 6672616d65730000"
    "0900 0100 06000000 00000000 34000000"
)
PACKET_BYTES = bytes.fromhex(
    "06000000 4c000000 00000000 24610600 0a38ff77 06000000 06000000 01040000fe5b0000"
    "0200 0400 02000000 0100 1300 72657065617465642c20617474656d7074203200 00000000 4c000000"
)


def read(data: bytes) -> list[Block]:
    return list(read_blocks(io.BytesIO(data)))


def written(*blocks: Block) -> bytes:
    return b"".join(block.encode() for block in blocks)


@pytest.mark.parametrize(
    ("block", "raw"),
    [(SECTION, SECTION_BYTES), (INTERFACE, INTERFACE_BYTES), (PACKET, PACKET_BYTES)],
)
def test_each_block_stands_in_bytes_as_specified(block: Block, raw: bytes) -> None:
    assert block.encode().hex() == raw.hex()


WORDS = st.text(st.characters(codec="utf-8"), max_size=20)
COMMENTS = st.lists(WORDS, max_size=3).map(tuple)
SECTIONS = st.builds(Section, comments=COMMENTS, hardware=WORDS, system=WORDS, application=WORDS)
INTERFACES = st.builds(
    Interface,
    link_type=st.integers(0, 0xFFFF),
    name=WORDS,
    description=WORDS,
    snap_bytes=st.integers(0, 0xFFFF_FFFF),
)
PACKETS = st.builds(
    Packet,
    interface=st.integers(0, 2),
    utc_us=st.integers(0, MAX_UTC_US),
    data=st.binary(max_size=300),
    direction=st.sampled_from([None, "in", "out"]),
    comments=COMMENTS,
    is_cut=st.booleans(),
)


@given(SECTIONS, st.lists(INTERFACES, min_size=3, max_size=3), st.lists(PACKETS, max_size=5))
def test_what_is_written_is_read_back(
    section: Section, interfaces: list[Interface], packets: list[Packet]
) -> None:
    blocks: list[Block] = [section, *interfaces, *packets]
    assert read(written(*blocks)) == blocks
    assert read(written(*blocks, *blocks)) == [*blocks, *blocks]


@given(st.binary(max_size=200))
def test_garbage_is_malformed(data: bytes) -> None:
    for raw in (data, MAGIC + data, SECTION_BYTES + data, SECTION_BYTES + INTERFACE_BYTES + data):
        try:
            read(raw)
        except MalformedError:
            continue


@given(st.data())
def test_a_damaged_capture_is_malformed_or_another(data: st.DataObject) -> None:
    whole = bytearray(written(SECTION, INTERFACE, PACKET))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(whole))
    except MalformedError:
        return


def test_no_bytes_are_no_blocks() -> None:
    assert read(b"") == []


@pytest.mark.parametrize("length", range(1, len(SECTION_BYTES)))
def test_a_capture_that_is_cut_off(length: int) -> None:
    with pytest.raises(MalformedError):
        read(SECTION_BYTES[:length])
    whole = written(SECTION, INTERFACE, PACKET)
    length = min(length, len(PACKET_BYTES) - 1)
    reader = read_blocks(io.BytesIO(whole[: -len(PACKET_BYTES) + length]))
    assert [next(reader), next(reader)] == [SECTION, INTERFACE], "what is whole is read"
    with pytest.raises(MalformedError, match="the capture ends in its block at offset"):
        next(reader)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str = "<", version: int = 1) -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, version, 0, -1), order)


def interface(options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(order + "HHI", LINK_TYPE_FRAMES, 0, 0) + options, order)


def packet(units: int, data: bytes = b"abc", options: bytes = b"", order: str = "<") -> bytes:
    head = struct.pack(order + "IIIII", 0, units >> 32, units & 0xFFFF_FFFF, len(data), len(data))
    return block(6, head + data + bytes(-len(data) % 4) + options, order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def times(*options: bytes, units: int) -> int:
    (*_, found) = read(section() + interface(b"".join(options)) + packet(units))
    assert isinstance(found, Packet)
    return found.utc_us


def test_big_endian() -> None:
    options = option(2, struct.pack(">I", 1), ">") + option(1, b"told", ">")
    raw = section(">") + interface(option(2, b"eth", ">"), ">") + packet(5, b"abc", options, ">")
    assert read(raw) == [
        Section(),
        Interface(link_type=LINK_TYPE_FRAMES, name="eth", snap_bytes=0),
        Packet(interface=0, utc_us=5, data=b"abc", direction="in", comments=("told",)),
    ]
    assert len(read(raw + written(SECTION, INTERFACE, PACKET))) == 6, "each section has its own"


def test_times_of_any_resolution() -> None:
    assert times(units=7) == 7, "microseconds if nothing is said"
    assert times(option(9, b"\x09"), units=7_999) == 7
    assert times(option(9, b"\x03"), units=7) == 7_000
    assert times(option(9, b"\x00"), units=7) == 7_000_000
    assert times(option(9, b"\x81"), units=3) == 1_500_000, "halves of a second"
    assert times(option(9, b"\xff"), units=1 << 63) == 0
    assert times(option(14, struct.pack("<q", 60)), units=7) == 60_000_007


@pytest.mark.parametrize(
    "options", [[option(9, b"\x00")], [option(14, struct.pack("<q", -60))], []]
)
def test_a_time_beyond_the_calendar(options: list[bytes]) -> None:
    units = 59_999_999 if options and b"\x0e" in options[0][:1] else (1 << 64) - 1
    with pytest.raises(MalformedError, match="a packet's time"):
        times(*options, units=units)


def test_other_blocks_are_passed_over_and_options_end() -> None:
    others = block(3, bytes(8)) + block(0xBAD, b"") + block(4, b"names")
    ended = packet(1, options=struct.pack("<HH", 0, 0) + option(1, b"behind the end"))
    found = read(section() + others + interface() + ended)
    assert [type(each) for each in found] == [Section, Interface, Packet]
    assert found[-1] == Packet(interface=0, utc_us=1, data=b"abc")


def two_lengths(raw: bytes) -> bytes:
    return raw[:-4] + struct.pack("<I", 16)


WRONG: dict[str, tuple[bytes, str]] = {
    "text": (b"hello, world, this is text", "no section header begins it"),
    "no section": (interface(), "no section header begins it"),
    "order": (section()[:8] + b"\x00" * 20, "no byte order that is known"),
    "version": (section(version=2), "version 2: only 1 is known"),
    "length 0": (section() + struct.pack("<II", 1, 0), "no block of a capture stands at offset 28"),
    "too long": (section() + struct.pack("<II", 1, MAX_BLOCK_BYTES + 4), "no block of a capture"),
    "odd length": (section() + struct.pack("<II", 1, 13) + bytes(5), "two lengths"),
    "two lengths": (section() + two_lengths(interface()), "two lengths"),
    "short section": (block(0x0A0D0D0A, struct.pack("<I", 0x1A2B3C4D)), "too short"),
    "no interface": (section() + packet(1), "interface 0, which is not described"),
    "of the section before": (section() + interface() + section() + packet(1), "not described"),
    "short packet": (
        section() + interface() + block(6, struct.pack("<5I", 0, 0, 0, 9, 9)),
        "short",
    ),
    "short option": (section() + interface(struct.pack("<HH", 2, 9)), "too short"),
}


@pytest.mark.parametrize(("raw", "why"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(raw: bytes, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        read(raw)


def test_no_more_than_a_block_is_in_memory() -> None:
    asked: list[int] = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            asked.append(size or 0)
            return super().read(size)

    whole = written(SECTION, INTERFACE, *[PACKET] * 1000)
    blocks = read_blocks(Watched(whole))
    assert sum(isinstance(each, Packet) for each in blocks) == 1000
    assert 0 < max(asked) <= len(SECTION_BYTES)


def test_a_long_comment_is_cut() -> None:
    long = Packet(interface=0, utc_us=0, data=b"", comments=("a" * 70_000,))
    (_, _, found) = read(written(SECTION, INTERFACE, long))
    assert isinstance(found, Packet)
    assert found.comments == ("a" * 0xFFFF,)
