"""How the tables of a datasheet become records, each checked by itself.

Members of structures, members of events and single values share one reading of `type` and the
keys that go with it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from umi_cli.errors import InputError
from umi_cli.objects.composites import Member, Structure
from umi_cli.objects.definitions import (
    EVENT_DATA_BYTES,
    Event,
    Kind,
    ObjectDefinition,
    OpticalProfile,
)
from umi_cli.objects.named_types import Enumeration, FlagSet, normal
from umi_cli.objects.obis import parse_obis
from umi_cli.objects.toml_table import Table
from umi_cli.objects.type_text import parse_type
from umi_cli.objects.value_types import AnyType, Integer, is_number
from umi_cli.types import MAX_ELEMENT, MAX_MEMBER, RoleSet, UmiCode

T = TypeVar("T")
MAX_EVENT = 0xFFFF
MAX_SWITCH_DELAY_MS = 10_000
KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MEMBER_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_BANK = re.compile(r"umi\.\d{1,3}\.\d{1,3}", re.ASCII)
_SCALE = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)
_BIT_NAME = re.compile(r"bit\d+", re.ASCII)
_EVENTS = re.compile(r"events")  # `values = "events"`: the names of the datasheet's events
_CONTROL = re.compile(r"[0-9]")
_OWN_MODE = re.compile(r"[6-9]")
_WAKEUP = re.compile(r"none|std")
EventNames = Mapping[int, str]


def checked(table: Table, key: str, parse: Callable[[str], T], text: str) -> T:
    """Return what `parse` makes of a key's text; its `InputError` names file, line and key."""
    try:
        return parse(text)
    except InputError as error:
        raise table.fault(key, str(error), hint=error.hint) from error


def parse_banks(table: Table) -> tuple[str, ...]:
    """Return the banks of a datasheet's top table."""
    banks = table.texts("banks", ())
    for bank in banks:
        if not _BANK.fullmatch(bank):
            raise table.fault("banks", f"{bank!r:.60} is no bank, such as umi.1.1")
        checked(table, "banks", UmiCode.parse, f"{bank}.0.0")
    return banks


def parse_optical(table: Table, inherited: OpticalProfile) -> OpticalProfile:
    """Return an optical profile; what it does not say is inherited."""
    pattern = table.text("match", inherited.match)
    try:
        re.compile(pattern)
    except re.error as error:
        raise table.fault("match", f"not a regular expression: {error}") from error
    profile = OpticalProfile(
        match=pattern,
        v=table.matching("v", _CONTROL, "a digit", inherited.v),
        y=table.matching("y", _OWN_MODE, "a mode of the manufacturer's own, 6 to 9", inherited.y),
        wakeup=table.matching("wakeup", _WAKEUP, "none or std", inherited.wakeup),
        switch_delay_ms=table.number(
            "switch_delay_ms", low=0, high=MAX_SWITCH_DELAY_MS, default=inherited.switch_delay_ms
        ),
    )
    table.end()
    return profile


def parse_event(table: Table) -> Event:
    """Return an event."""
    data = _parse_members(table, "data", {})
    event = Event(
        number=table.number("number", low=0, high=MAX_EVENT),
        name=table.matching("name", KEBAB, "a name in kebab case"),
        title=table.text("title"),
        data=data,
    )
    if sum(member.type.max_bytes for member in data) > EVENT_DATA_BYTES:
        raise table.fault("data", f"an event has at most {EVENT_DATA_BYTES} bytes of data")
    table.end()
    return event


def parse_object(table: Table, events: EventNames) -> ObjectDefinition:
    """Return a data object.

    Args:
        table: the object's.
        events: names for `values = "events"`.
    """
    kind = _parse_kind(table)
    definition = ObjectDefinition(
        code=checked(table, "code", UmiCode.parse, table.text("code")),
        name=table.matching("name", KEBAB, "a name in kebab case"),
        title=table.text("title"),
        kind=kind,
        element=_parse_element(table, kind, events),
        max_elements=_parse_max_elements(table, kind),
        read=_parse_roles(table, "read", ("all",)),
        write=_parse_roles(table, "write", ()),
        signed=table.boolean("signed", default=False),
        secret=table.boolean("secret", default=False),
        volatile=table.boolean("volatile", default=False),
        obis=_parse_obis(table),
        zse=table.optional_text("zse"),
        c12_19=table.optional_text("c12_19"),
    )
    table.end()
    return definition


def _parse_kind(table: Table) -> Kind:
    text = table.text("kind")
    try:
        return Kind(text)
    except ValueError as error:
        kinds = ", ".join(kind.value for kind in Kind)
        raise table.fault("kind", f"{text!r:.60} is none of {kinds}") from error


