"""Defects of scheme 2 sessions (protocol 6.3)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import NoOperation
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import Command, Payload
from umi_cli.application.security_commands import (
    S1AuthLogout,
    S2EndSession,
    S2EndSessionReply,
    S2GetCertificate,
    S2GetCertificateReply,
    S2StartSession,
    S2StartSessionReply,
)
from umi_cli.crypto import SALT_BYTES, new_salt
from umi_cli.errors import MalformedError
from umi_cli.virtual import dispatch
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.dispatch import Call
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.peer import Peer
from umi_cli.virtual.refusal import Refusal
from umi_cli.virtual.security import Security

_OPTIONS = 20  # encryption options: the low byte of the counter
_SOURCE = slice(4, 12)
_TYPE, _LENGTH = 28, slice(30, 32)


class Scheme2Half(Defect):
    """A command of scheme 2 was never written."""

    NAME = "scheme-2-half"
    TITLE = "does not know S2_END_SESSION"

    def run(self, call: Call) -> Payload:
        """Refuse it."""
        if isinstance(call.request.command, S2EndSession):
            raise Refusal(ResultCode.NOT_IMPLEMENTED)
        return dispatch.run(call)

    def new_security(self, memory: Memory, now_s: Callable[[], int]) -> Security:
        """Return a guard that lets it through in the clear, too, to be refused."""
        return _ClearTaken(memory, now_s)


class Scheme1Half(Defect):
    """A command of scheme 1 was never written."""

    NAME = "scheme-1-half"
    TITLE = "does not know S1_AUTH_LOGOUT"

    def run(self, call: Call) -> Payload:
        """Refuse it."""
        if isinstance(call.request.command, S1AuthLogout):
            raise Refusal(ResultCode.NOT_IMPLEMENTED)
        return dispatch.run(call)


class CertificateOfIssuer(Defect):
    """The device shows whose certificate its own hangs on."""

    NAME = "certificate-of-issuer"
    TITLE = "shows its issuer's certificate in place of its own"

    def run(self, call: Call) -> Payload:
        """Return the root for the device itself."""
        command, vault = call.request.command, call.memory.vault
        is_own = isinstance(command, S2GetCertificate) and command.subject == call.memory.umi_id
        if is_own and vault.anchors:
            return S2GetCertificateReply(certificate=vault.anchors[0].encode())
        return dispatch.run(call)


class CertificateMadeUp(Defect):
    """Who asks for a certificate gets one."""

    NAME = "certificate-made-up"
    TITLE = "shows its own certificate for everybody whose it does not have"

    def run(self, call: Call) -> Payload:
        """Return the own certificate."""
        command, chain = call.request.command, call.memory.vault.chain
        try:
            return dispatch.run(call)
        except Refusal:
            if not isinstance(command, S2GetCertificate) or not chain:
                raise
            return S2GetCertificateReply(certificate=chain[0].encode())


class StrangerStarts(Defect):
    """Anybody begins a session."""

    NAME = "stranger-starts"
    TITLE = "answers S2_START_SESSION of strangers with a salt"

    def run(self, call: Call) -> Payload:
        """Return a salt."""
        try:
            return dispatch.run(call)
        except Refusal:
            if not isinstance(call.request.command, S2StartSession):
                raise
            return S2StartSessionReply(salt_b=new_salt())


class OtherKey(Defect):
    """The key is made with another salt than the one that was told."""

    NAME = "session-key-other"
    TITLE = "makes the session key with another salt than the one it sends"

    def run(self, call: Call) -> Payload:
        """Return another salt than the one that counts."""
        reply = dispatch.run(call)
        if isinstance(reply, S2StartSessionReply):
            return replace(reply, salt_b=new_salt())
        return reply


class SaltRepeated(Defect):
    """There is no source of chance."""

    NAME = "salt-repeated"
    TITLE = "sends the same salt in every session"

    def new_security(self, memory: Memory, now_s: Callable[[], int]) -> Security:
        """Return a guard whose salt is always the same."""
        return Security(memory, now_s, salt=lambda: b"\x5a" * SALT_BYTES)


class SaltAnyLength(Defect):
    """A salt is made as long as it must be."""

    NAME = "salt-any-length"
    TITLE = "takes salts of any length"

    def packet_in(self, packet: bytes) -> bytes:
        """Return S2_START_SESSION with a salt of 16 bytes."""
        is_start = len(packet) > _TYPE and packet[0] == 0
        if not is_start or packet[_TYPE] != PacketType.S2_START_SESSION:
            return packet
        try:
            message = Message.decode(packet[ENVELOPE_BYTES:])
        except MalformedError:
            return packet
        salt = message.payload[:SALT_BYTES].ljust(SALT_BYTES, b"\x01")
        return packet[:ENVELOPE_BYTES] + replace(message, payload=salt).encode()


class _BadDecryptTaken(Security):
    """Takes what it cannot decrypt for a NO_OPERATION."""

    def open(self, peer: Peer, envelope: Envelope, packet: bytes) -> bytes:
        """Return what was sealed, or something."""
        try:
            return super().open(peer, envelope, packet)
        except Refusal:
            command = NoOperation()
            raise _Ignored(command) from None


class _Ignored(Refusal):
    """Is told as OK."""

    def __init__(self, command: Command[Any]) -> None:
        super().__init__(ResultCode.OK)
        self.command = command


class BadDecryptOk(Defect):
    """What cannot be decrypted is answered as if it had been."""

    NAME = "bad-decrypt-ok"
    TITLE = "answers packets that it cannot decrypt with OK"

    def new_security(self, memory: Memory, now_s: Callable[[], int]) -> Security:
        """Return a guard that says nothing of wrong tags and counters."""
        return _BadDecryptTaken(memory, now_s)


class AdditionalDataUnchecked(Defect):
    """Of the envelope only what is used is authenticated."""

    NAME = "additional-data-unchecked"
    TITLE = "does not authenticate the options of the envelope"

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet with the options that it must have."""
        return packet[:2] + b"\x00\x00" + packet[4:] if packet[:1] == b"\x02" else packet


