"""The value types of the standard: UMI code, UMI ID, role, role set, object part, datetime.

Source: protocol 1 and 6.1.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Self

from umi_cli import wire
from umi_cli.errors import InputError
from umi_cli.names import near, normal
from umi_cli.wire import Reader

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
EPOCH_UNIX_S = 946_684_800  # 2000-01-01T00:00:00Z as a Unix time
MAX_DATETIME_S = 0xFFFF_FFFF  # u32: ends 2136-02-07T06:28:15Z
TO_END = 0xFFFF  # as last element: to the end of the array
ALL_MEMBERS = 0xFF  # as member: every member of the structure
MAX_ELEMENT = TO_END - 1
MAX_MEMBER = ALL_MEMBERS - 1

_CODE = re.compile(r"umi\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.IGNORECASE | re.ASCII)
_SELECTION = re.compile(
    r"(?P<head>[^\[\]/]+)(?:\[(?P<elements>[^\[\]]*)\])?(?:/(?P<member>[^\[\]/]+))?"
)
_ELEMENTS = re.compile(r"(\d{1,5})?(?:(:)(\d{1,5})?)?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class UmiCode:
    """The address of a data object: four bytes, written `umi.b3.b2.b1.b0` (protocol 1)."""

    value: int
    """0..2³²-1; on the wire b0 first."""

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 0xFFFF_FFFF:
            raise ValueError(f"a UMI code is 32 bits, not {self.value:#x}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `umi.b3.b2.b1.b0`.

        Raises:
            InputError: it has another form, or a number past 255.
        """
        match = _CODE.fullmatch(text.strip())
        numbers = [int(number) for number in match.groups()] if match else []
        if not numbers or max(numbers) > 0xFF:
            raise InputError(
                f"{text!r} is not a UMI code",
                hint="write umi and four numbers of 0 to 255, such as umi.1.1.0.0",
            )
        return cls(int.from_bytes(bytes(numbers), "big"))

    @property
    def bank(self) -> str:
        """Return the bank, such as `umi.1.1`: the two upper bytes."""
        return f"umi.{self.value >> 24}.{self.value >> 16 & 0xFF}"

    def encode(self) -> bytes:
        """Return the 4 bytes of the wire."""
        return wire.u32(self.value)

    def __str__(self) -> str:
        return "umi." + ".".join(str(byte) for byte in self.value.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True, order=True)
