"""A commander written from the protocol alone works with the virtual meter, as the field's does.

It shares no line with umi_cli: where both agree, two readings of the protocol agree.
"""

import struct

import pytest

from tests.independent import EVERYONE, Refused, checksum
from tests.virtual.bench import START_S
from tests.virtual.wire import Wire, new_meter
from umi_cli.types import Role

MANUFACTURER_ID = 0x0101_0000
SERIAL_MEMBER = 3
PROFILE_STATUS = 0x0101_C216
PROFILE_TABLE = 0x0101_C217
CLOCK = 0x0101_C21F
COUNTER = 0xFF00_0041
SCRATCH = 0xFF00_0040
KEYS = 0xFF00_0010
ENTRY_BYTES = 12


def test_a_commander_without_an_address_gets_one() -> None:
    """RESYNC with 0/0 is answered with both addresses, which count from then on."""
    wire = Wire()
    assert (wire.reader.own, wire.reader.peer) == (0, 0)
    wire.reader.resync()
    assert wire.sent == [bytes.fromhex("01040000fe5b")]  # as in the field
    assert wire.received[0][:4] == bytes.fromhex("01050050")
    assert (wire.reader.own, wire.reader.peer) == (5, 0)


def test_resync_at_any_time_and_more_than_once() -> None:
    """Twice in a row, between any two exchanges, in the middle of a long one: it starts over."""
    wire = Wire()
    for _ in range(3):
        wire.reader.resync()
    serials = set()
    for _ in range(20):
        serials.add(wire.reader.read_part(MANUFACTURER_ID, 0, 0xFFFF, SERIAL_MEMBER))
        wire.reader.resync()
    assert serials == {b"31733978"}
    first = struct.pack("<BBH", 0, 0, 1000) + bytes(244)
    assert wire.reader.command_frame(2, first)[0] == 3
    wire.reader.resync()
    assert wire.reader.read(MANUFACTURER_ID) == b"EISGMv0\x00ELS002531733978"


def test_the_whole_profile_ten_elements_a_read() -> None:
    """As the field client reads it: every answer fits one frame, and re-syncs stand between."""
    wire = Wire()
    reader = wire.reader
    status = reader.read(PROFILE_STATUS)
    (entries,) = struct.unpack_from("<H", status, 8)
    assert entries == 336
    table = b"".join(
        reader.read_part(PROFILE_TABLE, first, min(first + 9, entries - 1))
        for first in range(0, entries, 10)
    )
    times = [time_s for _, time_s, _, _ in struct.iter_unpack("<IIHH", table)]
    assert times == [START_S - 1800 * (335 - number) for number in range(336)]
    assert max(map(len, wire.received)) <= 255
    assert reader.resyncs == 3  # 1 + 34 exchanges, 15 from one RESYNC to the next
    with pytest.raises(Refused, match=r"'result', 6"):
        reader.read_part(PROFILE_TABLE, entries, entries)


def test_the_commander_goes_through_all_fifteen_sequences() -> None:
    """Sequences run from 1 to 15, then RESYNC, then 1 again; no other frame is sent."""
    wire = Wire()
    for _ in range(40):
        wire.reader.read(CLOCK)
    heads = [frame[0] >> 4 for frame in wire.sent]
    assert heads == [0, *range(1, 16), 0, *range(1, 16), 0, *range(1, 11)]


def test_ten_thousand_exchanges() -> None:
    """Nothing wears out: each write counts once, each read gives what was written."""
    wire = Wire()
    wrong = 0
    for number in range(5000):
        wire.reader.write(COUNTER, number.to_bytes(4, "little"))
        wrong += wire.reader.read(COUNTER) != number.to_bytes(4, "little")
    assert wrong == 0
    assert wire.reader.transaction == 10_000
    assert wire.reader.resyncs == 667  # 10,000 exchanges, 15 to a RESYNC


@pytest.mark.parametrize(
    "length", [0, 1, 200, 206, 207, 208, 447, 448, 449, 3400, 3620, 3700, 20_000, 65_000]
)
def test_long_packets_both_ways(length: int) -> None:
    """What one frame cannot hold goes and comes in fragments, and is the same afterwards."""
    wire = Wire()
    value = bytes(number * 7 % 251 for number in range(length))
    wire.reader.write(SCRATCH, value)
    assert wire.reader.read(SCRATCH) == value
    assert wire.reader.read(SCRATCH) == value
    if length:
        assert wire.reader.read_part(SCRATCH, 0, length - 1) == value
        assert wire.reader.read_part(SCRATCH, length - 1, 0xFFFF) == value[-1:]


