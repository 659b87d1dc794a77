"""A Host with its ports: what is for it is answered, what is for others is forwarded (protocol 9).

One Host, up to 15 ports, a star. Frames go by link address: 0 is the Host, 1 to 15 are its ports
and the readers on its other lines. No I/O and no clock.
"""

from collections.abc import Callable
from typing import Any

from umi_cli import wire
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import (
    EventSubscribe,
    ImageData,
    ImageEnd,
    ImageStart,
    ReadObject,
    ReadObjectReply,
)
from umi_cli.application.packet import ENVELOPE_BYTES, Message
from umi_cli.application.payload import Command
from umi_cli.errors import InputError, MalformedError
from umi_cli.images.header import ImageHeader
from umi_cli.link.events import (
    Event,
    ExchangeFailed,
    LinkAddresses,
    LinkSettings,
    ResponseReceived,
)
from umi_cli.link.frame import HOST_ADDRESS, Frame, FrameType, LinkErrorCode
from umi_cli.link.stream import FrameReceiver
from umi_cli.types import Role, UmiCode, UmiId
from umi_cli.virtual.device import VirtualMeter
from umi_cli.virtual.line import READER_ADDRESS, MeterLine

MAX_ADDRESS = 15
UMI_ID_OBJECT = UmiCode(0)
UMI_ID_BYTES = 8
PASSAGE_BLOCK_BYTES = 1024  # choice: little enough for any Peripheral of ours
_OF_IMAGES = (
    PacketType.IMAGE_START_RESPONSE,
    PacketType.IMAGE_DATA_RESPONSE,
    PacketType.IMAGE_END_RESPONSE,
    PacketType.ERROR,
)


class Passage:
    """A device package on its way from the Host to a Peripheral (protocol 7, product images).

    The valid flag says what it means: 1 when every block was acknowledged, 0 to have the
    Peripheral forget what came.

    Args:
        package: the device package.
        on_done: told the result.
    """

    def __init__(self, package: bytes, on_done: Callable[[ResultCode | None], None]) -> None:
        self.on_done = on_done
        self.is_asked = False
        """A command is out, and its answer is due."""
        starts = range(0, len(package), PASSAGE_BLOCK_BYTES)
        self._commands: list[Command[Any]] = [
            ImageStart(length_bytes=len(package)),
            *(
                ImageData(number=number, data=package[start : start + PASSAGE_BLOCK_BYTES])
                for number, start in enumerate(starts)
            ),
            ImageEnd(is_valid=1),
        ]
        self._fault: ResultCode | None = None

    def ask(self) -> Command[Any]:
        """Return the next command."""
        self.is_asked = True
        return self._commands.pop(0)

    def take(self, argument: int) -> bool:
        """Take the result of the last command; tell whether the passage is over."""
        self.is_asked = False
        # It was asked to begin, and says that something else was under way: it has begun.
        if argument not in (ResultCode.OK, ResultCode.TRANSFER_RESTARTED) and not self._fault:
            self._fault = _known(argument)
            self._commands = [ImageEnd(is_valid=0)] if self._commands else []
        if not self._commands:
            self.on_done(self._fault or ResultCode.OK)
        return not self._commands


def _known(argument: int) -> ResultCode:
    is_known = argument in ResultCode.__members__.values()
    return ResultCode(argument) if is_known else ResultCode.APPLICATION_ERROR


