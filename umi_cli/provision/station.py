"""What a station does all day: take a unit, see it through, wait for the next one.

A unit that fails is put in quarantine with the reason; one that was only lost stays open, and goes
on when it is put in again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from umi_cli.device import identity
from umi_cli.errors import (
    ConflictError,
    InputError,
    JournalError,
    LinkError,
    LostError,
    NoAnswerError,
    NoSuchPortError,
    PortBusyError,
    PortPermissionError,
    SignOnError,
    UmiError,
    UploadInterruptedError,
)
from umi_cli.provision.journal import Journal
from umi_cli.provision.line import Connect
from umi_cli.provision.run import UnitResult, UnitRun, unit_name

POLL_S = 0.25
_ABSENT = (NoSuchPortError, NoAnswerError, SignOnError, LostError)
_INTERRUPTED = (
    *_ABSENT,
    LinkError,
    PortBusyError,
    PortPermissionError,
    UploadInterruptedError,
)
"""What says nothing of the unit: it stays open, and goes on when it is put in again."""


class Waiter(Protocol):
    """Lets time pass."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one unit at a station."""

    result: UnitResult | None
    error: UmiError | None = None

    @property
    def kind(self) -> str:
        """Return `done`, `failed`, `conflict` or `interrupted`."""
        if self.error is None:
            return "done"
        if isinstance(self.error, ConflictError):
            return "conflict"
        return "interrupted" if isinstance(self.error, _INTERRUPTED) else "failed"


class Station:
    """A place on the line where one unit at a time is provisioned.

    Args:
        make_run: returns a new run for the unit that is in.
        journal: what was done to which unit.
        connect: opens the unit that is in.
        clock: lets time pass.
        wait_s: how long to wait for another unit before the day is over.
    """

    def __init__(
        self,
        make_run: Callable[[], UnitRun],
        journal: Journal,
        connect: Connect,
        clock: Waiter,
        wait_s: float,
    ) -> None:
        self._make_run = make_run
        self._journal = journal
        self._connect = connect
        self._clock = clock
        self._wait_s = wait_s

    def work(self, is_over: Callable[[], bool]) -> Iterator[Outcome]:
        """Yield what came of each unit, until it is over or no other unit is put in.

        Raises:
            JournalError: the journal cannot be used; nothing may be done without it.
        """
        unit = self._await_unit(None)
        while unit is not None and not is_over():
            outcome = self._take()
            yield outcome
            if is_over():
                return
            unit = self._await_unit(outcome.result.unit if outcome.result else unit)

    def _take(self) -> Outcome:
        run = self._make_run()
        try:
            return Outcome(result=run.run())
        except JournalError:
            raise
        except UmiError as error:
            outcome = Outcome(result=run.result, error=error)
        if outcome.kind == "failed" and outcome.result is not None:  # else it was never met
            self._journal.quarantine(outcome.result.unit, str(outcome.error))
        return outcome

    def _await_unit(self, last: str | None) -> str | None:
        """Wait until another unit than the last one is in; None when nobody puts one in.

        The last one must have been gone, or another one be there: the same unit again is met by
        the journal, which knows that it is done.
        """
        until = self._clock.monotonic() + self._wait_s
        was_gone = last is None
        while True:
            found = self._look()
            if found is None:
                was_gone = True
            elif was_gone or found != last:
                return found
            if self._clock.monotonic() >= until:
                return None
            self._clock.sleep(POLL_S)

    def _look(self) -> str | None:
        """Return what the unit that is in is called; None if none is."""
        try:
            with self._connect(None) as meter:
                found = identity.read_identity(meter)
        except _ABSENT:
            return None
        except InputError:
            raise  # there is no such place
        except UmiError:
            return "unknown"  # it is there, and the run will say what is wrong with it
        return "blank" if found.request is None else unit_name(found.request.public_point)
