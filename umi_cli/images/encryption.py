"""How is a package encrypted to one device, or with a key that devices have? (protocol 6.5, 7)

AES-128-GCM over the image and its signature record; the header stands in the clear, bound as
additional data; the tag comes last.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from umi_cli import crypto
from umi_cli.crypto import AesKey, GcmSealer, Signer
from umi_cli.errors import InputError, KeyUnusableError
from umi_cli.images.failures import refusing
from umi_cli.images.header import ImageHeader, Sealing
from umi_cli.images.package import PackageReader
from umi_cli.images.streams import Sink, Source
from umi_cli.security.signatures import ImageSignature

FindKey = Callable[[Sealing], AesKey]
"""Finds the transport key of a package; `KeyUnusableError` if there is none."""

KEY_HINT = (
    "umi image verify opens it with --decrypt-key: the device's own key, or the transport key"
)


def seal_to(point: bytes, *, ephemeral: Signer, nonce: bytes) -> tuple[Sealing, AesKey]:
    """Make a transport key that only the holder of that public key can derive.

    Args:
        ephemeral: a fresh key, used this once.
        nonce: 12 bytes.
    """
    c0, key = crypto.encapsulate(point, ephemeral)
    return Sealing(nonce=nonce, c0=c0), key


def key_finder(
    *, recipient: Signer | None = None, installed: Mapping[int, AesKey] | None = None
) -> FindKey:
    """Return who finds the transport key of a package.

    Args:
        recipient: the device's own key, for a package that was encrypted to its certificate.
        installed: the transport keys that the device has, by ID.
    """

    def find(sealing: Sealing) -> AesKey:
        if sealing.c0 and recipient is not None:
            return crypto.decapsulate(recipient, sealing.c0)
        if sealing.c0:
            raise KeyUnusableError(
                "the package is encrypted to a device, whose own key is needed", hint=KEY_HINT
            )
        key = (installed or {}).get(sealing.key_id)
        if key is None:
            raise KeyUnusableError(
                f"the package is encrypted with transport key {sealing.key_id}, which is needed",
                hint=KEY_HINT,
            )
        return key

    return find


def encrypt_package(source: Source, out: Sink, sealing: Sealing, key: AesKey) -> ImageHeader:
    """Encrypt a signed package.

    Args:
        source: the package.
        out: where the encrypted one goes; forget it if an error is raised.
        sealing: how; with a nonce that was never used with that key.

    Returns:
        The new header.

    Raises:
        InputError: the package is not signed, or encrypted already.
        ImageInvalidError: it is damaged.
    """
    with refusing():
        package = PackageReader(source)
    if package.header.sealing is not None:
        raise InputError("the package is encrypted already")
    if not package.header.is_signed:
        raise InputError(
            "the package is not signed, and no device would take it",
            hint="sign it first: umi image sign",
        )
    header = replace(package.header, sealing=sealing)
    sealer = GcmSealer(key, sealing.nonce, header.encode())
    out.write(header.encode())
    with refusing():
        contents = package.read(lambda piece: out.write(sealer.update(piece)))
    contents.check_hash()
    out.write(sealer.update(_encode(contents.record)) + sealer.finish())
    return header


def decrypt_package(source: Source, out: Sink, find_key: FindKey) -> ImageHeader:
    """Decrypt a package.

    Args:
        out: where the plain one goes; forget it if an error is raised: the tag comes last.

    Returns:
        The new header.

    Raises:
        InputError: the package is not encrypted.
        KeyUnusableError: there is no key for it.
        ImageInvalidError: it was encrypted with another key, or is damaged.
    """
    with refusing():
        package = PackageReader(source)
    if package.header.sealing is None:
        raise InputError("the package is not encrypted")
    package.open(find_key(package.header.sealing))
    header = replace(package.header, sealing=None)
    out.write(header.encode())
    with refusing():
        contents = package.read(out.write)
    contents.check_hash()
    out.write(_encode(contents.record))
    return header


def _encode(record: ImageSignature | None) -> bytes:
    return record.encode() if record else b""
