"""Fuzz cases: their names, and the files that keep them."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.certify.fuzz_case import Carrier, CaseName, FuzzCase, FuzzLayer, Patch
from umi_cli.errors import InputError

CASE = FuzzCase(
    seed=7,
    layer=FuzzLayer.LINK,
    number=123,
    base="NO_OPERATION",
    carrier=Carrier.FRAMES,
    pieces=(b"\x01\x02", b"\xff"),
    valid=(b"\x01\x03", b"\xff"),
)
PATCH = Patch(at=30, flip=4)


def test_a_name_leads_back_to_the_case() -> None:
    assert CASE.name == "7:link:123"
    assert CaseName.parse(CASE.name) == CaseName(7, FuzzLayer.LINK, 123, False)
    changing = replace(CASE, changes=True)
    assert CaseName.parse(changing.name) == CaseName(7, FuzzLayer.LINK, 123, True)


@pytest.mark.parametrize(
    "text",
    ["", "7", "7:link", "7:link:x", "-1:link:1", "7:nowhere:1", "7:link:1:safe", f"{2**64}:link:1"],
)
def test_what_names_no_case_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="names no fuzz case") as caught:
        CaseName.parse(text)
    assert "7:link:123" in caught.value.hint


@pytest.mark.parametrize("case", [CASE, replace(CASE, patch=PATCH, changes=True, valid=())])
def test_a_case_is_the_same_after_a_file(case: FuzzCase) -> None:
    assert FuzzCase.of(json.loads(json.dumps(case.record))) == case
    assert case.sent_bytes == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(CASE.record)), JSON)
def test_a_file_that_is_no_case_is_refused_or_read(field: str, value: Any) -> None:
    try:
        FuzzCase.of({**replace(CASE, patch=PATCH).record, field: value})
    except InputError as error:
        assert "no fuzz case" in str(error)  # noqa: PT017 - anything else would end the test


@pytest.mark.parametrize("record", [None, [], {}, {"schema": "umi/1"}])
def test_a_file_of_something_else_is_refused(record: object) -> None:
    with pytest.raises(InputError, match="schema is not umi-fuzz/1"):
        FuzzCase.of(record)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"layer": "nope"}, "its layer, 'nope', is none of link, packet, payload, certificate"),
        ({"carrier": []}, "its carrier, [], is none of frames, packets, sealed"),
        ({"seed": -1}, "its seed, -1, is no number from 0 to "),
        ({"number": "1"}, "its number, '1', is no number from 0 to "),
        ({"pieces": "00"}, "its pieces are no list of 1000 pieces at most"),
        ({"pieces": ["0g"]}, "one of its pieces, '0g', is no text of hex digits, two a byte"),
        ({"valid": [7]}, "one of its valid, 7, is no text of hex digits, two a byte"),
        ({"patch": 1}, "its patch is no object"),
        ({"patch": {"at": 1}}, "it has no field 'flip'"),
        (
            {"patch": {"at": 1, "flip": 0, "remove": 0, "insert": "x"}},
            "what its patch inserts, 'x', is no text of hex digits, two a byte",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_sentence(
    fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        FuzzCase.of({**CASE.record, **fields})
    assert str(caught.value).startswith(f"this is no fuzz case: {sentence}")


@pytest.mark.parametrize("field", ["seed", "layer", "number", "changes", "carrier", "pieces"])
def test_a_field_that_is_missing_is_named(field: str) -> None:
    record = {name: value for name, value in CASE.record.items() if name != field}
    with pytest.raises(InputError, match=f"no fuzz case: it has no field '{field}'"):
        FuzzCase.of(record)


def test_too_long_a_piece_is_refused() -> None:
    with pytest.raises(InputError, match="65536"):
        FuzzCase.of({**CASE.record, "pieces": ["00" * 65_537]})


@pytest.mark.parametrize(
    ("patch", "sent"),
    [
        (Patch(at=1, flip=0xFF), b"\x01\xfd\x03"),
        (Patch(at=1, remove_bytes=1), b"\x01\x03"),
        (Patch(at=1, insert=b"\xaa\xbb"), b"\x01\xaa\xbb\x02\x03"),
        (Patch(at=9, flip=1, insert=b"\xaa"), b"\x01\x02\x03\xaa"),
        (Patch(at=0, remove_bytes=100), b""),
    ],
)
def test_a_patch_changes_what_was_sealed(patch: Patch, sent: bytes) -> None:
    assert patch.apply(b"\x01\x02\x03") == sent
