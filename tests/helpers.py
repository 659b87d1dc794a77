"""Two link connections joined without I/O, over a line that loses, on a clock of its own."""

import hashlib
import heapq
from dataclasses import dataclass, field
from itertools import count
from random import Random

from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import (
    CommandReceived,
    Event,
    LinkAddresses,
    LinkSettings,
    Resynchronised,
)
from umi_cli.link.frame import FrameType

LATENCY_S = 0.05
HALF_A_ROUND_S = 0.6  # seven sequences take 0.7 s: a frame that late is still told from a new one
RESYNC_TYPES = (FrameType.RESYNC, FrameType.RESYNC_RESPONSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What a line does to frames; the numbers are probabilities per frame."""

    drop: float = 0.0
    duplicate: float = 0.0
    flip: float = 0.0
    """One or two bits are turned round."""
    late: float = 0.0
    latest_s: float = HALF_A_ROUND_S
    """A late frame takes up to that much longer, and others overtake it."""
    keeps_order: bool = False
    """Whether a late frame holds up those behind it, as on a serial line or in TCP."""
    crosses_resync: bool = False
    """Whether a frame from before a RESYNC may still arrive after it."""


CLEAN = Faults()


def any_faults(random: Random) -> Faults:
    """Return faults of every kind and strength, none of them across a RESYNC."""
    return Faults(
        drop=random.choice((0.0, 0.01, 0.1, 0.4)),
        duplicate=random.choice((0.0, 0.05, 0.5)),
        flip=random.choice((0.0, 0.01, 0.1)),
        late=random.choice((0.0, 0.05, 0.5)),
    )


@dataclass(slots=True)
class Line:
    """One direction: frames on the way, in order of arrival."""

    random: Random
    faults: Faults
    on_the_way: list[tuple[float, int, bytes]] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=count)
    last_arrival_s: float = 0.0

    def send(self, frame: bytes, now: float) -> None:
        chance, faults = self.random.random, self.faults
        for _ in range(1 + (chance() < faults.duplicate)):
            if chance() < faults.drop:
                continue
            delay_s = LATENCY_S
            if chance() < faults.late:
                delay_s += chance() * faults.latest_s
            arrival_s = now + delay_s
            if faults.keeps_order:
                arrival_s = self.last_arrival_s = max(arrival_s, self.last_arrival_s)
            sent = self._flip(frame) if chance() < faults.flip else frame
            heapq.heappush(self.on_the_way, (arrival_s, next(self.numbers), sent))

    def _flip(self, frame: bytes) -> bytes:
        number = int.from_bytes(frame, "big")
        for _ in range(self.random.choice((1, 2))):
            number ^= 1 << self.random.randrange(8 * len(frame))
        return number.to_bytes(len(frame), "big")

    @property
    def next_arrival_s(self) -> float | None:
        return self.on_the_way[0][0] if self.on_the_way else None

    def arrived(self, now: float) -> bytes:
        data = b""
        while self.on_the_way and self.on_the_way[0][0] <= now:
            data += heapq.heappop(self.on_the_way)[2]
        return data


def answer_of(command: bytes, answer_bytes: int) -> bytes:
    """Return the one answer to a command: it can be told from that to any other."""
    return hashlib.shake_128(command).digest(answer_bytes)


FAST = LinkSettings(timeout_s=0.3, idle_gap_s=0.02)
METER = LinkSettings(timeout_s=0.3, idle_gap_s=0.02, accepts_commands=True)


class Joined:
    """A reader that commands, a meter that answers, and the line between them.

    Args:
        seed: of the line's faults, of cuts in the stream and of the time the meter works.
        faults: what the line does.
        answer_bytes: how long the answers are.
        longest_work_s: the meter takes up to that long to answer.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        faults: Faults = CLEAN,
        answer_bytes: int = 10,
        longest_work_s: float = 0.0,
        reader: LinkSettings = FAST,
        meter: LinkSettings = METER,
    ) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.answer_bytes = answer_bytes
        self.longest_work_s = longest_work_s
        self.reader = LinkConnection(reader)
        self.meter = LinkConnection(meter, LinkAddresses(own=1, peer=5))
        self.to_meter = Line(self.random, faults)
        self.to_reader = Line(self.random, faults)
        self.executed: list[bytes] = []
        self.resyncs = 0
        self.frames = 0
        self._due: tuple[float, bytes] | None = None
        self._was_resync = False

    def set_faults(self, faults: Faults) -> None:
        self.to_meter.faults = self.to_reader.faults = faults

    def exchange(self, packet: bytes, answer_bytes: int | None = None) -> Event:
        """Command the packet and return the one event that ends the exchange."""
        self.answer_bytes = self.answer_bytes if answer_bytes is None else answer_bytes
        self.reader.command(packet, self.now)
        while not (events := self.step()):
            pass
        (event,) = events
        return event

    def settle(self) -> None:
        """Let everything that is on the way arrive."""
        self._send()
        while self.to_meter.on_the_way or self.to_reader.on_the_way:
            assert not self.step()

    def step(self) -> list[Event]:
        """Go to the next moment at which anything happens; return the reader's events."""
        self._send()
        times = (
            self.to_meter.next_arrival_s,
            self.to_reader.next_arrival_s,
            self.reader.deadline,
            self.meter.deadline,
            self._due[0] if self._due else None,
        )
        self.now = min(time for time in times if time is not None)
        self._on_meter_events(self._feed(self.meter, self.to_meter))
        if self._due and self._due[0] <= self.now:
            self.meter.respond(self._due[1])
            self._due = None
        return self._feed(self.reader, self.to_reader)

    def _feed(self, end: LinkConnection, line: Line) -> list[Event]:
        data, events = line.arrived(self.now), []
        if data:
            cut = self.random.randrange(len(data) + 1)
            events = end.receive_data(data[:cut], self.now)
            events += end.receive_data(data[cut:], self.now)
        return events + end.on_timer(self.now)

    def _send(self) -> None:
        for frame in self.reader.frames_to_send():
            self._note_resync(frame)
            self.to_meter.send(frame, self.now)
            self.frames += 1
        for frame in self.meter.frames_to_send():
            self.to_reader.send(frame, self.now)
            self.frames += 1

    def _note_resync(self, frame: bytes) -> None:
        """Clear the line of older frames at a RESYNC and behind it, unless faults say otherwise."""
        is_resync = frame[1] == FrameType.RESYNC
        self.resyncs += is_resync
        if is_resync != self._was_resync and not self.to_meter.faults.crosses_resync:
            self.to_meter.on_the_way.clear()
            self.to_reader.on_the_way.clear()
        self._was_resync = is_resync

    def _on_meter_events(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Resynchronised):
                self._due = None
            else:
                assert isinstance(event, CommandReceived)
                self.executed.append(event.packet)
                work_s = self.random.random() * self.longest_work_s
                self._due = (self.now + work_s, answer_of(event.packet, self.answer_bytes))
