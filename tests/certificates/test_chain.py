"""Chains: what holds, and one test for each reason why one does not."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates.pki import (
    AUTHORITY,
    AUTHORITY_ID,
    AUTHORITY_KEY,
    DEVICE,
    DEVICE_BODY,
    DEVICE_ID,
    DEVICE_KEY,
    FALSE_KEY,
    FROM,
    MIDDLE_ID,
    MIDDLE_KEY,
    NOW,
    ROOT,
    ROOT_ID,
    ROOT_KEY,
    UNTIL,
    authority,
    make_authority,
    make_device,
    make_root,
    standard,
    targets,
)
from umi_cli.certificates.chain import decode_chain, encode_chain, verify_chain
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import Anchor, ChainError, ChainFailure, Purpose, Trust
from umi_cli.errors import MalformedError, NotTrustedError
from umi_cli.types import Role, RoleSet, UmiId

TRUST = Trust(anchors=(Anchor.of(ROOT),))
BARE = Trust(anchors=(Anchor(subject=ROOT_ID, public_point=ROOT_KEY.public_point),))
SERVICE_ONLY = RoleSet.of(Role.SERVICE)
USER_ONLY = RoleSet.of(Role.USER)
SECOND = timedelta(seconds=1)


def make_middle(*, issuer: UmiId = AUTHORITY_ID, serial: bytes = b"\x04") -> Certificate:
    """Return an authority between the authority and the device."""
    return make_authority(
        signer=AUTHORITY_KEY,
        issuer=issuer,
        subject=MIDDLE_ID,
        serial=serial,
        public_point=MIDDLE_KEY.public_point,
    )


LOW_DEVICE = make_device(signer=MIDDLE_KEY, issuer=MIDDLE_ID)


def failure(
    leaf: Certificate,
    others: Sequence[Certificate] = (AUTHORITY,),
    trust: Trust = TRUST,
    *,
    purpose: Purpose | None = None,
) -> ChainFailure:
    with pytest.raises(ChainError) as caught:
        verify_chain(leaf, others, trust=trust, at=NOW, purpose=purpose)
    assert isinstance(caught.value, NotTrustedError)
    assert caught.value.exit_code == 24
    return caught.value.failure


def test_a_chain_holds() -> None:
    purpose = Purpose(
        target=DEVICE_ID,
        role=Role.SERVICE,
        source=DEVICE_ID,
        public_point=DEVICE_KEY.public_point,
    )
    path = verify_chain(DEVICE, [AUTHORITY], trust=TRUST, at=NOW, purpose=purpose)
    assert path == (DEVICE, AUTHORITY, ROOT)


def test_a_bare_key_may_be_the_anchor() -> None:
    assert verify_chain(DEVICE, [AUTHORITY], trust=BARE, at=NOW) == (DEVICE, AUTHORITY)


def test_the_anchor_may_come_along() -> None:
    assert verify_chain(DEVICE, [ROOT, AUTHORITY], trust=TRUST, at=NOW)[-1] == ROOT


def test_an_intermediate_may_be_the_anchor() -> None:
    trust = Trust(anchors=(Anchor.of(AUTHORITY),))
    assert verify_chain(DEVICE, trust=trust, at=NOW) == (DEVICE, AUTHORITY)


def test_the_anchor_itself_is_trusted() -> None:
    assert verify_chain(ROOT, trust=TRUST, at=NOW) == (ROOT,)


def test_of_several_issuers_the_one_that_signed_is_meant() -> None:
    older = make_authority(serial=b"\x01", public_point=FALSE_KEY.public_point)
    other = Anchor(subject=ROOT_ID, public_point=FALSE_KEY.public_point)
    trust = Trust(anchors=(other, Anchor.of(ROOT)))
    path = verify_chain(DEVICE, [ROOT, older, AUTHORITY], trust=trust, at=NOW)
    assert path == (DEVICE, AUTHORITY, ROOT)


def test_a_new_key_of_the_root_may_hang_on_the_old_one() -> None:
    link = make_root(serial=b"\x09", public_point=MIDDLE_KEY.public_point)  # signed by the old key
    newer = make_authority(signer=MIDDLE_KEY)
    assert verify_chain(newer, [link], trust=TRUST, at=NOW) == (newer, link, ROOT)


def test_four_are_a_chain() -> None:
    chain = verify_chain(LOW_DEVICE, [make_middle(), AUTHORITY], trust=TRUST, at=NOW)
    assert len(chain) == 4


@pytest.mark.parametrize("trust", [TRUST, BARE])
def test_too_long(trust: Trust) -> None:
    lowest = make_authority(
        signer=MIDDLE_KEY,
        issuer=MIDDLE_ID,
        subject=UmiId(0xA3),
        public_point=FALSE_KEY.public_point,
    )
    leaf = make_device(signer=FALSE_KEY, issuer=UmiId(0xA3))
    others = [lowest, make_middle(), AUTHORITY]
    assert failure(leaf, others, trust) is ChainFailure.TOO_LONG


def test_too_long_without_an_end() -> None:
    """A peer that sends links without end is stopped at the fourth."""
    keys = [FALSE_KEY, MIDDLE_KEY] * 4
    others = [
        make_authority(
            signer=keys[i + 1],
            issuer=UmiId(i + 1),
            subject=UmiId(i),
            public_point=keys[i].public_point,
        )
        for i in range(6)
    ]
    assert failure(make_device(signer=FALSE_KEY, issuer=UmiId(0)), others) is ChainFailure.TOO_LONG


def test_unknown_issuer() -> None:
    assert failure(DEVICE, []) is ChainFailure.UNKNOWN_ISSUER
    assert failure(DEVICE, [ROOT, DEVICE]) is ChainFailure.UNKNOWN_ISSUER


def test_an_anchor_of_another_id_is_not_the_issuer() -> None:
    trust = Trust(anchors=(Anchor(subject=UmiId(7), public_point=ROOT_KEY.public_point),))
    assert failure(DEVICE, [AUTHORITY], trust) is ChainFailure.UNKNOWN_ISSUER


def test_no_anchor() -> None:
    trust = Trust(anchors=(Anchor(subject=UmiId(7), public_point=FALSE_KEY.public_point),))
    assert failure(DEVICE, [AUTHORITY, ROOT], trust) is ChainFailure.NO_ANCHOR
    assert failure(ROOT, [], trust) is ChainFailure.NO_ANCHOR


def test_repeated() -> None:
    first = make_authority(signer=MIDDLE_KEY, issuer=MIDDLE_ID)
    second = make_middle()
    assert failure(DEVICE, [first, second]) is ChainFailure.REPEATED


def test_not_an_authority() -> None:
    false_issuer = make_authority(authorisation=standard())
    assert failure(DEVICE, [false_issuer]) is ChainFailure.NOT_AN_AUTHORITY


def test_bad_signature() -> None:
    assert failure(make_device(signer=FALSE_KEY)) is ChainFailure.BAD_SIGNATURE


def test_bad_signature_below_the_anchor() -> None:
    false_authority = make_authority(signer=FALSE_KEY)
    for trust in (TRUST, BARE):
        assert failure(DEVICE, [false_authority], trust) is ChainFailure.BAD_SIGNATURE


def test_bad_signature_of_a_false_root() -> None:
    false_root = make_root(public_point=FALSE_KEY.public_point)
    self_signed = Certificate.sign(false_root.body, FALSE_KEY)
    false_authority = make_authority(signer=FALSE_KEY)
    others = [false_authority, self_signed]
    assert failure(DEVICE, others) is ChainFailure.BAD_SIGNATURE


@pytest.mark.parametrize(
    "make",
    [
        lambda **times: (make_device(**times), AUTHORITY, TRUST),
        lambda **times: (DEVICE, make_authority(**times), TRUST),
        lambda **times: (DEVICE, AUTHORITY, Trust(anchors=(Anchor.of(make_root(**times)),))),
    ],
    ids=["leaf", "intermediate", "anchor"],
)
def test_every_certificate_is_in_its_time(
    make: Callable[..., tuple[Certificate, Certificate, Trust]],
) -> None:
    leaf, middle, trust = make(valid_from=NOW + SECOND)
    assert failure(leaf, [middle], trust) is ChainFailure.NOT_YET_VALID
    leaf, middle, trust = make(valid_until=NOW - SECOND)
    assert failure(leaf, [middle], trust) is ChainFailure.EXPIRED


def test_both_ends_of_the_time_are_in_it() -> None:
    for moment in (FROM, UNTIL):
        verify_chain(DEVICE, [AUTHORITY], trust=TRUST, at=moment)


def test_range_exceeded() -> None:
    narrow = make_authority(authorisation=authority(targets=targets(0, 9)))
    assert failure(DEVICE, [narrow]) is ChainFailure.RANGE_EXCEEDED


def test_role_exceeded() -> None:
    users_only = make_authority(authorisation=authority(signing=USER_ONLY))
    assert failure(DEVICE, [users_only]) is ChainFailure.ROLE_EXCEEDED


@pytest.mark.parametrize(
    "given", [authority(signing=SERVICE_ONLY), authority(devolvable=SERVICE_ONLY)]
)
def test_authority_exceeded(given: object) -> None:
    root = make_root(authorisation=authority(devolvable=USER_ONLY))
    trust = Trust(anchors=(Anchor.of(root),))
    leaf = make_authority(authorisation=given)
    assert failure(leaf, [], trust) is ChainFailure.AUTHORITY_EXCEEDED


def test_a_subordinate_within_its_issuers_rights_holds() -> None:
    root = make_root(authorisation=authority(signing=RoleSet(0), devolvable=SERVICE_ONLY))
    below = make_authority(
        authorisation=authority(signing=SERVICE_ONLY, devolvable=RoleSet(0)),
    )
    trust = Trust(anchors=(Anchor.of(root),))
    assert verify_chain(DEVICE, [below], trust=trust, at=NOW) == (DEVICE, below, root)


def test_wrong_target() -> None:
    leaf = make_device(authorisation=standard(targets=targets(5, 9)))
    verify_chain(leaf, [AUTHORITY], trust=TRUST, at=NOW, purpose=Purpose(target=UmiId(5)))
    assert failure(leaf, purpose=Purpose(target=UmiId(4))) is ChainFailure.WRONG_TARGET


def test_wrong_role() -> None:
    assert failure(DEVICE, purpose=Purpose(role=Role.USER)) is ChainFailure.WRONG_ROLE
    assert failure(AUTHORITY, [], purpose=Purpose(role=Role.USER)) is ChainFailure.WRONG_ROLE


def test_wrong_key() -> None:
    purpose = Purpose(public_point=FALSE_KEY.public_point)
    assert failure(DEVICE, purpose=purpose) is ChainFailure.WRONG_KEY


def test_wrong_subject_unless_it_is_an_alias() -> None:
    purpose = Purpose(source=UmiId(0x0023_7EFE_0000_0000))
    assert failure(DEVICE, purpose=purpose) is ChainFailure.WRONG_SUBJECT
    trust = replace(TRUST, aliases=frozenset({UmiId(0x0023_7EFE_0000_0000)}))
    verify_chain(DEVICE, [AUTHORITY], trust=trust, at=NOW, purpose=purpose)


@pytest.mark.parametrize("certificate", [DEVICE, AUTHORITY, ROOT])
def test_revoked(certificate: Certificate) -> None:
    trust = replace(TRUST, denied=frozenset({certificate.body.name}))
    assert failure(DEVICE, trust=trust) is ChainFailure.REVOKED


def test_not_pinned() -> None:
    assert failure(DEVICE, trust=Trust()) is ChainFailure.NOT_PINNED
    pins = frozenset({AUTHORITY.fingerprint})
    assert failure(DEVICE, trust=Trust(pins=pins)) is ChainFailure.NOT_PINNED


def test_a_pinned_certificate_needs_no_chain_but_all_the_rest() -> None:
    pinned = Trust(pins=frozenset({DEVICE.fingerprint}))
    assert verify_chain(DEVICE, trust=pinned, at=NOW) == (DEVICE,)
    revoked = replace(pinned, denied=frozenset({DEVICE.body.name}))
    assert failure(DEVICE, trust=revoked) is ChainFailure.REVOKED
    assert failure(DEVICE, trust=pinned, purpose=Purpose(role=Role.USER)) is ChainFailure.WRONG_ROLE
    with pytest.raises(ChainError, match="ended at 2036-01-01T00:00:00Z"):
        verify_chain(DEVICE, trust=pinned, at=UNTIL + SECOND)


def test_every_failure_has_a_test() -> None:
    with open(__file__) as file:
        source = file.read()
    assert [name for name in ChainFailure.__members__ if f"ChainFailure.{name}" not in source] == []


def test_own_chain_is_own_first() -> None:
    data = encode_chain([DEVICE, AUTHORITY])
    assert data == DEVICE.encode() + AUTHORITY.encode()
    assert decode_chain(data) == (DEVICE, AUTHORITY)


def test_own_chain_has_one_to_four_certificates() -> None:
    assert len(decode_chain(encode_chain([DEVICE] * 4))) == 4
    for data in (b"", encode_chain([DEVICE] * 5), encode_chain([DEVICE]) + b"\0"):
        with pytest.raises(MalformedError):
            decode_chain(data)


@given(st.binary(max_size=300), st.integers(0, 2))
def test_garbage_is_no_chain(data: bytes, good: int) -> None:
    with contextlib.suppress(MalformedError):
        whole = encode_chain([DEVICE] * good) + data
        assert encode_chain(decode_chain(whole)) == whole


def test_records_do_not_show_keys() -> None:
    assert DEVICE_BODY.public_point.hex() not in repr(Anchor.of(DEVICE))
