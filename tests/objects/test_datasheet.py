import contextlib
import hashlib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import InputError, MalformedError
from umi_cli.objects import datasheet
from umi_cli.objects.datasheet import Kind, ObjectDefinition, load
from umi_cli.objects.toml_table import Lines
from umi_cli.objects.values import Enumerated
from umi_cli.types import Role, RoleSet, UmiId

HEAD = 'schema = "umi-datasheet/1"\nname = "t"\ntitle = "T"\nbanks = ["umi.1.7"]\n'
# In every broken sheet the object's header stands on line 5, its first key on line 6.
VALUE = '[[object]]\ncode = "umi.1.7.0.1"\nname = "volume"\ntitle = "V"\nkind = "value"\n'
ARRAY = VALUE.replace('"value"', '"array"')
RECORD = VALUE.replace('"value"', '"structure"')
EVENT = '[[event]]\nnumber = 1\nname = "e"\ntitle = "E"\n'
CRC = '[[object.member]]\nname = "crc"\ntype = "u16"\n'
WHOLE = VALUE + 'type = "u8"\n'

BROKEN = {
    "no TOML": (HEAD + "[[object\n", 5, "not TOML"),
    "unclosed at the end": (HEAD + "x = [1,", 5, "not TOML"),
    "schema": (HEAD.replace("/1", "/2"), 1, "schema: 'umi-datasheet/1' is expected"),
    "no schema": (HEAD.replace("schema", "scheme"), 1, "schema: it is missing"),
    "name": (HEAD.replace('"t"', '"T T"'), 2, "name: 'T T' is not a name in kebab case"),
    "title": (HEAD.replace('"T"', "7"), 3, "title: a text is expected"),
    "banks": (HEAD.replace("umi.1.7", "umi.1"), 4, "banks: 'umi.1' is no bank"),
    "bank number": (HEAD.replace("1.7", "1.256"), 4, "banks: 'umi.1.256.0.0' is not a UMI code"),
    "bank type": (HEAD.replace('"umi.1.7"', "7"), 4, "banks: a list of texts is expected"),
    "banks no list": (HEAD.replace('["umi.1.7"]', '"umi.1.7"'), 4, "banks: a list is expected"),
    "unknown key": (HEAD + 'colour = "red"\n', 5, "colour: there is no such key here"),
    "extends": (HEAD + 'extends = "ei5"\n', 5, "extends: there is no datasheet 'ei5'"),
    "optical": (HEAD + 'optical = "x"\n', 5, "optical: a table is expected"),
    "regex": (HEAD + '[optical]\nmatch = "("\n', 6, "optical.match: not a regular expression"),
    "v": (HEAD + '[optical]\nv = "10"\n', 6, "optical.v: '10' is not a digit"),
    "y": (HEAD + '[optical]\nv = "0"\n\ny = 6\n', 8, "optical.y: a text is expected"),
    "y of others": (HEAD + '[optical]\ny = "3"\n', 6, "optical.y: '3' is not a mode of the"),
    "wakeup": (HEAD + '[optical]\nwakeup = "x"\n', 6, "optical.wakeup: 'x' is not none or std"),
    "delay": (HEAD + "[optical]\nswitch_delay_ms = -1\n", 6, "switch_delay_ms: -1 is out of range"),
    "optical key": (HEAD + '[optical]\nwake_up = "std"\n', 6, "optical.wake_up: there is no such"),
    "object": (HEAD + "object = 7\n", 5, "object: a list is expected"),
    "objects": (HEAD + "object = [7]\n", 5, "object: tables are expected"),
    "code missing": (HEAD + '[[object]]\nkind = "value"\n', 5, "object.code: it is missing"),
    "code": (HEAD + WHOLE.replace("umi.1.7.0.1", "1.7"), 6, "object.code: '1.7' is not a UMI"),
    "code outside": (HEAD + WHOLE.replace("1.7", "1.8"), 6, "code: umi.1.8.0.1 lies outside"),
    "code twice": (HEAD + WHOLE + WHOLE, 12, "object.code: umi.1.7.0.1 stands twice"),
    "object name": (HEAD + WHOLE.replace("volume", "a_b"), 7, "object.name: 'a_b' is not a name"),
    "name twice": (HEAD + WHOLE + WHOLE.replace("0.1", "0.2"), 13, "object.name: 'volume' stands"),
    "object title": (HEAD + WHOLE.replace("title", "titel"), 5, "object.title: it is missing"),
    "kind": (HEAD + WHOLE.replace('"value"', '"list"'), 9, "object.kind: 'list' is none of value"),
    "type missing": (HEAD + VALUE, 5, "object.type: it is missing"),
    "type": (HEAD + VALUE + 'type = "u9"\n', 10, "object.type: 'u9' is no type"),
    "scale": (HEAD + WHOLE + 'scale = "1/3"\n', 11, "object.scale: '1/3' is no decimal"),
    "scale 0": (HEAD + WHOLE + 'scale = "0.0"\n', 11, "object.scale: '0.0' is no decimal"),
    "scale type": (HEAD + WHOLE + "scale = 0.01\n", 11, "object.scale: a text is expected"),
    "scale on text": (
        HEAD + VALUE + 'type = "ascii[3]"\nscale = "0.1"\n', 11, "object.scale: there is no such"
    ),
    "values on u8": (HEAD + WHOLE + 'values = { 0 = "a" }\n', 11, "values: there is no such"),
    "bits on enum": (
        HEAD + VALUE + 'type = "enum:u8"\nbits = { 0 = "a" }\n', 11, "object.bits: there is no such"
    ),
    "roles": (HEAD + WHOLE + 'write = ["king"]\n', 11, "object.write: there is no role 'king'"),
    "roles type": (HEAD + WHOLE + 'read = "all"\n', 11, "object.read: a list is expected"),
    "volatile": (HEAD + RECORD + CRC + 'volatile = "x"\n', 13, "member.volatile: true or false"),
    "secret": (HEAD + WHOLE + "secret = 1\n", 11, "object.secret: true or false is expected"),
    "obis": (HEAD + WHOLE + 'obis = "7.0"\n', 11, "object.obis: '7.0' is not an OBIS code"),
    "obis twice": (
        HEAD + WHOLE + 'obis = "7.0.3.0.0.255"\n' + RECORD.replace("0.1", "0.2").replace("vol", "x")
        + CRC + 'obis = "7-0:3.0.0*255"\n', 20, "object.member.obis: '7.0.3.0.0.255' stands twice",
    ),
    "max_elements": (HEAD + WHOLE + "max_elements = 2\n", 11, "max_elements: only an array has"),
    "max range": (
        HEAD + ARRAY + 'type = "u8"\nmax_elements = 0\n', 11, "max_elements: 0 is out of range"
    ),
    "max type": (
        HEAD + ARRAY + 'type = "u8"\nmax_elements = true\n', 11, "a whole number is expected"
    ),
    "variable elements": (HEAD + ARRAY + 'type = "ascii[<=3]"\n', 10, "cannot vary in length"),
    "no members": (HEAD + RECORD, 5, "object.member: a structure has members"),
    "type of structure": (HEAD + RECORD + 'type = "u8"\n' + CRC, 10, "type: there is no such"),
    "member of value": (HEAD + WHOLE + CRC, 11, "object.member: there is no such key"),
    "member name": (HEAD + RECORD + CRC.replace("crc", "CRC"), 11, "member.name: 'CRC' is not"),
    "members alike": (
        HEAD + RECORD + CRC.replace("crc", "a-b") + "# x = 1\n" + CRC.replace("crc", "a_b"), 15,
        "object.member.name: there are two members 'a_b'",
    ),
    "member type": (HEAD + RECORD + CRC + CRC.replace("u16", ""), 15, "member.type: '' is no type"),
    "member key": (HEAD + RECORD + CRC + "size = 2\n", 13, "object.member.size: there is no such"),
    "variable not last": (
        HEAD + RECORD + CRC.replace("u16", "ascii[<=3]") + CRC.replace("crc", "x"), 15,
        "object.member.type: only the last member may vary",
    ),
    "too many members": (
        HEAD + RECORD + "".join(CRC.replace("crc", f"m{n}") for n in range(256)), 10,
        "object.member: 256 members are too many",
    ),
    "values number": (
        HEAD + VALUE + 'type = "enum:u8"\nvalues = { 256 = "a" }\n', 11, "values.256: a number of 0"
    ),
    "values key": (HEAD + VALUE + 'type = "enum:u8"\n[object.values]\n0 = "a"\nx = "b"\n', 13,
                   "object.values.x: a number of 0 to 255 is expected, not 'x'"),
    "values twice": (
        HEAD + VALUE + 'type = "enum:u8"\n[object.values]\n0 = "a"\n1 = "A"\n', 13, "values.1: 1 or"
    ),
    "values name": (
        HEAD + VALUE + 'type = "enum:u8"\nvalues = { 0 = "7" }\n', 11, "values.0: '7' is no name"
    ),
    "values comma": (
        HEAD + VALUE + 'type = "enum:u8"\nvalues = { 0 = "a,b" }\n', 11, "'a,b' is no name"
    ),
    "values word": (HEAD + VALUE + 'type = "enum:u8"\nvalues = "event"\n', 11, "values: 'ev"),
    "values type": (HEAD + VALUE + 'type = "enum:u8"\nvalues = 7\n', 11, "a table is expected"),
    "bits overlap": (
        HEAD + VALUE + 'type = "flags:u8"\nbits = { 1 = "a", 01 = "b" }\n', 11, "bits.01: 1 or 'b'"
    ),
    "bit number": (
        HEAD + VALUE + 'type = "flags:u8"\nbits = { 8 = "a" }\n', 11, "bits.8: a number of 0 to 7"
    ),
    "bit name": (
        HEAD + VALUE + 'type = "flags:u8"\nbits = { 1 = "bit7" }\n', 11, "bits: 'bit7' is how"
    ),
    "event number": (HEAD + EVENT.replace("1", "65536"), 6, "event.number: 65536 is out of range"),
    "event twice": (HEAD + EVENT + EVENT, 10, "event.number: event 1 stands twice"),
    "event name": (HEAD + EVENT + EVENT.replace("1", "2"), 11, "event.name: 'e' stands twice"),
    "event data": (HEAD + EVENT + 'data = [{ name = "a", type = "bytes[9]" }]\n', 9,
                   "event.data: an event has at most 8 bytes"),
    "event member": (HEAD + EVENT + 'data = [\n  { name = "a", type = "u9" },\n]\n', 9,
                     "event.data.type: 'u9' is no type"),
    "event key": (HEAD + EVENT + "bit = 1\n", 9, "event.bit: there is no such key"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "sentence"), BROKEN.values(), ids=BROKEN)