class PortLine(MeterLine):
    """The Host's own end of a port: it greets the Peripheral, and answers what that commands.

    Args:
        meter: the Host with its objects.
        address: the port's link address, 1..15.
        on_identified: told who the Peripheral is.
    """

    def __init__(
        self, meter: VirtualMeter, address: int, on_identified: Callable[[int, UmiId], None]
    ) -> None:
        super().__init__(
            meter,
            f"port {address}",
            settings=LinkSettings(accepts_commands=True, timeout_s=1.0),
            addresses=LinkAddresses(own=HOST_ADDRESS, peer=address),
        )
        self._address = address
        self._on_identified = on_identified
        self._passages: list[Passage] = []
        self.umi_id: UmiId | None = None
        """The Peripheral's, once it has said it."""
        self._commands += self._greeting()

    def start_over(self) -> None:
        """Begin anew, and greet the Peripheral."""
        super().start_over()
        self._commands += self._greeting()

    def _greeting(self) -> list[Command[Any]]:
        """Return what a Host says first: tell me all that happens, and who you are."""
        known = self._meter.memory.known_events
        return [EventSubscribe(events=known, signature_scheme=0), ReadObject(code=UMI_ID_OBJECT)]

    def pass_on(self, package: bytes, on_done: Callable[[ResultCode | None], None]) -> None:
        """Pass a device package of a product on to the Peripheral, after what is under way.

        Args:
            on_done: told the result of the transfer; None if the Peripheral was lost.
        """
        self._passages.append(Passage(package, on_done))
        self._go_on_passing()

    def _go_on_passing(self) -> None:
        if self._passages and not self._passages[0].is_asked:
            self._commands.append(self._passages[0].ask())

    def _on_events(self, events: list[Event], now: float) -> None:
        super()._on_events(events, now)
        for event in events:
            if isinstance(event, ResponseReceived):
                self._on_response(event.packet)
            elif isinstance(event, ExchangeFailed):
                passages, self._passages = self._passages, []
                for passage in passages:
                    passage.on_done(None)

    def _on_response(self, packet: bytes) -> None:
        try:
            message = Message.decode(packet[ENVELOPE_BYTES:])
        except MalformedError:
            return
        if message.packet_type == PacketType.READ_OBJECT_RESPONSE:
            self._learn(message)
        elif self._passages and message.packet_type in _OF_IMAGES:
            if self._passages[0].take(message.argument):
                self._passages.pop(0)
            self._go_on_passing()

    def _learn(self, message: Message) -> None:
        try:
            reply = ReadObjectReply.decode(message.payload)
        except MalformedError:
            return
        is_id = reply.code == UMI_ID_OBJECT and len(reply.value) == UMI_ID_BYTES
        if is_id and message.argument == ResultCode.OK:
            self.umi_id = UmiId(int.from_bytes(reply.value, "little"))
            self._on_identified(self._address, self.umi_id)


class HostLine:
    """One line of a Host: a reader's, or a port's.

    Args:
        host: whose line it is.
        line: the Host's own end of it.
        address: its link address, 1..15.
        is_port: a Peripheral is at the other end.
        wants_authentication: frames are forwarded to it only from who has authenticated.
    """

    def __init__(
        self,
        host: "Host",
        line: MeterLine,
        address: int,
        *,
        is_port: bool = False,
        wants_authentication: bool = False,
    ) -> None:
        self.address = address
        self.is_port = is_port
        self.wants_authentication = wants_authentication
        self.resyncs = 0
        """How often the other end has started its sequences over."""
        self.told: dict[int, int] = {}
        """By sender: how many of its starts this line's other end knows of."""
        self.unasked: dict[int, int] = {}
        """By sender: how many RESYNC_RESPONSEs are due that it did not ask for."""
        self.is_hung_up = False
        self.line = line
        self._host = host
        self._receiver = FrameReceiver()
        self._outbox: list[bytes] = []

    @property
    def deadline(self) -> float | None:
        """Return when `on_timer` wants to be called: seconds, monotonic."""
        times = (self.line.deadline, self._receiver.deadline)
        return min((time for time in times if time is not None), default=None)

    @property
    def is_authenticated(self) -> bool:
        """Tell whether the other end has proved a role to the Host."""
        peer = self.line.peer
        roles = (*peer.authenticated.values(), *(each.role for each in peer.sessions.values()))
        return any(role is not Role.GUEST for role in roles)

    def receive_data(self, data: bytes, now: float, utc: float) -> None:
        """Take what the other end sent."""
        self._route(self._receiver.receive_data(data, now), now, utc)

    def on_timer(self, now: float, utc: float) -> None:
        """Do what is due at `now` (monotonic seconds; `utc` is the host's Unix time)."""
        self._route(self._receiver.on_timer(now), now, utc)
        self.line.on_timer(now, utc)

    def data_to_send(self) -> list[bytes]:
        """Return the frames that the other end receives now, one by one."""
        frames, self._outbox = self._outbox + self.line.data_to_send(), []
        return frames

    def put(self, frame: Frame) -> None:
        """Send a frame to the other end."""
        self._outbox.append(frame.encode())

    def take(self, frame: Frame, now: float, utc: float) -> None:
        """Give a frame to the Host's own end of the line."""
        self.line.receive_data(frame.encode(), now, utc)

    def greet(self) -> None:
        """Begin anew with a Peripheral that was reset."""
        self.line.start_over()
        self.told.clear()
        self.unasked.clear()

    def close(self) -> None:
        """Forget the line."""
        self.line.close()
        self._host.forget(self)

    def _route(self, frames: list[Frame], now: float, utc: float) -> None:
        for frame in frames:
            self._host.route(frame, self, now, utc)


