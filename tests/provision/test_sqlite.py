"""A journal's file: whose it is, what it must not be, and what is said when it cannot be used."""

import os
import sqlite3
import stat
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.provision import worker
from tests.provision.conftest import Place
from tests.provision.worker import start
from umi_cli.errors import JournalError
from umi_cli.provision import mounts, sqlite_journal
from umi_cli.provision.journal import Journal, Phase
from umi_cli.provision.mounts import network_type


@pytest.fixture
def file(tmp_path: Path) -> Place:
    path = tmp_path / "line.db"
    return Place(url=str(path), path=path)


@cache
def written_once() -> bytes:
    """Return the bytes of a journal with 100 entries."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "line.db"
        with Place(url=str(path)).open() as journal:
            for number in range(100):
                journal.record(f"unit{number}", "step", Phase.DONE, {"text": "x" * 200})
        return path.read_bytes()


def written(place: Place) -> Path:
    assert place.path is not None
    place.path.write_bytes(written_once())
    place.path.chmod(0o600)
    return place.path


def refused(place: Place, match: str) -> None:
    with pytest.raises(JournalError, match=match) as caught:
        place.open()
    assert (caught.value.exit_code, bool(caught.value.hint)) == (52, True)
    assert str(place.path) in str(caught.value)


def modes(directory: Path) -> dict[str, int]:
    return {
        path.relative_to(directory).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in directory.rglob("*")
    }


def test_all_files_are_their_owners_alone(file: Place, tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        with file.open() as journal, journal.lock("unit"):
            journal.record("unit", "step", Phase.DONE)
            found = modes(tmp_path)
    finally:
        os.umask(umask)
    assert {"line.db", "line.db-wal", "line.db-shm", "line.db.locks"} < set(found)
    assert found.pop("line.db.locks") == 0o700
    assert set(found.values()) == {0o600}
    assert set(modes(tmp_path)) == {"line.db", "line.db.locks"}  # nothing else stays


def test_a_file_that_others_can_read_is_warned_of(file: Place) -> None:
    written(file).chmod(0o644)
    file.open().close()
    assert any("chmod 600" in warning for warning in file.warnings)


def test_each_record_is_synced(file: Place) -> None:
    journal = file.open()
    assert isinstance(journal, sqlite_journal.SqliteJournal)
    assert journal.rows("PRAGMA synchronous") == [(2,)]  # FULL
    assert journal.rows("PRAGMA journal_mode") == [("wal",)]
    journal.close()


def test_a_url_and_another_way_to_the_file_lead_to_one_journal(
    file: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(file)
    link = tmp_path / "link"
    link.symlink_to(path)
    monkeypatch.chdir(tmp_path)
    with file.open() as journal, journal.lock("unit"):
        for url in (f"sqlite:{path}", "line.db", str(link)):
            with (
                file.open(url=url, create=False) as other,
                pytest.raises(Exception, match="at work"),
                other.lock("unit"),
            ):
                pass


def test_two_journals_of_one_process_do_not_take_each_others_locks(file: Place) -> None:
    """Closing any descriptor of a file drops all its locks of the process."""
    with file.open() as journal:
        worker_ = start(worker.open_only, file.url)
        file.open("other").close()
        journal.record("unit", "step", Phase.DONE)
        worker_.end()
        assert journal.verify().number == 2


def test_a_long_journal_is_written_as_fast_as_a_short_one(file: Place) -> None:
    """Counted in steps of SQLite's machine, for a clock would be no proof."""
    with file.open() as journal:
        assert isinstance(journal, sqlite_journal.SqliteJournal)
        journal.rows("PRAGMA synchronous = OFF")
        steps = [steps_of_a_unit(journal, number) for number in range(1000)]
    assert max(steps[-10:]) < 1.5 * max(steps[10:20])


def steps_of_a_unit(journal: sqlite_journal.SqliteJournal, number: int) -> int:
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    journal._db.set_progress_handler(count, 1)
    journal.allot(f"unit{number}", "serial", worker.SERIALS)
    journal.claim(f"unit{number}", "board", f"B{number}")
    journal.record(f"unit{number}", "flash", Phase.DONE)
    journal.finish(f"unit{number}")
    journal._db.set_progress_handler(None, 1)
    return steps


# Files that are none


def test_a_foreign_database_is_left_alone(file: Place) -> None:
    assert file.path is not None
    with closing(sqlite3.connect(file.path)) as db:
        db.execute("CREATE TABLE mine (name TEXT)")
    before = file.path.read_bytes()
    refused(file, "no journal")
    assert file.path.read_bytes() == before
    assert [path.name for path in file.path.parent.iterdir()] == ["line.db"]


def test_an_empty_file_becomes_a_journal_where_one_may_be_made(file: Place) -> None:
    assert file.path is not None
    file.path.touch()
    with pytest.raises(JournalError, match="no journal"):
        file.open(create=False)
    file.open().close()
    file.open(create=False).close()


