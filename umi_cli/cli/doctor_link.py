"""Does the device that `-p` names answer, how fast, and how does it stand?"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from umi_cli.cli.doctor_check import Check, fail, note, ok, warning
from umi_cli.errors import RefusedError, UmiError

if TYPE_CHECKING:
    from umi_cli.cli.context import App
    from umi_cli.device.info import Info
    from umi_cli.device.meter import Meter

PINGS = 3
FRAME_BITS = 10  # of a byte on the line after the sign-on, 8N1
MAX_CLOCK_DIFFERENCE_S = 60  # a signed command is good from a minute before on (protocol 5)


def link_checks(app: "App") -> Iterator[Check]:
    """Check the link to the device, and the device's clock and security."""
    from umi_cli.device.info import read_info

    try:
        with app.connect() as meter:
            yield from _port(meter)
            yield _round_trip(meter)
            yield from _device(read_info(meter))
    except UmiError as error:
        yield fail("link", error)


def _port(meter: "Meter") -> Iterator[Check]:
    """Tell what a sign-on has found."""
    from umi_cli.transports.optical import OpticalTransport

    transport = meter.transport
    if isinstance(transport, OpticalTransport) and transport.identification is not None:
        baud = round(FRAME_BITS / transport.byte_time_s)
        yield ok("sign-on", f"{transport.identification}, and then {baud} baud")
        echoes = transport.echo.echoes
        yield ok("echo", f"the head echoes what is sent; {echoes} taken out" if echoes else "none")


def _round_trip(meter: "Meter") -> Check:
    """Measure how long the shortest command takes; a refusal is an answer as well."""
    clock = meter.transport.clock
    times_s = []
    for _ in range(PINGS):
        begun = clock.monotonic()
        with contextlib.suppress(RefusedError):
            meter.ping()
        times_s.append(clock.monotonic() - begun)
    return ok("link", f"answers within {min(times_s) * 1000:.0f} to {max(times_s) * 1000:.0f} ms")


def _device(found: "Info") -> Iterator[Check]:
    from umi_cli.cli.standing import PROTECTION

    yield ok(
        "device", "does not say who it is" if found.device_id is None else str(found.device_id)
    )
    difference_s = found.clock_difference_s
    if difference_s is None:
        yield note("device clock", "not set, or not for our role")
    elif abs(difference_s) > MAX_CLOCK_DIFFERENCE_S:
        yield warning(
            "device clock", f"{difference_s:+} s against this host", "set it: umi clock sync"
        )
    else:
        yield ok("device clock", f"{difference_s:+} s against this host")
    scheme = found.standing.scheme
    yield ok("security", f"scheme {scheme}, {PROTECTION[scheme]}; role {found.standing.role.label}")
