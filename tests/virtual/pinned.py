"""A virtual Peripheral by its pins alone, at a time of our choosing."""

from typing import Any

from tests.virtual.bench import START_UNIX_S
from umi_cli.application.commands import ReadObject, ReadObjectReply
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.link.frame import CRC_BYTES, HEADER_BYTES, HOST_ADDRESS, Frame, FrameType
from umi_cli.security.scheme0 import Scheme0
from umi_cli.types import DEFAULT_READER_ID, UNKNOWN_DEVICE, UmiCode
from umi_cli.virtual.delivered import VIRTUAL_METER_ID, new_memory
from umi_cli.virtual.device import MeterSettings, VirtualMeter
from umi_cli.virtual.peripheral_line import PeripheralLine
from umi_cli.virtual.pin_faults import PinFaultRates, PinFaults
from umi_cli.virtual.pins import PeripheralPins

POWER_UP_S, READY_WITHIN_S, WITHIN_S = 0.05, 0.5, 0.1  # protocol 9
OWN = 4
MANUFACTURER_ID = UmiCode.parse("umi.1.1.0.0")
UMI_ID = UmiCode(0)
IDENTITY = b"EISGMv0\x00ELS002531733978"


class Pinned:
    """The pins of a Peripheral, and the time.

    Args:
        faults: of the pins; `pins.faults` strike only where a test says so.
        is_self_powered: it runs without VDD.
    """

    def __init__(self, faults: PinFaults | None = None, *, is_self_powered: bool = False) -> None:
        self.now = 0.0
        self.meter = VirtualMeter(MeterSettings(), new_memory("ei4", VIRTUAL_METER_ID))
        line = PeripheralLine(self.meter, "line")
        faults = faults or PinFaults(PinFaultRates(), 0)
        self.pins = PeripheralPins(self.meter, line, faults, is_self_powered=is_self_powered)

    @property
    def utc(self) -> float:
        return START_UNIX_S + self.now

    def is_low(self) -> bool:
        """Look at INTB; no property, for it changes by itself."""
        self.pins.on_timer(self.now, self.utc)
        return self.pins.int_is_low(self.now)

    def power(self, on: bool) -> None:
        self.pins.power(on, self.now, self.utc)

    def reset(self, held: bool) -> None:
        self.pins.reset(held, self.now, self.utc)

    def select(self, selected: bool) -> None:
        self.pins.select(selected, self.now, self.utc)

    def clock(self, sent: bytes) -> bytes:
        return self.pins.transfer(sent, self.now, self.utc)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.pins.on_timer(self.now, self.utc)

    def falls_within(self, seconds: float, *, low: bool = True) -> bool:
        """Wait until INTB is low, by the deadlines that the pins name; tell whether it fell."""
        end = self.now + seconds
        while self.is_low() != low:
            due = self.pins.deadline
            if due is None or due > end:
                self.now = end
                return self.is_low() == low
            assert due > self.now, "it is due, and nothing happens"
            self.wait(due - self.now)
        return True

    def rises_within(self, seconds: float) -> bool:
        """Wait until INTB is high; as `falls_within`."""
        return self.falls_within(seconds, low=False)

    # What a Host does, step by step as protocol 9 has it

    def start(self) -> "Pinned":
        """Power up, and see it."""
        self.reset(True)
        self.power(True)
        self.wait(POWER_UP_S)
        self.reset(False)
        assert self.falls_within(READY_WITHIN_S)
        self.see()
        return self

    def see(self) -> None:
        """Select it for the first time after a reset."""
        self.select(True)
        assert self.rises_within(WITHIN_S)
        self.select(False)

    def wake(self) -> None:
        """Select it, and wait until it is awake."""
        self.select(True)
        assert self.falls_within(WITHIN_S)

    def let_go(self) -> None:
        """Let CSB go, and see INTB rise."""
        self.select(False)
        assert self.rises_within(WITHIN_S)

    def put(self, data: bytes) -> None:
        """Send a frame."""
        self.wake()
        assert not any(self.clock(data))
        self.let_go()

    def fetch(self) -> Frame:
        """Wait for a frame, and take it."""
        assert self.falls_within(WITHIN_S)
        self.select(True)
        data = self.clock(bytes(HEADER_BYTES))
        data += self.clock(bytes(data[2] + CRC_BYTES))
        self.let_go()
        return Frame.decode(data)

    def is_silent(self) -> bool:
        """Tell whether it has nothing to say for a second."""
        return not self.falls_within(1.0)

    def resync(self) -> None:
        """Start over; what it asks for the time is answered with nothing that it understands."""
        self.put(resync())
        assert self.fetch().frame_type == FrameType.RESYNC_RESPONSE
        asked = self.fetch()
        assert asked.frame_type == FrameType.SIMPLE
        self.put(frame(asked.sequence, b"?", FrameType.SIMPLE_RESPONSE))


def frame(
    sequence: int,
    payload: bytes = b"",
    kind: FrameType = FrameType.SIMPLE,
    *,
    destination: int = OWN,
    source: int = HOST_ADDRESS,
) -> bytes:
    return Frame(
        sequence=sequence,
        frame_type=kind,
        destination=destination,
        source=source,
        payload=payload,
    ).encode()


def resync(destination: int = OWN, source: int = HOST_ADDRESS) -> bytes:
    return frame(0, kind=FrameType.RESYNC, destination=destination, source=source)


def packet_of(command: Command[Any], transaction: int = 7) -> bytes:
    message = Message(
        transaction=transaction, created_s=0, packet_type=command.TYPE, payload=command.encode()
    )
    return Scheme0().seal(Envelope(source=DEFAULT_READER_ID, destination=UNKNOWN_DEVICE), message)


def question(
    sequence: int = 1, code: UmiCode = MANUFACTURER_ID, *, source: int = HOST_ADDRESS
) -> bytes:
    """Return a frame that reads an object."""
    return frame(sequence, packet_of(ReadObject(code=code)), source=source)


def value_in(answer: Frame) -> bytes:
    """Return the value in the response to a `question`."""
    assert answer.frame_type == FrameType.SIMPLE_RESPONSE
    return ReadObjectReply.decode(Scheme0().open(answer.payload)[1].payload).value
