"""How a result looks: a table for people, CSV, raw wire bytes, or JSON.

A command hands over its data (what `--json` prints) and a `View` (what people and spreadsheets
see); everything here turns those into lines and leaves the writing to its caller.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice
from typing import Any, Literal, Self

from umi_cli.errors import InputError
from umi_cli.types import RoleSet, format_time

Format = Literal["table", "csv", "raw", "json", "events"]
"""The forms of output; the first three are for `-o`."""

_CSV_SPECIAL = re.compile(r'[",\r\n]')

BLOCK_ROWS = 500  # rows whose widths are measured together, so that a long table can stream
MAX_JSON_INTEGER = 1 << 53  # past it, a reader that keeps numbers as doubles loses digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under named columns."""

    columns: tuple[str, ...]
    """Names of the columns."""
    rows: Iterable[Sequence[object]]
    """The cells, row after row; may be a generator, and is then walked once."""
    title: str = ""
    """A line above the table, for people only."""
    has_header: bool = True
    """Whether people see the names of the columns."""

    @classmethod
    def pairs(cls, values: Mapping[str, object], *, title: str = "") -> Self:
        """Return a table of two columns, a name and its value, without a header for people."""
        return cls(columns=("name", "value"), rows=values.items(), title=title, has_header=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What `-o table`, `-o csv` and `-o raw` show of a result."""

    blocks: Iterable[Table | str]
    """Tables and paragraphs for people, one below the other."""
    csv: Table | None = None
    """The one table of `-o csv`, where it is not the only block."""
    raw: Iterable[bytes] | None = None
    """The wire bytes of each part; None if the result has none."""

    @classmethod
    def of(cls, data: Any) -> Self:
        """Return the plain view of JSON data: pairs, a table of records, or a line."""
        if isinstance(data, Mapping):
            return cls(blocks=(Table.pairs({key: cell(item) for key, item in data.items()}),))
        if isinstance(data, Sequence) and data and isinstance(data[0], Mapping):
            columns = tuple(data[0])
            rows = ([record.get(column) for column in columns] for record in data)
            return cls(blocks=(Table(columns=columns, rows=rows),))
        return cls(blocks=(cell(data),))


def cell(value: object) -> str:
    """Return a value as the text of a table's cell."""
    if isinstance(value, RoleSet):
        return str(value)
    plain = to_plain(value)
    if plain is None:
        return "-"
    if isinstance(plain, bool):
        return "yes" if plain else "no"
    if isinstance(plain, list):
        return ", ".join(cell(item) for item in plain)
    if isinstance(plain, dict):
        return ", ".join(f"{key} {cell(item)}" for key, item in plain.items())
    return str(plain)


def to_plain(value: Any) -> Any:
    """Return a value as JSON has it: bytes in hex, codes, IDs, times, long integers as text."""
    if value is None or isinstance(value, bool | float | str):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= MAX_JSON_INTEGER else str(int(value))
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, RoleSet):
        return {"number": value.bits, "names": value.labels}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [to_plain(item) for item in value]
    return str(value)


def timestamp(moment: datetime, *, timespec: str = "seconds") -> str:
    """Return an aware time as RFC 3339 in UTC, such as `2026-11-22T10:00:00Z`."""
    return format_time(moment, timespec=timespec)


def json_line(document: Any) -> str:
    """Return one JSON document on one line, in ASCII, so that no encoding can spoil it."""
    import json  # 4 ms that a table does not need

    return json.dumps(to_plain(document), allow_nan=False, separators=(",", ":")) + "\n"


def lacking(form: Format) -> InputError:
    """Return what a user is told who asks for a form that a result does not have."""
    if form == "raw":
        return InputError("this result has no wire bytes to print", hint="leave -o raw out")
    return InputError("this result is not one table", hint=f"leave -o {form} out, or use --json")


def view_lines(view: View, form: Format) -> Iterator[str]:
    """Return the lines of a view as `table`, `csv` or `raw`.

    Raises:
        InputError: the result has no such form.
    """
    if form == "raw":
        return _raw_lines(view)
    if form == "csv":
        return csv_lines(_only_table(view))
    return _block_lines(view.blocks)


def _raw_lines(view: View) -> Iterator[str]:
    if view.raw is None:
        raise lacking("raw")
    return (f"{bytes(part).hex()}\n" for part in view.raw)


def _only_table(view: View) -> Table:
    tables = [view.csv] if view.csv else [b for b in view.blocks if isinstance(b, Table)]
    if len(tables) != 1 or tables[0] is None:
        raise lacking("csv")
    return tables[0]


def _block_lines(blocks: Iterable[Table | str]) -> Iterator[str]:
    for index, block in enumerate(blocks):
        if index:
            yield "\n"
        if isinstance(block, str):
            yield block.rstrip("\n") + "\n"
        else:
            yield from table_lines(block)


def csv_lines(table: Table) -> Iterator[str]:
    """Return the lines of a table as CSV with a header."""
    for row in chain([table.columns], table.rows):
        yield ",".join("" if item is None else _quoted(cell(item)) for item in row) + "\n"


def _quoted(text: str) -> str:
    """Return a field as RFC 4180 has it; csv.writer leaves a carriage return bare."""
    return '"' + text.replace('"', '""') + '"' if _CSV_SPECIAL.search(text) else text


def table_lines(table: Table) -> Iterator[str]:
    """Return the lines of a table for people; a long one streams in blocks of the same widths."""
    if table.title:
        yield table.title + "\n"
    rows = iter(table.rows)
    first = [list(row) for row in islice(rows, BLOCK_ROWS)]
    align = _alignment(first, len(table.columns))
    header: list[list[object]] = [list(table.columns)] if table.has_header else []
    widths = [_width(column) for column in zip(*header, *first, strict=True)]
    if header:
        header.append(["-" * width for width in widths])
    yield from _aligned(header + first, widths, align)
    while block := [list(row) for row in islice(rows, BLOCK_ROWS)]:
        yield from _aligned(block, widths, align)


def _width(column: Iterable[object]) -> int:
    return max(len(cell(item)) for item in column)


def _alignment(rows: list[list[object]], columns: int) -> list[str]:
    def is_number(item: object) -> bool:
        return isinstance(item, int | float | Decimal) and not isinstance(item, bool)

    return [
        "right" if rows and all(is_number(row[index]) for row in rows) else "left"
        for index in range(columns)
    ]


def _aligned(rows: list[list[object]], widths: list[int], align: list[str]) -> Iterator[str]:
    from tabulate import tabulate  # pulls in importlib.metadata: 75 ms

    if not rows:
        return
    measure = ["x" * width for width in widths]  # keeps a later block as wide as the first
    cells = [measure, *([cell(item) for item in row] for row in rows)]
    text = tabulate(cells, tablefmt="plain", colalign=align, disable_numparse=True)
    for line in text.split("\n")[1:]:
        yield line.rstrip() + "\n"
