"""The table of states: complete, and what frames mean to it (protocol 2.3, 2.4)."""

import pytest

from umi_cli.link.fragment import Fragment, FragmentError, FragmentErrorCode, FragmentType
from umi_cli.link.frame import Frame, FrameType
from umi_cli.link.states import TRANSITIONS, Exchange, Signal, State, signal_of


def frame(kind: FrameType, payload: bytes = b"") -> Frame:
    return Frame(sequence=1, frame_type=kind, destination=1, source=5, payload=payload)


def walk(*signals: Signal) -> State:
    exchange = Exchange()
    for signal in signals:
        assert exchange.allows(signal)
        exchange.step(signal)
    return exchange.state


def test_every_state_has_a_row_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {state for row in TRANSITIONS.values() for state in row.values()} == set(State)


@pytest.mark.parametrize("state", State)
def test_resync_and_a_fault_are_in_place_always(state: State) -> None:
    assert TRANSITIONS[state][Signal.RESYNC] is State.RESYNC_DUE
    assert TRANSITIONS[state][Signal.FAULT] is State.IDLE


@pytest.mark.parametrize(
    "signals",
    [
        [Signal.WHOLE, Signal.ANSWER],
        [Signal.FIRST, Signal.TAKEN, Signal.LAST, Signal.ANSWER],
        [Signal.FIRST, Signal.TAKEN, Signal.MIDDLE, Signal.TAKEN, Signal.LAST, Signal.ANSWER],
        [Signal.WHOLE, Signal.FIRST, Signal.TAKEN, Signal.LAST, Signal.TAKEN],
        [
            *[Signal.WHOLE, Signal.FIRST, Signal.TAKEN],
            *[Signal.MIDDLE, Signal.TAKEN, Signal.LAST, Signal.TAKEN],
        ],
        [Signal.RESYNC, Signal.RESYNC_RESPONSE],
        [Signal.RESYNC, Signal.RESYNC, Signal.RESYNC_RESPONSE],
    ],
)
def test_the_exchanges_of_the_protocol_end_idle(signals: list[Signal]) -> None:
    assert walk(*signals) is State.IDLE


@pytest.mark.parametrize(
    ("signals", "out_of_place"),
    [
        ([], Signal.ANSWER),
        ([], Signal.TAKEN),
        ([], Signal.MIDDLE),
        ([Signal.WHOLE], Signal.WHOLE),
        ([Signal.WHOLE], Signal.TAKEN),
        ([Signal.WHOLE], Signal.MIDDLE),
        ([Signal.FIRST], Signal.ANSWER),
        ([Signal.FIRST, Signal.TAKEN], Signal.TAKEN),
        ([Signal.WHOLE, Signal.FIRST, Signal.TAKEN], Signal.ANSWER),
        ([Signal.RESYNC], Signal.ANSWER),
    ],
)
def test_out_of_place(signals: list[Signal], out_of_place: Signal) -> None:
    exchange = Exchange()
    for signal in signals:
        exchange.step(signal)
    assert not exchange.allows(out_of_place)
    with pytest.raises(KeyError):
        exchange.step(out_of_place)


@pytest.mark.parametrize(
    ("kind", "signal"),
    [
        (FrameType.SIMPLE, Signal.WHOLE),
        (FrameType.SIMPLE_RESPONSE, Signal.ANSWER),
        (FrameType.RESYNC, Signal.RESYNC),
        (FrameType.RESYNC_RESPONSE, Signal.RESYNC_RESPONSE),
        (FrameType.ERROR, Signal.FAULT),
    ],
)
def test_what_a_frame_without_fragment_means(kind: FrameType, signal: Signal) -> None:
    assert signal_of(frame(kind, b"any")) == (signal, None)


COMMAND = {
    FragmentType.FIRST: Signal.FIRST,
    FragmentType.MIDDLE: Signal.MIDDLE,
    FragmentType.LAST: Signal.LAST,
    FragmentType.ERROR: Signal.FAULT,
}
RESPONSE = {
    FragmentType.NEXT: Signal.TAKEN,
    FragmentType.ACK: Signal.TAKEN,
    FragmentType.ERROR: Signal.FAULT,
}


@pytest.mark.parametrize("fragment_type", FragmentType)
@pytest.mark.parametrize(
    ("kind", "signals"),
    [(FrameType.FRAGMENT, COMMAND), (FrameType.FRAGMENT_RESPONSE, RESPONSE)],
)
def test_what_a_fragment_means_in_its_direction(
    kind: FrameType, signals: dict[FragmentType, Signal], fragment_type: FragmentType
) -> None:
    fragment = Fragment(fragment_type=fragment_type, data=1)
    carrier = frame(kind, fragment.encode())
    if fragment_type in signals:
        assert signal_of(carrier) == (signals[fragment_type], fragment)
    else:
        with pytest.raises(FragmentError, match=fragment_type.name) as caught:
            signal_of(carrier)
        assert caught.value.number == FragmentErrorCode.PROTOCOL_ERROR
