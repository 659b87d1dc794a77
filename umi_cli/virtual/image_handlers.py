"""What a virtual meter does on the commands of an image transfer (protocol 3.2, 7)."""

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import (
    ImageData,
    ImageDataReply,
    ImageEnd,
    ImageEndReply,
    ImageStart,
    ImageStartReply,
)
from umi_cli.virtual.dispatch import Call, handles
from umi_cli.virtual.refusal import Refusal
from umi_cli.virtual.updates import UPLOADERS


@handles(ImageStart)
def _start(call: Call, command: ImageStart) -> ImageStartReply:
    _check_role(call)
    if call.updates.start(command.length_bytes):
        raise Refusal(ResultCode.TRANSFER_RESTARTED)  # it is no refusal: it has begun anew
    return ImageStartReply()


@handles(ImageData)
def _data(call: Call, command: ImageData) -> ImageDataReply:
    _check_role(call)
    call.updates.add(command.number, command.data)
    return ImageDataReply()


@handles(ImageEnd)
def _end(call: Call, command: ImageEnd) -> ImageEndReply:
    _check_role(call)
    if command.is_valid > 1:
        raise Refusal(ResultCode.INVALID_VALUE)
    if command.is_valid:
        call.updates.finish(call.role)
    else:
        call.updates.abort()
    return ImageEndReply()


def _check_role(call: Call) -> None:
    # choice: whoever may begin a transfer may go on with it: it outlives sessions and commanders
    if call.role not in UPLOADERS:
        raise Refusal(ResultCode.ACCESS_DENIED)
