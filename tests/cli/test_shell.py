"""`umi shell`: one session for all lines, scripts, and a person at a terminal."""

import contextlib
import json
import re
import signal
import stat
import subprocess
from pathlib import Path

import click
import pytest

from tests.cli.conftest import TIME_LIMIT_S, Outcome, call_umi, environment, run_umi, start_umi
from tests.cli.desk import Desk, laid
from tests.cli.serving import sent, served
from tests.cli.terminal import at_terminal
from umi_cli.cli.context import App
from umi_cli.cli.discretion import holds_secret
from umi_cli.cli.history import History
from umi_cli.cli.lines import ROOT, Line, Lines
from umi_cli.cli.prompt import candidates
from umi_cli.cli.registry import BUILT_INS, COMMANDS
from umi_cli.link.frame import Frame, FrameType

SERIAL = "31733978"
OPENED_AGAIN = "the connection is opened again: the one before was "


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return laid(tmp_path_factory.mktemp("desk"))


def own(desk: Desk) -> list[str]:
    """Return the options under scheme 2."""
    names = {"--key": "office.pem", "--cert": "chain.cvc", "--anchor": "root.cvc"}
    return [word for option, name in names.items() for word in (option, desk.file(name))]


def connections(log: str) -> int:
    """Return how many connections were opened: each begins with a RESYNC to nobody in particular.

    One later on, when the sequence numbers are used up, comes from the address it was given.
    """
    frames = [Frame.decode(frame) for frame in sent(log)]
    return sum((frame.frame_type, frame.source) == (FrameType.RESYNC, 0) for frame in frames)


def sign_ons(desk: Desk, log: str) -> int:
    """Return how many packets asked for a session under scheme 2."""
    shown = desk.do(f"decode {b''.join(sent(log)).hex()}").stdout
    return shown.splitlines().count("S2_START_SESSION")


# One session


def test_lines_share_one_connection() -> None:
    lines = "read umi-id\nread manufacturer-id/serial\nwrite counter 7 --verify\nread counter\n"
    outcome = run_umi("-p", "sim", "-v", "shell", input=lines)
    assert outcome.exit == 0
    assert outcome.stdout.splitlines()[-1] == "7"  # a meter in process forgets when it is closed
    assert connections(outcome.stderr) == 1


def test_lines_share_one_session_under_scheme_2(desk: Desk) -> None:
    once = run_umi("-p", desk.meter, *own(desk), "-v", "auth")
    lines = "auth\nread umi-id\nread nosuch\ninfo\nauth --json\n"
    outcome = run_umi("-p", desk.meter, *own(desk), "-v", "shell", input=lines)
    assert outcome.exit == 53
    assert connections(outcome.stderr) == 1
    assert sign_ons(desk, outcome.stderr) == sign_ons(desk, once.stderr) > 0
    last = json.loads(outcome.stdout.splitlines()[-1])
    assert last["data"]["authenticated"]
    assert last["data"]["encrypted"]


def test_other_settings_open_another_connection(desk: Desk) -> None:
    lines = "read umi-id\nread umi-id --scheme 0\nuse --scheme 0\nread umi-id -o csv\n"
    outcome = run_umi("-p", desk.meter, *own(desk), "-v", "shell", input=lines)
    assert outcome.exit == 0
    assert connections(outcome.stderr) == 2


def test_settings_that_cannot_be_had_leave_the_session_alone(desk: Desk) -> None:
    lines = "read umi-id\nread umi-id --role user\nread umi-id --key /nonexistent\nread umi-id\n"
    outcome = run_umi("-p", desk.meter, *own(desk), "-v", "shell", input=lines)
    assert outcome.exit == 53
    assert outcome.stderr.endswith("umi: 2 of 4 lines failed: 2, 3\n")
    assert connections(outcome.stderr) == 1


def test_close_opens_another_one_without_a_warning() -> None:
    outcome = run_umi("-p", "sim", "-v", "shell", input="read umi-id\nclose\nread umi-id\n")
    assert connections(outcome.stderr) == 2
    assert "warning" not in outcome.stderr


