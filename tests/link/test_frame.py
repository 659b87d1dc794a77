"""Frames: the field's vectors, round trips, garbage (protocol 2.1)."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.independent import checksum
from umi_cli.errors import MalformedError
from umi_cli.link.frame import (
    HOST_ADDRESS,
    MAX_FRAME_BYTES,
    MAX_FRAME_PAYLOAD,
    Frame,
    FrameType,
    LinkErrorCode,
    begins_a_frame,
    verify_crc,
)

VECTORS = {
    vector["name"]: vector
    for vector in json.loads(
        (Path(__file__).parents[1] / "vectors" / "vectors.json").read_text(encoding="utf-8")
    )["vectors"]
}
CAPTURED = bytes.fromhex(VECTORS["ei4-read-manufacturer-id-response"]["frame"])

nibbles = st.integers(0, 15)
frames = st.builds(
    Frame,
    sequence=nibbles,
    frame_type=nibbles,
    destination=nibbles,
    source=nibbles,
    payload=st.binary(max_size=MAX_FRAME_PAYLOAD),
    is_busy=st.booleans(),
    version=nibbles,
)


def test_the_captured_frame_both_ways() -> None:
    fields = VECTORS["ei4-read-manufacturer-id-response"]["fields"]
    frame = Frame.decode(CAPTURED)
    assert frame == Frame(
        sequence=fields["sequence"],
        frame_type=FrameType.SIMPLE_RESPONSE,
        destination=fields["destination"],
        source=fields["source"],
        payload=CAPTURED[4:-2],
    )
    assert frame.encode() == CAPTURED


def test_the_numbers_of_the_protocol() -> None:
    assert {kind.name: kind.value for kind in FrameType} == {
        "SIMPLE": 0,
        "SIMPLE_RESPONSE": 1,
        "FRAGMENT": 2,
        "FRAGMENT_RESPONSE": 3,
        "RESYNC": 4,
        "RESYNC_RESPONSE": 5,
        "ERROR": 15,
    }
    assert {code.name: code.value for code in LinkErrorCode} == {
        "UNKNOWN_FRAME_TYPE": 1,
        "UNKNOWN_PROTOCOL_VERSION": 2,
        "BAD_ADDRESS": 3,
        "CANNOT_FORWARD": 4,
        "BUSY": 5,
    }
    assert (HOST_ADDRESS, MAX_FRAME_PAYLOAD, MAX_FRAME_BYTES) == (0, 249, 255)


def test_resync_both_ways() -> None:
    wire = bytes.fromhex(VECTORS["crc-resync"]["frame"])
    frame = Frame(sequence=0, frame_type=FrameType.RESYNC, destination=0, source=0)
    assert frame.encode() == wire
    assert Frame.decode(wire) == frame


def test_one_turned_bit_of_the_captured_frame_is_always_seen() -> None:
    for bit in range(8 * len(CAPTURED)):
        data = bytearray(CAPTURED)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MalformedError):
            Frame.decode(bytes(data))


def test_one_byte_too_few_or_too_many_is_seen() -> None:
    for cut in range(len(CAPTURED)):
        for data in (CAPTURED[:cut], CAPTURED[cut + 1 :], CAPTURED + CAPTURED[cut : cut + 1]):
            with pytest.raises(MalformedError):
                Frame.decode(data)


@given(frames)
def test_every_frame_round_trips(frame: Frame) -> None:
    data = frame.encode()
    assert len(data) == len(frame.payload) + 6 <= MAX_FRAME_BYTES
    assert Frame.decode(data) == frame


def test_busy_is_bit_7_of_byte_1() -> None:
    frame = Frame(sequence=2, frame_type=1, destination=3, source=4, is_busy=True)
    assert frame.encode()[:4] == bytes.fromhex("21 81 00 34")


def test_reserved_bits_are_read_as_nothing() -> None:
    """Protocol 2.1 has them 0; who sets them later shall not be cut off today."""
    data = bytearray(Frame(sequence=2, frame_type=1, destination=3, source=4).encode())
    data[1] |= 0x70
    head = bytes(data[:4])
    assert Frame.decode(head + checksum(head)).frame_type == 1


@given(st.binary(max_size=300))
def test_garbage_raises_one_class(data: bytes) -> None:
    try:
        frame = Frame.decode(data)
    except MalformedError:
        return
    assert len(frame.encode()) == len(data)


@given(st.binary(min_size=4, max_size=253))
def test_garbage_with_a_right_crc(body: bytes) -> None:
    """The length byte alone decides whether it is a frame."""
    data = body + checksum(body)
    if body[2] == len(body) - 4:
        assert Frame.decode(data).payload == body[4:]
    else:
        with pytest.raises(MalformedError, match="length byte") as caught:
            Frame.decode(data)
        assert caught.value.offset == 2


@pytest.mark.parametrize("length", [250, 255])
def test_a_length_that_no_frame_has(length: int) -> None:
    body = bytes([0x11, 0, length, 0]) + bytes(length)
    message = f"length byte says {length} bytes of payload, {length} are there"
    with pytest.raises(MalformedError, match=message):
        Frame.decode(body + checksum(body))


def test_wrong_crc_names_both_and_where() -> None:
    with pytest.raises(MalformedError, match=r"carries 0000, its bytes give fe5b") as caught:
        verify_crc(bytes.fromhex("01040000 0000"))
    assert caught.value.offset == 4


@pytest.mark.parametrize("field", ["sequence", "frame_type", "destination", "source", "version"])
@pytest.mark.parametrize("value", [-1, 16])
def test_a_field_past_its_nibble(field: str, value: int) -> None:
    fields = {"sequence": 0, "frame_type": 0, "destination": 0, "source": 0, field: value}
    with pytest.raises(ValueError, match="nibble"):
        Frame(**fields)  # type: ignore[arg-type]


def test_a_payload_past_249() -> None:
    Frame(sequence=0, frame_type=0, destination=0, source=0, payload=bytes(249))
    with pytest.raises(ValueError, match="249 bytes, not 250"):
        Frame(sequence=0, frame_type=0, destination=0, source=0, payload=bytes(250))


@given(st.binary(min_size=4, max_size=300))
def test_what_begins_no_frame_is_none(data: bytes) -> None:
    """What a Host fetches where its Peripheral has nothing to say (protocol 9)."""
    is_frame = True
    try:
        Frame.decode(data)
    except MalformedError:
        is_frame = False
    assert begins_a_frame(data) or not is_frame


def test_what_begins_a_frame() -> None:
    frame = Frame(sequence=1, frame_type=FrameType.SIMPLE, destination=0, source=5, payload=b"x")
    assert begins_a_frame(frame.encode())
    for nothing in (bytes(4), b"\xff" * 4, b"\x01\x04\xfa\x00"):
        assert not begins_a_frame(nothing)
