"""`umi clock`: what it shows, sets and refuses, compared with the virtual meter's own memory."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, call_umi, run_umi

NOON = "2026-11-22T12:00:00Z"


def at(state: Path, role: str = "service", time: str = NOON, more: str = "") -> str:
    return f"sim:{state}?as={role}&time={time}{more}"


def offset_s(state: Path) -> float:
    """Return what the meter's clock is ahead of its host's."""
    return float(json.loads(state.read_text())["clock_offset_s"])


def control(state: Path) -> bytes:
    return bytes.fromhex(json.loads(state.read_text())["objects"]["umi.1.1.194.32"])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return where a meter remembers."""
    return tmp_path / "meter.json"


def ahead(state: Path, by_s: int) -> None:
    """Have a meter whose clock is wrong by so much, as the host's own clock goes."""
    run_umi("-p", f"sim:{state}", "clock", "show")
    content = json.loads(state.read_text())
    state.write_text(json.dumps({**content, "clock_offset_s": by_s}))


def test_show(state: Path) -> None:
    outcome = run_umi("-p", at(state), "clock", "show")
    assert outcome.stdout.splitlines() == [
        f"device      {NOON}",
        f"host        {NOON}",
        "difference  none (to 0.5 s)",
        f"last set    {NOON}",
    ]


@pytest.mark.parametrize(
    ("by_s", "words"), [(7200, "2:00:00 ahead"), (-90, "0:01:30 behind"), (0, "none")]
)
def test_show_the_difference(state: Path, by_s: int, words: str) -> None:
    ahead(state, by_s)
    data = run_umi("-p", f"sim:{state}", "clock", "show", "--json").document["data"]
    assert abs(data["difference_s"] - by_s) <= 1
    assert 0.5 <= data["uncertainty_s"] < 2
    shown = run_umi("-p", f"sim:{state}", "clock", "show").stdout
    assert words in shown or by_s + 1 in range(3)


def test_sync_sets_to_the_hosts_second(state: Path) -> None:
    ahead(state, -100)
    document = run_umi("-p", f"sim:{state}?as=service", "clock", "sync", "--json").document
    data = document["data"]
    assert data["set"] is True
    assert abs(data["before"]["difference_s"] + 100) <= 1
    assert data["after"]["difference_s"] == 0
    assert data["after"]["last_sync"] == data["new_time"]
    assert abs(offset_s(state)) < 0.5  # sent as the second began, so no half second is lost


def test_a_clock_is_set_to_a_time(state: Path) -> None:
    outcome = run_umi("-p", at(state), "clock", "set", "2026-11-22T12:04:00+00:00")
    assert outcome.exit == 0
    assert outcome.stdout.splitlines() == [
        "set to  2026-11-22T12:04:00Z",
        "before  none (to 0.5 s)",
        "after   0:04:00 ahead (to 0.5 s)",
    ]
    assert offset_s(state) == 240


@pytest.mark.parametrize(
    ("time", "effect"),
    [
        ("2026-11-22T12:05:02Z", "forward by 0:05:02, and give the load profile a gap"),
        ("2026-11-20T12:00:00Z", "back by 2 days, 0:00:00, and give the load profile half hours"),
    ],
)
def test_a_jump_that_the_profile_shows_needs_a_yes(state: Path, time: str, effect: str) -> None:
    outcome = run_umi("-p", at(state), "clock", "set", time)
    assert outcome.exit == 2
    assert effect in outcome.stderr
    assert offset_s(state) == 0
    assert run_umi("-p", at(state), "clock", "set", time, "--yes").exit == 0
    assert offset_s(state) != 0


def test_a_sync_over_a_jump_needs_a_yes_as_well(state: Path) -> None:
    ahead(state, 86_400)
    refused = run_umi("-p", f"sim:{state}?as=service", "clock", "sync", "--json")
    assert refused.document["error"]["exit"] == 2
    assert offset_s(state) == 86_400
    assert run_umi("-p", f"sim:{state}?as=service", "clock", "sync", "-y").exit == 0
    assert abs(offset_s(state)) < 0.5


