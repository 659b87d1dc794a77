"""What the commander of an exchange does: sequences, RESYNC, repeats, fragments.

Source: protocol 2.3 and 2.4.

The commander alone has timers: whatever is lost, in either direction, it repeats its last frame
to the letter, and the responder repeats its answer.
"""

from umi_cli.link.events import (
    Event,
    ExchangeFailed,
    FragmentErrorReceived,
    LinkAddresses,
    LinkErrorReceived,
    LinkSettings,
    ResponseReceived,
)
from umi_cli.link.fragment import Assembler, Fragment, FragmentError, FragmentType, split
from umi_cli.link.frame import (
    CRC_BYTES,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    MAX_SEQUENCE,
    Frame,
    FrameType,
)
from umi_cli.link.patience import Patience
from umi_cli.link.states import Exchange, Signal, State, signal_of

ACKNOWLEDGEMENT_BYTES = (
    HEADER_BYTES + len(Fragment(fragment_type=FragmentType.ACK).encode()) + CRC_BYTES
)
_ANSWERS = (
    FrameType.SIMPLE_RESPONSE,
    FrameType.FRAGMENT_RESPONSE,
    FrameType.FRAGMENT,  # a long response comes in these
    FrameType.ERROR,
)


def next_command_sequence(sequence: int) -> int:
    """Return what follows in a command: 1 after 15 (only packets of more than 15 frames wrap)."""
    return sequence % MAX_SEQUENCE + 1


def next_response_sequence(sequence: int) -> int:
    """Return what follows in a response's fragments: 1 after 14, for readers re-sync after 15."""
    return 1 if sequence >= MAX_SEQUENCE - 1 else sequence + 1


