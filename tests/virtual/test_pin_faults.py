"""What goes wrong on pins: how it is asked for, that it is the same for a seed, that it strikes."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.virtual.pinned import READY_WITHIN_S, WITHIN_S, Pinned, question, resync
from umi_cli.errors import InputError
from umi_cli.link.frame import HEADER_BYTES
from umi_cli.virtual.pin_faults import GLITCH_S, LATE_S, STUCK_S, PinFaultRates, PinFaults
from umi_cli.virtual.pins import PinState

KINDS = [each.name for each in fields(PinFaultRates)]
DATA = bytes(range(1, 200))


def faults_of(spec: str, seed: int = 1) -> PinFaults:
    return PinFaults(PinFaultRates.parse(spec), seed)


class Struck(Pinned):
    """A Peripheral that is ready to be seen, before any fault can have struck."""

    def __init__(self, spec: str, seed: int = 1) -> None:
        self.faults = faults_of(spec, seed)
        super().__init__(self.faults)
        self.power(True)
        self.reset(False)
        assert self.falls_within(READY_WITHIN_S)
        assert not self.faults.counts


# How they are asked for


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_probability(kind: str) -> None:
    assert PinFaultRates.parse(f"{kind}:0.25") == PinFaultRates(**{kind: 0.25})


def test_several_kinds_and_all_of_them() -> None:
    assert PinFaultRates.parse("") == PinFaultRates()
    assert PinFaultRates.parse(" low:0.5, miso:1") == PinFaultRates(low=0.5, miso=1.0)
    assert PinFaultRates.parse("all:0.1") == PinFaultRates(**dict.fromkeys(KINDS, 0.1))
    but_one = PinFaultRates.parse("all:0.1,reset:0")
    assert (but_one.reset, but_one.mode) == (0.0, 0.1)


@pytest.mark.parametrize(
    "spec",
    ["low", "low:", "low:x", "low:-0.1", "low:1.1", "low:nan", "drop:0.1", ":0.1", "low:0.1:0.1"],
)
def test_what_is_no_fault_of_a_pin_is_said(spec: str) -> None:
    with pytest.raises(InputError, match="is no fault of a pin") as caught:
        PinFaultRates.parse(f"high:0.1,{spec}")
    assert repr(spec) in str(caught.value)
    assert "low, high, late, glitch, miso, flip, mode, reset or all" in caught.value.hint


# Chance


def told_by(faults: PinFaults) -> list[object]:
    said: list[object] = []
    for step in range(200):
        faults.strike(step)
        said += [faults.deadline, faults.level(step, is_low=step % 2 == 0), faults.wake_s(0.001)]
        said += [faults.resets(), faults.received(DATA), faults.sent(DATA)]
    return said


def test_a_seed_gives_the_same_faults() -> None:
    assert told_by(faults_of("all:0.1", 7)) == told_by(faults_of("all:0.1", 7))
    assert told_by(faults_of("all:0.1", 7)) != told_by(faults_of("all:0.1", 8))


def test_without_a_rate_nothing_strikes() -> None:
    faults = faults_of("")
    said = told_by(faults)
    assert not faults.counts
    assert said == [None, True, 0.001, False, DATA, DATA, None, False, 0.001, False, DATA, DATA] * (
        100
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_strikes_as_often_as_was_asked_and_alone(kind: str) -> None:
    faults = faults_of(f"{kind}:0.2")
    told_by(faults)
    asked = 400 if kind in ("flip", "mode") else 200
    assert set(faults.counts) == {kind}
    assert 0.1 * asked < faults.counts[kind] < 0.3 * asked


# What each of them does


@pytest.mark.parametrize(("kind", "level"), [("low", True), ("high", False)])
def test_intb_is_stuck_for_a_while(kind: str, level: bool) -> None:
    lengths = []
    for seed in range(20):
        faults = faults_of(f"{kind}:1", seed)
        faults.strike(100.0)
        until = faults.deadline
        assert until is not None
        lengths.append(until - 100.0)
        for is_low in (True, False):
            assert faults.level(until - 0.001, is_low=is_low) is level
        for is_low in (True, False):
            assert faults.level(until, is_low=is_low) is is_low
        assert faults.deadline is None
    assert STUCK_S[0] <= min(lengths) < 1 < 2 < max(lengths) <= STUCK_S[1]


def test_intb_stays_low_though_it_has_been_selected() -> None:
    port = Struck("low:1")
    port.select(True)
    assert port.pins.state is PinState.IDLE
    assert port.is_low()


def test_intb_stays_high_though_it_is_awake() -> None:
    port = Struck("high:1")
    for selected in (True, False, True):
        port.select(selected)
    port.wait(0.002)
    assert port.pins.state is PinState.AWAKE
    assert not port.is_low()


def test_intb_glitches() -> None:
    seen = set()
    for seed in range(20):
        port = Struck("glitch:1", seed)
        port.select(True)
        seen.add(port.is_low())
        port.wait(GLITCH_S)
        assert not port.is_low()
    assert seen == {True, False}


def test_it_wakes_late_or_too_late() -> None:
    waits = []
    for seed in range(30):
        port = Struck("late:1", seed)
        port.see()
        port.select(True)
        began = port.now
        assert port.falls_within(LATE_S[1])
        waits.append(port.now - began)
    assert min(waits) < WITHIN_S < max(waits), "a Host gives it 100 ms"


def test_miso_is_stuck() -> None:
    heard = set()
    for seed in range(20):
        port = Struck("miso:1", seed)
        port.see()
        port.wake()
        port.clock(resync())
        port.let_go()
        assert port.falls_within(WITHIN_S)
        port.select(True)
        heard.add(port.clock(bytes(HEADER_BYTES)))
    assert heard == {bytes(HEADER_BYTES), b"\xff" * HEADER_BYTES}


def bits_that_differ(one: bytes, other: bytes) -> int:
    assert len(one) == len(other)
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


@given(st.binary(min_size=1, max_size=255), st.integers(0, 1000))
def test_a_bit_is_turned_over_either_way(data: bytes, seed: int) -> None:
    faults = faults_of("flip:1", seed)
    assert bits_that_differ(faults.received(data), data) == 1
    assert bits_that_differ(faults.sent(data), data) == 1
    assert faults.received(b"") == b""


@given(st.binary(min_size=1, max_size=255))
def test_a_transfer_on_the_wrong_edge_is_shifted_by_a_bit(data: bytes) -> None:
    faults = faults_of("mode:1")
    bits = "".join(f"{byte:08b}" for byte in data)
    for heard in (faults.received(data), faults.sent(data)):
        assert "".join(f"{byte:08b}" for byte in heard) == "0" + bits[:-1]


def test_what_the_host_says_is_damaged_before_the_peripheral_hears_it() -> None:
    port = Struck("flip:1")
    port.see()
    port.wake()
    port.clock(question())
    port.let_go()
    assert not port.falls_within(1.0), "a frame with a wrong CRC is left without an answer"
    assert port.faults.counts["flip"] == 2


def test_it_resets_in_the_middle() -> None:
    port = Struck("reset:1")
    port.select(True)
    assert port.pins.state is PinState.BOOTING
    assert port.meter.power_losses == 1
    assert not port.is_low()
    assert port.falls_within(READY_WITHIN_S)
