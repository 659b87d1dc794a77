"""The comparison of exports: nothing is told of equal ones, and what is told leads to the other."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import InputError
from umi_cli.objects.export_diff import Change, compare, summarise
from umi_cli.objects.export_document import SCHEMA, SHAPES, ExportFile, ObjectRecord, dump, load

NAMES = ("a", "b", "c")
leaf = st.none() | st.integers(0, 3) | st.sampled_from(["x", "open"])
structure = st.dictionaries(st.sampled_from(NAMES), leaf, max_size=3)
REFUSED = {"code": "access-denied", "number": 9, "name": "ACCESS_DENIED"}
roles = st.integers(0, 3).map(lambda bits: {"number": bits, "names": []})
access = st.none() | st.fixed_dictionaries({"read": roles, "write": roles})
undecoded = st.sampled_from([None, "aa", "bb"])
VALUES = {
    "value": leaf,
    "structure": structure,
    "array": st.lists(leaf, max_size=6),
    "array-of-structures": st.lists(structure, max_size=6),
}


@st.composite
def objects(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return the objects of an export: some of four, each of a shape of its own."""
    records: list[dict[str, Any]] = []
    for number, shape in enumerate(SHAPES):
        if not draw(st.integers(0, 4)):
            continue
        is_refused = not draw(st.integers(0, 3))
        records.append(
            {
                "part": f"umi.1.1.0.{number}",
                "name": None if number % 2 else f"object-{number}",
                "shape": shape,
                "volatile": draw(st.booleans() | st.just(["a"])),
                "error": REFUSED if is_refused else None,
                "access": draw(access),
                "raw": draw(undecoded) if is_refused else "00",
                "value": None if is_refused else draw(VALUES[shape]),
            }
        )
    return records


def document(records: list[dict[str, Any]], **other: Any) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "moment": "2026-11-22T10:00:00Z",
        "complete": True,
        "device": "00237EFE00000001",
        "datasheet": {"name": "ei4", "sha256": ""},
        "standing": {"role": "guest"},
        "only": None,
        "left_out": [],
        "objects": records,
        "certificates": None,
        **other,
    }


def file(records: list[dict[str, Any]], **other: Any) -> ExportFile:
    return load("".join(dump(document(records, **other))).encode(), "x.json")


def array(*elements: Any, shape: str = "array", part: str = "umi.1.1.0.0") -> list[dict[str, Any]]:
    return [
        {"part": part, "name": "log", "shape": shape, "volatile": False, "error": None,
         "access": None, "raw": "", "value": list(elements)}
    ]  # fmt: skip


def applied(old: ExportFile, changes: tuple[Change, ...]) -> dict[str, dict[str, Any]]:
    """Return what each object holds after the changes were made to the old one."""
    state = {part: aspects(record) for part, record in old.objects.items()}
    gone: dict[str, list[int]] = {}
    for change in changes:
        if change.aspect not in ("value", "error"):
            continue
        held = state.setdefault(change.subject, {})
        if change.element is None and change.member is None:
            put(held, change.aspect, change)
        elif change.element is None:
            put(held["value"], change.member, change)
        elif change.kind == "removed" and change.member is None:
            gone.setdefault(change.subject, []).append(change.element)
    for part, numbers in gone.items():
        values = state[part]["value"]
        state[part]["value"] = [v for n, v in enumerate(values) if n not in numbers]
    for change in changes:
        if change.element is None:
            continue
        values = state[change.subject]["value"]
        if change.member is not None:
            put(values[change.element], change.member, change)
        elif change.kind == "changed":
            values[change.element] = change.new
        elif change.kind == "added":
            assert change.element == len(values)
            values.append(change.new)
    return {part: held for part, held in state.items() if held}


def put(held: dict[str, Any], key: Any, change: Change) -> None:
    if change.kind == "removed":
        assert held.pop(key) == change.old
    else:
        assert (key in held) is (change.kind == "changed")
        held[key] = change.new


def aspects(record: ObjectRecord) -> dict[str, Any]:
    if record.error is None:
        return {"value": copy.deepcopy(record.value)}
    held = {} if record.undecoded is None else {"value": record.undecoded}
    return {**held, "error": dict(record.error)}


@given(objects())
def test_an_export_does_not_differ_from_itself(records: list[dict[str, Any]]) -> None:
    found = compare(file(records), file(copy.deepcopy(records)), with_volatile=True)
    assert found.changes == ()
    assert found.not_compared == ()


