"""How is a package signed, here or by a key that is elsewhere? (protocol 5, 7)

Signed are the header in signed form, the plain image, and the record's first three bytes. What is
signed first and encrypted then has one signature for every recipient.
"""

from dataclasses import replace

from umi_cli import crypto
from umi_cli.certificates.authorisation import StandardAuthorisation
from umi_cli.certificates.cvc import CertificateBody
from umi_cli.certificates.trust import ChainError, ChainFailure
from umi_cli.crypto import SCALAR_BYTES
from umi_cli.errors import InputError, SignatureError
from umi_cli.images.failures import ImageFailure, refusal, refusing
from umi_cli.images.header import ImageHeader
from umi_cli.images.package import PackageReader
from umi_cli.images.streams import Listener, Sink, Source
from umi_cli.security.signatures import SCHEME_ECDSA, ImageSignature, ImageSigner, SigningKey
from umi_cli.types import Role

# choice: protocol 5 has a role in the record and does not say which may be there
IMAGE_ROLES = (Role.SOFTWARE_PROVIDER, Role.MANUFACTURER)


def signer_role(body: CertificateBody) -> Role:
    """Return the role in which a certificate's holder signs images.

    Raises:
        ChainError: it is none that signs images.
    """
    rights = body.authorisation
    if not isinstance(rights, StandardAuthorisation) or rights.role not in IMAGE_ROLES:
        raise ChainError(
            ChainFailure.WRONG_ROLE, f"{body.name} does not authorise who signs images: {_ROLES}"
        )
    return rights.role


_ROLES = " or ".join(role.label for role in IMAGE_ROLES)


def check_targets(body: CertificateBody, header: ImageHeader) -> None:
    """Check that a certificate is for all the devices that a package is for.

    Raises:
        ChainError: it is not.
    """
    # choice: protocol 7 does not say it: nobody signs for devices that his certificate is not for
    targets, given = header.label.targets, body.authorisation.targets
    if not targets.is_within(given):
        raise ChainError(
            ChainFailure.WRONG_TARGET, f"{body.name} is for {given}, and the package for {targets}"
        )


def check_role(role: Role) -> None:
    """Check that who acts in a role may sign images; `InputError` otherwise."""
    if role not in IMAGE_ROLES:
        raise InputError(f"the role {role.label} signs no images", hint=f"sign as {_ROLES}")


def sign_package(source: Source, out: Sink, key: SigningKey, *, role: Role) -> ImageHeader:
    """Sign a package.

    Args:
        source: the package, neither signed nor encrypted.
        out: where the signed one goes; forget it if an error is raised.
        key: a P-256 key, or a role's AES key under scheme 1.

    Returns:
        The new header.

    Raises:
        InputError: the package is signed or encrypted already.
        ImageInvalidError: it is damaged.
    """
    signer = ImageSigner(key, role=role)
    header = _copy(source, out.write, signer.update)
    out.write(signer.finish().encode())
    return header


def write_to_be_signed(source: Source, out: Sink, *, role: Role) -> tuple[ImageHeader, bytes]:
    """Write what is signed under scheme 2, for a key that is elsewhere.

    Args:
        source: the package, neither signed nor encrypted.
        out: where the bytes go; forget them if an error is raised.

    Returns:
        The header of the package to be, and the SHA-256 of the bytes, for who signs digests.

    Raises:
        InputError, ImageInvalidError: as `sign_package`.
    """
    digest, prefix = crypto.Sha256(), _record(role).prefix
    header = _copy(source, out.write, digest.update)
    out.write(prefix)
    digest.update(prefix)
    return header, digest.finish()


def attach_signature(
    source: Source, out: Sink, signature: bytes, *, point: bytes, role: Role
) -> ImageHeader:
    """Sign a package with a signature that was made elsewhere, under scheme 2.

    Args:
        source: the package, neither signed nor encrypted.
        out: where the signed one goes; forget it if an error is raised.
        signature: over what `write_to_be_signed` wrote: DER, or r and s of 32 bytes each.
        point: the signer's public key.

    Returns:
        The new header.

    Raises:
        InputError: the package is signed or encrypted already.
        ImageInvalidError: it is damaged, or the signature is not that key's over it.
    """
    record, digest = _record(role), crypto.Sha256()
    header = _copy(source, out.write, digest.update)
    digest.update(record.prefix)
    der = _verified(signature, point, digest.finish())
    out.write(replace(record, value=der).encode())
    return header


def _record(role: Role) -> ImageSignature:
    return ImageSignature(scheme=SCHEME_ECDSA, role=role, value=b"")


def _verified(signature: bytes, point: bytes, digest: bytes) -> bytes:
    """Return a signature as DER, verified."""
    forms = [signature]
    if len(signature) == 2 * SCALAR_BYTES:  # a DER signature may have as many
        forms.append(crypto.signature_of_integers(signature))
    for form in forms:
        try:
            crypto.verify_digest(point, form, digest)
        except SignatureError:
            continue
        return form
    raise refusal(
        ImageFailure.BAD_SIGNATURE,
        "the signature is not that key's over this package",
        hint="sign the very bytes that --tbs wrote for this package and role, with SHA-256",
    )


def _copy(source: Source, *listeners: Listener) -> ImageHeader:
    """Tell the header in signed form, then the image, and return the header."""
    with refusing():
        package = PackageReader(source)
    if package.header.is_signed:
        raise InputError("the package is signed already", hint="build it anew to sign it again")
    if package.header.sealing is not None:
        raise InputError("the package is encrypted", hint="sign it first, and encrypt it then")
    header = replace(package.header, is_signed=True)
    for tell in listeners:
        tell(header.signed_form)
    with refusing():
        contents = package.read(*listeners)
    contents.check_hash()
    return header