class Commander:
    """One commander's half of a connection.

    Args:
        settings: timeout, attempts, limits.
        addresses: shared with the connection; RESYNC fills them.
        outbox: where whole frames go that are to be sent.
    """

    def __init__(
        self, settings: LinkSettings, addresses: LinkAddresses, outbox: list[bytes]
    ) -> None:
        self._settings = settings
        self._addresses = addresses
        self._outbox = outbox
        self._exchange = Exchange()
        self._assembler = Assembler(settings.limit_bytes)
        self._is_synced = False
        self._is_fragmented = False
        self._sequence = 0
        self._command_sequence = 0
        self._port: int | None = None
        self._destination = 0
        self._queue: list[bytes] = []
        self._outstanding = b""
        self._patience = Patience(settings)
        self._is_prompt = False
        self._sent_s = self._saved_s = 0.0
        self._attempts_left = 0
        self.deadline: float | None = None

    @property
    def is_idle(self) -> bool:
        """Tell whether a command may be given."""
        return self._exchange.state is State.IDLE

    def command(self, packet: bytes, now: float, destination: int | None = None) -> None:
        """Send a packet as a command, re-syncing first where it must.

        Args:
            packet: 1..65536 bytes.
            now: seconds, monotonic.
            destination: link address; the peer that answered RESYNC if None.

        Raises:
            RuntimeError: an exchange is open.
        """
        if not self.is_idle:
            raise RuntimeError("one exchange is open at a time")
        self._queue = split(packet)
        self._port = destination
        if self._must_resync(len(self._queue)):
            self._send_resync(now)
        else:
            self._send_command(now)

    def drop(self) -> None:
        """Forget the exchange and the sequence: the next command re-syncs."""
        self._exchange = Exchange()
        self._assembler.drop()
        self._queue = []
        self._is_synced = False
        self.deadline = None

    def adopt_sync(self) -> None:
        """Start over as the peer did with its RESYNC, which counts for both directions."""
        self._is_synced, self._sequence, self._command_sequence = True, 0, 0

    def expects(self, frame: Frame) -> bool:
        """Tell whether a frame is the answer that is due, and not a stray or late one."""
        if self.is_idle or frame.sequence not in self._due_sequences():
            return False
        if frame.frame_type == FrameType.RESYNC_RESPONSE:
            return self._exchange.state is State.RESYNC_DUE
        if frame.destination != self._addresses.own or frame.frame_type not in _ANSWERS:
            return False
        # An ERROR may come from a Host on the way rather than from whom we addressed.
        return frame.source == self._destination or frame.frame_type == FrameType.ERROR

    def _due_sequences(self) -> tuple[int, ...]:
        if self._exchange.state is State.MORE_DUE:
            return self._sequence, next_response_sequence(self._sequence)
        return (self._sequence,)

    def on_frame(self, frame: Frame, now: float) -> list[Event]:
        """Take a frame that `expects` let through; return what it means to the user."""
        try:
            signal, fragment = signal_of(frame)
            if not self._exchange.allows(signal):
                return []
            return self._on_signal(signal, frame, fragment, now)
        except FragmentError as error:
            self._reply(FrameType.FRAGMENT_RESPONSE, frame, FragmentType.ERROR, error.number)
            return [self._fail(f"the device's fragments cannot be joined: {error}")]

    def _on_signal(
        self, signal: Signal, frame: Frame, fragment: Fragment | None, now: float
    ) -> list[Event]:
        if signal is Signal.RESYNC_RESPONSE:
            return self._on_resync_response(frame, now)
        if signal is Signal.FAULT:
            is_stray = fragment is not None and not self._has_fragments
            return [] if is_stray else [self._on_fault(frame, fragment)]
        if signal is Signal.TAKEN:
            self._exchange.step(signal)
            self._learn(frame, now)
            self._send_command(now)
            return []
        if fragment is not None:
            return self._on_response_fragment(signal, frame, fragment, now)
        self._exchange.step(signal)
        return [self._done(frame.payload, frame)]

    def _on_resync_response(self, frame: Frame, now: float) -> list[Event]:
        self._addresses.own, self._addresses.peer = frame.destination, frame.source
        self._exchange.step(Signal.RESYNC_RESPONSE)
        self.adopt_sync()
        self._send_command(now)
        return []

    def _on_fault(self, frame: Frame, fragment: Fragment | None) -> Event:
        if self._is_in_doubt:
            return self._fail("the peer ended the exchange with an error")
        self.drop()
        if fragment is not None:
            return FragmentErrorReceived(number=fragment.data)
        return LinkErrorReceived(number=int.from_bytes(frame.payload[:2], "little"))

    @property
    def _has_fragments(self) -> bool:
        """Tell whether command or response is in fragments, so that one of them can be refused."""
        return self._is_fragmented or self._exchange.state is State.MORE_DUE

    @property
    def _is_in_doubt(self) -> bool:
        """Tell whether the command may have run although an ERROR came.

        It ran if its response had begun; it may have run if only a repeat of it was refused.
        """
        has_begun = self._exchange.state is State.MORE_DUE
        return not self._queue and (has_begun or not self._is_first_try)

    def _on_response_fragment(
        self, signal: Signal, frame: Frame, fragment: Fragment, now: float
    ) -> list[Event]:
        starts = signal is Signal.FIRST
        if frame.sequence != self._due_sequences()[0 if starts else -1]:
            return []  # a repeat of a fragment that was taken
        self._learn(frame, now)
        packet = self._assembler.take(fragment)
        self._exchange.step(signal)
        self._sequence = frame.sequence
        taken = FragmentType.NEXT if packet is None else FragmentType.ACK
        self._exchange.step(Signal.TAKEN)
        self._outstanding = self._reply(FrameType.FRAGMENT_RESPONSE, frame, taken)
        self._arm(now, is_prompt=True)
        return [] if packet is None else [self._done(packet, frame)]

    def _done(self, packet: bytes, frame: Frame) -> Event:
        self.deadline = None
        return ResponseReceived(packet=packet, is_busy=frame.is_busy)

    def on_timer(self, now: float) -> list[Event]:
        """Repeat what was not answered in time, or give up."""
        if self.deadline is None or now < self.deadline:
            return []
        if self._attempts_left == 0:
            return [self._fail(f"no answer after {self._settings.attempts} attempts")]
        self._outbox.append(self._outstanding)
        if self._is_prompt and self._is_first_try:
            self._patience.miss()
        self._count_attempt(now)
        return []

    def abort(self, reason: str) -> ExchangeFailed | None:
        """End the exchange, if one is open, without its response."""
        return None if self.is_idle else self._fail(reason)

    def _fail(self, reason: str) -> ExchangeFailed:
        may_have_run = not self._queue
        self.drop()
        return ExchangeFailed(reason=reason, may_have_run=may_have_run)

    def _must_resync(self, frames: int) -> bool:
        left = MAX_SEQUENCE - self._sequence
        # Fragments of a response may have led the sequence round to that of the command they
        # answered: used again, it would look like a repeat.
        looks_repeated = next_command_sequence(self._sequence) == self._command_sequence
        return not self._is_synced or (frames > left and self._sequence > 0) or looks_repeated

    def _send_resync(self, now: float) -> None:
        self._exchange.step(Signal.RESYNC)
        self._is_fragmented = False
        self._sequence = 0
        self._send(FrameType.RESYNC, b"", self._addresses.peer, now)

    def _send_command(self, now: float) -> None:
        payload, kind = self._queue.pop(0), FrameType.SIMPLE
        signal = Signal.WHOLE
        if self._queue or self._exchange.state is State.FRAGMENT_DUE:
            kind = FrameType.FRAGMENT
            is_first = self._exchange.state is State.IDLE
            signal = Signal.FIRST if is_first else Signal.MIDDLE if self._queue else Signal.LAST
        self._exchange.step(signal)
        self._is_fragmented = kind is FrameType.FRAGMENT
        self._sequence = self._command_sequence = next_command_sequence(self._sequence)
        self._send(kind, payload, self._addresses.peer if self._port is None else self._port, now)

    def _send(self, kind: FrameType, payload: bytes, destination: int, now: float) -> None:
        self._destination = destination
        self._outstanding = Frame(
            sequence=self._sequence,
            frame_type=kind,
            destination=destination,
            source=self._addresses.own,
            payload=payload,
        ).encode()
        self._outbox.append(self._outstanding)
        self._arm(now, is_prompt=kind is FrameType.FRAGMENT and bool(self._queue))

    def _reply(
        self, kind: FrameType, frame: Frame, fragment_type: FragmentType, data: int = 0
    ) -> bytes:
        reply = Frame(
            sequence=frame.sequence,
            frame_type=kind,
            destination=frame.source,
            source=self._addresses.own,
            payload=Fragment(fragment_type=fragment_type, data=data).encode(),
        ).encode()
        self._outbox.append(reply)
        return reply

    def _arm(self, now: float, *, is_prompt: bool = False) -> None:
        """Expect an answer; a prompt one, if the peer's link layer gives it by itself."""
        self._attempts_left = self._settings.attempts
        self._is_prompt, self._sent_s = is_prompt, now
        self._count_attempt(now)

    def _count_attempt(self, now: float) -> None:
        self._attempts_left -= 1
        timeout_s = self._settings.timeout_s
        if self._is_first_try:
            self._saved_s = timeout_s - self._patience.timeout_s if self._is_prompt else 0.0
            timeout_s -= self._saved_s
        if not self._attempts_left:  # in all it is waited as long as for any other answer
            timeout_s += self._saved_s
        # What acknowledges a fragment of ours is short; any other answer may be long.
        is_long = self._exchange.state is State.MORE_DUE or not self._is_prompt
        answer_bytes = MAX_FRAME_BYTES if is_long else ACKNOWLEDGEMENT_BYTES
        self.deadline = now + timeout_s + self._on_the_wire_s(answer_bytes)

    @property
    def _is_first_try(self) -> bool:
        return self._attempts_left == self._settings.attempts - 1

    def _on_the_wire_s(self, answer_bytes: int) -> float:
        return self._settings.byte_time_s * (len(self._outstanding) + answer_bytes)

    def _learn(self, frame: Frame, now: float) -> None:
        """Learn from an answer how prompt the peer's link layer is."""
        if self._is_prompt and self._is_first_try:
            answer_bytes = HEADER_BYTES + len(frame.payload) + CRC_BYTES
            self._patience.learn(now - self._sent_s - self._on_the_wire_s(answer_bytes))
