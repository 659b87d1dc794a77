"""Is a package to be installed, and if not, for which one reason? (protocol 7)

A device asks this before it says OK to IMAGE_END, and whoever sends a package had better ask
before. Time is an argument.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from umi_cli.certificates.chain import Path, verify_chain
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import Purpose, Trust
from umi_cli.crypto import AesKey
from umi_cli.errors import KeyUnusableError, SignatureError
from umi_cli.images.encryption import KEY_HINT, FindKey
from umi_cli.images.failures import ImageFailure, refusal, refusing
from umi_cli.images.header import ImageHeader, Version
from umi_cli.images.package import Contents, PackageReader
from umi_cli.images.signing import IMAGE_ROLES, check_targets
from umi_cli.images.streams import Source
from umi_cli.security.signatures import ImageSignature, ImageVerifier
from umi_cli.types import Role, UmiId, format_datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What a package must be good for; what is None is not asked."""

    target: UmiId | None = None
    """The device that is to take it."""
    model: str | None = None
    """The device's model."""
    newer_than: Version | None = None
    """What the device runs."""
    at_s: int | None = None
    """UMI datetime, at which it is to be installed."""


ANYTHING = Demands()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedSigner:
    """Who is to have signed under scheme 2: the holder of a certificate that is trusted."""

    certificate: Certificate
    intermediates: Sequence[Certificate] = ()
    trust: Trust
    at: datetime
    """When the certificates are to hold."""
    role: Role | None = None
    """The role in which he is to have signed; None for any that signs images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleKey:
    """Who is to have signed under scheme 1: whoever has the role's key."""

    role: Role | None
    """The role in which he is to have signed; None for any that signs images."""
    key: AesKey


ImageAuthority = CertifiedSigner | RoleKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A package that nothing speaks against."""

    contents: Contents
    path: Path
    """From the signer's certificate to the anchor; empty under scheme 1."""


def check_header(header: ImageHeader, demands: Demands) -> None:
    """Check what a header tells by itself, before a byte of the image is sent or stored.

    Raises:
        WrongTargetError: the package is for others, or no newer.
        ImageInvalidError: it was not to be installed so late.
    """
    label = header.label
    if demands.target is not None and demands.target not in label.targets:
        raise refusal(
            ImageFailure.WRONG_TARGET,
            f"the package is for {label.targets}, not for {demands.target}",
        )
    if demands.model not in (None, label.model):
        raise refusal(
            ImageFailure.WRONG_MODEL,
            f"the package is for the model {label.model}, not for {demands.model}",
        )
    # choice: protocol 7 refuses an older version; the same once more is no update either
    if demands.newer_than is not None and label.version <= demands.newer_than:
        raise refusal(
            ImageFailure.NOT_NEWER,
            f"the package has version {label.version}, which is not newer than"
            f" {demands.newer_than}",
        )
    if demands.at_s is not None and 0 < label.not_after_s < demands.at_s:
        raise refusal(
            ImageFailure.NOT_AFTER,
            f"the package was not to be installed after {format_datetime(label.not_after_s)}",
            hint="ask who built it for a new one",
        )


def verify_package(
    source: Source,
    authority: ImageAuthority,
    demands: Demands = ANYTHING,
    *,
    find_key: FindKey | None = None,
) -> Verified:
    """Verify a package: form, target, length, hash, signature, signer.

    The parts of a product are checked for form, length and hash: the product's signature stands
    for them, and each device verifies its own.

    Args:
        source: the package, and nothing after it.
        find_key: finds the transport key, should it be encrypted.

    Raises:
        ImageInvalidError: it is malformed, damaged, or not signed by that authority.
        WrongTargetError: it is for others, or no newer.
        ChainError: the signer's certificate is not trusted for it.
        KeyUnusableError: it is encrypted, and there is no key for it.
    """
    with refusing():
        package = PackageReader(source)
    check_header(package.header, demands)
    _open(package, find_key)
    verifier = ImageVerifier(_key_of(authority))
    verifier.update(package.header.signed_form)
    with refusing():
        contents = package.read(verifier.update)
    contents.check_hash()
    path = _check_record(contents, authority, verifier)
    return Verified(contents=contents, path=path)


def _open(package: PackageReader, find_key: FindKey | None) -> None:
    sealing = package.header.sealing
    if sealing is None:
        return
    if find_key is None:
        raise KeyUnusableError("the package is encrypted, its signature too", hint=KEY_HINT)
    package.open(find_key(sealing))


def _key_of(authority: ImageAuthority) -> bytes | AesKey:
    if isinstance(authority, RoleKey):
        return authority.key
    return authority.certificate.body.public_point


def _check_record(contents: Contents, authority: ImageAuthority, verifier: ImageVerifier) -> Path:
    """Verify the record of a package, and whose it is; return the signer's chain."""
    record = contents.record
    if record is None:
        raise refusal(
            ImageFailure.NOT_SIGNED,
            "nobody has signed the package",
            hint="sign it with: umi image sign",
        )
    try:
        verifier.finish(record)
    except SignatureError as error:
        raise refusal(ImageFailure.BAD_SIGNATURE, f"the signature is false: {error}") from error
    _check_role(record, authority.role)
    if isinstance(authority, RoleKey):
        return ()
    path = verify_chain(
        authority.certificate,
        authority.intermediates,
        trust=authority.trust,
        at=authority.at,
        purpose=Purpose(role=record.role),
    )
    check_targets(authority.certificate.body, contents.header)
    return path


def _check_role(record: ImageSignature, wanted: Role | None) -> None:
    if record.role not in IMAGE_ROLES:
        raise refusal(
            ImageFailure.WRONG_ROLE, f"it was signed as {record.role.label}, who signs no images"
        )
    if wanted not in (None, record.role):
        raise refusal(
            ImageFailure.WRONG_ROLE, f"it was signed as {record.role.label}, not {wanted.label}"
        )
