"""Runs of fuzz cases: what is found, made small, brought back, sent again, and told."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.certify.fuzz_world import CATALOGUE, FuzzWorld
from tests.certify.test_fuzz_make import GUEST, a_case, message
from umi_cli.application.security_commands import S2GenerateKeypair
from umi_cli.certify.bench import Bench
from umi_cli.certify.fuzz_bases import packet_of
from umi_cli.certify.fuzz_case import Carrier, CaseName, FuzzCase, FuzzLayer
from umi_cli.certify.fuzz_device import FuzzDevice
from umi_cli.certify.fuzz_report import difference, lines_of, record_of
from umi_cli.certify.fuzz_run import Found, FuzzOutcome, FuzzPlan, FuzzRun, Hooks
from umi_cli.certify.fuzz_verdict import Trouble
from umi_cli.errors import InputError, LostError, NoAnswerError, NoSuchPortError

LINK = (FuzzLayer.LINK,)
LETHAL = a_case(b"\x00\x00\xff\x00", carrier=Carrier.FRAMES, layer=FuzzLayer.LINK)
HARMLESS = a_case(b"\x00\x00\x01\x00", carrier=Carrier.FRAMES, layer=FuzzLayer.LINK)


def found_on(defect: str, **plan: Any) -> tuple[Found, FuzzOutcome]:
    world = FuzzWorld(defect, has_power=True)
    sound: dict[str, Any] = {"cases": 600, "stop_after": 1, "seed": 3}
    outcome = world.run(**{**sound, **plan})
    return outcome.failures[0], outcome


@pytest.mark.parametrize("has_keys", [False, True])
def test_a_sound_meter_survives(has_keys: bool) -> None:
    world = FuzzWorld(has_keys=has_keys)
    outcome = world.run(cases=500, layers=tuple(FuzzLayer), changes=True, seed=1)
    assert outcome.failures == []
    assert outcome.cases == 500
    assert outcome.layers == dict.fromkeys(FuzzLayer, 100)
    assert not outcome.stopped


def test_a_crash_for_good_is_found_and_made_as_small_as_a_header() -> None:
    """With the power in our hands; the length byte is what matters."""
    found, outcome = found_on("crash-on-length", layers=LINK)
    assert found.trouble is Trouble.SILENT
    assert found.failed_again == 2
    assert found.came_back.startswith("when its power was switched")
    assert len(found.case.pieces) == 1
    assert found.case.pieces[0][:2] == b"\0\0"
    assert found.case.pieces[0][2] > 249
    assert found.case.sent_bytes <= 4
    assert found.first.sent_bytes > found.case.sent_bytes
    assert outcome.stopped == "1 failures are enough"


def test_a_hang_is_found_and_how_it_ended_is_told() -> None:
    found, _ = found_on("hang-on-fragment", layers=LINK)
    assert found.trouble is Trouble.SILENT
    assert found.came_back.startswith("by itself, after 6")
    assert found.case.sent_bytes <= 12


def test_a_restart_is_found_and_made_small() -> None:
    """The record's length byte is what matters: the whole packet becomes zeros but for that."""
    found, _ = found_on("restart-on-record", layers=(FuzzLayer.PACKET,), stop_after=1)
    assert found.trouble.is_down
    (piece,) = found.case.pieces
    assert len(piece) <= 36
    assert sum(map(bool, piece)) <= 3


def test_what_is_found_can_be_sent_again_by_name_and_by_bytes() -> None:
    found, _ = found_on("crash-on-length", layers=LINK)
    name = CaseName.parse(found.first.name)
    by_name: dict[str, Any] = {"names": (name,)}
    for again in (by_name, {"corpus": (found.case,)}):
        outcome = FuzzWorld("crash-on-length", has_power=True).run(cases=0, **again)
        assert [each.trouble for each in outcome.failures] == [Trouble.SILENT]
        assert FuzzWorld().run(cases=0, **again).failures == []


def test_without_a_way_to_bring_it_back_the_run_ends() -> None:
    world = FuzzWorld("crash-on-length")
    told: list[Found] = []
    outcome = world.run(
        Hooks(failed=told.append), cases=10, corpus=(HARMLESS, LETHAL, HARMLESS), layers=LINK
    )
    assert outcome.cases == 2
    assert outcome.stopped == f"the device did not come back after {LETHAL.name}"
    assert outcome.failures == told
    assert told[0].is_gone
    assert told[0].failed_again == 0
    assert "did not come back within 9" in told[0].came_back


def test_later_failures_with_the_same_words_are_counted() -> None:
    world = FuzzWorld("crash-on-length", has_power=True)
    outcome = world.run(cases=0, corpus=(LETHAL, HARMLESS, LETHAL, LETHAL), minimises=False)
    assert [found.repeats for found in outcome.failures] == [2]
    assert outcome.failed_cases == 3
    assert outcome.cases == 4


