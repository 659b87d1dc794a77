"""A journal on a real PostgreSQL server, which is restarted, and on lines that are cut."""

import importlib
import random
import sys
import threading
import time
from typing import Any

import pytest

from tests.provision import worker
from tests.provision.conftest import Place
from tests.provision.server import GUARDED_USER, PASSWORD, Line, Server
from tests.provision.test_killed import take_soon
from tests.provision.worker import IDS, start
from tests.transports.ends import in_thread
from umi_cli.errors import ConflictError, InputError, JournalError, KeyUnusableError
from umi_cli.provision.journal import Journal, Phase, open_journal
from umi_cli.provision.postgres_address import PostgresAddress

SEEDS = range(4)
RECORDS = 60


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    module = importlib.import_module("umi_cli.provision.postgres_journal")
    monkeypatch.setattr(module, "RETRY_DELAYS_S", (0.0, 0.01))
    monkeypatch.setattr(module, "RELOCK_S", 0.3)


def numbers(journal: Journal) -> list[int]:
    return [entry.data["number"] for entry in journal.entries() if entry.step == "count"]


# Lines that are cut


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cut_line_loses_nothing_and_doubles_nothing(
    cut_place: Place, line: Line, seed: int
) -> None:
    rng = random.Random(seed)
    journal = cut_place.open()
    values = []
    for number in range(RECORDS):
        line.cut_at_random(rng)
        entry = journal.record("unit", "count", Phase.OBSERVED, {"number": number})
        assert entry.data == {"number": number}
        values.append(journal.allot(f"unit{number}", "umi-id", IDS))
    assert line.cuts > RECORDS / 4
    assert numbers(journal) == list(range(RECORDS))
    assert values == [f"{0x00237EFE00100000 + number:016X}" for number in range(RECORDS)]
    assert journal.verify().number == 2 * RECORDS


def test_a_lost_answer_to_a_commit_is_found_again(cut_place: Place, line: Line) -> None:
    """Every length of an answer, of which one is the commit's."""
    journal = cut_place.open()
    for length in range(1, 1000, 25):
        line.cut_after("in", length)
        journal.record("unit", "count", Phase.OBSERVED, {"number": length})
    assert numbers(journal) == list(range(1, 1000, 25))


@pytest.mark.usefixtures("impatient")
def test_a_call_that_failed_is_safe_to_repeat(cut_place: Place, line: Line) -> None:
    """The caller is told after a few tries; whether it was written or not, it is then once."""
    journal, direct = cut_place.open(), cut_place.open("watcher", cut_place.server_url)
    landed, lengths = set(), range(1, 700, 20)
    for length in lengths:
        before = direct.head().number
        line.repair()
        line.cut_after("in", length)
        line.stays_down = True
        try:
            journal.record("unit", "count", Phase.OBSERVED, {"number": length})
        except JournalError:
            landed.add(direct.head().number > before)
            line.stays_down = False
            line.repair()
            journal.record("unit", "count", Phase.OBSERVED, {"number": length})
    assert landed == {False, True}
    assert numbers(direct) == list(lengths)


def test_finishing_is_not_refused_for_having_been_done(cut_place: Place, line: Line) -> None:
    journal = cut_place.open()
    for number, length in enumerate(range(1, 700, 25)):
        line.cut_after("in", length)
        journal.finish(f"unit{number}")
    with pytest.raises(ConflictError):
        journal.finish("unit0")


# Locks and lost connections


def test_a_lock_is_taken_again_with_the_connection(cut_place: Place, line: Line) -> None:
    journal, other = cut_place.open(), cut_place.open("station-2", cut_place.server_url)
    with journal.lock("unit"):
        for number in range(5):
            line.cut()
            journal.record("unit", "count", Phase.DONE, {"number": number})
            with pytest.raises(ConflictError), other.lock("unit"):
                pass
    with other.lock("unit"):
        pass


