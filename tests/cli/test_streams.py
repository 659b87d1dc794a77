"""stdout, stderr, JSON documents, events, signals and exit codes, as scripts see them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, call_umi, environment, run_umi, start_umi
from umi_cli import __version__

USAGE_ERRORS = [
    [],
    ["nosuch"],
    ["ports", "--nosuch"],
    ["ports", "surplus"],
    ["read"],
    ["--timeout", "soon", "ports"],
    ["--timeout", "-1", "ports"],
    ["--retries", "-1", "ports"],
    ["--umi-id", "xyz", "ports"],
    ["--role", "king", "ports"],
    ["ports", "--port"],
    ["-o", "yaml", "ports"],
    ["--profile", "nosuch", "ports"],
    ["--config", "/nonexistent.toml", "ports"],
    ["read", "umi.1.1.0"],
    ["read", "manufacturer-id"],
    ["--scheme", "2", "-p", "sim", "read", "manufacturer-id"],
    ["--role", "service", "-p", "sim", "read", "manufacturer-id"],
    ["access", "set", "valve"],
    ["write", "scheme-1-keys[1]", "00112233445566778899aabbccddeeff"],
    ["--datasheet", "nosuch", "objects"],
]


@pytest.mark.parametrize("args", USAGE_ERRORS, ids=" ".join)
def test_usage_error_for_people(args: list[str]) -> None:
    outcome = run_umi(*args)
    assert outcome.exit == 2
    assert outcome.stdout == ""
    lines = outcome.stderr.splitlines()
    assert lines[0].startswith("umi: ")
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert len(lines) <= 2


@pytest.mark.parametrize("args", USAGE_ERRORS, ids=" ".join)
@pytest.mark.parametrize("where", ["first", "last", "environment"])
def test_usage_error_as_json(
    args: list[str],
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if where == "environment":
        monkeypatch.setenv("UMI_JSON", "1")
        outcome = call_umi(capsys, *args)
    elif where == "first":
        outcome = call_umi(capsys, "--json", *args)
    else:
        outcome = run_umi(*args, "--json")
    document = outcome.document
    assert outcome.exit == 2
    assert document["data"] is None
    assert document["error"]["code"] == "usage"
    assert document["error"]["message"]
    assert set(document["meta"]) == {"version", "port", "device", "duration_ms"}


def test_document_has_the_documented_shape() -> None:
    document = run_umi("spec", "--json").document
    assert list(document) == [
        "schema",
        "ok",
        "command",
        "data",
        "error",
        "warnings",
        "meta",
    ]
    assert document["command"] == "spec"
    assert document["error"] is None
    assert document["warnings"] == []
    assert document["meta"]["version"] == __version__


def test_document_names_subcommands_with_their_group() -> None:
    assert run_umi("access", "set", "valve", "--json").document["command"] == "access set"


def test_events_end_with_the_result() -> None:
    [result] = run_umi("spec", "--events").events
    assert result["ok"]
    assert result["data"]


def test_usage_error_as_event() -> None:
    [result] = run_umi("spec", "--nosuch", "--events").events
    assert result["exit"] == 2
    assert result["error"]["code"] == "usage"


@pytest.mark.parametrize(
    "args", [["--json", "--events"], ["--json", "-o", "csv"], ["-o", "raw", "--events"]]
)
def test_forms_of_output_exclude_each_other(args: list[str]) -> None:
    outcome = run_umi("spec", *args)
    assert outcome.exit == 2
    assert "exclude each other" in outcome.stdout


def test_csv_is_one_table() -> None:
    lines = run_umi("spec", "-o", "csv").stdout.splitlines()
    assert lines[0] == "feature,clause,marks,state,where,change"
    assert len(lines) > 30


def test_raw_of_what_has_no_bytes() -> None:
    outcome = run_umi("spec", "-o", "raw")
    assert outcome.exit == 2
    assert outcome.stdout == ""


def test_no_colour_off_a_terminal() -> None:
    assert "\x1b" not in run_umi("nosuch", env={"TERM": "xterm-256color"}).stderr


@pytest.mark.parametrize("args", [["spec"], ["--help"], ["spec", "--json"], ["spec", "--events"]])
def test_broken_pipe_is_silent(args: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start_umi(*args, stdout=writer)
    os.close(writer)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("args", [["spec"], ["spec", "--json"]])
def test_full_disk_is_one_sentence(args: list[str]) -> None:
    with open("/dev/full", "w") as full:
        process = start_umi(*args, stdout=full)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert stderr == "umi: cannot write the result: No space left on device\n"


def test_stderr_that_is_gone_changes_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start_umi("nosuch", stderr=writer)
    os.close(writer)
    process.communicate(timeout=30)
    assert process.returncode == 2


@pytest.mark.parametrize("form", ["table", "--json", "--events"])
def test_closed_stdout_is_said_before_anything_is_sent(tmp_path: Path, form: str) -> None:
    state = tmp_path / "state.json"
    args = ["-p", f"sim:{state}", "write", "counter", "5"]
    args += [form] if form.startswith("--") else []
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "umi_cli", *args]
    process = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert process.stderr == "umi: cannot write the result: standard output is closed\n"
    assert not state.exists()


def test_any_encoding_does() -> None:
    outcome = run_umi("read", "manufacturer-\u00e4\u20ac", env={"PYTHONIOENCODING": "ascii"})
    assert outcome.exit in (2, 31)
    assert "manufacturer-" in outcome.stderr


def interrupt(number: int, *args: str) -> Outcome:
    """Serve the virtual meter, and end that as soon as it serves."""
    with start_umi("sim", "--tcp", "127.0.0.1:0", *args) as process:
        try:
            first = process.stdout.readline()
            assert '"listening"' in first, process.communicate(timeout=30)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    return Outcome(process.returncode, first + stdout, stderr)


@pytest.mark.parametrize(
    ("number", "code", "name"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 143, "terminated: the terminal was closed"),
    ],
)
def test_signal_ends_it_with_its_code(number: int, code: int, name: str) -> None:
    outcome = interrupt(number)
    assert outcome.exit == code
    assert outcome.stdout.count("\n") == 1
    assert outcome.stderr.endswith(f"umi: {name}\n")
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_under_events_is_the_result(number: int, code: int) -> None:
    assert interrupt(number, "--events").events[-1]["error"]["exit"] == code


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_while_umi_is_imported_is_no_traceback(number: int, code: int, form: str) -> None:
    program = f"""
import signal, sys
class Interrupter:
    def find_spec(self, name, *rest):
        if name == "umi_cli.cli.context":
            signal.raise_signal({int(number)})
sys.meta_path.insert(0, Interrupter())
sys.argv[1:] = ["spec", {"--json" if form == "json" else "-otable"!r}]
from umi_cli.__main__ import main
main()
"""
    process = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    outcome = Outcome(process.returncode, process.stdout, process.stderr)
    assert outcome.exit == code
    if form == "json":
        assert outcome.document["error"]["exit"] == code
    else:
        assert outcome.stdout == ""
        assert outcome.stderr in ("umi: interrupted\n", "umi: terminated\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signal_that_the_parent_ignores_stays_ignored(number: int) -> None:
    program = f"""
import signal, sys
signal.signal({int(number)}, signal.SIG_IGN)
sys.argv[1:] = ["--version"]
from umi_cli.__main__ import main as begin
from umi_cli.cli.orders import Orders
orders = Orders()
orders.hold()
signal.raise_signal({int(number)})
orders.obey()
signal.raise_signal({int(number)})
begin()
"""
    process = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
