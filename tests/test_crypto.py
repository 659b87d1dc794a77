"""The primitives, against published vectors and those of other implementations."""

import copy
import os
import pickle
import subprocess
import sys

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.load_vectors import octets, vector
from umi_cli import crypto
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.errors import KeyUnusableError, MalformedError, SignatureError

STANDARDS = "standards.json"
KEY = PrivateKey.from_scalar(octets("s2-command-signature", "private_key"))


def point(case: dict[str, str]) -> bytes:
    return bytes.fromhex("04" + case["x"] + case["y"])


def test_import_is_light() -> None:
    code = "import sys, umi_cli.crypto; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rfc6979_signatures() -> None:
    case = vector("rfc6979-a25", file=STANDARDS)
    key = PrivateKey.from_scalar(bytes.fromhex(case["private"]))
    assert key.public_point == point(case)
    for sample in case["cases"]:
        der = encode_dss_signature(int(sample["r"], 16), int(sample["s"], 16))
        assert key.sign(sample["message"].encode()) == der


def test_random_nonce_without_deterministic_support(monkeypatch: pytest.MonkeyPatch) -> None:
    original = ec.ECDSA

    def old_openssl(algorithm: object, deterministic_signing: bool = False) -> object:
        if deterministic_signing:
            raise UnsupportedAlgorithm("OpenSSL older than 3.2")
        return original(algorithm)  # type: ignore[arg-type]

    crypto._signing_algorithm.cache_clear()
    monkeypatch.setattr(ec, "ECDSA", old_openssl)
    try:
        first, second = KEY.sign(b"sample"), KEY.sign(b"sample")
    finally:
        monkeypatch.undo()
        crypto._signing_algorithm.cache_clear()
    assert first != second
    crypto.verify(KEY.public_point, first, b"sample")


@pytest.mark.parametrize("case", vector("ecdsa-p256-sha256", file=STANDARDS)["cases"])
def test_nist_signatures(case: dict[str, str]) -> None:
    der = encode_dss_signature(int(case["r"], 16), int(case["s"], 16))
    message = bytes.fromhex(case["message"])
    if case["valid"]:
        crypto.verify(point(case), der, message)
        with pytest.raises(SignatureError):
            crypto.verify(point(case), der, message + b"\0")
    else:
        with pytest.raises(SignatureError):
            crypto.verify(point(case), der, message)


@given(st.binary(max_size=80))
def test_garbage_is_no_signature(signature: bytes) -> None:
    with pytest.raises(SignatureError):
        crypto.verify(KEY.public_point, signature, b"data")


@pytest.mark.parametrize("case", vector("ecdh-p256", file=STANDARDS)["cases"])
def test_nist_exchange(case: dict[str, str]) -> None:
    key = PrivateKey.from_scalar(bytes.fromhex(case["private"]))
    assert key.exchange(point(case)).hex() == case["z"]


@pytest.mark.parametrize("case", vector("ecdh-p256", file=STANDARDS)["off_curve"])
def test_points_off_the_curve_are_refused(case: dict[str, str]) -> None:
    with pytest.raises(MalformedError, match="not a point"):
        KEY.exchange(point(case))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\0",  # infinity
        b"\0" * 65,
        b"\x04" + b"\0" * 64,
        b"\x02" + KEY.public_point[1:33],  # compressed
        b"\x06" + KEY.public_point[1:],  # hybrid
        KEY.public_point + b"\0",
        KEY.public_point[:-1],
        b"\x04" + b"\xff" * 64,  # coordinates past the field
    ],
)
def test_only_uncompressed_points_are_taken(bad: bytes) -> None:
    with pytest.raises(MalformedError):
        crypto.check_point(bad)
    with pytest.raises(MalformedError):
        crypto.verify(bad, KEY.sign(b""), b"")


@given(st.binary(max_size=70))
def test_garbage_is_no_point(data: bytes) -> None:
    with pytest.raises(MalformedError):
        crypto.check_point(data)


def test_points_of_keys_are_taken() -> None:
    crypto.check_point(PrivateKey.generate().public_point)


@pytest.mark.parametrize("case", vector("hmac-sha256", file=STANDARDS)["cases"])
def test_rfc4231(case: dict[str, str]) -> None:
    mac = crypto.hmac_sha256(bytes.fromhex(case["key"]), bytes.fromhex(case["data"]))
    assert mac.hex() == case["mac"]


def test_rfc4493() -> None:
    case = vector("aes-cmac")
    key, message = AesKey(bytes.fromhex(case["key"])), bytes.fromhex(case["message"])
    for length, mac in zip(case["lengths"], case["macs"], strict=True):
        assert crypto.cmac(key, message[:length]).hex() == mac
        crypto.verify_cmac(key, bytes.fromhex(mac), message[:length])


@given(st.binary(max_size=20).filter(lambda mac: mac != crypto.cmac(AesKey(bytes(16)), b"data")))
def test_garbage_is_no_mac(mac: bytes) -> None:
    with pytest.raises(SignatureError):
        crypto.verify_cmac(AesKey(bytes(16)), mac, b"data")


@pytest.mark.parametrize("case", vector("gcm-128", file=STANDARDS)["cases"])
def test_nist_gcm(case: dict[str, str | None]) -> None:
    key, iv, aad, ciphertext, tag = (
        bytes.fromhex(case[name] or "") for name in ("key", "iv", "aad", "ciphertext", "tag")
    )
    if case["plaintext"] is None:
        with pytest.raises(SignatureError):
            crypto.gcm_open(AesKey(key), iv, ciphertext + tag, aad)
    else:
        plaintext = bytes.fromhex(case["plaintext"])
        assert crypto.gcm_seal(AesKey(key), iv, plaintext, aad) == ciphertext + tag
        assert crypto.gcm_open(AesKey(key), iv, ciphertext + tag, aad) == plaintext


