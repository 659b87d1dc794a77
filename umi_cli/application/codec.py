"""How the fields of a command become bytes and back, declared once beside each field.

A field of a command names its form with `Annotated`:

    code: Annotated[UmiCode, CODE]

and `payload_of` and `fields_from` do the rest, in the order of the fields.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from umi_cli import wire
from umi_cli.types import ObjectPart, RoleSet, UmiCode, UmiId
from umi_cli.wire import Reader


@dataclass(frozen=True, slots=True)
class Form:
    """How one field stands on the wire."""

    read: Callable[[Reader, str], Any]
    """Takes the field from a reader; `MalformedError` if it runs short."""
    write: Callable[[Any], bytes]
    """Returns the field's bytes; `OverflowError` if the value does not fit."""


def fixed(length_bytes: int) -> Form:
    """Return the form of exactly that many bytes."""

    def write(value: bytes) -> bytes:
        if len(value) != length_bytes:
            raise OverflowError(f"{length_bytes} bytes are due, not {len(value)}")
        return value

    return Form(lambda reader, field: reader.take(length_bytes, field), write)


def counted(*, reserved_bytes: int) -> Form:
    """Return the form of reserved zero bytes, u16 n, n bytes. What is reserved is not looked at."""

    def read(reader: Reader, field: str) -> bytes:
        reader.take(reserved_bytes, f"{field} reserved")
        return reader.take(reader.u16(f"{field} length"), field)

    return Form(read, lambda value: bytes(reserved_bytes) + wire.u16(len(value)) + value)


def _read_name_serial(reader: Reader, field: str) -> bytes:
    return reader.take(reader.u8(f"{field} length"), field)


U8 = Form(Reader.u8, wire.u8)
U16 = Form(Reader.u16, wire.u16)
U32 = Form(Reader.u32, wire.u32)
DATETIME = U32
CODE = Form(lambda reader, field: UmiCode(reader.u32(field)), UmiCode.encode)
ID = Form(lambda reader, field: UmiId(reader.u64(field)), UmiId.encode)
ROLES = Form(lambda reader, field: RoleSet(reader.u16(field)), RoleSet.encode)
PART = Form(ObjectPart.read, ObjectPart.encode)
NONCE = fixed(16)
TAG = fixed(16)
OBJECT_VALUE = counted(reserved_bytes=2)
PART_VALUE = counted(reserved_bytes=1)
REST = Form(lambda reader, _: reader.rest(), bytes)
SERIAL = Form(_read_name_serial, lambda value: wire.u8(len(value)) + value)


_FORMS: dict[type, Mapping[str, Form]] = {}  # reading annotations is slow: once for each type


def forms_of(kind: type[Any]) -> Mapping[str, Form]:
    """Return the fields of a command or reply with their forms, in the order of the wire."""
    if kind not in _FORMS:
        hints = get_type_hints(kind, include_extras=True)
        _FORMS[kind] = {field.name: hints[field.name].__metadata__[0] for field in fields(kind)}
    return _FORMS[kind]


def payload_of(record: Any) -> bytes:
    """Return the payload of a command or reply; `OverflowError` if a value does not fit."""
    forms = forms_of(type(record)).items()
    return b"".join(form.write(getattr(record, name)) for name, form in forms)


def fields_from(kind: type[Any], payload: bytes) -> dict[str, Any]:
    """Return the fields of a command or reply from its payload.

    Raises:
        MalformedError: the payload is shorter or longer than its fields.
    """
    reader = Reader(payload, what=kind.__name__)
    values = {name: form.read(reader, name) for name, form in forms_of(kind).items()}
    reader.end()
    return values
