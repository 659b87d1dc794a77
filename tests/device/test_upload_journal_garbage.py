"""The journal of an upload: what it gives back, what it does not believe, and how it is written."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from umi_cli.device.upload_journal import (
    UploadJournal,
    learn_block_bytes,
    learned_block_bytes,
)
from umi_cli.images.upload import MAX_BLOCK_BYTES, MIN_BLOCK_BYTES, UploadState
from umi_cli.types import UmiId

DEVICE, OTHER_DEVICE = UmiId(0x0023_7EFE_0000_0001), UmiId(0x0023_7EFE_0000_0002)
SHA256, OTHER_SHA256 = bytes(range(32)), bytes(range(1, 33))
LENGTH_BYTES = 1000
STATE = UploadState(block_bytes=400, next_number=2)
untimed = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50
)


def journal_in(
    directory: Path,
    device: UmiId = DEVICE,
    sha256: bytes = SHA256,
    length_bytes: int = LENGTH_BYTES,
) -> UploadJournal:
    return UploadJournal(directory, device, sha256, length_bytes)


def file_in(directory: Path) -> Path:
    """Return the only file of the journal."""
    (path,) = [each for each in directory.iterdir() if each.name != "blocks.json"]
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_kept_is_given_back(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    assert journal.load() is None
    for state in (STATE, UploadState(block_bytes=16, next_number=9)):
        journal.keep(state)
        assert journal_in(tmp_path).load() == state
    assert len(list(tmp_path.iterdir())) == 1


def test_what_has_ended_is_forgotten(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.keep(STATE)
    journal.forget()
    assert journal.load() is None
    assert list(tmp_path.iterdir()) == []
    journal.forget()


def test_why_an_older_version_was_sent_is_kept(tmp_path: Path) -> None:
    journal_in(tmp_path).keep(STATE, "the new one rings")
    record = json.loads(file_in(tmp_path).read_text())
    assert record["downgrade_reason"] == "the new one rings"
    assert record["schema"] == "umi-upload/1"
    assert journal_in(tmp_path).load() == STATE


def test_each_device_and_each_package_has_its_own(tmp_path: Path) -> None:
    journal_in(tmp_path).keep(STATE)
    for other in (
        journal_in(tmp_path, device=OTHER_DEVICE),
        journal_in(tmp_path, sha256=OTHER_SHA256),
        journal_in(tmp_path, length_bytes=999),
    ):
        assert other.load() is None
    journal_in(tmp_path, device=OTHER_DEVICE).keep(UploadState(block_bytes=50))
    assert journal_in(tmp_path).load() == STATE


def renamed(directory: Path) -> None:
    """Put a journal where another one is looked for."""
    path = file_in(directory)
    path.rename(directory / path.name.replace(str(DEVICE), str(OTHER_DEVICE)))


def test_a_file_of_another_device_or_package_is_not_believed(tmp_path: Path) -> None:
    """Its name is not all: a hash of the same beginning, or a file that was copied."""
    journal_in(tmp_path).keep(STATE)
    renamed(tmp_path)
    assert journal_in(tmp_path, device=OTHER_DEVICE).load() is None
    twin = SHA256[:16] + bytes(16)
    assert file_in(tmp_path).name.endswith(f"-{twin.hex()[:32]}.json")
    assert journal_in(tmp_path, device=OTHER_DEVICE, sha256=twin).load() is None


GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "cut off": b'{"schema": "umi-upload/1", "device',
    "no text": b"\xff\xfe\x00",
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "nothing in it": b"{}",
    "very deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_garbage_file_is_no_use_and_is_written_over(name: str, tmp_path: Path) -> None:
    journal_in(tmp_path).keep(STATE)
    file_in(tmp_path).write_bytes(GARBAGE[name])
    assert journal_in(tmp_path).load() is None
    journal_in(tmp_path).keep(STATE)
    assert journal_in(tmp_path).load() == STATE


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "umi-upload/2"},
        {"device": str(OTHER_DEVICE)},
        {"sha256": OTHER_SHA256.hex()},
        {"length_bytes": LENGTH_BYTES + 1},
        {"block_bytes": MIN_BLOCK_BYTES - 1},
        {"block_bytes": MAX_BLOCK_BYTES + 1},
        {"block_bytes": 0},
        {"block_bytes": "many"},
        {"block_bytes": None},
        {"block_bytes": float("inf")},
        {"next_number": -1},
        {"next_number": [2]},
    ],
    ids=str,
)
def test_a_record_that_cannot_be_is_not_believed(changes: dict[str, Any], tmp_path: Path) -> None:
    journal_in(tmp_path).keep(STATE)
    path = file_in(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert journal_in(tmp_path).load() is None


@given(st.binary(max_size=200))
@untimed
def test_no_content_makes_it_fail(tmp_path: Path, content: bytes) -> None:
    journal_in(tmp_path).keep(STATE)
    file_in(tmp_path).write_bytes(content)
    assert journal_in(tmp_path).load() is None
    (tmp_path / "blocks.json").write_bytes(content)
    assert learned_block_bytes(tmp_path, "EISGMv0") is None


def test_a_cut_while_it_is_written_leaves_what_stood_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the new file has taken the place of the old one, nothing has changed."""

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    journal_in(tmp_path).keep(STATE)
    newer = UploadState(block_bytes=400, next_number=3)
    for call in ("fsync", "fchmod", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, call, cut)
            with pytest.raises(KeyboardInterrupt):
                journal_in(tmp_path).keep(newer)
        assert journal_in(tmp_path).load() == STATE
        assert len(list(tmp_path.iterdir())) == 1
    journal_in(tmp_path).keep(newer)
    assert journal_in(tmp_path).load() == newer


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("a file where the directory is to be")
    journal = journal_in(tmp_path / "uploads")
    assert journal.load() is None
    with pytest.raises(OSError, match="uploads"):
        journal.keep(STATE)


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o027])
@pytest.mark.parametrize(
    "write",
    [
        lambda directory: journal_in(directory).keep(STATE),
        lambda directory: learn_block_bytes(directory, "EISGMv0", 1000),
    ],
    ids=["state", "blocks"],
)
def test_it_is_its_owners_alone(write: Callable[[Path], None], umask: int, tmp_path: Path) -> None:
    directory = tmp_path / "uploads"
    before = os.umask(umask)
    try:
        write(directory)
    finally:
        os.umask(before)
    assert mode(directory) == 0o700
    assert [mode(path) for path in directory.iterdir()] == [0o600]


