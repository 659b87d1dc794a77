"""How every command of `umi` behaves: the shared options, its help with examples, near names."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from umi_cli.cli.params import GLOBAL_OPTIONS, complete_texts
from umi_cli.cli.registry import COMMANDS, Entry
from umi_cli.errors import InputError
from umi_cli.names import near

HELP_WIDTH = 100


def _show_help(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.obj.show(_path(ctx), {"help": ctx.get_help()}, ctx.get_help())
        ctx.exit()


def _path(ctx: click.Context) -> str:
    """Return the command's words without the program's name, `access show`."""
    return ctx.command_path.partition(" ")[2]


_ROOT_NOTE = (
    "These options may stand after the command too, and each is also an environment variable:"
    " --umi-id is UMI_UMI_ID."
)
_COMMAND_NOTE = "Takes the options of umi as well (-p, --json and so on): umi --help"

HELP = click.Option(
    ["-h", "--help"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_help,
    help="Show this help",
)


def _with_defaults(attributes: dict[str, Any]) -> dict[str, Any]:
    settings = {"max_content_width": HELP_WIDTH, **attributes.get("context_settings", {})}
    return {
        "no_args_is_help": False,
        **attributes,
        "context_settings": settings,
        "add_help_option": False,
    }


class UmiCommand(click.Command):
    """A command that takes the shared options, and whose help ends in examples."""

    def __init__(
        self,
        *args: Any,
        examples: str,
        lacks: Sequence[str] = (),
        forgives_settings: bool = False,
        **attributes: Any,
    ) -> None:
        super().__init__(*args, **_with_defaults(attributes))
        self.examples = examples.strip()
        self.lacks = lacks
        self.params = [*self.params, *GLOBAL_OPTIONS, HELP]
        self._forgives_settings = forgives_settings
        complete_texts(self.params)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options and arguments; what is wrong with them is told of this command."""
        if ctx.obj is not None and not ctx.resilient_parsing:
            ctx.obj.report.command = _path(ctx) or None
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write where the shared options are, and the examples."""
        formatter.write_paragraph()
        formatter.write_text(_ROOT_NOTE if ctx.parent is None else _COMMAND_NOTE)
        with formatter.section("Examples"):
            for line in self.examples.splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{line.strip()}\n")

    def invoke(self, ctx: click.Context) -> Any:
        """Settle what holds for the command, and run it."""
        ctx.obj.begin(_path(ctx), self.lacks, forgives_settings=self._forgives_settings)
        return super().invoke(ctx)


class UmiGroup(click.Group):
    """A group of commands, which takes the shared options as well."""

    command_class = UmiCommand

    def __init__(self, *args: Any, examples: str, **attributes: Any) -> None:
        super().__init__(*args, **_with_defaults(attributes))
        self.examples = examples.strip()
        self.params = [*self.params, *GLOBAL_OPTIONS, HELP]
        complete_texts(self.params)

    format_epilog = UmiCommand.format_epilog

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with.

        Raises:
            InputError: there is none of that name.
        """
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            hint = near(name, known) or f"list the commands with: {ctx.command_path} --help"
            raise InputError(f"there is no command {name!r}", hint=hint)
        return super().resolve_command(ctx, args)


class RootGroup(UmiGroup):
    """`umi` itself: its commands are imported when they are run, and not before."""

    entries: Mapping[str, Entry] = COMMANDS

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is none of that name."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their lines of help from the registry."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Return what may follow on the shell's command line."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.entries if name.startswith(incomplete)]
        items = [CompletionItem(name, help=self.entries[name].help) for name in names]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from umi_cli import __version__

        python = ".".join(str(number) for number in sys.version_info[:3])
        data = {"version": __version__, "python": python}
        ctx.obj.show("", data, f"umi {__version__}")
        ctx.exit()


VERSION = click.Option(
    ["--version"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version",
)


def command(
    *, examples: str, lacks: Sequence[str] = (), **attributes: Any
) -> Callable[[Callable[..., Any]], UmiCommand]:
    """Make a function a command of `umi`.

    Args:
        examples: command lines for the end of its help, one a line.
        lacks: forms (`csv`, `raw`) that its result does not have. A command that changes anything
            names them, so that they are refused before it does.
        attributes: what `click.command` takes.
    """
    return click.command(cls=UmiCommand, examples=examples, lacks=lacks, **attributes)


def group(*, examples: str, **attributes: Any) -> Callable[[Callable[..., Any]], UmiGroup]:
    """Make a function a group of commands; `@that.command(examples=…)` adds them.

    Args:
        examples: command lines for the end of its help, one a line.
        attributes: what `click.group` takes.
    """
    return click.group(cls=UmiGroup, examples=examples, **attributes)
