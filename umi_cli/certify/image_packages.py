"""Image packages, right or wrong, that a test sends; and the transfer of one (protocol 3.2, 7)."""

import io
from dataclasses import dataclass
from typing import Any

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import ImageData, ImageEnd, ImageStart, ReadObject
from umi_cli.application.security_commands import S2AddCertificate
from umi_cli.certificates.authorisation import EVERY_TARGET, StandardAuthorisation, TargetRange
from umi_cli.certify.bench import Bench, named, result_of
from umi_cli.certify.case import NotApplicable, expect, fail
from umi_cli.certify.certificate_cases import expect_known_authority, issued
from umi_cli.crypto import PrivateKey
from umi_cli.device.meter import Meter
from umi_cli.images.build import build_device
from umi_cli.images.header import ImageLabel, Version
from umi_cli.images.signing import sign_package
from umi_cli.types import Role, UmiCode, UmiId

BLOCK_BYTES = 64
IMAGE_BYTES = 300
NEWER = Version(250, 0, 0)
OLDER = Version(0, 0, 1)
SIGNER_ID = UmiId(0x0200_0000_0000_D00D)
VERSION_OBJECT = UmiCode.parse("umi.1.1.0.2")
NAME_OBJECT = UmiCode.parse("umi.1.1.0.0")
_MODEL_BYTES = 8


def expect_code(found: int, what: str, *codes: ResultCode) -> None:
    """Go on if a result code is one of those that it must be; `Failure` if not."""
    wanted = " or ".join(f"{code.name} ({code.value})" for code in codes)
    expect(found in codes, f"{what} was answered with {named(found)} instead of {wanted}")


def start(meter: Meter, length_bytes: int = IMAGE_BYTES) -> None:
    """Begin a transfer.

    Raises:
        NotApplicable: our role may not, or the device takes no images.
        Failure: it is refused for another reason.
    """
    code = result_of(meter, ImageStart(length_bytes=length_bytes))
    if code in (ResultCode.ACCESS_DENIED, ResultCode.NOT_IMPLEMENTED):
        raise NotApplicable(f"IMAGE_START was refused with {named(code)}: no images in our role")
    expect_code(code, "IMAGE_START", ResultCode.OK, ResultCode.TRANSFER_RESTARTED)


def block(number: int, length_bytes: int = BLOCK_BYTES) -> ImageData:
    """Return a block of an image that is no package."""
    return ImageData(number=number, data=bytes([number]) * length_bytes)


def abort(meter: Meter) -> None:
    """Have the device forget the transfer."""
    result_of(meter, ImageEnd(is_valid=0))


def send(meter: Meter, package: bytes) -> int:
    """Transfer a whole package; return the result code of IMAGE_END.

    Raises:
        Failure: the device does not take it block by block.
    """
    start(meter, len(package))
    for number, at in enumerate(range(0, len(package), BLOCK_BYTES)):
        code = result_of(meter, ImageData(number=number, data=package[at : at + BLOCK_BYTES]))
        expect_code(code, f"block {number}", ResultCode.OK)
    return result_of(meter, ImageEnd(is_valid=1))


def running(bench: Bench) -> bytes:
    """Return what the device says that it runs, as bytes."""
    return bench.request(ReadObject(code=VERSION_OBJECT)).value


@dataclass(frozen=True, slots=True)
class ImageMaker:
    """Makes packages that the device would take, but for what is wrong with them.

    Args:
        bench: the device.
        key: of a software provider whose certificate the device has.
    """

    bench: Bench
    key: PrivateKey

    @classmethod
    def known_to(cls, bench: Bench) -> "ImageMaker":
        """Have the device know a software provider, by a certificate of the authority it trusts."""
        expect_known_authority(bench)
        authority, signer = bench.authority()
        key = PrivateKey.generate()
        rights = StandardAuthorisation(targets=EVERY_TARGET, role=Role.SOFTWARE_PROVIDER, flags=0)
        certificate = issued(
            bench,
            signer,
            key.public_point,
            issuer=authority.body.subject,
            subject=SIGNER_ID,
            authorisation=rights,
        )
        message = bench.result_of(S2AddCertificate(certificate=certificate.encode()))
        if message.argument == ResultCode.KEY_TABLE_FULL:
            raise NotApplicable("the device's key table is full")
        if message.argument != ResultCode.OK:
            fail(f"a software provider's certificate was refused: {named(message.argument)}")
        return cls(bench, key)

    def label(self, **fields: Any) -> ImageLabel:
        """Return the label of a sound image; `fields` are those that are wrong."""
        device = self.bench.meter.session.identify()
        name = self.bench.request(ReadObject(code=NAME_OBJECT)).value
        sound: dict[str, Any] = {
            "model": name[:_MODEL_BYTES].rstrip(b"\0 ").decode("ascii", "replace"),
            "version": NEWER,
            "targets": TargetRange(lowest=device, highest=device),
            "built_s": self.bench.meter.session.utc_s(),
        }
        return ImageLabel(**{**sound, **fields})

    def plain(self, **fields: Any) -> bytes:
        """Return a package that is not signed; `fields` are of its label."""
        out = io.BytesIO()
        image = io.BytesIO(self.bench.random.randbytes(IMAGE_BYTES))
        build_device(image, out, self.label(**fields))
        return out.getvalue()

    def signed(
        self, plain: bytes, *, key: PrivateKey | None = None, role: Role = Role.SOFTWARE_PROVIDER
    ) -> bytes:
        """Return a package with a signature record."""
        out = io.BytesIO()
        sign_package(io.BytesIO(plain), out, key or self.key, role=role)
        return out.getvalue()
