"""How do keys stand in files? (cli.md, Secrets)

P-256 keys are PKCS#8 in PEM, encrypted on request with PBES2 (RFC 8018), so that OpenSSL reads
them. AES-128 keys of scheme 1 stand in PEM blocks of our own.
"""

import base64
import binascii
import os
import re
import textwrap
from pathlib import Path

from umi_cli import crypto, files, wire
from umi_cli.certificates import tlv
from umi_cli.certificates.tlv import TlvReader
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.errors import KeyUnusableError, MalformedError, SignatureError
from umi_cli.wire import Reader

Key = PrivateKey | AesKey

ROUNDS = 600_000  # of PBKDF2-HMAC-SHA256: a laptop in the field gets stolen
MAX_ROUNDS = 10_000_000  # more is a damaged file, or a trap: ten seconds and up

LABEL_PKCS8 = "PRIVATE KEY"
LABEL_ENCRYPTED_PKCS8 = "ENCRYPTED PRIVATE KEY"
LABEL_AES = "UMI AES-128 KEY"
LABEL_ENCRYPTED_AES = "UMI ENCRYPTED AES-128 KEY"

_PEM = re.compile(
    rb"-----BEGIN ([A-Z0-9 -]+)-----\s([A-Za-z0-9+/=\s]*)-----END \1-----\s*", re.ASCII
)
_PEM_LINE_CHARACTERS = 64
_CONVERT_HINT = "convert another form of key with: openssl pkcs8 -topk8 -in OLD.pem -out NEW.pem"
_SALT_BYTES = 16
_CBC_IV_BYTES = 16
_CBC_KEY_BYTES = 32  # AES-256
_GCM_NONCE_BYTES = 12
_CHECK_TEXT = b"UMI-KCV"
_CHECK_BYTES = 3

# DER of RFC 8018: tags and object identifiers
_SEQUENCE, _INTEGER, _BIT_STRING, _OCTETS, _OID, _NULL = 0x30, 0x02, 0x03, 0x04, 0x06, 0x05
_EC_PUBLIC_KEY = 0xA1  # RFC 5915: [1] of ECPrivateKey
_OID_PBES2 = bytes.fromhex("2a864886f70d01050d")
_OID_PBKDF2 = bytes.fromhex("2a864886f70d01050c")
_OID_HMAC_SHA256 = bytes.fromhex("2a864886f70d0209")
_OID_AES_256_CBC = bytes.fromhex("60864801650304012a")


def check_value(key: AesKey) -> bytes:
    """Return the three bytes by which people compare an AES key without seeing it."""
    # choice: no clause gives one; a CMAC over a text of its own collides with no packet's MAC
    return crypto.cmac(key, _CHECK_TEXT)[:_CHECK_BYTES]


def encode_key(key: Key, passphrase: bytes | None = None, *, rounds: int = ROUNDS) -> bytes:
    """Return the PEM text of a key, encrypted if there is a passphrase.

    Raises:
        KeyUnusableError: the passphrase is empty.
    """
    if passphrase is not None and not passphrase:
        raise KeyUnusableError("the passphrase is empty")
    if isinstance(key, AesKey):
        if passphrase is None:
            return _encode_pem(LABEL_AES, key.raw)
        return _encode_pem(LABEL_ENCRYPTED_AES, _encrypt_aes(key, passphrase, rounds))
    if passphrase is None:
        return _encode_pem(LABEL_PKCS8, key.to_pkcs8())
    return _encode_pem(LABEL_ENCRYPTED_PKCS8, _encrypt_pkcs8(key, passphrase, rounds))


def is_encrypted(pem: bytes) -> bool:
    """Tell whether a key's PEM text needs a passphrase; `KeyUnusableError` if it is no PEM."""
    return _decode_pem(pem)[0] in (LABEL_ENCRYPTED_PKCS8, LABEL_ENCRYPTED_AES)


def decode_key(pem: bytes, passphrase: bytes | None = None) -> Key:
    """Return the key of a PEM text.

    Args:
        passphrase: of an encrypted key; ignored where the key is not encrypted.

    Raises:
        KeyUnusableError: it is no key of ours, or the passphrase is missing or wrong.
    """
    label, data = _decode_pem(pem)
    if label == LABEL_AES:
        return AesKey(data)
    if label == LABEL_PKCS8:
        return _load_pkcs8(data)
    if label not in (LABEL_ENCRYPTED_PKCS8, LABEL_ENCRYPTED_AES):
        raise KeyUnusableError(
            f"a PEM block {label!r} is no key that umi reads",
            hint=_CONVERT_HINT,
        )
    if not passphrase:
        raise KeyUnusableError("the key is encrypted, and there is no passphrase")
    if label == LABEL_ENCRYPTED_AES:
        return _decrypt_aes(data, passphrase)
    return PrivateKey.from_pkcs8(data, passphrase)


def save_key(path: Path, key: Key, passphrase: bytes | None = None) -> None:
    """Write a key into a new file that only its owner can read.

    Raises:
        KeyUnusableError: there is a file already, or none can be written.
    """
    pem = encode_key(key, passphrase)
    try:
        files.write_atomically(path, pem, mode=files.PRIVATE_MODE, replace=False)
    except FileExistsError as error:
        raise KeyUnusableError(
            f"{path} is there already; a key is never overwritten", hint="name another file"
        ) from error
    except OSError as error:
        raise KeyUnusableError(f"cannot write {path}: {error.strerror}") from error


def load_key(path: Path, passphrase: bytes | None = None) -> Key:
    """Read a key from a file that only its owner can read; `KeyUnusableError` otherwise."""
    return decode_key(files.read_private(path), passphrase)


