"""The pins of a virtual peripheral: power, reset, select and clock in, INTB out (protocol 9).

No I/O and no clock. INTB is normally high. It falls when the peripheral is ready after a reset,
when it is awake after a select, and when it has a frame; it rises when the Host has selected it
for the first time, and at the end of a frame.
"""

from enum import Enum, auto

from umi_cli.link.frame import CRC_BYTES, HEADER_BYTES, MAX_FRAME_PAYLOAD, FrameType
from umi_cli.virtual.defect import PinTime
from umi_cli.virtual.device import VirtualMeter
from umi_cli.virtual.line import MeterLine
from umi_cli.virtual.pin_faults import PinFaults

# choice: protocol 9 bounds these from above; a peripheral of ours takes that long.
READY_S = 0.02
WAKE_S = 0.001
RISE_S = 0.0005
PAUSE_S = 0.002  # INTB is high between two frames at least that long: an edge is needed
PATIENCE_S = 0.5  # a Host that wakes it and then says nothing is forgotten


class PinState(Enum):
    """What the peripheral does."""

    OFF = auto()
    """It has no power, or is held in reset."""
    BOOTING = auto()
    READY = auto()
    """INTB is low: it waits for its first select."""
    IDLE = auto()
    WAKING = auto()
    """It was selected: INTB falls soon."""
    AWAKE = auto()
    """INTB is low: it takes the Host's frame."""
    TAKEN = auto()
    """It has the frame; INTB rises once it is no longer selected."""
    OFFERING = auto()
    """INTB is low: it has a frame."""