class UmiId:
    """The identity of a UMI device, an EUI-64 (protocol 1)."""

    value: int
    """0..2⁶⁴-1; little-endian in packets, big-endian in certificates."""

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 0xFFFF_FFFF_FFFF_FFFF:
            raise ValueError(f"a UMI ID is 64 bits, not {self.value:#x}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse 16 hex digits, with `-` or `:` between bytes or without, or a decimal number.

        Raises:
            InputError: it has another form.
        """
        stripped = text.strip()
        if re.fullmatch(r"[0-9A-Fa-f]{16}|[0-9A-Fa-f]{2}([-:][0-9A-Fa-f]{2}){7}", stripped):
            return cls(int(stripped.replace("-", "").replace(":", ""), 16))
        if re.fullmatch(r"[0-9]{1,20}", stripped) and int(stripped) < 1 << 64:
            return cls(int(stripped))
        raise InputError(
            f"{text!r} is not a UMI ID",
            hint="write 16 hex digits, such as 00237EFE00000004",
        )

    def encode(self) -> bytes:
        """Return the 8 bytes of the wire, little-endian."""
        return wire.u64(self.value)

    def __str__(self) -> str:
        return f"{self.value:016X}"


UNKNOWN_DEVICE = UmiId(0xFFFF_FFFF_FFFF_FFFF)
"""The destination of a command to a device whose UMI ID is not yet known (protocol 3.1)."""

DEFAULT_READER_ID = UmiId(0x0023_7EFE_0000_0004)
"""The fixed UMI ID of a reader (protocol 6.4, aliases)."""


class Role(IntEnum):
    """Who acts: the roles of UMI (protocol 6.1)."""

    GUEST = 0
    HOST = 1
    PERIPHERAL = 2
    METERING_DEVICE = 3
    USER = 4
    SERVICE = 5
    MANUFACTURER = 6
    VERIFICATION = 7
    SOFTWARE_PROVIDER = 8
    UTILITY_SUPPLIER = 9
    GRID_OPERATOR = 10
    REGIONAL_AUTHORITY = 11
    SECURITY_AUTHORITY = 15

    @property
    def label(self) -> str:
        """Return the role's name as users type it, such as `utility-supplier`."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a role's name or number.

        Raises:
            InputError: there is no such role.
        """
        wanted = normal(text)
        for role in cls:
            if wanted in (role.label, str(role.value)):
                return role
        known = "roles are " + ", ".join(f"{role.label} ({role.value})" for role in cls)
        hint = near(text, (role.label for role in cls), known)
        raise InputError(f"there is no role {text!r}", hint=hint)


@dataclass(frozen=True, slots=True)
class RoleSet:
    """Which roles may do something: bit n stands for role n (protocol 1).

    >>> Role.SERVICE in RoleSet.parse("service,manufacturer")
    True
    """

    bits: int
    """0..65535."""

    def __post_init__(self) -> None:
        if not 0 <= self.bits <= 0xFFFF:
            raise ValueError(f"a role set is 16 bits, not {self.bits:#x}")

    @classmethod
    def of(cls, *roles: Role) -> Self:
        """Return the set of these roles."""
        return cls(sum({1 << role for role in roles}))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `all`, `none`, or roles by name or number between commas.

        Raises:
            InputError: a role is unknown.
        """
        wanted = text.strip().lower()
        if wanted == "all":
            return cls.everyone()
        if wanted in ("none", ""):
            return cls(0)
        return cls.of(*(Role.parse(name) for name in wanted.split(",")))

    @classmethod
    def everyone(cls) -> Self:
        """Return the set of every role there is, guest included."""
        return cls.of(*Role)

    @property
    def labels(self) -> list[str]:
        """Return the names of the roles in the set; unused bits as numbers."""
        names = {role.value: role.label for role in Role}
        return [names.get(bit, str(bit)) for bit in range(16) if self.bits >> bit & 1]

    def __contains__(self, role: Role) -> bool:
        return bool(self.bits >> role & 1)

    def encode(self) -> bytes:
        """Return the 2 bytes of the wire."""
        return wire.u16(self.bits)

    def __str__(self) -> str:
        if self.bits & RoleSet.everyone().bits == RoleSet.everyone().bits:
            return "all"
        return ",".join(self.labels) or "none"


@dataclass(frozen=True, slots=True)
class Selection:
    """The text of an object part, taken apart: what the user named, and which part of it."""

    head: str
    """A UMI code, a datasheet name or an OBIS code."""
    first: int
    last: int
    member: str | None
    """A member's number or name; None for all of them."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take `HEAD`, `HEAD/3`, `HEAD[3]`, `HEAD[3:5]`, `HEAD[3:]`, `HEAD[2:4]/3` … apart.

        Raises:
            InputError: it has another form, or a number is out of range.
        """
        match = _SELECTION.fullmatch(text.strip())
        if match is None:
            raise InputError(f"{text!r} is not an object part", hint=_PART_HINT)
        first, last = _parse_elements(match["elements"], text)
        return cls(head=match["head"].strip(), first=first, last=last, member=match["member"])


_PART_HINT = "write umi.1.1.0.0, /3 after it for a member, [3], [3:5] or [3:] for elements"


def _parse_elements(text: str | None, whole: str) -> tuple[int, int]:
    if text is None:
        return 0, TO_END
    match = _ELEMENTS.fullmatch(text.replace(" ", ""))
    if match is None or (not match[1] and not match[2]):
        raise InputError(f"{whole!r} names no elements", hint=_PART_HINT)
    first = int(match[1] or 0)
    last = first if not match[2] else int(match[3] or TO_END)
    if not first <= last or first > MAX_ELEMENT or last > TO_END:
        raise InputError(
            f"{whole!r} has elements out of range",
            hint=f"elements count from 0 to {MAX_ELEMENT}, the first before the last",
        )
    return first, last


@dataclass(frozen=True, slots=True)
class ObjectPart:
    """Which part of an object: 9 bytes on the wire (protocol 1).

    >>> part = ObjectPart.parse("umi.1.1.194.23[0:47]/0")
    >>> part.first, part.last, part.member, part.encode().hex()
    (0, 47, 0, '17c2010100002f0000')
    """

    code: UmiCode
    first: int = 0
    """First element, 0..65534."""
    last: int = TO_END
    """Last element, inclusive; 0xFFFF is to the end."""
    member: int = ALL_MEMBERS
    """Member of each element; 0xFF is all of them."""

    def __post_init__(self) -> None:
        if not (0 <= self.first <= TO_END and 0 <= self.last <= TO_END):
            raise ValueError(f"elements {self.first}..{self.last} are out of range")
        if not 0 <= self.member <= ALL_MEMBERS:
            raise ValueError(f"member {self.member} is out of range")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an object part with a UMI code and a member number.

        Raises:
            InputError: it has another form. (Names are looked up by `objects.catalogue`.)
        """
        selection = Selection.parse(text)
        member = selection.member
        if member is not None and not (member.isascii() and member.isdigit()):
            raise InputError(f"{text!r} has no member number", hint=_PART_HINT)
        number = ALL_MEMBERS if member is None else int(member)
        if member is not None and number > MAX_MEMBER:
            raise InputError(f"{text!r}: members count from 0 to {MAX_MEMBER}")
        return cls(UmiCode.parse(selection.head), selection.first, selection.last, number)

    @property
    def is_whole(self) -> bool:
        """Tell whether this is the whole object."""
        return self.is_every_element and self.member == ALL_MEMBERS

    @property
    def is_every_element(self) -> bool:
        """Tell whether no element is left out."""
        return self.first == 0 and self.last == TO_END

    def encode(self) -> bytes:
        """Return the 9 bytes of the wire."""
        return (
            self.code.encode() + wire.u16(self.first) + wire.u16(self.last) + wire.u8(self.member)
        )

    @classmethod
    def read(cls, reader: Reader, field: str) -> Self:
        """Take an object part; `MalformedError` if fewer than 9 bytes are left."""
        return cls(
            UmiCode(reader.u32(f"{field} code")),
            reader.u16(f"{field} first element"),
            reader.u16(f"{field} last element"),
            reader.u8(f"{field} member"),
        )

    def __str__(self) -> str:
        return f"{self.code}{self.suffix}"

    @property
    def suffix(self) -> str:
        """Return what follows the code: `[2:4]/3`, or nothing for the whole object."""
        elements = ""
        if not self.is_every_element:
            last = "" if self.last == TO_END else str(self.last)
            elements = f"[{self.first}]" if self.first == self.last else f"[{self.first}:{last}]"
        return elements + (f"/{self.member}" if self.member != ALL_MEMBERS else "")


def to_datetime(seconds: int) -> datetime | None:
    """Return the UTC time of a UMI datetime (u32 seconds since 2000); None for 0, "not set"."""
    return EPOCH + timedelta(seconds=seconds) if seconds else None


def from_datetime(moment: datetime) -> int:
    """Return the UMI datetime of an aware time, in whole seconds.

    Raises:
        InputError: it lies before 2000-01-01T00:00:01Z or after 2136-02-07T06:28:15Z.
    """
    seconds = int((moment - EPOCH).total_seconds())
    if not 0 < seconds <= MAX_DATETIME_S:
        written = moment.isoformat().replace("+00:00", "Z")  # in UTC it may not fit a calendar
        raise InputError(
            f"{written} does not fit a UMI datetime (2000-01-01T00:00:01Z to 2136-02-07T06:28:15Z)"
        )
    return seconds


def format_time(moment: datetime, *, timespec: str = "seconds") -> str:
    """Return an aware time as RFC 3339 in UTC, such as `2026-11-22T10:00:00Z`."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def format_datetime(seconds: int) -> str | None:
    """Return a UMI datetime as RFC 3339 in UTC, `2026-11-22T10:00:00Z`; None for "not set"."""
    moment = to_datetime(seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def parse_datetime(text: str) -> int:
    """Parse RFC 3339 with a zone, or `none`, into a UMI datetime.

    Raises:
        InputError: it has another form, no zone, or lies out of range.
    """
    if text.strip().lower() in ("none", "not set", "-"):
        return 0
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InputError(
            f"{text!r} is not a time with a zone",
            hint="write RFC 3339, such as 2026-11-22T10:00:00Z",
        )
    return from_datetime(moment)
