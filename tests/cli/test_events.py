"""`umi events`: the log once, acknowledged, and followed, against virtual meters."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TIME_LIMIT_S, Outcome, call_umi, run_umi, start_umi
from tests.event_state import log_events, logged_events
from tests.transports.ends import free_port
from umi_cli.connecting import connect
from umi_cli.types import parse_datetime

AT = parse_datetime("2026-11-22T10:00:00Z")
NOW = "time=2026-11-22T12:00:00Z"
RECORDS = [
    (16, AT, "03"),
    (17, AT + 60, "ffffffffffffffff"),
    (17, AT + 61, "04000000fe7e2300"),
    (2, AT + 3600, "0100"),
    (18, AT + 10, "f6f1ffff"),
    (26, AT + 20, "0102030405060708"),
    (6, AT + 30, "0000000000000001"),
    (6, AT + 30, "0000000000000001"),
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "meter.json"
    log_events(path, RECORDS)
    return path


def address(state: Path, more: str = "") -> str:
    return f"sim:{state}?as=service&{NOW}{more}"


def entries(outcome: Outcome) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = outcome.document["data"]["entries"]
    return found


def test_the_log_as_a_table(state: Path) -> None:
    outcome = run_umi("-p", address(state), "events")
    assert outcome.exit == 0
    header, _, *lines = outcome.stdout.splitlines()
    assert header.split() == ["time", "event", "data"]
    assert [line.split(maxsplit=2)[0] for line in lines[:3]] == [
        "2026-11-22T10:00:00Z",
        "2026-11-22T10:01:00Z",
        "2026-11-22T10:01:01Z",
    ]
    assert [" ".join(line.split()[1:]) for line in lines] == [
        "restart cause 3",
        "opto-communications FFFFFFFFFFFFFFFF (sign-on)",
        "opto-communications 00237EFE00000004",
        "software-upgrade reason completed, error 0",
        "clock-set -3594 s",
        "event 26 0102030405060708 (not in the datasheet)",
        "valve-closed 0000000000000001 (more data than the datasheet lays out)",
        "valve-closed 0000000000000001 (more data than the datasheet lays out)",
    ]
    assert "the time goes back by 3590 s" in outcome.stderr
    assert "the log has this twice: 2026-11-22T10:00:30Z  valve-closed" in outcome.stderr


def test_the_log_as_a_document(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = call_umi(capsys, "-p", address(state), "events", "--json").document
    assert list(document)[:3] == ["schema", "ok", "command"]
    data = document["data"]
    assert data["count"] == len(RECORDS)
    assert data["entries"][4] == {
        "element": 4,
        "event": {"number": 18, "name": "clock-set"},
        "title": "Clock set",
        "timestamp": "2026-11-22T10:00:10Z",
        "data": {"change": -3594},
        "text": "-3594 s",
        "fault": None,
        "raw": "f6f1ffff00000000",
    }
    assert data["entries"][5]["event"] == {"number": 26, "name": None}
    assert data["entries"][5]["data"] is None
    assert data["entries"][5]["fault"] == "not in the datasheet"
    assert data["anomalies"] == [
        {"kind": "time-goes-back", "element": 4, "other": 3, "seconds": 3590},
        {"kind": "duplicate", "element": 7, "other": 6, "seconds": 0},
    ]
    assert data["acknowledge"] is None


@pytest.mark.parametrize("option", [["--csv"], ["-o", "csv"]])
def test_the_log_as_csv(state: Path, option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call_umi(
        capsys, "-p", address(state), "events", *option, "--tz", "Europe/Berlin", "--event", "18"
    )
    assert outcome.stdout.splitlines() == [
        "timestamp,local,number,event,data,raw,fault",
        "2026-11-22T10:00:10Z,2026-11-22T11:00:10+01:00,18,clock-set,-3594 s,f6f1ffff00000000,",
    ]


def test_the_log_as_wire_bytes(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = call_umi(capsys, "-p", address(state), "events", "-o", "raw").stdout.splitlines()
    assert lines[1] == "11000000" + (AT + 60).to_bytes(4, "little").hex() + "ff" * 8


def test_the_log_as_events(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call_umi(capsys, "-p", address(state), "events", "--events")
    *events, result = outcome.events
    logged = [event for event in events if event["type"] == "logged"]
    assert [event["event"]["number"] for event in logged] == [each[0] for each in RECORDS]
    assert result["data"]["count"] == len(RECORDS)
    assert "entries" not in result["data"]


def test_a_window_and_a_filter(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    window = ["--since", "2026-11-22T10:00:30Z", "--until", "2026-11-22T10:01:01Z"]
    found = entries(call_umi(capsys, "-p", address(state), "events", "--json", *window))
    assert [each["element"] for each in found] == [1, 6, 7]
    by_ago = call_umi(capsys, "-p", address(state), "events", "--json", "--since", "90m")
    assert [each["element"] for each in entries(by_ago)] == [3]
    names = ["--event", "valve-closed", "--event", "16"]
    found = entries(call_umi(capsys, "-p", address(state), "events", "--json", *names))
    assert [each["element"] for each in found] == [0, 6, 7]


def test_what_goes_over_a_slow_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the end of a long log is asked for."""
    state = tmp_path / "meter.json"
    log_events(state, [(6, AT - 3600 * (500 - each), "") for each in range(500)])
    where = f"opto:sim:{state}?{NOW}"
    outcome = call_umi(capsys, "-p", where, "events", "--since", "5h", "--json", "-v")
    assert outcome.exit == 0
    found = json.loads(outcome.stdout)["data"]["entries"]
    assert [each["element"] for each in found] == [498, 499, 500]  # the last is our sign-on
    heard = [line.split() for line in outcome.stderr.splitlines() if " in " in line]
    assert sum(int(words[2]) for words in heard) < 2000, "the whole log has 8000 bytes"


