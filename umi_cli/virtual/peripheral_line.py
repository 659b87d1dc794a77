"""A virtual device as a Peripheral: it takes its address from the Host, and commands it too.

Protocol 9, and the topology of the overview: one Host, up to 15 ports. After a start it asks the
Host for the time; later it publishes what the Host has subscribed to.
"""

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import ReadObject, ReadObjectReply
from umi_cli.application.packet import ENVELOPE_BYTES, Message
from umi_cli.errors import MalformedError
from umi_cli.link.events import Event, LinkAddresses, LinkSettings, ResponseReceived, Resynchronised
from umi_cli.link.frame import HOST_ADDRESS
from umi_cli.types import EPOCH_UNIX_S, UmiCode
from umi_cli.virtual.device import VirtualMeter
from umi_cli.virtual.faults import FaultInjector
from umi_cli.virtual.line import MeterLine

CLOCK_OBJECT = UmiCode.parse("umi.1.1.194.31")
FIRST_PORT = 1
_TIME_BYTES = 4


class PeripheralLine(MeterLine):
    """A Peripheral's line to its Host; arguments as of `MeterLine`."""

    def __init__(self, meter: VirtualMeter, name: str, faults: FaultInjector | None = None) -> None:
        super().__init__(
            meter,
            name,
            faults,
            settings=LinkSettings(accepts_commands=True, takes_address=True, timeout_s=1.0),
            addresses=LinkAddresses(own=FIRST_PORT, peer=HOST_ADDRESS),
        )
        self._has_asked = False

    def start_over(self) -> None:
        """Begin anew; the Host is asked for the time again."""
        super().start_over()
        self._has_asked = False

    def _on_events(self, events: list[Event], now: float) -> None:
        super()._on_events(events, now)
        for event in events:
            if isinstance(event, Resynchronised) and not self._has_asked:
                self._has_asked = True
                self._commands.append(ReadObject(code=CLOCK_OBJECT))
            elif isinstance(event, ResponseReceived):
                self._take_time(event.packet)

    def _take_time(self, packet: bytes) -> None:
        """Set the clock by the Host's answer; any other answer says nothing to us."""
        try:
            message = Message.decode(packet[ENVELOPE_BYTES:])
            if message.packet_type != PacketType.READ_OBJECT_RESPONSE:
                return
            reply = ReadObjectReply.decode(message.payload)
        except MalformedError:
            return
        is_time = message.argument == ResultCode.OK and reply.code == CLOCK_OBJECT
        if is_time and len(reply.value) >= _TIME_BYTES:
            host_s = int.from_bytes(reply.value[:_TIME_BYTES], "little")
            metering = self._meter.metering
            metering.set_by_host(host_s + EPOCH_UNIX_S)
