"""A journal in one SQLite file, for the stations of one machine.

Each write is a transaction that starts with the write lock, and is in the synced write-ahead log
before it returns. The file, its log and its locks are their owner's alone.
"""

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from umi_cli.errors import JournalError
from umi_cli.files import PRIVATE_MODE
from umi_cli.provision.chain import Author, check_name
from umi_cli.provision.journal import ignore
from umi_cli.provision.ledger import Ledger, R, Row, Work
from umi_cli.provision.mounts import network_type_here
from umi_cli.provision.unit_locks import UnitLocks

BUSY_S = 20.0  # a write takes milliseconds; many stations at a busy disk do not take turns
RETRY_S = 0.02
APPLICATION_ID = 0x554D_494A  # "UMIJ"
MIN_SQLITE = (3, 37, 0)  # the first with STRICT tables

# One tuple of statements for each version; what stands here is never changed, only added to.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE umi_entries (
            number INTEGER PRIMARY KEY,
            time TEXT NOT NULL, station TEXT NOT NULL, operator TEXT NOT NULL, tool TEXT NOT NULL,
            unit TEXT NOT NULL, step TEXT NOT NULL, phase TEXT NOT NULL, data TEXT NOT NULL,
            previous BLOB NOT NULL, digest BLOB NOT NULL,
            request BLOB NOT NULL UNIQUE
        ) STRICT""",
        "CREATE INDEX umi_entries_of_unit ON umi_entries (unit, number)",
        """CREATE TABLE umi_allotments (
            kind TEXT NOT NULL, value TEXT NOT NULL, unit TEXT NOT NULL,
            number INTEGER NOT NULL, origin TEXT NOT NULL,
            PRIMARY KEY (kind, value), UNIQUE (unit, kind)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX umi_allotments_of_pool ON umi_allotments (kind, origin, value)",
        # An INSERT OR REPLACE deletes without a trigger; so it must not find anything to replace.
        """CREATE TRIGGER umi_entries_append BEFORE INSERT ON umi_entries
            WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM umi_entries)
                OR EXISTS (SELECT 1 FROM umi_entries WHERE request = NEW.request)
            BEGIN SELECT RAISE(ABORT, 'an entry stands behind all others'); END""",
        """CREATE TRIGGER umi_allotments_append BEFORE INSERT ON umi_allotments
            WHEN EXISTS (SELECT 1 FROM umi_allotments WHERE kind = NEW.kind AND value = NEW.value)
                OR EXISTS (SELECT 1 FROM umi_allotments WHERE unit = NEW.unit AND kind = NEW.kind)
            BEGIN SELECT RAISE(ABORT, 'a value is given once'); END""",
        *(
            f"""CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
            BEGIN SELECT RAISE(ABORT, 'a journal is only added to'); END"""
            for table in ("umi_entries", "umi_allotments")
            for verb in ("UPDATE", "DELETE")
        ),
    ),
)


class SqliteJournal(Ledger):
    """A journal in a SQLite file.

    Args:
        path: of the file.
        author: who writes.
        create: make the file if there is none.
        warn: told of a network mount, and of a file that others can read.

    Raises:
        JournalError: there is no such journal, or the file cannot be used as one.
    """

    def __init__(
        self,
        path: str,
        author: Author,
        *,
        create: bool = True,
        warn: Callable[[str], None] = ignore,
    ) -> None:
        super().__init__(author)
        self.path = Path(path).resolve()
        self._locks = UnitLocks(self.path.with_name(f"{self.path.name}.locks"))
        _check_library()
        _prepare_file(self.path, create=create)
        _warn_of_place(self.path, warn)
        with self._errors():
            self._db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        with contextlib.ExitStack() as failure:
            failure.callback(self._db.close)
            self._db.text_factory = _text
            self._set_up(create=create)
            failure.pop_all()

    def close(self) -> None:
        """Let go of the file (`Journal.close`)."""
        self._db.close()

    def lock(self, unit: str) -> AbstractContextManager[None]:
        """Keep other processes off a unit (`Journal.lock`)."""
        check_name(unit, "unit")
        return self._locks.hold(unit)

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Run a statement and return its rows (`Page.rows`)."""
        return self._db.execute(sql, values).fetchall()

    def _look(self, sql: str, *values: Any) -> list[Row]:
        with self._errors():
            return self.rows(sql, *values)

    def _check_store(self) -> None:
        found = self._look("PRAGMA integrity_check(1)")
        if found != [("ok",)]:
            raise JournalError(f"{self.path} is damaged: {found[0][0]}", hint=_DAMAGE_HINT)

    def _transact(self, work: Work[R]) -> R:
        with self._errors(), self._transaction():
            return work(self)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what SQLite says into a sentence with the next step."""
        try:
            yield
        except sqlite3.Error as error:
            raise _journal_error(self.path, error) from error

    # Opening

    def _set_up(self, *, create: bool) -> None:
        with self._errors():
            if not self._pragma("application_id") and not create:
                raise _foreign(self.path)
            self._check_owner()
            self._begin_log()
            self._pragma("synchronous = FULL")
            if self._pragma("user_version") < len(MIGRATIONS):
                with self._transaction():
                    self._migrate()

    def _begin_log(self) -> None:
        """Have a write-ahead log; SQLite itself does not wait for others who begin it as well."""
        deadline = time.monotonic() + BUSY_S
        while self._pragma("journal_mode") != "wal":
            try:
                if self._pragma("journal_mode = WAL") != "wal":
                    raise JournalError(
                        f"{self.path} cannot have a write-ahead log where it is",
                        hint="put the journal on a disk of this machine",
                    )
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_S)

    def _pragma(self, text: str) -> Any:
        rows = self.rows(f"PRAGMA {text}")
        return rows[0][0] if rows else None

    def _check_owner(self) -> None:
        """Check that the file is a journal, or empty, and none from a newer umi-cli."""
        is_empty = not self.rows("SELECT 1 FROM sqlite_master LIMIT 1")
        owner = self._pragma("application_id")
        if owner != APPLICATION_ID and not (is_empty and owner == 0):
            raise _foreign(self.path)
        version = self._pragma("user_version")
        if version > len(MIGRATIONS):
            raise JournalError(
                f"{self.path} was written by a newer umi-cli (version {version} of its tables)",
                hint="use that umi-cli, or a newer one",
            )

    def _migrate(self) -> None:
        version = self._pragma("user_version")  # once more: another process may have been first
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                self.rows(statement)
        self._pragma(f"application_id = {APPLICATION_ID}")
        self._pragma(f"user_version = {len(MIGRATIONS)}")


