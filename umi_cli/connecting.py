"""From an address to an open device: the only place that stacks layers.

(The module is not called `connect`, for then it would hide the function of that name in `umi_cli`.)
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umi_cli.device.driver import HostEnd, Observer
from umi_cli.device.meter import Meter
from umi_cli.device.protection import Protection, Unprotected
from umi_cli.device.session import Session
from umi_cli.errors import InputError
from umi_cli.link.frame import Direction
from umi_cli.objects.catalogue import Catalogue
from umi_cli.objects.definitions import OpticalProfile
from umi_cli.transports.address import Address
from umi_cli.transports.base import (
    Board,
    Clock,
    LinePort,
    Notify,
    SystemClock,
    Transport,
    tell_nobody,
)
from umi_cli.types import DEFAULT_READER_ID, EPOCH_UNIX_S, UmiId

if TYPE_CHECKING:
    from umi_cli.device.credentials import Credentials
    from umi_cli.device.trace import Trace
    from umi_cli.transports.memory import SimulatedClock
    from umi_cli.transports.spi import SpiTransport
    from umi_cli.virtual.setup import Simulation

DEFAULT_RETRIES = 2
FIRST_PORT = 1  # of a Host
Receiver = Callable[[UmiId, int, int], None]
_NO_PROFILE = OpticalProfile()
MAX_WAIT_S = 86_400  # a day: a longer wait is a mistake in the unit


def connect(
    address: str,
    *,
    datasheet: str = "ei4",
    umi_id: UmiId = DEFAULT_READER_ID,
    timeout_s: float | None = None,
    retries: int = DEFAULT_RETRIES,
    dry_run: bool = False,
    observer: Observer | None = None,
    credentials: "Credentials | None" = None,
    on_event: Receiver | None = None,
    trace: "Trace | None" = None,
    notify: Notify = tell_nobody,
) -> Meter:
    """Open a device.

    >>> import umi_cli
    >>> with umi_cli.connect("sim") as meter:
    ...     meter.read("umi.1.1.0.0/3").value
    '31733978'

    Lose a tenth of what passes; the clock of `sim` skips every wait:

    >>> with umi_cli.connect("sim:?fault=drop:0.1&seed=3", retries=5) as meter:
    ...     len(meter.read("profile-table").value)
    336

    Args:
        address: `sim`, `opto:DEVICE`, `auto`, `spi:BUS.DEVICE`, `serial:DEVICE@BAUD`,
            `tcp:HOST:PORT`, `tcp-listen:PORT` (cli.md).
        datasheet: name or file of what is known of its objects.
        umi_id: our own.
        timeout_s: how long the device may take to answer a frame; by transport if None.
        retries: how often a frame is repeated before the exchange fails, 0 or more.
        dry_run: refuse to send what changes the device.
        observer: told every piece of bytes, `"out"` or `"in"`.
        credentials: what we prove ourselves with, by scheme; without any we are guest.
        on_event: told what a Peripheral publishes to us as its Host: who, which events (bit n
            stands for event n), and when.
        trace: watches the port; close it after the meter.
        notify: told, in a sentence, what takes long before it is waited for.

    Raises:
        InputError: the address, the datasheet or a number cannot be understood.
        NoSuchPortError, PortBusyError, PortPermissionError: the port does not open.
        NoAnswerError: the host does not answer, nobody called, or no meter is at the probe.
        SignOnError: what answers at the probe does not speak UMI.
    """
    parsed = Address.parse(address)
    if retries < 0:
        raise InputError(f"a frame cannot be repeated {retries} times")
    if timeout_s is not None:
        _check_wait_s(timeout_s)
    catalogue = Catalogue.load(datasheet)
    protection, introduction = _protection(credentials), _protection(credentials)
    with ExitStack() as stack:  # a port that has opened does not stay open if we get no further
        transport, host, port = _open_ends(parsed, catalogue, observer, on_event, notify, trace)
        stack.callback(transport.close)
        if trace:
            trace.begin(transport.clock, transport.idle_gap_s, takes_commands=host is not None)
        session = Session(
            transport,
            own_id=umi_id,
            protection=protection,
            attempts=retries + 1,
            timeout_s=timeout_s,
            port=port,
            dry_run=dry_run,
            observer=_both(observer, trace.on_link if trace else None),
            witness=trace.on_message if trace else None,
            host=host,
        )
        if credentials is not None and port and parsed.kind != "spi":
            session.introduce_to_host(introduction, transport)
        meter = Meter(transport, session, catalogue)
        stack.pop_all()
    return meter


def _open_ends(
    address: Address,
    catalogue: Catalogue,
    observer: Observer | None,
    on_event: Receiver | None,
    notify: Notify,
    trace: "Trace | None",
) -> tuple[Transport, HostEnd | None, int | None]:
    """Open the port; return our Host's side of it where we are one, and the link address."""
    if address.kind == "spi":  # we are the Host, and the device is a Peripheral
        return *_open_spi(address, on_event), address.port or FIRST_PORT
    optical = catalogue.datasheet.optical
    return open_transport(address, optical, observer, notify, trace), None, address.port


