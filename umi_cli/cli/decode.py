"""`umi decode`: what frames and packets say, layer by layer."""

from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.params import BYTES
from umi_cli.errors import MalformedError
from umi_cli.output.render import Table, View, cell

if TYPE_CHECKING:
    from umi_cli.explain.layers import Layer

EXAMPLES = """\
umi decode 01040000fe5b
umi decode "41 01 51 51 02 01" --json
umi decode capture.hex
umi decode - < frame.bin
"""
COLUMNS = ("offset", "bytes", "field", "value", "meaning")
SHOWN_BYTES = 16


@command(examples=EXAMPLES)
@click.argument("data", metavar="HEX|FILE|-", type=BYTES)
@click.option(
    "--as",
    "kind",
    type=click.Choice(["frame", "packet", "message"]),
    help="What the bytes are; found out otherwise",
)
@pass_app
def decode(app: App, data: bytes, kind: str | None) -> None:
    """Explain frames and packets; needs no device.

    Every check that fails is named, and makes the exit code 33. Frames may stand one after the
    other; fragments are put together. Spaces, colons, 0x and newlines in hex are welcome.
    """
    from umi_cli.explain.bytes import explain

    layers = explain(data, app.catalogue, kind)
    app.emit([_record(layer) for layer in layers], View(blocks=_blocks(layers), csv=_csv(layers)))
    failures = [f"{layer.name}: {text}" for layer in layers for text in layer.failures]
    if failures:
        raise MalformedError("; ".join(failures))


def _record(layer: "Layer") -> dict[str, Any]:
    return {
        "layer": layer.name,
        "within": layer.within or None,
        "fields": [
            {
                "name": each.name,
                "offset": each.offset,
                "length": len(each.raw),
                "raw": each.raw,
                "value": each.value,
                "meaning": each.meaning or None,
            }
            for each in layer.fields
        ],
        "failures": layer.failures,
        "notes": layer.notes,
    }


def _blocks(layers: "list[Layer]") -> list[Table | str]:
    blocks: list[Table | str] = []
    for layer in layers:
        within = f" (offsets in {layer.within})" if layer.within else ""
        rows = [_row(layer, number) for number in range(len(layer.fields))]
        title = layer.name + within
        blocks.append(Table(columns=COLUMNS, rows=rows, title=title) if rows else title)
        failures = [f"FAILED: {text}" for text in layer.failures]
        blocks += ["\n".join([*failures, *layer.notes])] if failures or layer.notes else []
    return blocks


def _row(layer: "Layer", number: int) -> list[object]:
    each = layer.fields[number]
    raw = each.raw[:SHOWN_BYTES].hex() + ("…" if len(each.raw) > SHOWN_BYTES else "")
    is_told = isinstance(each.value, (dict, list))  # what its meaning says better
    value = "" if each.value is None or is_told else cell(each.value)
    return [each.offset, raw, each.name, value, each.meaning]


def _csv(layers: "list[Layer]") -> Table:
    rows = ([layer.name, *_row(layer, n)] for layer in layers for n in range(len(layer.fields)))
    return Table(columns=("layer", *COLUMNS), rows=rows)
