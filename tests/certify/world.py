"""A virtual meter on each kind of line, in process, with everything that a test of the suite needs.

Its clocks skip what would be waited for, so the whole suite takes a second.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.cli.desk import laid
from umi_cli.certify.bench import Bench, BenchSettings
from umi_cli.certify.case import Case, Level, Need
from umi_cli.certify.evidence import Recorder
from umi_cli.certify.run import Result, run_cases
from umi_cli.certify.suite import chosen
from umi_cli.cli.certify_bench import Proofs, proofs_of
from umi_cli.cli.context import App
from umi_cli.connecting import connect
from umi_cli.device.meter import Meter
from umi_cli.device.session import Session
from umi_cli.errors import LostError
from umi_cli.objects.catalogue import Catalogue
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.virtual.setup import SimOptions, Simulation

PLACES = ("sim", "opto", "spi")
QUIET_S = 0.5
OFF_S = 1.0
ALLOWED = frozenset({Need.CHANGES, Need.DESTRUCTION})
_DEFERRED = "umi.1.1.0.2:300"


def cases_of(place: str) -> list[Case]:
    """Return the tests that a defect has to be looked for with on a kind of line."""
    own = {"opto": Need.OPTICAL, "spi": Need.SPI}
    if place in own:
        return [case for case in chosen(Level) if own[place] in case.needs]
    return [case for case in chosen(Level) if not case.needs & set(own.values())]


@dataclass(frozen=True, slots=True)
class World:
    """A desk with keys and certificates, and meters that know them."""

    path: Path

    @classmethod
    def made(cls, path: Path) -> "World":
        """Lay the desk out in an empty directory."""
        laid(path)
        return cls(path)

    @property
    def query(self) -> dict[str, str]:
        """Return what a virtual meter of this world is told."""
        return {
            "key": f"{self.path}/meter.pem",
            "cert": f"{self.path}/meter.cvc",
            "anchor": f"{self.path}/root.cvc",
            "role-keys": f"service:{self.path}/service.key",
            "defer": _DEFERRED,
        }

    @property
    def words(self) -> tuple[str, ...]:
        """Return what `umi certify` is told, so that it can run every test."""
        return (
            *("--key", f"{self.path}/office.pem", "--cert", f"{self.path}/chain.cvc"),
            *("--anchor", f"{self.path}/root.cvc"),
            *("--role-key", f"service:{self.path}/service.key"),
            *("--ca-key", f"{self.path}/root.pem", "--ca-cert", f"{self.path}/root.cvc"),
        )

    def address(self, place: str, **more: str) -> str:
        """Return the address of a meter of this world."""
        query = "&".join(f"{name}={text}" for name, text in {**self.query, **more}.items())
        return f"{'' if place == 'sim' else f'{place}:'}sim:?{query}"

    def proofs(self) -> Proofs:
        """Return what the suite proves itself with."""
        app = App([], {})
        app.given = {
            "key": f"{self.path}/office.pem",
            "cert": f"{self.path}/chain.cvc",
            "anchor": (f"{self.path}/root.cvc",),
        }
        root = f"{self.path}/root.pem", f"{self.path}/root.cvc"
        return proofs_of(app, f"service:{self.path}/service.key", *root)

    @contextmanager
    def bench(self, place: str, defect: str = "", **more: str) -> Iterator[Bench]:
        """Open a meter, with a defect or without; `more` is what it is told beside the usual."""
        recorder = Recorder()
        if defect:
            more["defect"] = defect
        with self._meter(place, recorder, more) as (meter, power):
            recorder.set_clock(meter.transport.clock.monotonic)
            proofs = self.proofs()
            settings = BenchSettings(
                answer_s=meter.transport.timeout_s,
                quiet_s=QUIET_S,
                kind=place,
                credentials=proofs.credentials,
                role_key=proofs.role_key,
                authority=proofs.authority,
                board=getattr(meter.transport, "board", None),
                power=power,
            )
            yield Bench(meter, recorder, settings)

    @contextmanager
    def _meter(
        self, place: str, recorder: Recorder, more: dict[str, str]
    ) -> Iterator[tuple[Meter, Callable[[], None] | None]]:
        """Open a meter; yield it, and what cuts its power."""
        if place == "sim":
            with self._powered(recorder, more) as found:
                yield found
            return
        with connect(self.address(place, **more), observer=recorder) as meter:
            restart = getattr(meter.transport, "restart", None)
            yield meter, restart

    @contextmanager
    def _powered(
        self, recorder: Recorder, more: dict[str, str]
    ) -> Iterator[tuple[Meter, Callable[[], None]]]:
        options = SimOptions.from_query("", {**self.query, **more})
        clock = SimulatedClock(time.time())  # stands still but for what is skipped
        simulation = Simulation(options, clock.utc())
        line = simulation.new_line("line")
        transport = MemoryTransport(line, clock=clock, on_close=simulation.close)

        def cut() -> None:
            simulation.meter.lose_power(clock.monotonic() + OFF_S)
            line.start_over()
            clock.sleep(2 * OFF_S)

        session = Session(transport, observer=recorder)
        with Meter(transport, session, Catalogue.load("ei4")) as meter:
            yield meter, cut

    def results(
        self, place: str, cases: Sequence[Case], defect: str = "", **more: str
    ) -> list[Result]:
        """Run tests; those after which the device is gone end it; arguments as for `bench`."""
        found: list[Result] = []
        try:
            with self.bench(place, defect, **more) as bench:
                allowed = bench.has | ALLOWED
                run_cases(bench, cases, allowed=allowed, done={}, on_result=found.append)
        except LostError:
            assert defect, "a sound meter was lost"
        return [replace(each, pieces=()) for each in found]