def _both(first: Observer | None, second: Observer | None) -> Observer | None:
    """Return what tells two observers, where there are two."""
    if first is None or second is None:
        return first or second

    def tell(direction: Direction, data: bytes) -> None:
        first(direction, data)
        second(direction, data)

    return tell


def _protection(credentials: "Credentials | None") -> Protection:
    if credentials is None:
        return Unprotected()
    from umi_cli.device.credentials import Scheme1Credentials

    if isinstance(credentials, Scheme1Credentials):
        from umi_cli.device.protection1 import Scheme1

        return Scheme1(credentials)
    from umi_cli.device.protection2 import Scheme2

    return Scheme2(credentials)


def open_transport(
    address: Address,
    optical: OpticalProfile = _NO_PROFILE,
    observer: Observer | None = None,
    notify: Notify = tell_nobody,
    trace: "Trace | None" = None,
) -> Transport:
    """Open the port of an address; raises as `connect` does.

    Args:
        optical: how the device is signed on to, where the address does not say otherwise.
        observer: told every piece of bytes of a sign-on.
        notify: told what takes long before it is waited for.
        trace: watches the sign-on as well.
    """
    if address.kind in ("opto", "auto"):
        return _open_probe(address, optical, observer, notify, trace)
    if address.kind == "sim":
        return _open_sim(address)
    if address.kind == "serial":
        from umi_cli.transports.serial import open_serial

        return open_serial(address.target, address.number, address.text)
    from umi_cli.transports import tcp

    if address.kind == "tcp":
        return tcp.call(address.target, address.number, address.text)
    wait = address.options.get("wait")
    wait_s = None if wait is None else _parse_wait_s(wait)
    return tcp.wait_for_call(address.target, address.number, address.text, wait_s, notify)


def _open_probe(
    address: Address,
    optical: OpticalProfile,
    observer: Observer | None,
    notify: Notify,
    trace: "Trace | None",
) -> Transport:
    from umi_cli.optical.sign_on import SignOnProfile
    from umi_cli.transports.optical import OpticalTransport, open_optical
    from umi_cli.transports.optical_options import settle

    profile = SignOnProfile(
        v=optical.v,
        y=optical.y,
        wakeup=optical.wakeup == "std",
        switch_delay_ms=optical.switch_delay_ms,
    )
    settings = settle(address.options, address.target, profile, optical.is_for)
    observer = _both(observer, trace.on_line if trace else None)
    device = address.target
    if address.kind == "auto":
        from umi_cli.transports import hosts

        device = hosts.the_probe(hosts.serial_ports()).path
    if device.partition("?")[0].partition(":")[0] == "sim":
        port = _sim_port(device)
        if trace:
            trace.clock = port.clock
        return OpticalTransport(port, settings, address.text, observer, notify)
    return open_optical(device, settings, f"opto:{device}", observer, notify)


def _sim_port(text: str) -> LinePort:
    """Return the port of a head on the virtual meter in this process."""
    from umi_cli.transports.memory import MemoryPort

    address = Address.parse(text)
    simulation, clock = _simulate(address)
    port = simulation.new_optical_port(os.urandom(8).hex())
    return MemoryPort(port, clock=clock, address=text, on_close=simulation.close)


