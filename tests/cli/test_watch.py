"""`umi watch`: lines, CSV, events, a document, and the table on a terminal."""

import fcntl
import json
import os
import signal
import struct
import termios
import time
from pathlib import Path

import pytest

from tests.cli import serving
from tests.cli.conftest import TIME_LIMIT_S, call_umi, start_umi
from tests.transports.ends import served

pty = pytest.importorskip("pty")

NOW = "time=2026-11-22T12:00:00Z"
SIM = f"sim:?as=service&{NOW}"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def test_a_line_each_at_a_fixed_rate(capsys: pytest.CaptureFixture[str]) -> None:
    watch = ["watch", "metrology-clock/now", "umi.1.1.0.0/3", "--every", "2.5", "--count", "3"]
    outcome = call_umi(capsys, "-p", SIM, *watch)
    assert outcome.exit == 0
    lines = [line.split("  ") for line in outcome.stdout.splitlines()]
    assert [line[1:] for line in lines if "clock" in line[1]] == [
        ["metrology-clock/now", "2026-11-22T12:00:00Z"],
        ["metrology-clock/now", "2026-11-22T12:00:02Z"],
        ["metrology-clock/now", "2026-11-22T12:00:05Z"],
    ]
    assert [line[1:] for line in lines[1::2]] == [["manufacturer-id/serial", "31733978"]] * 3
    assert all(line[0].endswith("Z") for line in lines)


def test_it_ends_after_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    watch = ["watch", "counter", "--every", "5", "--for", "20"]
    assert len(call_umi(capsys, "-p", SIM, *watch).stdout.splitlines()) == 5


def test_csv_has_one_header(capsys: pytest.CaptureFixture[str]) -> None:
    watch = ["watch", "counter", "gsm-status", "--every", "1", "--count", "2", "-o", "csv"]
    header, *rows = call_umi(capsys, "-p", f"sim:?{NOW}", *watch).stdout.splitlines()
    assert header == "timestamp,part,name,value,error"
    assert [row.split(",", 1)[1] for row in rows[:2]] == [
        "umi.255.0.0.65,counter,0,",
        "umi.1.1.194.2,gsm-status,,the device refused READ_OBJECT umi.1.1.194.2: ACCESS_DENIED (9)",
    ]
    assert len(rows) == 4


def test_raw_is_a_line_each_and_failures_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    watch = ["watch", "counter", "gsm-status", "--every", "1", "--count", "2", "-o", "raw"]
    outcome = call_umi(capsys, "-p", f"sim:?{NOW}", *watch)
    assert outcome.stdout == "00000000\n" * 2
    assert outcome.stderr.count("gsm-status failed: the device refused") == 2


