"""Whatever is done to a journal behind its back is found, and named by its entry."""

from typing import Any

import pytest

from tests.provision.conftest import Place
from tests.provision.worker import IDS
from umi_cli.errors import TamperedError
from umi_cli.provision.chain import entry_of, row_of
from umi_cli.provision.journal import Head, Phase

ENTRIES = 8


@pytest.fixture
def written(place: Place) -> Place:
    """Return a journal of eight entries, of which the second and the last give a value."""
    with place.open() as journal:
        journal.record("a", "flash", Phase.REQUESTED, {"n": 1})
        journal.allot("a", "umi-id", IDS)
        for number in range(3, ENTRIES):
            journal.record("a", f"step-{number}", Phase.DONE, {"n": number})
        journal.claim("b", "serial", "X7")
        assert journal.verify().number == ENTRIES
    return place


def found(place: Place, head: Head | None = None) -> int:
    """Return which entry `verify` names."""
    with place.open() as journal, pytest.raises(TamperedError) as caught:
        journal.verify(head)
    assert caught.value.exit_code == 52
    assert f"entry {caught.value.number} " in str(caught.value)
    return caught.value.number


def blob(place: Place, hex_digits: str) -> str:
    return f"'\\x{hex_digits}'" if place.server else f"x'{hex_digits}'"


@pytest.mark.parametrize(
    "change",
    [
        "time = '2026-11-22T10:00:00.000000Z'",
        "time = '0001-01-01T00:00:00.000000+23:59'",
        "time = 'yesterday'",
        "station = 'station-2'",
        "operator = 'somebody'",
        "tool = '0.2.0'",
        "unit = 'b'",
        "step = 'step-9'",
        "step = '@allot'",
        "phase = 'failed'",
        "phase = 'perhaps'",
        """data = '{"n":4}'""",
        """data = '{"n": 3}'""",
        """data = '{"n":3,"n":3}'""",
        """data = '{"n":NaN}'""",
        "data = '[]'",
        "data = '{'",
    ],
)
def test_a_changed_entry_is_found(written: Place, change: str) -> None:
    written.tamper(f"UPDATE umi_entries SET {change} WHERE number = 3")
    assert found(written) == 3


@pytest.mark.parametrize("column", ["previous", "digest"])
@pytest.mark.parametrize("digits", ["00" * 32, "00"])
def test_a_changed_digest_is_found(written: Place, column: str, digits: str) -> None:
    written.tamper(f"UPDATE umi_entries SET {column} = {blob(written, digits)} WHERE number = 3")
    assert found(written) == 3


@pytest.mark.parametrize("number", [1, 3, 7])
def test_a_removed_entry_is_found(written: Place, number: int) -> None:
    written.tamper(f"DELETE FROM umi_entries WHERE number = {number}")
    assert found(written) == number


def test_a_removed_entry_is_found_where_the_others_move_up(written: Place) -> None:
    written.tamper(
        "DELETE FROM umi_entries WHERE number = 3",
        "UPDATE umi_entries SET number = -number WHERE number > 3",
        "UPDATE umi_entries SET number = -number - 1 WHERE number < 0",
    )
    assert found(written) == 3


def test_entries_in_another_order_are_found(written: Place) -> None:
    written.tamper(
        "UPDATE umi_entries SET number = 99 WHERE number = 3",
        "UPDATE umi_entries SET number = 3 WHERE number = 4",
        "UPDATE umi_entries SET number = 4 WHERE number = 99",
    )
    assert found(written) == 3


def rewritten(place: Place, start: int, end: int) -> None:
    """Change an entry and make the digests anew, from there to another one."""
    with place.open() as journal:
        entries = list(journal.entries())
    author_head = entries[start - 2].head
    statements = []
    for entry in entries[start - 1 : end]:
        forged = forge(entry, author_head)
        author_head = forged.head
        statements.append(
            f"UPDATE umi_entries SET station = 'forged', "
            f"previous = {blob(place, forged.previous.hex())}, "
            f"digest = {blob(place, forged.digest.hex())} WHERE number = {entry.number}"
        )
    place.tamper(*statements)


def forge(entry: Any, head: Head) -> Any:
    from umi_cli.provision.chain import Draft

    names = ("time", "operator", "tool", "unit", "step", "phase", "data")
    fields = {name: getattr(entry, name) for name in names}
    return Draft(station="forged", **fields).after(head)


def test_an_entry_with_a_digest_made_anew_is_found_by_the_next_one(written: Place) -> None:
    rewritten(written, 3, 3)
    assert found(written) == 4


