"""JUnit XML: what build servers read, and device strings that are no XML."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.certify.sample import AS_BEFORE, CHANGED, HOSTILE, full, record, report
from umi_cli.certify.junit import to_junit
from umi_cli.certify.report import RunReport
from umi_cli.certify.run import Verdict


def parsed(found: RunReport) -> ElementTree.Element:
    return ElementTree.fromstring(to_junit(found))  # noqa: S314 - our own


def test_a_suite_a_level_and_a_case_a_test() -> None:
    root = parsed(full())
    assert root.tag == "testsuites"
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "3",
        "errors": "0",
        "skipped": "1",
    }
    assert [suite.get("name") for suite in root] == [
        "umi certify link",
        "umi certify objects",
        "umi certify security",
        "umi certify state",
    ]
    link = root[0]
    assert (link.get("tests"), link.get("failures"), link.get("time")) == ("2", "1", "0.500")
    properties = {each.get("name"): each.get("value") for each in link.iter("property")}
    assert properties["datasheet-sha256"] == "ab" * 32
    passed, failed = link.findall("testcase")
    assert (passed.get("classname"), passed.get("name")) == (
        "certify.link",
        "LNK-001 the title of LNK-001",
    )
    assert len(passed) == 0
    [failure] = failed
    assert (failure.tag, failure.get("message")) == ("failure", "it did not")
    assert failure.text is not None
    for word in ("Look at:   Answer.", "protocol 2.3, [C]", "01 04", "(holds a secret)"):
        assert word in failure.text
    [skipped] = root.iter("skipped")
    assert skipped.get("message") == "needs much"


@pytest.mark.parametrize(("state", "failures"), [(AS_BEFORE, "0"), (CHANGED, "1")])
def test_the_state_of_the_device_is_a_case_of_its_own(state: object, failures: str) -> None:
    root = parsed(report(record("LNK-001"), state=state))
    assert root[-1].get("failures") == root.get("failures") == failures
    if failures == "1":
        [failure] = root.iter("failure")
        assert failure.text == "changed counter write access: all -> none"
        assert failure.get("message") == "1 differences"


def test_a_device_that_cannot_be_read_afterwards_has_failed() -> None:
    state = replace(AS_BEFORE, failure="after the tests it cannot be read: gone")
    root = parsed(report(record("LNK-001"), state=state))
    [failure] = root.iter("failure")
    assert failure.get("message") == state.failure


def test_without_a_state_there_is_no_such_suite() -> None:
    root = parsed(report(record("LNK-001"), state=None))
    assert [suite.get("name") for suite in root] == ["umi certify link"]


def test_hostile_strings_stay_text() -> None:
    root = parsed(full(HOSTILE))
    assert not list(root.iter("script"))
    messages = [each.get("message") for each in root.iter("failure")]
    assert any("<script>alert(1)</script>\\u001b[31m\\u0000" in str(each) for each in messages)


def test_all_levels_and_no_failure() -> None:
    tests = [record(f"{prefix}-001") for prefix in ("LNK", "APP", "OBJ", "SEC", "IMG", "TIM")]
    root = parsed(report(*tests))
    assert (root.get("tests"), root.get("failures")) == ("7", "0")
    assert [each.verdict for each in tests] == [Verdict.PASSED] * 6