def test_a_document_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    watch = ["watch", "metrology-clock/now", "counter", "--every", "60", "--count", "2", "--json"]
    data = call_umi(capsys, "-p", SIM, *watch).document["data"]
    assert [each["changed"] for each in data["readings"]] == [None, None, True, False]
    assert data["readings"][3]["value"] == 0
    assert data["readings"][3]["raw"] == "00000000"
    assert data["parts"][1] == {
        "part": "umi.255.0.0.65",
        "name": "counter",
        "readings": 2,
        "failures": 0,
        "lowest": 0,
        "highest": 0,
    }
    assert data["missed"] == 0


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["counter", "--every", "1", "--json"], "--count N or --for SECONDS"),
        (["counter"], "--every"),
        (["counter", "--every", "nan"], "no number of seconds"),
        (["--every", "1"], "PART"),
        (["counter", "--every", "1", "--count", "x"], "no number from 1"),
    ],
)
def test_what_cannot_be_asked(
    args: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call_umi(capsys, "-p", "sim", "watch", *args)
    assert outcome.exit == 2
    assert hint in outcome.stdout + outcome.stderr


def test_an_unknown_part_is_told_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call_umi(capsys, "-p", "tcp:127.0.0.1:1", "watch", "no", "--every", "1").exit == 31


def test_only_changes(capsys: pytest.CaptureFixture[str]) -> None:
    watch = ["watch", "counter", "profile-status/entries", "gsm-status", "--every", "600"]
    outcome = call_umi(capsys, "-p", f"sim:?{NOW}", *watch, "--count", "7", "--changes")
    labels = [line.split("  ")[1:] for line in outcome.stdout.splitlines()]
    assert labels[:2] == [["counter", "0"], ["profile-status/entries", "336"]]
    assert labels[2][0] == "gsm-status"
    assert labels[3:] == [["profile-status/entries", "337"], ["profile-status/entries", "338"]]


def test_too_many_failures_in_a_row_end_it_with_their_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watch = ["watch", "gsm-status", "--every", "1", "--failures", "3"]
    outcome = call_umi(capsys, "-p", f"sim:?{NOW}", *watch)
    assert outcome.exit == 23
    assert outcome.stdout.count("failed: ") == 3
    assert outcome.stderr.splitlines()[0].startswith("umi: the device refused READ_OBJECT")


def test_one_part_that_is_refused_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    watch = ["watch", "gsm-status", "counter", "--every", "1", "--failures", "2", "--count", "6"]
    outcome = call_umi(capsys, "-p", f"sim:?{NOW}", *watch)
    assert outcome.exit == 53
    assert "umi: 1 of 2 parts gave no value: gsm-status (the device refused" in outcome.stderr
    assert len(outcome.stdout.splitlines()) == 12


def test_what_never_gave_a_value_was_not_watched(capsys: pytest.CaptureFixture[str]) -> None:
    watch = ["watch", "gsm-status", "--every", "1", "--count", "2"]
    assert call_umi(capsys, "-p", f"sim:?{NOW}", *watch).exit == 23


def test_a_device_that_is_lost_for_good_was_lost_in_the_middle() -> None:
    watch = ["watch", "counter", "--every", "0.1", "--failures", "3", "--events"]
    with serving.served() as server:
        process = start_umi("-p", server.address, *watch)
        assert '"type":"reading"' in process.stdout.readline()
    _, stderr = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 17, stderr


def test_readings_that_take_longer_are_left_out_and_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    slow = f"sim:?{NOW}&defer=umi.255.0.0.65:2500"
    watch = ["watch", "counter", "--every", "1", "--count", "3", "--json"]
    data = call_umi(capsys, "-p", slow, *watch).document["data"]
    assert data["missed"] == 3
    assert [each["timestamp"][17:21] for each in data["readings"]] == ["02.5", "05.0", "07.5"]


@pytest.mark.parametrize("seed", range(4))
def test_it_goes_on_over_a_line_that_is_lost(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    with served(fault="hangup:0.02", seed=str(seed + 20)) as meter:
        watch = ["watch", "counter", "--every", "0.01", "--count", "60", "--events"]
        outcome = call_umi(capsys, "-p", meter.tcp, *watch)
    *events, result = outcome.events
    readings = [event for event in events if event["type"] == "reading"]
    notes = [event["message"] for event in events if event["type"] == "note"]
    failed = [each for each in readings if each["error"]]
    if outcome.exit == 0:
        assert len(readings) == 60
        lost = [note for note in notes if note.startswith("the device was lost")]
        assert len(lost) >= len(failed) > 0 or not failed
    else:
        assert (outcome.exit, readings) == (17, [])
    assert all(each["value"] == 0 for each in readings if not each["error"])
    assert result["data"]["parts"] == [] or result["data"]["parts"][0]["failures"] == len(failed)


def test_ctrl_c_ends_the_events_with_a_result() -> None:
    with served() as meter:
        process = start_umi("-p", meter.tcp, "watch", "counter", "--every", "0.1", "--events")
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest, stderr = process.communicate(timeout=TIME_LIMIT_S)
    result = json.loads((lines + rest.splitlines())[-1])
    assert (result["type"], result["exit"], process.returncode) == ("result", 130, 130)
    assert result["data"]["parts"][0]["readings"] >= 3
    assert "Traceback" not in stderr


# On a terminal


class Terminal:
    """`umi` at a pseudo-terminal of some columns and a few lines."""

    def __init__(self, *args: str, rows: int = 24, columns: int = 100, **env: str) -> None:
        self.near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        size = {"COLUMNS": "", "LINES": ""}
        variables = {"TERM": "xterm", "PYTHONIOENCODING": "utf-8", **size, **env}
        self.process = start_umi(*args, env=variables, stdin=far, stdout=far, stderr=far)
        os.close(far)
        self.text = ""

    def read_until(self, sign: str) -> None:
        """Read until something stands there."""
        end = time.monotonic() + TIME_LIMIT_S
        while sign not in self.text:
            assert time.monotonic() < end, self.text
            self.text += os.read(self.near, 4096).decode()

    def read_to_end(self) -> int:
        """Read all, and return the exit code."""
        try:
            while piece := os.read(self.near, 4096):
                self.text += piece.decode(errors="replace")
        except OSError:  # Linux ends a pseudo-terminal with EIO
            pass
        os.close(self.near)
        return int(self.process.wait(timeout=TIME_LIMIT_S))

    @property
    def last_screen(self) -> list[str]:
        """Return the lines that were drawn last."""
        drawn = self.text.replace("\r", "").split(HIDE)[-1].split("\x1b[J")[0]
        lines = [line.removesuffix("\x1b[K") for line in drawn.split("\n")[:-1]]
        return [
            lines[0].partition("F")[2] if lines[0].startswith("\x1b[") else lines[0],
            *lines[1:],
        ]


def test_a_table_that_is_drawn_over_itself() -> None:
    watch = ["watch", "profile-status/entries", "metrology-clock", "--every", "600", "--count", "7"]
    terminal = Terminal("-p", SIM, *watch, columns=110)
    assert terminal.read_to_end() == 0
    title, header, *rows = terminal.last_screen
    assert title.startswith("reading 7, 2026-11-22T13:00:00Z, every 600 s; Ctrl-C ends; sim:?as")
    assert header.split() == ["part", "value", "lowest", "highest"]
    assert rows[0].split() == [
        "profile-status/entries", "337", "→", "338", "336", "338", "▁▁▁▅▅▅█"
    ]  # fmt: skip
    assert rows[1].startswith("metrology-clock/now")
    assert "2026-11-22T12:50:00Z → 2026-11-22T13:00:00Z" in rows[1]
    assert terminal.text.count(HIDE) == 7
    assert terminal.text.endswith(SHOW)
    assert all(len(line) < 110 for line in terminal.last_screen)


WIDE = ("watch", "profile-status/entries", "metrology-clock/now", "--every", "1800", "--count", "4")


@pytest.mark.parametrize(
    ("columns", "header", "numbers", "times"),
    [
        (
            80,
            "part value lowest highest",
            "profile-status/entries 338 → 339 336 339 ▁▃▆█",
            "metrology-clock/now → 2026-11-22T13:30:00Z",
        ),
        (
            60,
            "part value",
            "profile-status/entries 338 → 339 ▁▃▆█",
            "metrology-clock/now → 2026-11-22T13:30:00Z",
        ),
        (
            50,
            "part value",
            "profile-status/entries 338 → 339 ▁▃▆█",
            "metrology-clock/now → 2026-11-22T1…",
        ),
    ],
)
def test_a_narrow_table_keeps_its_pictures(
    columns: int, header: str, numbers: str, times: str
) -> None:
    terminal = Terminal("-p", SIM, *WIDE, columns=columns)
    assert terminal.read_to_end() == 0
    lines = terminal.last_screen
    assert [" ".join(line.split()) for line in lines[1:]] == [header, numbers, times]
    assert "; Ctrl-C ends" in lines[0]
    assert all(len(line) < columns for line in lines)


def test_a_long_address_gives_way() -> None:
    terminal = Terminal("-p", SIM, *WIDE, columns=80)
    assert terminal.read_to_end() == 0
    assert terminal.last_screen[0].endswith("every 1800 s; Ctrl-C ends; sim:?as=service&ti…")


def test_ascii_where_the_terminal_shows_no_more() -> None:
    watch = ["watch", "profile-status/entries", "--every", "1800", "--count", "2"]
    terminal = Terminal("-p", SIM, *watch, PYTHONIOENCODING="ascii")
    assert terminal.read_to_end() == 0
    assert terminal.text.isascii()
    assert terminal.last_screen[2].split() == [
        "profile-status/entries", "336", "->", "337", "336", "337", "_#"
    ]  # fmt: skip


def test_failures_stand_in_the_table_and_the_error_below_it() -> None:
    watch = ["watch", "gsm-status", "--every", "1", "--failures", "2"]
    terminal = Terminal("-p", f"sim:?{NOW}", *watch)
    assert terminal.read_to_end() == 23
    assert terminal.last_screen[1].startswith("! gsm-status failed: the device refused")
    after = terminal.text.partition(SHOW)[2]
    assert "umi: " in after


def test_a_small_terminal_shows_what_fits() -> None:
    watch = ["watch", "metrology-clock", "wan-status", "--every", "1", "--count", "3"]
    terminal = Terminal("-p", SIM, *watch, rows=8)
    assert terminal.read_to_end() == 0
    assert len(terminal.last_screen) == 7
    assert terminal.last_screen[-1].endswith("more lines")


def test_a_clock_that_skips_waits_waits_for_who_watches() -> None:
    terminal = Terminal("-p", "sim", "watch", "counter", "--every", "60")
    terminal.read_until("reading 1,")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.read_to_end() == 130
    assert terminal.text.count("reading ") == 1


def test_ctrl_c_gives_the_cursor_back() -> None:
    with served() as meter:
        terminal = Terminal("-p", meter.tcp, "watch", "counter", "--every", "0.1")
        terminal.read_until("reading 2,")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.read_to_end() == 130
    assert terminal.text.count(SHOW) == 1
    assert terminal.text.rindex(SHOW) > terminal.text.rindex(HIDE)
    assert "interrupted" in terminal.text


def test_a_dumb_terminal_gets_lines() -> None:
    terminal = Terminal("-p", SIM, "watch", "counter", "--every", "1", "--count", "2", TERM="dumb")
    assert terminal.read_to_end() == 0
    assert "\x1b" not in terminal.text
    assert terminal.text.count("counter  0") == 2


def test_a_secret_is_not_shown_in_any_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "meter.json"
    where = f"sim:{state}?as=manufacturer"
    key = tmp_path / "key"
    key.write_text("5a" * 16)
    key.chmod(0o600)
    assert call_umi(capsys, "-p", where, "write", "scheme-1-keys[1]", str(key)).exit == 0
    allow = ["access", "set", "scheme-1-keys", "--read", "manufacturer", "--yes"]
    assert call_umi(capsys, "-p", where, *allow).exit == 0
    watch = ["watch", "scheme-1-keys[1]", "--every", "1", "--count", "2"]
    terminal = Terminal("-p", where, *watch)
    assert terminal.read_to_end() == 0
    assert "(secret)" in terminal.text
    assert "5a5a" not in terminal.text
    for form in ([], ["--json"], ["--events"], ["-o", "csv"], ["-o", "raw"]):
        outcome = call_umi(capsys, "-v", "-p", where, *watch, *form)
        assert outcome.exit == 0
        assert "5a5a" not in outcome.stdout + outcome.stderr
