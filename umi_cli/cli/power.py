"""`umi ports power`: switch the ports of a Host on and off, and see what is on them."""

from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli import params
from umi_cli.cli.base import group
from umi_cli.cli.context import App, pass_app
from umi_cli.errors import InputError, NoAnswerError, UmiError
from umi_cli.output.render import Table, View

if TYPE_CHECKING:
    from collections.abc import Iterator

    from umi_cli.cli.host_config import PortConfig
    from umi_cli.transports.base import Clock
    from umi_cli.transports.spi import SpiTransport

EXAMPLES = """\
umi ports power scan
umi ports power on 2
umi ports power cycle 2
umi ports power off
"""
COLUMNS = ("port", "address", "state", "device")
PORTS = click.argument("numbers", metavar="[PORT]...", nargs=-1, type=int)


@group(examples=EXAMPLES)
def power() -> None:
    """Switch the ports of a Host: those of [host.port.N] in the configuration file, or -p spi:0.0.

    A port is off when the command ends, whatever ends it; `on` holds it until Ctrl-C.
    """


@power.command(examples="umi ports power on 2\numi ports power on 2 --for 10")
@PORTS
@click.option("--for", "seconds", type=params.SECONDS, metavar="SECONDS", help="Then switch off")
@pass_app
def on(app: App, numbers: tuple[int, ...], seconds: float | None) -> None:
    """Switch ports on, and hold them until Ctrl-C or for some seconds.

    A port that is empty is not on: that is an error (14) if it was named, or if all of them are.
    """
    from contextlib import ExitStack

    with ExitStack() as stack:
        rows = []
        empty: list[int] = []
        clocks = []
        for port in _chosen(app, numbers):
            transport = stack.enter_context(_switched_on(port))
            rows.append(_record(port, "off: empty" if transport is None else "on"))
            empty += [] if transport else [port.number]
            clocks += [transport.clock] if transport else []
        is_failed = bool(empty) and (bool(numbers) or not clocks)
        if not is_failed:
            _hold(app, clocks[0], seconds)
    _emit(app, rows)
    if is_failed:
        raise _no_peripheral(empty)


def _no_peripheral(empty: Sequence[int]) -> NoAnswerError:
    """Return the error of ports that were to be on, and are empty."""
    ports = ", ".join(map(str, empty))
    are = f"port {ports} is" if len(empty) == 1 else f"ports {ports} are"
    return NoAnswerError(
        f"{are} empty, and off again",
        hint="plug the Peripheral in; see who is there with: umi ports power scan",
    )


@power.command(examples="umi ports power off\numi ports power off 2")
@PORTS
@pass_app
def off(app: App, numbers: tuple[int, ...]) -> None:
    """Hold the Peripherals in reset, and switch their ports off."""
    from umi_cli.connecting import open_spi_board

    rows = []
    for port in _chosen(app, numbers):
        open_spi_board(port.address, _clock()).close()
        rows.append(_record(port, "off"))
    _emit(app, rows)


@power.command(examples="umi ports power cycle 2")
@PORTS
@pass_app
def cycle(app: App, numbers: tuple[int, ...]) -> None:
    """Switch ports off, on and off again, and tell which have a Peripheral."""
    rows = []
    for port in _chosen(app, numbers):
        with _switched_on(port) as transport:
            is_there = transport is not None and transport.restart()
            rows.append(_record(port, "present" if is_there else "empty"))
    _emit(app, rows)


@power.command(examples="umi ports power scan\numi ports power scan --json")
@PORTS
@pass_app
def scan(app: App, numbers: tuple[int, ...]) -> None:
    """Switch each port on, ask who is there, and switch it off."""
    from umi_cli.connecting import connect

    rows = []
    for port in _chosen(app, numbers):
        try:
            opened = connect(port.address.text, datasheet=app.settings.datasheet)
        except NoAnswerError:  # any other error means that there is no such port to look at
            rows.append(_record(port, "empty"))
            continue
        with opened as meter:
            try:
                device = meter.device_id
                rows.append(_record(port, "present", None if device is None else str(device)))
            except UmiError as error:
                app.warn(f"port {port.number}: {error}")
                rows.append(_record(port, "present, and does not speak"))
    _emit(app, rows)


def _chosen(app: App, numbers: Sequence[int]) -> list["PortConfig"]:
    """Return the ports that are meant: by number, or all; `-p spi:…` is one of its own."""
    from umi_cli.cli.host_config import parse_attachment

    named = app.settings.port
    if named and named.startswith("spi:"):
        ports: Mapping[int, PortConfig] = {1: parse_attachment(f"1={named}")}
    else:
        ports = app.host_config.ports
    unknown = sorted(set(numbers) - set(ports))
    if unknown or not ports:
        raise InputError(
            f"there is no port {unknown[0]}" if unknown else "no port of a Host is described",
            hint="describe it as [host.port.N] in config.toml, or name it: -p spi:0.0?int=…",
        )
    return [ports[number] for number in dict.fromkeys(numbers) or sorted(ports)]


@contextmanager
def _switched_on(port: "PortConfig") -> "Iterator[SpiTransport | None]":
    """Switch a port on for a while; None if it is empty."""
    from umi_cli.connecting import open_spi

    try:
        transport = open_spi(port.address, _clock())
    except NoAnswerError:
        yield None
        return
    with transport:
        yield transport


def _clock() -> "Clock":
    from umi_cli.transports.memory import WaitingClock

    return WaitingClock()


def _hold(app: App, clock: "Clock", seconds: float | None) -> None:
    end = None if seconds is None else clock.monotonic() + seconds
    with suppress(KeyboardInterrupt):
        app.note("the ports are on; Ctrl-C switches them off")
        while end is None or clock.monotonic() < end:
            clock.sleep(0.2 if end is None else min(0.2, max(0.0, end - clock.monotonic())))


def _record(port: "PortConfig", state: str, device: str | None = None) -> dict[str, Any]:
    return {
        "port": port.number,
        "address": port.address.text,
        "state": state,
        "device": device,
    }


def _emit(app: App, rows: list[dict[str, Any]]) -> None:
    table = Table(columns=COLUMNS, rows=[[row[name] for name in COLUMNS] for row in rows])
    app.emit(rows, View(blocks=[table], csv=table))
