"""What a payload is: a typed record, found by its packet type (protocol 3.2)."""

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar, dataclass_transform

from umi_cli.application.codec import fields_from, payload_of
from umi_cli.application.codes import PacketType
from umi_cli.errors import MalformedError

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(kind: type[T]) -> type[T]:
    """Make a frozen, slotted, keyword-only dataclass."""
    return dataclass(frozen=True, slots=True, kw_only=True)(kind)


class Payload:
    """What a packet carries: a command, or the reply to one."""

    __slots__ = ()
    TYPE: ClassVar[PacketType]

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Decode the payload of a packet of this type.

        Raises:
            MalformedError: shorter or longer than its fields.
        """
        return cls(**fields_from(cls, payload))

    def encode(self) -> bytes:
        """Return the payload; `OverflowError` if a value does not fit its field."""
        return payload_of(self)

    @property
    def title(self) -> str:
        """Return what a message calls it, such as `READ_OBJECT umi.1.1.0.0`."""
        target = getattr(self, "part", None) or getattr(self, "code", None)
        return f"{self.TYPE.name} {target}" if target else self.TYPE.name


@record
class Acknowledgement(Payload):
    """A reply that says no more than that its command was done.

    (Each of them inherits what a record generates: to generate it anew costs a millisecond.)
    """


R = TypeVar("R", bound=Payload)


class Command(Payload, Generic[R]):
    """A packet of an even type; it names the record of its reply."""

    __slots__ = ()
    REPLY: ClassVar[type[Payload]]
    CHANGES: ClassVar[bool] = False
    """Whether it changes the device."""

    def __init_subclass__(cls) -> None:
        # A slotted dataclass is made a second time: the one with slots comes last and stays.
        COMMANDS[cls.TYPE] = cls
        REPLIES[cls.REPLY.TYPE] = cls.REPLY


COMMANDS: dict[int, type[Command[Any]]] = {}
"""Every command by its packet type; complete once `application.commands` is imported."""
REPLIES: dict[int, type[Payload]] = {}
"""Every reply by its packet type."""


def decode_command(packet_type: int, payload: bytes) -> Command[Any]:
    """Decode the payload of a command.

    Raises:
        MalformedError: no command has this type, or the payload is not of its form.
    """
    kind = COMMANDS.get(packet_type)
    if kind is None:
        raise MalformedError(f"no command has packet type 0x{packet_type:02x}")
    return kind.decode(payload)
