"""The packet of protocol 3.1, against the frame of a fielded meter and an independent seal."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load_vectors import octets, vector
from umi_cli.application.commands import ReadObject, ReadObjectReply
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import decode_command
from umi_cli.errors import MalformedError
from umi_cli.types import UmiCode, UmiId

CAPTURED = "ei4-read-manufacturer-id-response"
METER = UmiId(0x0023_7EFE_0000_0001)
READER = UmiId(0x0023_7EFE_0000_0004)


def test_the_envelope_of_the_captured_frame() -> None:
    """The 21 bytes in the clear of a fielded meter's response, in both directions."""
    packet = octets(CAPTURED, "frame")[4:-2]
    envelope = Envelope.decode(packet)
    assert envelope == Envelope(
        encryption_scheme=2,
        protocol=0x01,
        source=METER,
        destination=READER,
        encryption_options=1,
    )
    assert envelope.encode() == packet[:ENVELOPE_BYTES]


def test_the_message_of_the_captured_frame() -> None:
    """What the meter said under encryption: header, payload, signature record, to the byte."""
    plain, fields = octets(CAPTURED, "plaintext"), vector(CAPTURED)["fields"]
    message = Message.decode(plain)
    assert message.transaction == fields["transaction"]
    assert message.created_s == fields["created_s"]
    assert message.packet_type == fields["packet_type"]
    assert message.argument == fields["result"]
    assert (message.signature_scheme, message.signature) == (0, b"\x00\x02")
    assert message.encode() == plain
    assert ReadObjectReply.decode(message.payload) == ReadObjectReply(
        code=UmiCode.parse(fields["code"]), value=fields["value_ascii"].encode()
    )


def test_the_read_that_an_independent_implementation_sealed() -> None:
    """A command's envelope and message are those that another implementation made."""
    packet, plain = octets("s2-encrypted-read", "packet"), octets("s2-encrypted-read", "plaintext")
    envelope = Envelope(encryption_scheme=2, source=READER, destination=METER)
    message = Message(
        transaction=7,
        created_s=0x30E8_7580,
        packet_type=0x30,
        payload=ReadObject(code=UmiCode(0)).encode(),
    )
    assert Envelope.decode(packet) == envelope
    assert envelope.encode() == packet[:ENVELOPE_BYTES]
    assert Message.decode(plain) == message
    assert message.encode() == plain
    assert decode_command(message.packet_type, message.payload) == ReadObject(code=UmiCode(0))


def test_every_field_stands_where_the_protocol_says() -> None:
    """A whole packet, each field with a value of its own."""
    envelope = Envelope(
        encryption_scheme=0x11,
        protocol=0x22,
        source_options=0x33,
        destination_options=0x44,
        source=UmiId(0x5756_5554_5352_5150),
        destination=UmiId(0x6766_6564_6362_6160),
        encryption_options=0x77,
    )
    message = Message(
        signature_scheme=0x81,
        transaction=0x8382,
        created_s=0x8786_8584,
        packet_type=0x88,
        argument=0x89,
        payload=b"\xa0\xa1\xa2",
        signature=b"\x81\x03\xb0",
    )
    assert (envelope.encode() + message.encode()).hex(" ") == (
        "11 22 33 44 50 51 52 53 54 55 56 57 60 61 62 63 64 65 66 67 77 "
        "81 82 83 84 85 86 87 88 89 03 00 a0 a1 a2 81 03 b0"
    )
    assert Envelope.decode(envelope.encode()) == envelope
    assert Message.decode(message.encode()) == message
    assert message.encode_unsigned() == message.encode()[:-3]


envelopes = st.builds(
    Envelope,
    source=st.builds(UmiId, st.integers(0, (1 << 64) - 1)),
    destination=st.builds(UmiId, st.integers(0, (1 << 64) - 1)),
    encryption_scheme=st.integers(0, 255),
    protocol=st.integers(0, 255),
    source_options=st.integers(0, 255),
    destination_options=st.integers(0, 255),
    encryption_options=st.integers(0, 255),
)


@given(envelopes, st.binary(max_size=30))
def test_an_envelope_round_trips_whatever_follows(envelope: Envelope, tail: bytes) -> None:
    assert Envelope.decode(envelope.encode() + tail) == envelope


@given(st.binary(max_size=60))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    """Either decoder gives what encodes to the same bytes again, or MalformedError."""
    try:
        assert Envelope.decode(data).encode() == data[:ENVELOPE_BYTES]
    except MalformedError:
        assert len(data) < ENVELOPE_BYTES
    with suppress(MalformedError):
        assert Message.decode(data).encode() == data


MESSAGE = Message(transaction=1, created_s=2, packet_type=0x30, payload=b"abcd")


@pytest.mark.parametrize("length", range(len(MESSAGE.encode())))
def test_a_message_cut_anywhere_is_malformed(length: int) -> None:
    """The lengths inside lead to the end of the packet, or it is none."""
    with pytest.raises(MalformedError):
        Message.decode(MESSAGE.encode()[:length])


BROKEN = [
    (MESSAGE.encode() + b"\x00", "does not end where the packet ends: 3 bytes"),
    (replace(MESSAGE, signature=b"\x00\x03").encode(), "does not end where the packet ends"),
    (replace(MESSAGE, signature=b"\x00").encode(), "does not end where the packet ends: 1 bytes"),
    (replace(MESSAGE, signature=b"\x01\x02").encode(), "says signature scheme 0, the record 1"),
    (replace(MESSAGE, signature_scheme=2).encode(), "says signature scheme 2, the record 0"),
]


@pytest.mark.parametrize(("data", "reason"), BROKEN)
def test_a_signature_record_that_does_not_fit_is_named(data: bytes, reason: str) -> None:
    """Length and scheme of the record agree with the packet and its header (protocol 5)."""
    with pytest.raises(MalformedError, match=reason) as caught:
        Message.decode(data)
    assert caught.value.offset == 15
