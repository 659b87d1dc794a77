"""What a unit's entries say of it: the steps that are done, its values, its status."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from umi_cli.provision.journal import Entry, Phase, UnitState, UnitStatus

# The journal's own steps; a plan's steps do not begin with @.
ALLOT = "@allot"
CLAIM = "@claim"
QUARANTINE = "@quarantine"
RELEASE = "@release"
FINISH = "@finish"
STATUS_AFTER = {
    FINISH: UnitStatus.DONE,
    QUARANTINE: UnitStatus.QUARANTINED,
    RELEASE: UnitStatus.OPEN,
}
"""The status that a step of the journal gives a unit; a unit without any is open."""


class _Tally:
    """The state of a unit, entry by entry."""

    def __init__(self) -> None:
        self._status = UnitStatus.OPEN
        self._done: set[str] = set()
        self._requested: dict[str, Mapping[str, Any]] = {}
        self._values: dict[str, str] = {}
        self._reason: str | None = None
        self._station = ""

    def add(self, entry: Entry) -> None:
        """Take the next entry of the unit."""
        self._station = entry.station
        if entry.step in (ALLOT, CLAIM):
            self._values[entry.data["kind"]] = entry.data["value"]
        elif entry.step in STATUS_AFTER:
            self._status = STATUS_AFTER[entry.step]
            self._reason = entry.data["reason"] if entry.step == QUARANTINE else None
        else:
            self._add_step(entry)

    def _add_step(self, entry: Entry) -> None:
        if entry.phase is Phase.REQUESTED:
            self._requested[entry.step] = entry.data
        if entry.phase in (Phase.REQUESTED, Phase.FAILED):
            self._done.discard(entry.step)
        if entry.phase is Phase.DONE:
            self._requested.pop(entry.step, None)
            self._done.add(entry.step)

    def state(self, unit: str) -> UnitState:
        """Return what is known now."""
        return UnitState(
            unit=unit,
            status=self._status,
            done=frozenset(self._done),
            requested=dict(self._requested),
            values=dict(self._values),
            reason=self._reason,
            station=self._station,
        )


def state_of(unit: str, entries: Iterable[Entry]) -> UnitState:
    """Return what a unit's entries, in their order, say of it."""
    tally = _Tally()
    for entry in entries:
        tally.add(entry)
    return tally.state(unit)


def states_of(entries: Iterable[Entry]) -> Iterator[UnitState]:
    """Yield what a journal says of each unit, in the order of their first entries."""
    tallies: dict[str, _Tally] = {}
    for entry in entries:
        tallies.setdefault(entry.unit, _Tally()).add(entry)
    for unit, tally in tallies.items():
        yield tally.state(unit)
