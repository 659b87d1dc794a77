"""`umi certify --as-meter`: real readers, our own and bad ones, over TCP."""

import json
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import UMI, Outcome, call_umi, environment, run_umi, start_umi
from tests.cli.desk import Desk, laid
from tests.transports.ends import free_port
from umi_cli.certify.reader_case import Task
from umi_cli.certify.reader_suite import READER_CASES
from umi_cli.cli.certify_reader import TASKS, TIMEOUT_S

AS_METER = ("certify", "--as-meter")
TCP = ("--tcp", "127.0.0.1:0")
TIMEOUT = ("--timeout", "0.8")  # long enough for a machine that is busy
OURS = shlex.join([*UMI, "-p", "{address}", *TIMEOUT])
READ = "read manufacturer-id umi.1.1.0.2"
FIRST = ("--only", "RDR-001")
AT_A_TIME = 6


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return laid(tmp_path_factory.mktemp("desk"))


@pytest.fixture(autouse=True)
def _as_users_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the readers that are started find the package, and no settings of ours."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)


def identity(desk: Desk) -> list[str]:
    """Return the options of a meter with keys, and of the authority behind it."""
    files = {
        "--meter-key": desk.file("meter.pem"),
        "--meter-cert": desk.file("meter.cvc"),
        "--meter-anchor": desk.file("root.cvc"),
        "--meter-role-keys": f"service:{desk.file('service.key')}",
        "--ca-key": desk.file("root.pem"),
        "--ca-cert": desk.file("root.cvc"),
    }
    return [word for pair in files.items() for word in pair]


def our_reader(desk: Desk, task: Task) -> str:
    """Return the command that has `umi` do a task."""
    own = f"--key {desk.file('office.pem')} --cert {desk.file('chain.cvc')}"
    return {
        Task.READ: f"{OURS} {READ}",
        Task.MANY: f"{OURS} read {'manufacturer-id umi.1.1.0.2 ' * 9}",
        Task.LONG: f"{OURS} read profile-table",
        Task.SESSION: f"{OURS} {own} --anchor {desk.file('root.cvc')} {READ}",
        Task.ROLE: f"{OURS} --scheme 1 --role service --key {desk.file('service.key')} {READ}",
    }[task]


def script(path: Path, text: str) -> str:
    """Return the command of a reader in a few lines of Python; it gets host and port."""
    path.write_text("import os, signal, socket, sys, time\n" + text)
    return shlex.join([sys.executable, str(path), "{address}"])


CONNECT = """
host, port = sys.argv[1].removeprefix("tcp:").split(":")
line = socket.create_connection((host, int(port)))
line.sendall(bytes.fromhex("01040000fe5b"))
line.recv(100)
"""


def found_by(outcome: Outcome) -> dict[str, Any]:
    """Return what the one document says of each scenario."""
    return {each["number"]: each for each in json.loads(outcome.stdout)["data"]["tests"]}


def only(numbers: Iterable[str]) -> list[str]:
    return [word for number in numbers for word in ("--only", number)]


def some_at_a_time() -> list[tuple[Task, list[str]]]:
    """Return all scenarios, a few of one task together: each is a process to start."""
    chunks = []
    for task in Task:
        numbers = [each.number for each in READER_CASES.values() if each.task is task]
        starts = range(0, len(numbers), AT_A_TIME)
        chunks += [(task, numbers[at : at + AT_A_TIME]) for at in starts]
    return chunks


@pytest.mark.parametrize(("task", "numbers"), some_at_a_time())
def test_our_own_reader_passes_as_a_process(desk: Desk, task: Task, numbers: list[str]) -> None:
    command = our_reader(desk, task)
    outcome = run_umi(
        *AS_METER, *TCP, *TIMEOUT, *identity(desk), *only(numbers), "--each", command, "--json"
    )
    messages = {each["number"]: each["message"] for each in found_by(outcome).values()}
    assert outcome.exit == 0, messages
    assert sorted(messages) == sorted(numbers)
    data = outcome.document["data"]
    assert data["totals"]["all"] == {"passed": len(numbers), "failed": 0, "left-out": 0}
    assert set(data["commands"]) == set(numbers)
    assert data["device"]["umi_id"] == "00237EFE00000004"


