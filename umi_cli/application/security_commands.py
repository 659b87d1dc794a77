"""The commands of security with their replies: what stands in the payload (protocol 3.2, 6)."""

from typing import Annotated, ClassVar

from umi_cli.application.codec import ID, NONCE, REST, SERIAL, TAG, U8
from umi_cli.application.codes import PacketType
from umi_cli.application.payload import Acknowledgement, Command, Payload, record
from umi_cli.types import UmiId


@record
class S1AuthRequestReply(Payload):
    """The authenticator proves itself (protocol 6.2)."""

    TYPE: ClassVar = PacketType.S1_AUTH_REQUEST_RESPONSE
    nonce_b: Annotated[bytes, NONCE]
    tag_b: Annotated[bytes, TAG]


@record
class S1AuthRequest(Command[S1AuthRequestReply]):
    """Ask to act in a role (protocol 6.2)."""

    TYPE: ClassVar = PacketType.S1_AUTH_REQUEST
    REPLY: ClassVar = S1AuthRequestReply
    role: Annotated[int, U8]
    nonce_a: Annotated[bytes, NONCE]


@record
class S1AuthChallengeReply(Payload):
    """The supplicant proves itself (protocol 6.2)."""

    TYPE: ClassVar = PacketType.S1_AUTH_CHALLENGE_RESPONSE
    role: Annotated[int, U8]
    nonce_a: Annotated[bytes, NONCE]
    tag_a: Annotated[bytes, TAG]


@record
class S1AuthChallenge(Command[S1AuthChallengeReply]):
    """Have a peer prove itself, when the authenticator begins (protocol 6.2)."""

    TYPE: ClassVar = PacketType.S1_AUTH_CHALLENGE
    REPLY: ClassVar = S1AuthChallengeReply
    nonce_b: Annotated[bytes, NONCE]


class S1AuthReplyReply(Acknowledgement):
    """The supplicant is taken for what it says it is (protocol 6.2)."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.S1_AUTH_REPLY_RESPONSE


@record
class S1AuthReply(Command[S1AuthReplyReply]):
    """The supplicant's own proof, after it has verified the authenticator's (protocol 6.2)."""

    TYPE: ClassVar = PacketType.S1_AUTH_REPLY
    REPLY: ClassVar = S1AuthReplyReply
    tag_a: Annotated[bytes, TAG]


class S1AuthLogoutReply(Acknowledgement):
    """The peer is guest again (protocol 6.2)."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.S1_AUTH_LOGOUT_RESPONSE


@record
class S1AuthLogout(Command[S1AuthLogoutReply]):
    """Be guest again (protocol 6.2)."""

    TYPE: ClassVar = PacketType.S1_AUTH_LOGOUT
    REPLY: ClassVar = S1AuthLogoutReply


@record
class S2StartSessionReply(Payload):
    """The device's half of a session's salt (protocol 6.3)."""

    TYPE: ClassVar = PacketType.S2_START_SESSION_RESPONSE
    salt_b: Annotated[bytes, NONCE]


@record
class S2StartSession(Command[S2StartSessionReply]):
    """Agree on a session key (protocol 6.3)."""

    TYPE: ClassVar = PacketType.S2_START_SESSION
    REPLY: ClassVar = S2StartSessionReply
    salt_a: Annotated[bytes, NONCE]


class S2EndSessionReply(Acknowledgement):
    """The session is over (protocol 6.3)."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.S2_END_SESSION_RESPONSE


@record
class S2EndSession(Command[S2EndSessionReply]):
    """End a session (protocol 6.3)."""

    TYPE: ClassVar = PacketType.S2_END_SESSION
    REPLY: ClassVar = S2EndSessionReply


@record
class S2GetCertificateReply(Payload):
    """A certificate (protocol 6.4)."""

    TYPE: ClassVar = PacketType.S2_GET_CERTIFICATE_RESPONSE
    certificate: Annotated[bytes, REST]


@record
class S2GetCertificate(Command[S2GetCertificateReply]):
    """Fetch a device's certificate (protocol 6.3)."""

    TYPE: ClassVar = PacketType.S2_GET_CERTIFICATE
    REPLY: ClassVar = S2GetCertificateReply
    subject: Annotated[UmiId, ID]