def test_broken_datasheets_name_file_line_and_key(
    text: str, line: int, sentence: str, tmp_path: Path
) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(str(file))
    assert str(caught.value).startswith(f"{file}, line {line}: ")
    assert sentence in str(caught.value)


@given(text=st.text(alphabet="[]{}=\"'#.\n,a7 \\", max_size=60))
def test_any_text_is_a_datasheet_or_an_input_error(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.toml"
    file.write_text(HEAD + text, encoding="utf-8")
    with contextlib.suppress(InputError):
        load(str(file))


def test_lines_are_not_fooled_by_strings_comments_and_lists() -> None:
    text = "\n".join(
        [
            'a = """',
            "[table]",
            "b = 1",
            '"""',
            "c = [",
            '  "x", # d = 1 [',
            "  [1],",
            "]",
            "[table] # ]",
            "b.'e' = 1",
            '"f" = "= [["',
            "[[table.rows]]",
            "[table.rows.inner]",
            "g = 1",
            "[[table.rows]]",
            "g = 1",
        ]
    )
    lines = Lines(text)
    assert lines.of(("a",)) == 1
    assert lines.of(("table",)) == 9
    assert lines.of(("table", "b", "e")) == 10
    assert lines.of(("table", "f")) == 11
    assert lines.of(("table", "rows", 0, "inner", "g")) == 14
    assert lines.of(("table", "rows", 1, "g")) == 16
    assert lines.of(("table", "rows", 1, "unknown", 7)) == 15
    assert lines.of(("d",)) == 1


def test_not_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes(HEAD.encode() + b'x = "\xff"\n')
    with pytest.raises(InputError, match="line 5: not UTF-8"):
        load(str(file))


@pytest.mark.parametrize("source", ["missing.toml", "./missing", ".", "\0.toml"])
def test_unreadable_files(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        load(source)


def test_unknown_names_list_what_is_shipped() -> None:
    with pytest.raises(InputError, match="'ei44' among ei4, virtual") as caught:
        load("ei44")
    assert caught.value.hint == "did you mean ei4?"
    with pytest.raises(InputError) as caught:
        load("zzz")
    assert "ends in .toml" in caught.value.hint


def test_extending_takes_over_and_replaces(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    text = (
        HEAD
        + 'extends = "ei4"\n[optical]\ny = "7"\n'
        + WHOLE
        + WHOLE.replace("umi.1.7.0.1", "umi.1.1.0.2").replace("volume", "software")
        + EVENT.replace("1", "31").replace('"e"', '"own-event"')
    )
    file.write_text(text, encoding="utf-8")
    sheet, ei4 = load(str(file)), load("ei4")
    assert sheet.name == "t"
    assert sheet.banks == ("umi.0.0", "umi.1.1", "umi.1.7")
    assert (sheet.optical.y, sheet.optical.match) == ("7", ei4.optical.match)
    names = {str(definition.code): definition.name for definition in sheet.objects}
    assert names["umi.1.1.0.2"] == "software"
    assert names["umi.1.1.194.63"] == "event-table"
    assert len(sheet.objects) == len(ei4.objects) + 1
    assert len(sheet.events) == len(ei4.events) + 1
    assert sheet.sha256 == hashlib.sha256(text.encode()).hexdigest()
    table = next(item for item in sheet.objects if item.name == "event-table")
    assert table.members[0].type.decode(b"\x1f\0\0\0") == Enumerated(31, "own-event")


def test_extending_by_path_is_seen_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(HEAD + WHOLE, encoding="utf-8")
    (tmp_path / "own.toml").write_text(HEAD + 'extends = "base.toml"\n', encoding="utf-8")
    assert [item.name for item in load(str(tmp_path / "own.toml")).objects] == ["volume"]


def test_a_name_taken_over_cannot_be_given_again(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    text = HEAD + 'extends = "ei4"\n' + WHOLE.replace("volume", "umi-id")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"own\.toml, line 8: object\.name: 'umi-id' stands twice"):
        load(str(file))


def test_extending_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(HEAD + 'extends = "b.toml"\n', encoding="utf-8")
    (tmp_path / "b.toml").write_text(HEAD + 'extends = "a.toml"\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"b\.toml, line 5: extends: .* in turn"):
        load(str(tmp_path / "a.toml"))


def test_the_example_of_the_module_loads(tmp_path: Path) -> None:
    lines = (datasheet.__doc__ or "").split("::\n", 1)[1].split("Types, all", 1)[0].split("\n")
    file = tmp_path / "acme.toml"
    file.write_text("\n".join(line[4:] for line in lines), encoding="utf-8")
    sheet = load(str(file))
    volume, log = sheet.objects[-2:]
    assert volume.type.units == "m³"
    assert volume.type.decode(b"\x01\0\0\0") == Decimal("0.01")
    assert volume.write == RoleSet.of(Role.HOST, Role.SERVICE)
    assert (str(volume.type), str(log.type)) == ("u32", "array of structure")
    assert (log.kind, log.max_elements, log.element_size_bytes) == (
        Kind.ARRAY_OF_STRUCTURES,
        100,
        3,
    )


def ei4(name: str) -> ObjectDefinition:
    return next(item for item in load("ei4").objects if item.name == name)


# protocol 4
@pytest.mark.parametrize(
    ("name", "code", "size", "members"),
    [
        ("umi-id", "umi.0.0.0.0", 8, 0),
        ("manufacturer-id", "umi.1.1.0.0", 23, 4),
        ("active-software-version", "umi.1.1.0.2", None, 6),
        ("gsm-status", "umi.1.1.194.2", 274, 17),
        ("wan-configuration", "umi.1.1.194.11", 138, 16),
        ("wan-status", "umi.1.1.194.13", 48, 18),
        ("profile-status", "umi.1.1.194.22", 26, 7),
        ("profile-table", "umi.1.1.194.23", 12, 4),
        ("profile-control", "umi.1.1.194.24", 8, 2),
        ("metrology-clock", "umi.1.1.194.31", 12, 4),
        ("clock-control", "umi.1.1.194.32", 8, 3),
        ("event-control", "umi.1.1.194.61", 12, 3),
        ("event-status", "umi.1.1.194.62", 24, 7),
        ("event-table", "umi.1.1.194.63", 16, 3),
    ],
)
def test_sizes_of_the_ei4(name: str, code: str, size: int | None, members: int) -> None:
    definition = ei4(name)
    assert str(definition.code) == code
    assert definition.element_size_bytes == size
    assert len(definition.members) == members


def test_the_ei4_has_no_more_objects_and_every_event() -> None:
    sheet = load("ei4")
    assert len(sheet.objects) == 14
    assert {event.number for event in sheet.events} == {*range(26), *range(27, 31), *range(45, 49)}


def test_access_of_the_ei4() -> None:
    assert ei4("manufacturer-id").read == RoleSet.everyone()
    assert ei4("clock-control").write == RoleSet.of(Role.SERVICE, Role.UTILITY_SUPPLIER)
    assert Role.GUEST not in ei4("gsm-status").read


def test_what_changes_by_itself() -> None:
    assert ei4("metrology-clock").volatile_members == ("now", "last_sync", "local_adjust", "status")
    assert ei4("profile-status").volatile_members == (
        "last_execution",
        "entries",
        "first_timestamp",
    )
    assert ei4("manufacturer-id").volatile_members == ()
    assert not ei4("umi-id").volatile


def test_the_virtual_keys_are_secret_and_for_writing_only() -> None:
    keys = next(item for item in load("virtual").objects if item.name == "scheme-1-keys")
    assert keys.secret
    assert keys.read == RoleSet(0)
    assert (keys.max_elements, keys.element_size_bytes) == (16, 16)


def test_event_data() -> None:
    events = {event.number: event for event in load("ei4").events}
    assert events[2].decode(b"\x01\x07\0\0\0\0\0\0") == {
        "reason": Enumerated(1, "completed"),
        "error": 7,
    }
    assert events[13].decode(bytes(6) + b"\x10\x75")["temperature"] == Decimal("299.68")
    assert events[17].decode(b"\xff" * 8) == {"reader": UmiId(0xFFFF_FFFF_FFFF_FFFF)}
    assert events[18].decode(b"\xfe\xff\xff\xff\0\0\0\0") == {"change": -2}
    assert events[1].decode(bytes(8)) == {}
    with pytest.raises(MalformedError):
        events[2].decode(b"\x01")