def test_each_line_shows_its_own_bytes_alone() -> None:
    lines = "read umi-id\nread umi-id -v\nread umi-id\n"
    outcome = run_umi("-p", "sim", "shell", input=lines)
    assert outcome.stdout == "00237EFE00000001\n" * 3
    assert [Frame.decode(frame).frame_type for frame in sent(outcome.stderr)] == [FrameType.SIMPLE]


def test_secret_stays_out_of_the_log_of_a_connection_that_was_open(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("c0ffee" * 5 + "c0ff")
    secret.chmod(0o600)
    lines = f"read umi-id\nwrite scheme-1-keys[1] {secret}\nread umi-id\n"
    outcome = run_umi("-p", "sim:?as=manufacturer", "-v", "shell", input=lines)
    assert connections(outcome.stderr) == 1
    assert "c0 ff ee" not in outcome.stderr
    assert outcome.stderr.count("|") > 0


def test_dry_run_holds_for_its_line_alone() -> None:
    lines = "write counter 5 --dry-run\nread counter\nwrite counter 6\nread counter\n"
    outcome = run_umi("-p", "sim", "-v", "shell", input=lines)
    assert outcome.stdout == (
        "counter: would be written, 4 bytes\n0\ncounter: written, 4 bytes\n6\n"
    ).replace("written, 4 bytes\n6", "written\n6")
    assert connections(outcome.stderr) == 1


def test_dry_run_of_the_shell_holds_for_every_line() -> None:
    lines = "write counter 5\nuse -o csv\nread counter\n"
    outcome = run_umi("-p", "sim", "--dry-run", "shell", input=lines)
    assert "would be written" in outcome.stdout
    assert outcome.stdout.endswith(",counter,0\n")


def test_capture_of_a_shell_holds_all_its_lines(tmp_path: Path) -> None:
    capture = str(tmp_path / "capture.pcapng")
    lines = "read umi-id\nclose\nread counter\n"
    assert run_umi("-p", "sim", "--trace", capture, "shell", input=lines).exit == 0
    shown = run_umi("decode", capture).stdout
    assert "READ_OBJECT umi.0.0.0.0\n" in shown
    assert "READ_OBJECT umi.255.0.0.65\n" in shown


# A link that is lost


class Feed:
    """A shell that is fed line by line, over a meter that is served on TCP."""

    def __init__(self, address: str, *options: str) -> None:
        self.process = start_umi("-p", address, *options, "shell", "--events")

    def run(self, line: str) -> dict[str, object]:
        """Run a line and return its result."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        event = json.loads(self.process.stdout.readline())
        assert event["type"] == "line"
        assert event["command"] == line
        return dict(event)

    def end(self) -> dict[str, object]:
        """Close its input and return the result of all."""
        stdout, stderr = self.process.communicate(timeout=TIME_LIMIT_S)
        assert stderr == ""
        return dict(json.loads(stdout))


def test_server_that_was_restarted_is_called_again(tmp_path: Path) -> None:
    state = str(tmp_path / "state.json")
    with served("--state", state) as server:
        feed = Feed(server.address)
        assert feed.run("read umi-id")["warnings"] == []
    assert feed.run("read umi-id")["exit"] == 10
    with served("--state", state, port=server.port):
        again = feed.run("read umi-id")
        assert again["ok"]
        assert again["warnings"] == [f"{OPENED_AGAIN}lost"]
        assert feed.run("read umi-id")["warnings"] == []
        assert feed.end()["exit"] == 53


def test_link_that_is_lost_in_the_middle_is_opened_again(desk: Desk) -> None:
    names = {"key": "meter.pem", "cert": "meter.cvc", "anchor": "root.cvc"}
    words = [f"--meter-{option}={desk.file(name)}" for option, name in names.items()]
    with served(*words) as server:
        feed = Feed(server.address, *own(desk), "--timeout", "0.8", "--retries", "0")
        assert feed.run("auth")["ok"]
        with server.stopped():
            assert feed.run("read umi-id")["exit"] == 17
        again = feed.run("auth")
        assert again["ok"]
        assert again["warnings"] == [f"{OPENED_AGAIN}lost"]
        assert feed.end()["exit"] == 53


# Scripts


def test_a_command_needs_no_umi_and_may_have_it() -> None:
    lines = "umi read umi-id\n\n  # a comment\nread 'umi-id' # another\n\tread umi-id\r\n"
    outcome = run_umi("-p", "sim", "shell", input=lines)
    assert outcome == Outcome(0, "00237EFE00000001\n" * 3, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("read a#b", ["read", "a#b"]),
        ("read 'a # b' # c", ["read", "a # b"]),
        ('read "a\\" # b" #c', ["read", 'a" # b']),
        ("read a\\ b", ["read", "a b"]),
        ("umi umi", ["umi"]),
        ("umi", []),
        ("read ''", ["read", ""]),
    ],
)
def test_words_of_a_line(text: str, words: list[str]) -> None:
    assert Line(number=1, text=text).words() == words


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("read 'umi-id", "a quote is not closed"),
        ('read "umi-id # x', "a quote is not closed"),
        ("read umi-id\\", "it ends in a backslash"),
    ],
)
def test_line_that_is_cut_off_is_a_clear_error(text: str, fault: str) -> None:
    outcome = run_umi("-p", "sim", "shell", input=text)
    assert outcome.exit == 2
    assert outcome.stderr.startswith(f"line 1: the line is cut off: {fault} (")


def test_lines_that_fail_do_not_stop_a_script() -> None:
    outcome = run_umi("-p", "sim", "shell", input="read nosuch\nread umi-id\nnosuch\n")
    assert outcome.exit == 53
    assert outcome.stdout == "00237EFE00000001\n"
    assert "line 1: the datasheet has no object 'nosuch' (" in outcome.stderr
    assert "line 3: there is no command 'nosuch' (" in outcome.stderr
    assert outcome.stderr.endswith("umi: 2 of 3 lines failed: 1, 3\n")


def test_e_stops_at_the_first_failure_with_its_code() -> None:
    outcome = run_umi("-p", "sim", "shell", "-e", input="read umi-id\nread nosuch\nread umi-id\n")
    assert outcome.exit == 31
    assert outcome.stdout == "00237EFE00000001\n"
    assert outcome.stderr.endswith("umi: line 2 has failed, and none was run after it\n")


def test_one_line_alone_ends_with_its_own_code() -> None:
    assert run_umi("-p", "sim", "shell", input="read nosuch\n").exit == 31
    assert run_umi("-p", "sim", "shell", input="# nothing\n") == Outcome(0, "", "")
    assert run_umi("shell") == Outcome(0, "", "")


def test_exit_ends_a_script() -> None:
    for word in ("exit", "quit"):
        outcome = run_umi("-p", "sim", "shell", input=f"read umi-id\n{word}\nread umi-id\n")
        assert outcome == Outcome(0, "00237EFE00000001\n", "")


def test_json_is_one_document_with_a_result_for_each_line() -> None:
    lines = "read umi-id\nread nosuch -o csv\n# x\nread counter --json\n"
    document = run_umi("-p", "sim", "shell", "--json", input=lines).document
    assert document["command"] == "shell"
    assert document["error"]["code"] == "some-failed"
    first, second, third = document["data"]
    assert first["data"][0]["value"] == "00237EFE00000001"
    assert (first["line"], first["ok"], first["exit"], first["error"]) == (1, True, 0, None)
    assert (first["port"], first["device"]) == ("sim", "00237EFE00000001")
    assert (second["line"], second["command"]) == (2, "read nosuch -o csv")
    assert (second["ok"], second["exit"], second["data"]) == (False, 31, None)
    assert second["error"]["code"] == "unknown-object"
    assert (third["line"], third["ok"]) == (4, True)


def test_json_that_stops_says_why() -> None:
    outcome = run_umi("-p", "sim", "shell", "-e", "--json", input="read nosuch\nread umi-id\n")
    error = outcome.document["error"]
    assert (error["code"], error["exit"]) == ("unknown-object", 31)
    assert "line 1 has failed" in error["message"]
    assert "no object 'nosuch'" in error["message"]
    assert len(outcome.document["data"]) == 1


def test_events_are_a_line_each() -> None:
    events = run_umi("-p", "sim", "shell", "--events", input="read umi-id\nnosuch\n").events
    assert [event["type"] for event in events] == ["line", "line", "result"]
    assert [event.get("line") for event in events] == [1, 2, None]
    assert events[1]["error"]["code"] == "usage"


def test_script_is_answered_line_by_line() -> None:
    feed = Feed("sim")
    assert feed.run("read umi-id")["ok"]  # before the next line is written
    assert feed.run("write counter 3")["ok"]
    assert feed.run("read counter")["data"][0]["value"] == 3  # type: ignore[index]
    assert feed.end()["ok"]


def test_script_on_stdin_is_not_read_by_its_commands() -> None:
    lines = "write counter -\nread counter\nwrite scheme-1-keys[1] - \nread umi-id\n"
    outcome = run_umi("-p", "sim", "shell", input=lines)
    assert outcome.stdout == "0\n00237EFE00000001\n"
    assert outcome.exit == 53


def test_script_may_be_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "script.umi"
    script.write_bytes(b"\xef\xbb\xbfread umi-id\nread counter")
    outcome = call_umi(capsys, "-p", "sim", "shell", str(script))
    assert outcome == Outcome(0, "00237EFE00000001\n0\n", "")


@pytest.mark.parametrize("path", ["/nonexistent", "/", "/dev/zero", ""])
@pytest.mark.parametrize("command", ["shell", "run"])
def test_script_that_cannot_be_read(
    command: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call_umi(capsys, "-p", "sim", command, path)
    assert outcome.exit == 2
    assert outcome.stdout == ""
    assert outcome.stderr.count("\n") == 1


def test_use_holds_for_the_lines_that_follow() -> None:
    lines = "use -p sim -o csv\nread umi-id\nread umi-id -o raw\nuse --reset\nread umi-id\n"
    outcome = run_umi("-p", "nosuch", "shell", input=lines)
    assert outcome.stdout.splitlines() == [
        "part,name,value",
        "umi.0.0.0.0,umi-id,00237EFE00000001",
        "01000000fe7e2300",
    ]
    assert "line 5: 'nosuch' is no address" in outcome.stderr


def test_use_that_is_wrong_changes_nothing() -> None:
    lines = "use --role king\nuse --profile nosuch\nread umi-id\n"
    outcome = run_umi("-p", "sim", "shell", input=lines)
    assert outcome.stdout == "00237EFE00000001\n"
    assert outcome.exit == 53


def test_anchors_of_a_line_take_the_place_of_others() -> None:
    lines = "config show --anchor b --anchor c\nconfig show\n"
    first, second = run_umi("--anchor", "a", "shell", "--json", input=lines).document["data"]
    anchors = [
        next(each["value"] for each in line["data"] if each["setting"] == "anchor")
        for line in (first, second)
    ]
    assert anchors == [["b", "c"], ["a"]]


def test_use_alone_shows_what_holds() -> None:
    outcome = run_umi("-p", "sim", "shell", input="use\n")
    assert re.search(r"^port +sim +options of the shell$", outcome.stdout, re.MULTILINE)


def test_help_tells_of_the_commands_and_of_one() -> None:
    outcome = run_umi("shell", input="help\nhelp access set\nread --help\nhelp raed\n")
    for name in (*COMMANDS, *BUILT_INS):
        assert f"  {name} " in outcome.stdout
    assert "Usage: umi access set" in outcome.stdout
    assert "Usage: umi read" in outcome.stdout
    assert outcome.stderr.startswith("line 4: there is no command 'raed' (did you mean read")


@pytest.mark.parametrize("name", BUILT_INS)
def test_built_ins_say_what_the_registry_says(name: str) -> None:
    command = ROOT.get_command(click.Context(ROOT), name)
    assert command is not None
    assert " ".join((command.help or "").partition("\n\n")[0].split()) == BUILT_INS[name].help
    assert "Examples:" in run_umi("shell", input=f"{name} --help\n").stdout


def test_shell_in_a_shell_is_refused() -> None:
    outcome = run_umi("shell", input="shell\n")
    assert outcome.stderr.startswith("line 1: this is a shell already (use sets other options)\n")


def test_batch_in_a_shell_uses_its_session(tmp_path: Path) -> None:
    batch = tmp_path / "batch.umi"
    batch.write_text("write counter 9\n")
    lines = f"read umi-id\nrun {batch}\nread counter\n"
    outcome = run_umi("-p", "sim", "-v", "shell", input=lines)
    assert outcome.stdout.endswith("\n9\n")
    assert connections(outcome.stderr) == 1


def test_ctrl_c_stops_a_script_at_once() -> None:
    with served() as server:
        process = start_umi("-p", server.address, "--timeout", "60", "shell", "--events")
        process.stdin.write("read umi-id\n")
        process.stdin.flush()
        assert '"ok":true' in process.stdout.readline()
        with server.stopped():
            process.stdin.write("read umi-id -v\nread umi-id\n")
            process.stdin.flush()
            assert " out " in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            stdout, _ = process.communicate(timeout=TIME_LIMIT_S)
    [line, result] = map(json.loads, stdout.splitlines())
    assert line["error"]["code"] == "interrupted"
    assert (result["exit"], process.returncode) == (130, 130)


# A person


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Return an environment with directories of one's own."""
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}


