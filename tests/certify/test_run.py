"""How tests are run: what counts as passed, failed and left out; cleaning up; a lost device."""

from collections.abc import Callable

import pytest

from tests.certify.world import ALLOWED, World
from umi_cli.application.commands import NoOperation
from umi_cli.certify.bench import Bench
from umi_cli.certify.case import Case, Failure, Level, Need, NotApplicable
from umi_cli.certify.run import MAX_LOST, Result, Verdict, missing, run_cases
from umi_cli.errors import LostError, MalformedError


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.made(tmp_path_factory.mktemp("world"))


def case_of(run: Callable[[Bench], None], number: str = "LNK-900", *needs: Need) -> Case:
    return Case(
        number=number,
        title="a test of tests",
        level=Level.LINK,
        clause="2.3",
        mark="C",
        sends="something",
        expects="something else",
        advice="Mend it.",
        needs=frozenset(needs),
        run=run,
    )


def run_one(world: World, case: Case, **done: Result) -> Result:
    with world.bench("sim") as bench:
        found: list[Result] = []
        results = run_cases(
            bench, [case], allowed=bench.has | ALLOWED, done=done, on_result=found.append
        )
    assert results == found
    [result] = results
    return result


def exchange(bench: Bench) -> None:
    bench.exchange(bench.frame(bench.packet(NoOperation())))


def raising(error: Exception) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        exchange(bench)
        raise error

    return run


def test_what_ends_well_has_passed(world: World) -> None:
    result = run_one(world, case_of(exchange))
    assert (result.verdict, result.message, result.pieces) == (Verdict.PASSED, "", ())


def test_what_a_passed_test_measured_is_told(world: World) -> None:
    result = run_one(world, case_of(lambda bench: bench.notes.append("took 3 ms")))
    assert (result.verdict, result.message) == (Verdict.PASSED, "took 3 ms")


@pytest.mark.parametrize(
    ("error", "verdict", "message"),
    [
        (Failure("it said no"), Verdict.FAILED, "it said no"),
        (NotApplicable("it has none"), Verdict.LEFT_OUT, "it has none"),
        (MalformedError("odd"), Verdict.FAILED, "the device could not be worked with: odd"),
    ],
)
def test_what_ends_otherwise(
    world: World, error: Exception, verdict: Verdict, message: str
) -> None:
    result = run_one(world, case_of(raising(error)))
    assert (result.verdict, result.message) == (verdict, message)
    assert bool(result.pieces) == (verdict is Verdict.FAILED)


def test_the_pieces_of_a_failure_are_those_of_the_test(world: World) -> None:
    result = run_one(world, case_of(raising(Failure("no"))))
    assert [each.direction for each in result.pieces] == ["out", "in", "out", "in"]
    assert result.pieces[0].data[1] & 0xF == 4, "the RESYNC before the test"


def test_what_is_needed_and_not_there_is_said(world: World) -> None:
    case = case_of(exchange, "LNK-900", Need.SPI, Need.CHANGES)
    result = run_one(world, case)
    assert result.verdict is Verdict.LEFT_OUT
    assert result.message == "needs spi (-p spi:BUS.DEVICE)"
    assert missing(case, frozenset()).startswith("needs changes (--allow-changes), spi")


def test_what_was_done_is_taken_over(world: World) -> None:
    kept = Result(number="LNK-900", verdict=Verdict.FAILED, message="yesterday")
    case = case_of(raising(Failure("today")))
    assert run_one(world, case, **{"LNK-900": kept}) == kept


def test_cleaning_up_comes_last_and_always(world: World) -> None:
    order: list[str] = []

    def run(bench: Bench) -> None:
        bench.at_end(lambda: order.append("first"))
        bench.at_end(lambda: order.append("second"))
        order.append("test")
        raise Failure("no")

    assert run_one(world, case_of(run)).verdict is Verdict.FAILED
    assert order == ["test", "second", "first"]


def test_chance_is_the_tests_own(world: World) -> None:
    drawn: list[int] = []
    cases = [
        case_of(lambda bench: drawn.append(bench.random.getrandbits(64)), number)
        for number in ("LNK-900", "LNK-901")
    ]
    for order in (cases, cases[::-1]):
        with world.bench("sim") as bench:
            run_cases(bench, order, allowed=ALLOWED, done={}, on_result=lambda _: None)
    assert drawn[:2] == drawn[:1:-1]
    assert len(set(drawn)) == 2


