"""The objects of a virtual meter: their values, who may read and write them (protocol 4, 6.1)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from umi_cli.application.codes import ResultCode
from umi_cli.errors import MalformedError
from umi_cli.objects.definitions import ObjectDefinition
from umi_cli.objects.values import Enumerated, Value
from umi_cli.types import ALL_MEMBERS, TO_END, ObjectPart, Role, RoleSet, UmiCode
from umi_cli.virtual.refusal import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may read and write an object."""

    read: RoleSet
    write: RoleSet


class ObjectStore:
    """Values and role sets of every object that a meter has.

    A *provider* computes a value when it is read; a *hook* acts on one that was written.
    """

    def __init__(self, objects: Iterable[ObjectDefinition]) -> None:
        self._definitions = {definition.code: definition for definition in objects}
        self.values = {code: _delivered(each) for code, each in self._definitions.items()}
        self.access = {
            code: Access(read=each.read, write=each.write)
            for code, each in self._definitions.items()
        }
        self._providers: dict[UmiCode, Callable[[], bytes]] = {}
        self._hooks: dict[UmiCode, Callable[[bytes], None]] = {}

    def find(self, name: str) -> ObjectDefinition | None:
        """Return the object of that name, if the datasheet has one."""
        return next((each for each in self._definitions.values() if each.name == name), None)

    def provide(self, name: str, provider: Callable[[], bytes], *, size_bytes: int) -> None:
        """Have the value of an object computed, if the datasheet has one of that name.

        Args:
            name: of the object.
            provider: returns the whole value.
            size_bytes: of the value, or of an element; a datasheet may have another under the name.
        """
        definition = self.find(name)
        if definition and definition.element_size_bytes == size_bytes:
            self._providers[definition.code] = provider

    def on_write(
        self, name: str, hook: Callable[[bytes], None], *, size_bytes: int | None = None
    ) -> None:
        """Call a hook with the object's whole new value before it is stored.

        A hook may raise `Refusal`: nothing is stored then. One that needs a certain size says so.
        """
        definition = self.find(name)
        if definition and size_bytes in (None, definition.element_size_bytes):
            self._hooks[definition.code] = hook

    def read(self, part: ObjectPart, role: Role) -> bytes:
        """Return the bytes of a part; `Refusal` if it does not exist or the role may not."""
        definition = self.definition(part.code)
        if role not in self.access[part.code].read:
            raise Refusal(ResultCode.ACCESS_DENIED)
        return _cut(definition, self._value(part.code), part)

    def write(self, part: ObjectPart, value: bytes, role: Role) -> None:
        """Store a part; `Refusal` if it does not exist, does not fit, or the role may not."""
        definition = self.definition(part.code)
        if role not in self.access[part.code].write:
            raise Refusal(ResultCode.ACCESS_DENIED)
        if part.code in self._providers and part.code not in self._hooks:
            raise Refusal(ResultCode.ACCESS_DENIED)  # choice: what is computed nobody writes
        whole = _paste(definition, self._value(part.code), part, value)
        _check_value(definition, whole)
        if hook := self._hooks.get(part.code):
            hook(whole)
        self.values[part.code] = whole

    def restore(self, code: UmiCode, raw: bytes) -> None:
        """Put back a value that was kept; `MalformedError` if it does not fit the datasheet."""
        definition = self._definitions[code]
        definition.type.decode(raw, definition.name)
        self.values[code] = raw

    def access_of(self, code: UmiCode, role: Role) -> Access:
        """Return an object's role sets; any role but guest may ask (protocol 6.1)."""
        self.definition(code)
        if role is Role.GUEST:
            raise Refusal(ResultCode.ACCESS_DENIED)
        return self.access[code]

    def set_access(
        self,
        code: UmiCode,
        role: Role,
        *,
        read: RoleSet | None = None,
        write: RoleSet | None = None,
    ) -> None:
        """Change an object's role sets."""
        old = self.access_of(code, role)
        # choice: whoever may write an object may say who else may; the manufacturer always may.
        if role not in old.write and role is not Role.MANUFACTURER:
            raise Refusal(ResultCode.ACCESS_DENIED)
        self.access[code] = Access(
            read=old.read if read is None else read, write=old.write if write is None else write
        )

    def definition(self, code: UmiCode) -> ObjectDefinition:
        """Return what the datasheet says of an object; `Refusal` if it does not exist."""
        if code not in self._definitions:
            raise Refusal(ResultCode.UNKNOWN_OBJECT)
        return self._definitions[code]

    def _value(self, code: UmiCode) -> bytes:
        provider = self._providers.get(code)
        return provider() if provider else self.values[code]


