"""What is kept of a run, so that it goes on where it was interrupted.

A file for each device and selection of tests: a line that says what the run is, then a line for
each test, on the disk before the next one begins. A line that a power cut tore is no line.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from umi_cli import files
from umi_cli.certify.evidence import Piece
from umi_cli.certify.run import Result, Verdict

SCHEMA = "umi-certify-run/1"
_DIRECTORY_MODE = 0o700
_WRONG = (ValueError, KeyError, TypeError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A run that was interrupted."""

    started: str
    """RFC 3339, UTC."""
    before: Mapping[str, Any] | None
    """The export of the device before the first test; None if it was not read."""
    results: Mapping[str, Result]
    """What came of the tests that have ended, by number."""


class RunJournal:
    """The state of one run on disk.

    Args:
        directory: where runs are kept; made if it is missing.
        identity: what makes a run the same one: device, tool, tests, seed, what is allowed.
    """

    def __init__(self, directory: Path, identity: Mapping[str, Any]) -> None:
        text = json.dumps(identity, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._path = directory / f"{identity.get('device') or 'unknown'}-{digest}.jsonl"
        self._identity = json.loads(text)

    def load(self) -> Kept | None:
        """Return how far the run came; None if there is none, or if its file is no use."""
        try:
            head, *lines = self._path.read_bytes().split(b"\n")
            record = json.loads(head)
            if record["schema"] != SCHEMA or record["identity"] != self._identity:
                return None
            started, before = str(record["started"]), record["before"]
        except (*_WRONG, OSError):
            return None
        results = {each.number: each for each in _results(lines)}
        return Kept(started=started, before=before, results=results)

    def begin(
        self, started: str, before: Mapping[str, Any] | None, results: Iterable[Result] = ()
    ) -> None:
        """Keep a run from now on, in place of an earlier one; `OSError` if the disk does not.

        Args:
            started: when it began.
            before: the export of the device before the first test.
            results: of tests that ended before it was interrupted.
        """
        head = {
            "schema": SCHEMA,
            "identity": self._identity,
            "started": started,
            "before": before,
        }
        lines = [_line(head), *(_line(_record(each)) for each in results)]
        self._path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        files.write_atomically(self._path, b"".join(lines), mode=files.PRIVATE_MODE)

    def keep(self, result: Result) -> None:
        """Keep what came of a test; `OSError` if the disk does not take it.

        One that found nobody there is not kept: the device may be back when the run goes on.
        """
        if not result.found_nobody:
            with files.growing_file(self._path) as file:
                file.append(_line(_record(result)))

    def forget(self) -> None:
        """Forget a run that has ended; if that fails, it can be run again."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _record(result: Result) -> dict[str, Any]:
    return {
        "number": result.number,
        "verdict": result.verdict.value,
        "message": result.message,
        "duration_s": result.duration_s,
        "pieces": [
            [each.at_s, each.direction, each.data.hex(), each.until_s] for each in result.pieces
        ],
        "pieces_left_out": result.pieces_left_out,
    }


def _results(lines: Iterable[bytes]) -> list[Result]:
    """Return the results of lines, up to the first that is torn."""
    found = []
    for line in lines:
        try:
            found.append(_result(json.loads(line)))
        except _WRONG:
            break
    return found


def _result(record: Mapping[str, Any]) -> Result:
    return Result(
        number=str(record["number"]),
        verdict=Verdict(record["verdict"]),
        message=str(record["message"]),
        duration_s=float(record["duration_s"]),
        pieces=tuple(_piece(*each) for each in record["pieces"]),
        pieces_left_out=int(record["pieces_left_out"]),
    )


def _piece(at_s: Any, direction: Any, data: Any, until_s: Any) -> Piece:
    if direction not in ("out", "in"):
        raise ValueError(f"{direction!r} is no direction")
    way = cast(Literal["out", "in"], direction)
    return Piece(float(at_s), way, bytes.fromhex(data), float(until_s))
