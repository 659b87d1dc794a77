"""What a check of `umi doctor` says: what was found, whether that will do, and what to do."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from umi_cli.errors import UmiError


class State(Enum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    """Good to know: something that not everybody needs is missing, or cannot be known."""
    WARNING = "warning"
    """It works, and may not for long, or not everywhere."""
    FAIL = "fail"
    """It does not work as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check that was made."""

    name: str
    state: State
    found: str
    advice: str = ""
    """What to do; empty if nothing."""
    error: UmiError | None = None
    """What a command that needs it would fail with."""

    @property
    def record(self) -> dict[str, Any]:
        """Return the record of `--json`."""
        return {
            "name": self.name,
            "state": self.state.value,
            "found": self.found,
            "advice": self.advice,
            "exit": None if self.error is None else self.error.exit_code,
        }


def ok(name: str, found: str) -> Check:
    """Return a check that found all well."""
    return Check(name=name, state=State.OK, found=found)


def note(name: str, found: str, advice: str = "") -> Check:
    """Return a check that found what is good to know."""
    return Check(name=name, state=State.NOTE, found=found, advice=advice)


def warning(name: str, found: str, advice: str) -> Check:
    """Return a check that found what may end badly."""
    return Check(name=name, state=State.WARNING, found=found, advice=advice)


def fail(name: str, error: UmiError) -> Check:
    """Return a check that found what a command would fail with."""
    return Check(name=name, state=State.FAIL, found=str(error), advice=error.hint, error=error)


def attempt(name: str, look: Callable[[], str]) -> Check:
    """Return a check that is well if `look` can say what it found, and fails with its error."""
    try:
        return ok(name, look())
    except UmiError as error:
        return fail(name, error)