def test_a_reader_that_does_not_repeat_fails_and_is_explained(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("report.json", "junit.xml", "page.html")]
    reports = ("--out", files[0], "--junit", files[1], "--html", files[2])
    each = f"{OURS} --retries 0 {READ}"
    outcome = run_umi(*AS_METER, *TCP, *TIMEOUT, *FIRST, "--each", each, *reports)
    assert outcome.exit == 53
    line, _, table = outcome.stdout.partition("\n")
    assert re.fullmatch(r'\{"type":"listening","addresses":\["tcp:127\.0\.0\.1:\d+"\]\}', line)
    assert "FAILED RDR-001" in table
    assert "was not repeated: RESYNC sequence 0" in table
    assert READER_CASES["RDR-001"].advice in table
    assert "FAILED RDR-001" in outcome.stderr
    assert outcome.stderr.endswith("umi certify --explain NUMBER\n")

    (test,) = json.loads(Path(files[0]).read_text())["tests"]
    assert (test["number"], test["verdict"], test["level"]) == ("RDR-001", "failed", "link")
    assert [frame["direction"] for frame in test["frames"][:3]] == ["in", "out", "in"]
    (suite,) = ElementTree.parse(files[1]).getroot()  # noqa: S314 - our own
    assert suite.attrib["failures"] == "1"
    assert "RDR-001" in Path(files[2]).read_text()


def test_a_command_that_ends_badly_though_all_was_mended_fails(tmp_path: Path) -> None:
    each = script(
        tmp_path / "reader.py",
        f"os.system('''{OURS}'''.replace('{{address}}',"
        f" sys.argv[1]) + ' {READ} > /dev/null')\nsys.exit('nothing was read')\n",
    )
    outcome = run_umi(*AS_METER, *TCP, *TIMEOUT, *FIRST, "--each", each, "--json")
    test = found_by(outcome)["RDR-001"]
    assert test["verdict"] == "failed"
    assert test["message"].endswith("its command ended with 1 and said: nothing was read")
    assert outcome.document["data"]["commands"] == {
        "RDR-001": {"exit": 1, "stderr": "nothing was read"}
    }


def test_a_reader_that_crashes_fails(tmp_path: Path) -> None:
    each = script(tmp_path / "reader.py", CONNECT + "os.kill(os.getpid(), signal.SIGSEGV)\n")
    outcome = run_umi(*AS_METER, *TCP, *FIRST, "--each", each, "--json")
    assert outcome.exit == 53
    message = found_by(outcome)["RDR-001"]["message"]
    assert f"ended by signal {signal.SIGSEGV.value}" in message


def test_a_reader_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    each = script(
        tmp_path / "reader.py",
        f"if not (child := os.fork()):\n    time.sleep(600)\nopen({str(note)!r}, 'w')"
        ".write(str(child))\ntime.sleep(600)\n",
    )
    outcome = run_umi(*AS_METER, *TCP, *FIRST, "--limit", "10", "--each", each, "--json")
    assert outcome.exit == 53
    assert "was ended by us" in found_by(outcome)["RDR-001"]["message"]
    assert is_gone(int(note.read_text()))


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended, or waits for nobody but its parent."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_a_reader_that_listens_is_called() -> None:
    port = free_port()
    ours = shlex.join([*UMI, "-p", f"tcp-listen:{port}?wait=20", *TIMEOUT])
    each = f"{ours} {READ}"
    call = ("--call", f"127.0.0.1:{port}")
    outcome = run_umi(
        *AS_METER, *call, *TIMEOUT, *only(["RDR-001", "RDR-090"]), "--each", each, "--json"
    )
    assert outcome.exit == 0, outcome.stdout
    assert outcome.document["data"]["port"] == f"127.0.0.1:{port}"


