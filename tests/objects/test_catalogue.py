import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import InputError, MalformedError, NotInDatasheetError
from umi_cli.objects.catalogue import Catalogue
from umi_cli.objects.datasheet import load
from umi_cli.objects.values import Enumerated, Flags, to_json
from umi_cli.types import ObjectPart, UmiCode, UmiId

CATALOGUE = Catalogue.load("ei4")
PARTS = [
    *(str(definition.code) for definition in CATALOGUE.objects),
    *("manufacturer-id/3", "profile-table[3]", "profile-table[3:5]", "profile-table[3:]"),
    *("profile-table/status", "profile-table[2:3]/reading", "scratch[7]", "umi.1.1.9.9"),
]


@pytest.mark.parametrize(
    ("text", "expected", "name"),
    [
        ("umi.1.1.0.0", "umi.1.1.0.0", "manufacturer-id"),
        ("UMI.1.1.0.0/3", "umi.1.1.0.0/3", "manufacturer-id/serial"),
        ("manufacturer-id", "umi.1.1.0.0", "manufacturer-id"),
        ("Manufacturer_ID/Serial", "umi.1.1.0.0/3", "manufacturer-id/serial"),
        ("umi-id", "umi.0.0.0.0", "umi-id"),
        ("umi-id[0]", "umi.0.0.0.0[0]", "umi-id[0]"),
        ("umi-id[:]", "umi.0.0.0.0", "umi-id"),
        ("wan-status/last-duration-s", "umi.1.1.194.13/3", "wan-status/last_duration_s"),
        ("profile-table[0:47]", "umi.1.1.194.23[0:47]", "profile-table[0:47]"),
        ("profile-table[3:]/reading", "umi.1.1.194.23[3:]/0", "profile-table[3:]/reading"),
        ("7.0.99.99.1.255", "umi.1.1.194.23", "profile-table"),
        ("7-0:99.99.1*255[2]", "umi.1.1.194.23[2]", "profile-table[2]"),
        ("7.0.99.99.1.255/status", "umi.1.1.194.23/2", "profile-table/status"),
        ("7-0:3.0.0*255", "umi.1.1.194.23/0", "profile-table/reading"),
        ("7-0:3.0.0", "umi.1.1.194.23/0", "profile-table/reading"),
        ("7.0.3.0.0.255[4:5]", "umi.1.1.194.23[4:5]/0", "profile-table[4:5]/reading"),
        ("scratch[64999]", "umi.255.0.0.64[64999]", "scratch[64999]"),
        ("umi.1.1.9.9[3:5]/7", "umi.1.1.9.9[3:5]/7", None),
        ("umi.255.0.9.9", "umi.255.0.9.9", None),
    ],
)
def test_resolve(text: str, expected: str, name: str | None) -> None:
    part = CATALOGUE.resolve(text)
    assert str(part) == expected
    assert CATALOGUE.name_of(part) == name
    if name is not None:
        assert CATALOGUE.resolve(name) == part


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not an object part"),
        ("umi.1.1.0", "'umi.1.1.0' is not a UMI code"),
        ("umi.1.1.0.256", "is not a UMI code"),
        ("7.0.3", "'7.0.3' is not an OBIS code"),
        ("7-0:3.0.0*256", "is not an OBIS code"),
        ("manu facturer", "is no name, UMI code or OBIS code"),
        ("profile-table[5:3]", "has elements out of range"),
        ("profile-table[x]", "names no elements"),
        ("manufacturer-id/255", "they count from 0 to 254"),
        ("manufacturer-id/9999", "they count from 0 to 254"),
        ("manufacturer-id/a b", "write its name or number"),
        ("7.0.3.0.0.255/status", "is a member already"),
    ],
)
def test_resolve_refuses_what_has_no_such_form(text: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        CATALOGUE.resolve(text)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("manufacturer", "the datasheet has no object 'manufacturer'", "manufacturer-id"),
        ("qqq", "the datasheet has no object 'qqq'", "umi objects"),
        ("7.0.4.0.0.255", "the datasheet has no OBIS code 7.0.4.0.0.255", "7.0.3.0.0.255"),
        ("manufacturer-id/seriel", "no member 'seriel' in manufacturer-id", "serial"),
        ("umi.1.1.9.9/serial", "no member 'serial' in umi.1.1.9.9", ""),
        ("manufacturer-id/4", "manufacturer-id has no member 4", "0 to 3"),
        ("umi-id/0", "umi-id has no members", ""),
        ("scratch/0", "scratch has no members", ""),
        ("manufacturer-id[1]", "manufacturer-id has no elements", ""),
        ("manufacturer-id[0:1]", "manufacturer-id has no elements", ""),
        ("scratch[65000]", "scratch has no element 65000", "it has 65000"),
        ("scratch[0:65000]", "scratch has no element 65000", ""),
        ("scheme-1-keys[16:]", "scheme-1-keys has no element 16", ""),
        ("umi.2.1.0.0", "umi.2.1.0.0 lies outside the banks", "umi.1.1, umi.255.0"),
    ],
)
def test_resolve_refuses_what_is_not_there(text: str, sentence: str, hint: str) -> None:
    with pytest.raises(NotInDatasheetError) as caught:
        CATALOGUE.resolve(text)
    assert sentence in str(caught.value)
    assert hint in caught.value.hint


