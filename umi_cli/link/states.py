"""The states of one link exchange, in one table that knows no role (protocol 2.3, 2.4).

Commander and responder see the same frames pass, so both step through the same table: one on
sending what the other steps through on receiving. A pair of state and signal that is not in the
table is a frame out of place; what to do about it is the business of `commander` and `responder`.
"""

from enum import Enum, auto

from umi_cli.link.fragment import Fragment, FragmentError, FragmentErrorCode, FragmentType
from umi_cli.link.frame import Frame, FrameType


class State(Enum):
    """What the exchange waits for."""

    IDLE = auto()
    """A command."""
    RESYNC_DUE = auto()
    """RESYNC has passed: its response."""
    ACK_DUE = auto()
    """A fragment of the command has passed: that it was taken."""
    FRAGMENT_DUE = auto()
    """The fragment was taken: the command's next fragment."""
    RESPONSE_DUE = auto()
    """The command is whole: its response."""
    NEXT_DUE = auto()
    """A fragment of the response has passed: a call for the next one."""
    MORE_DUE = auto()
    """The call has passed: the response's next fragment."""
    END_DUE = auto()
    """The response's last fragment has passed: that it was taken."""


class Signal(Enum):
    """What a frame means to the exchange."""

    RESYNC = auto()
    RESYNC_RESPONSE = auto()
    WHOLE = auto()
    """A whole packet, as a command."""
    FIRST = auto()
    MIDDLE = auto()
    LAST = auto()
    TAKEN = auto()
    """ACK or NEXT: a fragment was taken. Either is accepted where the other is due."""
    ANSWER = auto()
    """A whole packet, as a response."""
    FAULT = auto()
    """A link or fragment ERROR."""


# A commander that gave up may begin anew wherever it is the commander's turn.
_BEGIN = {Signal.WHOLE: State.RESPONSE_DUE, Signal.FIRST: State.ACK_DUE}
# RESYNC ends whatever either side had half done; an error ends the exchange.
_ALWAYS = {Signal.RESYNC: State.RESYNC_DUE, Signal.FAULT: State.IDLE}

TRANSITIONS: dict[State, dict[Signal, State]] = {
    State.IDLE: _ALWAYS | _BEGIN,
    State.RESYNC_DUE: _ALWAYS | {Signal.RESYNC_RESPONSE: State.IDLE},
    State.ACK_DUE: _ALWAYS | {Signal.TAKEN: State.FRAGMENT_DUE},
    State.FRAGMENT_DUE: _ALWAYS
    | _BEGIN
    | {Signal.MIDDLE: State.ACK_DUE, Signal.LAST: State.RESPONSE_DUE},
    State.RESPONSE_DUE: _ALWAYS | {Signal.ANSWER: State.IDLE, Signal.FIRST: State.NEXT_DUE},
    State.NEXT_DUE: _ALWAYS | _BEGIN | {Signal.TAKEN: State.MORE_DUE},
    State.MORE_DUE: _ALWAYS | {Signal.MIDDLE: State.NEXT_DUE, Signal.LAST: State.END_DUE},
    State.END_DUE: _ALWAYS | _BEGIN | {Signal.TAKEN: State.IDLE},
}


class Exchange:
    """Where one exchange stands."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.IDLE

    def allows(self, signal: Signal) -> bool:
        """Tell whether the signal is in place now."""
        return signal in TRANSITIONS[self.state]

    def step(self, signal: Signal) -> None:
        """Go where the signal leads; `KeyError` if it is out of place (ask `allows` first)."""
        self.state = TRANSITIONS[self.state][signal]


_SIGNALS = {
    FrameType.SIMPLE: Signal.WHOLE,
    FrameType.SIMPLE_RESPONSE: Signal.ANSWER,
    FrameType.RESYNC: Signal.RESYNC,
    FrameType.RESYNC_RESPONSE: Signal.RESYNC_RESPONSE,
    FrameType.ERROR: Signal.FAULT,
}
_FRAGMENT_SIGNALS = {
    FrameType.FRAGMENT: {
        FragmentType.FIRST: Signal.FIRST,
        FragmentType.MIDDLE: Signal.MIDDLE,
        FragmentType.LAST: Signal.LAST,
        FragmentType.ERROR: Signal.FAULT,
    },
    FrameType.FRAGMENT_RESPONSE: {
        FragmentType.NEXT: Signal.TAKEN,
        FragmentType.ACK: Signal.TAKEN,
        FragmentType.ERROR: Signal.FAULT,
    },
}


def signal_of(frame: Frame) -> tuple[Signal, Fragment | None]:
    """Return what a frame of a known type means, and its fragment if it carries one.

    Raises:
        FragmentError: it should carry a fragment and does not, or one of the other direction.
    """
    kind = FrameType(frame.frame_type)
    if kind in _SIGNALS:
        return _SIGNALS[kind], None
    fragment = Fragment.decode(frame.payload)
    signal = _FRAGMENT_SIGNALS[kind].get(fragment.fragment_type)
    if signal is None:
        raise FragmentError(
            f"{kind.name} carries {fragment.fragment_type.name}", FragmentErrorCode.PROTOCOL_ERROR
        )
    return signal, fragment
