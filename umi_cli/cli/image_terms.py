"""What the builder of a package decides, as options of `umi image build`."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click

from umi_cli.cli.params import TIME, UMI_ID, Parsed
from umi_cli.errors import InputError

if TYPE_CHECKING:
    from umi_cli.cli.context import App
    from umi_cli.images.header import ImageLabel, Version
    from umi_cli.types import UmiId

F = TypeVar("F", bound=Callable[..., Any])

SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"
_SECONDS = re.compile(r"[0-9]{1,12}")


def _version(text: str) -> "Version":
    from umi_cli.images.header import Version

    return Version.parse(text)


VERSION = Parsed("version", _version)
"""`1.5.0`."""

_OPTIONS = (
    click.option("--model", metavar="MODEL", required=True, help="Model, up to 16 characters"),
    click.option("--version", type=VERSION, metavar="X.Y.Z", required=True, help="Its version"),
    click.option("--slot", type=click.IntRange(0, 255), default=0, metavar="N", help="Image slot"),
    click.option(
        "--target-min", type=UMI_ID, metavar="ID", required=True, help="Lowest device it is for"
    ),
    click.option(
        "--target-max", type=UMI_ID, metavar="ID", required=True, help="Highest device it is for"
    ),
    click.option("--not-after", type=TIME, metavar="TIME", help="No device is to take it later"),
    click.option(
        "--built", type=TIME, metavar="TIME", help=f"Default: {SOURCE_DATE_EPOCH}, or now"
    ),
)


class Given(TypedDict):
    """The options as they were given; what is None was not."""

    model: str
    version: "Version"
    slot: int
    target_min: "UmiId"
    target_max: "UmiId"
    not_after: datetime | None
    built: datetime | None


def label_options(function: F) -> F:
    """Add the options to a command, which takes them as keywords: a `Given`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def label_of(app: "App", given: Given) -> "ImageLabel":
    """Return the label that the options make.

    Raises:
        InputError: they contradict themselves, or fit no package.
    """
    from umi_cli.certificates.authorisation import TargetRange
    from umi_cli.images.header import ImageLabel
    from umi_cli.types import from_datetime

    lowest, highest = given["target_min"], given["target_max"]
    if lowest > highest:
        raise InputError(
            f"no device is from {lowest} to {highest}", hint="--target-min is the lower one"
        )
    not_after = given["not_after"]
    built_s = _built_s(app) if given["built"] is None else from_datetime(given["built"])
    try:
        return ImageLabel(
            model=given["model"],
            version=given["version"],
            slot=given["slot"],
            targets=TargetRange(lowest=lowest, highest=highest),
            built_s=built_s,
            not_after_s=from_datetime(not_after) if not_after else 0,
        )
    except ValueError as error:
        raise InputError(f"no such package: {error}") from error


def _built_s(app: "App") -> int:
    """Return when it was built: as the build system says, so that it can be repeated, or now."""
    from umi_cli.types import EPOCH_UNIX_S, MAX_DATETIME_S, from_datetime

    text = app.environment.get(SOURCE_DATE_EPOCH, "")
    if not text:
        return from_datetime(datetime.now(UTC))
    is_number = _SECONDS.fullmatch(text) is not None
    seconds = int(text) - EPOCH_UNIX_S if is_number else 0
    if not is_number or seconds > MAX_DATETIME_S:
        raise InputError(
            f"{SOURCE_DATE_EPOCH} is {text!r}, and no time that fits a package",
            hint="set it to seconds since 1970, or name the time with --built",
        )
    return max(seconds, 0)  # before 2000 means that no time is to be told
