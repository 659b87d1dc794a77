"""A small public key infrastructure for the tests: a root, an authority, a device."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from umi_cli.certificates.authorisation import (
    EVERY_TARGET,
    Authorisation,
    AuthorityAuthorisation,
    StandardAuthorisation,
    TargetRange,
)
from umi_cli.certificates.cvc import Certificate, CertificateBody
from umi_cli.crypto import PrivateKey
from umi_cli.types import Role, RoleSet, UmiId

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
FROM = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2036, 1, 1, tzinfo=UTC)

ROOT_ID, AUTHORITY_ID, MIDDLE_ID = UmiId(0xA0), UmiId(0xA1), UmiId(0xA2)
DEVICE_ID = UmiId(0x0023_7EFE_0000_0001)


EVERYONE = RoleSet.everyone()


def make_key(number: int) -> PrivateKey:
    return PrivateKey.from_scalar(number.to_bytes(32, "big"))


ROOT_KEY, AUTHORITY_KEY, MIDDLE_KEY, DEVICE_KEY, FALSE_KEY = map(make_key, range(1, 6))


def targets(lowest: int, highest: int) -> TargetRange:
    return TargetRange(lowest=UmiId(lowest), highest=UmiId(highest))


def authority(
    *,
    signing: RoleSet = EVERYONE,
    devolvable: RoleSet = EVERYONE,
    targets: TargetRange = EVERY_TARGET,
) -> Authorisation:
    return AuthorityAuthorisation(
        targets=targets, signing_roles=signing, devolvable_roles=devolvable
    )


def standard(role: Role = Role.SERVICE, *, targets: TargetRange = EVERY_TARGET) -> Authorisation:
    return StandardAuthorisation(targets=targets, role=role)


ROOT_BODY = CertificateBody(
    issuer=ROOT_ID,
    serial=b"\x01",
    public_point=ROOT_KEY.public_point,
    subject=ROOT_ID,
    valid_from=FROM,
    valid_until=UNTIL,
    authorisation=authority(),
)
AUTHORITY_BODY = replace(
    ROOT_BODY, subject=AUTHORITY_ID, serial=b"\x02", public_point=AUTHORITY_KEY.public_point
)
DEVICE_BODY = replace(
    ROOT_BODY,
    issuer=AUTHORITY_ID,
    subject=DEVICE_ID,
    serial=b"\x03",
    public_point=DEVICE_KEY.public_point,
    authorisation=standard(),
)


def make_root(**changes: Any) -> Certificate:
    return Certificate.sign(replace(ROOT_BODY, **changes), ROOT_KEY)


def make_authority(*, signer: PrivateKey = ROOT_KEY, **changes: Any) -> Certificate:
    return Certificate.sign(replace(AUTHORITY_BODY, **changes), signer)


def make_device(*, signer: PrivateKey = AUTHORITY_KEY, **changes: Any) -> Certificate:
    return Certificate.sign(replace(DEVICE_BODY, **changes), signer)


ROOT, AUTHORITY, DEVICE = make_root(), make_authority(), make_device()
