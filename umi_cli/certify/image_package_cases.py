"""Tests of image packages that must be refused (protocol 7)."""

from typing import Any

from umi_cli.application.codes import ResultCode
from umi_cli.certificates.authorisation import TargetRange
from umi_cli.certify.bench import Bench
from umi_cli.certify.case import NotApplicable, case, expect, in_hex
from umi_cli.certify.image_cases import HASH_AT, PACKAGE, PLAIN_HEADER_BYTES, SESSION
from umi_cli.certify.image_packages import (
    IMAGE_BYTES,
    OLDER,
    ImageMaker,
    abort,
    expect_code,
    running,
    send,
)
from umi_cli.crypto import PrivateKey, sha256
from umi_cli.images.header import HASH_BYTES
from umi_cli.types import Role, UmiId


@case(
    "IMG-023",
    "an image that is no package is refused",
    clause="7",
    mark="C",
    sends="300 bytes of noise as an image, IMAGE_END 1",
    expects="BAD_IMAGE (23), and the device runs what it ran before",
    advice="Check all of a package before anything is switched.",
    needs=SESSION,
)
def _noise(bench: Bench) -> None:
    _expect_not_run(bench, bench.random.randbytes(IMAGE_BYTES), ResultCode.BAD_IMAGE)


def _expect_not_run(bench: Bench, package: bytes, *codes: ResultCode) -> None:
    """Go on if a package is refused and nothing else runs than before; `Failure` if not."""
    before = running(bench)
    with bench.secured() as meter:
        code = send(meter, package)
        abort(meter)
    bench.forget_link()
    expect_code(code, "IMAGE_END", *codes)
    after = running(bench)
    expect(after == before, f"it runs something else now: {in_hex(after)}, before {in_hex(before)}")


def _expect_bad(bench: Bench, *codes: ResultCode, **fields: Any) -> None:
    """Go on if an image with a wrong label, but well signed, is refused; `Failure` if not."""
    maker = ImageMaker.known_to(bench)
    _expect_not_run(bench, maker.signed(maker.plain(**fields)), *codes)


@case(
    "IMG-030",
    "an image that nobody has signed is refused",
    clause="7",
    mark="C",
    sends="a package for the device without a signature record",
    expects="BAD_IMAGE (23)",
    advice="The flag in the header says whether it is signed: without it, it is not taken.",
    needs=PACKAGE,
)
def _unsigned(bench: Bench) -> None:
    _expect_not_run(bench, ImageMaker.known_to(bench).plain(), ResultCode.BAD_IMAGE)


@case(
    "IMG-031",
    "an image that a stranger has signed is refused",
    clause="7",
    mark="C",
    sends="a package for the device, signed with a key that nobody knows",
    expects="BAD_IMAGE (23)",
    advice="Only keys of certificates that the device trusts sign images.",
    needs=PACKAGE,
)
def _stranger(bench: Bench) -> None:
    maker = ImageMaker.known_to(bench)
    package = maker.signed(maker.plain(), key=PrivateKey.generate())
    _expect_not_run(bench, package, ResultCode.BAD_IMAGE)


@case(
    "IMG-032",
    "an image that was changed after it was signed is refused",
    clause="7",
    mark="C",
    sends="a signed package whose image has one bit turned, with a hash that fits it",
    expects="BAD_IMAGE (23)",
    advice="The signature covers header and image: the hash alone proves nothing.",
    needs=PACKAGE,
)
def _changed(bench: Bench) -> None:
    maker = ImageMaker.known_to(bench)
    package = bytearray(maker.signed(maker.plain()))
    package[PLAIN_HEADER_BYTES] ^= 1
    image = package[PLAIN_HEADER_BYTES : PLAIN_HEADER_BYTES + IMAGE_BYTES]
    package[HASH_AT : HASH_AT + HASH_BYTES] = sha256(bytes(image))
    _expect_not_run(bench, bytes(package), ResultCode.BAD_IMAGE)


@case(
    "IMG-033",
    "an image whose hash is wrong is refused",
    clause="7",
    mark="C",
    sends="a package whose header says another hash, damaged on its way",
    expects="BAD_IMAGE (23)",
    advice="Hash what is in flash, not what came over the line.",
    needs=PACKAGE,
)
def _wrong_hash(bench: Bench) -> None:
    maker = ImageMaker.known_to(bench)
    package = bytearray(maker.signed(maker.plain()))
    package[PLAIN_HEADER_BYTES + 7] ^= 0x40
    _expect_not_run(bench, bytes(package), ResultCode.BAD_IMAGE)


@case(
    "IMG-034",
    "an image for another device is refused",
    clause="7",
    mark="C",
    sends="a signed package whose target range does not hold the device",
    expects="WRONG_IMAGE_TARGET (22)",
    advice="The device's own UMI ID lies in the range of the header.",
    needs=PACKAGE,
)
def _other_target(bench: Bench) -> None:
    other = UmiId(bench.meter.session.identify().value + 1)
    targets = TargetRange(lowest=other, highest=other)
    _expect_bad(bench, ResultCode.WRONG_IMAGE_TARGET, targets=targets)


@case(
    "IMG-035",
    "an image for another model is refused",
    clause="7",
    mark="C",
    sends="a signed package for the model OTHER",
    expects="WRONG_IMAGE_TARGET (22)",
    advice="An image for other hardware may be well signed, and still destroy the device.",
    needs=PACKAGE,
)
def _other_model(bench: Bench) -> None:
    _expect_bad(bench, ResultCode.WRONG_IMAGE_TARGET, model="OTHER")


@case(
    "IMG-036",
    "an image that may no longer be installed is refused",
    clause="7",
    mark="C",
    sends="a signed package whose last day has passed",
    expects="BAD_IMAGE (23)",
    advice="`not after` counts in the device's own time.",
    needs=PACKAGE,
)
def _too_late(bench: Bench) -> None:
    now_s = bench.meter.session.utc_s()
    _expect_bad(bench, ResultCode.BAD_IMAGE, built_s=now_s - 7200, not_after_s=now_s - 3600)


@case(
    "IMG-037",
    "an older image is refused",
    clause="7",
    mark="C",
    sends="a signed package of version 0.0.1, in a role that may not go back",
    expects="BAD_IMAGE (23)",
    advice="An old image brings its old faults back: only its maker may go back.",
    needs=PACKAGE,
)
def _older(bench: Bench) -> None:
    if bench.role is Role.MANUFACTURER:
        raise NotApplicable("the manufacturer may go back")
    _expect_bad(bench, ResultCode.BAD_IMAGE, version=OLDER)


@case(
    "IMG-038",
    "a role that signs no images has signed none",
    clause="7",
    mark="C",
    sends="a package whose record says that a user has signed it",
    expects="BAD_IMAGE (23)",
    advice="The role in the record is granted by the certificate, and signs images.",
    needs=PACKAGE,
)
def _wrong_role(bench: Bench) -> None:
    maker = ImageMaker.known_to(bench)
    package = maker.signed(maker.plain(), role=Role.USER)
    _expect_not_run(bench, package, ResultCode.BAD_IMAGE)
