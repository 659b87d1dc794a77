"""What a datasheet says, as records: objects, members, events, the optical profile."""

import re
from dataclasses import dataclass, field
from enum import Enum

from umi_cli.objects.composites import Array, Member, Structure
from umi_cli.objects.value_types import AnyType
from umi_cli.objects.values import Value
from umi_cli.types import RoleSet, UmiCode

EVENT_DATA_BYTES = 8  # of each element of the event table (protocol 4)


class Kind(Enum):
    """The four shapes of a data object (protocol 4)."""

    VALUE = "value"
    STRUCTURE = "structure"
    ARRAY = "array"
    ARRAY_OF_STRUCTURES = "array-of-structures"

    @property
    def is_array(self) -> bool:
        """Tell whether the object has elements."""
        return self in (Kind.ARRAY, Kind.ARRAY_OF_STRUCTURES)

    @property
    def has_members(self) -> bool:
        """Tell whether the object, or each element, has members."""
        return self in (Kind.STRUCTURE, Kind.ARRAY_OF_STRUCTURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectDefinition:
    """A data object of the datasheet."""

    code: UmiCode
    """Where it is found."""
    name: str
    """In kebab case, unique in the datasheet."""
    title: str
    """What it is, for people."""
    kind: Kind
    """Which of the four shapes."""
    element: AnyType
    """Type of the value or structure, or of one element of an array."""
    max_elements: int | None = None
    """How many elements an array has at most, if that is known."""
    read: RoleSet = field(default_factory=RoleSet.everyone)
    """Who may read it, as delivered: a device can change its access sets."""
    write: RoleSet = field(default_factory=RoleSet.of)
    """Who may write it, as delivered."""
    signed: bool = False
    """Whether a write must carry a signature of its own (protocol 5)."""
    secret: bool = False
    """Whether its value must not be printed, logged or traced."""
    volatile: bool = False
    """Whether its value changes by itself, so that two readings differ without a cause."""
    obis: str | None = None
    """OBIS code, six numbers with dots between."""
    zse: str | None = None
    """Name in ZigBee Smart Energy."""
    c12_19: str | None = None
    """Name in ANSI C12.19."""

    @property
    def members(self) -> tuple[Member, ...]:
        """Return the members by number; none for values and arrays of values."""
        return self.element.members if isinstance(self.element, Structure) else ()

    @property
    def volatile_members(self) -> tuple[str, ...]:
        """Return the names of the members that change by themselves."""
        return tuple(each.name for each in self.members if self.volatile or each.volatile)

    @property
    def element_size_bytes(self) -> int | None:
        """Return the size of the value, or of one element; None if it varies."""
        return self.element.size_bytes

    @property
    def type(self) -> AnyType:
        """Return the type of the whole object."""
        if not self.kind.is_array:
            return self.element
        return Array(element=self.element, max_elements=self.max_elements)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event that a device logs and publishes."""

    number: int
    """0..65535; up to 31 it is also its bit in the publish/subscribe bit field."""
    name: str
    """In kebab case, unique in the datasheet."""
    title: str
    """What happened, for people."""
    data: tuple[Member, ...] = ()
    """What the 8 data bytes of the event table hold, from the first byte on."""

    def decode(self, data: bytes) -> dict[str, Value]:
        """Decode the data bytes of the event table; what no member describes is left out.

        Raises:
            MalformedError: there are fewer bytes than the members need.
        """
        layout = Structure(members=self.data)
        return layout.decode(data[: layout.max_bytes], f"event {self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpticalProfile:
    """How a device is brought to speak UMI on its optical port (protocol 8)."""

    match: str = ""
    """Regular expression for XXX and IDENT of the sign-on together; empty matches all."""
    v: str = "0"
    """Protocol control character of the option select."""
    y: str = "6"
    """Mode control character of the option select."""
    wakeup: str = "none"
    """`none`, or `std` for the NUL characters that wake a battery meter."""
    switch_delay_ms: int = 50
    """Silence between the option select and the change of rate."""

    def is_for(self, identity: str) -> bool:
        """Tell whether the characters are for a meter with that XXX and IDENT, joined."""
        return re.search(self.match, identity) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Datasheet:
    """Everything that is known of one kind of device."""

    name: str
    title: str
    sha256: str
    """SHA-256 of the file's bytes, as hex; a datasheet that it extends is not in it."""
    banks: tuple[str, ...]
    """The banks whose codes the device may have, such as `umi.1.1`."""
    optical: OpticalProfile
    objects: tuple[ObjectDefinition, ...]
    """By code."""
    events: tuple[Event, ...]
    """By number."""
