"""Sound devices of other kinds pass as well: short responses, deferred ones, blank, one scheme."""

from pathlib import Path

import pytest

from tests.certify.world import World
from tests.cli.conftest import call_umi
from tests.cli.desk import ROOT, Desk
from umi_cli.certify import certificate_cases
from umi_cli.certify.case import Level
from umi_cli.certify.run import Result, Verdict
from umi_cli.certify.suite import CASES, chosen

Capsys = pytest.CaptureFixture[str]
PROFILE = "umi.1.1.194.23"
DEFERRAL = ("APP-040", "APP-041", "APP-042", "APP-043")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.made(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep runs away from those of the user."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def failures(results: list[Result]) -> list[str]:
    return [f"{each.number} {each.message}" for each in results if each.verdict is Verdict.FAILED]


def left_out(results: list[Result]) -> list[str]:
    return [each.number for each in results if each.verdict is Verdict.LEFT_OUT]


def certified(capsys: Capsys, address: str, *words: str) -> dict[str, str]:
    """Certify a sound device; return by number why tests were left out."""
    report = call_umi(capsys, "-p", address, *words, "--json").document["data"]
    assert [each for each in report["tests"] if each["verdict"] == "failed"] == []
    assert report["passed"] is True
    return {
        each["number"]: each["message"]
        for each in report["tests"]
        if each["verdict"] == "left-out" and not each["message"].startswith("needs ")
    }


@pytest.mark.parametrize("longest", ["1000", "400"])
def test_a_device_with_short_responses(world: World, longest: str) -> None:
    cases = chosen([Level.LINK, Level.APPLICATION, Level.OBJECTS])
    results = world.results("sim", cases, **{"max-packet": longest})
    assert failures(results) == []
    assert left_out(results) == []


@pytest.mark.parametrize(("longest", "is_long"), [("300", True), ("200", False)])
def test_a_device_with_shorter_ones(capsys: Capsys, longest: str, *, is_long: bool) -> None:
    out = certified(capsys, f"sim:?max-packet={longest}", "certify")
    assert ("LNK-060" in out) is not is_long
    assert not any(each.startswith("OBJ") for each in out)


@pytest.mark.parametrize("code", ["umi.0.0.0.0", "umi.1.1.0.0", PROFILE])
def test_a_device_that_defers(world: World, code: str) -> None:
    results = world.results("sim", chosen(Level), defer=f"{code}:500")
    assert failures(results) == []
    assert not set(left_out(results)) & {*DEFERRAL, "LNK-060", "TIM-002"}


def test_one_that_defers_nothing_is_told_so(world: World) -> None:
    [result] = world.results("sim", [CASES["APP-040"]], defer=f"{PROFILE}:0")
    assert result.message == "the device answers READ_OBJECT of every object at once"


def test_one_whose_work_is_done_before_another_command_can_come(world: World) -> None:
    """A frame takes longer on this line than the work: that it is answered then is no fault."""
    [result] = world.results("opto", [CASES["APP-043"]], defer="umi.1.1.0.2:5")
    assert result.verdict is Verdict.LEFT_OUT
    assert result.message == "its time was over before another command could come, each time"


def test_the_factory_writes_what_is_blank(capsys: Capsys, tmp_path: Path) -> None:
    address = f"sim:{tmp_path}/blank.json?blank=yes"
    out = certified(capsys, address, "certify")
    assert out["OBJ-015"].startswith("the device is blank")


@pytest.mark.parametrize("seconds", range(45, 60))
def test_a_log_that_grows_meanwhile(world: World, seconds: int) -> None:
    cases = [CASES[f"OBJ-{each:03}"] for each in (7, 9, 35)]
    for case in cases:
        moment = f"2026-03-30T07:29:{seconds}Z"
        assert failures(world.results("opto", [case], time=moment)) == []


def test_long_values_are_shortened_in_a_message(world: World) -> None:
    [result] = world.results("sim", [CASES["OBJ-006"]], "range-exclusive")
    assert " instead of " in result.message
    assert len(result.message) < 200


NO_SCHEME_2 = "the device has no certificate, so no scheme 2"
STRANGE_AUTHORITY = "the device does not know this authority (--ca-cert)"


def test_a_device_without_scheme_2(capsys: Capsys, world: World) -> None:
    address = f"sim:?role-keys=service:{world.path}/service.key"
    out = certified(capsys, address, *world.words[:6], "certify", *world.words[6:8])
    assert list(out.values()).count(NO_SCHEME_2) > 30
    assert not any(each in out for each in ("SEC-081", "SEC-090"))


def test_who_needs_a_session_with_such_a_device_is_refused_one(
    capsys: Capsys, world: World
) -> None:
    """`umi fuzz` goes on: what is left out here is no error there."""
    words = (*world.words[:6], "fuzz", "--layer", "packet", "--cases", "20", "--json")
    outcome = call_umi(capsys, "-p", "sim", *words)
    assert outcome.exit in (0, 53)


def test_an_authority_that_a_device_does_not_know(capsys: Capsys, world: World) -> None:
    words = ("--yes", "certify", "--destructive", *world.words[8:])
    out = certified(capsys, "sim", *words)
    assert {each for each, why in out.items() if why == STRANGE_AUTHORITY} == {
        *(f"SEC-{number:03}" for number in range(62, 69))
    }
    assert out["SEC-071"] == "the device has no certificate yet: a guest is the factory"


@pytest.mark.parametrize("subject", [ROOT, "00237EFE000000B0"])
def test_another_authority_than_the_one_it_knows(
    capsys: Capsys, world: World, subject: str
) -> None:
    desk, name = Desk(world.path), f"other-{subject}"
    desk.do(f"key new {name}.pem")
    desk.do(f"cert new {name}.cvc --key {name}.pem --subject {subject}")
    authority = ("--ca-key", desk.file(f"{name}.pem"), "--ca-cert", desk.file(f"{name}.cvc"))
    words = ("--yes", *world.words[:6], "certify", "--destructive", *authority)
    out = certified(capsys, world.address("sim"), *words)
    numbers = {each for each, why in out.items() if why == STRANGE_AUTHORITY}
    assert {f"SEC-{number:03}" for number in range(62, 70)} < numbers


def test_a_device_that_shows_no_roots_knows_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds that a signature is not the authority's, and so has the key of it."""
    monkeypatch.setattr(certificate_cases, "_shown_key", lambda bench, subject: None)
    numbers = ("SEC-062", "SEC-065", "SEC-068")
    results = world.results("sim", [CASES[each] for each in numbers])
    assert [each.verdict for each in results] == [Verdict.PASSED] * 3
