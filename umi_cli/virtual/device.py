"""What a virtual meter does with an application packet: parse, check, run, answer (protocol 3).

It has no I/O and reads no clock: its line hands over packets and the time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import Complete, Wait
from umi_cli.application.packet import (
    MAX_PACKET_BYTES,
    MAX_PAYLOAD_BYTES,
    PROTOCOL,
    Envelope,
    Message,
)
from umi_cli.application.payload import COMMANDS, Command
from umi_cli.errors import MalformedError
from umi_cli.security.scheme0 import Scheme0
from umi_cli.types import UNKNOWN_DEVICE, Role, UmiCode, UmiId
from umi_cli.virtual import handlers
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.metering import Metering
from umi_cli.virtual.peer import Deferred, Peer, Request
from umi_cli.virtual.refusal import Refusal

HOST_ALIAS = UmiId(0x0023_7EFE_0000_0000)  # the fixed ID of fielded Hosts (protocol 6.4)
MAX_WAIT_MS = 0xFFFF
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
        self._scheme = Scheme0()
        self._working: list[Peer] = []
        self._off_until = 0.0
        self.power_losses = 0

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
        self._off_until = until
        self._working.clear()

    def is_off(self, now: float) -> bool:
        """Tell whether the meter is without power."""
        return now < self._off_until

    def advance(self, now: float, utc: float) -> None:
        """Let time pass: monotonic seconds, and the host's Unix time."""
        self.metering.advance(utc)
        for peer in list(self._working):
            if peer.deferred and peer.deferred.due <= now:
                peer.deferred.answer = self._run(peer, peer.deferred.request)
                self._working.remove(peer)

    def execute(self, peer: Peer, packet: bytes, now: float) -> Answer:
        """Answer a packet of a peer. `advance` has been called for this moment."""
        try:
            envelope = Envelope.decode(packet)
        except MalformedError:
            unknown = Envelope(source=UNKNOWN_DEVICE, destination=self.memory.umi_id)
            return self._error(unknown, b"", ResultCode.INVALID_PACKET_FORMAT)
        try:
            request = self._open(envelope, packet)
        except Refusal as refusal:
            return self._error(envelope, packet, refusal.code)
        if isinstance(request.command, Complete):
            return self._complete(peer, request, now)
        return self._start(peer, request, now)

    def _open(self, envelope: Envelope, packet: bytes) -> Request:
        """Take a packet apart; `Refusal` says why it cannot be."""
        if envelope.protocol != PROTOCOL:
            raise Refusal(ResultCode.UNKNOWN_VERSION)
        if envelope.encryption_scheme != self._scheme.number:
            raise Refusal(ResultCode.UNKNOWN_ENCRYPTION_SCHEME)
        if envelope.destination not in (UNKNOWN_DEVICE, self.memory.umi_id, HOST_ALIAS):
            raise Refusal(ResultCode.UNAVAILABLE)  # choice: nobody of that ID is here
        try:
            message = self._scheme.open(packet)[1]
        except MalformedError as error:
            raise Refusal(ResultCode.INVALID_PACKET_FORMAT) from error
        if message.signature_scheme != 0 or message.argument != 0:
            raise Refusal(ResultCode.UNKNOWN_SIGNATURE_SCHEME)
        return Request(packet=packet, envelope=envelope, message=message, command=_decode(message))

    def _start(self, peer: Peer, request: Request, now: float) -> Answer:
        """Run a command, begin to work on it, or find that it must not run (again)."""
        if peer.deferred and peer.deferred.answer is None:
            return Answer(is_busy=True)
        if request.command.CHANGES:
            if answer := self.memory.replay.answer_to(peer.line, request.packet):
                return Answer(packet=answer)
            if self.memory.replay.is_late(peer.line, request.message, now):
                return Answer()
        peer.deferred = None
        if work_ms := self._work_ms(request.command):
            peer.deferred = Deferred(request=request, due=now + work_ms / 1000)
            self._working.append(peer)
            return self._wait(peer.deferred, now)
        return Answer(packet=self._run(peer, request))

    def _work_ms(self, command: Command[Any]) -> int:
        part = getattr(command, "part", None)
        code = part.code if part else getattr(command, "code", None)
        return self.settings.defer_ms.get(code, 0) if code else 0

    def _run(self, peer: Peer, request: Request) -> bytes:
        """Run a command and return the response packet."""
        command = request.command
        try:
            payload, result = handlers.run(self.memory, peer, command).encode(), ResultCode.OK
        except Refusal as refusal:
            payload, result = b"", refusal.code
        except OverflowError:  # the value is longer than its length field can say
            payload, result = b"", ResultCode.TOO_LONG
        if len(payload) > MAX_PAYLOAD_BYTES:
            payload, result = b"", ResultCode.TOO_LONG
        response = self._respond(request, command.REPLY.TYPE, result, payload)
        if len(response) > self.settings.max_packet_bytes:
            response = self._respond(request, command.REPLY.TYPE, ResultCode.TOO_LONG)
        if command.CHANGES:
            self.memory.replay.remember(peer.line, request.packet, response)
            self._on_change()
        return response

    def _wait(self, deferred: Deferred, now: float) -> Answer:
        left_ms = round((deferred.due - now) * 1000)
        payload = Wait(wait_ms=min(MAX_WAIT_MS, max(1, left_ms))).encode()
        packet = self._respond(deferred.request, PacketType.WAIT, ResultCode.OK, payload)
        return Answer(packet=packet, is_busy=True)

    def _complete(self, peer: Peer, request: Request, now: float) -> Answer:
        deferred = peer.deferred
        if deferred is None or deferred.request.message.transaction != request.message.transaction:
            return Answer(packet=self._respond(request, PacketType.WAIT, ResultCode.DEFER_ERROR))
        return Answer(packet=deferred.answer) if deferred.answer else self._wait(deferred, now)

    def _respond(
        self, request: Request, kind: PacketType, result: ResultCode, payload: bytes = b""
    ) -> bytes:
        transaction = request.message.transaction
        return self._packet(request.envelope, transaction, kind, result, payload)

    def _error(self, envelope: Envelope, packet: bytes, code: ResultCode) -> Answer:
        transaction = int.from_bytes(packet[_TRANSACTION], "little")
        return Answer(packet=self._packet(envelope, transaction, PacketType.ERROR, code))

    def _packet(
        self,
        envelope: Envelope,
        transaction: int,
        kind: PacketType,
        result: ResultCode,
        payload: bytes = b"",
    ) -> bytes:
        # Source and destination are swapped literally, aliases and all ones included.
        answer = Envelope(source=envelope.destination, destination=envelope.source)
        message = Message(
            transaction=transaction,
            created_s=self.metering.now_s,
            packet_type=kind,
            argument=result,
            payload=payload,
        )
        return self._scheme.seal(answer, message)


def _decode(message: Message) -> Command[Any]:
    kind = COMMANDS.get(message.packet_type)
    if kind is None:
        raise Refusal(ResultCode.UNKNOWN_PACKET_TYPE)
    try:
        return kind.decode(message.payload)
    except MalformedError as error:
        raise Refusal(ResultCode.INVALID_PACKET_FORMAT) from error
