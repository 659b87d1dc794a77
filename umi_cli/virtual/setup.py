"""How a virtual meter is put together from what its user asks for."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from umi_cli.application.packet import MAX_PACKET_BYTES
from umi_cli.errors import InputError
from umi_cli.link.events import LinkSettings
from umi_cli.names import near
from umi_cli.optical.characters import LineSettings
from umi_cli.types import EPOCH_UNIX_S, Role, UmiCode, UmiId, parse_datetime
from umi_cli.virtual import life_cycle
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.delivered import VIRTUAL_METER_ID, blank_memory, new_memory
from umi_cli.virtual.device import MeterSettings, VirtualMeter
from umi_cli.virtual.event_log import EventLog
from umi_cli.virtual.faults import FaultInjector, FaultRates
from umi_cli.virtual.line import MeterLine
from umi_cli.virtual.memory import Memory, load_memory
from umi_cli.virtual.optical_port import OpticalPort
from umi_cli.virtual.optical_sign_on import OpticalCharacter
from umi_cli.virtual.peripheral_line import PeripheralLine
from umi_cli.virtual.pin_faults import PinFaultRates, PinFaults
from umi_cli.virtual.pins import PeripheralPins
from umi_cli.virtual.slots_file import SlotsFile
from umi_cli.virtual.state import StateFile
from umi_cli.virtual.updates import DEFAULT_MAX_BLOCK_BYTES, UpdateSettings
from umi_cli.virtual.vault import KEY_TABLE_SIZE

DEFAULT_DATASHEET = "ei4"
MIN_PACKET_BYTES = 128  # shorter ones hold no reply at all


@dataclass(frozen=True, slots=True, kw_only=True)
class SimOptions:
    """What a user may say of a virtual meter."""

    state: Path | None = None
    """Where it remembers; None: it forgets everything at the end."""
    datasheet: str | None = None
    """Name or file; what the state says, or `ei4`, if None."""
    faults: FaultRates = field(default_factory=FaultRates)
    seed: int = 0
    """Of the faults."""
    guest_role: Role = Role.GUEST
    time_s: int | None = None
    """Its clock at the start, as a UMI datetime; the host's, or what the state says, if None."""
    off_since_s: int | None = None
    """It was without power from then until its start: a UMI datetime by its own clock."""
    defer_ms: Mapping[UmiCode, int] = field(default_factory=dict)
    max_packet_bytes: int = MAX_PACKET_BYTES
    max_block_bytes: int = DEFAULT_MAX_BLOCK_BYTES
    """The longest block of an image that it takes."""
    activate_after_s: int = 0
    """How long after it was accepted an image is run."""
    umi_id: UmiId | None = None
    """What the state says, or the virtual meter's, if None."""
    is_blank: bool = False
    """Nobody has provisioned it, unless the state says that somebody has."""
    key_table_size: int = KEY_TABLE_SIZE
    """How many certificates of others it has room for."""
    key: Path | None = None
    cert: Path | None = None
    anchor: Path | None = None
    role_keys: Mapping[Role, Path] = field(default_factory=dict)
    transport_keys: Mapping[int, Path] = field(default_factory=dict)
    """Files to take its identity from, on the bench (see `identity`)."""
    optical: OpticalCharacter = field(default_factory=OpticalCharacter)
    """How its optical port behaves, where it is served on one."""
    pin_faults: PinFaultRates = field(default_factory=PinFaultRates)
    """What the pins do wrong, where it is a Peripheral on SPI."""
    defect: Callable[[], Defect] = Defect
    """What its maker got wrong; nothing, unless somebody asks for it."""
    is_peripheral: bool = False
    """On every line it takes its address from a Host, and commands that too."""

    @classmethod
    def from_query(cls, state: str, query: Mapping[str, str]) -> "SimOptions":
        """Read the options of a `sim:` address.

        Raises:
            InputError: an option is unknown, or has no value of its kind.
        """
        unknown = sorted(set(query) - set(_PARSERS))
        if unknown:
            known = f"its options are {', '.join(sorted(_PARSERS))}"
            raise InputError(
                f"the virtual meter has no option {', '.join(unknown)}",
                hint=near(unknown[0], _PARSERS, known),
            )
        values: dict[str, Any] = {
            _PARSERS[name][0]: _PARSERS[name][1](text) for name, text in query.items()
        }
        return cls(state=Path(state) if state else None, **values)


