"""Whether a package is to be installed: the good ones, and each hostile one by its name."""

import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.certificates.pki import (
    AUTHORITY,
    FALSE_KEY,
    NOW,
    ROOT,
    UNTIL,
    make_root,
    standard,
    targets,
)
from tests.images.packages import (
    BY_ROLE,
    IMAGE,
    LABEL,
    NOW_S,
    RECIPIENT_KEY,
    ROLE_KEY,
    SIGNER_KEY,
    STRANGER,
    TARGET,
    TRANSPORT_KEY,
    authority,
    built,
    certified,
    product,
    sealed_to,
    sealed_with,
    signed,
)
from tests.images.test_package import HOSTILE_PRODUCTS, of_parts, part, signed_anyhow
from umi_cli.certificates.trust import Anchor, ChainError, ChainFailure, Trust
from umi_cli.errors import ImageInvalidError, KeyUnusableError, WrongTargetError
from umi_cli.images.encryption import key_finder
from umi_cli.images.header import Version
from umi_cli.images.verify import (
    ANYTHING,
    CertifiedSigner,
    Demands,
    ImageAuthority,
    RoleKey,
    Verified,
    verify_package,
)
from umi_cli.types import Role

GOOD = signed()
ALL = Demands(target=TARGET, model="EISGMv0", newer_than=Version(1, 4, 2), at_s=LABEL.not_after_s)


def verify(
    package: bytes, by: ImageAuthority | None = None, demands: Demands = ANYTHING, **more: Any
) -> Verified:
    return verify_package(io.BytesIO(package), by or authority(), demands, **more)


def test_a_good_package() -> None:
    found = verify(GOOD, demands=ALL)
    assert found.contents.header.label == LABEL
    assert found.path == (certified(), AUTHORITY, ROOT)
    assert found.contents.record is not None
    assert found.contents.record.role is Role.SOFTWARE_PROVIDER


def test_a_manufacturer_signs_as_well() -> None:
    package = signed(role=Role.MANUFACTURER)
    by = authority(certified(Role.MANUFACTURER), role=Role.MANUFACTURER)
    assert verify(package, by).path


def test_a_role_key_verifies_scheme_1() -> None:
    assert verify(signed(key=ROLE_KEY), BY_ROLE, ALL).path == ()


def test_a_pinned_signer() -> None:
    trust = Trust(pins=frozenset({certified().fingerprint}))
    assert verify(GOOD, authority(trust=trust)).path == (certified(),)


@pytest.mark.parametrize(
    "package", [sealed_to(GOOD), sealed_with(GOOD), sealed_to(signed(product(GOOD, built(b"x"))))]
)
def test_an_encrypted_package(package: bytes) -> None:
    find_key = key_finder(recipient=RECIPIENT_KEY, installed={7: TRANSPORT_KEY})
    assert verify(package, demands=ALL, find_key=find_key).path
    with pytest.raises(KeyUnusableError, match="its signature too"):
        verify(package)
    with pytest.raises(KeyUnusableError, match="needed"):
        verify(package, find_key=key_finder())
    with pytest.raises(ImageInvalidError) as caught:
        verify(package, find_key=lambda sealing: ROLE_KEY)
    assert caught.value.reason == "bad-tag"


def test_a_product() -> None:
    package = signed(product(GOOD, sealed_with(GOOD), built(b"x")))
    assert len(verify(package, demands=ALL).contents.parts) == 3


@pytest.mark.parametrize(
    ("demands", "reason", "said"),
    [
        (Demands(target=STRANGER), "wrong-target", f"not for {STRANGER}"),
        (Demands(model="EISGMv1"), "wrong-model", "model EISGMv0, not for EISGMv1"),
        (Demands(newer_than=Version(1, 5, 0)), "not-newer", "1.5.0, which is not newer than 1.5.0"),
        (Demands(newer_than=Version(2, 0, 0)), "not-newer", "not newer than 2.0.0"),
    ],
)
def test_another_target(demands: Demands, reason: str, said: str) -> None:
    for package in (GOOD, sealed_to(GOOD)):  # told before a key is asked for
        with pytest.raises(WrongTargetError, match=said) as caught:
            verify(package, demands=demands)
        assert (caught.value.reason, caught.value.exit_code) == (reason, 41)


def test_too_late() -> None:
    late = Demands(at_s=LABEL.not_after_s + 1)
    with pytest.raises(ImageInvalidError, match="after 2026-11-23T10:00:00Z") as caught:
        verify(GOOD, demands=late)
    assert (caught.value.reason, caught.value.exit_code) == ("not-after", 40)
    forever = replace(LABEL, not_after_s=0)
    assert verify(signed(built(label=forever)), demands=late)


def spoilt(package: bytes, offset: int) -> bytes:
    changed = bytearray(package)
    changed[offset] ^= 1
    return bytes(changed)


