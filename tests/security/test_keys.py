"""Key files: what others can read of ours, what we read of theirs, and what we refuse."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from umi_cli import files
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.errors import KeyUnusableError
from umi_cli.security import keys
from umi_cli.security.keys import Key, decode_key, encode_key, is_encrypted, load_key, save_key

PASSPHRASE = b"correct horse battery"
FEW = 2  # rounds: enough for the form of the bytes
KEY = PrivateKey.from_scalar(bytes(31) + b"\x07")
AES_KEY = AesKey(bytes(range(16)))
BOTH = pytest.mark.parametrize("key", [KEY, AES_KEY], ids=["p-256", "aes-128"])
OPENSSL = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here")


def is_same(one: Key, other: Key) -> bool:
    if isinstance(one, PrivateKey) and isinstance(other, PrivateKey):
        return one.public_point == other.public_point
    return one == other


def openssl(*arguments: str, text: bytes) -> bytes:
    command = ["openssl", *arguments]
    return subprocess.run(command, input=text, capture_output=True, check=True).stdout


@BOTH
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_round_trip(key: Key, passphrase: bytes | None) -> None:
    pem = encode_key(key, passphrase, rounds=FEW)
    assert is_encrypted(pem) == (passphrase is not None)
    assert is_same(decode_key(pem, passphrase), key)
    assert max(map(len, pem.splitlines())) <= 64


@BOTH
def test_the_passphrase_of_a_plain_key_is_ignored(key: Key) -> None:
    assert is_same(decode_key(encode_key(key), PASSPHRASE), key)


@BOTH
def test_encryption_is_fresh_each_time(key: Key) -> None:
    assert encode_key(key, PASSPHRASE, rounds=FEW) != encode_key(key, PASSPHRASE, rounds=FEW)


@BOTH
@pytest.mark.parametrize("passphrase", [b"wrong", b"", None])
def test_without_the_passphrase_there_is_no_key(key: Key, passphrase: bytes | None) -> None:
    with pytest.raises(KeyUnusableError, match="passphrase"):
        decode_key(encode_key(key, PASSPHRASE, rounds=FEW), passphrase)


@BOTH
def test_an_empty_passphrase_is_refused(key: Key) -> None:
    with pytest.raises(KeyUnusableError, match="empty"):
        encode_key(key, b"")


def test_cryptography_reads_both_forms() -> None:
    for passphrase in (None, PASSPHRASE):
        loaded = serialization.load_pem_private_key(encode_key(KEY, passphrase), passphrase)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        assert loaded.private_numbers().private_value == 7


@OPENSSL
def test_openssl_reads_both_forms() -> None:
    plain = openssl("pkey", "-outform", "DER", text=encode_key(KEY))
    encrypted = encode_key(KEY, PASSPHRASE)
    passin = f"pass:{PASSPHRASE.decode()}"
    assert openssl("pkey", "-passin", passin, "-outform", "DER", text=encrypted) == plain


@OPENSSL
def test_the_derivation_is_slow_and_the_cipher_strong() -> None:
    listing = openssl("asn1parse", text=encode_key(KEY, PASSPHRASE)).decode()
    for part in ("PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc"):
        assert part in listing
    assert f":{600_000:X}\n" in listing.replace("INTEGER           :0", "INTEGER           :")


@OPENSSL
def test_keys_of_openssl_are_read() -> None:
    made = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", text=b"")
    key = decode_key(made)
    cipher = ("pkcs8", "-topk8", "-passout", f"pass:{PASSPHRASE.decode()}")
    assert is_same(decode_key(openssl(*cipher, text=made), PASSPHRASE), key)


@OPENSSL
def test_older_forms_are_refused_with_the_way_out() -> None:
    pem = openssl("ec", text=encode_key(KEY))
    with pytest.raises(KeyUnusableError, match="EC PRIVATE KEY") as caught:
        decode_key(pem)
    assert "openssl pkcs8 -topk8" in caught.value.hint


def test_a_public_key_of_another_is_named() -> None:
    other = PrivateKey.generate().public_point
    der = KEY.to_pkcs8().replace(KEY.public_point, other)
    pem = keys._encode_pem(keys.LABEL_PKCS8, der)
    with pytest.raises(KeyUnusableError, match="not the private key's own"):
        decode_key(pem)


def test_a_key_without_its_public_key_is_read() -> None:
    raw = ec.derive_private_key(7, ec.SECP256R1()).private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public_bytes = 4 + 66  # the [1] field and the bit string around the point
    short = bytearray(raw[:-public_bytes])
    for offset in (raw.index(b"\x30\x6b\x02\x01\x01") + 1, raw.index(b"\x04\x6d\x30\x6b") + 1):
        short[offset] -= public_bytes
    data = bytes(short[:1]) + bytes([len(short) - 3]) + bytes(short[3:])
    assert is_same(decode_key(keys._encode_pem(keys.LABEL_PKCS8, data)), KEY)
    broken = data.replace(bytes(31) + b"\x07", bytes(32))  # zero is no private key
    with pytest.raises(KeyUnusableError, match="damaged"):
        decode_key(keys._encode_pem(keys.LABEL_PKCS8, broken))
    wrong_version = data.replace(b"\x02\x01\x01\x04\x20", b"\x02\x01\x02\x04\x20")
    with pytest.raises(KeyUnusableError, match="damaged"):
        decode_key(keys._encode_pem(keys.LABEL_PKCS8, wrong_version))


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"2b7e151628aed2a6abf7158809cf4f3c",
        b"-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN UMI AES-128 KEY-----\nAAAA\n-----END UMI AES-128 KEY-----\n",
        encode_key(KEY) * 2,
    ],
)
def test_what_is_no_key_is_refused(pem: bytes) -> None:
    with pytest.raises(KeyUnusableError):
        decode_key(pem, PASSPHRASE)


@given(st.binary(max_size=100))
def test_garbage_raises_one_error(data: bytes) -> None:
    blocks = [
        keys._encode_pem(label, data)
        for label in (keys.LABEL_PKCS8, keys.LABEL_ENCRYPTED_PKCS8, keys.LABEL_ENCRYPTED_AES)
    ]
    for pem in (data, *blocks[:2], keys._encode_pem(keys.LABEL_ENCRYPTED_AES, data[:30])):
        with pytest.raises(KeyUnusableError):
            decode_key(pem, PASSPHRASE)


@pytest.mark.parametrize("rounds", [0, keys.MAX_ROUNDS + 1])
def test_a_trap_of_endless_rounds_is_refused(rounds: int) -> None:
    data = rounds.to_bytes(4, "little") + bytes(60)
    with pytest.raises(KeyUnusableError, match="rounds"):
        decode_key(keys._encode_pem(keys.LABEL_ENCRYPTED_AES, data), PASSPHRASE)


def test_check_value() -> None:
    # CMAC(000102…0f, "UMI-KCV") by: openssl mac -cipher AES-128-CBC -macopt hexkey:… CMAC
    assert keys.check_value(AES_KEY).hex() == "c91c1f"
    assert keys.check_value(AesKey(bytes(16))) != keys.check_value(AES_KEY)


@BOTH
def test_files_are_private(tmp_path: Path, key: Key) -> None:
    path = tmp_path / "key.pem"
    save_key(path, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert is_same(load_key(path), key)
    path.chmod(0o640)
    with pytest.raises(KeyUnusableError, match="open to other users"):
        load_key(path)


def test_an_encrypted_file_round_trips(tmp_path: Path) -> None:
    save_key(tmp_path / "key.pem", KEY, PASSPHRASE)
    assert is_same(load_key(tmp_path / "key.pem", PASSPHRASE), KEY)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    save_key(path, KEY)
    with pytest.raises(KeyUnusableError, match="never overwritten"):
        save_key(path, AES_KEY)
    assert is_same(load_key(path), KEY)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusableError, match="No such file"):
        save_key(tmp_path / "absent" / "key.pem", KEY)


def test_errors_show_no_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    files.write_atomically(path, AES_KEY.raw.hex().encode(), mode=0o600)
    with pytest.raises(KeyUnusableError) as caught:
        load_key(path)
    assert AES_KEY.raw.hex() not in str(caught.value) + caught.value.hint
