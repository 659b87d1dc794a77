"""How many units an hour a station does, and where the time of a unit goes.

The optical line is in process, on a clock that skips what would be waited for but counts it;
`tests.bench` prints what comes out here.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.provision.factory import STATION_ID, Factory, built
from tests.provision.jig import Jig, jigs, run_line
from umi_cli.cli.context import App
from umi_cli.cli.provision_line import line_of
from umi_cli.connecting import connect
from umi_cli.device.credentials import Credentials
from umi_cli.device.meter import Meter
from umi_cli.provision.chain import Author
from umi_cli.provision.ledger import R, Work
from umi_cli.provision.plan import load_plan
from umi_cli.provision.run import UnitRun
from umi_cli.provision.sqlite_journal import SqliteJournal
from umi_cli.types import UmiId

UNITS = 6
OPTICAL_UNITS = 3
HOUR_S = 3600
WAIT_S = 1.0
BAUD = 9600


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFigures:
    """What came out."""

    tcp_units_per_h: float
    """Of one station, with the next unit put in at once."""
    two_tcp_units_per_h: float
    """Of two stations on this machine together."""
    optical_units_per_h: float
    """Of one station at 9600 baud."""
    wire_share: float
    """Of the time of a unit on the optical line: characters, pauses, sign-ons."""
    journal_share: float
    computing_share: float
    """Host and unit, which are one process here."""


class TimedJournal(SqliteJournal):
    """A journal that knows how long it took."""

    taken_s = 0.0

    def _transact(self, work: Work[R]) -> R:
        began = time.perf_counter()
        try:
            return super()._transact(work)
        finally:
            self.taken_s += time.perf_counter() - began

    def _look(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        began = time.perf_counter()
        try:
            return super()._look(sql, *values)
        finally:
            self.taken_s += time.perf_counter() - began


def _served(factory: Factory, stations: int) -> float:
    """Return how many units an hour so many stations on TCP do."""
    count = UNITS * stations
    feed = iter([factory.path / f"tcp{stations}-{number}.json" for number in range(count)])
    seen: list[float] = []
    with jigs(*(Jig(feed) for _ in range(stations))) as places:
        plan = factory.plan(count, name=f"plan{stations}.toml")
        journal = str(factory.path / f"tcp{stations}.journal")
        told = run_line(
            plan,
            journal,
            places,
            wait_s=WAIT_S,
            before_next=lambda jig, event: seen.append(time.monotonic()),
        )
    assert told.exit == 0, told.stderr
    return (len(seen) - 1) / (seen[-1] - seen[0]) * HOUR_S  # without the start of the program


def _optical(factory: Factory) -> tuple[float, float, float]:
    """Return the seconds of a unit at 9600 baud: in all, waiting for the wire, in the journal."""
    line = line_of(App([]), load_plan(Path(factory.plan(OPTICAL_UNITS))))
    wire_s = 0.0
    author = Author(station="bench", operator="bench", tool="bench")
    began = time.perf_counter()
    with TimedJournal(str(factory.path / "opto.journal"), author) as journal:
        for number in range(OPTICAL_UNITS):
            unit = factory.path / f"opto{number}.json"
            address = f"opto:sim:{unit}?blank=yes&opto=baud:{BAUD},no-wakeup"

            @contextmanager
            def open_unit(
                credentials: Credentials | None, address: str = address
            ) -> Iterator[Meter]:
                nonlocal wire_s
                own = UmiId.parse(STATION_ID)
                with connect(address, credentials=credentials, umi_id=own) as meter:
                    clock = meter.transport.clock
                    try:
                        yield meter
                    finally:
                        wire_s += clock.monotonic() - time.monotonic()

            UnitRun(line, journal, open_unit, lambda meter: None).run()
        journal_s = journal.taken_s
    total_s = time.perf_counter() - began + wire_s
    return total_s / OPTICAL_UNITS, wire_s / OPTICAL_UNITS, journal_s / OPTICAL_UNITS


def measure() -> LineFigures:
    """Measure a line."""
    with TemporaryDirectory() as folder:
        factory = built(Path(folder))
        one, two = _served(factory, 1), _served(factory, 2)
        total_s, wire_s, journal_s = _optical(factory)
    return LineFigures(
        tcp_units_per_h=one,
        two_tcp_units_per_h=two,
        optical_units_per_h=HOUR_S / total_s,
        wire_share=wire_s / total_s,
        journal_share=journal_s / total_s,
        computing_share=1 - (wire_s + journal_s) / total_s,
    )
