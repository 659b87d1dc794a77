"""What an earlier `umi image upload` has left is never ahead of the device."""

from pathlib import Path

import pytest

from tests.images.packages import LABEL
from tests.virtual.parties import role_key
from tests.virtual.uploads import PROVIDER, with_mac
from umi_cli import crypto
from umi_cli.cli.main import run
from umi_cli.device.upload_journal import UploadJournal
from umi_cli.images.upload import UploadState
from umi_cli.security.keys import save_key
from umi_cli.virtual.delivered import VIRTUAL_METER_ID


def left(directory: Path, package: bytes) -> UploadJournal:
    """Leave a package, its key, and the journal of a run that has sent all of it."""
    (directory / "image.umi").write_bytes(package)
    save_key(directory / "maker.key", role_key(PROVIDER))
    journal = UploadJournal(
        directory / "umi" / "uploads", VIRTUAL_METER_ID, crypto.sha256(package), len(package)
    )
    journal.keep(UploadState(block_bytes=100, next_number=-(-len(package) // 100)))
    return journal


def upload(directory: Path, *options: str) -> int:
    meter = f"sim:?as=software-provider&role-keys=software-provider:{directory}/maker.key"
    by = ("--signer-key", f"{directory}/maker.key")
    return run(["-p", meter, "image", "upload", f"{directory}/image.umi", *by, *options])


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def test_it_is_forgotten_when_the_image_runs(tmp_path: Path) -> None:
    """A run that was killed after the end has left it; after a downgrade it would be a lie."""
    journal = left(tmp_path, with_mac("1.4.2", built_s=LABEL.built_s, not_after_s=0))
    assert upload(tmp_path, "--dry-run") == 0
    assert journal.load() is not None
    assert upload(tmp_path) == 0
    assert journal.load() is None


def test_it_is_forgotten_before_the_device_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a run that is killed then would claim blocks that nobody has."""

    def cut(*_: object) -> None:
        raise OSError("the disk is full")

    journal = left(tmp_path, with_mac("1.5.0", built_s=LABEL.built_s, not_after_s=0))
    monkeypatch.setattr(UploadJournal, "keep", cut)
    assert upload(tmp_path, "--restart") == 2
    assert journal.load() is None


def test_it_is_gone_after_an_upload(tmp_path: Path) -> None:
    """And what it claimed, which the device had not, was sent all the same."""
    journal = left(tmp_path, with_mac("1.5.0", built_s=LABEL.built_s, not_after_s=0))
    assert upload(tmp_path) == 0
    assert journal.load() is None
