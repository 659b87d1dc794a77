"""The optical line as it is: a head on a meter's port, the time each character takes, and noise.

Characters pass at the rate that their sender is set to, a few at a time; who listens under other
settings hears garbage. The head may echo, and may be lifted off. No I/O and no clock: whoever
serves the port hands over bytes, the time and what the reader's port is set to.
"""

import heapq
import re
from collections.abc import Callable
from itertools import count

from umi_cli.optical.characters import SIGN_ON_SETTINGS, LineSettings, with_parity, without_parity
from umi_cli.types import UNKNOWN_DEVICE
from umi_cli.virtual.device import VirtualMeter
from umi_cli.virtual.event_log import EventNumber
from umi_cli.virtual.faults import Cut, FaultInjector
from umi_cli.virtual.line import MeterLine
from umi_cli.virtual.optical_sign_on import MeterSignOn, OpticalCharacter
from umi_cli.virtual.waveform import heard

SLICE_S = 0.02  # characters are handed over that many seconds' worth at a time
MAX_QUEUE_S = 60.0  # of characters that wait for the line: seven of the longest frames at 300 baud

_NOT_IN_IDENT = re.compile(r'[^ "-.0-\[\]-~]')

_Arrival = Callable[[bytes, LineSettings, float, float], None]
"""Characters, what they were sent at, and when their first one began and their last one ended."""


class Wire:
    """One direction of the line: what is put on it arrives when its last bit has passed.

    Args:
        arrive: told what arrives.
    """

    def __init__(self, arrive: _Arrival) -> None:
        self._arrive = arrive
        self._slices: list[tuple[float, int, float, bytes, LineSettings]] = []
        self._order = count()
        self._free_from = 0.0
        self.busy_s = 0.0
        """How long characters were on the line, in seconds."""

    @property
    def deadline(self) -> float | None:
        """Return when the next characters arrive."""
        return self._slices[0][0] if self._slices else None

    def put(self, data: bytes, settings: LineSettings, at: float) -> None:
        """Put characters on the line at a moment, or as soon as it is free.

        What would have to wait too long is lost, as where a port has no more room.
        """
        per_slice = max(1, int(SLICE_S / settings.character_s))
        began = max(at, self._free_from)
        room = int((at + MAX_QUEUE_S - began) / settings.character_s)
        data = data[: max(0, room)]
        for start in range(0, len(data), per_slice):
            piece = data[start : start + per_slice]
            ended = began + len(piece) * settings.character_s
            entry = (ended, next(self._order), began, piece, settings)
            heapq.heappush(self._slices, entry)
            self.busy_s += ended - began
            began = ended
        self._free_from = began

    def pass_on(self, now: float) -> None:
        """Deliver what has arrived by `now`."""
        while self._slices and self._slices[0][0] <= now:
            ended, _, began, piece, settings = heapq.heappop(self._slices)
            self._arrive(piece, settings, began, ended)

    def clear(self) -> None:
        """Lose what is on the way."""
        self._slices.clear()
        self._free_from = 0.0


