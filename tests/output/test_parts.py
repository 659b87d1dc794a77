"""How values of objects look, with the EI4 datasheet."""

import json

import pytest

from umi_cli.objects.catalogue import Catalogue
from umi_cli.output.parts import Part, view_of
from umi_cli.output.render import Format, json_line, view_lines

CATALOGUE = Catalogue.load("ei4")
IDENTITY = b"EISGMv0\0ELS002531733978"
ENTRY = bytes.fromhex("39300000 00000000 0100 0000".replace(" ", ""))


def part(text: str, raw: bytes) -> Part:
    resolved = CATALOGUE.resolve(text)
    return Part.of(CATALOGUE, resolved, raw, CATALOGUE.decode(resolved, raw))


def shown(form: Format, *parts: Part) -> str:
    return "".join(view_lines(view_of(parts), form))


SERIAL = part("manufacturer-id/serial", b"31733978")
WHOLE = part("manufacturer-id", IDENTITY)
TABLE = part("profile-table[5:6]", ENTRY + ENTRY)


def test_one_single_value_stands_alone() -> None:
    assert shown("table", SERIAL) == "31733978\n"


def test_single_values_share_a_table() -> None:
    text = shown("table", SERIAL, part("manufacturer-id/model", b"EISGMv0\0"))
    assert text == "manufacturer-id/serial  31733978\nmanufacturer-id/model   EISGMv0\n"


def test_structure_is_a_table_of_members() -> None:
    assert shown("table", WHOLE).splitlines() == [
        "umi.1.1.0.0 manufacturer-id",
        "model         EISGMv0",
        "manufacturer  ELS",
        "factory       0025",
        "serial        31733978",
    ]


def test_array_of_structures_is_a_row_an_element() -> None:
    lines = shown("table", TABLE).splitlines()
    assert lines[0] == "umi.1.1.194.23[5:6] profile-table[5:6]"
    assert lines[1].split() == ["element", "reading", "[m³]", "timestamp", "status", "rate"]
    assert lines[3].split()[:2] == ["5", "123.45"]
    assert lines[4].split()[:2] == ["6", "123.45"]


def test_array_of_values_is_a_row_an_element() -> None:
    lines = shown("table", part("scratch[2:3]", b"\x07\x08")).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["element", "value"],
        ["-------", "-----"],
        ["2", "7"],
        ["3", "8"],
    ]


def test_long_bytes_are_dumped() -> None:
    unknown = part("umi.1.1.77.1", bytes(40))
    assert shown("table", unknown).splitlines()[1].startswith("00000010  00 00")
    assert shown("raw", unknown) == "00" * 40 + "\n"


def test_csv_of_one_array() -> None:
    lines = shown("csv", TABLE).splitlines()
    assert lines[0] == "part,name,element,reading,timestamp,status,rate"
    assert lines[1].startswith("umi.1.1.194.23[5:6],profile-table[5:6],5,123.45,,")


def test_csv_of_different_parts_is_one_table() -> None:
    lines = shown("csv", SERIAL, WHOLE, TABLE).splitlines()
    assert lines[0].startswith("part,name,element,value,model,manufacturer,factory,serial,reading")
    assert len({line.count(",") for line in lines[:3]}) == 1
    assert len(lines) == 1 + 1 + 1 + 2


def test_record_is_the_documented_one() -> None:
    assert json.loads(json_line(WHOLE.record)) == {
        "part": "umi.1.1.0.0",
        "name": "manufacturer-id",
        "raw": IDENTITY.hex(),
        "value": {
            "model": "EISGMv0",
            "manufacturer": "ELS",
            "factory": "0025",
            "serial": "31733978",
        },
    }


@pytest.mark.parametrize("form", ["table", "csv", "raw"])
def test_secret_is_never_shown(form: Format) -> None:
    key = part("scheme-1-keys[1]", bytes(range(16)))
    assert key.is_secret
    for parts in ((key,), (key, WHOLE)):
        assert bytes(range(16)).hex() not in shown(form, *parts)
    assert (key.record["raw"], key.record["value"]) == (None, None)


def test_unknown_object_has_no_name() -> None:
    unknown = part("umi.1.1.77.1", b"\x01")
    assert unknown.record["name"] is None
    assert shown("table", unknown, SERIAL).splitlines()[0].split() == ["umi.1.1.77.1", "01"]
