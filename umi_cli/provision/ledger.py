"""How a journal is kept in two tables, whatever database they are in.

`umi_entries` is the chain. `umi_allotments` says which unit has which value; it repeats what stands
in the chain, for its unique keys hold what must never happen: a value with two units. Rows are
added to both, and never changed.
"""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self, TypeVar

from umi_cli.errors import (
    ConflictError,
    InputError,
    JournalError,
    PoolExhaustedError,
    TamperedError,
)
from umi_cli.provision.chain import (
    COLUMNS,
    Author,
    Chain,
    canonical_json,
    check_name,
    entry_of,
    row_of,
)
from umi_cli.provision.journal import Entry, Head, Phase, UnitState, UnitStatus
from umi_cli.provision.pools import Pool, checked_value, is_placeholder
from umi_cli.provision.states import (
    ALLOT,
    CLAIM,
    FINISH,
    QUARANTINE,
    RELEASE,
    STATUS_AFTER,
    state_of,
    states_of,
)

KEY_BYTES = 16
PAGE_ROWS = 500  # how many entries are read at once
Row = tuple[Any, ...]
R = TypeVar("R")


class Page(Protocol):
    """The tables, while nobody else writes to them."""

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Run a statement, with a ? for each value, and return its rows."""


Work = Callable[[Page], R]


class Ledger(ABC):
    """A journal in tables. A back end says how to run a transaction and how to lock a unit."""

    def __init__(self, author: Author) -> None:
        self._author = author
        self._unsettled: dict[str, bytes] = {}

    @abstractmethod
    def _transact(self, work: Work[R]) -> R:
        """Run work in a transaction that overlaps no other, and return what is durable.

        The work may be run several times, and an earlier run may have been committed.
        """

    @abstractmethod
    def _look(self, sql: str, *values: Any) -> list[Row]:
        """Read rows; others may write meanwhile."""

    @abstractmethod
    def _check_store(self) -> None:
        """Have the database look for damage of its own; `JournalError` where it finds any."""

    @abstractmethod
    def lock(self, unit: str) -> AbstractContextManager[None]:
        """Keep other stations off a unit (`Journal.lock`)."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the journal (`Journal.close`)."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # What is written

    def allot(self, unit: str, kind: str, pool: Pool) -> str:
        """Return the unit's value of a kind, out of a pool (`Journal.allot`)."""

        def choose(page: Page) -> tuple[str, dict[str, str]]:
            return _next_free(page, kind, pool), {"pool": pool.name}

        return self._give(unit, kind, ALLOT, choose)

    def claim(self, unit: str, kind: str, value: str) -> None:
        """Record a value that comes from outside (`Journal.claim`)."""
        wanted = checked_value(kind, value)

        def choose(page: Page) -> tuple[str, dict[str, str]]:
            owner = _owner(page, kind, wanted)
            if owner is not None:
                raise ConflictError(f"{kind} {wanted} belongs to unit {owner} already")
            return wanted, {}

        given = self._give(unit, kind, CLAIM, choose)
        if given != wanted:
            raise ConflictError(f"unit {unit} has the {kind} {given} already, not {wanted}")

    def _give(
        self, unit: str, kind: str, step: str, choose: Work[tuple[str, dict[str, str]]]
    ) -> str:
        """Return the value that a unit has, or give it the one that is chosen."""
        check_name(unit, "unit")
        check_name(kind, "kind of value")

        def work(page: Page) -> str:
            found = page.rows(
                "SELECT value FROM umi_allotments WHERE unit = ? AND kind = ?", unit, kind
            )
            if found:
                return str(found[0][0])
            _require(page, unit, UnitStatus.OPEN)
            value, more = choose(page)
            data = {"kind": kind, "value": value, **more}
            entry = self._append(page, new_key(), unit, step, Phase.DONE, data)
            page.rows(
                "INSERT INTO umi_allotments (kind, value, unit, number, origin)"
                " VALUES (?, ?, ?, ?, ?)",
                *(kind, value, unit, entry.number, step),
            )
            return value

        return self._transact(work)

    def record(
        self, unit: str, step: str, phase: Phase, data: Mapping[str, Any] | None = None
    ) -> Entry:
        """Record a step of a unit (`Journal.record`)."""
        check_name(step, "step")
        if step.startswith("@"):
            raise InputError(f"a step cannot be called {step}", hint="names with @ are our own")
        allowed = (UnitStatus.OPEN, UnitStatus.QUARANTINED)
        return self._write(unit, step, phase, data or {}, allowed)

    def quarantine(self, unit: str, reason: str) -> None:
        """Set a unit aside (`Journal.quarantine`)."""
        self._write(unit, QUARANTINE, Phase.FAILED, {"reason": reason}, tuple(UnitStatus))

    def release(self, unit: str, reason: str) -> None:
        """Open a unit in quarantine again (`Journal.release`)."""
        allowed = (UnitStatus.QUARANTINED,)
        self._write(unit, RELEASE, Phase.DONE, {"reason": reason}, allowed)

    def finish(self, unit: str) -> None:
        """Record that a unit is done (`Journal.finish`)."""
        self._write(unit, FINISH, Phase.DONE, {}, (UnitStatus.OPEN,))

    def _write(
        self,
        unit: str,
        step: str,
        phase: Phase,
        data: Mapping[str, Any],
        allowed: tuple[UnitStatus, ...],
    ) -> Entry:
        """Write an entry once, however often its transaction is run."""
        check_name(unit, "unit")
        content = canonical_json({"unit": unit, "step": step, "phase": phase.value, "data": data})
        key = self._unsettled.pop(content, None) or new_key()

        def work(page: Page) -> Entry:
            written = page.rows(f"SELECT {COLUMNS} FROM umi_entries WHERE request = ?", key)
            if written:
                return entry_of(written[0])
            _require(page, unit, *allowed)
            return self._append(page, key, unit, step, phase, data)

        try:
            return self._transact(work)
        except JournalError:
            # It may have been written: the same call, made again, must not write it twice.
            self._unsettled[content] = key
            raise

    def _append(
        self, page: Page, key: bytes, unit: str, step: str, phase: Phase, data: Mapping[str, Any]
    ) -> Entry:
        draft = self._author.draft(unit, step, phase, data)
        row = row_of(draft.after(_head(page)))
        marks = ", ".join("?" for _ in (*row, key))
        page.rows(f"INSERT INTO umi_entries ({COLUMNS}, request) VALUES ({marks})", *row, key)
        return entry_of(row)

    # What is read

    def state(self, unit: str) -> UnitState:
        """Return what is known of a unit (`Journal.state`)."""
        rows = self._look(f"SELECT {COLUMNS} FROM umi_entries WHERE unit = ? ORDER BY number", unit)
        return state_of(unit, map(entry_of, rows))

    def units(self) -> Iterator[UnitState]:
        """Yield what is known of each unit (`Journal.units`)."""
        return states_of(self.entries())

    def count_done(self) -> int:
        """Return how many units are done (`Journal.count_done`)."""
        return int(self._look(_COUNT_DONE)[0][0])

    def entries(self) -> Iterator[Entry]:
        """Yield all entries (`Journal.entries`)."""
        return map(entry_of, self._rows())

    def _rows(self) -> Iterator[Row]:
        last = 0
        while rows := self._look(
            f"SELECT {COLUMNS} FROM umi_entries WHERE number > ? ORDER BY number LIMIT {PAGE_ROWS}",
            last,
        ):
            yield from rows
            last = rows[-1][0]

    def head(self) -> Head:
        """Return the last entry's number and digest (`Journal.head`)."""
        return _head_of(self._look(_HEAD))

    def verify(self, head: Head | None = None) -> Head:
        """Walk the whole chain (`Journal.verify`)."""
        self._check_store()
        before = self.head().number
        # Taken first: each of these has its entry by now, whatever others write meanwhile.
        kept = {row[:2]: row[2:] for row in self._look(_ALLOTMENTS)}
        chain, given = Chain(), dict[Row, Row]()
        for row in self._rows():
            entry = chain.follow(row)
            if entry.step in (ALLOT, CLAIM):
                self._check_given(entry, kept, is_old=entry.number <= before)
                place = (entry.data["kind"], entry.data["value"])
                given[place] = (entry.unit, entry.number, entry.step)
            if head is not None and head.number == entry.number:
                _check_head(head, entry.head)
        _check_end(chain.head, head)
        _check_kept(kept, given, chain.head)
        return chain.head

    def _check_given(self, entry: Entry, kept: Mapping[Row, Row], *, is_old: bool) -> None:
        found = kept.get((entry.data["kind"], entry.data["value"]))
        is_right = found == (entry.unit, entry.number, entry.step)
        if not is_right and (is_old or found is not None):
            raise TamperedError(
                f"entry {entry.number} of the journal gives unit {entry.unit} a value that the "
                "table of values has lost",
                number=entry.number,
            )


