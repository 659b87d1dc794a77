"""Manual pages and completions: as the commands are, in order, and shown by man."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tests.cli.conftest import ROOT
from tests.cli.test_help import ALL
from tests.cli.test_terminal import subclasses
from umi_cli.cli import base, manual, roff
from umi_cli.cli.generate import COMPLETIONS, differing, generated, main
from umi_cli.cli.params import GLOBAL_OPTIONS
from umi_cli.errors import UmiError
from umi_cli.transports.address import KINDS

PAGES = sorted((ROOT / "man").glob("*.1"))
EXITS = {0, 1, 2, 130, 141, 143, *range(10, 13), *range(14, 18), *range(20, 25), *range(30, 34)}
EXITS |= {*range(40, 43), *range(50, 54)}


def needs(program: str, package: str) -> str:
    """Return where a program is; skip the test if it is not installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (Debian: {package})")
    return found


def test_committed_files_are_those_of_the_commands() -> None:
    assert differing(generated(), ROOT) == [], "run: python -m umi_cli.cli.generate"


def test_there_is_a_page_for_every_command() -> None:
    assert {page.stem for page in PAGES} == {"umi", *("-".join(("umi", *path)) for path in ALL)}


def test_files_are_written_compared_and_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 0
    assert "man/umi-read.1" in capsys.readouterr().out.splitlines()
    assert main(["--check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""
    (tmp_path / "man" / "umi.1").write_text("old", encoding="utf-8")
    (tmp_path / "man" / "umi-gone.1").touch()
    (tmp_path / "completions" / "_umi").unlink()
    assert main(["--check", str(tmp_path)]) == 1
    named = capsys.readouterr().out.splitlines()
    assert named == ["completions/_umi", "man/umi-gone.1", "man/umi.1"]
    assert main([str(tmp_path)]) == 0
    assert differing(generated(), tmp_path) == []


def test_pages_are_clean() -> None:
    process = subprocess.run(
        [needs("mandoc", "mandoc"), "-T", "lint", *map(str, PAGES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_pages_are_shown_by_man() -> None:
    process = subprocess.run(
        [needs("man", "man-db"), "--warnings", "-P", "cat", "-l", *map(str, PAGES)],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "MANWIDTH": "80", "MAN_KEEP_FORMATTING": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stderr == ""
    shown = re.sub(r".\x08|\x1b\[[0-9;]*m", "", process.stdout)
    for page in PAGES:
        assert f"{page.stem.upper()}(1)" in shown
        assert re.search(rf"^ +{page.stem} +- +[a-z]", shown, re.MULTILINE), page.stem


def test_page_of_umi_is_whole() -> None:
    page = generated()["man/umi.1"].replace(r"\-", "-")
    for option in GLOBAL_OPTIONS:
        assert f"--{option.key}" in page
        assert option.variable in page
    for heading in ("NAME", "SYNOPSIS", "GLOBAL OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES"):
        assert f"\n.SH {heading}\n" in page


def test_page_of_a_command_is_whole() -> None:
    page = generated()["man/umi-access-set.1"]
    assert page.startswith(r".TH UMI\-ACCESS\-SET 1 ")
    assert "umi\\-access\\-set \\- set which roles may read and write an object\n" in page
    assert "\\fBumi access set\\fR [\\fIOPTIONS\\fR] \\fIPART\\fR\n" in page
    assert ".TP\n\\fB\\-\\-read\\fR \\fIROLES\\fR\nWho may read it.\n" in page
    assert "\\fBumi\\-access\\-show\\fR(1)" in page


def test_every_exit_code_has_its_meaning() -> None:
    codes = manual.exit_codes()
    assert set(codes) == EXITS
    assert {kind.exit_code for kind in subclasses(UmiError)} <= set(codes)
    assert all(meaning.endswith((".", ").")) for meaning in codes.values())


def test_every_kind_of_address_is_explained() -> None:
    assert {re.split(r"[:\[]", form)[0] for form in manual.ADDRESSES} == set(KINDS)


def test_wheel_installs_every_file() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert set(shared) == {"man", *(path for path in generated() if path.startswith(COMPLETIONS))}


def _nothing() -> None:
    pass


def _helpless() -> click.Command:
    return base.command(examples="umi x")(_nothing)


def _without_examples() -> click.Command:
    return base.command(examples="", help="Do it.")(_nothing)


def _with_a_silent_option() -> click.Command:
    return base.command(examples="umi x", help="Do it.", params=[click.Option(["--it"])])(_nothing)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_helpless, "umi-x has no help"),
        (_without_examples, "umi-x has no examples"),
        (_with_a_silent_option, "umi-x: --it has no help"),
    ],
)
def test_command_that_says_too_little_has_no_page(
    make: Callable[[], click.Command], reason: str
) -> None:
    root = base.group(examples="umi", help="Be the root.")(_nothing)
    root.add_command(make(), "x")
    with pytest.raises(manual.UnwrittenError, match=f"^{reason}$"):
        manual.pages(root, "umi")


def test_text_is_no_markup() -> None:
    assert roff.prose(r"a\b --key -1 self-made ~x 'y'") == (
        r"a\eb \-\-key \-1 self-made \(tix \(aqy\(aq"
    )
    page = roff.Page("x", date="2026-01-01", source="x", manual="x")
    page.paragraph(".PP is no request")
    page.examples([".x"])
    assert str(page).splitlines()[1:] == ["\\&.PP is no request", ".PP", ".EX", "\\&.x", ".EE"]
