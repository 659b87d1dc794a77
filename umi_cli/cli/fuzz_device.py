"""`umi fuzz` against a device: the run, its progress, its failures as they come, what is kept."""

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umi_cli.certify.fuzz_device import FuzzDevice
from umi_cli.certify.fuzz_report import document_of, record_of
from umi_cli.certify.fuzz_run import Found, FuzzOutcome, FuzzPlan, FuzzRun, Hooks
from umi_cli.cli import fuzz_files, fuzz_view
from umi_cli.cli.certify_bench import bench_of, proofs_of
from umi_cli.cli.fuzz import NEEDS_CHANGES, case_of
from umi_cli.cli.orders import Terminated
from umi_cli.errors import SomeFailedError
from umi_cli.output import streams

if TYPE_CHECKING:
    from umi_cli.certify.bench import Bench
    from umi_cli.certify.fuzz_case import CaseName, FuzzCase
    from umi_cli.cli.context import App
    from umi_cli.cli.fuzz import Wishes

EVENT_EVERY = 1000  # cases
NOTE_EVERY_S = 10.0  # where nobody knows how many cases there will be
_OF_A_RUN = (
    "--layer", "--cases", "--for", "--seed", "--corpus", "--replay", "--stop-after", "--out",
)  # fmt: skip
"""What a single case needs not to be sent again."""


def fuzz_device(app: "App", wishes: "Wishes") -> None:
    """Fuzz the device that `--port` names; raises as the command does."""
    plan = _plan(app, wishes)
    proofs = proofs_of(app, None, None, None)

    def open_bench() -> "AbstractContextManager[Bench]":
        return bench_of(
            app, proofs, seed=wishes.seed, quiet_s=None, power=wishes.power, purpose="fuzz"
        )

    with FuzzDevice(open_bench) as device:
        _FuzzSession(app, wishes, device, plan).run()


def _plan(app: "App", wishes: "Wishes") -> FuzzPlan:
    """Return what is to be sent, with the corpus read; `InputError` if that cannot be."""
    corpus: tuple[FuzzCase, ...] = ()
    names: tuple[CaseName, ...] = ()
    if wishes.replay is not None:
        name, case = case_of(wishes.replay, allow_changes=wishes.allow_changes)
        corpus = (case,) if case else ()
        names = (name,) if name else ()
    elif wishes.corpus is not None:
        corpus = _allowed(app, fuzz_files.load_corpus(Path(wishes.corpus)), wishes)
    is_replay = wishes.replay is not None
    return FuzzPlan(
        seed=wishes.seed,
        layers=wishes.layers,
        cases=wishes.count,
        for_s=wishes.for_s,
        changes=wishes.allow_changes,
        stop_after=wishes.enough,
        minimises=not is_replay if wishes.minimise is None else wishes.minimise,
        corpus=corpus,
        names=names,
    )


def _allowed(
    app: "App", corpus: "tuple[FuzzCase, ...]", wishes: "Wishes"
) -> "tuple[FuzzCase, ...]":
    """Return the cases of a corpus that may be sent."""
    if wishes.allow_changes:
        return corpus
    kept = tuple(each for each in corpus if not each.changes)
    if left := len(corpus) - len(kept):
        app.note(f"{left} cases of the corpus are left out: they need {NEEDS_CHANGES}")
    return kept


