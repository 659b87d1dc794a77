"""Who could do what the device refused? The roles that the datasheet lets write an object."""

from collections.abc import Iterator
from contextlib import contextmanager

from umi_cli.device.meter import Meter
from umi_cli.errors import AccessDeniedError


@contextmanager
def naming_roles(meter: Meter, part: str) -> Iterator[None]:
    """Add to a refusal which roles may write the object."""
    try:
        yield
    except AccessDeniedError as error:
        definition = meter.catalogue.find(meter.catalogue.resolve(part).code)
        if definition is not None:
            error.hint = (
                f"the datasheet lets {definition.write} write {definition.name};"
                " act in such a role with --role, and prove it with --key"
            )
        raise
