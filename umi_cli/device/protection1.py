"""Scheme 1: both sides prove that they hold the role's key, and every command carries a MAC.

There is no session key (protocol 6.2): packets stay in the clear, and each is believed for its
own MAC alone. So a MAC is asked for on every response, and verified.
"""

from dataclasses import replace
from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import NoOperation
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.application.security_commands import S1AuthLogout, S1AuthReply, S1AuthRequest
from umi_cli.device.credentials import Scheme1Credentials
from umi_cli.device.protection import Channel, Standing, Unprotected
from umi_cli.errors import (
    AuthenticationError,
    LockedOutError,
    RefusedError,
    SessionDeadError,
)
from umi_cli.security.authentication1 import Handshake, new_nonce
from umi_cli.security.scheme0 import Scheme0
from umi_cli.security.signatures import (
    SCHEME_MAC,
    ResponseSignature,
    command_window,
    sign_command,
    verify_packet,
)


class Scheme1:
    """A session under scheme 1."""

    number = 1

    def __init__(self, credentials: Scheme1Credentials) -> None:
        self._credentials = credentials
        self._scheme = Scheme0()
        self.is_ready = False
        self._refusals = 0

    @property
    def standing(self) -> Standing:
        """Return where the session stands."""
        return Standing(
            scheme=self.number, role=self._credentials.role, is_authenticated=self.is_ready
        )

    def begin(self, channel: Channel) -> None:
        """Authenticate each other by challenge and response.

        Raises:
            AuthenticationError: the device does not hold the role's key, or says that we do not.
            LockedOutError: the device takes no authentication for a while.
        """
        try:
            handshake = self._verified(channel)
        except RefusedError as error:
            raise _refusal(error, self._credentials.role.label) from error
        try:
            # Sent once: the device takes one proof a challenge, and a lost answer needs another.
            proof = S1AuthReply(tag_a=handshake.tag_a(self._credentials.key))
            channel.request_under(Unprotected(), proof)
        except RefusedError as error:
            self._refusals += 1
            if error.number == ResultCode.AUTHENTICATION_FAILED and self._refusals == 1:
                # It holds the same key, for its own proof was right: it has lost its challenge.
                raise SessionDeadError("the device has lost its challenge") from error
            raise _refusal(error, self._credentials.role.label) from error
        self._confirm(channel)
        self.is_ready, self._refusals = True, 0

    def _confirm(self, channel: Channel) -> None:
        """Exchange something harmless under MACs.

        The proofs do not cover the device's time, by which windows are set; its MAC does.
        """
        try:
            channel.request_under(self, NoOperation())
        except RefusedError as error:
            if error.number != ResultCode.NOT_IMPLEMENTED:
                raise

    def _verified(self, channel: Channel) -> Handshake:
        """Have the device prove itself, before anything of ours is sent."""
        role, nonce_a = self._credentials.role, new_nonce()
        device = channel.identify()
        reply = channel.request_in_clear(S1AuthRequest(role=role, nonce_a=nonce_a))
        handshake = Handshake(
            role=role,
            supplicant=channel.own_id,
            authenticator=device,
            nonce_a=nonce_a,
            nonce_b=reply.nonce_b,
        )
        handshake.verify_tag_b(self._credentials.key, reply.tag_b)
        return handshake

    def seal(
        self, envelope: Envelope, message: Message, channel: Channel, *, is_signed: bool
    ) -> tuple[bytes, Message]:
        """Return the packet with a MAC, which asks for one on the response."""
        message = replace(message, signature_scheme=SCHEME_MAC, argument=SCHEME_MAC)
        start_s, end_s = command_window(channel.device_now_s)
        record = sign_command(
            envelope.encode() + message.encode_unsigned(),
            self._credentials.key,
            role=self._credentials.role,
            valid_from_s=start_s,
            valid_until_s=end_s,
        )
        message = replace(message, signature=record.encode())
        return self._scheme.seal(envelope, message), message

    def open(self, packet: bytes, sent: Message) -> tuple[Envelope, Message]:
        """Take a response apart and verify its MAC.

        Raises:
            MalformedError: it is no packet.
            SignatureError: it has no MAC of this role's key. (An ERROR cannot have one: it is
                told, and the command counts as in doubt.)
        """
        envelope, message = self._scheme.open(packet)
        if message.packet_type != PacketType.ERROR or message.signature_scheme != 0:
            record = ResponseSignature.decode(message.signature)
            unsigned = envelope.encode() + message.encode_unsigned()
            verify_packet(unsigned, record, self._credentials.key)
        return envelope, message

    def doubt(self) -> None:
        """Do nothing: every command stands for itself."""

    def farewell(self) -> Command[Any] | None:
        """Return the logout."""
        return S1AuthLogout() if self.is_ready else None


def _refusal(error: RefusedError, role: str) -> Exception:
    if error.number == ResultCode.UNAVAILABLE:
        return LockedOutError(
            "the device takes no authentication now, after too many that failed",
            hint="wait a few minutes, and check the key before the next try",
        )
    if error.number == ResultCode.AUTHENTICATION_FAILED:
        return AuthenticationError(
            f"the device does not accept our key for the role {role}",
            hint="check --key and --role; after three failures the device locks for a while",
        )
    return error
