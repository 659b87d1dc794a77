"""A journal on each back end; PostgreSQL's is on a real server, started for the tests."""

import importlib.util
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.provision.server import Line, Server, binaries
from umi_cli.provision.journal import Journal, open_journal

BACK_ENDS = ("sqlite", "postgres")
MUST_NOT_SKIP = "UMI_TEST_POSTGRES"  # set where CI has installed a server: then none is a failure
TABLES = ("umi_entries", "umi_allotments")


@dataclass
class Place:
    """Where a journal is, and who can look behind it."""

    url: str
    server: Server | None = None
    path: Path | None = None
    warnings: list[str] = field(default_factory=list)
    open_ones: ExitStack = field(default_factory=ExitStack)

    def open(self, station: str = "station-1", url: str | None = None, **options: Any) -> Journal:
        """Open the journal; it is closed after the test."""
        journal = open_journal(
            url or self.url,
            station=station,
            operator="tester",
            tool="0.1.0",
            warn=self.warnings.append,
            **options,
        )
        return self.open_ones.enter_context(journal)

    @property
    def server_url(self) -> str:
        """Return the way past a line that can be cut."""
        assert self.server is not None
        return self.server.url(self.database)

    @property
    def database(self) -> str:
        return self.url.rpartition("/")[2]

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements past the journal, and return the rows of the last one."""
        if self.server is not None:
            return self.server.execute(self.database, *statements)
        assert self.path is not None
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            for statement in statements:
                rows = db.execute(statement).fetchall()
            return rows

    def tamper(self, *statements: str) -> None:
        """Run statements as somebody does who has taken the guards away."""
        self.execute(*self._unguard(), *statements)

    def _unguard(self) -> list[str]:
        if self.server is not None:
            return [f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in TABLES]
        triggers = self.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        return ["SELECT 1", *(f"DROP TRIGGER {name}" for (name,) in triggers)]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    programs = binaries()
    missing = None
    if programs is None:
        missing = "there is no PostgreSQL server: apt-get install postgresql"
    elif importlib.util.find_spec("psycopg") is None:
        missing = "there is no psycopg: pip install 'umi-cli[postgres]'"
    if missing is not None or programs is None:
        (pytest.fail if MUST_NOT_SKIP in os.environ else pytest.skip)(str(missing))
    server = Server(programs)
    yield server
    server.stop()


@pytest.fixture(params=BACK_ENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Return where a journal can be made."""
    if request.param == "sqlite":
        path = tmp_path / "line.db"
        made = Place(url=str(path), path=path)
    else:
        server = request.getfixturevalue("server")
        made = Place(url=server.url(server.new_database()), server=server)
    with made.open_ones:
        yield made


@pytest.fixture
def journal(place: Place) -> Journal:
    return place.open()


@pytest.fixture
def at_home(server: Server) -> Iterator[Place]:
    """Return a journal on PostgreSQL alone."""
    place = Place(url=server.url(server.new_database()), server=server)
    with place.open_ones:
        yield place


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    """Return a line to the server that can be cut."""
    line = Line(server.port)
    yield line
    line.close()


@pytest.fixture
def cut_place(server: Server, line: Line) -> Iterator[Place]:
    """Return a journal behind that line."""
    place = Place(url=server.url(server.new_database(), port=line.port), server=server)
    with place.open_ones:
        yield place
