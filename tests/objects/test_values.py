import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import InputError, MalformedError
from umi_cli.objects.composites import Array, Member, Structure
from umi_cli.objects.named_types import Enumeration, FlagSet, RoleSetType
from umi_cli.objects.type_text import parse_type
from umi_cli.objects.value_types import AnyType, Ascii, Bytes, Integer
from umi_cli.objects.values import DayTime, Enumerated, Flags, Value, to_json, to_text
from umi_cli.types import Role, RoleSet, UmiCode, UmiId

VECTORS = {
    vector["name"]: vector
    for vector in json.loads(
        (Path(__file__).parents[1] / "vectors" / "vectors.json").read_text("utf-8")
    )["vectors"]
}
COLOUR = Enumeration(width=1, names={0: "red", 3: "dark-green"})
STATE = FlagSet(width=2, names={0: "clock-sync", 2: "estimated"})
CUBIC = Integer(width=4, scale=Decimal("0.01"), unit="m³")
RECORD = Structure(
    members=(
        Member(name="reading", title="", type=CUBIC),
        Member(name="timestamp", title="", type=parse_type("datetime")),
        Member(name="status_flags", title="", type=STATE),
        Member(name="rate_flags", title="", type=parse_type("u16")),
    )
)
TAILED = Structure(
    members=(
        Member(name="crc", title="", type=parse_type("u16")),
        Member(name="details", title="", type=parse_type("ascii[<=5]")),
    )
)
TYPES: list[AnyType] = [
    *(parse_type(f"{sign}{bits}") for sign in "ui" for bits in (8, 16, 32, 64)),
    *(parse_type(text) for text in ("ascii[8]", "ascii[<=8]", "bytes[5]", "bytes[<=5]")),
    *(parse_type(text) for text in ("datetime", "ddhhmmss", "umi-id", "umi-code", "role-set")),
    *(parse_type(f"{kind}:u{bits}") for kind in ("enum", "flags") for bits in (8, 16, 32)),
    CUBIC,
    COLOUR,
    STATE,
    RECORD,
    TAILED,
    Array(element=RECORD),
    Array(element=parse_type("bytes[4]"), count=3),
]
BY_TEXT = pytest.mark.parametrize("value_type", TYPES, ids=str)


def fits(value_type: AnyType, raw: bytes) -> bool:
    """Tell whether the length of the bytes is one that the type can have."""
    if isinstance(value_type, Array):
        return len(raw) <= value_type.max_bytes and not len(raw) % value_type.element.max_bytes
    if value_type is TAILED:
        return 2 <= len(raw) <= 7
    return len(raw) == value_type.size_bytes or (
        value_type.is_variable and len(raw) <= value_type.max_bytes
    )


@BY_TEXT
@given(raw=st.binary(max_size=40))
def test_garbage_of_wrong_length_is_malformed_and_nothing_else(
    value_type: AnyType, raw: bytes
) -> None:
    if fits(value_type, raw):
        value_type.decode(raw)
    else:
        with pytest.raises(MalformedError):
            value_type.decode(raw)


@BY_TEXT
@given(data=st.data())
def test_what_was_decoded_encodes_to_a_value_that_decodes_alike(
    value_type: AnyType, data: st.DataObject
) -> None:
    raw = data.draw(st.binary(max_size=40).map(lambda tail: _trim(value_type, tail)))
    value = value_type.decode(raw)
    encoded = value_type.encode(value)
    assert value_type.decode(encoded) == value
    if "ascii" not in str(value_type) and value_type is not TAILED:  # only padding may change
        assert encoded == raw


def _trim(value_type: AnyType, raw: bytes) -> bytes:
    if isinstance(value_type, Array):
        size = value_type.element.max_bytes
        count = len(raw) // size if value_type.count is None else value_type.count
        return raw.ljust(size * count, b"\xff")[: size * count]
    size = value_type.max_bytes
    return raw[:size].ljust(2 if value_type.is_variable else size, b"\x00")


@BY_TEXT
@given(data=st.data())
def test_json_of_a_value_is_accepted_as_the_value(value_type: AnyType, data: st.DataObject) -> None:
    raw = data.draw(st.binary(max_size=40).map(lambda tail: _trim(value_type, tail)))
    value = value_type.decode(raw)
    printed = json.dumps(to_json(value))
    if not _has_odd_time(value):
        assert value_type.coerce(json.loads(printed)) == value
    if value_type in (RECORD, TAILED):
        assert value_type.parse(printed) == value