class ReplayAnswered(Defect):
    """A packet that comes again is answered again."""

    NAME = "replay-answered"
    TITLE = "answers a sealed packet again under the session key"

    def __init__(self) -> None:
        self._answers: dict[bytes, bytes] = {}

    def packet_out(self, command: bytes, response: bytes) -> bytes:
        """Return the answer that the packet had the first time."""
        return self._answers.setdefault(command, response) if command[:1] == b"\x02" else response


class CountersConsecutive(Defect):
    """No counter may be missing."""

    NAME = "counters-consecutive"
    TITLE = "refuses a command that skips counters"

    def __init__(self) -> None:
        self._next: dict[bytes, int] = {}

    def packet_in(self, packet: bytes) -> bytes:
        """Return a packet that cannot be opened where a counter is missing."""
        if len(packet) <= _TYPE:
            return packet
        source = packet[_SOURCE]
        if packet[0] == 0:
            if packet[_TYPE] == PacketType.S2_START_SESSION:
                self._next[source] = 0
            return packet
        due = self._next.get(source, 0)
        self._next[source] = due + 2 & 0xFF
        return packet if packet[_OPTIONS] == due else packet[:-1] + bytes([packet[-1] ^ 1])


class _ClearTaken(Security):
    """Lets everything in the clear pass."""

    def check_clear(self, peer: Peer, envelope: Envelope, command: Command[Any]) -> None:
        """Refuse nothing."""


class ClearInSession(Defect):
    """A session changes nothing for what comes in the clear."""

    NAME = "clear-in-session"
    TITLE = "takes commands in the clear from one who has a session"

    def new_security(self, memory: Memory, now_s: Callable[[], int]) -> Security:
        """Return a guard that lets the clear pass."""
        return _ClearTaken(memory, now_s)


class ResponseCounterSame(Defect):
    """A response says its command's counter."""

    NAME = "response-counter-same"
    TITLE = "sends the counter of the command in its response"

    def packet_out(self, command: bytes, response: bytes) -> bytes:
        """Return the response with the command's encryption options."""
        if response[0] != 2:
            return response
        return response[:_OPTIONS] + command[_OPTIONS : _OPTIONS + 1] + response[_OPTIONS + 1 :]


class EndKeepsSession(Defect):
    """A session that was ended goes on."""

    NAME = "end-keeps-session"
    TITLE = "answers S2_END_SESSION with OK, and keeps the session"

    def run(self, call: Call) -> Payload:
        """Say OK."""
        is_end = isinstance(call.request.command, S2EndSession)
        return S2EndSessionReply() if is_end else dispatch.run(call)


class ClearEnds(ClearInSession):
    """Anybody ends the session of another."""

    NAME = "clear-ends"
    TITLE = "ends a session at an S2_END_SESSION in the clear"

    def run(self, call: Call) -> Payload:
        """End whatever session the sender has."""
        if isinstance(call.request.command, S2EndSession) and not call.request.is_encrypted:
            call.peer.sessions.pop(call.source, None)
            return S2EndSessionReply()
        return dispatch.run(call)


class StartEnds(Defect):
    """A session is over as soon as another one is asked for."""

    NAME = "start-ends"
    TITLE = "ends a session when another one is begun in the clear"

    def run(self, call: Call) -> Payload:
        """Forget the session there is."""
        if isinstance(call.request.command, S2StartSession):
            call.peer.sessions.pop(call.source, None)
        return dispatch.run(call)


SESSION_DEFECTS: tuple[type[Defect], ...] = (
    Scheme2Half,
    Scheme1Half,
    CertificateOfIssuer,
    CertificateMadeUp,
    StrangerStarts,
    OtherKey,
    SaltRepeated,
    SaltAnyLength,
    BadDecryptOk,
    AdditionalDataUnchecked,
    ReplayAnswered,
    CountersConsecutive,
    ClearInSession,
    ResponseCounterSame,
    EndKeepsSession,
    ClearEnds,
    StartEnds,
)
