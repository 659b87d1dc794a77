"""How a single value stands in bytes: integers, text, bytes, times, identities (protocol 1 and 4).

Every type has one way in and one way out. In: `coerce` takes what a user typed, what `to_json`
printed, or the Python value itself, and returns the Python value, checked; `pack` then cannot
fail. Out: `decode` checks the length and nothing else can go wrong.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, DecimalException, Inexact
from typing import Any, Generic, TypeAlias, TypeVar

from umi_cli import types, wire
from umi_cli.errors import InputError, MalformedError
from umi_cli.objects.values import DayTime, Units
from umi_cli.types import UmiCode, UmiId

T = TypeVar("T")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_HEX_NUMBER = re.compile(r"0x[0-9a-f]+", re.IGNORECASE)
# Wide enough for 64 bits times any sane scale; what does not fit exactly is refused, not rounded.
_EXACT = Context(prec=100, traps=[Inexact])
_PADDING = b"\x00 "  # protocol 4: strings are padded with 0x00 or 0x20
_UNPRINTABLE = re.compile(r"[^\x20-\x5b\x5d-\x7e]")  # the backslash too: it opens an escape
_ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})")
_ESCAPED = re.compile(r"(?:[\x20-\x5b\x5d-\x7e]|\\x[0-9A-Fa-f]{2})*")


class ValueType(ABC, Generic[T]):
    """A type of the datasheet: what its bytes mean, and how its values are typed."""

    __slots__ = ()

    @property
    @abstractmethod
    def max_bytes(self) -> int:
        """Return how many bytes a value has at most."""

    @property
    def is_variable(self) -> bool:
        """Tell whether a value may have fewer bytes."""
        return False

    @property
    def size_bytes(self) -> int | None:
        """Return how many bytes every value has; None if that varies."""
        return None if self.is_variable else self.max_bytes

    @property
    def units(self) -> Units:
        """Return the unit of a value, or of a structure's members by name."""
        return ""

    def decode(self, raw: bytes, what: str = "value") -> T:
        """Decode a value from exactly its bytes.

        Args:
            raw: the bytes.
            what: the name of what is decoded, for the error sentence.

        Raises:
            MalformedError: there are too many bytes, or too few.
        """
        if len(raw) > self.max_bytes or (len(raw) < self.max_bytes and not self.is_variable):
            expected = f"at most {self.max_bytes}" if self.is_variable else str(self.max_bytes)
            raise MalformedError(f"{what} has {len(raw)} bytes instead of {expected}")
        return self.unpack(raw, what)

    def encode(self, value: object, what: str = "value") -> bytes:
        """Encode a value in any of the forms `coerce` takes; `InputError` as there."""
        return self.pack(self.coerce(value, what))

    def parse(self, text: str, what: str = "value") -> T:
        """Return the value of a text as a user types it; `InputError` as in `coerce`."""
        return self.coerce(text, what)

    @abstractmethod
    def coerce(self, value: object, what: str = "value") -> T:
        """Return the checked Python value of a text, of its JSON form, or of itself.

        Raises:
            InputError: it has another form, or is out of range.
        """

    @abstractmethod
    def unpack(self, raw: bytes, what: str) -> T:
        """Return the value of bytes whose number is right."""

    @abstractmethod
    def pack(self, value: T) -> bytes:
        """Return the bytes of a checked value."""


AnyType: TypeAlias = ValueType[Any]


def refusal(what: str, value: object, expected: str) -> InputError:
    """Return the error that says what was given and what is expected."""
    is_long = isinstance(value, int) and value.bit_length() > 128  # Python refuses to print some
    shown = "the number" if is_long else repr(value)
    return InputError(f"{what}: {shown:.60} is not {expected}")


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Put the name of the member before the sentence of an `InputError`."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {error}", hint=error.hint) from error


def is_number(text: str) -> bool:
    """Tell whether a text is a number: decimal, or hexadecimal after `0x`."""
    return bool(_NUMBER.fullmatch(text.strip()) or _HEX_NUMBER.fullmatch(text.strip()))


