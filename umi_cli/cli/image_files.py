"""Where packages come from and where they go: files of any length, stdin, stdout."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from umi_cli.errors import InputError
from umi_cli.output import streams

if TYPE_CHECKING:
    from umi_cli.cli.context import App


class Input:
    """A file or stdin that is read in pieces; what goes wrong names it.

    Args:
        path: its path, or `-`.
        file: the open file.
    """

    def __init__(self, path: str, file: BinaryIO) -> None:
        self._path, self._file = path, file

    def read(self, size: int, /) -> bytes:
        """Return up to that many bytes; none at the end. `InputError` if it cannot be read."""
        with _reading(self._path):
            return self._file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place, and return it; `InputError` if it is a pipe."""
        with _reading(self._path):
            return self._file.seek(offset, whence)


@contextlib.contextmanager
def reading(path: str) -> Iterator[Input]:
    """Open a file, or stdin for `-`.

    Raises:
        InputError: it cannot be read.
    """
    if path == "-":
        if sys.stdin is None:
            raise InputError("stdin is closed", hint="give a file, or a pipe on stdin")
        yield Input(path, sys.stdin.buffer)
        return
    with contextlib.ExitStack() as stack:
        with _reading(path):
            file = stack.enter_context(open(path, "rb"))
        yield Input(path, file)


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def writing(app: "App", path: str) -> Iterator[BinaryIO]:
    """Open what is to become a file, or is to go to stdout for `-`, once the block ends well.

    Under `--dry-run` it becomes nothing.

    Raises:
        InputError: it cannot be written, or nobody says yes to replacing what is there.
    """
    if path == "-":
        _check_stdout(app)
    is_there = path != "-" and os.path.lexists(path)
    if is_there:
        app.confirm(loss=f"replace {path}")
    try:
        with _temporary(app, path, is_there) as file:
            yield file
            if path == "-" and not app.settings.dry_run:
                _copy_to_stdout(file)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _temporary(
    app: "App", path: str, is_there: bool
) -> contextlib.AbstractContextManager[BinaryIO]:
    """Return a file that takes its place at the end of a block; or that goes away."""
    from tempfile import TemporaryFile

    from umi_cli import files

    if app.settings.dry_run or path == "-":
        return TemporaryFile()
    return files.atomic_writer(Path(path), replace=is_there)


def _check_stdout(app: "App") -> None:
    if app.report.form != "table":
        raise InputError(
            "the bytes themselves go to stdout, and nothing beside them",
            hint="name a file, or leave --json, --events and -o out",
        )
    if streams.is_terminal(sys.stdout):
        raise InputError("these bytes are not for a terminal", hint="name a file")


def _copy_to_stdout(file: BinaryIO) -> None:
    file.seek(0)
    try:
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise streams.OutputClosedError(error) from error
