"""One line of a virtual meter: its end of the link, and what the line does to the bytes.

No I/O and no clock: whoever serves the line hands over bytes and the time.
"""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from umi_cli.application.commands import EventPublish
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.link.events import (
    CommandReceived,
    Event,
    ExchangeFailed,
    LinkAddresses,
    LinkSettings,
)
from umi_cli.link.frame import HOST_ADDRESS, LinkErrorCode
from umi_cli.types import UNKNOWN_DEVICE
from umi_cli.virtual.device import VirtualMeter
from umi_cli.virtual.faults import Cut, FaultInjector, FaultRates
from umi_cli.virtual.flash import PowerCut, uninterrupted
from umi_cli.virtual.peer import Peer

READER_ADDRESS = 5  # given to a commander without one, as in the captured frame

_Delivery = Callable[[bytes, float], None]


class MeterLine:
    """A line of a virtual meter.

    Args:
        meter: what is at the end of it; it may have many lines.
        name: unique among the meter's lines.
        faults: what the line does to the bytes; nothing if None.
        settings: timeouts of its end of the link, and whether it takes its address from a Host.
        addresses: its own and its peer's; a Host's and a reader's if None.
        supply: says when the power is cut while flash is written; `faults` if None.
    """

    def __init__(
        self,
        meter: VirtualMeter,
        name: str,
        faults: FaultInjector | None = None,
        settings: LinkSettings | None = None,
        addresses: LinkAddresses | None = None,
        supply: FaultInjector | None = None,
    ) -> None:
        self.is_hung_up = False
        self._meter = meter
        self._faults = faults or FaultInjector(FaultRates(), 0)
        self._supply = supply or self._faults
        self._power_losses = meter.power_losses
        self._interrupted_until = 0.0
        self._in_transit: list[tuple[float, int, _Delivery, bytes]] = []
        self._order = count()
        self._outbox: list[bytes] = []
        self._commands: list[Command[Any]] = []
        self._transaction = 0
        self._peer = meter.new_peer(name)
        self._defect = meter.settings.defect
        self._link = self._defect.new_link(
            settings or LinkSettings(accepts_commands=True),
            addresses or LinkAddresses(own=HOST_ADDRESS, peer=READER_ADDRESS),
        )
        meter.memory.events.subscribers.append(self._on_event)

    @property
    def peer(self) -> Peer:
        """Return what the meter knows of who is at the other end."""
        return self._peer

    @property
    def deadline(self) -> float | None:
        """Return when `on_timer` wants to be called: seconds, monotonic."""
        in_transit = self._in_transit[0][0] if self._in_transit else None
        times = [self._link.deadline, in_transit, self._meter.updates.due]
        if self._peer.deferred and self._peer.deferred.outcome is None:
            times.append(self._peer.deferred.due)
        return min((time for time in times if time is not None), default=None)

    def receive_data(self, data: bytes, now: float, utc: float) -> None:
        """Take what the reader sent at once."""
        self.on_timer(now, utc)
        self._send_through(data, self._arrive, now)
        self._settle(now)

    def on_timer(self, now: float, utc: float) -> None:
        """Do what is due at `now` (monotonic seconds; `utc` is the host's Unix time)."""
        self._meter.advance(now, utc)
        if self._power_losses != self._meter.power_losses:
            self.start_over()
        while self._in_transit and self._in_transit[0][0] <= now:
            at, _, deliver, data = heapq.heappop(self._in_transit)
            deliver(data, at)
        if not self._meter.is_off(now):
            self._on_events(self._link.on_timer(now), now)
        self._settle(now)

    def data_to_send(self) -> list[bytes]:
        """Return what the reader receives now, a chunk at a time."""
        chunks, self._outbox = self._outbox, []
        return chunks

    def close(self) -> None:
        """Forget the line: the reader is gone."""
        self._meter.memory.events.subscribers.remove(self._on_event)
        self._meter.forget(self._peer)

    def _send_through(self, data: bytes, deliver: _Delivery, now: float) -> None:
        if now < self._interrupted_until:
            return
        passage = self._faults.pass_through(data)
        if passage.cut is Cut.HANG_UP:
            self.is_hung_up = True
        elif passage.cut is Cut.LIFT:
            self._interrupted_until = now + self._faults.lifted_s()
            self._in_transit.clear()
        elif passage.cut is Cut.POWER:
            self._meter.lose_power(now + self._faults.off_s())
            self.start_over()
        for delay_s, piece in passage.pieces:
            if delay_s:
                entry = (now + delay_s, next(self._order), deliver, piece)
                heapq.heappush(self._in_transit, entry)
            else:
                deliver(piece, now)

    def _arrive(self, data: bytes, now: float) -> None:
        if data and not self._meter.is_off(now):
            taken = self._defect.bytes_in(self._link, data)
            self._on_events(self._link.receive_data(taken, now), now)

    def _leave(self, data: bytes, now: float) -> None:
        if data:
            self._outbox.append(data)

    def _settle(self, now: float) -> None:
        """Send what the meter has to say, and put on the line what the link has to send."""
        if self._commands and self._link.is_idle:
            self._link.command(self._packet(self._commands.pop(0)), now)
        for frame in self._link.frames_to_send():
            for piece in self._defect.frames_out(frame):
                self._send_through(piece, self._leave, now)

    def _on_events(self, events: list[Event], now: float) -> None:
        for event in events:
            if isinstance(event, CommandReceived):
                self._on_command(event, now)
            elif isinstance(event, ExchangeFailed):
                self._peer.subscribed_events = 0  # nobody takes what is published
                self._commands.clear()

    def _on_command(self, command: CommandReceived, now: float) -> None:
        if self._meter.is_off(now):  # since what came before it at the same time
            return
        flash = self._meter.memory.flash
        flash.interrupt = self._supply.tear
        try:
            answer = self._meter.execute(self._peer, command.packet, now)
        except PowerCut:
            self._meter.lose_power(now + self._supply.off_s())
            self.start_over()
            return
        finally:
            flash.interrupt = uninterrupted
        if answer.packet is not None:
            self._link.respond(answer.packet, is_busy=answer.is_busy, commander=command.source)
        elif answer.is_busy:
            self._link.refuse(LinkErrorCode.BUSY, commander=command.source)
        else:
            self._link.ignore(commander=command.source)

    def _on_event(self, number: int, now_s: int) -> None:
        if self._peer.subscribed_events >> number & 1:
            self._commands.append(
                EventPublish(events=1 << number, timestamp_s=now_s, milliseconds=0)
            )

    def _packet(self, command: Command[Any]) -> bytes:
        self._transaction = (self._transaction + 1) & 0xFFFF
        message = Message(
            transaction=self._transaction,
            created_s=self._meter.metering.now_s,
            packet_type=command.TYPE,
            payload=command.encode(),
        )
        # choice: to all ones, for a subscriber's UMI ID may be an alias
        envelope = Envelope(source=self._meter.memory.umi_id, destination=UNKNOWN_DEVICE)
        return envelope.encode() + message.encode()

    def start_over(self) -> None:
        """Begin anew, as after a power cut: whatever was under way is gone."""
        self._power_losses = self._meter.power_losses
        self._peer = self._meter.new_peer(self._peer.line)
        self._commands.clear()
        self._link.reset()