def _to_decimal(value: object) -> Decimal | None:
    """Return the exact number that a value or its text is; None if it is none."""
    if isinstance(value, str) and is_number(value):
        value = int(value, 16) if "x" in value.lower() else Decimal(value.strip())
    if isinstance(value, float):
        value = Decimal(repr(value))  # the number as it is written, not its binary neighbour
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    return number if number.is_finite() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer(ValueType[int | Decimal]):
    """`u8` … `u64` and `i8` … `i64`, little-endian, with a scale as an exact decimal."""

    width: int
    """Bytes: 1, 2, 4 or 8."""
    is_signed: bool = False
    scale: Decimal | None = None
    """What one step of the raw number is worth; the value is a `Decimal` then."""
    unit: str = ""

    @property
    def max_bytes(self) -> int:
        """Return the width."""
        return self.width

    @property
    def units(self) -> Units:
        """Return the unit."""
        return self.unit

    def coerce(self, value: object, what: str = "value") -> int | Decimal:
        """Return the number, in scaled units; `InputError` if it is no exact step in range."""
        step = self.scale or Decimal(1)
        low, high = (_EXACT.multiply(Decimal(raw), step) for raw in self._raw_range)
        number = _to_decimal(value)
        if number is None or not low <= number <= high:
            raise refusal(what, value, f"a number of {low:f} to {high:f}")
        try:
            raw = _EXACT.divide(number, step)
        except DecimalException:
            raw = Decimal("0.5")  # not exact: no step either
        if raw != raw.to_integral_value():
            steps = f"a multiple of {step:f}" if self.scale else "a whole number"
            raise refusal(what, value, steps)
        return self._scaled(int(raw))

    def unpack(self, raw: bytes, what: str) -> int | Decimal:
        """Return the number, in scaled units."""
        return self._scaled(int.from_bytes(raw, "little", signed=self.is_signed))

    def pack(self, value: int | Decimal) -> bytes:
        """Return the bytes of the raw number."""
        raw = int(value if self.scale is None else _EXACT.divide(Decimal(value), self.scale))
        return raw.to_bytes(self.width, "little", signed=self.is_signed)

    @property
    def _raw_range(self) -> tuple[int, int]:
        bits = 8 * self.width
        return (-1 << bits - 1, (1 << bits - 1) - 1) if self.is_signed else (0, (1 << bits) - 1)

    def _scaled(self, raw: int) -> int | Decimal:
        return raw if self.scale is None else _EXACT.multiply(Decimal(raw), self.scale)

    def __str__(self) -> str:
        return f"{'i' if self.is_signed else 'u'}{8 * self.width}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ascii(ValueType[str]):
    r"""`ascii[n]`, padded, or `ascii[<=n]`; any other byte and the backslash are `\xNN` in text."""

    length: int
    """Bytes, at most."""
    is_variable: bool = False

    @property
    def max_bytes(self) -> int:
        """Return the length."""
        return self.length

    def coerce(self, value: object, what: str = "value") -> str:
        """Return the text; `InputError` if it has a character that needs an escape, or too many."""
        if not isinstance(value, str) or not _ESCAPED.fullmatch(value):
            raise InputError(
                f"{what}: ASCII text is expected",
                hint=r"write any other byte as \xNN, the backslash itself as \x5c",
            )
        length = len(_ESCAPE.sub("?", value))
        if length > self.length:
            raise InputError(f"{what}: {length} characters are too many, {self.length} fit")
        return value

    def unpack(self, raw: bytes, what: str) -> str:
        """Return the text without its padding."""
        text = raw.rstrip(_PADDING).decode("latin-1")
        return _UNPRINTABLE.sub(lambda match: f"\\x{ord(match[0]):02x}", text)

    def pack(self, value: str) -> bytes:
        """Return the bytes, padded where the length is fixed."""
        raw = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), value).encode("latin-1")
        # choice: of the two paddings of protocol 4 we write 0x00.
        return raw if self.is_variable else raw.ljust(self.length, b"\x00")

    def __str__(self) -> str:
        return f"ascii[{'<=' if self.is_variable else ''}{self.length}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes(ValueType[bytes]):
    """`bytes[n]` or `bytes[<=n]`: no meaning known, typed as hex."""

    length: int
    """Bytes, at most."""
    is_variable: bool = False

    @property
    def max_bytes(self) -> int:
        """Return the length."""
        return self.length

    def coerce(self, value: object, what: str = "value") -> bytes:
        """Return the bytes; `InputError` if they are no hex or too many or too few.

        The sentence does not repeat them: they may be a key.
        """
        raw = parse_hex(value, what) if isinstance(value, str) else value
        if not isinstance(raw, bytes | bytearray | memoryview):
            raise InputError(f"{what}: bytes are expected, as hex")
        if len(raw) > self.length or (len(raw) < self.length and not self.is_variable):
            expected = f"at most {self.length}" if self.is_variable else str(self.length)
            raise InputError(f"{what}: {len(raw)} bytes given, {expected} expected")
        return bytes(raw)

    def unpack(self, raw: bytes, what: str) -> bytes:
        """Return the bytes."""
        return raw

    def pack(self, value: bytes) -> bytes:
        """Return the bytes."""
        return value

    def __str__(self) -> str:
        return f"bytes[{'<=' if self.is_variable else ''}{self.length}]"