def _open_spi(address: Address, on_event: Receiver | None) -> "tuple[Transport, HostEnd]":
    """Open a port whose Host we are; our side of it answers what the Peripheral asks."""
    from umi_cli.transports.memory import SimulatedClock
    from umi_cli.virtual.host_end import HostObjects

    clock = SimulatedClock() if address.target.startswith("sim") else SystemClock()
    own = host_simulation(address.options.get("host"), clock.utc())
    if on_event is not None:
        own.meter.memory.events.receivers.append(on_event)
    host = HostObjects(own.meter, os.urandom(8).hex())
    is_open = False
    try:
        transport = open_spi(address, clock, own.close)
        is_open = True
    finally:
        if not is_open:
            own.close()
    return transport, host


def open_spi(
    address: Address, clock: Clock, on_close: Callable[[], None] = lambda: None
) -> "SpiTransport":
    """Switch a port of ours on.

    Args:
        address: a `spi:` address.
        clock: what a virtual Peripheral in this process lives by.
        on_close: called once when the port is closed.

    Raises:
        NoAnswerError: the port is empty.
        NoSuchPortError, PortBusyError, PortPermissionError: bus or lines do not open.
    """
    from umi_cli.transports.spi import SpiTransport

    return SpiTransport(open_spi_board(address, clock), on_close)


def open_spi_board(address: Address, clock: Clock) -> Board:
    """Open the pins of a port, which stays off; raises and takes what `open_spi` does."""
    if address.target.startswith("sim"):
        return _sim_board(address.target, clock)
    from umi_cli.transports.board import open_board
    from umi_cli.transports.board_options import BoardSettings

    bus, device = map(int, address.target.split("."))
    options = {name: text for name, text in address.options.items() if name != "host"}
    return open_board(bus, device, BoardSettings.from_options(options), address.text)


def host_simulation(state: str | None, utc: float) -> "Simulation":
    """Return the objects that we have as a Host, kept in a state file if there is one."""
    from umi_cli.virtual.device import HOST_ALIAS
    from umi_cli.virtual.setup import SimOptions, Simulation

    return Simulation(SimOptions(state=Path(state) if state else None, umi_id=HOST_ALIAS), utc)


def _sim_board(target: str, clock: Any) -> Board:
    """Return the pins of a port with a virtual Peripheral in this process."""
    from umi_cli.transports.memory import MemoryBoard
    from umi_cli.virtual.setup import SimOptions, Simulation

    parsed = Address.parse(target)
    simulation = Simulation(SimOptions.from_query(parsed.target, parsed.options), clock.utc())
    pins = simulation.new_peripheral(os.urandom(8).hex())
    return MemoryBoard(pins, clock=clock, address=f"spi:{target}", on_close=simulation.close)


def _parse_wait_s(text: str) -> float:
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = 0.0
    _check_wait_s(wait_s)
    return wait_s


def _check_wait_s(wait_s: float) -> None:
    if not 0 < wait_s <= MAX_WAIT_S:  # NaN is not, either
        raise InputError(f"a wait is a number of seconds above 0 and up to {MAX_WAIT_S}")


def _open_sim(address: Address) -> Transport:
    from umi_cli.transports.memory import MemoryTransport

    simulation, clock = _simulate(address)
    return MemoryTransport(
        # Named anew each time: a command of an earlier run is no late copy of one of this run.
        simulation.new_line(os.urandom(8).hex()),
        clock=clock,
        address=address.text,
        on_close=simulation.close,
    )


def _simulate(address: Address) -> "tuple[Simulation, SimulatedClock]":
    """Return the virtual meter of an address, and the clock that both ends live by."""
    from umi_cli.transports.memory import SimulatedClock
    from umi_cli.virtual.setup import SimOptions, Simulation

    options = SimOptions.from_query(address.target, address.options)
    # A run whose time is given is one that can be run again: its clock moves by itself alone.
    fixed = options.time_s
    clock = SimulatedClock(None if fixed is None else float(fixed + EPOCH_UNIX_S))
    return Simulation(options, clock.utc()), clock
