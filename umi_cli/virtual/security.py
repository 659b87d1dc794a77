"""Who commands, and may he? Sessions, signatures and roles at a virtual meter (protocol 5, 6).

Sessions are gone with the power; what must last stands in the vault.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from umi_cli import crypto
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.certificates.cvc import CertificateName
from umi_cli.crypto import AesKey
from umi_cli.errors import MalformedError, SessionDeadError, SignatureError
from umi_cli.security.session2 import SealedSession, agree
from umi_cli.security.signatures import (
    MAX_WINDOW_S,
    SCHEME_ECDSA,
    SCHEME_MAC,
    WINDOW_AFTER_S,
    WINDOW_BEFORE_S,
    CommandSignature,
    packet_signed_bytes,
    sign_response,
    verify_packet,
)
from umi_cli.types import EPOCH, Role, UmiCode, UmiId
from umi_cli.virtual.event_log import EventNumber
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.peer import Peer, Request, Session
from umi_cli.virtual.refusal import Refusal

SESSION_IDLE_S = (
    300  # choice: a session that nobody uses ends, or a crashed client locked itself out
)
LONGEST_WINDOW_S = MAX_WINDOW_S + WINDOW_BEFORE_S  # protocol 5
# choice: one event for all that cannot be decrypted in a minute, or anyone could push the rest out
# of the log
BAD_DECRYPT_EVERY_S = 60
UMI_ID_OBJECT = UmiCode(0)
KEYS_OBJECT = "scheme-1-keys"

# choice: what a commander may say in the clear although it has a session: what begins another
# one, when it has lost the first.
_CLEAR_IN_SESSION = (
    PacketType.S2_START_SESSION,
    PacketType.S2_GET_CERTIFICATE,
    PacketType.S2_ADD_CERTIFICATE,
)


class Security:
    """The guard of a virtual meter.

    Args:
        memory: what the meter remembers, its vault included.
        now_s: returns the meter's own time, a UMI datetime.
        salt: makes the meter's half of a session's salt.
    """

    def __init__(
        self, memory: Memory, now_s: Callable[[], int], salt: Callable[[], bytes] = crypto.new_salt
    ) -> None:
        self._memory = memory
        self._now_s = now_s
        self._salt = salt
        self._bad_decrypt_s = -BAD_DECRYPT_EVERY_S

    @property
    def now_s(self) -> int:
        """Return the meter's own time, a UMI datetime."""
        return self._now_s()

    @property
    def at(self) -> datetime:
        """Return the meter's own time."""
        return EPOCH + timedelta(seconds=self.now_s)

    def role_key(self, role: Role) -> AesKey:
        """Return a role's scheme 1 key; `Refusal` if it has none."""
        definition = self._memory.store.find(KEYS_OBJECT)
        keys = self._memory.store.values[definition.code] if definition else b""
        raw = keys[role * crypto.AES_KEY_BYTES : (role + 1) * crypto.AES_KEY_BYTES]
        if not any(raw):
            raise Refusal(ResultCode.AUTHENTICATION_FAILED)
        return AesKey(raw)

    def start_session(self, peer: Peer, source: UmiId, salt_a: bytes) -> bytes:
        """Agree on a session key with a commander; return our half of the salt.

        The session takes the place of an older one as soon as a packet has come under it.
        """
        vault = self._memory.vault
        certificate, role = vault.peer(source, self._memory.umi_id, self.at)
        if vault.signer is None:
            raise Refusal(ResultCode.NO_PUBLIC_KEY)
        if not vault.chain:
            raise Refusal(ResultCode.NO_CERTIFICATE)
        salt_b = self._salt()
        try:
            key = agree(vault.signer, certificate.body.public_point, salt_a, salt_b)
        except MalformedError as error:
            raise Refusal(ResultCode.INVALID_VALUE) from error
        sealed = SealedSession.of_responder(key, source)
        peer.pending[source] = Session(
            sealed=sealed, certificate=certificate, role=role, used_s=self.now_s
        )
        return salt_b

    def session_of(self, peer: Peer, source: UmiId) -> Session | None:
        """Return a commander's live session, if there is one."""
        session = peer.sessions.get(source)
        if session and not self._is_live(session):
            del peer.sessions[source]
            return None
        return session

    def _is_live(self, session: Session) -> bool:
        """Tell whether a session may go on: in use, and under a certificate that still holds."""
        body = session.certificate.body
        is_held = self._memory.vault.key_table.get(body.subject) == session.certificate
        is_used = session.used_s <= self.now_s <= session.used_s + SESSION_IDLE_S
        return is_held and is_used and self.at <= body.valid_until

    def open(self, peer: Peer, envelope: Envelope, packet: bytes) -> bytes:
        """Open an encrypted packet; `Refusal` if it is of no session, which ends the session."""
        source = envelope.source
        for sessions in (peer.pending, peer.sessions):
            session = sessions.pop(source, None)
            if session is None or not self._is_live(session):
                continue
            try:
                inner = session.sealed.open(packet)
            except (SignatureError, SessionDeadError, MalformedError):
                continue
            peer.sessions[source] = replace(session, used_s=self.now_s)
            return inner
        self._log_bad_decrypt(source)
        raise Refusal(ResultCode.NO_SESSION)

    def _log_bad_decrypt(self, source: UmiId) -> None:
        last_s, now_s = self._bad_decrypt_s, self.now_s
        if not last_s <= now_s < last_s + BAD_DECRYPT_EVERY_S:
            self._bad_decrypt_s = now_s
            self._memory.events.add(EventNumber.BAD_DECRYPT, now_s, source.encode())

    def check_clear(self, peer: Peer, envelope: Envelope, command: Command[Any]) -> None:
        """Take no command in the clear from a commander that has a session."""
        if self.session_of(peer, envelope.source) is None or command.TYPE in _CLEAR_IN_SESSION:
            return
        is_identifying = command.TYPE is PacketType.READ_OBJECT
        if is_identifying and getattr(command, "code", None) == UMI_ID_OBJECT:
            return
        raise Refusal(ResultCode.NO_ENCRYPTION)

    def revoke(self, name: CertificateName) -> None:
        """Revoke a certificate; `Refusal` if memory is full.

        Sessions under it, or under one that hangs on it, end on every line: see `_is_live`.
        """
        vault = self._memory.vault
        try:
            vault.revoke(name, self.now_s)
        finally:
            vault.drop_untrusted(self._memory.umi_id, self.at)

    def check_revocation_point(self, peer: Peer) -> None:
        """Make sure that a security authority is known, and can be asked."""
        known = [
            subject
            for subject, certificate in self._memory.vault.key_table.items()
            if getattr(certificate.body.authorisation, "role", None) is Role.SECURITY_AUTHORITY
        ]
        if not known:
            raise Refusal(ResultCode.REVOCATION_POINT_UNKNOWN)
        if not any(self.session_of(peer, subject) for subject in known):
            raise Refusal(ResultCode.REVOCATION_POINT_UNAVAILABLE)

    def role_of(self, peer: Peer, source: UmiId, command: Command[Any]) -> Role:
        """Return what a commander may act as in a command in the clear, without a signature.

        choice: what scheme 1 has proved holds for commands that change nothing. A change carries
        its own MAC: there is no session key, and nobody relies on the line (protocol 6.2).
        """
        if command.CHANGES:
            return peer.role
        return peer.authenticated.get(source, peer.role)

    def verify(self, envelope: Envelope, message: Message, record: CommandSignature) -> None:
        """Verify the signature of a command.

        Raises:
            Refusal: it is wrong, out of its window, or for another meter.
        """
        unsigned = envelope.encode() + message.encode_unsigned()
        try:
            verify_packet(unsigned, record, self._verifying_key(envelope.source, record))
        except SignatureError as error:
            raise Refusal(ResultCode.INVALID_SIGNATURE) from error
        is_ours = envelope.destination == self._memory.umi_id  # all ones would fit any meter
        # Byte 20 counts as 0 in what is signed; in the clear it is nothing else, either.
        is_whole = envelope.encryption_scheme != 0 or envelope.encryption_options == 0
        is_short = record.valid_until_s - record.valid_from_s <= LONGEST_WINDOW_S
        if not (is_ours and is_whole and is_short and record.is_valid_at(self.now_s)):
            raise Refusal(ResultCode.INVALID_SIGNATURE)

    def _verifying_key(self, source: UmiId, record: CommandSignature) -> bytes | AesKey:
        if record.scheme == SCHEME_MAC:
            try:
                return self.role_key(record.role)
            except Refusal as refusal:
                raise Refusal(ResultCode.INVALID_SIGNATURE) from refusal
        certificate, role = self._memory.vault.peer(source, self._memory.umi_id, self.at)
        if role is not record.role:
            raise Refusal(ResultCode.INVALID_SIGNATURE)
        return certificate.body.public_point

    def use_up(self, request: Request) -> None:
        """Note that a signed command runs now; `Refusal` if it has run before.

        One that changes nothing may run again inside its window, and takes no memory.
        """
        record = request.signature
        if record is None or not request.command.CHANGES:
            return
        # What was signed, not the signature: of each there is a second one, (r, n-s).
        unsigned = request.envelope.encode() + request.message.encode_unsigned()
        digest = crypto.sha256(packet_signed_bytes(unsigned, record.prefix))[:16]
        self._memory.vault.use_signature(digest, record.valid_until_s, self.now_s)

    def response_key(self, wanted: int, role: Role) -> AesKey | crypto.PrivateKey | None:
        """Return what signs a response as a command wants it; None for no signature.

        Raises:
            Refusal: the meter cannot sign so; nothing must run then.
        """
        if wanted == 0:
            return None
        if wanted == SCHEME_MAC:
            try:
                return self.role_key(role)
            except Refusal as refusal:
                raise Refusal(ResultCode.UNKNOWN_SIGNATURE_SCHEME) from refusal
        if wanted != SCHEME_ECDSA:
            raise Refusal(ResultCode.UNKNOWN_SIGNATURE_SCHEME)
        if self._memory.vault.signer is None:
            raise Refusal(ResultCode.NO_PUBLIC_KEY)
        return self._memory.vault.signer


