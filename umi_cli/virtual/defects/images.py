"""Defects of image transfers, and of which packages are taken (protocol 3.2, 7)."""

from typing import ClassVar

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import (
    ImageData,
    ImageDataReply,
    ImageEnd,
    ImageEndReply,
    ImageStart,
    ImageStartReply,
    ReadObject,
    ReadObjectReply,
)
from umi_cli.application.payload import Payload
from umi_cli.crypto import sha256
from umi_cli.images.header import MAGIC, SIGNED
from umi_cli.types import Role, UmiCode
from umi_cli.virtual import dispatch
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.dispatch import Call
from umi_cli.virtual.refusal import Refusal

_FLAGS, _NOT_AFTER, _LENGTH, _HASH = 7, slice(32, 36), slice(36, 40), slice(40, 72)
_HEADER_BYTES = 88
_RECORD_BYTES = 75
_VERSION_OBJECT = UmiCode.parse("umi.1.1.0.2")
_REPLIES = {ImageStart: ImageStartReply, ImageData: ImageDataReply, ImageEnd: ImageEndReply}


class _Forgiven(Defect):
    """What a command of a transfer is refused for is none."""

    COMMAND: ClassVar[type[ImageStart | ImageData | ImageEnd]]
    CODES: ClassVar[tuple[ResultCode, ...]]

    def run(self, call: Call) -> Payload:
        """Say OK where the command is refused for that reason."""
        try:
            return dispatch.run(call)
        except Refusal as refusal:
            is_it = isinstance(call.request.command, self.COMMAND) and refusal.code in self.CODES
            if not is_it:
                raise
            return _REPLIES[self.COMMAND]()


class _GuestMay(_Forgiven):
    CODES = (ResultCode.ACCESS_DENIED,)


class GuestStartsTransfer(_GuestMay):
    """Anybody begins a transfer."""

    NAME = "guest-starts-transfer"
    TITLE = "answers IMAGE_START of guests with OK"
    COMMAND = ImageStart


class GuestSendsBlocks(_GuestMay):
    """Anybody sends blocks."""

    NAME = "guest-sends-blocks"
    TITLE = "answers IMAGE_DATA of guests with OK"
    COMMAND = ImageData


class RestartSilent(_Forgiven):
    """That something was half done is not told."""

    NAME = "restart-silent"
    TITLE = "answers a second IMAGE_START with OK"
    COMMAND = ImageStart
    CODES = (ResultCode.TRANSFER_RESTARTED,)


class EmptyImageTaken(_Forgiven):
    """An image may have no bytes."""

    NAME = "empty-image-taken"
    TITLE = "takes IMAGE_START of 0 bytes"
    COMMAND = ImageStart
    CODES = (ResultCode.INVALID_LENGTH,)


class HugeImageTaken(_Forgiven):
    """An image may have any length."""

    NAME = "huge-image-taken"
    TITLE = "takes IMAGE_START of more bytes than it has room for"
    COMMAND = ImageStart
    CODES = (ResultCode.TOO_LONG,)


class BlockUnasked(_Forgiven):
    """A block needs no transfer."""

    NAME = "block-unasked"
    TITLE = "takes blocks where no transfer is under way"
    COMMAND = ImageData
    CODES = (ResultCode.IMAGE_PROCESSING_ERROR,)


class BlockNumberUnchecked(_Forgiven):
    """The number of a block does not matter."""

    NAME = "block-number-unchecked"
    TITLE = "takes blocks of any number"
    COMMAND = ImageData
    CODES = (ResultCode.INVALID_VALUE,)


class BlockLengthUnchecked(_Forgiven):
    """The length of a block does not matter."""

    NAME = "block-length-unchecked"
    TITLE = "takes blocks of any length, past the end of the image too"
    COMMAND = ImageData
    CODES = (ResultCode.INVALID_LENGTH,)


class IncompleteTaken(_Forgiven):
    """What is missing is zeros."""

    NAME = "incomplete-image-taken"
    TITLE = "answers IMAGE_END of an incomplete image with OK"
    COMMAND = ImageEnd
    CODES = (ResultCode.IMAGE_PROCESSING_ERROR,)


