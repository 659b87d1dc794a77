"""Where `umi` begins and ends: the root of the commands, and the one place that catches errors."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import click

from umi_cli.cli.base import VERSION, RootGroup
from umi_cli.cli.context import App
from umi_cli.cli.failure import BROKEN_PIPE, INTERNAL, Failure
from umi_cli.cli.orders import Orders, Terminated
from umi_cli.output import streams

PROGRAM = "umi"
_COMPLETE_VARIABLE = "_UMI_COMPLETE"  # `shells` names it too; it is too dear to import here

EXAMPLES = """\
umi -p sim info
umi -p tcp:192.0.2.7:4059 read umi.1.1.0.0/3 --json
UMI_PORT=sim umi read manufacturer-id
"""


@click.group(cls=RootGroup, name=PROGRAM, examples=EXAMPLES, params=[VERSION])
def umi() -> None:
    """Read, write, watch and explain UMI devices: smart meters with a Universal Metering Interface.

    The result goes to stdout; questions, progress and warnings go to stderr.
    """


def main(argv: Sequence[str] | None = None, *, orders: Orders | None = None) -> NoReturn:
    """Run `umi` and end the process with its exit code.

    Args:
        argv: the arguments, without the program's name; None for those of the process.
        orders: the orders that were held back until now.
    """
    orders = orders or Orders()
    streams.prepare()
    arguments = list(sys.argv[1:] if argv is None else argv)
    instruction = os.environ.get(_COMPLETE_VARIABLE)
    if instruction:
        from umi_cli.cli.shells import answer

        sys.exit(answer(umi, PROGRAM, instruction))
    code = run(arguments, begin=orders.obey)
    orders.ignore()
    sys.exit(code)


def run(argv: Sequence[str], *, begin: Callable[[], None] = lambda: None) -> int:
    """Run a command line and return its exit code; its result and errors are printed.

    Args:
        argv: the arguments, without the program's name.
        begin: called once whatever it raises would be reported.
    """
    app = App(argv)
    failure: Failure | None = None
    try:
        failure = attempt(app, argv, begin=begin)
        app.finish(failure)
    except streams.OutputClosedError as error:
        streams.abandon()
        if failure and failure.is_ordered:  # a terminal that is closed takes no output, either
            return failure.exit
        if error.is_broken_pipe:
            return BROKEN_PIPE
        streams.say(f"{PROGRAM}: {error}")
        return INTERNAL
    except (KeyboardInterrupt, Terminated) as error:  # a second one, while the first is reported
        streams.abandon()
        return Failure.of(error).exit
    return failure.exit if failure else 0


def attempt(
    app: App,
    argv: Sequence[str],
    *,
    root: click.Group = umi,
    begin: Callable[[], None] = lambda: None,
) -> Failure | None:
    """Run a command line; return why it failed, or None.

    Args:
        app: what its command gets.
        argv: the arguments, without the program's name.
        root: the commands that there are.
        begin: called once whatever it raises would be reported.

    Raises:
        OutputClosedError: the result cannot be written.
    """
    try:
        begin()
        streams.require()
        with root.make_context(PROGRAM, list(argv), obj=app) as context:
            root.invoke(context)
    except streams.OutputClosedError:
        raise
    except click.exceptions.Exit:
        return None
    except (Exception, KeyboardInterrupt, Terminated) as error:
        if app.wants_traceback:
            import traceback

            streams.draw("".join(traceback.format_exception(error)))
        return Failure.of(error)
    return None
