"""Somebody who sits on the line between a client and a meter: sees every packet, may change it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.certificates.pki import ROOT
from tests.device.scripted import START_UNIX_S
from tests.virtual.parties import SERVICE, Party, role_key, trusting_memory
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import Anchor, Trust
from umi_cli.device.credentials import Scheme1Credentials, Scheme2Credentials
from umi_cli.device.meter import Meter
from umi_cli.device.protection import Protection
from umi_cli.device.protection1 import Scheme1
from umi_cli.device.protection2 import Scheme2
from umi_cli.device.session import Session
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import CommandReceived, LinkAddresses, LinkSettings
from umi_cli.link.frame import LinkErrorCode
from umi_cli.objects.catalogue import Catalogue
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.types import Role, UmiId
from umi_cli.virtual.device import MeterSettings, VirtualMeter
from umi_cli.virtual.memory import Memory

CATALOGUE = Catalogue.load("ei4")

Forward = Callable[[bytes], bytes | None]
Attack = Callable[[bytes, Forward], bytes | None]
"""Gets a command and a way to the meter; returns what the client gets, None for nothing at all."""


def honest(packet: bytes, forward: Forward) -> bytes | None:
    return forward(packet)


def parsed(packet: bytes) -> tuple[Envelope, Message]:
    """Take a packet in the clear apart."""
    return Envelope.decode(packet), Message.decode(packet[ENVELOPE_BYTES:])


def type_of(packet: bytes) -> int | None:
    """Return the packet type of a packet in the clear, None if it is encrypted."""
    return parsed(packet)[1].packet_type if packet[0] == 0 else None


def changed(packet: bytes, **changes: Any) -> bytes:
    """Return a packet in the clear with another message in it."""
    envelope, message = parsed(packet)
    return envelope.encode() + replace(message, **changes).encode()


def forged(command: bytes, kind: int, result: int = ResultCode.OK, payload: bytes = b"") -> bytes:
    """Return an answer in the clear to a command, with its transaction number as far as we see."""
    envelope = Envelope.decode(command)
    message = Message(
        transaction=int.from_bytes(command[22:24], "little"),
        created_s=0,
        packet_type=kind,
        argument=result,
        payload=payload,
    )
    back = Envelope(source=envelope.destination, destination=envelope.source)
    return back.encode() + message.encode()


def forged_error(command: bytes, result: int) -> bytes:
    return forged(command, PacketType.ERROR, result)


class Between:
    """The line of a client to a meter, with somebody on it.

    Args:
        memory: the meter's.
        attack: what the one on the line does.
        defer_ms: how long the meter is at work, by object.
    """

    def __init__(
        self,
        memory: Memory,
        attack: Attack = honest,
        clock: SimulatedClock | None = None,
        **settings: Any,
    ) -> None:
        self.meter = VirtualMeter(MeterSettings(**settings), memory)
        self.attack = attack
        self.clock = clock or SimulatedClock(START_UNIX_S)
        self.is_hung_up = False
        self.commands: list[bytes] = []
        """What the client sent."""
        self.answers: list[bytes] = []
        """What the meter answered."""
        self.peer = self.meter.new_peer("line")
        self._outbox: list[bytes] = []
        self._is_busy = False
        self._link = LinkConnection(
            LinkSettings(accepts_commands=True), LinkAddresses(own=0, peer=5)
        )

    @property
    def memory(self) -> Memory:
        return self.meter.memory

    @property
    def types(self) -> list[int | None]:
        """Return the types of the commands that the client sent; None for encrypted ones."""
        return [type_of(packet) for packet in self.commands]

    @property
    def deadline(self) -> float | None:
        deferred = self.peer.deferred
        due = deferred.due if deferred and deferred.outcome is None else None
        times = [time for time in (self._link.deadline, due) if time is not None]
        return min(times, default=None)

    def forward(self, packet: bytes) -> bytes | None:
        """Give the meter a packet and return its answer."""
        now = self.clock.monotonic()
        self.meter.advance(now, self.clock.utc())
        answer = self.meter.execute(self.peer, packet, now)
        self._is_busy = answer.is_busy
        if answer.packet is not None:
            self.answers.append(answer.packet)
        return answer.packet

    def receive_data(self, data: bytes, now: float, utc: float) -> None:
        self.meter.advance(now, utc)
        for event in self._link.receive_data(data, now):
            if isinstance(event, CommandReceived):
                self._on_command(event.packet)
        self._outbox += self._link.frames_to_send()

    def _on_command(self, packet: bytes) -> None:
        self._is_busy = False
        self.commands.append(packet)
        answer = self.attack(packet, self.forward)
        if answer is not None:
            self._link.respond(answer, is_busy=self._is_busy)
        elif self._is_busy:
            self._link.refuse(LinkErrorCode.BUSY)
        else:
            self._link.ignore()

    def on_timer(self, now: float, utc: float) -> None:
        self.meter.advance(now, utc)
        self._link.on_timer(now)
        self._outbox += self._link.frames_to_send()

    def data_to_send(self) -> list[bytes]:
        chunks, self._outbox = self._outbox, []
        return chunks

    def lose_power(self) -> None:
        """Cut the meter's power for a moment."""
        self.meter.lose_power(self.clock.monotonic())
        self.peer = self.meter.new_peer("line")
        self._link.reset()

    def close(self) -> None:
        """Nothing: another client may come."""

    def client(
        self, protection: Protection, own_id: UmiId = SERVICE.umi_id, **options: Any
    ) -> Meter:
        """Return a client on this line."""
        transport = MemoryTransport(self, clock=self.clock)
        session = Session(transport, own_id=own_id, protection=protection, **options)
        return Meter(transport, session, CATALOGUE)


def credentials2(who: Party = SERVICE, *above: Certificate, **options: Any) -> Scheme2Credentials:
    """Return what a party proves itself with, and the root that it trusts."""
    given = {"trust": Trust(anchors=(Anchor.of(ROOT),))} | options
    return Scheme2Credentials(signer=who.key, chain=(who.certificate, *above), **given)


def under_scheme2(
    attack: Attack = honest,
    *,
    memory: Memory | None = None,
    credentials: Scheme2Credentials | None = None,
    **options: Any,
) -> tuple[Between, Meter]:
    """Return a line, and a client under scheme 2 on it."""
    line = Between(memory or trusting_memory(SERVICE), attack, **options)
    given = credentials or credentials2()
    return line, line.client(Scheme2(given), given.certificate.body.subject)


def under_scheme1(
    attack: Attack = honest,
    *,
    memory: Memory | None = None,
    role: Role = Role.SERVICE,
    key: Any = None,
    **options: Any,
) -> tuple[Between, Meter]:
    """Return a line, and a client under scheme 1 on it."""
    line = Between(memory or trusting_memory(), attack, **options)
    given = Scheme1Credentials(role=role, key=key or role_key(role))
    return line, line.client(Scheme1(given))
