"""Who signs packages, who may open them, and who is to have signed them: from the options."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

from umi_cli.cli.cert_terms import now
from umi_cli.cli.credentials import (
    check_own,
    load_anchors,
    load_chain,
    load_key,
    load_signer,
    scheme1_credentials,
    warn_of_time,
)
from umi_cli.cli.sources import read_file
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.errors import InputError, KeyUnusableError
from umi_cli.images.encryption import FindKey, key_finder, seal_to
from umi_cli.images.header import NONCE_BYTES, ImageHeader, Sealing
from umi_cli.images.signing import (
    attach_signature,
    check_role,
    check_targets,
    sign_package,
    signer_role,
)
from umi_cli.images.streams import Source
from umi_cli.images.verify import CertifiedSigner, ImageAuthority, RoleKey

if TYPE_CHECKING:
    from umi_cli.certificates.cvc import Certificate
    from umi_cli.cli.context import App
    from umi_cli.security.signatures import SigningKey
    from umi_cli.types import Role, UmiId


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """How a package is to be signed."""

    scheme: int
    role: "Role"
    sign: Callable[[Source, BinaryIO], ImageHeader]
    """Signs the package of a source into a file, and returns its header."""


def own_stamp(app: "App") -> Stamp:
    """Return how `--key` signs: for the role of `--cert`, or under scheme 1 as `--role`.

    Raises:
        InputError: an option is missing, or the role signs no images.
        KeyUnusableError: a key or certificate cannot be used.
        ChainError: the certificate does not authorise who signs images.
    """
    if _is_scheme1(app):
        credentials = scheme1_credentials(app.settings)
        check_role(credentials.role)
        return _stamp(1, credentials.role, credentials.key, None)
    role, certificate = signing_role(app)
    signer = load_signer(app.settings)
    if certificate is not None:
        check_own(certificate, signer, app.settings)
        warn_of_time(certificate, app)
    return _stamp(2, role, signer, certificate)


def _stamp(
    scheme: int, role: "Role", key: "SigningKey", certificate: "Certificate | None"
) -> Stamp:
    def sign(source: Source, file: BinaryIO) -> ImageHeader:
        header = sign_package(source, file, key, role=role)
        check_reach(certificate, header)
        return header

    return Stamp(scheme=scheme, role=role, sign=sign)


def attached_stamp(app: "App", path: str) -> Stamp:
    """Return how a signature that was made elsewhere signs; raises as `own_stamp`."""
    role, certificate = signing_role(app)
    if certificate is None:
        raise InputError(
            "a signature from elsewhere is verified before it is attached",
            hint="name the signer's certificate with --cert FILE",
        )
    signature, point = read_file(path), certificate.body.public_point
    warn_of_time(certificate, app)

    def sign(source: Source, file: BinaryIO) -> ImageHeader:
        header = attach_signature(source, file, signature, point=point, role=role)
        check_reach(certificate, header)
        return header

    return Stamp(scheme=2, role=role, sign=sign)


def signing_role(app: "App") -> "tuple[Role, Certificate | None]":
    """Return the role in which a P-256 key signs, and its certificate; raises as `own_stamp`."""
    settings = app.settings
    if _is_scheme1(app):
        raise InputError(
            "under scheme 1 only who has the role's key can sign", hint="leave --scheme 1 out"
        )
    if settings.cert is None:
        if settings.role is None:
            raise InputError("nothing says in which role it is signed", hint="add --cert FILE")
        check_role(settings.role)
        return settings.role, None
    certificate = load_chain(settings.cert)[0]
    role = signer_role(certificate.body)
    if settings.role not in (None, role):
        raise KeyUnusableError(
            f"the certificate is for the role {role.label}, not {settings.role.label}",
            hint="leave --role out, or use a certificate for that role",
        )
    return role, certificate


def check_reach(certificate: "Certificate | None", header: ImageHeader) -> None:
    """Check that a certificate, if there is one, is for all the devices of a package."""
    if certificate is not None:
        check_targets(certificate.body, header)


def _is_scheme1(app: "App") -> bool:
    settings = app.settings
    if settings.scheme == 0 and settings.is_scheme_given:
        raise InputError(
            "under scheme 0 nothing is signed", hint="leave --scheme out, or use --scheme 1"
        )
    return settings.scheme == 1


def authority(app: "App", intermediates: tuple[str, ...], at: datetime) -> ImageAuthority:
    """Return who is to have signed: the holder of `--cert`, or under scheme 1 of the role's key.

    Raises:
        InputError: an option is missing.
        KeyUnusableError: a key or certificate cannot be used.
    """
    from umi_cli.certificates.trust import Trust

    settings = app.settings
    if _is_scheme1(app):
        credentials = scheme1_credentials(settings)
        return RoleKey(role=credentials.role, key=credentials.key)
    if settings.cert is None:
        raise InputError(
            "a package does not hold its signer's certificate, and none is named",
            hint="add --cert FILE, or --scheme 1, --role and --key",
        )
    certificate, *others = load_chain(settings.cert)
    others += [each for name in intermediates for each in load_chain(name)]
    trust = Trust(anchors=load_anchors(settings))
    if not trust.anchors:
        raise InputError("nothing says who is to be trusted", hint="add --anchor FILE")
    return CertifiedSigner(
        certificate=certificate, intermediates=others, trust=trust, at=at, role=settings.role
    )


def finder(app: "App", source: str) -> FindKey:
    """Return who opens packages with the key at a source: a device's own, or a transport key."""
    key = load_key(app.settings, source)
    if isinstance(key, AesKey):
        return lambda sealing: key_finder(installed={sealing.key_id: key})(sealing)
    return key_finder(recipient=key)


def seal_to_device(app: "App", path: str) -> "tuple[UmiId, Sealing, AesKey]":
    """Return who alone is to open a package, how it is sealed to him, and the key.

    Raises:
        KeyUnusableError: the certificate cannot be used.
        ChainError: it leads to no anchor.
    """
    from umi_cli.certificates.chain import verify_chain
    from umi_cli.certificates.trust import Trust

    certificate, *others = load_chain(path)
    subject = certificate.body.subject
    if certificate.is_authority:
        raise KeyUnusableError(
            f"the certificate of {subject} is a signing authority's: it takes no image",
            hint="name the certificate of the device",
        )
    anchors = load_anchors(app.settings)
    if anchors:
        verify_chain(certificate, others, trust=Trust(anchors=anchors), at=now())
    else:
        app.warn(f"nobody vouches for the certificate of {subject}: name a root with --anchor")
    point, ephemeral = certificate.body.public_point, PrivateKey.generate()
    return subject, *seal_to(point, ephemeral=ephemeral, nonce=os.urandom(NONCE_BYTES))


def seal_with(app: "App", source: str, key_id: int) -> tuple[Sealing, AesKey]:
    """Return how a package is sealed with the transport key at a source, and the key.

    Raises:
        KeyUnusableError: it is no transport key.
    """
    key = load_key(app.settings, source)
    if not isinstance(key, AesKey):
        raise KeyUnusableError(
            "a transport key is an AES-128 key, and this is a P-256 key",
            hint="encrypt to the certificate of a device with --to FILE",
        )
    return Sealing(key_id=key_id, nonce=os.urandom(NONCE_BYTES)), key
