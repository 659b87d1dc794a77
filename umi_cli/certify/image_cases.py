"""Tests of image transfers: order, gaps, repeats, and what must be refused (protocol 7)."""

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import ImageData, ImageEnd, ImageStart
from umi_cli.certify.bench import Bench, named, result_of
from umi_cli.certify.case import Need, NotApplicable, case, expect, in_hex
from umi_cli.certify.image_packages import (
    BLOCK_BYTES,
    IMAGE_BYTES,
    abort,
    block,
    expect_code,
    running,
    send,
    start,
)
from umi_cli.device.meter import Meter

HASH_AT = 40
PLAIN_HEADER_BYTES = 88
SESSION = (Need.CREDENTIALS, Need.CHANGES)
PACKAGE = (Need.CREDENTIALS, Need.AUTHORITY, Need.CHANGES, Need.DESTRUCTION)
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
    needs=SESSION,
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
    needs=SESSION,
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
    needs=SESSION,
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
    needs=SESSION,
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
    needs=SESSION,
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
    needs=SESSION,
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
    needs=SESSION,
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
    needs=SESSION,
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
    needs=SESSION,
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
    needs=SESSION,
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
    needs=SESSION,
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
    needs=SESSION,
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
    needs=SESSION,
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
    "IMG-039",
    "after a refusal the next transfer begins as if nothing had been",
    clause="7",
    mark="C",
    sends="300 bytes of noise as an image, IMAGE_END 1, then IMAGE_START and IMAGE_DATA 0",
    expects="BAD_IMAGE (23), OK, OK",
    advice="What was refused is forgotten: nothing of it is under way.",
    needs=SESSION,
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
    needs=(*SESSION, Need.POWER),
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
    expect(after == before, f"it runs something else now: {in_hex(after)}, before {in_hex(before)}")
