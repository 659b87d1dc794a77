"""A virtual meter as its user asks for it: options, state, lines, and a datasheet of his own."""

import resource
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.virtual.bench import START_S, START_UNIX_S, Bench
from tests.virtual.wire import Wire
from umi_cli.application.codes import ResultCode
from umi_cli.errors import InputError, PortBusyError, UmiError
from umi_cli.objects.catalogue import Catalogue
from umi_cli.objects.values import DayTime, Enumerated, Flags, Value
from umi_cli.types import Role, RoleSet, UmiCode, UmiId
from umi_cli.virtual.delivered import VALUES, VIRTUAL_METER_ID, new_memory
from umi_cli.virtual.faults import FaultRates
from umi_cli.virtual.profile import CLOCK_IN_SYNC, SOFTWARE_RESTART
from umi_cli.virtual.setup import SimOptions, Simulation, parse_defer, parse_number

COUNTER = 0xFF00_0041
OK = ResultCode.OK


def test_every_option_of_the_address() -> None:
    """Each is read as its kind, and named as the command line names it."""
    options = SimOptions.from_query(
        "bench.json",
        {
            "datasheet": "ei4",
            "fault": "drop:0.5",
            "seed": "9223372036854775808",
            "as": "service",
            "time": "2026-11-22T10:00:00Z",
            "off-since": "2026-11-22T09:00:00Z",
            "defer": "umi.255.0.0.32:500,umi.255.0.0.65:3600000",
            "max-packet": "128",
            "max-block": "64",
            "activate-after": "604800",
            "transport-keys": "7:fleet.key",
            "umi-id": "0102030405060708",
        },
    )
    assert options == SimOptions(
        state=Path("bench.json"),
        datasheet="ei4",
        faults=FaultRates(drop=0.5),
        seed=2**63,
        guest_role=Role.SERVICE,
        time_s=START_S,
        off_since_s=START_S - 3600,
        defer_ms={
            UmiCode.parse("umi.255.0.0.32"): 500,
            UmiCode.parse("umi.255.0.0.65"): 3_600_000,
        },
        max_packet_bytes=128,
        max_block_bytes=64,
        activate_after_s=604_800,
        transport_keys={7: Path("fleet.key")},
        umi_id=UmiId(0x0102_0304_0506_0708),
    )
    assert SimOptions.from_query("", {}) == SimOptions()


WRONG = [
    ("seeds", "1", "no option seeds"),
    ("seed", "-1", "seed takes a number of 0 to"),
    ("seed", "1.5", "seed takes"),
    ("seed", "٣", "seed takes"),
    ("seed", "9" * 5000, "seed takes"),
    ("max-packet", "127", "max-packet takes a number of 128 to 65536"),
    ("max-packet", "65537", "max-packet takes"),
    ("max-block", "0", "max-block takes a number of 1 to 65536"),
    ("activate-after", "604801", "activate-after takes"),
    ("transport-keys", "7", "names no transport key"),
    ("defer", "500", "is not a UMI code"),
    ("defer", "umi.255.0.0.32", "defer takes a number"),
    ("defer", "umi.255.0.0.32:", "defer takes a number"),
    ("defer", "umi.255.0.0.32:3600001", "defer takes a number"),
    ("fault", "fire:1", "is no fault"),
    ("as", "king", "no role 'king'"),
    ("time", "yesterday", "is not a time"),
    ("off-since", "2026-11-22T10:00", "is not a time"),
    ("umi-id", "7x", "is not a UMI ID"),
]


