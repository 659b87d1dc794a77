"""`umi certify`: lists, runs, reports, baselines, what is refused, runs that are interrupted."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.certify.world import World
from tests.cli.conftest import TIME_LIMIT_S, Outcome, call_umi, run_umi, start_umi
from tests.cli.test_optical import serving
from tests.cli.test_terminal import at_terminal
from tests.transports.ends import wait_until
from umi_cli.certify.suite import CASES
from umi_cli.cli import certify_bench

Capsys = pytest.CaptureFixture[str]
QUICK = ("--only", "LNK-00*", "--only", "APP-00*")
TOGETHER = ("LNK-001", "LNK-002", "LNK-003")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where runs are kept."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "umi" / "certify"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.made(tmp_path_factory.mktemp("world"))


def certified(capsys: Capsys, *args: str) -> dict[str, Any]:
    """Run `umi certify`, which must succeed; return the report."""
    return dict(call_umi(capsys, *args, "--json").document["data"])


def failed(report: dict[str, Any]) -> list[str]:
    return [each["number"] for each in report["tests"] if each["verdict"] == "failed"]


# --- without a device ---------------------------------------------------------------------


def test_the_list_needs_no_device(capsys: Capsys) -> None:
    records = call_umi(capsys, "certify", "--list", "--json").document["data"]
    assert len(records) == len(CASES)


def test_a_list_of_a_level(capsys: Capsys) -> None:
    outcome = call_umi(capsys, "certify", "--list", "--level", "security", "--level", "link")
    lines = outcome.stdout.splitlines()
    assert lines[0].split() == ["number", "level", "mark", "clause", "title", "needs"]
    assert lines[2].startswith("LNK-001")
    assert any(line.startswith("SEC-099") for line in lines)
    assert not any(line.startswith(("APP", "OBJ", "IMG")) for line in lines)
    assert outcome.exit == 0
    assert outcome.stderr == ""


def test_several_numbers_may_stand_in_one_option(capsys: Capsys) -> None:
    only = ("--only", "LNK-012,app-001", "--only", "OBJ-001")
    lines = call_umi(capsys, "certify", "--list", *only, "-o", "csv").stdout.splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["LNK-012", "APP-001", "OBJ-001"]


def test_a_list_as_csv(capsys: Capsys) -> None:
    outcome = call_umi(capsys, "certify", "--list", "--only", "LNK-012", "-o", "csv")
    assert outcome.stdout.splitlines() == [
        "number,level,mark,clause,title,needs",
        "LNK-012,link,C,2.3,a repeated frame is answered again and executed once,",
    ]


def test_a_test_is_explained(capsys: Capsys) -> None:
    text = call_umi(capsys, "certify", "--explain", "sec-099").stdout
    for word in ("SEC-099, level security", "look at", "protocol 6.2", "[C]", "--role-key"):
        assert word in text
    data = certified(capsys, "certify", "--explain", "LNK-012")
    assert (data["number"], data["mark"], data["needs"]) == ("LNK-012", "C", [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--explain", "LNK-0012"], "there is no test 'LNK-0012'"),
        (["--list", "--only", "LKN-*"], "--only LKN-*: there is no such test"),
        (["--level", "links"], "'links' is not one of"),
        (["--level", "link", "--only", "SEC-001"], "SEC-001 is not of level link"),
        ([], "there is nothing to certify: no device is named"),
        (["--seed", "-1"], "-1 is not in the range"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys: Capsys, words: list[str], said: str) -> None:
    outcome = call_umi(capsys, "certify", *words)
    assert outcome.exit == 2
    assert said in outcome.stderr
    assert outcome.stdout == ""


# --- a run and its reports ----------------------------------------------------------------


def test_a_sound_meter_passes(capsys: Capsys, state: Path) -> None:
    report = certified(capsys, "-p", "sim", "certify")
    assert report["passed"] is True
    assert failed(report) == []
    assert len(report["tests"]) == len(CASES)
    assert report["device"]["umi_id"] == "00237EFE00000001"
    assert report["device"]["manufacturer_id"]["serial"] == "31733978"
    assert report["datasheet"]["name"] == "ei4"
    assert report["state"]["changes"] == []
    assert list(state.iterdir()) == [], "a run that has ended is kept no longer"


def test_the_reports_are_one(capsys: Capsys, tmp_path: Path) -> None:
    out, xml, page = (tmp_path / name for name in ("r.json", "r.xml", "r.html"))
    page.write_text("of last week")
    port = "sim:?defect=crc-unchecked"
    files = ("--out", str(out), "--junit", str(xml), "--html", str(page))
    outcome = call_umi(capsys, "-p", port, "certify", *QUICK, *files, "--json")
    assert outcome.exit == 53
    report = outcome.document["data"]
    assert outcome.document["error"]["code"] == "some-failed"
    assert json.loads(out.read_text()) == report
    assert failed(report) == ["LNK-002"]
    root = ElementTree.fromstring(xml.read_text())  # noqa: S314 - our own
    assert root.get("failures") == "1"
    text = page.read_text()
    assert 'id="LNK-002"' in text
    assert text.endswith("</html>\n")
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "r.html",
        "r.json",
        "r.xml",
        "state",
    ]


def test_a_failure_is_explained(capsys: Capsys) -> None:
    outcome = call_umi(capsys, "-p", "sim:?defect=crc-unchecked", "certify", *QUICK)
    assert outcome.exit == 53
    for word in (
        "FAILED LNK-002 a frame with a wrong CRC is dropped in silence",
        "it did    it was answered, with SIMPLE_RESPONSE",
        "look at   Check the CRC before anything else",
        "source    protocol 2.3 [F]",
        "link frame: type 0 (SIMPLE), sequence 1",
        "WRONG: ",
        "[F]: seen in the field",
        "state: as before, in 19 objects read as guest",
    ):
        assert word in outcome.stdout, word
    assert "FAILED LNK-002 a frame with a wrong CRC" in outcome.stderr
    assert "umi: 1 of 18 tests failed" in outcome.stderr


def test_a_table_of_all_tests_as_csv(capsys: Capsys) -> None:
    outcome = call_umi(capsys, "-p", "sim", "certify", *QUICK, "-o", "csv")
    lines = outcome.stdout.splitlines()
    assert lines[0] == "number,level,verdict,mark,clause,title,message,duration_s"
    assert lines[1].startswith("LNK-001,link,passed,F,2.3,")
    assert len(lines) == 19


def test_each_test_is_an_event(capsys: Capsys) -> None:
    events = call_umi(capsys, "-p", "sim", "certify", "--only", "LNK-00[12]", "--events").events
    kinds = [each["type"] for each in events if each["type"] != "progress"]
    assert kinds == ["test-begins", "test", "test-begins", "test", "result"]
    told = [each for each in events if each["type"] == "test"]
    assert told[0]["number"] == "LNK-001"
    assert (told[0]["verdict"], told[0]["level"], told[0]["resumed"]) == ("passed", "link", False)


def test_what_is_run_is_said_with_v(capsys: Capsys) -> None:
    words = ("-p", "sim", "certify", "--only", "LNK-001")
    title = f"LNK-001 {CASES['LNK-001'].title}"
    assert title not in call_umi(capsys, *words).stderr
    assert title in call_umi(capsys, *words, "-v").stderr
    assert "01 04 00 " in call_umi(capsys, *words, "-vv").stderr


def test_all_that_ran_with_keys(capsys: Capsys, world: World) -> None:
    words = (*world.words, "--allow-changes", "--destructive", "--yes")
    report = certified(capsys, "-p", world.address("sim"), "certify", *words)
    left_out = {each["message"] for each in report["tests"] if each["verdict"] == "left-out"}
    assert all("needs" in each and "-" in each for each in left_out)
    assert report["totals"]["security"]["left-out"] == 0
    assert report["state"]["role"] == "service"
    assert report["state"]["is_explained"] is True
    assert "destruction" in report["allowed"]


def test_the_role_key_may_be_the_own_key(capsys: Capsys, world: World) -> None:
    words = ("--scheme", "1", "--role", "service", "--key", f"{world.path}/service.key")
    report = certified(capsys, "-p", world.address("sim"), "certify", *words, "--only", "SEC-08*")
    assert report["totals"]["all"]["left-out"] == 0


# --- what a run refuses -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "exit", "said"),
    [
        (["--role-key", "service.key"], 2, "wants a role and its key"),
        (["--role-key", "nobody:DESK/service.key"], 2, "nobody"),
        (["--role-key", "service:DESK/office.pem"], 22, "a role key is an AES-128 key"),
        (["--ca-key", "DESK/root.pem"], 2, "belong together"),
        (
            ["--ca-key", "DESK/office.pem", "--ca-cert", "DESK/root.cvc"],
            22,
            "is not the key that",
        ),
        (
            ["--ca-key", "DESK/office.pem", "--ca-cert", "DESK/office.cvc"],
            22,
            "is no signing authority's certificate",
        ),
        (["--power", "pins"], 2, "only a Host has pins"),
        (["--only", "LNK-001", "--level", "objects"], 2, "LNK-001 is not of level objects"),
        (["--only", "LNK-001", "--level", "objects"], 2, "it is of level link"),
        (["--only", "LNK-901", "--level", "objects"], 2, "there is no such test"),
        (["--power", ""], 2, "wants pins, or a command"),
        (["--out", "DESK/nowhere/r.json"], 2, "its directory is missing"),
        (["--html", "DESK"], 2, "it is no file"),
        (["--html", "DESK/r.html", "--junit", "DESK/./r.html"], 2, "cannot be one file"),
        (["--baseline", "DESK/service.key"], 2, "is no report"),
        (["--baseline", "DESK/nowhere.json"], 2, "nowhere.json"),
        (["--destructive", "--no-input"], 2, "cannot be undone"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_sent(
    capsys: Capsys, world: World, state: Path, words: list[str], exit: int, said: str
) -> None:
    placed = [word.replace("DESK", str(world.path)) for word in words]
    outcome = call_umi(capsys, "-p", "sim", "certify", *placed)
    assert (outcome.exit, outcome.stdout) == (exit, "")
    assert said in outcome.stderr
    assert not state.exists()


def test_a_key_that_was_typed_is_not_repeated(capsys: Capsys) -> None:
    typed = "00112233445566778899aabbccddeeff"
    outcome = call_umi(capsys, "-p", "sim", "certify", "--role-key", typed)
    assert outcome.exit == 2
    assert typed not in outcome.stderr


def test_a_run_in_which_nothing_ran_is_no_success(capsys: Capsys) -> None:
    outcome = call_umi(capsys, "-p", "sim", "certify", "--only", "SEC-010", "--json")
    assert outcome.exit == 2
    error = outcome.document["error"]
    assert "needs credentials (--key, --cert and --anchor)" in error["message"]


def test_a_dry_run_tells_what_would_be_run(capsys: Capsys) -> None:
    words = ("--only", "LNK-001", "--only", "SEC-010", "--dry-run", "--json")
    records = call_umi(capsys, "-p", "sim", "certify", *words).document["data"]
    assert [each["left_out"] for each in records] == [
        None,
        "needs credentials (--key, --cert and --anchor)",
    ]


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        outcome = run_umi("-p", port, "--timeout", "0.1", "certify")
    assert outcome.exit == 14
    assert "RESYNC was sent: no answer within 0.1 s" in outcome.stderr


def test_a_reader_that_goes_away_ends_it() -> None:
    process = start_umi("-p", "sim", "certify", "--list")
    process.stdout.close()
    with process.stdin, process.stderr:
        assert process.wait(timeout=TIME_LIMIT_S) == 141
        assert process.stderr.read() == ""


# --- a baseline ---------------------------------------------------------------------------


def test_only_what_is_worse_than_the_baseline_fails(capsys: Capsys, tmp_path: Path) -> None:
    sound, broken = str(tmp_path / "sound.json"), str(tmp_path / "broken.json")
    worse = ("-p", "sim:?defect=crc-unchecked", "certify", *QUICK)
    assert call_umi(capsys, "-p", "sim", "certify", *QUICK, "--out", sound).exit == 0
    outcome = call_umi(capsys, *worse, "--baseline", sound, "--out", broken)
    assert outcome.exit == 53
    assert "what did not fail in the baseline fails now: LNK-002" in outcome.stderr
    assert "newly failing  LNK-002" in outcome.stdout
    again = call_umi(capsys, *worse, "--baseline", broken)
    assert again.exit == 0, "it is no worse than it was"
    assert "still failing  LNK-002" in again.stdout
    better = certified(capsys, "-p", "sim", "certify", *QUICK, "--baseline", broken)
    assert better["baseline"]["newly_passing"] == ["LNK-002"]


def test_a_document_of_json_is_a_baseline(capsys: Capsys, tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text(call_umi(capsys, "-p", "sim", "certify", *QUICK, "--json").stdout)
    report = certified(capsys, "-p", "sim", "certify", *QUICK, "--baseline", str(path))
    assert report["baseline"]["new"] == []


# --- interrupted --------------------------------------------------------------------------


@pytest.fixture
def served(world: World) -> Iterator[str]:
    with serving("--tcp", "127.0.0.1:0") as (_, [address]):
        yield address


SLOW = ("--only", "LNK-00*", "--only", "LNK-06*", "--quiet", "0.2")


def interrupted(address: str, *words: str, after: int = 8) -> tuple[list[dict[str, Any]], int]:
    """Run until some tests have ended, then press Ctrl-C; return the events and the exit code."""
    process = start_umi("-p", address, "certify", *SLOW, *words, "--events")
    events: list[dict[str, Any]] = []
    while sum(each["type"] == "test" for each in events) < after:
        events.append(json.loads(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=TIME_LIMIT_S)
    assert stderr == ""
    return events + [json.loads(line) for line in stdout.splitlines()], process.returncode


def test_an_interrupted_run_goes_on(served: str, state: Path) -> None:
    events, code = interrupted(served)
    assert code == 130
    ended = [each["number"] for each in events if each["type"] == "test"]
    result = events[-1]
    assert (result["exit"], result["error"]["code"]) == (130, "interrupted")
    [warning] = result["warnings"]
    assert warning.endswith("--events --resume")
    assert f"{len(ended)} of " in warning
    assert len(list(state.iterdir())) == 1
    resumed = run_umi("-p", served, "certify", *SLOW, "--events", "--resume")
    assert resumed.exit == 0, resumed.stdout[-500:]
    told = [each for each in resumed.events if each["type"] == "test"]
    assert [each["number"] for each in told if each["resumed"]] == ended
    assert [each["number"] for each in told] == [
        number for number in sorted(CASES) if number.startswith(("LNK-00", "LNK-06"))
    ]
    assert list(state.iterdir()) == []


def test_without_resume_it_begins_anew(served: str, state: Path) -> None:
    interrupted(served, after=2)
    events = run_umi("-p", served, "certify", *SLOW, "--events").events
    assert not any(each.get("resumed") for each in events)
    notes = [each["message"] for each in events if each["type"] == "note"]
    assert notes == ["an interrupted run is given up; --resume would have gone on with it"]
    assert list(state.iterdir()) == []


def test_another_selection_is_another_run(capsys: Capsys) -> None:
    outcome = call_umi(capsys, "-p", "sim", "certify", *QUICK, "--resume")
    assert outcome.exit == 0
    assert "there is no such run to go on with: it begins anew" in outcome.stderr


def test_a_device_that_is_lost(capsys: Capsys, tmp_path: Path, state: Path) -> None:
    page = tmp_path / "r.html"
    words = ("certify", "--level", "link", "--html", str(page))
    lost = call_umi(capsys, "-p", "sim:?fault=hangup:0.01&seed=3", *words, "--no-state")
    assert lost.exit == 17
    assert "the device is gone" in lost.stderr
    assert "hint: bring it back, and go on with: umi -p" in lost.stderr
    assert "The run was stopped: the device is gone" in page.read_text()
    assert len(list(state.iterdir())) == 1
    back = call_umi(capsys, "-p", "sim", *words, "--no-state", "--resume", "--json")
    report = back.document["data"]
    assert len(report["tests"]) == sum(number.startswith("LNK") for number in CASES)
    assert len(failed(report)) < 3, "only what met the loss itself"
    nobody = ("before the test, the device", "the device did not answer before the test")
    assert not any(each["message"].startswith(nobody) for each in report["tests"])


def test_a_state_that_cannot_be_kept(capsys: Capsys, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no directory")
    outcome = call_umi(capsys, "-p", "sim", "certify", *QUICK)
    assert outcome.exit == 2
    assert "how far the run is cannot be kept" in outcome.stderr


def test_the_command_for_the_power_comes_to_its_end(world: World, tmp_path: Path) -> None:
    """Interrupted in the middle, it would leave the device without power."""
    script = tmp_path / "switch"
    script.write_text('#!/bin/sh\ntouch "$1/off"\nsleep 1\ntouch "$1/on"\n')
    script.chmod(0o755)
    words = power(world, "sim", f"{script} {tmp_path}")
    with start_umi(*words, process_group=0) as process:
        wait_until(lambda: (tmp_path / "off").exists())
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 130
    assert (tmp_path / "on").exists()


# --- power --------------------------------------------------------------------------------


def power(world: World, port: str, command: str) -> tuple[str, ...]:
    words = ("--allow-changes", "--only", "IMG-050", "--power", command)
    return "-p", world.address(port), "certify", *world.words, *words


def test_the_pins_of_a_host_switch_a_device(capsys: Capsys, world: World) -> None:
    report = certified(capsys, *power(world, "spi", "pins"))
    assert report["tests"][0]["verdict"] == "passed"


def test_a_command_switches_a_device(capsys: Capsys, world: World, tmp_path: Path) -> None:
    """This one has no power switch: a marker says that it was run, without a shell."""
    marker = tmp_path / "was run"
    call_umi(capsys, *power(world, "sim", f"touch '{marker}'"))
    assert marker.exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("false", "--power: false ended with 1: in silence"),
        ("ls /nowhere/at/all", "--power: ls ended with 2: "),
    ],
)
def test_a_command_that_fails_leaves_the_test_out(
    capsys: Capsys, world: World, command: str, said: str
) -> None:
    """It says nothing about the device."""
    outcome = call_umi(capsys, *power(world, "sim", command), "--json")
    assert outcome.exit == 2
    [test] = outcome.document["data"]["tests"]
    assert test["verdict"] == "left-out"
    assert said in test["message"]
    assert any(said in warning for warning in outcome.document["warnings"])


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("nonexistcmd x", "there is no program 'nonexistcmd'"),
        ("/nowhere/relay off", "there is no program '/nowhere/relay'"),
        ("relay 'off", "cannot be taken apart"),
    ],
)
@pytest.mark.parametrize("umi", ["certify", "fuzz"])
def test_a_command_that_cannot_run_is_refused_before_anything_is_sent(
    capsys: Capsys, umi: str, command: str, said: str
) -> None:
    outcome = call_umi(capsys, "-p", "tcp:127.0.0.1:1", umi, "--power", command)
    assert outcome.exit == 2
    assert said in outcome.stderr


def test_a_command_that_hangs_is_told_and_killed(
    capsys: Capsys, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certify_bench, "POWER_NOTE_S", 0.1)
    monkeypatch.setattr(certify_bench, "POWER_LIMIT_S", 0.5)
    outcome = call_umi(capsys, *power(world, "sim", "sh -c 'sleep 60; true'"))
    assert outcome.exit == 2
    assert "waiting for --power: sh, for 0.5 s at most" in outcome.stderr
    assert "--power: sh did not end within 0.5 s, and was killed" in outcome.stdout


# --- people -------------------------------------------------------------------------------


def test_a_bar_makes_room_for_failures() -> None:
    words = ["-p", "sim:?defect=crc-unchecked", "certify", *QUICK]
    code, shown = at_terminal(words, "")
    assert code == 53
    assert "certify [" in shown
    lines = [line.rpartition("\r")[2] for line in shown.replace("\r\n", "\n").split("\n")]
    assert any(line.startswith("\x1b[31mFAILED \x1b[0mLNK-002 a frame") for line in lines)


FOUND_FROM_THE_REPORT = {
    "crc-unchecked": ("LNK-002", ("CRC", "dropped in silence", "it was answered")),
    "repeat-executed": ("LNK-012", ("repeat", "stored")),
    "fragment-length-unchecked": ("LNK-044", ("length",)),
    "guest-writes": ("OBJ-015", ("WRITE_OBJECT", "OK (0) instead of ACCESS_DENIED", "write role")),
    "member-off-by-one": ("OBJ-004", ("member",)),
    "umi-id-zero": ("APP-007", ("UMI ID",)),
    "salt-repeated": ("SEC-012", ("salt",)),
    "scheme-1-no-lock-out": ("SEC-099", ("failures", "UNAVAILABLE", "Count")),
    "image-hash-unchecked": ("IMG-033", ("hash",)),
}
"""What fails first, and words that lead to what is wrong."""


@pytest.mark.parametrize("defect", FOUND_FROM_THE_REPORT)
def test_the_report_alone_leads_to_the_defect(capsys: Capsys, world: World, defect: str) -> None:
    number, words = FOUND_FROM_THE_REPORT[defect]
    port = world.address("sim", defect=defect)
    given = (*world.words, "--allow-changes", "--destructive", "-y", "--no-state")
    outcome: Outcome = call_umi(capsys, "-p", port, "certify", *given)
    assert outcome.exit == 53
    first, _, rest = outcome.stdout.partition("\nFAILED ")[2].partition("\nFAILED ")
    assert first.startswith(f"{number} "), first
    for word in words:
        assert word in first, (word, first)
    assert rest.count("\nFAILED ") < 3 or defect == "umi-id-zero"


def test_an_intb_that_rises_late_is_blamed_alone(capsys: Capsys) -> None:
    """The line waits for the rise for longer than a Peripheral may take."""
    port = "spi:sim?defect=rise-late"
    outcome = call_umi(capsys, "-p", port, "certify", "--json")
    assert outcome.exit == 53
    assert failed(outcome.document["data"]) == ["TIM-022"]


@pytest.mark.parametrize(
    ("defect", "number"), [("crash-on-length", "LNK-020"), ("hang-on-fragment", "LNK-042")]
)
def test_the_test_that_costs_the_device_is_blamed_alone(
    capsys: Capsys, defect: str, number: str
) -> None:
    port = f"sim:?defect={defect}"
    outcome = call_umi(capsys, "-p", port, "certify", "--level", "link", "--json")
    assert outcome.exit == 17
    report = outcome.document["data"]
    assert failed(report) == [number]
    assert "after it, the device did not answer a RESYNC" in report["tests"][-11]["message"]
    assert report["tests"][-1]["message"].endswith(f"the last that ran was {number}")
    assert f"the last that ran was {number}" in report["stopped"]


def test_a_range_within_an_array_is_not_clamped(capsys: Capsys) -> None:
    outcome = call_umi(capsys, "-p", "sim:?defect=range-clamped", "certify", "--json")
    assert failed(outcome.document["data"]) == ["OBJ-009"]
