"""The newest elements of a table that moves: nothing missing, nothing doubled, whatever happens."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.application.codes import ResultCode, refusal
from umi_cli.device.tail_read import MOVES, STEP, Elements, Extent, TailRead, read_tail, split
from umi_cli.errors import LostError, MalformedError, NoAnswerError


def element(number: int) -> bytes:
    return number.to_bytes(4, "little")


class MovingTable:
    """A table that holds so many elements, and takes more while it is read.

    Args:
        held: numbers of the elements.
        capacity: beyond it the oldest go.
        growth: before each exchange, how many are added.
        exchange_elements: how many come in one exchange.
        fails_after: so many exchanges; then nothing answers.
    """

    def __init__(
        self,
        held: range,
        capacity: int,
        growth: Iterator[int],
        *,
        exchange_elements: int = STEP,
        fails_after: int = 10**6,
    ) -> None:
        self.first, self.stop, self.capacity = held.start, held.stop, capacity
        self.growth = growth
        self.exchange_elements = exchange_elements
        self.exchanges_left = fails_after
        self.read_count = 0

    def _exchange(self) -> None:
        if not self.exchanges_left:
            raise NoAnswerError("the line is cut")
        self.exchanges_left -= 1
        self.stop += next(self.growth, 0)
        self.first = max(self.first, self.stop - self.capacity)

    def extent(self) -> Extent:
        self._exchange()
        count = self.stop - self.first
        return Extent(count=count, mark=element(self.first) + element(self.stop))

    def read(self, first: int, last: int) -> Elements:
        self.read_count += last - first + 1
        found: Elements = []
        while first <= last:
            self._exchange()
            end = min(last, first + self.exchange_elements - 1)
            if end >= self.stop - self.first:
                raise refusal(ResultCode.UNKNOWN_ELEMENT, "READ_OBJECT_PART")
            found += [element(self.first + number) for number in range(first, end + 1)]
            first = end + 1
        return found

    def read_tail(self, enough: int | None = None) -> TailRead:
        return read_tail(
            self.read, self.extent, lambda held: enough is not None and len(held) >= enough
        )


def numbers(result: TailRead) -> list[int]:
    return [int.from_bytes(each, "little") for each in result.elements]


@pytest.mark.parametrize("count", [0, 1, 2, 3, STEP - 1, STEP, STEP + 1, 336])
def test_a_table_at_rest_comes_whole(count: int) -> None:
    result = MovingTable(range(count), 400, iter(())).read_tail()
    assert numbers(result) == list(range(count))
    assert result.is_whole
    assert result.failure is None


def test_no_more_is_read_than_is_wanted() -> None:
    table = MovingTable(range(4800), 4800, iter(()))
    result = table.read_tail(enough=90)
    assert numbers(result) == list(range(4800 - 2 * STEP, 4800))
    assert not result.is_whole
    assert table.read_count <= 2 * STEP + 2


@given(
    st.integers(0, 300),
    st.integers(0, 60),
    st.lists(st.sampled_from([0, 0, 0, 0, 1, 2, 7]), max_size=60),
    st.sampled_from([1, 10, 19, STEP]),
)
def test_a_table_that_grows_and_drops_loses_nothing(
    count: int, room: int, growth: list[int], exchange_elements: int
) -> None:
    """Whatever comes and goes between two exchanges: what comes of it are neighbours, each once."""
    table = MovingTable(
        range(count), max(1, count + room), iter(growth), exchange_elements=exchange_elements
    )
    try:
        result = table.read_tail()
    except LostError:
        assert sum(1 for each in growth if each) >= MOVES  # it moved all the time
        return
    found = numbers(result)
    assert found == list(range(found[0], found[-1] + 1)) if found else count == 0
    if result.failure is None:
        assert result.is_whole
        if found:
            assert found[0] <= table.first  # what was there at the end is there
    else:
        assert isinstance(result.failure, LostError)


@given(st.integers(3, 40), st.sampled_from([10, STEP]))
def test_a_line_that_breaks_leaves_what_came(fails_after: int, exchange_elements: int) -> None:
    table = MovingTable(
        range(300), 300, iter(()), exchange_elements=exchange_elements, fails_after=fails_after
    )
    try:
        result = table.read_tail()
    except NoAnswerError:
        assert fails_after < 2 + STEP // exchange_elements + 1
        return
    found = numbers(result)
    assert found == list(range(300 - len(found), 300))
    assert result.is_whole == (len(found) == 300)
    assert (result.failure is None) == result.is_whole


def test_a_window_that_another_client_moves_is_told() -> None:
    """What was held is given; what the device no longer shows is not made up."""
    table = MovingTable(range(300), 300, iter([0, 0, 0, 0, 280]))
    result = table.read_tail()
    assert isinstance(result.failure, LostError)
    assert numbers(result) == list(range(300 - STEP, 300)) or numbers(result)[-1] == 299
    assert not result.is_whole


def test_a_table_that_never_rests_is_given_up() -> None:
    with pytest.raises(LostError, match="changed while it was read"):
        MovingTable(range(300), 300, iter([1] * 100)).read_tail()


def test_a_step_that_is_empty_though_elements_are_promised_is_no_table() -> None:
    with pytest.raises(LostError):
        read_tail(lambda *_: [], lambda: Extent(count=9, mark=b""), lambda held: False)


@given(st.binary(max_size=60), st.integers(1, 16))
def test_elements_are_whole_or_malformed(raw: bytes, element_bytes: int) -> None:
    try:
        assert b"".join(split(raw, element_bytes)) == raw
    except MalformedError:
        assert len(raw) % element_bytes


@pytest.mark.parametrize("dropped", [1, 2, 5, STEP - 1])
def test_what_goes_while_it_is_asked_for_was_never_there(dropped: int) -> None:
    """All that is older than what is held goes: what is held begins where the table does."""
    table = MovingTable(range(STEP + 3), STEP + 3, iter([0, 0, 0, dropped]))
    result = table.read_tail()
    assert numbers(result) == list(range(min(3, dropped), STEP + 3))
    assert (result.is_whole, result.failure) == (True, None)


def test_growth_by_chance_over_many_seeds() -> None:
    """A slow line on a full table: some half hours pass, and each entry is there once."""
    for seed in range(30):
        chance = random.Random(seed)
        growth = (int(chance.random() < 0.02) for _ in range(10_000))
        result = MovingTable(range(960), 960, growth, exchange_elements=10).read_tail()
        found = numbers(result)
        assert found == list(range(found[0], found[-1] + 1))
        assert result.is_whole
