"""`umi profile`: a day with everything that can go wrong, compared with the meter's own memory."""

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.cli.conftest import ROOT, Outcome, call_umi, run_umi, start_umi
from umi_cli.types import EPOCH

Record = tuple[int, int, int, int]
"""(count, timestamp_s, status, rate), as a state file has it."""

START, SINCE, END = "2026-10-24T00:10:00Z", "2026-10-24T00:00:00Z", "2026-10-25T12:00:00Z"
LONDON = "Europe/London"
draws = pytest.mark.skipif(not find_spec("matplotlib"), reason="matplotlib is not installed")
FLAGS = {1: "clock-sync", 3: "clock-sync,clock-set", 33: "clock-sync,software-restart"}


def seconds(text: str) -> int:
    return int((datetime.fromisoformat(text) - EPOCH).total_seconds())


def address(state: Path, time: str = END, **options: str) -> str:
    query = "&".join(f"{name}={text}" for name, text in {"time": time, **options}.items())
    return f"sim:{state}?{query}"


@pytest.fixture(scope="module")
def hard_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state of a meter that has lived through a hard day.

    Its clock was set forward by two hours and back by one and a half, it was without power for
    three, and in the night London's clocks went back.
    """
    state = tmp_path_factory.mktemp("day") / "meter.json"
    steps: list[tuple[str, dict[str, str], list[str]]] = [
        (START, {}, ["clock", "show"]),
        ("2026-10-24T08:10:00Z", {}, ["clock", "set", "2026-10-24T10:10:00Z", "--yes"]),
        ("2026-10-24T14:10:00Z", {}, ["clock", "set", "2026-10-24T12:40:00Z", "--yes"]),
        ("2026-10-24T20:10:00Z", {"off-since": "2026-10-24T17:20:00Z"}, ["clock", "show"]),
    ]
    for time, options, args in steps:
        outcome = run_umi("-p", address(state, time, **{"as": "service"}, **options), *args)
        assert outcome.exit == 0, outcome.stderr
    return state


@pytest.fixture
def state(hard_day: Path, tmp_path: Path) -> Path:
    """Return a copy of that meter for one test."""
    return Path(shutil.copy(hard_day, tmp_path / "meter.json"))


def memory(state: Path) -> dict[str, Any]:
    return dict(json.loads(state.read_text()))


def records(state: Path, since: str = SINCE, until: str | None = None) -> list[Record]:
    """Return the entries that the meter has in its memory, in its order."""
    stop = seconds(until) if until else 1 << 32
    found = [tuple(record) for record in memory(state)["profile"]["records"]]
    return [record for record in found if seconds(since) <= record[1] < stop]


def pointer_s(state: Path) -> int:
    control = bytes.fromhex(memory(state)["objects"]["umi.1.1.194.24"])
    return int.from_bytes(control[:4], "little")


def consumption(found: list[Record]) -> list[Decimal | None]:
    """Return what was used in each half hour, by the records alone."""
    used: list[Decimal | None] = [None]
    for before, after in pairwise(found):
        is_next = after[1] - before[1] == 1800
        used.append(Decimal(after[0] - before[0]) / 100 if is_next else None)
    return used


def of_csv(text: str) -> list[Record]:
    numbers = {text: number for number, text in FLAGS.items()}
    return [
        (
            int(Decimal(row["reading"]) * 100),
            seconds(row["time"]),
            numbers[row["status"]],
            int(row["rate"]),
        )
        for row in csv.DictReader(io.StringIO(text))
    ]


def of_json(data: dict[str, Any]) -> list[Record]:
    return [
        (each["count"], seconds(each["time"]), each["status"]["number"], each["rate"])
        for each in data["entries"]
    ]


# A day with everything in it


def test_the_day_is_as_hard_as_it_should_be(state: Path) -> None:
    run_umi("-p", address(state), "profile")
    times = [record[1] for record in records(state)]
    assert len(times) == 73 - 4 - 6 + 3
    steps = [after - before for before, after in pairwise(times)]
    assert sorted(set(steps)) == [-3600, 1800, 9000, 12_600]
    assert {record[2] for record in records(state)} == set(FLAGS)


def test_csv_has_each_entry_once_in_the_meters_order(state: Path) -> None:
    outcome = run_umi("-p", address(state), "profile", "--since", SINCE, "--csv", "--tz", LONDON)
    assert outcome.exit == 0
    assert of_csv(outcome.stdout) == records(state)
    rows = list(csv.DictReader(io.StringIO(outcome.stdout)))
    used = [Decimal(row["consumption"]) if row["consumption"] else None for row in rows]
    assert used[1:] == consumption(records(state))[1:]
    assert {row["unit"] for row in rows} == {"m³"}
    for row in rows:
        assert row["time"].endswith("Z")
        assert datetime.fromisoformat(row["local"]) == datetime.fromisoformat(row["time"])
    doubled = [row["local"][-14:] for row in rows if row["local"].startswith("2026-10-25T01:")]
    assert doubled == ["01:00:00+01:00", "01:30:00+01:00", "01:00:00+00:00", "01:30:00+00:00"]


def test_json_has_each_entry_and_what_is_odd(state: Path) -> None:
    data = run_umi("-p", address(state), "profile", "--since", SINCE, "--json").document["data"]
    assert of_json(data) == records(state)
    assert (data["complete"], data["pointer"], data["unit"]) == (True, None, "m³")
    odd = [(each["kind"], each["from"][11:16], each["to"][11:16]) for each in data["anomalies"]]
    assert odd == [
        ("gap", "08:00", "10:30"),
        ("clock-set", "10:30", "10:30"),
        ("clock-back", "14:00", "13:00"),
        ("duplicate", "13:00", "13:00"),
        ("clock-set", "13:00", "13:00"),
        ("duplicate", "13:30", "13:30"),
        ("duplicate", "14:00", "14:00"),
        ("gap", "17:00", "20:30"),
        ("restart", "20:30", "20:30"),
    ]
    assert [each["missing"] for each in data["anomalies"] if each["kind"] == "gap"] == [4, 6]
    for each in data["anomalies"]:
        first, second = (data["entries"][number] for number in each["entries"])
        assert (first["time"], second["time"]) == (each["from"], each["to"])
        assert each["kind"] in second["anomalies"]


def test_the_table_and_stderr_say_the_same(state: Path) -> None:
    outcome = run_umi("-p", address(state), "profile", "--since", SINCE)
    head, _, *lines = outcome.stdout.splitlines()
    assert head.split() == ["time", "reading", "[m³]", "consumption", "[m³]", "status", "anomalies"]
    assert [seconds(line.split()[0]) for line in lines] == [row[1] for row in records(state)]
    told = outcome.stderr.splitlines()
    assert told[0] == (
        "gap: 4 half hours between 2026-10-24T08:00:00Z and 2026-10-24T10:30:00Z have no entry"
    )
    assert len(told) == 9


def test_the_chart_has_a_line_for_each_entry_and_each_gap(state: Path) -> None:
    args = ["profile", "--since", SINCE, "--tz", LONDON, "--plot"]
    outcome = run_umi("-p", address(state), *args, env={"COLUMNS": "100"})
    title, *lines = outcome.stdout.splitlines()
    assert title == "consumption per half hour, m³"
    gaps = [line for line in lines if "without entry" in line]
    assert [line.split()[0] for line in gaps] == ["4", "6"]
    drawn = [line for line in lines if line not in gaps]
    assert [seconds(line[:25]) for line in drawn] == [record[1] for record in records(state)]
    values = [re.findall(r" (\?|\d+\.\d\d)(?= |$)", line[25:])[0] for line in drawn]
    known = [None if text == "?" else Decimal(text) for text in values]
    assert known[1:] == consumption(records(state))[1:]
    assert all(len(line) <= 100 for line in lines)


@draws
def test_a_picture_has_a_bar_for_each_half_hour_that_is_known(state: Path, tmp_path: Path) -> None:
    target = tmp_path / "day.svg"
    args = ["profile", "--since", SINCE, "--tz", LONDON, "--plot", str(target)]
    outcome = run_umi("-p", address(state), *args, "--json")
    assert outcome.document["data"]["plot"] == str(target)
    drawn = re.findall(r'id="(entry-\d+)"', target.read_text())
    known = [used for used in consumption(records(state))[1:] if used is not None]
    assert len(drawn) == len(set(drawn)) == len(known) + 1  # the first one's before is read too
    assert len(re.findall(r'id="gap"', target.read_text())) == 2
    again = tmp_path / "again.svg"
    run_umi("-p", address(state), *args[:-1], str(again))
    assert again.read_bytes() == target.read_bytes()


@draws
def test_a_png_and_the_csv_come_together(state: Path, tmp_path: Path) -> None:
    target = tmp_path / "day.png"
    outcome = run_umi("-p", address(state), "profile", "--plot", str(target), "--csv")
    assert of_csv(outcome.stdout) == records(state, "2026-10-01T00:00:00Z")
    assert target.read_bytes().startswith(b"\x89PNG")
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".tmp")] == []


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_line_changes_nothing(
    state: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dropped, doubled, late and damaged frames: every entry once, or what came and why."""
    fault = "drop:0.05,duplicate:0.1,flip:0.05,truncate:0.02,noise:0.03"
    place = address(state, fault=fault, seed=str(seed))
    outcome = call_umi(capsys, "-p", place, "profile", "--since", SINCE, "--csv", "--retries", "6")
    assert outcome.exit in (0, 14, 15, 17)
    if outcome.exit:
        found = of_csv(outcome.stdout)
        assert found == records(state)[len(records(state)) - len(found) :]
    else:
        assert of_csv(outcome.stdout) == records(state)


