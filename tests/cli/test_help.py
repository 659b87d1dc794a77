"""Help, version, near names, and what a start of `umi` costs."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from tests.cli.conftest import environment, run_umi
from umi_cli import __version__
from umi_cli.cli.main import umi
from umi_cli.cli.params import GLOBAL_OPTIONS
from umi_cli.cli.registry import COMMANDS

SLOW = ["tabulate", "cryptography", "serial", "sqlite3", "asyncio", "importlib.metadata"]
SLOW += ["logging", "tomllib", "json", "difflib", "platformdirs"]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def find(path: tuple[str, ...]) -> click.Command:
    command: click.Command | None = umi
    for name in path:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), name)
    assert command is not None
    return command


ALL = list(commands(umi))


def test_version() -> None:
    outcome = run_umi("--version")
    assert (outcome.exit, outcome.stdout, outcome.stderr) == (0, f"umi {__version__}\n", "")


def test_version_as_json() -> None:
    assert run_umi("--version", "--json").document["data"]["version"] == __version__


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command(flag: str) -> None:
    outcome = run_umi(flag)
    assert outcome.exit == 0
    assert outcome.stderr == ""
    for name, entry in COMMANDS.items():
        assert f"  {name} " in outcome.stdout
        assert entry.help in outcome.stdout


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_of_each_command_has_an_example(path: tuple[str, ...]) -> None:
    outcome = run_umi(*path, "--help")
    assert outcome.exit == 0
    assert outcome.stdout.startswith(f"Usage: umi {' '.join(path)}")
    examples = outcome.stdout.partition("Examples:\n")[2].split("\n")
    assert examples
    assert examples[0].startswith("  ")
    assert f" {path[0]}" in examples[0]
    assert outcome.stdout.isascii()


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_each_option_means_one_thing(path: tuple[str, ...]) -> None:
    names = [name for param in find(path).params for name in param.opts]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_each_command_takes_the_global_options(path: tuple[str, ...]) -> None:
    params = find(path).params
    assert all(option in params for option in GLOBAL_OPTIONS)


@pytest.mark.parametrize("name", COMMANDS)
def test_registry_repeats_the_help_of_the_command(name: str) -> None:
    first = (find((name,)).help or "").partition("\n\n")[0]
    assert " ".join(first.split()) == COMMANDS[name].help


def test_help_as_json_is_one_document() -> None:
    document = run_umi("ports", "--help", "--json").document
    assert document["command"] == "ports"
    assert "Examples:" in document["data"]["help"]


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["raed", "x"], "did you mean read?"),
        (["access", "shwo"], "did you mean show?"),
        (["ports", "--jsno"], "did you mean --json?"),
        (["--prot", "sim"], "did you mean --port"),
        (["qqqqqq"], "list the commands with: umi --help"),
        (["write", "counter", "-5"], "put -- before a value"),
        (["--role", "servise", "ports"], "did you mean service? roles are "),
        (["--datasheet", "ei5", "objects"], "did you mean ei4?"),
        (["-p", "opot:/dev/ttyUSB0", "info"], "did you mean opto? write sim, "),
        (["-p", "opto:/dev/ttyUSB0?wakup=std", "info"], "did you mean wakeup? its options are "),
        (["-p", "sim:?falt=drop:1", "info"], "did you mean fault? its options are "),
        (["-p", "sim:?fault=dorp:1", "info"], "did you mean drop? write KIND:PROBABILITY"),
    ],
)
def test_near_names_are_suggested(args: list[str], hint: str) -> None:
    outcome = run_umi(*args)
    assert outcome.exit == 2
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("umi: ")
    assert f"\nhint: {hint}" in outcome.stderr


@pytest.mark.parametrize(
    ("part", "hint"),
    [
        ("manufacturer-ID/serail", "did you mean serial?"),
        ("manufcturer-id", "did you mean manufacturer-id?"),
        ("scrach[0]", "did you mean scratch?"),
    ],
)
def test_near_names_of_the_datasheet_are_suggested(part: str, hint: str) -> None:
    outcome = run_umi("-p", "sim", "read", part)
    assert outcome.exit == 31
    assert outcome.stderr.splitlines()[1].startswith(f"hint: {hint}")


def test_no_command() -> None:
    outcome = run_umi()
    assert outcome.exit == 2
    assert outcome.stderr == "umi: no command given\nhint: see: umi --help\n"


@pytest.mark.parametrize("argument", ["--version", "--help", "raed"])
def test_start_imports_nothing_slow(argument: str) -> None:
    code = f"""
import sys
from umi_cli.cli.main import main
try:
    main([{argument!r}])
except SystemExit:
    pass
slow = {[name for name in SLOW if name != "difflib" or argument != "raed"]!r}
loaded = [name for name in slow if name in sys.modules]
loaded += [name for name in sys.modules if name.startswith("umi_cli.cli.") and
    name.removeprefix("umi_cli.cli.") in {list(COMMANDS)!r}]
print(loaded, file=sys.stderr)
"""
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stderr.splitlines()[-1] == "[]"