def parse_hex(text: str, what: str) -> bytes:
    """Return the bytes of hex digits, with spaces or colons between them or not.

    Raises:
        InputError: it is no hex. The sentence does not repeat it: it may be a key.
    """
    try:
        return bytes.fromhex(text.replace(":", " "))
    except ValueError as error:
        raise InputError(
            f"{what}: bytes are expected, as hex", hint="write two hex digits for each byte"
        ) from error


@dataclass(frozen=True, slots=True)
class DateTime(ValueType[datetime | None]):
    """`datetime`: seconds since 2000 in UTC, u32; 0 is "not set" (protocol 1)."""

    @property
    def max_bytes(self) -> int:
        """Return 4."""
        return 4

    def coerce(self, value: object, what: str = "value") -> datetime | None:
        """Return the time in whole seconds; `InputError` without zone or out of range."""
        if value is None:
            return None
        with naming(what):
            if isinstance(value, str):
                return types.to_datetime(types.parse_datetime(value))
            if isinstance(value, datetime) and value.tzinfo is not None:
                return types.to_datetime(types.from_datetime(value))
        raise refusal(what, value, "a time with a zone, such as 2026-11-22T10:00:00Z")

    def unpack(self, raw: bytes, what: str) -> datetime | None:
        """Return the time; None for 0."""
        return types.to_datetime(int.from_bytes(raw, "little"))

    def pack(self, value: datetime | None) -> bytes:
        """Return the seconds since 2000; 0 for None."""
        return wire.u32(0 if value is None else types.from_datetime(value))

    def __str__(self) -> str:
        return "datetime"


@dataclass(frozen=True, slots=True)
class DayTimeType(ValueType[DayTime]):
    """`ddhhmmss`: days, hours, minutes and seconds."""

    # choice: protocol 4 gives four bytes and the name; we take the name's order, a byte each.

    @property
    def max_bytes(self) -> int:
        """Return 4."""
        return 4

    def coerce(self, value: object, what: str = "value") -> DayTime:
        """Return days and time; `InputError` if it has another form than `1d 02:03:04`."""
        if isinstance(value, DayTime):
            return value
        if not isinstance(value, str):
            raise refusal(what, value, "days and a time, such as '1d 02:03:04'")
        with naming(what):
            return DayTime.parse(value)

    def unpack(self, raw: bytes, what: str) -> DayTime:
        """Return days and time, as they come: 99 minutes stay 99 minutes."""
        return DayTime(*raw)

    def pack(self, value: DayTime) -> bytes:
        """Return a byte for each part."""
        return bytes((value.days, value.hours, value.minutes, value.seconds))

    def __str__(self) -> str:
        return "ddhhmmss"


IdentityT = TypeVar("IdentityT", UmiId, UmiCode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(ValueType[IdentityT]):
    """`umi-id`, a u64, and `umi-code`, a u32."""

    identity: type[IdentityT]
    width: int
    """Bytes."""

    @property
    def max_bytes(self) -> int:
        """Return the width."""
        return self.width

    def coerce(self, value: object, what: str = "value") -> IdentityT:
        """Return the UMI ID or UMI code; `InputError` if it has another form."""
        if isinstance(value, self.identity):
            return value
        if not isinstance(value, str):
            raise refusal(what, value, f"a {self}")
        with naming(what):
            return self.identity.parse(value)

    def unpack(self, raw: bytes, what: str) -> IdentityT:
        """Return the UMI ID or UMI code."""
        return self.identity(int.from_bytes(raw, "little"))

    def pack(self, value: IdentityT) -> bytes:
        """Return the bytes of the wire."""
        return value.encode()

    def __str__(self) -> str:
        return "umi-id" if self.width == 8 else "umi-code"
