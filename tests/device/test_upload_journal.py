"""What is kept of an upload: of one at a time, and nothing that is no use."""

import json
from pathlib import Path

import pytest

from umi_cli.device.upload_journal import UploadJournal, learn_block_bytes, learned_block_bytes
from umi_cli.images.upload import UploadState
from umi_cli.types import UmiId

DEVICE, OTHER_DEVICE = UmiId(1), UmiId(2)
BEGUN, HALFWAY = (UploadState(block_bytes=100, next_number=number) for number in (0, 5))


def journal(path: Path, sha256: bytes = bytes(32), device: UmiId = DEVICE) -> UploadJournal:
    return UploadJournal(path / "kept", device, sha256, 1000)


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    assert journal(tmp_path).load() is None
    journal(tmp_path).keep(HALFWAY, "trial")
    assert journal(tmp_path).load() == HALFWAY
    [file] = (tmp_path / "kept").iterdir()
    assert json.loads(file.read_text())["downgrade_reason"] == "trial"
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700
    journal(tmp_path).forget()
    journal(tmp_path).forget()
    assert journal(tmp_path).load() is None


def test_there_is_nothing_to_go_on_with_before_a_block_was_taken(tmp_path: Path) -> None:
    journal(tmp_path).keep(BEGUN)
    assert journal(tmp_path).load() is None


def test_an_upload_that_begins_ends_those_before_it(tmp_path: Path) -> None:
    """The device has one transfer at a time; what other devices have is not touched."""
    journal(tmp_path).keep(HALFWAY)
    journal(tmp_path, device=OTHER_DEVICE).keep(HALFWAY)
    journal(tmp_path, b"\1" * 32).keep(HALFWAY)
    assert journal(tmp_path).load() == HALFWAY
    journal(tmp_path, b"\2" * 32).keep(BEGUN)
    assert journal(tmp_path).load() is journal(tmp_path, b"\1" * 32).load() is None
    assert journal(tmp_path, device=OTHER_DEVICE).load() == HALFWAY


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "umi-upload/2"},
        {"sha256": "00"},
        {"device": str(OTHER_DEVICE)},
        {"length_bytes": 999},
        {"block_bytes": 15},
        {"block_bytes": 65_001},
        {"block_bytes": None},
        {"next_number": -1},
        {"next_number": "x"},
    ],
    ids=str,
)
def test_what_is_no_use_is_not_gone_on_with(tmp_path: Path, changes: dict[str, object]) -> None:
    journal(tmp_path).keep(HALFWAY)
    [file] = (tmp_path / "kept").iterdir()
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    assert journal(tmp_path).load() is None


def test_a_place_that_is_gone_does_not_spoil_what_is_done(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    journal(tmp_path).forget()
    learn_block_bytes(tmp_path / "kept", "m", 100)
    assert learned_block_bytes(tmp_path / "kept", "m") is None
    with pytest.raises(FileExistsError):
        journal(tmp_path).keep(HALFWAY)


def test_each_model_has_its_own_length(tmp_path: Path) -> None:
    for model, size in {"a": 100, "b": 200}.items():
        learn_block_bytes(tmp_path, model, size)
    assert [learned_block_bytes(tmp_path, model) for model in ("a", "b", "c")] == [100, 200, None]
    learn_block_bytes(tmp_path, "a", 15)
    assert learned_block_bytes(tmp_path, "a") is None
    (tmp_path / "blocks.json").write_text("[]")
    assert learned_block_bytes(tmp_path, "b") is None
