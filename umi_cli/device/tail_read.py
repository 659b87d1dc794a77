"""How are the newest elements of a table read, backwards, while the device adds and drops some?

Elements that are added stand behind what is read, and change nothing. When the oldest ones go, all
others move up: each step therefore reads the oldest elements that are held once more, and is
thrown away and made again where they no longer stand at the same place. So nothing that came is
missing or doubled, though a step may take several exchanges.
"""

from collections.abc import Callable
from dataclasses import dataclass

from umi_cli.application.codes import ResultCode
from umi_cli.errors import LostError, MalformedError, RefusedError, UmiError

STEP = 48  # elements: a day of half hours; little enough for a bar to move on a slow line
ANCHOR = 2  # elements that are read once more; one may look like its neighbour, two do not
MOVES = 5  # a table that moves more often within a step is somebody else's work

Elements = list[bytes]
"""Elements of the table as they came, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How many elements there are, and a mark that differs once any has come or gone."""

    count: int
    mark: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TailRead:
    """What came of a table."""

    elements: Elements
    """The newest ones, without a hole."""
    is_whole: bool
    """The first of them is the table's first."""
    failure: UmiError | None = None
    """Why there are no more, though more were wanted."""


def read_tail(
    read: Callable[[int, int], Elements],
    extent: Callable[[], Extent],
    is_enough: Callable[[Elements], bool],
    on_progress: Callable[[int], None] = lambda done: None,
) -> TailRead:
    """Read the elements that a table has now, from the newest back.

    Args:
        read: returns the elements of a range, both ends included.
        extent: asks how many there are.
        is_enough: told all that is held; True ends the read.
        on_progress: told how many are held.

    Raises:
        UmiError: what `read` or `extent` raises, if nothing came at all.
    """
    return _Tail(read, extent, is_enough, on_progress).run()


class _Tail:
    """A read that goes back step by step."""

    def __init__(
        self,
        read: Callable[[int, int], Elements],
        extent: Callable[[], Extent],
        is_enough: Callable[[Elements], bool],
        on_progress: Callable[[int], None],
    ) -> None:
        self._read = read
        self._extent = extent
        self._is_enough = is_enough
        self._on_progress = on_progress
        self._held: Elements = []
        self._first = 0
        """Where the oldest one that is held stands now."""

    def run(self) -> TailRead:
        try:
            self._take_newest()
            self._on_progress(len(self._held))
            while self._first and not self._is_enough(self._held):
                self._take_older()
                self._on_progress(len(self._held))
        except UmiError as error:
            if not self._held:
                raise
            return TailRead(elements=self._held, is_whole=False, failure=error)
        return TailRead(elements=self._held, is_whole=self._first == 0)

    def _take_newest(self) -> None:
        """Take the last elements, with the table at rest before and after."""
        extent = self._extent()
        for _ in range(MOVES):
            if not extent.count:
                return
            first = max(0, extent.count - STEP)
            got = self._read_present(first, extent.count - 1)
            before, extent = extent, self._extent()
            if got and extent == before:
                self._held, self._first = got, first
                return
        raise _moved()

    def _read_present(self, first: int, last: int) -> Elements:
        """Read elements; nothing if some of them are not, or no longer, there."""
        try:
            return self._read(first, last)
        except RefusedError as error:
            if error.number != ResultCode.UNKNOWN_ELEMENT:
                raise
            return []

    def _take_older(self) -> None:
        anchor = self._held[:ANCHOR]
        for _ in range(MOVES):
            first = max(0, self._first - STEP)
            got = self._read_present(first, self._first + len(anchor) - 1)
            if got[-len(anchor) :] == anchor:
                self._held[:0] = got[: -len(anchor)]
                self._first = first
                return
            if not first and got and got[0] in self._held:  # all that is older has gone
                self._first = 0
                return
            self._first = first + _place_of(anchor, got)
        raise _moved()


def _place_of(anchor: Elements, elements: Elements) -> int:
    """Return where elements that are held stand now; `LostError` if they are not there."""
    for place in range(len(elements) - len(anchor) + 1):
        if elements[place : place + len(anchor)] == anchor:
            return place
    raise _moved()


def _moved() -> LostError:
    return LostError(
        "the table was changed while it was read",
        hint="read again; another client may have moved where the device's window begins",
    )


def split(raw: bytes, element_bytes: int) -> Elements:
    """Return the elements of an array; `MalformedError` if one is cut off."""
    if len(raw) % element_bytes:
        raise MalformedError(f"{len(raw)} bytes are no elements of {element_bytes} bytes")
    return [raw[at : at + element_bytes] for at in range(0, len(raw), element_bytes)]
