"""Where the reports of `umi certify` go, and where an earlier one comes from."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from umi_cli.errors import InputError

if TYPE_CHECKING:
    from umi_cli.certify.baseline import Earlier
    from umi_cli.certify.report import RunReport


def check_places(*paths: str | None) -> None:
    """Check that reports can be written there, before a device is tested for minutes.

    A report that is there is replaced without a question: it is made again and again.

    Raises:
        InputError: one cannot, or two are to be one file.
    """
    named = [path for path in paths if path is not None]
    for path in named:
        if not path or os.path.isdir(path) or not os.access(os.path.dirname(path) or ".", os.W_OK):
            raise InputError(
                f"cannot write {path!r}: it is no file, or its directory is missing or not ours"
            )
    if len({os.path.abspath(path) for path in named}) < len(named):
        raise InputError("two reports cannot be one file", hint="give each a name of its own")


def write_reports(
    report: "RunReport", *, out: str | None, junit: str | None, html: str | None
) -> None:
    """Write the reports that were asked for, each whole or not at all.

    Raises:
        InputError: one cannot be written.
    """
    from umi_cli.files import write_atomically

    writers = ((out, _to_json), (junit, _to_junit), (html, _to_html))
    for path, make in writers:
        if path is not None:
            try:
                write_atomically(Path(path), make(report))
            except OSError as error:
                raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _to_json(report: "RunReport") -> bytes:
    import json

    from umi_cli.certify.report import document_of

    return json.dumps(document_of(report), allow_nan=False, indent=1).encode("ascii") + b"\n"


def _to_junit(report: "RunReport") -> bytes:
    from umi_cli.certify.junit import to_junit

    return to_junit(report)


def _to_html(report: "RunReport") -> bytes:
    from umi_cli.certify.html_page import to_html

    return to_html(report).encode()


def load_baseline(path: str) -> "Earlier":
    """Read an earlier report; `InputError` if it is none."""
    from umi_cli.certify.baseline import load
    from umi_cli.cli.sources import read_file

    return load(read_file(path), "stdin" if path == "-" else path)
