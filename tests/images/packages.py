"""Image packages for the tests, and the people who stand for them."""

import io
from dataclasses import replace
from typing import Any

from tests.certificates.pki import (
    AUTHORITY,
    AUTHORITY_KEY,
    DEVICE_BODY,
    DEVICE_ID,
    NOW,
    ROOT,
    make_key,
    standard,
    targets,
)
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import Anchor, Trust
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.images.build import build_device, build_product
from umi_cli.images.encryption import encrypt_package, seal_to
from umi_cli.images.header import ImageLabel, Sealing, Version
from umi_cli.images.signing import sign_package
from umi_cli.images.verify import CertifiedSigner, RoleKey
from umi_cli.security.signatures import SigningKey
from umi_cli.types import Role, UmiId, from_datetime

IMAGE = bytes(range(256)) * 300 + b"the end"  # more than one piece
NOW_S = from_datetime(NOW)
LABEL = ImageLabel(
    model="EISGMv0",
    version=Version(1, 5, 0),
    slot=1,
    targets=targets(0x0023_7EFE_0000_0000, 0x0023_7EFE_0000_FFFF),
    built_s=NOW_S,
    not_after_s=NOW_S + 86_400,
)
PROVIDER = Role.SOFTWARE_PROVIDER
SIGNER_KEY, RECIPIENT_KEY, EPHEMERAL_KEY = map(make_key, (11, 12, 13))
ROLE_KEY, TRANSPORT_KEY = AesKey(bytes(range(16))), AesKey(bytes(range(1, 17)))
KEY_ID = 7
NONCE = bytes(range(12))
TARGET = DEVICE_ID
STRANGER = UmiId(0x0011_2233_4455_6677)


def certified(role: Role = PROVIDER, **changes: Any) -> Certificate:
    """Return the certificate of who signs images, issued by the authority of the PKI."""
    body = replace(
        DEVICE_BODY,
        subject=UmiId(0xB0),
        public_point=SIGNER_KEY.public_point,
        authorisation=standard(role),
    )
    return Certificate.sign(replace(body, **changes), AUTHORITY_KEY)


def authority(certificate: Certificate | None = None, **changes: Any) -> CertifiedSigner:
    found = CertifiedSigner(
        certificate=certificate or certified(),
        intermediates=(AUTHORITY,),
        trust=Trust(anchors=(Anchor.of(ROOT),)),
        at=NOW,
    )
    return replace(found, **changes)


BY_ROLE = RoleKey(role=PROVIDER, key=ROLE_KEY)


def built(image: bytes = IMAGE, label: ImageLabel = LABEL) -> bytes:
    out = io.BytesIO()
    build_device(io.BytesIO(image), out, label)
    return out.getvalue()


def product(*packages: bytes, label: ImageLabel = LABEL) -> bytes:
    out = io.BytesIO()
    build_product([io.BytesIO(package) for package in packages], out, label)
    return out.getvalue()


def signed(
    package: bytes | None = None, key: SigningKey = SIGNER_KEY, role: Role = PROVIDER
) -> bytes:
    out = io.BytesIO()
    sign_package(io.BytesIO(built() if package is None else package), out, key, role=role)
    return out.getvalue()


def sealed_to(
    package: bytes, recipient: PrivateKey = RECIPIENT_KEY, ephemeral: PrivateKey = EPHEMERAL_KEY
) -> bytes:
    out = io.BytesIO()
    sealing, key = seal_to(recipient.public_point, ephemeral=ephemeral, nonce=NONCE)
    encrypt_package(io.BytesIO(package), out, sealing, key)
    return out.getvalue()


def sealed_with(package: bytes, key: AesKey = TRANSPORT_KEY, key_id: int = KEY_ID) -> bytes:
    out = io.BytesIO()
    encrypt_package(io.BytesIO(package), out, Sealing(key_id=key_id, nonce=NONCE), key)
    return out.getvalue()
