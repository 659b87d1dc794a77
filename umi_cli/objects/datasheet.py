"""What a datasheet file may say, and how it is loaded: the reference for its authors.

The wire carries no types; a datasheet does (protocol 4). It is a TOML file. Every fault in it is
reported with file, line and key. A complete example::

    schema = "umi-datasheet/1"      # always
    name = "acme-g4"                # in kebab case
    title = "Acme G4 gas meter"
    extends = "ei4"                 # optional: a shipped datasheet, or a file beside this one
    banks = ["umi.1.7"]             # the upper two bytes of every code this device may have

    [optical]                       # optional, as is every key in it
    match = "^ACM"                  # regular expression for XXX and IDENT of the sign-on together
    v = "0"                         # control characters of the option select; frames are 8N1
    y = "6"
    wakeup = "std"                  # NUL characters first, for a battery meter; or none
    switch_delay_ms = 50            # silence between the option select and the change of rate

    [[object]]
    code = "umi.1.7.0.1"
    name = "volume"                 # in kebab case, unique
    title = "Converted volume"
    kind = "value"                  # value, structure, array, array-of-structures
    type = "u32"                    # values and arrays only; see below
    scale = "0.01"                  # integers only: what one step is worth, as an exact decimal
    unit = "m³"                     # integers only
    read = ["all"]                  # roles by name or number; who may read as delivered; "all"
    write = ["service", "host"]     # who may write; nobody if left out
    signed = false                  # true: a write must carry a signature of its own
    secret = false                  # true: never printed, logged or traced
    volatile = false                # true: changes by itself, as a clock; also on a member
    obis = "7.0.13.2.0.255"         # optional, unique; also on a member
    zse = "CurrentSummation"        # optional: name in ZigBee Smart Energy; also on a member
    c12_19 = "ST23"                 # optional: name in ANSI C12.19; also on a member

    [[object]]
    code = "umi.1.7.0.2"
    name = "log"
    title = "Log"
    kind = "array-of-structures"
    max_elements = 100              # arrays only, optional: 1 to 65535

    [[object.member]]               # structures only, in the order of the wire
    name = "cause"                  # small letters, digits, - and _; unique in its object
    title = "What happened"         # optional
    type = "enum:u8"
    values = { 0 = "start", 1 = "stop" }        # or "events": the names of the events below

    [[object.member]]
    name = "state"
    type = "flags:u16"
    bits = { 0 = "open", 15 = "tampered" }      # bit 0 is the least significant

    [[event]]
    number = 7                      # 0 to 65535; up to 31 also its bit when publishing
    name = "valve-fault"            # in kebab case, unique
    title = "Valve fault"
    data = [                        # optional: members as above, from the first byte of data on;
      { name = "code", type = "u32" },          # 8 bytes in all at most
    ]

Types, all little-endian:

=========================  =====================================================================
`u8` … `u64`, `i8` … `i64`  integer; with `scale` its value is an exact decimal
`ascii[n]`, `ascii[<=n]`   text, padded to n bytes or as long as it is
`bytes[n]`, `bytes[<=n]`   bytes, typed as hex
`datetime`                 u32, seconds since 2000 in UTC; 0 is "not set"
`ddhhmmss`                 days, hours, minutes, seconds, a byte each; typed `1d 02:03:04`
`umi-id`, `umi-code`       u64, u32
`role-set`                 u16, bit n is role n
`enum:u8`, `:u16`, `:u32`  a number with `values`; other numbers stay numbers
`flags:u8`, `:u16`, `:u32`  bits with `bits`; other bits stay `bit7`
=========================  =====================================================================

A type of variable length (`<=`) stands only alone or last, and never in an array.

`extends` takes over banks, objects, events and the optical profile. What has the same code, or
the same event number, replaces what was taken over; so does each key of `[optical]`.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from umi_cli.errors import InputError
from umi_cli.objects.composites import Member
from umi_cli.objects.definitions import (
    Datasheet,
    Event,
    Kind,
    ObjectDefinition,
    OpticalProfile,
)
from umi_cli.objects.named_types import near
from umi_cli.objects.parsing import (
    KEBAB,
    checked,
    parse_banks,
    parse_event,
    parse_object,
    parse_optical,
)
from umi_cli.objects.toml_table import Table, read_file

__all__ = [
    "Datasheet",
    "Event",
    "Kind",
    "Member",
    "ObjectDefinition",
    "OpticalProfile",
    "load",
    "shipped",
]

SCHEMA = "umi-datasheet/1"
# A plain path: importlib.resources costs more to import than a datasheet to load.
_SHIPPED = Path(__file__).parent / "datasheets"


def shipped() -> list[str]:
    """Return the names of the datasheets that come with umi-cli."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml"))


