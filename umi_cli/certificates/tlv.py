"""How are tag, length and value written? Strict BER-TLV, one form only (protocol 6.4).

Tags have one byte or two, lengths their shortest form, and nothing follows the last value: what
decodes has exactly one encoding, so encoding again gives the bytes received.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from umi_cli import wire
from umi_cli.errors import MalformedError
from umi_cli.wire import Reader

MAX_VALUE_BYTES = 0xFFFF  # longer would not fit an application packet

_LONG_TAG = 0x1F  # low bits of the first tag byte: a second one follows
_MORE_TAG_BYTES = 0x80
_SHORT_LENGTH = 0x7F
_ONE_LENGTH_BYTE = 0x81
_TWO_LENGTH_BYTES = 0x82
_LEAST_LENGTH = {_ONE_LENGTH_BYTE: 0x80, _TWO_LENGTH_BYTES: 0x100}


def encode(tag: int, *parts: bytes) -> bytes:
    """Encode a value, given in parts, under its tag.

    Raises:
        OverflowError: the value is longer than 65,535 bytes.
    """
    value = b"".join(parts)
    tag_bytes = tag.to_bytes(2 if tag > 0xFF else 1, "big")
    return tag_bytes + _encode_length(len(value)) + value


def _encode_length(length: int) -> bytes:
    if length <= _SHORT_LENGTH:
        return wire.u8(length)
    if length <= 0xFF:
        return bytes([_ONE_LENGTH_BYTE, length])
    return bytes([_TWO_LENGTH_BYTES]) + length.to_bytes(2, "big")


class TlvReader:
    """A cursor over TLV fields from outside, which stand in a fixed order.

    Args:
        data: the bytes.
        what: what is being decoded, for the error sentence.
    """

    __slots__ = ("_data", "_reader", "_seen", "_what")

    def __init__(self, data: bytes, *, what: str) -> None:
        self._data = data
        self._what = what
        self._reader = Reader(data, what=what, byte_order="big")
        self._seen: set[int] = set()

    @property
    def remaining(self) -> int:
        """Return how many bytes are left."""
        return self._reader.remaining

    def value(self, tag: int, field: str) -> bytes:
        """Take the value of the next field, which must have that tag.

        Raises:
            MalformedError: it has another tag, comes twice, is cut, or is not in its only form.
        """
        start = self._reader.offset
        found = self._tag(field)
        if found != tag:
            wrong = "comes twice" if found in self._seen else f"stands where {field} is due"
            raise MalformedError(f"{self._what}: tag {found:02X} {wrong}", offset=start)
        self._seen.add(tag)
        return self._reader.take(self._length(field), field)

    def whole(self, tag: int, field: str) -> bytes:
        """Take the next field like `value`, and return it with its tag and length."""
        start = self._reader.offset
        self.value(tag, field)
        return self._data[start : self._reader.offset]

    def sized(self, tag: int, length_bytes: int, field: str) -> bytes:
        """Take the next field like `value`; it must have that length."""
        start = self._reader.offset
        value = self.value(tag, field)
        if len(value) != length_bytes:
            raise MalformedError(
                f"{self._what}: {field} has {len(value)} bytes, not {length_bytes}", offset=start
            )
        return value

    def end(self) -> None:
        """Make sure that nothing is left; `MalformedError` otherwise."""
        self._reader.end()

    def _tag(self, field: str) -> int:
        start = self._reader.offset
        first = self._reader.u8(f"tag of {field}")
        if first & _LONG_TAG != _LONG_TAG:
            return first
        second = self._reader.u8(f"tag of {field}")
        if second < _LONG_TAG or second & _MORE_TAG_BYTES:
            raise MalformedError(f"{self._what}: tag of {field} is not in its form", offset=start)
        return first << 8 | second

    def _length(self, field: str) -> int:
        start = self._reader.offset
        first = self._reader.u8(f"length of {field}")
        if first <= _SHORT_LENGTH:
            return first
        if first not in _LEAST_LENGTH:  # indefinite, or past 65,535
            raise MalformedError(f"{self._what}: length of {field} has no known form", offset=start)
        length = self._reader.unsigned(first & _SHORT_LENGTH, f"length of {field}")
        if length < _LEAST_LENGTH[first]:
            raise MalformedError(
                f"{self._what}: length of {field} is not in its shortest form", offset=start
            )
        return length


def decode_only(data: bytes, tag: int, *, what: str) -> bytes:
    """Return the value of the one field that these bytes are.

    Raises:
        MalformedError: they are anything else, or more.
    """
    reader = TlvReader(data, what=what)
    value = reader.value(tag, what)
    reader.end()
    return value


@contextmanager
def malformed(what: str) -> Iterator[None]:
    """Turn the `ValueError` of a record that refuses decoded values into `MalformedError`."""
    try:
        yield
    except ValueError as error:
        raise MalformedError(f"{what}: {error}") from error
