"""How watched values look off a terminal: lines, CSV, wire bytes, events, one document."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from umi_cli.cli.context import App
from umi_cli.cli.failure import Failure
from umi_cli.output import streams
from umi_cli.output.parts import Part
from umi_cli.output.render import Table, csv_lines, timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from umi_cli.device.watching import Reading
    from umi_cli.errors import UmiError
    from umi_cli.objects.catalogue import Catalogue
    from umi_cli.objects.values import Value
    from umi_cli.types import ObjectPart

COLUMNS = ("timestamp", "part", "name", "value", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A reading, ready to be shown."""

    part: "ObjectPart"
    label: str
    name: str | None
    time: "datetime"
    found: Part | None
    """None if it failed."""
    error: "UmiError | None"
    has_changed: bool | None
    """Whether the value differs from the last one; None: there is none to compare, or no value."""
    is_news: bool
    """Whether it is the first, or the value has changed, or how it fails has."""

    @property
    def text(self) -> str:
        """Return the value as one line, without what is secret."""
        from umi_cli.objects.values import to_text

        if self.found is None:
            return f"failed: {self.error}"
        if self.found.is_secret:
            return "(secret)"
        return to_text(self.found.value, self.found.units)

    @property
    def record(self) -> dict[str, Any]:
        """Return the record of `--json`."""
        found = {"raw": None, "value": None} if self.found is None else self.found.record
        return {
            "part": str(self.part),
            "name": self.name,
            "timestamp": timestamp(self.time, timespec="milliseconds"),
            "raw": found["raw"],
            "value": found["value"],
            "changed": self.has_changed,
            "error": None if self.error is None else Failure.of(self.error).document,
        }


@dataclass(slots=True)
class _Track:
    """What was read of a part so far."""

    readings: int = 0
    failures: int = 0
    raw: bytes | None = None
    fault: str = ""
    error: "UmiError | None" = None
    lowest: "int | Decimal | None" = None
    highest: "int | Decimal | None" = None

    def take(self, value: "Value") -> None:
        """Count a number towards lowest and highest."""
        number = number_of(value)
        if number is not None:
            self.lowest = number if self.lowest is None else min(self.lowest, number)
            self.highest = number if self.highest is None else max(self.highest, number)


@dataclass(slots=True)
class Tracks:
    """What was read so far, by part.

    Args:
        catalogue: what is known of the parts.
    """

    catalogue: "Catalogue"
    missed: int = 0
    """How many readings were left out."""
    _by_part: "dict[ObjectPart, _Track]" = field(default_factory=dict)

    def take(self, reading: "Reading") -> Shown:
        """Take a reading, and compare it with what came before."""
        track = self._by_part.setdefault(reading.part, _Track())
        track.readings += 1
        is_first = track.readings == 1
        found = None
        has_changed: bool | None = None
        fault = "" if reading.error is None else str(reading.error)
        is_news = is_first or fault != track.fault
        if reading.found is not None:
            value = reading.found
            found = Part.of(self.catalogue, value.part, value.raw, value.value)
            # That a secret has changed says something of it.
            if track.raw is not None and not found.is_secret:
                has_changed = track.raw != value.raw
            if not found.is_secret:
                track.take(value.value)
            track.raw = value.raw
        else:
            track.failures += 1
            track.error = reading.error
        track.fault = fault
        name = self.catalogue.name_of(reading.part)
        return Shown(
            part=reading.part,
            label=name or str(reading.part),
            name=name,
            time=reading.time,
            found=found,
            error=reading.error,
            has_changed=has_changed,
            is_news=is_news or bool(has_changed),
        )

    @property
    def never_read(self) -> "dict[str, UmiError]":
        """Return the parts that gave no value at all, and why in the end."""
        return {
            self.catalogue.name_of(part) or str(part): track.error
            for part, track in self._by_part.items()
            if track.error is not None and track.failures == track.readings
        }

    @property
    def summary(self) -> dict[str, Any]:
        """Return what all the readings came to, for the document."""
        parts = [
            {
                "part": str(part),
                "name": self.catalogue.name_of(part),
                "readings": track.readings,
                "failures": track.failures,
                "lowest": _json(track.lowest),
                "highest": _json(track.highest),
            }
            for part, track in self._by_part.items()
        ]
        return {"parts": parts, "missed": self.missed}


def number_of(value: "Value") -> "int | Decimal | None":
    """Return a value that is a number; None for any other."""
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    return value if is_number else None  # type: ignore[return-value]


def _json(value: "int | Decimal | None") -> Any:
    from umi_cli.objects.values import to_json

    return to_json(value)


class Voice(Protocol):
    """What shows readings."""

    gathered: dict[str, Any]
    """What the document has of them."""

    def give(self, shown: "Sequence[Shown]") -> None:
        """Show what was read at once."""

    def note(self, message: str) -> None:
        """Say something on the way."""

    def close(self) -> None:
        """End; twice is harmless."""


class _Voice:
    """What the voices off a terminal have in common."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.gathered: dict[str, Any] = {}

    def note(self, message: str) -> None:
        """Say something on stderr."""
        self._app.note(message)

    def close(self) -> None:
        """Do nothing."""


class LineVoice(_Voice):
    """A line each: time, part, value."""

    def give(self, shown: "Sequence[Shown]") -> None:
        """Write a line for each reading."""
        for each in shown:
            moment = timestamp(each.time, timespec="milliseconds")
            streams.write(f"{moment}  {each.label}  {each.text}\n", flush=True)


class CsvVoice(_Voice):
    """CSV with a header, a row each."""

    def __init__(self, app: App) -> None:
        super().__init__(app)
        self._has_header = False

    def give(self, shown: "Sequence[Shown]") -> None:
        """Write a row for each reading."""
        header, *rows = csv_lines(Table(columns=COLUMNS, rows=map(self._row, shown)))
        lines = rows if self._has_header else [header, *rows]
        self._has_header = True
        streams.write("".join(lines), flush=True)

    def _row(self, shown: Shown) -> list[object]:
        failed = shown.found is None
        return [
            timestamp(shown.time, timespec="milliseconds"),
            str(shown.part),
            shown.name,
            None if failed else shown.text,
            str(shown.error) if failed else None,
        ]


class RawVoice(_Voice):
    """The wire bytes of each value in hex, a line each; what fails goes to stderr."""

    def give(self, shown: "Sequence[Shown]") -> None:
        """Write a line for each value."""
        for each in shown:
            if each.found is None:
                self.note(f"{each.label} {each.text}")
            else:
                streams.write(each.found.shown_raw.hex() + "\n", flush=True)


class EventVoice(_Voice):
    """A JSON event each."""

    def give(self, shown: "Sequence[Shown]") -> None:
        """Print an event for each reading."""
        for each in shown:
            self._app.event("reading", **each.record)


class DocumentVoice(_Voice):
    """Everything in one document at the end."""

    def __init__(self, app: App) -> None:
        super().__init__(app)
        self._records: list[dict[str, Any]] = []
        self.gathered = {"readings": self._records}

    def give(self, shown: "Sequence[Shown]") -> None:
        """Keep the readings."""
        self._records += [each.record for each in shown]
