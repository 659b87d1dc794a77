"""The pins of a virtual Peripheral: each state, and each edge of INTB (protocol 9)."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.virtual.pinned import (
    IDENTITY,
    OWN,
    POWER_UP_S,
    READY_WITHIN_S,
    UMI_ID,
    WITHIN_S,
    Pinned,
    frame,
    question,
    resync,
    value_in,
)
from umi_cli.link.frame import CRC_BYTES, HEADER_BYTES, MAX_FRAME_PAYLOAD, Frame, FrameType
from umi_cli.virtual.delivered import VIRTUAL_METER_ID
from umi_cli.virtual.pins import PATIENCE_S, PAUSE_S, PinState


@pytest.fixture
def ready() -> Pinned:
    """A Peripheral that has been seen, re-synced, and has had its say."""
    port = Pinned().start()
    port.resync()
    return port


# Power and reset


def test_intb_falls_within_the_bound_of_a_reset() -> None:
    port = Pinned()
    port.reset(True)
    port.power(True)
    port.wait(POWER_UP_S)
    assert not port.is_low()
    port.reset(False)
    assert not port.is_low()
    assert port.falls_within(READY_WITHIN_S)
    assert port.pins.state is PinState.READY


@pytest.mark.parametrize(("power", "held"), [(False, False), (True, True), (False, True)])
def test_without_power_or_in_reset_nothing_falls(power: bool, held: bool) -> None:
    port = Pinned()
    port.reset(held)
    port.power(power)
    assert not port.falls_within(10.0)
    assert port.pins.state is PinState.OFF


def test_a_peripheral_that_nobody_selects_waits_for_ever() -> None:
    port = Pinned()
    port.power(True)
    port.reset(False)
    assert port.falls_within(READY_WITHIN_S)
    port.wait(10_000.0)
    assert port.is_low()


def test_intb_rises_when_it_is_first_selected() -> None:
    port = Pinned()
    port.power(True)
    port.reset(False)
    port.falls_within(READY_WITHIN_S)
    port.select(True)
    assert not port.is_low()
    port.select(False)
    assert port.is_silent()


def test_its_own_supply_needs_no_vdd() -> None:
    port = Pinned(is_self_powered=True)
    port.power(False)
    assert not port.falls_within(1.0)
    port.reset(False)
    assert port.falls_within(READY_WITHIN_S)
    port.power(False)
    assert port.is_low()
    port.reset(True)
    assert not port.is_low()


@pytest.mark.parametrize("act", ["power", "reset"])
def test_power_and_reset_end_whatever_it_does(ready: Pinned, act: str) -> None:
    def off_and_on() -> None:
        (port.power if act == "power" else port.reset)(act == "reset")
        assert port.pins.state is PinState.OFF
        assert not port.is_low()
        (port.power if act == "power" else port.reset)(act == "power")
        assert port.falls_within(READY_WITHIN_S)
        port.see()

    port = ready
    port.wake()
    port.clock(question()[:5])  # half a frame
    off_and_on()
    assert port.is_silent()
    port.put(resync())
    assert port.falls_within(WITHIN_S)
    port.select(True)
    port.clock(bytes(HEADER_BYTES))  # half of what it offers
    off_and_on()
    assert port.is_silent()
    port.put(question())
    assert value_in(port.fetch()) == IDENTITY


def test_a_reset_forgets_the_stored_answers(ready: Pinned) -> None:
    ready.put(question())
    assert value_in(ready.fetch()) == IDENTITY
    ready.reset(True)
    ready.wait(1.0)
    assert ready.meter.is_off(ready.now)
    ready.reset(False)
    assert ready.falls_within(READY_WITHIN_S)
    ready.see()
    ready.put(question(code=UMI_ID))  # under the same sequence
    assert value_in(ready.fetch()) == VIRTUAL_METER_ID.encode()


def test_unplugged_it_floats_high_and_nothing_reaches_it(ready: Pinned) -> None:
    ready.put(question())
    assert ready.falls_within(WITHIN_S)
    ready.pins.unplug(ready.now)
    assert not ready.is_low()
    ready.select(True)
    assert ready.clock(bytes(6)) == b"\xff" * 6
    ready.select(False)
    ready.reset(True)
    ready.power(False)
    ready.power(True)
    ready.reset(False)
    assert not ready.falls_within(10.0)
    assert ready.pins.state is PinState.OFF


# The Host sends


def test_it_wakes_within_the_bound_and_intb_rises_behind_the_frame(ready: Pinned) -> None:
    ready.select(True)
    assert not ready.is_low()
    assert ready.falls_within(WITHIN_S)
    assert ready.pins.state is PinState.AWAKE
    ready.clock(resync())
    assert ready.is_low(), "it rises once CSB is high"
    ready.select(False)
    assert ready.rises_within(WITHIN_S)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 30])
@pytest.mark.parametrize("lets_go", [False, True])
def test_a_frame_is_taken_in_pieces(ready: Pinned, size: int, lets_go: bool) -> None:
    data = question()
    ready.wake()
    for at in range(0, len(data), size):
        assert ready.is_low()
        assert ready.clock(data[at : at + size]) == bytes(len(data[at : at + size]))
        ready.wait(0.9 * PATIENCE_S)  # it waits anew for each
        if lets_go and at + size < len(data):
            ready.select(False)
            ready.wait(0.01)
            ready.select(True)
    ready.let_go()
    assert value_in(ready.fetch()) == IDENTITY


def test_the_longest_frame_is_taken(ready: Pinned) -> None:
    ready.put(frame(1, bytes(MAX_FRAME_PAYLOAD)))
    assert ready.fetch().frame_type == FrameType.SIMPLE_RESPONSE


def test_a_length_that_no_frame_has_ends_it_at_once(ready: Pinned) -> None:
    ready.wake()
    ready.clock(bytes([0x11, 0x00, MAX_FRAME_PAYLOAD + 1, OWN << 4]))
    assert ready.pins.state is PinState.TAKEN
    ready.let_go()
    assert ready.is_silent()
    ready.put(question())
    assert value_in(ready.fetch()) == IDENTITY


def test_what_is_clocked_behind_a_frame_is_nothing(ready: Pinned) -> None:
    ready.wake()
    ready.clock(question() + question(2))
    assert ready.clock(question(3)) == bytes(len(question(3)))
    ready.let_go()
    assert ready.fetch().sequence == 1
    assert ready.is_silent()


def test_what_is_clocked_before_it_is_awake_is_lost(ready: Pinned) -> None:
    ready.select(True)
    assert ready.clock(question()) == bytes(len(question()))
    assert ready.falls_within(WITHIN_S)
    ready.clock(question(2))
    ready.let_go()
    assert ready.fetch().sequence == 2
    assert ready.is_silent()


def test_a_damaged_frame_is_left_without_an_answer(ready: Pinned) -> None:
    ready.put(question()[:-1] + b"\0")
    assert ready.is_silent()


@pytest.mark.parametrize("count", [0, 3, 20])
def test_a_host_that_wakes_it_and_falls_silent_is_forgotten(ready: Pinned, count: int) -> None:
    ready.wake()
    ready.clock(question()[:count])
    ready.select(False)
    ready.wait(0.9 * PATIENCE_S)
    assert ready.is_low()
    assert ready.rises_within(0.2 * PATIENCE_S)
    ready.put(question(2))  # it is no continuation of what came before
    assert ready.fetch().sequence == 2


# The Peripheral sends


def test_intb_falls_for_a_frame_and_rises_at_its_end(ready: Pinned) -> None:
    ready.put(question())
    assert ready.falls_within(WITHIN_S)
    assert ready.pins.state is PinState.OFFERING
    ready.select(True)
    head = ready.clock(bytes(HEADER_BYTES))
    assert ready.is_low()
    rest = ready.clock(bytes(head[2] + CRC_BYTES - 1))
    assert ready.is_low()
    last = ready.clock(bytes(1))
    assert not ready.is_low(), "it rises with the last byte"
    ready.select(False)
    assert value_in(Frame.decode(head + rest + last)) == IDENTITY
    assert ready.is_silent()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 50])
@pytest.mark.parametrize("pause_s", [0.0, 10.0])
def test_csb_high_between_pieces_keeps_the_position(
    ready: Pinned, size: int, pause_s: float
) -> None:
    ready.put(question())
    assert ready.falls_within(WITHIN_S)
    data = b""
    while len(data) < HEADER_BYTES or len(data) < HEADER_BYTES + data[2] + CRC_BYTES:
        ready.select(True)
        data += ready.clock(bytes(size))
        ready.select(False)
        ready.wait(pause_s)
    whole = HEADER_BYTES + data[2] + CRC_BYTES
    assert value_in(Frame.decode(data[:whole])) == IDENTITY
    assert not any(data[whole:])


def test_between_two_frames_intb_is_high_for_an_edge(ready: Pinned) -> None:
    ready.reset(True)
    ready.reset(False)
    assert ready.falls_within(READY_WITHIN_S)
    ready.see()
    ready.put(resync())
    assert ready.fetch().frame_type == FrameType.RESYNC_RESPONSE
    began = ready.now
    assert ready.falls_within(WITHIN_S)
    assert ready.now - began == pytest.approx(PAUSE_S)
    assert ready.fetch().frame_type == FrameType.SIMPLE


def test_it_offers_the_next_frame_once_csb_is_high(ready: Pinned) -> None:
    ready.reset(True)
    ready.reset(False)
    assert ready.falls_within(READY_WITHIN_S)
    ready.see()
    ready.put(resync())
    assert ready.falls_within(WITHIN_S)
    ready.select(True)
    ready.clock(bytes(HEADER_BYTES + CRC_BYTES))
    ready.wait(0.5)
    assert not ready.is_low()
    ready.select(False)
    assert ready.fetch().frame_type == FrameType.SIMPLE


def test_who_selects_it_before_it_offers_is_heard_first(ready: Pinned) -> None:
    ready.put(question())
    ready.select(True)
    assert ready.falls_within(WITHIN_S)
    assert ready.pins.state is PinState.AWAKE
    ready.clock(question(2))
    ready.let_go()
    assert ready.fetch().sequence == 1


@pytest.mark.parametrize("taken", [0, 1, 4, 20])
def test_a_host_that_speaks_while_it_offers_wins(ready: Pinned, taken: int) -> None:
    ready.put(question())
    assert ready.falls_within(WITHIN_S)
    ready.select(True)
    ready.clock(bytes(taken))
    assert not any(ready.clock(question(2)[:10]))
    assert not any(ready.clock(question(2)[10:]))
    ready.let_go()
    assert value_in(ready.fetch()) == IDENTITY, "its own frame is offered again, from its start"
    assert ready.fetch().sequence == 2


def test_a_host_that_speaks_and_falls_silent_gets_the_frame_after_all(ready: Pinned) -> None:
    ready.put(question())
    assert ready.falls_within(WITHIN_S)
    ready.select(True)
    ready.clock(question(2)[:3])
    ready.select(False)
    assert ready.rises_within(2 * PATIENCE_S)
    assert value_in(ready.fetch()) == IDENTITY


def test_a_resync_loses_the_position_and_what_was_offered(ready: Pinned) -> None:
    ready.put(question())
    assert ready.falls_within(WITHIN_S)
    ready.select(True)
    ready.clock(bytes(HEADER_BYTES))
    ready.clock(resync())
    ready.let_go()
    answer = ready.fetch()
    assert (answer.frame_type, answer.source) == (FrameType.RESYNC_RESPONSE, OWN)
    assert ready.is_silent()


# Whatever happens


Act = Callable[[Pinned], object]
ACTS = st.one_of(
    st.booleans().map(lambda on: lambda port: port.power(on)),
    st.booleans().map(lambda held: lambda port: port.reset(held)),
    st.booleans().map(lambda selected: lambda port: port.select(selected)),
    st.sampled_from((0.0, 0.0004, 0.001, 0.02, 0.6, 4.0)).map(lambda s: lambda port: port.wait(s)),
    st.one_of(
        st.binary(max_size=12),
        st.integers(0, 80).map(bytes),
        st.sampled_from((resync(), question(), question(2), resync()[:3])),
    ).map(lambda data: lambda port: port.clock(data)),
)


@given(st.lists(ACTS, max_size=40))
def test_a_reset_brings_it_back_whatever_has_happened(acts: list[Act]) -> None:
    port = Pinned()
    port.reset(False)
    port.power(True)
    for act in acts:
        act(port)
        port.pins.int_is_low(port.now)
    port.select(False)
    port.start()
    port.resync()
    port.put(question())
    assert value_in(port.fetch()) == IDENTITY
