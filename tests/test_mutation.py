"""Mutations are repeatable, take any bytes, and change something as a rule."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from umi_cli.mutation import MAX_ADDED_BYTES, Number, mutated, numbers, reordered

SEEDS = st.integers(0, 1 << 32)


@given(st.binary(max_size=80), SEEDS)
def test_the_same_chance_makes_the_same_bytes(data: bytes, seed: int) -> None:
    known = numbers((1, 2, 4, 8))
    assert mutated(data, Random(seed), known) == mutated(data, Random(seed), known)


@given(st.binary(max_size=80), SEEDS)
def test_any_bytes_can_be_spoilt_without_their_numbers(data: bytes, seed: int) -> None:
    assert len(mutated(data, Random(seed))) < 20 * (len(data) + MAX_ADDED_BYTES)


def test_bytes_are_other_ones_as_a_rule() -> None:
    data = bytes(range(40))
    changed = sum(mutated(data, Random(seed)) != data for seed in range(1000))
    assert changed > 950


def test_every_bound_of_a_number_is_reached() -> None:
    number = Number(1, 2)
    data = b"\xaa\x05\x00\xbb"
    found = {number.read(mutated(data, Random(seed), (number,))) for seed in range(3000)}
    assert {0, 1, 4, 6, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF} <= found


@given(st.binary(min_size=9, max_size=20), st.integers(0, 1 << 40), st.sampled_from([1, 2, 4, 8]))
def test_a_number_is_put_where_it_stands(data: bytes, value: int, size: int) -> None:
    for number in (Number(1, size), Number(1, size, "big")):
        put = number.put(data, value)
        assert len(put) == len(data)
        assert number.read(put) == value % (1 << 8 * size)
        assert (put[0], put[number.end :]) == (data[0], data[number.end :])


def test_numbers_stand_one_after_the_other() -> None:
    assert numbers((1, 2, 4), 10) == (Number(10, 1), Number(11, 2), Number(13, 4))


@given(st.lists(st.binary(min_size=1, max_size=5), min_size=1, max_size=6), SEEDS)
def test_pieces_out_of_order_are_the_same_bytes_but_for_one_piece(
    pieces: list[bytes], seed: int
) -> None:
    found = reordered(pieces, Random(seed))
    assert found == reordered(pieces, Random(seed))
    assert found
    assert all(found)
    longest = max(map(len, pieces))
    assert abs(sum(map(len, found)) - sum(map(len, pieces))) <= longest
