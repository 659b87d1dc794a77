"""Several stations at once: one process each, whose events are gathered into one account."""

import json
import os
import selectors
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umi_cli.cli.orders import Held
from umi_cli.errors import JournalError, UnitFailedError

if TYPE_CHECKING:
    from umi_cli.cli.context import App

JOURNAL_UNUSABLE = JournalError.exit_code
COUNTED = (0, 50, 51, 53)
"""How a station ends whose units have all been counted."""
READ_BYTES = 65_536
END_S = 60.0  # a station that was told to end signs off, and writes to a journal that may be away


def run_stations(
    app: "App", plan: Path, url: str, operator: str, addresses: list[str], wait_s: float
) -> dict[str, int]:
    """Work at several stations, until each is done; return how many units ended how.

    Raises:
        JournalError: the journal cannot be used; every station has stopped.
        UnitFailedError: a station ended before its day was over.
    """
    counts = {"done": 0, "failed": 0, "conflict": 0, "interrupted": 0}
    processes: dict[str, subprocess.Popen[bytes]] = {}
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        stack.callback(_end, processes)
        for number, address in enumerate(addresses, start=1):
            command = _command(app, plan, url, operator, address, wait_s)
            with Held():
                processes[address] = subprocess.Popen(  # noqa: S603 - this very program
                    [*command, *_tracing(app, number)],
                    stdout=subprocess.PIPE,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C comes to us alone, and each is told once
                )
            selector.register(processes[address].stdout, selectors.EVENT_READ, address)  # type: ignore[arg-type]
        unread = dict.fromkeys(addresses, b"")
        while selector.get_map():
            for key, _ in selector.select():
                # Not readline: it may keep the next events to itself until others come.
                data = os.read(key.fd, READ_BYTES)
                if not data:
                    selector.unregister(key.fileobj)
                *lines, unread[key.data] = (unread[key.data] + data).split(b"\n")
                for line in lines:
                    _take(app, key.data, json.loads(line), counts)
        _check_ends({address: process.wait() for address, process in processes.items()})
    return counts


def _check_ends(exits: dict[str, int]) -> None:
    """Make sure that every station has come to the end of its day."""
    if JOURNAL_UNUSABLE in exits.values():
        raise JournalError("a station could not use the journal; see what it said above")
    broken = {address: code for address, code in exits.items() if code not in COUNTED}
    if broken:
        said = ", ".join(f"{address} (exit {code})" for address, code in broken.items())
        raise UnitFailedError(
            f"stations ended before their day was over: {said}",
            hint="see what they said above; the other stations have done their work",
        )


def _command(
    app: "App", plan: Path, url: str, operator: str, address: str, wait_s: float
) -> list[str]:
    """Return the command line of one station; options that hold for all go by the environment."""
    own = [sys.executable, "-m", "umi_cli", "--events", "provision", "run", str(plan)]
    words = ["--journal", url, "--operator", operator, "--stations", address]
    extra = ["--config", app.config] if app.config else []
    settings = app.settings
    if settings.timeout_s is not None:
        extra += ["--timeout", f"{settings.timeout_s:g}"]
    extra += ["--retries", str(settings.retries)]
    return [*own, *words, "--wait", f"{wait_s:g}", "--datasheet", settings.datasheet, *extra]


def _tracing(app: "App", number: int) -> list[str]:
    """Return the options by which each station writes a capture of its own."""
    settings = app.settings
    if not settings.trace:
        return []
    from umi_cli.cli.tracing import numbered

    path = numbered(settings.trace, number)
    if settings.trace_plain:
        app.warn(f"--trace-plain: {path} will hold SECRETS, and what encrypted sessions say")
    return ["--trace", path, *(["--trace-plain"] if settings.trace_plain else [])]


def _end(processes: "dict[str, subprocess.Popen[bytes]]") -> None:
    """End the stations that are still at work; each leaves its unit so that it can go on."""
    for process in processes.values():
        process.terminate()  # all of them, before one is waited for
    for process in processes.values():
        try:
            process.communicate(timeout=END_S)  # what it still says, it must get rid of
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


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
    if kind == "result" and line["error"] and line["exit"] not in COUNTED:
        app.warn(f"{address}: {line['error']['message']}")
