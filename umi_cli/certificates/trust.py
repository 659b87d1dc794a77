"""Whom do we trust, for what, and what are the reasons not to? (protocol 6.4)"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from umi_cli.certificates.cvc import Certificate, CertificateName
from umi_cli.errors import NotTrustedError
from umi_cli.types import Role, UmiId


class ChainFailure(Enum):
    """Why a certificate is not trusted."""

    UNKNOWN_ISSUER = "unknown-issuer"
    """No certificate of the issuer is at hand."""
    NO_ANCHOR = "no-anchor"
    """The chain ends in a root that is no trusted anchor."""
    REPEATED = "repeated"
    """The chain comes back to a certificate that is already in it."""
    TOO_LONG = "too-long"
    """The chain has more than four certificates."""
    NOT_AN_AUTHORITY = "not-an-authority"
    """An issuer is no signing authority."""
    BAD_SIGNATURE = "bad-signature"
    """The issuer's key did not sign the certificate."""
    NOT_YET_VALID = "not-yet-valid"
    """A certificate begins later."""
    EXPIRED = "expired"
    """A certificate has ended."""
    RANGE_EXCEEDED = "range-exceeded"
    """A certificate is for targets that its issuer's is not for."""
    ROLE_EXCEEDED = "role-exceeded"
    """The leaf's role is none of its issuer's signing roles."""
    AUTHORITY_EXCEEDED = "authority-exceeded"
    """A subordinate authority has roles that its issuer may not devolve."""
    WRONG_TARGET = "wrong-target"
    """The device in question is not in the leaf's target range."""
    WRONG_ROLE = "wrong-role"
    """The leaf does not authorise the role in question."""
    WRONG_KEY = "wrong-key"
    """The leaf certifies another key than the one in question."""
    WRONG_SUBJECT = "wrong-subject"
    """The leaf is for another UMI ID than the packets, and no alias allows that."""
    REVOKED = "revoked"
    """A certificate is on the deny list."""
    NOT_PINNED = "not-pinned"
    """There is no anchor, and the certificate is none of those pinned before."""


class ChainError(NotTrustedError):
    """A certificate is not trusted.

    Args:
        failure: the rule that does not hold.
    """

    def __init__(self, failure: ChainFailure, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What is trusted without a proof: a certificate, or a bare public key with its UMI ID."""

    subject: UmiId
    public_point: bytes = field(repr=False)
    certificate: Certificate | None = None
    """If known, its time, range and roles bind the chain below; its signature proves nothing."""

    @classmethod
    def of(cls, certificate: Certificate) -> Self:
        """Trust a certificate, which need not be self-signed."""
        body = certificate.body
        return cls(subject=body.subject, public_point=body.public_point, certificate=certificate)

    def is_certificate(self, certificate: Certificate) -> bool:
        """Tell whether the anchor is that very certificate, whatever signature it carries."""
        own = self.certificate
        return own is not None and own.envelope.signed == certificate.envelope.signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom we trust: anchors, pins, aliases and the deny list."""

    anchors: tuple[Anchor, ...] = ()
    pins: frozenset[bytes] = frozenset()
    """Fingerprints of certificates trusted on first contact."""
    aliases: frozenset[UmiId] = frozenset()
    """UMI IDs in packets that need not be the subject of the certificate (protocol 6.4)."""
    denied: frozenset[CertificateName] = frozenset()
    """Names of revoked certificates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What the leaf is to be good for; what is None is not asked."""

    target: UmiId | None = None
    """The device that is to obey, or to be obeyed."""
    role: Role | None = None
    """The role to act in."""
    source: UmiId | None = None
    """The UMI ID that the holder puts into packets."""
    public_point: bytes | None = field(default=None, repr=False)
    """The key that the holder uses."""
