"""A report as one page of HTML that needs nothing else: no script, no font, no network.

Device strings are hostile: every text goes through `_text`, and the page forbids itself whatever
could run or load.
"""

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import Any

from umi_cli.certify.case import Level
from umi_cli.certify.report import (
    MARKS,
    BaselineRecord,
    CaseRecord,
    RunReport,
    StateRecord,
    printable,
)
from umi_cli.certify.run import Verdict
from umi_cli.certify.words import FrameRecord

SHOWN_FRAMES = 40  # of a failure, the last ones; the JSON report has them all
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_WAYS = {"out": "we sent", "in": "it sent"}


def to_html(report: RunReport) -> str:
    """Return a report as a page: failures first, each explained to whoever must mend it."""
    parts = [
        _head(report),
        _identity(report),
        _contents(report),
        _failures(report),
        _baseline(report.baseline, {each.number for each in report.failed}),
        _state(report.state),
        _left_out(report),
        *(_level(report, level) for level in report.totals),
        _marks(),
    ]
    return "".join(parts) + "</body>\n</html>\n"


def _text(value: object) -> str:
    """Return text as a page may hold it, whatever is in it."""
    return escape(printable(str(value)))


def _style() -> str:
    return resources.files("umi_cli.certify").joinpath("page.css").read_text(encoding="utf-8")


def _head(report: RunReport) -> str:
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(_name_of(report))}: umi certify</title>\n"
        f"<style>\n{_style()}</style>\n</head>\n<body>\n"
        f"<h1>Compliance of {_text(_name_of(report))}</h1>\n{_verdict(report)}"
    )


def _name_of(report: RunReport) -> str:
    """Return what to call the device."""
    identity = report.device.manufacturer_id or {}
    words = [str(identity[key]) for key in ("manufacturer", "model", "serial") if key in identity]
    return " ".join(words) or report.device.umi_id or "an unknown device"


def _verdict(report: RunReport) -> str:
    word = "passed" if report.is_good else "failed"
    notes = [f"The run was stopped: {report.stopped}"] if report.stopped else []
    if report.baseline is not None:
        notes.append("Judged against the baseline: it fails if something is worse than there.")
    if report.state is not None and not report.state.is_as_before:
        notes.append("The device is not as it was before the tests.")
    more = "".join(f"<br>{_text(note)}" for note in notes)
    return (
        f'<p class="verdict {word}"><strong>{word.capitalize()}</strong>:'
        f" {_text(report.summary)}{more}</p>\n"
    )


def _identity(report: RunReport) -> str:
    identity = report.device.manufacturer_id or {}
    rows = {
        "UMI ID": report.device.umi_id or "it does not say",
        "Manufacturer ID": ", ".join(f"{name} {value}" for name, value in identity.items()),
        "Address": report.port,
        "Datasheet": f"{report.datasheet.name}, SHA-256 {report.datasheet.sha256}",
        "Tool": f"umi-cli {report.version}, a suite of {report.suite} tests",
        "Begun": f"{report.started}; the tests took {report.duration_s:.1f} s",
        "Levels": ", ".join(report.levels),
        "Only": ", ".join(report.only),
        "There and allowed": ", ".join(report.allowed) or "nothing beyond the device",
        "Seed": report.seed,
        "Patience": f"{report.answer_s:g} s for an answer, {report.quiet_s:g} s for a silence",
    }
    shown = {name: str(value) for name, value in rows.items()}
    return _pairs({name: f"<code>{_text(text)}</code>" for name, text in shown.items() if text})


def _pairs(rows: dict[str, str]) -> str:
    """Return names and values; the values are HTML already."""
    cells = "".join(f"<dt>{_text(name)}</dt><dd>{value}</dd>\n" for name, value in rows.items())
    return f"<dl>\n{cells}</dl>\n"


