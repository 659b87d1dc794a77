"""What a device holds before the tests of `umi certify` and after them: which differences count."""

import pytest

from tests.certify.world import World
from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import GetObjectAccess
from umi_cli.certify.run import run_cases
from umi_cli.certify.suite import CASES
from umi_cli.cli.certify_state import compare_state, read_before
from umi_cli.device.protection1 import Scheme1
from umi_cli.device.session import Session
from umi_cli.types import Role, RoleSet, UmiCode


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.made(tmp_path_factory.mktemp("world"))


def test_a_device_that_was_left_alone(world: World) -> None:
    with world.bench("sim") as bench:
        state = compare_state(bench, read_before(bench), is_explained=False)
    assert (state.changes, state.failure, state.role) == ((), "", "service")
    assert state.objects == 19
    assert state.is_as_before


def test_what_has_changed_is_told(world: World) -> None:
    with world.bench("sim") as bench:
        before = read_before(bench)
        with bench.secured() as meter:
            meter.write("counter", 7)
        state = compare_state(bench, before, is_explained=False)
        explained = compare_state(bench, before, is_explained=True)
    [change] = state.changes
    assert (change.kind, change.object, change.old, change.new) == ("changed", "counter", "0", "7")
    assert not state.is_as_before
    assert explained.changes == state.changes
    assert explained.is_as_before


def test_an_access_set_that_has_changed_is_told(world: World) -> None:
    with world.bench("sim") as bench:
        before = read_before(bench)
        with bench.secured() as meter:
            code = meter.access("counter").code
        altered = {**before}
        altered["objects"] = [
            each
            if each["part"] != str(code)
            else {**each, "access": {**each["access"], "read": {"number": 1, "names": []}}}
            for each in before["objects"]
        ]
        state = compare_state(bench, altered, is_explained=False)
    [change] = state.changes
    assert (change.object, change.aspect) == ("counter", "read access")
    assert change.old == str(RoleSet.of(Role.GUEST))


def test_a_log_may_grow_and_a_clock_may_go_on(world: World) -> None:
    with world.bench("sim") as bench:
        before = read_before(bench)
        bench.wait(7200)
        state = compare_state(bench, before, is_explained=False)
    assert state.changes == ()
    assert state.volatile > 4


def test_a_log_that_was_erased_is_told(world: World) -> None:
    with world.bench("sim") as bench:
        before = read_before(bench)
        log = next(each for each in before["objects"] if each["name"] == "profile-table")
        log["value"] = [log["value"][0]] * 3 + log["value"]
        state = compare_state(bench, before, is_explained=False)
    assert [(each.kind, each.object) for each in state.changes] == [("removed", "profile-table")]


def test_a_device_that_cannot_be_read_afterwards(world: World) -> None:
    with world.bench("sim") as bench:
        before = read_before(bench)
        bench.meter.transport.close()
        state = compare_state(bench, before, is_explained=False)
    assert state.failure.startswith("after the tests it cannot be read as service, as before: ")
    assert not state.is_as_before


def test_a_device_that_could_not_be_read_before(world: World) -> None:
    with world.bench("sim") as bench:
        state = compare_state(bench, None, is_explained=False)
    assert state.failure == "before the tests it could not be read"


def test_without_a_session_it_is_read_as_guest(world: World) -> None:
    with world.bench("sim", "session-key-other") as bench:
        before = read_before(bench)
    assert before["standing"]["role"] == "guest"
    assert before["standing"]["authenticated"] is False


def test_a_role_that_a_test_has_proved_is_given_up(world: World) -> None:
    """Read as a guest before, and in that role afterwards, half of the objects would be new."""
    with world.bench("sim", "session-key-other") as bench:
        before = read_before(bench)
        run_cases(bench, [CASES["SEC-081"]], allowed=bench.has, done={}, on_result=lambda _: None)
        bench.begin("")
        bench.refused(GetObjectAccess(code=UmiCode(0)), ResultCode.ACCESS_DENIED)
        state = compare_state(bench, before, is_explained=False)
    assert (state.changes, state.failure, state.role) == ((), "", "guest")


def test_a_role_that_somebody_has_left_is_given_up(world: World) -> None:
    with world.bench("sim", "session-key-other") as bench:
        before = read_before(bench)
        Session(
            bench.meter.transport,
            own_id=bench.meter.session.own_id,
            protection=Scheme1(bench.role_key()),
            driver=bench.meter.session.driver,
        ).begin()
        bench.forget_link()
        state = compare_state(bench, before, is_explained=False)
    assert (state.changes, state.failure, state.role) == ((), "", "guest")
