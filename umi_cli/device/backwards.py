"""How the end of a log is read while the device goes on writing it: backwards, chunk by chunk.

A log that is full drops its oldest element for each new one, and a head-end may move the window
that the device shows of it: either way every element gets another number. So each chunk takes in
some elements that are known already, and where those stand tells how far all have moved.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from umi_cli.application.codes import ResultCode
from umi_cli.errors import LinkError, RefusedError, UmiError

T = TypeVar("T")

ATTEMPTS = 5  # at a log that is cut or moved by more than a chunk, again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail(Generic[T]):
    """The end of a log."""

    elements: list[T]
    """Oldest first, without a gap up to the newest one of when the reading began."""
    first: int
    """The number of the first of them when it was read; 0: there is none before it."""
    failure: UmiError | None = None
    """Why older ones did not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newer(Generic[T]):
    """What a log has got since it was read last."""

    elements: list[T]
    """Oldest first."""
    first: int
    """The number of the first of them."""
    is_broken: bool
    """None that was seen before is in the log any more: some may have come and gone unseen."""


def read_backwards(
    count: Callable[[], int],
    read: Callable[[int, int], Sequence[T]],
    chunk: int,
    is_enough: Callable[[Sequence[T]], bool],
) -> Tail[T]:
    """Read the end of a log, as far back as is needed.

    Args:
        count: asks the device how many elements there are.
        read: reads the elements from one number to another, both included.
        chunk: how many to ask for at once.
        is_enough: told what is known, oldest first and never nothing; no more is read then.

    Raises:
        LinkError: the log changes faster than it can be read.
        UmiError: as `count` and `read` do, if nothing came at all.
    """
    for _ in range(ATTEMPTS):
        tail = _attempt(count(), read, chunk, is_enough)
        if tail is not None:
            return tail
    raise LinkError(
        "the log changes faster than it can be read",
        hint="read less of it (--since), or when less happens",
    )


def read_newer(
    count: Callable[[], int],
    read: Callable[[int, int], Sequence[T]],
    chunk: int,
    seen: Sequence[T],
) -> Newer[T]:
    """Read what a log has got since; arguments and errors as of `read_backwards`.

    Args:
        seen: the newest elements that are known already, oldest first; some dozens will do.
    """
    seen = list(seen)
    mark = seen[len(seen) - _mark_length(seen[::-1]) :]
    # A match at the very beginning may be the end of a longer run of equal ones: look on.
    tail = read_backwards(count, read, chunk, lambda known: bool(mark) and _find(mark, known) > 0)
    if tail.failure:
        raise tail.failure
    place = _find(mark, tail.elements) if mark else -1
    skipped = place + len(mark) if place >= 0 else _overlap(seen, tail.elements)
    return Newer(
        elements=tail.elements[skipped:],
        first=tail.first + skipped,
        is_broken=bool(seen) and not skipped,
    )


def _attempt(
    count: int,
    read: Callable[[int, int], Sequence[T]],
    chunk: int,
    is_enough: Callable[[Sequence[T]], bool],
) -> Tail[T] | None:
    """Read back from the end; None if the log was cut, or moved out of sight, meanwhile."""
    known: list[T] = []
    first = count
    while first > 0 and not (known and is_enough(known)):
        overlap = _mark_length(known)
        start = max(0, first - max(1, chunk - overlap))
        try:
            got = list(read(start, first + overlap - 1))
        except UmiError as error:
            if _is_no_element(error):
                return None
            if not known:
                raise
            return Tail(elements=known, first=first, failure=error)
        moved = _moved(got, known, first - start, overlap)
        if moved is None:
            return None
        known[:0] = got[: max(0, first - start - moved)]
        first = max(0, start if moved <= first - start else first - moved)
    return Tail(elements=known, first=first)


def _moved(got: Sequence[T], known: Sequence[T], before: int, overlap: int) -> int | None:
    """Return by how many numbers all elements have moved down; None if that cannot be seen.

    Args:
        got: what was read just now.
        known: what was known, from its first element on.
        before: how many elements were asked for that stood before the first known one.
        overlap: how many known ones were asked for again.
    """
    if not overlap:
        return 0
    for moved in range(before + len(known)):
        again = got[max(0, before - moved) :]
        expected = known[max(0, moved - before) :][: len(again)]
        # What was logged since the reading began may stand behind what is known.
        if list(again[: len(expected)]) == list(expected):
            return moved
    return None


def _mark_length(known: Sequence[T]) -> int:
    """Return how long the shortest beginning is that stands nowhere else among what is known."""
    for length in range(1, len(known)):
        if _find(known[:length], known[1:]) < 0:
            return length
    return len(known)


def _find(mark: Sequence[T], known: Sequence[T]) -> int:
    """Return where a stretch of elements stands first; -1 if nowhere."""
    length = len(mark)
    for place in range(len(known) - length + 1):
        if known[place] == mark[0] and known[place : place + length] == mark:
            return place
    return -1


def _overlap(seen: Sequence[T], known: Sequence[T]) -> int:
    """Return how many elements the log begins with that `seen` ends in: those before are gone."""
    for length in range(min(len(seen), len(known)), 0, -1):
        if list(seen[len(seen) - length :]) == list(known[:length]):
            return length
    return 0


def _is_no_element(error: UmiError) -> bool:
    cause = getattr(error, "cause", error)
    return isinstance(cause, RefusedError) and cause.number == ResultCode.UNKNOWN_ELEMENT
