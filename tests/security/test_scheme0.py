"""Scheme 0: a packet is its envelope and its message, in the clear."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umi_cli.application.packet import Envelope, Message
from umi_cli.errors import MalformedError
from umi_cli.security.scheme0 import Scheme0
from umi_cli.types import UNKNOWN_DEVICE, UmiId

READER = UmiId(0x0023_7EFE_0000_0004)
SCHEME = Scheme0()
COMMAND = bytes.fromhex(
    "00 01 00 00 04000000fe7e2300 ffffffffffffffff 00"  # envelope, destination not yet known
    "00 0700 8075e830 30 00 0400 00010203 0002"  # READ_OBJECT, and no signature
)


def test_a_command_in_the_clear_to_the_byte() -> None:
    """Sealing gives the bytes of protocol 3.1 written by hand, and opening the records again."""
    envelope = Envelope(source=READER, destination=UNKNOWN_DEVICE)
    message = Message(
        transaction=7, created_s=0x30E8_7580, packet_type=0x30, payload=b"\x00\x01\x02\x03"
    )
    assert SCHEME.seal(envelope, message) == COMMAND
    assert SCHEME.open(COMMAND) == (envelope, message)
    assert SCHEME.number == 0


@pytest.mark.parametrize("scheme", [1, 2, 3, 255])
def test_a_sealed_packet_is_not_taken_for_one_in_the_clear(scheme: int) -> None:
    with pytest.raises(MalformedError, match=f"sealed under scheme {scheme}") as caught:
        SCHEME.open(bytes([scheme]) + COMMAND[1:])
    assert caught.value.offset == 0


@settings(deadline=None)
@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: COMMAND[:30] + tail))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    """What opens seals to the same bytes; all else is MalformedError."""
    try:
        opened = SCHEME.open(data)
    except MalformedError:
        return
    assert SCHEME.seal(*opened) == data
