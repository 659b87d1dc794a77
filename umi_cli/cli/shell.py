"""`umi shell`: one session with a device, and commands in it; typed, or from a script."""

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from umi_cli.cli.base import command
from umi_cli.cli.batch import LineFailedError, conclude, exit_on_error, opened, run_lines
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.failure import TERMINATED
from umi_cli.cli.lines import Line, Lines, read_lines
from umi_cli.errors import InputError
from umi_cli.output import streams

EXAMPLES = """\
umi -p opto:/dev/ttyUSB0 --key own.pem --cert own.cvc --anchor root.cvc shell
umi -p sim shell -e morning.umi
echo "read clock-status" | umi -p sim shell --json
"""
if TYPE_CHECKING:
    from umi_cli.output.render import Format

_GREETING = "help lists the commands; exit or Ctrl-D ends the shell"


@command(examples=EXAMPLES)
@click.argument("path", metavar="[FILE]", required=False)
@exit_on_error
@pass_app
def shell(app: App, path: str | None, exit_on_error: bool) -> None:
    """Keep one session with a device, and run commands in it.

    At a terminal it prompts for commands, with or without the word umi. The options that it is
    started with hold for each, unless its own say otherwise; use sets others, and needs a new
    connection for some. Ctrl-C ends a command, and not the shell. What was typed is kept in
    ~/.local/state/umi/history, without lines that begin with a space or hold a secret.

    Elsewhere, under --json, or with FILE (- is stdin), each line is run as it comes, and # begins
    a comment. Lines that fail do not stop it without -e. The exit code is then 0 if every line did
    its work, that of the line where it stopped with -e or had one line alone, and 53 otherwise.
    """
    if app.lines is not None:
        raise InputError("this is a shell already", hint="use sets other options")
    if path is None and _has_company(app):
        if exit_on_error:
            raise InputError("-e is for scripts; a prompt goes on", hint="name a file of commands")
        with contextlib.closing(Lines(app)) as lines:
            converse(app, lines)
    else:
        run_script(app, "-" if path is None else path, stops=exit_on_error)


def _has_company(app: App) -> bool:
    """Tell whether somebody is here to type."""
    is_quiet = app.settings.no_input or not app.report.is_for_people
    return streams.is_terminal(sys.stdin) and not is_quiet


def run_script(app: App, path: str, *, stops: bool) -> None:
    """Run the lines of a script as they come; takes and raises what the command does."""
    form: Format | None = None if app.report.is_for_people else "json"
    with opened(path) as file, contextlib.closing(Lines(app, form=form, is_script=True)) as lines:
        outcomes = list(run_lines(app, lines, read_lines(file), stops=stops, has_headers=False))
    if form is not None:
        app.emit([outcome.record for outcome in outcomes])
    conclude(app, outcomes, stops=stops)


def converse(app: App, lines: Lines) -> None:
    """Run what is typed until it is enough.

    Raises:
        LineFailedError: the process was told to end.
    """
    from umi_cli.cli.prompt import Prompt

    prompt = Prompt(lines)
    app.note(_GREETING)
    number = 0
    while not lines.is_over:
        number += 1
        try:
            _run_typed(lines, Line(number=number, text=prompt.ask().strip()))
        except KeyboardInterrupt:  # at the prompt; a command catches its own
            streams.draw("\n")
        except EOFError:
            streams.draw("\n")
            return


def _run_typed(lines: Lines, line: Line) -> None:
    if line.is_empty:
        return
    outcome = lines.run(line)
    if outcome.failure and outcome.failure.exit == TERMINATED:
        raise LineFailedError(outcome, outcome.failure, is_told=False)
