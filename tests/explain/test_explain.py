"""What is said of bytes: every field in its place, every failed check named, no secret shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load_vectors import octets, vector
from umi_cli.application import commands as c
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Payload
from umi_cli.errors import MalformedError
from umi_cli.explain.bytes import KINDS, explain
from umi_cli.explain.layers import Layer
from umi_cli.link.fragment import Fragment, FragmentType, split
from umi_cli.link.frame import Frame, FrameType
from umi_cli.objects.catalogue import Catalogue
from umi_cli.types import ObjectPart, RoleSet, UmiCode, UmiId

CATALOGUE = Catalogue.load("ei4")
CAPTURED = "ei4-read-manufacturer-id-response"
FRAME = octets(CAPTURED, "frame")
PLAIN = octets(CAPTURED, "plaintext")
MANUFACTURER_ID = UmiCode.parse("umi.1.1.0.0")
PROFILE_TABLE = UmiCode.parse("umi.1.1.194.23")
KEYS = UmiCode.parse("umi.255.0.0.16")
SECRET = bytes(range(0xE0, 0xF0))


def rows(layers: list[Layer]) -> list[tuple[str, str, int, str, object]]:
    """Return (layer, field, offset, bytes, value) of every field."""
    return [
        (layer.name, each.name, each.offset, each.raw.hex(), each.value)
        for layer in layers
        for each in layer.fields
    ]


def failures(layers: list[Layer]) -> list[str]:
    return [text for layer in layers for text in layer.failures]


def notes(layers: list[Layer]) -> list[str]:
    return [text for layer in layers for text in layer.notes]


def meaning(layers: list[Layer], name: str) -> str:
    (found,) = [each.meaning for layer in layers for each in layer.fields if each.name == name]
    return found


def packet(record: Payload, argument: int = 0, **envelope: Any) -> bytes:
    ids = {"source": UmiId(0x0023_7EFE_0000_0004), "destination": UmiId(1), **envelope}
    message = Message(
        transaction=7,
        created_s=676_999_688,
        packet_type=record.TYPE,
        argument=argument,
        payload=record.encode(),
    )
    return Envelope(**ids).encode() + message.encode()


def frame(payload: bytes, kind: int = FrameType.SIMPLE, sequence: int = 3) -> bytes:
    return Frame(
        sequence=sequence, frame_type=kind, destination=0, source=5, payload=payload
    ).encode()


def fragments(whole: bytes) -> list[bytes]:
    return [
        frame(piece, FrameType.FRAGMENT, number % 15 + 1)
        for number, piece in enumerate(split(whole))
    ]


LINK_ROWS = [
    ("link frame", "sequence", 0, "41", 4),
    ("link frame", "version", 0, "41", 1),
    ("link frame", "busy", 1, "01", False),
    ("link frame", "type", 1, "01", 1),
    ("link frame", "payload length", 2, "51", 81),
    ("link frame", "destination", 3, "51", 5),
    ("link frame", "source", 3, "51", 1),
    ("link frame", "CRC", 85, "c1c1", "c1c1"),
]
PACKET_ROWS = [
    ("packet", "encryption scheme", 4, "02", 2),
    ("packet", "protocol type", 5, "01", 0),
    ("packet", "version", 5, "01", 1),
    ("packet", "source options", 6, "00", 0),
    ("packet", "destination options", 7, "00", 0),
    ("packet", "source UMI ID", 8, "01000000fe7e2300", "00237EFE00000001"),
    ("packet", "destination UMI ID", 16, "04000000fe7e2300", "00237EFE00000004"),
    ("packet", "encryption options", 24, "01", 1),
    ("packet", "ciphertext", 25, FRAME[25:69].hex(), None),
    ("packet", "GCM tag", 69, FRAME[69:85].hex(), None),
]
MESSAGE_ROWS = [
    ("message", "signature scheme", 21, "00", 0),
    ("message", "transaction", 22, "0200", 2),
    ("message", "created", 24, "08325a28", "2021-06-14T15:28:08Z"),
    ("message", "packet type", 28, "31", 49),
    ("message", "result", 29, "00", 0),
    ("message", "payload length", 30, "1f00", 31),
    ("message", "signature", 63, "0002", None),
]
VALUE = {
    "model": "00000000",
    "manufacturer": "111",
    "factory": "2222",
    "serial": vector(CAPTURED)["fields"]["serial"],
}
VALUE_ROWS = [
    ("READ_OBJECT_RESPONSE", "code", 32, "00000101", "umi.1.1.0.0"),
    ("READ_OBJECT_RESPONSE", "value", 40, PLAIN[19:42].hex(), VALUE),
]


def test_the_captured_frame_field_by_field() -> None:
    """Link header, CRC c1c1, envelope and IDs, each where it stands; nothing failed."""
    layers = explain(FRAME, CATALOGUE)
    assert rows(layers) == LINK_ROWS + PACKET_ROWS
    assert failures(layers) == []
    assert notes(layers) == ["what it says is encrypted"]
    assert meaning(layers, "type") == "SIMPLE_RESPONSE"
    assert meaning(layers, "CRC") == "right"
    assert meaning(layers, "encryption scheme") == "AES-128-GCM"


def test_the_captured_frame_opened() -> None:
    """With what its key opens, down to the serial number; offsets count in the plain packet."""
    sealed: list[tuple[Envelope, bytes]] = []

    def opener(envelope: Envelope, body: bytes) -> bytes:
        sealed.append((envelope, body))
        return PLAIN

    layers = explain(FRAME, CATALOGUE, opener=opener)
    assert sealed == [(Envelope.decode(FRAME[4:]), FRAME[25:85])]
    assert rows(layers) == LINK_ROWS + PACKET_ROWS + MESSAGE_ROWS + VALUE_ROWS
    assert [layer.within for layer in layers] == ["", "", *["the decrypted packet"] * 2]
    assert notes(layers) == ["umi.1.1.0.0 is manufacturer-id"]
    assert meaning(layers, "result") == "OK"


def test_what_cannot_be_opened_is_said() -> None:
    def opener(envelope: Envelope, body: bytes) -> bytes:
        raise MalformedError("the GCM tag is wrong")

    assert failures(explain(FRAME, CATALOGUE, opener=opener)) == ["the GCM tag is wrong"]


@pytest.mark.parametrize("bit", range(8 * len(FRAME)))
def test_any_one_bit_of_the_captured_frame_turned(bit: int) -> None:
    """The CRC fails, and both values are named; a broken header is named besides."""
    data = bytearray(FRAME)
    data[bit // 8] ^= 1 << bit % 8
    found = failures(explain(bytes(data), CATALOGUE))
    assert any(text.startswith("wrong CRC: the frame carries ") for text in found)
    beside = {
        **dict.fromkeys(range(4), "unknown protocol version"),
        **dict.fromkeys(range(12, 15), "reserved bits are set in byte 1"),
        11: "unknown frame type",
        **dict.fromkeys((17, 18, 19, 21, 23), "the length byte says"),
    }
    if bit in beside:
        assert any(beside[bit] in text for text in found)


def test_a_wrong_crc_is_named_with_both_values() -> None:
    found = failures(explain(FRAME[:-1] + b"\xc2", CATALOGUE))
    assert found == ["wrong CRC: the frame carries c1c2, its bytes give c1c1"]


@pytest.mark.parametrize("length", range(len(FRAME)))
def test_the_captured_frame_cut_short(length: int) -> None:
    """Whatever is left of it, something is said to be wrong with it."""
    try:
        found = failures(explain(FRAME[:length], CATALOGUE))
    except MalformedError as error:
        assert f"these {length} bytes" in str(error)  # noqa: PT017 - either way is right
        assert length < 6
        return
    assert any("the length byte says 81" in text for text in found)
    if length:
        assert failures(explain(FRAME[:length], CATALOGUE, "frame"))


def test_a_command_in_the_clear() -> None:
    """A packet by itself, a message by itself, and the same in a frame: only offsets differ."""
    data = packet(c.ReadObjectPart(part=ObjectPart(PROFILE_TABLE, 0, 9, 0)))
    by_itself = explain(data, CATALOGUE)
    assert rows(by_itself)[-2:] == [
        ("message", "signature", 41, "0002", None),
        ("READ_OBJECT_PART", "part", 32, "17c201010000090000", "umi.1.1.194.23[0:9]/0"),
    ]
    assert notes(by_itself) == ["umi.1.1.194.23[0:9]/0 is profile-table[0:9]/reading"]
    in_frame = rows(explain(frame(data), CATALOGUE))[8:]
    assert in_frame == [(a, b, at + 4, d, e) for a, b, at, d, e in rows(by_itself)]
    message = rows(explain(data[21:], CATALOGUE, "message"))
    assert message == [(a, b, at - 21, d, e) for a, b, at, d, e in rows(by_itself)[8:]]
    assert meaning(by_itself, "packet type") == "READ_OBJECT_PART"
    assert meaning(by_itself, "encryption scheme") == "in the clear"
    assert "signature scheme wanted" in [name for _, name, *_ in rows(by_itself)]


def test_values_are_those_of_the_datasheet() -> None:
    """Numbers with their unit, times, flags by name; what a record of the field says."""
    part = ObjectPart(PROFILE_TABLE, 5, 5)
    reply = c.ReadObjectPartReply(part=part, value=octets("ei4-interval-record", "bytes"))
    layers = explain(packet(reply), CATALOGUE)
    assert rows(layers)[-1][4] == [
        {
            "reading": 4.25,
            "timestamp": "2021-06-15T00:30:00Z",  # on the half hour
            "status": {"number": 64, "names": ["datetime-uncertain"]},
            "rate": 100,
        }
    ]
    assert "reading=4.25 m³" in meaning(layers, "value")


def test_a_value_that_is_not_what_the_datasheet_says() -> None:
    """Its bytes are shown as they are, and the note says what does not fit."""
    layers = explain(packet(c.ReadObjectReply(code=MANUFACTURER_ID, value=b"abc")), CATALOGUE)
    assert rows(layers)[-1][1:4] == ("value", 40, "616263")
    assert failures(layers) == []
    assert notes(layers)[-1].startswith("its value is not what the datasheet says: ")


def test_an_object_that_nobody_knows() -> None:
    """Code and bytes are shown; there is nothing to say of them."""
    reply = c.ReadObjectReply(code=UmiCode.parse("umi.9.9.9.9"), value=b"abc")
    layers = explain(packet(reply), CATALOGUE)
    assert [row[3] for row in rows(layers)[-2:]] == ["09090909", "616263"]
    assert notes(layers) == []


@pytest.mark.parametrize(
    ("record", "result", "name"),
    [
        (c.ReadObjectReply(code=KEYS, value=b""), 9, "ACCESS_DENIED"),
        (c.NoOperationReply(), 17, "NO_SESSION"),
        (c.WriteObjectReply(), 77, "RESULT_77"),
    ],
)
def test_a_refusal_is_named(record: Payload, result: int, name: str) -> None:
    """A refused response has no payload to explain: its result says it all."""
    layers = explain(packet(record, argument=result), CATALOGUE)
    assert [layer.name for layer in layers] == ["packet", "message"]
    assert meaning(layers, "result") == name
    assert failures(layers) == []


def test_an_event_has_its_time() -> None:
    layers = explain(
        packet(c.EventPublish(events=1, timestamp_s=676_999_688, milliseconds=5)), CATALOGUE
    )
    assert meaning(layers, "timestamp_s") == "2021-06-14T15:28:08Z"


def test_access_is_shown_by_role() -> None:
    reply = c.GetObjectAccessReply(
        code=KEYS, read_roles=RoleSet(0), write_roles=RoleSet.parse("manufacturer,user")
    )
    values = [row[4] for row in rows(explain(packet(reply), CATALOGUE))[-3:]]
    assert values == ["umi.255.0.0.16", "none", "user,manufacturer"]


def test_fragments_are_joined() -> None:
    """Each frame is explained, and behind the last one the packet; its offsets are its own."""
    data = packet(c.WriteObject(code=UmiCode.parse("umi.255.0.0.64"), value=bytes(600)))
    frames = fragments(data)
    layers = explain(b"".join(frames), CATALOGUE)
    names = [layer.name for layer in layers]
    assert names == [*["link frame", "fragment"] * 3, "packet", "message", "WRITE_OBJECT"]
    assert {layer.within for layer in layers[6:]} == {"the packet of 642 bytes put together"}
    assert rows(layers)[-1][:4] == ("WRITE_OBJECT", "value", 40, "00" * 600)
    assert failures(layers) == []
    types = [row[4] for row in rows(layers) if row[:2] == ("fragment", "type")]
    assert types == [0, 1, 2]
    first = next(row for row in rows(layers) if row[:2] == ("fragment", "data"))
    assert first[2:] == (6, "8202", 642)
    second = [row[2] for row in rows(layers) if row[1] == "sequence"]
    assert second == [0, 254, 508]


def test_acknowledgements_between_fragments_do_not_disturb() -> None:
    data = packet(c.WriteObject(code=UmiCode.parse("umi.255.0.0.64"), value=bytes(600)))
    ack = frame(Fragment(fragment_type=FragmentType.ACK).encode(), FrameType.FRAGMENT_RESPONSE)
    layers = explain(ack.join(fragments(data)), CATALOGUE)
    assert layers[-1].name == "WRITE_OBJECT"
    assert failures(layers) == []


def test_fragments_that_do_not_fit() -> None:
    """What is missing is said: its FIRST, or bytes on the way."""
    data = packet(c.WriteObject(code=UmiCode.parse("umi.255.0.0.64"), value=bytes(600)))
    first, middle, last = fragments(data)
    late = explain(middle + last, CATALOGUE)
    assert notes(late) == ["its FIRST is not here, so the packet cannot be put together"] * 2
    assert failures(late) == []
    gap = explain(first + last, CATALOGUE)
    assert failures(gap) == ["398 bytes of fragments came, 642 were announced"]
    assert failures(explain(frame(b"\x00\x00", FrameType.FRAGMENT), CATALOGUE)) == [
        "a fragment has at least 4 bytes"
    ]


@pytest.mark.parametrize(
    ("kind", "payload", "name", "text"),
    [
        (FrameType.ERROR, b"\x05\x00", "error", "BUSY"),
        (FrameType.ERROR, b"\x4d\x00", "error", "unknown"),
        (FrameType.FRAGMENT_RESPONSE, b"\xf0\x00\x02\x00", "data", "LENGTH_ERROR"),
        (FrameType.FRAGMENT_RESPONSE, b"\xf0\x00\x4d\x00", "data", "unknown"),
    ],
)
def test_errors_have_names(kind: FrameType, payload: bytes, name: str, text: str) -> None:
    layers = explain(frame(payload, kind), CATALOGUE)
    assert meaning(layers, name) == text
    assert failures(layers) == []


def test_a_payload_where_none_belongs() -> None:
    layers = explain(frame(b"abc", FrameType.RESYNC, 0), CATALOGUE, "frame")
    assert notes(layers) == ["a frame of this type carries no payload"]
    assert ("link frame", "payload", 4, "616263", None) in rows(layers)


def test_the_resync_of_the_field() -> None:
    layers = explain(octets("crc-resync", "frame"), CATALOGUE)
    assert meaning(layers, "type") == "RESYNC"
    assert failures(layers) == []


BROKEN = [
    ("packet", b"\x00" * 20, "envelope needs 21 bytes"),
    ("packet", packet(c.NoOperation(), protocol=0x12), "protocol type and version 0x12"),
    ("packet", packet(c.NoOperation(), encryption_scheme=3), "unknown encryption scheme 3"),
    ("packet", packet(c.NoOperation())[:-1], "signature record does not end where"),
    ("packet", packet(c.NoOperation(), encryption_scheme=2), "are too few for an encrypted"),
    ("message", PLAIN[:7] + b"\x7e" + PLAIN[8:], "unknown packet type 0x7e"),
    ("message", PLAIN[:7] + b"\x01" + PLAIN[8:], "NO_OPERATION_RESPONSE has 31 bytes too many"),
    ("message", b"", "header needs 11 bytes"),
    ("frame", b"\x01\x04", "at least 6 bytes, these are 2"),
    ("frame", b"\x11\x00\xfa\x00" + bytes(252), "at most 249 bytes, not 250"),
]


@pytest.mark.parametrize(("kind", "data", "reason"), BROKEN, ids=range(len(BROKEN)))
def test_each_failed_check_is_named(kind: str, data: bytes, reason: str) -> None:
    assert any(reason in text for text in failures(explain(data, CATALOGUE, kind)))


SECRETS = [
    c.WriteObject(code=KEYS, value=SECRET * 16),
    c.WriteObject(code=KEYS, value=SECRET[:9]),  # which the datasheet would refuse
    c.WriteObjectPart(part=ObjectPart(KEYS, 5, 5), value=SECRET),
    c.WriteObjectPart(part=ObjectPart(KEYS, 99, 99, 7), value=SECRET),  # which does not exist
    c.ReadObjectReply(code=KEYS, value=SECRET),
    c.ReadObjectPartReply(part=ObjectPart(KEYS, 0, 0), value=SECRET),
]


@pytest.mark.parametrize("record", SECRETS, ids=range(len(SECRETS)))
@pytest.mark.parametrize("tail", [b"", b"\x00"])
def test_the_value_of_a_secret_object_is_never_shown(record: Payload, tail: bytes) -> None:
    """Not whole, not in fragments, not where it is malformed: only where it stands, how long."""
    message = Message(
        transaction=1,
        created_s=1,
        packet_type=record.TYPE,
        payload=record.encode() + tail,
    )
    whole = Envelope(source=UmiId(4), destination=UmiId(1)).encode() + message.encode()
    chunks = [whole[:45], *(whole[at : at + 9] for at in range(45, len(whole), 9))]
    kinds = [FragmentType.FIRST, *[FragmentType.MIDDLE] * (len(chunks) - 2), FragmentType.LAST]
    joined = b"".join(
        frame(
            Fragment(fragment_type=kind, data=0 if number else len(whole), chunk=chunk).encode(),
            FrameType.FRAGMENT,
        )
        for number, (kind, chunk) in enumerate(zip(kinds, chunks, strict=True))
    )
    for data in (whole, joined):
        layers = explain(data, CATALOGUE)
        value = getattr(record, "value", b"")
        assert meaning(layers, "value") == f"secret, {len(value)} bytes"
        assert SECRET[:3].hex() not in repr(rows(layers)) + repr(notes(layers))
        assert repr(SECRET[:3])[2:-1] not in repr(layers)
        assert bool(tail) == bool(failures(layers))


def test_only_the_secret_packet_is_hidden() -> None:
    """Fragments of another packet before it and behind it are shown."""
    scratch = UmiCode.parse("umi.255.0.0.64")
    shown = fragments(packet(c.WriteObject(code=scratch, value=b"\xaa" * 400)))
    hidden = fragments(packet(c.WriteObject(code=KEYS, value=SECRET * 16)))
    layers = explain(b"".join(shown + hidden + shown), CATALOGUE)
    lengths = [len(row[3]) // 2 for row in rows(layers) if row[1] == "part of the packet"]
    assert lengths == [244, 198, 0, 0, 244, 198]


def test_bytes_that_look_like_nothing() -> None:
    for data in (b"", b"\x00", b"\xff" * 40, b"Hello, this is no frame and no packet at all."):
        with pytest.raises(MalformedError, match="look like no"):
            explain(data, CATALOGUE)


frames = st.builds(
    lambda kind, sequence, payload: Frame(
        sequence=sequence, frame_type=kind, destination=0, source=5, payload=payload
    ).encode(),
    st.sampled_from([0, 1, 2, 2, 2, 3, 4, 5, 6, 15]),
    st.integers(0, 15),
    st.binary(max_size=249)
    | st.binary(max_size=30).map(lambda tail: packet(c.NoOperation())[:28] + tail)
    | st.builds(
        lambda kind, data, chunk: Fragment(fragment_type=kind, data=data, chunk=chunk).encode(),
        st.sampled_from(FragmentType),
        st.integers(0, 400),
        st.binary(max_size=244),
    ),
)
packets = st.builds(
    lambda kind, argument, payload: (
        Envelope(source=UmiId(4), destination=UmiId(1)).encode()
        + Message(
            transaction=1, created_s=1, packet_type=kind, argument=argument, payload=payload
        ).encode()
    ),
    st.integers(0, 255),
    st.sampled_from([0, 0, 9]),
    st.binary(max_size=40)
    | st.builds(
        lambda code, tail: code.encode() + tail,
        st.sampled_from([each.code for each in CATALOGUE.objects]),
        st.binary(max_size=40),
    ),
)


def consistent(layers: list[Layer], data: bytes) -> None:
    """Every field that is counted in the given bytes stands where it says."""
    for layer in layers:
        for each in layer.fields:
            if not layer.within and each.raw:
                assert data[each.offset :].startswith(each.raw)


@given(
    st.binary(max_size=300)
    | st.lists(frames, max_size=5).map(b"".join)
    | st.tuples(st.lists(frames, max_size=3).map(b"".join), st.binary(max_size=9)).map(b"".join)
    | packets,
    st.sampled_from([None, *KINDS]),
)
def test_anything_is_explained_or_malformed(data: bytes, kind: str | None) -> None:
    """No bytes raise anything but MalformedError, and no field is said to stand elsewhere."""
    try:
        layers = explain(data, CATALOGUE, kind)
    except MalformedError:
        assert kind is None
        return
    consistent(layers, data)


@given(packets)
def test_any_packet_is_explained_to_its_end(data: bytes) -> None:
    """A packet of any type, alone and in a frame: the same is said of it."""
    alone = explain(data, CATALOGUE)
    consistent(alone, data)
    framed = explain(frame(data), CATALOGUE, "frame")
    assert [layer.name for layer in framed[1:]] == [layer.name for layer in alone]
    assert failures(framed) == failures(alone)
