"""What is a device's clock against the host's, and how is it set without a doubt (protocol 4)?

A UMI datetime has whole seconds, and an exchange takes time: a difference is known to half a second
and half the exchange, and no better.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from umi_cli.application.commands import WriteObject
from umi_cli.device.meter import CHANGE_TRIES, Meter
from umi_cli.device.permission import naming_roles
from umi_cli.errors import InputError, MalformedError, OutcomeUnknownError, ReadBackError, UmiError
from umi_cli.types import EPOCH, format_time

CLOCK, CONTROL, NEW_TIME = "metrology-clock", "clock-control", "new_time"
READINGS = 3  # the quickest of them counts: a repeated frame makes a slow one
EARLIEST_HOST = datetime(2024, 1, 1, tzinfo=UTC)
"""A host with an earlier clock has not been told the time: a Raspberry Pi without a network."""
SETTLED_S = 1.6
"""A clock that is as near to what it was set to, beside what the exchange hides, is right: half a
second for what a datetime leaves out, and one for a device that keeps its fraction of a second."""
TICK_S = 0.5  # what the fraction of a second that a datetime leaves out is, on average


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """A device's clock, and the host's in the middle of the exchange that read it."""

    device: datetime | None
    """None: the clock is not set."""
    host: datetime
    last_sync: datetime | None
    exchange_s: float
    """How long the exchange took."""

    @property
    def difference_s(self) -> int | None:
        """Return what the device is ahead of the host, in whole seconds."""
        if self.device is None:
            return None
        # A device that goes with the host leaves 0 to 1 s of the host's time out.
        return ceil((self.device - self.host).total_seconds())

    @property
    def uncertainty_s(self) -> float:
        """Return by how much the difference may be wrong."""
        return TICK_S + self.exchange_s / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """A clock that was set, or in a dry run would be."""

    before: ClockReading
    new_time: datetime
    after: ClockReading | None
    """None in a dry run."""


def host_time(meter: Meter) -> datetime:
    """Return the host's time in whole seconds, by the clock that the port lives by."""
    return EPOCH + timedelta(seconds=meter.session.utc_s())


def read_clock(meter: Meter) -> ClockReading:
    """Read a device's clock some times, and return the reading that took the least.

    Raises:
        NotInDatasheetError: the datasheet has no clock.
        UmiError: as in `Meter.read`.
    """
    readings = [_read_once(meter) for _ in range(READINGS)]
    return min(readings, key=lambda reading: reading.exchange_s)


def set_clock(
    meter: Meter,
    new_time: datetime,
    *,
    check: Callable[[ClockReading, datetime], None] = lambda before, new_time: None,
) -> ClockChange:
    """Set a device's clock to a time of the caller's choosing.

    Args:
        new_time: in whole seconds.
        check: told the clock and what it will be set to; raises to leave it as it is.

    Raises:
        AccessDeniedError: our role may not.
        OutcomeUnknownError: the answer was lost, and the clock cannot be read, or is not right.
        ReadBackError: the device took the time, and its clock is not right all the same.
        UmiError: as in `Meter.read`.
    """
    started_s = meter.transport.clock.monotonic()
    before = read_clock(meter)

    def due() -> datetime:
        """Return the time to set: it has gone on since it was asked for."""
        passed_s = meter.transport.clock.monotonic() - started_s
        return new_time + timedelta(seconds=int(passed_s))

    check(before, new_time)
    return _change(meter, before, due, new_time)


def sync_clock(
    meter: Meter,
    *,
    check: Callable[[ClockReading, datetime], None] = lambda before, new_time: None,
) -> ClockChange:
    """Set a device's clock to the host's.

    The time is sent so that it arrives as the host's second begins: half an exchange earlier.

    Raises:
        InputError: the host's own clock is not set.
        UmiError: as in `set_clock`.
    """
    if _host_now(meter) < EARLIEST_HOST:
        raise InputError(
            f"this host's clock is not set: it says {format_time(host_time(meter))}",
            hint="set it first, such as with: timedatectl set-ntp true",
        )
    before = read_clock(meter)
    way_s = before.exchange_s / 2

    def next_second() -> datetime:
        """Wait until a command that is sent now arrives on the second; return that second."""
        arrival_s = (_host_now(meter) - EPOCH).total_seconds() + way_s
        target_s = ceil(arrival_s)
        meter.transport.clock.sleep(target_s - arrival_s)
        return EPOCH + timedelta(seconds=target_s)

    check(before, before.host)
    return _change(meter, before, next_second, before.host.replace(microsecond=0))


def _change(
    meter: Meter, before: ClockReading, due: Callable[[], datetime], planned: datetime
) -> ClockChange:
    definition = meter.catalogue.find(meter.catalogue.resolve(CONTROL).code)
    with naming_roles(definition, "write", meter.session.standing.role):  # which it reads first
        control: Any = meter.read(CONTROL).value  # its other members stay as they are
        if meter.session.dry_run:
            return ClockChange(before=before, new_time=planned, after=None)
        new_time = _write(meter, control, due, before.exchange_s / 2)
    return ClockChange(before=before, new_time=new_time, after=read_clock(meter))


def _write(
    meter: Meter, control: dict[str, Any], due: Callable[[], datetime], way_s: float
) -> datetime:
    """Set the clock, and once more with the time of then if it does not go as it should.

    `Meter.write` would read clock-control back and send the same again. Neither does here: what
    stands there may be from the time before, and a time that is sent late is a wrong one. So the
    moving clock is read: if it is right, the command has run, and in time.
    """
    part = meter.catalogue.resolve(CONTROL)
    definition = meter.catalogue.find(part.code)
    is_signed = definition is not None and definition.signed
    tries_left = CHANGE_TRIES
    while True:
        tries_left -= 1
        new_time = due()
        value = meter.catalogue.encode(part, {**control, NEW_TIME: new_time})
        arrival_s = meter.transport.clock.monotonic() + way_s
        lost: OutcomeUnknownError | None = None
        try:
            meter.session.request(WriteObject(code=part.code, value=value), is_signed=is_signed)
        except OutcomeUnknownError as error:
            lost = error
        if _is_settled(meter, new_time, arrival_s, lost):
            return new_time
        if not tries_left:
            raise lost or ReadBackError(
                f"the clock was set to {format_time(new_time)} and does not go on from there",
                hint="read it with: umi clock show; the line may be too slow and too bad for it",
            )


def _is_settled(
    meter: Meter, new_time: datetime, arrival_s: float, lost: OutcomeUnknownError | None
) -> bool:
    """Tell whether the clock goes as one that was set to a time at a moment, monotonic."""
    try:
        found = _read_once(meter)
    except UmiError as error:
        raise lost or error from error
    if found.device is None:
        return False
    passed_s = meter.transport.clock.monotonic() - found.exchange_s / 2 - arrival_s
    off_s = (found.device - new_time).total_seconds() + TICK_S - passed_s
    return abs(off_s) <= SETTLED_S + found.exchange_s / 2


def _read_once(meter: Meter) -> ClockReading:
    clock = meter.transport.clock
    sent_s = clock.monotonic()
    value: Any = meter.read(CLOCK).value
    exchange_s = clock.monotonic() - sent_s
    host = _host_now(meter) - timedelta(seconds=exchange_s / 2)
    if not isinstance(value, dict) or "now" not in value:
        raise MalformedError(f"{CLOCK} tells no time")
    return ClockReading(
        device=value["now"], host=host, last_sync=value.get("last_sync"), exchange_s=exchange_s
    )


def _host_now(meter: Meter) -> datetime:
    return datetime.fromtimestamp(meter.transport.clock.utc(), UTC)
