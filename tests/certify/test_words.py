"""What crossed the line, in words: frames and packets, noise, secrets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.application.codes import PacketType
from umi_cli.application.commands import NoOperation, ReadObject, ReadObjectReply
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Payload
from umi_cli.certify.evidence import MAX_PIECES, Piece, Recorder
from umi_cli.certify.words import in_words
from umi_cli.link.fragment import Fragment, FragmentType
from umi_cli.link.frame import Frame, FrameType
from umi_cli.objects.catalogue import Catalogue
from umi_cli.types import UNKNOWN_DEVICE, UmiCode, UmiId

CATALOGUE = Catalogue.load("ei4")
READER = UmiId(0x00237EFE00000004)
KEYS = UmiCode.parse("umi.255.0.0.16")
SECRET = bytes(range(100, 116)) * 16


def packet(payload: Payload) -> bytes:
    envelope = Envelope(source=READER, destination=UNKNOWN_DEVICE)
    message = Message(
        transaction=7,
        created_s=1,
        packet_type=PacketType(payload.TYPE),
        payload=payload.encode(),
    )
    return envelope.encode() + message.encode()


def frame(payload: bytes, kind: FrameType = FrameType.SIMPLE, sequence: int = 1) -> bytes:
    return Frame(
        sequence=sequence, frame_type=kind, destination=0, source=5, payload=payload
    ).encode()


def fragments(whole: bytes) -> list[bytes]:
    chunks = [whole[at : at + 240] for at in range(0, len(whole), 240)]
    kinds = [FragmentType.FIRST, *[FragmentType.MIDDLE] * (len(chunks) - 2), FragmentType.LAST]
    return [
        frame(
            Fragment(
                fragment_type=kind,
                data=len(whole) if kind is FragmentType.FIRST else 0,
                chunk=chunk,
            ).encode(),
            FrameType.FRAGMENT,
            number,
        )
        for number, (kind, chunk) in enumerate(zip(kinds, chunks, strict=True), start=1)
    ]


def words_of(*pieces: bytes) -> list[str]:
    records = in_words([Piece(0.1, "out", data) for data in pieces], CATALOGUE)
    assert [each.length_bytes for each in records] == [len(data) for data in pieces]
    return [line for record in records for line in record.words]


def test_a_command_is_a_line_a_layer() -> None:
    assert words_of(frame(packet(ReadObject(code=UmiCode.parse("umi.1.1.0.0"))))) == [
        "link frame: type 0 (SIMPLE), sequence 1, destination 0, source 5, payload length 38",
        "packet: encryption scheme 0 (in the clear), source UMI ID 00237EFE00000004,"
        " destination UMI ID FFFFFFFFFFFFFFFF",
        "message: packet type 48 (READ_OBJECT), transaction 7",
        "READ_OBJECT: code umi.1.1.0.0, umi.1.1.0.0 is manufacturer-id",
    ]


def test_what_is_wrong_stands_out() -> None:
    spoilt = bytearray(frame(packet(NoOperation())))
    spoilt[-1] ^= 1
    [line] = words_of(bytes(spoilt))
    assert "WRONG: " in line


def test_what_is_no_frame_is_said_to_be_none() -> None:
    assert words_of(b"/?!\r\n") == ["no link frame"]


def test_fragments_of_each_direction_are_put_together() -> None:
    value = bytes(600)
    reply = fragments(packet(ReadObjectReply(code=UmiCode.parse("umi.255.0.0.64"), value=value)))
    asked = [Piece(0.0, "out", reply[0]), *(Piece(0.1, "in", data) for data in reply)]
    records = in_words(asked, CATALOGUE)
    assert records[-1].words[-1].startswith("READ_OBJECT_RESPONSE: code umi.255.0.0.64")
    assert len(records[0].words) == 2


@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_secret_is_not_shown(direction: str) -> None:
    reply = packet(ReadObjectReply(code=KEYS, value=SECRET))
    pieces = [Piece(0.1, "in" if direction == "in" else "out", data) for data in fragments(reply)]
    records = in_words(pieces, CATALOGUE)
    assert [each.raw for each in records] == [None] * len(pieces)
    shown = " ".join(line for each in records for line in each.words)
    assert SECRET[:8].hex() not in shown
    assert "secret, 256 bytes" in shown


@given(st.lists(st.tuples(st.sampled_from(("out", "in")), st.binary(max_size=300)), max_size=8))
def test_any_bytes_have_words(pieces: list[tuple[str, bytes]]) -> None:
    given_pieces = [Piece(0.0, "in" if way == "in" else "out", data) for way, data in pieces]
    assert all(each.words for each in in_words(given_pieces, CATALOGUE))


def test_a_recorder_keeps_the_last_pieces_and_joins_what_comes_in() -> None:
    times = iter(range(10_000))
    told: list[str] = []
    recorder = Recorder(tell=lambda direction, data: told.append(direction))
    recorder("out", b"before the port was open")
    recorder.set_clock(lambda: float(next(times)))
    recorder.begin()
    for number in range(MAX_PIECES):
        recorder("out", bytes([number % 256]))
        recorder("in", b"a")
        recorder("in", b"b")
    assert len(recorder.pieces) == MAX_PIECES
    assert recorder.left_out == MAX_PIECES
    assert recorder.pieces[-1].data == b"ab"
    assert recorder.pieces[-1].until_s == recorder.pieces[-1].at_s + 1
    assert len(told) == 3 * MAX_PIECES + 1