class Host:
    """A Host: its objects, its ports, and the readers on its other lines.

    Args:
        meter: the Host's own objects.
        on_identified: told who the Peripheral on a port is.
        on_passed: told what came of a part of a product that was passed on to a port; None if its
            Peripheral was lost.
    """

    def __init__(
        self,
        meter: VirtualMeter,
        on_identified: Callable[[int, UmiId], None] = lambda port, umi_id: None,
        on_passed: Callable[[int, ResultCode | None], None] = lambda port, result: None,
    ) -> None:
        self._meter = meter
        self._on_identified = on_identified
        self._on_passed = on_passed
        self._lines: dict[int, HostLine] = {}
        meter.updates.receivers.append(self._take_part)

    def new_port(self, address: int, *, wants_authentication: bool = False) -> HostLine:
        """Return the line of a port, 1..15."""
        line = PortLine(self._meter, address, self._on_identified)
        return self._add(
            HostLine(self, line, address, is_port=True, wants_authentication=wants_authentication)
        )

    def new_reader(self, name: str) -> HostLine:
        """Return a line for a reader, under an address that is free.

        Raises:
            InputError: all 15 are taken.
        """
        # A reader is 5 in the captured frame: the first one keeps that where no port has it.
        choices = (READER_ADDRESS, *range(MAX_ADDRESS, 0, -1))
        address = next((each for each in choices if each not in self._lines), None)
        if address is None:
            raise InputError("all 15 link addresses are taken")
        addresses = LinkAddresses(own=HOST_ADDRESS, peer=address)
        return self._add(HostLine(self, MeterLine(self._meter, name, addresses=addresses), address))

    def forget(self, line: HostLine) -> None:
        """Forget a line whose other end is gone."""
        if self._lines.get(line.address) is line:
            del self._lines[line.address]
        for other in self._lines.values():
            other.told.pop(line.address, None)
            other.unasked.pop(line.address, None)

    def _take_part(self, header: ImageHeader, package: bytes) -> bool:
        """Pass the part of a product on to the Peripheral that it is for."""
        for address, each in self._lines.items():
            line = each.line
            if isinstance(line, PortLine) and line.umi_id and line.umi_id in header.label.targets:
                line.pass_on(package, lambda result, port=address: self._on_passed(port, result))  # type: ignore[misc]
                return True
        return False

    def _add(self, line: HostLine) -> HostLine:
        self._lines[line.address] = line
        return line

    def route(self, frame: Frame, origin: HostLine, now: float, utc: float) -> None:
        """Answer a frame, forward it, or say why not."""
        if frame.frame_type == FrameType.RESYNC and frame.destination == HOST_ADDRESS:
            self._on_resync(frame, origin, now, utc)
        elif frame.destination == HOST_ADDRESS:
            origin.take(frame, now, utc)
        else:
            self._forward(frame, origin)

    def _on_resync(self, frame: Frame, origin: HostLine, now: float, utc: float) -> None:
        if frame.source not in (0, origin.address):
            self._refuse(frame, origin, LinkErrorCode.BAD_ADDRESS)  # it is not who it says it is
            return
        origin.resyncs += 1
        origin.take(frame, now, utc)

    def _forward(self, frame: Frame, origin: HostLine) -> None:
        target = self._lines.get(frame.destination)
        if target is None or target is origin or frame.source != origin.address:
            self._refuse(frame, origin, LinkErrorCode.BAD_ADDRESS)
        elif frame.frame_type == FrameType.RESYNC_RESPONSE and origin.unasked.get(target.address):
            origin.unasked[target.address] -= 1
        elif target.wants_authentication and not origin.is_authenticated:
            self._refuse(frame, origin, LinkErrorCode.CANNOT_FORWARD)
        else:
            self._tell_of_resync(frame, origin, target)
            target.put(frame)

    def _tell_of_resync(self, frame: Frame, origin: HostLine, target: HostLine) -> None:
        """Pass on that a sender has started over: it re-syncs with the Host alone (protocol 2.3).

        Without it the target could take the sender's next sequences for late ones.
        """
        is_news = target.is_port and target.told.get(origin.address) != origin.resyncs
        target.told[origin.address] = origin.resyncs
        if is_news and frame.frame_type != FrameType.RESYNC:
            target.unasked[origin.address] = target.unasked.get(origin.address, 0) + 1
            target.put(
                Frame(
                    sequence=0,
                    frame_type=FrameType.RESYNC,
                    destination=frame.destination,
                    source=origin.address,
                )
            )

    def _refuse(self, frame: Frame, origin: HostLine, code: LinkErrorCode) -> None:
        """Answer a command with a link ERROR; a stray answer gets none."""
        if frame.frame_type % 2 == 0:
            origin.put(
                Frame(
                    sequence=frame.sequence,
                    frame_type=FrameType.ERROR,
                    destination=frame.source,
                    source=HOST_ADDRESS,
                    payload=wire.u16(code),
                )
            )
