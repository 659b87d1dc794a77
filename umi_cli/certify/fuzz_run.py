"""Case after case against one device: sent, judged, the device checked, failures made small."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from umi_cli.certify.case import Failure
from umi_cli.certify.evidence import Piece
from umi_cli.certify.fuzz_bases import Subject
from umi_cli.certify.fuzz_case import CaseName, FuzzCase, FuzzLayer
from umi_cli.certify.fuzz_device import FuzzDevice, subject_of
from umi_cli.certify.fuzz_judge import judge
from umi_cli.certify.fuzz_make import make_case
from umi_cli.certify.fuzz_minimise import DEFAULT_TRIES, Minimiser
from umi_cli.certify.fuzz_safety import is_harmless
from umi_cli.certify.fuzz_send import Heard, send
from umi_cli.certify.fuzz_verdict import FuzzFailure, Trouble
from umi_cli.certify.fuzz_watch import Watch
from umi_cli.errors import InputError, LostError, NoAnswerError, UmiError

DEEP_EVERY = 100  # cases
AGAIN = 2  # how often a failing case is sent again, to see whether it fails again


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzPlan:
    """What is to be sent."""

    seed: int = 0
    layers: tuple[FuzzLayer, ...] = (FuzzLayer.LINK, FuzzLayer.PACKET, FuzzLayer.PAYLOAD)
    """They take turns."""
    cases: int | None = None
    """How many to make; None for no end."""
    for_s: float | None = None
    """How long to go on; None for no end."""
    changes: bool = False
    """The device may be changed."""
    stop_after: int | None = None
    """How many failures are enough."""
    minimises: bool = True
    minimise_tries: int = DEFAULT_TRIES
    corpus: tuple[FuzzCase, ...] = ()
    """Cases of earlier runs, which come first."""
    names: tuple[CaseName, ...] = ()
    """Cases that come then, made by their names."""


@dataclass(slots=True, kw_only=True)
class Found:
    """A failure of the device."""

    case: FuzzCase
    """As small as it was made."""
    first: FuzzCase
    """As it was made from its seed."""
    trouble: Trouble
    message: str
    """What the device did, as a sentence without its subject."""
    came_back: str = ""
    """How it was brought back, where it had to be; empty if it did not need it."""
    is_gone: bool = False
    """It did not come back."""
    failed_again: int = 0
    """How often it failed when it was sent again as it was."""
    tries: int = 0
    """How many smaller ones were tried."""
    repeats: int = 0
    """How many later cases failed with the same words."""
    pieces: tuple[Piece, ...] = field(default=(), repr=False)
    """What crossed the line."""


@dataclass(slots=True, kw_only=True)
class FuzzOutcome:
    """What came of a run."""

    cases: int = 0
    layers: dict[str, int] = field(default_factory=dict)
    """How many cases of each layer."""
    unanswered: int = 0
    """How many packets got no answer at all."""
    duration_s: float = 0.0
    failures: list[Found] = field(default_factory=list)
    stopped: str = ""
    """Why it ended before its time."""
    under_way: str = ""
    """The case that was sent last."""

    @property
    def failed_cases(self) -> int:
        """Return how many cases failed, those with known words included."""
        return sum(1 + found.repeats for found in self.failures)

    @property
    def rate(self) -> float:
        """Return how many cases were sent a second."""
        return self.cases / self.duration_s if self.duration_s > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Who is told what."""

    before: Callable[[FuzzCase], None] = lambda case: None
    """Told a case before anything of it is sent, so that a crash has a name."""
    after: Callable[[FuzzOutcome], None] = lambda outcome: None
    """Told how far it is, after each case."""
    failed: Callable[[Found], None] = lambda found: None
    """Told a failure, once it is small."""
    note: Callable[[str], None] = lambda text: None
    """Told what else is good to know."""