def test_a_person_is_told_what_to_have_the_reader_do() -> None:
    chosen = only(["RDR-001", "RDR-003"])
    process = start_umi(*AS_METER, *TCP, *TIMEOUT, *chosen)
    try:
        (address,) = json.loads(process.stdout.readline())["addresses"]
        reader = ("-p", address, *TIMEOUT)
        for number, retries in (("RDR-001", "2"), ("RDR-003", "0")):
            while number not in (line := process.stderr.readline()):
                assert line
            assert "read two objects" in process.stderr.readline()
            assert run_umi(*reader, "--retries", retries, *READ.split()).exit == 0
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 53
    assert "FAILED RDR-003" in stderr
    assert re.search(r"link +1 +1 +0", stdout)


def test_only_what_is_worse_than_the_baseline_fails(tmp_path: Path) -> None:
    earlier = str(tmp_path / "earlier.json")
    words = (*AS_METER, *TCP, *TIMEOUT, "--only", "RDR-003")
    hasty = ("--each", f"{OURS} --retries 0 {READ}")
    assert run_umi(*words, *hasty, "--out", earlier).exit == 53
    assert run_umi(*words, *hasty, "--baseline", earlier).exit == 0
    patient = run_umi(*words, "--each", f"{OURS} {READ}", "--baseline", earlier, "--json")
    assert patient.document["data"]["baseline"]["newly_passing"] == ["RDR-003"]


