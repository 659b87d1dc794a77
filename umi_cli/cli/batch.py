"""`umi run`: a batch of commands, checked whole before the first is run; and how any script is run.

A script of `umi shell` goes the same way, line by line as they come, and is not checked before.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.failure import Failure
from umi_cli.cli.lines import Line, Lines, Outcome, read_lines
from umi_cli.errors import InputError, SomeFailedError, UmiError
from umi_cli.output import streams
from umi_cli.output.render import Table, View

if TYPE_CHECKING:
    from umi_cli.output.render import Format

MAX_LINES = 100_000  # a batch is checked whole, and so it must end
SHOWN_FAULTS = 10
STDIN = 0
EXAMPLES = """\
umi -p sim run commissioning.umi
umi -p tcp:192.0.2.7:4059 run -e commissioning.umi --dry-run
echo "read clock-status" | umi -p sim run - --json
"""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # all but the tabulator and line ends
_COLUMNS = ("line", "command", "exit", "error")

exit_on_error = click.option(
    "-e", "--exit-on-error", is_flag=True, help="Stop at the first line that fails, with its code"
)


class LineFailedError(UmiError):
    """A line has failed, and with it what it was a part of: with the line's own exit code."""

    def __init__(self, outcome: Outcome, failure: Failure, *, is_told: bool) -> None:
        why = "" if is_told else f": {failure.message}"
        super().__init__(f"line {outcome.line.number} has failed, and none was run after it{why}")
        self.hint = "" if is_told else failure.hint
        self.code = failure.code  # type: ignore[misc]
        self.exit_code = failure.exit  # type: ignore[misc]


@command(examples=EXAMPLES, lacks=("raw",))
@click.argument("path", metavar="FILE")
@exit_on_error
@pass_app
def run(app: App, path: str, exit_on_error: bool) -> None:
    """Run a batch of commands, with a result for each line.

    Each line of FILE (- is stdin) is a command as in umi shell, with or without the word umi; #
    begins a comment, and use sets options for the lines that follow. All lines are checked before
    the first is run: if one cannot be understood, nothing is sent. One session serves them all.

    The exit code is 0 if every line did its work, that of the line where it stopped with -e or had
    one line alone, and 53 otherwise.
    """
    with opened(path) as file:
        batch = _read_batch(file)
        _check_text(path, batch)
        _check(app, batch)
        form: Format | None = None if app.settings.form == "table" else "json"
        with contextlib.closing(Lines(app, form=form, is_script=True)) as lines:
            outcomes = list(run_lines(app, lines, batch, stops=exit_on_error))
    records = [outcome.record for outcome in outcomes]
    table = Table(columns=_COLUMNS, rows=map(_row, outcomes))
    if not records:
        app.note(f"{path} has no command in it")
    app.emit(records, View(blocks=(table,) if records else (), csv=table))
    conclude(app, outcomes, stops=exit_on_error)


def run_lines(
    app: App, lines: Lines, source: Iterable[Line], *, stops: bool, has_headers: bool = True
) -> Iterator[Outcome]:
    """Run lines, and yield how each of them went.

    Args:
        app: who is told about each line.
        lines: what runs them.
        source: the lines.
        stops: at the first one that fails; after Ctrl-C none is run in any case.
        has_headers: for people, each result stands under its line.
    """
    for line in source:
        if has_headers and lines.form is None:
            streams.write(f"==> {line.number}: {line.text}\n", flush=True)
        outcome = lines.run(line)
        app.event("line", **outcome.record)
        yield outcome
        if lines.is_over or (outcome.failure and (stops or outcome.failure.is_ordered)):
            break


def conclude(app: App, outcomes: Sequence[Outcome], *, stops: bool) -> None:
    """End as the lines did; takes what `run_lines` does.

    Raises:
        LineFailedError: the only one failed, or the one at which it stopped.
        SomeFailedError: some failed.
    """
    failed = [outcome for outcome in outcomes if outcome.failure]
    if not failed:
        return
    failure = outcomes[-1].failure
    if failure and (stops or failure.is_ordered or len(outcomes) == 1):
        raise LineFailedError(outcomes[-1], failure, is_told=app.report.is_for_people)
    numbers = ", ".join(str(outcome.line.number) for outcome in failed[:SHOWN_FAULTS])
    more = ", ..." if len(failed) > SHOWN_FAULTS else ""
    raise SomeFailedError(f"{len(failed)} of {len(outcomes)} lines failed: {numbers}{more}")


@contextlib.contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a script; from stdin (`-`) it comes as it is written.

    Raises:
        InputError: it cannot be opened.
    """
    if path == "-":
        with _own_stdin() as file:
            yield file
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below; what the lines raise is no error of it
    except (OSError, ValueError) as error:  # no path may hold a NUL
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot read {path!r}: {reason}") from error
    with file:
        yield file


@contextlib.contextmanager
def _own_stdin() -> Iterator[BinaryIO]:
    """Take stdin for the script alone: a command that reads it would swallow the lines to come."""
    if sys.stdin is None:
        raise InputError("stdin is closed", hint="name a file, or give a pipe on stdin")
    with os.fdopen(os.dup(STDIN), "rb") as file:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, STDIN)
        os.close(nothing)
        try:
            yield file
        finally:
            os.dup2(file.fileno(), STDIN)


def _read_batch(file: BinaryIO) -> list[Line]:
    try:
        batch = list(islice(read_lines(file), MAX_LINES + 1))
    except OSError as error:
        raise InputError(f"cannot read the batch: {error.strerror or error}") from error
    if len(batch) > MAX_LINES:
        raise InputError(f"the batch has more than {MAX_LINES} lines")
    return batch


def _check_text(path: str, batch: Sequence[Line]) -> None:
    """Make sure that a batch is text: a wrong file is told once, and not line by line.

    Raises:
        InputError: a line has a control character.
    """
    for line in batch:
        if _CONTROL.search(line.text):
            raise InputError(
                f"{path} is no text: line {line.number} has control characters",
                hint="a batch has a command of umi in each line: umi --help lists them",
            )


def _check(app: App, batch: Sequence[Line]) -> None:
    """Make sure that every line can be understood.

    Raises:
        InputError: some cannot; it names them all.
    """
    with contextlib.closing(Lines(app, form="json")) as rehearsal:
        faults = [(line, rehearsal.check(line)) for line in batch]
    told = [_fault(line, failure) for line, failure in faults if failure]
    if told:
        more = [f"and {len(told) - SHOWN_FAULTS} more"] if len(told) > SHOWN_FAULTS else []
        raise InputError(
            "nothing was run, as not every line is understood: "
            + "; ".join(told[:SHOWN_FAULTS] + more),
            hint="each line is a command of umi: umi --help lists them",
        )


def _fault(line: Line, failure: Failure) -> str:
    hint = f" ({failure.hint})" if "did you mean" in failure.hint else ""
    return f"line {line.number}: {failure.message}{hint}"


def _row(outcome: Outcome) -> tuple[object, ...]:
    """Return a line's result as people and spreadsheets see it."""
    error = outcome.failure.message if outcome.failure else None
    return outcome.line.number, outcome.line.text, outcome.exit, error