def _encode_pem(label: str, data: bytes) -> bytes:
    lines = textwrap.wrap(base64.b64encode(data).decode("ascii"), _PEM_LINE_CHARACTERS)
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def _decode_pem(pem: bytes) -> tuple[str, bytes]:
    match = _PEM.fullmatch(pem.lstrip())
    if match is None:
        raise KeyUnusableError("this is no key: one PEM block is wanted", hint=_CONVERT_HINT)
    try:
        data = base64.b64decode(b"".join(match[2].split()), validate=True)
    except binascii.Error:
        # not chained: the library's error might show the text
        raise KeyUnusableError("the PEM block is damaged") from None
    return match[1].decode("ascii"), data


def _encrypt_pkcs8(key: PrivateKey, passphrase: bytes, rounds: int) -> bytes:
    """Return an EncryptedPrivateKeyInfo under PBES2 (RFC 8018, A.4)."""
    salt, iv = os.urandom(_SALT_BYTES), os.urandom(_CBC_IV_BYTES)
    derived = crypto.stretch(passphrase, salt, rounds, _CBC_KEY_BYTES)
    prf = tlv.encode(_SEQUENCE, tlv.encode(_OID, _OID_HMAC_SHA256), tlv.encode(_NULL))
    parameters = tlv.encode(_SEQUENCE, tlv.encode(_OCTETS, salt), _der_integer(rounds), prf)
    derivation = tlv.encode(_SEQUENCE, tlv.encode(_OID, _OID_PBKDF2), parameters)
    cipher = tlv.encode(_SEQUENCE, tlv.encode(_OID, _OID_AES_256_CBC), tlv.encode(_OCTETS, iv))
    scheme = tlv.encode(_SEQUENCE, derivation, cipher)
    algorithm = tlv.encode(_SEQUENCE, tlv.encode(_OID, _OID_PBES2), scheme)
    encrypted = crypto.cbc_encrypt(derived, iv, key.to_pkcs8())
    return tlv.encode(_SEQUENCE, algorithm, tlv.encode(_OCTETS, encrypted))


def _der_integer(number: int) -> bytes:
    return tlv.encode(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _load_pkcs8(der: bytes) -> PrivateKey:
    try:
        return PrivateKey.from_pkcs8(der)
    except KeyUnusableError as error:
        if not _is_consistent(der):
            raise KeyUnusableError(
                "the public key inside the file is not the private key's own",
                hint="someone may have changed the file; take the key from where it was made",
            ) from error
        raise


def _is_consistent(der: bytes) -> bool:
    """Tell whether a PKCS#8 structure holds no public key, or the one of its private key."""
    try:
        scalar, point = _take_apart(der)
        return point in (b"", PrivateKey.from_scalar(scalar).public_point)
    except (MalformedError, KeyUnusableError):
        return True  # broken otherwise, and not here to be explained


def _take_apart(der: bytes) -> tuple[bytes, bytes]:
    """Return the scalar and the public point, maybe none, of PKCS#8 (RFC 5208, RFC 5915)."""
    info = TlvReader(tlv.decode_only(der, _SEQUENCE, what="PKCS#8"), what="PKCS#8")
    info.value(_INTEGER, "version")
    info.value(_SEQUENCE, "algorithm")
    octets = info.value(_OCTETS, "private key")
    key = TlvReader(tlv.decode_only(octets, _SEQUENCE, what="EC key"), what="EC key")
    key.value(_INTEGER, "version")
    scalar = key.value(_OCTETS, "scalar")
    if not key.remaining:
        return scalar, b""
    bits = tlv.decode_only(key.value(_EC_PUBLIC_KEY, "public key"), _BIT_STRING, what="EC key")
    return scalar, bits[1:]


# choice: an encrypted AES key: 0 u32 rounds, 4 salt (16), 20 nonce (12), 32 GCM of the key (16+16);
# bytes 0..31 are authenticated; the GCM key is PBKDF2-HMAC-SHA256 of the passphrase
_ENCRYPTED_HEAD_BYTES = 4 + _SALT_BYTES + _GCM_NONCE_BYTES


def _encrypt_aes(key: AesKey, passphrase: bytes, rounds: int) -> bytes:
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_GCM_NONCE_BYTES)
    head = wire.u32(rounds) + salt + nonce
    wrapping = AesKey(crypto.stretch(passphrase, salt, rounds, crypto.AES_KEY_BYTES))
    return head + crypto.gcm_seal(wrapping, nonce, key.raw, head)


def _decrypt_aes(data: bytes, passphrase: bytes) -> AesKey:
    try:
        reader = Reader(data, what="encrypted key")
        rounds = reader.u32("rounds")
        salt, nonce = reader.take(_SALT_BYTES, "salt"), reader.take(_GCM_NONCE_BYTES, "nonce")
    except MalformedError as error:
        raise KeyUnusableError("the encrypted key is damaged: it is too short") from error
    if not 1 <= rounds <= MAX_ROUNDS:
        raise KeyUnusableError("the encrypted key is damaged: its rounds are out of range")
    wrapping = AesKey(crypto.stretch(passphrase, salt, rounds, crypto.AES_KEY_BYTES))
    try:
        raw = crypto.gcm_open(wrapping, nonce, reader.rest(), data[:_ENCRYPTED_HEAD_BYTES])
    except SignatureError as error:
        raise KeyUnusableError(
            "the key cannot be decrypted: the passphrase is wrong, or the file is damaged"
        ) from error
    return AesKey(raw)
