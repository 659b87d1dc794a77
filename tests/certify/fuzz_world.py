"""A virtual meter in this process to be fuzzed, whose insides a test can reach."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from umi_cli.certify.bench import Bench, BenchSettings
from umi_cli.certify.evidence import Recorder
from umi_cli.certify.fuzz_device import FuzzDevice
from umi_cli.certify.fuzz_run import FuzzOutcome, FuzzPlan, FuzzRun, Hooks
from umi_cli.device.meter import Meter
from umi_cli.device.session import Session
from umi_cli.objects.catalogue import Catalogue
from umi_cli.reader_fuzz import START_S, parties, trust_each_other
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.types import EPOCH_UNIX_S
from umi_cli.virtual.defects import defect_of
from umi_cli.virtual.setup import SimOptions, Simulation

CATALOGUE = Catalogue.load("ei4")
OFF_S = 1.0


class FuzzWorld:
    """A meter that trusts us, and the bench that fuzzes it.

    Args:
        defect: what its maker got wrong, by name.
        has_keys: whether we can prove who we are, under scheme 2.
        has_power: whether we can switch it off and on.
    """

    def __init__(
        self, defect: str = "", *, has_keys: bool = False, has_power: bool = False
    ) -> None:
        self.clock = SimulatedClock(float(START_S + EPOCH_UNIX_S))
        kind: dict[str, Any] = {"defect": defect_of(defect)} if defect else {}
        self.simulation = Simulation(SimOptions(time_s=START_S, **kind), self.clock.utc())
        self.memory = self.simulation.meter.memory
        trust_each_other(self.memory)
        self._has_keys, self._has_power = has_keys, has_power
        self.opened = 0
        """How often the port was opened."""

    @contextmanager
    def open_bench(self) -> Iterator[Bench]:
        self.opened += 1
        line = self.simulation.new_line(f"line {self.opened}")
        transport = MemoryTransport(line, clock=self.clock)
        recorder = Recorder(self.clock.monotonic)

        def cut() -> None:
            self.simulation.meter.lose_power(self.clock.monotonic() + OFF_S)
            line.start_over()
            self.clock.sleep(2 * OFF_S)

        settings = BenchSettings(
            answer_s=1.0,
            quiet_s=0.5,
            credentials=parties().scheme2 if self._has_keys else None,
            power=cut if self._has_power else None,
        )
        session = Session(transport, observer=recorder)
        with Meter(transport, session, CATALOGUE) as meter:
            yield Bench(meter, recorder, settings)

    def run(self, hooks: Hooks | None = None, **plan: Any) -> FuzzOutcome:
        """Fuzz the meter as planned; time is that of the meter."""
        with FuzzDevice(self.open_bench) as device:
            run = FuzzRun(device, FuzzPlan(**plan), self.clock.monotonic, hooks or Hooks())
            return run.run()
