"""A meter as its user sees it: names in, typed values out, and errors that say what came."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

import umi_cli
from tests.device.scripted import (
    ScriptedDevice,
    dead,
    done,
    meter_with,
    play_meter,
    refused,
    reply,
    value,
)
from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import (
    GetObjectAccess,
    NoOperation,
    ReadObject,
    ReadObjectPart,
    SetObjectReadAccess,
    SetObjectWriteAccess,
    WriteObject,
    WriteObjectPart,
)
from umi_cli.device.meter import Access, Meter, ObjectValue, PartialReadError
from umi_cli.errors import (
    AccessDeniedError,
    InputError,
    LostError,
    MalformedError,
    NoAnswerError,
    NotInDatasheetError,
    ReadBackError,
    RefusedError,
    UmiError,
    UnknownObjectError,
)
from umi_cli.objects.values import Flags
from umi_cli.types import UNKNOWN_DEVICE, ObjectPart, Role, RoleSet, UmiCode, UmiId

IDENTITY = b"EISGMv0\x00ELS002531733978"
COUNTER = UmiCode.parse("umi.255.0.0.65")
SCRATCH = UmiCode.parse("umi.255.0.0.64")
TABLE = UmiCode.parse("umi.1.1.194.23")
OUTSIDE = ObjectPart(UmiCode.parse("umi.9.9.9.9"))
UNDESCRIBED = UmiCode.parse("umi.1.1.99.9")
RECORD = bytes.fromhex("39300000 00dba22f 0100 6400")


# Reading


def test_an_object_is_read_by_name_code_and_part() -> None:
    _, meter = play_meter(*[value(IDENTITY)] * 3)
    expected = ObjectValue(
        part=ObjectPart(UmiCode.parse("umi.1.1.0.0")),
        name="manufacturer-id",
        raw=IDENTITY,
        value={
            "model": "EISGMv0",
            "manufacturer": "ELS",
            "factory": "0025",
            "serial": "31733978",
        },
    )
    for text in ("manufacturer-id", "umi.1.1.0.0", expected.part):
        assert meter.read(text) == expected


def test_a_member_is_read_as_a_part() -> None:
    device, meter = play_meter(value(b"31733978"))
    found = meter.read("manufacturer-id/serial")
    assert (found.value, found.name) == ("31733978", "manufacturer-id/serial")
    part = ObjectPart(UmiCode.parse("umi.1.1.0.0"), member=3)
    assert device.commands == [ReadObjectPart(part=part)]


def test_a_whole_object_is_read_as_one() -> None:
    device, meter = play_meter(value(b""))
    assert meter.read("profile-table").value == []
    assert device.commands == [ReadObject(code=TABLE)]


def test_an_array_of_structures_is_a_list() -> None:
    _, meter = play_meter(value(RECORD * 2))
    records = meter.read("profile-table[0:1]").value
    record = {
        "reading": Decimal("123.45"),
        "timestamp": datetime(2025, 4, 29, 0, 34, 8, tzinfo=UTC),
        "status": Flags(1, ("clock-sync",)),
        "rate": 100,
    }
    assert records == [record, record]


def test_an_object_without_a_description_is_bytes() -> None:
    _, meter = play_meter(value(b"\x01\x02"))
    found = meter.read("umi.1.1.99.9")
    assert (found.name, found.value) == (None, b"\x01\x02")


@pytest.mark.parametrize("raw", [IDENTITY[:-1], IDENTITY + b"\x00", b""])
def test_bytes_that_are_no_such_object_are_malformed(raw: bytes) -> None:
    _, meter = play_meter(value(raw))
    with pytest.raises(MalformedError) as caught:
        meter.read("manufacturer-id")
    assert caught.value.exit_code == 33


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_elements_than_asked_for_is_malformed(count: int) -> None:
    _, meter = play_meter(value(RECORD * count), value(b""))
    with pytest.raises(UmiError) as caught:
        meter.read("profile-table[0:1]")
    assert (caught.value.exit_code, caught.value.code) == (33, "malformed")
    assert isinstance(caught.value, PartialReadError if count == 1 else MalformedError)


@pytest.mark.parametrize("part", ["umi.9.9.9.9", OUTSIDE])
def test_nothing_is_sent_for_what_lies_outside_the_banks(part: str | ObjectPart) -> None:
    device, meter = play_meter()
    for act in (
        lambda: meter.read(part),
        lambda: meter.write(part, b""),
        lambda: meter.access(part),
        lambda: meter.set_access(part, read=RoleSet(1)),
    ):
        with pytest.raises(NotInDatasheetError, match="outside the banks") as caught:
            act()
        assert caught.value.exit_code == 31
    assert (device.requests, device.resyncs) == ([], 0)


def test_a_long_array_is_split_joined_and_its_chunk_remembered() -> None:
    too_long = refused(ResultCode.TOO_LONG)
    device, meter = play_meter(too_long, value(RECORD * 3), value(RECORD * 2), value(RECORD * 3))
    assert meter.read("profile-table[0:4]").raw == RECORD * 5
    with pytest.raises(AssertionError, match="the script has ended"):
        meter.read("profile-table[7:12]")
    assert [each.part.suffix for each in device.commands if isinstance(each, ReadObjectPart)] == [
        "[0:4]",
        "[0:2]",
        "[3:4]",
        "[7:9]",
        "[10:12]",
    ]


def test_only_the_array_that_did_not_fit_is_split_from_then_on() -> None:
    with umi_cli.connect("sim:?max-packet=128") as meter:
        assert len(meter.read("profile-table[0:99]").raw) == 1200
        assert set(meter._chunks) == {TABLE}
        assert meter.read("manufacturer-id").raw == IDENTITY


def test_5000_bytes_come_as_they_were_written_however_short_the_packets() -> None:
    data = bytes(range(250)) * 20
    for limit in (128, 249, 1000, 65_536):
        with umi_cli.connect(f"sim:?max-packet={limit}") as meter:
            meter.write("scratch", data)
            assert meter.read("scratch").raw == data
            assert meter.read("scratch[1000:1999]").raw == data[1000:2000]
            assert meter.read("scratch[4990:]").raw == data[4990:]
            with pytest.raises(UnknownObjectError):
                meter.read("scratch[5000:]")


def test_what_came_before_a_failure_is_in_the_error() -> None:
    device, meter = play_meter(value(RECORD * 10), dead)
    meter._chunks[TABLE] = 10
    with pytest.raises(PartialReadError) as caught:
        meter.read("profile-table[5:47]")
    error = caught.value
    assert str(error).startswith(f"only {TABLE}[5:14] of {TABLE}[5:47] came: ")
    assert isinstance(error.cause, LostError)
    assert error.__cause__ is error.cause
    assert (error.exit_code, error.code, error.hint) == (17, "lost", error.cause.hint)
    assert error.got.raw == RECORD * 10
    assert error.got.part == ObjectPart(TABLE, 5, 14)
    assert error.got.value == meter.catalogue.decode(error.got.part, RECORD * 10)
    assert len(device.requests) == 2


# Writing


@pytest.mark.parametrize("given", [5, "5", b"\x05\x00\x00\x00"])
def test_a_value_is_written_typed_or_as_bytes(given: object) -> None:
    device, meter = play_meter(done)
    assert meter.write("counter", given).value == 5
    assert device.commands == [WriteObject(code=COUNTER, value=b"\x05\x00\x00\x00")]


def test_a_part_is_written_as_a_part() -> None:
    device, meter = play_meter(done)
    meter.write("scratch[3:5]", b"abc")
    assert device.commands == [WriteObjectPart(part=ObjectPart(SCRATCH, 3, 5), value=b"abc")]


def test_a_value_that_does_not_fit_is_never_sent() -> None:
    device, meter = play_meter()
    with pytest.raises(InputError):
        meter.write("counter", -1)
    assert device.requests == []


def test_bytes_that_the_device_takes_are_written_whatever_the_datasheet_says() -> None:
    device, meter = play_meter(done)
    assert meter.write("counter", b"\x05").value == b"\x05"
    assert len(device.requests) == 1


def test_a_refused_write_is_not_read_back() -> None:
    device, meter = play_meter(refused(ResultCode.ACCESS_DENIED))
    with pytest.raises(AccessDeniedError):
        meter.write("counter", 5, verify=True)
    assert len(device.requests) == 1


def test_a_verified_write_is_read_back() -> None:
    device, meter = play_meter(done, value(b"\x05\x00\x00\x00"))
    meter.write("counter", 5, verify=True)
    assert device.commands[1] == ReadObject(code=COUNTER)


def test_a_write_that_reads_back_differently_is_an_error() -> None:
    _, meter = play_meter(done, value(b"\x06\x00\x00\x00"), done, value(bytes(40)))
    with pytest.raises(ReadBackError, match="differently: 06000000 for 05000000") as caught:
        meter.write("counter", 5, verify=True)
    assert caught.value.exit_code == 32
    with pytest.raises(ReadBackError, match=rf": {'00' * 32}… \(40 bytes\) for 78"):
        meter.write("scratch", b"x", verify=True)


def test_a_dry_run_writes_nothing() -> None:
    device, meter = play_meter(value(b"\x05\x00\x00\x00"), dry_run=True)
    for act in (
        lambda: meter.write("counter", 5),
        lambda: meter.set_access("counter", read=RoleSet(1)),
    ):
        with pytest.raises(InputError, match="dry run"):
            act()
    assert meter.read("counter").value == 5
    assert device.commands == [ReadObject(code=COUNTER)]


# Access


def test_access_is_asked_for_and_set() -> None:
    with umi_cli.connect("sim:?as=manufacturer") as meter:
        before = meter.access("counter")
        assert before == Access(code=COUNTER, read=RoleSet.everyone(), write=RoleSet.everyone())
        meter.set_access("counter", read=RoleSet.of(Role.SERVICE))
        assert meter.access("counter") == Access(
            code=COUNTER, read=RoleSet.of(Role.SERVICE), write=RoleSet.everyone()
        )
        meter.set_access("counter", write=RoleSet.of(Role.USER, Role.MANUFACTURER))
        assert meter.access("counter").write == RoleSet.of(Role.USER, Role.MANUFACTURER)
        assert meter.access("counter").read == RoleSet.of(Role.SERVICE)


def test_a_guest_may_not_ask_for_access() -> None:
    with umi_cli.connect("sim") as meter, pytest.raises(AccessDeniedError):
        meter.access("counter")


def test_only_what_is_given_is_set() -> None:
    device, meter = play_meter(done, done)
    meter.set_access("counter")
    assert device.requests == []
    meter.set_access("counter", read=RoleSet(1), write=RoleSet(2))
    assert device.commands == [
        SetObjectReadAccess(code=COUNTER, roles=RoleSet(1)),
        SetObjectWriteAccess(code=COUNTER, roles=RoleSet(2)),
    ]


def test_access_is_that_of_the_whole_object() -> None:
    device, meter = play_meter(refused(ResultCode.ACCESS_DENIED))
    with pytest.raises(AccessDeniedError):
        meter.access("profile-table[3]/reading")
    assert device.commands == [GetObjectAccess(code=TABLE)]


# Who it is


def test_the_device_id_is_asked_for_once_and_used_from_then_on() -> None:
    device, meter = play_meter(value(bytes.fromhex("01000000fe7e2300")), value(b""))
    known_before = meter.known_device_id
    assert known_before is None
    assert meter.device_id == meter.device_id == UmiId(0x0023_7EFE_0000_0001)
    assert meter.known_device_id == meter.device_id
    meter.read("profile-table")
    assert [each.envelope.destination for each in device.requests] == [
        UNKNOWN_DEVICE,
        UmiId(0x0023_7EFE_0000_0001),
    ]


@pytest.mark.parametrize("code", [ResultCode.ACCESS_DENIED, ResultCode.UNKNOWN_OBJECT])
def test_a_device_may_keep_its_id_to_itself(code: ResultCode) -> None:
    _, meter = play_meter(refused(code))
    assert meter.device_id is None
    assert meter.session.device_id == UNKNOWN_DEVICE


def test_another_refusal_of_the_id_is_an_error() -> None:
    _, meter = play_meter(refused(ResultCode.UNAVAILABLE))
    with pytest.raises(RefusedError, match="UNAVAILABLE"):
        _ = meter.device_id


@pytest.mark.parametrize("raw", [b"", bytes(7), bytes(9)])
def test_an_id_of_another_length_is_malformed(raw: bytes) -> None:
    _, meter = play_meter(value(raw))
    with pytest.raises(MalformedError, match=f"UMI ID has {len(raw)} bytes, not 8"):
        _ = meter.device_id
    assert meter.known_device_id is None


def test_ping() -> None:
    device, meter = play_meter(reply())
    meter.ping()
    assert device.commands == [NoOperation()]
    device.is_silent = device.is_dead = True
    with pytest.raises(UmiError):
        meter.ping()


# The end


def test_the_port_is_closed_at_the_end_and_twice_is_harmless() -> None:
    device, meter = play_meter(value(b""))
    with meter:
        meter.read("profile-table")
    assert device.is_closed
    meter.close()
    with pytest.raises(LostError):
        meter.ping()


def use_and_fail(meter: Meter, error: BaseException) -> None:
    with meter:
        raise error


@pytest.mark.parametrize("error", [NoAnswerError("x"), KeyboardInterrupt(), ValueError("x")])
def test_the_port_is_closed_after_any_exception(error: BaseException) -> None:
    device = ScriptedDevice([])
    meter = meter_with(device)
    with pytest.raises(type(error)):
        use_and_fail(meter, error)
    assert device.is_closed
