"""`umi fuzz --as-meter`: a meter that spoils what it sends, against this toolkit."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umi_cli.cli import fuzz_files
from umi_cli.cli.orders import Terminated
from umi_cli.errors import InputError, SomeFailedError
from umi_cli.output.render import Table, View

if TYPE_CHECKING:
    from umi_cli.cli.context import App
    from umi_cli.cli.fuzz import Wishes
    from umi_cli.reader_fuzz import ReaderOutcome

EVENT_EVERY = 1000  # cases
MAX_DIGITS = 12  # of the number of a case
SHOWN = 20  # violations


def fuzz_toolkit(app: "App", wishes: "Wishes") -> None:
    """Run operations of this toolkit against a meter in this process.

    Raises:
        SomeFailedError: something did not hold.
        KeyboardInterrupt, Terminated: the user has ended it.
    """
    from umi_cli.cli.fuzz import DEFAULT_CASES
    from umi_cli.reader_fuzz import ReaderFuzz

    first, cases = 0, wishes.cases
    if wishes.replay is not None:
        first, cases = _number(wishes.replay), 1
    elif wishes.cases is None and wishes.for_s is None:
        cases = DEFAULT_CASES
    is_quiet = cases is None or app.report.form == "events"
    progress = None if is_quiet else app.progress("fuzz", cases or 0, "cases")

    def after(outcome: "ReaderOutcome") -> None:
        if progress is not None:
            progress.update(outcome.cases)
        if outcome.cases % EVENT_EVERY == 0:
            rate = round(outcome.rate, 1)
            app.event("cases", cases=outcome.cases, cases_per_s=rate)

    fuzz = ReaderFuzz(wishes.seed, time.monotonic, after=after)
    try:
        fuzz.run(first, cases, wishes.for_s)
    except (KeyboardInterrupt, Terminated):
        _tell(app, wishes, fuzz.outcome)
        raise
    finally:
        if progress is not None:
            progress.finish()
    _tell(app, wishes, fuzz.outcome)
    if violations := fuzz.outcome.violations:
        number = violations[0].number
        raise SomeFailedError(
            f"{len({each.number for each in violations})} of {fuzz.outcome.cases} cases failed",
            hint=f"umi fuzz --as-meter --seed {wishes.seed} --replay {number}",
        )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise InputError(f"{text!r:.40} is no number of a case", hint="write --replay 123")
    return int(text)


def _tell(app: "App", wishes: "Wishes", outcome: "ReaderOutcome") -> None:
    data = {
        "seed": outcome.seed,
        "cases": outcome.cases,
        "duration_s": round(outcome.duration_s, 3),
        "cases_per_s": round(outcome.rate, 1),
        "spoilt": dict(sorted(outcome.spoilt.items())),
        "ended": dict(sorted(outcome.ended.items())),
        "last_case": outcome.under_way,
        "violations": [
            {"case": each.number, "title": each.title, "message": each.message}
            for each in outcome.violations
        ],
    }
    if wishes.out is not None:
        fuzz_files.write_json(Path(wishes.out), data)
    app.emit(data, _view(data))


def _view(data: dict[str, Any]) -> View:
    rows = {
        "cases": f"{data['cases']} in {data['duration_s']:.1f} s, {data['cases_per_s']:.0f}/s",
        "spoilt": counted(data["spoilt"]),
        "ended": counted(data["ended"]),
        "seed": data["seed"],
        "violations": len(data["violations"]) or "none",
    }
    blocks: list[Table | str] = [Table.pairs(rows)]
    blocks += [
        f"FAILED case {each['case']} ({each['title']}): {each['message']}"
        for each in data["violations"][:SHOWN]
    ]
    columns = ("case", "title", "message")
    violations = ([each[name] for name in columns] for each in data["violations"])
    return View(blocks=blocks, csv=Table(columns=columns, rows=violations))


def counted(counts: Mapping[str, int]) -> str:
    """Return counts in words."""
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