def test_a_picture(state: Path) -> None:
    outcome = run_umi("-p", address(state), "events", "--plot", env={"PYTHONIOENCODING": "utf-8"})
    heading, *lines = outcome.stdout.splitlines()
    assert heading == "events per hour, 2026-11-22T10:00:00Z to 2026-11-22T11:00:00Z"
    assert lines[0].split() == ["restart", "█", "1"]
    outcome = run_umi("-p", address(state), "events", "--plot", env={"PYTHONIOENCODING": "ascii"})
    assert outcome.stdout.isascii()
    assert outcome.stdout.splitlines()[1].split() == ["restart", "#", "1"]


def test_no_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "meter.json"
    log_events(state, [])
    outcome = call_umi(capsys, "-p", address(state), "events")
    assert (outcome.exit, outcome.stdout) == (0, "no events\n")
    assert entries(call_umi(capsys, "-p", address(state), "events", "--json")) == []


def test_an_event_without_a_time_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "meter.json"
    log_events(state, [(6, AT, ""), (5, 0, "")])
    outcome = call_umi(capsys, "-p", address(state), "events", "--since", "1d")
    assert "not set               valve-released" in outcome.stdout
    assert entries(call_umi(capsys, "-p", address(state), "events", "--json"))[1]["timestamp"] is (
        None
    )


