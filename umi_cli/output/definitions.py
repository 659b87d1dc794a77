"""How a datasheet looks: JSON records and tables of its objects, members and events."""

from collections.abc import Mapping, Sequence
from typing import Any

from umi_cli.objects.composites import Member
from umi_cli.objects.definitions import Event, ObjectDefinition
from umi_cli.objects.named_types import Enumeration, FlagSet
from umi_cli.objects.value_types import AnyType
from umi_cli.output.render import Table, cell
from umi_cli.types import RoleSet

FEW_ROLES = 2  # more are counted in the overview, to keep a line short

Record = dict[str, Any]


def object_record(definition: ObjectDefinition) -> Record:
    """Return the JSON record of an object."""
    members = enumerate(definition.members)
    return {
        "code": definition.code,
        "name": definition.name,
        "title": definition.title,
        "kind": definition.kind.value,
        **(_type_record(definition.element) if not definition.members else _NO_TYPE),
        "max_elements": definition.max_elements,
        "read": definition.read,
        "write": definition.write,
        "secret": definition.secret,
        "volatile": definition.volatile,
        **_other_names(definition),
        "members": [{"number": number, **_member_record(member)} for number, member in members],
    }


def event_record(event: Event) -> Record:
    """Return the JSON record of an event."""
    return {
        "number": event.number,
        "name": event.name,
        "title": event.title,
        "data": [_member_record(member) for member in event.data],
    }


_NO_TYPE: Record = {"type": None, "unit": None, "names": None}


def _member_record(member: Member) -> Record:
    return {
        "name": member.name,
        "title": member.title,
        "volatile": member.volatile,
        **_type_record(member.type),
        **_other_names(member),
    }


def _type_record(value_type: AnyType) -> Record:
    """Return a type, its unit, and what its numbers or bits stand for."""
    names = dict(value_type.names) if isinstance(value_type, Enumeration | FlagSet) else None
    return {
        "type": str(value_type),
        "unit": value_type.units or None,
        "names": names,
    }


def _other_names(thing: ObjectDefinition | Member) -> Record:
    """Return what DLMS, ZigBee and C12.19 call it."""
    return {"obis": thing.obis, "zse": thing.zse, "c12_19": thing.c12_19}


def object_table(records: Sequence[Record]) -> Table:
    """Return objects as a table, a line each."""
    columns = ["code", "name", "type", "read", "write", "obis"]
    if any("exists" in record for record in records):
        columns.insert(2, "exists")
    rows = [[{**record, **_summary(record)}.get(name) for name in columns] for record in records]
    return Table(columns=tuple(columns), rows=rows)


def _summary(record: Record) -> dict[str, str]:
    """Return the cells of the overview that are shorter than the record."""
    members = f"{record['kind'].removesuffix('-of-structures')}, {len(record['members'])} members"
    unit = f" [{record['unit']}]" if record["unit"] else ""
    array = "array of " if record["kind"] == "array" else ""
    return {
        "type": members if record["members"] else f"{array}{record['type']}{unit}",
        "read": _roles(record["read"]),
        "write": _roles(record["write"]),
    }


def _roles(roles: RoleSet) -> str:
    text = str(roles)
    count = text.count(",") + 1
    return text if count <= FEW_ROLES else f"{count} roles"


def member_table(record: Record) -> Table:
    """Return one object with its members, a line each; a single value is a line of its own."""
    found = f"; exists: {cell(record['exists'])}" if "exists" in record else ""
    title = (
        f"{record['code']} {record['name']}: {record['title']}, {record['kind']}\n"
        f"read: {cell(record['read'])}; write: {cell(record['write'])}{found}"
    )
    members = record["members"] or [{**record, "number": None}]
    columns = ("number", "name", "type", "unit", "obis", "title")
    rows = [[_explained(member).get(name) for name in columns] for member in members]
    return Table(columns=columns, rows=rows, title=title)


def _explained(member: Record) -> Record:
    """Return a member's record with the meaning of its numbers behind its title."""
    names: Mapping[int, str] = member["names"] or {}
    meaning = ", ".join(f"{number} {name}" for number, name in names.items())
    return {**member, "title": f"{member['title']} ({meaning})" if meaning else member["title"]}


def event_table(records: Sequence[Record]) -> Table:
    """Return events as a table, a line each."""
    rows = [
        [
            record["number"],
            record["name"],
            ", ".join(member["name"] for member in record["data"]) or None,
            record["title"],
        ]
        for record in records
    ]
    return Table(columns=("event", "name", "data", "title"), rows=rows)