def test_prompt_runs_what_is_typed_until_ctrl_d(home: dict[str, str]) -> None:
    with at_terminal("-p", "sim", "shell", env=home) as terminal:
        terminal.expect("help lists the commands")
        terminal.expect("umi sim> ")
        terminal.type("read nosuch\r")
        terminal.expect("umi: the datasheet has no object 'nosuch'")
        terminal.expect("umi sim> ")
        terminal.type("umi read manufacturer-id/serial\r")
        terminal.expect(f"\n{SERIAL}\n")
        terminal.expect("umi sim> ")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_prompt_names_the_device_of_use(home: dict[str, str]) -> None:
    with at_terminal("shell", env=home) as terminal:
        terminal.expect("umi> ")
        terminal.type("use -p sim\r")
        terminal.expect("umi sim> ")
        terminal.type("exit\r")
        assert terminal.end() == 0


def test_ctrl_c_at_the_prompt_clears_the_line(home: dict[str, str]) -> None:
    with at_terminal("-p", "sim", "shell", env=home) as terminal:
        terminal.expect("umi sim> ")
        terminal.type("write counter 5")
        terminal.expect("write counter 5")
        terminal.insist("\x03", "umi sim> ")
        terminal.type("read counter\r")
        terminal.expect("\n0\n")
        terminal.expect("umi sim> ")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_ctrl_c_stops_the_command_and_keeps_the_shell(home: dict[str, str]) -> None:
    with (
        served() as server,
        at_terminal("-p", server.address, "--timeout", "60", "shell", env=home) as terminal,
    ):
        prompt = f"umi {server.address}> "
        terminal.expect(prompt)
        terminal.type("read umi-id\r")
        terminal.expect(f"\n00237EFE00000001\n{prompt}")
        with server.stopped():
            terminal.type("read umi-id -v\r")
            terminal.expect(" out ")
            terminal.type("\x03")
            terminal.expect("interrupted")
            terminal.expect(prompt)
        terminal.type("read umi-id\r")
        terminal.expect(f"{OPENED_AGAIN}interrupted\n")
        terminal.expect(f"00237EFE00000001\n{prompt}")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_question_is_asked_in_the_middle(home: dict[str, str]) -> None:
    with at_terminal("-p", "sim:?as=manufacturer", "shell", env=home) as terminal:
        terminal.expect("> ")
        terminal.type("access set valve --write none\r")
        terminal.expect("Continue? [y/N] ")
        terminal.type("n\r")
        terminal.expect("not confirmed; nothing was changed")
        terminal.expect("> ")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_sigterm_ends_the_shell(home: dict[str, str]) -> None:
    with at_terminal("-p", "sim", "shell", env=home) as terminal:
        terminal.expect("umi sim> ")
        for _ in range(TIME_LIMIT_S):
            # readline may miss one that comes between its prompt and its wait
            terminal.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                terminal.process.wait(timeout=1)
                break
        assert terminal.end() == 143


