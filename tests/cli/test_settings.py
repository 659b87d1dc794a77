"""Command line beats environment beats profile; mistakes in a profile name file and key."""

from pathlib import Path

import pytest

from tests.cli.conftest import run_umi
from umi_cli.cli.context import form_ahead
from umi_cli.cli.params import GLOBAL_OPTIONS
from umi_cli.cli.settings import Settings, settle, user_config
from umi_cli.errors import InputError
from umi_cli.types import Role, UmiId


def settled(config: Path, text: str, **environment: str) -> Settings:
    config.write_text(text)
    return settle({}, {"XDG_CONFIG_HOME": str(config.parents[1]), **environment})


def test_nothing_set_is_the_defaults(tmp_path: Path) -> None:
    assert settle({}, {"XDG_CONFIG_HOME": str(tmp_path)}) == Settings()


def test_command_line_beats_environment_beats_profile(config: Path) -> None:
    config.write_text('port = "profile"\ntimeout = 3\nretries = 7\n')
    environment = {"XDG_CONFIG_HOME": str(config.parents[1]), "UMI_PORT": "env", "UMI_RETRIES": "5"}
    settings = settle({"port": "line"}, environment)
    assert (settings.port, settings.retries, settings.timeout_s) == ("line", 5, 3.0)


def test_later_option_wins() -> None:
    args = ["--datasheet", "nosuch", "objects", "umi-id", "--datasheet", "ei4"]
    assert run_umi(*args).exit == 0
    assert run_umi("--datasheet", "ei4", "objects", "--datasheet", "nosuch").exit == 2


@pytest.mark.parametrize("option", GLOBAL_OPTIONS, ids=lambda option: option.key)
def test_each_option_has_an_environment_variable(option: object) -> None:
    samples = {"scheme": "0", "role": "service", "umi-id": "00237EFE00000009", "timeout": "1.5"}
    samples |= {"retries": "4", "output": "csv", "verbose": "2", "profile": "", "config": ""}
    samples |= {"key": "own.pem", "passphrase": "env:WORDS"}
    key = option.key  # type: ignore[attr-defined]
    variable = option.variable  # type: ignore[attr-defined]
    assert variable == "UMI_" + key.replace("-", "_").upper()
    value = samples.get(key, "1")
    settings = settle({}, {"XDG_CONFIG_HOME": "/nonexistent", variable: value})
    assert (settings == Settings()) == (key in ("profile", "config"))


def test_values_have_the_types_of_the_options(config: Path) -> None:
    text = 'role = "service"\numi_id = "00237EFE00000009"\nno-input = true\noutput = "csv"\n'
    settings = settled(config, text)
    assert settings.role is Role.SERVICE
    assert settings.umi_id == UmiId(0x00237EFE00000009)
    assert settings.no_input
    assert settings.form == "csv"


PROFILES = """
default_profile = "desk"
port = "top"
retries = 1
json = true
[profile.desk]
port = "desk"
[profile.field]
port = "field"
output = "csv"
"""


def test_default_profile_lies_over_the_top(config: Path) -> None:
    settings = settled(config, PROFILES)
    assert (settings.port, settings.retries, settings.form) == ("desk", 1, "json")


def test_profile_is_chosen_by_name(config: Path) -> None:
    settings = settled(config, PROFILES, UMI_PROFILE="field")
    assert (settings.port, settings.retries, settings.form) == ("field", 1, "csv")


def test_environment_can_switch_a_profile_off(config: Path) -> None:
    assert settled(config, PROFILES, UMI_JSON="0").form == "table"


