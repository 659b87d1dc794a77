"""Who could do what the device refused? Whom the datasheet lets read or write an object."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from umi_cli.errors import AccessDeniedError
from umi_cli.objects.definitions import ObjectDefinition
from umi_cli.types import Role


@contextmanager
def naming_roles(
    definition: ObjectDefinition | None, verb: Literal["read", "write"], role: Role
) -> Iterator[None]:
    """Add to a refusal which roles may.

    Args:
        definition: what the datasheet says of the object; None if nothing.
        verb: what was to be done.
        role: whose role was refused.
    """
    try:
        yield
    except AccessDeniedError as error:
        if definition is not None:
            error.hint = _hint(definition, verb, role)
        raise


def _hint(definition: ObjectDefinition, verb: Literal["read", "write"], role: Role) -> str:
    roles = definition.read if verb == "read" else definition.write
    name = definition.name
    if role in roles:
        return (
            f"the datasheet lets {role.label} {verb} {name}, and this device does not:"
            f" umi access show {name} tells whom it lets"
        )
    if not roles.bits:
        return f"the datasheet lets nobody {verb} {name}"
    return (
        f"the datasheet lets {roles} {verb} {name};"
        " act in such a role with --role, and prove it with --key"
    )
