"""Does a virtual meter take a package, and if not, with which result code? (protocol 7)

Everything is checked before anything is switched. A package names no signer, so the meter tries
every certificate that it knows and that may have signed it.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

from umi_cli.application.codes import ResultCode
from umi_cli.certificates.authorisation import StandardAuthorisation
from umi_cli.certificates.trust import ChainError
from umi_cli.errors import ImageError, KeyUnusableError, UmiError, WrongTargetError
from umi_cli.images.encryption import FindKey, decrypt_package, key_finder
from umi_cli.images.failures import ImageFailure, refusing
from umi_cli.images.header import ImageHeader, ImageKind, ImageLabel, Version
from umi_cli.images.package import PART_HEAD_BYTES, Contents, PackageReader
from umi_cli.images.verify import (
    CertifiedSigner,
    Demands,
    ImageAuthority,
    RoleKey,
    check_header,
    verify_package,
)
from umi_cli.security.signatures import SCHEME_MAC, ImageSignature
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.refusal import Refusal
from umi_cli.virtual.security import Security

MODEL_OBJECT = "manufacturer-id"
_MODEL_BYTES = 8

_DAMAGED = (
    ImageFailure.MALFORMED,
    ImageFailure.WRONG_LENGTH,
    ImageFailure.WRONG_HASH,
    ImageFailure.BAD_TAG,
)
_OF_OTHERS = (ImageFailure.WRONG_TARGET, ImageFailure.WRONG_MODEL)


class Rejection(Refusal):
    """A package is not taken.

    Args:
        is_damaged: it is not what was built; otherwise it is not for this meter now.
    """

    def __init__(self, code: ResultCode, *, is_damaged: bool = False) -> None:
        super().__init__(code)
        self.is_damaged = is_damaged


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A package that nothing speaks against."""

    label: ImageLabel | None
    """Of the image for this meter; None if the package has none."""
    parts: tuple[tuple[ImageHeader, bytes], ...] = ()
    """The device packages of a product that are for other devices, each with its header."""


class Examiner:
    """Judges packages for a meter.

    Args:
        memory: what the meter remembers.
        security: knows the time, and the keys of the roles.
    """

    def __init__(self, memory: Memory, security: Security) -> None:
        self._memory = memory
        self._security = security

    def examine(self, package: bytes, newer_than: Version | None) -> Examined:
        """Check a package as a whole.

        Args:
            newer_than: what the meter runs; None if any version will do.

        Raises:
            Rejection: it is not to be installed here and now.
        """
        with _rejecting():
            kind = _read_header(package).kind
            demands = self._demands(newer_than)
            if kind is ImageKind.DEVICE:
                return Examined(label=self._verify(package, demands).label)
            return self._examine_product(package, demands)

    def _demands(self, newer_than: Version | None) -> Demands:
        return Demands(
            target=self._memory.umi_id,
            model=self._model(),
            newer_than=newer_than,
            at_s=self._security.now_s,
        )

    def _model(self) -> str | None:
        """Return the meter's model; None where the datasheet has no such thing."""
        store = self._memory.store
        definition = store.find(MODEL_OBJECT)
        raw = store.values[definition.code][:_MODEL_BYTES] if definition else b""
        return raw.rstrip(b"\0 ").decode("ascii", "replace") or None

    def _examine_product(self, package: bytes, demands: Demands) -> Examined:
        # choice: a product has a model and a version of its own; its parts have those of devices
        self._verify(package, Demands(target=demands.target, at_s=demands.at_s))
        own, others = None, []
        for part in _parts(self._plain(package)):
            header = _read_header(part)
            if own is None and _is_for(header, demands):
                own = self._verify(part, demands)
            else:
                others.append((header, part))
        return Examined(label=own.label if own else None, parts=tuple(others))

    def _verify(self, package: bytes, demands: Demands) -> ImageHeader:
        """Verify one package; return its header."""
        contents = self._read(package, demands)
        if contents.record is None:
            raise Rejection(ResultCode.BAD_IMAGE)
        for authority in self._authorities(contents.record):
            with contextlib.suppress(ImageError, ChainError):  # it was another one
                verify_package(io.BytesIO(package), authority, demands, find_key=self._find_key)
                return contents.header
        raise Rejection(ResultCode.BAD_IMAGE)

    def _read(self, package: bytes, demands: Demands) -> Contents:
        """Check all of a package but its signature."""
        with refusing():
            reader = PackageReader(io.BytesIO(package))
        check_header(reader.header, demands)
        if reader.header.sealing:
            reader.open(self._find_key(reader.header.sealing))
        with refusing():
            contents = reader.read()
        contents.check_hash()
        return contents

    def _plain(self, package: bytes) -> bytes:
        if _read_header(package).sealing is None:
            return package
        plain = io.BytesIO()
        decrypt_package(io.BytesIO(package), plain, self._find_key)
        return plain.getvalue()

    @property
    def _find_key(self) -> FindKey:
        vault = self._memory.vault
        return key_finder(recipient=vault.signer, installed=vault.transport_keys)

    def _authorities(self, record: ImageSignature) -> Iterator[ImageAuthority]:
        """Yield who may have signed in that role, as far as the meter knows them."""
        if record.scheme == SCHEME_MAC:
            with contextlib.suppress(Refusal):  # the role has no key here
                yield RoleKey(role=record.role, key=self._security.role_key(record.role))
            return
        vault = self._memory.vault
        for certificate in vault.key_table.values():
            rights = certificate.body.authorisation
            if isinstance(rights, StandardAuthorisation) and rights.role is record.role:
                yield CertifiedSigner(
                    certificate=certificate,
                    intermediates=(*vault.key_table.values(), *vault.chain),
                    trust=vault.trust,
                    at=self._security.at,
                    role=record.role,
                )


def _read_header(package: bytes) -> ImageHeader:
    with refusing():
        return PackageReader(io.BytesIO(package)).header


def _is_for(header: ImageHeader, demands: Demands) -> bool:
    try:
        check_header(header, Demands(target=demands.target, model=demands.model))
    except WrongTargetError:
        return False
    return True


def _parts(product: bytes) -> Iterator[bytes]:
    """Yield the device packages of a product that was verified, and is not encrypted."""
    header = _read_header(product)
    place, end = header.length_bytes, header.length_bytes + header.image_bytes
    while place < end:
        start = place + PART_HEAD_BYTES
        place = start + int.from_bytes(product[place:start], "little")
        yield product[start:place]


@contextlib.contextmanager
def _rejecting() -> Iterator[None]:
    """Say with a result code why a package is not taken."""
    try:
        yield
    except UmiError as error:
        raise _rejection(error) from error


def _rejection(error: UmiError) -> Rejection:
    if isinstance(error, KeyUnusableError):
        # choice: also what is encrypted to a device, when the meter has no key of its own
        return Rejection(ResultCode.UNKNOWN_TRANSPORT_KEY_ID)
    reason = error.reason if isinstance(error, ImageError) else ""
    if reason in [failure.value for failure in _OF_OTHERS]:
        return Rejection(ResultCode.WRONG_IMAGE_TARGET)
    is_damaged = reason in [failure.value for failure in _DAMAGED]
    return Rejection(ResultCode.BAD_IMAGE, is_damaged=is_damaged)
