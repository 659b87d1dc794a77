"""Several stations at once: one process each, whose events are gathered into one account."""

import json
import selectors
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from umi_cli.errors import JournalError

if TYPE_CHECKING:
    from umi_cli.cli.context import App

JOURNAL_UNUSABLE = 52


def run_stations(
    app: "App", plan: Path, url: str, operator: str, addresses: list[str], wait_s: float
) -> dict[str, int]:
    """Work at several stations, until each is done; return how many units ended how.

    Raises:
        JournalError: the journal cannot be used; every station has stopped.
    """
    counts = {"done": 0, "failed": 0, "conflict": 0, "interrupted": 0}
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        processes = []
        for address in addresses:
            process = subprocess.Popen(  # noqa: S603 - this very program
                _command(app, plan, url, operator, address, wait_s),
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
            )
            stack.callback(_end, process)
            processes.append(process)
            selector.register(process.stdout, selectors.EVENT_READ, address)  # type: ignore[arg-type]
        while selector.get_map():
            for key, _ in selector.select():
                line = _next_line(key.fileobj)  # type: ignore[arg-type]
                if line is None:
                    selector.unregister(key.fileobj)
                else:
                    _take(app, key.data, line, counts)
        if any(process.wait() == JOURNAL_UNUSABLE for process in processes):
            raise JournalError("a station could not use the journal; see what it said above")
    return counts


def _command(
    app: "App", plan: Path, url: str, operator: str, address: str, wait_s: float
) -> list[str]:
    """Return the command line of one station; options that hold for all go by the environment."""
    own = [sys.executable, "-m", "umi_cli", "--events", "provision", "run", str(plan)]
    words = ["--journal", url, "--operator", operator, "--stations", address]
    config = app.given.get("config")
    extra = ["--config", str(config)] if config else []
    return [*own, *words, "--wait", f"{wait_s:g}", "--datasheet", app.settings.datasheet, *extra]


def _end(process: "subprocess.Popen[str]") -> None:
    """End a station that is still at work; it leaves its unit so that it can go on."""
    if process.poll() is None:
        process.terminate()
    process.wait()
    if process.stdout:
        process.stdout.close()


def _next_line(stream: IO[str]) -> dict[str, Any] | None:
    """Return the next event of a station; None at its end."""
    text = stream.readline()
    if not text:
        return None
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


def _take(app: "App", address: str, line: dict[str, Any], counts: dict[str, int]) -> None:
    """Count what a station tells, and pass it on."""
    kind = line.pop("type", "")
    if kind == "unit":
        counts[line["outcome"]] += 1
        name = line["serial"] or line["unit"] or "a unit"
        why = f": {line['error']['message']}" if line["error"] else ""
        app.note(f"{address} {line['outcome']} {name}{why}")
    if kind in ("unit", "step"):
        fields = {key: value for key, value in line.items() if key not in ("seq", "ts")}
        app.event(kind, station=address, **fields)
