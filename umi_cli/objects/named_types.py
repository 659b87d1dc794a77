"""How numbers with names stand in bytes: enumerations, flags, role sets (protocol 1 and 4)."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from umi_cli.errors import InputError
from umi_cli.names import near, normal
from umi_cli.objects.value_types import Integer, ValueType, is_number, naming
from umi_cli.objects.values import Enumerated, Flags, record_of
from umi_cli.types import RoleSet

NamedT = TypeVar("NamedT", Enumerated, Flags, RoleSet)


class Named(ValueType[NamedT]):
    """A number of which the datasheet, or the standard, knows what it stands for.

    Typed as names or as the number; in JSON an object of both, which then must agree.
    """

    __slots__ = ()

    def coerce(self, value: object, what: str = "value") -> NamedT:
        """Return the value of its names, its number, or its JSON object; `InputError` if none."""
        if isinstance(value, Mapping):
            return self._agreeing(value, what)
        if isinstance(value, str):
            return self._from_text(value, what)
        if isinstance(value, Enumerated | Flags):
            value = value.number
        return self._from_number(value.bits if isinstance(value, RoleSet) else value, what)

    def unpack(self, raw: bytes, what: str) -> NamedT:
        """Return the number with what it stands for."""
        return self._of(int.from_bytes(raw, "little"))

    def pack(self, value: NamedT) -> bytes:
        """Return the bytes of the number."""
        number = value.bits if isinstance(value, RoleSet) else value.number
        return number.to_bytes(self.max_bytes, "little")

    def _agreeing(self, record: Mapping[str, object], what: str) -> NamedT:
        """Return the value of a JSON object: who changed the name only must hear of the number."""
        result = self._from_number(record.get("number"), f"{what}.number")
        printed = record_of(result)
        for key, given in record.items():
            if key not in printed or (key != "number" and printed[key] != given):
                raise InputError(f"{what}: {key} {given!r} does not belong to the number given")
        return result

    def _from_number(self, number: object, what: str) -> NamedT:
        return self._of(int(Integer(width=self.max_bytes).coerce(number, what)))

    @abstractmethod
    def _of(self, number: int) -> NamedT:
        """Return the value of a number in range."""

    @abstractmethod
    def _from_text(self, text: str, what: str) -> NamedT:
        """Return the value of a number or of names; `InputError` if a name is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enumeration(Named[Enumerated]):
    """`enum:u8`, `enum:u16`, `enum:u32`: one of several things."""

    width: int
    """Bytes: 1, 2 or 4."""
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def max_bytes(self) -> int:
        """Return the width."""
        return self.width

    def _of(self, number: int) -> Enumerated:
        return Enumerated(number, self.names.get(number))

    def _from_text(self, text: str, what: str) -> Enumerated:
        if is_number(text):
            return self._from_number(text, what)
        return self._of(_number_of(text, self.names, what))

    def __str__(self) -> str:
        return f"enum:u{8 * self.width}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagSet(Named[Flags]):
    """`flags:u8`, `flags:u16`, `flags:u32`: bits that stand for one thing each."""

    width: int
    """Bytes: 1, 2 or 4."""
    names: Mapping[int, str] = field(default_factory=dict)
    """By bit number, 0 the least significant."""

    @property
    def max_bytes(self) -> int:
        """Return the width."""
        return self.width

    def _of(self, number: int) -> Flags:
        bits = [bit for bit in range(8 * self.width) if number >> bit & 1]
        return Flags(number, tuple(self.names.get(bit, f"bit{bit}") for bit in bits))

    def _from_text(self, text: str, what: str) -> Flags:
        if is_number(text):
            return self._from_number(text, what)
        if normal(text) == "none":
            return self._of(0)
        every_bit = {bit: f"bit{bit}" for bit in range(8 * self.width)} | dict(self.names)
        bits = {_number_of(name, every_bit, what) for name in text.split(",")}
        return self._of(sum(1 << bit for bit in bits))

    def __str__(self) -> str:
        return f"flags:u{8 * self.width}"


@dataclass(frozen=True, slots=True)
class RoleSetType(Named[RoleSet]):
    """`role-set`: bit n stands for role n (protocol 1)."""

    @property
    def max_bytes(self) -> int:
        """Return 2."""
        return 2

    def _of(self, number: int) -> RoleSet:
        return RoleSet(number)

    def _from_text(self, text: str, what: str) -> RoleSet:
        # A number alone is a role here, not the set's bits: as everywhere roles are typed.
        with naming(what):
            return RoleSet.parse(text)

    def __str__(self) -> str:
        return "role-set"


def _number_of(name: str, names: Mapping[int, str], what: str) -> int:
    for number, known in names.items():
        if normal(known) == normal(name):
            return number
    known = ", ".join(f"{known} ({number})" for number, known in names.items())
    raise InputError(
        f"{what}: there is no {name.strip()!r:.60} here",
        hint=near(name, names.values()) or f"known are {known}",
    )
