"""The toolkit as a reader of a meter that spoils its answers; and readers that believe too much."""

import itertools

import pytest

from tests.certify.bad_protections import MacUnchecked
from umi_cli import reader_fuzz
from umi_cli.device.meter import Meter
from umi_cli.objects.catalogue import Catalogue
from umi_cli.reader_fuzz import Endless, ReaderCase, ReaderFuzz, ReaderOutcome
from umi_cli.virtual.fuzzing import Spoiling

CATALOGUE = Catalogue.load("ei4")


def run(cases: int, seed: int = 0) -> ReaderOutcome:
    ticks = itertools.count()
    return ReaderFuzz(seed, lambda: float(next(ticks))).run(0, cases)


def test_whatever_comes_back_the_reader_ends_and_believes_nothing_wrong() -> None:
    outcome = run(250)
    assert outcome.violations == []
    assert outcome.cases == 250
    assert outcome.ended["done"] > 100
    assert outcome.ended.total() == 250
    assert outcome.spoilt.total() > 500
    assert outcome.rate > 0


def test_every_operation_under_every_scheme_is_among_the_cases() -> None:
    cases = [ReaderCase(0, number, CATALOGUE) for number in range(400)]
    kinds = {(case.operation, case.scheme, case.spoiling) for case in cases}
    assert len(kinds) == 7 * 3 * 2
    assert {case.title for case in cases} >= {"scheme 2, forgery: upload"}


def test_on_a_sound_line_everything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what a guest may not."""
    monkeypatch.setattr(reader_fuzz, "RATES", (0.0,))
    for number in range(60):
        case = ReaderCase(0, number, CATALOGUE)
        ended, faults = case.run()
        is_denied = case.scheme == 0 and case.operation in ("access", "upload")
        assert (ended, faults) == ("access-denied" if is_denied else "done", [])


def test_the_same_number_makes_the_same_case() -> None:
    first, second = (ReaderCase(5, 17, CATALOGUE) for _ in range(2))
    assert first.title == second.title
    assert first.meter._chance.random() == second.meter._chance.random()  # all else follows


def violations(protection: str, bad: type, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(reader_fuzz, protection, bad)
    return {each.title for each in run(300).violations}


def test_a_reader_that_checks_no_mac_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = violations("Scheme1", MacUnchecked, monkeypatch)
    assert found
    assert all(title.startswith("scheme 1, forgery") for title in found)


def test_a_reader_that_raises_anything_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(meter: Meter) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr(Meter, "ping", fail)
    found = run(40).violations
    assert {each.message for each in found} == {"KeyError was raised: 'a fault'"}
    assert all("authenticate" in each.title for each in found)


def test_a_reader_that_does_not_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask_for_ever(meter: Meter) -> None:
        while True:
            meter.read("counter")

    monkeypatch.setattr(Meter, "ping", ask_for_ever)
    monkeypatch.setattr(reader_fuzz, "MAX_FRAMES", 300)
    outcome = run(40)
    assert outcome.ended["endless"] >= 1
    assert {each.message for each in outcome.violations} <= {
        "more than 300 frames were sent",
        "it took more than 1500 s",
    }


def test_a_reader_that_waits_for_ever_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def dawdle(meter: Meter) -> None:
        meter.transport.clock.sleep(10_000)
        meter.read("counter")

    monkeypatch.setattr(Meter, "ping", dawdle)
    assert {each.message for each in run(40).violations} == {"it took more than 1500 s"}


def test_a_write_that_is_not_done_and_reported_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def pretend(meter: Meter, part: str, value: object) -> None:
        """Write nothing."""

    monkeypatch.setattr(Meter, "write", pretend)
    found = run(60).violations
    assert any("a write was reported done" in each.message for each in found)


def test_no_handler_of_the_code_that_is_tried_stops_what_ends_it() -> None:
    assert not issubclass(Endless, Exception)


def test_time_can_be_the_limit() -> None:
    ticks = itertools.count()
    seen: list[int] = []
    fuzz = ReaderFuzz(1, lambda: float(next(ticks)), before=seen.append)
    outcome = fuzz.run(7, None, for_s=3.0)
    assert outcome.cases == len(seen) == 3
    assert seen[0] == 7
    assert outcome.under_way == seen[-1]


def test_forgery_is_no_matter_of_scheme_0() -> None:
    cases = [ReaderCase(0, number, CATALOGUE) for number in range(100)]
    assert {case.is_protected for case in cases if case.scheme} == {True}
    guests = {(case.spoiling, case.is_protected) for case in cases if not case.scheme}
    assert guests == {(Spoiling.LINE, True), (Spoiling.FORGERY, False)}
