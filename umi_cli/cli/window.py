"""Which stretch of time a user asks for, and the zone that times are shown in beside UTC."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, TypeVar

import click

from umi_cli.cli.params import Parsed
from umi_cli.errors import InputError
from umi_cli.types import format_time

F = TypeVar("F", bound=Callable[..., Any])

_AGO = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DAYS_AGO = {"today": 0, "yesterday": 1}
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_HINT = "write RFC 3339 (2026-11-22T10:00:00Z), a date, 2h, 3d, today, yesterday or now"


@dataclass(frozen=True, slots=True)
class TimeText:
    """A time as it was typed; `2h` and `yesterday` mean something only beside a clock."""

    text: str

    @property
    def is_beside_clock(self) -> bool:
        """Tell whether it is so long before the present, or the present itself."""
        text = self.text.strip().lower()
        return text == "now" or _AGO.fullmatch(text) is not None

    def resolve(self, now: datetime, zone: tzinfo = UTC) -> datetime:
        """Return the moment in UTC.

        Args:
            now: the present, aware.
            zone: where a day begins, and where a time without a zone is meant.

        Raises:
            InputError: the text is no time.
        """
        text = self.text.strip().lower()
        if text == "now":
            return now.astimezone(UTC)
        if found := _AGO.fullmatch(text):
            return _before(now, timedelta(**{_UNITS[found[2]]: int(found[1])}), self.text)
        if text in _DAYS_AGO:
            day = now.astimezone(zone).date() - timedelta(days=_DAYS_AGO[text])
            return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        return _absolute(self.text.strip(), zone)


def _before(now: datetime, distance: timedelta, text: str) -> datetime:
    try:
        return (now - distance).astimezone(UTC)
    except OverflowError as error:
        raise InputError(f"{text!r} is longer ago than the calendar goes", hint=_HINT) from error


def _absolute(text: str, zone: tzinfo) -> datetime:
    try:
        moment = datetime.fromisoformat(text.upper())  # RFC 3339, 5.6: t and z are T and Z
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{text!r} is no time", hint=_HINT) from error


def _time_text(text: str) -> TimeText:
    wanted = TimeText(text)
    wanted.resolve(_ANY_TIME)  # what is no time is told at once
    return wanted


class LocalZone(tzinfo):
    """The zone of this host, with its changes between winter and summer time."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """Return what the host's clock is ahead of UTC at a local time."""
        return None if moment is None else moment.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, moment: datetime | None) -> timedelta | None:
        """Return None: the host does not say how much of it is summer time."""
        return None

    def tzname(self, moment: datetime | None) -> str:
        """Return how it is asked for."""
        return "local"

    def fromutc(self, moment: datetime) -> datetime:
        """Return the local time; `fold` tells the second of two that look alike."""
        local = moment.replace(tzinfo=UTC).astimezone()
        first = local.replace(tzinfo=self, fold=0)
        return first if first.utcoffset() == local.utcoffset() else first.replace(fold=1)

    def __str__(self) -> str:
        return "local"


def _zone(text: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    if text.lower() == "local":
        return LocalZone()
    try:
        return ZoneInfo(text)
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise InputError(f"{text!r} is no time zone", hint=_ZONES) from error
    except KeyError as error:
        raise InputError(f"this host knows no time zone {text!r}", hint=_ZONES) from error


_ZONES = "zones are named as Europe/London; UTC and local do as well"
TIME_TEXT = Parsed("time", _time_text)
ZONE = Parsed("zone", _zone)

SINCE = click.option(
    "--since",
    type=TIME_TEXT,
    metavar="TIME",
    help="From then on; 2h, yesterday (in UTC)",
)
UNTIL = click.option("--until", type=TIME_TEXT, metavar="TIME", help="Up to then, and not then")
TZ = click.option(
    "--tz", type=ZONE, metavar="ZONE", help="Days are of this zone; show its times too"
)


def _choose_csv(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and ctx.obj is not None:
        ctx.obj.given["csv"] = True
        ctx.obj.given.setdefault("output", "csv")


CSV = click.option(
    "--csv", is_flag=True, expose_value=False, callback=_choose_csv, help="The same as -o csv"
)


def csv_option(function: F) -> F:
    """Give a command `--csv`, the short way to say `-o csv`."""
    decorated: F = CSV(function)
    return decorated


def window_options(function: F) -> F:
    """Give a command `--since`, `--until` and `--tz`."""
    decorated: F = SINCE(UNTIL(TZ(function)))
    return decorated


def check_order(since: TimeText | None, until: TimeText | None) -> None:
    """Check that one end comes before the other, where that is so whatever the clock says.

    Raises:
        InputError: both are told beside the same clock, and the wrong way round.
    """
    if since is None or until is None or not (since.is_beside_clock and until.is_beside_clock):
        return
    if since.resolve(_ANY_TIME) >= until.resolve(_ANY_TIME):
        raise _backwards(since.text, until.text)


def _backwards(since: str, until: str) -> InputError:
    return InputError(
        f"--since {since} is not before --until {until}", hint="swap the two, or leave one out"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time; an end that is None is open."""

    since: datetime | None = None
    """The first moment that belongs to it."""
    until: datetime | None = None
    """The first moment after it."""

    @classmethod
    def of(
        cls,
        since: TimeText | None,
        until: TimeText | None,
        now: datetime,
        zone: tzinfo | None = None,
    ) -> "Window":
        """Return what two options mean beside a clock.

        Raises:
            InputError: it would end before it begins.
        """
        first = since.resolve(now, zone or UTC) if since else None
        last = until.resolve(now, zone or UTC) if until else None
        if first and last and first >= last:
            raise _backwards(format_time(first), format_time(last))
        return cls(since=first, until=last)

    def __contains__(self, moment: datetime) -> bool:
        return (self.since is None or moment >= self.since) and (
            self.until is None or moment < self.until
        )
