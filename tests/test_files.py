"""Files are written whole or not at all; secrets are read from private files only."""

import os
import stat
from pathlib import Path

import pytest

from umi_cli.errors import KeyUnusableError
from umi_cli.files import MAX_PRIVATE_FILE_BYTES, atomic_writer, read_private, write_atomically


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def private(path: Path, data: bytes = b"secret") -> Path:
    write_atomically(path, data, mode=0o600)
    return path


@pytest.mark.parametrize("bits", [0o600, 0o644, 0o664])
def test_writes_the_bytes_with_the_mode(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "file"
    old = os.umask(0o077)
    try:
        write_atomically(path, b"data", mode=bits)
    finally:
        os.umask(old)
    assert path.read_bytes() == b"data"
    assert mode(path) == bits


def test_replaces_a_file_only_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(FileExistsError):
        write_atomically(path, b"new", replace=False)
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_writes_a_new_file_without_replacing(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"new", replace=False)
    assert os.listdir(tmp_path) == ["file"]


def test_replaces_a_link_and_not_what_it_names(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert target.read_bytes() == b"old"
    assert not link.is_symlink()


@pytest.mark.parametrize("call", ["fsync", "fchmod", "replace"])
def test_a_failure_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_long_file_is_there_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with atomic_writer(path, mode=0o640) as file:
        file.write(b"?ew")
        file.seek(0)
        assert file.read() == b"?ew"
        file.seek(0)
        file.write(b"n")
        assert path.read_bytes() == b"old"
        [temporary] = set(tmp_path.iterdir()) - {path}
        assert mode(temporary) == 0o600
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_a_long_file_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for old in (None, b"old"):
        if old:
            path.write_bytes(old)
        writer = atomic_writer(path)
        writer.__enter__().write(b"new")
        stop = KeyboardInterrupt()
        assert not writer.__exit__(KeyboardInterrupt, stop, None)
        assert os.listdir(tmp_path) == (["file"] if old else [])
    assert path.read_bytes() == b"old"


def test_a_long_file_takes_no_place_that_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "file"
    writer = atomic_writer(path, replace=False)
    writer.__enter__().write(b"new")
    path.write_bytes(b"old")  # meanwhile
    with pytest.raises(FileExistsError):
        writer.__exit__(None, None, None)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_reads_a_private_file(tmp_path: Path) -> None:
    assert read_private(private(tmp_path / "key")) == b"secret"


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o601, 0o644])
def test_a_file_that_others_can_open_is_refused(tmp_path: Path, bits: int) -> None:
    path = private(tmp_path / "key")
    path.chmod(bits)
    with pytest.raises(KeyUnusableError, match=f"open to other users \\(mode 0{bits:o}\\)"):
        read_private(path)


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = private(tmp_path / "key")
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(KeyUnusableError, match="another user"):
        read_private(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusableError, match=r"absent: No such file"):
        read_private(tmp_path / "absent")


def test_what_is_no_file_is_refused_without_hanging(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(KeyUnusableError):
            read_private(path)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    assert len(read_private(private(tmp_path / "most", bytes(MAX_PRIVATE_FILE_BYTES)))) == 65536
    with pytest.raises(KeyUnusableError, match="too long"):
        read_private(private(tmp_path / "more", bytes(MAX_PRIVATE_FILE_BYTES + 1)))
