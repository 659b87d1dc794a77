"""The record of a run: counts, verdicts, the JSON that an earlier report is read back from."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certify.sample import AS_BEFORE, CHANGED, FRAMES, full, record, report
from umi_cli.certify.baseline import Earlier, compare, load
from umi_cli.certify.case import Level
from umi_cli.certify.report import RunReport, document_of, printable
from umi_cli.certify.run import Verdict
from umi_cli.errors import InputError

PASSED, FAILED, LEFT_OUT = Verdict.PASSED, Verdict.FAILED, Verdict.LEFT_OUT


def reloaded(found: RunReport) -> Earlier:
    return load(json.dumps(document_of(found)).encode(), "old.json")


def test_a_report_is_plain_json_that_says_everything() -> None:
    document = document_of(full())
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["schema"] == "umi-certify/1"
    assert document["totals"]["link"] == {"passed": 1, "failed": 1, "left-out": 0}
    assert document["totals"]["all"] == {"passed": 1, "failed": 2, "left-out": 1}
    failed = document["tests"][1]
    assert failed["frames"][0] == {
        "at_s": 0.0,
        "direction": "out",
        "length_bytes": 2,
        "raw": "0104",
        "words": ["link frame: RESYNC"],
    }
    assert failed["frames"][1]["raw"] is None
    assert document["state"]["changes"][0]["object"] == "counter"
    assert document["baseline"]["newly_failing"] == ["LNK-002"]
    assert document["allowed"] == ["changes"]


def test_an_earlier_report_is_read_back() -> None:
    found = full()
    earlier = reloaded(found)
    assert earlier.verdicts == {each.number: each.verdict for each in found.tests}
    assert (earlier.version, earlier.started) == (found.version, found.started)
    assert earlier.device == found.device.umi_id
    assert not earlier.was_as_before


def test_a_document_of_json_is_an_earlier_report_as_well() -> None:
    document = {"schema": "umi/1", "ok": True, "data": document_of(report(record("LNK-001")))}
    assert load(json.dumps(document).encode(), "x").verdicts == {"LNK-001": PASSED}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"schema":"umi-export/1"}',
        b'{"schema":"umi/1","data":null}',
        b'{"schema":"umi-certify/1"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_what_is_no_report_is_refused(raw: bytes) -> None:
    with pytest.raises(InputError, match=r"old\.json is no report"):
        load(raw, "old.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@given(st.sampled_from(["version", "started", "device", "state", "tests", "schema"]), JSON)
def test_any_damage_is_refused_or_read(key: str, value: Any) -> None:
    raw = json.dumps({**document_of(full()), key: value}).encode()
    with suppress(InputError):
        assert load(raw, "x").file == "x"


def test_a_report_is_sound_if_nothing_failed_and_nothing_changed() -> None:
    assert report(record("LNK-001"), record("LNK-002", LEFT_OUT)).is_good
    assert report(record("LNK-001"), state=None).is_good
    assert not report(record("LNK-001", FAILED)).is_good
    assert not report(record("LNK-001"), state=CHANGED).is_good


def test_what_cannot_be_undone_was_allowed() -> None:
    assert report(record("LNK-001"), state=replace(CHANGED, is_explained=True)).is_good
    assert not report(record("LNK-001"), state=replace(AS_BEFORE, failure="lost")).is_good


def test_counts_by_level_and_reason() -> None:
    found = report(
        record("LNK-001"),
        record("SEC-001", LEFT_OUT, message="needs a"),
        record("SEC-002", LEFT_OUT, message="needs b"),
        record("SEC-003", LEFT_OUT, message="needs a"),
    )
    assert list(found.totals) == [Level.LINK, Level.SECURITY]
    assert found.totals[Level.SECURITY][LEFT_OUT] == 3
    assert found.left_out == {"needs a": ["SEC-001", "SEC-003"], "needs b": ["SEC-002"]}
    assert found.summary == "1 passed, 0 failed, 3 left out"


def test_compared_with_an_earlier_report() -> None:
    before = reloaded(
        report(
            record("LNK-001", FAILED),
            record("LNK-002", FAILED),
            record("LNK-003"),
            record("LNK-004"),
            record("LNK-005", LEFT_OUT),
            record("LNK-006"),
            record("LNK-009"),
        )
    )
    now = report(
        record("LNK-001"),
        record("LNK-002", FAILED),
        record("LNK-003", FAILED),
        record("LNK-004", LEFT_OUT),
        record("LNK-005", FAILED),
        record("LNK-006"),
        record("LNK-007", FAILED),
        record("LNK-008"),
    )
    found = compare(now, before)
    assert found.lists == {
        "newly failing": ("LNK-003", "LNK-005", "LNK-007"),
        "newly passing": ("LNK-001",),
        "still failing": ("LNK-002",),
        "no longer run": ("LNK-004",),
        "new tests": ("LNK-007", "LNK-008"),
        "tests that are gone": ("LNK-009",),
    }
    assert found.is_worse


def test_what_failed_before_may_fail_again() -> None:
    before = reloaded(report(record("LNK-001", FAILED), state=CHANGED))
    now = report(record("LNK-001", FAILED), state=CHANGED)
    assert not compare(now, before).is_worse
    kept = reloaded(report(record("LNK-001", FAILED)))
    assert compare(now, kept).state_is_worse


def test_the_frames_are_those_that_were_given() -> None:
    assert record("LNK-001", FAILED, frames=FRAMES).frames == FRAMES


@given(st.text())
def test_what_is_printable_steers_nothing(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert (shown == text) == text.isprintable()
