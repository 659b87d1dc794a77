"""Which type a datasheet's type text means, such as `u16`, `ascii[<=65]` or `enum:u8`."""

import re

from umi_cli.errors import InputError
from umi_cli.objects.named_types import Enumeration, FlagSet, RoleSetType
from umi_cli.objects.value_types import (
    AnyType,
    Ascii,
    Bytes,
    DateTime,
    DayTimeType,
    Identity,
    Integer,
)
from umi_cli.types import UmiCode, UmiId

MAX_LENGTH = 0xFFFF  # the length of an object is a u16 on the wire (protocol 3.2)
SIMPLE: dict[str, AnyType] = {
    "datetime": DateTime(),
    "ddhhmmss": DayTimeType(),
    "umi-id": Identity(identity=UmiId, width=8),
    "umi-code": Identity(identity=UmiCode, width=4),
    "role-set": RoleSetType(),
}
_INTEGER = re.compile(r"([ui])(8|16|32|64)")
_NAMED = re.compile(r"(enum|flags):u(8|16|32)")
_STRING = re.compile(r"(ascii|bytes)\[(<=)?([1-9]\d{0,4})\]", re.ASCII)
_HINT = (
    "types are u8 u16 u32 u64 i8 i16 i32 i64, ascii[n], ascii[<=n], bytes[n], bytes[<=n], "
    f"{', '.join(SIMPLE)}, enum:u8, enum:u16, enum:u32, flags:u8, flags:u16, flags:u32"
)


def parse_type(text: str) -> AnyType:
    """Return the type that a type text means, without scale, unit and names.

    Raises:
        InputError: there is no such type.
    """
    if text in SIMPLE:
        return SIMPLE[text]
    if match := _INTEGER.fullmatch(text):
        return Integer(width=int(match[2]) // 8, is_signed=match[1] == "i")
    if match := _NAMED.fullmatch(text):
        width = int(match[2]) // 8
        return Enumeration(width=width) if match[1] == "enum" else FlagSet(width=width)
    if (match := _STRING.fullmatch(text)) and int(match[3]) <= MAX_LENGTH:
        kind = Ascii if match[1] == "ascii" else Bytes
        return kind(length=int(match[3]), is_variable=match[2] is not None)
    raise InputError(f"{text!r:.60} is no type", hint=_HINT)
