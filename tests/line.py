"""A whole factory line of virtual units, and what is left when it is killed anywhere.

    python -m tests.line [--units 200] [--stations 4] [--kills 500] [--runs-killed 20] [--seed 1]

First blank units go through a plan at several stations (the last one optical), and each proves
itself in a scheme 2 session. Then lines are killed at points that a seed chooses: the host at any
call of its port or statement of its journal, the unit at any frame, and whole processes by SIGKILL.
After each the line goes on; no value may have two units, and no unit may be half.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.provision.factory import STATION_ID, Factory, built
from tests.provision.jig import Jig, jigs, run_line
from umi_cli.certificates.chain import decode_chain
from umi_cli.cli.context import App
from umi_cli.cli.provision_line import line_of
from umi_cli.device.credentials import Credentials
from umi_cli.device.meter import Meter
from umi_cli.device.session import Session
from umi_cli.errors import ConflictError, LostError, UmiError
from umi_cli.provision.chain import Author
from umi_cli.provision.journal import Journal, UnitStatus, open_journal
from umi_cli.provision.line import Line
from umi_cli.provision.plan import load_plan
from umi_cli.provision.run import UnitRun
from umi_cli.provision.sqlite_journal import SqliteJournal
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.types import UmiId
from umi_cli.virtual.setup import SimOptions, Simulation

KINDS = ("host", "journal", "unit")
MAX_POINT = {"host": 160, "journal": 130, "unit": 80}
"""About how many calls a unit takes."""
EACH_JOURNAL = 100  # lines that are killed; each is looked for in the whole journal
LOCKED = b"\x02"


class KilledError(BaseException):
    """The host is dead from here on; nothing may catch it."""


class Fuse:
    """Counts what happens, and blows once."""

    def __init__(self, point: int | None = None) -> None:
        self.left = point

    def burn(self) -> bool:
        """Tell whether this is the moment."""
        if self.left is None:
            return False
        self.left -= 1
        if self.left == 0:
            self.left = None
            return True
        return False


class Bench:
    """The unit that is in, and what dies when.

    Args:
        unit: its state file.
        fuses: by kind.
    """

    def __init__(self, unit: Path, fuses: dict[str, Fuse]) -> None:
        self.unit = unit
        self.fuses = fuses

    @contextmanager
    def connect(self, credentials: Credentials | None) -> Iterator[Meter]:
        """Open the unit; as guest without credentials."""
        from umi_cli.connecting import _protection
        from umi_cli.objects.catalogue import Catalogue

        simulation = Simulation(SimOptions(state=self.unit, is_blank=True), time.time())
        line = simulation.new_line(random.randbytes(8).hex())
        transport = _Port(line, self.fuses)
        try:
            session = Session(
                transport,
                own_id=UmiId.parse(STATION_ID),
                protection=_protection(credentials),
                attempts=3,
            )
            with Meter(transport, session, Catalogue.load("ei4")) as meter:
                yield meter
        finally:
            _cut_power(simulation)


def _cut_power(simulation: Simulation) -> None:
    """End a unit without a last save: what it has not put away by now is gone."""
    file, simulation._file = simulation._file, None
    if file:
        file.close()
    simulation.close()


class _Port(MemoryTransport):
    """A port whose host or unit may die at any call."""

    def __init__(self, line: Any, fuses: dict[str, Fuse]) -> None:
        super().__init__(line, clock=SimulatedClock())
        self._fuses = fuses
        self._is_dead = False

    def send(self, data: bytes) -> None:
        self._may_die()
        if self._fuses["unit"].burn():
            self._is_dead = True  # before it has heard the frame
        self._check()
        super().send(data)
        if self._fuses["unit"].burn():
            self._is_dead = True  # before its answer is on the line
        self._may_die()

    def receive(self, deadline: float) -> bytes:
        self._check()
        data = super().receive(deadline)
        self._may_die()
        return data

    def _check(self) -> None:
        if self._is_dead:
            raise LostError("the unit is dead")

    def _may_die(self) -> None:
        if self._fuses["host"].burn():
            self._is_dead = True  # nothing is sent on the way out
            raise KilledError


class DyingJournal(SqliteJournal):
    """A journal whose process dies before or after a statement."""

    fuse = Fuse()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        if self.fuse.burn():
            raise KilledError
        rows = super().rows(sql, *values)
        if self.fuse.burn():
            raise KilledError
        return rows


def killed_line(factory: Factory, line: Line, number: int, rng: random.Random) -> list[str]:
    """Kill a unit's run at a random point, let it go on, and return what is wrong then."""
    unit = factory.path / f"killed{number}.json"
    kind = rng.choice(KINDS)
    fuses = {each: Fuse() for each in KINDS}
    fuses[kind] = Fuse(rng.randrange(1, MAX_POINT[kind]))
    author = Author(station="s1", operator="tester", tool="0.1.0")
    bench = Bench(unit, fuses)
    with contextlib.suppress(KilledError), DyingJournal(factory.journal, author) as journal:
        journal.fuse = fuses["journal"]
        with contextlib.suppress(UmiError):
            UnitRun(line, journal, bench.connect, lambda meter: None).run()
    with open_journal(factory.journal, station="s2", operator="tester", tool="0.1.0") as journal:
        wrong = _unit_faults(unit, journal)
        try:
            bench = Bench(unit, {each: Fuse() for each in KINDS})
            UnitRun(line, journal, bench.connect, lambda meter: None).run()
        except ConflictError:
            pass  # it was done
        except UmiError as error:
            wrong.append(f"does not go on: {error}")
        wrong += _unit_faults(unit, journal)
        states = [s for s in journal.units() if s.values.get("umi-id") == str(_memory(unit)[0])]
        if [each.status for each in states] != [UnitStatus.DONE]:
            wrong.append("is not done, or done twice")
    return [f"{unit.name}, {kind}: {each}" for each in wrong]


