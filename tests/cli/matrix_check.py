"""How a run of `umi` must end, to the letter of the documented streams, JSON and exit codes."""

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from tests.cli.conftest import Outcome
from umi_cli import __version__

DOCUMENT = ("schema", "ok", "command", "data", "error", "warnings", "meta")
ERROR = ("code", "exit", "message", "hint")
META = {"version", "port", "device", "duration_ms"}
CODES = {
    *(0, 1, 2, 10, 11, 12, 14, 15, 16, 17, 20, 21, 22, 23, 24, 30, 31, 32, 33),
    *(40, 41, 42, 50, 51, 52, 53, 130, 141, 143),
}
JSON_INTEGER = 1 << 53
_NAME = re.compile(r"[a-z]+(-[a-z]+)*")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_LIKE_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")
_LIKE_HEX = re.compile(r"(?=.*[A-Fa-f])(?=.*\d)[0-9A-Fa-f]{8,}")
_UMI_ID = re.compile(r"[0-9A-F]{16}")


def check(outcome: Outcome, form: str, code: int, *, is_said: bool = False) -> None:
    """Make sure that a run ended as documented.

    Args:
        outcome: how it ended.
        form: `table`, `csv`, `raw`, `json` or `events`.
        code: the exit code that it must have.
        is_said: people are told something on stderr even where all goes well.
    """
    assert outcome.exit == code, (outcome.stdout, outcome.stderr)
    assert code in CODES
    assert "Traceback" not in outcome.stdout + outcome.stderr
    assert "\x1b" not in outcome.stdout + outcome.stderr
    if form in ("json", "events"):
        assert outcome.stderr == ""
        records = [json.loads(line) for line in outcome.stdout.splitlines()]
        assert outcome.stdout.endswith("\n")
        _check_events(records) if form == "events" else None
        assert form == "events" or len(records) == 1, records
        _check_document(records[-1], code)
        return
    _check_errors(outcome.stderr, code, is_said=is_said)
    if code == 0:
        _check_text(outcome.stdout, form)


def _check_events(records: list[dict[str, Any]]) -> None:
    assert [record["seq"] for record in records] == list(range(len(records)))
    for record in records:
        assert list(record)[:3] == ["type", "seq", "ts"]
        assert _NAME.fullmatch(record["type"])
        assert _TIME.fullmatch(record["ts"])
        _check_values(record)
    assert [record["type"] == "result" for record in records].index(True) == len(records) - 1
    result = records[-1]
    for name in ("type", "seq", "ts"):
        del result[name]
    assert result.pop("exit") == (result["error"] or {"exit": 0})["exit"]


def _check_document(document: dict[str, Any], code: int) -> None:
    assert tuple(document) == DOCUMENT
    assert document["schema"] == "umi/1"
    assert document["ok"] is (code == 0)
    assert isinstance(document["command"], str | None)
    assert all(isinstance(each, str) for each in document["warnings"])
    assert set(document["meta"]) == META
    assert document["meta"]["version"] == __version__
    assert isinstance(document["meta"]["duration_ms"], int)
    _check_values(document["data"])
    error = document["error"]
    if code == 0:
        assert error is None
        assert document["data"] is not None
        return
    assert tuple(error)[:4] == ERROR
    assert set(error) <= {*ERROR, "result"}
    assert error["exit"] == code
    assert _NAME.fullmatch(error["code"])
    assert error["message"]
    assert isinstance(error["hint"], str)
    if "result" in error:
        assert isinstance(error["result"]["number"], int)
        assert isinstance(error["result"]["name"], str)


def _check_values(data: object) -> None:
    """Make sure that times, hex, UMI IDs and long integers are as documented."""
    for value in _leaves(data):
        if isinstance(value, int):
            assert abs(value) <= JSON_INTEGER
        elif isinstance(value, str):
            assert not _LIKE_TIME.fullmatch(value) or _TIME.fullmatch(value), value
            is_hex = _LIKE_HEX.fullmatch(value)
            assert not is_hex or value.islower() or _UMI_ID.fullmatch(value), value


def _leaves(data: object) -> Iterator[object]:
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, list):
        for each in data:
            yield from _leaves(each)
    else:
        yield data


def _check_errors(stderr: str, code: int, *, is_said: bool) -> None:
    """Make sure that a failure ends in one sentence and a hint, and a success says nothing."""
    lines = stderr.splitlines()
    sentences = [line for line in lines if line.startswith("umi: ")]
    hints = [line for line in lines if line.startswith("hint: ")]
    if code == 0:
        assert (sentences, hints) == ([], [])
        assert is_said or not lines, lines
        return
    assert len(sentences) == 1, lines
    assert len(sentences[0]) > len("umi: ")
    assert lines[-1 - len(hints) :] == sentences + hints
    assert len(hints) <= 1


def _check_text(stdout: str, form: str) -> None:
    assert stdout.endswith("\n") or (form == "raw" and not stdout)
    if form == "csv":
        header, *rows = csv.reader(io.StringIO(stdout))
        assert all(len(row) == len(header) for row in rows)
        assert all(name == name.strip() and name for name in header)
    elif form == "raw":
        for line in stdout.splitlines():
            assert bytes.fromhex(line).hex() == line
    else:
        assert not stdout.startswith("{")
