"""Which values may be given to units: ranges of UMI IDs and serial numbers, and what is no value.

A pool has no memory: which of its values are used, the journal knows. So a range may be added to a
pool, or a pool be written anew, at any time.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from umi_cli.errors import InputError, PlaceholderError
from umi_cli.types import DEFAULT_READER_ID, UNKNOWN_DEVICE, UmiId

UMI_ID = "umi-id"
SERIAL = "serial"
CERTIFICATE_SERIAL = "certificate-serial"

MAX_VALUE_CHARS = 64
_SHORTEST_FILLER = 6  # "1111" may be a number; "111111" is a finger on a key
_FILLERS = "01FX"
_DEFAULT_TEXTS = frozenset(
    {"NONE", "NULL", "NA", "NAN", "UNKNOWN", "DEFAULT", "TEST", "TBD", "TODO", "EMPTY", "DEADBEEF"}
    | {"01234567", "0123456789", "12345678", "123456789", "1234567890"}
)
_SEPARATORS = re.compile(r"[\s/._:-]")
_FIXED_IDS = frozenset(
    {UmiId(0x0023_7EFE_0000_0000), UmiId(0x0023_7EFE_0000_0001), DEFAULT_READER_ID, UNKNOWN_DEVICE}
)
"""Every Host, modem and reader in the field has the same UMI ID (protocol 6.4, aliases)."""

_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<digits>[0-9]+)", re.ASCII)


def checked_value(kind: str, text: str) -> str:
    """Return a value in the form in which values of its kind are compared.

    Raises:
        PlaceholderError: it is a value that nobody was given.
        InputError: it is no value of that kind.
    """
    value = _normal(kind, text)
    if is_placeholder(kind, value):
        raise PlaceholderError(f"{text!r} is a placeholder, no {kind} of a unit")
    return value


def _normal(kind: str, text: str) -> str:
    stripped = text.strip()
    if kind == UMI_ID and stripped:
        return str(UmiId.parse(stripped))
    if not stripped.isprintable() or len(stripped) > MAX_VALUE_CHARS:
        raise InputError(
            f"{text[:MAX_VALUE_CHARS]!r} cannot be a {kind}",
            hint=f"write at most {MAX_VALUE_CHARS} characters that print",
        )
    return stripped


def is_placeholder(kind: str, value: str) -> bool:
    """Tell whether a value is one that nobody was given: nothing, zeros, ones, a known default."""
    bare = _SEPARATORS.sub("", value).upper()
    if not bare.strip("0?"):
        return True
    if kind == UMI_ID and UmiId.parse(value) in _FIXED_IDS:
        return True
    is_filler = len(set(bare)) == 1 and bare[0] in _FILLERS and len(bare) >= _SHORTEST_FILLER
    return is_filler or bare in _DEFAULT_TEXTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Values that differ in a number at their end, such as SN000100 to SN000199."""

    prefix: str
    first: int
    last: int
    digits: int
    """How many digits the number has, with zeros in front."""
    base: int = 10
    """10, or 16 for UMI IDs."""

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last < self.base**self.digits:
            raise ValueError("a range goes up, and its numbers have as many digits as it says")

    @classmethod
    def parse(cls, kind: str, text: str) -> Self:
        """Parse `FIRST..LAST`, `FIRST+COUNT` or a single value.

        Raises:
            InputError: it has another form, or goes down.
        """
        first, _, last = text.partition("..")
        first, _, count = first.partition("+")
        try:
            start = cls._single(kind, first)
            if count:
                return start.extended(start.first + int(count) - 1)
            return start.joined(cls._single(kind, last)) if last else start
        except ValueError as error:
            raise InputError(
                f"{text!r} is no range of values of the kind {kind}",
                hint="write FIRST..LAST or FIRST+COUNT, such as SN000100..SN000199",
            ) from error

    @classmethod
    def _single(cls, kind: str, text: str) -> Self:
        value = _normal(kind, text)
        if kind == UMI_ID and value:
            number = int(value, 16)
            return cls(prefix="", first=number, last=number, digits=len(value), base=16)
        match = _NUMBERED.fullmatch(value)
        if match is None:
            raise ValueError("a value of a range ends in digits")
        number = int(match["digits"])
        return cls(prefix=match["prefix"], first=number, last=number, digits=len(match["digits"]))

    def extended(self, last: int) -> Self:
        """Return the range from our first number to another last one; `ValueError` if none is."""
        return type(self)(
            prefix=self.prefix, first=self.first, last=last, digits=self.digits, base=self.base
        )

    def joined(self, end: Self) -> Self:
        """Return the range up to the end of another one; `ValueError` if they do not match."""
        if (self.prefix, self.digits) != (end.prefix, end.digits):
            raise ValueError("both ends of a range look alike")
        return self.extended(end.last)

    def value(self, number: int) -> str:
        """Return the value with a number."""
        form = "X" if self.base == 16 else "d"
        return f"{self.prefix}{number:0{self.digits}{form}}"

    def values_after(self, value: str | None) -> Iterator[str]:
        """Yield the values behind one of them; all of them for None, or where it is none."""
        start = self.first
        if value is not None and self.value(number := self._number(value)) == value:
            start = number + 1
        yield from (self.value(number) for number in range(start, self.last + 1))

    def _number(self, value: str) -> int:
        """Return the number of a value; the first one if it has none."""
        try:
            return int(value[len(self.prefix) :], self.base)
        except ValueError:
            return self.first

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.value(self.first)}..{self.value(self.last)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Values to be given to units, in their order."""

    name: str
    """For messages and the journal."""
    ranges: tuple[Range, ...]

    @classmethod
    def parse(cls, name: str, kind: str, ranges: str | Iterable[str]) -> Self:
        """Parse the ranges of a pool: several texts, or one with commas between.

        Args:
            name: of the pool.
            kind: of the values: "umi-id" counts in hex, every other one in decimal.
            ranges: each `FIRST..LAST`, `FIRST+COUNT` or a single value.

        Raises:
            InputError: a range has another form, or there is none.
        """
        texts = ranges.split(",") if isinstance(ranges, str) else ranges
        parsed = tuple(Range.parse(kind, text) for text in texts)
        if not parsed:
            raise InputError(f"the pool {name!r} has no range")
        return cls(name=name, ranges=parsed)

    def __len__(self) -> int:
        return sum(map(len, self.ranges))
