"""How a test reads a value that may not fit into one response: whole, or joined (protocol 3.3)."""

from typing import Protocol, TypeVar

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import ReadObject, ReadObjectPart
from umi_cli.application.payload import Command, Payload
from umi_cli.certify.bench import Bench
from umi_cli.certify.case import Failure, NotApplicable
from umi_cli.device.array_read import read_array
from umi_cli.errors import MalformedError, RefusedError
from umi_cli.objects.definitions import ObjectDefinition
from umi_cli.types import ObjectPart

R = TypeVar("R", bound=Payload)


class Asks(Protocol):
    """Sends a command and returns its reply; `RefusedError` if it is refused."""

    def __call__(self, command: Command[R]) -> R:
        """Send it."""


def value_of(ask: Asks, definition: ObjectDefinition) -> bytes:
    """Return the value of an object; a device that says TOO_LONG is asked for its parts.

    Args:
        ask: who asks: a guest, or a role in its session.
        definition: of the object.

    Raises:
        UmiError: what the device says.
    """
    try:
        return ask(ReadObject(code=definition.code)).value
    except RefusedError as error:
        if error.number != ResultCode.TOO_LONG:
            raise
        return _joined(ask, definition, error)


def guest_value_of(bench: Bench, definition: ObjectDefinition) -> bytes:
    """Return the value of an object as a guest reads it; `Failure` if it is refused."""
    try:
        return value_of(bench.meter.session.request_in_clear, definition)
    except (RefusedError, MalformedError) as error:
        raise Failure(f"{definition.code} {definition.name} cannot be read: {error}") from error


def guest_part_of(bench: Bench, part: ObjectPart) -> bytes:
    """Return the bytes of a part as a guest reads them.

    Raises:
        NotApplicable: several elements are too long for one response.
        Failure: it is refused.
    """
    try:
        return bench.meter.session.request_in_clear(ReadObjectPart(part=part)).value
    except RefusedError as error:
        if error.number == ResultCode.TOO_LONG and part.first < part.last:
            raise NotApplicable(f"the device does not give {part} in one response") from error
        raise Failure(f"{part} cannot be read: {error}") from error
    except MalformedError as error:
        raise Failure(f"{part} cannot be read: {error}") from error


def _joined(ask: Asks, definition: ObjectDefinition, error: RefusedError) -> bytes:
    """Return a value from its elements or members; raise why the whole did not come if not."""
    if definition.kind.is_array and definition.element_size_bytes:
        found = read_array(
            lambda part: ask(ReadObjectPart(part=part)).value,
            ObjectPart(definition.code),
            definition.element_size_bytes,
        )
        if found.failure is not None:
            raise found.failure
        return found.raw
    if definition.kind.is_array or not definition.members:
        raise error
    parts = (ObjectPart(definition.code, member=each) for each in range(len(definition.members)))
    return b"".join(ask(ReadObjectPart(part=part)).value for part in parts)
