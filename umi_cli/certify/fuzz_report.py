"""What is told of a failure: for a program, and for whoever must mend the device."""

from collections.abc import Mapping
from typing import Any

from umi_cli.certify.fuzz_case import Carrier, FuzzCase
from umi_cli.certify.fuzz_run import Found, FuzzOutcome
from umi_cli.certify.report import printable
from umi_cli.certify.words import in_words
from umi_cli.objects.catalogue import Catalogue

MAX_CHANGES = 6  # bytes that are named one by one
MAX_SHOWN_BYTES = 64  # of a piece
_CARRIED = {
    Carrier.FRAMES: "on the line",
    Carrier.PACKETS: "a packet",
    Carrier.SEALED: "sealed, behind the envelope",
}


def record_of(found: Found, catalogue: Catalogue) -> dict[str, Any]:
    """Return all that is known of a failure; with it a corpus file is made, too."""
    return {
        **found.case.record,
        "failure": {
            "trouble": found.trouble.value,
            "message": printable(found.message),
            "came_back": found.came_back or None,
            "is_gone": found.is_gone,
            "failed_again": found.failed_again,
            "repeats": found.repeats,
            "smaller_tried": found.tries,
        },
        "first": [piece.hex() for piece in found.first.pieces],
        "differs": difference(found.first),
        "frames": [
            {
                "at_s": round(frame.at_s, 3),
                "direction": frame.direction,
                "raw": None if frame.raw is None else frame.raw.hex(),
                "words": [printable(line) for line in frame.words],
            }
            for frame in in_words(found.pieces, catalogue)
        ],
    }


def document_of(
    outcome: FuzzOutcome, failures: list[dict[str, Any]], seed: int, left_out: Mapping[str, str]
) -> dict[str, Any]:
    """Return a run as plain JSON.

    Args:
        outcome: what came of it.
        failures: the records of its failures.
        seed: of its cases.
        left_out: why, by layer.
    """
    return {
        "seed": seed,
        "cases": outcome.cases,
        "layers": dict(outcome.layers),
        "left_out": dict(left_out),
        "duration_s": round(outcome.duration_s, 3),
        "cases_per_s": round(outcome.rate, 1),
        "unanswered": outcome.unanswered,
        "failed_cases": outcome.failed_cases,
        "stopped": outcome.stopped or None,
        "last_case": outcome.under_way or None,
        "failures": failures,
    }


def lines_of(record: Mapping[str, Any]) -> list[str]:
    """Return a failure in words, a line each."""
    failure = record["failure"]
    lines = [
        f"FAILED {record['case']} ({failure['trouble']}): it {failure['message']}",
        f"  exchange  {record['base']}",
        *(f"  sent      {line}" for line in _sent(record)),
        f"  at first  differing from the valid exchange: {record['differs']}",
        f"  again     {_again(failure)}",
    ]
    if failure["came_back"]:
        verb = "it did not" if failure["is_gone"] else "it came back"
        lines.append(f"  after it  {verb}: {failure['came_back']}")
    if record.get("file"):
        lines.append(f"  kept in   {record['file']}")
    return lines


def _sent(record: Mapping[str, Any]) -> list[str]:
    carried = _CARRIED[Carrier(record["carrier"])]
    return [_shown(bytes.fromhex(piece), carried) for piece in record["pieces"]]


def _shown(piece: bytes, carried: str) -> str:
    text = piece[:MAX_SHOWN_BYTES].hex() + ("…" if len(piece) > MAX_SHOWN_BYTES else "")
    return f"{text} ({len(piece)} bytes, {carried})"


def _again(failure: Mapping[str, Any]) -> str:
    text = "it failed each time" if failure["failed_again"] else "it did not fail again"
    if failure["is_gone"]:
        text = "it could not be sent again"
    if failure["smaller_tried"]:
        text += f"; {failure['smaller_tried']} smaller cases were tried"
    if failure["repeats"]:
        text += f"; {failure['repeats']} later cases failed in the same way"
    return text


def difference(case: FuzzCase) -> str:
    """Return in words what tells a case from the valid exchange."""
    if case.patch is not None:
        return f"at byte {case.patch.at} of the sealed packet: {_patch_words(case)}"
    if len(case.pieces) != len(case.valid):
        return f"{_count(len(case.pieces), 'piece')} in place of {len(case.valid)}"
    changes: list[str] = []
    for number, (piece, valid) in enumerate(zip(case.pieces, case.valid, strict=True), start=1):
        of_piece = f"piece {number}, " if len(case.pieces) > 1 else ""
        changes += [f"{of_piece}{text}" for text in _changes(piece, valid)]
    if len(changes) > MAX_CHANGES:
        return f"{', '.join(changes[:MAX_CHANGES])} and {len(changes) - MAX_CHANGES} more"
    return ", ".join(changes) or "in nothing"


def _changes(piece: bytes, valid: bytes) -> list[str]:
    if len(piece) != len(valid):
        return [f"{_count(len(piece), 'byte')} in place of {len(valid)}"]
    pairs = enumerate(zip(piece, valid, strict=True))
    return [f"byte {at}: {new:02x} for {old:02x}" for at, (new, old) in pairs if new != old]


def _patch_words(case: FuzzCase) -> str:
    patch = case.patch
    assert patch is not None  # noqa: S101 - the caller has looked
    if patch.flip:
        return f"bits {patch.flip:02x} turned over"
    if patch.insert:
        return f"{_count(len(patch.insert), 'byte')} inserted"
    return f"{_count(patch.remove_bytes, 'byte')} left out"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
