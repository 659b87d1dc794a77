"""A journal in a PostgreSQL database, for the stations of several machines.

Writers queue for the one row of `umi_journal`, so that the chain has one end and a value one unit.
A unit is locked by the session, and is free once the server has noticed that it is gone: at once
where the process died, within seconds where the machine did. (So no pooler that shares sessions
between clients may stand between.)

A broken connection is made again a few times. Then the work is run once more; what the lost one
had committed is found by the key that the client gave it.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg

from umi_cli.crypto import sha256
from umi_cli.errors import ConflictError, JournalError
from umi_cli.provision.chain import Author, check_name
from umi_cli.provision.journal import ignore
from umi_cli.provision.ledger import Ledger, Page, R, Row, Work
from umi_cli.provision.postgres_address import PostgresAddress
from umi_cli.provision.unit_locks import at_work

RETRY_DELAYS_S = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0)  # a server restarts within these
RELOCK_S = 15.0  # the server may take so long to notice that our own lost session is gone
ENDED_S = 2.0  # and so long that a station which was killed this moment has gone
RELOCK_STEP_S = 0.1
VERSION = 1

# Who gives up after this much: on a connection, on a line that swallows what is sent to it, on the
# writers before us. A session that hangs in its transaction is ended before others give up on it.
CONNECTION = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "client_encoding": "UTF8",
}
SETTINGS = {
    "lock_timeout": "20s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "default_transaction_isolation": "read committed",
    "synchronous_commit": "on",
}

# Writers lock a row, and no sequence counts: one would leave holes wherever a transaction fails.
SCHEMA = (
    """CREATE TABLE umi_journal (
        is_only BOOLEAN PRIMARY KEY DEFAULT true CHECK (is_only), version INTEGER NOT NULL)""",
    "INSERT INTO umi_journal (version) VALUES (1)",
    """CREATE TABLE umi_entries (
        number BIGINT PRIMARY KEY,
        time TEXT NOT NULL, station TEXT NOT NULL, operator TEXT NOT NULL, tool TEXT NOT NULL,
        unit TEXT COLLATE "C" NOT NULL, step TEXT NOT NULL, phase TEXT NOT NULL,
        data TEXT NOT NULL, previous BYTEA NOT NULL, digest BYTEA NOT NULL,
        request BYTEA NOT NULL UNIQUE)""",
    "CREATE INDEX umi_entries_of_unit ON umi_entries (unit, number)",
    """CREATE TABLE umi_allotments (
        kind TEXT COLLATE "C" NOT NULL, value TEXT COLLATE "C" NOT NULL,
        unit TEXT COLLATE "C" NOT NULL, number BIGINT NOT NULL, origin TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (kind, value), UNIQUE (unit, kind))""",
    "CREATE INDEX umi_allotments_of_pool ON umi_allotments (kind, origin, value)",
    """CREATE FUNCTION umi_only_added_to() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'a journal is only added to'; END $$""",
    *(
        f"""CREATE TRIGGER {table}_only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION umi_only_added_to()"""
        for table in ("umi_entries", "umi_allotments")
    ),
)

_SET = b"SELECT " + b", ".join(b"set_config(%s, %s, false)" for _ in SETTINGS)
_PASSING = ("08", "57P", "40001", "40P01", "25P03")  # the connection, a restart, a deadlock


class PostgresJournal(Ledger):
    """A journal in a PostgreSQL database.

    Args:
        address: of the database.
        author: who writes.
        create: make the tables if there are none.
        warn: told where the server may forget what it has acknowledged.

    Raises:
        KeyUnusableError: the password cannot be read from its source.
        JournalError: the database cannot be reached, or holds no journal.
    """

    def __init__(
        self,
        address: PostgresAddress,
        author: Author,
        *,
        create: bool = True,
        warn: Callable[[str], None] = ignore,
    ) -> None:
        super().__init__(author)
        self._address = address
        self._secret: dict[str, str] = {}
        if address.password_source is not None:
            secret = address.password_source.read_text("password of the journal's database")
            self._secret["password"] = secret.decode(errors="surrogateescape")
        self._held: dict[str, int] = {}  # what the journal's last entry was before the lock
        self._lost_sessions: set[int] = set()
        self._db: psycopg.Connection[Row] | None = None
        with contextlib.ExitStack() as failure:
            failure.callback(self.close)
            try:
                self._set_up(self._connection(), create=create, warn=warn)
            except psycopg.Error as error:
                raise self._journal_error(error) from error
            failure.pop_all()

    def close(self) -> None:
        """End the session, and with it every lock (`Journal.close`)."""
        if self._db is not None:
            self._db.close()
        self._db = None

    # Transactions

    def _transact(self, work: Work[R]) -> R:
        def run(db: psycopg.Connection[Row]) -> R:
            with db.transaction():
                db.execute(b"SELECT version FROM umi_journal FOR UPDATE")
                return work(_Tables(db))

        return self._persist(run)

    def _look(self, sql: str, *values: Any) -> list[Row]:
        return self._persist(lambda db: _Tables(db).rows(sql, *values))

    def _check_store(self) -> None:
        """Leave it to the server, whose checksums are checked with every page it reads."""

    def _persist(self, run: Callable[[psycopg.Connection[Row]], R]) -> R:
        """Run something on a connection, and again on a new one where that was lost."""
        delays_s = iter(RETRY_DELAYS_S)
        while True:
            try:
                return run(self._connection())
            except psycopg.Error as error:
                delay_s = next(delays_s, None)
                if delay_s is None or not self._is_passing(error):
                    raise self._journal_error(error) from error
            time.sleep(delay_s)

    def _is_passing(self, error: psycopg.Error) -> bool:
        """Tell whether the same may work in a moment."""
        if self._db is None or self._db.closed:
            self._db = None
            return True
        return (error.sqlstate or "").startswith(_PASSING)

    def _journal_error(self, error: psycopg.Error) -> JournalError:
        sqlstate = error.sqlstate or ""
        if sqlstate in ("55P03", "57014"):
            return JournalError(
                f"the journal ({self._address}) was held by another station for too long",
                hint="find the session that hangs in pg_stat_activity",
            )
        said = error.diag.message_primary or str(error).partition("\n")[0]
        return JournalError(
            f"cannot use the journal ({self._address}): {said}",
            hint="check the server, the network and who may use the database; what was recorded "
            "is safe, and the same command goes on",
        )

    # Connections

    def _connection(self) -> psycopg.Connection[Row]:
        if self._db is None:
            self._db = self._connect()
            self._lost_sessions.add(self._db.info.backend_pid)  # once it is not this one any more
        return self._db

    def _connect(self) -> psycopg.Connection[Row]:
        parameters: dict[str, Any] = {**self._address.parameters, **CONNECTION, **self._secret}
        name = f"umi {self._author.station}"
        with contextlib.ExitStack() as failure:
            db = psycopg.connect(**parameters, application_name=name, autocommit=True)
            failure.callback(db.close)
            settings = [text for setting in SETTINGS.items() for text in setting]
            db.execute(_SET, settings)
            self._lock_again(db)
            failure.pop_all()
        return db

    def _set_up(
        self, db: psycopg.Connection[Row], *, create: bool, warn: Callable[[str], None]
    ) -> None:
        tables = _Tables(db)
        with db.transaction():
            tables.rows("SELECT pg_advisory_xact_lock(?)", _lock_number("the tables"))
            if tables.rows("SELECT to_regclass('umi_journal')")[0][0] is None:
                if not create:
                    raise JournalError(f"there is no journal in {self._address}")
                for statement in SCHEMA:
                    tables.rows(statement)
            version = tables.rows("SELECT version FROM umi_journal")[0][0]
        if version != VERSION:
            raise JournalError(
                f"the journal in {self._address} was written by a newer umi-cli "
                f"(version {version} of its tables)",
                hint="use that umi-cli, or a newer one",
            )
        self._check_durability(tables, warn)

    def _check_durability(self, tables: Page, warn: Callable[[str], None]) -> None:
        for name in ("fsync", "full_page_writes"):
            if tables.rows("SELECT current_setting(?)", name)[0][0] == "off":
                warn(f"{self._address} has {name} off: a power cut may damage the journal")

    # Locks

    @contextlib.contextmanager
    def lock(self, unit: str) -> Iterator[None]:
        """Keep other sessions off a unit (`Journal.lock`)."""
        check_name(unit, "unit")
        if unit in self._held:
            raise at_work(unit)
        number = self.head().number
        if not self._persist(lambda db: self._lock_unless_taken(db, unit)):
            raise at_work(unit)
        self._held[unit] = number
        try:
            yield
        finally:
            self._held.pop(unit, None)
            self._unlock(unit)

    def _lock_unless_taken(self, db: psycopg.Connection[Row], unit: str) -> bool:
        """Lock a unit; one that a session which is gone still has, once the server gives it up."""
        if _try_lock(db, unit):
            return True
        holder = _holder(db, unit)
        is_ours = holder is None or holder in self._lost_sessions
        return _lock_patiently(db, unit, RELOCK_S if is_ours else ENDED_S)

    def _unlock(self, unit: str) -> None:
        """Free a unit; where that fails the session ends, and its locks with it."""
        if self._db is None:
            return
        try:
            self._db.execute(b"SELECT pg_advisory_unlock(%s)", (_lock_number(unit),))
        except psycopg.Error:
            self.close()

    def _lock_again(self, db: psycopg.Connection[Row]) -> None:
        """Take the locks that were lost with a connection.

        Raises:
            ConflictError: another station has a unit, or has had it since.
        """
        for unit, number in self._held.items():
            is_ours = _lock_patiently(db, unit, RELOCK_S)
            others = _Tables(db).rows(
                "SELECT 1 FROM umi_entries WHERE unit = ? AND number > ? AND station <> ? LIMIT 1",
                *(unit, number, self._author.station),
            )
            if others or not is_ours:
                raise ConflictError(
                    f"the connection to the journal was lost, and another station took unit {unit}",
                    hint="let that station finish it; what it did so far is in the journal",
                )


class _Tables:
    """The tables, on a connection (`Page`)."""

    def __init__(self, db: psycopg.Connection[Row]) -> None:
        self._db = db

    def rows(self, sql: str, *values: Any) -> list[Row]:
        cursor = self._db.execute(sql.replace("?", "%s").encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def _lock_number(name: str) -> int:
    """Return the number of an advisory lock, out of 2⁶⁴: other programs have theirs."""
    return int.from_bytes(sha256(b"umi journal " + name.encode())[:8], "big", signed=True)


def _try_lock(db: psycopg.Connection[Row], unit: str) -> bool:
    rows = _Tables(db).rows("SELECT pg_try_advisory_lock(?)", _lock_number(unit))
    return bool(rows[0][0])


def _holder(db: psycopg.Connection[Row], unit: str) -> int | None:
    """Return the session that has a unit's lock, by its number; None if it is free by now."""
    rows = _Tables(db).rows(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND (classid::bigint << 32) | objid::bigint = ?",
        _lock_number(unit),
    )
    return int(rows[0][0]) if rows else None


def _lock_patiently(db: psycopg.Connection[Row], unit: str, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not (is_ours := _try_lock(db, unit)) and time.monotonic() < deadline:
        time.sleep(RELOCK_STEP_S)
    return is_ours