@given(st.text(max_size=30))
def test_any_text_resolves_or_is_refused(text: str) -> None:
    try:
        part = CATALOGUE.resolve(text)
    except (InputError, NotInDatasheetError):
        return
    assert CATALOGUE.resolve(str(part)) == part


def test_a_part_from_elsewhere_is_checked_too() -> None:
    backwards = ObjectPart(UmiCode.parse("umi.1.1.194.23"), first=5, last=3)
    with pytest.raises(NotInDatasheetError, match="no elements from 5 to 3"):
        CATALOGUE.decode(backwards, b"")
    unnamed = ObjectPart(UmiCode.parse("umi.1.1.0.0"), member=9)
    assert CATALOGUE.name_of(unnamed) == "manufacturer-id/9"


@pytest.mark.parametrize("text", PARTS)
@given(raw=st.binary(max_size=300))
def test_garbage_from_a_device_is_malformed_and_nothing_else(text: str, raw: bytes) -> None:
    try:
        value = CATALOGUE.decode(CATALOGUE.resolve(text), raw)
    except MalformedError:
        return
    assert json.dumps(to_json(value))


def test_decode_a_structure_and_its_member() -> None:
    raw = b"EISGMv0\0ELS002531733978"
    value = CATALOGUE.decode(CATALOGUE.resolve("manufacturer-id"), raw)
    assert value == {
        "model": "EISGMv0",
        "manufacturer": "ELS",
        "factory": "0025",
        "serial": "31733978",
    }
    assert CATALOGUE.decode(CATALOGUE.resolve("manufacturer-id/serial"), raw[-8:]) == "31733978"


def test_field_interval_record() -> None:
    vectors = json.loads(
        (Path(__file__).parents[1] / "vectors" / "vectors.json").read_text("utf-8")
    )["vectors"]
    vector = next(vector for vector in vectors if vector["name"] == "ei4-interval-record")
    raw = bytes.fromhex(vector["bytes"])
    record = {
        "reading": Decimal("4.25"),
        "timestamp": datetime(2021, 6, 15, 0, 30, tzinfo=UTC),
        "status": Flags(64, ("datetime-uncertain",)),
        "rate": 100,
    }
    one = CATALOGUE.resolve("profile-table[3]")
    assert CATALOGUE.decode(one, raw) == [record]  # a list, even of one
    assert CATALOGUE.encode(one, record) == CATALOGUE.encode(one, [record]) == raw
    assert CATALOGUE.decode(CATALOGUE.resolve("profile-table"), raw * 3) == [record] * 3
    assert CATALOGUE.decode(CATALOGUE.resolve("profile-table[0:4]"), raw * 2) == [record] * 2
    reading = CATALOGUE.resolve("7-0:3.0.0*255[0:1]")
    assert CATALOGUE.decode(reading, raw[:4]) == [Decimal("4.25")]


@pytest.mark.parametrize(
    ("text", "length", "sentence"),
    [
        ("manufacturer-id", 22, "manufacturer-id has 22 bytes instead of 23"),
        ("active-software-version", 5, "too short"),
        ("active-software-version", 72, "has 72 bytes instead of at most 71"),
        ("profile-table", 13, "profile-table has 13 bytes, no multiple of 12"),
        ("profile-table[3]", 24, "profile-table[3] has 24 bytes instead of at most 12"),
        ("profile-table[3:4]/status", 6, "has 6 bytes instead of at most 4"),
    ],
)
def test_wrong_lengths_are_malformed(text: str, length: int, sentence: str) -> None:
    with pytest.raises(MalformedError) as caught:
        CATALOGUE.decode(CATALOGUE.resolve(text), bytes(length))
    assert sentence in str(caught.value)


def test_events_give_the_event_table_its_names() -> None:
    raw = b"\x02\0\0\0" + bytes(12) + b"\x1a\0\0\0" + bytes(12)
    value = CATALOGUE.decode(CATALOGUE.resolve("event-table/event"), raw[:4] + raw[16:20])
    assert value == [Enumerated(2, "software-upgrade"), Enumerated(26, None)]
    event = CATALOGUE.event(2)
    assert event is not None
    assert event in CATALOGUE.events
    assert event.name == "software-upgrade"
    assert CATALOGUE.event(26) is None


