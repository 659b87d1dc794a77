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
    wanted = [app.catalogue.resolve(text) for text in parts]
    found: list[Part] = []
    try:
        with app.connect(is_secret=app.is_secret(*wanted)) as meter:
            for part in wanted:
                found.append(_part(app, meter.read(part)))
    except UmiError as error:
        found += _certain(app, error)
        if found:  # what came before the error
            _show(app, found)
        raise
    _show(app, found)


def _certain(app: App, error: UmiError) -> list[Part]:
    """Return what came of a part all the same: elements, or bytes that cannot be explained."""
    from umi_cli.device.meter import PartialReadError, UndecodableError

    match error:
        case PartialReadError():
            return [_part(app, error.got)]
        case UndecodableError():
            return [Part.undecoded(app.catalogue, error.part, error.raw)]
        case _:
            return []


def _part(app: App, found: "ObjectValue") -> Part:
    return Part.of(app.catalogue, found.part, found.raw, found.value)


def _show(app: App, found: list[Part]) -> None:
    app.emit([part.record for part in found], view_of(found))