def test_other_members_of_the_control_stay(state: Path) -> None:
    part = '{"new_time":"2026-11-22T12:00:00Z","flags":5,"local_adjust":60}'
    assert run_umi("-p", at(state), "write", "clock-control", part).exit == 0
    assert run_umi("-p", at(state), "clock", "set", "2026-11-22T12:01:00Z").exit == 0
    assert control(state)[4:] == bytes([5, 0, 60, 0])


@pytest.mark.parametrize("args", [["sync"], ["set", "2026-11-22T15:00:00Z"]])
def test_a_dry_run_changes_nothing(state: Path, args: list[str]) -> None:
    outcome = run_umi("-p", at(state), "--dry-run", "clock", *args, "--json")
    data = outcome.document["data"]
    assert (data["set"], data["after"]) == (False, None)
    assert data["new_time"] == (args[1:] or [NOON])[0]
    assert control(state) == bytes(8)
    assert offset_s(state) == 0


@pytest.mark.parametrize("role", ["guest", "user", "host"])
def test_a_refusal_says_which_role_may(state: Path, role: str) -> None:
    outcome = run_umi("-p", at(state, role), "clock", "sync")
    assert outcome.exit == 23
    assert "the datasheet lets service,utility-supplier write clock-control" in outcome.stderr
    assert offset_s(state) == 0


def test_a_host_that_was_never_told_the_time_sets_no_clock(state: Path) -> None:
    outcome = run_umi("-p", at(state, time="2001-01-01T00:00:00Z"), "clock", "sync", "-y")
    assert outcome.exit == 2
    assert "this host's clock is not set" in outcome.stderr
    assert control(state) == bytes(8)


@pytest.mark.parametrize(
    "text", ["noon", "2026-11-22T12:00:00", "1999-01-01T00:00:00Z", "2200-01-01T00:00:00Z"]
)
def test_what_is_no_time_of_a_device(text: str) -> None:
    outcome = run_umi("-p", "tcp:127.0.0.1:1", "clock", "set", text)  # nobody is asked
    assert (outcome.exit, outcome.stdout) == (2, "")


def set_on_a_bad_line(
    state: Path, seed: int, capsys: pytest.CaptureFixture[str], *args: str
) -> Outcome:
    state.unlink(missing_ok=True)
    place = at(state, more=f"&fault=drop:0.12&seed={seed}")
    return call_umi(capsys, "-p", place, "clock", *args, "--retries", "0", "--yes", "--json")


@pytest.mark.parametrize(
    ("args", "wanted_s"), [(["set", "2026-11-22T14:00:00Z"], 7200), (["sync"], 0)]
)
def test_a_lost_answer_never_leaves_a_clock_wrong(
    state: Path, args: list[str], wanted_s: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sent once more it would be a wrong time by then: it is read, and set to the time of then.

    The host's time goes on while answers are waited for, and the clock has to go on with it.
    """
    ends: dict[int, int] = {}
    for seed in range(40):
        outcome = set_on_a_bad_line(state, seed, capsys, *args)
        ends[outcome.exit] = ends.get(outcome.exit, 0) + 1
        assert outcome.exit in (0, 14, 15, 17)
        if outcome.exit == 0:
            assert abs(offset_s(state) - wanted_s) <= 2.5
            assert abs(outcome.document["data"]["after"]["difference_s"] - wanted_s) <= 3
        elif outcome.exit != 17:
            assert offset_s(state) in (0, pytest.approx(wanted_s, abs=2.5))
    assert ends[0] > 5


def test_a_datasheet_without_a_clock(tmp_path: Path) -> None:
    sheet = tmp_path / "bare.toml"
    sheet.write_text(
        'schema = "umi-datasheet/1"\nname = "bare"\ntitle = "Bare"\nbanks = ["umi.1.1"]\n'
    )
    outcome = run_umi("-p", "sim", "--datasheet", str(sheet), "clock", "show", "--json")
    assert outcome.document["error"]["exit"] == 31
