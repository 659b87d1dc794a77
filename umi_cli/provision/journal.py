"""What happened to each unit of a factory line, in a chain that shows every later change.

Each entry holds the SHA-256 of the one before it. What was changed, removed or put elsewhere is
found by walking the chain; what was cut off its end only against a head that was kept elsewhere,
so print or sign one now and then.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, Self

from umi_cli.errors import InputError, JournalError, install_hint

if TYPE_CHECKING:
    from umi_cli.provision.chain import Author
    from umi_cli.provision.pools import Pool

DIGEST_BYTES = 32
NO_DIGEST = bytes(DIGEST_BYTES)  # what the first entry follows


class Phase(Enum):
    """How far a step of a unit is."""

    REQUESTED = "requested"
    """It is going to be done: from here on nobody knows, until one of the others follows."""
    OBSERVED = "observed"
    """The unit was found like that."""
    DONE = "done"
    """It was done, and seen to be."""
    FAILED = "failed"
    """It was not done."""


class UnitStatus(Enum):
    """Where a unit stands."""

    OPEN = "open"
    DONE = "done"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last entry of a journal: who keeps it elsewhere can tell whether any was cut off."""

    number: int
    """0 where there is no entry."""
    digest: bytes = NO_DIGEST
    """32 bytes."""

    def __post_init__(self) -> None:
        if self.number < 0 or len(self.digest) != DIGEST_BYTES:
            raise ValueError("a head is a number and 32 bytes")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `NUMBER:DIGEST`, the digest in hex.

        Raises:
            InputError: it has another form.
        """
        number, _, digest = text.strip().partition(":")
        try:
            return cls(number=int(number), digest=bytes.fromhex(digest))
        except ValueError as error:
            raise InputError(
                f"{text!r} is no head of a journal",
                hint="write the entry's number, a colon and its digest, 64 hex digits",
            ) from error

    def __str__(self) -> str:
        return f"{self.number}:{self.digest.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a journal; it is never changed."""

    number: int
    """1 and up, without a gap."""
    time: datetime
    """In UTC, by the clock of the station."""
    station: str
    operator: str
    tool: str
    """The version of umi-cli that wrote it."""
    unit: str
    step: str
    """A step of the plan, or one of the journal's own, such as `@allot`."""
    phase: Phase
    data: Mapping[str, Any]
    """What JSON can hold; never a secret."""
    previous: bytes
    """The digest of the entry before it."""
    digest: bytes
    """SHA-256 of `previous` and the canonical JSON of all the rest."""

    @property
    def head(self) -> Head:
        """Return the head of a journal that ends here."""
        return Head(number=self.number, digest=self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """What the journal knows of a unit."""

    unit: str
    status: UnitStatus = UnitStatus.OPEN
    done: frozenset[str] = frozenset()
    """The steps that are done."""
    requested: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The data of the steps that were requested last and are not done."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What the unit was given or brought, by kind: "umi-id", "serial", "certificate-serial"."""
    reason: str | None = None
    """Why it is in quarantine."""
    station: str = ""
    """Who wrote of it last; empty where nobody did."""


class Journal(Protocol):
    """The journal of a factory line; one process uses it, many may have it open.

    What a call wrote is on the disk before it returns. A call that ended in `JournalError` may or
    may not have written; it is safe to repeat.
    """

    def allot(self, unit: str, kind: str, pool: "Pool") -> str:
        """Return the unit's value of a kind: the one it has, or the next free one of the pool.

        Raises:
            PoolExhaustedError: there is no free one left.
            ConflictError: the unit has none, and is done or in quarantine.
            JournalError: the journal cannot be used.
        """

    def claim(self, unit: str, kind: str, value: str) -> None:
        """Record a value that comes from outside as the unit's own.

        Raises:
            PlaceholderError: it is a value that nobody was given.
            ConflictError: another unit has it, or the unit has another one.
            JournalError: the journal cannot be used.
        """

    def record(
        self, unit: str, step: str, phase: Phase, data: Mapping[str, Any] | None = None
    ) -> Entry:
        """Record a step of a unit; a unit in quarantine is still written about.

        Raises:
            InputError: JSON cannot hold the data, or a name is none.
            ConflictError: the unit is done.
            JournalError: the journal cannot be used.
        """

    def quarantine(self, unit: str, reason: str) -> None:
        """Set a unit aside, with its values, until somebody releases it."""

    def release(self, unit: str, reason: str) -> None:
        """Open a unit in quarantine again; `ConflictError` if it is in none."""

    def finish(self, unit: str) -> None:
        """Record that a unit is done; `ConflictError` if it was already, or is in quarantine."""

    def lock(self, unit: str) -> AbstractContextManager[None]:
        """Keep other stations off a unit; `ConflictError` if one is at work on it.

        The lock of a process that is gone is free at once; a server may need a moment to see it.
        """

    def state(self, unit: str) -> UnitState:
        """Return what is known of a unit, be it nothing."""

    def units(self) -> Iterator[UnitState]:
        """Yield what is known of each unit, in the order of their first entries."""

    def count_done(self) -> int:
        """Return how many units are done; a line asks after each unit, so no entry is read."""

    def entries(self) -> Iterator[Entry]:
        """Yield all entries; they are read in pieces, and nobody waits meanwhile."""

    def head(self) -> Head:
        """Return the last entry's number and digest."""

    def verify(self, head: Head | None = None) -> Head:
        """Walk the whole chain, and return its head.

        Args:
            head: what the journal's head was once, as it was kept elsewhere.

        Raises:
            TamperedError: an entry was changed, removed, put elsewhere or cut off.
            JournalError: the journal cannot be used.
        """

    def close(self) -> None:
        """Let go of the journal; locks are left before."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


def ignore(message: str) -> None:
    """Let a warning pass."""


def open_journal(
    url: str,
    *,
    station: str,
    operator: str,
    tool: str,
    create: bool = True,
    warn: Callable[[str], None] = ignore,
) -> Journal:
    """Open the journal of a factory line.

    Args:
        url: a file's path, `sqlite:PATH`, or `postgresql://[USER@]HOST[:PORT]/DATABASE[?…]`.
        station: who writes, a name for the place on the line.
        operator: the person, or the job, that the station works for.
        tool: version of umi-cli.
        create: make the journal where there is none.
        warn: told what does not stop the work, but might hurt it.

    Raises:
        InputError: a name or the URL cannot be understood, or the URL holds a password.
        KeyUnusableError: the password's source cannot be read.
        JournalError: there is no such journal, or it cannot be used.
    """
    from umi_cli.provision.chain import Author

    author = Author(station=station, operator=operator, tool=tool)
    scheme, separator, _ = url.partition("://")
    if separator and scheme in ("postgresql", "postgres"):
        return _open_postgres(url, author, create=create, warn=warn)
    if separator:
        raise InputError(
            f"a journal cannot be at {scheme}://", hint="name a file, or postgresql://HOST/DATABASE"
        )
    from umi_cli.provision.sqlite_journal import SqliteJournal

    return SqliteJournal(url.removeprefix("sqlite:"), author, create=create, warn=warn)


def _open_postgres(
    url: str, author: "Author", *, create: bool, warn: Callable[[str], None]
) -> Journal:
    from umi_cli.provision.postgres_address import PostgresAddress

    address = PostgresAddress.parse(url)
    try:
        from umi_cli.provision.postgres_journal import PostgresJournal
    except ImportError as error:
        raise JournalError(
            "a journal on PostgreSQL needs psycopg, which cannot be imported",
            hint=install_hint("postgres"),
        ) from error
    return PostgresJournal(address, author, create=create, warn=warn)
