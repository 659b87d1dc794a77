"""The Host's side of a port: its objects, and what the Peripherals publish to it (protocol 9)."""

from umi_cli.virtual.device import Answer, VirtualMeter


class HostObjects:
    """What a Peripheral may command of its Host.

    Args:
        meter: the Host with its objects.
        line: a name for the port, unique among the Host's.
    """

    def __init__(self, meter: VirtualMeter, line: str) -> None:
        self._meter = meter
        self._peer = meter.new_peer(line)

    def execute(self, packet: bytes, now: float, utc: float) -> bytes | None:
        """Answer a command packet; None: it came too late to count."""
        self._meter.advance(now, utc)
        answer: Answer = self._meter.execute(self._peer, packet, now)
        return answer.packet