def _delivered(definition: ObjectDefinition) -> bytes:
    """Return an object's value as it leaves the factory: zeros, or empty where it can grow."""
    types = [member.type for member in definition.members] or [definition.element]
    size = sum(each.size_bytes or 0 for each in types)
    is_growing = definition.kind.is_array and not definition.secret
    return b"" if is_growing else bytes(size * (definition.max_elements or 1))


def _check_value(definition: ObjectDefinition, raw: bytes) -> None:
    try:
        value = definition.type.decode(raw, definition.name)
    except MalformedError as error:
        raise Refusal(ResultCode.INVALID_LENGTH) from error
    if isinstance(value, list) and len(value) > (definition.max_elements or TO_END):
        raise Refusal(ResultCode.INVALID_LENGTH)
    if _has_unnamed_number(value):
        raise Refusal(ResultCode.INVALID_VALUE)


def _has_unnamed_number(value: Value) -> bool:
    if isinstance(value, dict):
        return any(map(_has_unnamed_number, value.values()))
    if isinstance(value, list):
        return bool(value) and any(map(_has_unnamed_number, value))
    return isinstance(value, Enumerated) and value.name is None


def _elements(definition: ObjectDefinition, count: int, part: ObjectPart) -> range:
    """Return which of `count` elements a part means; `Refusal` if some do not exist."""
    if not definition.kind.is_array:
        count = 1
    if part.is_every_element:
        return range(count)
    last = count - 1 if part.last == TO_END else part.last
    if not part.first <= last < count:
        raise Refusal(ResultCode.UNKNOWN_ELEMENT)
    return range(part.first, last + 1)


def _member_span(definition: ObjectDefinition, part: ObjectPart, length: int) -> slice:
    """Return where in one element of that length the part's member stands."""
    sizes = [member.type.max_bytes for member in definition.members]
    start = sum(sizes[: part.member])
    return slice(start, min(start + sizes[part.member], length))


def _check_member(definition: ObjectDefinition, part: ObjectPart) -> None:
    if part.member >= len(definition.members):
        raise Refusal(ResultCode.UNKNOWN_MEMBER)


def _split(definition: ObjectDefinition, raw: bytes) -> list[bytes]:
    size = definition.element_size_bytes
    if not definition.kind.is_array or not size:
        return [raw]
    return [raw[start : start + size] for start in range(0, len(raw), size)]


def _cut(definition: ObjectDefinition, raw: bytes, part: ObjectPart) -> bytes:
    """Return the bytes of a part of an object."""
    if part.is_whole:
        return raw
    size = definition.element_size_bytes or 1
    wanted = _elements(definition, len(raw) // size, part)
    if part.member == ALL_MEMBERS:
        whole = slice(wanted.start * size, wanted.stop * size)
        return raw[whole] if definition.kind.is_array else raw
    _check_member(definition, part)
    parts = _split(definition, raw)[wanted.start : wanted.stop]
    return b"".join(each[_member_span(definition, part, len(each))] for each in parts)


def _paste(definition: ObjectDefinition, raw: bytes, part: ObjectPart, value: bytes) -> bytes:
    """Return an object's value with a part of it replaced."""
    if part.is_whole:
        return value
    if part.member != ALL_MEMBERS:
        return _paste_member(definition, raw, part, value)
    if not definition.kind.is_array:
        _elements(definition, 1, part)
        return value
    size = definition.element_size_bytes or 1
    stop = part.first + len(value) // size
    if part.first > min(part.last, len(raw) // size):
        raise Refusal(ResultCode.UNKNOWN_ELEMENT)  # an array grows at its end, without gaps
    if part.last == TO_END:
        return raw[: part.first * size] + value
    if stop != part.last + 1 or len(value) % size:
        raise Refusal(ResultCode.INVALID_LENGTH)
    return raw[: part.first * size] + value + raw[stop * size :]


def _paste_member(
    definition: ObjectDefinition, raw: bytes, part: ObjectPart, value: bytes
) -> bytes:
    _check_member(definition, part)
    elements = _split(definition, raw)
    wanted = _elements(definition, len(elements), part)
    size, remainder = divmod(len(value), len(wanted) or 1)
    if remainder or (value and not wanted):
        raise Refusal(ResultCode.INVALID_LENGTH)
    for index, number in enumerate(wanted):
        span = _member_span(definition, part, len(elements[number]))
        is_tail = definition.members[part.member].type.size_bytes is None
        if size != span.stop - span.start and not is_tail:
            raise Refusal(ResultCode.INVALID_LENGTH)
        old = elements[number]
        new = value[index * size : (index + 1) * size]
        elements[number] = old[: span.start] + new + old[span.stop :]
    return b"".join(elements)
