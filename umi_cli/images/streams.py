"""How are packages read that do not fit into memory? In pieces, once, and no further than told."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from umi_cli.images.failures import LengthError

CHUNK_BYTES = 65_536

Listener = Callable[[bytes], object]
"""Is told every piece that is read, in order."""


class Source(Protocol):
    """Where bytes come from: a binary file, a pipe, a part of another source."""

    def read(self, size: int, /) -> bytes:
        """Return up to that many bytes; none at the end."""


class SeekableSource(Source, Protocol):
    """A source that can be gone back in: a file."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place, and return it."""


class Sink(Protocol):
    """Where bytes go to: a buffered binary file."""

    def write(self, data: bytes, /) -> object:
        """Take all the bytes."""


class Window:
    """The next so many bytes of a source, and not one more; a source itself.

    Args:
        source: where they come from.
        length_bytes: how many they are to be.
        what: what they are, for the error sentence.
        listeners: are told every piece.
    """

    __slots__ = ("_listeners", "_source", "_what", "remaining")

    def __init__(
        self, source: Source, length_bytes: int, *, what: str, listeners: Sequence[Listener] = ()
    ) -> None:
        self._source = source
        self._what = what
        self._listeners = tuple(listeners)
        self.remaining = length_bytes

    def read(self, size: int, /) -> bytes:
        """Return up to that many bytes; none when all were read.

        Raises:
            LengthError: the source ends too early.
        """
        wanted = min(size, self.remaining)
        piece = self._source.read(wanted) if wanted else b""
        if wanted and not piece:
            raise LengthError(f"{self._what} is cut off: {self.remaining} bytes are missing")
        self.remaining -= len(piece)
        for tell in self._listeners:
            tell(piece)
        return piece

    def drain(self) -> None:
        """Read what is left, for the listeners; `LengthError` as `read`."""
        while self.remaining:
            self.read(CHUNK_BYTES)


def pieces(source: Source) -> Iterator[bytes]:
    """Yield all of a source, a piece at a time."""
    while piece := source.read(CHUNK_BYTES):
        yield piece


def take(source: Source, length_bytes: int, what: str) -> bytes:
    """Read exactly that many bytes, which are few.

    Raises:
        LengthError: the source has fewer.
    """
    data = take_up_to(source, length_bytes)
    if len(data) < length_bytes:
        missing = length_bytes - len(data)
        raise LengthError(f"{what} is cut off: {missing} of {length_bytes} bytes are missing")
    return data


def take_up_to(source: Source, length_bytes: int) -> bytes:
    """Read that many bytes, which are few, or as many as there are."""
    data = b""
    while len(data) < length_bytes and (piece := source.read(length_bytes - len(data))):
        data += piece
    return data