@pytest.mark.parametrize(
    ("text", "typed", "raw"),
    [
        ("valve", "open", "01"),
        ("counter", "0x10", "10000000"),
        ("counter", "hex:01:02 03", "010203"),
        ("counter", " HEX: 0102", "0102"),
        ("umi-id", "00237EFE00000001", "01000000fe7e2300"),
        ("clock-control", '{"new_time": null, "flags": "bit0", "local_adjust": 1}',
         "0000000001000100"),
        ("wan-configuration/control_flags", "cyclic,secondary-host", "05000000"),
        ("wan-configuration/call_distance", "1d 00:30:00", "01001e00"),
        ("profile-table[3]/reading", "4.25", "a9010000"),
        ("profile-table[3:4]/reading", "[4.25, 0.01]", "a901000001000000"),
        ("scheme-1-keys[5]", "00112233445566778899aabbccddeeff",
         "00112233445566778899aabbccddeeff"),
        ("scratch[2:]", "[1, 2, 3]", "010203"),
        ("umi.1.1.9.9", "hex:0a0b", "0a0b"),
    ],
)  # fmt: skip
def test_typed_values(text: str, typed: str, raw: str) -> None:
    assert CATALOGUE.parse_value(CATALOGUE.resolve(text), typed).hex() == raw


@pytest.mark.parametrize(
    ("text", "typed", "sentence"),
    [
        ("valve", "ajar", "valve: there is no 'ajar' here"),
        ("counter", "hex:0", "counter: bytes are expected, as hex"),
        ("clock-control", "{}", "clock-control misses new_time, flags, local_adjust"),
        (
            "clock-control",
            '{"new_time": 1, "flags": 0, "local_adjust": 0}',
            "clock-control/new_time",
        ),
        ("profile-table[3:4]/reading", "[4.25]", "1 elements given, 2 expected"),
        ("scheme-1-keys[15:]", '["", ""]', "2 elements are too many, 1 fit"),
        ("umi.1.1.9.9", "10", "the datasheet does not know its type"),
    ],
)
def test_refused_values(text: str, typed: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        CATALOGUE.parse_value(CATALOGUE.resolve(text), typed)
    assert sentence in str(caught.value)


def test_undescribed_objects_are_bytes() -> None:
    part = CATALOGUE.resolve("umi.1.1.9.9")
    assert CATALOGUE.find(part.code) is None
    assert CATALOGUE.decode(part, b"\x01\x02") == b"\x01\x02"
    assert CATALOGUE.encode(part, b"\x01\x02") == CATALOGUE.encode(part, "0102") == b"\x01\x02"


def test_units() -> None:
    assert CATALOGUE.units_of(CATALOGUE.resolve("profile-table")) == {"reading": "m³"}
    assert CATALOGUE.units_of(CATALOGUE.resolve("profile-table[3]/reading")) == "m³"
    assert CATALOGUE.units_of(CATALOGUE.resolve("umi-id")) == ""


def test_objects_are_sorted_and_the_virtual_ones_stand_beside() -> None:
    codes = [definition.code for definition in CATALOGUE.objects]
    assert codes == sorted(codes)
    assert len(codes) == 14 + 6
    assert CATALOGUE.banks == ("umi.0.0", "umi.1.1", "umi.255.0")
    assert [item.name for item in Catalogue.load("virtual").objects] == [
        "life-cycle", "scheme-1-keys", "valve", "load-limit", "scratch", "counter",
    ]  # fmt: skip


def test_without_the_supplement_the_virtual_bank_is_unknown() -> None:
    with pytest.raises(NotInDatasheetError):
        Catalogue(load("ei4")).resolve("umi.255.0.0.1")


def test_own_names_and_codes_come_before_the_virtual_ones(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        'schema = "umi-datasheet/1"\nname = "own"\ntitle = "Own"\nbanks = ["umi.1.7"]\n'
        '[[object]]\ncode = "umi.1.7.0.1"\nname = "valve"\ntitle = "V"\nkind = "value"\n'
        'type = "umi-id"\n',
        encoding="utf-8",
    )
    catalogue = Catalogue.load(str(file))
    assert str(catalogue.resolve("valve")) == "umi.1.7.0.1"
    assert catalogue.decode(catalogue.resolve("valve"), bytes(8)) == UmiId(0)
    assert catalogue.decode(catalogue.resolve("umi.255.0.0.32"), b"\1") == Enumerated(1, "open")
