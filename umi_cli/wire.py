"""How bytes are read and written with bounds: running short raises `MalformedError`, nothing else.

Integers are unsigned; UMI is little-endian on the wire, certificates are big-endian inside
(protocol, opening and 6.4).
"""

from typing import Literal

from umi_cli.errors import MalformedError

ByteOrder = Literal["little", "big"]


class Reader:
    """A cursor over bytes from outside.

    Args:
        data: the bytes.
        what: what is being decoded, for the error sentence, such as `"READ_OBJECT"`.
        byte_order: of the integers.
    """

    __slots__ = ("_byte_order", "_data", "_what", "offset")

    def __init__(self, data: bytes, *, what: str, byte_order: ByteOrder = "little") -> None:
        self._data = data
        self._what = what
        self._byte_order: ByteOrder = byte_order
        self.offset = 0

    @property
    def remaining(self) -> int:
        """Return how many bytes are left."""
        return len(self._data) - self.offset

    def take(self, length_bytes: int, field: str) -> bytes:
        """Take that many bytes.

        Raises:
            MalformedError: fewer are left.
        """
        start, end = self.offset, self.offset + length_bytes
        if end > len(self._data):
            raise MalformedError(
                f"{self._what} is too short: {field} needs {length_bytes} bytes at offset {start}, "
                f"{self.remaining} left",
                offset=start,
            )
        self.offset = end
        return self._data[start:end]

    def unsigned(self, length_bytes: int, field: str) -> int:
        """Take an unsigned integer of that many bytes.

        Raises:
            MalformedError: fewer bytes are left.
        """
        return int.from_bytes(self.take(length_bytes, field), self._byte_order)

    def u8(self, field: str) -> int:
        """Take one byte as an integer; `MalformedError` if none is left."""
        return self.unsigned(1, field)

    def u16(self, field: str) -> int:
        """Take two bytes as an integer; `MalformedError` if fewer are left."""
        return self.unsigned(2, field)

    def u32(self, field: str) -> int:
        """Take four bytes as an integer; `MalformedError` if fewer are left."""
        return self.unsigned(4, field)

    def u64(self, field: str) -> int:
        """Take eight bytes as an integer; `MalformedError` if fewer are left."""
        return self.unsigned(8, field)

    def rest(self) -> bytes:
        """Take all that is left, which may be nothing."""
        return self.take(self.remaining, "rest")

    def end(self) -> None:
        """Make sure that nothing is left.

        Raises:
            MalformedError: bytes are left over.
        """
        if self.remaining:
            raise MalformedError(
                f"{self._what} has {self.remaining} bytes too many after offset {self.offset}",
                offset=self.offset,
            )


def u8(value: int) -> bytes:
    """Encode one byte; `OverflowError` outside 0..255."""
    return value.to_bytes(1, "little")


def u16(value: int) -> bytes:
    """Encode two bytes, little-endian; `OverflowError` outside their range."""
    return value.to_bytes(2, "little")


def u32(value: int) -> bytes:
    """Encode four bytes, little-endian; `OverflowError` outside their range."""
    return value.to_bytes(4, "little")


def u64(value: int) -> bytes:
    """Encode eight bytes, little-endian; `OverflowError` outside their range."""
    return value.to_bytes(8, "little")
