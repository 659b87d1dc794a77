"""What makes the objects of a virtual meter live: its clock, profile, event log and valve."""

from struct import Struct

from umi_cli import wire
from umi_cli.application.codes import ResultCode
from umi_cli.types import EPOCH_UNIX_S, MAX_DATETIME_S, UNKNOWN_DEVICE, UmiId
from umi_cli.virtual import life_cycle
from umi_cli.virtual.event_log import EventNumber, encode_records
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.profile import INTERVAL_S, SOFTWARE_RESTART
from umi_cli.virtual.refusal import Refusal

UNIT_CODE = 2  # 0.01 m³
METER_UID_BASE = 10**12
PROFILE_RECORD_BYTES = 12
EVENT_RECORD_BYTES = 16
UMI_ID_BYTES = 8
VALVE_BYTES = 1

_PROFILE_STATUS = Struct("<IIHIHHQ")
_CLOCK = Struct("<IIHH")
_CLOCK_CONTROL = Struct("<IHH")
_PROFILE_CONTROL = Struct("<II")
_EVENT_CONTROL = Struct("<III")
_EVENT_STATUS = Struct("<IIHHIII")


class Metering:
    """The working part of a virtual meter.

    Args:
        memory: what survives a power cut.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._utc = 0.0
        self._provide()
        self._hook()

    @property
    def now_s(self) -> int:
        """Return the meter's time as a UMI datetime."""
        now_s = int(self._utc + self._memory.clock_offset_s) - EPOCH_UNIX_S
        return min(max(now_s, 1), MAX_DATETIME_S)

    def advance(self, utc: float) -> None:
        """Let the meter's time pass until the host's Unix time is `utc`."""
        self._utc = utc
        memory = self._memory
        memory.profile.advance(self.now_s)
        if memory.is_new:
            memory.is_new = False
            memory.synced_s = self.now_s
            memory.events.add(EventNumber.RESTART, self.now_s)

    def set_by_host(self, unix_s: float) -> None:
        """Set the clock by the Host's, whose Unix time was told a moment ago."""
        self._memory.clock_offset_s = unix_s - self._utc
        self._memory.synced_s = self.now_s

    def pass_without_power(self, utc: float) -> None:
        """Let the time pass on the clock alone: nothing is measured."""
        self._utc = utc

    def power_back(self, utc: float) -> None:
        """Go on after a power cut that ended when the host's Unix time was `utc`."""
        self._utc = utc
        self._memory.profile.power_back(self.now_s)
        self.restart()

    def miss(self, since_s: int, utc: float) -> None:
        """Have been without power from a time of the meter's clock (UMI datetime) until `utc`."""
        self.advance(since_s + EPOCH_UNIX_S - self._memory.clock_offset_s)
        self.power_back(utc)

    def restart(self) -> None:
        """Note that the meter starts anew."""
        self._memory.profile.next_status |= SOFTWARE_RESTART
        self._memory.events.add(EventNumber.RESTART, self.now_s)

    def _provide(self) -> None:
        provide = self._memory.store.provide
        provide("umi-id", lambda: self._memory.umi_id.encode(), size_bytes=UMI_ID_BYTES)
        provide("metrology-clock", self._clock, size_bytes=_CLOCK.size)
        provide("profile-status", self._profile_status, size_bytes=_PROFILE_STATUS.size)
        provide("profile-table", self._profile_table, size_bytes=PROFILE_RECORD_BYTES)
        provide("event-status", self._event_status, size_bytes=_EVENT_STATUS.size)
        provide("event-table", self._event_table, size_bytes=EVENT_RECORD_BYTES)

    def _hook(self) -> None:
        store = self._memory.store
        store.on_write("umi-id", self._identify, size_bytes=UMI_ID_BYTES)
        store.on_write("clock-control", self._set_clock, size_bytes=_CLOCK_CONTROL.size)
        store.on_write("event-control", self._acknowledge, size_bytes=_EVENT_CONTROL.size)
        store.on_write("valve", self._move_valve, size_bytes=VALVE_BYTES)
        store.on_write(
            "life-cycle",
            lambda raw: life_cycle.check_step(self._memory, raw),
            size_bytes=life_cycle.LIFE_CYCLE_BYTES,
        )
        if wan := store.find("wan-configuration"):
            event = wire.u32(wan.code.value) + wire.u16(ResultCode.OK)
            number = EventNumber.CONFIGURATION_UPDATE
            store.on_write(wan.name, lambda _: self._memory.events.add(number, self.now_s, event))

    def _value(self, name: str) -> bytes:
        definition = self._memory.store.find(name)
        return self._memory.store.values[definition.code] if definition else b""

    @property
    def _profile_start_s(self) -> int:
        return int.from_bytes(self._value("profile-control")[:4], "little")

    @property
    def _event_start_s(self) -> int:
        return int.from_bytes(self._value("event-control")[:4], "little")

    def _events(self) -> list[tuple[int, int, bytes]]:
        return self._memory.events.since(self._event_start_s)

    def _profile_table(self) -> bytes:
        return self._memory.profile.since(self._profile_start_s)

    def _event_table(self) -> bytes:
        return encode_records(self._events())

    def _clock(self) -> bytes:
        return _CLOCK.pack(self.now_s, self._memory.synced_s, 0, 0)

    def _profile_status(self) -> bytes:
        table = self._profile_table()
        first_s = int.from_bytes(table[4:8], "little")
        executed_s = self.now_s - self.now_s % INTERVAL_S
        return _PROFILE_STATUS.pack(
            self._profile_start_s,
            executed_s,
            len(table) // PROFILE_RECORD_BYTES,
            first_s,
            UNIT_CODE,
            0,
            METER_UID_BASE + self._factory_and_serial,
        )

    @property
    def _factory_and_serial(self) -> int:
        """Return both as one decimal number; 0 where they are no digits."""
        digits = self._value("manufacturer-id")[11:23]
        return int(digits) if digits.isdigit() else 0

    def _event_status(self) -> bytes:
        records = self._events()
        first_s, latest_s = (records[0][1], records[-1][1]) if records else (0, 0)
        return _EVENT_STATUS.pack(
            self._event_start_s,
            latest_s,
            len(records),
            0,
            first_s,
            latest_s,
            self._memory.events.active,
        )

    def _identify(self, raw: bytes) -> None:
        umi_id = UmiId(int.from_bytes(raw, "little"))
        if umi_id == UNKNOWN_DEVICE:
            raise Refusal(ResultCode.INVALID_VALUE)
        # choice: a certificate is for one UMI ID; a meter that has one keeps to it
        if self._memory.vault.chain and umi_id != self._memory.umi_id:
            raise Refusal(ResultCode.ALREADY_INSTALLED)
        self._memory.umi_id = umi_id

    def _set_clock(self, raw: bytes) -> None:
        new_s, _, _ = _CLOCK_CONTROL.unpack(raw)
        if new_s == 0:
            raise Refusal(ResultCode.INVALID_VALUE)
        change_s = new_s - self.now_s
        # choice: the second begins when the command comes
        self._memory.clock_offset_s = new_s + EPOCH_UNIX_S - self._utc
        self._memory.synced_s = self.now_s
        self._memory.profile.set_clock(self.now_s)
        self._memory.events.add(
            EventNumber.CLOCK_SET, self.now_s, change_s.to_bytes(8, "little", signed=True)[:4]
        )

    def _acknowledge(self, raw: bytes) -> None:
        _, _, acknowledged = _EVENT_CONTROL.unpack(raw)
        self._memory.events.active &= ~acknowledged

    def _move_valve(self, raw: bytes) -> None:
        number = EventNumber.VALVE_RELEASED if raw[0] else EventNumber.VALVE_CLOSED
        self._memory.events.add(number, self.now_s)