def _parse_element(table: Table, kind: Kind, events: EventNames) -> AnyType:
    if not kind.has_members:
        element = _parse_type(table, events)
        key = "type"
    else:
        element = Structure(members=_parse_members(table, "member", events))
        key = "member"
        if not element.members:
            raise table.fault(key, f"a {kind.value} has members")
    if kind.is_array and element.is_variable:
        raise table.fault(key, "an array's elements cannot vary in length")
    return element


def _parse_max_elements(table: Table, kind: Kind) -> int | None:
    if not table.has("max_elements"):
        return None
    if not kind.is_array:
        raise table.fault("max_elements", "only an array has elements")
    return table.number("max_elements", low=1, high=MAX_ELEMENT + 1)


def _parse_roles(table: Table, key: str, default: tuple[str, ...]) -> RoleSet:
    return checked(table, key, RoleSet.parse, ",".join(table.texts(key, default)))


def _parse_obis(table: Table) -> str | None:
    text = table.optional_text("obis")
    return None if text is None else checked(table, "obis", parse_obis, text)


def _parse_members(table: Table, key: str, events: EventNames) -> tuple[Member, ...]:
    """Return the members of a structure or of an event's data."""
    tables = table.tables(key)
    if len(tables) > MAX_MEMBER + 1:
        raise table.fault(key, f"{len(tables)} members are too many")
    members: list[Member] = []
    names: set[str] = set()
    for member_table in tables:
        if members and members[-1].type.is_variable:
            raise member_table.fault("type", "only the last member may vary in length")
        members.append(_parse_member(member_table, events))
        if normal(members[-1].name) in names:
            raise member_table.fault("name", f"there are two members {members[-1].name!r}")
        names.add(normal(members[-1].name))
    return tuple(members)


def _parse_member(table: Table, events: EventNames) -> Member:
    member = Member(
        name=table.matching("name", _MEMBER_NAME, "a name of small letters, digits, _ and -"),
        title=table.text("title", ""),
        type=_parse_type(table, events),
        volatile=table.boolean("volatile", default=False),
        obis=_parse_obis(table),
        zse=table.optional_text("zse"),
        c12_19=table.optional_text("c12_19"),
    )
    table.end()
    return member


def _parse_type(table: Table, events: EventNames) -> AnyType:
    """Return the type of `type` with what `scale`, `unit`, `values` and `bits` add to it."""
    parsed = checked(table, "type", parse_type, table.text("type"))
    if isinstance(parsed, Integer):
        return replace(parsed, scale=_parse_scale(table), unit=table.text("unit", ""))
    if isinstance(parsed, Enumeration):
        highest = (1 << 8 * parsed.width) - 1
        return replace(parsed, names=_parse_values(table, highest, events))
    if isinstance(parsed, FlagSet):
        return replace(parsed, names=_parse_bits(table, 8 * parsed.width - 1))
    return parsed


def _parse_scale(table: Table) -> Decimal | None:
    text = table.optional_text("scale")
    if text is None:
        return None
    if not _SCALE.fullmatch(text) or not Decimal(text):
        raise table.fault("scale", f'{text!r:.60} is no decimal above 0, such as "0.01"')
    return Decimal(text)


def _parse_values(table: Table, highest: int, events: EventNames) -> Mapping[int, str]:
    if isinstance(table.peek("values"), str):
        table.matching("values", _EVENTS, 'a table of names, or "events"')
        return events
    return _parse_names(table, "values", highest)


def _parse_bits(table: Table, highest: int) -> Mapping[int, str]:
    names = _parse_names(table, "bits", highest)
    for name in names.values():
        if _BIT_NAME.fullmatch(normal(name)):
            raise table.fault("bits", f"{name!r} is how a bit without a name is written")
    return names


def _parse_names(table: Table, key: str, highest: int) -> dict[int, str]:
    """Return a table of numbers and names; each number and each name once."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    inner = table.table(key)
    for text in inner.items():
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else -1
        if not 0 <= number <= highest:
            raise inner.fault(text, f"a number of 0 to {highest} is expected, not {text!r:.60}")
        name = inner.text(text)
        if not name.strip() or not name.isprintable() or "," in name or is_number(name):
            raise inner.fault(text, f"{name!r:.60} is no name: no number, no comma, not empty")
        if number in names or normal(name) in taken:
            raise inner.fault(text, f"{number} or {name!r} stands twice")
        names[number] = name
        taken.add(normal(name))
    return names
