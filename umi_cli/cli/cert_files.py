"""Where certificates and requests go: into files, or to stdout as they are."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umi_cli.cli import cert_view, params
from umi_cli.errors import InputError
from umi_cli.output import streams
from umi_cli.output.render import View

if TYPE_CHECKING:
    from umi_cli.cli.context import App


def give(
    app: "App", path: str | None, record: dict[str, Any], *, is_there: bool | None = None
) -> None:
    """Write what a record is of into a file, or to stdout for `-`, and tell what it is.

    Args:
        path: None: it is only told.
        record: its fields; the bytes stand in `raw`.
        is_there: `check_place` was asked before, and said so.

    Raises:
        InputError: it cannot be written, or nobody says yes to replacing what is there.
    """
    if path == "-" and app.report.form == "table":
        _write_to_stdout(record["raw"])
        return
    if path is not None and path != "-":
        is_there = check_place(app, path) if is_there is None else is_there
        _write_to_file(path, record["raw"], replace=is_there)
    record = {"file": None if path == "-" else path, **record}
    app.emit(record, View(blocks=(cert_view.pairs(record),), raw=[record["raw"]]))


def check_place(app: "App", path: str) -> bool:
    """Check that what is made can be written there, and tell whether it replaces a file.

    Raises:
        InputError: it cannot, or the user does not want to lose what is there.
    """
    if path == "-":
        if app.report.form == "table":
            _check_stdout()
        return False
    if not os.access(os.path.dirname(path) or ".", os.W_OK):
        raise InputError(f"cannot write {path}: its directory is missing, or not ours")
    is_there = os.path.lexists(path)
    if is_there:
        settings = app.settings
        params.confirm(f"replace {path}", yes=settings.yes, no_input=settings.no_input)
    return is_there


def _write_to_file(path: str, data: bytes, *, replace: bool) -> None:
    from umi_cli import files

    try:
        files.write_atomically(Path(path), data, replace=replace)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _check_stdout() -> None:
    if streams.is_terminal(sys.stdout):
        raise InputError("these bytes are not for a terminal", hint="name a file, or add -o raw")


def _write_to_stdout(data: bytes) -> None:
    """Write the bytes as they are; `-o raw` is the way to have them in hex."""
    _check_stdout()
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise streams.OutputClosedError(error) from error
