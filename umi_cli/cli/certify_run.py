"""One run of the suite: progress, failures as they come, what is kept of it, and its record."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from umi_cli import __version__
from umi_cli.certify.baseline import Earlier, compared
from umi_cli.certify.case import Failure
from umi_cli.certify.journal import RunJournal
from umi_cli.certify.report import (
    CaseRecord,
    DatasheetRecord,
    DeviceRecord,
    RunReport,
    StateRecord,
    case_records,
)
from umi_cli.certify.run import Result, Verdict, run_cases
from umi_cli.certify.suite import CASES
from umi_cli.cli.certify_view import event_of, failure_line
from umi_cli.cli.orders import Terminated
from umi_cli.errors import InputError, LostError, RefusedError, UmiError
from umi_cli.output import streams
from umi_cli.output.render import timestamp, to_plain

if TYPE_CHECKING:
    from umi_cli.certify.bench import Bench
    from umi_cli.certify.case import Case
    from umi_cli.cli.certify import Wishes
    from umi_cli.cli.context import App
    from umi_cli.device.meter import Meter

_RESUME = "--resume"


class Run:
    """A run, from the first test to the report.

    Args:
        app: whose settings hold, and who tells.
        bench: the device, open as guest.
        cases: what to run, in order.
        wishes: what the user says of the run.

    Raises:
        InputError: what is kept of it cannot be kept.
    """

    def __init__(
        self, app: "App", bench: "Bench", cases: "Sequence[Case]", wishes: "Wishes"
    ) -> None:
        self._app, self._bench, self._cases, self._wishes = app, bench, cases, wishes
        self._allowed = bench.has | wishes.allowed
        self._device = identify(bench.meter)
        self._stopped = ""
        self._results: list[Result] = []
        self._done: Mapping[str, Result] = {}
        self._before: Mapping[str, Any] | None = None
        self._started = timestamp(datetime.now(UTC))
        self._journal = RunJournal(_directory(app), self._identity())
        app.report.device = self._device.umi_id

    @property
    def how_to_go_on(self) -> str:
        """Return the command that goes on with this run."""
        return f"{self._app.command_line(without=_RESUME)} {_RESUME}"

    def run(self) -> list[Result]:
        """Run the tests; return what came of those that ended.

        Raises:
            KeyboardInterrupt, Terminated: the user ends it; how to go on has been said.
        """
        self._begin()
        total = len(self._cases)
        self._progress = self._app.progress("certify", total, "tests", done=len(self._done))
        try:
            run_cases(
                self._bench,
                self._cases,
                allowed=self._allowed,
                done=self._done,
                on_result=self._on_result,
                on_begin=self._on_begin,
            )
        except LostError as error:
            self._stopped = str(error)
        except (KeyboardInterrupt, Terminated):
            self._progress.finish()
            self._app.warn(
                f"{len(self._results)} of {total} tests are kept; go on with: {self.how_to_go_on}"
            )
            raise
        finally:
            self._progress.finish()
        return self._results

    def report(self, results: "Sequence[Result]", earlier: Earlier | None) -> RunReport:
        """Return the record of the run, the state of the device after it included."""
        bench, catalogue = self._bench, self._bench.catalogue
        report = RunReport(
            version=__version__,
            suite=len(CASES),
            started=self._started,
            duration_s=round(sum(each.duration_s for each in results), 3),
            stopped=self._stopped,
            port=self._app.settings.port or "",
            device=self._device,
            datasheet=DatasheetRecord(
                name=catalogue.datasheet.name, sha256=catalogue.datasheet.sha256
            ),
            seed=bench.settings.seed,
            levels=self._wishes.levels,
            only=self._wishes.only,
            allowed=tuple(sorted(self._allowed)),
            answer_s=bench.settings.answer_s,
            quiet_s=bench.settings.quiet_s,
            tests=case_records(results, catalogue),
            state=self._state(),
            baseline=None,
        )
        return report if earlier is None else compared(report, earlier)

    def forget(self) -> None:
        """Forget what was kept: the run has come to its end."""
        self._journal.forget()

    def _identity(self) -> dict[str, Any]:
        """Return what makes a run the same one, so that its results belong together."""
        settings = self._bench.settings
        device = self._device.umi_id
        return {
            "device": device,
            "port": None if device else self._app.settings.port,
            "version": __version__,
            "tests": [each.number for each in self._cases],
            "allowed": sorted(self._allowed),
            "datasheet": self._bench.catalogue.datasheet.sha256,
            "kind": settings.kind,
            "seed": settings.seed,
            "state": self._wishes.state,
            "answer_s": settings.answer_s,
            "quiet_s": settings.quiet_s,
        }

    def _begin(self) -> None:
        """Go on with the run that was interrupted, or begin anew."""
        kept = self._journal.load()
        if kept is not None and self._wishes.resume:
            self._started, self._before, self._done = kept.started, kept.before, kept.results
            self._app.note(f"going on after {len(self._done)} tests")
        else:
            self._say_that_it_begins_anew(is_there=kept is not None)
            self._before = self._read_before() if self._wishes.state else None
        self._guarded(self._journal.begin, self._started, self._before, self._done.values())

    def _say_that_it_begins_anew(self, *, is_there: bool) -> None:
        if self._wishes.resume:
            self._app.note("there is no such run to go on with: it begins anew")
        elif is_there:
            self._app.note(f"an interrupted run is given up; {_RESUME} would have gone on with it")

    def _read_before(self) -> Mapping[str, Any] | None:
        from umi_cli.cli.certify_state import read_before

        try:
            return read_before(self._bench)
        except (Failure, UmiError) as error:
            self._app.warn(f"what the device holds cannot be read before the tests: {error}")
            return None

    def _state(self) -> StateRecord | None:
        if not self._wishes.state or self._stopped:
            return None
        from umi_cli.cli.certify_state import compare_state

        return compare_state(self._bench, self._before, is_explained=self._wishes.destructive)

    def _on_begin(self, case: "Case") -> None:
        self._app.event("test-begins", number=case.number, title=case.title)
        if self._app.settings.verbose and self._app.report.is_for_people:
            self._progress.make_room()
            streams.say(f"{case.number} {case.title}")

    def _on_result(self, result: Result) -> None:
        self._results.append(result)
        case = CASES[result.number]
        is_news = result.number not in self._done
        if is_news:
            self._guarded(self._journal.keep, result)
        self._app.event("test", **event_of(case, result), resumed=not is_news)
        if result.verdict is Verdict.FAILED and self._app.report.is_for_people and is_news:
            self._progress.make_room()
            record = CaseRecord.of(case, result, self._bench.catalogue)
            say_failure(record)
        self._progress.update(len(self._results))

    def _guarded(self, keep: Any, *what: Any) -> None:
        try:
            keep(*what)
        except OSError as error:
            raise InputError(
                f"how far the run is cannot be kept: {error.strerror or error}",
                hint="make room, or name another place with XDG_STATE_HOME",
            ) from error


def say_failure(test: CaseRecord) -> None:
    """Say on stderr that a test has failed, as soon as it has."""
    import sys

    streams.say(streams.paint("FAILED ", "red", sys.stderr) + failure_line(test))


def _directory(app: "App") -> Any:
    from umi_cli.cli.settings import user_state

    return user_state(app.environment) / "certify"


def identify(meter: "Meter") -> DeviceRecord:
    """Return who the device says it is; what it does not give, the tests will tell."""
    umi_id = None
    with suppress(UmiError):
        umi_id = meter.device_id
    return DeviceRecord(
        umi_id=None if umi_id is None else str(umi_id),
        manufacturer_id=_manufacturer_id(meter),
    )


def _manufacturer_id(meter: "Meter") -> Mapping[str, Any] | None:
    """Return the manufacturer ID, or the serial number alone, which anyone may read."""
    name = "manufacturer-id"
    with suppress(UmiError):
        try:
            value = meter.read(name).value
        except RefusedError:
            value = {"serial": meter.read(f"{name}/serial").value}
        return to_plain(value) if isinstance(value, dict) else None
    return None