def _has_odd_time(value: Value) -> bool:
    return isinstance(value, DayTime) and (
        value.hours > 23 or value.minutes > 59 or value.seconds > 59
    )


def test_field_interval_record() -> None:
    vector = VECTORS["ei4-interval-record"]
    value = RECORD.decode(bytes.fromhex(vector["bytes"]))
    assert value == {
        "reading": Decimal("4.25"),
        "timestamp": datetime(2021, 6, 15, 0, 30, tzinfo=UTC),
        "status_flags": Flags(64, ("bit6",)),
        "rate_flags": 100,
    }
    assert RECORD.encode(value).hex() == vector["bytes"]
    assert to_text(value, RECORD.units) == (
        "reading=4.25 m³, timestamp=2021-06-15T00:30:00Z, status_flags=bit6, rate_flags=100"
    )


def test_field_meter_uid() -> None:
    vector = VECTORS["meter-uid"]
    assert parse_type("u64").decode(bytes.fromhex(vector["bytes"])) == vector["value"]


@pytest.mark.parametrize(
    ("value", "printed", "text"),
    [
        (7, 7, "7"),
        (1 << 53, 1 << 53, "9007199254740992"),
        ((1 << 53) + 1, "9007199254740993", "9007199254740993"),
        (-(1 << 63), "-9223372036854775808", "-9223372036854775808"),
        (Decimal("4.25"), 4.25, "4.25"),
        (Decimal("4.00"), 4.0, "4.00"),
        (Decimal("42949672.95"), 42949672.95, "42949672.95"),
        (Decimal("184467440737095516.15"), "184467440737095516.15", "184467440737095516.15"),
        ("ELS", "ELS", "ELS"),
        (b"\x0a\xff", "0aff", "0aff"),
        (datetime(2026, 11, 22, 10, tzinfo=UTC), "2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
        (None, None, "not set"),
        (UmiId(0x00237EFE00000004), "00237EFE00000004", "00237EFE00000004"),
        (UmiCode(0x01010002), "umi.1.1.0.2", "umi.1.1.0.2"),
        (DayTime(1, 2, 3, 4), "1d 02:03:04", "1d 02:03:04"),
        (Enumerated(3, "dark-green"), {"number": 3, "name": "dark-green"}, "dark-green"),
        (Enumerated(9, None), {"number": 9, "name": None}, "9"),
        (Flags(0, ()), {"number": 0, "names": []}, "none"),
        (
            Flags(6, ("bit1", "estimated")),
            {"number": 6, "names": ["bit1", "estimated"]},
            "bit1,estimated",
        ),
        (RoleSet.of(Role.HOST, Role.USER), {"number": 18, "names": ["host", "user"]}, "host,user"),
        ({"a": b"\x01", "b": [1, 2]}, {"a": "01", "b": [1, 2]}, "a=01, b=[1; 2]"),
    ],
)
def test_printed_forms(value: Value, printed: object, text: str) -> None:
    assert to_json(value) == printed
    assert type(to_json(value)) is type(printed)
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("value_type", "typed", "expected"),
    [
        (parse_type("u8"), "255", 255),
        (parse_type("u16"), " 0x1F ", 31),
        (parse_type("i8"), "-128", -128),
        (parse_type("u64"), "18446744073709551615", (1 << 64) - 1),
        (CUBIC, "4.25", Decimal("4.25")),
        (CUBIC, "4", Decimal(4)),
        (Ascii(length=4), r"a\x5cb", r"a\x5cb"),
        (Bytes(length=3), "0A:0b 0c", b"\x0a\x0b\x0c"),
        (
            parse_type("datetime"),
            "2026-11-22T11:00:00+01:00",
            datetime(2026, 11, 22, 10, tzinfo=UTC),
        ),
        (parse_type("datetime"), "none", None),
        (parse_type("ddhhmmss"), "1d 02:03:04", DayTime(1, 2, 3, 4)),
        (parse_type("ddhhmmss"), "2:03:04", DayTime(0, 2, 3, 4)),
        (parse_type("umi-id"), "00-23-7e-fe-00-00-00-04", UmiId(0x00237EFE00000004)),
        (parse_type("umi-code"), "umi.1.1.0.2", UmiCode(0x01010002)),
        (COLOUR, "Dark_Green", Enumerated(3, "dark-green")),
        (COLOUR, "7", Enumerated(7, None)),
        (STATE, "estimated, clock_sync", Flags(5, ("clock-sync", "estimated"))),
        (STATE, "bit15", Flags(0x8000, ("bit15",))),
        (STATE, "none", Flags(0, ())),
        (STATE, "0x4", Flags(4, ("estimated",))),
        (RoleSetType(), "host,4", RoleSet.of(Role.HOST, Role.USER)),
        (RoleSetType(), "3", RoleSet.of(Role.METERING_DEVICE)),
        (Array(element=parse_type("u8")), "[1, 2]", [1, 2]),
        (Array(element=parse_type("u8"), count=1), "7", [7]),
        (Array(element=parse_type("u8"), count=1), "[7]", [7]),
        (TAILED, '{"Details": "x", "crc": 1}', {"crc": 1, "details": "x"}),
    ],
)
def test_typed_values(value_type: AnyType, typed: str, expected: Value) -> None:
    assert value_type.parse(typed) == expected
    assert value_type.decode(value_type.pack(value_type.parse(typed))) == expected


