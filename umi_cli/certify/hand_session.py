"""A scheme 2 session made by hand, so that any of its packets can be wrong (protocol 6.3)."""

from contextlib import suppress
from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import NoOperation
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.application.security_commands import (
    S2AddCertificate,
    S2EndSession,
    S2GetCertificate,
    S2StartSession,
)
from umi_cli.certificates.cvc import Certificate
from umi_cli.certify.bench import Bench, describe_result
from umi_cli.certify.case import Failure, fail
from umi_cli.crypto import AesKey, new_salt
from umi_cli.device.credentials import Scheme2Credentials
from umi_cli.errors import MalformedError, SessionDeadError, SignatureError
from umi_cli.security.session2 import SealedSession, agree
from umi_cli.types import UmiId

_HAS_IT = (ResultCode.OK, ResultCode.ALREADY_INSTALLED)


class HandSession:
    """One session with the device.

    Args:
        bench: whose credentials are used; `NotApplicable` without.
        credentials: what we prove ourselves with instead.

    Raises:
        NoScheme2: the device has none.
        Failure: no session comes about.
    """

    def __init__(self, bench: Bench, credentials: Scheme2Credentials | None = None) -> None:
        self._bench = bench
        self._credentials = credentials or bench.credentials()
        self.own_id = self._credentials.certificate.body.subject
        self.device_id = bench.meter.session.identify()
        self.device = device_certificate(bench, self.device_id)
        for certificate in reversed(self._credentials.chain):
            command = S2AddCertificate(certificate=certificate.encode())
            result = bench.result_of(command)
            if result.argument not in _HAS_IT:
                fail(f"our certificate was answered with {describe_result(result)}")
        self.salt_a = new_salt()
        self.salt_b = self._start()
        self.sealed = SealedSession.of_commander(self.key(), self.own_id)
        bench.at_end(self.close)

    def close(self) -> None:
        """End the session, so that the next test finds none; the device may have ended it."""
        if self.sealed.is_alive:
            with suppress(Failure, SessionDeadError):
                self._bench.transact(self.seal(S2EndSession()), S2EndSession())
            self.sealed.end()

    def _start(self) -> bytes:
        command = S2StartSession(salt_a=self.salt_a)
        message = self._bench.ask(self.clear(command), command)
        if message.argument != ResultCode.OK or len(message.payload) != len(self.salt_a):
            fail(f"S2_START_SESSION was answered with {describe_result(message)}")
        return message.payload

    def key(self) -> AesKey:
        """Return the session key; `Failure` if the device's salt makes none."""
        try:
            point = self.device.body.public_point
            return agree(self._credentials.signer, point, self.salt_a, self.salt_b)
        except MalformedError as error:
            raise Failure(str(error)) from error

    def envelope(self, **fields: Any) -> Envelope:
        """Return the envelope of a command in the session; `fields` are those that are wrong."""
        sound: dict[str, Any] = {"source": self.own_id, "destination": self.device_id}
        return Envelope(**{**sound, **fields})

    def clear(self, command: Command[Any], **fields: Any) -> bytes:
        """Return a command in the clear, from the one whose session it is."""
        return self.envelope().encode() + self._bench.message(command, **fields).encode()

    def seal(self, command: Command[Any], **fields: Any) -> bytes:
        """Return a command under the session key; `fields` are of `Message`."""
        envelope = self.envelope(encryption_scheme=2).encode()[:ENVELOPE_BYTES]
        return self.sealed.seal(envelope, self._bench.message(command, **fields).encode())

    def answer_to(self, packet: bytes) -> tuple[Envelope, Message, bool]:
        """Carry a packet; return what answers it, and whether that was sealed under the key.

        Raises:
            Failure: nothing answers it, or what does cannot be opened.
        """
        raw = self._bench.transact(packet, NoOperation())
        try:
            envelope = Envelope.decode(raw)
            if envelope.encryption_scheme == 0:
                return envelope, Message.decode(raw[ENVELOPE_BYTES:]), False
            return envelope, Message.decode(self.sealed.open(raw)), True
        except (MalformedError, SignatureError, SessionDeadError) as error:
            raise Failure(f"the answer cannot be opened: {error}") from error

    def ask(self, command: Command[Any]) -> Message:
        """Send a sound command under the key; `Failure` if its answer is not under the key."""
        _, message, is_sealed = self.answer_to(self.seal(command))
        if not is_sealed:
            fail(f"{command.title} was answered in the clear, with {describe_result(message)}")
        return message

    def expect_dead(self, packet: bytes, what: str) -> None:
        """Go on if a packet is refused with NO_SESSION in the clear; `Failure` if not."""
        _, message, is_sealed = self.answer_to(packet)
        is_it = (
            message.packet_type == PacketType.ERROR and message.argument == ResultCode.NO_SESSION
        )
        if is_sealed or not is_it:
            fail(f"{what} was answered with {describe_result(message)} instead of NO_SESSION (17)")

    def fork(self) -> "HandSession":
        """Return another view of the session, whose counters begin anew: a replaying attacker."""
        twin = object.__new__(HandSession)
        twin.__dict__.update(self.__dict__)
        twin.sealed = SealedSession.of_commander(self.key(), self.own_id)
        return twin


def device_certificate(bench: Bench, device_id: UmiId) -> Certificate:
    """Return the certificate that the device shows for itself.

    Raises:
        NoScheme2: it has none.
        Failure: what it shows is none.
    """
    bench.expect_scheme2()
    reply = bench.request(S2GetCertificate(subject=device_id))
    try:
        return Certificate.decode(reply.certificate)
    except MalformedError as error:
        raise Failure(f"the device's certificate is malformed: {error}") from error


def altered(packet: bytes, at: int, bit: int = 0x01) -> bytes:
    """Return a packet with one bit of it turned round."""
    return packet[:at] + bytes([packet[at] ^ bit]) + packet[at + 1 :]