def test_what_was_played_is_told_when_it_is_interrupted(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    text = f"open({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    hang = script(tmp_path / "reader.py", text)
    process = start_umi(
        *AS_METER,
        *TCP,
        *TIMEOUT,
        *only(["RDR-001", "RDR-020"]),
        *("--each", f"{OURS} {READ}", "--each", f"long={hang}"),
    )
    try:
        while not (note.exists() and note.read_text()):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert re.search(r"link +1 +0 +0", stdout)
    assert "the run was stopped: it was interrupted" in stdout
    assert stderr.endswith("umi: interrupted\n")
    assert is_gone(int(note.read_text()))


def test_what_a_scenario_needs_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = only(["RDR-052", "RDR-081"])
    outcome = call_umi(capsys, *AS_METER, *TCP, *chosen, "--each", "true", "--json")
    assert outcome.exit == 2  # nothing was played, so nothing is certain
    messages = [each["message"] for each in found_by(outcome).values()]
    assert messages == [
        "needs --ca-key and --ca-cert, --meter-key, --meter-cert and --meter-anchor",
        "needs --meter-role-keys",
    ]


def test_nobody_comes(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call_umi(capsys, *AS_METER, *TCP, *FIRST, "--each", "true", "--json")
    assert outcome.exit == 2
    assert "no reader came" in found_by(outcome)["RDR-001"]["message"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sys.exit(3)", "no reader came, or none that speaks UMI; its command ended with 3"),
        ("sys.exit('no such meter')", "its command ended with 1 and said: no such meter"),
    ],
)
def test_a_reader_that_ends_before_it_comes_has_its_exit_code_told(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    each = script(tmp_path / "reader.py", text)
    outcome = call_umi(capsys, *AS_METER, *TCP, *FIRST, "--each", each, "--json")
    assert outcome.exit == 2
    test = found_by(outcome)["RDR-001"]
    assert test["verdict"] == "left-out"
    assert test["message"].endswith(said)


def test_where_nobody_is_told_the_address_it_stands_on_stderr() -> None:
    with start_umi(*AS_METER, *TCP, *FIRST, "--json") as process:
        assert process.stderr.readline().startswith("listening on tcp:127.0.0.1:")
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
    assert json.loads(stdout)["error"]["exit"] == 130


@pytest.mark.parametrize("number", ["RDR-090", "RDR-091"])
def test_the_timeout_that_holds_where_none_is_given_is_explained(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call_umi(capsys, *AS_METER, "--explain", number)
    assert f"--timeout, or else {TIMEOUT_S:g} s" in " ".join(outcome.stdout.split())


def test_the_command_line_knows_the_tasks() -> None:
    assert list(TASKS) == list(Task)


def test_events_tell_each_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = only(["RDR-081", "RDR-001"])
    outcome = call_umi(capsys, *AS_METER, *TCP, *chosen, "--each", "true", "--events")
    kinds = [event["type"] for event in outcome.events]
    assert kinds[0] == "listening"
    assert kinds.count("test") == 2


def test_all_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call_umi(capsys, *AS_METER, "--list", "--json")
    assert [each["number"] for each in outcome.document["data"]] == sorted(READER_CASES)


def test_those_of_a_level_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call_umi(capsys, *AS_METER, "--list", "--level", "timing", "-o", "csv")
    assert [row[:7] for row in outcome.stdout.splitlines()[1:]] == ["RDR-090", "RDR-091"]


@pytest.mark.parametrize("words", [AS_METER, ("certify",)])
def test_a_scenario_is_explained(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    outcome = call_umi(capsys, *words, "--explain", "rdr-066")
    case = READER_CASES["RDR-066"]
    assert outcome.exit == 0
    for text in (case.title, case.sends, case.expects, case.advice, case.task.words, case.wants):
        assert text in outcome.stdout


WRONG = {
    "nowhere to come": (["--only", "RDR-001"], "no way for the reader to come"),
    "no such scenario": ([*TCP, "--only", "RDR-999"], "there is no such scenario"),
    "none of that level": ([*TCP, "--level", "image"], "no such scenario of that level"),
    "not of that level": (
        [*TCP, "--only", "RDR-001", "--level", "timing"],
        "RDR-001 is not of level timing",
    ),
    "no such task": ([*TCP, "--each", "bogus=umi"], "there is no task 'bogus'"),
    "which tasks": ([*TCP, "--each", "bogus=umi"], "read, many, long, session, role"),
    "no such program": ([*TCP, "--each", "/no/such/reader x"], "no program '/no/such/reader'"),
    "no words": ([*TCP, "--each", "read="], "no program ''"),
    "quotes": ([*TCP, "--each", "umi 'x"], "cannot be taken apart"),
    "two commands": ([*TCP, "--each", "long=true", "--each", "long=true"], "two commands for long"),
    "no address": (["--call", "127.0.0.1:9", "--each", "true {address}"], "wants the {address}"),
    "half an identity": ([*TCP, "--meter-key", "m.pem"], "belong together"),
    "no such file": (
        [*TCP, "--meter-key", "/no/a", "--meter-cert", "/no/b", "--meter-anchor", "/no/c"],
        "names no file that exists",
    ),
    "a device's option": ([*TCP, "--allow-changes"], "--allow-changes is for"),
    "no such limit": ([*TCP, "--limit", "0"], "--limit"),
    "explain nothing": (["--explain", "RDR-999"], "there is no scenario"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str], name: str) -> None:
    words, message = WRONG[name]
    outcome = call_umi(capsys, *AS_METER, *words)
    assert outcome.exit in (2, 22)
    assert outcome.stdout == ""
    assert message in outcome.stderr


def test_a_readers_option_needs_the_switch(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call_umi(capsys, "certify", "--meter-key", "m.pem", "--list")
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "add --as-meter" in outcome.stderr


def test_a_key_on_the_command_line_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    secret = os.urandom(16).hex()
    outcome = call_umi(
        capsys, *AS_METER, *TCP, "--meter-key", secret, "--meter-cert", "b", "--meter-anchor", "c"
    )
    assert outcome.exit == 2
    assert secret not in outcome.stderr