class S2AddCertificateReply(Acknowledgement):
    """The certificate was taken."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.S2_ADD_CERTIFICATE_RESPONSE


@record
class S2AddCertificate(Command[S2AddCertificateReply]):
    """Hand over a certificate (protocol 6.3)."""

    TYPE: ClassVar = PacketType.S2_ADD_CERTIFICATE
    REPLY: ClassVar = S2AddCertificateReply
    CHANGES: ClassVar = True
    certificate: Annotated[bytes, REST]


class S2GenerateKeypairReply(Acknowledgement):
    """The device has a new key pair."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.S2_GENERATE_KEYPAIR_RESPONSE


@record
class S2GenerateKeypair(Command[S2GenerateKeypairReply]):
    """Have the device make its own key pair."""

    TYPE: ClassVar = PacketType.S2_GENERATE_KEYPAIR
    REPLY: ClassVar = S2GenerateKeypairReply
    CHANGES: ClassVar = True


@record
class S2GetCsrReply(Payload):
    """The device's certificate request (protocol 6.4)."""

    TYPE: ClassVar = PacketType.S2_GET_CSR_RESPONSE
    request: Annotated[bytes, REST]  # choice: protocol 6.4


@record
class S2GetCsr(Command[S2GetCsrReply]):
    """Fetch the device's certificate request."""

    TYPE: ClassVar = PacketType.S2_GET_CSR
    REPLY: ClassVar = S2GetCsrReply


class S2InstallOwnCertificateChainReply(Acknowledgement):
    """The device has its own chain."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.S2_INSTALL_OWN_CERTIFICATE_CHAIN_RESPONSE


@record
class S2InstallOwnCertificateChain(Command[S2InstallOwnCertificateChainReply]):
    """Give the device its own certificate and those above it (protocol 6.4)."""

    TYPE: ClassVar = PacketType.S2_INSTALL_OWN_CERTIFICATE_CHAIN
    REPLY: ClassVar = S2InstallOwnCertificateChainReply
    CHANGES: ClassVar = True
    certificates: Annotated[bytes, REST]  # choice: own first, then upwards (protocol 6.4)


class S2RevokeCertificateReply(Acknowledgement):
    """The certificate is revoked."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.S2_REVOKE_CERTIFICATE_RESPONSE


@record
class S2RevokeCertificate(Command[S2RevokeCertificateReply]):
    """Revoke a certificate by its name."""

    TYPE: ClassVar = PacketType.S2_REVOKE_CERTIFICATE
    REPLY: ClassVar = S2RevokeCertificateReply
    CHANGES: ClassVar = True
    issuer: Annotated[UmiId, ID]  # choice: the certificate name of protocol 3.2
    subject: Annotated[UmiId, ID]
    serial_number: Annotated[bytes, SERIAL]


class S2CheckRevocationReply(Acknowledgement):
    """The question was taken."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.S2_CHECK_REVOCATION_RESPONSE


@record
class S2CheckRevocation(Command[S2CheckRevocationReply]):
    """Ask whether a certificate is revoked."""

    TYPE: ClassVar = PacketType.S2_CHECK_REVOCATION
    REPLY: ClassVar = S2CheckRevocationReply
    issuer: Annotated[UmiId, ID]
    subject: Annotated[UmiId, ID]
    serial_number: Annotated[bytes, SERIAL]


class S2RevocationAnswerReply(Acknowledgement):
    """The answer was taken."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.S2_REVOCATION_ANSWER_RESPONSE


@record
class S2RevocationAnswer(Command[S2RevocationAnswerReply]):
    """Say whether a certificate is revoked."""

    TYPE: ClassVar = PacketType.S2_REVOCATION_ANSWER
    REPLY: ClassVar = S2RevocationAnswerReply
    CHANGES: ClassVar = True
    issuer: Annotated[UmiId, ID]
    subject: Annotated[UmiId, ID]
    serial_number: Annotated[bytes, SERIAL]
    is_revoked: Annotated[int, U8]
    """1 revoked, 0 not."""


class S2RelinquishRightsReply(Acknowledgement):
    """The rights are given up."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.S2_RELINQUISH_RIGHTS_RESPONSE


@record
class S2RelinquishRights(Command[S2RelinquishRightsReply]):
    """Give up the rights of our own certificate."""

    TYPE: ClassVar = PacketType.S2_RELINQUISH_RIGHTS
    REPLY: ClassVar = S2RelinquishRightsReply
    CHANGES: ClassVar = True
