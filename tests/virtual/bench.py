"""A virtual meter on the bench: commands go in at a time of our choosing, answers come out."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import ReadObjectPart, WriteObjectPart
from umi_cli.application.packet import MAX_PACKET_BYTES, Envelope, Message
from umi_cli.application.payload import Command, Payload
from umi_cli.objects.catalogue import Catalogue
from umi_cli.objects.values import Value
from umi_cli.security.scheme0 import Scheme0
from umi_cli.types import (
    DEFAULT_READER_ID,
    EPOCH_UNIX_S,
    UNKNOWN_DEVICE,
    Role,
    UmiCode,
    UmiId,
    parse_datetime,
)
from umi_cli.virtual.delivered import VIRTUAL_METER_ID, new_memory
from umi_cli.virtual.device import Answer, MeterSettings, VirtualMeter
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.peer import Peer
from umi_cli.virtual.updates import UpdateSettings

R = TypeVar("R", bound=Payload)
START_S = parse_datetime("2026-11-22T10:00:00Z")
START_UNIX_S = float(START_S + EPOCH_UNIX_S)


class Bench:
    """A meter, a peer of it, and the time.

    Args:
        role: of peers that have not authenticated.
        datasheet: name or file.
        memory: what the meter remembers; a new one if None.
        defer_ms: how long the meter is at work, by object.
        max_packet_bytes: its longest response.
        updates: how it takes images.
    """

    def __init__(
        self,
        *,
        role: Role = Role.GUEST,
        datasheet: str = "ei4",
        memory: Memory | None = None,
        defer_ms: Mapping[UmiCode, int] | None = None,
        max_packet_bytes: int = MAX_PACKET_BYTES,
        updates: UpdateSettings | None = None,
    ) -> None:
        self.memory = memory or new_memory(datasheet, VIRTUAL_METER_ID)
        self.catalogue = Catalogue.load(datasheet)
        self.changes = 0
        settings = MeterSettings(
            guest_role=role,
            defer_ms=defer_ms or {},
            max_packet_bytes=max_packet_bytes,
            updates=updates or UpdateSettings(),
        )
        self.meter = VirtualMeter(settings, self.memory, self._on_change)
        self.now = 0.0
        self.transaction = -1
        self.peer = self.meter.new_peer("line")
        self.wait(0)

    def _on_change(self) -> None:
        self.changes += 1

    @property
    def clock_s(self) -> int:
        return self.meter.metering.now_s

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.meter.advance(self.now, START_UNIX_S + self.now)

    def packet(
        self,
        command: Command[Any],
        *,
        transaction: int | None = None,
        created_s: int | None = None,
        source: UmiId = DEFAULT_READER_ID,
        destination: UmiId = UNKNOWN_DEVICE,
    ) -> bytes:
        self.transaction = self.transaction + 1 if transaction is None else transaction
        message = Message(
            transaction=self.transaction,
            created_s=START_S + int(self.now) if created_s is None else created_s,
            packet_type=command.TYPE,
            payload=command.encode(),
        )
        return Scheme0().seal(Envelope(source=source, destination=destination), message)

    def execute(self, packet: bytes, peer: Peer | None = None) -> Answer:
        return self.meter.execute(peer or self.peer, packet, self.now)

    def message(self, packet: bytes, peer: Peer | None = None) -> Message:
        return opened(self.execute(packet, peer))

    def reply(self, command: Command[R], peer: Peer | None = None) -> R:
        """Return the reply to a command that is taken."""
        message = self.message(self.packet(command), peer)
        assert message.argument == ResultCode.OK, ResultCode(message.argument).name
        assert message.packet_type == command.REPLY.TYPE
        return cast(R, command.REPLY.decode(message.payload))

    def result(self, command: Command[Any], peer: Peer | None = None) -> ResultCode:
        """Return the result code of a command; a refusal carries no payload."""
        message = self.message(self.packet(command), peer)
        assert message.packet_type == command.REPLY.TYPE
        assert message.argument == ResultCode.OK or message.payload == b""
        return ResultCode(message.argument)

    def read(self, text: str) -> bytes:
        return self.reply(ReadObjectPart(part=self.catalogue.resolve(text))).value

    def value(self, text: str) -> Value:
        return self.catalogue.decode(self.catalogue.resolve(text), self.read(text))

    def write(self, text: str, value: object) -> ResultCode:
        part = self.catalogue.resolve(text)
        raw = value if isinstance(value, bytes) else self.catalogue.encode(part, value)
        return self.result(WriteObjectPart(part=part, value=raw))


def opened(answer: Answer) -> Message:
    assert answer.packet is not None
    return Scheme0().open(answer.packet)[1]
