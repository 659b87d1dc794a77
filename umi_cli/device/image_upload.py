"""How a meter is given an image: what it is and runs, the transfer, and what came of it.

Three facts are told apart (protocol 7): the device accepted the image, it was activated, and which
version runs.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

from umi_cli.application.codes import ResultCode
from umi_cli.application.payload import Command
from umi_cli.device.meter import Meter
from umi_cli.errors import (
    ImageError,
    OutcomeUnknownError,
    RefusedError,
    UmiError,
)
from umi_cli.images.failures import ImageFailure, refusal
from umi_cli.images.header import Version
from umi_cli.images.upload import Course, Transfer, Upload, UploadState
from umi_cli.link.fragment import MAX_FRAGMENT_BYTES

DEFAULT_BLOCK_BYTES = 16_384
# What a packet carries beside a block: envelope and header, number, signature record, GCM tag.
OVERHEAD_BYTES = 32 + 4 + 2 + 16
POLL_S = 2.0  # between looks at a device that activates later
LAST_EVENTS = 8
UPGRADE_EVENT = 2
_COMPLETED = 1
_BAD_IMAGE_HINT = (
    "it may not know the certificate of who signed it, which umi auth in his name hands over; "
    "or take no older version from this role"
)
_OF_IMAGE = {
    ResultCode.WRONG_IMAGE_TARGET: ImageFailure.WRONG_TARGET,
    ResultCode.BAD_IMAGE: ImageFailure.BAD_SIGNATURE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a device is and runs."""

    model: str | None = None
    version: Version | None = None
    slot: int | None = None


@dataclass(slots=True, kw_only=True)
class UploadResult:
    """What came of an upload."""

    before: Running
    course: Course = field(default_factory=Course)
    is_accepted: bool | None = None
    """The device said OK to the whole image; None if its answer was lost."""
    is_activated: bool | None = None
    """It has logged the change, or runs the new version; None if it does not say."""
    after: Running = field(default_factory=Running)


def read_running(meter: Meter) -> Running:
    """Ask a device what it is and runs; what it refuses to say is None.

    Raises:
        UmiError: it does not answer.
    """
    model = _read(meter, "manufacturer-id/model")
    software = _read(meter, "active-software-version")
    if not isinstance(software, dict):
        return Running(model=model if isinstance(model, str) else None)
    numbers = {name: int(cast(int, software[name])) for name in ("major", "minor", "bugfix")}
    return Running(
        model=model if isinstance(model, str) else None,
        version=Version(**numbers),
        slot=int(cast(int, software["slot"])),
    )


def _read(meter: Meter, name: str) -> Any:
    try:
        return meter.read(name).value
    except RefusedError:
        return None


def fitting_block_bytes(limit_bytes: int) -> int:
    """Return the longest block up to a limit whose packet fills its fragments."""
    fragments = (limit_bytes + OVERHEAD_BYTES) // MAX_FRAGMENT_BYTES
    filled = fragments * MAX_FRAGMENT_BYTES - OVERHEAD_BYTES
    return filled if filled > 0 else limit_bytes


def first_block_bytes(meter: Meter, learned: int | None) -> int:
    """Return how much to send at once: what the model takes, the line bears, the fragments hold."""
    limits = [learned or DEFAULT_BLOCK_BYTES]
    if meter.transport.chunk_bytes is not None:
        limits.append(meter.transport.chunk_bytes)
    return fitting_block_bytes(min(limits))


def upload(
    meter: Meter,
    transfer: Transfer,
    *,
    version: Version,
    block_bytes: int,
    state: UploadState | None,
    result: UploadResult,
    before_end: Callable[[], None] = lambda: None,
    wait_s: float = 0.0,
) -> None:
    """Send a verified package and have the device check it; `result` is filled on the way.

    Args:
        version: of the image.
        block_bytes: how much to send at once.
        state: how far an earlier run came.
        before_end: called when the device has everything, before it is told that it is valid.
        wait_s: how long to wait for what runs to tell, if nothing else does.

    Raises:
        ImageError: the device finds the image wrong.
        LostError: the device was lost, or it cannot be told whether it took the image; the same
            upload can go on.
        RefusedError: it refuses for another reason.
    """
    sender = Upload(replace(transfer, request=_requester(meter)), block_bytes, state)
    result.course = sender.course
    sender.send()
    before_end()
    try:
        result.is_accepted = sender.end() or None
    except RefusedError as error:
        result.is_accepted = False
        raise _told(error) from error
    if result.is_accepted is None:
        look_after(meter, result, version, wait_s=wait_s)
    if result.is_accepted is None:
        raise OutcomeUnknownError(
            "the answer to IMAGE_END was lost: unknown whether the device took the image",
            hint="see what it runs with: umi read active-software-version",
        )


def _requester(meter: Meter) -> Callable[[Command[Any]], object]:
    return lambda command: meter.session.request(command)


def _told(error: RefusedError) -> UmiError:
    """Return what a refused image is told as: the device's reason, under an image's exit code."""
    failure = _OF_IMAGE.get(ResultCode(error.number)) if _is_known(error.number) else None
    if failure is None:
        return error
    # It names no reason; we cannot check whom it knows, and whom it lets go back.
    hint = _BAD_IMAGE_HINT if failure is ImageFailure.BAD_SIGNATURE else ""
    return refusal(failure, str(error), hint=hint, cause=error)


def _is_known(number: int) -> bool:
    return number in ResultCode.__members__.values()


def look_after(
    meter: Meter, result: UploadResult, version: Version, *, wait_s: float = 0.0
) -> None:
    """See what the device made of the image: whether it was activated, and what runs.

    Args:
        version: of the image.
        wait_s: how long to wait for a device that activates later.

    Raises:
        UmiError: it does not answer.
    """
    clock = meter.transport.clock
    until = clock.monotonic() + wait_s
    while True:
        result.after = read_running(meter)
        is_running = result.after.version == version
        is_logged = _has_logged(meter)
        result.is_activated = True if is_running else is_logged
        if is_running and result.is_accepted is None:
            result.is_accepted = True
        if is_running or clock.monotonic() >= until:
            return
        meter.session.listen(min(POLL_S, max(0.0, until - clock.monotonic())))


def _has_logged(meter: Meter) -> bool | None:
    """Tell whether the last software upgrade in the log was completed; None if there is none."""
    with suppress(RefusedError, ImageError):
        count = int(cast(int, _read(meter, "event-status/entries") or 0))
        first = max(0, count - LAST_EVENTS)
        if not count:
            return None
        found = meter.read(f"event-table[{first}:{count - 1}]").value
        reasons = [_reason(event) for event in cast(list[dict[str, Any]], found)]
        known = [reason for reason in reasons if reason is not None]
        return known[-1] == _COMPLETED if known else None
    return None


def _reason(event: dict[str, Any]) -> int | None:
    number = event["event"]
    if int(getattr(number, "number", number)) != UPGRADE_EVENT:
        return None
    data = event["data"]
    return int(data[0]) if isinstance(data, bytes) and data else None
