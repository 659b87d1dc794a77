"""The fault injector: each kind does what it says, as often as it says, and the same every time."""

from collections import Counter
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import InputError
from umi_cli.virtual.faults import (
    DELAY_S,
    LIFTED_S,
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


CUTS = [("hangup", Cut.HANG_UP), ("power", Cut.POWER), ("lift", Cut.LIFT)]


@pytest.mark.parametrize(("kind", "cut"), CUTS)
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


def test_the_line_stays_interrupted_for_a_while() -> None:
    """Up to ten times as long as a reader waits for an answer."""
    injector = FaultInjector(FaultRates(), 0)
    times = [injector.lifted_s() for _ in range(RUNS)]
    assert LIFTED_S[0] <= min(times) < max(times) <= LIFTED_S[1]
    assert max(times) > LIFTED_S[1] / 2


def turned_bits(rate: float, seed: int = 0, count: int = RUNS) -> Counter[int]:
    """Return how many bits of the chunk were turned, and how often, by place."""
    injector = FaultInjector(FaultRates(ber=rate), seed)
    places = Counter[int]()
    for _ in range(count):
        ((_, piece),) = injector.pass_through(CHUNK).pieces
        assert len(piece) == len(CHUNK)
        difference = int.from_bytes(piece, "little") ^ int.from_bytes(CHUNK, "little")
        places.update(place for place in range(8 * len(CHUNK)) if difference >> place & 1)
    assert injector.counts == Counter({"ber": places.total()})
    return places


@pytest.mark.parametrize("rate", [0.5, 0.1, 1e-2, 1e-3, 1e-4])
def test_bits_are_turned_as_often_as_the_rate_says(rate: float) -> None:
    """Each bit by itself: as many as expected, within five deviations."""
    expected = rate * RUNS * 8 * len(CHUNK)
    assert abs(turned_bits(rate).total() - expected) < 5 * expected**0.5


def test_every_bit_may_be_turned() -> None:
    """The first and the last as often as any."""
    places = turned_bits(0.1)
    assert set(places) == set(range(8 * len(CHUNK)))
    assert max(places.values()) - min(places.values()) < RUNS / 10


def test_a_bit_error_rate_of_one_turns_every_bit() -> None:
    ((_, piece),) = FaultInjector(FaultRates(ber=1.0), 0).pass_through(CHUNK).pieces
    assert piece == bytes(code ^ 0xFF for code in CHUNK)


@pytest.mark.parametrize("rate", [1e-9, 1e-300, 5e-324])
def test_a_bit_error_rate_of_almost_nothing_turns_none(rate: float) -> None:
    assert not turned_bits(rate, count=50)


def test_bit_errors_are_the_same_every_time() -> None:
    rates = FaultRates.parse("ber:0.01")
    assert passages(rates, 3) == passages(rates, 3) != passages(rates, 4)


def test_a_rate_per_bit_is_none_of_all() -> None:
    """What is a mild fault per chunk would turn every other bit."""
    assert FaultRates.parse("all:0.5").ber == 0
    assert FaultRates.parse("ber:0.001,all:0.5") == FaultRates.parse("all:0.5,ber:0.001")
    assert FaultRates.parse("all:0.5,ber:0.001").ber == 0.001


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