def _contents(report: RunReport) -> str:
    links = [("failures", "Failures")] if report.failed else []
    links += [("baseline", "Baseline")] if report.baseline else []
    links += [("state", "State of the device")] if report.state else []
    links += [("left-out", "Left out")] if report.left_out else []
    links += [(level.value, level.value.capitalize()) for level in report.totals]
    items = "".join(f'<li><a href="#{_text(at)}">{_text(name)}</a></li>' for at, name in links)
    rows = [
        [f'<a href="#{level}">{level}</a>', *(str(counts[verdict]) for verdict in Verdict)]
        for level, counts in report.totals.items()
    ]
    head = ["Level", *(verdict.words.capitalize() for verdict in Verdict)]
    counts = _table(head, rows, css="totals", counts=range(1, len(head)))
    return f"<nav><ul>{items}</ul></nav>\n{counts}"


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, css: str, counts: Iterable[int] = ()
) -> str:
    """Return a table; the cells are HTML already, those of some columns are numbers."""
    classes = [' class="count"' if column in set(counts) else "" for column in range(len(head))]
    titles = "".join(
        f"<th{kind}>{_text(each)}</th>" for kind, each in zip(classes, head, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{each}</td>" for kind, each in zip(classes, row, strict=True))
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll"><table class="{css}">\n<thead><tr>{titles}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>\n"
    )


def _failures(report: RunReport) -> str:
    if not report.failed:
        return ""
    items = "".join(
        f'<li><a href="#{_text(each.number)}"><span class="number">{_text(each.number)}</span></a>'
        f" {_text(each.title)}</li>\n"
        for each in report.failed
    )
    order = "Mend them in this order: what fails low down makes much above it fail as well."
    index = f'<p>{order}</p>\n<ul class="index">\n{items}</ul>\n' if len(report.failed) > 1 else ""
    return f'<h2 id="failures">Failures</h2>\n{index}' + "".join(map(_failure, report.failed))


def _failure(test: CaseRecord) -> str:
    rows = {
        "It did": f'<span class="did">{_text(test.message)}</span>',
        "Sent": _text(test.sends),
        "Expected": _text(test.expects),
        "Look at": _text(test.advice),
    }
    return (
        f'<article id="{_text(test.number)}">\n'
        f'<h3><span class="number">{_text(test.number)}</span> {_text(test.title)}</h3>\n'
        f'<p><span class="badge">protocol {_text(test.clause)}</span>'
        f' <span class="badge" title="{_text(MARKS[test.mark])}">[{_text(test.mark)}]</span></p>\n'
        f"{_pairs(rows)}{_frames(test)}</article>\n"
    )


def _frames(test: CaseRecord) -> str:
    if not test.frames:
        return ""
    shown = test.frames[-SHOWN_FRAMES:]
    before = len(test.frames) - len(shown) + test.frames_left_out
    note = f'<p class="dim">{before} more came before these.</p>\n' if before else ""
    rows = "".join(map(_frame, shown))
    return (
        f"<details><summary>What crossed the line: {len(shown)} pieces</summary>\n{note}"
        f'<table class="frames"><tbody>\n{rows}</tbody></table>\n</details>\n'
    )


def _frame(frame: FrameRecord) -> str:
    raw = (
        f"{frame.length_bytes} bytes with a secret in them"
        if frame.raw is None
        else frame.raw.hex(" ")
    )
    lines = "".join(
        f"<li{' class=wrong' if 'WRONG' in line else ''}>{_text(line)}</li>" for line in frame.words
    )
    return (
        f'<tr><td class="way">{frame.at_s:.3f} s</td><td class="way">{_WAYS[frame.direction]}</td>'
        f'<td class="raw">{_text(raw)}<ul>{lines}</ul></td></tr>\n'
    )


def _baseline(baseline: BaselineRecord | None, failed: set[str]) -> str:
    if baseline is None:
        return ""
    about = f"{baseline.file}, begun {baseline.started}, umi-cli {baseline.version}"
    rows = {"Compared with": _text(about), "Its device": _text(baseline.device or "unknown")}
    for name, numbers in baseline.lists.items():
        links = [
            f'<a href="#{_text(each)}">{_text(each)}</a>' if each in failed else _text(each)
            for each in numbers
        ]
        rows[f"{name} ({len(numbers)})"] = " ".join(links) or "none"
    return f'<h2 id="baseline">Compared with the baseline</h2>\n{_pairs(rows)}'


def _state(state: StateRecord | None) -> str:
    if state is None:
        return ""
    if state.failure:
        said = f"Nobody can tell whether the device is as before: {state.failure}"
    elif state.changes:
        said = f"{len(state.changes)} of what it holds differ" + (
            "; what cannot be undone was allowed." if state.is_explained else "."
        )
    else:
        said = "The device holds what it held before the tests."
    head = ("Change", "Object", "Of it", "Before", "After")
    rows = [
        [_text(each.kind), _text(each.object), _text(each.aspect), _text(each.old), _text(each.new)]
        for each in state.changes
    ]
    about = (
        f"{state.objects} objects were compared, read as {state.role};"
        f" {state.volatile} differences that come by themselves are left out."
    )
    return (
        f'<h2 id="state">State of the device</h2>\n<p>{_text(said)}</p>\n'
        f'<p class="dim">{_text(about)}</p>\n' + (_table(head, rows, css="state") if rows else "")
    )


def _left_out(report: RunReport) -> str:
    if not report.left_out:
        return ""
    rows = [
        [_text(reason), str(len(numbers)), f"<code>{_text(' '.join(numbers))}</code>"]
        for reason, numbers in report.left_out.items()
    ]
    return '<h2 id="left-out">Left out</h2>\n' + _table(
        ("Why", "Tests", "Which"), rows, css="reasons", counts=[1]
    )


def _level(report: RunReport, level: Level) -> str:
    tests = [each for each in report.tests if each.level is level]
    rows = "".join(map(_row, tests))
    columns: list[Any] = ["Test", "Result", "What must hold"]
    titles = "".join(f"<th>{each}</th>" for each in columns)
    titles += '<th class="optional">Clause</th><th class="optional">Mark</th>'
    filters = _filters() if level is next(iter(report.totals)) else ""
    return (
        f'{filters}<h2 id="{level}">{level.value.capitalize()}</h2>\n'
        f'<table class="tests">\n<thead><tr>{titles}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table>\n"
    )


def _filters() -> str:
    boxes = "".join(
        f'<label><input type="checkbox" id="show-{verdict}" checked> {verdict.words}</label>'
        for verdict in Verdict
    )
    return f'<h2>All tests</h2>\n<div class="filter">Show: {boxes}</div>\n'


def _row(test: CaseRecord) -> str:
    number = f'<span class="number">{_text(test.number)}</span>'
    if test.verdict is Verdict.FAILED:
        number = f'<a href="#{_text(test.number)}">{number}</a>'
    reason = f'<br><span class="dim">{_text(test.message)}</span>' if test.message else ""
    return (
        f'<tr class="{test.verdict}"><td>{number}</td>'
        f'<td class="{test.verdict}">{test.verdict.words}</td>'
        f"<td>{_text(test.title)}{reason}</td>"
        f'<td class="optional">{_text(test.clause)}</td>'
        f'<td class="optional">[{_text(test.mark)}]</td></tr>\n'
    )


def _marks() -> str:
    notes = "".join(f"<p>{_text(each)}</p>\n" for each in MARKS.values())
    again = "Run one of them alone with umi certify --only NUMBER; read what it is about with"
    return (
        f"<h2>Where the demands come from</h2>\n{notes}"
        f'<p class="dim">{_text(again)} <code>umi certify --explain NUMBER</code>.</p>\n'
    )
