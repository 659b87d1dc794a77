"""Tests of image transfers: order, gaps, repeats, and what must be refused (protocol 7)."""

from typing import Any

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import ImageData, ImageEnd, ImageStart
from umi_cli.certificates.authorisation import TargetRange
from umi_cli.certify.bench import Bench, named, result_of
from umi_cli.certify.case import Need, NotApplicable, case, expect
from umi_cli.certify.image_packages import (
    BLOCK_BYTES,
    IMAGE_BYTES,
    OLDER,
    ImageMaker,
    abort,
    block,
    expect_code,
    running,
    send,
    start,
)
from umi_cli.crypto import PrivateKey, sha256
from umi_cli.device.meter import Meter
from umi_cli.images.header import HASH_BYTES
from umi_cli.types import Role, UmiId

HASH_AT = 40
PLAIN_HEADER_BYTES = 88
_SESSION = (Need.CREDENTIALS, Need.CHANGES)
_PACKAGE = (Need.CREDENTIALS, Need.AUTHORITY, Need.CHANGES, Need.DESTRUCTION)
_REFUSED = (
    ResultCode.IMAGE_PROCESSING_ERROR,
    ResultCode.INVALID_VALUE,
    ResultCode.INVALID_LENGTH,
    ResultCode.UNAVAILABLE,
)


@case(
    "IMG-001",
    "guests begin no transfer",
    clause="7",
    mark="C",
    sends="IMAGE_START as guest",
    expects="ACCESS_DENIED (9)",
    advice="A transfer that is begun throws away the one before it.",
)
def _guest_starts(bench: Bench) -> None:
    message = bench.result_of(ImageStart(length_bytes=IMAGE_BYTES))
    _known(message.argument)
    expect_code(message.argument, "IMAGE_START as guest", ResultCode.ACCESS_DENIED)


def _known(code: int) -> None:
    if code in (ResultCode.NOT_IMPLEMENTED, ResultCode.UNKNOWN_PACKET_TYPE):
        raise NotApplicable("the device takes no images")


@case(
    "IMG-002",
    "guests send no blocks and end no transfer",
    clause="7",
    mark="C",
    sends="IMAGE_DATA and IMAGE_END as guest",
    expects="ACCESS_DENIED (9)",
    advice="Check the role on each of the three commands.",
)
def _guest_sends(bench: Bench) -> None:
    for command in (block(0), ImageEnd(is_valid=0)):
        message = bench.result_of(command)
        _known(message.argument)
        title = f"{command.TYPE.name} as guest"
        expect_code(message.argument, title, ResultCode.ACCESS_DENIED)


@case(
    "IMG-010",
    "a transfer begins, and ends when it is aborted",
    clause="3.2",
    mark="F",
    sends="IMAGE_START, IMAGE_DATA 0, IMAGE_END 0",
    expects="OK each time",
    advice="IMAGE_END with 0 aborts: the device forgets what came.",
    needs=_SESSION,
)
def _abort(bench: Bench) -> None:
    with bench.secured() as meter:
        start(meter)
        expect_code(result_of(meter, block(0)), "block 0", ResultCode.OK)
        expect_code(result_of(meter, ImageEnd(is_valid=0)), "IMAGE_END 0", ResultCode.OK)


@case(
    "IMG-011",
    "a transfer that is begun anew says so",
    clause="3.3",
    mark="F",
    sends="IMAGE_START, IMAGE_DATA 0, IMAGE_START, IMAGE_DATA 0",
    expects="OK, OK, TRANSFER_RESTARTED (13), OK",
    advice="The commander learns that the device had something half done.",
    needs=_SESSION,
)
def _restart(bench: Bench) -> None:
    with bench.secured() as meter:
        _clean_start(meter)
        expect_code(result_of(meter, block(0)), "block 0", ResultCode.OK)
        code = result_of(meter, ImageStart(length_bytes=IMAGE_BYTES))
        expect_code(code, "a second IMAGE_START", ResultCode.TRANSFER_RESTARTED)
        expect_code(result_of(meter, block(0)), "block 0 after it", ResultCode.OK)
        abort(meter)


def _clean_start(meter: Meter, length_bytes: int = IMAGE_BYTES) -> None:
    """Begin a transfer, whatever was under way before."""
    start(meter, length_bytes)
    abort(meter)
    start(meter, length_bytes)


@case(
    "IMG-012",
    "an image of no bytes is refused",
    clause="3.3",
    mark="C",
    sends="IMAGE_START of 0 bytes",
    expects="INVALID_LENGTH (11) or INVALID_VALUE (12)",
    advice="There is nothing to transfer.",
    needs=_SESSION,
)
def _empty(bench: Bench) -> None:
    with bench.secured() as meter:
        start(meter)
        code = result_of(meter, ImageStart(length_bytes=0))
        abort(meter)
        codes = (ResultCode.INVALID_LENGTH, ResultCode.INVALID_VALUE)
        expect_code(code, "an image of 0 bytes", *codes)


