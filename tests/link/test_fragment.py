"""Fragments: round trips, garbage, what the assembler refuses (protocol 2.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import MalformedError
from umi_cli.link.fragment import (
    MAX_FRAGMENT_BYTES,
    MAX_PACKET_BYTES,
    Assembler,
    Fragment,
    FragmentError,
    FragmentErrorCode,
    FragmentType,
    split,
)

numbers = st.integers(0, 0xFFFF)
chunks = st.binary(max_size=MAX_FRAGMENT_BYTES)
fragments = st.builds(
    Fragment,
    fragment_type=st.sampled_from([kind for kind in FragmentType if kind]),
    data=numbers,
    chunk=chunks,
) | st.builds(
    Fragment,
    fragment_type=st.just(FragmentType.FIRST),
    data=st.integers(1, MAX_PACKET_BYTES),
    chunk=chunks,
)


def first(data: int, chunk: bytes = b"") -> Fragment:
    return Fragment(fragment_type=FragmentType.FIRST, data=data, chunk=chunk)


def middle(chunk: bytes) -> Fragment:
    return Fragment(fragment_type=FragmentType.MIDDLE, chunk=chunk)


def last(chunk: bytes) -> Fragment:
    return Fragment(fragment_type=FragmentType.LAST, chunk=chunk)


def test_the_numbers_of_the_protocol() -> None:
    assert {code.name: code.value for code in FragmentErrorCode} == {
        "PACKET_TOO_LARGE": 0,
        "PROTOCOL_ERROR": 1,
        "LENGTH_ERROR": 2,
        "TERMINATED": 3,
        "UNKNOWN_FRAGMENT_VERSION": 4,
    }
    assert (MAX_FRAGMENT_BYTES, MAX_PACKET_BYTES) == (244, 65_536)


@given(fragments)
def test_every_fragment_round_trips(fragment: Fragment) -> None:
    assert Fragment.decode(fragment.encode()) == fragment


@pytest.mark.parametrize(
    ("fragment", "wire"),
    [
        (first(250, b"\xaa"), "00 00 fa00 aa"),
        (first(65_536, b"\xaa"), "00 00 0000 aa"),
        (middle(b"\xbb\xcc"), "10 00 0000 bbcc"),
        (last(b""), "20 00 0000"),
        (Fragment(fragment_type=FragmentType.NEXT), "30 00 0000"),
        (Fragment(fragment_type=FragmentType.ACK), "40 00 0000"),
        (Fragment(fragment_type=FragmentType.ERROR, data=2), "f0 00 0200"),
    ],
)
def test_byte_by_byte(fragment: Fragment, wire: str) -> None:
    assert fragment.encode() == bytes.fromhex(wire)
    assert Fragment.decode(bytes.fromhex(wire)) == fragment


@given(st.binary(max_size=249))
def test_garbage_raises_one_class(payload: bytes) -> None:
    try:
        fragment = Fragment.decode(payload)
    except MalformedError:
        return
    assert fragment.encode()[2:] == payload[2:]


@pytest.mark.parametrize(
    ("payload", "number", "message"),
    [
        ("", FragmentErrorCode.PROTOCOL_ERROR, "at least 4 bytes"),
        ("000000", FragmentErrorCode.PROTOCOL_ERROR, "at least 4 bytes"),
        ("50000000", FragmentErrorCode.PROTOCOL_ERROR, "fragment type 5"),
        ("01000000", FragmentErrorCode.UNKNOWN_FRAGMENT_VERSION, "version 1"),
        ("5f000000", FragmentErrorCode.UNKNOWN_FRAGMENT_VERSION, "version 15"),
    ],
)
def test_the_number_that_a_bad_fragment_is_answered_with(
    payload: str, number: FragmentErrorCode, message: str
) -> None:
    with pytest.raises(FragmentError, match=message) as caught:
        Fragment.decode(bytes.fromhex(payload))
    assert caught.value.number == number


@pytest.mark.parametrize("length", [0, 1, 249])
def test_up_to_249_bytes_go_in_one_frame(length: int) -> None:
    assert split(bytes(length)) == [bytes(length)]


@given(st.integers(250, 5_000) | st.sampled_from([244 * 2, 244 * 3, 65_535, 65_536]))
def test_a_longer_packet_is_split_and_joined(length: int) -> None:
    packet = bytes(index * 7 & 0xFF for index in range(length))
    parts = [Fragment.decode(payload) for payload in split(packet)]
    kinds = [part.fragment_type for part in parts]
    assert kinds == [
        FragmentType.FIRST,
        *[FragmentType.MIDDLE] * (len(parts) - 2),
        FragmentType.LAST,
    ]
    assert [part.data for part in parts] == [length] + [0] * (len(parts) - 1)
    assert all(len(part.chunk) == MAX_FRAGMENT_BYTES for part in parts[:-1])
    assert 1 <= len(parts[-1].chunk) <= MAX_FRAGMENT_BYTES
    assembler = Assembler()
    *open_, packet_again = [assembler.take(part) for part in parts]
    assert open_ == [None] * (len(parts) - 1)
    assert packet_again == packet
    assert not assembler.is_open


def test_a_packet_past_65536_is_not_split() -> None:
    with pytest.raises(ValueError, match="at most 65536 bytes, not 65537"):
        split(bytes(65_537))


@pytest.mark.parametrize(
    ("taken", "number"),
    [
        ([first(1_001)], FragmentErrorCode.PACKET_TOO_LARGE),
        ([first(65_536)], FragmentErrorCode.PACKET_TOO_LARGE),
        ([middle(b"a")], FragmentErrorCode.PROTOCOL_ERROR),
        ([last(b"a")], FragmentErrorCode.PROTOCOL_ERROR),
        ([first(9, b"a"), middle(b"")], FragmentErrorCode.PROTOCOL_ERROR),
        (
            [first(9, b"a"), Fragment(fragment_type=FragmentType.ACK)],
            FragmentErrorCode.PROTOCOL_ERROR,
        ),
        ([first(1, b"ab")], FragmentErrorCode.LENGTH_ERROR),
        ([first(3, b"ab"), middle(b"cd")], FragmentErrorCode.LENGTH_ERROR),
        ([first(3, b"ab"), last(b"cd")], FragmentErrorCode.LENGTH_ERROR),
        ([first(3, b"ab"), last(b"")], FragmentErrorCode.LENGTH_ERROR),
    ],
)
def test_what_the_assembler_refuses(taken: list[Fragment], number: FragmentErrorCode) -> None:
    assembler = Assembler(limit_bytes=1_000)
    for fragment in taken[:-1]:
        assert assembler.take(fragment) is None
    with pytest.raises(FragmentError) as caught:
        assembler.take(taken[-1])
    assert caught.value.number == number
    assert not assembler.is_open
    assembler.take(first(2, b"x"))
    assert assembler.take(last(b"y")) == b"xy"


def test_a_packet_of_the_limit_is_taken() -> None:
    assembler = Assembler(limit_bytes=3)
    assert assembler.take(first(3, b"a")) is None
    assert assembler.take(last(b"bc")) == b"abc"


def test_first_begins_anew_and_drop_forgets() -> None:
    assembler = Assembler()
    assembler.take(first(9, b"old"))
    assembler.take(first(4, b"ne"))
    assert assembler.take(last(b"wt")) == b"newt"
    assembler.take(first(9, b"old"))
    states = [assembler.is_open]
    assembler.drop()
    assert [*states, assembler.is_open] == [True, False]
    with pytest.raises(FragmentError):
        assembler.take(last(b"er"))


@given(st.lists(fragments, max_size=12))
def test_any_order_of_fragments_raises_one_class_and_bounds_memory(
    taken: list[Fragment],
) -> None:
    assembler = Assembler(limit_bytes=300)
    for fragment in taken:
        try:
            packet = assembler.take(fragment)
        except MalformedError:
            assert not assembler.is_open
        else:
            assert packet is None or len(packet) <= 300
