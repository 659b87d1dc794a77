"""`umi access`: which roles may read and write an object."""

from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli.base import group
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.params import ROLE_SET, part_argument
from umi_cli.errors import InputError

if TYPE_CHECKING:
    from umi_cli.device.meter import Access
    from umi_cli.objects.catalogue import Catalogue
    from umi_cli.types import ObjectPart, RoleSet


EXAMPLES = """\
umi -p "sim:?as=service" access show valve
umi -p "sim:?as=manufacturer" access set valve --write service
"""


@group(examples=EXAMPLES)
def access() -> None:
    """Show and set who may read and write an object."""


@access.command(examples=EXAMPLES.splitlines()[0])
@part_argument("part")
@pass_app
def show(app: App, part: str) -> None:
    """Show which roles may read and write an object."""
    whole = whole_object(app.catalogue, part)
    with app.connect() as meter:
        record = record_of(app.catalogue, meter.access(whole))
    app.emit(record)


@access.command("set", examples=EXAMPLES.splitlines()[1], lacks=("raw",))
@part_argument("part")
@click.option("--read", "read_roles", type=ROLE_SET, metavar="ROLES", help="Who may read it")
@click.option("--write", "write_roles", type=ROLE_SET, metavar="ROLES", help="Who may write it")
@pass_app
def set_(app: App, part: str, read_roles: "RoleSet | None", write_roles: "RoleSet | None") -> None:
    """Set which roles may read and write an object.

    ROLES are names or numbers between commas, or all, or none.
    """
    if read_roles is None and write_roles is None:
        raise InputError("nothing to set", hint="say --read ROLES, --write ROLES or both")
    whole = whole_object(app.catalogue, part)
    for verb, roles in (("read", read_roles), ("write", write_roles)):
        if roles is not None and not roles.bits:
            app.confirm(loss=f"leave no role that may {verb} {whole.code}")
    with app.connect() as meter:
        if not app.settings.dry_run:
            meter.set_access(whole, read=read_roles, write=write_roles)
        record = record_of(app.catalogue, meter.access(whole))
    app.emit({**record, "changed": not app.settings.dry_run})


def whole_object(catalogue: "Catalogue", text: str) -> "ObjectPart":
    """Return the object that a text names; access belongs to whole objects.

    Raises:
        UmiError: the text names no object, or a part of one.
    """
    part = catalogue.resolve(text)
    if not part.is_whole:
        raise InputError(f"{text!r} is a part: access belongs to the whole object {part.code}")
    return part


def record_of(catalogue: "Catalogue", found: "Access") -> dict[str, Any]:
    """Return the JSON record of an object's role sets."""
    definition = catalogue.find(found.code)
    return {
        "code": str(found.code),
        "name": definition.name if definition else None,
        "read": found.read,
        "write": found.write,
    }