def test_a_case_is_named_before_anything_of_it_is_sent() -> None:
    """So that a crash, of the device or of ours, has a name."""
    sent: list[str] = []

    class Crash(Exception):
        pass

    def before(case: FuzzCase) -> None:
        sent.append(case.name)
        if len(sent) == 3:
            raise Crash

    world = FuzzWorld()
    with FuzzDevice(world.open_bench) as device:
        run = FuzzRun(device, FuzzPlan(cases=5), world.clock.monotonic, Hooks(before=before))
        with pytest.raises(Crash):
            run.run()
    assert run.outcome.under_way == sent[-1]
    assert run.outcome.cases == 2


def test_a_restart_that_nobody_noticed_is_blamed_on_its_case() -> None:
    """Its log tells it a hundred cases later; each of them is sent again until one does it."""

    class Quiet(FuzzWorld):
        """A meter that logs a restart at a frame of five zeros, and goes on."""

        def __init__(self) -> None:
            super().__init__()
            link_in = self.simulation.meter.settings.defect

            def bytes_in(link: object, data: bytes) -> bytes:
                if data == bytes(5):
                    self.simulation.meter.metering.restart()
                return data

            link_in.bytes_in = bytes_in  # type: ignore[method-assign]

    culprit = a_case(bytes(5), carrier=Carrier.FRAMES, number=77)
    corpus = (*[HARMLESS] * 5, culprit, *[HARMLESS] * 5)
    outcome = Quiet().run(cases=0, corpus=corpus, minimises=False)
    assert [(each.first, each.trouble) for each in outcome.failures] == [
        (culprit, Trouble.RESTARTED)
    ]


def test_a_case_that_would_change_the_device_is_not_sent() -> None:
    """A file may have been written by anybody."""
    harmful = a_case(packet_of(GUEST, message(S2GenerateKeypair())))
    with pytest.raises(InputError, match="would change the device"):
        FuzzWorld().run(cases=0, corpus=(harmful,))


def test_time_can_be_the_limit() -> None:
    outcome = FuzzWorld().run(for_s=30.0)
    assert 10 < outcome.cases < 1000
    assert outcome.duration_s >= 30
    assert outcome.rate == outcome.cases / outcome.duration_s


def test_a_mute_device_is_not_fuzzed() -> None:
    world = FuzzWorld("crash-on-length")

    @contextmanager
    def dead() -> Iterator[Bench]:
        with world.open_bench() as bench:
            bench.send(b"\x00\x00\xff")
            yield bench

    with FuzzDevice(dead) as device, pytest.raises(NoAnswerError, match="cannot be fuzzed"):
        FuzzRun(device, FuzzPlan(), world.clock.monotonic, Hooks())


def test_a_port_that_is_gone_is_opened_again() -> None:
    """As of a device that hangs up when it crashes, and calls in again some time later."""
    world = FuzzWorld()
    lost = 0

    @contextmanager
    def shaky() -> Iterator[Bench]:
        nonlocal lost
        if lost and lost < 4:
            lost += 1
            raise NoSuchPortError("nobody is there")
        with world.open_bench() as bench:
            send = bench.meter.transport.send

            def hang_up(data: bytes) -> None:
                nonlocal lost
                if data == LETHAL.pieces[0] or 0 < lost < 4:
                    lost = lost or 1
                    raise LostError("it has hung up")
                send(data)

            bench.meter.transport.send = hang_up  # type: ignore[method-assign]
            yield bench

    with FuzzDevice(shaky) as device:
        plan = FuzzPlan(cases=0, corpus=(LETHAL, HARMLESS), minimises=False)
        outcome = FuzzRun(device, plan, world.clock.monotonic, Hooks()).run()
    assert outcome.cases == 2
    assert [each.trouble for each in outcome.failures] == [Trouble.HUNG_UP]
    assert outcome.failures[0].came_back.startswith("by itself")
    assert world.opened > 1


def test_a_failure_is_told_in_words() -> None:
    found, _ = found_on("crash-on-length", layers=LINK)
    record = record_of(found, CATALOGUE)
    assert FuzzCase.of(record) == found.case
    lines = lines_of({**record, "file": "cases/fail.json"})
    assert lines[0] == (
        f"FAILED {found.first.name} (silent): it no longer answers: 3 times RESYNC, and nothing"
        " came within 1 s"
    )
    text = "\n".join(lines)
    assert f"sent      {found.case.pieces[0].hex()} (" in text
    assert "it came back: when its power was switched" in text
    assert "smaller cases were tried" in text
    assert lines[-1] == "  kept in   cases/fail.json"
    assert record["frames"][0]["direction"] == "out"


def test_the_difference_from_the_valid_exchange_is_told_in_words() -> None:
    case = replace(HARMLESS, pieces=(b"\x01\x02\x03",), valid=(b"\x01\xff\x03",))
    assert difference(case) == "byte 1: 02 for ff"
    assert difference(replace(case, pieces=(b"\x01",))) == "1 byte in place of 3"
    assert difference(replace(case, pieces=(b"\x01", b"\x02"))) == "2 pieces in place of 1"
    assert difference(replace(case, pieces=case.valid)) == "in nothing"
    many = replace(case, pieces=(bytes(9),), valid=(b"\xff" * 9,))
    assert difference(many).endswith("byte 5: 00 for ff and 3 more")
    two = replace(case, pieces=(b"a", b"b"), valid=(b"a", b"c"))
    assert difference(two) == "piece 2, byte 0: 62 for 63"
