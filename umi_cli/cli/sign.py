"""`umi sign`: sign a command here and now, so that it can be sent elsewhere later."""

from datetime import UTC, datetime
from pathlib import Path

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.params import UMI_ID, offer_values, part_argument
from umi_cli.cli.write import encoded
from umi_cli.errors import InputError
from umi_cli.output.render import Table, View, json_line
from umi_cli.types import UmiId, from_datetime, parse_datetime

EXAMPLES = """\
umi sign load-limit 2500 --target 00237EFE00000001 --out limit.umi --key own.pem --cert own.cvc
umi sign valve closed --target 00237EFE00000001 --valid-for 86400 --out - --scheme 1 --role service
"""
DAY_S = 86_400
MIN_VALID_S = 60  # as far as the window begins before now: a shorter one would be over
MAX_VALID_S = 7 * DAY_S  # protocol 5: a command signed ahead, offline


@command(examples=EXAMPLES, lacks=("raw",))
@part_argument("part_text")
@click.argument("value_text", metavar="VALUE", shell_complete=offer_values)
@click.option("--target", type=UMI_ID, required=True, help="UMI ID of the device that is to obey")
@click.option("--from", "start", metavar="TIME", help="When its window begins; default: just now")
@click.option(
    "--valid-for",
    "valid_for_s",
    metavar="SECONDS",
    type=click.IntRange(MIN_VALID_S, MAX_VALID_S),
    default=DAY_S,
    help="How long its window is, up to 7 days; default: one",
)
@click.option("--out", metavar="FILE", required=True, help="Where to write it; - is stdout")
@pass_app
def sign(
    app: App,
    part_text: str,
    value_text: str,
    target: UmiId,
    start: str | None,
    valid_for_s: int,
    out: str,
) -> None:
    """Sign a command here and now, to be sent elsewhere later.

    What is signed is a write, for one device and for one window of its time. Whoever has the file
    can send it with umi send, once; it holds no key. Needs no device.
    """
    from umi_cli.application.commands import WriteObject, WriteObjectPart
    from umi_cli.cli.credentials import credentials_of, own_id
    from umi_cli.device.offline import sign_ahead
    from umi_cli.security.signatures import WINDOW_BEFORE_S

    part = app.catalogue.resolve(part_text)
    if app.is_secret(part):
        raise InputError(
            f"{part} is secret, and a signed command is not encrypted: who has it can read it",
            hint="write it in a session under scheme 2: umi write",
        )
    raw = encoded(app.catalogue, part, value_text)
    credentials = credentials_of(app.settings, app)
    if credentials is None:
        raise InputError(
            "a signature needs a key", hint="give --key and --cert, or --scheme 1, --role and --key"
        )
    from_s = parse_datetime(start) if start else _now_s() - WINDOW_BEFORE_S
    signed = sign_ahead(
        WriteObject(code=part.code, value=raw)
        if part.is_whole
        else WriteObjectPart(part=part, value=raw),
        credentials,
        commander=own_id(app.settings, credentials),
        target=target,
        from_s=from_s,
        valid_for_s=valid_for_s,
    )
    record = signed.to_json()
    shown = {name: value for name, value in record.items() if name not in ("schema", "packet")}
    if out == "-":
        app.emit(record, View(blocks=(json_line(record),)))
        return
    _save(Path(out), json_line(record))
    app.emit({**shown, "file": out}, View(blocks=(Table.pairs({**shown, "file": out}),)))


def _now_s() -> int:
    return from_datetime(datetime.now(UTC))


def _save(path: Path, text: str) -> None:
    from umi_cli.files import write_atomically

    try:
        write_atomically(path, text.encode(), mode=0o600, replace=False)
    except FileExistsError as error:
        raise InputError(f"{path} is there already", hint="name another file") from error
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
