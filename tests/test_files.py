"""Files are written whole or not at all; secrets are read from private files only."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from umi_cli.errors import KeyUnusableError
from umi_cli.files import (
    MAX_PRIVATE_FILE_BYTES,
    atomic_writer,
    growing_file,
    read_private,
    write_atomically,
)


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


# Files that only grow


def test_a_growing_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "file"
    old = os.umask(0o277)
    try:
        with growing_file(path) as file:
            assert file.is_new
            file.append(b"one\n")
    finally:
        os.umask(old)
    assert mode(path) == 0o600
    with growing_file(path) as file:
        assert not file.is_new
        assert file.read() == b"one\n"
        file.append(b"two\n")
        assert file.read() == b"one\ntwo\n"
    assert path.read_bytes() == b"one\ntwo\n"


def test_what_was_appended_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all of it, where the system writes a part at a time."""
    synced: list[bytes] = []
    path, write = tmp_path / "file", os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:2]))
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(path.read_bytes()))
    with growing_file(path) as file:
        file.append(b"a line\n")
        assert synced[-1] == b"a line\n"


@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "open to others"])
def test_what_does_not_grow(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("other")
    else:
        path.touch()
        path.chmod(0o620)
    with pytest.raises(OSError), growing_file(path):  # noqa: PT011 - of each its own
        pytest.fail("it was opened")
    assert not (tmp_path / "other").exists()


def test_one_at_a_time(tmp_path: Path) -> None:
    """Each of many processes finds what those before it wrote, and nothing is written twice."""
    path = tmp_path / "file"
    code = (
        "import sys, pathlib\nfrom umi_cli.files import growing_file\n"
        "for _ in range(50):\n"
        "    with growing_file(pathlib.Path(sys.argv[1])) as file:\n"
        "        file.append(b'%d\\n' % file.read().count(b'\\n'))\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(200))
