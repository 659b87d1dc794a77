"""Issuing: an authority signs nothing that the chain rules would refuse."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.certificates.pki import (
    AUTHORITY,
    AUTHORITY_ID,
    AUTHORITY_KEY,
    DEVICE,
    DEVICE_ID,
    DEVICE_KEY,
    FALSE_KEY,
    FROM,
    NOW,
    ROOT_ID,
    ROOT_KEY,
    UNTIL,
    authority,
    make_authority,
    standard,
    targets,
)
from umi_cli.certificates.chain import verify_chain
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.envelope import Envelope
from umi_cli.certificates.issue import Terms, issue, issue_root
from umi_cli.certificates.request import CertificateRequest
from umi_cli.certificates.trust import Anchor, ChainError, ChainFailure, Trust
from umi_cli.crypto import PrivateKey
from umi_cli.errors import InputError, SignatureError
from umi_cli.types import UNKNOWN_DEVICE, Role, RoleSet, UmiId

REQUEST = CertificateRequest.create(DEVICE_KEY, issuer=AUTHORITY_ID, subject=DEVICE_ID)
TERMS = Terms(serial=b"\x03", valid_from=FROM, valid_until=UNTIL, authorisation=standard())
SECOND = timedelta(seconds=1)


def failure(
    terms: Terms, *, issuer: Certificate = AUTHORITY, signer: PrivateKey = AUTHORITY_KEY
) -> ChainFailure:
    with pytest.raises(ChainError) as caught:
        issue(REQUEST, terms, issuer=issuer, signer=signer)
    return caught.value.failure


def test_an_issued_certificate_holds() -> None:
    terms = replace(TERMS, authorisation=authority())
    root = issue_root(ROOT_ID, terms, signer=ROOT_KEY)
    wish = CertificateRequest.create(AUTHORITY_KEY, issuer=ROOT_ID, subject=AUTHORITY_ID)
    middle = issue(wish, terms, issuer=root, signer=ROOT_KEY)
    leaf = issue(REQUEST, TERMS, issuer=middle, signer=AUTHORITY_KEY)
    assert leaf == DEVICE
    trust = Trust(anchors=(Anchor.of(root),))
    received = Certificate.decode(leaf.encode())
    assert verify_chain(received, [middle], trust=trust, at=NOW) == (leaf, middle, root)


def test_the_sender_proves_that_it_holds_the_key() -> None:
    forged = replace(REQUEST, envelope=Envelope.seal(REQUEST.envelope.signed, FALSE_KEY))
    with pytest.raises(SignatureError):
        issue(forged, TERMS, issuer=AUTHORITY, signer=AUTHORITY_KEY)


def test_the_request_names_its_issuer() -> None:
    other = make_authority(subject=ROOT_ID)
    assert failure(TERMS, issuer=other) is ChainFailure.UNKNOWN_ISSUER


@pytest.mark.parametrize("wanted", [ROOT_ID, UNKNOWN_DEVICE], ids=["its root", "whoever"])
def test_an_authority_answers_for_its_root_and_where_nobody_is_named(wanted: UmiId) -> None:
    """A new device knows the root alone, or nobody; the certificate names who signed it."""
    wish = CertificateRequest.create(DEVICE_KEY, issuer=wanted, subject=DEVICE_ID)
    assert issue(wish, TERMS, issuer=AUTHORITY, signer=AUTHORITY_KEY) == DEVICE


def test_the_key_is_the_issuers() -> None:
    assert failure(TERMS, signer=FALSE_KEY) is ChainFailure.WRONG_KEY


def test_the_issuer_is_an_authority() -> None:
    plain = make_authority(authorisation=standard())
    assert failure(TERMS, issuer=plain) is ChainFailure.NOT_AN_AUTHORITY


def test_the_rights_are_the_issuers_to_give() -> None:
    bounded = make_authority(
        authorisation=authority(
            signing=RoleSet.of(Role.SERVICE),
            devolvable=RoleSet.of(Role.SERVICE),
            targets=targets(0, 9),
        )
    )
    inside = targets(1, 2)
    issue(
        REQUEST,
        replace(TERMS, authorisation=standard(targets=inside)),
        issuer=bounded,
        signer=AUTHORITY_KEY,
    )
    wide = replace(TERMS, authorisation=standard(targets=targets(0, 10)))
    assert failure(wide, issuer=bounded) is ChainFailure.RANGE_EXCEEDED
    user = replace(TERMS, authorisation=standard(Role.USER, targets=inside))
    assert failure(user, issuer=bounded) is ChainFailure.ROLE_EXCEEDED
    below = replace(TERMS, authorisation=authority(targets=inside))
    assert failure(below, issuer=bounded) is ChainFailure.AUTHORITY_EXCEEDED


def test_times_lie_in_the_issuers() -> None:
    assert failure(replace(TERMS, valid_from=FROM - SECOND)) is ChainFailure.NOT_YET_VALID
    assert failure(replace(TERMS, valid_until=UNTIL + SECOND)) is ChainFailure.EXPIRED


def test_terms_that_contradict_themselves() -> None:
    with pytest.raises(InputError, match="ends before it begins"):
        issue(REQUEST, replace(TERMS, valid_until=FROM), issuer=AUTHORITY, signer=AUTHORITY_KEY)


def test_a_root_is_an_authority() -> None:
    with pytest.raises(ChainError) as caught:
        issue_root(ROOT_ID, TERMS, signer=ROOT_KEY)
    assert caught.value.failure is ChainFailure.NOT_AN_AUTHORITY