def _memory(unit: Path) -> tuple[UmiId, bytes, str | None]:
    """Return a unit's UMI ID, its stage, and the fingerprint of its certificate."""
    from umi_cli.virtual.life_cycle import LIFE_CYCLE_OBJECT

    if not unit.exists():
        return UmiId(0), b"", None
    simulation = Simulation(SimOptions(state=unit), time.time())
    try:
        memory = simulation.meter.memory
        chain = memory.vault.chain
        fingerprint = chain[0].fingerprint.hex() if chain else None
        return memory.umi_id, memory.store.values[LIFE_CYCLE_OBJECT], fingerprint
    finally:
        simulation.close()


def _unit_faults(unit: Path, journal: Journal) -> list[str]:
    """Return what is wrong between a unit and the journal, however far it is."""
    umi_id, stage, fingerprint = _memory(unit)
    if fingerprint is None:
        return []  # it is unfinished, and looks it
    issued = {
        entry.data["fingerprint"]: entry.unit
        for entry in journal.entries()
        if entry.step == "certify" and entry.phase.value == "requested"
    }
    if fingerprint not in issued:
        return ["has a certificate that is not in the journal"]
    state = journal.state(issued[fingerprint])
    wrong = []
    if state.values.get("umi-id") != str(umi_id):
        wrong.append("has another UMI ID than the journal says")
    if state.status is UnitStatus.DONE and stage != LOCKED:
        wrong.append("counts as done, and is not locked")
    return wrong


def journal_faults(factory: Factory) -> list[str]:
    """Return what is wrong in the journal: its chain, a value with two units, two certificates."""
    with open_journal(factory.journal, station="desk", operator="tester", tool="0.1.0") as journal:
        journal.verify()
        given = Counter((kind, v) for s in journal.units() for kind, v in s.values.items())
        chains = Counter(
            decode_chain(bytes.fromhex(entry.data["chain"]))[0].body.subject
            for entry in journal.entries()
            if entry.step == "certify" and entry.phase.value == "requested"
        )
    wrong = [f"{what} was given {count} times" for what, count in given.items() if count > 1]
    return wrong + [f"{who} has {n} certificates" for who, n in chains.items() if n > 1]


