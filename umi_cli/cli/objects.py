"""`umi objects`: what the datasheet knows, and what of it the device has."""

from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.params import part_argument
from umi_cli.errors import (
    AccessDeniedError,
    NotInDatasheetError,
    RefusedError,
    UnknownObjectError,
)
from umi_cli.output.render import View

if TYPE_CHECKING:
    from umi_cli.device.meter import Meter
    from umi_cli.objects.catalogue import Catalogue
    from umi_cli.objects.definitions import ObjectDefinition

EXAMPLES = """\
umi objects
umi objects wan-configuration
umi -p sim objects --probe --json
umi objects --with-events --datasheet ./acme-g4.toml
"""


@command(examples=EXAMPLES)
@part_argument("parts", metavar="[PART]...", nargs=-1)
@click.option("--probe", is_flag=True, help="Ask the device which of them exist")
@click.option("--with-events", is_flag=True, help="List the events too")
@pass_app
def objects(app: App, parts: tuple[str, ...], probe: bool, with_events: bool) -> None:
    """List the objects of the datasheet.

    With PART, each of them with its members. A probe reads one element of each object, and writes
    nothing.
    """
    from umi_cli.output import definitions

    catalogue = app.catalogue
    wanted = [_definition(catalogue, part) for part in parts] or list(catalogue.objects)
    records = [definitions.object_record(definition) for definition in wanted]
    if probe:
        with app.connect(is_secret=any(definition.secret for definition in wanted)) as meter:
            for definition, record in zip(wanted, records, strict=True):
                record["exists"] = exists(meter, definition)
    data: dict[str, Any] = {"datasheet": catalogue.datasheet.name, "objects": records}
    overview = definitions.object_table(records)
    blocks = [definitions.member_table(record) for record in records] if parts else [overview]
    if with_events:
        data["events"] = [definitions.event_record(event) for event in catalogue.events]
        blocks.append(definitions.event_table(data["events"]))
    app.emit(data, View(blocks=blocks, csv=None if with_events else overview))


def _definition(catalogue: "Catalogue", text: str) -> "ObjectDefinition":
    """Return what the datasheet says of an object; `NotInDatasheetError` if it says nothing."""
    part = catalogue.resolve(text)
    definition = catalogue.find(part.code)
    if definition is None:
        raise NotInDatasheetError(f"the datasheet does not describe {part.code}")
    return definition


def exists(meter: "Meter", definition: "ObjectDefinition") -> bool | None:
    """Tell whether the device has an object; None if its answer does not tell."""
    from umi_cli.application.codes import ResultCode
    from umi_cli.types import TO_END, ObjectPart

    last = 0 if definition.kind.is_array else TO_END
    try:
        meter.read(ObjectPart(definition.code, 0, last))
    except AccessDeniedError:
        return True
    except UnknownObjectError as error:
        return error.number != ResultCode.UNKNOWN_OBJECT  # else: it is there, and empty
    except RefusedError:
        return None
    return True
