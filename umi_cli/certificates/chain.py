"""Is a certificate to be trusted, and if not, for which one reason? (protocol 6.4)

The chain is found first, from the leaf to an anchor, each signature verified on the way; then the
rules are checked one after the other, each with its own name. Time is an argument: a caller may
ask about any moment.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from umi_cli.certificates.authorisation import AuthorityAuthorisation, StandardAuthorisation
from umi_cli.certificates.cvc import Certificate, CertificateBody, CertificateName
from umi_cli.certificates.tlv import TlvReader
from umi_cli.certificates.trust import Anchor, ChainError, ChainFailure, Purpose, Trust
from umi_cli.errors import MalformedError, SignatureError
from umi_cli.types import UmiId

# choice: protocol 6.4 says "at most 4 long; it ends in a trusted anchor": leaf and anchor count,
# so two subordinate authorities fit between them.
MAX_CHAIN = 4

Path = tuple[Certificate, ...]
"""From the leaf upwards, each certificate followed by its issuer's."""


def verify_chain(
    leaf: Certificate,
    intermediates: Sequence[Certificate] = (),
    *,
    trust: Trust,
    at: datetime,
    purpose: Purpose | None = None,
) -> Path:
    """Verify that a certificate is trusted at a moment, for a purpose.

    Args:
        leaf: the certificate in question.
        intermediates: what else the peer sent, in any order; nothing in it is believed.

    Returns:
        The chain, leaf first; the anchor's certificate last, if it has one. A pinned leaf alone.

    Raises:
        ChainError: a rule does not hold; `failure` names it.
    """
    path = _find_path(leaf, intermediates, trust)
    for issuer in path[1:]:
        _check_authority(issuer)
    for certificate in path:
        check_time(certificate.body, at)
    for child, issuer in pairwise(path):
        check_rights(child.body, issuer)
    _check_purpose(leaf.body, purpose or Purpose(), trust.aliases)
    _check_denied(path, trust.denied)
    return path


def _find_path(leaf: Certificate, intermediates: Sequence[Certificate], trust: Trust) -> Path:
    """Return the certificates from the leaf to an anchor; the key of each verified the one before.

    A pinned leaf stands alone. The loop ends: every turn adds a certificate, up to `MAX_CHAIN`.
    """
    if leaf.fingerprint in trust.pins:
        return (leaf,)
    if not trust.anchors:
        raise _not_pinned(leaf)
    path: Path = (leaf,)
    while (anchor := _anchor_above(path[-1], trust.anchors)) is None:
        path = (*path, _find_issuer(path, intermediates, trust.anchors))
        _check_length(len(path))
    if anchor.is_certificate(path[-1]):
        return path
    _check_length(len(path) + 1)
    return path if anchor.certificate is None else (*path, anchor.certificate)


def _not_pinned(leaf: Certificate) -> ChainError:
    return ChainError(
        ChainFailure.NOT_PINNED,
        f"nothing says that {leaf.body.subject} is to be trusted",
        hint="name a root with --anchor, or trust this certificate on first contact with --pin",
    )


def _anchor_above(last: Certificate, anchors: Iterable[Anchor]) -> Anchor | None:
    """Return the anchor that the certificate is, or the one that signed it."""
    for anchor in anchors:
        issued = anchor.subject == last.body.issuer and _is_signed(last, anchor.public_point)
        if issued or anchor.is_certificate(last):
            return anchor
    return None


def _find_issuer(
    path: Path, intermediates: Sequence[Certificate], anchors: Iterable[Anchor]
) -> Certificate:
    """Return the certificate that signed the last one of the path.

    An issuer may have certificates of several keys; the first whose key verifies is meant.
    """
    body = path[-1].body
    named = [other for other in intermediates if other.body.subject == body.issuer]
    seen = {certificate.envelope.signed for certificate in path}
    fresh = [other for other in named if other.envelope.signed not in seen]
    for other in fresh:
        if _is_signed(path[-1], other.body.public_point):
            return other
    if fresh or any(anchor.subject == body.issuer for anchor in anchors):
        raise ChainError(
            ChainFailure.BAD_SIGNATURE, f"{body.name} is not signed by its issuer {body.issuer}"
        )
    if body.issuer == body.subject:
        raise ChainError(ChainFailure.NO_ANCHOR, f"root {body.subject} is no trusted anchor")
    if named:
        raise ChainError(ChainFailure.REPEATED, f"the chain comes back to {body.issuer}")
    raise ChainError(
        ChainFailure.UNKNOWN_ISSUER, f"no certificate of {body.issuer}, the issuer of {body.name}"
    )