_HEAD = "SELECT number, digest FROM umi_entries ORDER BY number DESC LIMIT 1"
_ALLOTMENTS = "SELECT kind, value, unit, number, origin FROM umi_allotments"
_IN_STATUS_STEPS = ", ".join(f"'{step}'" for step in STATUS_AFTER)
_COUNT_DONE = (
    f"SELECT count(*) FROM umi_entries AS done WHERE step = '{FINISH}' AND NOT EXISTS"
    " (SELECT 1 FROM umi_entries AS later WHERE later.unit = done.unit"
    f" AND later.number > done.number AND later.step IN ({_IN_STATUS_STEPS}))"
)


def new_key() -> bytes:
    """Return what a write is known by, in case its outcome is lost on the way back."""
    return secrets.token_bytes(KEY_BYTES)


def _head(page: Page) -> Head:
    return _head_of(page.rows(_HEAD))


def _head_of(rows: list[Row]) -> Head:
    return Head(number=rows[0][0], digest=rows[0][1]) if rows else Head(number=0)


def _require(page: Page, unit: str, *allowed: UnitStatus) -> None:
    """Check where a unit stands; `ConflictError` if that does not allow what is to be written."""
    rows = page.rows(
        "SELECT step FROM umi_entries"
        f" WHERE unit = ? AND step IN ({_IN_STATUS_STEPS}) ORDER BY number DESC LIMIT 1",
        unit,
    )
    status = STATUS_AFTER[rows[0][0]] if rows else UnitStatus.OPEN
    if status in allowed:
        return
    message, hint = {
        UnitStatus.OPEN: ("is not in quarantine", ""),
        UnitStatus.DONE: ("is provisioned already", "see what is known of it in the journal"),
        UnitStatus.QUARANTINED: ("is in quarantine", "release it first, once the reason is gone"),
    }[status]
    raise ConflictError(f"unit {unit} {message}", hint=hint)


