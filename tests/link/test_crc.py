"""The link CRC against the field's vectors and an independent bitwise implementation."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import independent
from umi_cli.link.crc import crc

VECTORS = {
    vector["name"]: vector
    for vector in json.loads(
        (Path(__file__).parents[1] / "vectors" / "vectors.json").read_text(encoding="utf-8")
    )["vectors"]
}


def bitwise_crc(data: bytes) -> int:
    """Shift each bit in, least significant first (protocol 2.2)."""
    register = 0
    for byte in data:
        for bit in range(8):
            feedback = register >> 15 ^ (byte >> bit & 1)
            register = register << 1 & 0xFFFF
            if feedback:
                register ^= 0x1021
    return register


def test_the_fields_resync_vector() -> None:
    vector = VECTORS["crc-resync"]
    assert crc(bytes.fromhex(vector["header"])) == int.from_bytes(
        bytes.fromhex(vector["crc"]), "little"
    )


def test_the_captured_frame() -> None:
    frame = bytes.fromhex(VECTORS["ei4-read-manufacturer-id-response"]["frame"])
    assert crc(frame[:-2]).to_bytes(2, "little") == frame[-2:]


@pytest.mark.parametrize(("data", "expected"), [(b"", 0), (b"\0" * 9, 0), (b"\x80", 0x1021)])
def test_by_hand(data: bytes, expected: int) -> None:
    assert crc(data) == expected


@given(st.binary(max_size=300))
def test_the_same_as_bit_by_bit(data: bytes) -> None:
    assert crc(data) == bitwise_crc(data)


@given(st.binary(max_size=300))
def test_the_same_as_the_independent_commanders(data: bytes) -> None:
    assert crc(data).to_bytes(2, "little") == independent.checksum(data)
