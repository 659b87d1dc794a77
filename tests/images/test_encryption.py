"""Packages under encryption: opened by a second implementation in one go, and refused if spoilt."""

import io
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates.pki import FALSE_KEY
from tests.images import independent
from tests.images.packages import (
    KEY_ID,
    NONCE,
    RECIPIENT_KEY,
    ROLE_KEY,
    TRANSPORT_KEY,
    built,
    product,
    sealed_to,
    sealed_with,
    signed,
)
from tests.images.test_package import images
from umi_cli import crypto
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.errors import ImageInvalidError, InputError, KeyUnusableError
from umi_cli.images.encryption import FindKey, decrypt_package, key_finder
from umi_cli.images.header import ImageHeader, Sealing

AS_RECIPIENT = key_finder(recipient=RECIPIENT_KEY)
WITH_TRANSPORT_KEY = key_finder(installed={KEY_ID: TRANSPORT_KEY})


def decrypted(package: bytes, find_key: FindKey) -> bytes:
    out = io.BytesIO()
    header = decrypt_package(io.BytesIO(package), out, find_key)
    assert out.getvalue().startswith(header.encode())
    return out.getvalue()


@given(images, st.integers(1, 1000), st.integers(1, 1000))
def test_a_second_implementation_opens_what_is_encrypted_to_a_device(
    image: bytes, recipient: int, ephemeral: int
) -> None:
    own = PrivateKey.from_scalar(recipient.to_bytes(32, "big"))
    plain = signed(built(image))
    package = sealed_to(plain, own, PrivateKey.from_scalar(ephemeral.to_bytes(32, "big")))
    found = independent.split(package)
    assert (found["key_id"], len(found["c0"])) == (0, 65)
    assert len(found["body"]) == len(image) + 75 + 16
    private = ec.derive_private_key(recipient, ec.SECP256R1())
    assert independent.open_with(package, independent.derive(found["c0"], private)) == plain
    assert decrypted(package, key_finder(recipient=own)) == plain


@given(images, st.binary(min_size=16, max_size=16), st.integers(0, 0xFFFF_FFFF))
def test_a_second_implementation_opens_what_is_encrypted_with_a_transport_key(
    image: bytes, raw: bytes, key_id: int
) -> None:
    plain = signed(built(image), ROLE_KEY)
    package = sealed_with(plain, AesKey(raw), key_id)
    found = independent.split(package)
    assert (found["key_id"], found["c0"], found["nonce"]) == (key_id, b"", NONCE)
    assert independent.open_with(package, raw) == plain
    assert decrypted(package, key_finder(installed={key_id: AesKey(raw)})) == plain


def test_one_signature_for_every_recipient() -> None:
    plain = signed(product(signed(), built(b"modem")))
    for package, find_key in (
        (sealed_to(plain), AS_RECIPIENT),
        (sealed_with(plain), WITH_TRANSPORT_KEY),
    ):
        assert plain[88:188] not in package
        assert decrypted(package, find_key) == plain


@pytest.mark.parametrize(
    ("package", "find_key"),
    [
        (sealed_to(signed()), key_finder(recipient=FALSE_KEY)),
        (sealed_with(signed()), key_finder(installed={KEY_ID: ROLE_KEY})),
    ],
)
def test_another_key_opens_nothing(package: bytes, find_key: FindKey) -> None:
    with pytest.raises(ImageInvalidError, match="the key is another one") as caught:
        decrypted(package, find_key)
    assert caught.value.reason == "bad-tag"


@pytest.mark.parametrize(
    ("package", "find_key", "fault"),
    [
        (sealed_to(signed()), WITH_TRANSPORT_KEY, "to a device"),
        (sealed_to(signed()), key_finder(), "to a device"),
        (sealed_with(signed()), AS_RECIPIENT, "transport key 7"),
        (sealed_with(signed()), key_finder(installed={8: TRANSPORT_KEY}), "transport key 7"),
    ],
)
def test_no_key(package: bytes, find_key: FindKey, fault: str) -> None:
    with pytest.raises(KeyUnusableError, match=fault):
        decrypted(package, find_key)


@pytest.mark.parametrize("offset", [8, 28, 72, 92, 105, 300, -92, -17, -16, -1])
def test_every_byte_is_bound(offset: int) -> None:
    package = bytearray(sealed_with(signed()))
    package[offset] ^= 1
    with pytest.raises(ImageInvalidError) as caught:
        decrypted(bytes(package), WITH_TRANSPORT_KEY)
    assert caught.value.reason == "bad-tag"


def test_a_right_tag_does_not_make_a_right_hash() -> None:
    """Who has the key may seal anything; the hash is checked all the same."""
    header = ImageHeader.decode(built(b"image")[:88])
    header = replace(header, sealing=Sealing(key_id=KEY_ID, nonce=NONCE))
    for image, fault in ((b"image", None), (b"imagf", "wrong-hash")):
        sealed = crypto.gcm_seal(TRANSPORT_KEY, NONCE, image, header.encode())
        if fault is None:
            assert decrypted(header.encode() + sealed, WITH_TRANSPORT_KEY) == built(image)
            continue
        with pytest.raises(ImageInvalidError) as caught:
            decrypted(header.encode() + sealed, WITH_TRANSPORT_KEY)
        assert caught.value.reason == fault


def test_what_is_not_encrypted_or_decrypted() -> None:
    with pytest.raises(InputError, match="not encrypted"):
        decrypted(signed(), AS_RECIPIENT)
    with pytest.raises(InputError, match="encrypted already"):
        sealed_with(sealed_to(signed()))
    with pytest.raises(InputError, match="not signed"):
        sealed_with(built())


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (b"firmware", "malformed"),
        (signed()[:-1], "wrong-length"),
        (signed() + b"\0", "wrong-length"),
        (signed()[:-76] + b"X" + signed()[-75:], "wrong-hash"),
        (signed()[:-75] + bytes(75), "malformed"),
    ],
)
def test_what_is_damaged_is_not_encrypted(package: bytes, reason: str) -> None:
    with pytest.raises(ImageInvalidError) as caught:
        sealed_with(package)
    assert caught.value.reason == reason


@pytest.mark.parametrize("package", [b"firmware", sealed_with(signed())[:-1]])
def test_what_is_damaged_is_not_decrypted(package: bytes) -> None:
    with pytest.raises(ImageInvalidError):
        decrypted(package, WITH_TRANSPORT_KEY)
