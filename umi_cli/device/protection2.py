"""Scheme 2: certificates, a session key, and everything encrypted (protocol 6.3).

The device's certificate is verified before any key is agreed: an unverified one is a man in the
middle. The session is confirmed by an encrypted NO_OPERATION before it is used.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
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
from umi_cli.certificates.authorisation import StandardAuthorisation
from umi_cli.certificates.chain import verify_chain
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import ChainError, ChainFailure, Purpose
from umi_cli.crypto import new_salt
from umi_cli.device.credentials import Scheme2Credentials
from umi_cli.device.protection import Channel, Standing
from umi_cli.errors import (
    MalformedError,
    OutcomeUnknownError,
    RefusedError,
    SessionDeadError,
)
from umi_cli.security.scheme0 import Scheme0
from umi_cli.security.session2 import SealedSession, agree
from umi_cli.security.signatures import (
    SCHEME_ECDSA,
    ResponseSignature,
    command_window,
    sign_command,
    verify_packet,
)
from umi_cli.types import EPOCH, Role, UmiId

_DEVICE_ROLES = (Role.HOST, Role.PERIPHERAL, Role.METERING_DEVICE)
_UNKNOWN_TO_DEVICE = (ResultCode.NO_CERTIFICATE, ResultCode.INVALID_CERTIFICATE)
"""It does not have our certificate, or has one that has ended."""

REKEY_AFTER = 1 << 20  # exchanges under one key; long before the counters are used up
HAND_OVER_TRIES = 3  # a certificate whose way was lost is handed over again
MAX_INTERMEDIATES = 2  # a chain is at most four long, leaf and anchor included


class Scheme2:
    """A session under scheme 2."""

    number = 2

    def __init__(
        self, credentials: Scheme2Credentials, salt: Callable[[], bytes] = new_salt
    ) -> None:
        self._credentials = credentials
        self._salt = salt
        self._session: SealedSession | None = None
        self._device: Certificate | None = None
        self._is_pinned = False
        self._is_confirmed = False
        self._exchanges = 0

    @property
    def is_ready(self) -> bool:
        """Tell whether there is a live session whose key is still young."""
        session = self._session
        return session is not None and session.is_alive and self._exchanges < REKEY_AFTER

    @property
    def standing(self) -> Standing:
        """Return where the session stands."""
        return Standing(
            scheme=self.number,
            role=self._credentials.role,
            is_authenticated=self._is_confirmed,
            is_encrypted=True,
            is_confirmed=self._is_confirmed,
            own_certificate=self._credentials.certificate,
            device_certificate=self._device,
            is_pinned=self._is_pinned,
        )

    def begin(self, channel: Channel) -> None:
        """Verify the device's certificate, agree on a key, and have the device confirm it.

        Raises:
            NotTrustedError: the device's certificate is not to be trusted.
            RefusedError: the device does not take our certificate, or starts no session.
            MalformedError: the device's answers do not have the form they must have.
        """
        if self._device is None:
            self._device = self._verified(channel)
        try:
            self._agree(channel, self._device)
        except SessionDeadError:
            # It may know us by an older certificate, and so have made the key with an older key.
            self._introduce(channel)
            self._agree(channel, self._device)

    def _agree(self, channel: Channel, device: Certificate) -> None:
        """Agree on a key, and have the device confirm it."""
        self._session, self._is_confirmed, self._exchanges = None, False, 0
        salt_a = self._salt()
        salt_b = self._start(channel, salt_a)
        key = agree(self._credentials.signer, device.body.public_point, salt_a, salt_b)
        self._session = SealedSession.of_commander(key, channel.own_id)
        try:
            channel.request_under(self, NoOperation())
        except RefusedError as error:
            if error.number != ResultCode.NOT_IMPLEMENTED:  # under encryption that confirms, too
                raise
        self._is_confirmed = True

    def seal(
        self, envelope: Envelope, message: Message, channel: Channel, *, is_signed: bool
    ) -> tuple[bytes, Message]:
        """Return the encrypted packet, signed as well where the command wants to be."""
        if self._session is None:
            raise SessionDeadError("there is no session to seal a packet under")
        if is_signed:
            message = self._sign(envelope, message, channel)
        self._exchanges += 1
        return self._session.seal(envelope.encode(), message.encode()), message

    def _sign(self, envelope: Envelope, message: Message, channel: Channel) -> Message:
        message = replace(message, signature_scheme=SCHEME_ECDSA, argument=SCHEME_ECDSA)
        start_s, end_s = command_window(channel.device_now_s)
        record = sign_command(
            envelope.encode() + message.encode_unsigned(),
            self._credentials.signer,
            role=self._credentials.role,
            valid_from_s=start_s,
            valid_until_s=end_s,
        )
        return replace(message, signature=record.encode())

    def open(self, packet: bytes, sent: Message) -> tuple[Envelope, Message]:
        """Open an encrypted response, and verify its signature where one was asked for.

        Raises:
            MalformedError: it is not encrypted, or no packet.
            SignatureError: its tag, its counter or its signature is wrong. (An ERROR need not be
                signed: the session key vouches for it.)
            SessionDeadError: the device says that it does not know the session.
        """
        envelope = Envelope.decode(packet)
        if envelope.encryption_scheme == 0:
            self._refuse_clear(packet, sent)
        if self._session is None or self._device is None:
            raise SessionDeadError("there is no session to open a packet under")
        message = Message.decode(self._session.open(packet))
        is_error = message.packet_type == PacketType.ERROR and message.signature_scheme == 0
        if sent.argument == SCHEME_ECDSA and not is_error:
            record = ResponseSignature.decode(message.signature)
            # The signature was made before encryption: byte 20 counts as 0 in it.
            unsigned = packet[:ENVELOPE_BYTES] + message.encode_unsigned()
            verify_packet(unsigned, record, self._device.body.public_point)
        return envelope, message

    def _refuse_clear(self, packet: bytes, sent: Message) -> None:
        """Believe no response in the clear but NO_SESSION, which ends the session."""
        message = Scheme0().open(packet)[1]
        self.doubt()
        is_error = message.packet_type == PacketType.ERROR
        if is_error and message.argument == ResultCode.NO_SESSION:
            raise SessionDeadError("the device does not know the session")
        raise MalformedError("the device answered in the clear inside an encrypted session")

    def doubt(self) -> None:
        """End the session for good; the next command begins another."""
        if self._session is not None:
            self._session.end()
        self._session = None
        self._is_confirmed = False

    def farewell(self) -> Command[Any] | None:
        """Return the command that ends the session, if one is alive."""
        return S2EndSession() if self.is_ready else None

    def _start(self, channel: Channel, salt_a: bytes) -> bytes:
        """Start a session; hand over our certificates first if the device does not know them."""
        start = S2StartSession(salt_a=salt_a)
        tries_left = HAND_OVER_TRIES
        while True:
            try:
                return channel.request_in_clear(start).salt_b
            except RefusedError as error:
                if error.number not in _UNKNOWN_TO_DEVICE or not tries_left:
                    raise
            tries_left -= 1
            self._introduce(channel)

    def _introduce(self, channel: Channel) -> None:
        """Hand over our certificates, the highest first."""
        for certificate in reversed(self._credentials.chain):
            _hand_over(channel, certificate)

    def _verified(self, channel: Channel) -> Certificate:
        """Fetch the device's certificate, and what is above it, and verify it."""
        device = channel.identify()
        leaf = _fetch(channel, device)
        above: list[Certificate] = []
        while True:
            try:
                self._verify(leaf, above, device, channel)
            except ChainError as error:
                is_open = error.failure is ChainFailure.UNKNOWN_ISSUER
                if not is_open or len(above) >= MAX_INTERMEDIATES:
                    raise
                above.append(_fetch_above(channel, above[-1] if above else leaf, error))
            else:
                return leaf

    def _verify(
        self, leaf: Certificate, above: list[Certificate], device: UmiId, channel: Channel
    ) -> None:
        trust, purpose, at = self._credentials.trust, Purpose(source=device), _now(channel)
        self._is_pinned = leaf.fingerprint in trust.pins
        try:
            verify_chain(leaf, above, trust=trust, at=at, purpose=purpose)
        except ChainError as error:
            if error.failure is not ChainFailure.NOT_PINNED:
                raise
            # All else must hold before it is pinned: what is pinned is believed from then on.
            pinned = replace(trust, pins=trust.pins | {leaf.fingerprint})
            verify_chain(leaf, above, trust=pinned, at=at, purpose=purpose)
            if not self._credentials.pin(device, leaf):
                raise
            self._is_pinned = True
        if not self._is_pinned:
            check_device(leaf)


