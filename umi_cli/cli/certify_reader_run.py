"""One run of scenarios against a reader: who calls whom, when one is over, and what is told."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from umi_cli import __version__
from umi_cli.certify.baseline import Earlier, compared
from umi_cli.certify.case import Need
from umi_cli.certify.reader_case import ReaderCase, judge_reader
from umi_cli.certify.reader_record import Conversation, ReaderRecorder
from umi_cli.certify.reader_suite import READER_CASES
from umi_cli.certify.report import (
    CaseRecord,
    CommandRecord,
    DatasheetRecord,
    DeviceRecord,
    RunReport,
    document_of,
)
from umi_cli.certify.run import Result, Verdict
from umi_cli.cli.certify_reader import LIMIT_S, TIMEOUT_S, ReaderWishes, parse_each, tell_addresses
from umi_cli.cli.certify_view import event_of, view_of
from umi_cli.cli.orders import Held, Terminated
from umi_cli.cli.reader_process import ReaderProcess
from umi_cli.errors import NoSuchPortError
from umi_cli.output import streams
from umi_cli.output.progress import Silence
from umi_cli.output.render import timestamp
from umi_cli.transports.address import parse_host_and_port
from umi_cli.virtual.examiner import Examiner
from umi_cli.virtual.serve import Server
from umi_cli.virtual.tricks import TRICKS
from umi_cli.virtual.tricks.base import Means, Trick

if TYPE_CHECKING:
    from umi_cli.certificates.cvc import Certificate
    from umi_cli.cli.context import App
    from umi_cli.crypto import Signer
    from umi_cli.types import UmiId
    from umi_cli.virtual.setup import SimOptions

TICK_S = 0.02  # how often it is looked whether the reader's command has ended
REST_S = 0.5  # for what a reader sent before it ended, and is still on its way
CALL_AGAIN_S = 0.2
SILENT_TIMEOUTS = 5  # of the reader's: nothing more comes of a line that was silent as long


@dataclass(slots=True, kw_only=True)
class _Scene:
    """A scenario that is being played."""

    case: ReaderCase
    recorder: ReaderRecorder
    ends_s: float
    """When it is over at the latest: monotonic seconds."""
    uncalled: list[tuple[str, int]]
    """The readers that listen and were not reached yet."""
    process: ReaderProcess | None = None
    """The reader, where we have started it."""
    calls_s: float = 0.0
    """When they are called again."""


class ReaderRun:
    """A run, from the first scenario to the report.

    Args:
        app: whose settings hold, and who tells.
        cases: what to play, in order.
        wishes: what the user says of the run.
        options: of the meter that is played.
        authority: a signing authority that the reader trusts, and its key.

    Raises:
        InputError: a command of `--each` cannot be run.
        KeyUnusableError: the meter's identity cannot be used.
    """

    def __init__(
        self,
        app: "App",
        cases: Sequence[ReaderCase],
        wishes: ReaderWishes,
        options: "SimOptions",
        authority: "tuple[Certificate, Signer] | None",
    ) -> None:
        self._app, self._cases, self._wishes = app, cases, wishes
        self._commands = parse_each(wishes.each)
        self._timeout_s = app.settings.timeout_s or TIMEOUT_S
        self._attempts = app.settings.retries + 1
        self._means = Means(timeout_s=self._timeout_s, authority=authority)
        self._has = _met(options, authority is not None)
        self._examiner = Examiner(options, time.time)
        self._examiner.begin(Trick(self._means), ReaderRecorder())  # its files are read: or no run
        self._results: list[Result] = []
        self._ends: dict[str, CommandRecord] = {}
        self._reader: UmiId | None = None
        self._addresses: list[str] = []

    def run(self, earlier: Earlier | None) -> RunReport:
        """Play the scenarios; return the report, which has been written and shown.

        Args:
            earlier: an earlier report that it is compared with.
        """
        started = timestamp(datetime.now(UTC))
        stopped: BaseException | None = None
        try:
            with Server(self._examiner, watch=self._app.watch()) as server:
                self._addresses = [
                    server.listen(*parse_host_and_port(text)) for text in self._wishes.tcp
                ]
                self._announce()
                self._play_all(server)
        except (KeyboardInterrupt, Terminated) as error:
            stopped = error
        report = self._report(started, "it was interrupted" if stopped else "")
        if earlier is not None:
            report = compared(report, earlier)
        if report.tests:
            self._tell(report)
        if stopped is not None:
            raise stopped
        return report

    def _announce(self) -> None:
        """Say where the meter is; a command of `--each` is told anyway."""
        is_told = self._commands and self._app.report.form == "json"
        if self._addresses and not is_told:
            tell_addresses(self._app, self._addresses)

    def _play_all(self, server: Server) -> None:
        is_alone = bool(self._commands)  # nobody has to be told what to do
        total = len(self._cases)
        progress = self._app.progress("certify", total, "scenarios") if is_alone else Silence()
        try:
            for number, case in enumerate(self._cases, start=1):
                if not is_alone:
                    self._app.note(f"{case.number} ({number} of {total}): {case.title}")
                result = self._played(server, case)
                self._results.append(result)
                progress.make_room()
                self._on_result(case, result, is_told=not is_alone)
                progress.update(number)
        finally:
            progress.finish()

    def _on_result(self, case: ReaderCase, result: Result, *, is_told: bool) -> None:
        self._app.event("test", **event_of(case, result))
        if not self._app.report.is_for_people:
            return
        if result.verdict is Verdict.FAILED:
            from umi_cli.cli.certify_run import say_failure

            say_failure(CaseRecord.of(case, result, self._app.catalogue))
        elif is_told:
            streams.say(f"{result.verdict.words}{result.message and f': {result.message}'}")

    def _played(self, server: Server, case: ReaderCase) -> Result:
        missing = case.needs - self._has
        if missing:
            message = f"needs {case.wants_of(missing)}"
            return Result(number=case.number, verdict=Verdict.LEFT_OUT, message=message)
        recorder = ReaderRecorder()
        self._examiner.begin(TRICKS[case.trick](self._means), recorder)
        scene = _Scene(
            case=case,
            recorder=recorder,
            ends_s=time.monotonic() + (self._wishes.limit or LIMIT_S),
            uncalled=[parse_host_and_port(text) for text in self._wishes.call],
        )
        try:
            with Held():
                scene.process = self._start(case)
            self._serve(server, scene)
            if scene.process is not None:
                self._ends[case.number] = scene.process.end()
            talk = recorder.conversation(
                timeout_s=self._timeout_s,
                attempts=self._attempts,
                exit=None if scene.process is None else scene.process.exit,
            )
        finally:
            if scene.process is not None:
                scene.process.end()
            server.hang_up()
        return self._judged(scene, talk)

    def _start(self, case: ReaderCase) -> ReaderProcess | None:
        """Start the reader for a scenario, or tell a person to."""
        words = self._commands.get(case.task.value) or self._commands.get("")
        if words is not None:
            address = self._addresses[0] if self._addresses else ""
            return ReaderProcess([word.replace("{address}", address) for word in words])
        self._app.note(f"have the reader {case.task.words}")
        return None

    def _serve(self, server: Server, scene: _Scene) -> None:
        """Let the reader and the meter talk until the scenario is over."""
        while not self._is_over(scene):
            self._call(server, scene)
            server.run(time.monotonic() + TICK_S)
        rest_s = time.monotonic() + REST_S
        while scene.process is not None and scene.recorder.open_lines:
            if time.monotonic() >= rest_s:
                return
            server.run(time.monotonic() + TICK_S)

    def _is_over(self, scene: _Scene) -> bool:
        now, recorder = time.monotonic(), scene.recorder
        if now >= scene.ends_s:
            return True
        if scene.process is not None:
            return scene.process.has_ended
        if recorder.last_s is None:
            return False
        timeouts = SILENT_TIMEOUTS if recorder.open_lines else 1
        return now >= recorder.last_s + timeouts * self._timeout_s

    def _call(self, server: Server, scene: _Scene) -> None:
        """Call the readers that listen, again and again until they do."""
        if not scene.uncalled or time.monotonic() < scene.calls_s:
            return
        scene.calls_s = time.monotonic() + CALL_AGAIN_S
        for place in list(scene.uncalled):
            try:
                server.call(*place)
            except NoSuchPortError:
                continue
            scene.uncalled.remove(place)

    def _judged(self, scene: _Scene, talk: Conversation) -> Result:
        verdict, message = judge_reader(scene.case, talk)
        if talk.asked and self._reader is None:
            self._reader = talk.asked[0].envelope.source
        if not talk.frames and verdict is Verdict.LEFT_OUT:
            message = "no reader came, or none that speaks UMI"
        if scene.process is not None:
            verdict, message = _with_end(scene.process, verdict, message)
        is_failed = verdict is Verdict.FAILED
        return Result(
            number=scene.case.number,
            verdict=verdict,
            message=message,
            duration_s=scene.recorder.duration_s,
            pieces=scene.recorder.pieces if is_failed else (),
            pieces_left_out=scene.recorder.left_out if is_failed else 0,
        )

    def _report(self, started: str, stopped: str) -> RunReport:
        catalogue = self._app.catalogue
        tests = tuple(
            CaseRecord.of(READER_CASES[each.number], each, catalogue) for each in self._results
        )
        return RunReport(
            version=__version__,
            suite=len(READER_CASES),
            started=started,
            duration_s=round(sum(each.duration_s for each in self._results), 3),
            stopped=stopped,
            port=", ".join([*self._addresses, *self._wishes.call]),
            device=DeviceRecord(
                umi_id=None if self._reader is None else str(self._reader), manufacturer_id=None
            ),
            datasheet=DatasheetRecord(
                name=catalogue.datasheet.name, sha256=catalogue.datasheet.sha256
            ),
            seed=0,
            levels=tuple(dict.fromkeys(each.level for each in self._cases)),
            only=self._wishes.only,
            allowed=tuple(sorted(self._has)),
            answer_s=self._timeout_s,
            quiet_s=SILENT_TIMEOUTS * self._timeout_s,
            tests=tests,
            state=None,
            baseline=None,
            commands=self._ends,
        )

    def _tell(self, report: RunReport) -> None:
        from umi_cli.cli import certify_files

        wishes = self._wishes
        certify_files.write_reports(report, out=wishes.out, junit=wishes.junit, html=wishes.html)
        self._app.emit(document_of(report), view_of(report))


def _with_end(process: ReaderProcess, verdict: Verdict, message: str) -> tuple[Verdict, str]:
    """Return a verdict and its message with how the reader's command ended, if that matters."""
    parts = [message] if message else []
    if process.was_killed:
        verdict = Verdict.FAILED
        parts = ["the reader's command did not end, and was ended by us", *parts]
    if verdict is not Verdict.PASSED and process.last_words:
        end = "" if process.was_killed else f" ended with {process.exit} and"
        parts.append(f"its command{end} said: {process.last_words}")
    elif verdict is Verdict.LEFT_OUT:
        parts.append(f"its command ended with {process.exit}")
    return verdict, "; ".join(parts)


def _met(options: "SimOptions", has_authority: bool) -> frozenset[Need]:
    """Return which needs of scenarios are met."""
    met: dict[Need, Any] = {
        Need.CREDENTIALS: options.cert,
        Need.ROLE_KEY: options.role_keys,
        Need.AUTHORITY: has_authority,
    }
    return frozenset(need for need, is_met in met.items() if is_met)
