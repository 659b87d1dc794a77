"""Which cryptographic operations does UMI need? (protocol 5, 6.2 to 6.5)

The only importer of `cryptography`, and that inside the functions: importing this module is
cheap. A check raises `SignatureError` and returns nothing; secrets stand in records that show
and pickle nothing, and in no error.
"""

import hashlib
import hmac
import os
from functools import cache
from typing import TYPE_CHECKING, NoReturn, Protocol, Self, SupportsIndex

from umi_cli.errors import KeyUnusableError, MalformedError, SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import GCM

POINT_BYTES = 65  # 04, X and Y of P-256
SCALAR_BYTES = 32
AES_KEY_BYTES = 16
MAC_BYTES = 16  # protocol 5: the full CMAC
TAG_BYTES = 16
SALT_BYTES = 16
MAX_DER_SIGNATURE_BYTES = 72  # two 33-byte integers with their tags, and the outer tag

_UNCOMPRESSED = 0x04
_KDF2_FIRST_BLOCK = bytes.fromhex("00000001")
_CBC_BLOCK_BYTES = 16


class Secret:
    """What never shows its value: the repr is redacted, and it is neither copied nor pickled."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, redacted>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is neither copied nor pickled")


class AesKey(Secret):
    """An AES-128 key.

    Args:
        raw: its 16 bytes.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        if len(raw) != AES_KEY_BYTES:
            raise KeyUnusableError(f"an AES-128 key has {AES_KEY_BYTES} bytes, not {len(raw)}")
        self.raw = raw

    @classmethod
    def generate(cls) -> Self:
        """Make a new random key."""
        return cls(os.urandom(AES_KEY_BYTES))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AesKey) and hmac.compare_digest(self.raw, other.raw)

    __hash__ = None  # type: ignore[assignment]


class Signer(Protocol):
    """Who holds a P-256 private key: software here, or a token that keeps it to itself."""

    @property
    def public_point(self) -> bytes:
        """Return the public key, 65 bytes 04‖X‖Y."""

    def sign(self, data: bytes) -> bytes:
        """Return the DER signature of ECDSA with SHA-256 over the data."""

    def sign_digest(self, digest: bytes) -> bytes:
        """Return the DER signature of ECDSA over data whose SHA-256 this is."""

    def exchange(self, point: bytes) -> bytes:
        """Return Z, the 32-byte x-coordinate shared with the holder of that point."""


class PrivateKey(Secret):
    """A P-256 private key in this process's memory; a `Signer`."""

    __slots__ = ("_key", "_point")

    def __init__(self, key: "ec.EllipticCurvePrivateKey") -> None:
        from cryptography.hazmat.primitives import serialization

        self._key = key
        self._point = key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )

    @classmethod
    def generate(cls) -> Self:
        """Make a new random key."""
        from cryptography.hazmat.primitives.asymmetric import ec

        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_scalar(cls, scalar: bytes) -> Self:
        """Return the key with that 32-byte big-endian scalar.

        Raises:
            KeyUnusableError: it has another length, or is not in 1..n-1.
        """
        from cryptography.hazmat.primitives.asymmetric import ec

        if len(scalar) != SCALAR_BYTES:
            raise KeyUnusableError(f"a P-256 private key has {SCALAR_BYTES} bytes")
        try:
            key = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
        except ValueError as error:
            raise KeyUnusableError("this number is not a P-256 private key") from error
        return cls(key)

    @classmethod
    def from_pkcs8(cls, der: bytes, passphrase: bytes | None = None) -> Self:
        """Load a PKCS#8 structure, encrypted if there is a passphrase.

        Raises:
            KeyUnusableError: it cannot be read, the passphrase is wrong, or it is no P-256 key.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_der_private_key

        try:
            key = load_der_private_key(der, passphrase)
        except (TypeError, ValueError, UnsupportedAlgorithm) as error:
            raise KeyUnusableError(
                "the key cannot be read: the file is damaged"
                if passphrase is None
                else "the key cannot be decrypted: the passphrase is wrong, or the file is damaged"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise KeyUnusableError("the key is not on the curve P-256")
        return cls(key)

    def to_pkcs8(self) -> bytes:
        """Return the key as an unencrypted PKCS#8 structure, public point included."""
        from cryptography.hazmat.primitives import serialization

        return self._key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def public_point(self) -> bytes:
        """Return the public key, 65 bytes 04‖X‖Y."""
        return self._point

    def sign(self, data: bytes) -> bytes:
        """Return the DER signature of ECDSA with SHA-256 over the data."""
        return self.sign_digest(sha256(data))

    def sign_digest(self, digest: bytes) -> bytes:
        """Return the DER signature of ECDSA over data whose SHA-256 this is."""
        return self._key.sign(digest, _signing_algorithm())

    def exchange(self, point: bytes) -> bytes:
        """Return Z, a long-term secret of the two keys: use it at once, keep it nowhere.

        Raises:
            MalformedError: the point is none of the curve.
        """
        from cryptography.hazmat.primitives.asymmetric import ec

        return self._key.exchange(ec.ECDH(), _load_point(point))


