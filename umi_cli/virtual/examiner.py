"""A meter that plays tricks on its reader, one scenario after the other, before a witness.

No I/O and no clock, as with any line of a virtual meter. What the witness makes of it is judged
elsewhere: see `umi_cli.certify.reader_record`.
"""

import heapq
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Literal, Protocol

from umi_cli.application.packet import Message
from umi_cli.errors import InputError
from umi_cli.objects.catalogue import Catalogue
from umi_cli.virtual.device import VirtualMeter
from umi_cli.virtual.event_log import EventLog
from umi_cli.virtual.line import MeterLine
from umi_cli.virtual.optical_port import OpticalPort
from umi_cli.virtual.setup import DEFAULT_DATASHEET, SimOptions, Simulation
from umi_cli.virtual.tricks.base import Trick


class Witness(Protocol):
    """Who keeps what passes; times are monotonic seconds."""

    def passed(self, line: int, way: Literal["in", "out"], data: bytes, at_s: float) -> None:
        """Some bytes came in from the reader, or went out to it; its line has a number."""
        ...

    def opened(self, packet: bytes, message: Message) -> None:
        """A sealed packet of the reader's was opened."""
        ...

    def struck(self, at_s: float) -> None:
        """The trick has been played; what goes out next is what came of it."""
        ...

    def hung_up(self, line: int, at_s: float) -> None:
        """The reader has hung up."""
        ...


class ExaminerLine:
    """A line of the meter of a scenario.

    Args:
        line: the meter's own, whose defect is the trick.
        trick: what is played.
        witness: told all that passes.
        number: of the line in the scenario.
    """

    def __init__(self, line: MeterLine, trick: Trick, witness: Witness, number: int) -> None:
        self._line = line
        self._trick = trick
        self._witness = witness
        self._number = number
        self._order = count()
        self._in_transit: list[tuple[float, int, bytes]] = []
        self._outbox: list[bytes] = []
        self._now = 0.0

    @property
    def is_hung_up(self) -> bool:
        """Tell whether the meter has hung up."""
        return self._line.is_hung_up

    @is_hung_up.setter
    def is_hung_up(self, value: bool) -> None:
        self._line.is_hung_up = value

    @property
    def deadline(self) -> float | None:
        """Return when `on_timer` wants to be called: seconds, monotonic."""
        in_transit = self._in_transit[0][0] if self._in_transit else None
        times = (self._line.deadline, in_transit)
        return min((time for time in times if time is not None), default=None)

    def receive_data(self, data: bytes, now: float, utc: float) -> None:
        """Take what the reader sent at once."""
        self.on_timer(now, utc)
        self._witness.passed(self._number, "in", data, now)
        self._line.receive_data(data, now, utc)
        self._settle(now)

    def on_timer(self, now: float, utc: float) -> None:
        """Do what is due at `now` (monotonic seconds; `utc` is the host's Unix time)."""
        self._line.on_timer(now, utc)
        self._settle(now)

    def data_to_send(self) -> list[bytes]:
        """Return what the reader receives now, a chunk at a time."""
        chunks, self._outbox = self._outbox, []
        return chunks

    def close(self) -> None:
        """Forget the line: the reader is gone."""
        self._witness.hung_up(self._number, self._now)
        self._line.close()

    def _settle(self, now: float) -> None:
        """Put on the line what the meter and the trick have to say."""
        self._now = now
        for frame in self._line.data_to_send():
            for delay_s, piece in self._trick.on_line(frame):
                heapq.heappush(self._in_transit, (now + delay_s, next(self._order), piece))
        while self._trick.untold_strikes:
            self._trick.untold_strikes -= 1
            self._witness.struck(now)
        while self._in_transit and self._in_transit[0][0] <= now:
            _, _, piece = heapq.heappop(self._in_transit)
            self._witness.passed(self._number, "out", piece, now)
            self._outbox.append(piece)


class Examiner:
    """Gives every reader that calls a line to the meter of the scenario that is being played.

    Args:
        options: of the meter, which is a new one in each scenario.
        utc: the host's Unix time.
    """

    def __init__(self, options: SimOptions, utc: Callable[[], float]) -> None:
        self._options = options
        self._utc = utc
        self._play: tuple[Simulation, Trick, Witness] | None = None
        self._lines = count(1)
        self.events = EventLog()
        """Whoever subscribes here is told of what happens in the meter of any scenario."""
        self._codes = Catalogue.load(options.datasheet or DEFAULT_DATASHEET).objects

    def begin(self, trick: Trick, witness: Witness) -> VirtualMeter:
        """Begin a scenario with a new meter, and return it.

        Raises:
            KeyUnusableError: a file of its identity cannot be used.
        """
        work_ms = {each.code: trick.DEFER_MS for each in self._codes if trick.DEFER_MS}
        options = replace(self._options, defect=lambda: trick, defer_ms=work_ms)
        simulation = Simulation(options, self._utc())
        trick.on_opened = witness.opened
        simulation.meter.memory.events.subscribers.append(self._on_event)
        self._play, self._lines = (simulation, trick, witness), count(1)
        return simulation.meter

    def new_line(self, name: str) -> ExaminerLine:
        """Return a line to the meter of the scenario.

        Raises:
            InputError: none has begun.
        """
        if self._play is None:
            raise InputError("no scenario has begun")
        simulation, trick, witness = self._play
        return ExaminerLine(simulation.new_line(name), trick, witness, next(self._lines))

    def new_optical_port(self, name: str) -> OpticalPort:
        """Refuse: a scenario begins with a call, and an optical port has none."""
        raise InputError("scenarios are not played on an optical port", hint="give --tcp or --call")

    def _on_event(self, number: int, now_s: int) -> None:
        for tell in self.events.subscribers:
            tell(number, now_s)
