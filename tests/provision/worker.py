"""What other stations do: processes that work on a journal, and are killed while they do."""

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from umi_cli.errors import ConflictError
from umi_cli.provision import ledger, sqlite_journal
from umi_cli.provision.journal import Journal, Phase, open_journal
from umi_cli.provision.pools import Pool

psycopg: Any = None
with suppress(ImportError):  # before the stations are forked, for each would take its time
    psycopg = import_module("psycopg")
    import_module("umi_cli.provision.postgres_journal")

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.provision.worker"])
SAFETY_S = 60
IDS = Pool.parse("ids", "umi-id", "00237EFE00100000+100000")
SERIALS = Pool.parse("serials", "serial", "SN000100+100000")

Fact = tuple[str, ...]
Tell = Callable[..., None]
"""Tell the parent what a call has returned: from here on it must be in the journal."""


@dataclass
class Station:
    """A process that works on a journal."""

    process: Any
    pipe: Connection
    facts: list[Fact] = field(default_factory=list)

    def hear(self, count: int | None = None) -> list[Fact]:
        """Take what it tells: so many facts, or all until its end."""
        while count is None or len(self.facts) < count:
            try:
                assert self.pipe.poll(SAFETY_S), "the station hangs"
                self.facts.append(self.pipe.recv())
            except (EOFError, ConnectionResetError):
                break
        return self.facts

    def kill(self) -> list[Fact]:
        """Kill it, and return all that it has told."""
        os.kill(self.process.pid, signal.SIGKILL)
        return self.end()

    def end(self) -> list[Fact]:
        """Wait for its end, and return all that it has told."""
        self.hear()
        self.process.join(SAFETY_S)
        return self.facts


def start(work: Callable[..., None], url: str, *args: Any, name: str = "other") -> Station:
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_main, args=(work, url, name, theirs, args), daemon=True)
    process.start()
    theirs.close()
    return Station(process, ours)


def _main(
    work: Callable[..., None], url: str, name: str, pipe: Connection, args: tuple[Any, ...]
) -> None:
    def tell(*fact: str) -> None:
        pipe.send(fact)

    work(lambda: open_journal(url, station=name, operator="worker", tool="0.1.0"), tell, *args)


Open = Callable[[], Journal]


def hammer(open_it: Open, tell: Tell, prefix: str, count: int) -> None:
    """Allot to units of our own, claim what others claim as well, record."""
    with open_it() as journal:
        tell("open")
        for number in range(count):
            unit = f"{prefix}{number}"
            tell("allot", unit, journal.allot(unit, "umi-id", IDS))
            tell("record", unit, str(journal.record(unit, "flash", Phase.DONE).number))
            try:
                journal.claim(unit, "serial", f"CSV{number:06d}")
                tell("claim", unit, f"CSV{number:06d}")
            except ConflictError:
                continue


def run_units(open_it: Open, tell: Tell, units: list[str]) -> None:
    """Work on units as a line does, from wherever they are."""
    with open_it() as journal:
        for unit in units:
            run_unit(journal, tell, unit)


def run_unit(journal: Journal, tell: Tell, unit: str) -> None:
    with journal.lock(unit):
        tell("allot", unit, journal.allot(unit, "umi-id", IDS))
        tell("allot", unit, journal.allot(unit, "serial", SERIALS))
        journal.claim(unit, "board", f"B{unit}")
        tell("claim", unit, f"B{unit}")
        for phase in (Phase.REQUESTED, Phase.DONE):
            entry = journal.record(unit, "flash", phase, {"unit": unit})
            tell("record", unit, str(entry.number), entry.digest.hex())
        journal.finish(unit)
        tell("finish", unit)


def run_and_die(open_it: Open, tell: Tell, units: list[str], point: int) -> None:
    """Work on units until a point of the program, counted, is reached; die there by SIGKILL."""
    with dying_at(point):
        run_units(open_it, tell, units)


@contextmanager
def dying_at(point: int) -> Iterator[None]:
    """Die at the n-th point: before and after each statement, and before what it did is told."""
    left = point

    def pass_point(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    _instrument_sqlite(pass_point)
    _instrument_postgres(pass_point)
    yield


def _instrument_sqlite(pass_point: Callable[..., None]) -> None:
    class Traced(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.set_trace_callback(pass_point)  # before each statement, BEGIN and COMMIT too

    sqlite3.connect = Traced  # type: ignore[assignment]
    _after(sqlite_journal.SqliteJournal, "_transact", pass_point)


def _instrument_postgres(pass_point: Callable[..., None]) -> None:
    if psycopg is None:
        return
    from umi_cli.provision.postgres_journal import PostgresJournal

    _after(psycopg.Connection, "execute", pass_point)
    _after(PostgresJournal, "_transact", pass_point)


def _after(owner: type, name: str, pass_point: Callable[..., None]) -> None:
    """Pass a point before and after each call of a method."""
    method = getattr(owner, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        pass_point()
        result = method(*args, **options)
        pass_point()
        return result

    setattr(owner, name, wrapped)


def count_up(open_it: Open, tell: Tell, unit: str, count: int) -> None:
    """Record a number, and the next, and the next."""
    with open_it() as journal:
        for number in range(count):
            entry = journal.record(unit, "count", Phase.OBSERVED, {"number": number})
            tell("count", str(number), str(entry.number))


def hold(open_it: Open, tell: Tell, unit: str) -> None:
    """Hold the lock of a unit until somebody kills us."""
    with open_it() as journal, journal.lock(unit):
        tell("held")
        signal.pause()


def grab_writing(open_it: Open, tell: Tell) -> None:
    """Hold the journal's write lock until somebody kills us."""
    journal = open_it()
    assert isinstance(journal, ledger.Ledger)

    def work(page: ledger.Page) -> None:
        tell("held")
        signal.pause()

    journal._transact(work)


def open_only(open_it: Open, tell: Tell) -> None:
    """Make the journal at the same time as others do."""
    with open_it() as journal:
        journal.record("unit", "step", Phase.DONE)
        tell("open")