def test_a_bad_line_is_mostly_got_over(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The test above would pass if nothing ever came."""
    place = address(state, fault="drop:0.05,duplicate:0.1,flip:0.05", seed="1")
    outcome = call_umi(capsys, "-p", place, "profile", "--since", SINCE, "--csv", "--retries", "6")
    assert (outcome.exit, of_csv(outcome.stdout)) == (0, records(state))


def test_what_came_before_the_line_broke_is_shown(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest entries without a hole, and exit 17; what is older is not called a gap."""
    parts = 0
    for seed in range(12):
        place = address(state, fault="hangup:0.04", seed=str(seed))
        outcome = call_umi(capsys, "-p", place, "profile", "--json")
        everything = records(state, "2026-10-01T00:00:00Z")
        if outcome.exit == 0:
            assert of_json(outcome.document["data"]) == everything
            continue
        assert outcome.exit in (14, 17)
        data = outcome.document["data"]
        if data is not None:
            parts += 1
            found = of_json(data)
            assert data["complete"] is False
            assert 0 < len(found) < len(everything)
            assert found == everything[-len(found) :]
    assert parts


# Stretches of time


@pytest.mark.parametrize(
    ("since", "until", "zone"),
    [
        ("2026-10-24T13:00:00Z", "2026-10-24T14:00:00Z", None),
        ("2h", None, None),
        ("2026-10-25", None, LONDON),
        ("yesterday", "today", LONDON),
        ("2026-10-24T18:00:00Z", "2026-10-24T19:00:00Z", None),
        (None, "2026-10-20T00:00:00Z", None),
    ],
)
def test_a_stretch_of_time_is_cut_by_the_entries_times(
    state: Path,
    since: str | None,
    until: str | None,
    zone: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {"--since": since, "--until": until, "--tz": zone}
    args = [word for name, text in given.items() if text for word in (name, text)]
    data = call_umi(capsys, "-p", address(state), "profile", *args, "--json").document["data"]
    first = data["since"] or "2026-10-01T00:00:00Z"
    assert of_json(data) == records(state, first, data["until"])
    if since == "2h":
        assert data["since"] == "2026-10-25T10:00:00Z"
    if zone:
        assert data["since"][11:] == "23:00:00Z"  # London's midnight, in summer time


def test_a_stretch_within_a_gap_says_why_it_is_empty(state: Path) -> None:
    args = ["--since", "2026-10-24T18:00:00Z", "--until", "2026-10-24T19:00:00Z"]
    outcome = run_umi("-p", address(state), "profile", *args)
    assert (outcome.exit, len(outcome.stdout.splitlines())) == (0, 2)
    told = outcome.stderr.splitlines()
    assert told[0] == "there is no entry in that stretch of time"
    assert [line.partition(":")[0] for line in told[1:]] == ["gap"]


def test_two_hours_do_not_cost_the_whole_table(state: Path) -> None:
    """Of 4,800 entries, two days come: a day that shows that the order is sound, at the least."""
    place = address(state, "2027-06-01T12:00:00Z")
    outcome = run_umi("-p", place, "profile", "--since", "2h", "--csv", "-v")
    assert of_csv(outcome.stdout) == records(state)[-5:]
    assert len(memory(state)["profile"]["records"]) == 4800
    came = sum(map(int, re.findall(r" in (\d+) bytes", outcome.stderr)))
    assert 2 * 48 * 12 < came < 2500


def test_a_long_table_comes_whole_and_with_progress(state: Path) -> None:
    outcome = run_umi("-p", address(state, "2027-06-01T12:00:00Z"), "profile", "--csv")
    assert of_csv(outcome.stdout) == records(state, "2000-01-01T00:00:00Z")
    assert len(outcome.stdout.splitlines()) == 4801
    assert outcome.stderr.splitlines()[0].startswith("profile 10%")


def test_more_than_two_days_are_drawn_by_the_local_day(state: Path) -> None:
    """Days of 46 and 50 half hours are whole ones, and a day is never counted to its neighbour."""
    args = ["profile", "--since", "2027-03-25", "--until", "2027-04-01", "--tz", LONDON, "--plot"]
    outcome = run_umi("-p", address(state, "2027-06-01T12:00:00Z"), *args)
    title, *lines = outcome.stdout.splitlines()
    assert title == "consumption per day, m³"
    assert [line[:10] for line in lines] == [f"2027-03-{day}" for day in range(24, 32)]
    spring = next(line for line in lines if line.startswith("2027-03-28"))
    assert spring.endswith("46 of 46")
    zone = ZoneInfo(LONDON)
    begin, end = (datetime(2027, 3, day, tzinfo=zone).astimezone(UTC) for day in (28, 29))
    half_hour = timedelta(minutes=30)
    day = records(state, (begin + half_hour).isoformat(), (end + half_hour).isoformat())
    before = records(state, begin.isoformat(), (begin + half_hour).isoformat())
    assert len(day) == 46
    assert spring.split()[-4] == f"{Decimal(day[-1][0] - before[0][0]) / 100:.2f}"


def test_a_terminal_without_blocks_gets_ascii(state: Path) -> None:
    args = ["profile", "--since", SINCE, "--plot", "-"]
    outcome = run_umi("-p", address(state), *args, env={"PYTHONIOENCODING": "ascii"})
    assert outcome.stdout.isascii()
    assert outcome.stdout.splitlines()[0] == "consumption per half hour, m3"
    assert " ####" in outcome.stdout
    assert " ....." in outcome.stdout


def test_raw_is_a_line_of_wire_bytes_an_entry(state: Path) -> None:
    outcome = run_umi("-p", address(state), "profile", "--since", "2h", "-o", "raw")
    lines = [bytes.fromhex(line) for line in outcome.stdout.split()]
    assert [int.from_bytes(line[4:8], "little") for line in lines] == [
        record[1] for record in records(state)[-5:]
    ]


# The head-end's read pointer


def test_reading_leaves_the_pointer_alone(state: Path) -> None:
    for form in ("--json", "--csv", "--events"):
        run_umi("-p", address(state, **{"as": "host"}), "profile", "--since", "2h", form)
    assert pointer_s(state) == 0


@pytest.mark.parametrize("form", ["--json", "--csv", "--events"])
def test_what_was_given_can_be_acknowledged(state: Path, form: str) -> None:
    """The window begins behind the last entry then, and the next one is the first to come."""
    place = address(state, **{"as": "host"})
    outcome = run_umi("-p", place, "profile", "--acknowledge", form)
    assert outcome.exit == 0
    everything = records(state, "2026-10-01T00:00:00Z")
    given: dict[str, Callable[[], list[Record]]] = {
        "--json": lambda: of_json(outcome.document["data"]),
        "--csv": lambda: of_csv(outcome.stdout),
        "--events": lambda: of_json(outcome.events[-1]["data"]),
    }
    assert given[form]() == everything
    assert pointer_s(state) == everything[-1][1] + 1
    nothing = run_umi("-p", place, "profile", "--acknowledge", "--csv")
    assert (nothing.exit, len(nothing.stdout.splitlines())) == (0, 1)
    assert nothing.stderr.splitlines()[-1] == "there is nothing to acknowledge"
    later = address(state, "2026-10-25T12:31:00Z", **{"as": "host"})
    assert len(of_csv(run_umi("-p", later, "profile", "--csv").stdout)) == 1


def test_the_data_is_given_before_the_pointer_moves(state: Path) -> None:
    """Under --events the data has its own line, which comes first."""
    outcome = run_umi(
        "-p", address(state, **{"as": "host"}), "profile", "--acknowledge", "--events"
    )
    kinds = [event["type"] for event in outcome.events]
    note = next(e for e in outcome.events if "window begins" in e.get("message", ""))
    assert kinds.index("data") < note["seq"] < len(kinds) - 1


@pytest.mark.parametrize("form", ["--json", "--csv"])
@pytest.mark.parametrize("is_full", [True, False])
def test_what_nobody_took_is_not_acknowledged(state: Path, form: str, is_full: bool) -> None:
    """Neither when the reader has gone, nor when the disk is full."""
    args = ["-p", address(state, **{"as": "host"}), "profile", "--acknowledge", form]
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "w") if is_full else os.fdopen(writer, "w") as out:
        process = start_umi(*args, stdout=out)
        process.communicate(timeout=60)
    if is_full:
        os.close(writer)
    assert process.returncode == (1 if is_full else 141)
    assert pointer_s(state) == 0


def test_a_dry_run_acknowledges_nothing(state: Path) -> None:
    place = address(state, **{"as": "host"})
    outcome = run_umi("-p", place, "--dry-run", "profile", "--acknowledge", "--json")
    assert outcome.document["data"]["dry_run"] is True
    assert outcome.document["data"]["acknowledge"] == "2026-10-25T12:00:01Z"
    assert pointer_s(state) == 0


def test_nothing_is_acknowledged_that_was_not_given(state: Path) -> None:
    """Older entries than --since would be hidden with them; newer ones than --until would not."""
    place = address(state, **{"as": "host"})
    outcome = run_umi("-p", place, "profile", "--since", "2h", "--acknowledge")
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "would hide" in outcome.stderr
    assert pointer_s(state) == 0
    until = ["--until", "2026-10-24T08:10:00Z"]
    assert run_umi("-p", place, "profile", *until, "--acknowledge").exit == 0
    assert pointer_s(state) == seconds("2026-10-24T08:00:01Z")


def test_who_may_not_acknowledge_is_told_who_may(state: Path) -> None:
    """The data was given already: it is there, in one document that says what failed."""
    document = run_umi("-p", address(state), "profile", "--acknowledge", "--json").document
    assert document["error"]["exit"] == 23
    assert "lets host,service,utility-supplier write" in document["error"]["hint"]
    assert of_json(document["data"]) == records(state, "2026-10-01T00:00:00Z")


def test_a_window_that_begins_too_late_is_told(state: Path) -> None:
    """The meter does not show what another client has acknowledged; a warning says from when."""
    place = address(state, **{"as": "host"})
    until = ["--until", "2026-10-24T08:10:00Z"]
    assert run_umi("-p", place, "profile", *until, "--acknowledge").exit == 0
    document = run_umi("-p", place, "profile", "--since", SINCE, "--json").document
    assert document["data"]["pointer"] == "2026-10-24T08:00:01Z"
    assert "begins at 2026-10-24T08:00:01Z" in document["warnings"][0]
    quiet = run_umi("-p", place, "profile", "--since", "2h", "--json").document
    assert quiet["warnings"] == []


# What cannot be


def test_a_part_of_a_profile_says_that_it_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    port = "sim:?time=2026-03-30T08:00:00Z&as=service&fault=hangup:0.02&seed=1"
    outcome = call_umi(capsys, "-p", port, "profile", "--csv")
    oldest = outcome.stdout.splitlines()[1].split(",")[0]
    assert outcome.exit == 17
    assert f"what is older than {oldest} is missing" in outcome.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--plot", "day.pdf"], "day.pdf is no name of a picture"),
        (["--plot", "--json"], "a chart in the terminal is no JSON"),
        (["--plot", "--csv"], "a chart in the terminal is no JSON"),
        (["--since", "soon"], "'soon' is no time"),
        (["--since", "1h", "--until", "2h"], "is not before --until"),
        (["--tz", "Mars/Phobos"], "no time zone"),
        (["--csv", "--json"], "exclude each other"),
        (["--csv", "-o", "raw"], "--csv and -o exclude each other"),
        (["-o", "raw", "--csv"], "--csv and -o exclude each other"),
    ],
)
def test_wrong_options(args: list[str], message: str) -> None:
    outcome = run_umi("-p", "sim", "profile", *args)
    assert outcome.exit == 2
    assert message in outcome.stdout + outcome.stderr