@pytest.mark.parametrize(("name", "text", "reason"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_option_is_an_input_error(name: str, text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        SimOptions.from_query("", {name: text})
    assert len(str(caught.value)) < 200


@given(st.text(max_size=20))
def test_any_text_is_a_number_or_an_input_error(text: str) -> None:
    try:
        assert parse_number("seed", 3, 300)(text) in range(3, 301)
    except InputError as error:
        assert error.exit_code == 2  # noqa: PT017 - either way is right


def test_deferring_names_codes() -> None:
    assert parse_defer("umi.1.1.0.0:0") == {UmiCode.parse("umi.1.1.0.0"): 0}


def simulation(**options: object) -> Simulation:
    return Simulation(SimOptions(**options), START_UNIX_S)  # type: ignore[arg-type]


def wired(simulated: Simulation, name: str = "line") -> Wire:
    wire = Wire(simulated.meter, "not served")
    wire.line = simulated.new_line(name)
    return wire


def test_the_clock_may_start_anywhere() -> None:
    """`time` is the meter's time at the start; it runs from there."""
    simulated = simulation(time_s=START_S - 1_000_000)
    simulated.meter.advance(0.0, START_UNIX_S)
    assert simulated.meter.metering.now_s == START_S - 1_000_000
    simulated.meter.advance(60.0, START_UNIX_S + 60)
    assert simulated.meter.metering.now_s == START_S - 1_000_000 + 60


def test_the_power_may_have_been_away_before_the_start() -> None:
    """`off-since` leaves a gap in the profile, and a restart on the entry that ends it."""
    simulated = simulation(time_s=START_S, off_since_s=START_S - 4000)
    simulated.meter.advance(0.0, START_UNIX_S)
    simulated.meter.advance(1800.0, START_UNIX_S + 1800)
    *_, before, after = simulated.meter.memory.profile.records
    assert (before[1], after[1]) == (START_S - 5400, START_S + 1800)
    assert (before[2], after[2]) == (CLOCK_IN_SYNC, CLOCK_IN_SYNC | SOFTWARE_RESTART)
    assert simulated.meter.memory.events.records[-1][:2] == (16, START_S)


def test_the_power_was_not_away_in_time_to_come(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with pytest.raises(InputError, match="off-since lies after"):
        simulation(state=path, time_s=START_S, off_since_s=START_S + 1)
    simulation(state=path).close()  # the file was let go of


def test_each_line_has_its_own_chance() -> None:
    """What strikes on one line does not change what strikes on another; all of it is counted."""
    rates = FaultRates(drop=0.5)

    def fates(simulated: Simulation, used: int) -> list[list[bool]]:
        for _ in range(used):
            simulated.injectors[0].pass_through(b"x")
        return [
            [not injector.pass_through(b"x").pieces for _ in range(40)]
            for injector in simulated.injectors[1:]
        ]

    one, other = simulation(faults=rates, seed=3), simulation(faults=rates, seed=3)
    for simulated in (one, other):
        for name in ("a", "b", "c"):
            simulated.new_line(name)
    first = fates(one, 0)
    assert fates(other, 100) == first
    assert first[0] != first[1]
    drops = sum(injector.counts["drop"] for injector in other.injectors)
    assert other.summary == f"3 lines were served; faults injected: {drops} drop"
    assert simulation().summary == "0 lines were served; faults injected: none"


def test_what_was_written_is_saved_before_it_is_answered(tmp_path: Path) -> None:
    """A process that is killed right behind the answer has lost nothing."""
    path = tmp_path / "state.json"
    simulated = simulation(state=path)
    wire = wired(simulated)
    assert not path.exists()
    wire.reader.write(COUNTER, b"\x05\x00\x00\x00")
    assert '"umi.255.0.0.65":"05000000"' in path.read_text()
    with pytest.raises(PortBusyError):
        simulation(state=path)
    simulated.close()
    again = simulation(state=path)
    assert wired(again).reader.read(COUNTER) == b"\x05\x00\x00\x00"
    again.close()
    again.close()


def test_a_state_keeps_the_meters_id_unless_another_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for asked, found in ((UmiId(5), 5), (None, 5), (UmiId(6), 6), (None, 6)):
        simulated = simulation(state=path, umi_id=asked)
        assert simulated.meter.memory.umi_id == UmiId(found)
        simulated.close()


def test_a_broken_state_file_is_let_go_of(tmp_path: Path) -> None:
    """It is refused, not replaced, and not kept locked."""
    path = tmp_path / "state.json"
    path.write_text("{}")
    for _ in range(2):
        with pytest.raises(InputError):
            simulation(state=path)
    assert path.read_text() == "{}"


def test_the_delivered_values_are_whole() -> None:
    """Every object can be decoded by the datasheet; those of the factory are named there."""
    memory = new_memory("ei4", VIRTUAL_METER_ID)
    catalogue = Catalogue.load("ei4")
    for definition in catalogue.objects:
        definition.type.decode(memory.store.values[definition.code], definition.name)
    for name in VALUES:
        assert any(memory.store.values[catalogue.resolve(name).code])
    bench = Bench(role=Role.SERVICE)
    assert bench.value("manufacturer-id") == VALUES["manufacturer-id"]
    software = cast(dict[str, Value], bench.value("active-software-version"))
    assert (software["major"], software["details"]) == (1, "umi-cli virtual meter")
    assert bench.value("gsm-status/rssi") == 21
    assert bench.value("wan-configuration/session_timeout_ms") == 600_000
    assert bench.value("life-cycle") == Enumerated(1, "provisioned")
    assert bench.value("valve") == Enumerated(1, "open")
    assert bench.value("counter") == 0


EVERY_TYPE = """
schema = "umi-datasheet/1"
name = "acme-g4"
title = "Acme G4, which has every type"
banks = ["umi.1.7"]

[[object]]
code = "umi.1.7.0.1"
name = "volume"
title = "Converted volume"
kind = "value"
type = "u32"
scale = "0.01"
unit = "m³"
write = ["all"]

[[object]]
code = "umi.1.7.0.2"
name = "every-type"
title = "A member of every type"
kind = "structure"
write = ["all"]
member = [
  { name = "u8", type = "u8" },
  { name = "u16", type = "u16" },
  { name = "u32", type = "u32" },
  { name = "u64", type = "u64" },
  { name = "i8", type = "i8" },
  { name = "i16", type = "i16" },
  { name = "i32", type = "i32" },
  { name = "i64", type = "i64" },
  { name = "ascii", type = "ascii[5]" },
  { name = "bytes", type = "bytes[3]" },
  { name = "datetime", type = "datetime" },
  { name = "ddhhmmss", type = "ddhhmmss" },
  { name = "umi-id", type = "umi-id" },
  { name = "umi-code", type = "umi-code" },
  { name = "role-set", type = "role-set" },
  { name = "enum8", type = "enum:u8", values = { 0 = "zero", 1 = "one" } },
  { name = "enum16", type = "enum:u16", values = { 0 = "zero", 300 = "many" } },
  { name = "enum32", type = "enum:u32", values = { 0 = "zero", 70000 = "more" } },
  { name = "flags8", type = "flags:u8", bits = { 0 = "first" } },
  { name = "flags16", type = "flags:u16", bits = { 15 = "last" } },
  { name = "flags32", type = "flags:u32" },
  { name = "tail", type = "ascii[<=8]" },
]

[[object]]
code = "umi.1.7.0.3"
name = "notes"
title = "Bytes as long as they are"
kind = "value"
type = "bytes[<=9]"
write = ["all"]

[[object]]
code = "umi.1.7.0.4"
name = "short-list"
title = "Signed numbers, three at most"
kind = "array"
type = "i16"
max_elements = 3
write = ["all"]

[[object]]
code = "umi.1.7.0.5"
name = "log"
title = "Records"
kind = "array-of-structures"
write = ["all"]
member = [
  { name = "cause", type = "enum:u8", values = "events" },
  { name = "at", type = "datetime" },
]

[[event]]
number = 0
name = "start"
title = "Start"

[[event]]
number = 7
name = "stop"
title = "Stop"
"""
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EVERY_VALUE: dict[str, Value] = {
    "u8": 255,
    "u16": 65_535,
    "u32": 2**32 - 1,
    "u64": 2**64 - 1,
    "i8": -128,
    "i16": -32_768,
    "i32": -(2**31),
    "i64": -(2**63),
    "ascii": "abc",
    "bytes": b"\x00\xff\x20",
    "datetime": NOON,
    "ddhhmmss": DayTime(1, 2, 3, 4),
    "umi-id": UmiId(0x0023_7EFE_0000_0004),
    "umi-code": UmiCode.parse("umi.1.7.0.2"),
    "role-set": RoleSet.of(Role.GUEST, Role.SERVICE),
    "enum8": Enumerated(1, "one"),
    "enum16": Enumerated(300, "many"),
    "enum32": Enumerated(70_000, "more"),
    "flags8": Flags(1, ("first",)),
    "flags16": Flags(0x8001, ("bit0", "last")),
    "flags32": Flags(1 << 31, ("bit31",)),
    "tail": "tail",
}


@pytest.fixture
def acme(tmp_path: Path) -> Bench:
    path = tmp_path / "acme.toml"
    path.write_text(EVERY_TYPE, encoding="utf-8")
    return Bench(datasheet=str(path))


def test_every_type_is_served(acme: Bench) -> None:
    """A datasheet of the user's own: values written are read back, whole and member by member."""
    assert acme.write("every-type", EVERY_VALUE) == OK
    assert acme.value("every-type") == EVERY_VALUE
    for name, value in EVERY_VALUE.items():
        assert acme.value(f"every-type/{name}") == value
        assert acme.write(f"every-type/{name}", value) == OK
    assert acme.value("every-type") == EVERY_VALUE
    assert acme.write("volume", "12.34") == OK
    assert acme.read("volume") == (1234).to_bytes(4, "little")
    assert acme.value("volume") == Decimal("12.34")
    assert acme.write("notes", b"\x01\x02") == OK
    assert acme.value("notes") == b"\x01\x02"
    assert acme.write("short-list", [-1, 0, 1]) == OK
    assert acme.value("short-list[0]") == [-1]
    assert acme.write("log[0]", {"cause": "stop", "at": NOON}) == OK
    assert acme.value("log/cause") == [Enumerated(7, "stop")]


def test_every_type_is_delivered_readable(acme: Bench) -> None:
    """Before anything is written each object reads as zero, empty, or not set."""
    assert acme.value("volume") == 0
    assert acme.value("notes") == b""
    assert acme.value("short-list") == []
    assert acme.value("log") == []
    whole = cast(dict[str, Value], acme.value("every-type"))
    assert whole["tail"] == ""
    assert whole["datetime"] is None
    assert whole["enum8"] == Enumerated(0, "zero")


def test_every_type_has_its_limits(acme: Bench) -> None:
    """Too long, too many, and numbers without a name are refused with the right code."""
    assert acme.write("every-type/enum16", b"\x01\x00") == ResultCode.INVALID_VALUE
    assert acme.write("log", b"\x01" + bytes(4)) == ResultCode.INVALID_VALUE
    assert acme.write("every-type/tail", b"123456789") == ResultCode.INVALID_LENGTH
    assert acme.write("notes", bytes(10)) == ResultCode.INVALID_LENGTH
    assert acme.write("short-list", bytes(8)) == ResultCode.INVALID_LENGTH
    assert acme.write("volume", b"\x01") == ResultCode.INVALID_LENGTH
    assert acme.memory.known_events == 1 | 1 << 7


OTHERWISE = {
    "clock-control": ("value", "u32"),
    "event-control": ("value", "u8"),
    "valve": ("value", "ascii[<=4]"),
    "metrology-clock": ("value", "u16"),
    "profile-table": ("array", "u8"),
    "manufacturer-id": ("value", "ascii[16]"),
    "gsm-status": ("array", "u8"),
}
"""Names of the EI4's objects, with kinds and types of their own."""


def test_a_datasheet_may_mean_something_else_by_a_name(tmp_path: Path) -> None:
    """Objects that are not laid out as the EI4's are memory like any other: nothing breaks."""
    path = tmp_path / "otherwise.toml"
    sheet = EVERY_TYPE.split("[[object]]")[0]
    for number, (name, (kind, kind_of_value)) in enumerate(OTHERWISE.items()):
        sheet += f"""
[[object]]
code = "umi.1.7.0.{number}"
name = "{name}"
title = "T"
kind = "{kind}"
type = "{kind_of_value}"
write = ["all"]
"""
    path.write_text(sheet)
    bench = Bench(datasheet=str(path))
    written: dict[str, object] = {
        "clock-control": 1,
        "event-control": 2,
        "umi.1.7.0.2": "",
        "metrology-clock": 4,
        "profile-table": [1, 2, 3],
        "manufacturer-id": "Acme",
    }
    for name, value in written.items():
        assert bench.write(name, value) == OK
        assert bench.value(name) == value


def test_what_cannot_be_saved_keeps_nobody_out(tmp_path: Path) -> None:
    options = SimOptions(state=tmp_path / "meter.json")
    simulation = Simulation(options, time.time())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(UmiError):
            simulation.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    Simulation(options, time.time()).close()