class EndAnyValue(_Forgiven):
    """Any value ends a transfer."""

    NAME = "end-any-value"
    TITLE = "takes IMAGE_END with a value that nobody has defined"
    COMMAND = ImageEnd
    CODES = (ResultCode.INVALID_VALUE,)


class AbortRefused(Defect):
    """A transfer cannot be given up."""

    NAME = "abort-refused"
    TITLE = "refuses IMAGE_END 0"

    def run(self, call: Call) -> Payload:
        """Refuse it."""
        command = call.request.command
        if isinstance(command, ImageEnd) and not command.is_valid:
            raise Refusal(ResultCode.NOT_IMPLEMENTED)
        return dispatch.run(call)


class AbortForgetsNothing(Defect):
    """A transfer that was given up goes on."""

    NAME = "abort-forgets-nothing"
    TITLE = "answers IMAGE_END 0 with OK, and goes on"

    def run(self, call: Call) -> Payload:
        """Say OK."""
        command = call.request.command
        if isinstance(command, ImageEnd) and not command.is_valid:
            return ImageEndReply()
        return dispatch.run(call)


class BlockRepeatRefused(Defect):
    """A block that comes again is one too many."""

    NAME = "block-repeat-refused"
    TITLE = "refuses a block that comes again to the letter"

    def __init__(self) -> None:
        self._last: int | None = None

    def run(self, call: Call) -> Payload:
        """Refuse the number of the block before."""
        command = call.request.command
        if not isinstance(command, ImageData):
            self._last = None
            return dispatch.run(call)
        if command.number == self._last:
            raise Refusal(ResultCode.INVALID_VALUE)
        reply = dispatch.run(call)
        self._last = command.number
        return reply


class _PackageTaken(Defect):
    """A package is taken although something is wrong with it."""

    def run(self, call: Call) -> Payload:
        """Say OK where the package is refused for what does not matter here."""
        command = call.request.command
        if not isinstance(command, ImageEnd) or call.updates.slots.transfer is None:
            return dispatch.run(call)
        package = call.updates.slots.package()
        try:
            return dispatch.run(call)
        except Refusal as refusal:
            is_package = package[: len(MAGIC)] == MAGIC and len(package) > _HEADER_BYTES
            if not is_package or not self.is_taken(package, refusal.code):
                raise
            return ImageEndReply()

    def is_taken(self, package: bytes, code: ResultCode) -> bool:
        """Tell whether a package that is refused with a code is taken all the same."""
        return False


class AnyImageTaken(Defect):
    """Whatever came is an image."""

    NAME = "any-image-taken"
    TITLE = "answers IMAGE_END with OK whatever came"

    def run(self, call: Call) -> Payload:
        """Say OK to a bad image."""
        try:
            return dispatch.run(call)
        except Refusal as refusal:
            if refusal.code is not ResultCode.BAD_IMAGE:
                raise
            return ImageEndReply()


class UnsignedTaken(_PackageTaken):
    """A package need not be signed."""

    NAME = "unsigned-image-taken"
    TITLE = "takes images that nobody has signed"

    def is_taken(self, package: bytes, code: ResultCode) -> bool:
        """Take what has no signature."""
        return not package[_FLAGS] & SIGNED


def _is_whole(package: bytes) -> bool:
    """Tell whether the hash in the header is that of the image."""
    end = _HEADER_BYTES + int.from_bytes(package[_LENGTH], "little")
    return sha256(package[_HEADER_BYTES:end]) == package[_HASH]


class ImageSignatureUnchecked(_PackageTaken):
    """Whose signature it is does not matter."""

    NAME = "image-signature-unchecked"
    TITLE = "takes images whose signature is wrong, or of a role that signs none"

    def is_taken(self, package: bytes, code: ResultCode) -> bool:
        """Take what has some signature, and a right hash."""
        return bool(package[_FLAGS] & SIGNED) and _is_whole(package)