HOSTILE = {
    "nothing": (b"", "malformed"),
    "something else": (b"\x7fELF" + bytes(200), "malformed"),
    "cut in its header": (GOOD[:80], "wrong-length"),
    "cut in its image": (GOOD[:5000], "wrong-length"),
    "cut in its record": (GOOD[:-1], "wrong-length"),
    "without its record": (GOOD[:-75], "wrong-length"),
    "with something behind it": (GOOD + b"\0", "wrong-length"),
    "twice": (GOOD + GOOD, "wrong-length"),
    "not signed": (built(), "not-signed"),
    "another image": (spoilt(GOOD, 5000), "wrong-hash"),
    "another hash": (spoilt(GOOD, 40), "wrong-hash"),
    "another slot": (spoilt(GOOD, 27), "bad-signature"),
    "another target": (spoilt(GOOD, 16), "bad-signature"),
    "another model": (spoilt(GOOD, 73), "bad-signature"),
    "another version": (spoilt(GOOD, 24), "bad-signature"),
    "another kind": (GOOD[:6] + b"\2" + GOOD[7:], "wrong-length"),
    "another role in its record": (spoilt(GOOD, -75 + 2), "bad-signature"),
    "no role in its record": (GOOD[:-73] + b"\x0c" + GOOD[-72:], "malformed"),
    "a damaged record": (spoilt(GOOD, -75 + 3), "malformed"),
    "a damaged signature": (spoilt(GOOD, -75 + 20), "bad-signature"),
    "padding in its record": (GOOD[:-1] + b"\1", "malformed"),
    "a record of another length": (GOOD[:-75] + b"\1\x13\x08" + bytes(16), "bad-signature"),
    "another's signature": (signed(key=FALSE_KEY), "bad-signature"),
    "a service's signature": (signed(role=Role.SERVICE), "wrong-role"),
    "a MAC": (signed(key=ROLE_KEY), "bad-signature"),
    "a product with a damaged part": (signed_anyhow(of_parts(part(GOOD[:-1]))), "wrong-length"),
    **{
        f"a product: {name}": (
            signed_anyhow(of_parts(image)),
            "wrong-length" if any(word in fault for word in LENGTHS) else "malformed",
        )
        for LENGTHS in [("cut off", "said to have", "goes on")]
        for name, (image, fault) in HOSTILE_PRODUCTS.items()
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_packages(name: str) -> None:
    package, reason = HOSTILE[name]
    with pytest.raises(ImageInvalidError) as caught:
        verify(package)
    assert caught.value.reason == reason
    assert caught.value.hint


def test_a_product_whose_part_has_another_image() -> None:
    package = bytearray(signed(product(built(b"image"), GOOD)))
    at = bytes(package).index(b"image") + 2
    device = bytes(package[88:-75])
    inner = spoilt(device, at - 88)
    with pytest.raises(ImageInvalidError, match="image of part 1 is not") as caught:
        verify(of_parts(inner))
    assert caught.value.reason == "wrong-hash"


OUTSIDE = standard(Role.SOFTWARE_PROVIDER, targets=targets(0, 5))


@pytest.mark.parametrize(
    ("by", "failure"),
    [
        (authority(intermediates=()), ChainFailure.UNKNOWN_ISSUER),
        (authority(trust=Trust()), ChainFailure.NOT_PINNED),
        (authority(trust=Trust(anchors=(Anchor.of(make_root(serial=b"9", subject=STRANGER)),))),
         ChainFailure.UNKNOWN_ISSUER),
        (authority(at=UNTIL + timedelta(1)), ChainFailure.EXPIRED),
        (authority(certified(valid_until=NOW - timedelta(1))), ChainFailure.EXPIRED),
        (authority(certified(valid_from=NOW + timedelta(1))), ChainFailure.NOT_YET_VALID),
        (authority(certified(Role.SERVICE)), ChainFailure.WRONG_ROLE),
        (authority(certified(Role.MANUFACTURER)), ChainFailure.WRONG_ROLE),
        (authority(certified(authorisation=OUTSIDE)), ChainFailure.WRONG_TARGET),
        (
            authority(
                trust=Trust(
                    anchors=(Anchor.of(ROOT),), denied=frozenset({certified().body.name})
                )
            ),
            ChainFailure.REVOKED,
        ),
    ],
)  # fmt: skip
def test_a_signer_who_is_not_trusted(by: CertifiedSigner, failure: ChainFailure) -> None:
    with pytest.raises(ChainError) as caught:
        verify(GOOD, by)
    assert caught.value.failure is failure


@pytest.mark.parametrize(
    ("package", "by", "reason"),
    [
        (GOOD, authority(role=Role.MANUFACTURER), "wrong-role"),
        (GOOD, BY_ROLE, "bad-signature"),
        (signed(key=ROLE_KEY), RoleKey(role=BY_ROLE.role, key=TRANSPORT_KEY), "bad-signature"),
        (signed(key=ROLE_KEY), RoleKey(role=Role.MANUFACTURER, key=ROLE_KEY), "wrong-role"),
        (
            signed(key=ROLE_KEY, role=Role.USER),
            RoleKey(role=Role.USER, key=ROLE_KEY),
            "wrong-role",
        ),
    ],
)
def test_another_authority(package: bytes, by: ImageAuthority, reason: str) -> None:
    with pytest.raises(ImageInvalidError) as caught:
        verify(package, by)
    assert caught.value.reason == reason


def test_every_byte_of_a_package_counts() -> None:
    package = signed(built(b"image"))
    for offset in range(len(package)):
        with pytest.raises((ImageInvalidError, WrongTargetError)):
            verify(spoilt(package, offset), demands=Demands(target=TARGET, at_s=NOW_S))


def test_no_key_is_shown() -> None:
    shown = repr(BY_ROLE) + repr(authority())
    assert ROLE_KEY.raw.hex() not in shown
    assert SIGNER_KEY.public_point.hex() not in shown
    assert IMAGE[:9].hex() not in repr(verify(GOOD))