def record_of(message: Message) -> CommandSignature | None:
    """Return the signature record of a command; None without one, `Refusal` if it is none."""
    if message.signature_scheme == 0:
        return None
    if message.signature_scheme > SCHEME_ECDSA:
        raise Refusal(ResultCode.UNKNOWN_SIGNATURE_SCHEME)
    try:
        return CommandSignature.decode(message.signature)
    except MalformedError as error:
        raise Refusal(ResultCode.INVALID_PACKET_FORMAT) from error


def is_ahead(record: CommandSignature) -> bool:
    """Tell whether a command was signed ahead: its window is longer than that of a session's."""
    return record.valid_until_s - record.valid_from_s > WINDOW_BEFORE_S + WINDOW_AFTER_S


def sign(answer: Message, envelope: Envelope, key: AesKey | crypto.PrivateKey | None) -> Message:
    """Return a response with its signature."""
    if key is None:
        return answer
    scheme = SCHEME_MAC if isinstance(key, AesKey) else SCHEME_ECDSA
    answer = replace(answer, signature_scheme=scheme)
    record = sign_response(envelope.encode() + answer.encode_unsigned(), key)
    return replace(answer, signature=record.encode())


def seal(session: Session | None, envelope: Envelope, answer: Message) -> bytes:
    """Return the packet of a response, encrypted if its command was."""
    if session is None:
        return envelope.encode() + answer.encode()
    clear = replace(envelope, encryption_scheme=2)
    return session.sealed.seal(clear.encode()[:ENVELOPE_BYTES], answer.encode())