def test_a_lock_is_taken_and_left_on_a_line_that_is_cut(cut_place: Place, line: Line) -> None:
    journal, other = cut_place.open(), cut_place.open("station-2", cut_place.server_url)
    for way, length in [(way, length) for way in ("in", "out") for length in range(1, 250, 12)]:
        line.cut_after(way, length)
        with journal.lock("unit"):
            with pytest.raises(ConflictError), other.lock("unit"):
                pass
            line.cut_after(way, length)
    line.cut()
    take_soon(other, "unit")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("lets_go", [False, True])
def test_a_unit_that_was_taken_meanwhile_is_left_alone(
    cut_place: Place, line: Line, lets_go: bool
) -> None:
    journal, other = cut_place.open(), cut_place.open("station-2", cut_place.server_url)
    other.record("unit", "before", Phase.DONE)
    with journal.lock("unit"):
        line.cut(stay_down=True)
        with pytest.raises(JournalError):
            journal.record("unit", "flash", Phase.REQUESTED)
        lock = other.lock("unit")
        with lock:
            other.record("unit", "flash", Phase.DONE)
            if not lets_go:
                line.repair()
                with pytest.raises(ConflictError, match="another station took unit unit"):
                    journal.record("unit", "flash", Phase.REQUESTED)
        line.repair()
        with pytest.raises(ConflictError, match="another station took unit unit"):
            journal.record("unit", "flash", Phase.REQUESTED)
    journal.record("unit", "later", Phase.DONE)  # the lock is given up, the journal is not
    assert [entry.step for entry in other.entries()] == ["before", "flash", "later"]


# Servers that end


def test_a_server_that_restarts_loses_nothing_and_doubles_nothing(
    at_home: Place, server: Server
) -> None:
    count = 400
    stations = [
        start(worker.count_up, at_home.url, f"unit-{name}", count, name=name) for name in "ab"
    ]
    for heard in (20, 60):
        for station in stations:
            station.hear(heard)
        server.restart()
    for station in stations:
        facts = station.end()
        assert [int(fact[1]) for fact in facts] == list(range(count))
    journal = at_home.open()
    journal.verify()
    by_number = {entry.number: entry for entry in journal.entries()}
    assert len(by_number) == 2 * count
    for station in stations:
        for _, number, entry in station.facts:
            assert by_number[int(entry)].data == {"number": int(number)}


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_gone_is_an_error_after_a_few_tries(cut_place: Place, line: Line) -> None:
    journal = cut_place.open()
    line.cut(stay_down=True)
    for call in (
        lambda: journal.record("unit", "step", Phase.DONE),
        lambda: journal.state("unit"),
        lambda: journal.allot("unit", "umi-id", IDS),
        journal.head,
    ):
        with pytest.raises(JournalError, match="cannot use the journal") as caught:
            call()
        assert caught.value.hint
    with pytest.raises(JournalError):
        cut_place.open()
    line.repair()
    assert journal.allot("unit", "umi-id", IDS) == "00237EFE00100000"


def test_a_newer_journal_is_refused(at_home: Place) -> None:
    at_home.open().close()
    at_home.execute("UPDATE umi_journal SET version = 99")
    with pytest.raises(JournalError, match="newer umi-cli"):
        at_home.open()


def test_a_foreign_table_is_no_journal(at_home: Place) -> None:
    at_home.execute("CREATE TABLE umi_journal (name TEXT)")
    with pytest.raises(JournalError, match="cannot use the journal"):
        at_home.open()


