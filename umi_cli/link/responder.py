"""What the responder of an exchange does: at most once, whatever is repeated (protocol 2.3, 2.4).

A repeat of the frame that was answered last gets the stored answer to the letter, and nothing is
executed. The responder has no timers: the commander repeats what was lost.
"""

from umi_cli import wire
from umi_cli.link.commander import next_command_sequence, next_response_sequence
from umi_cli.link.events import (
    CommandReceived,
    Event,
    LinkAddresses,
    LinkSettings,
    Resynchronised,
)
from umi_cli.link.fragment import (
    Assembler,
    Fragment,
    FragmentError,
    FragmentErrorCode,
    FragmentType,
    split,
)
from umi_cli.link.frame import MAX_SEQUENCE, Frame, FrameType, LinkErrorCode
from umi_cli.link.states import Exchange, Signal, State, signal_of

NEWER = range(1, MAX_SEQUENCE // 2 + 1)
"""A sequence that far ahead, modulo 15, is new; any other is a late frame of the past."""


class Responder:
    """One responder's half of a connection, towards one commander.

    Args:
        settings: how much it takes.
        addresses: shared with the connection; `own` is ours, `peer` is given to a commander
            that has no address yet.
        outbox: where whole frames go that are to be sent.
    """

    def __init__(
        self, settings: LinkSettings, addresses: LinkAddresses, outbox: list[bytes]
    ) -> None:
        self._settings = settings
        self._addresses = addresses
        self._outbox = outbox
        self.drop()

    def drop(self) -> None:
        """Forget everything, the stored answer included, as RESYNC and a power cut do."""
        self._exchange = Exchange()
        self._assembler = Assembler(self._settings.limit_bytes)
        self._command: Frame | None = None
        self._answered_sequence: int | None = None
        self._answer = b""
        self._queue: list[bytes] = []
        self._last_sequence: int | None = None
        self._last_fragment = b""
        self._is_busy = False

    @property
    def is_idle(self) -> bool:
        """Tell whether no exchange is open."""
        return self._exchange.state is State.IDLE

    def on_frame(self, frame: Frame) -> list[Event]:
        """Take a frame of a known type that is no answer to a command of ours."""
        if frame.frame_type == FrameType.RESYNC:
            return self._on_resync(frame)
        if frame.destination != self._addresses.own:
            self.refuse_frame(frame, LinkErrorCode.BAD_ADDRESS)
            return []
        if frame.frame_type == FrameType.FRAGMENT_RESPONSE:
            self._on_fragment_response(frame)
            return []
        return self._on_command(frame)

    def refuse_frame(self, frame: Frame, code: LinkErrorCode) -> None:
        """Answer a frame with ERROR; the answer is not stored, so that a repeat is looked at."""
        self._send(frame, FrameType.ERROR, wire.u16(code))

    def respond(self, packet: bytes, *, is_busy: bool = False) -> None:
        """Answer the command that is due. After a RESYNC none is, and the answer is dropped."""
        command = self._command
        if command is None or self._exchange.state is not State.RESPONSE_DUE:
            return
        payload, *self._queue = split(packet)
        self._is_busy = is_busy
        kind = FrameType.FRAGMENT if self._queue else FrameType.SIMPLE_RESPONSE
        self._exchange.step(Signal.FIRST if self._queue else Signal.ANSWER)
        self._store(command, self._send(command, kind, payload, is_busy=is_busy))

    def refuse(self, code: LinkErrorCode) -> None:
        """Answer the command that is due with a link ERROR: it did not run, nor will a repeat."""
        command = self._command
        if command is not None and self._exchange.state is State.RESPONSE_DUE:
            self._exchange.step(Signal.FAULT)
            self._store(command, self._send(command, FrameType.ERROR, wire.u16(code)))

    def ignore(self) -> None:
        """Leave the command that is due without an answer, as if it had never come."""
        if self._exchange.state is State.RESPONSE_DUE:
            self._exchange.step(Signal.FAULT)

    def _on_resync(self, frame: Frame) -> list[Event]:
        peer = frame.source
        if self._settings.takes_address:
            self._addresses.own = frame.destination or self._addresses.own
        elif frame.destination not in (0, self._addresses.own):
            self.refuse_frame(frame, LinkErrorCode.BAD_ADDRESS)
            return []
        else:
            self._addresses.peer = peer = frame.source or self._addresses.peer
        self.drop()
        self._outbox.append(
            Frame(
                sequence=frame.sequence,
                frame_type=FrameType.RESYNC_RESPONSE,
                destination=peer,
                source=self._addresses.own,
            ).encode()
        )
        return [Resynchronised()]

    def _on_command(self, frame: Frame) -> list[Event]:
        if frame.sequence == self._answered_sequence:
            self._outbox.append(self._answer)
            return []
        if self._exchange.state is State.RESPONSE_DUE:
            if self._command is not None and frame.sequence != self._command.sequence:
                self.refuse_frame(frame, LinkErrorCode.BUSY)
            return []
        if self._is_late(frame.sequence):
            return []
        try:
            return self._on_new_command(frame)
        except FragmentError as error:
            self._exchange = Exchange()
            self._assembler.drop()
            reply = Fragment(fragment_type=FragmentType.ERROR, data=error.number)
            self._send(frame, FrameType.FRAGMENT_RESPONSE, reply.encode())
            return []

    def _on_new_command(self, frame: Frame) -> list[Event]:
        signal, fragment = signal_of(frame)
        if signal is Signal.FAULT:
            self._exchange.step(signal)
            self._assembler.drop()
            return []
        if signal in (Signal.MIDDLE, Signal.LAST):
            self._check_follows(frame)
        packet = frame.payload if fragment is None else self._assembler.take(fragment)
        self._exchange.step(signal)
        if packet is None:
            reply = Fragment(fragment_type=FragmentType.ACK).encode()
            self._exchange.step(Signal.TAKEN)
            self._store(frame, self._send(frame, FrameType.FRAGMENT_RESPONSE, reply))
            return []
        self._assembler.drop()
        self._command = frame
        return [CommandReceived(packet=packet, source=frame.source, destination=frame.destination)]

    def _check_follows(self, frame: Frame) -> None:
        if frame.sequence != next_command_sequence(self._last_sequence or 0):
            raise FragmentError("a fragment is missing", FragmentErrorCode.PROTOCOL_ERROR)

    def _on_fragment_response(self, frame: Frame) -> None:
        try:
            signal, fragment = signal_of(frame)
        except FragmentError:
            return  # the commander's timer has it repeat what it meant
        is_next = fragment is not None and fragment.fragment_type is FragmentType.NEXT
        is_current = frame.sequence == self._last_sequence
        if self._exchange.state is State.IDLE:
            if is_next and is_current:
                self._send(frame, FrameType.SIMPLE_RESPONSE)
        elif not self._exchange.allows(Signal.TAKEN):
            return  # no fragment of ours is out: a late one, which ends nothing
        elif not is_current:
            self._outbox.append(self._last_fragment)
        elif signal is Signal.FAULT:
            self._exchange.step(signal)
        else:
            self._on_taken(frame, is_next=is_next)

    def _on_taken(self, frame: Frame, *, is_next: bool) -> None:
        self._exchange.step(Signal.TAKEN)
        if self._exchange.state is State.MORE_DUE:
            payload = self._queue.pop(0)
            self._exchange.step(Signal.MIDDLE if self._queue else Signal.LAST)
            self._last_sequence = next_response_sequence(frame.sequence)
            self._last_fragment = self._send(
                frame,
                FrameType.FRAGMENT,
                payload,
                is_busy=self._is_busy,
                sequence=self._last_sequence,
            )
        elif is_next:
            self._send(frame, FrameType.SIMPLE_RESPONSE)

    def _is_late(self, sequence: int) -> bool:
        """Tell whether a frame belongs to the past: its sequence is not ahead of the last.

        After a long response the commander goes on behind the last fragment (protocol 2.4);
        one that goes on behind its own command is understood as well.
        """
        known = (self._last_sequence, self._answered_sequence)
        ahead = [(sequence - last) % MAX_SEQUENCE for last in known if last is not None]
        return bool(ahead) and not any(distance in NEWER for distance in ahead)

    def _store(self, command: Frame, answer: bytes) -> None:
        self._answered_sequence = self._last_sequence = command.sequence
        self._answer = self._last_fragment = answer

    def _send(
        self,
        frame: Frame,
        kind: FrameType,
        payload: bytes = b"",
        *,
        is_busy: bool = False,
        sequence: int | None = None,
    ) -> bytes:
        """Send an answer to a frame; return its bytes."""
        answer = Frame(
            sequence=frame.sequence if sequence is None else sequence,
            frame_type=kind,
            is_busy=is_busy,
            destination=frame.source,
            source=self._addresses.own,
            payload=payload,
        ).encode()
        self._outbox.append(answer)
        return answer
