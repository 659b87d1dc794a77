"""`umi send`: send a command that was signed elsewhere."""

from typing import TYPE_CHECKING

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.sources import read_bytes
from umi_cli.errors import InputError, RefusedError, UmiError
from umi_cli.output.render import View

if TYPE_CHECKING:
    from umi_cli.device.meter import Meter
    from umi_cli.device.offline import SignedCommand

EXAMPLES = """\
umi -p sim:bench.json send limit.umi
umi -p tcp:192.0.2.7:4059 send - < limit.umi
"""


@command(examples=EXAMPLES, lacks=("csv", "raw"))
@click.argument("file", metavar="FILE")
@pass_app
def send(app: App, file: str) -> None:
    """Send a command that was signed elsewhere.

    The device runs it if it is meant for it, inside its window, and once: a second time it is
    refused. Nothing is added to it, so no key is needed.
    """
    from umi_cli.device.offline import SignedCommand

    signed = SignedCommand.parse(_text(file), file)
    with app.connect(is_secret=_is_secret(app, signed)) as meter:
        is_sent = not app.settings.dry_run
        try:
            if is_sent:
                meter.session.deliver(signed)
            else:
                meter.session.identify()
        except RefusedError as error:
            error.hint = _who_is_there(meter, signed, error) or error.hint
            raise
    record = signed.to_json()
    del record["packet"]
    done = "done" if is_sent else "would be sent"
    sentence = f"{signed.command.title}: {done}, as {signed.signature.role.label}"
    app.emit({**record, "done": is_sent}, View(blocks=(sentence,)))


def _is_secret(app: App, signed: "SignedCommand") -> bool:
    """Tell whether a command holds a secret; `umi sign` makes none that does."""
    from umi_cli.types import ObjectPart

    part = getattr(signed.command, "part", None)
    code = part.code if part else getattr(signed.command, "code", None)
    return code is not None and app.is_secret(ObjectPart(code))


def _who_is_there(meter: "Meter", signed: "SignedCommand", error: RefusedError) -> str:
    """Return whom the command is for and who refused it, if that is why."""
    from umi_cli.application.codes import ResultCode
    from umi_cli.types import UNKNOWN_DEVICE

    if error.number != ResultCode.UNAVAILABLE:
        return ""
    target, meter.session.device_id = signed.envelope.destination, UNKNOWN_DEVICE
    try:
        there = meter.session.identify()
    except UmiError:
        return ""
    return f"the command is for {target}, and this is {there}" if there != target else ""


def _text(file: str) -> str:
    try:
        return read_bytes(file if file == "-" else f"file:{file}").decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file} holds no signed command: it is no text", hint="make one with: umi sign"
        ) from error