def test_terminal_that_is_closed_ends_the_shell(home: dict[str, str]) -> None:
    with at_terminal("-p", "sim", "shell", env=home) as terminal:
        terminal.expect("umi sim> ")
        terminal.hang_up()
        assert terminal.process.wait(timeout=TIME_LIMIT_S) == 143


def test_history_is_kept_for_its_owner_alone(home: dict[str, str], tmp_path: Path) -> None:
    with at_terminal("-p", "sim", "shell", env=home) as terminal:
        for line in ("read counter", " read umi-id", "read counter", "read 'ä'"):
            terminal.expect("umi sim> ")
            terminal.type(f"{line}\r")
        terminal.expect("umi sim> ")
        terminal.type("\x04")
        terminal.end()
    history = tmp_path / "state" / "umi" / "history"
    assert history.read_text() == "read counter\nread 'ä'\n"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.parent.stat().st_mode) == 0o700
    with at_terminal("-p", "sim", "shell", env=home) as terminal:
        terminal.expect("umi sim> ")
        terminal.type("\x1b[A\x1b[A\r")  # up, up
        terminal.expect("counter\n0\n")
        terminal.expect("umi sim> ")
        terminal.type("history\r")
        terminal.expect("1  read counter\n2  read 'ä'\n3  read counter\n4  history\n")
        terminal.expect("umi sim> ")
        terminal.type("\x04")
        terminal.end()