def test_each_test_is_announced(world: World) -> None:
    begun: list[str] = []
    with world.bench("sim") as bench:
        run_cases(
            bench,
            [case_of(exchange)],
            allowed=ALLOWED,
            done={},
            on_result=lambda _: None,
            on_begin=lambda case: begun.append(case.number),
        )
    assert begun == ["LNK-900"]


def test_a_device_that_is_gone_ends_the_run(world: World) -> None:
    found: list[Result] = []
    with world.bench("sim", "no-idle-gap") as bench:
        numbers = [f"LNK-{number}" for number in range(900, 930)]
        cases = [case_of(half_a_frame, number) for number in numbers]
        said = "the device is gone: LNK-910 and 9 before it found nobody; the last that ran was"
        with pytest.raises(LostError, match=f"{said} LNK-900"):
            run_cases(bench, cases, allowed=ALLOWED, done={}, on_result=found.append)
    assert found[0].verdict is Verdict.FAILED
    assert found[0].message == f"after the test, {SILENT}"
    assert [each.direction for each in found[0].pieces[-2:]] == ["out", "out"], "RESYNC, in vain"
    assert {each.verdict for each in found[1:]} == {Verdict.LEFT_OUT}
    assert {each.message for each in found[1:]} == {
        "the device did not answer before the test; the last that ran was LNK-900"
    }
    assert all(each.found_nobody for each in found[1:])
    assert len(found) == 1 + MAX_LOST


SILENT = "the device did not answer a RESYNC: no answer within 1 s"


def test_tests_that_are_not_run_bring_no_device_back(world: World) -> None:
    found: list[Result] = []
    with world.bench("sim", "no-idle-gap") as bench:
        cases = [
            case_of(half_a_frame, f"LNK-{number}", *([Need.SPI] if number % 2 else []))
            for number in range(900, 930)
        ]
        with pytest.raises(LostError):
            run_cases(bench, cases, allowed=ALLOWED, done={}, on_result=found.append)
    assert sum(each.found_nobody for each in found) == MAX_LOST


def test_a_test_that_fails_and_costs_the_device_says_both(world: World) -> None:
    def run(bench: Bench) -> None:
        half_a_frame(bench)
        raise Failure("it said no")

    found: list[Result] = []
    with world.bench("sim", "no-idle-gap") as bench:
        run_cases(bench, [case_of(run)], allowed=ALLOWED, done={}, on_result=found.append)
    assert found[0].message == f"it said no; after it, {SILENT}"


def test_a_device_that_goes_between_two_tests_fails_the_next(world: World) -> None:
    """Nobody else would say that it went."""
    found: list[Result] = []
    with world.bench("sim") as bench:

        def begin(case: Case) -> None:
            if case.number == "LNK-901":
                bench.meter.transport.close()

        cases = [case_of(exchange, f"LNK-{number}") for number in (900, 901, 902)]
        run_cases(bench, cases, allowed=ALLOWED, done={}, on_result=found.append, on_begin=begin)
    assert [each.verdict for each in found] == [Verdict.PASSED, Verdict.FAILED, Verdict.LEFT_OUT]
    assert found[1].message.startswith("before the test, the device did not answer a RESYNC: ")
    assert found[2].message.endswith("the last that ran was LNK-900")


def half_a_frame(bench: Bench) -> None:
    bench.send(bench.frame(bytes(200)).encode()[:20])


def test_an_optical_port_is_kept_open_and_signed_on_to_again(world: World) -> None:
    """It closes after a minute in which nobody speaks."""
    cases = [
        case_of(lambda bench: bench.outlast(100), "LNK-900"),
        case_of(exchange, "LNK-901"),
        case_of(lambda bench: bench.wait(100), "LNK-902"),
        case_of(exchange, "LNK-903"),
    ]
    with world.bench("opto") as bench:
        results = run_cases(bench, cases, allowed=ALLOWED, done={}, on_result=lambda _: None)
    assert [each.verdict for each in results] == [Verdict.PASSED] * 4
