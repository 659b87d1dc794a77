"""What does each manual page say? One for `umi` and one for every command, from the commands."""

import re
from collections.abc import Iterator

import click

from umi_cli import __version__, errors
from umi_cli.cli import failure
from umi_cli.cli.base import UmiCommand, UmiGroup
from umi_cli.cli.params import GLOBAL_OPTIONS, GlobalOption
from umi_cli.cli.roff import Page, bold, code, italic, prose

# mandoc wants a date, and the clock's would make every build another one. Set it with the
# version, when there is a release.
DATE = "2026-11-26"
MANUAL = "UMI toolkit"
_WORD = re.compile(r"(?<!\S)--?[A-Za-z][\w-]*|[A-Z]+")

ADDRESSES = {
    "sim[:STATE.json][?OPTION=VALUE&...]": "The built-in virtual meter, in process. With a state"
    " file it remembers; datasheet, fault and seed are among its options.",
    "opto:DEVICE[?OPTION=VALUE&...]": "An optical probe: the sign-on of EN 62056-21, then UMI."
    " Options are v, y, wakeup, echo, parity, baud and switch-delay.",
    "auto": "The one optical probe that is plugged in; nothing is sent to any other port.",
    "serial:DEVICE[@BAUD]": "Link frames straight on a serial port.",
    "spi:BUS.DEVICE[?OPTION=VALUE&...]": "UMI-spi on spidev, with GPIO lines by name: int, rst,"
    " vdd, hvdd, cs; hz, mode, order and power.",
    "tcp:HOST:PORT": "Link frames on TCP.",
    "tcp-listen:[HOST:]PORT": "The same, for a meter that calls in.",
}
_FILES = {
    "~/.config/umi/config.toml": "Settings and profiles of the user, by the long names of the"
    " options; [profile.NAME] is chosen with --profile. XDG_CONFIG_HOME moves it.",
    "~/.config/umi/pins": "Certificates of devices that were trusted on first contact.",
    "~/.local/state/umi/uploads/": "How far uploads of images got. XDG_STATE_HOME moves it.",
}
_VARIABLES = {
    "NO_COLOR": "If it is set and not empty, nothing is coloured.",
    "XDG_CONFIG_HOME, XDG_STATE_HOME": "Where the files below are.",
}
_OWN_EXITS = {
    0: "Done, or nothing to do.",
    failure.INTERNAL: "An internal error, or the result could not be written.",
    failure.INTERRUPTED: "Interrupted, after cleaning up.",
    failure.BROKEN_PIPE: "Nobody reads the result any more.",
    failure.TERMINATED: "Terminated, after cleaning up.",
}


class UnwrittenError(Exception):
    """A command lacks what its page must say."""


def pages(root: UmiGroup, program: str) -> dict[str, str]:
    """Return every page by its file name, `umi-read.1`.

    Raises:
        UnwrittenError: a command has no help or examples, or an option has no help.
    """
    found = {}
    for context in _contexts(click.Context(root, info_name=program)):
        name = _page_name(context)
        found[f"{name}.1"] = str(_page(context, name))
    return found


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """Yield a command and all below it."""
    yield context
    for name, command in _children(context):
        yield from _contexts(click.Context(command, info_name=name, parent=context))


def _children(context: click.Context) -> list[tuple[str, click.Command]]:
    group = context.command
    if not isinstance(group, click.Group):
        return []
    named = ((name, group.get_command(context, name)) for name in group.list_commands(context))
    return [(name, command) for name, command in named if command and not command.hidden]


def _page_name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _page(context: click.Context, name: str) -> Page:
    page = Page(name, date=DATE, source=f"umi {__version__}", manual=MANUAL)
    paragraphs = _help_of(context.command, name).split("\n\n")
    page.section("NAME")
    page.line(rf"{code(name)} \- {prose(_summary(paragraphs[0]))}")
    page.section("SYNOPSIS")
    page.line(_synopsis(context))
    page.section("DESCRIPTION")
    for paragraph in paragraphs:
        page.paragraph(paragraph)
    _write_commands(page, context)
    _write_options(page, context)
    (_write_root if context.parent is None else _write_shared)(page, context)
    _write_see_also(page, context)
    return page


def _help_of(command: click.Command, name: str) -> str:
    if not command.help:
        raise UnwrittenError(f"{name} has no help")
    return command.help.strip()