HEX_KEY = "00112233445566778899aabbccddeeff"
TOLD = (
    f"write scheme-1-keys hex:{HEX_KEY}",
    "write scheme-1-keys[5] 12",
    f"use --key {HEX_KEY}",
    "use --passphrase hunter2secret",
    "read counter --passphrase=hunter2secret --nosuch",
    f"key show {HEX_KEY}",
    f"device key service {HEX_KEY} --yes",
    "device key service ABEiM0RVZneImaq7zN3u/w== --yes",
    f"sim --tcp 127.0.0.1:0 --meter-role-keys service:{HEX_KEY}",
    f"write scheme-1-keys '{HEX_KEY}",
)
UNTOLD = (
    "read scheme-1-keys",
    "write counter 5",
    "write scheme-1-settings hex:00",
    "use --key own.pem --cert own.cvc",
    "use --passphrase env:WORDS",
    f"decode {HEX_KEY}",
    "read 'counter",
)


@pytest.mark.parametrize(
    ("line", "is_told"), [(x, True) for x in TOLD] + [(x, False) for x in UNTOLD]
)
def test_a_line_that_holds_a_secret_is_told_apart(line: str, is_told: bool) -> None:
    with contextlib.closing(Lines(App(["shell"], environment()))) as lines:
        assert holds_secret(lines, line) is is_told


