"""`umi diff`: two files, a file and the device, and what is no export."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Outcome, call_umi, run_umi

DAY, NEXT = "time=2026-11-22T10:00:00Z", "time=2026-11-23T10:00:00Z"
Capsys = pytest.CaptureFixture[str]


def do(capsys: Capsys, *args: str) -> Outcome:
    outcome = call_umi(capsys, *args)
    assert outcome.exit == 0, outcome.stderr
    return outcome


@pytest.fixture
def meter(tmp_path: Path) -> str:
    """Return a meter that remembers, as somebody in the role of service sees it."""
    return f"sim:{tmp_path}/meter.json?as=service"


def export(capsys: Capsys, meter: str, path: Path, *args: str) -> str:
    do(capsys, "-p", meter, "export", str(path), *args)
    return str(path)


def changes(capsys: Capsys, *args: str) -> list[dict[str, Any]]:
    return list(call_umi(capsys, *args, "--json").document["data"]["changes"])


def test_an_export_does_not_differ_from_itself(capsys: Capsys, meter: str, tmp_path: Path) -> None:
    path = export(capsys, f"{meter}&{DAY}", tmp_path / "a.json")
    data = do(capsys, "diff", path, path, "--all", "--exit-code", "--json").document["data"]
    assert (data["equal"], data["changes"], data["volatile_left_out"]) == (True, [], 0)
    assert do(capsys, "diff", path, path).stdout == "no difference\n"


def test_round_trip_with_the_device(capsys: Capsys, meter: str, tmp_path: Path) -> None:
    path = export(capsys, f"{meter}&{DAY}", tmp_path / "a.json")
    outcome = do(capsys, "-p", f"{meter}&{DAY}", "diff", path, "--exit-code")
    assert outcome.stdout.startswith("no difference\n")


def test_changes_by_name_in_words(capsys: Capsys, meter: str, tmp_path: Path) -> None:
    old = export(capsys, f"{meter}&{DAY}", tmp_path / "a.json")
    now = f"{meter}&{DAY}"
    do(capsys, "-p", now, "write", "valve", "closed")
    do(capsys, "-p", now, "write", "counter", "7")
    maker = now.replace("service", "manufacturer")
    do(capsys, "-p", maker, "access", "set", "counter", "--write", "service")
    new = export(capsys, f"{meter}&{NEXT}", tmp_path / "b.json")
    shown = [" ".join(line.split()) for line in do(capsys, "diff", old, new).stdout.splitlines()]
    assert "changed valve - open closed" in shown
    assert "changed counter - 0 7" in shown
    assert "added profile-table - - 48 entries more, from [336] on" in shown
    assert "changed counter write access all service" in shown
    assert not any("metrology-clock" in line for line in shown), "a clock differs of itself"


def test_all_shows_each_entry_and_what_is_volatile(
    capsys: Capsys, meter: str, tmp_path: Path
) -> None:
    old = export(capsys, f"{meter}&{DAY}", tmp_path / "a.json")
    new = export(capsys, f"{meter}&{NEXT}", tmp_path / "b.json")
    document = do(capsys, "diff", old, new, "--json").document["data"]
    everything = do(capsys, "diff", old, new, "--all", "--json").document["data"]
    entries = [each for each in everything["changes"] if each["name"] == "profile-table"]
    assert [each["element"] for each in entries] == list(range(336, 384))
    assert all(each["new"]["timestamp"] for each in entries)
    clock = [each for each in everything["changes"] if each["name"] == "metrology-clock"]
    assert clock
    assert clock[0]["volatile"] is True
    assert everything["volatile_left_out"] == 0
    volatile = [each for each in everything["changes"] if each["volatile"]]
    assert document["volatile_left_out"] == len(volatile)
    assert document["counts"]["added"] == everything["counts"]["added"]


def test_what_is_refused_in_one_of_them(capsys: Capsys, meter: str, tmp_path: Path) -> None:
    old = export(capsys, f"{meter}&{DAY}", tmp_path / "a.json")
    new = export(capsys, f"sim:{tmp_path}/meter.json?{DAY}", tmp_path / "b.json")
    outcome = do(capsys, "diff", old, new)
    assert "gsm-status         error   -    ACCESS_DENIED (9)" in outcome.stdout
    told = changes(capsys, "diff", old, new)
    assert {each["aspect"] for each in told} == {"error"}


@pytest.mark.parametrize(("flags", "code"), [((), 0), (("--exit-code",), 32)])
def test_exit_codes(
    capsys: Capsys, meter: str, tmp_path: Path, flags: tuple[str, ...], code: int
) -> None:
    path = export(capsys, f"{meter}&{DAY}", tmp_path / "a.json", "--only", "counter")
    do(capsys, "-p", meter, "write", "counter", "7")
    document = call_umi(capsys, "-p", meter, "diff", path, *flags, "--json").document
    assert (document["error"] or {"exit": 0})["exit"] == code
    assert [each["new"] for each in document["data"]["changes"]] == [7]
    people = call_umi(capsys, "-p", meter, "diff", path, *flags)
    assert people.exit == code
    assert ("differ: 1 changed" in people.stderr) is (code == 32)


def test_as_csv(capsys: Capsys, meter: str, tmp_path: Path) -> None:
    path = export(capsys, f"{meter}&{DAY}", tmp_path / "a.json", "--only", "counter")
    do(capsys, "-p", meter, "write", "counter", "7")
    outcome = do(capsys, "-p", meter, "diff", path, "-o", "csv")
    assert outcome.stdout == "change,object,member,old,new\nchanged,counter,,0,7\n"


def test_what_was_not_asked_for_is_not_compared(capsys: Capsys, meter: str, tmp_path: Path) -> None:
    whole = export(capsys, f"{meter}&{DAY}", tmp_path / "a.json")
    bare = export(capsys, f"{meter}&{DAY}", tmp_path / "b.json", "--no-tables")
    few = export(capsys, f"{meter}&{DAY}", tmp_path / "c.json", "--only", "valve")
    for pair in ((whole, bare), (bare, whole), (whole, few), (few, whole)):
        data = do(capsys, "diff", *pair, "--json").document["data"]
        assert data["changes"] == []
        assert "umi.1.1.194.23" in data["not_compared"]
        assert data["equal"] is None
    outcome = do(capsys, "diff", whole, bare)
    assert outcome.stdout == "no difference in what was compared\n"
    assert "warning: not compared" in outcome.stderr
    assert call_umi(capsys, "diff", whole, bare, "--exit-code", "-o", "csv").exit == 53
    here = ("-p", f"{meter}&{DAY}", "diff", whole, "--no-tables", "--exit-code")
    assert call_umi(capsys, *here).exit == 0


def test_a_link_that_was_lost_says_nothing_of_a_device(capsys: Capsys, tmp_path: Path) -> None:
    whole = export(capsys, f"sim:?{DAY}", tmp_path / "a.json")
    lost = f"sim:?{DAY}&fault=hangup:0.03&seed=4"
    assert call_umi(capsys, "-p", lost, "export", f"{tmp_path}/b.json", "--partial").exit == 17
    outcome = do(capsys, "diff", whole, f"{tmp_path}/b.json")
    assert "no difference" in outcome.stdout
    assert "b.json is not complete" in outcome.stderr
    assert call_umi(capsys, "-p", lost, "diff", whole).exit == 17


def test_doubtful_pairs_are_warned_of(capsys: Capsys, tmp_path: Path) -> None:
    sheet = tmp_path / "other.toml"
    sheet.write_text('schema = "umi-datasheet/1"\nname = "other"\ntitle = "x"\nextends = "ei4"\n')
    old = export(capsys, f"sim:?{DAY}", tmp_path / "a.json", "--only", "valve")
    words = ("--only", "valve", "--datasheet", str(sheet))
    new = export(capsys, f"sim:?{DAY}&umi-id=00237EFE00000099", tmp_path / "b.json", *words)
    warnings = do(capsys, "diff", old, new, "--json").document["warnings"]
    assert "these are two devices: 00237EFE00000001 and 00237EFE00000099" in warnings
    assert "they were read with two datasheets: ei4 and other" in warnings


def test_nothing_to_compare_with(capsys: Capsys, tmp_path: Path) -> None:
    path = export(capsys, "sim", tmp_path / "a.json", "--only", "valve")
    outcome = call_umi(capsys, "diff", path)
    assert outcome.exit == 2
    assert "name a second file, or a device" in outcome.stderr


GARBAGE = [
    "",
    "{",
    "[]",
    "null",
    "\x00\xff",
    '{"schema":"umi-export/2"}',
    '{"schema":"umi-export/1"}',
    '{"schema":"umi/1","ok":true}',
    "[" * 100_000,
    '{"schema":"umi-export/1","objects":[{}]}',
    "NaN",
]


@pytest.mark.parametrize("text", GARBAGE, ids=range(len(GARBAGE)))
def test_what_is_no_export(capsys: Capsys, tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin-1"))
    outcome = call_umi(capsys, "diff", str(path), str(path))
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "x.json is no export: " in outcome.stderr
    assert "Error" not in outcome.stderr


@pytest.mark.parametrize("path", ["/nonexistent", "/", "/dev/zero"])
def test_what_is_no_file(path: str) -> None:
    outcome = run_umi("diff", path, path)
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert path in outcome.stderr


def test_from_stdin(capsys: Capsys, tmp_path: Path) -> None:
    path = export(capsys, f"sim:?{DAY}", tmp_path / "a.json", "--only", "valve")
    outcome = run_umi("diff", "-", path, input=Path(path).read_text())
    assert outcome.stdout == "no difference\n"
    document = json.loads(run_umi("diff", "-", path, "--json", input=Path(path).read_text()).stdout)
    assert document["data"]["old"]["file"] == "stdin"
