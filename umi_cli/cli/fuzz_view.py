"""How a fuzz run and its failures look on a terminal."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from umi_cli.certify.fuzz_report import lines_of
from umi_cli.output import streams
from umi_cli.output.render import Table, View

if TYPE_CHECKING:
    from umi_cli.certify.fuzz_run import FuzzOutcome

COLUMNS = ("case", "trouble", "base", "message", "failed_again", "bytes")
SHOWN_FRAMES = 4  # of a failure, the first ones, for they are the case; --out has all


def pace(outcome: "FuzzOutcome") -> str:
    """Return how far a run without a known end is."""
    return (
        f"fuzz {outcome.cases} cases, {outcome.rate:.0f}/s, {outcome.failed_cases} of them failed"
    )


def say_failure(record: Mapping[str, Any]) -> None:
    """Say on stderr that a case failed, as soon as it is known."""
    line = lines_of(record)[0].removeprefix("FAILED ")
    streams.say(streams.paint("FAILED ", "red", sys.stderr) + line)


def view_of(data: Mapping[str, Any]) -> View:
    """Return a run for people: how much, how fast, what failed."""
    blocks: list[Table | str] = [Table.pairs(_summary(data))]
    for record in data["failures"]:
        blocks.append("\n".join([*lines_of(record), *_frames(record)]))
    return View(blocks=blocks, csv=Table(columns=COLUMNS, rows=map(_row, data["failures"])))


def _summary(data: Mapping[str, Any]) -> dict[str, object]:
    layers = ", ".join(f"{count} {layer}" for layer, count in data["layers"].items())
    left_out = ", ".join(f"{layer} ({why})" for layer, why in data["left_out"].items())
    rows = {
        "cases": f"{data['cases']} in {data['duration_s']:.1f} s, {data['cases_per_s']:.0f}/s",
        "layers": layers or "none",
        "left out": left_out,
        "seed": data["seed"],
        "without an answer": f"{data['unanswered']} packets" if data["unanswered"] else "",
        "failed": f"{data['failed_cases']} of them" if data["failures"] else "none",
        "stopped": data["stopped"] or "",
    }
    return {name: text for name, text in rows.items() if text != ""}


def _frames(record: Mapping[str, Any]) -> list[str]:
    lines = []
    for frame in record["frames"][:SHOWN_FRAMES]:
        words = frame["words"]
        lines.append(f"  {frame['at_s']:7.3f} s {frame['direction']:3} {words[0]}")
        lines += [f"                {line}" for line in words[1:]]
    return lines


def _row(record: Mapping[str, Any]) -> tuple[object, ...]:
    failure = record["failure"]
    return (
        record["case"],
        failure["trouble"],
        record["base"],
        failure["message"],
        failure["failed_again"],
        sum(len(piece) // 2 for piece in record["pieces"]),
    )