def test_what_a_model_takes_at_once_is_learned(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "uploads"
    assert learned_block_bytes(directory, "EISGMv0") is None
    learn_block_bytes(directory, "EISGMv0", 1000)
    learn_block_bytes(directory, "EISGMv1", 50)
    learn_block_bytes(directory, "EISGMv0", 500)
    assert learned_block_bytes(directory, "EISGMv0") == 500
    assert learned_block_bytes(directory, "EISGMv1") == 50
    assert learned_block_bytes(directory, "EISGMv2") is None


def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    learn_block_bytes(tmp_path, "EISGMv0", 500)
    before = (tmp_path / "blocks.json").stat()
    learn_block_bytes(tmp_path, "EISGMv0", 500)
    assert (tmp_path / "blocks.json").stat().st_ino == before.st_ino


@pytest.mark.parametrize("size", [15, 65_001, "500", 500.0, None, [500], True])
def test_a_length_that_cannot_be_is_not_learned_from(size: object, tmp_path: Path) -> None:
    (tmp_path / "blocks.json").write_text(json.dumps({"EISGMv0": size}))
    assert learned_block_bytes(tmp_path, "EISGMv0") is None
    learn_block_bytes(tmp_path, "EISGMv0", 500)
    assert learned_block_bytes(tmp_path, "EISGMv0") == 500


@pytest.mark.parametrize("name", GARBAGE)
def test_a_garbage_file_teaches_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "blocks.json").write_bytes(GARBAGE[name])
    assert learned_block_bytes(tmp_path, "EISGMv0") is None
    learn_block_bytes(tmp_path, "EISGMv0", 500)
    assert learned_block_bytes(tmp_path, "EISGMv0") == 500