class OpticalPort:
    """A virtual meter's optical port with a head on it.

    Args:
        meter: what is behind the port.
        line: its end of the link, which speaks once the port is switched to UMI.
        character: how port and head behave.
        faults: what the line does to the characters.
    """

    def __init__(
        self,
        meter: VirtualMeter,
        line: MeterLine,
        character: OpticalCharacter,
        faults: FaultInjector,
    ) -> None:
        self.settings: LineSettings = SIGN_ON_SETTINGS
        """What the reader's port is set to."""
        self.is_hung_up = False
        self.sign_on = MeterSignOn(character, self._identity, self._on_sign_on, self._serial)
        self._meter = meter
        self._line = line
        self._character = character
        self._faults = faults
        self._power_losses = meter.power_losses
        self._lifted_until = 0.0
        self._ahead_s = 0.0
        self._outbox: list[bytes] = []
        self.to_meter = Wire(self._on_meter_hears)
        self.to_reader = Wire(self._on_reader_hears)
        self._echo = Wire(self._on_reader_hears)

    @property
    def deadline(self) -> float | None:
        """Return when `on_timer` wants to be called: seconds, monotonic."""
        times = [
            self.to_meter.deadline,
            self.to_reader.deadline,
            self._echo.deadline,
            self.sign_on.deadline,
            self._line.deadline,
        ]
        return min((time for time in times if time is not None), default=None)

    def receive_data(self, data: bytes, now: float, utc: float) -> None:
        """Take what the reader's port sends from `now` on."""
        self.on_timer(now, utc)
        characters = with_parity(data) if self.settings.parity == "E" else data
        if self._character.has_echo:
            self._echo.put(characters, self.settings, now)
        self._send_through(characters, self.settings, self.to_meter, now)

    def on_timer(self, now: float, utc: float) -> None:
        """Let time pass until `now` (monotonic seconds; `utc` is the host's Unix time).

        What was due meanwhile is done in its order, each at its own moment: a host that was busy
        changes nothing of what happens on the line.
        """
        self._ahead_s = utc - now
        done = -1.0
        while (due := self.deadline) is not None and done < due <= now:
            self._do_due(due)
            done = due
        self._do_due(now)

    def data_to_send(self) -> list[bytes]:
        """Return what the reader receives now."""
        chunks, self._outbox = self._outbox, []
        return chunks

    def close(self) -> None:
        """Forget the line: the reader is gone for good."""
        self._line.close()

    def press_key(self, now: float) -> None:
        """Press the meter's key, which opens its port for a minute."""
        self.sign_on.press_key(now)

    def _do_due(self, now: float) -> None:
        self._line.on_timer(now, now + self._ahead_s)
        self._check_power()
        self.to_meter.pass_on(now)
        self._echo.pass_on(now)
        self.to_reader.pass_on(now)
        was_umi = self.sign_on.is_umi
        if reply := self.sign_on.on_timer(now):
            self._send_through(reply, self.sign_on.settings, self.to_reader, now)
        self._follow(was_umi=was_umi)
        self._send_frames(now)

    def _check_power(self) -> None:
        if self._power_losses != self._meter.power_losses:
            self._power_losses = self._meter.power_losses
            self.sign_on.lose_power()
            self.to_reader.clear()

    def _on_meter_hears(self, piece: bytes, sent: LineSettings, began: float, ended: float) -> None:
        if self._meter.is_off(ended) or began < self._lifted_until:
            return
        was_umi = self.sign_on.is_umi
        data = heard(piece, sent, self.sign_on.settings)
        self.sign_on.hear(data, began, ended)
        if was_umi and self.sign_on.is_umi:
            self._line.receive_data(data, ended, ended + self._ahead_s)
            self._check_power()
        self._follow(was_umi=was_umi)

    def _follow(self, *, was_umi: bool) -> None:
        """Forget the link's session when the port's has ended, and begin with a new one."""
        if was_umi != self.sign_on.is_umi:
            self._line.start_over()
        if was_umi and not self.sign_on.is_umi:
            self.to_reader.clear()  # it stops in the middle of what it was saying

    def _send_frames(self, now: float) -> None:
        for frame in self._line.data_to_send():
            if self.sign_on.is_umi:  # the frame before may have cost the meter its power
                self._send_through(frame, self.sign_on.settings, self.to_reader, now)

    def _send_through(self, data: bytes, settings: LineSettings, wire: Wire, now: float) -> None:
        passage = self._faults.pass_through(data)
        if passage.cut is Cut.POWER:
            self._meter.lose_power(now + self._faults.off_s())
            self._check_power()
        elif passage.cut is not None:  # nobody hangs up here: the probe is lifted
            self._lifted_until = now + self._faults.lifted_s()
            for each in (self.to_meter, self.to_reader, self._echo):
                each.clear()
        for delay_s, piece in passage.pieces:
            wire.put(piece, settings, now + delay_s)

    def _on_reader_hears(
        self, piece: bytes, sent: LineSettings, began: float, ended: float
    ) -> None:
        if began < self._lifted_until:
            return
        data = heard(piece, sent, self.settings)
        # A port at 7E1 hands over seven bits.
        self._outbox.append(without_parity(data) if self.settings.bits == 7 else data)

    def _identity(self) -> tuple[str, str]:
        """Return XXX and IDENT: manufacturer and model of umi.1.1.0.0."""
        text = self._manufacturer_id()
        manufacturer, model = text[8:11], text[:8].strip()
        is_known = len(manufacturer) == 3 and manufacturer.isalpha()
        return (manufacturer if is_known else "XXX"), _NOT_IN_IDENT.sub("?", model)

    def _serial(self) -> str:
        """Return the device address: the serial number."""
        return self._manufacturer_id()[15:23].strip()

    def _manufacturer_id(self) -> str:
        store = self._meter.memory.store
        identity = store.find("manufacturer-id")
        value = store.values.get(identity.code, b"") if identity else b""
        return value.decode("ascii", "replace").replace("\0", " ")

    def _on_sign_on(self) -> None:
        now_s = self._meter.metering.now_s
        self._meter.memory.events.add(
            EventNumber.OPTO_COMMUNICATIONS, now_s, UNKNOWN_DEVICE.encode()
        )
