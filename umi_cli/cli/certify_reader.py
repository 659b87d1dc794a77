"""`umi certify --as-meter`: play a meter that misbehaves, and judge what a reader does."""

import re
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from umi_cli.cli import params
from umi_cli.errors import InputError
from umi_cli.names import near

if TYPE_CHECKING:
    from umi_cli.certify.case import Level
    from umi_cli.certify.reader_case import ReaderCase
    from umi_cli.certify.report import RunReport
    from umi_cli.cli.context import App
    from umi_cli.virtual.setup import SimOptions

F = TypeVar("F", bound=Callable[..., Any])

AS_METER = "--as-meter"
TIMEOUT_S = 2.0  # of a reader on TCP, where nothing else is said
LIMIT_S = 120.0
NUMBERS = "RDR-"
TASKS = ("read", "many", "long", "session", "role")
_TASKED = re.compile(rf"({'|'.join(TASKS)})=(.*)", re.DOTALL)
_SHARED = (
    "only", "level", "listing", "explain", "out", "junit", "html", "baseline", "ca_key", "ca_cert",
)  # fmt: skip
"""The options of `umi certify` that hold for readers, too."""
_OF_DEVICES = {
    "allow_changes": "--allow-changes",
    "destructive": "--destructive",
    "role_key": "--role-key",
    "power": "--power",
    "quiet": "--quiet",
    "seed": "--seed",
    "resume": "--resume",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderWishes:
    """What the user says of the certification of a reader."""

    only: tuple[str, ...]
    level: tuple[str, ...]
    listing: bool
    explain: str | None
    out: str | None
    junit: str | None
    html: str | None
    baseline: str | None
    ca_key: str | None
    ca_cert: str | None
    tcp: tuple[str, ...]
    call: tuple[str, ...]
    each: tuple[str, ...]
    limit: float | None
    meter_id: str | None
    meter_key: str | None
    meter_cert: str | None
    meter_anchor: str | None
    meter_role_keys: str | None


_OWN = tuple(each.name for each in fields(ReaderWishes) if each.name not in _SHARED)


def reader_options(function: F) -> F:
    """Give a command the options of `--as-meter`; `reader_wishes` takes them out again."""
    options = (
        click.option(AS_METER, is_flag=True, help="Certify a reader: be its meter, and misbehave"),
        click.option(
            "--tcp", metavar="HOST:PORT", multiple=True, help="Take the reader's calls on TCP"
        ),
        click.option(
            "--call", metavar="HOST:PORT", multiple=True, help="Call the reader, which listens"
        ),
        click.option(
            "--each",
            metavar="[TASK=]COMMAND",
            multiple=True,
            help="Run the reader for each scenario; {address} is the meter's",
        ),
        click.option(
            "--limit",
            type=params.SECONDS,
            metavar="SECONDS",
            help=f"How long a scenario takes at most; default: {LIMIT_S:.0f}",
        ),
        click.option("--meter-id", metavar="ID", help="UMI ID of the meter that we are"),
        click.option("--meter-key", metavar="FILE", help="Its own P-256 key"),
        click.option("--meter-cert", metavar="FILE", help="Its own certificate, or chain"),
        click.option("--meter-anchor", metavar="FILE", help="The root that it trusts"),
        click.option("--meter-role-keys", metavar="ROLE:FILE,...", help="Its scheme 1 keys"),
    )
    for option in reversed(options):
        function = option(function)
    return function


def reader_wishes(options: MutableMapping[str, Any]) -> ReaderWishes | None:
    """Take what concerns readers out of a command's options; None if a device is meant.

    Args:
        options: by name; those of `reader_options` are gone afterwards.

    Raises:
        InputError: options of readers and of devices stand together.
    """
    own = {name: options.pop(name) for name in _OWN}
    is_explained = (options["explain"] or "").upper().startswith(NUMBERS)
    if not options.pop("as_meter") and not is_explained:
        given = [name for name, value in own.items() if value]
        if given:
            name = given[0].replace("_", "-")
            raise InputError(
                f"--{name} is for the certification of readers", hint=f"add {AS_METER}"
            )
        return None
    for name, flag in _OF_DEVICES.items():
        if options.get(name):
            raise InputError(f"{flag} is for the certification of devices, not with {AS_METER}")
    return ReaderWishes(**own, **{name: options[name] for name in _SHARED})


def certify_reader(app: "App", wishes: ReaderWishes) -> "RunReport | None":
    """Play the scenarios to a reader, and tell what came of them.

    Returns:
        The report, which has been shown and written; None if nothing was to be played.

    Raises:
        InputError: something in the wishes makes no sense.
        UmiError: the meter has no identity, or a port cannot be had.
    """
    from umi_cli.cli import certify_view

    if wishes.explain is not None:
        app.emit(*certify_view.explanation_of(_scenario(wishes.explain)))
        return None
    cases = _chosen(wishes)
    if wishes.listing:
        app.emit(*certify_view.list_of(cases))
        return None
    from umi_cli.cli import certify_bench, certify_files
    from umi_cli.cli.certify_reader_run import ReaderRun

    certify_files.check_places(wishes.out, wishes.junit, wishes.html)
    earlier = None if wishes.baseline is None else certify_files.load_baseline(wishes.baseline)
    _check_ways(wishes)
    authority = certify_bench.proofs_of(app, None, wishes.ca_key, wishes.ca_cert).authority
    run = ReaderRun(app, cases, wishes, _meter_options(app, wishes), authority)
    return run.run(earlier)


def tell_addresses(app: "App", addresses: Sequence[str]) -> None:
    """Say where the meter is, as `umi sim` does; a document of JSON or CSV stands alone."""
    from umi_cli.output import streams

    if app.report.form in ("table", "events"):
        app.announce("listening", addresses=addresses)
    else:
        streams.say(f"listening on {', '.join(addresses)}")


def parse_each(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the words of the reader's command by task, `""` for all tasks that have none.

    Raises:
        InputError: one cannot be taken apart, or names no program.
    """
    import shlex
    import shutil

    commands: dict[str, list[str]] = {}
    for text in texts:
        tasked = _TASKED.fullmatch(text)
        task, line = tasked.groups() if tasked else ("", text)
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise InputError(f"--each {line!r:.60} cannot be taken apart: {error}") from error
        if not words or shutil.which(words[0]) is None:
            raise _no_program(words[0] if words else "")
        if task in commands:
            raise InputError(f"--each names two commands for {task or 'all tasks'}")
        commands[task] = words
    return commands


def _no_program(name: str) -> InputError:
    """Return the error for a command that is no program, or for a task that there is not."""
    word, equals, _ = name.partition("=")
    if equals and word.isidentifier():
        return InputError(
            f"--each: there is no task {word!r:.60}",
            hint=f"the tasks are {', '.join(TASKS)}; write TASK=COMMAND, or the command alone",
        )
    return InputError(
        f"--each: there is no program {name!r:.60}", hint="no shell runs it: name a file"
    )


def _check_ways(wishes: ReaderWishes) -> None:
    if not wishes.tcp + wishes.call:
        raise InputError(
            "there is no way for the reader to come",
            hint="give --tcp 127.0.0.1:0, or --call HOST:PORT of a reader that listens",
        )
    is_asked_for = any("{address}" in text for text in wishes.each)
    if is_asked_for and not wishes.tcp:
        raise InputError("--each wants the {address} of a meter that listens", hint="give --tcp")


def _meter_options(app: "App", wishes: ReaderWishes) -> "SimOptions":
    from umi_cli.cli.sim import check_keys
    from umi_cli.virtual.setup import SimOptions

    identity = (wishes.meter_key, wishes.meter_cert, wishes.meter_anchor)
    if any(identity) and not all(identity):
        raise InputError("--meter-key, --meter-cert and --meter-anchor belong together")
    check_keys(wishes.meter_key, wishes.meter_role_keys)
    query = {
        "datasheet": app.settings.datasheet,
        "umi-id": wishes.meter_id,
        "key": wishes.meter_key,
        "cert": wishes.meter_cert,
        "anchor": wishes.meter_anchor,
        "role-keys": wishes.meter_role_keys,
    }
    return SimOptions.from_query("", {name: text for name, text in query.items() if text})


def _scenario(number: str) -> "ReaderCase":
    from umi_cli.certify.reader_suite import READER_CASES

    case = READER_CASES.get(number.upper())
    if case is None:
        hint = near(number.upper(), READER_CASES)
        hint = hint or f"list them with: umi certify {AS_METER} --list"
        raise InputError(f"there is no scenario {number!r:.60}", hint=hint)
    return case


def of_no_such_level(glob: str, found: "Iterable[Level]", levels: Sequence[str]) -> InputError:
    """Return the error for `--only` that names what other levels have than those of `--level`."""
    own = ", ".join(dict.fromkeys(each.value for each in found))
    return InputError(
        f"--only {glob}: {glob} is not of level {' or '.join(levels)}",
        hint=f"it is of level {own}; leave --level out",
    )


def _chosen(wishes: ReaderWishes) -> "list[ReaderCase]":
    """Return the scenarios that are meant; `InputError` if there are none."""
    from umi_cli.certify.reader_case import chosen_scenarios
    from umi_cli.certify.reader_suite import READER_CASES

    hint = f"list them with: umi certify {AS_METER} --list"
    levels = () if "all" in wishes.level else wishes.level
    for glob in wishes.only:
        found = chosen_scenarios([glob])
        if not found:
            hint = near(glob.upper(), READER_CASES) or hint
            raise InputError(f"--only {glob}: there is no such scenario", hint=hint)
        if levels and not any(each.level.value in levels for each in found):
            raise of_no_such_level(glob, (each.level for each in found), levels)
    cases = [
        each for each in chosen_scenarios(wishes.only) if not levels or each.level.value in levels
    ]
    if not cases:
        raise InputError("there is no such scenario of that level", hint=hint)
    return cases
