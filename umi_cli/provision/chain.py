"""How an entry is written, and how the chain of entries is walked.

An entry's digest is the SHA-256 of the digest before it and of its own canonical JSON without the
two digests: keys in order, no spaces, ASCII.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from umi_cli.crypto import sha256
from umi_cli.errors import InputError, TamperedError
from umi_cli.provision.journal import Entry, Head, Phase
from umi_cli.provision.states import ALLOT, CLAIM, QUARANTINE

MAX_NAME_CHARS = 200  # of a unit, a step, a station: more is a mistake in a script
MAX_DATA_CHARS = 1 << 20  # a record is evidence, no archive

_OWN_DATA = {ALLOT: ("kind", "value"), CLAIM: ("kind", "value"), QUARANTINE: ("reason",)}
"""The texts that the journal's own steps have in their data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An entry before it has its place in the chain."""

    time: datetime
    station: str
    operator: str
    tool: str
    unit: str
    step: str
    phase: Phase
    data: Mapping[str, Any]

    def after(self, head: Head) -> Entry:
        """Return the entry that follows a head."""
        number = head.number + 1
        return Entry(
            number=number,
            time=self.time,
            station=self.station,
            operator=self.operator,
            tool=self.tool,
            unit=self.unit,
            step=self.step,
            phase=self.phase,
            data=self.data,
            previous=head.digest,
            digest=sha256(head.digest + self._canonical(number)),
        )

    def _canonical(self, number: int) -> bytes:
        record = {
            "number": number,
            "time": time_text(self.time),
            "station": self.station,
            "operator": self.operator,
            "tool": self.tool,
            "unit": self.unit,
            "step": self.step,
            "phase": self.phase.value,
            "data": self.data,
        }
        return canonical_json(record).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who writes a journal."""

    station: str
    operator: str
    tool: str
    """Version of umi-cli."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        check_name(self.station, "station")
        check_name(self.operator, "operator")
        check_name(self.tool, "version")

    def draft(self, unit: str, step: str, phase: Phase, data: Mapping[str, Any]) -> Draft:
        """Return a draft of what happens now."""
        return Draft(
            time=self.now(),
            station=self.station,
            operator=self.operator,
            tool=self.tool,
            unit=unit,
            step=step,
            phase=phase,
            data=data,
        )


def check_name(text: str, what: str) -> None:
    """Check a name that stands in entries.

    Raises:
        InputError: it is empty, too long, or has spaces around it or characters that do not print.
    """
    if not text or text != text.strip() or not text.isprintable():
        raise InputError(f"{text!r} is no name of a {what}", hint="write letters, digits, -, _, .")
    if len(text) > MAX_NAME_CHARS:
        raise InputError(f"the name of a {what} has more than {MAX_NAME_CHARS} characters")


def canonical_json(record: Mapping[str, Any]) -> str:
    """Return the one JSON text of a record: keys in order, no spaces, ASCII.

    Raises:
        InputError: JSON cannot hold it, or it is too long.
    """
    try:
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"JSON cannot hold the data of a step: {error}") from error
    if len(text) > MAX_DATA_CHARS:
        raise InputError(f"the data of a step has {len(text)} characters, which is too much")
    return text


def time_text(time: datetime) -> str:
    """Return a time in UTC as RFC 3339 with microseconds."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


# The order of the columns in which back ends keep an entry.
COLUMNS = "number, time, station, operator, tool, unit, step, phase, data, previous, digest"


def row_of(entry: Entry) -> tuple[Any, ...]:
    """Return an entry as the row of a table, in the order of `COLUMNS`."""
    return (
        entry.number,
        time_text(entry.time),
        entry.station,
        entry.operator,
        entry.tool,
        entry.unit,
        entry.step,
        entry.phase.value,
        canonical_json(entry.data),
        entry.previous,
        entry.digest,
    )


def entry_of(row: tuple[Any, ...]) -> Entry:
    """Return the entry of a row.

    Raises:
        TamperedError: no entry was ever written like that.
    """
    number, time, station, operator, tool, unit, step, phase, data, previous, digest = row
    try:
        return Entry(
            number=number,
            time=_time_of(time),
            station=station,
            operator=operator,
            tool=tool,
            unit=unit,
            step=step,
            phase=Phase(phase),
            data=_data_of(step, data),
            previous=Head(number=number - 1, digest=previous).digest,
            digest=Head(number=number, digest=digest).digest,
        )
    except (ValueError, OverflowError, RecursionError, InputError) as error:
        raise TamperedError(f"entry {number} of the journal was changed", number=number) from error


def _time_of(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time_text(time) != text:
        raise ValueError("a time is written in one way")
    return time


def _data_of(step: str, text: str) -> Mapping[str, Any]:
    data = json.loads(text)
    if not isinstance(data, dict) or canonical_json(data) != text:
        raise ValueError("the data of an entry is an object, written in one way")
    if not all(isinstance(data.get(name), str) for name in _OWN_DATA.get(step, ())):
        raise ValueError("the journal's own steps have their own data")
    return data


class Chain:
    """A walk along a journal from its first entry on."""

    def __init__(self) -> None:
        self.head = Head(number=0)

    def follow(self, row: tuple[Any, ...]) -> Entry:
        """Take the row of the next entry, and return it.

        Raises:
            TamperedError: it is not the next one, or not as it was written.
        """
        number = self.head.number + 1
        if row[0] != number:
            raise TamperedError(f"entry {number} of the journal was removed", number=number)
        entry = entry_of(row)
        expected = _draft_of(entry).after(Head(number=number - 1, digest=entry.previous))
        if expected.digest != entry.digest:
            raise TamperedError(f"entry {number} of the journal was changed", number=number)
        if entry.previous != self.head.digest:
            raise TamperedError(
                f"entry {number} of the journal does not follow entry {number - 1}: "
                "one of them was replaced",
                number=number,
            )
        self.head = entry.head
        return entry


def _draft_of(entry: Entry) -> Draft:
    return Draft(
        time=entry.time,
        station=entry.station,
        operator=entry.operator,
        tool=entry.tool,
        unit=entry.unit,
        step=entry.step,
        phase=entry.phase,
        data=entry.data,
    )
