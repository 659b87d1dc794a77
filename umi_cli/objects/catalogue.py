"""Which object does a text mean, and what do its bytes say? A datasheet, asked by name.

Protocol 4. A code inside the datasheet's banks that it does not describe is a known unknown: it
resolves, and its value is bytes.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Self, TypeVar

from umi_cli.errors import InputError, NotInDatasheetError
from umi_cli.names import near, normal
from umi_cli.objects.composites import Array, Member
from umi_cli.objects.definitions import Datasheet, Event, ObjectDefinition
from umi_cli.objects.obis import is_obis, parse_obis
from umi_cli.objects.type_text import MAX_LENGTH
from umi_cli.objects.value_types import AnyType, Bytes, parse_hex
from umi_cli.objects.values import Units, Value
from umi_cli.types import ALL_MEMBERS, MAX_MEMBER, TO_END, ObjectPart, Selection, UmiCode

# choice: what only the virtual meter has stands in a bank that no manufacturer holds, so it can
# be named whatever the device's own datasheet is.
VIRTUAL_DATASHEET = "virtual"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_UNDESCRIBED = Bytes(length=MAX_LENGTH, is_variable=True)
_HEX_PREFIX = "hex:"
T = TypeVar("T")


class Catalogue:
    """The objects and events of a datasheet, found by code, name or OBIS code.

    >>> catalogue = Catalogue.load("ei4")
    >>> part = catalogue.resolve("manufacturer-id/serial")
    >>> str(part), catalogue.name_of(part), catalogue.decode(part, b"31733978")
    ('umi.1.1.0.0/3', 'manufacturer-id/serial', '31733978')

    Args:
        datasheet: what is known of the device.
        supplement: more objects, under names that the datasheet does not use itself.
    """

    def __init__(self, datasheet: Datasheet, *, supplement: Datasheet | None = None) -> None:
        self.datasheet = datasheet
        sheets = [datasheet] if supplement is None else [datasheet, supplement]
        self.banks = tuple(dict.fromkeys(bank for sheet in sheets for bank in sheet.banks))
        self._objects: dict[UmiCode, ObjectDefinition] = {}
        for definition in (definition for sheet in sheets for definition in sheet.objects):
            self._objects.setdefault(definition.code, definition)
        self._names: dict[str, ObjectDefinition] = {}
        self._obis: dict[str, tuple[ObjectDefinition, int]] = {}
        for definition in self._objects.values():
            self._index(definition)
        self._events = {event.number: event for event in datasheet.events}

    @classmethod
    def load(cls, source: str) -> Self:
        """Load a datasheet, with the objects of the virtual meter beside it.

        Raises:
            InputError: there is no such datasheet, or something in it is wrong.
        """
        # Reading TOML costs half of this room's import: who is handed a catalogue need not pay it.
        from umi_cli.objects import datasheet

        return cls(datasheet.load(source), supplement=datasheet.load(VIRTUAL_DATASHEET))

    @property
    def objects(self) -> tuple[ObjectDefinition, ...]:
        """Return the described objects by code."""
        return tuple(self._objects[code] for code in sorted(self._objects))

    @property
    def events(self) -> tuple[Event, ...]:
        """Return the described events by number."""
        return self.datasheet.events

    def find(self, code: UmiCode) -> ObjectDefinition | None:
        """Return what is known of an object; None if nothing is."""
        return self._objects.get(code)

    def has(self, name: str) -> bool:
        """Tell whether there is an object of that name."""
        return normal(name) in self._names

    def event(self, number: int) -> Event | None:
        """Return what is known of an event; None if nothing is."""
        return self._events.get(number)

    def find_event(self, text: str) -> Event:
        """Return the event that a text names, by name or number.

        Raises:
            NotInDatasheetError: there is none.
        """
        names = {normal(event.name): event for event in self.events}
        numbers = {str(event.number): event for event in self.events}
        found = names.get(normal(text)) or numbers.get(text.strip())
        if found is None:
            hint = near(text, [event.name for event in self.events])
            raise NotInDatasheetError(
                f"the datasheet has no event {text!r:.60}",
                hint=hint or "write a name or number of the datasheet, such as clock-set or 18",
            )
        return found

    def resolve(self, text: str) -> ObjectPart:
        """Return the object part that a text names, such as `profile-table[0:9]/reading`.

        Raises:
            InputError: it has no such form.
            NotInDatasheetError: it has, and names what is not there.
        """
        selection = Selection.parse(text)
        code, member = self._resolve_head(selection.head)
        if selection.member is not None:
            if member != ALL_MEMBERS:
                raise InputError(f"{selection.head} is a member already, and has none itself")
            member = self._resolve_member(code, selection.member)
        part = ObjectPart(code, selection.first, selection.last, member)
        self.type_of(part)
        return part

    def type_of(self, part: ObjectPart) -> AnyType:
        """Return the type of an object part; arrays stay arrays, whatever is left of them.

        Raises:
            NotInDatasheetError: there is no such part, or its code lies outside the banks.
        """
        definition = self.find(part.code)
        if definition is None:
            self._check_bank(part.code)
            return _UNDESCRIBED
        element = definition.element
        if part.member != ALL_MEMBERS:
            element = _member(definition, part.member).type
        if not definition.kind.is_array:
            _check_single(definition, part)
            return element
        return _array(definition, part, element)

    def name_of(self, part: ObjectPart) -> str | None:
        """Return the name of an object part, such as `manufacturer-id/serial`; None without one."""
        definition = self.find(part.code)
        if definition is None:
            return None
        elements = replace(part, member=ALL_MEMBERS).suffix
        if part.member == ALL_MEMBERS:
            return f"{definition.name}{elements}"
        names = dict(enumerate(member.name for member in definition.members))
        return f"{definition.name}{elements}/{names.get(part.member, part.member)}"

    def units_of(self, part: ObjectPart) -> Units:
        """Return the unit of a part, or its members' units by name, as `to_text` takes them."""
        return self.type_of(part).units

    def decode(self, part: ObjectPart, raw: bytes) -> Value:
        """Decode the bytes of an object part; bytes again if the datasheet does not know it.

        Raises:
            MalformedError: the bytes are too many, too few, or cut an element off.
            NotInDatasheetError: as in `type_of`.
        """
        value: Value = self.type_of(part).decode(raw, self._label(part))
        return value

    def encode(self, part: ObjectPart, value: object) -> bytes:
        """Encode a value: as Python has it, as `to_json` prints it, or as text.

        Raises:
            InputError: it does not fit the part.
            NotInDatasheetError: as in `type_of`.
        """
        return self.type_of(part).encode(value, self._label(part))

    def parse_value(self, part: ObjectPart, text: str) -> bytes:
        """Encode a value as a user types it, or the bytes after `hex:` as they are.

        Raises:
            InputError: it does not fit the part, or the datasheet does not know its type.
            NotInDatasheetError: as in `type_of`.
        """
        value_type, label = self.type_of(part), self._label(part)
        if text.strip().lower().startswith(_HEX_PREFIX):
            # Not even the length is checked: sending a device what it must refuse is a use, too.
            return parse_hex(text.strip()[len(_HEX_PREFIX) :], label)
        if value_type is _UNDESCRIBED:
            raise InputError(
                f"{label}: the datasheet does not know its type",
                hint="write the bytes themselves, such as hex:0a1b",
            )
        return value_type.pack(value_type.parse(text, label))

    def _label(self, part: ObjectPart) -> str:
        return self.name_of(part) or str(part)

    def _index(self, definition: ObjectDefinition) -> None:
        self._names.setdefault(normal(definition.name), definition)
        if definition.obis is not None:
            self._obis.setdefault(definition.obis, (definition, ALL_MEMBERS))
        for number, member in enumerate(definition.members):
            if member.obis is not None:
                self._obis.setdefault(member.obis, (definition, number))

    def _resolve_head(self, head: str) -> tuple[UmiCode, int]:
        """Return code and member of a UMI code, an OBIS code or a name."""
        if head.lower().startswith("umi."):
            return UmiCode.parse(head), ALL_MEMBERS
        if is_obis(head):
            obis = parse_obis(head)
            definition, member = _pick(self._obis, obis, f"OBIS code {obis}")
            return definition.code, member
        if not _NAME.fullmatch(head):
            raise InputError(
                f"{head!r:.60} is no name, UMI code or OBIS code",
                hint="list the names with: umi objects",
            )
        return _pick(self._names, normal(head), f"object {head!r:.60}").code, ALL_MEMBERS

    def _resolve_member(self, code: UmiCode, text: str) -> int:
        """Return a member's number; whether there is such a number, `type_of` checks."""
        text = text.strip()
        if text.isascii() and text.isdigit():
            if len(text) > 3 or int(text) > MAX_MEMBER:
                raise InputError(f"{text:.60} is no member: they count from 0 to {MAX_MEMBER}")
            return int(text)
        if not _NAME.fullmatch(text):
            raise InputError(f"{text!r:.60} is no member: write its name or number")
        definition = self.find(code)
        members = () if definition is None else definition.members
        numbers = {normal(member.name): number for number, member in enumerate(members)}
        label = code if definition is None else definition.name
        return _pick(numbers, normal(text), f"member {text!r:.60} in {label}")

    def _check_bank(self, code: UmiCode) -> None:
        if code.bank not in self.banks:
            raise NotInDatasheetError(
                f"{code} lies outside the banks of the datasheet {self.datasheet.name}",
                hint=f"its banks are {', '.join(self.banks)}; --datasheet selects another",
            )


