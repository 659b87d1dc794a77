"""A report as JUnit XML, which the servers of continuous integration read."""

from xml.etree import ElementTree

from umi_cli.certify.report import MARKS, CaseRecord, RunReport, StateRecord, printable
from umi_cli.certify.run import Verdict

SUITE = "umi certify"
STATE_TITLE = "after the tests the device holds what it held before"
_SUMMED = ("tests", "failures", "errors", "skipped")
SHOWN_FRAMES = 20  # of a failure, the last ones; servers show the text in a small window


def to_junit(report: RunReport) -> bytes:
    """Return a report as a JUnit XML file: a suite for each level, a case for each test."""
    root = ElementTree.Element("testsuites", {"name": SUITE, "time": f"{report.duration_s:.3f}"})
    for level in report.totals:
        tests = tuple(each for each in report.tests if each.level is level)
        suite = _add(root, "testsuite", _counts(tests, f"{SUITE} {level}"))
        suite.set("timestamp", report.started)
        _add_properties(suite, report)
        for test in tests:
            _add_case(suite, test)
    if report.state is not None:
        _add_state(root, report.state)
    for name in _SUMMED:
        root.set(name, str(sum(int(suite.attrib[name]) for suite in root)))
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _counts(tests: tuple[CaseRecord, ...], name: str) -> dict[str, str]:
    return {
        "name": name,
        "tests": str(len(tests)),
        "failures": str(sum(each.verdict is Verdict.FAILED for each in tests)),
        "errors": "0",
        "skipped": str(sum(each.verdict is Verdict.LEFT_OUT for each in tests)),
        "time": f"{sum(each.duration_s for each in tests):.3f}",
    }


def _add(
    parent: ElementTree.Element, tag: str, attributes: dict[str, str], text: str = ""
) -> ElementTree.Element:
    """Add an element; XML has no form for most control characters, so they are spelled out."""
    clean = {name: printable(value) for name, value in attributes.items()}
    element = ElementTree.SubElement(parent, tag, clean)
    if text:
        element.text = "\n".join(map(printable, text.split("\n")))
    return element


def _add_properties(suite: ElementTree.Element, report: RunReport) -> None:
    values = {
        "port": report.port,
        "device": report.device.umi_id or "unknown",
        "datasheet": report.datasheet.name,
        "datasheet-sha256": report.datasheet.sha256,
        "version": report.version,
        "seed": str(report.seed),
    }
    properties = _add(suite, "properties", {})
    for name, value in values.items():
        _add(properties, "property", {"name": name, "value": value})


def _add_case(suite: ElementTree.Element, test: CaseRecord) -> None:
    element = _add(
        suite,
        "testcase",
        {
            "classname": f"certify.{test.level}",
            "name": f"{test.number} {test.title}",
            "time": f"{test.duration_s:.3f}",
        },
    )
    if test.verdict is Verdict.FAILED:
        _add(element, "failure", {"type": test.number, "message": test.message}, _words(test))
    elif test.verdict is Verdict.LEFT_OUT:
        _add(element, "skipped", {"message": test.message})


def _words(test: CaseRecord) -> str:
    """Return what whoever must mend the device wants to know."""
    lines = [
        f"It did:    {test.message}",
        f"Sent:      {test.sends}",
        f"Expected:  {test.expects}",
        f"Look at:   {test.advice}",
        f"Source:    protocol {test.clause}, {MARKS[test.mark]}",
    ]
    for frame in test.frames[-SHOWN_FRAMES:]:
        raw = "(holds a secret)" if frame.raw is None else frame.raw.hex(" ")
        lines += [f"{frame.at_s:8.3f} s {frame.direction:3} {raw}"]
        lines += [f"               {words}" for words in frame.words]
    return "\n".join(lines)


def _add_state(root: ElementTree.Element, state: StateRecord) -> None:
    """Add whether the device is as before, as a suite of one case."""
    is_failed = not state.is_as_before
    counts = {"tests": "1", "failures": str(int(is_failed)), "errors": "0", "skipped": "0"}
    suite = _add(root, "testsuite", {"name": f"{SUITE} state", **counts, "time": "0.000"})
    case = _add(suite, "testcase", {"classname": "certify.state", "name": STATE_TITLE})
    if is_failed:
        text = "\n".join(
            f"{each.kind} {each.object} {each.aspect}: {each.old} -> {each.new}"
            for each in state.changes
        )
        message = state.failure or f"{len(state.changes)} differences"
        _add(case, "failure", {"type": "state", "message": message}, text)