def check_device(leaf: Certificate) -> None:
    """Make sure that a certificate is a device's; `ChainError` otherwise."""
    # Protocol 6.4 names no role for this; without one, whoever commands devices could pose
    # as one of them.
    rights = leaf.body.authorisation
    if not isinstance(rights, StandardAuthorisation) or rights.role not in _DEVICE_ROLES:
        raise ChainError(
            ChainFailure.WRONG_ROLE,
            f"{leaf.body.name} is no device's: it authorises none of the roles of devices",
        )


def _now(channel: Channel) -> datetime:
    return EPOCH + timedelta(seconds=channel.utc_s())


def _fetch(channel: Channel, subject: UmiId) -> Certificate:
    reply = channel.request_in_clear(S2GetCertificate(subject=subject))
    return Certificate.decode(reply.certificate)


def _fetch_above(channel: Channel, child: Certificate, cause: ChainError) -> Certificate:
    try:
        return _fetch(channel, child.body.issuer)
    except RefusedError as error:
        raise cause from error


def _hand_over(channel: Channel, certificate: Certificate) -> None:
    try:
        channel.request_in_clear(S2AddCertificate(certificate=certificate.encode()))
    except OutcomeUnknownError:
        return  # what follows shows whether it arrived
    except RefusedError as error:
        if error.number != ResultCode.ALREADY_INSTALLED:
            raise
