"""What a line of a shell may be beside the commands of `umi`: use, close, history, help, exit."""

from typing import TYPE_CHECKING

import click

from umi_cli.cli.base import command
from umi_cli.cli.config import show_settings
from umi_cli.cli.context import App, pass_app
from umi_cli.errors import InputError
from umi_cli.output.render import Table, View

if TYPE_CHECKING:
    from umi_cli.cli.lines import Lines


@command(examples="use -p opto:/dev/ttyUSB0 --scheme 2 --key own.pem --cert own.cvc\nuse --reset")
@click.option("--reset", is_flag=True, help="Forget first what was set since the start")
@pass_app
def use(app: App, reset: bool) -> None:
    """Set options for the lines that follow.

    Without any, show what holds and where it comes from. A connection that other options need is
    opened with the next command.
    """
    if app.given or reset:
        lines_of(app).use(app.given, is_anew=reset)
    else:
        show_settings(app, with_origin=True)


@command(examples="close")
@pass_app
def close(app: App) -> None:
    """Close the connection; the next command opens it again."""
    app.links.hang_up()


@command(examples="history")
@pass_app
def history(app: App) -> None:
    """List what was typed before.

    A line that begins with a space, or holds a secret, is not kept.
    """
    typed = lines_of(app).history
    rows = list(enumerate(typed, start=1))
    table = Table(columns=("number", "line"), rows=rows, has_header=False)
    app.emit(typed, View(blocks=(table,)))


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of commands that begin so, after the words that stand before."""
    from umi_cli.cli.lines import ROOT

    group: click.Command | None = ROOT
    for word in ctx.params.get("words") or ():
        group = group.get_command(ctx, word) if isinstance(group, click.Group) else None
    names = group.list_commands(ctx) if isinstance(group, click.Group) else []
    return [name for name in names if name.startswith(incomplete)]


@command(name="help", examples="help\nhelp read\nhelp access set")
@click.argument("words", nargs=-1, metavar="[COMMAND]...", shell_complete=_complete)
@pass_app
def help_(app: App, words: tuple[str, ...]) -> None:
    """Show the help of a command, or of all."""
    context = click.get_current_context().find_root()
    for word in words:
        if not isinstance(context.command, click.Group):
            raise InputError(f"{context.info_name} has no commands of its own")
        _, found, _ = context.command.resolve_command(context, [word])
        context = click.Context(found or context.command, context, word, obj=app)
    text = context.get_help()
    app.show("help", {"help": text}, text)


@command(name="exit", examples="exit")
@pass_app
def leave(app: App) -> None:
    """End the shell, as Ctrl-D does."""
    lines_of(app).is_over = True


def lines_of(app: App) -> "Lines":
    """Return the shell or batch that a run is a line of."""
    assert app.lines is not None  # noqa: S101 - there are no built-ins elsewhere
    return app.lines
