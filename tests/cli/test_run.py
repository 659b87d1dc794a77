"""`umi run`: a batch is understood whole before any of it is run; each line has a result."""

import csv
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, call_umi, run_umi
from umi_cli.cli import batch as batches

GOOD = """\
# commissioning
write counter 5 --verify
umi read counter

use -o csv
read manufacturer-id/serial
"""


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    return tmp_path / "batch.umi"


def test_each_line_has_its_output_and_a_result(
    batch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.write_text(GOOD)
    outcome = call_umi(capsys, "-p", "sim", "run", str(batch))
    assert (outcome.exit, outcome.stderr) == (0, "")
    assert outcome.stdout.splitlines() == [
        "==> 2: write counter 5 --verify",
        "counter: written and read back",
        "==> 3: umi read counter",
        "5",
        "==> 5: use -o csv",
        "==> 6: read manufacturer-id/serial",
        "part,name,value",
        "umi.1.1.0.0/3,manufacturer-id/serial,31733978",
        "line  command                      exit  error",
        "----  ---------------------------  ----  -----",
        "   2  write counter 5 --verify        0  -",
        "   3  umi read counter                0  -",
        "   5  use -o csv                      0  -",
        "   6  read manufacturer-id/serial     0  -",
    ]


def test_csv_is_the_results_alone(batch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batch.write_text("read counter\nread scheme-1-keys\n")
    outcome = call_umi(capsys, "-p", "sim", "run", str(batch), "-o", "csv")
    rows = list(csv.reader(outcome.stdout.splitlines()))
    assert rows[0] == ["line", "command", "exit", "error"]
    assert [row[:3] for row in rows[1:]] == [
        ["1", "read counter", "0"],
        ["2", "read scheme-1-keys", "23"],
    ]
    assert outcome.exit == 53


def test_json_holds_the_data_of_each_line(batch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batch.write_text("write counter 5\nread scheme-1-keys\nread counter -o csv\n")
    outcome = call_umi(capsys, "-p", "sim", "run", str(batch), "--json")
    written, refused, read = outcome.document["data"]
    assert written["data"]["written"]
    assert (refused["ok"], refused["exit"], refused["error"]["code"]) == (
        False,
        23,
        "access-denied",
    )
    assert read["data"][0]["value"] == 5
    assert {record["device"] for record in (written, refused, read)} == {"00237EFE00000001"}
    assert outcome.document["error"]["message"] == "1 of 3 lines failed: 2"


def test_events_are_a_line_each(batch: Path) -> None:
    batch.write_text("read counter\nread counter\n")
    events = run_umi("-p", "sim", "run", str(batch), "--events").events
    assert [event["type"] for event in events] == ["line", "line", "result"]


def test_raw_is_refused_before_anything_is_run(
    batch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.write_text("write counter 5\n")
    state = tmp_path / "state.json"
    outcome = call_umi(capsys, "-p", f"sim:{state}", "run", str(batch), "-o", "raw")
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert not state.exists()


FAULTS = {
    "nosuch": "there is no command 'nosuch'",
    "raed counter": "there is no command 'raed' (did you mean read?)",
    "access shwo valve": "there is no command 'shwo' (did you mean show?)",
    "access": "no command given",
    "read counter --nosuch": "no such option",
    "read": "missing argument",
    "read counter --timeout soon": "--timeout: 'soon' is no number of seconds",
    "read counter --profile nosuch": "has no profile 'nosuch'",
    "read countr": "the datasheet has no object 'countr' (did you mean counter?)",
    "read counter --datasheet nosuch": "there is no datasheet 'nosuch'",
    "read 'counter": "a quote is not closed",
    "use --role king": "there is no role 'king'",
    "read counter --json --events": "exclude each other",
    "run other.umi": "a batch runs no other batch",
    "shell": "a batch runs no other batch",
}


@pytest.mark.parametrize("line", FAULTS)
@pytest.mark.parametrize("form", ["table", "json"])
def test_line_that_is_not_understood_leaves_the_batch_undone(
    line: str,
    form: str,
    batch: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    state = tmp_path / "state.json"
    batch.write_text(f"write counter 5\n\n{line}\n")
    options = ["--json"] if form == "json" else []
    outcome = call_umi(capsys, "-p", f"sim:{state}", "run", str(batch), *options)
    assert outcome.exit == 2
    error = outcome.document["error"]["message"] if options else outcome.stderr
    assert "nothing was run" in error
    assert "line 3: " in error
    assert FAULTS[line] in error
    assert not state.exists()
    assert options or outcome.stdout == ""


def test_every_line_that_is_not_understood_is_named(
    batch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.write_text("read counter\n" + "nosuch\n" * 12)
    outcome = call_umi(capsys, "-p", "sim", "run", str(batch))
    named = [f"line {number}: there is no command" for number in range(2, 12)]
    assert all(name in outcome.stderr for name in named)
    assert "line 12:" not in outcome.stderr
    assert "; and 2 more\n" in outcome.stderr


def test_what_use_sets_counts_when_lines_are_checked(
    batch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "none.toml"
    batch.write_text(f"use --datasheet {sheet}\nread counter\n")
    outcome = call_umi(capsys, "-p", "sim", "run", str(batch))
    assert outcome.exit == 2
    assert "line 2: " in outcome.stderr


def test_check_asks_and_shows_nothing(batch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batch.write_text("read --help\n--version\nuse\nhelp\nconfig show\nexit\nnosuch\n")
    outcome = call_umi(capsys, "run", str(batch))
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "line 7" in outcome.stderr


def test_e_stops_at_the_first_failure_with_its_code(
    batch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.write_text("read counter\nread scheme-1-keys\nread counter\n")
    outcome = call_umi(capsys, "-p", "sim", "run", "-e", str(batch))
    assert outcome.exit == 23
    assert "==> 3" not in outcome.stdout
    assert outcome.stderr.startswith("line 2: ")
    assert outcome.stderr.endswith("umi: line 2 has failed, and none was run after it\n")


def test_one_line_alone_ends_with_its_own_code(
    batch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.write_text("read scheme-1-keys\n")
    assert call_umi(capsys, "-p", "sim", "run", str(batch)).exit == 23


def test_dry_run_is_carried(
    batch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.write_text("write counter 5\nread counter\n")
    outcome = call_umi(capsys, "-p", "sim", "--dry-run", "run", str(batch), "--json")
    written, read = outcome.document["data"]
    assert not written["data"]["written"]
    assert read["data"][0]["value"] == 0


def test_batch_on_stdin() -> None:
    outcome = run_umi("-p", "sim", "run", "-", "--json", input="write counter 4\nread counter")
    assert outcome.document["data"][1]["data"][0]["value"] == 4


def test_batch_of_nothing_is_done(batch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batch.write_text("# nothing\n\n")
    outcome = call_umi(capsys, "run", str(batch), "--json")
    assert (outcome.exit, outcome.document["data"]) == (0, [])
    assert call_umi(capsys, "run", str(batch)) == Outcome(0, "", f"{batch} has no command in it\n")


def test_batch_without_end_is_refused(
    batch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(batches, "MAX_LINES", 3)
    batch.write_text("read counter\n" * 4)
    outcome = call_umi(capsys, "-p", "sim", "run", str(batch))
    assert (outcome.exit, outcome.stderr) == (2, "umi: the batch has more than 3 lines\n")


def test_secret_stands_in_no_result(batch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = bytes(range(16)).hex()
    batch.write_text("write scheme-1-keys[1] env:UMI_NEW_KEY\nread counter\n")
    outcome = run_umi(
        "-p", "sim:?as=manufacturer", "run", str(batch), "--json", env={"UMI_NEW_KEY": value}
    )
    assert outcome.document["ok"]
    assert value not in json.dumps(outcome.document)


@pytest.mark.parametrize("content", [b"info\nread \0counter\n", b"\xff\xfe\x01\n" * 50])
def test_what_is_no_text_is_refused_once(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rnd.bin"
    path.write_bytes(content)
    outcome = call_umi(capsys, "-p", "sim", "run", str(path))
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert f"{path} is no text" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 2