class FuzzRun:
    """One run.

    Args:
        device: open.
        plan: what to send.
        clock: seconds that never go back, of this host.
        hooks: who is told.
    """

    def __init__(
        self, device: FuzzDevice, plan: FuzzPlan, clock: Callable[[], float], hooks: Hooks
    ) -> None:
        self._device = device
        self._plan = plan
        self._clock = clock
        self._hooks = hooks
        self.outcome = FuzzOutcome()
        self.subject = self._meet()
        self._since_deep: list[FuzzCase] = []
        self._begun_s = clock()

    def _meet(self) -> Subject:
        """Find out what the device is; `NoAnswerError` if it does not tell."""
        try:
            subject = subject_of(self._device.bench)
            self._watch = Watch(subject)
            self._watch.learn(self._device.bench)
        except (Failure, FuzzFailure) as error:
            raise NoAnswerError(f"the device cannot be fuzzed: it {error}") from error
        return subject

    def run(self) -> FuzzOutcome:
        """Send cases until the plan says that it is enough, or the device is gone.

        Whatever ends it, `outcome` holds what came of it so far.
        """
        if self._plan.changes and self.subject.trusts_nobody:
            self._hooks.note("the device has no certificate: whichever it takes is not judged")
        try:
            for case in self._cases():
                self._send_one(case)
                if self.outcome.stopped or self._is_enough():
                    break
            if not self.outcome.stopped:
                self._look_deeply()
        finally:
            self.outcome.duration_s = self._clock() - self._begun_s
        return self.outcome

    def _cases(self) -> Iterator[FuzzCase]:
        """Yield the cases of the corpus, then new ones, the layers in turn."""
        plan = self._plan
        for case in plan.corpus:
            if not is_harmless(case, self.subject):
                raise InputError(f"the case {case.name} would change the device: it is not sent")
            yield case
        for name in plan.names:
            yield make_case(self.subject, name)
        number = 0
        while plan.cases is None or number < plan.cases:
            layer = plan.layers[number % len(plan.layers)]
            name = CaseName(plan.seed, layer, number // len(plan.layers), plan.changes)
            yield make_case(self.subject, name)
            number += 1

    def _is_enough(self) -> bool:
        plan = self._plan
        if plan.stop_after is not None and len(self.outcome.failures) >= plan.stop_after:
            self.outcome.stopped = f"{len(self.outcome.failures)} failures are enough"
            return True
        return plan.for_s is not None and self._clock() - self._begun_s >= plan.for_s

    def _send_one(self, case: FuzzCase) -> None:
        self.outcome.under_way = case.name
        self._hooks.before(case)
        failure = self._attempt(case)
        self.outcome.cases += 1
        self.outcome.layers[case.layer] = self.outcome.layers.get(case.layer, 0) + 1
        self._since_deep.append(case)
        if failure is not None:
            self._take(case, failure)
        elif len(self._since_deep) >= DEEP_EVERY:
            self._look_deeply()
        self.outcome.duration_s = self._clock() - self._begun_s
        self._hooks.after(self.outcome)

    # --- one case -------------------------------------------------------------------------

    def _attempt(self, case: FuzzCase, *, is_deep: bool = False) -> FuzzFailure | None:
        """Send a case and check the device; return how it failed, if it did."""
        try:
            bench = self._device.bench
            bench.recorder.begin()
            if case.changes:
                self._watch.accept_clock()
            before = self._watch.asked
            heard = send(bench, case, self.subject.addresses)
            late = self._watch.check(bench)
            judge(self.subject, heard, late, before)
            self._count(heard)
            if is_deep or self._watch.was_slow:
                self._watch.check_deeply(bench)
        except FuzzFailure as failure:
            return failure
        except LostError as error:
            return FuzzFailure(Trouble.HUNG_UP, f"is gone from its port: {error}")
        except (Failure, UmiError) as error:
            return FuzzFailure(Trouble.DISTURBED, f"cannot be worked with: {error}")
        return None

    def _count(self, heard: Heard) -> None:
        self.outcome.unanswered += sum(each.answer is None for each in heard.packets)

    def _look_deeply(self) -> None:
        """Check what is checked now and then; where it fails, find the case that did it."""
        batch, self._since_deep = self._since_deep, []
        if not batch:
            return
        try:
            self._watch.check_deeply(self._device.bench)
        except FuzzFailure as failure:
            self._blame(batch, failure)
        except UmiError as error:
            self._take(batch[-1], FuzzFailure(Trouble.DISTURBED, f"cannot be read: {error}"))

    def _blame(self, batch: Sequence[FuzzCase], failure: FuzzFailure) -> None:
        """Send each case of a batch again, to find the one after which it fails."""
        self._settle()
        for case in reversed(batch):
            found = self._attempt(case, is_deep=True)
            if found is not None:
                self._take(case, found, is_deep=True)
                return
        message = f"{failure}; none of the {len(batch)} cases before it does that by itself"
        self._take(batch[-1], FuzzFailure(failure.trouble, message), is_deep=True)

    # --- a failure ------------------------------------------------------------------------

    def _take(self, case: FuzzCase, failure: FuzzFailure, *, is_deep: bool = False) -> None:
        """Bring the device back, see whether the case fails again, make it small, tell it."""
        self._since_deep = []
        known = self._known(failure)
        found = Found(case=case, first=case, trouble=failure.trouble, message=str(failure))
        found.pieces = self._pieces()
        found.is_gone = not self._bring_back(found)
        if known is not None and not found.is_gone:
            known.repeats += 1
            return
        self.outcome.failures.append(found)
        if not found.is_gone:
            is_deep = is_deep or failure.trouble.is_down  # it may come back before the check
            self._confirm(found, is_deep=is_deep)
        self._hooks.failed(found)
        if found.is_gone:
            self.outcome.stopped = f"the device did not come back after {case.name}"

    def _known(self, failure: FuzzFailure) -> Found | None:
        """Return a failure that was told with the same words, whatever the numbers in them."""
        words = _without_numbers(str(failure))
        for each in self.outcome.failures:
            if each.trouble is failure.trouble and _without_numbers(each.message) == words:
                return each
        return None

    def _pieces(self) -> tuple[Piece, ...]:
        with suppress(LostError):
            return self._device.bench.recorder.pieces
        return ()

    def _bring_back(self, found: Found) -> bool:
        """Have the device serve again; tell whether it does."""
        if not found.trouble.is_down and self._is_well():
            return True
        try:
            found.came_back = self._device.revive()
        except LostError as error:
            found.came_back = str(error)
            return False
        found.came_back += self._settle()
        return True

    def _is_well(self) -> bool:
        try:
            self._watch.check(self._device.bench)
        except (FuzzFailure, UmiError):
            return False
        return True

    def _settle(self) -> str:
        """Take the device as it is after a failure; return what its log says of it."""
        said = ""
        with suppress(UmiError, FuzzFailure):
            try:
                self._watch.check_deeply(self._device.bench)
            except FuzzFailure as failure:
                said = f"; it {failure}"
            self._watch.accept_restart(self._device.bench)
        return said

    def _confirm(self, found: Found, *, is_deep: bool) -> None:
        """Send the case again as it was; make it small if it fails again."""
        for _ in range(AGAIN):
            if self._fails(found.first, found, is_deep=is_deep):
                found.failed_again += 1
            elif found.is_gone:
                return
        if not found.failed_again or not self._plan.minimises:
            return
        self._hooks.note(f"making {found.first.name} smaller: it {found.message}")
        minimiser = Minimiser(
            found.first,
            lambda case: self._fails(case, found, is_deep=is_deep),
            self._plan.minimise_tries,
        )
        found.case = minimiser.run()
        found.tries = minimiser.tries
        self._fails(found.case, found, is_deep=is_deep)  # for the frames that are kept

    def _fails(self, case: FuzzCase, found: Found, *, is_deep: bool) -> bool:
        """Send a case that may be sent; tell whether it fails as another one did."""
        if found.is_gone or not is_harmless(case, self.subject):
            return False
        failure = self._attempt(case, is_deep=is_deep)
        if failure is None:
            return False
        is_same = failure.trouble.is_like(found.trouble)
        if is_same:
            found.pieces = self._pieces()
        again = replace(found, trouble=failure.trouble)
        if not self._bring_back(again):
            found.is_gone, found.came_back = True, again.came_back
        return is_same


def _without_numbers(text: str) -> str:
    return re.sub(r"\b[0-9A-Fa-f]*\d[0-9A-Fa-f]*\b", "#", text)
