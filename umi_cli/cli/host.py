"""`umi host`: be a Host with its own objects and up to 15 ports, and forward between them."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.errors import InputError

if TYPE_CHECKING:
    from umi_cli.application.codes import ResultCode
    from umi_cli.cli.host_config import HostConfig, PortConfig
    from umi_cli.connecting import Receiver
    from umi_cli.types import UmiId
    from umi_cli.virtual.serve import Server

EXAMPLES = """\
umi host --listen 127.0.0.1:4059
umi host --listen 127.0.0.1:0 --attach 2=spi:sim
umi host --attach '1=spi:0.0?int=GPIO25&rst=GPIO24&vdd=GPIO23'
"""


@command(examples=EXAMPLES)
@click.option(
    "--listen", metavar="HOST:PORT", multiple=True, help="Take readers on TCP; port 0 is any free"
)
@click.option(
    "--attach", metavar="N=ADDRESS", multiple=True, help="A port; others: [host.port.N] in config"
)
@click.option("--authenticate", is_flag=True, help="Forward only from who has authenticated")
@click.option("--state", metavar="FILE", help="Remember the Host's own objects in a file")
@pass_app
def host(
    app: App,
    /,
    listen: tuple[str, ...],
    attach: tuple[str, ...],
    authenticate: bool,
    state: str | None,
) -> None:
    """Be a Host: serve its objects, and forward to its ports.

    Prints a line of JSON when it serves, and one for each thing that happens: a Peripheral that
    says who it is, an event that it publishes, a Peripheral that is lost. Ctrl-C ends it, and
    switches every port off.
    """
    import time

    from umi_cli.connecting import host_simulation
    from umi_cli.transports.address import parse_host_and_port
    from umi_cli.virtual.host import Host
    from umi_cli.virtual.serve import Server

    config = _config(app, attach)
    if not config.ports and not listen:
        raise InputError(
            "there is nothing to serve", hint="give --listen 127.0.0.1:0, or --attach N=spi:…"
        )
    with ExitStack() as stack:
        own = host_simulation(state or config.state, time.time())
        stack.callback(own.close)
        own.meter.memory.events.receivers.append(_announcer(app))
        star = Host(
            own.meter,
            lambda port, umi_id: app.announce("peripheral", port=port, device=str(umi_id)),
            lambda port, result: _tell_passed(app, port, result),
        )
        server = stack.enter_context(Server(own, star))
        for port in config.ports.values():
            _attach(app, server, port, is_strict=authenticate)
        addresses = [server.listen(*parse_host_and_port(text)) for text in listen]
        app.announce("listening", addresses=addresses, ports=sorted(config.ports))
        server.run()


def _config(app: App, attach: tuple[str, ...]) -> "HostConfig":
    """Return the Host of the configuration file, with the ports of the command line."""
    from dataclasses import replace

    from umi_cli.cli.host_config import parse_attachment

    config = app.host_config
    given: dict[int, PortConfig] = {}
    for port in map(parse_attachment, attach):
        if port.number in given:
            raise InputError(f"port {port.number} is attached twice")
        given[port.number] = port
    return replace(config, ports={**config.ports, **given})


def _attach(app: App, server: "Server", port: "PortConfig", *, is_strict: bool) -> None:
    from umi_cli.connecting import open_spi
    from umi_cli.errors import NoAnswerError
    from umi_cli.transports.memory import WaitingClock

    try:
        transport = open_spi(port.address, WaitingClock())
    except NoAnswerError as error:  # an empty port is off, and the others serve
        app.announce("empty", port=port.number, message=str(error))
        return
    server.add_port(
        port.number,
        transport,
        lambda why: app.announce("lost", port=port.number, message=why),
        wants_authentication=port.wants_authentication or is_strict,
    )


def _announcer(app: App) -> "Receiver":
    from umi_cli.cli.published import published

    def announce(source: "UmiId", events: int, timestamp_s: int) -> None:
        app.announce("event", **published(source, events, timestamp_s, app.catalogue))

    return announce


def _tell_passed(app: App, port: int, result: "ResultCode | None") -> None:
    named = None if result is None else {"number": result.value, "name": result.name}
    app.announce("image", port=port, result=named)
