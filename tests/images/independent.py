"""A second reader of image packages, from protocol.md alone: it shares no line with umi_cli."""

import hashlib
import struct
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

CURVE = ec.SECP256R1()


def split(package: bytes) -> dict[str, Any]:
    """Take a package apart; what is encrypted stands in `body` with its tag."""
    assert package[0:4] == b"UMI1"
    (length,) = struct.unpack_from("<H", package, 4)
    kind, flags = package[6], package[7]
    lowest, highest = struct.unpack_from("<QQ", package, 8)
    bugfix, minor, major, slot = package[24:28]
    built, not_after, image_length = struct.unpack_from("<III", package, 28)
    found: dict[str, Any] = {
        "header": package[:length],
        "kind": kind,
        "signed": bool(flags & 1),
        "encrypted": bool(flags & 2),
        "targets": (lowest, highest),
        "version": (major, minor, bugfix),
        "slot": slot,
        "built": built,
        "not_after": not_after,
        "image_length": image_length,
        "sha256": package[40:72],
        "model": package[72:88].rstrip(b"\0").decode("ascii"),
        "body": package[length:],
    }
    if flags & 2:
        (found["key_id"],) = struct.unpack_from("<I", package, 88)
        found["nonce"] = package[92:104]
        found["c0"] = package[105 : 105 + package[104]]
        assert length == 105 + package[104]
    else:
        assert length == 88
        found["image"] = package[88 : 88 + image_length]
        found["record"] = package[88 + image_length :]
        assert hashlib.sha256(found["image"]).digest() == found["sha256"]
    return found


def open_with(package: bytes, key: bytes) -> bytes:
    """Return the plain package of an encrypted one, decrypted in one go."""
    found = split(package)
    body = AESGCM(key).decrypt(found["nonce"], found["body"], found["header"])
    return plain_header(found["header"]) + body


def plain_header(header: bytes) -> bytes:
    return header[:4] + struct.pack("<H", 88) + header[6:7] + bytes([header[7] & 1]) + header[8:88]


def derive(c0: bytes, recipient: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the transport key, after ECIES-KEM with KDF2."""
    z = recipient.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, c0))
    return hashlib.sha256(c0 + z + struct.pack(">I", 1)).digest()[:16]


def signed_bytes(package: bytes) -> bytes:
    """Return what the signature of a plain package covers."""
    found = split(package)
    return bytes(plain_header(found["header"]) + found["image"] + found["record"][:3])


def verify_ecdsa(package: bytes, point: bytes) -> int:
    """Verify a plain package's signature of scheme 2; return the role."""
    record = split(package)["record"]
    assert (record[0], record[1], len(record)) == (2, 75, 75)
    der = record[3 : 3 + 2 + record[4]]
    assert not any(record[3 + len(der) :])
    public = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point)
    public.verify(der, signed_bytes(package), ec.ECDSA(hashes.SHA256()))
    return int(record[2])


def verify_cmac(package: bytes, key: bytes) -> int:
    """Verify a plain package's MAC of scheme 1; return the role."""
    record = split(package)["record"]
    assert (record[0], record[1], len(record)) == (1, 19, 19)
    context = CMAC(AES(key))
    context.update(signed_bytes(package))
    context.verify(record[3:])
    return int(record[2])


def parts(image: bytes) -> list[bytes]:
    """Return the device packages in the image of a product."""
    found = []
    while image:
        (length,) = struct.unpack_from("<I", image)
        found.append(image[4 : 4 + length])
        assert len(found[-1]) == length
        image = image[4 + length :]
    return found
