"""`umi send`: send a command that was signed elsewhere."""

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.sources import read_bytes
from umi_cli.errors import InputError
from umi_cli.output.render import View

EXAMPLES = """\
umi -p sim:bench.json send limit.umi
umi -p tcp:192.0.2.7:4059 send - < limit.umi
"""


@command(examples=EXAMPLES)
@click.argument("file", metavar="FILE")
@pass_app
def send(app: App, file: str) -> None:
    """Send a command that was signed elsewhere.

    The device runs it if it is meant for it, inside its window, and once: a second time it is
    refused. Nothing is added to it, so no key is needed.
    """
    from umi_cli.device.offline import SignedCommand

    signed = SignedCommand.parse(_text(file), file)
    with app.connect() as meter:
        meter.session.deliver(signed)
    record = signed.to_json()
    del record["packet"]
    sentence = f"{signed.command.title}: done, as {signed.signature.role.label}"
    app.emit({**record, "done": True}, View(blocks=(sentence,)))


def _text(file: str) -> str:
    try:
        return read_bytes(file if file == "-" else f"file:{file}").decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} holds no signed command: it is no text") from error
