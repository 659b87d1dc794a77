"""`umi read`: objects, members and elements, by code or name."""

from typing import TYPE_CHECKING

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.params import part_argument
from umi_cli.errors import UmiError
from umi_cli.output.parts import Part, view_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from umi_cli.device.meter import ObjectValue

EXAMPLES = """\
umi -p sim read umi.1.1.0.0/3
umi -p sim read manufacturer-id 7.0.3.0.0.255 --json
umi -p sim read "profile-table[0:47]" -o csv
"""


@command(examples=EXAMPLES)
@part_argument("parts", metavar="PART...", nargs=-1, required=True)
@pass_app
def read(app: App, parts: tuple[str, ...]) -> None:
    """Read objects, members and elements.

    PART is a UMI code, a name of the datasheet or an OBIS code; /3 or /NAME after it is a member,
    [3], [3:5] or [3:] are elements. Quote the brackets from your shell.
    """
    read_and_show(app, parts)


def read_and_show(app: App, parts: "Iterable[str]") -> None:
    """Read parts of a device and give them as the result, each in the words of the datasheet.

    Raises:
        UmiError: as `Meter.read` does; what came before it is shown.
    """
    from umi_cli.device.meter import PartialReadError

    wanted = [app.catalogue.resolve(text) for text in parts]
    found: list[ObjectValue] = []
    try:
        with app.connect(is_secret=app.is_secret(*wanted)) as meter:
            for part in wanted:
                found.append(meter.read(part))
    except UmiError as error:
        found += [error.got] if isinstance(error, PartialReadError) else []
        if found:  # what came before the error is certain
            show(app, found)
        raise
    show(app, found)


def show(app: App, found: "list[ObjectValue]") -> None:
    """Give what was read as the result."""
    parts = [Part.of(app.catalogue, value.part, value.raw, value.value) for value in found]
    app.emit([part.record for part in parts], view_of(parts))
