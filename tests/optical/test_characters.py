"""Characters: even parity made in software, and how long a character takes (EN 62056-21)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.optical.characters import (
    SIGN_ON_SETTINGS,
    LineSettings,
    count_bad_parity,
    with_parity,
    without_parity,
)

# Reference A1: what is said, and what stands on an 8N1 port. These bytes come from elsewhere.
SPOKEN = [
    ("2F 3F 21 0D 0A", "AF 3F 21 8D 0A"),
    ("2F 45 4C 53 35 5C 32 45 49 34 0D 0A", "AF C5 CC 53 35 5C B2 C5 C9 B4 8D 0A"),
    ("06 30 30 30 0D 0A", "06 30 30 30 8D 0A"),
    ("06 30 35 30 0D 0A", "06 30 35 30 8D 0A"),
    ("06 30 35 31 0D 0A", "06 30 35 B1 8D 0A"),
    ("06 32 35 32 0D 0A", "06 B2 35 B2 8D 0A"),
    ("06 30 35 32 0D 0A", "06 30 35 B2 8D 0A"),
    ("06 30 35 36 0D 0A", "06 30 35 36 8D 0A"),
    ("06 30 35 37 0D 0A", "06 30 35 B7 8D 0A"),
    ("06 30 35 38 0D 0A", "06 30 35 B8 8D 0A"),
    ("06 30 35 39 0D 0A", "06 30 35 39 8D 0A"),
    ("01 42 30 03 71", "81 42 30 03 71"),
    ("15", "95"),
]


@pytest.mark.parametrize(("spoken", "on_the_wire"), SPOKEN)
def test_the_parity_of_each_message_both_ways(spoken: str, on_the_wire: str) -> None:
    text, wire = bytes.fromhex(spoken), bytes.fromhex(on_the_wire)
    assert with_parity(text) == wire
    assert without_parity(wire) == text
    assert count_bad_parity(wire) == 0


@given(st.binary())
def test_bit_7_makes_the_number_of_ones_even(data: bytes) -> None:
    """What stood in bit 7 before does not matter: a character has seven."""
    wire = with_parity(data)
    assert without_parity(wire) == bytes(code & 0x7F for code in data)
    assert all(code.bit_count() % 2 == 0 for code in wire)
    assert with_parity(wire) == wire


@given(st.binary(max_size=40), st.lists(st.integers(0, 7), max_size=40))
def test_each_turned_bit_is_a_bad_parity(text: bytes, bits: list[int]) -> None:
    wire = bytearray(with_parity(text))
    turned = list(zip(range(len(wire)), bits, strict=False))
    for place, bit in turned:
        wire[place] ^= 1 << bit
    assert count_bad_parity(bytes(wire)) == len(turned)


def test_7e1_takes_as_long_as_8n1() -> None:
    """Start, eight bits, stop: parity in software is exact, and only the rate changes."""
    assert LineSettings(baud=300, bits=7, parity="E") == SIGN_ON_SETTINGS
    assert SIGN_ON_SETTINGS.character_bits == LineSettings(baud=300).character_bits == 10
    assert SIGN_ON_SETTINGS.character_s == pytest.approx(1 / 30)


@pytest.mark.parametrize(
    ("settings", "bits", "name"),
    [
        (LineSettings(baud=9600), 10, "9600 baud 8N1"),
        (LineSettings(baud=300, bits=7), 9, "300 baud 7N1"),
        (LineSettings(baud=1200, parity="E"), 11, "1200 baud 8E1"),
        (LineSettings(baud=600, bits=7, parity="O"), 10, "600 baud 7O1"),
        (LineSettings(baud=600, bits=5), 7, "600 baud 5N1"),
    ],
)
def test_settings_know_their_length_and_their_name(
    settings: LineSettings, bits: int, name: str
) -> None:
    assert settings.character_bits == bits
    assert settings.character_s == pytest.approx(bits / settings.baud)
    assert str(settings) == name