@case(
    "IMG-013",
    "an image that does not fit is refused before its first block",
    clause="3.3",
    mark="C",
    sends="IMAGE_START of 4,294,967,295 bytes",
    expects="TOO_LONG (8)",
    advice="Hours on a slow line are saved when the device says so at once.",
    needs=_SESSION,
)
def _too_long(bench: Bench) -> None:
    with bench.secured() as meter:
        start(meter)
        code = result_of(meter, ImageStart(length_bytes=0xFFFF_FFFF))
        abort(meter)
        expect_code(code, "an image of 4 GiB", ResultCode.TOO_LONG)


@case(
    "IMG-014",
    "a block without a transfer is refused",
    clause="3.3",
    mark="C",
    sends="IMAGE_END 0, then IMAGE_DATA 0",
    expects="IMAGE_PROCESSING_ERROR (14)",
    advice="There is no length to check it against.",
    needs=_SESSION,
)
def _no_transfer(bench: Bench) -> None:
    with bench.secured() as meter:
        start(meter)
        abort(meter)
        expect_code(result_of(meter, block(0)), "a block", *_REFUSED)


@case(
    "IMG-015",
    "a block that is missing is noticed",
    clause="3.2",
    mark="F",
    sends="IMAGE_DATA 0 and 2, then 1",
    expects="OK, INVALID_VALUE (12), OK",
    advice="Blocks count from 0 without a gap; what is refused changes nothing.",
    needs=_SESSION,
)
def _gap(bench: Bench) -> None:
    with bench.secured() as meter:
        _clean_start(meter)
        expect_code(result_of(meter, block(0)), "block 0", ResultCode.OK)
        expect_code(result_of(meter, block(2)), "block 2 after 0", *_REFUSED)
        expect_code(result_of(meter, block(1)), "block 1", ResultCode.OK)
        abort(meter)


@case(
    "IMG-016",
    "a block that comes again to the letter is taken once",
    clause="7",
    mark="C",
    sends="IMAGE_DATA 0, 0, 1",
    expects="OK each time",
    advice="Its answer was lost: the commander cannot know that it was written.",
    needs=_SESSION,
)
def _repeat(bench: Bench) -> None:
    with bench.secured() as meter:
        _clean_start(meter)
        for number in (0, 0, 1):
            expect_code(result_of(meter, block(number)), f"block {number}", ResultCode.OK)
        abort(meter)


@case(
    "IMG-017",
    "a block that comes again with other bytes is refused",
    clause="7",
    mark="C",
    sends="IMAGE_DATA 0, then 0 with other bytes",
    expects="OK, then INVALID_VALUE (12)",
    advice="Two images are being mixed: flash that is written is not written again.",
    needs=_SESSION,
)
def _other_bytes(bench: Bench) -> None:
    with bench.secured() as meter:
        _clean_start(meter)
        expect_code(result_of(meter, block(0)), "block 0", ResultCode.OK)
        other = ImageData(number=0, data=b"\xee" * BLOCK_BYTES)
        expect_code(result_of(meter, other), "block 0 with other bytes", *_REFUSED)
        abort(meter)


@case(
    "IMG-018",
    "every block but the last has the same length",
    clause="7",
    mark="C",
    sends="IMAGE_DATA 0 of 64 bytes, then 1 of 63",
    expects="OK, then INVALID_LENGTH (11)",
    advice="A block's place follows from its number and the length of the first one.",
    needs=_SESSION,
)
def _block_length(bench: Bench) -> None:
    with bench.secured() as meter:
        _clean_start(meter)
        expect_code(result_of(meter, block(0)), "block 0", ResultCode.OK)
        code = result_of(meter, block(1, BLOCK_BYTES - 1))
        expect_code(code, "a shorter block", *_REFUSED)
        abort(meter)


@case(
    "IMG-019",
    "more bytes than IMAGE_START announced are refused",
    clause="3.2",
    mark="F",
    sends="IMAGE_START of 100 bytes, IMAGE_DATA of 64 and of 64",
    expects="OK, then INVALID_LENGTH (11)",
    advice="The length bounds the memory: a block past it would overwrite something else.",
    needs=_SESSION,
)
def _too_much(bench: Bench) -> None:
    with bench.secured() as meter:
        _clean_start(meter, 100)
        expect_code(result_of(meter, block(0)), "block 0", ResultCode.OK)
        expect_code(result_of(meter, block(1)), "a block past the end", *_REFUSED)
        abort(meter)