def test_a_writer_that_hangs_is_named(at_home: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("umi_cli.provision.postgres_journal")
    monkeypatch.setitem(module.SETTINGS, "lock_timeout", "200ms")
    at_home.open().close()
    writer = start(worker.grab_writing, at_home.url)
    writer.hear(1)
    journal = at_home.open()
    with pytest.raises(JournalError, match="held by another station"):
        journal.record("unit", "step", Phase.DONE)
    writer.kill()
    journal.record("unit", "step", Phase.DONE)


def test_a_unit_whose_station_ends_this_moment_is_waited_for(at_home: Place) -> None:
    """As after a kill: until the server has seen it, the unit looks as if somebody were at work."""
    is_locked = threading.Event()

    def end_soon() -> None:
        with at_home.open("station-1") as journal, journal.lock("unit"):
            is_locked.set()
            time.sleep(0.3)

    with in_thread(end_soon):
        assert is_locked.wait(10)
        with at_home.open("heir") as journal, journal.lock("unit"):
            journal.record("unit", "step", Phase.DONE)


def test_a_server_that_may_forget_is_warned_of(at_home: Place) -> None:
    at_home.open()
    assert any("fsync off" in warning for warning in at_home.warnings)  # the tests' own has


# Passwords


def test_the_password_comes_from_its_source_and_shows_nowhere(
    server: Server, tmp_path: Any, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    database = server.new_database()
    server.execute(
        database,
        f"CREATE ROLE {GUARDED_USER} LOGIN SUPERUSER PASSWORD '{PASSWORD}'",
    )
    url = server.url(database, user=GUARDED_USER)
    secret, passfile = tmp_path / "secret", tmp_path / "pgpass"
    for path, text in ((secret, f"{PASSWORD}\n"), (passfile, f"*:*:*:*:{PASSWORD}\n")):
        path.write_text(text)
        path.chmod(0o600)
    place = Place(url=f"{url}?password-source=file:{secret}", server=server)
    with place.open() as journal:
        journal.record("unit", "step", Phase.DONE)
    with Place(url=f"{url}?passfile={passfile}").open() as journal:
        assert journal.head().number == 1
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    with Place(url=url).open() as journal:
        assert journal.head().number == 1
    monkeypatch.delenv("PGPASSFILE")
    monkeypatch.setenv("LINE_PASSWORD", "wrong-horse-9d1c")
    with pytest.raises(JournalError) as caught:
        Place(url=f"{url}?password-source=env:LINE_PASSWORD").open()
    said = f"{caught.value} {caught.value.hint} {caught.value.__cause__!r}" + "".join(
        capfd.readouterr()
    )
    assert "wrong-horse-9d1c" not in said
    assert PASSWORD not in said
    rows = server.execute(database, "SELECT data FROM umi_entries")
    assert PASSWORD not in repr(rows)
    assert PASSWORD not in server.log().replace(f"PASSWORD '{PASSWORD}'", "")


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://umi:{PASSWORD}@host/db",
        "postgresql://umi:@host/db",
        f"postgresql://host/db?password={PASSWORD}",
        f"postgresql://host/db?sslPassword={PASSWORD}",
    ],
)
def test_a_password_in_the_url_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="password cannot stand") as caught:
        open_journal(url, station="s", operator="o", tool="t")
    assert PASSWORD not in f"{caught.value!r}{caught.value.hint}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://host",
        "postgresql://host/a/b",
        "postgresql://host:port/db",
        "postgresql://[::1/db",
        "postgresql://host/db?sslmode",
        "postgresql://host/db?options=-cfsync=off",
    ],
)
def test_urls_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(InputError) as caught:
        open_journal(url, station="s", operator="o", tool="t")
    assert caught.value.hint


def test_a_password_source_that_is_a_password_is_refused() -> None:
    with pytest.raises(KeyUnusableError):
        PostgresAddress.parse("postgresql://host/db?password-source=12345678")


def test_a_url_has_its_parts() -> None:
    address = PostgresAddress.parse(
        "postgresql://line%201@[::1]:5433/umi%20line?sslmode=verify-full&passfile=/etc/pgpass"
    )
    assert address.parameters == {
        "host": "::1",
        "port": "5433",
        "user": "line 1",
        "dbname": "umi line",
        "sslmode": "verify-full",
        "passfile": "/etc/pgpass",
    }
    local = PostgresAddress.parse("postgresql:///db?host=/run/postgresql")
    assert local.parameters == {"dbname": "db", "host": "/run/postgresql"}
    assert str(PostgresAddress.parse("postgresql:///db")) == "database db on the local socket"


def test_without_psycopg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "umi_cli.provision.postgres_journal", raising=False)
    with pytest.raises(JournalError, match="needs psycopg") as caught:
        open_journal("postgresql://host/db", station="s", operator="o", tool="t")
    assert "umi-cli[postgres]" in caught.value.hint