class Simulation:
    """A virtual meter with its state file and its lines.

    Args:
        options: what the user asks for.
        utc: the host's Unix time now.

    Raises:
        InputError: the datasheet or the state file is unusable.
        KeyUnusableError: a file of its identity is.
        PortBusyError: the state file is in use.
    """

    def __init__(self, options: SimOptions, utc: float) -> None:
        self.injectors: list[FaultInjector] = []
        self.pin_faults: list[PinFaults] = []
        self._options = options
        self._file = StateFile(options.state) if options.state else None
        self._slots: SlotsFile | None = None
        is_ready = False
        try:
            self._begin(utc)
            is_ready = True
        finally:
            if not is_ready:  # nobody else could let go of the file
                self._let_go()

    def _begin(self, utc: float) -> None:
        options = self._options
        memory = self._remember()
        self._slots = SlotsFile(options.state, memory) if options.state else None
        self._give_identity(memory)
        self._set_time(memory, utc)
        memory.vault.key_table_size = options.key_table_size
        settings = MeterSettings(
            guest_role=options.guest_role,
            defer_ms=options.defer_ms,
            max_packet_bytes=options.max_packet_bytes,
            defect=options.defect(),
            updates=UpdateSettings(
                max_block_bytes=options.max_block_bytes,
                activate_after_s=options.activate_after_s,
            ),
        )
        self.meter = VirtualMeter(settings, memory, self.save)
        if options.off_since_s:
            self.meter.metering.miss(options.off_since_s, utc)
        elif memory.is_new:  # it starts now, though nobody may ask it anything before it is saved
            self.meter.metering.advance(utc)

    @property
    def events(self) -> EventLog:
        """Return what happens in the meter, to subscribe to."""
        return self.meter.memory.events

    def new_line(self, name: str) -> MeterLine:
        """Return a new line to the meter, with the faults that the user asked for."""
        kind = PeripheralLine if self._options.is_peripheral else MeterLine
        return kind(self.meter, name, self._new_injector())

    def new_optical_port(self, name: str) -> OpticalPort:
        """Return a new optical port of the meter, with the faults that the user asked for."""
        character = self.meter.settings.defect.optical(self._options.optical)
        byte_time_s = LineSettings(baud=character.baud).character_s
        settings = LinkSettings(accepts_commands=True, byte_time_s=byte_time_s)
        injector = self._new_injector()
        line = MeterLine(self.meter, name, settings=settings, supply=injector)
        return OpticalPort(self.meter, line, character, injector)

    def new_peripheral(self, name: str) -> PeripheralPins:
        """Return the pins of the meter as a Peripheral, with the faults that the user asked for."""
        options = self._options
        injector = self._new_injector()
        line = PeripheralLine(self.meter, name, injector)
        faults = PinFaults(options.pin_faults, options.seed + len(self.injectors))
        self.pin_faults.append(faults)
        return PeripheralPins(self.meter, line, faults)

    def _new_injector(self) -> FaultInjector:
        # Each line has its own chance, so that others do not change what happens on it.
        injector = FaultInjector(self._options.faults, self._options.seed + len(self.injectors))
        self.injectors.append(injector)
        return injector

    @property
    def summary(self) -> str:
        """Return how many lines there were, and which faults struck how often."""
        counts: Counter[str] = sum((each.counts for each in self.injectors), Counter())
        struck = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()) if count)
        return f"{len(self.injectors)} lines were served; faults injected: {struck or 'none'}"

    def _give_identity(self, memory: Memory) -> None:
        options = self._options
        files = (options.key, options.cert, options.anchor)
        if not any((*files, options.role_keys, options.transport_keys)):
            return
        from umi_cli.virtual.identity import IdentityFiles, give_identity

        give_identity(
            memory,
            IdentityFiles(
                key=options.key,
                cert=options.cert,
                anchor=options.anchor,
                role_keys=dict(options.role_keys),
                transport_keys=dict(options.transport_keys),
            ),
        )
        if memory.vault.chain:
            life_cycle.leave_factory(memory)

    def _set_time(self, memory: Memory, utc: float) -> None:
        options = self._options
        if options.time_s is not None:
            memory.clock_offset_s = options.time_s + EPOCH_UNIX_S - utc
        now_s = utc + memory.clock_offset_s - EPOCH_UNIX_S
        if options.off_since_s is not None and options.off_since_s > now_s:
            raise InputError("off-since lies after the time at which the virtual meter starts")

    def save(self) -> None:
        """Write what the meter remembers to its state file, if it has one."""
        if self._file:
            self._file.save(self.meter.memory.dump())

    def close(self) -> None:
        """Save, and let go of the state file; twice is harmless."""
        try:
            if self._file:
                self.save()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        file, self._file = self._file, None
        try:
            if self._slots:
                self._slots.close()
        finally:
            if file:
                file.close()

    def _remember(self) -> Memory:
        options = self._options
        text = self._file.load() if self._file else None
        if text is not None:
            memory = load_memory(text, str(options.state), options.datasheet)
            memory.umi_id = options.umi_id or memory.umi_id
            return memory
        datasheet = options.datasheet or DEFAULT_DATASHEET
        if options.is_blank:
            return blank_memory(datasheet, options.umi_id)
        return new_memory(datasheet, options.umi_id or VIRTUAL_METER_ID)