def _summary(paragraph: str) -> str:
    """Return the first paragraph as the line that whatis(1) shows."""
    text = " ".join(paragraph.split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _synopsis(context: click.Context) -> str:
    pieces = context.command.collect_usage_pieces(context)
    return " ".join([bold(context.command_path), *map(_marked, pieces)])


def _write_commands(page: Page, context: click.Context) -> None:
    children = _children(context)
    if not children:
        return
    page.section("COMMANDS")
    for name, command in children:
        child = f"{_page_name(context)}-{name}"
        first = _help_of(command, child).partition("\n\n")[0]
        page.term(f"{bold(child)}(1)", first)


def _write_options(page: Page, context: click.Context) -> None:
    page.section("OPTIONS")
    for parameter in context.command.get_params(context):
        if not isinstance(parameter, GlobalOption):
            _write_option(page, parameter, context)


def _write_option(page: Page, parameter: click.Parameter, context: click.Context) -> None:
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return
    if not parameter.help:
        raise UnwrittenError(f"{_page_name(context)}: {parameter.opts[-1]} has no help")
    record = parameter.get_help_record(context)
    assert record is not None  # noqa: S101 - only what is hidden has none
    names, help = record
    page.term(_marked(names), help if help.endswith(".") else f"{help}.")


def _marked(text: str) -> str:
    """Mark `-p, --port ADDRESS` up: what is typed as it stands, and what stands for something."""
    return _WORD.sub(lambda m: (bold if m[0].startswith("-") else italic)(m[0]), text)


def _write_root(page: Page, context: click.Context) -> None:
    """Write what holds for every command."""
    page.section("GLOBAL OPTIONS")
    page.paragraph("They may stand after the command too, and the later one wins.")
    for option in GLOBAL_OPTIONS:
        _write_option(page, option, context)
    page.section("ADDRESSES")
    page.paragraph("A number after / is another port of a Host: spi:0.0/2.")
    for form, meaning in ADDRESSES.items():
        page.term(bold(form), meaning)
    _write_examples(page, context)
    page.section("EXIT STATUS")
    for number, meaning in exit_codes().items():
        page.term(bold(str(number)), meaning)
    page.section("ENVIRONMENT")
    for option in GLOBAL_OPTIONS:
        page.term(bold(option.variable), f"As --{option.key}, which beats it.")
    for name, meaning in _VARIABLES.items():
        page.term(bold(name), meaning)
    page.section("FILES")
    for path, meaning in _FILES.items():
        page.term(italic(path), meaning)


def _write_shared(page: Page, context: click.Context) -> None:
    """Write what a command has of its own, and where the rest is."""
    page.section("GLOBAL OPTIONS")
    page.line(
        f"The options of {bold('umi')}(1) may stand here as well: where the device is, who acts,"
        " and the form of the result. So hold its environment variables and files."
    )
    _write_examples(page, context)
    page.section("EXIT STATUS")
    page.line(f"0 if all went well; the others are listed in {bold('umi')}(1).")


def _write_examples(page: Page, context: click.Context) -> None:
    examples = getattr(context.command, "examples", "")
    if not isinstance(context.command, UmiCommand | UmiGroup) or not examples:
        raise UnwrittenError(f"{_page_name(context)} has no examples")
    page.section("EXAMPLES")
    page.examples(line.strip() for line in examples.splitlines())


def _write_see_also(page: Page, context: click.Context) -> None:
    """Refer to the command above, and to those beside this one or below it."""
    family = context.parent or context
    names = [_page_name(family), *(f"{_page_name(family)}-{name}" for name, _ in _children(family))]
    names += [f"{_page_name(context)}-{name}" for name, _ in _children(context)]
    others = sorted(set(names) - {_page_name(context)})
    page.section("SEE ALSO")
    page.line(", ".join(f"{bold(name)}(1)" for name in others))


def exit_codes() -> dict[int, str]:
    """Return what each exit code means, in the words of the errors that have it."""
    meanings: dict[int, list[str]] = {}
    for error in _errors(errors.UmiError):
        if "exit_code" in vars(error) and error.exit_code not in _OWN_EXITS:
            sentence = (error.__doc__ or "").partition("\n")[0]
            meanings.setdefault(error.exit_code, []).append(sentence)
    joined = {number: " ".join(sentences) for number, sentences in meanings.items()}
    return dict(sorted({**joined, **_OWN_EXITS}.items()))


def _errors(kind: type[errors.UmiError]) -> Iterator[type[errors.UmiError]]:
    """Yield an error and those below it that the one tree of errors names."""
    if kind.__module__ == errors.__name__:
        yield kind
        for child in kind.__subclasses__():
            yield from _errors(child)
