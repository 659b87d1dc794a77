"""The bounded reader and the integer writers."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli import wire
from umi_cli.errors import MalformedError
from umi_cli.wire import ByteOrder, Reader

WRITERS = [(wire.u8, 1), (wire.u16, 2), (wire.u32, 4), (wire.u64, 8)]
READERS = [(Reader.u8, 1), (Reader.u16, 2), (Reader.u32, 4), (Reader.u64, 8)]


@pytest.mark.parametrize(
    ("byte_order", "values"),
    [
        ("little", (0x01, 0x0302, 0x07060504, 0x0F0E0D0C0B0A0908)),
        ("big", (0x01, 0x0203, 0x04050607, 0x08090A0B0C0D0E0F)),
    ],
)
def test_integers_byte_by_byte(byte_order: ByteOrder, values: tuple[int, ...]) -> None:
    reader = Reader(bytes(range(1, 16)), what="numbers", byte_order=byte_order)
    assert (reader.u8("a"), reader.u16("b"), reader.u32("c"), reader.u64("d")) == values
    reader.end()


def test_little_endian_is_the_default() -> None:
    assert Reader(b"\x01\x02\x03", what="number").unsigned(3, "a") == 0x030201


def test_take_rest_and_what_is_left() -> None:
    reader = Reader(b"abcdef", what="letters")
    assert reader.take(2, "first") == b"ab"
    assert (reader.offset, reader.remaining) == (2, 4)
    assert reader.take(0, "nothing") == b""
    assert reader.rest() == b"cdef"
    assert reader.rest() == b""
    assert (reader.offset, reader.remaining) == (6, 0)


def test_running_short_names_what_where_and_how_much_and_takes_nothing() -> None:
    reader = Reader(b"abc", what="READ_OBJECT")
    reader.u8("kind")
    with pytest.raises(MalformedError) as caught:
        reader.u32("code")
    assert caught.value.offset == 1
    assert str(caught.value) == ("READ_OBJECT is too short: code needs 4 bytes at offset 1, 2 left")
    assert reader.rest() == b"bc"


def test_bytes_left_over_are_named() -> None:
    reader = Reader(b"abc", what="READ_OBJECT")
    reader.u8("kind")
    with pytest.raises(
        MalformedError, match="READ_OBJECT has 2 bytes too many after offset 1"
    ) as e:
        reader.end()
    assert e.value.offset == 1


@given(st.binary(max_size=40), st.lists(st.integers(0, 20), max_size=12))
def test_any_takes_from_any_bytes_run_short_in_one_way(data: bytes, lengths: list[int]) -> None:
    reader, taken = Reader(data, what="garbage"), b""
    for length in lengths:
        if length > reader.remaining:
            with pytest.raises(MalformedError):
                reader.take(length, "field")
        else:
            taken += reader.take(length, "field")
        assert reader.offset == len(taken)
    assert taken + reader.rest() == data


@pytest.mark.parametrize(("write", "length"), WRITERS)
def test_written_integers_have_their_length_and_no_other(
    write: Callable[[int], bytes], length: int
) -> None:
    largest = (1 << 8 * length) - 1
    assert write(0) == bytes(length)
    assert write(1) == b"\x01" + bytes(length - 1)
    assert write(largest) == b"\xff" * length
    for value in (-1, largest + 1):
        with pytest.raises(OverflowError):
            write(value)


@given(st.integers(0, (1 << 64) - 1))
def test_written_integers_are_read_again(value: int) -> None:
    for (write, length), (read, _) in zip(WRITERS, READERS, strict=True):
        part = value & (1 << 8 * length) - 1
        assert read(Reader(write(part), what="number"), "value") == part
