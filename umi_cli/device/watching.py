"""How parts of a device are read again and again: at a fixed rate, in one session."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from umi_cli.device.lasting import LastingConnection
from umi_cli.device.meter import ObjectValue
from umi_cli.device.schedule import Beats, Ending
from umi_cli.errors import RefusedError, UmiError
from umi_cli.types import ObjectPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What came of reading a part once."""

    part: ObjectPart
    time: datetime
    """When, by this host's clock, in UTC."""
    found: ObjectValue | None = None
    """None if it failed."""
    error: UmiError | None = None
    """Why it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Every part, read once."""

    readings: list[Reading]
    missed: int
    """How many rounds were due since the last one, and left out because it took too long."""


def watch(
    connection: LastingConnection, parts: Sequence[ObjectPart], every_s: float, ending: Ending
) -> Iterator[Round]:
    """Read parts at a fixed rate.

    Args:
        connection: to the device.
        parts: at least one.
        every_s: from one round to the next.
        ending: when to stop; `count` is of rounds.

    Raises:
        UmiError: too many rounds in a row came to nothing, or it will not pass by itself.
    """
    connection.remember_identity()
    start_s = connection.now_s
    beats = Beats(every_s, start_s)
    done = 0
    while not ending.is_counted(done):
        due_s, missed = beats.next(connection.now_s)
        if ending.is_after(due_s - start_s):
            return
        connection.wait(due_s)
        readings, failure = _round(connection, parts)
        yield Round(readings=readings, missed=missed)
        done += 1
        if failure is None:
            connection.succeeded()
        else:
            connection.failed(failure)


def _round(
    connection: LastingConnection, parts: Sequence[ObjectPart]
) -> tuple[list[Reading], UmiError | None]:
    """Read every part once; return the error if that came to nothing.

    A part that is refused is no reason not to ask for the others; a line that is down is one.
    """
    readings: list[Reading] = []
    down: UmiError | None = None
    for part in parts:
        reading = _read(connection, part) if down is None else _failed(connection, part, down)
        readings.append(reading)
        if reading.error is not None and not isinstance(reading.error, RefusedError):
            down = reading.error
    is_futile = all(reading.found is None for reading in readings)
    return readings, down or (readings[0].error if is_futile else None)


def _read(connection: LastingConnection, part: ObjectPart) -> Reading:
    try:
        found = connection.meter().read(part)
    except UmiError as error:
        return _failed(connection, part, error)
    return Reading(part=part, time=_now(connection), found=found)


def _failed(connection: LastingConnection, part: ObjectPart, error: UmiError) -> Reading:
    return Reading(part=part, time=_now(connection), error=error)


def _now(connection: LastingConnection) -> datetime:
    return datetime.fromtimestamp(connection.utc_s, UTC)
