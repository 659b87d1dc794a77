"""`umi diff`: in what two exports differ, or an export and the device as it is now."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.errors import InputError, ReadBackError, SomeFailedError
from umi_cli.output.render import Table, View
from umi_cli.types import RoleSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umi_cli.objects.export_diff import Change, Comparison
    from umi_cli.objects.export_document import ExportFile

EXAMPLES = """\
umi diff monday.json friday.json
umi diff monday.json friday.json --all -o csv
umi -p sim diff commissioned.json --exit-code
"""
COLUMNS = ("change", "object", "member", "old", "new")
KINDS = ("added", "removed", "changed")
MAX_CELL = 60  # characters of a value in the table; --all shows it whole


@command(examples=EXAMPLES)
@click.argument("old", metavar="A")
@click.argument("new", metavar="[B]", required=False)
@click.option("--all", "everything", is_flag=True, help="Volatile members and each element too")
@click.option(
    "--tables/--no-tables", default=True, help="Read the device's arrays too; default: yes"
)
@click.option("--exit-code", is_flag=True, help="32 if they differ, 53 if not all was compared")
@pass_app
def diff(
    app: App, old: str, new: str | None, everything: bool, tables: bool, exit_code: bool
) -> None:
    """Compare two exports, or an export with the device.

    A and B are files that umi export has made; without B it is the device that -p names, as it is
    now. What the datasheet calls volatile, such as the clock, is left out, and elements of arrays
    are counted; --all shows both. The exit code is 0 whether they differ or not; with --exit-code
    it is 32 if they differ, and 53 if they do not as far as they could be compared.
    """
    from umi_cli.objects.export_diff import compare, summarise

    before = _load(old)
    after = _now(app, before, tables=tables) if new is None else _load(new)
    _warn(app, before, after)
    found = compare(before, after, with_volatile=everything)
    told = list(found.changes) if everything else list(summarise(found.changes))
    _show(app, before, after, found, told, is_whole=everything)
    if exit_code and found.changes:
        raise ReadBackError(
            f"{before.origin} and {after.origin} differ: {_counted(told)}",
            hint="" if everything else "see each of them with --all",
        )
    if exit_code and found.not_compared and tables:
        raise SomeFailedError(
            "what was compared is equal, and not all could be compared",
            hint="make both exports in the same role and with the same options",
        )


def _load(path: str) -> "ExportFile":
    from umi_cli.cli.sources import read_file
    from umi_cli.objects.export_document import load

    return load(read_file(path), "stdin" if path == "-" else path)


def _now(app: App, old: "ExportFile", *, tables: bool) -> "ExportFile":
    """Read of the device what the file has."""
    from umi_cli.cli.export import read
    from umi_cli.cli.export_record import document_of
    from umi_cli.objects.export_document import dump, load

    if not app.settings.port:
        raise InputError(
            f"no device is named, nor a second file to compare {old.origin} with",
            hint="name a second file, or a device: umi -p ADDRESS diff A",
        )
    parts = None if old.only is None else [app.catalogue.resolve(text) for text in old.only]
    tables = tables and "table" not in old.left_out.values()
    with app.connect() as meter:
        found = read(app, meter, parts, tables=tables, label="diff")
    if found.failure is not None:
        raise found.failure
    text = "".join(dump(document_of(found, app.catalogue, parts)))
    return load(text.encode("ascii"), app.settings.port)


def _warn(app: App, old: "ExportFile", new: "ExportFile") -> None:
    """Say what makes a comparison doubtful."""
    if old.device != new.device:
        app.warn(f"these are two devices: {old.device or 'unknown'} and {new.device or 'unknown'}")
    if old.datasheet != new.datasheet:
        names = [str(each.datasheet.get("name")) for each in (old, new)]
        app.warn(f"they were read with two datasheets: {names[0]} and {names[1]}")
    if old.role != new.role:
        app.warn(
            f"they were read in two roles, which may read other things: {old.role}, {new.role}"
        )
    for export in (old, new):
        if not export.is_complete:
            app.warn(f"{export.origin} is not complete: the link was lost while it was made")


def _show(
    app: App,
    old: "ExportFile",
    new: "ExportFile",
    found: "Comparison",
    told: "Sequence[Change]",
    *,
    is_whole: bool,
) -> None:
    data = {
        "old": _export_record(old),
        "new": _export_record(new),
        "equal": False if found.changes else None if found.not_compared else True,
        "counts": {kind: _count(told)[kind] for kind in KINDS},
        "volatile_left_out": found.volatile,
        "not_compared": found.not_compared,
        "changes": [_record(change) for change in told],
    }
    rows = [row_of(change) for change in told]
    shown = rows if is_whole else [[_short(cell) for cell in row] for row in rows]
    table = Table(columns=COLUMNS, rows=shown)
    equal = "no difference in what was compared" if found.not_compared else "no difference"
    sentences = [_counted(told) if told else equal]
    if found.volatile:
        sentences.append(f"{found.volatile} that come by themselves left out: --all shows them")
    if found.not_compared:
        names = {each.part: each.label for each in (*old.objects.values(), *new.objects.values())}
        parts = ", ".join(names[part] for part in found.not_compared)
        app.warn(f"not compared, for one side does not have it: {parts}")
    blocks: list[Table | str] = [*([table] if rows else []), "\n".join(sentences)]
    app.emit(data, View(blocks=blocks, csv=Table(columns=COLUMNS, rows=rows)))


def _export_record(export: "ExportFile") -> dict[str, Any]:
    return {
        "file": export.origin,
        "device": export.device,
        "moment": export.moment,
        "datasheet": dict(export.datasheet),
        "complete": export.is_complete,
    }


def _count(told: "Sequence[Change]") -> Counter[str]:
    """Return how many differences there are of each kind; an element is one."""
    counts: Counter[str] = Counter()
    for change in told:
        counts[change.kind] += change.count
    return counts


def _counted(told: "Sequence[Change]") -> str:
    counts = _count(told)
    return ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])


def _record(change: "Change") -> dict[str, Any]:
    return {
        "kind": change.kind,
        "part": change.subject,
        "name": change.name,
        "aspect": change.aspect,
        "element": change.element,
        "member": change.member,
        "old": change.old,
        "new": change.new,
        "count": change.count,
        "volatile": change.is_volatile,
    }


def row_of(change: "Change") -> list[object]:
    """Return a difference in words."""
    label = change.name or change.subject
    aspect = None if change.aspect == "value" else change.aspect
    if change.count > 1:
        number = f"{change.count} entries"
        texts = {
            "added": (None, f"{number} more, from [{change.element}] on"),
            "removed": (f"{number} fewer, from [{change.element}] on", None),
            "changed": (None, f"{number} differ, the first is [{change.element}]"),
        }[change.kind]
    else:
        label += "" if change.element is None else f"[{change.element}]"
        texts = (
            None if change.kind == "added" else words(change.old),
            None if change.kind == "removed" else words(change.new),
        )
    return [change.kind, label, change.member or aspect, *texts]


def words(value: Any) -> str:
    """Return a value of an export in words."""
    match value:
        case None:
            return "not set"
        case {"number": number, "name": name, **others} if set(others) <= {"code"}:
            return f"{name} ({number})" if others else str(number if name is None else name)
        case {"number": _, "names": list() as names, **others} if not others:
            return ",".join(map(str, names)) or "none"
        case dict():
            return ", ".join(f"{name}={words(item)}" for name, item in value.items())
        case RoleSet():
            return str(value)
        case list():
            return "[" + "; ".join(map(words, value)) + "]"
        case _:
            return str(value)


def _short(cell: object) -> object:
    text = str(cell)
    return cell if cell is None or len(text) <= MAX_CELL else text[: MAX_CELL - 3] + "..."