def test_a_missing_matplotlib_is_told_before_a_device_is_asked(tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError\n")
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    outcome = run_umi("-p", "tcp:127.0.0.1:1", "profile", "--plot", "a.png", env=env)
    assert outcome.exit == 2
    assert "pip install 'umi-cli[plot]'" in outcome.stderr


@draws
def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    outcome = run_umi("-p", "sim", "profile", "--plot", str(tmp_path / "none" / "a.png"))
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "cannot write" in outcome.stderr


OTHER_METER = """
schema = "umi-datasheet/1"
name = "other"
title = "An electricity meter"
banks = ["umi.1.1"]

[[object]]
code = "umi.1.1.194.22"
name = "profile-status"
title = "Status"
kind = "structure"
read = ["all"]
member = [
  {{ name = "start_time", title = "Start", type = "datetime" }},
  {{ name = "last_execution", title = "Last", type = "datetime" }},
  {{ name = "entries", title = "Entries", type = "u16" }},
  {{ name = "first_timestamp", title = "First", type = "datetime" }},
  {{ name = "unit_code", title = "Unit", type = "enum:u16", values = {{ {unit} }} }},
  {{ name = "format_code", title = "Format", type = "u16" }},
  {{ name = "meter_uid", title = "Meter", type = "u64" }},
]

[[object]]
code = "umi.1.1.194.23"
name = "{table}"
title = "Profile"
kind = "array-of-structures"
read = ["all"]
member = [
  {{ name = "{reading}", title = "Energy", type = "u32", scale = "0.5", unit = "Wh" }},
  {{ name = "timestamp", title = "Time", type = "datetime" }},
  {{ name = "flags", title = "Flags", type = "u16" }},
  {{ name = "rate", title = "Rate", type = "u16" }},
]
"""


def other_meter(tmp_path: Path, **names: str) -> Outcome:
    defaults = {"table": "profile-table", "reading": "reading", "unit": '2 = "0.1 kWh"'}
    sheet = tmp_path / "other.toml"
    sheet.write_text(OTHER_METER.format(**{**defaults, **names}))
    place = f"sim:?datasheet={sheet}&time={END}"
    return run_umi("-p", place, "--datasheet", str(sheet), "profile", "--since", "2h", "--json")


def test_another_meters_datasheet_does_as_far_as_names_agree(tmp_path: Path) -> None:
    data = other_meter(tmp_path).document["data"]
    assert (data["unit"], len(data["entries"])) == ("kWh", 5)
    entry = data["entries"][0]
    assert entry["reading"] == pytest.approx(entry["count"] / 10)
    assert entry["status"] == {"number": 0, "names": []}


def test_a_unit_that_is_not_known_is_warned_of(tmp_path: Path) -> None:
    document = other_meter(tmp_path, unit='9 = "kWh"').document
    assert document["data"]["unit"] == "Wh"
    assert "does not say what its profile counts in" in document["warnings"][0]


@pytest.mark.parametrize("names", [{"table": "load-table"}, {"reading": "energy"}])
def test_a_datasheet_without_a_profile(tmp_path: Path, names: dict[str, str]) -> None:
    outcome = other_meter(tmp_path, **names)
    assert outcome.exit == 31
    assert outcome.document["error"]["code"] == "unknown-object"


@draws
def test_nothing_is_drawn_of_an_empty_stretch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = ["-p", "sim", "profile", "--since", "2001-01-01", "--until", "2001-01-02", "--plot"]
    for picture in ([], [str(tmp_path / "week.svg")]):
        outcome = call_umi(capsys, *empty, *picture)
        assert (outcome.exit, outcome.stdout) == (0, "")
        assert outcome.stderr == "there is no entry in that stretch of time\n"
    assert list(tmp_path.iterdir()) == []
