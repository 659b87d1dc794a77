"""Who a device is, what it runs, its clock, its security: what one screen says (cli.md, info)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from umi_cli.application.codes import ResultCode
from umi_cli.device.meter import Meter
from umi_cli.device.protection import Standing
from umi_cli.errors import RefusedError
from umi_cli.objects.values import Value
from umi_cli.types import EPOCH, UmiId

SECTIONS = {
    "identity": "manufacturer-id",
    "software": "active-software-version",
    "clock": "metrology-clock",
    "profile": "profile-status",
    "events": "event-status",
    "life_cycle": "life-cycle",
}
"""What is read, by its name in the result."""
_ONLY_VIRTUAL = ("life_cycle",)  # a real meter need not have it


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a device says of itself; what it refused to say is in `refused`."""

    device_id: UmiId | None
    objects: dict[str, Value] = field(default_factory=dict)
    """The value of each section that the device let us read."""
    refused: dict[str, RefusedError] = field(default_factory=dict)
    """Why not, of each that it did not."""
    host_time: datetime
    clock_difference_s: int | None
    """What the device's clock is ahead of the host's."""
    standing: Standing
    addresses: tuple[int, int]
    """Our link address, and the device's."""


def read_info(meter: Meter) -> Info:
    """Ask a device for everything that is on one screen.

    Raises:
        UmiError: it does not answer. What it refuses is no error.
    """
    device_id: UmiId | None = None
    objects: dict[str, Value] = {}
    refused: dict[str, RefusedError] = {}
    asked_at = host_time(meter)
    try:
        device_id = meter.device_id
    except RefusedError as error:
        refused["device"] = error
    for section, name in SECTIONS.items():
        if not meter.catalogue.has(name):
            continue
        try:
            objects[section] = meter.read(name).value
        except RefusedError as error:
            if section in _ONLY_VIRTUAL and error.number == ResultCode.UNKNOWN_OBJECT:
                continue
            refused[section] = error
        if section == "clock":
            asked_at = host_time(meter)  # now: on a slow line the rest takes a while
    addresses = meter.session.link.addresses
    return Info(
        device_id=device_id,
        objects=objects,
        refused=refused,
        host_time=asked_at,
        clock_difference_s=difference_s(objects.get("clock"), asked_at),
        standing=meter.session.standing,
        addresses=(addresses.own, addresses.peer),
    )


def host_time(meter: Meter) -> datetime:
    """Return the time of this host, in whole seconds of UTC."""
    return EPOCH + timedelta(seconds=meter.session.utc_s())


def difference_s(clock: Value, host_time: datetime) -> int | None:
    """Return what a device's clock, read at a time of the host, is ahead of it; None if unset."""
    now = clock.get("now") if isinstance(clock, dict) else None
    return round((now - host_time).total_seconds()) if isinstance(now, datetime) else None
