"""`umi ports`: which serial ports, SPI buses and GPIO chips this host has."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from umi_cli.cli.base import group
from umi_cli.cli.context import App
from umi_cli.cli.power import power
from umi_cli.output.render import Table, View

EXAMPLES = """\
umi ports
umi ports --json
umi ports --udev | sudo tee /etc/udev/rules.d/60-umi-probe.rules
"""
_RULES = Path(__file__).parent.parent / "share" / "60-umi-probe.rules"


@group(examples=EXAMPLES, invoke_without_command=True)
@click.option("--udev", is_flag=True, help="Print the udev rules for optical probes instead")
@click.pass_context
def ports(ctx: click.Context, udev: bool) -> None:
    """List the ports of this host; nothing is sent.

    Serial ports come with their USB adapter, the chip if optical probes are made with it, and a
    path that stays the same when it is plugged in again; write that one into scripts.
    """
    if ctx.invoked_subcommand is not None:
        return
    app = ctx.find_object(App)
    assert app is not None  # noqa: S101 - the root has made it
    app.begin("ports")
    if udev:
        text = _RULES.read_text(encoding="utf-8")
        app.emit({"rules": text}, View(blocks=[text.rstrip("\n")]))
        return
    from umi_cli.transports import hosts

    data = {
        "serial": [asdict(port) for port in hosts.serial_ports()],
        "spi": [asdict(bus) for bus in hosts.spi_buses()],
        "gpio": [asdict(chip) for chip in hosts.gpio_chips()],
    }
    columns = ("kind", "device", "detail", "serial", "stable path")
    rows = [_row(kind, record) for kind, records in data.items() for record in records]
    table = Table(columns=columns, rows=rows)
    blocks: Sequence[Table | str] = [table] if rows else ["this host has no ports"]
    app.emit(data, View(blocks=blocks, csv=table))


ports.add_command(power)


def _row(kind: str, record: dict[str, Any]) -> list[object]:
    detail = {
        "serial": " ".join(filter(None, map(record.get, ("usb", "product", "probe")))),
        "spi": record.get("address"),
        "gpio": f"{record.get('label') or ''} {record.get('lines') or ''}".strip(),
    }[kind]
    return [kind, record["device"], detail or None, record.get("serial"), record.get("stable")]
