"""How values that were read look: JSON records, tables for people, CSV, wire bytes.

For people, single values stand in one table of names and values (one alone stands by itself, for
`$(umi read …)`), a structure is a table of its members, an array a table of its elements. CSV is
always one table: `part,name`, `element` if there are arrays, then members or `value`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby
from typing import Any, Self

from umi_cli.objects.catalogue import Catalogue
from umi_cli.objects.values import Units, Value, to_json, to_text
from umi_cli.output.hexdump import hexdump
from umi_cli.output.render import Table, View
from umi_cli.types import ObjectPart

LONG_BYTES = 32  # more are dumped with offsets, not printed in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of an object, with its value."""

    part: ObjectPart
    """Which part."""
    name: str | None
    """Its name; None if the datasheet does not know it."""
    raw: bytes
    """Its bytes on the wire."""
    value: Value
    """What they mean."""
    units: Units = ""
    """The unit, or the members' units by name."""
    is_secret: bool = False
    """Whether value and bytes must not be shown."""
    is_decoded: bool = True
    """Whether the value is more than the bytes again."""

    @classmethod
    def of(cls, catalogue: Catalogue, part: ObjectPart, raw: bytes, value: Value) -> Self:
        """Return a part with its name and units from the catalogue."""
        definition = catalogue.find(part.code)
        return cls(
            part=part,
            name=catalogue.name_of(part),
            raw=raw,
            value=value,
            units=catalogue.units_of(part),
            is_secret=definition is not None and definition.secret,
        )

    @classmethod
    def undecoded(cls, catalogue: Catalogue, part: ObjectPart, raw: bytes) -> Self:
        """Return a part whose bytes the datasheet cannot explain."""
        return replace(cls.of(catalogue, part, raw, raw), units="", is_decoded=False)

    @property
    def label(self) -> str:
        """Return the name for people, or else the code."""
        return self.name or str(self.part)

    @property
    def shown_raw(self) -> bytes:
        """Return the bytes that may be shown: none of a secret."""
        return b"" if self.is_secret else self.raw

    @property
    def record(self) -> dict[str, Any]:
        """Return the record of `--json`."""
        return {
            "part": str(self.part),
            "name": self.name,
            "raw": None if self.is_secret else self.raw,
            "value": to_json(self.value) if self.is_decoded and not self.is_secret else None,
        }

    @property
    def cells(self) -> list[tuple[int | None, Value]]:
        """Return each element with its number; a single value has none."""
        if self.is_secret:
            return [(None, "(secret)")]
        if isinstance(self.value, list):
            return list(enumerate(self.value, start=self.part.first))
        return [(None, self.value)]


def view_of(parts: Sequence[Part]) -> View:
    """Return how parts look to people, as CSV and as wire bytes."""
    return View(
        blocks=_blocks(parts),
        csv=_csv(parts),
        raw=[part.shown_raw for part in parts],
    )


def _blocks(parts: Sequence[Part]) -> Iterator[Table | str]:
    if len(parts) == 1 and _is_single(parts[0]):
        yield _text_of(parts[0])
        return
    for single, group in groupby(parts, key=_is_single):
        if single:
            yield Table.pairs({part.label: _text_of(part) for part in group})
        else:
            yield from map(_table, group)


def _is_single(part: Part) -> bool:
    return part.is_secret or not isinstance(part.value, dict | list)


def _text_of(part: Part) -> str:
    """Return a single value as text; long bytes as a dump."""
    if isinstance(part.value, bytes) and len(part.value) > LONG_BYTES and not part.is_secret:
        return hexdump(part.value)
    [(_, value)] = part.cells
    return to_text(value, part.units)


def _table(part: Part) -> Table:
    """Return a structure as a table of its members, an array as one of its elements."""
    title = f"{part.part} {part.name}" if part.name else str(part.part)
    if isinstance(part.value, dict):
        texts = {name: to_text(item, _unit(part, name)) for name, item in part.value.items()}
        return Table.pairs(texts, title=title)
    members = _members([part])
    columns = [f"{name} [{_unit(part, name)}]" if _unit(part, name) else name for name in members]
    rows = ([number, *_row(value, members)] for number, value in part.cells)
    return Table(columns=("element", *columns), rows=rows, title=title)


def _unit(part: Part, member: str) -> str:
    if isinstance(part.units, Mapping):
        return part.units.get(member, "")
    return part.units


def _csv(parts: Sequence[Part]) -> Table:
    members = _members(parts)
    is_array = any(isinstance(part.value, list) for part in parts)
    columns = ("part", "name", *(["element"] if is_array else []), *members)
    return Table(columns=columns, rows=_csv_rows(parts, members, is_array=is_array))


def _csv_rows(
    parts: Sequence[Part], members: Sequence[str], *, is_array: bool
) -> Iterator[list[object]]:
    for part in parts:
        for number, value in part.cells:
            element = [number] if is_array else []
            yield [str(part.part), part.name, *element, *_row(value, members)]


def _members(parts: Iterable[Part]) -> list[str]:
    """Return the columns that the values need: members by name, `value` for single ones."""
    columns: dict[str, None] = {}
    for part in parts:
        for _, value in part.cells[:1]:  # the elements of an array are all alike
            columns.update(dict.fromkeys(value if isinstance(value, dict) else ["value"]))
    return list(columns)


def _row(value: Value, members: Sequence[str]) -> list[object]:
    record = value if isinstance(value, dict) else {"value": value}
    return [_cell(record[name]) if name in record else None for name in members]


def _cell(value: Value) -> object:
    """Return a cell without unit; numbers stay numbers, so that they stand right."""
    if value is None or (isinstance(value, int | Decimal) and not isinstance(value, bool)):
        return value
    return to_text(value)