def test_a_journal_written_anew_is_found_by_a_head(written: Place) -> None:
    with written.open() as journal:
        head = journal.head()
    rewritten(written, 3, ENTRIES)
    with written.open() as journal:
        assert journal.verify() != head  # the chain alone cannot tell
    assert found(written, head) == ENTRIES


def test_a_lost_end_is_found_by_a_head(place: Place) -> None:
    with place.open() as journal:
        for number in range(6):
            journal.record("a", "step", Phase.DONE, {"n": number})
        early, head = next(iter(journal.entries())).head, journal.head()
    place.tamper("DELETE FROM umi_entries WHERE number > 4")
    assert found(place, head) == 5
    with place.open() as journal:
        assert journal.verify(early).number == 4  # a head from before says nothing of it
        journal.record("a", "step", Phase.DONE, {"n": "other"})
        journal.record("a", "step", Phase.DONE, {"n": "other"})
    assert found(place, head) == 6


def test_a_lost_end_that_gave_a_value_is_found_without_a_head(written: Place) -> None:
    written.tamper(f"DELETE FROM umi_entries WHERE number = {ENTRIES}")
    assert found(written) == ENTRIES


def test_a_journal_that_lost_everything_is_found_by_a_head(place: Place) -> None:
    with place.open() as journal:
        head = journal.record("a", "step", Phase.DONE).head
    place.tamper("DELETE FROM umi_entries")
    assert found(place, head) == 1


def test_an_empty_journal_has_a_head(place: Place) -> None:
    with place.open() as journal:
        assert journal.verify(journal.head()) == Head(number=0)
        journal.record("a", "step", Phase.DONE)
        assert journal.verify(Head(number=0)).number == 1
    assert found(place, Head(number=0, digest=bytes([1] * 32))) == 0


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ("DELETE FROM umi_allotments WHERE unit = 'a'", 2),
        ("UPDATE umi_allotments SET unit = 'c' WHERE unit = 'a'", 2),
        ("UPDATE umi_allotments SET value = '00237EFE00100005' WHERE unit = 'a'", 2),
        ("INSERT INTO umi_allotments VALUES ('serial', 'X8', 'c', 3, '@claim')", 3),
    ],
)
def test_a_table_of_values_that_was_changed_is_found(
    written: Place, change: str, number: int
) -> None:
    written.tamper(change)
    assert found(written) == number


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE umi_entries SET step = 'x'",
        "DELETE FROM umi_entries",
        "UPDATE umi_allotments SET unit = 'x'",
        "DELETE FROM umi_allotments",
    ],
)
def test_the_database_itself_lets_nobody_change_anything(written: Place, statement: str) -> None:
    with pytest.raises(Exception, match="a journal is only added to"):
        written.execute(statement)
    with written.open() as journal:
        journal.verify()


def test_nothing_is_replaced_in_a_file(written: Place) -> None:
    if written.path is None:
        with pytest.raises(Exception, match="a journal is only added to"):
            written.execute("TRUNCATE umi_entries")
        return
    columns = "time, station, operator, tool, unit, step, phase, data, previous, digest, request"
    for number, request in ((3, "x'00'"), (ENTRIES + 1, "request"), (ENTRIES + 5, "x'00'")):
        with pytest.raises(Exception, match="behind all others"):
            written.execute(
                "INSERT OR REPLACE INTO umi_entries SELECT"
                f" {number}, {columns.replace('request', request)} FROM umi_entries"
                " WHERE number = 4"
            )
    with pytest.raises(Exception, match="given once"):
        written.execute(
            "INSERT OR REPLACE INTO umi_allotments VALUES ('serial', 'X7', 'z', 3, '@claim')"
        )


def test_a_row_of_an_entry_is_the_entry(written: Place) -> None:
    with written.open() as journal:
        for entry in journal.entries():
            assert entry_of(row_of(entry)) == entry


def test_a_journal_is_verified_while_others_write(place: Place, monkeypatch: Any) -> None:
    monkeypatch.setattr("umi_cli.provision.ledger.PAGE_ROWS", 2)
    journal, other = place.open(), place.open("station-2")
    for number in range(6):
        journal.allot(f"unit{number}", "umi-id", IDS)
    follow = type(journal)._rows  # type: ignore[attr-defined]

    def rows_and_more(self: Any) -> Any:
        for count, row in enumerate(follow(self)):
            if count < 4:
                other.allot(f"late{count}", "umi-id", IDS)
            yield row

    monkeypatch.setattr(type(journal), "_rows", rows_and_more)
    assert journal.verify().number == 10
