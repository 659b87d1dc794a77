"""The reader's end of a `MeterLine`, on a clock that moves when there is nothing to receive."""

import struct
from collections.abc import Sequence

from tests.independent import EVERYONE, READER, IndependentReader
from tests.virtual.bench import START_S, START_UNIX_S
from umi_cli.types import Role
from umi_cli.virtual.delivered import VIRTUAL_METER_ID, new_memory
from umi_cli.virtual.device import MeterSettings, VirtualMeter
from umi_cli.virtual.faults import FaultInjector
from umi_cli.virtual.line import MeterLine

TIMEOUT_S = 1.0


class Wire:
    """A line, the bytes on it, and an independent commander at its end.

    Args:
        meter: what is at the other end; a new one, to a guest, if None.
        name: of the line.
        faults: of the line.
    """

    def __init__(
        self,
        meter: VirtualMeter | None = None,
        name: str = "line",
        faults: FaultInjector | None = None,
    ) -> None:
        self.meter = meter or new_meter()
        self.now = 0.0
        self.line = MeterLine(self.meter, name, faults)
        self.reader = IndependentReader(self.send, self.receive)
        self.sent: list[bytes] = []
        self.received: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        self.line.receive_data(data, self.now, START_UNIX_S + self.now)

    def response(
        self, kind: int, payload: bytes, transaction: int, created_s: int = START_S
    ) -> bytes:
        """Exchange a guest's packet, written by hand; return what stands behind the envelope."""
        envelope = struct.pack("<BBBBQQB", 0, 1, 0, 0, READER, EVERYONE, 0)
        header = struct.pack("<BHIBBH", 0, transaction, created_s, kind, 0, len(payload))
        return self.reader.exchange(envelope + header + payload + b"\x00\x02")[21:]

    def receive(self) -> bytes:
        """Return what there is; let the time pass if there is nothing, and try once more."""
        data = self._taken()
        if not data:
            self.wait(TIMEOUT_S)
            data = self._taken()
        return data

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.line.on_timer(self.now, START_UNIX_S + self.now)

    def _taken(self) -> bytes:
        data = b"".join(self.line.data_to_send())
        if data:
            self.received.append(data)
        return data


def new_meter(role: Role = Role.GUEST) -> VirtualMeter:
    return VirtualMeter(MeterSettings(guest_role=role), new_memory("ei4", VIRTUAL_METER_ID))


def replaying(wire: Wire, frames: Sequence[bytes]) -> list[bytes]:
    """Send frames again; return what came back for each."""
    answers = []
    for frame in frames:
        wire.send(frame)
        answers.append(wire.receive())
    return answers