def load(source: str) -> Datasheet:
    """Load a datasheet and check it.

    Args:
        source: the name of a shipped one, or a path: what has a separator or ends in `.toml`.

    Raises:
        InputError: there is none, or something in it is wrong.
    """
    path = _locate(source, Path())
    return _load_once(path) if path.parent == _SHIPPED else _load(path)


@cache
def _load_once(path: Path) -> Datasheet:
    """Load a shipped datasheet, which nobody changes while we run."""
    return _load(path)


def _load(path: Path) -> Datasheet:
    files = _load_chain(path)
    newest = files[-1].table
    tops = [file.table for file in files]
    events = _merge_events(tops)
    objects = _merge_objects(tops, {event.number: event.name for event in events})
    optical = OpticalProfile()
    for file in files:
        optical = parse_optical(file.table.table("optical"), optical)
        file.table.end()
    return Datasheet(
        name=newest.text("name"),
        title=newest.text("title"),
        sha256=files[-1].sha256,
        banks=_merge_banks(tops),
        optical=optical,
        objects=objects,
        events=events,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    table: Table
    sha256: str


def _locate(source: str, directory: Path) -> Path:
    """Return the path of a shipped name, or of a path as seen from a directory."""
    if source.endswith(".toml") or "/" in source or "\\" in source:
        return directory / source
    names = shipped()
    if source not in names:
        hint = near(source, names) or f"shipped are {', '.join(names)}; a file's name ends in .toml"
        raise InputError(
            f"there is no datasheet {source!r:.60} among {', '.join(names)}", hint=hint
        )
    return _SHIPPED / f"{source}.toml"


def _load_chain(path: Path) -> list[_File]:
    """Return a file and those that it extends, the most general first."""
    files: list[_File] = []
    seen: set[Path] = set()
    extended: Path | None = path
    while extended is not None:
        path = extended
        file = _load_file(path)
        if path.resolve() in seen:
            raise files[0].table.fault("extends", "it is extended by that one in turn")
        seen.add(path.resolve())
        files.insert(0, file)
        extended = _extended(file.table, path.parent)
    return files


def _extended(table: Table, directory: Path) -> Path | None:
    """Return the path of the datasheet that one extends; None if it stands alone."""
    source = table.optional_text("extends")
    if source is None:
        return None
    return checked(table, "extends", lambda name: _locate(name, directory), source)


def _load_file(path: Path) -> _File:
    raw = read_file(path, "datasheet")
    table = Table.load(raw, file=str(path) if path.parent != _SHIPPED else path.name)
    if table.text("schema") != SCHEMA:
        raise table.fault("schema", f"{SCHEMA!r} is expected")
    table.matching("name", KEBAB, "a name in kebab case")
    table.text("title")
    return _File(table=table, sha256=hashlib.sha256(raw).hexdigest())


def _merge_banks(tops: Iterable[Table]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(bank for top in tops for bank in parse_banks(top)))


def _merge_events(tops: Iterable[Table]) -> tuple[Event, ...]:
    """Return the events by number; the last file that has a number wins."""
    found: dict[int, tuple[Table, Event]] = {}
    for top in tops:
        own: set[int] = set()
        for table in top.tables("event"):
            event = parse_event(table)
            if event.number in own:
                raise table.fault("number", f"event {event.number} stands twice")
            own.add(event.number)
            found.pop(event.number, None)  # to the end: later definitions answer for conflicts
            found[event.number] = table, event
    names: set[str] = set()
    for table, event in found.values():
        _claim(names, event.name, table, "name")
    return tuple(found[number][1] for number in sorted(found))


def _merge_objects(tops: list[Table], events: dict[int, str]) -> tuple[ObjectDefinition, ...]:
    """Return the objects by code; the last file that has a code wins."""
    banks = _merge_banks(tops)
    found: dict[int, tuple[Table, ObjectDefinition]] = {}
    for top in tops:
        own: set[int] = set()
        for table in top.tables("object"):
            definition = parse_object(table, events)
            code = definition.code
            if code.value in own:
                raise table.fault("code", f"{code} stands twice")
            if code.bank not in banks:
                raise table.fault("code", f"{code} lies outside the banks {', '.join(banks)}")
            own.add(code.value)
            found.pop(code.value, None)  # to the end, as above
            found[code.value] = table, definition
    _check_unique(found.values())
    return tuple(found[code][1] for code in sorted(found))


def _check_unique(found: Iterable[tuple[Table, ObjectDefinition]]) -> None:
    """Refuse names and OBIS codes that stand twice, wherever they stand."""
    names: set[str] = set()
    obis: set[str] = set()
    for table, definition in found:
        _claim(names, definition.name, table, "name")
        _claim(obis, definition.obis, table, "obis")
        for member, member_table in zip(definition.members, table.tables("member"), strict=False):
            _claim(obis, member.obis, member_table, "obis")


def _claim(taken: set[str], name: str | None, table: Table, key: str) -> None:
    if name in taken:
        raise table.fault(key, f"{name!r} stands twice")
    if name is not None:
        taken.add(name)