class _FuzzSession:
    """A run with all that the user sees and keeps of it.

    Args:
        app: who tells.
        wishes: what the user says of the run.
        device: open.
        plan: what to send.
    """

    def __init__(self, app: "App", wishes: "Wishes", device: FuzzDevice, plan: FuzzPlan) -> None:
        self._app, self._wishes = app, wishes
        self._catalogue = device.bench.catalogue
        self._files: dict[str, Path] = {}
        self._told = 0
        self._noted_s = time.monotonic()
        hooks = Hooks(before=self._before, after=self._after, failed=self._failed, note=self._note)
        self._run = FuzzRun(device, plan, time.monotonic, hooks)
        app.report.device = self._run.subject.device_id
        self._progress = self._new_progress(plan)

    def run(self) -> None:
        """Send the cases; tell and keep what came of them, however that ends.

        Raises:
            SomeFailedError: cases failed.
            KeyboardInterrupt, Terminated: the user has ended it.
        """
        with fuzz_files.under_way(self._place()) as self._under_way:
            try:
                outcome = self._run.run()
            except (KeyboardInterrupt, Terminated):
                self._progress.finish()
                self._run.outcome.stopped = "it was interrupted"
                self._tell(self._run.outcome)
                raise
            self._progress.finish()
            self._tell(outcome)
        if outcome.failures:
            raise SomeFailedError(
                f"{outcome.failed_cases} of {outcome.cases} cases failed",
                hint=f"send the first of them again with: {self._again(outcome.failures[0])}",
            )

    def _again(self, found: Found) -> str:
        """Return the command that sends a case again, to the same device."""
        import shlex

        command = self._app.command_line(dropping=_OF_A_RUN)
        case = self._wishes.replay or str(self._files.get(found.first.name, found.first.name))
        return f"{command} --replay {shlex.quote(case)}"

    def _new_progress(self, plan: FuzzPlan) -> Any:
        """Return the progress of a run whose length is known; under events it is told otherwise."""
        from umi_cli.output.progress import Silence

        total = len(plan.corpus) + len(plan.names) + (plan.cases or 0)
        is_open = plan.cases is None or self._app.report.form == "events"
        return Silence() if is_open else self._app.progress("fuzz", total, "cases")

    def _place(self) -> Path:
        from umi_cli.cli.settings import user_state

        if self._wishes.corpus is not None:
            return Path(self._wishes.corpus)
        return user_state(self._app.environment) / "fuzz"

    # --- what is told on the way ----------------------------------------------------------

    def _before(self, case: "FuzzCase") -> None:
        self._under_way.name(case)
        if self._app.settings.verbose:
            self._progress.make_room()
            streams.say(f"case {case.name}: {case.base}")

    def _after(self, outcome: FuzzOutcome) -> None:
        self._progress.update(outcome.cases)
        if outcome.cases % EVENT_EVERY == 0:
            self._app.event(
                "cases",
                cases=outcome.cases,
                cases_per_s=round(outcome.rate, 1),
                failed_cases=outcome.failed_cases,
            )
        now_s = time.monotonic()
        is_endless = self._wishes.count is None
        if is_endless and self._app.report.is_for_people and now_s - self._noted_s >= NOTE_EVERY_S:
            self._noted_s = now_s
            streams.say(fuzz_view.pace(outcome))

    def _failed(self, found: Found) -> None:
        record = self._record(found)
        self._app.event("failure", **record)
        if self._app.report.is_for_people:
            self._progress.make_room()
            fuzz_view.say_failure(record)

    def _note(self, text: str) -> None:
        self._progress.make_room()
        self._app.note(text)

    # --- what is kept ---------------------------------------------------------------------

    def _record(self, found: Found) -> dict[str, Any]:
        """Return a failure as it is told, and keep it in the corpus."""
        record = record_of(found, self._catalogue)
        if self._wishes.corpus is not None:
            path = fuzz_files.keep_failure(Path(self._wishes.corpus), record)
            record["file"] = str(path)
            self._files[found.first.name] = path
        return record

    def _tell(self, outcome: FuzzOutcome) -> None:
        """Give the result, and write it where it is wanted."""
        records = [self._record(found) for found in outcome.failures]
        data = document_of(outcome, records, self._wishes.seed, self._wishes.left_out)
        if self._wishes.out is not None:
            from umi_cli import __version__

            head = {"version": __version__, "port": self._app.report.port}
            device = self._run.subject.device_id
            fuzz_files.write_json(Path(self._wishes.out), {**head, "device": str(device), **data})
        self._app.emit(data, fuzz_view.view_of(data))
