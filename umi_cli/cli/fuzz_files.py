"""Which cases `umi fuzz` reads from files, and where it keeps what it finds."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umi_cli.cli.orders import Terminated
from umi_cli.errors import InputError, UmiError
from umi_cli.output.streams import OutputClosedError

if TYPE_CHECKING:
    from umi_cli.certify.fuzz_case import FuzzCase

FAILURE = "fail-"
UNDER_WAY_BYTES = 80  # of the line that names a case


def load_case(path: Path) -> "FuzzCase":
    """Read a case from a file of a corpus.

    Raises:
        InputError: there is none.
    """
    import json

    from umi_cli.certify.fuzz_case import MAX_FILE_BYTES, FuzzCase

    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path}: too long for a fuzz case")
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: this is no JSON: {error}") from error
    try:
        return FuzzCase.of(record)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def load_corpus(directory: Path) -> tuple["FuzzCase", ...]:
    """Read the cases of a directory, which is made if it is missing.

    Raises:
        InputError: it cannot be, or a file in it is no case.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        paths = sorted(directory.glob("*.json"))
    except OSError as error:
        raise InputError(f"cannot use {directory}: {error.strerror}") from error
    return tuple(load_case(path) for path in paths)


def keep_failure(directory: Path, record: Mapping[str, Any]) -> Path:
    """Write a failure into a corpus, whole or not at all; `InputError` if it cannot be."""
    path = directory / f"{FAILURE}{record['case'].replace(':', '-')}.json"
    write_json(path, record)
    return path


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a file of JSON, whole or not at all; `InputError` if it cannot be."""
    import json

    from umi_cli.files import write_atomically

    try:
        write_atomically(path, json.dumps(data, indent=1).encode("ascii") + b"\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


_KNOWN_ENDS = (UmiError, OutputClosedError, KeyboardInterrupt, Terminated)
"""What ends a run and is no crash."""


class UnderWay:
    """The name of the case that is being sent, in a file: a crash of anything leaves it behind.

    Args:
        descriptor: of the file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def name(self, case: "FuzzCase") -> None:
        """Write the name of a case, before anything of it is sent.

        Raises:
            InputError: it cannot be written.
        """
        try:
            os.pwrite(self._descriptor, f"{case.name:{UNDER_WAY_BYTES}}\n".encode(), 0)
        except OSError as error:
            raise InputError(f"cannot write which case is sent: {error.strerror}") from error


@contextlib.contextmanager
def under_way(directory: Path) -> Iterator[UnderWay]:
    """Keep the name of the case that is being sent in a file, which goes when the run has ended.

    Raises:
        InputError: it cannot be written.
    """
    path = directory / f"under-way-{os.getpid()}.txt"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield UnderWay(descriptor)
    except _KNOWN_ENDS:
        path.unlink(missing_ok=True)
        raise
    else:
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
