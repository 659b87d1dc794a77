"""A jig: the place at a station where one blank virtual unit after the other is put in.

It reads what the line tells, as the worker at the line does: a unit that is done, or failed, is
taken out, and the next one is put in. Between two of them nobody is at the address.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.cli.conftest import start_umi
from tests.transports.ends import LOCALHOST, SAFETY_S, free_port
from umi_cli.virtual.serve import Server
from umi_cli.virtual.setup import SimOptions, Simulation

OPTICAL = "no-wakeup,baud:19200"


class Jig:
    """One place with one address.

    Args:
        units: the state files of the units that are put in, one after the other.
        link: the name of the pseudo-terminal of its optical port; TCP without one.
        query: options of a unit, as in `sim:?…`.
    """

    def __init__(self, units: Iterable[Path], link: Path | None = None, **query: str) -> None:
        self._units = iter(units)
        self._link = link
        self._query = {"blank": "yes", "opto": OPTICAL, **query}
        self._port = 0 if link else free_port()
        self._pool = ThreadPoolExecutor(1)
        self._stack = ExitStack()
        self.unit: Path | None = None
        """The state file of the unit that is in."""

    @property
    def address(self) -> str:
        """Return where a unit is found when one is in."""
        if self._link:
            return f"opto:{self._link}?wakeup=none"
        return f"tcp:{LOCALHOST}:{self._port}"

    def __enter__(self) -> Self:
        self.next()
        return self

    def __exit__(self, *exception: object) -> None:
        self.take_out()
        self._pool.shutdown()

    def next(self) -> None:
        """Take the unit out, and put the next one in, if there is any."""
        self.take_out()
        self.unit = next(self._units, None)
        if self.unit is not None:
            self.put_in(self.unit)

    def put_in(self, unit: Path) -> None:
        """Put a unit in, whoever it is."""
        self.unit = unit
        with ExitStack() as stack:
            simulation = Simulation(SimOptions.from_query(str(unit), self._query), time.time())
            stack.callback(simulation.close)
            server = stack.enter_context(Server(simulation))
            if self._link:
                server.open_optical(self._link)
            else:
                server.listen(LOCALHOST, self._port)
            running: Future[None] = self._pool.submit(server.run)
            stack.callback(lambda: running.result(SAFETY_S))
            stack.callback(server.stop)
            self._stack = stack.pop_all()

    def take_out(self) -> None:
        """Take the unit out; nobody is at the address afterwards."""
        self.unit = None
        self._stack.close()


@dataclass(slots=True)
class Told:
    """What a run of the line told."""

    exit: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    stderr: str = ""

    @property
    def units(self) -> list[dict[str, Any]]:
        """Return what came of each unit."""
        return [event for event in self.events if event["type"] == "unit"]

    @property
    def result(self) -> dict[str, Any]:
        """Return how the run ended."""
        return self.events[-1]


@contextmanager
def jigs(*made: Jig) -> Iterator[Sequence[Jig]]:
    """Put the first unit into each of several jigs."""
    with ExitStack() as stack:
        yield [stack.enter_context(each) for each in made]


def run_line(
    plan: str,
    journal: str,
    places: Sequence[Jig],
    *words: str,
    command: str = "run",
    kill_at: int | None = None,
    wait_s: float = 2.0,
    before_next: Callable[[Jig, dict[str, Any]], None] = lambda jig, event: None,
) -> Told:
    """Run the line in a process of its own, and serve its stations with units until it ends.

    Args:
        plan, journal: of the line.
        places: one for each station.
        words: more of the command line.
        command: `run` or `resume`.
        kill_at: kill the run, with its stations, when it has told so many events.
        wait_s: how long a station waits for another unit.
        before_next: told what came of a unit, before it is taken out.
    """
    stations = ",".join(each.address for each in places)
    process: subprocess.Popen[str] = start_umi(
        *("--events", "provision", command, plan, "--journal", journal, "--stations", stations),
        *("--wait", f"{wait_s:g}", *words),
        stdin=subprocess.DEVNULL,
    )
    told = Told()
    by_address = {each.address: each for each in places}
    with process, ThreadPoolExecutor(1) as pool:
        errors = pool.submit(process.stderr.read)  # type: ignore[union-attr]
        for line in process.stdout or ():
            event = json.loads(line)
            told.events.append(event)
            if kill_at is not None and len(told.events) >= kill_at:
                _kill(process.pid)
                break
            if event["type"] == "unit":
                jig = by_address[event.get("station") or places[0].address]
                before_next(jig, event)
                jig.next()
        if process.stdout:
            process.stdout.read()
        told.exit = process.wait(SAFETY_S)
        told.stderr = errors.result(SAFETY_S)
    return told


def _kill(pid: int) -> None:
    """Kill a run and its stations, all at once as far as that can be."""
    for each in (pid, *children_of(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]
