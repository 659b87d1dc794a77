"""How structures and arrays stand in bytes: one after the other, nothing between (protocol 4)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from umi_cli.errors import InputError, MalformedError
from umi_cli.objects.named_types import near, normal
from umi_cli.objects.value_types import AnyType, ValueType
from umi_cli.objects.values import Units, Value
from umi_cli.types import TO_END
from umi_cli.wire import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of a structure, or of an event's data."""

    name: str
    """Unique in its structure; `-` and `_` and the case make no difference."""
    title: str
    """What it is, for people."""
    type: AnyType
    """How it stands in bytes; with unit, scale and names."""
    volatile: bool = False
    """Whether its value changes by itself, so that two readings differ without a cause."""
    obis: str | None = None
    """OBIS code, six numbers with dots between."""
    zse: str | None = None
    """Name in ZigBee Smart Energy."""
    c12_19: str | None = None
    """Name in ANSI C12.19."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure(ValueType[dict[str, Value]]):
    """Members one after the other; only the last may vary in length."""

    members: tuple[Member, ...]

    @property
    def max_bytes(self) -> int:
        """Return the sum of the members."""
        return sum(member.type.max_bytes for member in self.members)

    @property
    def is_variable(self) -> bool:
        """Tell whether the last member varies in length."""
        return any(member.type.is_variable for member in self.members)

    @property
    def units(self) -> Units:
        """Return the units by member name, of those that have one."""
        units = {member.name: member.type.units for member in self.members}
        return {name: unit for name, unit in units.items() if isinstance(unit, str) and unit}

    def parse(self, text: str, what: str = "value") -> dict[str, Value]:
        """Return the members of a JSON object; `InputError` as in `coerce`."""
        return self.coerce(_load_json(text, what), what)

    def coerce(self, value: object, what: str = "value") -> dict[str, Value]:
        """Return the members by name; `InputError` if one is missing, unknown or wrong."""
        if not isinstance(value, Mapping):
            raise InputError(f"{what}: a JSON object is expected, with {self._names}")
        given = {normal(str(name)): item for name, item in value.items()}
        known = {normal(member.name) for member in self.members}
        for name in value:
            if normal(str(name)) not in known:
                hint = near(str(name), [member.name for member in self.members])
                raise InputError(f"{what}: there is no member {name!r:.60}", hint=hint)
        missing = [member.name for member in self.members if normal(member.name) not in given]
        if missing or len(given) != len(value):
            fault = f"misses {', '.join(missing)}" if missing else "names a member twice"
            raise InputError(f"{what} {fault}", hint=f"a whole value has {self._names}")
        return {
            member.name: member.type.coerce(given[normal(member.name)], f"{what}/{member.name}")
            for member in self.members
        }

    def unpack(self, raw: bytes, what: str) -> dict[str, Value]:
        """Return the members by name."""
        reader = Reader(raw, what=what)
        return {member.name: _take(reader, member, what) for member in self.members}

    def pack(self, value: dict[str, Value]) -> bytes:
        """Return the members' bytes, one after the other."""
        return b"".join(member.type.pack(value[member.name]) for member in self.members)

    @property
    def _names(self) -> str:
        return ", ".join(member.name for member in self.members)

    def __str__(self) -> str:
        return "structure"


def _take(reader: Reader, member: Member, what: str) -> Any:
    size = member.type.size_bytes
    raw = reader.rest() if size is None else reader.take(size, member.name)
    return member.type.decode(raw, f"{what}/{member.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Array(ValueType[list[Value]]):
    """Elements one after the other, all of one size; their number is whatever the bytes give."""

    element: AnyType
    """Of fixed size."""
    count: int | None = None
    """How many elements are meant, as in `[3:5]`; None if the part is open, as in `[3:]`."""
    max_elements: int | None = None
    """How many may be written, if the datasheet says so."""

    @property
    def max_bytes(self) -> int:
        """Return the size of the elements that are meant, or of as many as there may be."""
        return self.element.max_bytes * (TO_END if self.count is None else self.count)

    @property
    def is_variable(self) -> bool:
        """Return true: a device's array may end before the elements that were asked for."""
        return True

    @property
    def units(self) -> Units:
        """Return the units of an element."""
        return self.element.units

    def parse(self, text: str, what: str = "value") -> list[Value]:
        """Return the elements of a JSON list; a single element needs no list around it."""
        if self.count != 1 or text.lstrip().startswith("["):
            return self.coerce(_load_json(text, what), what)
        return [self.element.parse(text, what)]

    def coerce(self, value: object, what: str = "value") -> list[Value]:
        """Return the elements; `InputError` if one is wrong, or there are too many or too few."""
        if self.count == 1 and not isinstance(value, list | tuple):
            value = [value]
        if not isinstance(value, list | tuple):
            raise InputError(f"{what}: a JSON list is expected, each element {self.element}")
        if self.count not in (None, len(value)):
            raise InputError(f"{what}: {len(value)} elements given, {self.count} expected")
        if self.max_elements is not None and len(value) > self.max_elements:
            raise InputError(f"{what}: {len(value)} elements are too many, {self.max_elements} fit")
        return [
            self.element.coerce(item, f"{what} element {number}")
            for number, item in enumerate(value)
        ]

    def unpack(self, raw: bytes, what: str) -> list[Value]:
        """Return the elements; `MalformedError` if the last one is cut off."""
        size = self.element.max_bytes
        if len(raw) % size:
            raise MalformedError(f"{what} has {len(raw)} bytes, no multiple of {size} an element")
        return [
            self.element.unpack(raw[start : start + size], what)
            for start in range(0, len(raw), size)
        ]

    def pack(self, value: list[Value]) -> bytes:
        """Return the elements' bytes, one after the other."""
        return b"".join(self.element.pack(item) for item in value)

    def __str__(self) -> str:
        return f"array of {self.element}"


def _load_json(text: str, what: str) -> object:
    """Return what a JSON text holds, numbers exact.

    The sentence of the `InputError` does not repeat the text: it may hold a key.
    """
    try:
        return json.loads(text, parse_float=Decimal, object_pairs_hook=_unique)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise InputError(
            f"{what}: JSON is expected, an object for a structure, a list for an array",
            hint="numbers stand bare, all else in double quotes",
        ) from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse what `json` would drop in silence: a member that stands twice."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)
