"""What is told of a run: the one record that every form of report is made from."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from umi_cli.certify.case import CASES, Case, Level, Need
from umi_cli.certify.run import Result, Verdict
from umi_cli.certify.words import FrameRecord, in_words
from umi_cli.objects.catalogue import Catalogue

if TYPE_CHECKING:
    from umi_cli.certify.reader_case import ReaderCase

SCHEMA = "umi-certify/1"
MARKS = {
    "F": "[F]: seen in the field, as in captured frames; take it as law.",
    "C": "[C]: a choice of this project, because the licensed specification is not public;"
    " a device that was built to that specification may fail such a test and be sound.",
}
"""What the marks of the tests mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRecord:
    """A test, and what came of it."""

    number: str
    title: str
    level: Level
    clause: str
    mark: str
    verdict: Verdict
    message: str
    """What the device did instead, or why the test was left out."""
    sends: str
    expects: str
    advice: str
    duration_s: float
    frames: tuple[FrameRecord, ...]
    """What crossed the line, where the test failed."""
    frames_left_out: int
    """How many came before the first of them."""

    @classmethod
    def of(cls, case: "Case | ReaderCase", result: Result, catalogue: Catalogue) -> "CaseRecord":
        """Return the record of a test."""
        return cls(
            number=case.number,
            title=case.title,
            level=case.level,
            clause=case.clause,
            mark=case.mark,
            verdict=result.verdict,
            message=result.message,
            sends=case.sends,
            expects=case.expects,
            advice=case.advice,
            duration_s=round(result.duration_s, 3),
            frames=in_words(result.pieces, catalogue),
            frames_left_out=result.pieces_left_out,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """Who was tested."""

    umi_id: str | None
    manufacturer_id: Mapping[str, Any] | None
    """Model, manufacturer, factory and serial number, as far as it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasheetRecord:
    """What the device was measured against."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A difference between the device before the tests and after them."""

    kind: str
    """`added`, `removed` or `changed`."""
    object: str
    aspect: str
    """The member, or what else of the object it is: `read access`; empty for its value."""
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRecord:
    """The device before the tests beside the device after them."""

    role: str
    """In which both were read."""
    objects: int
    """How many were compared."""
    changes: tuple[StateChange, ...]
    volatile: int
    """Differences that come by themselves, as the datasheet says; they are left out."""
    failure: str
    """Why nobody can tell what became of it, or nothing."""
    is_explained: bool
    """What cannot be undone was allowed."""

    @property
    def is_as_before(self) -> bool:
        """Tell whether the device is as it was, or what became of it was allowed."""
        return self.is_explained or not (self.changes or self.failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRecord:
    """How a run differs from an earlier one; each list holds numbers of tests."""

    file: str
    version: str
    started: str
    device: str | None
    newly_failing: tuple[str, ...]
    newly_passing: tuple[str, ...]
    still_failing: tuple[str, ...]
    no_longer_run: tuple[str, ...]
    """They passed or failed, and are left out now."""
    new: tuple[str, ...]
    """The earlier run did not have them."""
    gone: tuple[str, ...]
    """This run does not have them."""
    state_is_worse: bool
    """The device was as before then, and is not now."""

    @property
    def is_worse(self) -> bool:
        """Tell whether anything fails that did not."""
        return bool(self.newly_failing) or self.state_is_worse

    @property
    def lists(self) -> dict[str, tuple[str, ...]]:
        """Return the numbers of the tests by what became of them, in words."""
        return {
            "newly failing": self.newly_failing,
            "newly passing": self.newly_passing,
            "still failing": self.still_failing,
            "no longer run": self.no_longer_run,
            "new tests": self.new,
            "tests that are gone": self.gone,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRecord:
    """How a reader's command ended."""

    exit: int | None
    """Below 0 by a signal; None if it had to be ended."""
    stderr: str
    """The end of what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run."""

    version: str
    """Of the tool."""
    suite: int
    """How many tests the tool has."""
    started: str
    """RFC 3339, UTC."""
    duration_s: float
    """Of the tests, one after the other, on the port's clock."""
    stopped: str
    """What ended the run before its end, or nothing."""
    port: str
    device: DeviceRecord
    datasheet: DatasheetRecord
    seed: int
    levels: tuple[Level, ...]
    only: tuple[str, ...]
    """Globs of numbers; all of the levels if there are none."""
    allowed: tuple[Need, ...]
    """What was there and allowed, of what tests need."""
    answer_s: float
    quiet_s: float
    tests: tuple[CaseRecord, ...]
    state: StateRecord | None
    """None if it was not looked at."""
    baseline: BaselineRecord | None
    commands: Mapping[str, CommandRecord] = field(default_factory=dict)
    """Of a reader that was run for each scenario: how it ended, by number."""

    def of_verdict(self, verdict: Verdict) -> tuple[CaseRecord, ...]:
        """Return the tests that ended so."""
        return tuple(each for each in self.tests if each.verdict is verdict)

    @property
    def failed(self) -> tuple[CaseRecord, ...]:
        """Return the tests that failed."""
        return self.of_verdict(Verdict.FAILED)

    @property
    def totals(self) -> dict[Level, Counter[Verdict]]:
        """Return how many tests of each level ended how."""
        return {
            level: Counter(each.verdict for each in self.tests if each.level is level)
            for level in dict.fromkeys(each.level for each in self.tests)
        }

    @property
    def left_out(self) -> dict[str, list[str]]:
        """Return the numbers of the tests that were left out, by the reason."""
        reasons: dict[str, list[str]] = {}
        for each in self.of_verdict(Verdict.LEFT_OUT):
            reasons.setdefault(each.message, []).append(each.number)
        return reasons

    @property
    def is_sound(self) -> bool:
        """Tell whether all that ran passed, and the device is as before."""
        return not self.failed and (self.state is None or self.state.is_as_before)

    @property
    def is_good(self) -> bool:
        """Tell whether the run is a success: sound, or no worse than the baseline."""
        return self.is_sound if self.baseline is None else not self.baseline.is_worse

    @property
    def summary(self) -> str:
        """Return the counts as a sentence."""
        counts = Counter(each.verdict for each in self.tests)
        return ", ".join(f"{counts[verdict]} {verdict.words}" for verdict in Verdict)


def case_records(results: Iterable[Result], catalogue: Catalogue) -> tuple[CaseRecord, ...]:
    """Return what came of each test, with all that is to be said of it."""
    return tuple(CaseRecord.of(CASES[each.number], each, catalogue) for each in results)


def document_of(report: RunReport) -> dict[str, Any]:
    """Return a report as plain JSON: the bytes in hex."""
    totals = {level: _counts(counts) for level, counts in report.totals.items()}
    plain: dict[str, Any] = _plain(report)
    return {
        "schema": SCHEMA,
        "passed": report.is_good,
        "totals": {**totals, "all": _counts(Counter(each.verdict for each in report.tests))},
        **plain,
    }


def _counts(counts: Mapping[Verdict, int]) -> dict[str, int]:
    return {verdict.value: counts.get(verdict, 0) for verdict in Verdict}


def _plain(value: Any) -> Any:
    """Return a record as JSON has it."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def printable(text: str) -> str:
    """Return text without what could steer a terminal or a page: devices write some of it."""
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
