"""A device that says what a script tells it to say, on a clock that skips every wait.

It frames its answers with a link connection of its own, so that a script can speak of packets; what
no link connection would ever send, a script sends as bytes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import ReadObject, ReadObjectPart, Wait
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import Command, Payload, decode_command
from umi_cli.device.meter import Meter
from umi_cli.device.session import Session
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import CommandReceived, LinkAddresses, LinkSettings
from umi_cli.link.frame import FrameType, LinkErrorCode
from umi_cli.objects.catalogue import Catalogue
from umi_cli.transports.memory import MemoryTransport, SimulatedClock

START_UNIX_S = 1_795_341_600.0  # 2026-11-22T10:00:00Z


@dataclass(frozen=True, slots=True)
class Request:
    """A command as it came."""

    envelope: Envelope
    message: Message
    command: Command[Any]

    @classmethod
    def of(cls, packet: bytes) -> "Request":
        envelope, message = Envelope.decode(packet), Message.decode(packet[ENVELOPE_BYTES:])
        command = decode_command(message.packet_type, message.payload)
        return cls(envelope, message, command)


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes instead of an answer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class HangUp:
    """No answer any more."""


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer, until the reader starts over if it may, or ever."""

    is_over_after_resync: bool = True


Reaction = bytes | Raw | HangUp | Silence | LinkErrorCode
Step = Callable[[Request], Reaction]


def reply(
    payload: Payload | bytes = b"",
    *,
    result: int = ResultCode.OK,
    kind: int | None = None,
    transaction: int = 0,
    **envelope: Any,
) -> Step:
    """Answer; what is given differs from what a right answer has.

    Args:
        payload: of the response.
        result: its result code.
        kind: its packet type, if it is not the one that is due.
        transaction: what its number is ahead of the command's.
        envelope: fields of the envelope.
    """

    def step(request: Request) -> Reaction:
        head = Envelope(source=request.envelope.destination, destination=request.envelope.source)
        due = payload.TYPE if isinstance(payload, Payload) else request.command.REPLY.TYPE
        message = Message(
            transaction=request.message.transaction + transaction & 0xFFFF,
            created_s=0,
            packet_type=due if kind is None else kind,
            argument=result,
            payload=payload.encode() if isinstance(payload, Payload) else payload,
        )
        return replace(head, **envelope).encode() + message.encode()

    return step


def value(raw: bytes) -> Step:
    """Answer a read."""

    def step(request: Request) -> Reaction:
        command = request.command
        assert isinstance(command, ReadObject | ReadObjectPart)
        target = {name: getattr(command, name, None) for name in ("code", "part")}
        given = {name: each for name, each in target.items() if each is not None}
        return reply(command.REPLY(value=raw, **given))(request)

    return step


def packet_of(step: Step, request: Request) -> bytes:
    """Return the packet that a step answers with."""
    packet = step(request)
    assert isinstance(packet, bytes)
    return packet


done = reply()
"""Answer a write."""


def refused(code: int) -> Step:
    return reply(result=code)


def error(code: int) -> Step:
    return reply(result=code, kind=PacketType.ERROR)


def wait(milliseconds: int) -> Step:
    return reply(Wait(wait_ms=milliseconds))


def lost(request: Request) -> Silence:
    """The answer is lost, and so are those to the repeats."""
    return Silence()


def dead(request: Request) -> Silence:
    """From here on nothing comes any more."""
    return Silence(is_over_after_resync=False)


def hang_up(request: Request) -> HangUp:
    return HangUp()


def link_error(code: LinkErrorCode) -> Step:
    return lambda request: code


def raw(data: bytes) -> Step:
    return lambda request: Raw(data)


class ScriptedDevice:
    """The other end of a line: each new command gets the next step of the script.

    Args:
        script: what happens to one command after the other.
        limit_bytes: the longest command that it can put together.
    """

    def __init__(self, script: Iterable[Step], *, limit_bytes: int = 65_536) -> None:
        self.script = list(script)
        self.is_hung_up = False
        self.requests: list[Request] = []
        self.times: list[float] = []
        """When each command came."""
        self.resyncs = 0
        self.is_closed = False
        self.is_silent = False
        """Until the reader starts over."""
        self.is_dead = False
        self.outbox: list[bytes] = []
        self._link = LinkConnection(
            LinkSettings(accepts_commands=True, limit_bytes=limit_bytes),
            LinkAddresses(own=1, peer=5),
        )

    @property
    def commands(self) -> list[Command[Any]]:
        return [request.command for request in self.requests]

    @property
    def deadline(self) -> float | None:
        return self._link.deadline

    def receive_data(self, data: bytes, now: float, utc: float) -> None:
        if data[1] & 0xF == FrameType.RESYNC:
            self.resyncs += 1
            self.is_silent = self.is_dead
        if self.is_silent:
            return
        for event in self._link.receive_data(data, now):
            if isinstance(event, CommandReceived):
                self._react(event.packet, now)
        self.outbox += self._link.frames_to_send()

    def _react(self, packet: bytes, now: float) -> None:
        request = Request.of(packet)
        self.requests.append(request)
        self.times.append(now)
        assert self.script, f"the script has ended, and {request.command.title} came"
        reaction = self.script.pop(0)(request)
        if isinstance(reaction, bytes):
            self._link.respond(reaction)
        elif isinstance(reaction, LinkErrorCode):
            self._link.refuse(reaction)
        elif isinstance(reaction, Raw):
            self.outbox.append(reaction.data)
            self.is_silent = True
        elif isinstance(reaction, HangUp):
            self.is_hung_up = True
        else:
            self.is_silent = True
            self.is_dead = not reaction.is_over_after_resync

    def on_timer(self, now: float, utc: float) -> None:
        self._link.on_timer(now)

    def data_to_send(self) -> list[bytes]:
        chunks, self.outbox = self.outbox, []
        return chunks

    def close(self) -> None:
        self.is_closed = True


class DeafToResync(ScriptedDevice):
    """Loses the RESYNC, three times, that must come after sequence 15."""

    missed = 0

    def receive_data(self, data: bytes, now: float, utc: float) -> None:
        if len(self.requests) == 15 and self.missed < 3:
            self.missed += 1
        else:
            super().receive_data(data, now, utc)


def session_with(device: ScriptedDevice, **options: Any) -> Session:
    return Session(MemoryTransport(device, clock=SimulatedClock(START_UNIX_S)), **options)


def meter_with(device: ScriptedDevice, **options: Any) -> Meter:
    transport = MemoryTransport(device, clock=SimulatedClock(START_UNIX_S))
    return Meter(transport, Session(transport, **options), Catalogue.load("ei4"))


def play(*script: Step, **options: Any) -> tuple[ScriptedDevice, Session]:
    """Return a device with that script, and a session with it."""
    device = ScriptedDevice(script)
    return device, session_with(device, **options)


def play_meter(*script: Step, **options: Any) -> tuple[ScriptedDevice, Meter]:
    """Return a device with that script, and a meter as its user holds it."""
    device = ScriptedDevice(script)
    return device, meter_with(device, **options)