def _is_signed(certificate: Certificate, point: bytes) -> bool:
    try:
        certificate.envelope.verify(point)
    except SignatureError:
        return False
    return True


def _check_length(length: int) -> None:
    if length > MAX_CHAIN:
        raise ChainError(ChainFailure.TOO_LONG, f"the chain has more than {MAX_CHAIN} certificates")


def _check_authority(issuer: Certificate) -> AuthorityAuthorisation:
    rights = issuer.body.authorisation
    if not isinstance(rights, AuthorityAuthorisation):
        raise ChainError(
            ChainFailure.NOT_AN_AUTHORITY, f"{issuer.body.name} is no signing authority"
        )
    return rights


def check_time(body: CertificateBody, at: datetime) -> None:
    """Check that a certificate holds at a moment; `ChainError` otherwise."""
    if at < body.valid_from:
        raise ChainError(
            ChainFailure.NOT_YET_VALID,
            f"{body.name} begins at {body.valid_from:%Y-%m-%dT%H:%M:%SZ}",
        )
    if at > body.valid_until:
        raise ChainError(
            ChainFailure.EXPIRED, f"{body.name} ended at {body.valid_until:%Y-%m-%dT%H:%M:%SZ}"
        )


def check_rights(child: CertificateBody, issuer: Certificate) -> None:
    """Check that an issuer may give the rights that a certificate has.

    Raises:
        ChainError: the issuer is no authority, or the range or the roles exceed what it may give.
    """
    rights, given = _check_authority(issuer), child.authorisation
    if not given.targets.is_within(rights.targets):
        raise ChainError(
            ChainFailure.RANGE_EXCEEDED,
            f"{child.name} is for {given.targets}, its issuer for {rights.targets} only",
        )
    if isinstance(given, StandardAuthorisation):
        _check_role(child, given, rights)
    else:
        _check_subordinate(child, given, rights)


def _check_role(
    child: CertificateBody, given: StandardAuthorisation, rights: AuthorityAuthorisation
) -> None:
    if given.role not in rights.signing_roles:
        raise ChainError(
            ChainFailure.ROLE_EXCEEDED,
            f"{child.name} is for the role {given.role.label}, which its issuer may not sign",
        )


def _check_subordinate(
    child: CertificateBody, given: AuthorityAuthorisation, rights: AuthorityAuthorisation
) -> None:
    wanted = given.signing_roles.bits | given.devolvable_roles.bits
    if wanted & ~rights.devolvable_roles.bits:
        raise ChainError(
            ChainFailure.AUTHORITY_EXCEEDED,
            f"{child.name} has roles that its issuer may not devolve",
        )


def _check_purpose(body: CertificateBody, purpose: Purpose, aliases: frozenset[UmiId]) -> None:
    for failure, message in _purpose_faults(body, purpose, aliases):
        raise ChainError(failure, f"{body.name} {message}")


def _purpose_faults(
    body: CertificateBody, purpose: Purpose, aliases: frozenset[UmiId]
) -> Iterator[tuple[ChainFailure, str]]:
    given = body.authorisation
    if purpose.target is not None and purpose.target not in given.targets:
        yield ChainFailure.WRONG_TARGET, f"is for {given.targets}, not for {purpose.target}"
    role = given.role if isinstance(given, StandardAuthorisation) else None
    if purpose.role not in (None, role):
        yield ChainFailure.WRONG_ROLE, f"does not authorise the role {purpose.role.label}"
    if purpose.public_point not in (None, body.public_point):
        yield ChainFailure.WRONG_KEY, "certifies another key"
    if purpose.source not in (None, body.subject) and purpose.source not in aliases:
        yield ChainFailure.WRONG_SUBJECT, f"is not for {purpose.source}, nor is that an alias"


def _check_denied(path: Path, denied: frozenset[CertificateName]) -> None:
    for certificate in path:
        if certificate.body.name in denied:
            raise ChainError(ChainFailure.REVOKED, f"{certificate.body.name} is revoked")


def encode_chain(certificates: Sequence[Certificate]) -> bytes:
    """Return a device's own chain: one certificate after the other, own first (protocol 6.4)."""
    return b"".join(certificate.encode() for certificate in certificates)


def decode_chain(data: bytes) -> Path:
    """Decode a device's own chain, nothing in it verified.

    Raises:
        MalformedError: it is empty, longer than a chain may be, or not made of certificates.
    """
    fields = TlvReader(data, what="certificate chain")
    certificates: Path = ()
    while fields.remaining and len(certificates) < MAX_CHAIN:
        certificates = (*certificates, Certificate.read(fields))
    fields.end()
    if not certificates:
        raise MalformedError("certificate chain is empty")
    return certificates