def _pick(known: Mapping[str, T], key: str, what: str) -> T:
    if key not in known:
        raise NotInDatasheetError(f"the datasheet has no {what}", hint=near(key, known))
    return known[key]


def _member(definition: ObjectDefinition, number: int) -> Member:
    if not definition.members:
        raise NotInDatasheetError(f"{definition.name} has no members: it is no structure")
    if number >= len(definition.members):
        raise NotInDatasheetError(
            f"{definition.name} has no member {number}",
            hint=f"its members count from 0 to {len(definition.members) - 1}",
        )
    return definition.members[number]


def _check_single(definition: ObjectDefinition, part: ObjectPart) -> None:
    if part.first != 0 or part.last not in (0, TO_END):
        raise NotInDatasheetError(f"{definition.name} has no elements: it is no array")


def _array(definition: ObjectDefinition, part: ObjectPart, element: AnyType) -> Array:
    """Return the type of some of an array's elements."""
    limit = definition.max_elements
    last = part.first if part.last == TO_END else part.last
    if limit is not None and last >= limit:
        raise NotInDatasheetError(
            f"{definition.name} has no element {last}", hint=f"it has {limit}, counted from 0"
        )
    if last < part.first:
        raise NotInDatasheetError(f"{definition.name} has no elements from {part.first} to {last}")
    return Array(
        element=element,
        count=None if part.last == TO_END else part.last - part.first + 1,
        max_elements=None if limit is None else limit - part.first,
    )
