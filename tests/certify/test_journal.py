"""What is kept of a run: round trips, torn lines, other runs, a full disk."""

import stat
from pathlib import Path
from typing import Any

import pytest

from umi_cli.certify.evidence import Piece
from umi_cli.certify.journal import RunJournal
from umi_cli.certify.run import Result, Verdict

IDENTITY: dict[str, Any] = {"device": "00237EFE00000001", "seed": 0, "tests": ["LNK-001"]}
STARTED = "2026-11-22T10:00:00Z"
BEFORE = {"schema": "umi-export/1", "objects": []}
FAILED = Result(
    number="LNK-001",
    verdict=Verdict.FAILED,
    message='it said "Größe"\n\x00',
    duration_s=1.25,
    pieces=(Piece(0.0, "out", b"\x01\x04", 0.0), Piece(0.5, "in", bytes(range(256)), 0.75)),
    pieces_left_out=3,
)
PASSED = Result(number="LNK-002", verdict=Verdict.PASSED)
NOBODY = Result(
    number="LNK-003",
    verdict=Verdict.FAILED,
    message="before the test, the device did not answer a RESYNC: no answer",
)


@pytest.fixture
def journal(tmp_path: Path) -> RunJournal:
    return RunJournal(tmp_path / "state" / "certify", IDENTITY)


def file_of(tmp_path: Path) -> Path:
    [path] = (tmp_path / "state" / "certify").iterdir()
    return path


def test_nothing_is_kept_at_first(journal: RunJournal) -> None:
    assert journal.load() is None
    journal.forget()


def test_what_was_kept_comes_back(journal: RunJournal, tmp_path: Path) -> None:
    journal.begin(STARTED, BEFORE)
    journal.keep(FAILED)
    journal.keep(PASSED)
    kept = journal.load()
    assert kept is not None
    assert (kept.started, kept.before) == (STARTED, BEFORE)
    assert list(kept.results.values()) == [FAILED, PASSED]
    assert stat.S_IMODE(file_of(tmp_path).stat().st_mode) == 0o600
    journal.forget()
    assert journal.load() is None


def test_a_test_that_found_nobody_is_run_again(journal: RunJournal) -> None:
    journal.begin(STARTED, None)
    journal.keep(PASSED)
    journal.keep(NOBODY)
    kept = journal.load()
    assert kept is not None
    assert list(kept.results) == ["LNK-002"]


def test_a_new_run_takes_the_place_of_the_old(journal: RunJournal) -> None:
    journal.begin(STARTED, BEFORE)
    journal.keep(FAILED)
    journal.begin("2026-11-23T10:00:00Z", None)
    kept = journal.load()
    assert kept is not None
    assert (kept.started, kept.before, kept.results) == ("2026-11-23T10:00:00Z", None, {})


def test_another_run_is_another_file(journal: RunJournal, tmp_path: Path) -> None:
    journal.begin(STARTED, None)
    changes: tuple[dict[str, Any], ...] = ({"seed": 1}, {"device": None}, {"tests": []})
    for change in changes:
        other = RunJournal(tmp_path / "state" / "certify", {**IDENTITY, **change})
        assert other.load() is None


@pytest.mark.parametrize("cut", [1, 2, 30, 100, 300, 600])
def test_a_line_that_was_torn_is_no_line(journal: RunJournal, tmp_path: Path, cut: int) -> None:
    """And a run that goes on behind it keeps all that comes."""
    journal.begin(STARTED, None)
    journal.keep(PASSED)
    path = file_of(tmp_path)
    whole = path.read_bytes()
    journal.keep(FAILED)
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    kept = journal.load()
    assert kept is not None
    assert kept.results["LNK-002"] == PASSED
    journal.begin(kept.started, kept.before, kept.results.values())
    journal.keep(FAILED)
    again = journal.load()
    assert again is not None
    assert list(again.results.values()) == [PASSED, FAILED]


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\n", b"{}\n", b"\xff", b'{"schema":1}\n'])
def test_a_file_that_is_no_use_is_none(journal: RunJournal, tmp_path: Path, content: bytes) -> None:
    journal.begin(STARTED, None)
    file_of(tmp_path).write_bytes(content)
    assert journal.load() is None


@pytest.mark.parametrize(
    "line",
    [b"[]", b"{}", b'{"number":"LNK-001","verdict":"maybe"}', b"null", b'"x"', b"1e999"],
)
def test_a_line_that_is_no_result_ends_what_is_kept(
    journal: RunJournal, tmp_path: Path, line: bytes
) -> None:
    journal.begin(STARTED, None)
    journal.keep(PASSED)
    with file_of(tmp_path).open("ab") as file:
        file.write(line + b"\n")
    journal.keep(FAILED)
    kept = journal.load()
    assert kept is not None
    assert list(kept.results.values()) == [PASSED]


def test_a_place_that_takes_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no directory")
    with pytest.raises(OSError, match="state"):
        RunJournal(tmp_path / "state" / "certify", IDENTITY).begin(STARTED, None)
