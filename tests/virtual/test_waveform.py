"""What a receiver makes of characters of other settings: the garbage that a real line shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.optical.characters import SIGN_ON_SETTINGS, LineSettings
from umi_cli.virtual.waveform import heard

TEXT = b"/?!\r\n"
BAUDS = [300, 600, 1200, 2400, 4800, 9600, 19_200]
some_settings = st.builds(
    LineSettings,
    baud=st.sampled_from(BAUDS),
    bits=st.integers(5, 8),
    parity=st.sampled_from(["N", "E", "O"]),
)


def at(baud: int) -> LineSettings:
    return LineSettings(baud=baud)


@given(st.binary(), st.sampled_from(BAUDS))
def test_the_same_settings_change_nothing(data: bytes, baud: int) -> None:
    """7E1 is 8N1 to the bit, either way."""
    seven = LineSettings(baud=baud, bits=7, parity="E")
    for sent, receiver in ((at(baud), at(baud)), (seven, at(baud)), (at(baud), seven)):
        assert heard(data, sent, receiver) == data


@pytest.mark.parametrize(
    ("data", "sent", "receiver", "result"),
    [
        # U alternates: each of its bits is two at the double rate, and a stop bit falls on a low.
        (b"U", 4800, 9600, "66 e6"),
        # Each low stretch is a character that finds no stop bit: start bit, bits 1, 3, 5 and 7.
        (b"U", 300, 9600, "00 00 00 00 00"),
        (b"\x00", 300, 9600, "00"),
        (b"\xff", 300, 9600, "00"),
        # Every other bit is sampled, and the bits of the next character stand behind the first.
        (b"\xff", 9600, 4800, "ff"),
        (b"UU", 9600, 4800, "ff"),
        (b"", 9600, 300, ""),
    ],
)
def test_another_rate_worked_out_by_hand(
    data: bytes, sent: int, receiver: int, result: str
) -> None:
    assert heard(data, at(sent), at(receiver)) == bytes.fromhex(result)


@pytest.mark.parametrize("sent", BAUDS)
@pytest.mark.parametrize("receiver", BAUDS)
def test_another_rate_gives_garbage_and_the_same_every_time(sent: int, receiver: int) -> None:
    garbage = heard(TEXT, at(sent), at(receiver))
    assert (garbage == TEXT) == (sent == receiver)
    assert garbage == heard(TEXT, at(sent), at(receiver))
    assert garbage


@pytest.mark.parametrize("baud", BAUDS[1:])
def test_a_faster_receiver_makes_more_of_it_and_a_slower_one_less(baud: int) -> None:
    assert len(heard(TEXT, at(300), at(baud))) > len(TEXT)
    assert len(heard(4 * TEXT, at(baud), at(300))) < 4 * len(TEXT)


def test_fewer_bits_are_heard_with_the_stop_bit_among_them() -> None:
    """7N1 to an 8N1 receiver: the stop bit is bit 7, and the line is at rest behind it."""
    seven = LineSettings(baud=300, bits=7)
    assert heard(b"A", seven, at(300)) == b"\xc1"
    assert heard(b"AB", seven, at(300)) != b"\xc1\xc2"


def test_more_bits_are_cut_off() -> None:
    """8N1 to a 7N1 receiver: bit 7 is taken for the stop bit."""
    seven = LineSettings(baud=300, bits=7)
    assert heard(b"\xc1", at(300), seven) == b"A"
    assert heard(b"\x41", at(300), seven) == b"A"


@given(st.binary(max_size=20), some_settings)
def test_any_settings_hear_themselves(data: bytes, settings: LineSettings) -> None:
    """But for what their characters have no bits for."""
    bits = settings.character_bits - 2
    assert heard(data, settings, settings) == bytes(code & (1 << bits) - 1 for code in data)


@given(st.binary(max_size=20), some_settings, some_settings)
def test_whatever_is_heard_is_characters(
    data: bytes, sent: LineSettings, receiver: LineSettings
) -> None:
    """No more of them than low levels that could begin one."""
    garbage = heard(data, sent, receiver)
    assert len(garbage) <= len(data) * (sent.character_bits + 1) // 2
    assert bool(garbage) == bool(data)


def test_a_ninth_bit_is_nobodys() -> None:
    """8E1 to itself and to others: characters have eight bits, whatever stands behind them."""
    nine = LineSettings(baud=300, parity="E")
    assert heard(b"\xff\x00", nine, nine) == b"\xff\x00"
    assert heard(b"\x00", LineSettings(baud=300, bits=5), nine) == b"\xe0"


def test_parity_is_a_bit_of_the_character() -> None:
    assert heard(TEXT, SIGN_ON_SETTINGS, SIGN_ON_SETTINGS) == TEXT
    assert heard(b"\xaf", SIGN_ON_SETTINGS, LineSettings(baud=300, bits=7)) == b"\x2f"
