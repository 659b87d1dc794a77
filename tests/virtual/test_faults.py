"""The fault injector: each kind does what it says, as often as it says, and the same every time."""

from collections import Counter
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import InputError
from umi_cli.virtual.faults import (
    DELAY_S,
    MAX_FLIPPED_BITS,
    MAX_NOISE_BYTES,
    OFF_S,
    Cut,
    FaultInjector,
    FaultRates,
    Passage,
)

KINDS = [each.name for each in fields(FaultRates) if each.name != "ber"]
CHUNK = bytes(range(60))
RUNS = 2000


def passages(rates: FaultRates, seed: int, count: int = RUNS) -> list[Passage]:
    injector = FaultInjector(rates, seed)
    return [injector.pass_through(CHUNK) for _ in range(count)]


def always(kind: str) -> FaultRates:
    return FaultRates.parse(f"{kind}:1")


def test_a_good_line_changes_nothing() -> None:
    injector = FaultInjector(FaultRates(), 1)
    assert injector.pass_through(CHUNK) == Passage(pieces=[(0.0, CHUNK)])
    assert not any(injector.counts.values())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_strikes_as_often_as_it_is_told_to(kind: str) -> None:
    """Its count follows its probability; the other kinds do not strike at all."""
    injector = FaultInjector(FaultRates.parse(f"{kind}:0.2"), 7)
    for _ in range(RUNS):
        injector.pass_through(CHUNK)
    assert 0.15 * RUNS < injector.counts[kind] < 0.25 * RUNS
    assert +injector.counts == Counter({kind: injector.counts[kind]})


@pytest.mark.parametrize("kind", [*KINDS, "all"])
def test_the_same_seed_gives_the_same_run(kind: str) -> None:
    """Every run can be run again; another seed is another run."""
    rates = FaultRates.parse(f"{kind}:0.5")
    assert passages(rates, 3) == passages(rates, 3)
    assert passages(rates, 3) != passages(rates, 4)


def test_a_dropped_chunk_never_arrives() -> None:
    assert passages(always("drop"), 0, 50) == [Passage(pieces=[])] * 50


@pytest.mark.parametrize(("kind", "cut"), [("hangup", Cut.HANG_UP), ("power", Cut.POWER)])
def test_a_cut_takes_the_chunk_with_it(kind: str, cut: Cut) -> None:
    assert passages(always(kind), 0, 50) == [Passage(pieces=[], cut=cut)] * 50


def test_a_doubled_chunk_arrives_again_later() -> None:
    for passage in passages(always("duplicate"), 0):
        (first_s, first), (second_s, second) = passage.pieces
        assert first == second == CHUNK
        assert first_s == 0
        assert DELAY_S[0] <= second_s <= DELAY_S[1]


def test_a_delayed_chunk_arrives_late_and_whole() -> None:
    delays = []
    for passage in passages(always("delay"), 0):
        ((delay_s, piece),) = passage.pieces
        assert piece == CHUNK
        delays.append(delay_s)
    assert DELAY_S[0] <= min(delays) < max(delays) <= DELAY_S[1]


def test_flipped_bits_are_one_to_three() -> None:
    """Two flips of one bit undo each other: none is possible, more than three are not."""
    flips = Counter[int]()
    for passage in passages(always("flip"), 0):
        ((_, piece),) = passage.pieces
        difference = int.from_bytes(piece, "big") ^ int.from_bytes(CHUNK, "big")
        assert len(piece) == len(CHUNK)
        flips[difference.bit_count()] += 1
    assert max(flips) == MAX_FLIPPED_BITS == 3
    assert flips[1] > RUNS / 5
    assert flips[0] < RUNS / 100


def test_a_truncated_chunk_loses_its_end() -> None:
    """At least a byte is missing, and it may be all of them."""
    lengths = set()
    for passage in passages(always("truncate"), 0):
        ((_, piece),) = passage.pieces
        assert CHUNK.startswith(piece)
        lengths.add(len(piece))
    assert lengths == set(range(len(CHUNK)))


def test_noise_leaves_the_chunk_in_its_order() -> None:
    """Up to forty bytes stand before, in or behind it; none of its own is lost."""
    places: set[int] = set()
    for passage in passages(always("noise"), 0):
        ((_, piece),) = passage.pieces
        extra = len(piece) - len(CHUNK)
        assert 1 <= extra <= MAX_NOISE_BYTES
        places.update(
            place
            for place in range(len(CHUNK) + 1)
            if piece[:place] + piece[place + extra :] == CHUNK
        )
    assert places == set(range(len(CHUNK) + 1))


def test_the_power_stays_away_for_a_while() -> None:
    injector = FaultInjector(FaultRates(), 0)
    times = [injector.off_s() for _ in range(RUNS)]
    assert OFF_S[0] <= min(times) < max(times) <= OFF_S[1]


def test_a_specification_names_kinds_and_probabilities() -> None:
    """`all` stands for every kind; what comes later counts."""
    assert FaultRates.parse("drop:0.05, flip:1") == FaultRates(drop=0.05, flip=1.0)
    assert FaultRates.parse("all:0.5") == FaultRates(**dict.fromkeys(KINDS, 0.5))
    assert FaultRates.parse("all:0.5,power:0").power == 0
    assert FaultRates.parse("power:0,all:0.5").power == 0.5


WRONG = ["", "drop", "drop:", ":0.5", "drop:x", "drop:1.1", "drop:-0.1", "drop:nan", "drop:inf"]
WRONG += ["fire:0.1", "drop:0.1,", "drop=0.1", "drop:0.1;flip:0.1", "Drop:0.1"]


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_specification_is_refused_with_the_kinds(text: str) -> None:
    with pytest.raises(InputError, match="is no fault") as caught:
        FaultRates.parse(text)
    assert all(kind in caught.value.hint for kind in KINDS)


@given(st.text(max_size=30) | st.text("droplai:.,0123456789e-", max_size=30))
def test_any_text_is_a_specification_or_an_input_error(text: str) -> None:
    try:
        rates = FaultRates.parse(text)
    except InputError:
        return
    assert all(0 <= getattr(rates, kind) <= 1 for kind in KINDS)


def test_a_probability_is_checked_in_python_too() -> None:
    with pytest.raises(ValueError, match="flip is a probability"):
        FaultRates(flip=1.5)
