"""Defects of how signed commands are judged (protocol 5)."""

from collections.abc import Callable
from typing import Any

from umi_cli import crypto
from umi_cli.application.codes import ResultCode
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.crypto import AesKey
from umi_cli.errors import MalformedError, SignatureError
from umi_cli.security.signatures import SCHEME_ECDSA, CommandSignature, verify_packet
from umi_cli.types import Role
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.refusal import Refusal
from umi_cli.virtual.security import Security

DER_BYTES = 72
FULL_DER_BYTES = 70
_SCHEME = ENVELOPE_BYTES


class _Judge(Security):
    """Judges signatures with one of the checks left out."""

    checks_signature = True
    checks_window = True
    checks_length = True
    checks_role = True
    checks_target = True

    def verify(self, envelope: Envelope, message: Message, record: CommandSignature) -> None:
        """Verify what is still checked; `Refusal` if it does not hold."""
        unsigned = envelope.encode() + message.encode_unsigned()
        try:
            if self.checks_signature:
                verify_packet(unsigned, record, self._key(envelope, record))
        except SignatureError as error:
            raise Refusal(ResultCode.INVALID_SIGNATURE) from error
        is_short = record.valid_until_s - record.valid_from_s <= 7 * 86_400 + 60
        holds = (
            is_short or not self.checks_length,
            record.is_valid_at(self.now_s) or not self.checks_window,
            envelope.destination == self._memory.umi_id or not self.checks_target,
        )
        if not all(holds):
            raise Refusal(ResultCode.INVALID_SIGNATURE)

    def _key(self, envelope: Envelope, record: CommandSignature) -> Any:
        if self.checks_role or record.scheme != SCHEME_ECDSA:
            return self._verifying_key(envelope.source, record)
        certificate, _ = self._memory.vault.peer(envelope.source, self._memory.umi_id, self.at)
        return certificate.body.public_point


class _Judging(Defect):
    """A check of signed commands is left out."""

    CHECK: str

    def new_security(self, memory: Memory, now_s: Callable[[], int]) -> Security:
        """Return a judge who leaves the check out."""
        judge = _Judge(memory, now_s)
        setattr(judge, self.CHECK, False)
        return judge


class SignatureUnchecked(_Judging):
    """Whose signature it is does not matter."""

    NAME = "signature-unchecked"
    TITLE = "executes signed commands whose signature or MAC is wrong"
    CHECK = "checks_signature"


class WindowUnchecked(_Judging):
    """When a command holds does not matter."""

    NAME = "window-unchecked"
    TITLE = "executes signed commands outside their window"
    CHECK = "checks_window"


class WindowUnlimited(_Judging):
    """For how long a command holds does not matter."""

    NAME = "window-unlimited"
    TITLE = "executes commands that are signed for more than seven days"
    CHECK = "checks_length"


class SignedRoleUnchecked(_Judging):
    """The role in a signature is granted."""

    NAME = "signed-role-unchecked"
    TITLE = "grants whatever role a signature claims"
    CHECK = "checks_role"


class SignedTargetUnchecked(_Judging):
    """For whom a command was signed does not matter."""

    NAME = "signed-target-unchecked"
    TITLE = "executes commands that are signed for any device"
    CHECK = "checks_target"


class _Refusing(Security):
    """Takes no signature at all."""

    def verify(self, envelope: Envelope, message: Message, record: CommandSignature) -> None:
        """Refuse it."""
        raise Refusal(ResultCode.INVALID_SIGNATURE)


class SignaturesRefused(Defect):
    """No signature is good enough."""

    NAME = "signatures-refused"
    TITLE = "refuses every signed command"

    def new_security(self, memory: Memory, now_s: Callable[[], int]) -> Security:
        """Return a judge who refuses."""
        return _Refusing(memory, now_s)


class _Unsigning(Security):
    """Signs no response."""

    def response_key(self, wanted: int, role: Role) -> AesKey | crypto.PrivateKey | None:
        """Return no key."""
        super().response_key(wanted, role)
        return None


class ResponsesUnsigned(Defect):
    """What is wanted on a response is promised, and not made."""

    NAME = "responses-unsigned"
    TITLE = "does not sign the responses that were to be signed"

    def new_security(self, memory: Memory, now_s: Callable[[], int]) -> Security:
        """Return a guard that signs nothing."""
        return _Unsigning(memory, now_s)


def _der(packet: bytes) -> bytes | None:
    """Return the 72 bytes of the ECDSA signature of a command in the clear, if it has one."""
    is_signed = len(packet) > _SCHEME + DER_BYTES and packet[0] == 0
    return packet[-DER_BYTES:] if is_signed and packet[_SCHEME] == SCHEME_ECDSA else None


class PaddingUnchecked(Defect):
    """What stands behind a signature is not looked at."""

    NAME = "signature-padding-unchecked"
    TITLE = "takes a signature record whose padding is not zero"

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet with zeros behind its signature."""
        der = _der(packet)
        if der is None:
            return packet
        end = 2 + der[1]
        return packet[: len(packet) - DER_BYTES] + der[:end].ljust(DER_BYTES, b"\x00")


class ZerosStripped(Defect):
    """Zeros at the end of a signature count as padding."""

    NAME = "signature-zeros-stripped"
    TITLE = "strips the zeros at the end of a signature"

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet with a wrong signature where a zero belonged to it."""
        der = _der(packet)
        is_cut = der is not None and len(der.rstrip(b"\x00")) < 2 + der[1]
        return (
            packet[:-DER_BYTES] + bytes([packet[-DER_BYTES] ^ 1]) + packet[1 - DER_BYTES :]
            if is_cut
            else packet
        )


class ShortSignatureRefused(Defect):
    """A signature has 70 to 72 bytes."""

    NAME = "short-signature-refused"
    TITLE = "refuses signatures of fewer than 70 bytes"

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet with a wrong signature where it is short."""
        der = _der(packet)
        is_short = der is not None and der[1] + 2 < FULL_DER_BYTES
        return packet[:-1] + b"\x01" if is_short else packet


class HiddenRecordTaken(Defect):
    """The record says how a command is signed; the header need not."""

    NAME = "hidden-record-taken"
    TITLE = "executes a signed command whose header says that it is not signed"

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet with the record's scheme in its header."""
        if len(packet) < _SCHEME + 11 or packet[0] or packet[_SCHEME]:
            return packet
        end = 32 + int.from_bytes(packet[30:32], "little")
        scheme = packet[end : end + 1]
        try:
            Message.decode(packet[ENVELOPE_BYTES:])
        except MalformedError:
            return packet[:_SCHEME] + scheme + packet[_SCHEME + 1 :] if scheme else packet
        return packet


SIGNATURE_DEFECTS: tuple[type[Defect], ...] = (
    SignatureUnchecked,
    WindowUnchecked,
    WindowUnlimited,
    SignedRoleUnchecked,
    SignedTargetUnchecked,
    SignaturesRefused,
    ResponsesUnsigned,
    PaddingUnchecked,
    ZerosStripped,
    ShortSignatureRefused,
    HiddenRecordTaken,
)