@cache
def _signing_algorithm() -> "ec.ECDSA":
    """Return ECDSA with the nonce of RFC 6979, or a random one where OpenSSL is older than 3.2."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    try:
        return ec.ECDSA(Prehashed(hashes.SHA256()), deterministic_signing=True)
    except UnsupportedAlgorithm:
        return ec.ECDSA(Prehashed(hashes.SHA256()))


def _load_point(point: bytes) -> "ec.EllipticCurvePublicKey":
    from cryptography.hazmat.primitives.asymmetric import ec

    if len(point) != POINT_BYTES or point[0] != _UNCOMPRESSED:
        raise MalformedError("a public key is 65 bytes, 04 and the two coordinates")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        raise MalformedError("the public key is not a point of the curve P-256") from error


def check_point(point: bytes) -> None:
    """Make sure that these are 04‖X‖Y of a point of P-256: not compressed, not infinity.

    Raises:
        MalformedError: they are not.
    """
    _load_point(point)


def verify(point: bytes, signature: bytes, data: bytes) -> None:
    """Verify a DER signature of ECDSA with SHA-256.

    Raises:
        SignatureError: it is not that key's signature over the data.
        MalformedError: the point is none of the curve.
    """
    verify_digest(point, signature, sha256(data))


def verify_digest(point: bytes, signature: bytes, digest: bytes) -> None:
    """Verify a DER signature of ECDSA over data whose SHA-256 this is; raises as `verify` does."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    try:
        _load_point(point).verify(signature, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    except InvalidSignature as error:
        raise SignatureError("the signature does not verify") from error


def signature_of_integers(data: bytes) -> bytes:
    """Return the DER form of a signature given as r and s, 32 bytes each, as tokens give it."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    r, s = data[:SCALAR_BYTES], data[SCALAR_BYTES:]
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))


def sha256(data: bytes) -> bytes:
    """Return the 32-byte SHA-256 of the data."""
    return hashlib.sha256(data).digest()


class Sha256:
    """A SHA-256 over data that comes piece by piece."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        self._hash.update(piece)

    def finish(self) -> bytes:
        """Return the 32-byte SHA-256 of what came."""
        return self._hash.digest()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """Return the 32-byte HMAC-SHA-256 of the data."""
    return hmac.digest(key, data, "sha256")


def new_salt() -> bytes:
    """Return a fresh random session salt."""
    return os.urandom(SALT_BYTES)


def session_key(z: bytes, salt_a: bytes, salt_b: bytes) -> AesKey:
    """Derive the key of a scheme 2 session from Z and both salts (protocol 6.3)."""
    return AesKey(hmac_sha256(z, salt_a + salt_b)[:AES_KEY_BYTES])


def gcm_seal(key: AesKey, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Encrypt with AES-128-GCM; the 16-byte tag comes last. Never twice under one key and IV."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key.raw).encrypt(iv, plaintext, aad)


def gcm_open(key: AesKey, iv: bytes, sealed: bytes, aad: bytes) -> bytes:
    """Decrypt with AES-128-GCM.

    Raises:
        SignatureError: the tag does not verify, or is missing.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key.raw).decrypt(iv, sealed, aad)
    except InvalidTag as error:
        raise SignatureError("the authentication tag does not verify") from error


def _gcm(key: AesKey, iv: bytes) -> "Cipher[GCM]":
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import GCM

    return Cipher(AES(key.raw), GCM(iv))


class GcmSealer:
    """AES-128-GCM over a text that comes piece by piece. Never twice under one key and IV."""

    __slots__ = ("_encryptor",)

    def __init__(self, key: AesKey, iv: bytes, aad: bytes) -> None:
        self._encryptor = _gcm(key, iv).encryptor()
        self._encryptor.authenticate_additional_data(aad)

    def update(self, piece: bytes) -> bytes:
        """Return the next piece encrypted; it is as long."""
        return self._encryptor.update(piece)

    def finish(self) -> bytes:
        """Return the 16-byte tag."""
        self._encryptor.finalize()
        return self._encryptor.tag


class GcmOpener:
    """What `GcmSealer` sealed, opened piece by piece: believe nothing before `finish` returns."""

    __slots__ = ("_decryptor",)

    def __init__(self, key: AesKey, iv: bytes, aad: bytes) -> None:
        self._decryptor = _gcm(key, iv).decryptor()
        self._decryptor.authenticate_additional_data(aad)

    def update(self, piece: bytes) -> bytes:
        """Return the next piece decrypted; it is as long."""
        return self._decryptor.update(piece)

    def finish(self, tag: bytes) -> None:
        """Verify the tag; `SignatureError` if it is another one's."""
        from cryptography.exceptions import InvalidTag

        try:
            self._decryptor.finalize_with_tag(tag)
        except (InvalidTag, ValueError) as error:  # the latter if it is too short for a tag
            raise SignatureError("the authentication tag does not verify") from error


class Cmac:
    """An AES-128-CMAC over data that comes piece by piece."""

    __slots__ = ("_context",)

    def __init__(self, key: AesKey) -> None:
        from cryptography.hazmat.primitives.ciphers.algorithms import AES
        from cryptography.hazmat.primitives.cmac import CMAC

        self._context = CMAC(AES(key.raw))

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        self._context.update(piece)

    def finish(self) -> bytes:
        """Return the 16-byte MAC of what came."""
        return self._context.finalize()


def cmac(key: AesKey, data: bytes) -> bytes:
    """Return the 16-byte AES-128-CMAC of the data."""
    stream = Cmac(key)
    stream.update(data)
    return stream.finish()


def verify_cmac(key: AesKey, mac: bytes, data: bytes) -> None:
    """Verify an AES-128-CMAC in constant time.

    Raises:
        SignatureError: it is not that key's MAC over the data.
    """
    compare_macs(cmac(key, data), mac)


def compare_macs(own: bytes, mac: bytes) -> None:
    """Compare a MAC with the one it must be, in constant time; `SignatureError` if it differs."""
    if not hmac.compare_digest(own, mac):
        raise SignatureError("the message authentication code does not verify")


def encapsulate(recipient_point: bytes, ephemeral: Signer) -> tuple[bytes, AesKey]:
    """Make a transport key that only the recipient can derive (protocol 6.5).

    Args:
        ephemeral: a fresh key, used this once.

    Returns:
        C0, which goes with the ciphertext, and the transport key.
    """
    c0 = ephemeral.public_point
    return c0, _transport_key(c0, ephemeral.exchange(recipient_point))


def decapsulate(recipient: Signer, c0: bytes) -> AesKey:
    """Derive the transport key that came as C0; `MalformedError` if C0 is no point."""
    return _transport_key(c0, recipient.exchange(c0))


def _transport_key(c0: bytes, z: bytes) -> AesKey:
    # ECIES-KEM of ISO/IEC 18033-2: the first block of KDF2-SHA-256 over C0‖Z is enough.
    return AesKey(sha256(c0 + z + _KDF2_FIRST_BLOCK)[:AES_KEY_BYTES])


def stretch(passphrase: bytes, salt: bytes, rounds: int, length_bytes: int) -> bytes:
    """Derive a key from a passphrase: PBKDF2 with HMAC-SHA-256."""
    return hashlib.pbkdf2_hmac("sha256", passphrase, salt, rounds, length_bytes)


def cbc_encrypt(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """Encrypt with AES-CBC and the padding of PKCS#7, as PBES2 does (RFC 8018, B.2.5)."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC

    pad = _CBC_BLOCK_BYTES - len(plaintext) % _CBC_BLOCK_BYTES
    encryptor = Cipher(AES(key), CBC(iv)).encryptor()
    return encryptor.update(plaintext + bytes([pad]) * pad) + encryptor.finalize()
