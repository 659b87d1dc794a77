"""How a decoded value looks: as Python, as JSON (`--json`), and as one line for people.

Protocol 4; the JSON forms are those the command line documents under "Streams".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Self, TypeAlias

from umi_cli.errors import InputError
from umi_cli.types import RoleSet, UmiCode, UmiId, format_datetime, from_datetime

MAX_EXACT_JSON_INTEGER = 1 << 53  # beyond it, many JSON readers round
NOT_SET = "not set"  # a datetime of 0 (protocol 1)
JsonValue: TypeAlias = "str | int | float | bool | dict[str, JsonValue] | list[JsonValue] | None"
Units: TypeAlias = "str | Mapping[str, str]"
"""The unit of a value, or of a structure's members by name; an empty string is no unit."""

_DAY_TIME = re.compile(r"(?:(\d{1,3})d +)?(\d{1,2}):(\d{1,2}):(\d{1,2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Enumerated:
    """A number that stands for one of several things."""

    number: int
    name: str | None
    """None if the datasheet has no name for the number."""


@dataclass(frozen=True, slots=True)
class Flags:
    """A number whose bits stand for one thing each."""

    number: int
    names: tuple[str, ...]
    """Names of the bits that are set, lowest first; `bit7` where the datasheet has none."""


@dataclass(frozen=True, slots=True, order=True)
class DayTime:
    """A time span or a time of the month: days, hours, minutes, seconds, one byte each."""

    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: int = 0

    def __post_init__(self) -> None:
        # Only bytes are checked: a device may send 99 minutes, and decoding must not lose that.
        bytes((self.days, self.hours, self.minutes, self.seconds))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `1d 02:03:04`, or `02:03:04` for none.

        Raises:
            InputError: it has another form, or a part is out of range.
        """
        match = _DAY_TIME.fullmatch(text.strip())
        parts = [int(part or 0) for part in match.groups()] if match else []
        limits = (0xFF, 23, 59, 59)
        if not parts or any(part > limit for part, limit in zip(parts, limits, strict=True)):
            raise InputError(
                f"{text!r} is not days and a time",
                hint="write up to 255 days and hh:mm:ss, such as '1d 02:03:04'",
            )
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.days}d {self.hours:02}:{self.minutes:02}:{self.seconds:02}"


Value: TypeAlias = (
    "int | Decimal | str | bytes | datetime | UmiId | UmiCode | RoleSet | Enumerated | Flags"
    " | DayTime | dict[str, Value] | list[Value] | None"
)
"""A decoded value: None is a datetime that is not set, a dict a structure, a list an array."""


def to_json(value: Value) -> JsonValue:
    """Return a value as `--json` prints it."""
    match value:
        case dict():
            return {name: to_json(item) for name, item in value.items()}
        case list():
            return [to_json(item) for item in value]
        case Enumerated() | Flags() | RoleSet():
            return record_of(value)
        case Decimal():
            return _decimal_to_json(value)
        case int():
            return str(value) if abs(value) > MAX_EXACT_JSON_INTEGER else value
        case _:
            return None if value is None else _plain_text(value)


def record_of(value: Enumerated | Flags | RoleSet) -> "dict[str, JsonValue]":
    """Return the JSON object of a number with names."""
    match value:
        case Enumerated():
            return {"number": value.number, "name": value.name}
        case Flags():
            return {"number": value.number, "names": list(value.names)}
        case _:
            return {"number": value.bits, "names": list(value.labels)}


def _decimal_to_json(value: Decimal) -> float | str:
    """Return the float that reads back as exactly this decimal, or its text if there is none."""
    number = float(value)
    return number if Decimal(repr(number)) == value else format(value, "f")


def _plain_text(value: str | bytes | datetime | UmiId | UmiCode | DayTime) -> str:
    match value:
        case bytes():
            return value.hex()
        case datetime():
            return format_datetime(from_datetime(value)) or NOT_SET
        case _:
            return str(value)


def to_text(value: Value, units: Units = "") -> str:
    """Return a value as one line for people.

    Args:
        value: the value.
        units: what `Catalogue.units_of` says of it.
    """
    match value:
        case dict():
            unit_of = units if isinstance(units, Mapping) else {}
            items = (
                f"{name}={to_text(item, unit_of.get(name, ''))}" for name, item in value.items()
            )
            return ", ".join(items)
        case list():
            return "[" + "; ".join(to_text(item, units) for item in value) + "]"
        case int() | Decimal():
            return f"{format(value, 'f' if isinstance(value, Decimal) else 'd')} {units}".rstrip()
        case Enumerated():
            return str(value.number) if value.name is None else value.name
        case Flags():
            return ",".join(value.names) or "none"
        case RoleSet():
            return str(value)
        case _:
            return NOT_SET if value is None else _plain_text(value)