class ImageHashUnchecked(_PackageTaken):
    """What is in flash is not hashed."""

    NAME = "image-hash-unchecked"
    TITLE = "takes images whose hash is wrong"

    def is_taken(self, package: bytes, code: ResultCode) -> bool:
        """Take what has another hash."""
        return not _is_whole(package)


class ImageTargetUnchecked(_PackageTaken):
    """For which device an image is does not matter."""

    NAME = "image-target-unchecked"
    TITLE = "takes images for other devices and other models"

    def is_taken(self, package: bytes, code: ResultCode) -> bool:
        """Take what is for others."""
        return code is ResultCode.WRONG_IMAGE_TARGET


class ImageExpiryUnchecked(_PackageTaken):
    """Until when an image may be installed does not matter."""

    NAME = "image-expiry-unchecked"
    TITLE = "takes images that may no longer be installed"

    def is_taken(self, package: bytes, code: ResultCode) -> bool:
        """Take what has a last day."""
        return any(package[_NOT_AFTER])


class OlderImageTaken(_PackageTaken):
    """An older image is as good as a newer one."""

    NAME = "older-image-taken"
    TITLE = "takes images that are older than what it runs"

    def is_taken(self, package: bytes, code: ResultCode) -> bool:
        """Take version 0."""
        return package[26] == 0 and package[_FLAGS] & SIGNED == SIGNED and _is_whole(package)


class RoleUnchecked(_PackageTaken):
    """Every role signs images."""

    NAME = "image-role-unchecked"
    TITLE = "takes images that a user has signed"

    def is_taken(self, package: bytes, code: ResultCode) -> bool:
        """Take what says that a user has signed it."""
        return package[-_RECORD_BYTES + 2] == Role.USER


class RefusalSticks(Defect):
    """A transfer that was refused is still under way."""

    NAME = "refused-image-sticks"
    TITLE = "says TRANSFER_RESTARTED after an image that it has refused"

    def __init__(self) -> None:
        self._is_stuck = False

    def run(self, call: Call) -> Payload:
        """Note a refusal, and tell of it at the next start."""
        command = call.request.command
        if isinstance(command, ImageStart) and self._is_stuck:
            dispatch.run(call)
            self._is_stuck = False
            raise Refusal(ResultCode.TRANSFER_RESTARTED)
        try:
            return dispatch.run(call)
        except Refusal as refusal:
            self._is_stuck = refusal.code is ResultCode.BAD_IMAGE
            raise


class HalfImageRuns(Defect):
    """What was written is what runs."""

    NAME = "half-image-runs"
    TITLE = "runs what has come of an image after a power cut"

    def __init__(self) -> None:
        self._is_half = False

    def run(self, call: Call) -> Payload:
        """Return another version while an image has come in part."""
        command = call.request.command
        reply = dispatch.run(call)
        if isinstance(command, ImageData | ImageEnd):
            self._is_half = isinstance(command, ImageData)
        is_version = isinstance(command, ReadObject) and command.code == _VERSION_OBJECT
        if is_version and self._is_half and isinstance(reply, ReadObjectReply):
            return ReadObjectReply(code=_VERSION_OBJECT, value=b"\xff" + reply.value[1:])
        return reply


IMAGE_DEFECTS: tuple[type[Defect], ...] = (
    GuestStartsTransfer,
    GuestSendsBlocks,
    RestartSilent,
    EmptyImageTaken,
    HugeImageTaken,
    BlockUnasked,
    BlockNumberUnchecked,
    BlockLengthUnchecked,
    IncompleteTaken,
    EndAnyValue,
    AbortRefused,
    AbortForgetsNothing,
    BlockRepeatRefused,
    AnyImageTaken,
    UnsignedTaken,
    ImageSignatureUnchecked,
    ImageHashUnchecked,
    ImageTargetUnchecked,
    ImageExpiryUnchecked,
    OlderImageTaken,
    RoleUnchecked,
    RefusalSticks,
    HalfImageRuns,
)
