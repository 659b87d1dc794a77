"""The valid exchanges that fuzzing spoils: commands, where numbers stand in them, their packets."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

from umi_cli.application import codec
from umi_cli.application.codec import Form, forms_of
from umi_cli.application.commands import (
    Complete,
    EventSubscribe,
    GetObjectAccess,
    NoOperation,
    ReadObject,
    ReadObjectPart,
    WriteObject,
    WriteObjectPart,
)
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.application.security_commands import (
    S1AuthLogout,
    S1AuthRequest,
    S2CheckRevocation,
    S2EndSession,
    S2GetCertificate,
    S2GetCsr,
    S2StartSession,
)
from umi_cli.certify.fuzz_model import Addresses
from umi_cli.crypto import SALT_BYTES
from umi_cli.mutation import Number, numbers
from umi_cli.objects.definitions import ObjectDefinition
from umi_cli.types import (
    UNKNOWN_DEVICE,
    ObjectPart,
    Role,
    UmiCode,
    UmiId,
    parse_datetime,
)

CREATED_S = parse_datetime("2026-11-22T10:00:00Z")  # of every command: a case is bytes, for ever
MAX_ELEMENTS = 10
CLOCK_CONTROL = "clock-control"  # of the datasheet
_HEADER_SIZES = (1, 2, 4, 1, 1, 2)
MESSAGE_NUMBERS = numbers(_HEADER_SIZES)
PACKET_NUMBERS = (*numbers((1, 1, 1, 1, 8, 8, 1)), *numbers(_HEADER_SIZES, ENVELOPE_BYTES))
_SIZES: Mapping[Form, tuple[int, ...]] = {
    codec.U8: (1,),
    codec.U16: (2,),
    codec.U32: (4,),
    codec.CODE: (4,),
    codec.ID: (8,),
    codec.ROLES: (2,),
    codec.PART: (4, 2, 2, 1),
    codec.OBJECT_VALUE: (2, 2),
    codec.PART_VALUE: (1, 2),
    codec.SERIAL: (1,),
}
_IDENTITY = UmiCode(0)


@dataclass(frozen=True)
class Subject:
    """What is known of the device: with it, a seed and a number make the same bytes again."""

    addresses: Addresses
    own_id: UmiId
    """The tester's."""
    device_id: UmiId
    objects: tuple[ObjectDefinition, ...]
    """Of the datasheet."""
    model: str = "?"
    """As images name it."""
    sealed_id: UmiId | None = None
    """Who we are in a session under scheme 2; None if we have nothing to begin one with."""
    role: Role = Role.GUEST
    """What we act as there."""
    chain: tuple[bytes, ...] = ()
    """Our certificates."""
    trusts_nobody: bool = False
    """It has no certificate of its own yet, so that it may take any first root."""

    @cached_property
    def readable(self) -> tuple[ObjectDefinition, ...]:
        """Return the objects that may be read by somebody; what is secret is not."""
        return tuple(each for each in self.objects if not each.secret)

    @cached_property
    def arrays(self) -> tuple[ObjectDefinition, ...]:
        """Return those of them that have elements."""
        return tuple(each for each in self.readable if each.kind.is_array)

    @cached_property
    def untouchable(self) -> frozenset[bytes]:
        """Return the codes, as bytes, that are never written.

        The identity, what is secret or signed, and the clock: certificates would be out of time.
        """
        kept = [each.code for each in self.objects if each.secret or each.signed]
        kept += [each.code for each in self.objects if each.name == CLOCK_CONTROL]
        return frozenset(code.encode() for code in (*kept, _IDENTITY))

    @cached_property
    def writable(self) -> tuple[ObjectDefinition, ...]:
        """Return the objects that our role may write, and fuzzing too."""
        return tuple(
            each
            for each in self.readable
            if self.role in each.write and each.code.encode() not in self.untouchable
        )


def harmless_command(subject: Subject, chance: Random) -> Command[Any]:
    """Return a command that changes nothing of the device."""
    definition = chance.choice(subject.readable)
    return chance.choice(
        (
            NoOperation(),
            ReadObject(code=_IDENTITY),
            ReadObject(code=definition.code),
            ReadObject(code=definition.code),
            ReadObjectPart(part=_part(definition, chance)),
            ReadObjectPart(part=_part(chance.choice(subject.arrays or (definition,)), chance)),
            GetObjectAccess(code=definition.code),
            Complete(),
            EventSubscribe(events=0, signature_scheme=0),
            S1AuthRequest(role=chance.randrange(16), nonce_a=chance.randbytes(SALT_BYTES)),
            S1AuthLogout(),
            S2GetCertificate(subject=subject.device_id),
            S2StartSession(salt_a=chance.randbytes(SALT_BYTES)),
            S2EndSession(),
            S2GetCsr(),
            S2CheckRevocation(
                issuer=subject.own_id, subject=subject.device_id, serial_number=b"\x01"
            ),
        )
    )


def write_command(subject: Subject, chance: Random) -> Command[Any]:
    """Return a write of zeros to something that our role may write; a read if that is nothing."""
    if not subject.writable:
        return harmless_command(subject, chance)
    definition = chance.choice(subject.writable)
    value = bytes(definition.element.max_bytes)
    if definition.kind.is_array:
        return WriteObjectPart(part=ObjectPart(definition.code, first=0, last=0), value=value)
    return WriteObject(code=definition.code, value=value)


def _part(definition: ObjectDefinition, chance: Random) -> ObjectPart:
    """Return some elements, a member, or both."""
    first, last = 0, 0xFFFF
    if definition.kind.is_array:
        first = chance.randrange(MAX_ELEMENTS)
        last = first + chance.randrange(MAX_ELEMENTS)
    member = chance.randrange(len(definition.members)) if definition.members else 0xFF
    return ObjectPart(definition.code, first=first, last=last, member=member)


def numbers_of(command: Command[Any]) -> tuple[Number, ...]:
    """Return where numbers stand in the payload of a command, up to what has no fixed place."""
    sizes: list[int] = []
    for form in forms_of(type(command)).values():
        if form not in _SIZES:
            break
        sizes += _SIZES[form]
        if form in (codec.OBJECT_VALUE, codec.PART_VALUE, codec.SERIAL):
            break
    return numbers(sizes)


def message_of(command: Command[Any], chance: Random, **fields: Any) -> Message:
    """Return a command as a message; `fields` are those that are not the sound ones."""
    sound: dict[str, Any] = {
        "transaction": chance.randrange(1 << 16),
        "created_s": CREATED_S,
        "packet_type": command.TYPE,
        "payload": command.encode(),
    }
    return Message(**{**sound, **fields})


def packet_of(subject: Subject, message: Message) -> bytes:
    """Return a message as a packet of the tester's, in the clear."""
    envelope = Envelope(source=subject.own_id, destination=UNKNOWN_DEVICE)
    return envelope.encode() + message.encode()
