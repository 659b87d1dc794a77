"""How tests and a report of `umi certify` look on a terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from umi_cli.certify.case import Case
from umi_cli.certify.report import MARKS, printable
from umi_cli.certify.run import Result, Verdict
from umi_cli.output.render import Table, View

if TYPE_CHECKING:
    from umi_cli.certify.reader_case import ReaderCase
    from umi_cli.certify.report import BaselineRecord, CaseRecord, RunReport, StateRecord

LIST_COLUMNS = ("number", "level", "mark", "clause", "title", "task", "needs")
CSV_COLUMNS = ("number", "level", "verdict", "mark", "clause", "title", "message", "duration_s")
SHOWN_FRAMES = 4  # of a failure, the last ones; --html and --out have more
SHOWN_CHANGES = 20


def list_of(cases: "Sequence[Case | ReaderCase]") -> tuple[list[dict[str, Any]], View]:
    """Return what tests or scenarios there are, as data and for people."""
    records = [_record_of(each) for each in cases]
    columns = tuple(name for name in LIST_COLUMNS if name in records[0])
    rows = [[record[name] or "" for name in columns] for record in records]
    return records, View(blocks=(Table(columns=columns, rows=rows),))


def explanation_of(case: "Case | ReaderCase") -> tuple[dict[str, Any], View]:
    """Return all that a test or a scenario is, as data and for people."""
    rows = {
        "must hold": case.title,
        **_doing(case),
        "look at": case.advice,
        "source": f"protocol {case.clause}, {MARKS[case.mark]}",
        "needs": _needs(case),
    }
    return _record_of(case), View(blocks=(f"{case.number}, level {case.level}", Table.pairs(rows)))


def _doing(case: "Case | ReaderCase") -> dict[str, str]:
    """Return what is done and expected."""
    if isinstance(case, Case):
        return {"sends": case.sends, "expects": case.expects}
    return {
        "the meter": f"sends {case.sends}",
        "expects": case.expects,
        "have it": case.task.words,
    }


def _needs(case: "Case | ReaderCase") -> str:
    if isinstance(case, Case):
        needs = ", ".join(f"{need} ({need.option})" for need in sorted(case.needs))
        return needs or "nothing beyond a device that answers"
    return case.wants or "nothing beyond a reader that calls"


def _record_of(case: "Case | ReaderCase") -> dict[str, Any]:
    own = {} if isinstance(case, Case) else {"task": case.task.value}
    return {
        "number": case.number,
        "title": case.title,
        "level": case.level.value,
        "clause": case.clause,
        "mark": case.mark,
        "sends": case.sends,
        "expects": case.expects,
        "advice": case.advice,
        **own,
        "needs": sorted(case.needs),
    }


def event_of(case: "Case | ReaderCase", result: Result) -> dict[str, Any]:
    """Return the fields of the event that tells what came of a test or a scenario."""
    return {
        "number": result.number,
        "title": case.title,
        "level": case.level.value,
        "verdict": result.verdict.value,
        "message": result.message,
        "duration_s": round(result.duration_s, 3),
    }


def view_of(report: "RunReport") -> View:
    """Return a report for people: who, how much, what failed and why."""
    rows = (
        (
            each.number,
            each.level.value,
            each.verdict.value,
            each.mark,
            each.clause,
            each.title,
            printable(each.message),
            each.duration_s,
        )
        for each in report.tests
    )
    return View(blocks=_blocks(report), csv=Table(columns=CSV_COLUMNS, rows=rows))


def _blocks(report: "RunReport") -> Iterator[Table | str]:
    yield Table.pairs(_identity(report))
    yield _totals(report)
    if measured := [each for each in report.of_verdict(Verdict.PASSED) if each.message]:
        rows = {each.number: printable(each.message) for each in measured}
        yield Table.pairs(rows, title="measured")
    if report.left_out:
        counts = {reason: len(numbers) for reason, numbers in report.left_out.items()}
        rows_left_out = [(count, printable(reason)) for reason, count in counts.items()]
        yield Table(columns=("left out", "why"), rows=rows_left_out)
    for test in report.failed:
        yield _failure(test)
    if report.failed:
        yield "\n".join(MARKS[mark] for mark in sorted({each.mark for each in report.failed}))
    if report.state is not None:
        yield from _state(report.state)
    if report.baseline is not None:
        yield _baseline(report.baseline)
    if report.stopped:
        yield f"the run was stopped: {printable(report.stopped)}"


def _identity(report: "RunReport") -> dict[str, object]:
    identity = report.device.manufacturer_id or {}
    return {
        "device": report.device.umi_id or "it does not say",
        "manufacturer ID": printable(" ".join(map(str, identity.values()))) or "it does not say",
        "address": report.port,
        "datasheet": f"{report.datasheet.name}, SHA-256 {report.datasheet.sha256}",
        "tool": f"umi-cli {report.version}, seed {report.seed}",
        "there and allowed": ", ".join(report.allowed) or "nothing beyond the device",
    }


def _totals(report: "RunReport") -> Table:
    rows = [
        [level.value, *(counts[verdict] for verdict in Verdict)]
        for level, counts in report.totals.items()
    ]
    if len(rows) > 1:
        rows.append(["all", *(len(report.of_verdict(verdict)) for verdict in Verdict)])
    return Table(columns=("level", *(verdict.words for verdict in Verdict)), rows=rows)


def failure_line(test: "CaseRecord") -> str:
    """Return a failure on one line, for when it comes."""
    return printable(f"{test.number} {test.title}: {test.message}")


def _failure(test: "CaseRecord") -> str:
    """Return a failure, explained to whoever must mend the device."""
    rows = {
        "it did": test.message,
        "sent": test.sends,
        "expected": test.expects,
        "look at": test.advice,
        "source": f"protocol {test.clause} [{test.mark}]",
    }
    lines = [f"FAILED {test.number} {test.title}"]
    lines += [f"  {name:9} {text}" for name, text in rows.items()]
    for frame in test.frames[-SHOWN_FRAMES:]:
        lines.append(f"  {frame.at_s:7.3f} s {frame.direction:3} {frame.words[0]}")
        lines += [f"                {words}" for words in frame.words[1:]]
    return "\n".join(map(printable, lines))


def _state(state: "StateRecord") -> Iterator[Table | str]:
    if state.failure:
        yield f"state: {printable(state.failure)}"
    elif not state.changes:
        yield f"state: as before, in {state.objects} objects read as {state.role}"
    else:
        allowed = ", which --destructive allows" if state.is_explained else ""
        yield f"state: {len(state.changes)} differences{allowed}"
        columns = ("change", "object", "of it", "before", "after")
        cells = (
            (each.kind, each.object, each.aspect, each.old, each.new) for each in state.changes
        )
        rows = [[printable(cell) for cell in row] for row in cells]
        yield Table(columns=columns, rows=rows[:SHOWN_CHANGES])


def _baseline(baseline: "BaselineRecord") -> Table:
    rows = {name: printable(", ".join(numbers)) for name, numbers in baseline.lists.items()}
    shown = {name: text for name, text in rows.items() if text} or {"newly failing": "none"}
    return Table.pairs(
        shown, title=f"compared with {baseline.file} of {printable(baseline.started)}"
    )


def plan_of(
    cases: "Iterable[Case]", reasons: Mapping[str, str]
) -> tuple[list[dict[str, Any]], View]:
    """Return what a run would do, as data and for people.

    Args:
        cases: what is chosen.
        reasons: by number, why a test would be left out.
    """
    records = [
        {"number": each.number, "title": each.title, "left_out": reasons.get(each.number) or None}
        for each in cases
    ]
    rows = [
        [record["number"], record["title"], record["left_out"] or "would be run"]
        for record in records
    ]
    return records, View(blocks=(Table(columns=("number", "title", "what"), rows=rows),))
