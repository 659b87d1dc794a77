"""How often and how long a command goes on by itself: --every, --count, --for, --failures."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from umi_cli.cli.params import Parsed
from umi_cli.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

MIN_S = 0.01  # faster than any line, and a mistake in the unit
MAX_S = 366 * 86_400
MAX_COUNT = 1_000_000_000
DEFAULT_FAILURES = 10


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not MIN_S <= seconds <= MAX_S:  # NaN is not, either
        raise InputError(f"{text!r} is no number of seconds from {MIN_S} to {MAX_S}")
    return seconds


def _count(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_COUNT))
    if not is_number or not 1 <= int(text) <= MAX_COUNT:
        raise InputError(f"{text!r} is no number from 1 to {MAX_COUNT}")
    return int(text)


LONG_SECONDS = Parsed("seconds", _seconds)
COUNT = Parsed("count", _count)


def repeat_options(counted: str, every: str, default_every_s: float | None) -> Callable[[F], F]:
    """Give a command `--every`, `--count`, `--for` and `--failures`.

    Args:
        counted: what `--count` counts, such as `events`.
        every: the help of `--every`.
        default_every_s: seconds; None if the user must say.
    """

    def decorate(function: F) -> F:
        options = [
            click.option(
                "--every",
                "every_s",
                type=LONG_SECONDS,
                metavar="SECONDS",
                help=every,
                **_default(default_every_s),
            ),
            click.option("--count", type=COUNT, metavar="N", help=f"End after so many {counted}"),
            click.option(
                "--for", "for_s", type=LONG_SECONDS, metavar="SECONDS", help="End after so long"
            ),
            click.option(
                "--failures",
                type=COUNT,
                metavar="N",
                default=str(DEFAULT_FAILURES),
                help=f"Give up after so many in a row; default: {DEFAULT_FAILURES}",
            ),
        ]
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _default(every_s: float | None) -> dict[str, Any]:
    return {"required": True} if every_s is None else {"default": f"{every_s:g}"}


def check_ends(form: str, count: int | None, for_s: float | None) -> None:
    """Make sure that what prints one document at its end has one.

    Raises:
        InputError: it has none.
    """
    if form == "json" and count is None and for_s is None:
        raise InputError(
            "--json prints one document at the end, and this has no end",
            hint="give --count N or --for SECONDS, or use --events for one JSON object a line",
        )
