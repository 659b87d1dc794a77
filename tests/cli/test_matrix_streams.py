"""Every command as a process: with a stdout that takes nothing, and ended in the middle."""

import json
import os
import queue
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TIME_LIMIT_S, UMI, Outcome, environment, start_umi
from tests.cli.matrix import PLAN, ROWS, AtDesk, OnDevice, Row, Serving
from tests.cli.matrix_check import check
from tests.cli.matrix_desk import FORMS, MatrixDesk, Runs, matrix_desk
from tests.transports.ends import LOCALHOST, SAFETY_S, peer

FINITE = [row for row in ROWS if not isinstance(row, Serving)]
SERVING = [row for row in ROWS if isinstance(row, Serving)]
JOURNAL = "new.journal"
WAITING = [
    *(row for row in ROWS if isinstance(row, OnDevice)),
    AtDesk("provision run", f"{PLAN} --journal {{w}}/{JOURNAL}"),
]
SIGNALS = {signal.SIGINT: ("interrupted", 130), signal.SIGTERM: ("terminated", 143)}

ORDERS = [(signal.SIGINT, "json"), (signal.SIGINT, "events"), (signal.SIGTERM, "table")]


def named(value: object) -> str:
    return value.line() if isinstance(value, Row) else str(getattr(value, "name", value))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixDesk]:
    with matrix_desk(tmp_path_factory.mktemp("matrix")) as made:
        yield made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "kept"))


@pytest.fixture
def runs(desk: MatrixDesk, tmp_path: Path) -> Runs:
    return Runs(desk, tmp_path)


def ended(process: Any, before: str = "") -> Outcome:
    """Wait for the end of a process, by which all of its children must have ended too."""
    stdout, stderr = process.communicate(timeout=TIME_LIMIT_S)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    return Outcome(process.returncode, before + (stdout or ""), stderr)


# A stdout that takes nothing


@pytest.mark.sampled
@pytest.mark.parametrize("row", ROWS, ids=named)
def test_a_closed_stdout(runs: Runs, row: Row) -> None:
    words = runs.words(row.run())
    process = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *UMI, *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    said = "umi: cannot write the result: standard output is closed\n"
    assert (process.returncode, process.stdout, process.stderr) == (1, "", said)
    assert runs.changes() == {}


@pytest.mark.sampled
@pytest.mark.parametrize("row", ROWS, ids=named)
def test_a_reader_that_has_gone(runs: Runs, row: Row) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = runs.words(f"{row.run()} --json")
    process = start_umi(*words, stdout=writer, process_group=0)
    os.close(writer)
    outcome = ended(process)
    assert (outcome.exit, outcome.stderr) == (141, "")


@pytest.mark.sampled
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("row", ROWS, ids=named)
def test_a_disk_that_is_full(runs: Runs, row: Row) -> None:
    with open("/dev/full", "w") as full:
        outcome = ended(start_umi(*runs.words(row.run()), stdout=full, process_group=0))
    assert outcome.exit == 1
    *said, last = outcome.stderr.splitlines()
    assert last == "umi: cannot write the result: No space left on device"
    assert row.is_said or not said


# Ended in the middle


@pytest.fixture(scope="module")
def silent() -> Iterator[tuple[str, "queue.Queue[bytes]"]]:
    """Take calls and answer none; yield the address, and a queue of what came first."""
    heard: queue.Queue[bytes] = queue.Queue()

    def listen(connection: socket.socket) -> None:
        heard.put(connection.recv(1000))
        while connection.recv(1000):
            pass

    with peer(listen) as port:
        yield f"tcp:{LOCALHOST}:{port}", heard


@pytest.mark.sampled
@pytest.mark.parametrize(("number", "form"), ORDERS, ids=named)
@pytest.mark.parametrize("row", WAITING, ids=named)
def test_ended_while_it_waits(
    runs: Runs, silent: Any, row: Row, number: signal.Signals, form: str
) -> None:
    address, heard = silent
    own = row.own if isinstance(row, OnDevice) else ""
    words = runs.words(f"-p {address} {own} {row.line()} {FORMS[form]}")
    process = start_umi(*words, process_group=0)
    assert heard.get(timeout=SAFETY_S)
    process.send_signal(number)
    outcome = ended(process)
    name, code = SIGNALS[number]
    check(outcome, form, code)
    assert name in outcome.stdout + outcome.stderr
    assert runs.changes().keys() <= {JOURNAL}  # which is opened before the first unit


@pytest.mark.parametrize(("number", "form"), ORDERS, ids=named)
@pytest.mark.parametrize("row", SERVING, ids=named)
def test_ended_while_it_serves(runs: Runs, row: Row, number: signal.Signals, form: str) -> None:
    """Its one document under `--json` is the line that says where it serves."""
    process = start_umi(*runs.words(f"{row.run()} {FORMS[form]}"), process_group=0)
    first = process.stdout.readline()
    assert json.loads(first)["type"] == "listening"
    process.send_signal(number)
    outcome = ended(process, first)
    name, code = SIGNALS[number]
    if form == "events":
        check(outcome, form, code)
        return
    assert (outcome.exit, outcome.stdout) == (code, first)
    assert outcome.stderr.splitlines()[-1] == f"umi: {name}"