def test_secrets_are_kept_in_no_history(home: dict[str, str], tmp_path: Path) -> None:
    with at_terminal("-p", "sim", "shell", env=home) as terminal:
        for line in ("use --passphrase hunter2secret", f"use --key {HEX_KEY}", "read counter"):
            terminal.expect("umi sim> ")
            terminal.type(f"{line}\r")
        terminal.expect("umi sim> ")
        terminal.type("history\r")
        terminal.expect("1  read counter\n2  history\n")
        terminal.expect("umi sim> ")
        terminal.type("\x04")
        terminal.end()
    assert (tmp_path / "state" / "umi" / "history").read_text() == "read counter\nhistory\n"


def test_use_refuses_a_secret_itself(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = tmp_path / "lines.umi"
    for secret in (f"--key {HEX_KEY}", "--passphrase hunter2secret"):
        script.write_text(f"use {secret}\n")
        outcome = call_umi(capsys, "shell", str(script))
        assert outcome.exit == 2
        assert "cannot stand on the command line" in outcome.stderr
        assert secret.split()[1] not in outcome.stderr


def test_history_that_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "umi").write_text("no directory")
    with at_terminal("-p", "sim", "shell", env={"XDG_STATE_HOME": str(tmp_path)}) as terminal:
        terminal.expect("umi sim> ")
        terminal.type("read counter\r")
        terminal.expect("\n0\n")
        terminal.expect("umi sim> ")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_long_history_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "umi" / "history"
    path.parent.mkdir()
    path.write_text("".join(f"line {number}\n" for number in range(3000)))
    path.chmod(0o600)
    lines: list[str] = []
    history = History(path, lines)
    assert (len(lines), lines[0], lines[-1]) == (1000, "line 2000", "line 2999")
    assert history.add("new")
    assert not history.add("new")
    assert path.read_text().splitlines() == lines
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_tab_completes_commands_options_and_files(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "two words.umi").write_text("read counter\n")
    with at_terminal("-p", "sim", "shell", env=home) as terminal:
        terminal.expect("umi sim> ")
        terminal.type("rea\tmanufacturer-i\t/ser\t--js\t\r")
        terminal.expect("/serial --json ")
        terminal.expect(f'"value":"{SERIAL}"')
        terminal.expect("umi sim> ")
        terminal.type("\x04")
        terminal.end()


