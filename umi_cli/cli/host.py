"""`umi host`: be a Host with its own objects and up to 15 ports, and forward between them."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.errors import InputError, NoAnswerError, UmiError

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
    says who it is, an event that it publishes, a Peripheral that is lost; with --json the first
    line alone. A port that is empty, or does not open, is told and the others serve. Ctrl-C ends
    it, and switches every port off.
    """
    import time

    from umi_cli.connecting import host_simulation
    from umi_cli.transports.address import parse_host_and_port
    from umi_cli.virtual.host import Host
    from umi_cli.virtual.serve import Server

    _refuse_proofs(app)
    config = _config(app, attach)
    places = [parse_host_and_port(text) for text in listen]
    if not config.ports and not places:
        raise InputError(
            "there is nothing to serve", hint="give --listen 127.0.0.1:0, or --attach N=spi:…"
        )
    with ExitStack() as stack:
        own = host_simulation(state or config.state, time.time())
        stack.callback(own.close)
        own.meter.memory.events.receivers.append(_announcer(app))
        star = Host(
            own.meter,
            lambda port, umi_id: app.happening("peripheral", port=port, device=str(umi_id)),
            lambda port, result: _tell_passed(app, port, result),
        )
        server = stack.enter_context(Server(own, star, app.watch()))
        unserved: dict[int, UmiError] = {}
        for port in config.ports.values():
            if error := _attach(app, server, port, is_strict=authenticate):
                unserved[port.number] = error
        if not places and len(unserved) == len(config.ports):
            raise next(iter(unserved.values()))
        addresses = [server.listen(*place) for place in places]
        missing = {number: str(error) for number, error in unserved.items()}
        app.announce(
            "listening",
            addresses=addresses,
            ports=sorted(config.ports),
            **({"unserved": missing} if missing else {}),
        )
        server.run()


def _refuse_proofs(app: App) -> None:
    """Refuse what a Host has no use for, rather than let it be believed to protect anything."""
    for name in ("key", "cert", "anchor", "pin", "scheme", "role"):
        if app.given.get(name):
            raise InputError(
                f"--{name} has no use here: umi host proves itself to nobody by it",
                hint="its own objects, identity and trust are in its state file: --state FILE",
            )


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


def _attach(app: App, server: "Server", port: "PortConfig", *, is_strict: bool) -> UmiError | None:
    """Have a port served; return why it cannot be, which does not stop the others."""
    from umi_cli.connecting import open_spi
    from umi_cli.transports.memory import WaitingClock

    try:
        transport = open_spi(port.address, WaitingClock())
    except InputError:  # what was typed is mended before anything serves
        raise
    except UmiError as error:
        kind = "empty" if isinstance(error, NoAnswerError) else "broken"
        app.happening(kind, port=port.number, message=str(error))
        return error
    server.add_port(
        port.number,
        transport,
        lambda why: app.happening("lost", port=port.number, message=why),
        wants_authentication=port.wants_authentication or is_strict,
    )
    return None


def _announcer(app: App) -> "Receiver":
    from umi_cli.cli.published import published

    def announce(source: "UmiId", events: int, timestamp_s: int) -> None:
        app.happening("event", **published(source, events, timestamp_s, app.catalogue))

    return announce


def _tell_passed(app: App, port: int, result: "ResultCode | None") -> None:
    named = None if result is None else {"number": result.value, "name": result.name}
    app.happening("image", port=port, result=named)
