"""Reading the end of a log that grows, shifts and is cut while it is read."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.application.codes import ResultCode
from umi_cli.device.backwards import read_backwards, read_newer
from umi_cli.errors import LinkError, LostError, NoAnswerError, UnknownObjectError


class Log:
    """A device's log of so many elements, to which things happen between two reads."""

    def __init__(self, elements: Sequence[int], capacity: int, seed: int = 0) -> None:
        self.history = list(elements)
        self.capacity = capacity
        self.hidden = 0
        self._chance = random.Random(seed)
        self.at_most = 0
        self.reads: list[tuple[int, int]] = []
        self.counted = 0

    @property
    def shown(self) -> list[int]:
        return self.history[max(self.hidden, len(self.history) - self.capacity, 0) :]

    def count(self) -> int:
        self.counted = len(self.history)
        return len(self.shown)

    def read(self, first: int, last: int) -> list[int]:
        self.happen(self._chance.randint(0, self.at_most))
        self.reads.append((first, last))
        if last >= len(self.shown):
            raise UnknownObjectError("no", number=ResultCode.UNKNOWN_ELEMENT, name="x")
        return self.shown[first : last + 1]

    def happen(self, times: int) -> None:
        for _ in range(times):
            self.history.append(self.history[-1] + self._chance.choice((1, 1, 1, 0)))


logs = st.builds(
    Log,
    st.lists(st.integers(0, 40), min_size=1, max_size=60).map(sorted),
    st.integers(1, 60),
    st.integers(0, 2**16),
)


@given(logs, st.integers(1, 12), st.integers(0, 40), st.integers(0, 3))
def test_what_comes_is_the_end_of_the_log_without_a_gap(
    log: Log, chunk: int, wanted: int, at_most: int
) -> None:
    log.at_most = at_most if chunk > at_most else 0
    if len(set(log.history)) < len(log.history):
        log.at_most = 0  # equal ones all along cannot be told apart
    try:
        tail = read_backwards(log.count, log.read, chunk, lambda known: known[0] < wanted)
    except LinkError:
        assert log.at_most
        return
    came = tail.elements
    ends = range(log.counted, len(log.history) + 1)  # it may have gone on before the first read
    assert any(came == log.history[end - len(came) : end] for end in ends)
    is_enough = bool(came) and came[0] < wanted
    assert is_enough or tail.first == 0


@given(logs, st.integers(1, 12), st.integers(0, 20), st.integers(1, 64))
def test_what_is_newer_joins_what_was_seen(log: Log, chunk: int, more: int, kept: int) -> None:
    """Everything that is still in the log comes, and nothing twice."""
    log.history = list(dict.fromkeys(log.history))
    seen = log.shown[-kept:]
    log.history += range(1000, 1000 + more)
    newer = read_newer(log.count, log.read, chunk, seen)
    assert newer.elements == [each for each in log.shown if each >= 1000]
    assert newer.first == len(log.shown) - len(newer.elements)
    assert newer.is_broken == (not set(seen) & set(log.shown))


def test_it_reads_no_more_than_is_needed() -> None:
    log = Log(range(1000), 2000)
    tail = read_backwards(log.count, log.read, 10, lambda known: known[0] < 985)
    assert tail.elements[-1] == 999
    assert tail.first == tail.elements[0] >= 970
    assert log.reads == [(990, 999), (981, 990)]


def test_an_empty_log_is_not_read() -> None:
    log = Log([], 10)
    assert read_backwards(log.count, log.read, 10, lambda known: True).elements == []
    assert log.reads == []
    assert not read_newer(log.count, log.read, 10, []).is_broken


@pytest.mark.parametrize("chunk", [2, 3, 4])
@pytest.mark.parametrize("when", range(7))
def test_a_run_of_equal_elements_is_told_from_a_shift(when: int, chunk: int) -> None:
    log = Log([1, 2, 2, 2, 2, 2, 3], 7)

    def read(first: int, last: int) -> list[int]:
        log.history += [9] if len(log.reads) == when else []
        return log.read(first, last)

    came = read_backwards(log.count, read, chunk, lambda known: False).elements
    history = [1, 2, 2, 2, 2, 2, 3, 9]
    assert came in [history[first:end] for first in (0, 1) for end in (7, 8)]


@pytest.mark.parametrize("chunk", [2, 3, 10])
def test_equal_ones_that_come_one_after_the_other_are_each_given(chunk: int) -> None:
    log = Log([1, 5, 5], 100)
    seen = log.shown
    log.history += [5, 5]
    assert read_newer(log.count, log.read, chunk, seen).elements == [5, 5]
    assert read_newer(log.count, log.read, chunk, log.shown).elements == []


def test_a_log_that_was_cut_is_read_from_the_end_again() -> None:
    log = Log(range(40), 40)

    def read(first: int, last: int) -> list[int]:
        log.hidden = 30 if log.reads else 0
        return log.read(first, last)

    tail = read_backwards(log.count, read, 10, lambda known: False)
    assert (tail.elements, tail.first) == (list(range(30, 40)), 0)


def test_a_pointer_that_moved_behind_what_was_seen_loses_nothing() -> None:
    log = Log(range(40), 40)
    seen = log.shown
    log.history += [40, 41]
    log.hidden = 39
    newer = read_newer(log.count, log.read, 10, seen)
    assert (newer.elements, newer.is_broken) == ([40, 41], False)


def test_a_log_that_runs_away_is_an_error() -> None:
    log = Log(range(40), 20)
    log.at_most = 0

    def read(first: int, last: int) -> list[int]:
        log.happen(30)
        return log.read(first, last)

    with pytest.raises(LinkError, match="changes faster"):
        read_backwards(log.count, read, 5, lambda known: False)


def test_what_came_before_the_line_broke_is_kept() -> None:
    log = Log(range(40), 40)

    def read(first: int, last: int) -> list[int]:
        if log.reads:
            raise LostError("gone")
        return log.read(first, last)

    tail = read_backwards(log.count, read, 10, lambda known: False)
    assert (tail.elements, tail.first) == (list(range(30, 40)), 30)
    assert isinstance(tail.failure, LostError)
    with pytest.raises(LostError):
        read_newer(log.count, read, 10, [1])


def test_nothing_at_all_is_the_error_itself() -> None:
    def read(first: int, last: int) -> list[int]:
        raise NoAnswerError("nobody")

    with pytest.raises(NoAnswerError):
        read_backwards(lambda: 3, read, 10, lambda known: False)