@pytest.mark.parametrize(
    ("args", "code", "hint"),
    [
        (["--event", "clok-set"], 31, "did you mean"),
        (["--event", "4711"], 31, "such as clock-set or 18"),
        (["--since", "soon"], 2, "RFC 3339"),
        (["--since", "1h", "--until", "2h"], 2, "swap"),
        (["--follow", "--json"], 2, "--count N or --for SECONDS"),
        (["--follow", "--until", "now"], 2, "choose one"),
        (["--follow", "--acknowledge"], 2, "choose one"),
        (["--plot", "--csv"], 2, "leave"),
        (["--count", "3"], 2, ""),
        (["--follow", "--count", "0"], 2, ""),
        (["--follow", "--every", "0"], 2, ""),
        (["--csv", "--json"], 2, "choose one"),
    ],
)
def test_what_cannot_be_asked(
    args: list[str], code: int, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call_umi(capsys, "-p", "sim", "events", *args)
    assert outcome.exit == code
    assert hint in (outcome.stderr + outcome.stdout)
    assert len((outcome.stderr or outcome.stdout).splitlines()) <= 2


def control(state: Path) -> tuple[int, int]:
    """Return where the window begins, and the active events, as the meter keeps them."""
    content = json.loads(state.read_text())
    written = bytes.fromhex(content["objects"]["umi.1.1.194.61"])
    return int.from_bytes(written[:4], "little"), content["events"]["active"]


def with_active(state: Path, records: list[tuple[int, int, str]]) -> None:
    log_events(state, records)
    content = json.loads(state.read_text())
    content["events"]["active"] = 0xFFFF_FFFF
    state.write_text(json.dumps(content))


IN_ORDER = [(16, AT, ""), (6, AT + 5, ""), (45, AT + 9, ""), (18, AT + 10, "0a")]
GIVEN_BITS = 1 << 16 | 1 << 6 | 1 << 18


@pytest.mark.parametrize("form", [[], ["--json"], ["--events"], ["--csv"], ["-o", "raw"]])
def test_acknowledging_moves_the_pointer_behind_the_last_one(
    tmp_path: Path, form: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "meter.json"
    with_active(state, IN_ORDER)
    outcome = call_umi(capsys, "-p", address(state), "events", "--acknowledge", *form)
    assert outcome.exit == 0, outcome.stderr
    assert control(state) == (AT + 11, 0xFFFF_FFFF & ~GIVEN_BITS)
    assert len(logged_events(state)) == len(IN_ORDER)
    if form == ["--json"]:
        assert outcome.document["data"]["acknowledge"] == {
            "events": [
                {"number": 6, "name": "valve-closed"},
                {"number": 16, "name": "restart"},
                {"number": 18, "name": "clock-set"},
            ],
            "start_time": "2026-11-22T10:00:11Z",
            "dry_run": False,
        }
    again = call_umi(capsys, "-p", address(state), "events", "--since", "1d")
    assert again.stdout == "no events\n"
    assert "warning: the device shows its events from 2026-11-22T10:00:11Z on only" in again.stderr


@pytest.mark.parametrize(
    "options", [["--event", "clock-set"], ["--since", "2026-11-22T10:00:06Z"], ["--event", "16"]]
)
def test_the_pointer_never_passes_what_was_not_shown(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "meter.json"
    with_active(state, IN_ORDER)
    outcome = call_umi(capsys, "-p", address(state), "events", "--acknowledge", *options)
    assert outcome.exit == 0
    moved = options[1] == "16"  # the first one: all others are later
    assert control(state)[0] == (AT + 1 if moved else 0)
    assert control(state)[1] != 0xFFFF_FFFF


def test_reading_acknowledges_nothing(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = control(state)
    call_umi(capsys, "-p", address(state), "events")
    assert control(state) == before


def test_a_dry_run_says_what_it_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "meter.json"
    with_active(state, IN_ORDER)
    outcome = call_umi(capsys, "-p", address(state), "events", "--acknowledge", "--dry-run")
    assert outcome.exit == 0
    assert "would be acknowledged: valve-closed, restart, clock-set; the log begins at" in (
        outcome.stderr
    )
    assert control(state) == (0, 0xFFFF_FFFF)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("form", [[], ["--json"], ["--events"], ["--csv"]])
def test_what_could_not_be_written_is_not_acknowledged(tmp_path: Path, form: list[str]) -> None:
    state = tmp_path / "meter.json"
    with_active(state, IN_ORDER)
    with open("/dev/full", "w") as full:
        process = start_umi("-p", address(state), "events", "--acknowledge", *form, stdout=full)
        _, stderr = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 1, stderr
    assert control(state) == (0, 0xFFFF_FFFF)


def test_a_pipe_that_is_closed_acknowledges_nothing(tmp_path: Path) -> None:
    state = tmp_path / "meter.json"
    with_active(state, IN_ORDER)
    reader, writer = os.pipe()
    os.close(reader)
    process = start_umi("-p", address(state), "events", "--acknowledge", "--json", stdout=writer)
    os.close(writer)
    _, stderr = process.communicate(timeout=TIME_LIMIT_S)
    assert (process.returncode, stderr) == (141, "")
    assert control(state) == (0, 0xFFFF_FFFF)


def test_an_acknowledgement_that_is_refused_ends_the_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "meter.json"
    with_active(state, IN_ORDER)
    outcome = call_umi(capsys, "-p", f"sim:{state}?{NOW}", "events", "--acknowledge", "--json")
    document = outcome.document
    assert document["error"]["code"] == "access-denied"
    assert len(document["data"]["entries"]) == len(IN_ORDER)


@pytest.mark.parametrize("seed", range(6))
def test_every_event_is_given_once_over_a_bad_line(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "meter.json"
    log_events(state, [(5 + each % 2, AT + each // 4, "") for each in range(400)])
    fault = f"&fault=drop:0.1,flip:0.05,duplicate:0.1,delay:0.05&seed={seed}"
    outcome = call_umi(capsys, "-p", address(state, fault), "events", "-o", "raw")
    lines = outcome.stdout.splitlines()
    logged = [
        number.to_bytes(4, "little").hex() + time_s.to_bytes(4, "little").hex() + data
        for number, time_s, data in logged_events(state)
    ]
    assert lines == logged if outcome.exit == 0 else lines == logged[len(logged) - len(lines) :]
    assert outcome.exit in (0, 15, 17)


# Followed


@contextmanager
def serving(port: int, state: Path) -> Iterator[Any]:
    """Serve a meter on a TCP port until the block ends."""
    process = start_umi(
        "sim", "--tcp", f"127.0.0.1:{port}", "--state", str(state), "--as", "service"
    )
    try:
        assert '"listening"' in process.stdout.readline()
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIME_LIMIT_S)


def next_of(process: Any, kind: str) -> dict[str, Any]:
    """Return the next event of a kind that a process prints."""
    for line in process.stdout:
        event = json.loads(line)
        if event["type"] == kind:
            return dict(event)
    raise AssertionError(f"no {kind} came: {process.stderr.read()}")


def move_valve(where: str, state: str) -> None:
    with connect(where) as meter:
        meter.write("valve", state)


def test_each_event_comes_once_though_the_meter_goes_away_in_the_middle(tmp_path: Path) -> None:
    state, port = tmp_path / "meter.json", free_port()
    where = f"tcp:127.0.0.1:{port}"
    follow = None
    try:
        with serving(port, state):
            follow = start_umi(
                "-p",
                where,
                "events",
                "--follow",
                "--every",
                "0.2",
                "--failures",
                "1000",
                "--events",
            )
            assert "following by asking every 0.2 s" in next_of(follow, "note")["message"]
            move_valve(where, "closed")
            came = [next_of(follow, "logged")]
        assert "the device was lost" in next_of(follow, "note")["message"]
        with serving(port, state):
            move_valve(where, "open")
            came.append(next_of(follow, "logged"))
            move_valve(where, "closed")
            came.append(next_of(follow, "logged"))
            follow.send_signal(signal.SIGINT)
            stdout, stderr = follow.communicate(timeout=TIME_LIMIT_S)
    finally:
        if follow is not None and follow.poll() is None:
            follow.kill()
            follow.communicate()
    assert [each["event"]["number"] for each in came] == [6, 5, 6]
    result = json.loads(stdout.splitlines()[-1])
    assert (result["type"], result["exit"], follow.returncode, stderr) == ("result", 130, 130, "")
    assert result["data"]["count"] == 3
    assert result["meta"]["device"] == "00237EFE00000001"


@pytest.mark.parametrize("form", ["table", "csv", "raw"])
def test_following_prints_a_line_each(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "meter.json"
    log_events(state, RECORDS[:3])
    follow = ["events", "--follow", "--since", "1d", "--count", "3", "-o", form]
    outcome = call_umi(capsys, "-p", address(state), *follow)
    lines = {
        "table": "2026-11-22T10:01:00Z  opto-communications: FFFFFFFFFFFFFFFF (sign-on)",
        "csv": "2026-11-22T10:00:00Z,16,restart,cause 3,0300000000000000,",
        "raw": "11000000" + (AT + 60).to_bytes(4, "little").hex() + "ff" * 8,
    }
    assert outcome.exit == 0
    assert outcome.stdout.splitlines()[1] == lines[form]
    assert "following by asking every 10 s" in outcome.stderr


def test_following_to_an_end_is_one_document(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    follow = ["events", "--follow", "--since", "1d", "--for", "100", "--json"]
    document = call_umi(capsys, "-p", address(state), *follow).document
    assert document["data"]["count"] == len(RECORDS) == len(document["data"]["entries"])
    assert [each["kind"] for each in document["data"]["anomalies"]] == [
        "time-goes-back",
        "duplicate",
    ]


def test_following_by_subscription_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    follow = ["events", "--follow", "--since", "1d", "--count", "1"]
    outcome = call_umi(capsys, "-p", "spi:sim?as=service", *follow)
    assert outcome.exit == 0
    assert outcome.stdout.endswith("restart: cause 0\n")
    assert outcome.stderr == "following by subscription\n"


def test_a_device_that_never_answers_is_not_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = call_umi(capsys, "-p", f"tcp:127.0.0.1:{free_port()}", "events", "--follow")
    assert outcome.exit == 10


def test_a_log_that_may_not_be_read_ends_it_at_once(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f"sim:{state}?as=manufacturer"
    access = ["access", "set", "event-table", "--read", "manufacturer", "--yes"]
    assert call_umi(capsys, "-p", where, *access).exit == 0
    outcome = call_umi(capsys, "-p", f"sim:{state}", "events", "--follow")
    assert outcome.exit == 23
