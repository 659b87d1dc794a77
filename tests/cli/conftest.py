"""`umi` as its users run it: a process of its own, with its own streams and exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest

from umi_cli.cli.main import run

ROOT = Path(__file__).resolve().parents[2]
UMI = [sys.executable, "-bb", "-W", "error", "-m", "umi_cli"]
TIME_LIMIT_S = 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of `umi` ended."""

    exit: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """Return the one JSON document on stdout; nothing may stand beside it."""
        document = json.loads(self.stdout)
        assert document["schema"] == "umi/1"
        assert document["ok"] == (self.exit == 0)
        assert (document["error"] or {"exit": 0})["exit"] == self.exit
        assert self.stderr == ""
        return dict(document)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the JSON events on stdout; the last is the result."""
        events = [json.loads(line) for line in self.stdout.splitlines()]
        assert [event["seq"] for event in events] == list(range(len(events)))
        assert all(event["ts"].endswith("Z") for event in events)
        assert events[-1]["type"] == "result"
        assert events[-1]["exit"] == self.exit
        return events


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a user who has set nothing but these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UMI_")}
    kept.pop("NO_COLOR", None)
    defaults = {
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": "/nonexistent",
        "COLUMNS": "80",
        "MPLCONFIGDIR": gettempdir(),
    }
    return {**kept, **defaults, **(env or {})}


def start_umi(*args: str, env: Mapping[str, str] | None = None, **pipes: Any) -> Any:
    """Start `umi` with pipes."""
    return subprocess.Popen(
        [*UMI, *args],
        env=environment(env),
        text=True,
        stdin=pipes.get("stdin", subprocess.PIPE),
        stdout=pipes.get("stdout", subprocess.PIPE),
        stderr=pipes.get("stderr", subprocess.PIPE),
        process_group=pipes.get("process_group"),
    )


def run_umi(*args: str, input: str | None = None, env: Mapping[str, str] | None = None) -> Outcome:
    """Run `umi` to its end; stdin is empty unless there is input."""
    process = subprocess.run(
        [*UMI, *args],
        input=input or "",
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    return Outcome(process.returncode, process.stdout, process.stderr)


def call_umi(capsys: pytest.CaptureFixture[str], *args: str) -> Outcome:
    """Run `umi` in this process, which is ten times as fast, where streams do not matter."""
    code = run(args)
    out, err = capsys.readouterr()
    return Outcome(code, out, err)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return where the user's configuration file is, with XDG_CONFIG_HOME at `tmp_path`."""
    path = tmp_path / "umi" / "config.toml"
    path.parent.mkdir()
    return path