def test_json_never_asks(config: Path) -> None:
    assert settled(config, "json = true").no_input
    assert settled(config, "events = true").no_input


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("prot = 'sim'", "prot is no setting"),
        ("[profile.desk]\ntimeout = 'soon'", "profile.desk.timeout"),
        ("[profile.desk]\ntimeuot = 1", "profile.desk.timeuot is no setting"),
        ("yes = true", "yes is not for a profile"),
        ("config = 'other.toml'", "config is not for a profile"),
        ("timeout = true", "timeout is not a value"),
        ("port = ['a']", "port is not a value"),
        ("json = 'maybe'", "json: 'maybe' is not a valid boolean"),
        ("role = 'king'", "role: there is no role 'king'"),
        ("profile = 'desk'", "profile is no table"),
        ("default_profile = 'nosuch'", "has no profile 'nosuch'"),
        ("default_profile = 1", "default_profile is no name"),
        ("port = ", "is not TOML"),
        ("port = " + "[" * 100_000, "is not TOML"),
        ("json = true\nevents = true", "exclude each other"),
    ],
)
def test_mistake_names_file_and_key(config: Path, text: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        settled(config, text)
    assert str(config) in str(caught.value)
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("option", "command"),
    [
        ("--config", "spec"),
        ("--datasheet", "objects"),
        ("provision run --journal j", ""),
    ],
)
def test_a_file_without_end_is_refused(option: str, command: str) -> None:
    outcome = run_umi(*option.split(), "/dev/zero", *command.split())
    assert outcome.exit == 2
    assert outcome.stderr.startswith("umi: /dev/zero is no ")


def test_near_key_is_suggested(config: Path) -> None:
    with pytest.raises(InputError) as caught:
        settled(config, "prot = 'sim'")
    assert caught.value.hint == "did you mean port?"


@pytest.mark.parametrize("name", ["nosuch", "Desk"])
def test_unknown_profile_lists_the_known(config: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        settled(config, PROFILES, UMI_PROFILE=name)
    assert caught.value.hint.endswith("it has: desk, field")


def test_wrong_variable_is_named() -> None:
    outcome = run_umi("spec", env={"UMI_TIMEOUT": "soon"})
    assert outcome.exit == 2
    assert outcome.stderr.startswith("umi: UMI_TIMEOUT: 'soon' is no number of seconds")


def test_profile_reaches_the_commands(config: Path) -> None:
    config.write_text('[profile.list]\noutput = "csv"\n')
    outcome = run_umi("spec", "--profile", "list", env={"XDG_CONFIG_HOME": str(config.parents[1])})
    assert outcome.stdout.startswith("feature,clause")


def test_a_liking_for_csv_refuses_no_command_that_has_none(tmp_path: Path) -> None:
    write = ["-p", f"sim:{tmp_path / 'meter.json'}", "write", "counter", "5"]
    assert run_umi(*write, env={"UMI_OUTPUT": "csv"}).stdout == "counter: written\n"
    outcome = run_umi(*write, "-o", "csv")
    assert outcome.exit == 2
    assert "leave -o csv out" in outcome.stderr


def test_profile_may_ask_for_json_of_usage_errors(config: Path) -> None:
    config.write_text("json = true\n")
    outcome = run_umi("spec", "--nosuch", env={"XDG_CONFIG_HOME": str(config.parents[1])})
    assert outcome.document["error"]["exit"] == 2


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no configuration file"):
        settle({"config": str(tmp_path / "nosuch.toml")}, {})


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        settle({"config": str(tmp_path)}, {})


def test_relative_config_home_is_ignored() -> None:
    assert user_config({"XDG_CONFIG_HOME": "here"}).startswith("/")
    assert user_config({"XDG_CONFIG_HOME": "/there"}) == "/there/umi/config.toml"


@pytest.mark.parametrize(
    ("words", "form"),
    [
        (["read", "x", "--json"], "json"),
        (["--events", "read"], "events"),
        (["read", "--", "--json"], None),
        (["-o", "csv", "read"], "csv"),
        (["--output=raw", "read"], "raw"),
        (["-o", "yaml"], None),
        (["-o"], None),
        ([], None),
    ],
)
def test_form_is_read_ahead(words: list[str], form: str | None) -> None:
    assert form_ahead(words) == form
