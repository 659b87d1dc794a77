"""Which tests are run, in which order, and what came of each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from umi_cli.certify.bench import Bench
from umi_cli.certify.case import CASES, Case, Failure, Level, Need, NotApplicable
from umi_cli.certify.evidence import Piece
from umi_cli.errors import LostError, UmiError

MAX_LOST = 10  # tests in a row that find nobody there: the run ends

_GONE = "before the test, the device did not answer a RESYNC: "
STILL_GONE = "the device did not answer before the test; the last that ran was "
_GOES = "the device did not answer a RESYNC: "


class Verdict(StrEnum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    LEFT_OUT = "left-out"
    """It was not run: it needs what there is not, or says nothing about this device."""

    @property
    def words(self) -> str:
        """Return it for people, `left out`."""
        return self.value.replace("-", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a test."""

    number: str
    verdict: Verdict
    message: str = ""
    """What the device did instead, why the test was left out, or what it measured."""
    duration_s: float = 0.0
    pieces: tuple[Piece, ...] = field(default=(), repr=False)
    """What crossed the line, where the test failed."""
    pieces_left_out: int = 0
    """How many came before the first of them."""

    @property
    def found_nobody(self) -> bool:
        """Tell whether the device was gone before the test began, which says nothing about it."""
        return self.message.startswith((_GONE, STILL_GONE))


@dataclass(slots=True)
class _Watch:
    """Whether the device is there, and after which test it went."""

    last: str = "none"
    """The number of the last test that ran."""
    is_gone: bool = False
    """It has not answered since, and a test has been failed for that."""
    nobody: int = 0
    """How many tests have found nobody since."""


def chosen(levels: Iterable[Level], patterns: Iterable[str] = ()) -> list[Case]:
    """Return the tests of some levels in the order of levels and numbers.

    Args:
        levels: whose tests.
        patterns: numbers, or globs of them such as `LNK-01*`; all if there are none.
    """
    from fnmatch import fnmatchcase

    wanted, globs, order = set(levels), [each.upper() for each in patterns], list(Level)
    cases = [each for each in CASES.values() if each.level in wanted]
    if globs:
        cases = [each for each in cases if any(fnmatchcase(each.number, glob) for glob in globs)]
    return sorted(cases, key=lambda each: (order.index(each.level), each.number))


def run_cases(
    bench: Bench,
    cases: Sequence[Case],
    *,
    allowed: frozenset[Need],
    done: Mapping[str, Result],
    on_result: Callable[[Result], None],
    on_begin: Callable[[Case], None] = lambda case: None,
) -> list[Result]:
    """Run tests one after the other; return what came of each, in their order.

    Args:
        bench: the device.
        cases: what to run.
        allowed: what the user has given and allows.
        done: results of an interrupted run, which are taken over.
        on_result: told each result as soon as it is there, those taken over included.
        on_begin: told each test that is run, before anything is sent.

    Raises:
        LostError: the device is gone, and several tests in a row found nobody.
    """
    results: list[Result] = []
    watch = _Watch()
    for case in cases:
        result = done.get(case.number)
        if result is None:
            on_begin(case)
            result = _run_case(bench, case, allowed, watch)
        results.append(result)
        on_result(result)
        if watch.nobody >= MAX_LOST:
            raise LostError(
                f"the device is gone: {result.number} and {watch.nobody - 1} before it found"
                f" nobody; the last that ran was {watch.last}",
                hint="bring it back, and go on with --resume",
            )
    return results


def missing(case: Case, allowed: frozenset[Need]) -> str:
    """Return what a test needs that there is not, with the options that give it, or nothing."""
    needs = [need for need in Need if need in case.needs and need not in allowed]
    return f"needs {', '.join(f'{need} ({need.option})' for need in needs)}" if needs else ""


def _run_case(bench: Bench, case: Case, allowed: frozenset[Need], watch: _Watch) -> Result:
    if reason := missing(case, allowed):
        return Result(number=case.number, verdict=Verdict.LEFT_OUT, message=reason)
    begun_s = bench.now_s
    if (gone := _begin(bench, case, watch)) is not None:
        return _result(bench, case, *gone, begun_s)
    result = _result(bench, case, *_judge(bench, case), begun_s)
    if not (silence := _silence(bench)):
        return result
    # Who comes next would be blamed, and is not to blame.
    watch.is_gone = True
    own = (
        f"{result.message}; after it, " if result.verdict is Verdict.FAILED else "after the test, "
    )
    return _result(bench, case, Verdict.FAILED, f"{own}{_GOES}{silence}", begun_s)


def _result(bench: Bench, case: Case, verdict: Verdict, message: str, begun_s: float) -> Result:
    is_failed = verdict is Verdict.FAILED
    return Result(
        number=case.number,
        verdict=verdict,
        message=message,
        duration_s=bench.now_s - begun_s,
        pieces=bench.recorder.pieces if is_failed else (),
        pieces_left_out=bench.recorder.left_out if is_failed else 0,
    )


def _begin(bench: Bench, case: Case, watch: _Watch) -> tuple[Verdict, str] | None:
    """Begin a test; return what comes of it where nobody is there.

    The first test that finds nobody, though the device answered after the one before, has failed:
    somebody has to say so. What follows says nothing about the device.
    """
    try:
        bench.begin(case.number)
    except (Failure, UmiError) as error:
        watch.nobody += 1
        if watch.is_gone:
            return Verdict.LEFT_OUT, f"{STILL_GONE}{watch.last}"
        watch.is_gone = True
        return Verdict.FAILED, f"{_GONE}{error}"
    watch.last, watch.is_gone, watch.nobody = case.number, False, 0
    return None


def _silence(bench: Bench) -> str:
    """Return why the device is not there after a test, or nothing if it is."""
    try:
        bench.meet()
    except (Failure, UmiError) as error:
        return str(error)
    return ""


def _judge(bench: Bench, case: Case) -> tuple[Verdict, str]:
    """Run a test; a device that cannot be worked with has failed it."""
    try:
        try:
            case.run(bench)
        finally:
            bench.end()
    except NotApplicable as reason:
        return Verdict.LEFT_OUT, str(reason)
    except Failure as failure:
        return Verdict.FAILED, str(failure)
    except UmiError as error:
        return Verdict.FAILED, f"the device could not be worked with: {error}"
    return Verdict.PASSED, "; ".join(bench.notes)
