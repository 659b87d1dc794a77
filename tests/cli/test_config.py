"""`umi config`: the settings that hold, each with who says so, and no secret among them."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Outcome, call_umi, run_umi
from umi_cli.cli.params import GLOBAL_OPTIONS
from umi_cli.cli.settings import FORMS

CONFIG = """
default_profile = "desk"
retries = 4
port = "top"
[profile.desk]
port = "desk"
role = "service"
[profile.field]
output = "csv"
anchor = ["a.cvc", "b.cvc"]
"""


def show(config: Path, *args: str, **environment: str) -> dict[str, dict[str, Any]]:
    """Return what `umi config show --origin` says of each setting."""
    env = {"XDG_CONFIG_HOME": str(config.parents[1]), **environment}
    document = run_umi("config", "show", "--origin", "--json", *args, env=env).document
    return {record.pop("setting"): record for record in document["data"]}


def test_each_setting_is_shown_with_its_origin(config: Path) -> None:
    config.write_text(CONFIG)
    shown = show(config, "--timeout", "2", UMI_DATASHEET="virtual")
    assert set(shown) == {
        *(option.key for option in GLOBAL_OPTIONS if option.key not in FORMS),
        "output",
    }
    assert shown["timeout"] == {"value": 2.0, "origin": "command line"}
    assert shown["datasheet"] == {"value": "virtual", "origin": "UMI_DATASHEET"}
    assert shown["port"] == {"value": "desk", "origin": f"{config} [profile.desk]"}
    assert shown["role"] == {"value": "service", "origin": f"{config} [profile.desk]"}
    assert shown["retries"] == {"value": 4, "origin": str(config)}
    assert shown["profile"] == {"value": "desk", "origin": str(config)}
    assert shown["config"] == {"value": str(config), "origin": "default"}
    assert shown["umi-id"] == {"value": None, "origin": "default"}
    assert shown["output"] == {"value": "json", "origin": "command line"}
    assert shown["no-input"] == {"value": True, "origin": "follows from output"}


def test_the_chosen_profile_and_form_say_who_chose_them(config: Path) -> None:
    config.write_text(CONFIG)
    env = {"XDG_CONFIG_HOME": str(config.parents[1]), "UMI_PROFILE": "field"}
    lines = run_umi("config", "show", "--origin", env=env).stdout.splitlines()
    assert lines[0] == "setting,value,origin"
    assert "profile,field,UMI_PROFILE" in lines
    assert f"output,csv,{config} [profile.field]" in lines
    assert f'anchor,"a.cvc, b.cvc",{config} [profile.field]' in lines
    assert f"port,top,{config}" in lines


def test_origin_is_left_out_unless_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    [first, *_] = call_umi(capsys, "config", "show", "-p", "sim", "--json").document["data"]
    assert first == {"setting": "port", "value": "sim"}


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("env:UMI_KEY_PEM", "env:UMI_KEY_PEM"),
        ("fd:3", "fd:3"),
        ("file:/nonexistent", "file:/nonexistent"),
        ("prompt", "prompt"),
        ("/dev/null", "/dev/null"),
    ],
)
@pytest.mark.parametrize("option", ["key", "passphrase"])
def test_of_a_secret_only_the_source_is_shown(
    option: str, source: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call_umi(capsys, "config", "show", f"--{option}", source, "--json")
    values = {each["setting"]: each["value"] for each in outcome.document["data"]}
    assert values[option] == shown


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (
            "pkcs11:token=desk?pin-value=geheim&module-name=x",
            "pkcs11:token=desk?pin-value=(not shown)&module-name=x",
        ),
        ("geheim", "(not shown: it names no file that exists)"),
    ],
)
def test_what_may_be_a_secret_is_not_shown(
    source: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call_umi(capsys, "config", "show", "--key", source, "--json")
    values = {each["setting"]: each["value"] for each in outcome.document["data"]}
    assert values["key"] == shown
    assert "geheim" not in outcome.stdout


@pytest.mark.parametrize(
    ("option", "source"),
    [
        ("key", "00112233445566778899aabbccddeeff"),
        ("passphrase", "00112233445566778899aabbccddeeff"),
        ("passphrase", "geheim"),
        ("passphrase", "pkcs11:token=desk?pin-value=geheim&module-name=x"),
    ],
)
def test_a_literal_secret_is_refused_and_not_repeated(
    option: str, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call_umi(capsys, "config", "show", f"--{option}", source)
    assert outcome.exit == 2
    assert "geheim" not in outcome.stderr
    assert source not in outcome.stderr


def test_path_is_that_of_the_file_that_is_read(config: Path, tmp_path: Path) -> None:
    env = {"XDG_CONFIG_HOME": str(config.parents[1])}
    assert run_umi("config", "path", env=env) == Outcome(0, f"{config}\n", "")
    config.write_text("")
    assert run_umi("config", "path", env={"UMI_CONFIG": str(config)}).stdout == f"{config}\n"
    missing = str(tmp_path / "nosuch.toml")
    outcome = run_umi("config", "path", "--config", missing)
    assert (outcome.exit, outcome.stderr) == (2, f"umi: there is no configuration file {missing}\n")


def test_profiles_are_listed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(CONFIG)
    outcome = call_umi(capsys, "config", "profiles", "--config", str(config), "--json")
    assert outcome.document["data"] == [
        {"profile": "desk", "default": True, "port": "desk"},
        {"profile": "field", "default": False, "port": None},
    ]


def test_no_profiles_are_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call_umi(capsys, "config", "profiles", "--config", "/dev/null")
    assert outcome == Outcome(0, "", "/dev/null has no profile\n")


def test_mistyped_profile_is_told_the_near_one(config: Path) -> None:
    config.write_text(CONFIG)
    outcome = run_umi("config", "show", "--config", str(config), "--profile", "feild")
    assert outcome.exit == 2
    assert outcome.stderr == (
        f"umi: {config} has no profile 'feild'\nhint: did you mean field? it has: desk, field\n"
    )
