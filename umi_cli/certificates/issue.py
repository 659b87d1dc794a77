"""How does a signing authority answer a certificate request? (protocol 6.4)

What the chain rules would refuse later is refused here, with the same names: an authority signs
nothing that no one will trust.
"""

from dataclasses import dataclass
from datetime import datetime

from umi_cli.certificates.authorisation import Authorisation, AuthorityAuthorisation
from umi_cli.certificates.chain import check_rights, check_time
from umi_cli.certificates.cvc import Certificate, CertificateBody
from umi_cli.certificates.request import CertificateRequest
from umi_cli.certificates.trust import ChainError, ChainFailure
from umi_cli.crypto import Signer
from umi_cli.errors import InputError
from umi_cli.types import UNKNOWN_DEVICE, UmiId


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the issuer decides; the request says only who asks, and with which key."""

    serial: bytes
    """1..255 bytes, never used before for this subject."""
    valid_from: datetime
    valid_until: datetime
    """Inclusive."""
    authorisation: Authorisation


def issue(
    request: CertificateRequest, terms: Terms, *, issuer: Certificate, signer: Signer
) -> Certificate:
    """Issue a certificate.

    Args:
        issuer: the authority's own certificate.
        signer: the authority's key.

    Raises:
        SignatureError: the request does not prove that its sender holds the key.
        ChainError: no one would trust the certificate; `failure` names the rule.
        InputError: the terms contradict themselves.
    """
    request.verify()
    _check_issuer(request, issuer, signer)
    body = _body(terms, issuer.body.subject, request.subject, request.public_point)
    check_rights(body, issuer)
    # choice: protocol 6.4 has each certificate in its time; we nest the times, so that no
    # certificate outlives the one it hangs on.
    check_time(issuer.body, body.valid_from)
    check_time(issuer.body, body.valid_until)
    return Certificate.sign(body, signer)


def issue_root(subject: UmiId, terms: Terms, *, signer: Signer) -> Certificate:
    """Issue a signing authority its own, self-signed certificate: a trust anchor.

    Raises:
        ChainError: the terms are not those of a signing authority.
        InputError: the terms contradict themselves.
    """
    if not isinstance(terms.authorisation, AuthorityAuthorisation):
        raise ChainError(ChainFailure.NOT_AN_AUTHORITY, "a root is a signing authority")
    return Certificate.sign(_body(terms, subject, subject, signer.public_point), signer)


def _check_issuer(request: CertificateRequest, issuer: Certificate, signer: Signer) -> None:
    # choice: a request to the issuer's own issuer is answered below it, as a factory's authority
    # does where devices know the root alone; one to all ones is to whoever trusts it.
    others = (issuer.body.issuer, UNKNOWN_DEVICE) if issuer.is_authority else ()
    if request.issuer not in (issuer.body.subject, *others):
        raise ChainError(
            ChainFailure.UNKNOWN_ISSUER,
            f"the request is for {request.issuer}, not for {issuer.body.subject}",
        )
    if signer.public_point != issuer.body.public_point:
        raise ChainError(
            ChainFailure.WRONG_KEY, f"the key is not the one that {issuer.body.name} certifies"
        )


def _body(terms: Terms, issuer: UmiId, subject: UmiId, public_point: bytes) -> CertificateBody:
    try:
        return CertificateBody(
            issuer=issuer,
            serial=terms.serial,
            public_point=public_point,
            subject=subject,
            valid_from=terms.valid_from,
            valid_until=terms.valid_until,
            authorisation=terms.authorisation,
        )
    except ValueError as error:
        raise InputError(f"no such certificate: {error}") from error