@given(objects(), objects())
def test_the_changes_lead_from_one_to_the_other(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> None:
    before, after = file(old), file(new)
    found = compare(before, after, with_volatile=True)
    assert applied(before, found.changes) == {
        part: aspects(record) for part, record in after.objects.items()
    }
    told = compare(before, after)
    assert told.changes == tuple(each for each in found.changes if not each.is_volatile)
    assert told.volatile == len(found.changes) - len(told.changes)


@given(objects(), objects())
def test_a_summary_counts_all_elements(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> None:
    found = compare(file(old), file(new), with_volatile=True)
    short = list(summarise(found.changes))
    assert len(short) <= len(found.changes)
    for kind in ("added", "removed"):
        whole = [c for c in found.changes if (c.kind, c.member) == (kind, None) and c.element]
        assert sum(c.count for c in short if c.kind == kind) >= len(whole)


def told(old: list[Any], new: list[Any]) -> list[tuple[str, int | None, int]]:
    found = compare(file(array(*old)), file(array(*new)))
    return [(each.kind, each.element, each.count) for each in summarise(found.changes)]


def test_entries_that_came_at_the_end_are_counted() -> None:
    assert told([1, 2], [1, 2, *range(48)]) == [("added", 2, 48)]
    assert told([1, 2], [1, 2, 3]) == [("added", 2, 1)]


def test_entries_that_made_room_at_the_front_are_counted() -> None:
    """A log that is full drops its oldest entries; the others have only another number then."""
    assert told([1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 7, 8]) == [("removed", 0, 2), ("added", 4, 2)]


def test_a_changed_entry_is_no_shift() -> None:
    assert told([1, 2, 3, 4, 1], [1, 2, 9, 4, 1]) == [("changed", 2, 1)]
    assert told([1, 2, 3], [1, 2]) == [("removed", 2, 1)]
    assert told([], [1]) == [("added", 0, 1)]
    assert told([1], []) == [("removed", 0, 1)]


def test_many_changed_entries_are_counted() -> None:
    assert told([0] * 9, [1, 2, 3, 4, 5, 6, 7, 8, 9]) == [("changed", 0, 9)]


def test_long_arrays_that_repeat_themselves_are_compared_at_once() -> None:
    """Compared pair by pair at each shift, these would take minutes."""
    zeros = [0] * 65_000
    assert told([*zeros, 1], [*zeros, 2]) == [("changed", 65_000, 1)]
    assert told(zeros, [*zeros[1:], 1]) == [("changed", 64_999, 1)]


def test_elements_count_from_the_first_that_was_read() -> None:
    part = "umi.1.1.0.0[5:6]"
    found = compare(file(array(1, 2, part=part)), file(array(1, 3, part=part)))
    assert [each.element for each in found.changes] == [6]


def test_certificates() -> None:
    def export(**prints: str | None) -> ExportFile:
        records: list[dict[str, Any]] = [
            {"subject": subject, "fingerprint": fingerprint, "error": None if fingerprint else {}}
            for subject, fingerprint in prints.items()
        ]
        return file([], certificates=records)

    found = compare(export(A="1", B="1", C="1"), export(A="1", B="2", D="1"))
    assert [(each.kind, each.subject, each.aspect) for each in found.changes] == [
        ("changed", "B", "certificate"),
        ("removed", "C", "certificate"),
        ("added", "D", "certificate"),
    ]
    assert compare(file([]), export(A="1")).changes == ()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from(SHAPES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.binary() | st.text().map(str.encode) | anything.map(lambda x: json.dumps(x).encode()))
def test_garbage_is_no_export(raw: bytes) -> None:
    with pytest.raises(InputError, match="is no export"):
        load(raw, "x.json")


@given(objects(), st.sampled_from(sorted(document([]))), st.sampled_from(["", *NAMES]), anything)
def test_whatever_stands_anywhere_in_it(
    records: list[dict[str, Any]], key: str, inner: str, value: Any
) -> None:
    """A spoilt export is refused, or can be compared."""
    spoilt = document(records)
    if inner and records:
        field = sorted(records[0])[NAMES.index(inner)]
        records[0][field] = value
    else:
        spoilt[key] = value
    try:
        export = load(json.dumps(spoilt).encode(), "x.json")
    except InputError:
        return
    assert compare(export, export, with_volatile=True).changes == ()
    assert compare(file([]), export) is not None


def test_nan_is_refused() -> None:
    text = json.dumps(document([])).replace("null", "NaN", 1)
    with pytest.raises(InputError):
        load(text.encode(), "x.json")
