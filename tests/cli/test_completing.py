"""What umi answers a shell that asks what may stand at the cursor; `test_shells` asks real ones."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import UMI, environment, run_umi
from tests.cli.test_help import ALL, find
from umi_cli.cli.params import TEXT
from umi_cli.cli.registry import COMMANDS
from umi_cli.cli.shells import insertion, take_apart
from umi_cli.transports import hosts
from umi_cli.types import Role

PLAIN = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1)


def complete(line: str, *, at: str = "fish", **env: str) -> list[str]:
    """Return the lines that a shell is answered with at the end of a command line."""
    piece = line.rpartition(" ")[2]
    variables = {"_UMI_COMPLETE": f"{at}_complete", "COMP_WORDS": line, "COMP_CWORD": piece}
    outcome = run_umi(env={**variables, **env})
    assert outcome.stderr == ""
    return [line for line in outcome.stdout.split("\n") if line]


def values(line: str, **env: str) -> list[str]:
    """Return the values, without their types and help."""
    return [each.partition(",")[2].partition("\t")[0] for each in complete(line, **env)]


@pytest.fixture
def meter_sheet(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(
        'schema = "umi-datasheet/1"\nname = "acme"\ntitle = "Acme"\nextends = "ei4"\n'
        'banks = ["umi.9.9"]\n[[object]]\ncode = "umi.9.9.0.1"\nname = "manual-gate"\n'
        'title = "Gate"\nkind = "value"\ntype = "u8"\n',
        encoding="utf-8",
    )
    return path


def test_commands_come_with_their_help() -> None:
    for name, entry in COMMANDS.items():
        assert complete(f"umi {name}")[0] == f"plain,{name}\t{entry.help}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("umi provision sta", ["status"]),
        ("umi ports power sc", ["scan"]),
        ("umi info --no", ["--no-input"]),
        ("umi --scheme ", ["0", "1", "2"]),
        ("umi info --output=c", ["csv"]),
        ("umi decode --as si", ["signature"]),
        ("umi --role se", ["service", "security-authority"]),
        ("umi device key se", ["service", "security-authority"]),
        ("umi access set x --read user,serv", ["user,service"]),
        ("umi access set x --read n", ["none"]),
        ("umi read manu", ["manufacturer-id", "manufacturer-id/"]),
        ("umi read umi-id manu", ["manufacturer-id", "manufacturer-id/"]),
        ("umi read manufacturer-id/s", ["manufacturer-id/serial"]),
        ("umi read umi.1.1.0.0/s", ["umi.1.1.0.0/serial"]),
        ("umi write 'profile-table[0:3]/rea", ["profile-table[0:3]/reading"]),
        ("umi events --event clock-s", ["clock-set"]),
        ("umi events --tz Europe/Berl", ["Europe/Berlin"]),
        ("umi write valve cl", ["closed"]),
        ("umi write counter 1", []),
        ("umi write no-such-thing 1", []),
        ("umi read profile-tab", ["profile-table", "profile-table["]),
        ("umi read no-such-thing/", []),
        ("umi read umi-id/", []),
        ("umi -p tc", ["tcp:", "tcp-listen:"]),
        ("umi -p nothing:", []),
        ("umi --passphrase pk", ["pkcs11:"]),
    ],
)
def test_values(line: str, expected: list[str]) -> None:
    assert values(line) == expected


def test_every_role_is_offered() -> None:
    assert values("umi --role ") == [role.label for role in Role]


def test_objects_are_those_of_the_datasheet_that_the_line_names(meter_sheet: Path) -> None:
    both = ["manual-gate", "manufacturer-id"]
    assert sorted(values(f"umi --datasheet {meter_sheet} read man")) == both
    assert sorted(values(f"umi read --datasheet={meter_sheet} man")) == both
    assert sorted(values("umi read man", UMI_DATASHEET=str(meter_sheet))) == both
    assert values("umi --datasheet nosuch read man") == []


def test_datasheets_are_names_and_files(meter_sheet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(meter_sheet.parent)
    (meter_sheet.parent / ".hidden.toml").touch()
    (meter_sheet.parent / "notes.txt").touch()
    assert values("umi --datasheet ") == ["ei4", "virtual", "acme.toml"]


def test_profiles_are_those_of_the_configuration_file(config: Path) -> None:
    home = str(config.parents[1])
    assert values("umi --profile ", XDG_CONFIG_HOME=home) == []
    config.write_text("[profile.bench]\nport = 'sim'\n[profile.line]\n", encoding="utf-8")
    assert values("umi --profile ", XDG_CONFIG_HOME=home) == ["bench", "line"]
    assert values(f"umi --config {config} --profile b") == ["bench"]
    config.write_text("no TOML", encoding="utf-8")
    assert values("umi --profile ", XDG_CONFIG_HOME=home) == []


def test_state_files_and_directories_stand_behind_sim(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    for name in ("meter.json", ".old.json", "notes.txt"):
        (tmp_path / name).touch()
    assert values(f"umi -p sim:{tmp_path}/") == [
        f"sim:{tmp_path}/bench/",
        f"sim:{tmp_path}/meter.json",
    ]
    assert values(f"umi -p sim:{tmp_path}/.o") == [f"sim:{tmp_path}/.old.json"]
    assert values(f"umi -p sim:{tmp_path}/no/such/") == []


def test_ports_are_found_by_their_names_alone(tmp_path: Path) -> None:
    by_id = tmp_path / "serial" / "by-id"
    by_id.mkdir(parents=True)
    for name in ("ttyUSB10", "ttyUSB2", "ttyACM0", "tty0", "null", "serial/by-id/usb-FTDI-if00"):
        (tmp_path / name).touch()
    found = [str(by_id / "usb-FTDI-if00")]
    found += [str(tmp_path / name) for name in ("ttyUSB2", "ttyUSB10", "ttyACM0")]
    assert hosts.serial_devices(tmp_path) == found


def test_ports_of_this_host_are_offered(tmp_path: Path) -> None:
    devices = [f"opto:{device}" for device in hosts.serial_devices()]
    assert values("umi -p opto:/dev/")[: len(devices)] == devices
    assert values("umi -p spi:") == [bus.address for bus in hosts.spi_buses()]
    (tmp_path / "link").touch()
    assert values(f"umi -p serial:{tmp_path}/l") == [f"serial:{tmp_path}/link"]


def test_files_are_left_to_the_shell() -> None:
    lines = ("umi --cert x", "umi image upload x", "umi --key=x", "umi provision run x")
    parts_of_names = ("umi diff x", "umi diff a x", "umi --trace x", "umi doctor --bundle x")
    for line in lines + parts_of_names:
        assert complete(line) == ["file,x"]


def options_with_files() -> Iterator[tuple[str, click.Parameter]]:
    for path in ALL:
        for parameter in find(path).params:
            if parameter.metavar in ("FILE", "[FILE]", "FILE...", "OUT"):
                yield " ".join(path), parameter


@pytest.mark.parametrize(("path", "parameter"), list(options_with_files()))
def test_every_file_is_completed(path: str, parameter: click.Parameter) -> None:
    assert parameter.type is TEXT or isinstance(parameter.type, click.Path)


def test_nothing_is_read_while_a_shell_waits() -> None:
    """`-` is stdin, which is the terminal: whoever reads it takes what the user types next."""
    line = "umi decode - --as req"
    variables = {"_UMI_COMPLETE": "fish_complete", "COMP_WORDS": line, "COMP_CWORD": "req"}
    with subprocess.Popen(
        UMI,
        env=environment(variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"plain,request\n"  # and stdin is still open


def test_help_goes_whole_to_zsh_and_fish() -> None:
    help = COMMANDS["info"].help
    assert ", " in help
    assert complete("umi inf", at="zsh") == ["plain", f"info:{help}"]
    assert complete("umi inf", at="fish") == [f"plain,info\t{help}"]


def test_zsh_is_told_what_goes_on() -> None:
    assert complete("umi read manu", at="zsh")[0] == "unfinished"
    assert complete("umi read counter", at="zsh")[0] == "plain"
    assert complete("umi -p tcp", at="zsh")[:2] == ["unfinished", r"tcp\::HOST:PORT"]


def test_click_answers_powershell() -> None:
    variables = {"COMP_WORDS": "umi rea", "COMP_CWORD": "1", "_UMI_COMPLETE": "powershell_complete"}
    help = COMMANDS["read"].help
    assert run_umi(env=variables).stdout == f"plain\nread\n{help}\n"


@pytest.mark.parametrize("instruction", ["tcsh_complete", "bash_complete", "powershell_complete"])
def test_who_is_no_script_of_a_known_shell_is_not_answered(instruction: str) -> None:
    outcome = run_umi(env={"_UMI_COMPLETE": instruction, "COMP_CWORD": "x"})
    assert (outcome.exit, outcome.stdout, outcome.stderr) == (1, "", "")


def test_scripts_are_there_for_who_has_no_files() -> None:
    assert "complete -o nosort" in run_umi(env={"_UMI_COMPLETE": "bash_source"}).stdout


@given(st.lists(PLAIN, min_size=1))
def test_line_is_taken_apart_as_a_shell_does(words: list[str]) -> None:
    line = shlex.join(["umi", *words])
    assert take_apart(line) == (["umi", *words[:-1]], words[-1])
    assert take_apart(f"UMI_PORT=sim {line} ") == (["umi", *words], "")


@given(st.text())
def test_any_line_can_be_taken_apart(line: str) -> None:
    words, last = take_apart(line)
    assert words
    assert isinstance(last, str)


@given(PLAIN, st.integers(0, 10))
def test_bash_gets_what_the_shell_reads_as_the_value(value: str, count: int) -> None:
    typed = value[:count]
    piece = shlex.quote(typed) if typed else ""
    assert shlex.split(insertion(f"umi -p {piece}", piece, typed, value)) == [value]


@given(PLAIN.filter(lambda text: "'" not in text))
def test_in_quotes_nothing_is_escaped(value: str) -> None:
    typed = value[:1]
    assert insertion(f"umi -p '{typed}", typed, typed, value) == value


HEAVY = ("cryptography", "tabulate", "serial", "sqlite3")


def loaded_after(code: str, **env: str) -> list[str]:
    """Return which of the heavy libraries a piece of Python has imported."""
    probe = f"""
import sys
try:
{code}
except SystemExit:
    pass
print('loaded:', *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)
"""
    process = subprocess.run(
        [sys.executable, "-c", probe],
        env=environment(env),
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stderr.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["read", "--help"]])
def test_start_is_light(arguments: list[str]) -> None:
    code = f"    from umi_cli.cli.main import main\n    main({arguments!r})"
    assert loaded_after(code) == []


@pytest.mark.parametrize(
    "line", ["umi re", "umi read --d", "umi read manu", "umi -p ", "umi -p opto:", "umi --role "]
)
def test_completion_is_light(line: str) -> None:
    code = "    from umi_cli.cli.main import main\n    main([])"
    variables = {"_UMI_COMPLETE": "fish_complete", "COMP_WORDS": line, "COMP_CWORD": ""}
    assert loaded_after(code, **variables) == []


def test_commands_import_nothing_heavy_before_they_run() -> None:
    code = """
    import importlib, pkgutil, umi_cli.cli
    for module in pkgutil.iter_modules(umi_cli.cli.__path__):
        importlib.import_module(f"umi_cli.cli.{module.name}")
"""
    assert loaded_after(code) == []
