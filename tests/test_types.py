"""The value types of the standard (protocol 1, 6.1)."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import InputError, MalformedError
from umi_cli.types import (
    ALL_MEMBERS,
    DEFAULT_READER_ID,
    EPOCH,
    EPOCH_UNIX_S,
    MAX_DATETIME_S,
    TO_END,
    UNKNOWN_DEVICE,
    ObjectPart,
    Role,
    RoleSet,
    Selection,
    UmiCode,
    UmiId,
    format_datetime,
    from_datetime,
    parse_datetime,
    to_datetime,
)
from umi_cli.wire import Reader

u32s = st.integers(0, 0xFFFF_FFFF)
u64s = st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)
CODE = UmiCode(0x0101_0000)

# UMI code


def test_a_code_in_text_and_on_the_wire() -> None:
    code = UmiCode.parse("umi.1.2.194.31")
    assert code == UmiCode(0x0102_C21F)
    assert code.encode() == bytes([31, 194, 2, 1])
    assert str(code) == "umi.1.2.194.31"
    assert code.bank == "umi.1.2"


@given(u32s)
def test_codes_round_trip(value: int) -> None:
    assert UmiCode.parse(str(UmiCode(value))) == UmiCode(value)


def test_a_code_may_have_spaces_around_it_and_capitals() -> None:
    assert UmiCode.parse(" UMI.0.0.0.255 ") == UmiCode(255)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "umi.1.1.0",
        "umi.1.1.0.0.0",
        "umi.1.1.0.256",
        "umi.1.1.0.1000",
        "umi.1.1.0.-1",
        "umi.1.1.0.x",
        "umi.1.1.0.٣",
        "1.1.0.0",
        "xumi.1.1.0.0",
    ],
)
def test_what_is_no_code(text: str) -> None:
    with pytest.raises(InputError, match="is not a UMI code") as caught:
        UmiCode.parse(text)
    assert caught.value.hint


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_a_code_has_32_bits(value: int) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        UmiCode(value)


# UMI ID


@pytest.mark.parametrize(
    "text",
    [
        "00237EFE00000004",
        "00237efe00000004",
        "00-23-7E-FE-00-00-00-04",
        "00:23:7E:FE:00:00:00:04",
        " 00237EFE00000004 ",
    ],
)
def test_the_forms_of_an_id(text: str) -> None:
    assert UmiId.parse(text) == DEFAULT_READER_ID


def test_an_id_on_the_wire_and_in_text() -> None:
    assert DEFAULT_READER_ID.encode() == bytes.fromhex("04000000fe7e2300")
    assert str(DEFAULT_READER_ID) == "00237EFE00000004"
    assert str(UNKNOWN_DEVICE) == "F" * 16


@given(u64s)
def test_ids_round_trip(value: int) -> None:
    assert UmiId.parse(str(UmiId(value))) == UmiId(value)


def test_sixteen_digits_are_hex_and_other_numbers_decimal() -> None:
    """So the decimal form of 00237EFE00000004, which has 16 digits, is another ID."""
    assert UmiId.parse("9991253571665924") == UmiId(0x9991_2535_7166_5924)
    assert UmiId.parse("0000000000000010") == UmiId(16)
    assert UmiId.parse("10") == UmiId(10)
    assert UmiId.parse(str((1 << 64) - 1)) == UNKNOWN_DEVICE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-1",
        "٣",
        "00237EFE0000000",
        "00237EFE000000041",
        "0x00237EFE00000004",
        "00 23 7E FE 00 00 00 04",
        str(1 << 64),
        "1" * 21,
    ],
)
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(InputError, match="is not a UMI ID"):
        UmiId.parse(text)


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_an_id_has_64_bits(value: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        UmiId(value)


# Roles


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("guest", Role.GUEST),
        ("Utility-Supplier", Role.UTILITY_SUPPLIER),
        ("utility_supplier", Role.UTILITY_SUPPLIER),
        (" utility supplier ", Role.UTILITY_SUPPLIER),
        ("5", Role.SERVICE),
        ("15", Role.SECURITY_AUTHORITY),
    ],
)
def test_roles_by_name_and_number(text: str, role: Role) -> None:
    assert Role.parse(text) is role


@pytest.mark.parametrize("text", ["", "12", "16", "-1", "nobody"])
def test_what_is_no_role(text: str) -> None:
    with pytest.raises(InputError, match="there is no role") as caught:
        Role.parse(text)
    assert "security-authority (15)" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "bits", "shown"),
    [
        ("none", 0, "none"),
        ("", 0, "none"),
        ("guest", 1, "guest"),
        ("service,manufacturer", 0x60, "service,manufacturer"),
        ("manufacturer, 5, service", 0x60, "service,manufacturer"),
        ("ALL", 0x8FFF, "all"),
    ],
)
def test_sets_of_roles(text: str, bits: int, shown: str) -> None:
    roles = RoleSet.parse(text)
    assert roles == RoleSet(bits)
    assert str(roles) == shown
    assert RoleSet.parse(shown) == roles


def test_a_set_of_roles_on_the_wire_and_who_is_in_it() -> None:
    roles = RoleSet.of(Role.GUEST, Role.GUEST, Role.SECURITY_AUTHORITY)
    assert roles.encode() == bytes([0x01, 0x80])
    assert Role.GUEST in roles
    assert Role.HOST not in roles
    assert roles.labels == ["guest", "security-authority"]


def test_unused_bits_show_as_numbers_and_spoil_no_all() -> None:
    assert RoleSet(0x3002).labels == ["host", "12", "13"]
    assert str(RoleSet(0xFFFF)) == "all"


def test_an_unknown_role_in_a_set() -> None:
    with pytest.raises(InputError, match="there is no role 'nobody'"):
        RoleSet.parse("guest,nobody")


@pytest.mark.parametrize("bits", [-1, 1 << 16])
def test_a_set_has_16_bits(bits: int) -> None:
    with pytest.raises(ValueError, match="16 bits"):
        RoleSet(bits)


# Object parts


@pytest.mark.parametrize(
    ("text", "first", "last", "member", "shown"),
    [
        ("umi.1.1.0.0", 0, TO_END, ALL_MEMBERS, ""),
        ("umi.1.1.0.0[:]", 0, TO_END, ALL_MEMBERS, ""),
        ("umi.1.1.0.0[0:]", 0, TO_END, ALL_MEMBERS, ""),
        ("umi.1.1.0.0/3", 0, TO_END, 3, "/3"),
        ("umi.1.1.0.0[:]/3", 0, TO_END, 3, "/3"),
        ("umi.1.1.0.0[3]", 3, 3, ALL_MEMBERS, "[3]"),
        ("umi.1.1.0.0[3:5]", 3, 5, ALL_MEMBERS, "[3:5]"),
        ("umi.1.1.0.0[3:]", 3, TO_END, ALL_MEMBERS, "[3:]"),
        ("umi.1.1.0.0[:4]", 0, 4, ALL_MEMBERS, "[0:4]"),
        (" umi.1.1.0.0 [2 : 4]/3", 2, 4, 3, "[2:4]/3"),
        ("umi.1.1.0.0[65534]/254", 65_534, 65_534, 254, "[65534]/254"),
        ("umi.1.1.0.0[0]", 0, 0, ALL_MEMBERS, "[0]"),
    ],
)
def test_the_forms_of_an_object_part(
    text: str, first: int, last: int, member: int, shown: str
) -> None:
    part = ObjectPart.parse(text)
    assert part == ObjectPart(CODE, first=first, last=last, member=member)
    assert part.suffix == shown
    assert str(part) == "umi.1.1.0.0" + shown
    assert part.is_whole is (shown == "")
    assert part.is_every_element is not shown.startswith("[")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/3",
        "umi.1.1.0.0[",
        "umi.1.1.0.0[]",
        "umi.1.1.0.0[x]",
        "umi.1.1.0.0[-1]",
        "umi.1.1.0.0[1:2:3]",
        "umi.1.1.0.0[5:3]",
        "umi.1.1.0.0[3:0]",
        "umi.1.1.0.0[65535]",
        "umi.1.1.0.0[65535:]",
        "umi.1.1.0.0[0:65536]",
        "umi.1.1.0.0[100000]",
        "umi.1.1.0.0/",
        "umi.1.1.0.0/3/4",
        "umi.1.1.0.0/3[4]",
        "umi.1.1.0.0/255",
        "umi.1.1.0.0/-1",
        "umi.1.1.0.0/²",
        "umi.1.1.0.0/serial",
        "serial[3]",
    ],
)
def test_what_is_no_object_part(text: str) -> None:
    with pytest.raises(InputError):
        ObjectPart.parse(text)


def test_a_selection_keeps_names() -> None:
    selection = Selection.parse("WAN status [1:2]/retry_type")
    assert selection == Selection(head="WAN status", first=1, last=2, member="retry_type")
    assert Selection.parse("7.0.3.0.0.255").member is None


def test_an_object_part_on_the_wire() -> None:
    part = ObjectPart.parse("umi.1.2.194.23[258:772]/5")
    data = bytes([23, 194, 2, 1, 0x02, 0x01, 0x04, 0x03, 5])
    assert part.encode() == data
    assert ObjectPart.read(Reader(data, what="part"), "part") == part
    assert ObjectPart(CODE).encode() == bytes.fromhex("00000101 0000 ffff ff")


@given(st.binary(max_size=12))
def test_any_nine_bytes_are_an_object_part_and_fewer_are_malformed(data: bytes) -> None:
    reader = Reader(data, what="part")
    if len(data) < 9:
        with pytest.raises(MalformedError):
            ObjectPart.read(reader, "part")
    else:
        assert ObjectPart.read(reader, "part").encode() == data[:9]


@given(u32s, st.integers(0, 65_534), st.integers(0, TO_END), st.integers(0, ALL_MEMBERS))
def test_object_parts_round_trip_as_text(code: int, first: int, last: int, member: int) -> None:
    part = ObjectPart(UmiCode(code), first=first, last=max(first, last), member=member)
    assert ObjectPart.parse(str(part)) == part


@pytest.mark.parametrize(
    "fields", [{"first": -1}, {"first": 65_536}, {"last": -1}, {"last": 65_536}, {"member": 256}]
)
def test_an_object_part_fits_its_bytes(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        ObjectPart(CODE, **fields)


# Datetimes


def test_the_epoch() -> None:
    assert EPOCH.timestamp() == EPOCH_UNIX_S
    assert to_datetime(0) is None
    assert to_datetime(1) == EPOCH + timedelta(seconds=1)


def test_the_time_of_the_captured_frame() -> None:
    """vectors.json: created_s 676999688."""
    assert format_datetime(676_999_688) == "2021-06-14T15:28:08Z"
    assert parse_datetime("2021-06-14T15:28:08Z") == 676_999_688


@given(st.integers(0, MAX_DATETIME_S))
def test_datetimes_round_trip(seconds: int) -> None:
    assert parse_datetime(format_datetime(seconds) or "none") == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("none", 0),
        (" Not set ", 0),
        ("-", 0),
        ("2000-01-01T00:00:01Z", 1),
        ("2000-01-01T02:00:01+02:00", 1),
        ("2000-01-01 00:00:01.999+00:00", 1),
        ("2136-02-07T06:28:15Z", MAX_DATETIME_S),
    ],
)
def test_the_forms_of_a_datetime(text: str, seconds: int) -> None:
    assert parse_datetime(text) == seconds


@pytest.mark.parametrize("text", ["", "now", "2026-11-22", "2026-11-22T10:00:00", "10:00Z"])
def test_what_is_no_datetime(text: str) -> None:
    with pytest.raises(InputError, match="is not a time with a zone"):
        parse_datetime(text)


@pytest.mark.parametrize(
    "text",
    [
        "2000-01-01T00:00:00Z",
        "1999-12-31T23:59:59Z",
        "2136-02-07T06:28:16Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_a_datetime_out_of_range(text: str) -> None:
    with pytest.raises(InputError, match="2000-01-01T00:00:01Z to 2136"):
        parse_datetime(text)


def test_aware_times_of_any_zone() -> None:
    moment = datetime(2026, 11, 22, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    assert from_datetime(moment) == from_datetime(datetime(2026, 11, 22, 10, 0, tzinfo=UTC))
