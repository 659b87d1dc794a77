"""`umi ports`: which serial ports, SPI buses and GPIO chips this host has."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.output.render import Table, View


@command(examples="umi ports\numi ports --json")
@pass_app
def ports(app: App) -> None:
    """List the ports of this host; nothing is sent.

    Serial ports come with their USB adapter and a path that stays the same when it is plugged in
    again; write that one into scripts.
    """
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


def _row(kind: str, record: dict[str, Any]) -> list[object]:
    detail = {
        "serial": " ".join(filter(None, map(record.get, ("usb", "product", "probe")))),
        "spi": record.get("address"),
        "gpio": f"{record.get('label') or ''} {record.get('lines') or ''}".strip(),
    }[kind]
    return [kind, record["device"], detail or None, record.get("serial"), record.get("stable")]