class PeripheralPins:
    """A virtual peripheral as its Host's pins see it.

    Args:
        meter: the device.
        line: its end of the link.
        faults: what the pins do wrong.
        is_self_powered: it runs without VDD.
    """

    def __init__(
        self,
        meter: VirtualMeter,
        line: MeterLine,
        faults: PinFaults,
        *,
        is_self_powered: bool = False,
    ) -> None:
        self.state = PinState.OFF
        self.is_plugged = True
        """Unplugged, its INTB floats high, and nothing reaches it."""
        self._meter = meter
        self._line = line
        self._faults = faults
        self._is_self_powered = is_self_powered
        self._is_powered = is_self_powered
        self._is_held = True
        self._is_selected = False
        self._until = 0.0
        """When the state changes by itself; as `deadline`, if the state is one that does."""
        self._incoming = bytearray()
        self._position = 0
        self._frames: list[bytes] = []

    @property
    def deadline(self) -> float | None:
        """Return when `on_timer` wants to be called: seconds, monotonic."""
        times = [self._line.deadline, self._faults.deadline]
        if self.state in _TIMED or (self.state is PinState.IDLE and self._frames):
            times.append(self._until)
        return min((time for time in times if time is not None), default=None)

    def int_is_low(self, now: float) -> bool:
        """Tell whether INTB is low on the wire."""
        if not self.is_plugged:
            return False
        return self._faults.level(now, is_low=self.state in _LOW)

    def power(self, on: bool, now: float, utc: float) -> None:
        """Switch VDD."""
        self._is_powered = (on and self.is_plugged) or self._is_self_powered
        self._settle_supply(now)

    def reset(self, held: bool, now: float, utc: float) -> None:
        """Hold RSTB low, or release it."""
        self._is_held = held
        self._settle_supply(now)

    def unplug(self, now: float) -> None:
        """Take it off its connector."""
        self.is_plugged = self._is_powered = False
        self._settle_supply(now)

    def select(self, selected: bool, now: float, utc: float) -> None:
        """Pull CSB low, or let it go."""
        self.on_timer(now, utc)
        if not self.is_plugged:
            return
        self._is_selected = selected
        if selected:
            if self.state is PinState.READY:
                self._rest(now)
            elif self.state is PinState.IDLE:
                self.state = PinState.WAKING
                self._until = now + self._faults.wake_s(self._lasts("wake", WAKE_S))
            self._faults.strike(now)
            if self._faults.resets():
                self._restart(now)
        elif self.state is PinState.TAKEN:
            self._until = now + self._lasts("rise", RISE_S)

    def transfer(self, sent: bytes, now: float, utc: float) -> bytes:
        """Clock bytes in, and as many out."""
        self.on_timer(now, utc)
        if not self.is_plugged:
            return b"\xff" * len(sent)
        sent = self._faults.received(sent)
        if self.state is PinState.OFFERING and any(sent[:1]):
            # The Host reads with zeros, and no frame begins with one: it speaks itself.
            self.state, self._position = PinState.AWAKE, 0
            self._until = now + PATIENCE_S
        if self.state is PinState.OFFERING:
            out = self._give(len(sent), now)
        else:
            out = bytes(len(sent))
            if self.state is PinState.AWAKE:
                self._take(sent, now, utc)
        return self._faults.sent(out)

    def on_timer(self, now: float, utc: float) -> None:
        """Let time pass until `now` (monotonic seconds; `utc` is the host's Unix time)."""
        self._line.on_timer(now, utc)
        self._frames += self._line.data_to_send()
        if now < self._until:
            return
        if self.state is PinState.BOOTING:
            self.state = PinState.READY
        elif self.state is PinState.WAKING:
            self.state, self._until = PinState.AWAKE, now + PATIENCE_S
        elif self.state is PinState.AWAKE or (
            self.state is PinState.TAKEN and not self._is_selected
        ):
            self._rest(now)
        elif self.state is PinState.IDLE and self._frames and not self._is_selected:
            self.state = PinState.OFFERING

    def _settle_supply(self, now: float) -> None:
        runs = self._is_powered and not self._is_held
        if not runs and self.state is not PinState.OFF:
            self.state = PinState.OFF
            self._meter.lose_power(float("inf"))
            self._forget()
        elif runs and self.state is PinState.OFF:
            self._meter.restore_power(now)
            self._boot(now)

    def _restart(self, now: float) -> None:
        """Reset in the middle of whatever it does."""
        self._meter.lose_power(now)
        self._forget()
        self._boot(now)

    def _boot(self, now: float) -> None:
        self.state, self._until = PinState.BOOTING, now + self._lasts("ready", READY_S)

    def _lasts(self, what: PinTime, seconds: float) -> float:
        return self._meter.settings.defect.pin_s(what, seconds)

    def _rest(self, now: float) -> None:
        self.state, self._until = PinState.IDLE, now + PAUSE_S
        self._incoming.clear()

    def _forget(self) -> None:
        self._incoming.clear()
        self._frames.clear()
        self._position = 0
        self._line.start_over()

    def _give(self, count: int, now: float) -> bytes:
        """Hand out the next bytes of a frame; INTB rises with its last one."""
        frame = self._frames[0]
        out = frame[self._position : self._position + count].ljust(count, b"\0")
        self._position += count
        if self._position >= len(frame):
            self._frames.pop(0)
            self._position = 0
            self._rest(now)
        return out

    def _take(self, sent: bytes, now: float, utc: float) -> None:
        """Take the next bytes of the Host's frame."""
        self._incoming += sent
        self._until = now + PATIENCE_S
        if len(self._incoming) < HEADER_BYTES:
            return
        length = self._incoming[2] + HEADER_BYTES + CRC_BYTES
        is_frame = self._incoming[2] <= MAX_FRAME_PAYLOAD
        if is_frame and len(self._incoming) < length:
            return
        frame = bytes(self._incoming[:length])
        self._incoming.clear()
        self.state = PinState.TAKEN
        self._until = now + self._lasts("rise", RISE_S)
        if is_frame:
            if frame[1] & 0xF == FrameType.RESYNC:
                self._frames.clear()
                self._position = 0
            self._line.receive_data(frame, now, utc)
            self._frames += self._line.data_to_send()


_LOW = (PinState.READY, PinState.AWAKE, PinState.TAKEN, PinState.OFFERING)
_TIMED = (PinState.BOOTING, PinState.WAKING, PinState.AWAKE, PinState.TAKEN)