def completed(line: str, **env: str) -> list[str]:
    """Return the words that TAB offers at the end of a line."""
    before, space, word = line.rpartition(" ")
    with contextlib.closing(Lines(App([], env))) as lines:
        return candidates(lines, before + space, word)


def test_completion_offers_what_may_stand_there() -> None:
    assert completed("rea") == ["read "]
    assert completed("umi rea") == ["read "]
    assert completed("access s") == ["set ", "show "]
    assert completed("help access se") == ["set "]
    assert completed("hi") == ["history "]
    assert completed("read counter --umi") == ["--umi-id "]
    assert completed("use --scheme ") == ["0 ", "1 ", "2 "]
    assert completed("use --scheme=") == ["--scheme=0 ", "--scheme=1 ", "--scheme=2 "]
    assert completed("use -o c") == ["csv "]
    assert completed("read 'x y' --js") == ["--json "]
    assert completed("read manufacturer-i") == ["manufacturer-id"]
    assert completed("read profile-tab") == ["profile-table"]
    assert completed("read counte") == ["counter "]
    assert completed("read counter manufacturer-id/se") == ["manufacturer-id/serial "]
    assert completed("read --datasheet nosuch manufacturer-i") == []
    assert completed("use --role serv") == ["service "]
    assert completed("use --port si") == ["sim ", "sim:"]


def test_completion_of_files_quotes_what_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two words.umi").write_text("")
    (tmp_path / "twins").mkdir()
    (tmp_path / ".hidden").write_text("")
    assert completed("image upload tw") == ["twins/", "'two words.umi' "]
    assert completed("image upload ") == ["twins/", "'two words.umi' "]
    assert completed("image upload .h") == [".hidden "]
    assert completed(f"image upload {tmp_path}/twi") == [f"{tmp_path}/twins/"]
    assert completed("image upload nosuch/") == []


def test_prompt_is_no_part_of_the_result(home: dict[str, str], tmp_path: Path) -> None:
    with (
        (tmp_path / "out").open("w") as out,
        at_terminal("-p", "sim", "shell", env=home, stdout=out) as terminal,
    ):
        terminal.expect("umi sim> ")
        terminal.type("read umi-id\r")
        terminal.expect("umi sim> ")
        terminal.type("\x04")
        assert terminal.end() == 0
    assert (tmp_path / "out").read_text() == "00237EFE00000001\n"
