"""Tag, length, value: one form only."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.certificates import tlv
from umi_cli.certificates.tlv import TlvReader
from umi_cli.errors import MalformedError

TAGS = st.sampled_from([0x30, 0x42, 0x86, 0x5A, 0x7F21, 0x7F4E, 0x5F29, 0xDF25])


@pytest.mark.parametrize(
    ("length", "head"),
    [(0, "4200"), (0x7F, "427f"), (0x80, "428180"), (0xFF, "4281ff"), (0x100, "42820100")],
)
def test_lengths_are_shortest(length: int, head: str) -> None:
    encoded = tlv.encode(0x42, bytes(length))
    assert encoded == bytes.fromhex(head) + bytes(length)
    assert tlv.decode_only(encoded, 0x42, what="field") == bytes(length)


def test_a_value_past_the_longest_is_not_encoded() -> None:
    with pytest.raises(OverflowError):
        tlv.encode(0x42, bytes(tlv.MAX_VALUE_BYTES + 1))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ("", "too short"),
        ("42", "too short"),
        ("4201", "too short"),
        ("420100ff", "too many"),
        ("5a0100", "tag 5A stands where"),
        ("7f1e0100", "not in its form"),  # a number below 31 fits one byte
        ("7f812100", "not in its form"),  # three tag bytes
        ("7f", "too short"),
        ("428000", "no known form"),  # indefinite
        ("4283000001ff", "no known form"),
        ("4281", "too short"),
        ("42817f" + "00" * 0x7F, "shortest"),
        ("428200ff" + "00" * 0xFF, "shortest"),
    ],
)
def test_other_forms_are_refused(data: str, fault: str) -> None:
    with pytest.raises(MalformedError, match=fault):
        tlv.decode_only(bytes.fromhex(data), 0x42, what="field")


def test_a_field_comes_once() -> None:
    reader = TlvReader(bytes.fromhex("420100420100"), what="body")
    reader.value(0x42, "issuer")
    with pytest.raises(MalformedError, match="tag 42 comes twice") as caught:
        reader.value(0x5A, "serial")
    assert caught.value.offset == 3


def test_a_field_has_its_length() -> None:
    reader = TlvReader(bytes.fromhex("420100"), what="body")
    with pytest.raises(MalformedError, match="1 bytes, not 8"):
        reader.sized(0x42, 8, "issuer")


def test_whole_keeps_the_bytes_received() -> None:
    reader = TlvReader(bytes.fromhex("5a00420107"), what="body")
    assert reader.remaining == 5
    reader.value(0x5A, "serial")
    assert reader.whole(0x42, "issuer").hex() == "420107"
    reader.end()


def test_what_a_record_refuses_is_malformed() -> None:
    with pytest.raises(MalformedError, match="body: no such thing"), tlv.malformed("body"):
        raise ValueError("no such thing")


@given(TAGS, st.binary(max_size=300))
def test_round_trip(tag: int, value: bytes) -> None:
    assert tlv.decode_only(tlv.encode(tag, value), tag, what="field") == value


@given(TAGS, st.binary(max_size=40))
def test_garbage_raises_one_error_or_has_one_form(tag: int, data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        assert tlv.encode(tag, tlv.decode_only(data, tag, what="field")) == data