def proof_faults(factory: Factory, paths: list[Path]) -> list[str]:
    """Return the units that do not prove themselves in a scheme 2 session."""
    wrong, seen = [], set()
    for path in paths:
        try:
            with factory.connect(f"sim:{path}") as meter:
                meter.session.begin()
                proved = meter.session.standing.device_certificate
                if proved is None or meter.read("life-cycle").raw != LOCKED:
                    wrong.append(f"{path.name} is not whole")
                    continue
                seen.add(proved.body.subject)
        except UmiError as error:
            wrong.append(f"{path.name}: {error}")
    if len(seen) != len(paths) - len(wrong):
        wrong.append("two units have one UMI ID")
    return wrong


def whole_line(factory: Factory, count: int, stations: int) -> list[str]:
    """Take units through a plan at stations, the last of which is optical."""
    paths = [factory.path / f"unit{number}.json" for number in range(count)]
    feed = iter(paths)
    places = [Jig(feed) for _ in range(stations - 1)] + [Jig(feed, link=factory.path / "probe")]
    began = time.monotonic()
    with jigs(*places):
        told = run_line(factory.plan(count), factory.journal, places)
    seconds = time.monotonic() - began
    wrong = [f"exit {told.exit}: {told.stderr}"] if told.exit else []
    wrong += proof_faults(factory, paths) + journal_faults(factory)
    by_station = Counter(unit["station"].partition(":")[0] for unit in told.units)
    where = ", ".join(f"{n} over {kind}" for kind, n in sorted(by_station.items()))
    print(
        f"{count} units at {stations} stations in {seconds:.0f} s ({where}), {len(wrong)} failures"
    )
    return wrong


def killed_runs(factory: Factory, count: int, rng: random.Random) -> list[str]:
    """Kill whole runs by SIGKILL, put the units in again, and go on."""
    paths = [factory.path / f"run{number}.json" for number in range(2 * count)]
    plan = factory.plan(len(paths))
    waiting = list(paths)
    for _ in range(count):
        with jigs(Jig(waiting[:1]), Jig(waiting[1:2])) as places:
            point = rng.randrange(1, 20)
            run_line(plan, factory.journal, places, kill_at=point, wait_s=0.1)
        with jigs(Jig(waiting[:1]), Jig(waiting[1:2])) as places:
            run_line(plan, factory.journal, places, command="resume", wait_s=0.1)
        waiting = waiting[2:]
    return proof_faults(factory, paths) + journal_faults(factory)


def _fresh(folder: str, name: str) -> Factory:
    path = Path(folder) / name
    path.mkdir()
    return built(path)


def main() -> int:
    """Run it all; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.line")
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--stations", type=int, default=4)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--runs-killed", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        wrong = whole_line(_fresh(folder, "whole"), given.units, given.stations)
        bad: list[str] = []
        for first in range(0, given.kills, EACH_JOURNAL):
            killed = _fresh(folder, f"killed{first}")
            line = line_of(App([]), load_plan(Path(killed.plan(EACH_JOURNAL))))
            for number in range(first, min(first + EACH_JOURNAL, given.kills)):
                bad += killed_line(killed, line, number, rng)
            bad += journal_faults(killed)
        bad += killed_runs(_fresh(folder, "runs"), given.runs_killed, rng)
    print(f"{given.kills + given.runs_killed} kill points, {len(bad)} failures (seed {given.seed})")
    for each in (*wrong, *bad):
        print(f"  {each}")
    return 1 if wrong or bad else 0


if __name__ == "__main__":
    sys.exit(main())