@pytest.mark.parametrize(
    ("value_type", "given", "sentence"),
    [
        (parse_type("u8"), "256", "x: '256' is not a number of 0 to 255"),
        (parse_type("u8"), -1, "x: -1 is not a number of 0 to 255"),
        (parse_type("u8"), True, "x: True is not a number"),
        (parse_type("u8"), "1.5", "x: '1.5' is not a whole number"),
        (parse_type("u8"), float("nan"), "x: nan is not a number"),
        (parse_type("u8"), Decimal("1e-99999"), "is not a whole number"),
        (parse_type("u64"), Decimal("1e99999"), "is not a number of 0 to"),
        (parse_type("i8"), "128", "x: '128' is not a number of -128 to 127"),
        (CUBIC, "4.255", "x: '4.255' is not a multiple of 0.01"),
        (CUBIC, "42949672.96", "x: '42949672.96' is not a number of 0.00 to 42949672.95"),
        (Integer(width=1, scale=Decimal("0.3")), "1", "x: '1' is not a multiple of 0.3"),
        (Ascii(length=4), "abcde", "x: 5 characters are too many, 4 fit"),
        (Ascii(length=4), "a\\b", "x: ASCII text is expected"),
        (Ascii(length=4), "m³", "x: ASCII text is expected"),
        (Ascii(length=4), 7, "x: ASCII text is expected"),
        (Bytes(length=2), "0a", "x: 1 bytes given, 2 expected"),
        (Bytes(length=2, is_variable=True), "0a0b0c", "x: 3 bytes given, at most 2 expected"),
        (Bytes(length=2), "xyzz", "x: bytes are expected, as hex"),
        (Bytes(length=2), 7, "x: bytes are expected, as hex"),
        (parse_type("datetime"), "2026-11-22T10:00:00", "x: '2026-11-22T10:00:00' is not a time"),
        (parse_type("datetime"), datetime(2026, 11, 22), "is not a time with a zone"),
        (parse_type("datetime"), datetime(1999, 1, 1, tzinfo=UTC), "x: 1999-01-01T00:00:00"),
        (parse_type("datetime"), 7, "x: 7 is not a time with a zone"),
        (parse_type("ddhhmmss"), "1d 24:00:00", "x: '1d 24:00:00' is not days and a time"),
        (parse_type("ddhhmmss"), "256d 00:00:00", "x: '256d 00:00:00' is not days and a time"),
        (parse_type("ddhhmmss"), 7, "x: 7 is not days and a time"),
        (parse_type("umi-id"), "xyz", "x: 'xyz' is not a UMI ID"),
        (parse_type("umi-id"), 7, "x: 7 is not a umi-id"),
        (parse_type("umi-code"), "umi.1", "x: 'umi.1' is not a UMI code"),
        (COLOUR, "blue", "x: there is no 'blue' here"),
        (COLOUR, "256", "x: '256' is not a number of 0 to 255"),
        (COLOUR, {"number": 3, "name": "red"}, "x: name 'red' does not belong to the number"),
        (COLOUR, {"name": "red"}, "x.number: None is not a number"),
        (COLOUR, {"number": 3, "colour": 1}, "x: colour 1 does not belong"),
        (STATE, "estimatd", "x: there is no 'estimatd' here"),
        (STATE, "bit16", "x: there is no 'bit16' here"),
        (STATE, "", "x: there is no '' here"),
        (STATE, ["estimated"], "is not a number of 0 to 65535"),
        (RoleSetType(), "king", "x: there is no role 'king'"),
        (RoleSetType(), 65536, "x: 65536 is not a number of 0 to 65535"),
        (TAILED, {"crc": 1}, "x misses details"),
        (TAILED, {"crc": 1, "details": "", "detail": ""}, "x: there is no member 'detail'"),
        (TAILED, {"crc": 1, "CRC": 2, "details": ""}, "x names a member twice"),
        (TAILED, {"crc": 1, "details": "abcdef"}, "x/details: 6 characters are too many"),
        (TAILED, "no JSON", "x: JSON is expected"),
        (TAILED, '{"crc": 1, "crc": 2, "details": ""}', "x: JSON is expected"),
        (TAILED, "[1]", "x: a JSON object is expected, with crc, details"),
        (TAILED, "[" * 100_000, "x: JSON is expected"),
        (TAILED, '{"crc": 1e99999999999999999999, "details": ""}', "x: JSON is expected"),
        (Array(element=COLOUR, count=2), "[1]", "x: 1 elements given, 2 expected"),
        (Array(element=COLOUR, max_elements=1), "[1, 2]", "x: 2 elements are too many, 1 fit"),
        (Array(element=COLOUR), "[0, 999]", "x element 1: 999 is not a number of 0 to 255"),
        (Array(element=COLOUR), "{}", "x: a JSON list is expected, each element enum:u8"),
    ],
)
def test_refused_values(value_type: AnyType, given: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        value_type.parse(given, "x") if isinstance(given, str) else value_type.encode(given, "x")
    assert sentence in str(caught.value)


@given(text=st.text(), value_type=st.sampled_from(TYPES))
def test_typed_garbage_is_an_input_error_and_nothing_else(text: str, value_type: AnyType) -> None:
    try:
        raw = value_type.pack(value_type.parse(text))
    except InputError:
        return
    value_type.decode(raw)


@given(st.binary(max_size=12))
def test_text_from_a_device_is_printable_and_loses_nothing(raw: bytes) -> None:
    value_type = Ascii(length=12, is_variable=True)
    text = value_type.decode(raw)
    assert text.isascii()
    assert text.isprintable() or not text
    assert value_type.encode(text) == raw.rstrip(b"\x00 ")


def test_a_key_is_not_repeated_in_an_error() -> None:
    with pytest.raises(InputError) as caught:
        Array(element=Bytes(length=16), count=1).parse("00112233445566778899aabbccddeef", "keys")
    assert "0011" not in str(caught.value)


def test_a_number_too_long_to_print_is_an_input_error() -> None:
    with pytest.raises(InputError, match="x: the number is not a number of 0 to 255"):
        parse_type("u8").encode(10**5000, "x")


def test_near_names_are_suggested() -> None:
    with pytest.raises(InputError) as caught:
        STATE.parse("estimatd")
    assert caught.value.hint == "did you mean estimated?"


def test_any_four_bytes_are_days_and_time() -> None:
    assert str(parse_type("ddhhmmss").decode(b"\xff\xfe\xfd\xfc")) == "255d 254:253:252"


def test_a_day_time_is_made_of_bytes() -> None:
    with pytest.raises(ValueError, match="256"):
        DayTime(minutes=256)


@pytest.mark.parametrize(
    "text", ["u9", "ascii", "ascii[0]", "bytes[65536]", "enum", "flags:u64", ""]
)
def test_unknown_types(text: str) -> None:
    with pytest.raises(InputError, match="is no type") as caught:
        parse_type(text)
    assert "ascii[<=n]" in caught.value.hint


@BY_TEXT
def test_type_text_reads_back(value_type: AnyType) -> None:
    if not isinstance(value_type, Structure | Array):
        assert str(parse_type(str(value_type))) == str(value_type)
