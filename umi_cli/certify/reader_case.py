"""What a scenario is that certifies a reader: a meter's trick, and who judges the reader."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from umi_cli.certify.case import Failure, Level, Mark, Need, NotApplicable
from umi_cli.certify.reader_record import Conversation
from umi_cli.certify.run import Verdict

PREFIX = "RDR-"
Judge = Callable[[Conversation], None]
"""Raises `Failure` or `NotApplicable`, or returns."""


class Task(StrEnum):
    """What the reader is to do in a scenario."""

    READ = "read"
    MANY = "many"
    LONG = "long"
    SESSION = "session"
    ROLE = "role"

    @property
    def words(self) -> str:
        """Return what a person should have the reader do."""
        return _TASKS[self]


_TASKS = {
    Task.READ: "read two objects, umi.1.1.0.0 and umi.1.1.0.2, one after the other",
    Task.MANY: "read more than 15 objects in one connection",
    Task.LONG: "read an array that is longer than a frame, such as umi.1.1.194.23",
    Task.SESSION: "begin a session of scheme 2 and read umi.1.1.0.0 in it",
    Task.ROLE: "authenticate in a role under scheme 1 and read umi.1.1.0.0",
}


class End(StrEnum):
    """How the reader's command has to end, where it is run by us."""

    WELL = "well"
    """With 0: what went wrong was mended."""
    BADLY = "badly"
    """With anything but 0: what the reader was to do cannot be done."""
    EITHER = "either"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderCase:
    """A numbered scenario. Its fields are called as those of a `Case`, so that reports take it."""

    number: str
    """`RDR-012`; never given to another scenario."""
    title: str
    """What must hold, as a sentence."""
    level: Level
    clause: str
    mark: Mark
    trick: str
    """By its name: what the meter does (`umi_cli.virtual.tricks`)."""
    task: Task
    end: End
    sends: str
    """What the meter does, in words."""
    expects: str
    """What a sound reader does, in words."""
    advice: str
    """What whoever must mend a reader that fails looks at."""
    needs: frozenset[Need]
    judge: Judge

    @property
    def wants(self) -> str:
        """Return what the user gives so that its needs are met."""
        return self.wants_of(self.needs)

    @staticmethod
    def wants_of(needs: Iterable[Need]) -> str:
        """Return what the user gives so that some needs are met."""
        return ", ".join(_OPTIONS[need] for need in sorted(needs))


_OPTIONS = {
    Need.CREDENTIALS: "--meter-key, --meter-cert and --meter-anchor",
    Need.ROLE_KEY: "--meter-role-keys",
    Need.AUTHORITY: "--ca-key and --ca-cert",
}
"""What the user gives, where we are the meter."""


READER_CASES: dict[str, ReaderCase] = {}
"""Every scenario by its number, once `reader_suite` is imported."""


def reader_case(
    number: str,
    title: str,
    *,
    level: Level,
    clause: str,
    mark: Mark,
    trick: str,
    task: Task,
    sends: str,
    expects: str,
    advice: str,
    end: End = End.WELL,
    needs: tuple[Need, ...] = (),
) -> Callable[[Judge], Judge]:
    """Make a function the judge of a scenario; the fields are those of `ReaderCase`.

    Raises:
        ValueError: the number is taken, or is none.
    """

    def register(judge: Judge) -> Judge:
        if number in READER_CASES or not number.startswith(PREFIX):
            raise ValueError(f"{number} is taken, or no number of a scenario")
        READER_CASES[number] = ReaderCase(
            number=number,
            title=title,
            level=level,
            clause=clause,
            mark=mark,
            trick=trick,
            task=task,
            end=end,
            sends=sends,
            expects=expects,
            advice=advice,
            needs=frozenset(needs),
            judge=judge,
        )
        return judge

    return register


def chosen_scenarios(patterns: Iterable[str] = ()) -> list[ReaderCase]:
    """Return the scenarios in the order of their numbers.

    Args:
        patterns: numbers, or globs of them such as `RDR-01*`; all if there are none.
    """
    from fnmatch import fnmatchcase

    globs = [each.upper() for each in patterns] or ["*"]
    numbers = [each for each in READER_CASES if any(fnmatchcase(each, glob) for glob in globs)]
    return [READER_CASES[each] for each in sorted(numbers)]


def judge_reader(case: ReaderCase, talk: Conversation) -> tuple[Verdict, str]:
    """Judge a reader by what passed in a scenario; return the verdict, and why."""
    try:
        _check_alive(talk)
        case.judge(talk)
        _check_end(case, talk)
    except NotApplicable as reason:
        return Verdict.LEFT_OUT, f"{reason}; have it {case.task.words}"
    except Failure as failure:
        return Verdict.FAILED, str(failure)
    return Verdict.PASSED, ""


def _check_alive(talk: Conversation) -> None:
    if talk.exit is not None and talk.exit < 0:
        raise Failure(f"the reader's command was ended by signal {-talk.exit}")


def _check_end(case: ReaderCase, talk: Conversation) -> None:
    if talk.exit is None or case.end is End.EITHER:
        return
    if case.end is End.WELL and talk.exit != 0:
        raise Failure(f"the reader's command ended with {talk.exit}, though all could be mended")
    if case.end is End.BADLY and talk.exit == 0:
        raise Failure("the reader's command ended with 0, as if all had been well")