def _owner(page: Page, kind: str, value: str) -> str | None:
    """Return the unit that has a value."""
    rows = page.rows("SELECT unit FROM umi_allotments WHERE kind = ? AND value = ?", kind, value)
    return str(rows[0][0]) if rows else None


def _next_free(page: Page, kind: str, pool: Pool) -> str:
    """Return the first value of a pool behind the last one of each range that was allotted."""
    for span in pool.ranges:
        first, last = span.value(span.first), span.value(span.last)
        rows = page.rows(
            f"SELECT value FROM umi_allotments WHERE kind = ? AND origin = '{ALLOT}'"
            " AND value BETWEEN ? AND ? AND length(value) = ? ORDER BY value DESC LIMIT 1",
            *(kind, first, last, len(first)),
        )
        for value in span.values_after(rows[0][0] if rows else None):
            if not is_placeholder(kind, value) and _owner(page, kind, value) is None:
                return value
    raise PoolExhaustedError(f"the pool {pool.name!r} has no {kind} left: {len(pool)} are given")


def _check_head(head: Head, found: Head) -> None:
    if head != found:
        raise TamperedError(
            f"entry {head.number} of the journal is not the one that the head was taken of: "
            "it, or one before it, was rewritten",
            number=head.number,
        )


def _check_end(end: Head, head: Head | None) -> None:
    """Check that a chain does not end before a head that it once had."""
    if head is not None and head.number > end.number:
        raise TamperedError(
            f"entry {end.number + 1} of the journal was cut off, with all up to {head.number}",
            number=end.number + 1,
        )
    if head is not None and head.number == 0:
        _check_head(head, Head(number=0))


def _check_kept(kept: Mapping[Row, Row], given: Mapping[Row, Row], end: Head) -> None:
    """Check that each value in the table was given by an entry."""
    lost = [row for place, row in kept.items() if given.get(place) != row]
    if lost:
        number = min(min(row[1] for row in lost), end.number + 1)
        raise TamperedError(
            f"entry {number} of the journal was changed or cut off: unit {lost[0][0]} has a value "
            "that no entry gives it",
            number=number,
        )
