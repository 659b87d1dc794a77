"""What may stand where the cursor is? Values that the shell offers on TAB; no device is asked.

What a value is, its metavar says: FILE, SOURCE, ROLE. Each function returns items whose values
begin with what was typed; `goes_on` is what one may type on with. Nothing here may cost much time
or ask a question: a shell waits.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from umi_cli.cli.context import App

if TYPE_CHECKING:
    from umi_cli.objects.definitions import Kind

    Item = CompletionItem[str]
else:
    Item = CompletionItem  # generic in new versions of click only

_SOURCES = {
    "-": "standard input",
    "env:": "an environment variable",
    "fd:": "an open file, by number",
    "file:": "a file",
    "pkcs11:": "a key in a token",
    "prompt": "ask for it",
}
_ADDRESSES = {
    "sim": "the built-in virtual meter",
    "sim:": "the same, with a state file",
    "auto": "the one optical probe that is plugged in",
    "opto:": "an optical probe",
    "serial:": "link frames on a serial port",
    "spi:": "an SPI bus",
    "tcp:": "HOST:PORT",
    "tcp-listen:": "a port that a meter calls",
}
_STATE_SUFFIX, _DATASHEET_SUFFIX = ".json", ".toml"


def by_metavar(metavar: str, ctx: click.Context, incomplete: str) -> list[Item]:
    """Complete a value that is called so, such as `[FILE]`, `FILE.zip`, `HEX|FILE|-` or `ROLES`."""
    for word in metavar.replace("|", " ").split():
        completer = _BY_WORD.get(word.strip("[].,").partition(".")[0])
        if completer:
            return completer(_app(ctx), incomplete)
    return []


def parts(ctx: click.Context, incomplete: str) -> list[Item]:
    """Complete an object by the datasheet's names and, after `/`, a member of it."""
    catalogue = _app(ctx).catalogue
    head, slash, _ = incomplete.partition("/")
    if not slash:
        return [
            CompletionItem(each.name, help=each.title, goes_on=_goes_on(each.kind))
            for each in catalogue.objects
            if each.name.startswith(incomplete)
        ]
    definition = catalogue.find(catalogue.resolve(head).code)
    members = definition.members if definition else ()
    return _beginning(incomplete, dict.fromkeys(f"{head}/{member.name}" for member in members))


def _goes_on(kind: "Kind") -> str:
    """Return what one may type behind the name of an object to choose a part of it."""
    if kind.is_array:
        return "["
    return "/" if kind.has_members else ""


def values(ctx: click.Context, incomplete: str) -> list[Item]:
    """Complete the value of the part before it, where the datasheet has names for its values."""
    from umi_cli.objects.named_types import Enumeration

    catalogue = _app(ctx).catalogue
    kind = catalogue.type_of(catalogue.resolve(ctx.params["part_text"]))
    names = kind.names.values() if isinstance(kind, Enumeration) else ()
    return _beginning(incomplete, dict.fromkeys(names))


def profiles(ctx: click.Context, incomplete: str) -> list[Item]:
    """Complete a profile of the configuration file."""
    from umi_cli.cli.settings import load_document, user_config

    app = _app(ctx)
    document = load_document(app.config or user_config(app.environment), is_required=False)
    names = document.get("profile", {})
    return _beginning(incomplete, dict.fromkeys(names) if isinstance(names, dict) else {})


def datasheets(ctx: click.Context, incomplete: str) -> list[Item]:
    """Complete a datasheet: one that is shipped, or a file."""
    from umi_cli.objects.datasheet import shipped

    return [
        *_beginning(incomplete, dict.fromkeys(shipped())),
        *_paths(incomplete, suffix=_DATASHEET_SUFFIX),
    ]


def _files(app: App, incomplete: str) -> list[Item]:
    """Leave it to the shell, which knows best how its user names files."""
    return [CompletionItem(incomplete, type="file")]


def _sources(app: App, incomplete: str) -> list[Item]:
    if incomplete.startswith("file:"):
        return _paths(incomplete, after="file:")
    ways = _beginning(incomplete, _SOURCES)
    return [*ways, *_paths(incomplete)] if ways else _files(app, incomplete)


def _roles(app: App, incomplete: str) -> list[Item]:
    from umi_cli.types import Role

    return _beginning(incomplete, {role.label: f"role {role.value}" for role in Role})


def _role_sets(app: App, incomplete: str) -> list[Item]:
    from umi_cli.types import Role

    before, comma, _ = incomplete.rpartition(",")
    names = [role.label for role in Role] + ([] if comma else ["all", "none"])
    return _beginning(incomplete, dict.fromkeys(f"{before}{comma}{name}" for name in names))


def _events(app: App, incomplete: str) -> list[Item]:
    return _beginning(incomplete, {event.name: event.title for event in app.catalogue.events})


def _zones(app: App, incomplete: str) -> list[Item]:
    from zoneinfo import available_timezones

    return _beginning(incomplete, dict.fromkeys(["local", *sorted(available_timezones())]))


def _addresses(app: App, incomplete: str) -> list[Item]:
    kind, colon, _ = incomplete.partition(":")
    if not colon:
        return _beginning(incomplete, _ADDRESSES)
    if kind == "sim":
        return _paths(incomplete, after="sim:", suffix=_STATE_SUFFIX)
    from umi_cli.transports import hosts

    if kind == "spi":
        return _beginning(incomplete, dict.fromkeys(bus.address for bus in hosts.spi_buses()))
    if kind in ("opto", "serial"):
        devices = dict.fromkeys(f"{kind}:{device}" for device in hosts.serial_devices())
        # Served by `umi sim --pty LINK`, a device may be anywhere.
        return _beginning(incomplete, devices) or _paths(incomplete, after=f"{kind}:")
    return []


def _beginning(incomplete: str, values: dict[str, str] | dict[str, None]) -> list[Item]:
    """Return the values that begin so, with their help."""
    return [
        CompletionItem(value, help=help)
        for value, help in values.items()
        if value.startswith(incomplete)
    ]


def _paths(incomplete: str, *, after: str = "", suffix: str = "") -> list[Item]:
    """Return paths that stand behind something, or beside other values.

    Args:
        incomplete: what was typed.
        after: what it begins with that is no path.
        suffix: what the names of files end in; directories are always among them.
    """
    directory, slash, name = incomplete.removeprefix(after).rpartition("/")
    names = _names(Path(directory + slash), suffix)
    return [
        CompletionItem(f"{after}{directory}{slash}{each}")
        for each in names
        if each.startswith(name) and (name or not each.startswith("."))
    ]


def _names(folder: Path, suffix: str) -> Iterable[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # there is no such directory, or it is not ours to read
        return
    for entry in entries:
        if entry.is_dir():
            yield f"{entry.name}/"
        elif entry.name.endswith(suffix):
            yield entry.name


def _app(ctx: click.Context) -> App:
    app = ctx.find_object(App)
    assert app is not None  # noqa: S101 - who starts the completion has made it
    return app


_BY_WORD = {
    **dict.fromkeys(("FILE", "OUT", "DIR", "PATH", "LINK", "URL"), _files),
    **dict.fromkeys(("A", "B", "CHAIN", "IMAGE", "PACKAGE", "PLAN", "REQUEST", "SCRIPT"), _files),
    "SOURCE": _sources,
    "ADDRESS": _addresses,
    "ROLE": _roles,
    "ROLES": _role_sets,
    "EVENT": _events,
    "ZONE": _zones,
}
"""Who completes what a metavar calls so; what is not here has nothing to offer."""
