"""What a person at a terminal sees: questions, colour; and errors that nobody foresaw."""

import os
import sys
from collections.abc import Sequence

import pytest

from tests.cli.conftest import call_umi, start_umi
from umi_cli.cli import links, main
from umi_cli.cli.failure import Failure
from umi_cli.cli.orders import Terminated
from umi_cli.cli.report import Report
from umi_cli.errors import AccessDeniedError, UmiError
from umi_cli.output.progress import Silence

pty = pytest.importorskip("pty")

LOCK_OUT = ["-p", "sim:?as=manufacturer", "access", "set", "valve", "--write", "none"]


def at_terminal(args: Sequence[str], answer: str, **env: str) -> tuple[int, str]:
    """Run `umi` at a terminal, type an answer, and return the exit code and what stood there."""
    near, far = pty.openpty()
    process = start_umi(*args, env={"TERM": "xterm", **env}, stdin=far, stdout=far, stderr=far)
    os.close(far)
    os.write(near, answer.encode())
    shown = b""
    try:
        while piece := os.read(near, 4096):
            shown += piece
    except OSError:  # Linux ends a pseudo-terminal with EIO
        pass
    os.close(near)
    return process.wait(timeout=30), shown.decode()


def test_question_names_the_loss_and_takes_yes() -> None:
    code, shown = at_terminal(LOCK_OUT, "y\n")
    assert code == 0
    assert "This will leave no role that may write umi.255.0.0.32. Continue? [y/N]" in shown


def test_question_takes_no() -> None:
    code, shown = at_terminal(LOCK_OUT, "n\n")
    assert code == 2
    assert "not confirmed; nothing was changed" in shown


@pytest.mark.parametrize("option", ["--no-input", "--json"])
def test_no_question_where_none_is_wanted(option: str) -> None:
    code, shown = at_terminal([*LOCK_OUT, option], "y\n")
    assert code == 2
    assert "Continue?" not in shown


def test_errors_are_coloured_on_a_terminal() -> None:
    assert "\x1b[31mumi: \x1b[0m" in at_terminal(["nosuch"], "")[1]
    assert "\x1b" not in at_terminal(["nosuch"], "", NO_COLOR="1")[1]


def test_unforeseen_error_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(settings: object) -> str:
        raise KeyError("x")

    monkeypatch.setattr(links, "_address", fail)
    assert main.run(["-p", "sim", "read", "umi-id"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "umi: internal error: KeyError: 'x'"
    assert main.run(["-p", "sim", "read", "umi-id", "-vv"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("order", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_order_to_end_is_a_document(
    order: type[BaseException],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(settings: object) -> str:
        raise order

    monkeypatch.setattr(links, "_address", fail)
    outcome = call_umi(capsys, "read", "umi-id", "--json")
    assert outcome.exit == code
    assert outcome.document["error"]["exit"] == code


def subclasses(kind: type[UmiError]) -> list[type[UmiError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in subclasses(child))]


@pytest.mark.parametrize("kind", subclasses(UmiError))
def test_exit_code_is_that_of_the_error(kind: type[UmiError]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "sentence")
    error.hint = "hint"
    vars(error).update(number=9, name="ACCESS_DENIED")
    failure = Failure.of(error)
    assert (failure.exit, failure.code) == (kind.exit_code, kind.code)
    assert failure.document["exit"] == kind.exit_code


def test_refusal_carries_the_result() -> None:
    failure = Failure.of(AccessDeniedError("no", number=9, name="ACCESS_DENIED"))
    assert failure.document["result"] == {"number": 9, "name": "ACCESS_DENIED"}


def test_progress_is_silent_under_json_and_lines_off_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now_s = [0.0]
    assert isinstance(Report("json", clock=lambda: now_s[0]).progress("x", 10, "B"), Silence)
    progress = Report("table", clock=lambda: now_s[0]).progress("upload", 10, "B")
    now_s[0] = 1.0
    progress.update(5)
    progress.finish()
    assert capsys.readouterr() == ("", "upload 50% 5.0 B/s, 0:01 left\n")


def test_progress_under_events_is_events(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("events", clock=lambda: 0.0)
    progress = report.progress("upload", 4, "B")
    for done in (0, 1, 1, 4):
        progress.update(done)
    progress.finish()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition('"done":')[2].split(",")[0] for line in lines] == ["0", "1", "4"]
    assert all('"type":"progress"' in line for line in lines)


def test_warnings_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("table", clock=lambda: 0.0)
    report.warn("old name")
    assert capsys.readouterr().err == "warning: old name\n"
    report = Report("json", clock=lambda: 0.0)
    report.warn("old name")
    report.note("by the way")
    report.finish(None)
    out, err = capsys.readouterr()
    assert '"warnings":["old name"]' in out
    assert err == ""


def test_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = Report("table", clock=lambda: 0.0).progress("upload", 4, "B")
    assert type(progress).__name__ == "Bar"
