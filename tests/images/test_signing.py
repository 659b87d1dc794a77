"""Who signs a package, here or elsewhere, and what a second reader and OpenSSL make of it."""

import hashlib
import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given

from tests.certificates.pki import FALSE_KEY, authority, standard, targets
from tests.images import independent
from tests.images.packages import (
    IMAGE,
    LABEL,
    PROVIDER,
    ROLE_KEY,
    SIGNER_KEY,
    built,
    certified,
    product,
    sealed_with,
    signed,
)
from tests.images.test_package import images
from umi_cli.certificates.trust import ChainError
from umi_cli.errors import ImageInvalidError, InputError
from umi_cli.images.header import ImageHeader
from umi_cli.images.signing import (
    attach_signature,
    check_role,
    check_targets,
    signer_role,
    write_to_be_signed,
)
from umi_cli.types import Role

HEADER = ImageHeader.decode(built()[:88])


def to_be_signed(package: bytes, role: Role = PROVIDER) -> tuple[bytes, bytes]:
    out = io.BytesIO()
    header, digest = write_to_be_signed(io.BytesIO(package), out, role=role)
    assert out.getvalue().startswith(header.encode())
    return out.getvalue(), digest


def attached(package: bytes, signature: bytes, point: bytes = SIGNER_KEY.public_point) -> bytes:
    out = io.BytesIO()
    attach_signature(io.BytesIO(package), out, signature, point=point, role=PROVIDER)
    return out.getvalue()


@given(images)
def test_a_second_reader_verifies_a_signature(image: bytes) -> None:
    package = signed(built(image))
    assert independent.verify_ecdsa(package, SIGNER_KEY.public_point) == PROVIDER
    by_role = signed(built(image), ROLE_KEY, Role.MANUFACTURER)
    assert independent.verify_cmac(by_role, ROLE_KEY.raw) == Role.MANUFACTURER


def test_a_product_is_signed_as_well() -> None:
    package = signed(product(signed(), built(b"modem")))
    assert independent.verify_ecdsa(package, SIGNER_KEY.public_point) == PROVIDER


def test_what_is_to_be_signed_is_what_is_signed() -> None:
    data, digest = to_be_signed(built())
    assert data == independent.signed_bytes(signed())
    assert data.endswith(IMAGE + bytes([2, 75, 8]))
    assert digest == hashlib.sha256(data).digest()


def test_a_signature_from_elsewhere_is_attached() -> None:
    signature = SIGNER_KEY.sign(to_be_signed(built())[0])
    assert attached(built(), signature) == signed()
    r, s = decode_dss_signature(signature)
    assert attached(built(), r.to_bytes(32, "big") + s.to_bytes(32, "big")) == signed()


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(64),
        bytes(72),
        b"\xff" * 64,
        FALSE_KEY.sign(to_be_signed(built())[0]),
        SIGNER_KEY.sign(to_be_signed(built(b"other"))[0]),
        SIGNER_KEY.sign(to_be_signed(built(), Role.MANUFACTURER)[0]),
        SIGNER_KEY.sign(to_be_signed(built())[0]) + b"\0",
    ],
    ids=lambda signature: signature[:8].hex(),
)
def test_a_false_signature_is_not_attached(signature: bytes) -> None:
    with pytest.raises(ImageInvalidError, match="not that key's over this package") as caught:
        attached(built(), signature)
    assert caught.value.reason == "bad-signature"


def test_what_is_signed_or_encrypted_is_not_signed_again() -> None:
    for package, fault in ((signed(), "signed already"), (sealed_with(signed()), "signed already")):
        with pytest.raises(InputError, match=fault):
            signed(package)
    unsigned = bytearray(sealed_with(signed()))
    unsigned[7] = 2
    with pytest.raises(InputError, match="is encrypted"):
        signed(bytes(unsigned))


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (b"firmware", "malformed"),
        (built()[:-1], "wrong-length"),
        (built() + b"\0", "wrong-length"),
        (built()[:-1] + b"X", "wrong-hash"),
    ],
)
def test_what_is_damaged_is_not_signed(package: bytes, reason: str) -> None:
    for attempt in (signed, to_be_signed, lambda package: attached(package, b"")):
        with pytest.raises(ImageInvalidError) as caught:
            attempt(package)
        assert caught.value.reason == reason


def test_who_may_sign() -> None:
    for role in (PROVIDER, Role.MANUFACTURER):
        check_role(role)
        assert signer_role(certified(role).body) is role
    for role in set(Role) - {PROVIDER, Role.MANUFACTURER}:
        with pytest.raises(InputError, match="signs no images"):
            check_role(role)
        with pytest.raises(ChainError, match="does not authorise who signs images"):
            signer_role(certified(role).body)
    with pytest.raises(ChainError, match="does not authorise"):
        signer_role(replace(certified().body, authorisation=authority()))


def test_nobody_signs_for_more_devices_than_his_certificate_is_for() -> None:
    exact, narrow = LABEL.targets, targets(LABEL.targets.lowest.value + 1, 0xFFFF_FFFF_FFFF_FFFF)
    check_targets(certified(authorisation=standard(PROVIDER, targets=exact)).body, HEADER)
    with pytest.raises(ChainError, match="and the package for"):
        check_targets(certified(authorisation=standard(PROVIDER, targets=narrow)).body, HEADER)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not here")
def test_openssl_signs_and_verifies(tmp_path: Path) -> None:
    private = tmp_path / "key.der"
    private.write_bytes(SIGNER_KEY.to_pkcs8())
    public = ec.EllipticCurvePublicKey.from_encoded_point(
        ec.SECP256R1(), SIGNER_KEY.public_point
    ).public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    data, _ = to_be_signed(built())
    (tmp_path / "tbs").write_bytes(data)
    record = independent.split(signed())["record"]
    (tmp_path / "own.sig").write_bytes(record[3 : 5 + record[4]])

    def openssl(*words: str) -> str:
        process = subprocess.run(
            ["openssl", "dgst", "-sha256", *words, "tbs"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return process.stdout

    assert "Verified OK" in openssl("-verify", "public.pem", "-signature", "own.sig")
    openssl("-sign", "key.der", "-keyform", "DER", "-out", "other.sig")
    package = attached(built(), (tmp_path / "other.sig").read_bytes())
    assert independent.verify_ecdsa(package, SIGNER_KEY.public_point) == PROVIDER
