"""`umi decode`: what frames, packets, certificates, signatures, images, captures say."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.params import DECODABLE, HEX, UMI_ID
from umi_cli.cli.sources import asker, parse_hex, parse_source
from umi_cli.errors import InputError, KeyUnusableError, MalformedError
from umi_cli.explain.bytes import KINDS, explain
from umi_cli.explain.pcapng import MAGIC
from umi_cli.output.render import Table, View, cell

if TYPE_CHECKING:
    from umi_cli.crypto import AesKey
    from umi_cli.explain.layers import Layer
    from umi_cli.explain.summary import Opener
    from umi_cli.types import UmiId

EXAMPLES = """\
umi decode 01040000fe5b
umi decode "41 01 51 51 02 01" --json
umi decode capture.hex
umi decode - < frame.bin
umi decode chain.cvc
umi decode signed.umi
umi decode capture.hex --session-key session.hex --commander 00237EFE00000004
umi decode trace.pcapng
wireshark -X lua_script:"$(umi decode --dissector-path)" trace.pcapng
"""
COLUMNS = ("offset", "bytes", "field", "value", "meaning")
SHOWN_BYTES = 16
SHOWN_FAILURES = 5  # in the error's one sentence; the result has them all


@command(examples=EXAMPLES)
@click.argument("data", metavar="HEX|FILE|-", type=DECODABLE, required=False)
@click.option(
    "--as", "kind", type=click.Choice(KINDS), help="What the bytes are; found out otherwise"
)
@click.option(
    "--session-key", metavar="SOURCE", help="Where the key of an encrypted session is: 16 bytes"
)
@click.option(
    "--commander", type=UMI_ID, metavar="ID", help="Who began the session; default: either end"
)
@click.option("--iv", type=HEX, metavar="HEX", help="The IV, 12 bytes; default: counters are tried")
@click.option("--dissector-path", is_flag=True, help="Print where the Wireshark dissector is")
@pass_app
def decode(
    app: App,
    data: bytes | Path | None,
    kind: str | None,
    session_key: str | None,
    commander: "UmiId | None",
    iv: bytes | None,
    dissector_path: bool,
) -> None:
    """Explain frames, packets, certificates, images and captures.

    Every check that fails is named, and makes the exit code 33. Frames may stand one after the
    other, and so may certificates; fragments are put together. Spaces, colons, 0x and newlines in
    hex are welcome. With --session-key (a file, -, fd:3, env:NAME: hex or bytes) encrypted packets
    are opened. A capture (pcapng, as --trace writes it) is shown one line a frame; --json has all
    layers. Wireshark shows the same with the dissector that --dissector-path names.
    """
    if dissector_path or data is None:
        _show_dissector(app, is_alone=dissector_path and data is None)
        return
    opener = _opener(app, session_key, commander, iv)
    if isinstance(data, Path) or data.startswith(MAGIC):
        _explain_capture(app, data, kind, opener)
        return
    if not data:
        raise MalformedError("the file is empty", hint="give hex, or a file that holds something")
    layers = explain(data, app.catalogue, kind, opener)
    app.emit(
        [layer_record(layer) for layer in layers], View(blocks=_blocks(layers), csv=_csv(layers))
    )
    failures = Failures()
    for layer in layers:
        for text in layer.failures:
            failures.add(f"{layer.name}: {text}")
    failures.check()


@dataclass(slots=True)
class Failures:
    """The checks that failed: the first few, and how many others."""

    shown: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, text: str) -> None:
        """Take one more."""
        if len(self.shown) < SHOWN_FAILURES:
            self.shown.append(text)
        else:
            self.more += 1

    def check(self) -> None:
        """Raise `MalformedError` if there are any."""
        if self.shown:
            more = [f"and {self.more} more"] if self.more else []
            raise MalformedError("; ".join([*self.shown, *more]))


def _show_dissector(app: App, *, is_alone: bool) -> None:
    """Print where the dissector is; `InputError` if data is given as well, or neither."""
    if not is_alone:
        raise InputError("give what is to be explained, or --dissector-path: one of the two")
    from umi_cli.explain.dissector import PATH

    app.emit({"dissector": str(PATH)}, View(blocks=(str(PATH),)))


def _explain_capture(
    app: App, data: bytes | Path, kind: str | None, opener: "Opener | None"
) -> None:
    import io

    from umi_cli.cli.decode_capture import show_capture

    if kind is not None:
        raise InputError("a capture says itself what it holds", hint="leave --as out")
    with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as file:
        show_capture(app, file, opener)


def _opener(
    app: App, source: str | None, commander: "UmiId | None", iv: bytes | None
) -> "Opener | None":
    """Return what opens encrypted packets, if there is a key.

    Raises:
        InputError: the options make no sense together.
        KeyUnusableError: the key cannot be used.
    """
    from umi_cli.explain.opening import IV_BYTES, SessionOpener

    if source is None:
        if commander or iv:
            raise InputError("nothing is opened without a key", hint="add --session-key SOURCE")
        return None
    if iv is not None and len(iv) != IV_BYTES:
        raise InputError(f"--iv: an IV has {IV_BYTES} bytes, not {len(iv)}")
    return SessionOpener(key=_session_key(app, source), commander=commander, iv=iv)


def _session_key(app: App, source: str) -> "AesKey":
    from umi_cli.crypto import AES_KEY_BYTES, AesKey

    ask = asker(no_input=app.settings.no_input)
    secret = parse_source(source).read("session key", ask=ask)
    if len(secret) != AES_KEY_BYTES:
        secret = parse_hex(secret.decode("latin-1")) or b""
    if len(secret) != AES_KEY_BYTES:
        raise KeyUnusableError(
            "this is no session key", hint=f"give {AES_KEY_BYTES} bytes, as they are or in hex"
        )
    return AesKey(secret)


def layer_record(layer: "Layer") -> dict[str, Any]:
    """Return a layer as `--json` prints it."""
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