def test_a_newer_journal_is_refused(file: Place) -> None:
    written(file)
    file.execute("PRAGMA user_version = 99")
    refused(file, "newer umi-cli")


def test_what_is_no_database_is_refused(file: Place) -> None:
    assert file.path is not None
    file.path.write_bytes(b"no database at all, but long enough to look like one" * 100)
    refused(file, "no SQLite file")


def test_what_is_no_file_is_refused(file: Place) -> None:
    assert file.path is not None
    file.path.mkdir()
    refused(file, "no regular file")
    file.path.rmdir()
    os.mkfifo(file.path)
    refused(file, "no regular file")


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "line.db"
    refused(Place(url=str(path), path=path), "there is no journal")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_named(file: Place, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    refused(file, "cannot use")


@pytest.mark.parametrize("offset", [0, 20, 100, 4096, 4100, 20480, -4096])
@pytest.mark.parametrize("junk", [b"\x00" * 512, b"\xff" * 512])
def test_a_damaged_file_is_named_and_never_believed(file: Place, offset: int, junk: bytes) -> None:
    path = written(file)
    with path.open("r+b") as data:
        data.seek(offset, 0 if offset >= 0 else 2)
        data.write(junk)
    with pytest.raises(JournalError) as caught, file.open() as journal:
        journal.verify()
    assert caught.value.hint


def test_a_file_that_was_cut_is_named(file: Place) -> None:
    path = written(file)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(JournalError), file.open() as journal:
        journal.verify()


def test_a_lost_table_is_named(file: Place) -> None:
    written(file)
    file.execute("DROP TABLE umi_allotments")
    with file.open() as journal, pytest.raises(JournalError, match="lacks what a journal has"):
        journal.allot("unit", "serial", worker.SERIALS)


def test_a_program_that_holds_the_file_for_too_long_is_named(
    file: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(file)
    monkeypatch.setattr(sqlite_journal, "BUSY_S", 0.2)
    holder = start(worker.grab_writing, file.url)
    holder.hear(1)
    with file.open() as journal:
        with pytest.raises(JournalError, match="held by another program") as caught:
            journal.record("unit", "step", Phase.DONE)
        assert "fuser" in caught.value.hint
        holder.kill()
        journal.record("unit", "step", Phase.DONE)
        assert journal.verify().number == 101


def test_a_full_disk_loses_nothing_that_was_returned(file: Place) -> None:
    written(file)
    with file.open() as journal:
        assert isinstance(journal, sqlite_journal.SqliteJournal)
        pages = journal.rows("PRAGMA page_count")[0][0]
        journal.rows(f"PRAGMA max_page_count = {pages}")
        kept = fill(journal)
        assert journal.verify().number == kept
        journal.rows("PRAGMA max_page_count = 1000000")
        assert journal.record("unit", "step", Phase.DONE, {"n": kept}).number == kept + 1


def fill(journal: Journal) -> int:
    """Record until there is no room, and return how many entries there are."""
    with pytest.raises(JournalError, match="disk is full"):  # noqa: PT012 - at some time
        while True:
            last = journal.record("unit", "step", Phase.DONE, {"text": "x" * 500})
    return last.number


def test_a_lock_that_cannot_be_made_is_an_error(file: Place) -> None:
    path = written(file)
    path.with_name("line.db.locks").write_text("in the way")
    with file.open() as journal, pytest.raises(JournalError, match="lock"), journal.lock("unit"):
        pass


def test_an_old_library_is_named(file: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(JournalError, match=r"SQLite 3\.37"):
        file.open()


# Where it is

MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:40 / /srv rw - nfs4 server:/srv rw
31 30 254:1 / /srv/local\040disk rw - ext4 /dev/sdb1 rw
32 22 0:41 / /home/line rw master:1 - fuse.sshfs a@b: rw
33 22 254:2 / /over rw - cifs //a/b rw
34 22 254:2 / /over rw - xfs /dev/sdc1 rw
""".strip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/line.db", None),
        ("/srv/line.db", "nfs4"),
        ("/srv/local disk/line.db", None),
        ("/srv2/line.db", None),
        ("/home/line/a/line.db", "fuse.sshfs"),
        ("/over/line.db", None),
    ],
)
def test_a_network_mount_is_told_from_a_disk(path: str, kind: str | None) -> None:
    assert network_type(Path(path), MOUNTS) == kind


def test_a_network_mount_is_warned_of(
    file: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"22 1 0:40 / {tmp_path} rw - nfs4 server:/srv rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", table)
    file.open().close()
    assert any("network mount (nfs4)" in warning for warning in file.warnings)


@pytest.mark.parametrize("text", [None, "nonsense"])
def test_where_the_mounts_cannot_be_told_nothing_is_said(
    file: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    table = tmp_path / "mountinfo"
    if text is not None:
        table.write_text(text)
    monkeypatch.setattr(mounts, "MOUNTS", table)
    file.open().close()
    assert file.warnings == []