@given(st.binary(max_size=40))
def test_garbage_has_no_tag(sealed: bytes) -> None:
    with pytest.raises(SignatureError):
        crypto.gcm_open(AesKey(bytes(16)), bytes(12), sealed, b"")


PIECES = st.lists(st.binary(max_size=70), max_size=6)


@given(PIECES, st.binary(max_size=30))
def test_pieces_are_sealed_as_the_whole_is(pieces: list[bytes], aad: bytes) -> None:
    key, iv, whole = AesKey(bytes(range(16))), bytes(12), b"".join(pieces)
    sealer, opener = crypto.GcmSealer(key, iv, aad), crypto.GcmOpener(key, iv, aad)
    sealed = [sealer.update(piece) for piece in pieces]
    tag = sealer.finish()
    assert b"".join(sealed) + tag == crypto.gcm_seal(key, iv, whole, aad)
    assert list(map(opener.update, sealed)) == pieces
    opener.finish(tag)


@pytest.mark.parametrize("tag", [bytes(16), b""])
def test_pieces_under_another_tag_are_refused(tag: bytes) -> None:
    opener = crypto.GcmOpener(AesKey(bytes(16)), bytes(12), b"")
    opener.update(b"sealed")
    with pytest.raises(SignatureError):
        opener.finish(tag)


@given(PIECES)
def test_pieces_have_the_hash_and_the_mac_of_the_whole(pieces: list[bytes]) -> None:
    key, whole = AesKey(bytes(16)), b"".join(pieces)
    for stream, expected in (
        (crypto.Sha256(), crypto.sha256(whole)),
        (crypto.Cmac(key), crypto.cmac(key, whole)),
    ):
        for piece in pieces:
            stream.update(piece)
        assert stream.finish() == expected


def test_a_digest_is_signed_as_its_data_is() -> None:
    digest = crypto.sha256(b"data")
    assert KEY.sign_digest(digest) == KEY.sign(b"data")
    crypto.verify_digest(KEY.public_point, KEY.sign(b"data"), digest)
    with pytest.raises(SignatureError):
        crypto.verify_digest(KEY.public_point, KEY.sign(b"other"), digest)


def test_integers_of_a_signature_become_der() -> None:
    der = KEY.sign(b"data")
    r, s = decode_dss_signature(der)
    assert crypto.signature_of_integers(r.to_bytes(32, "big") + s.to_bytes(32, "big")) == der


def test_captured_packet_opens() -> None:
    case = vector("ei4-read-manufacturer-id-response")
    packet = bytes.fromhex(case["frame"])[4:-2]
    key, iv = AesKey(bytes.fromhex(case["session_key"])), bytes.fromhex(case["iv"])
    inner = crypto.gcm_open(key, iv, packet[21:], packet[:21])
    assert inner.hex() == case["plaintext"]


def test_session_key() -> None:
    z, salt_a, salt_b, key = (
        octets("s2-session-key", name) for name in ("z", "salt_a", "salt_b", "session_key")
    )
    assert crypto.session_key(z, salt_a, salt_b) == AesKey(key)


def test_ecies_kem() -> None:
    name = "ecies-kem"
    recipient = PrivateKey.from_scalar(octets(name, "recipient_private_key"))
    ephemeral = PrivateKey.from_scalar(octets(name, "ephemeral_private_key"))
    assert recipient.public_point == octets(name, "recipient_public_key")
    assert ephemeral.exchange(recipient.public_point) == octets(name, "z")
    c0, key = crypto.encapsulate(recipient.public_point, ephemeral)
    assert c0 == octets(name, "c0")
    assert key == AesKey(octets(name, "transport_key"))
    assert crypto.decapsulate(recipient, c0) == key
    with pytest.raises(MalformedError):
        crypto.decapsulate(recipient, c0[:-1])


def test_sha256() -> None:
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4
    assert crypto.sha256(b"abc").hex() == digest


def test_bad_keys_are_refused_without_showing_them() -> None:
    order = bytes.fromhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
    for scalar in (bytes(32), order, b"\xff" * 32, b"\x07" * 31):
        with pytest.raises(KeyUnusableError) as caught:
            PrivateKey.from_scalar(scalar)
        assert scalar.hex() not in str(caught.value)
        assert str(int.from_bytes(scalar, "big")) not in str(caught.value).split()
    with pytest.raises(KeyUnusableError, match="16 bytes, not 15"):
        AesKey(bytes(15))


@pytest.mark.parametrize(
    "other", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_keys_of_other_curves_are_refused(
    other: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    der = other.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(KeyUnusableError, match="P-256"):
        PrivateKey.from_pkcs8(der)


def test_pkcs8_round_trip() -> None:
    assert PrivateKey.from_pkcs8(KEY.to_pkcs8()).public_point == KEY.public_point


@given(st.binary(max_size=60), st.sampled_from([None, b"passphrase"]))
def test_garbage_is_no_key(der: bytes, passphrase: bytes | None) -> None:
    with pytest.raises(KeyUnusableError):
        PrivateKey.from_pkcs8(der, passphrase)


@pytest.mark.parametrize("secret", [KEY, AesKey(bytes(range(16)))])
def test_secrets_are_neither_shown_nor_copied(secret: PrivateKey | AesKey) -> None:
    name = type(secret).__name__
    assert repr(secret) == str(secret) == f"<{name}, redacted>"
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            take(secret)


def test_aes_keys_compare() -> None:
    raw = os.urandom(16)
    assert AesKey(raw) == AesKey(raw)
    assert AesKey(raw) != AesKey.generate()
    assert AesKey(raw) != raw
    with pytest.raises(TypeError, match="unhashable"):
        hash(AesKey(raw))