def test_a_fragment_that_the_meter_cannot_place_is_refused() -> None:
    """More bytes than announced is fragment error 2, and the line goes on."""
    wire = Wire()
    wire.reader.resync()
    first = struct.pack("<BBH", 0, 0, 300) + bytes(244)
    last = struct.pack("<BBH", 0x20, 0, 0) + bytes(100)
    wire.reader.command_frame(2, first)
    kind, payload = wire.reader.command_frame(2, last)
    assert (kind, payload[0], payload[2]) == (3, 0xF0, 2)
    assert len(wire.reader.read(MANUFACTURER_ID)) == 23


@pytest.mark.parametrize("destination", [EVERYONE, 0x0023_7EFE_0000_0001, 0x0023_7EFE_0000_0000])
@pytest.mark.parametrize("source", [0x0023_7EFE_0000_0004, 0x1122_3344_5566_7788])
def test_ids_come_back_swapped(source: int, destination: int) -> None:
    """The commander refuses anything else; it checks inside."""
    reply = Wire().reader.command(
        0x30, struct.pack("<I", CLOCK), source=source, destination=destination
    )
    assert struct.unpack_from("<IHHI", reply) == (CLOCK, 0, 12, START_S)


@pytest.mark.parametrize(
    ("kind", "payload", "result"),
    [
        (0x30, struct.pack("<I", 0x0101_0099), 4),
        (0x32, struct.pack("<IHHB", MANUFACTURER_ID, 0, 0xFFFF, 4), 5),
        (0x32, struct.pack("<IHHB", MANUFACTURER_ID, 1, 1, 0xFF), 6),
        (0x50, struct.pack("<I", 1000), 9),
        (0x60, b"tunnelled", 7),
        (0x34, struct.pack("<IHHI", 0x0101_0000, 0, 4, 0), 9),
        (0x30, struct.pack("<I", KEYS), 9),
        (0x34, struct.pack("<IHHB", COUNTER, 0, 1, 0), 11),
        (0x70, b"", 2),
        (0x30, b"", 3),
    ],
)
def test_refusals(kind: int, payload: bytes, result: int) -> None:
    """A guest is told by number what is wrong, and may go on."""
    wire = Wire()
    with pytest.raises(Refused) as caught:
        wire.reader.command(kind, payload)
    assert caught.value.args == ("result", result)
    assert len(wire.reader.read(MANUFACTURER_ID)) == 23


def test_every_command_frame_repeated_changes_nothing() -> None:
    """A repeat gets the stored answer to the letter; the write behind it runs once."""
    wire = Wire(new_meter(Role.SERVICE))
    written: list[bytes] = []
    wire.meter.memory.store.on_write("counter", written.append)
    wire.reader.resync()
    wire.reader.write(COUNTER, b"\x05\x00\x00\x00")
    for _ in range(3):
        wire.send(wire.sent[1])
        assert wire.receive() == wire.received[1]
    assert written == [b"\x05\x00\x00\x00"]
    wire.reader.resync()
    command = wire.sent[1]
    wire.send(command)  # as a frame that was held up on the way, and comes behind the RESYNC
    assert wire.receive()[4:-2] == wire.received[1][4:-2]
    assert written == [b"\x05\x00\x00\x00"]


def test_link_errors() -> None:
    """Frames of another type, version or address get ERROR 1, 2 and 3; none of them is run."""
    wire = Wire()
    reader = wire.reader
    reader.resync()
    with pytest.raises(Refused) as caught:
        reader.ask(6, b"", 1, 1)
    assert caught.value.args == ("link", 1)
    reader.peer = 9
    with pytest.raises(Refused) as caught:
        reader.ask(0, b"", 1, 1)
    assert caught.value.args == ("link", 3)
    reader.peer = 0
    head = b"\x12\x00\x00\x05"
    wire.send(head + checksum(head))
    assert wire.receive()[:6] == bytes.fromhex("110f0250 0200")
    wire.send(head + b"\x00\x00")  # a wrong CRC: silence
    assert wire.receive() == b""
    assert len(reader.read(MANUFACTURER_ID)) == 23
