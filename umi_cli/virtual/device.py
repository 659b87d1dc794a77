"""What a virtual meter does with an application packet: parse, check, run, answer (protocol 3).

It has no I/O and reads no clock: its line hands over packets and the time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import Complete, Wait
from umi_cli.application.packet import (
    ENVELOPE_BYTES,
    MAX_PACKET_BYTES,
    PROTOCOL,
    Envelope,
    Message,
)
from umi_cli.application.payload import COMMANDS, Command
from umi_cli.application.security_commands import S1AuthReply
from umi_cli.errors import MalformedError
from umi_cli.types import UNKNOWN_DEVICE, Role, UmiCode, UmiId

# Importing these has them registered.
from umi_cli.virtual import handlers as handlers
from umi_cli.virtual import image_handlers as image_handlers
from umi_cli.virtual import security_handlers as security_handlers
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.dispatch import Call
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.metering import Metering
from umi_cli.virtual.peer import Deferred, Outcome, Peer, Request
from umi_cli.virtual.refusal import Refusal
from umi_cli.virtual.security import is_ahead, record_of, seal, sign
from umi_cli.virtual.updates import Updates, UpdateSettings

HOST_ALIAS = UmiId(0x0023_7EFE_0000_0000)  # the fixed ID of fielded Hosts (protocol 6.4)
MAX_WAIT_MS = 0xFFFF
MIN_PACKET_BYTES = 34  # a response with no payload and no signature
MAX_OVERHEAD_BYTES = 72 + 16  # what a signature adds, and a GCM tag
_TRANSACTION = slice(22, 24)  # where it stands in a packet that cannot be parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSettings:
    """What a virtual meter is, apart from what it remembers."""

    guest_role: Role = Role.GUEST
    """The role of a peer that has not authenticated. Anything but guest is for the bench only."""
    defer_ms: Mapping[UmiCode, int] = field(default_factory=dict)
    """How long the meter is at work on a write or read of an object before it can answer."""
    max_packet_bytes: int = MAX_PACKET_BYTES
    """The longest response that it makes; a longer one is refused with TOO_LONG."""
    updates: UpdateSettings = field(default_factory=UpdateSettings)
    """How it takes images."""
    defect: Defect = field(default_factory=Defect)
    """What its maker got wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back to the peer: a packet, or nothing."""

    packet: bytes | None = None
    """None: the meter is busy with something else, or the command came too late to count."""
    is_busy: bool = False
    """The meter is still at work."""


class VirtualMeter:
    """A virtual UMI Host with the objects of a datasheet.

    Args:
        settings: what it is.
        memory: what it remembers.
        on_change: called after what it remembers has changed, before that is answered.
    """

    def __init__(
        self,
        settings: MeterSettings,
        memory: Memory,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.memory = memory
        self.metering = Metering(memory)
        self._on_change = on_change
        self._security = settings.defect.new_security(memory, lambda: self.metering.now_s)
        self.updates = Updates(memory, self._security, settings.updates, self.metering.restart)
        self._working: list[Peer] = []
        self._off_until = 0.0
        self.power_losses = 0
        self._is_restarting = False

    def new_peer(self, line: str) -> Peer:
        """Return a peer that has not said anything yet."""
        return Peer(line=line, role=self.settings.guest_role)

    def forget(self, peer: Peer) -> None:
        """Forget a peer whose line has gone. What it had deferred is still done in time."""
        self.memory.replay.forget_line(peer.line)

    def lose_power(self, until: float) -> None:
        """Drop what is under way, on every line; what is remembered stays.

        Args:
            until: when the power is back: seconds, monotonic.
        """
        self.power_losses += 1
        self._is_restarting = True
        self._off_until = until
        self._working.clear()
        self.updates.lose_power()

    def restore_power(self, now: float) -> None:
        """Bring the power back now (seconds, monotonic)."""
        self._off_until = min(self._off_until, now)

    def is_off(self, now: float) -> bool:
        """Tell whether the meter is without power."""
        return now < self._off_until

    def advance(self, now: float, utc: float) -> None:
        """Let time pass: monotonic seconds, and the host's Unix time."""
        if self.is_off(now):
            self.metering.pass_without_power(utc)
        else:
            self._start_again(now, utc)
            self.metering.advance(utc)
        self.updates.advance(now)
        for peer in list(self._working):
            if peer.deferred and peer.deferred.due <= now:
                self._working.remove(peer)
                request = peer.deferred.request
                peer.deferred.outcome = self._run(peer, request)
                self._remember(peer, request, peer.deferred.outcome)

    def _start_again(self, now: float, utc: float) -> None:
        """Start once the power is back, which may have been a while ago."""
        if self._is_restarting:
            self._is_restarting = False
            self.updates.boot()
            self.metering.power_back(utc - (now - self._off_until))

    def execute(self, peer: Peer, packet: bytes, now: float) -> Answer:
        """Answer a packet of a peer. `advance` has been called for this moment.

        Raises:
            PowerCut: flash was to be written, and whoever sees to its power has cut it.
        """
        defect = self.settings.defect
        answer = self._execute(peer, defect.packet_in(packet), now)
        if answer.packet is None:
            return answer
        return replace(answer, packet=defect.packet_out(packet, answer.packet))

    def _execute(self, peer: Peer, packet: bytes, now: float) -> Answer:
        try:
            envelope = Envelope.decode(packet)
        except MalformedError:
            unknown = Envelope(source=UNKNOWN_DEVICE, destination=self.memory.umi_id)
            return self._error(unknown, 0, ResultCode.INVALID_PACKET_FORMAT)
        if answer := self.memory.replay.answer_to(peer.line, packet):
            return Answer(packet=answer)  # it has run
        try:
            message = self._open(peer, envelope, packet)
        except Refusal as refusal:
            # What cannot be opened is answered in the clear: there is nothing to seal it with.
            transaction = int.from_bytes(packet[_TRANSACTION], "little")
            return self._error(envelope, transaction, refusal.code)
        return self._answer(peer, envelope, message, packet, now)

    def _open(self, peer: Peer, envelope: Envelope, packet: bytes) -> Message:
        """Take a packet apart; `Refusal` says why it cannot be."""
        if envelope.protocol != PROTOCOL:
            raise Refusal(ResultCode.UNKNOWN_VERSION)
        if envelope.encryption_scheme not in (0, 2):
            raise Refusal(ResultCode.UNKNOWN_ENCRYPTION_SCHEME)
        if envelope.destination not in (UNKNOWN_DEVICE, self.memory.umi_id, HOST_ALIAS):
            raise Refusal(ResultCode.UNAVAILABLE)  # choice: nobody of that ID is here
        if envelope.encryption_scheme == 0:
            return _decode_message(packet[ENVELOPE_BYTES:])
        return _decode_message(self._security.open(peer, envelope, packet))

    def _answer(
        self, peer: Peer, envelope: Envelope, message: Message, packet: bytes, now: float
    ) -> Answer:
        """Check what a message may, and run it."""
        try:
            request = self._authorise(peer, envelope, message, packet)
            if isinstance(request.command, Complete):
                return self._complete(peer, request, now)
            if peer.deferred and peer.deferred.outcome is None:
                return Answer(is_busy=True)
            self._security.use_up(request)
        except Refusal as refusal:
            outcome = Outcome(packet_type=PacketType.ERROR, result=refusal.code)
            return self._told(peer, envelope, message, outcome)
        return self._start(peer, request, now)

    def _authorise(
        self, peer: Peer, envelope: Envelope, message: Message, packet: bytes
    ) -> Request:
        """Find out in which right a command comes; `Refusal` if in none."""
        command = _decode_command(message)
        is_encrypted = envelope.encryption_scheme == 2
        if not is_encrypted:
            self._security.check_clear(peer, envelope, command)
        role = self._security.role_of(peer, envelope.source, command)
        if is_encrypted:
            role = peer.sessions[envelope.source].role
        record = record_of(message)
        if record is not None:
            role = record.role
        self._security.response_key(message.argument, role)  # or nothing is run
        if record is not None:
            self._security.verify(envelope, message, record)
        return Request(
            packet=packet,
            envelope=envelope,
            message=message,
            command=command,
            role=role,
            signature=record,
            is_ahead=record is not None and is_ahead(record),
            is_encrypted=is_encrypted,
        )

    def _start(self, peer: Peer, request: Request, now: float) -> Answer:
        """Run a command, begin to work on it, or find that it must not run."""
        # The counters of a session refuse a late copy by themselves.
        is_guarded = request.command.CHANGES and not (request.is_encrypted or request.is_ahead)
        if is_guarded and self.memory.replay.is_late(peer.line, request.message, now):
            return Answer()
        peer.deferred = None
        if work_ms := self._work_ms(request.command):
            peer.deferred = Deferred(request=request, due=now + work_ms / 1000)
            self._working.append(peer)
            return self._wait(peer, request, peer.deferred, now)
        outcome = self._run(peer, request)
        return self._remember(peer, request, outcome) or self._told_of(peer, request, outcome)

    def _work_ms(self, command: Command[Any]) -> int:
        part = getattr(command, "part", None)
        code = part.code if part else getattr(command, "code", None)
        return self.settings.defer_ms.get(code, 0) if code else 0

    def _run(self, peer: Peer, request: Request) -> Outcome:
        """Run a command and return what came of it."""
        kind = request.command.REPLY.TYPE
        call = Call(
            memory=self.memory,
            security=self._security,
            updates=self.updates,
            peer=peer,
            request=request,
        )
        try:
            payload = self.settings.defect.run(call).encode()
        except Refusal as refusal:
            return Outcome(packet_type=kind, result=refusal.code)
        except OverflowError:  # the value is longer than its length field can say
            return Outcome(packet_type=kind, result=ResultCode.TOO_LONG)
        overhead = MAX_OVERHEAD_BYTES if request.message.argument or request.is_encrypted else 0
        if len(payload) + MIN_PACKET_BYTES + overhead > self.settings.max_packet_bytes:
            return Outcome(packet_type=kind, result=ResultCode.TOO_LONG)
        return Outcome(packet_type=kind, payload=payload)

    def _wait(self, peer: Peer, request: Request, deferred: Deferred, now: float) -> Answer:
        left_ms = round((deferred.due - now) * 1000)
        payload = Wait(wait_ms=min(MAX_WAIT_MS, max(1, left_ms))).encode()
        outcome = Outcome(packet_type=PacketType.WAIT, payload=payload)
        answer = self._told(peer, request.envelope, request.message, outcome, request.role)
        return replace(answer, is_busy=True)

    def _complete(self, peer: Peer, request: Request, now: float) -> Answer:
        deferred = peer.deferred
        if deferred is None or not _is_completed_by(deferred.request, request):
            outcome = Outcome(packet_type=PacketType.WAIT, result=ResultCode.DEFER_ERROR)
            return self._told(peer, request.envelope, request.message, outcome, request.role)
        if deferred.outcome is None:
            return self._wait(peer, request, deferred, now)
        role = deferred.request.role
        return self._told(peer, request.envelope, request.message, deferred.outcome, role)

    def _remember(self, peer: Peer, request: Request, outcome: Outcome) -> Answer | None:
        """Remember a command that has run; return its answer, if that can be made already.

        An answer under encryption takes the counter of the packet that fetches it.
        """
        answer = None if request.is_encrypted else self._told_of(peer, request, outcome)
        if request.command.CHANGES and answer and answer.packet:
            self.memory.replay.remember(peer.line, request.packet, answer.packet)
        if request.command.CHANGES or isinstance(request.command, S1AuthReply):
            self._on_change()  # failed authentications count, whatever happens next
        return answer

    def _told_of(self, peer: Peer, request: Request, outcome: Outcome) -> Answer:
        answer = self._told(peer, request.envelope, request.message, outcome, request.role)
        if peer.ending is not None:
            peer.sessions.pop(peer.ending, None)
            peer.ending = None
        return answer

    def _told(
        self,
        peer: Peer,
        envelope: Envelope,
        message: Message,
        outcome: Outcome,
        role: Role | None = None,
    ) -> Answer:
        """Seal what came of a command as the command was; sign it too where there is a role."""
        answer, back = self._response(message.transaction, outcome), _swapped(envelope)
        if role is not None:
            answer = sign(answer, back, self._security.response_key(message.argument, role))
        session = peer.sessions.get(envelope.source) if envelope.encryption_scheme == 2 else None
        return Answer(packet=seal(session, back, answer))

    def _error(self, envelope: Envelope, transaction: int, code: ResultCode) -> Answer:
        """Answer in the clear that a packet cannot be taken."""
        outcome = Outcome(packet_type=PacketType.ERROR, result=code)
        return Answer(packet=seal(None, _swapped(envelope), self._response(transaction, outcome)))

    def _response(self, transaction: int, outcome: Outcome) -> Message:
        return Message(
            transaction=transaction,
            created_s=self.metering.now_s,
            packet_type=outcome.packet_type,
            argument=outcome.result,
            payload=outcome.payload,
        )


def _is_completed_by(command: Request, complete: Request) -> bool:
    """Tell whether a COMPLETE may fetch what came of a command: its sender's, sealed as it was."""
    return (
        command.message.transaction == complete.message.transaction
        and command.source == complete.source
        and command.is_encrypted == complete.is_encrypted
    )


def _swapped(envelope: Envelope) -> Envelope:
    """Return the envelope of a response: swapped literally, aliases and all ones included."""
    return Envelope(source=envelope.destination, destination=envelope.source)


def _decode_message(data: bytes) -> Message:
    try:
        return Message.decode(data)
    except MalformedError as error:
        raise Refusal(ResultCode.INVALID_PACKET_FORMAT) from error


def _decode_command(message: Message) -> Command[Any]:
    kind = COMMANDS.get(message.packet_type)
    if kind is None:
        raise Refusal(ResultCode.UNKNOWN_PACKET_TYPE)
    try:
        return kind.decode(message.payload)
    except MalformedError as error:
        raise Refusal(ResultCode.INVALID_PACKET_FORMAT) from error
