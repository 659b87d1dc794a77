"""`umi export`: a whole device in one JSON file."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.errors import InputError
from umi_cli.output.render import Table, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from umi_cli.device.export import Export, Tell
    from umi_cli.device.meter import Meter
    from umi_cli.output.progress import Progress
    from umi_cli.types import ObjectPart

EXAMPLES = """\
umi -p sim export meter.json
umi -p auto export meter.json --no-tables
umi -p sim export - --only manufacturer-id --only "profile-table[0:47]"
"""
STDOUT = "-"


@command(examples=EXAMPLES, lacks=("csv", "raw"))
@click.argument("path", metavar="[FILE|-]", default=STDOUT)
@click.option("--only", metavar="PART", multiple=True, help="This part and no other; repeatable")
@click.option(
    "--tables/--no-tables", default=True, help="The arrays too: profile, events; default: yes"
)
@click.option("--partial", is_flag=True, help="Keep what is certain if the link is lost")
@pass_app
def export(app: App, path: str, only: tuple[str, ...], tables: bool, partial: bool) -> None:
    """Write all that a device gives to one JSON file.

    Objects with raw bytes and values, access sets where our role may ask, and the device's
    certificates. What it refuses is there with the reason; secrets are never read. The file is its
    owner's alone, mode 0600, for a load profile says when somebody is at home.

    If the link is lost in the middle nothing is written. With --partial what came is, marked
    "complete":false; the exit code is that of the loss all the same.
    """
    from umi_cli.cli.export_record import document_of
    from umi_cli.objects.export_document import dump

    parts = [app.catalogue.resolve(text) for text in only] or None
    with _place(app, path) as file:
        with app.connect() as meter:
            found = read(app, meter, parts, tables=tables)
        if found.failure is not None and not partial:
            raise found.failure
        document = document_of(found, app.catalogue, parts)
        text = "".join(dump(document))
        if file is not None:
            file.write(text.encode("ascii"))
    _tell(app, path, document, text)
    if found.failure is not None:
        raise found.failure


def read(
    app: App,
    meter: "Meter",
    parts: "Sequence[ObjectPart] | None",
    *,
    tables: bool,
    label: str = "export",
) -> "Export":
    """Read a device with progress on stderr, called `label`; raises as `read_export` does."""
    from umi_cli.device.export import read_export

    with _progress(app, label) as tell:
        return read_export(meter, only=parts, tables=tables, tell=tell)


@contextlib.contextmanager
def _place(app: App, path: str) -> "Iterator[BinaryIO | None]":
    """Hold the place of the file before a device is asked; None for stdout.

    Raises:
        InputError: nothing can be written there.
    """
    if path == STDOUT:
        yield None
        return
    from umi_cli.cli.cert_files import check_place
    from umi_cli.files import PRIVATE_MODE, atomic_writer

    is_there = check_place(app, path)
    try:
        with atomic_writer(Path(path), mode=PRIVATE_MODE, replace=is_there) as file:
            yield file
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


@contextlib.contextmanager
def _progress(app: App, label: str) -> "Iterator[Tell]":
    """Show how far a reading is: a bar for the objects, another for the entries of tables."""
    from umi_cli.output.progress import SHORT_S

    shown: dict[str, Progress] = {}

    def tell(what: str, done: int, total: int) -> None:
        if what not in shown:
            finish()
            shown[what] = app.progress(label, total, what, quiet_s=SHORT_S)
        shown[what].update(done)

    def finish() -> None:
        for progress in shown.values():
            progress.finish()

    try:
        yield tell
    finally:
        finish()


def _tell(app: App, path: str, document: dict[str, Any], text: str) -> None:
    """Give the export itself, or a summary of what is in the file."""
    if path == STDOUT:
        app.emit(document, View(blocks=(text,)))
        return
    objects = document["objects"]
    refused = [each for each in objects if each["error"] is not None]
    summary = {
        "file": path,
        "complete": document["complete"],
        "device": document["device"],
        "objects": len(objects) - len(refused),
        "refused": [
            {"part": each["part"], "name": each["name"], "error": each["error"]} for each in refused
        ],
        "left_out": document["left_out"],
        "certificates": len([c for c in document["certificates"] or [] if c["error"] is None]),
    }
    rows = {
        "file": path,
        "device": document["device"],
        "objects": summary["objects"],
        "not given": ", ".join(
            f"{each['name'] or each['part']} ({_why(each)})" for each in refused
        ),
        "left out": ", ".join(f"{each['name']} ({each['why']})" for each in document["left_out"]),
        "certificates": summary["certificates"],
    }
    shown = {name: value for name, value in rows.items() if value not in ("", None)}
    app.emit(summary, View(blocks=(Table.pairs(shown),)))


def _why(record: dict[str, Any]) -> str:
    return str(record["error"]["name"] or record["error"]["code"])