def parse_defer(text: str) -> dict[UmiCode, int]:
    """Parse `umi.255.0.0.32:500`, a code and milliseconds, several between commas."""
    result = {}
    for item in text.split(","):
        code, _, milliseconds = item.rpartition(":")
        result[UmiCode.parse(code)] = parse_number("defer", 0, 3_600_000)(milliseconds)
    return result


def parse_number(name: str, lowest: int, highest: int) -> Callable[[str], int]:
    """Return a parser for a whole number within limits."""

    def parse(text: str) -> int:
        is_number = text.isascii() and text.isdigit() and len(text) <= len(str(highest))
        if not is_number or not lowest <= int(text) <= highest:
            raise InputError(f"{name} takes a number of {lowest} to {highest}, not {text!r:.60}")
        return int(text)

    return parse


def _switch(name: str) -> Callable[[str], bool]:
    """Return a parser for yes or no."""

    def parse(text: str) -> bool:
        if text not in ("", "yes", "no"):
            raise InputError(f"{name} takes yes or no, not {text!r:.60}")
        return text != "no"

    return parse


def _defect(text: str) -> object:
    from umi_cli.virtual.defects import defect_of

    return defect_of(text)


def _role_keys(text: str) -> object:
    from umi_cli.virtual.identity import parse_role_keys

    return parse_role_keys(text)


def _transport_keys(text: str) -> object:
    from umi_cli.virtual.identity import parse_transport_keys

    return parse_transport_keys(text)


_PARSERS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "datasheet": ("datasheet", str),
    "fault": ("faults", FaultRates.parse),
    "seed": ("seed", parse_number("seed", 0, 2**63)),
    "as": ("guest_role", Role.parse),
    "time": ("time_s", parse_datetime),
    "off-since": ("off_since_s", parse_datetime),
    "defer": ("defer_ms", parse_defer),
    "max-packet": ("max_packet_bytes", parse_number("max-packet", MIN_PACKET_BYTES, 65_536)),
    "max-block": ("max_block_bytes", parse_number("max-block", 1, 65_536)),
    "activate-after": ("activate_after_s", parse_number("activate-after", 0, 604_800)),
    "umi-id": ("umi_id", UmiId.parse),
    "opto": ("optical", OpticalCharacter.parse),
    "pins": ("pin_faults", PinFaultRates.parse),
    "defect": ("defect", _defect),
    "peripheral": ("is_peripheral", _switch("peripheral")),
    "blank": ("is_blank", _switch("blank")),
    "key-table": ("key_table_size", parse_number("key-table", 1, 1000)),
    "key": ("key", Path),
    "cert": ("cert", Path),
    "anchor": ("anchor", Path),
    "role-keys": ("role_keys", _role_keys),
    "transport-keys": ("transport_keys", _transport_keys),
}
