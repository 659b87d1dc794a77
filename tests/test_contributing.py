"""The new command that the README's page on contributing shows is whole, short, and works."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import environment
from tests.readme import README, Block, blocks, console_steps

ROOT = README.parent
MAX_LINES = 25


def shown() -> dict[str, Block]:
    """Return the blocks of the new command, by what their comments say."""
    found = blocks(README.read_text(encoding="utf-8").splitlines())
    return {block.note[1]: block for block in found if block.note[0] == "command"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the package with the command in its place."""
    folder = tmp_path_factory.mktemp("house")
    no_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "umi_cli", folder / "umi_cli", ignore=no_caches)
    for name, block in shown().items():
        path = folder / name
        if path.is_file():  # the registry, which takes a line more
            head, opening, tail = path.read_text(encoding="utf-8").partition("Entry] = {\n")
            assert opening
            path.write_text(head + opening + block.text + tail, encoding="utf-8")
        elif name:
            path.write_text(block.text, encoding="utf-8")
    return folder


def run(house: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-bb", "-W", "error", "-m", "umi_cli", *words],
        env=environment({"PYTHONPATH": str(house)}),
        cwd=house,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_short() -> None:
    for name, block in shown().items():
        assert len(block.lines) < MAX_LINES, name


def test_it_prints_what_the_readme_shows(house: Path) -> None:
    (step,) = console_steps(shown()[""])
    umi, *words = step.text.split()
    assert umi == "umi"
    ended = run(house, *words)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert tuple(ended.stdout.splitlines()) == step.shown


def test_it_has_what_every_command_has(house: Path) -> None:
    entry = shown()["umi_cli/cli/registry.py"].text.split('"')[5]
    assert entry in run(house, "software", "-h").stdout
    assert entry in run(house, "-h").stdout
    document = run(house, "-p", "sim", "software", "--json").stdout
    assert '"command":"software"' in document
    assert run(house, "-p", "tcp:127.0.0.1:1", "software").returncode == 10