def _text(data: bytes) -> str:
    """Decode a text; one that was damaged is shown as such, and fails its digest."""
    return data.decode("utf-8", errors="replace")


def _check_library() -> None:
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        raise JournalError(
            f"a journal needs SQLite 3.37, and this Python has {sqlite3.sqlite_version}",
            hint="use a Python with a newer SQLite, or a journal on PostgreSQL",
        )


def _prepare_file(path: Path, *, create: bool) -> None:
    """Make the file before SQLite does, which would let others read it.

    One that is there is not even opened: closing it would drop the locks that another journal of
    this process has on it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        if create:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, flags, PRIVATE_MODE))
        if not stat.S_ISREG(path.stat().st_mode):
            raise JournalError(f"{path} is no regular file", hint="check the path of the journal")
    except FileNotFoundError as error:
        hint = "make the directory first" if create else "check the path of the journal"
        raise JournalError(f"there is no journal {path}", hint=hint) from error
    except OSError as error:
        raise JournalError(f"cannot use {path} as a journal: {error.strerror}") from error


def _warn_of_place(path: Path, warn: Callable[[str], None]) -> None:
    if (kind := network_type_here(path)) is not None:
        warn(
            f"{path} is on a network mount ({kind}), where locks may not hold: put the journal on "
            "a disk of this machine, or use one on PostgreSQL"
        )
    if path.stat().st_mode & 0o077:
        warn(f"{path} can be read by other users: take their rights away with chmod 600")


def _foreign(path: Path) -> JournalError:
    return JournalError(f"{path} is no journal of umi-cli", hint="check the path of the journal")


def _journal_error(path: Path, error: sqlite3.Error) -> JournalError:
    name = getattr(error, "sqlite_errorname", "")
    for start, (sentence, hint) in _SENTENCES.items():
        if name.startswith(start):
            return JournalError(f"{path} {sentence}", hint=hint)
    return JournalError(f"{path} cannot be used as a journal: {error}")


_DAMAGE_HINT = "keep the file as evidence, and go back to the last copy that verifies"
_SENTENCES = {
    "SQLITE_BUSY": (
        f"was held by another program for more than {BUSY_S:.0f} s",
        "close the program that has it open: fuser FILE names it",
    ),
    "SQLITE_NOTADB": ("is no SQLite file", "check the path of the journal"),
    "SQLITE_CORRUPT": ("is damaged", _DAMAGE_HINT),
    "SQLITE_ERROR": ("lacks what a journal has", _DAMAGE_HINT),
    "SQLITE_CONSTRAINT": ("refused what does not fit behind its last entry", _DAMAGE_HINT),
    "SQLITE_FULL": ("cannot grow: the disk is full", "make room; what was recorded is safe"),
    "SQLITE_READONLY": ("cannot be written", "check who owns the file and its directory"),
    "SQLITE_CANTOPEN": ("cannot be opened", "check who owns the file and its directory"),
    "SQLITE_IOERR": ("could not be read or written by the disk", "check the disk"),
}