@case(
    "IMG-020",
    "a transfer that is not complete cannot be ended as valid",
    clause="3.2",
    mark="F",
    sends="IMAGE_DATA 0 of an image of 300 bytes, IMAGE_END 1",
    expects="IMAGE_PROCESSING_ERROR (14)",
    advice="What is missing is not zeros.",
    needs=_SESSION,
)
def _incomplete(bench: Bench) -> None:
    with bench.secured() as meter:
        _clean_start(meter)
        expect_code(result_of(meter, block(0)), "block 0", ResultCode.OK)
        code = result_of(meter, ImageEnd(is_valid=1))
        abort(meter)
        expect_code(code, "IMAGE_END of an incomplete image", *_REFUSED)


@case(
    "IMG-021",
    "IMAGE_END knows 0 and 1",
    clause="3.3",
    mark="F",
    sends="IMAGE_END 2",
    expects="INVALID_VALUE (12)",
    advice="A value that nobody has defined must not be taken for valid.",
    needs=_SESSION,
)
def _end_value(bench: Bench) -> None:
    with bench.secured() as meter:
        start(meter)
        code = result_of(meter, ImageEnd(is_valid=2))
        abort(meter)
        expect_code(code, "IMAGE_END 2", ResultCode.INVALID_VALUE)


@case(
    "IMG-022",
    "nothing is left of a transfer that was aborted",
    clause="7",
    mark="C",
    sends="IMAGE_DATA 0, IMAGE_END 0, IMAGE_DATA 1, IMAGE_END 1",
    expects="the last two are refused",
    advice="An abort is for good: the next transfer begins with IMAGE_START.",
    needs=_SESSION,
)
def _after_abort(bench: Bench) -> None:
    with bench.secured() as meter:
        _clean_start(meter)
        expect_code(result_of(meter, block(0)), "block 0", ResultCode.OK)
        abort(meter)
        expect_code(result_of(meter, block(1)), "block 1 after the abort", *_REFUSED)
        code = result_of(meter, ImageEnd(is_valid=1))
        expect_code(code, "IMAGE_END after the abort", *_REFUSED)


@case(
    "IMG-023",
    "an image that is no package is refused",
    clause="7",
    mark="C",
    sends="300 bytes of noise as an image, IMAGE_END 1",
    expects="BAD_IMAGE (23), and the device runs what it ran before",
    advice="Check all of a package before anything is switched.",
    needs=_SESSION,
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
    expect(after == before, f"it runs something else now: {after.hex()}, before {before.hex()}")


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
    needs=_PACKAGE,
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
    needs=_PACKAGE,
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
    needs=_PACKAGE,
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
    needs=_PACKAGE,
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
    needs=_PACKAGE,
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
    needs=_PACKAGE,
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
    needs=_PACKAGE,
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
    needs=_PACKAGE,
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
    needs=_PACKAGE,
)
def _wrong_role(bench: Bench) -> None:
    maker = ImageMaker.known_to(bench)
    package = maker.signed(maker.plain(), role=Role.USER)
    _expect_not_run(bench, package, ResultCode.BAD_IMAGE)


@case(
    "IMG-039",
    "after a refusal the next transfer begins as if nothing had been",
    clause="7",
    mark="C",
    sends="300 bytes of noise as an image, IMAGE_END 1, then IMAGE_START and IMAGE_DATA 0",
    expects="BAD_IMAGE (23), OK, OK",
    advice="What was refused is forgotten: nothing of it is under way.",
    needs=_SESSION,
)
def _after_refusal(bench: Bench) -> None:
    with bench.secured() as meter:
        send(meter, bench.random.randbytes(IMAGE_BYTES))
        code = result_of(meter, ImageStart(length_bytes=IMAGE_BYTES))
        expect(code == ResultCode.OK, f"IMAGE_START was answered with {named(code)}")
        expect_code(result_of(meter, block(0)), "block 0", ResultCode.OK)
        abort(meter)


@case(
    "IMG-050",
    "a power cut in the middle of a transfer costs the transfer, and nothing else",
    clause="7",
    mark="C",
    sends="half an image; the power off and on; READ_OBJECT of the active version",
    expects="the device runs what it ran before",
    advice="What is written and what runs are two slots; the switch is one write.",
    needs=(*_SESSION, Need.POWER),
)
def _power_cut(bench: Bench) -> None:
    before = running(bench)
    with bench.secured() as meter:
        _clean_start(meter)
        for number in range(2):
            expect_code(result_of(meter, block(number)), f"block {number}", ResultCode.OK)
        meter.session.abandon()
        bench.cycle_power()
    after = running(bench)
    expect(after == before, f"it runs something else now: {after.hex()}, before {before.hex()}")
