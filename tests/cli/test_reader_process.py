"""A reader's command: how it ends, with all that it has started."""

import os
from pathlib import Path

import pytest

from tests.transports.ends import wait_until
from umi_cli.cli.reader_process import ReaderProcess
from umi_cli.errors import InputError


def is_there(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_what_it_has_left_behind_is_ended_too(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    process = ReaderProcess(["sh", "-c", f"sleep 600 & echo $! > {note}; echo bye >&2; exit 3"])
    wait_until(lambda: process.has_ended)
    child = int(note.read_text())
    assert is_there(child)
    record = process.end()
    assert (record.exit, record.stderr) == (3, "bye")
    assert (process.exit, process.was_killed) == (3, False)
    wait_until(lambda: not is_there(child))
    assert process.end() is record


def test_what_does_not_end_is_ended() -> None:
    process = ReaderProcess(["sleep", "600"])
    assert not process.has_ended
    record = process.end()
    assert (record.exit, process.exit, process.was_killed) == (None, None, True)


def test_what_cannot_be_run() -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(InputError, match="cannot be run"):
        ReaderProcess(["/nowhere/at/all"])
    assert set(os.listdir("/proc/self/fd")) == before
