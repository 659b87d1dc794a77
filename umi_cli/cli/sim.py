"""`umi sim`: serve the virtual meter, so that other programs can talk to it."""

from pathlib import Path

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.settings import DEFAULT_DATASHEET
from umi_cli.cli.sources import parse_source
from umi_cli.errors import InputError

EXAMPLES = """\
umi sim --tcp 127.0.0.1:0
umi sim --pty /tmp/meter --opto baud:19200,echo
umi sim --serial /tmp/meter --state bench.json
umi sim --tcp 127.0.0.1:4059 --state unit.json --blank
umi sim --tcp 127.0.0.1:4059 --fault drop:0.05,flip:0.01 --seed 7
umi sim --defect list
umi sim --tcp 127.0.0.1:4059 --defect crc-unchecked
"""
# As in a sim: address. Here they are not called so: click keeps one value for one name, and the
# options of every command are called so, too.
_IN_ADDRESS = {
    "max_packet": "max-packet",
    "off_since": "off-since",
    "meter_id": "umi-id",
    "meter_key": "key",
    "meter_cert": "cert",
    "meter_anchor": "anchor",
    "meter_role_keys": "role-keys",
    "meter_transport_keys": "transport-keys",
    "max_block": "max-block",
    "activate_after": "activate-after",
    "key_table": "key-table",
}


@command(examples=EXAMPLES)
@click.option(
    "--tcp", metavar="HOST:PORT", multiple=True, help="Take readers on TCP; port 0 is any free one"
)
@click.option("--call", metavar="HOST:PORT", multiple=True, help="Call a reader that listens")
@click.option(
    "--pty",
    metavar="LINK",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Serve an optical port on a pseudo-terminal of that name",
)
@click.option(
    "--serial",
    metavar="LINK",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Serve link frames, without a sign-on, on a pseudo-terminal of that name",
)
@click.option(
    "--opto",
    metavar="SPEC",
    help="The optical port: baud:9600, echo, no-wakeup, key, reaction:MS, between commas",
)
@click.option("--peripheral", is_flag=True, help="Be a Peripheral: take a Host's address, ask it")
@click.option("--state", metavar="FILE", default="", help="Remember in a file; else it is new")
@click.option("--blank", is_flag=True, help="A new one has no identity yet: the factory gives it")
@click.option("--fault", metavar="SPEC", help="KIND:PROBABILITY,... or all:PROBABILITY")
@click.option("--seed", metavar="N", help="Of the faults; default: 0")
@click.option("--defect", metavar="NAME|list", help="What its maker got wrong; list tells them all")
@click.option("--as", metavar="ROLE", help="Role of a peer without authentication (bench only)")
@click.option("--time", metavar="TIME", help="Its clock at the start, RFC 3339; default: now")
@click.option("--off-since", metavar="TIME", help="It was without power from then until its start")
@click.option("--defer", metavar="CODE:MS,...", help="Work that long on an object, answering WAIT")
@click.option("--max-packet", metavar="BYTES", help="Longest response; default: 65536")
@click.option("--max-block", metavar="BYTES", help="Longest block of an image; default: 16384")
@click.option("--activate-after", metavar="SECONDS", help="Run a new image so much later")
@click.option(
    "--key-table", metavar="N", help="Certificates of others it has room for; default: 16"
)
@click.option("--meter-id", metavar="ID", help="UMI ID of the meter")
@click.option("--meter-key", metavar="FILE", help="Its own P-256 key")
@click.option("--meter-cert", metavar="FILE", help="Its own certificate, or chain")
@click.option("--meter-anchor", metavar="FILE", help="The root that it trusts")
@click.option("--meter-role-keys", metavar="ROLE:FILE,...", help="Its scheme 1 keys")
@click.option("--meter-transport-keys", metavar="ID:FILE,...", help="Its keys of encrypted images")
@pass_app
def sim(
    app: App,
    /,
    tcp: tuple[str, ...],
    call: tuple[str, ...],
    pty: tuple[Path, ...],
    serial: tuple[Path, ...],
    peripheral: bool,
    blank: bool,
    state: str,
    **options: str | None,
) -> None:
    """Serve the virtual meter.

    Prints one line of JSON when it serves, with the addresses to reach it at. Ctrl-C ends it;
    SIGUSR1 presses the meter's key.
    """
    if options["defect"] == "list":
        _list_defects(app)
        return
    import signal
    import time

    from umi_cli.transports.address import parse_host_and_port
    from umi_cli.virtual.serve import Server
    from umi_cli.virtual.setup import SimOptions, Simulation

    if not tcp + call + pty + serial:
        raise InputError(
            "there is nothing to serve on", hint="give --tcp 127.0.0.1:0 or --pty LINK"
        )
    check_keys(options["meter_key"], options["meter_role_keys"], options["meter_transport_keys"])
    query = {
        _IN_ADDRESS.get(name, name): text for name, text in options.items() if text is not None
    }
    for name, is_wanted in {"peripheral": peripheral, "blank": blank}.items():
        if is_wanted:
            query[name] = "yes"
    if app.settings.datasheet != DEFAULT_DATASHEET:
        query["datasheet"] = app.settings.datasheet
    simulation = Simulation(SimOptions.from_query(state, query), time.time())
    try:
        with Server(simulation, watch=app.watch()) as server:
            addresses = [server.listen(*parse_host_and_port(text)) for text in tcp]
            addresses += [server.open_optical(link) for link in pty]
            addresses += [server.open_terminal(link) for link in serial]
            addresses += [server.call(*parse_host_and_port(text)) for text in call]
            signal.signal(signal.SIGUSR1, lambda *_: server.press_key())
            app.announce("listening", addresses=addresses)
            server.run()
    finally:
        simulation.close()
        if simulation.injectors:
            app.note(simulation.summary)


def _list_defects(app: App) -> None:
    from umi_cli.output.render import Table, View
    from umi_cli.virtual.defects import DEFECTS

    records = [{"name": name, "title": each.TITLE} for name, each in DEFECTS.items()]
    rows = [(record["name"], record["title"]) for record in records]
    app.emit(records, View(blocks=(Table(columns=("name", "what it does"), rows=rows),)))


def check_keys(key: str | None, *by_name: str | None) -> None:
    """Refuse what is no file of a key before anything repeats it: it may be the key itself."""
    items = [item for text in by_name if text for item in text.split(",")]
    paths = [key] if key else []
    for path in [*paths, *(item.partition(":")[2] or item for item in items)]:
        parse_source(path).read("key of the meter")
