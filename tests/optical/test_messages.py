"""Messages: exact bytes, round trips, garbage (EN 62056-21; reference A1 and A2)."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import MalformedError
from umi_cli.optical.characters import SIGN_ON_SETTINGS, with_parity
from umi_cli.optical.messages import (
    BREAK,
    MAX_LINE,
    NAK,
    RATES,
    WAKE_UP,
    Identification,
    OptionSelect,
    is_break,
    request,
)

LETTERS = string.ascii_letters
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
TEXT = PRINTABLE.replace("/", "")
EI4 = bytes.fromhex("2F 45 4C 53 35 5C 32 45 49 34 0D 0A")

identifications = st.builds(
    Identification,
    manufacturer=st.text(LETTERS, min_size=3, max_size=3),
    rate=st.sampled_from(TEXT),
    ident=st.text(TEXT, max_size=30).filter(lambda text: not text.startswith("\\")),
    escapes=st.text(TEXT, max_size=4),
)
one_printable = st.sampled_from(PRINTABLE)
option_selects = st.builds(OptionSelect, v=one_printable, z=one_printable, y=one_printable)
spoiled = st.one_of(
    st.binary(max_size=80),
    st.tuples(identifications | option_selects, st.integers(0, 60), st.binary(max_size=2)).map(
        lambda parts: (line := parts[0].encode())[: parts[1]] + parts[2] + line[parts[1] + 1 :]
    ),
)


def test_the_request() -> None:
    assert request() == bytes.fromhex("2F 3F 21 0D 0A")
    assert with_parity(request()) == bytes.fromhex("AF 3F 21 8D 0A")
    assert request("12 aZ") == b"/?12 aZ!\r\n"
    assert request("0" * 32) == b"/?" + b"0" * 32 + b"!\r\n"


@pytest.mark.parametrize("address", ["0" * 33, "1!", "/1", "1\r\n", "é", "\u0664", "1\n"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        request(address)


def test_the_break_carries_its_own_check() -> None:
    check = 0
    for character in BREAK[1:-1]:
        check ^= character
    assert bytes.fromhex("01 42 30 03 71") == BREAK
    assert BREAK[-1] == check
    assert with_parity(BREAK) == bytes.fromhex("8142300371")


def test_a_break_is_told_with_parity_and_without() -> None:
    assert is_break(BREAK)
    assert is_break(with_parity(BREAK))
    for other in (b"", BREAK[:-1], BREAK + b"\0", b"\0" + BREAK, BREAK[:-1] + b"\x70"):
        assert not is_break(other)


def test_the_wake_up_takes_the_time_that_the_standard_asks_for() -> None:
    """NUL characters for 2.1 to 2.3 s."""
    assert set(WAKE_UP) == {0}
    assert len(WAKE_UP) * SIGN_ON_SETTINGS.character_s == pytest.approx(2.2)


def test_nak_and_the_rates_of_mode_c() -> None:
    assert NAK == b"\x15"
    assert list(RATES) == list("0123456")
    assert list(RATES.values()) == [300, 600, 1200, 2400, 4800, 9600, 19_200]


def test_an_identification_that_offers_hdlc() -> None:
    meter = Identification.decode(EI4)
    assert meter == Identification(manufacturer="ELS", rate="5", ident="EI4", escapes="2")
    assert meter.encode() == EI4
    assert (meter.baud, meter.offers_hdlc, meter.is_fast) == (9600, True, False)
    assert str(meter) == "ELS EI4"


def test_an_identification_without_an_escape() -> None:
    """The character behind Z is one of the ident, and is not eaten."""
    meter = Identification.decode(b"/HoN3EI4\r\n")
    assert meter == Identification(manufacturer="HoN", rate="3", ident="EI4")
    assert (meter.baud, meter.offers_hdlc, meter.is_fast) == (2400, False, False)


def test_an_identification_of_several_escapes_and_no_ident() -> None:
    meter = Identification.decode(b"/ELs0\\3\\2\r\n")
    assert meter == Identification(manufacturer="ELs", rate="0", ident="", escapes="32")
    assert (meter.offers_hdlc, meter.is_fast, str(meter)) == (True, True, "ELs")


@pytest.mark.parametrize("rate", "789ABCDEF a")
def test_a_rate_character_that_mode_c_does_not_know(rate: str) -> None:
    """Mode B has letters; 7 to 9 are reserved, and used by some for what they please."""
    meter = Identification.decode(f"/ELS{rate}EI4\r\n".encode())
    assert (meter.rate, meter.baud) == (rate, None)


@given(st.binary(max_size=40))
def test_noise_before_an_identification_is_skipped(noise: bytes) -> None:
    assert Identification.decode(noise + EI4) == Identification.decode(EI4)


NO_IDENTIFICATIONS = [b"", b"\r\n", b"/", EI4[:-1], EI4[:-2], EI4[1:], EI4 + b"\n", b"/?!\r\n"]
NO_IDENTIFICATIONS += [b"/EL5EI4\r\n", b"/E1S5EI4\r\n", b"/ELS\r\n", b"/ELS5E/I4\r\n"]
NO_IDENTIFICATIONS += [b"/ELS5EI\x004\r\n", b"/ELS5\xc9\r\n", b"/ELS5\x7f\r\n"]
NO_IDENTIFICATIONS += [b"/ELS5EI4\r\r\n", b"/ELS5EI4\n"]


@pytest.mark.parametrize(
    "line",
    NO_IDENTIFICATIONS,
)
def test_what_is_no_identification(line: bytes) -> None:
    with pytest.raises(MalformedError, match="no identification"):
        Identification.decode(line)


def test_the_longest_identification_and_one_that_is_longer() -> None:
    longest = Identification(manufacturer="ELS", rate="5", ident="x" * (MAX_LINE - 7))
    assert len(longest.encode()) == MAX_LINE == 64
    assert Identification.decode(b"noise" + longest.encode()) == longest
    with pytest.raises(MalformedError):
        Identification.decode(b"/ELS5x" + longest.encode()[5:])


@given(identifications)
def test_every_identification_round_trips(meter: Identification) -> None:
    assert Identification.decode(meter.encode()) == meter


@pytest.mark.parametrize(
    ("v", "z", "y", "line"),
    [
        ("0", "0", "0", "06 30 30 30 0D 0A"),
        ("0", "5", "1", "06 30 35 31 0D 0A"),
        ("2", "5", "2", "06 32 35 32 0D 0A"),
        ("0", "5", "6", "06 30 35 36 0D 0A"),
        ("0", "5", "9", "06 30 35 39 0D 0A"),
    ],
)
def test_option_selects_both_ways(v: str, z: str, y: str, line: str) -> None:
    select = OptionSelect(v=v, z=z, y=y)
    assert select.encode() == bytes.fromhex(line)
    assert OptionSelect.decode(bytes.fromhex(line)) == select


@given(option_selects)
def test_every_option_select_round_trips(select: OptionSelect) -> None:
    assert OptionSelect.decode(select.encode()) == select


@pytest.mark.parametrize(
    "line", [b"", b"\x06056", b"\x06056\n", b"x\x06056\r\n", b"\x060566\r\n", b"\x0605\xb6\r\n"]
)
def test_what_is_no_option_select(line: bytes) -> None:
    with pytest.raises(MalformedError, match="no option select"):
        OptionSelect.decode(line)


@given(spoiled)
def test_garbage_raises_one_class(data: bytes) -> None:
    """What is taken for a message says the same when it is said again."""
    for kind in (Identification, OptionSelect):
        try:
            message = kind.decode(data)
        except MalformedError:
            continue
        assert data.endswith(message.encode())
