"""`umi write`: an object, a member or elements."""

from typing import TYPE_CHECKING

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.params import offer_values, part_argument
from umi_cli.cli.sources import read_secret, read_text
from umi_cli.errors import AccessDeniedError, InputError, MalformedError, ReadBackError
from umi_cli.output.parts import Part
from umi_cli.output.render import View

if TYPE_CHECKING:
    from umi_cli.device.meter import Meter
    from umi_cli.objects.catalogue import Catalogue
    from umi_cli.objects.values import Value
    from umi_cli.types import ObjectPart

EXAMPLES = """\
umi -p sim write counter 5 --verify
umi -p tcp:192.0.2.7:4059 write wan-configuration/primary-port 4059 --dry-run
umi -p sim write "scratch[0:2]" hex:0a1b2c
"""


@command(examples=EXAMPLES, lacks=("csv",))
@part_argument("part_text")
@click.argument("value_text", metavar="VALUE", shell_complete=offer_values)
@click.option("--verify", is_flag=True, help="Read the value back and compare")
@pass_app
def write(app: App, part_text: str, value_text: str, verify: bool) -> None:
    """Write an object, a member or elements.

    VALUE is what the datasheet says: a number, text, a time, names of flags; JSON for a whole
    structure or array; hex:... for the bytes themselves; - for any of these on stdin. A secret is
    named by where it is (a path, -, fd:3, file:PATH, env:NAME, prompt), never typed.
    """
    part = app.catalogue.resolve(part_text)
    raw = encoded(app.catalogue, part, value_text, no_input=app.settings.no_input)
    shown = Part.of(app.catalogue, part, raw, decoded(app.catalogue, part, raw))
    written = not app.settings.dry_run
    with app.connect(is_secret=app.is_secret(part)) as meter:
        if written:
            _write(meter, part, raw, verify=verify, is_secret=shown.is_secret)
        else:
            _prove(app, meter, part)
    record = {**shown.record, "written": written, "verified": written and verify}
    app.emit(
        record,
        View(blocks=(_sentence(shown, written=written, verified=verify),), raw=[shown.shown_raw]),
    )


def encoded(
    catalogue: "Catalogue", part: "ObjectPart", text: str, *, no_input: bool = False
) -> bytes:
    """Return the bytes of a value as typed, or of a secret from where it is.

    Args:
        no_input: nobody may be asked for a secret.

    Raises:
        UmiError: the value does not fit, or a secret stands on the command line.
    """
    definition = catalogue.find(part.code)
    if definition is None or not definition.secret:
        return catalogue.parse_value(part, read_text(text))
    secret = read_secret(text, f"the value of {definition.name}", no_input=no_input)
    try:
        return catalogue.parse_value(part, secret)
    except InputError:  # not chained: it repeats what does not fit
        raise InputError(
            f"the secret does not fit {part}",
            hint=f"see what does with: umi objects {definition.name}; bytes are written in hex",
        ) from None


def decoded(catalogue: "Catalogue", part: "ObjectPart", raw: bytes) -> "Value":
    """Return what bytes mean; the bytes themselves where `hex:` gave what the datasheet forbids."""
    try:
        return catalogue.decode(part, raw)
    except MalformedError:
        return raw


def _write(
    meter: "Meter", part: "ObjectPart", raw: bytes, *, verify: bool, is_secret: bool
) -> None:
    try:
        meter.write(part, raw, verify=verify)
    except ReadBackError as error:
        if not is_secret:
            raise
        message = f"{part} was written and reads back differently"
        raise ReadBackError(message, hint=error.hint) from None  # not chained: it shows both


def _prove(app: App, meter: "Meter", part: "ObjectPart") -> None:
    """Find out whether a write could work, without one: the object is there."""
    try:
        meter.read(part)
    except AccessDeniedError:
        app.note(f"{part} is there, and may not be read")


def _sentence(shown: Part, *, written: bool, verified: bool) -> str:
    if not written:
        return f"{shown.label}: would be written, {len(shown.raw)} bytes"
    return f"{shown.label}: written" + (" and read back" if verified else "")
