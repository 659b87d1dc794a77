"""Defects of application packets (protocol 3).

A catalogue, and as long as that: a class for each defect.
"""

from dataclasses import replace

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import (
    EventSubscribe,
    EventSubscribeReply,
    GetObjectAccess,
    GetObjectAccessReply,
    ReadObject,
    ReadObjectPart,
    ReadObjectPartReply,
    ReadObjectReply,
)
from umi_cli.application.packet import (
    ENVELOPE_BYTES,
    MESSAGE_HEADER_BYTES,
    NO_SIGNATURE,
    Envelope,
    Message,
)
from umi_cli.application.payload import COMMANDS, Payload
from umi_cli.errors import MalformedError
from umi_cli.types import ALL_MEMBERS, UNKNOWN_DEVICE, ObjectPart, UmiCode, UmiId
from umi_cli.virtual import dispatch
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.dispatch import Call
from umi_cli.virtual.refusal import Refusal

_PROTOCOL = 1  # where the version stands in a packet
_LENGTH = slice(30, 32)
_HEADER_END = ENVELOPE_BYTES + MESSAGE_HEADER_BYTES
_SCHEMES = (0, 1, 2)


class PacketDefect(Defect):
    """Something is wrong with packets that are whole; others pass as they are."""

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet that the meter makes of one that came."""
        try:
            envelope, message = _taken_apart(packet)
        except MalformedError:
            return packet
        return _joined(*self.command(envelope, message))

    def command(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return what the meter takes for a command."""
        return envelope, message

    def packet_out(self, command: bytes, response: bytes) -> bytes:
        """Return what goes out in place of a response."""
        if response[0] != 0:  # sealed: nobody but the commander sees into it
            return response
        return _joined(*self.response(*_taken_apart(response)))

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return what goes out in place of a response."""
        return envelope, message


def _taken_apart(packet: bytes) -> tuple[Envelope, Message]:
    return Envelope.decode(packet), Message.decode(packet[ENVELOPE_BYTES:])


def _joined(envelope: Envelope, message: Message) -> bytes:
    return envelope.encode() + message.encode()


class AllOnesReplaced(PacketDefect):
    """The response says who the device is, whatever it was called."""

    NAME = "all-ones-replaced"
    TITLE = "answers from its own UMI ID where it was addressed by all ones"

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the response from another UMI ID than it was sent to."""
        is_all_ones = envelope.source == UNKNOWN_DEVICE
        own = replace(envelope, source=UmiId(0x0023_7EFE_0000_0001))
        return (own if is_all_ones else envelope), message


class OwnIdReplaced(PacketDefect):
    """The response comes from all ones, whatever the device was called."""

    NAME = "own-id-replaced"
    TITLE = "answers from all ones where it was addressed by its UMI ID"

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the response from all ones."""
        return replace(envelope, source=UNKNOWN_DEVICE), message


class TransactionByte(PacketDefect):
    """The transaction number is kept in a byte."""

    NAME = "transaction-byte"
    TITLE = "repeats the low byte of the transaction number alone"

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the response with half of the number."""
        return envelope, replace(message, transaction=message.transaction & 0xFF)


class ResponseTypeEven(PacketDefect):
    """A response has the type of its command, as the field client numbers one of them."""

    NAME = "response-type-even"
    TITLE = "answers READ_OBJECT under the command's own type"

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the response under the type of its command."""
        is_read = message.packet_type == PacketType.READ_OBJECT_RESPONSE
        return envelope, replace(
            message, packet_type=PacketType.READ_OBJECT
        ) if is_read else message


class OptionsSet(PacketDefect):
    """Bytes that must be 0 are what was there before."""

    NAME = "options-set"
    TITLE = "leaves the options of the envelope as they happen to be"

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the response with an option set."""
        return replace(envelope, source_options=0x5A), message


class SignatureRecordLong(PacketDefect):
    """The empty signature record has four bytes."""

    NAME = "signature-record-long"
    TITLE = "ends its packets in a record of scheme 0 with four bytes"

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the response with another record."""
        is_empty = message.signature == NO_SIGNATURE
        return envelope, replace(message, signature=b"\x00\x04\x00\x00") if is_empty else message


class CreatedNotSet(PacketDefect):
    """The created time is never filled in."""

    NAME = "created-not-set"
    TITLE = "sends created time 0"

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the response without a time."""
        return envelope, replace(message, created_s=0)


class ForeignTaken(PacketDefect):
    """Every packet is for us."""

    NAME = "foreign-taken"
    TITLE = "executes packets to another UMI ID"

    def command(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the command as one to whoever it may concern."""
        return replace(envelope, destination=UNKNOWN_DEVICE), message

    def packet_out(self, command: bytes, response: bytes) -> bytes:
        """Return the response from whom the command was for."""
        try:
            source = Envelope.decode(command).destination
        except MalformedError:
            return response
        return replace(Envelope.decode(response), source=source).encode() + response[21:]


class PacketVersionUnchecked(Defect):
    """Byte 1 is not looked at."""

    NAME = "packet-version-unchecked"
    TITLE = "takes packets of any version"

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet as one of version 1."""
        return packet[:_PROTOCOL] + b"\x01" + packet[_PROTOCOL + 1 :]


class UnknownTypeOk(PacketDefect):
    """What nobody knows is answered with OK."""

    NAME = "unknown-type-ok"
    TITLE = "answers packets of unknown types with OK"

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return OK in place of the refusal."""
        is_it = message.argument == ResultCode.UNKNOWN_PACKET_TYPE
        return envelope, replace(message, argument=ResultCode.OK) if is_it else message


class ResponseExecuted(PacketDefect):
    """Odd types are taken for the command before them."""

    NAME = "response-executed"
    TITLE = "executes a packet of a response type"

    def command(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the command of the type before."""
        is_odd = message.packet_type & 1 and message.packet_type - 1 in COMMANDS
        kind = message.packet_type - 1 if is_odd else message.packet_type
        return envelope, replace(message, packet_type=kind)


class EncryptionSchemeUnchecked(Defect):
    """An encryption scheme that nobody knows is taken for none."""

    NAME = "encryption-scheme-unchecked"
    TITLE = "takes a packet of an unknown encryption scheme for one in the clear"

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet as one in the clear."""
        return packet if packet[:1] in (b"\x00", b"\x01", b"\x02") else b"\x00" + packet[1:]


class SignatureSchemeUnchecked(PacketDefect):
    """A signature scheme that nobody knows is taken for none."""

    NAME = "signature-scheme-unchecked"
    TITLE = "executes commands that are signed under an unknown scheme"

    def command(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the command without its signature."""
        if message.signature_scheme in _SCHEMES:
            return envelope, message
        return envelope, replace(message, signature_scheme=0, signature=NO_SIGNATURE)


class WantedSchemeIgnored(PacketDefect):
    """What is wanted on the response is not looked at."""

    NAME = "wanted-scheme-ignored"
    TITLE = "does not refuse a response signature that it cannot make"

    def command(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the command as one that wants no signature."""
        is_known = message.argument in _SCHEMES
        return envelope, message if is_known else replace(message, argument=0)


class ShortPayloadPadded(PacketDefect):
    """A field that is not there is zero."""

    NAME = "short-payload-padded"
    TITLE = "takes a READ_OBJECT that is too short for one of zeros"

    def command(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the command with zeros behind it."""
        is_short = message.packet_type == PacketType.READ_OBJECT and len(message.payload) < 4
        payload = message.payload.ljust(4, b"\x00") if is_short else message.payload
        return envelope, replace(message, payload=payload)


class LongPayloadCut(PacketDefect):
    """What stands behind the last field is not looked at."""

    NAME = "long-payload-cut"
    TITLE = "takes a payload that is too long"

    def command(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the command as long as it should be."""
        lengths: dict[int, int] = {PacketType.READ_OBJECT: 4, PacketType.NO_OPERATION: 0}
        length = lengths.get(message.packet_type, len(message.payload))
        return envelope, replace(message, payload=message.payload[:length])


class ShortPacketUnavailable(Defect):
    """What cannot be parsed is answered as if the device had no time."""

    NAME = "short-packet-unavailable"
    TITLE = "answers packets that it cannot parse with UNAVAILABLE"

    def packet_out(self, command: bytes, response: bytes) -> bytes:
        """Return another result."""
        if len(command) >= _HEADER_END:
            return response
        envelope, message = _taken_apart(response)
        if message.argument == ResultCode.OK:
            return response
        return _joined(envelope, replace(message, argument=ResultCode.UNAVAILABLE))


class LengthBelieved(Defect):
    """The payload length is believed as far as there are bytes."""

    NAME = "payload-length-believed"
    TITLE = "does not compare the payload length with what is there"

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet with the length that it has."""
        if len(packet) < _HEADER_END + len(NO_SIGNATURE):
            return packet
        length = len(packet) - _HEADER_END - len(NO_SIGNATURE)
        if int.from_bytes(packet[_LENGTH], "little") <= length:
            return packet
        return packet[: _LENGTH.start] + length.to_bytes(2, "little") + packet[_LENGTH.stop :]


class RecordLengthUnchecked(Defect):
    """Whatever stands behind the payload is a signature record of scheme 0."""

    NAME = "record-length-unchecked"
    TITLE = "does not check the length of a signature record"

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet with the empty record."""
        if len(packet) < _HEADER_END or packet[0] or packet[ENVELOPE_BYTES]:
            return packet
        end = _HEADER_END + int.from_bytes(packet[_LENGTH], "little")
        return packet[:end] + NO_SIGNATURE if end <= len(packet) else packet


class ReadCodeMissing(Defect):
    """The reply to a read is about nothing."""

    NAME = "read-code-missing"
    TITLE = "leaves the code out of its replies to READ_OBJECT and READ_OBJECT_PART"

    def run(self, call: Call) -> Payload:
        """Return a reply about another object."""
        reply = dispatch.run(call)
        if isinstance(reply, ReadObjectReply):
            return replace(reply, code=UmiCode(0x55))
        if isinstance(reply, ReadObjectPartReply):
            return replace(reply, part=replace(reply.part, member=ALL_MEMBERS))
        return reply


class UnknownObjectEmpty(Defect):
    """What does not exist is empty."""

    NAME = "unknown-object-empty"
    TITLE = "answers a read of an unknown object with an empty value"

    def run(self, call: Call) -> Payload:
        """Return nothing in place of the refusal."""
        command = call.request.command
        try:
            return dispatch.run(call)
        except Refusal as refusal:
            if refusal.code is not ResultCode.UNKNOWN_OBJECT or not isinstance(command, ReadObject):
                raise
            return ReadObjectReply(code=command.code, value=b"")


class MemberUnchecked(Defect):
    """A member that does not exist is the whole object."""

    NAME = "member-unchecked"
    TITLE = "reads the whole object where a member does not exist"
    CODE = ResultCode.UNKNOWN_MEMBER

    def run(self, call: Call) -> Payload:
        """Return the whole in place of the refusal."""
        command = call.request.command
        try:
            return dispatch.run(call)
        except Refusal as refusal:
            if refusal.code is not self.CODE or not isinstance(command, ReadObjectPart):
                raise
            value = call.memory.store.read(ObjectPart(command.part.code), call.role)
            return ReadObjectPartReply(part=command.part, value=value)


class ElementUnchecked(MemberUnchecked):
    """An element that does not exist is the whole array."""

    NAME = "element-unchecked"
    TITLE = "reads on where an element does not exist"
    CODE = ResultCode.UNKNOWN_ELEMENT

    def run(self, call: Call) -> Payload:
        """Return the head of the array in place of the refusal."""
        reply = super().run(call)
        if isinstance(reply, ReadObjectPartReply):
            return replace(reply, value=reply.value[:64])
        return reply


class GuestAsksAccess(Defect):
    """Access sets are nobody's secret."""

    NAME = "guest-asks-access"
    TITLE = "tells guests who may access an object"

    def run(self, call: Call) -> Payload:
        """Tell everybody."""
        command = call.request.command
        if not isinstance(command, GetObjectAccess):
            return dispatch.run(call)
        call.memory.store.definition(command.code)
        access = call.memory.store.access[command.code]
        return GetObjectAccessReply(
            code=command.code, read_roles=access.read, write_roles=access.write
        )


class CompleteAlwaysOk(PacketDefect):
    """COMPLETE is answered with OK, whatever there is to complete."""

    NAME = "complete-always-ok"
    TITLE = "answers COMPLETE with OK where nothing was deferred"

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return OK in place of the refusal."""
        is_it = message.argument == ResultCode.DEFER_ERROR
        return envelope, replace(message, argument=ResultCode.OK) if is_it else message


class AnyEventSubscribed(Defect):
    """Events that nobody knows are subscribed to."""

    NAME = "any-event-subscribed"
    TITLE = "takes subscriptions to events that it does not know"

    def run(self, call: Call) -> Payload:
        """Say OK."""
        is_it = isinstance(call.request.command, EventSubscribe)
        return EventSubscribeReply() if is_it else dispatch.run(call)


class RefusalWithValue(PacketDefect):
    """A refusal carries what the buffer held."""

    NAME = "refusal-with-value"
    TITLE = "leaves bytes in the payload of a refusal"

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the refusal with a payload."""
        is_refusal = message.argument != ResultCode.OK
        return envelope, replace(message, payload=bytes(4)) if is_refusal else message


class WaitZero(PacketDefect):
    """WAIT does not say how long."""

    NAME = "wait-zero"
    TITLE = "sends WAIT with 0 ms"

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return WAIT with another time."""
        is_wait = message.packet_type == PacketType.WAIT and message.argument == ResultCode.OK
        return envelope, replace(message, payload=bytes(2)) if is_wait else message


class DeferredForgotten(PacketDefect):
    """What was deferred is never given."""

    NAME = "deferred-forgotten"
    TITLE = "answers COMPLETE with DEFER_ERROR whatever was deferred"

    def command(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return COMPLETE as one of another transaction."""
        is_it = message.packet_type == PacketType.COMPLETE
        transaction = (message.transaction + is_it) & 0xFFFF
        return envelope, replace(message, transaction=transaction)

    def packet_out(self, command: bytes, response: bytes) -> bytes:
        """Return the response under the command's transaction."""
        if response[0] != 0:  # sealed: nobody but the commander sees into it
            return response
        envelope, message = _taken_apart(response)
        transaction = int.from_bytes(command[22:24], "little")
        return _joined(envelope, replace(message, transaction=transaction))


class CompleteAnyTransaction(PacketDefect):
    """COMPLETE fetches what there is, whoever's it is."""

    NAME = "complete-any-transaction"
    TITLE = "gives a deferred response to a COMPLETE of another transaction"

    def __init__(self) -> None:
        self._deferred: int | None = None

    def command(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return COMPLETE as one of the transaction that is deferred."""
        if message.packet_type != PacketType.COMPLETE or self._deferred is None:
            return envelope, message
        return envelope, replace(message, transaction=self._deferred)

    def response(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Note what is deferred."""
        if message.packet_type == PacketType.WAIT:
            self._deferred = message.transaction
        return envelope, message


APPLICATION_DEFECTS: tuple[type[Defect], ...] = (
    AllOnesReplaced,
    OwnIdReplaced,
    TransactionByte,
    ResponseTypeEven,
    OptionsSet,
    SignatureRecordLong,
    CreatedNotSet,
    ForeignTaken,
    PacketVersionUnchecked,
    UnknownTypeOk,
    ResponseExecuted,
    EncryptionSchemeUnchecked,
    SignatureSchemeUnchecked,
    WantedSchemeIgnored,
    ShortPayloadPadded,
    LongPayloadCut,
    ShortPacketUnavailable,
    LengthBelieved,
    RecordLengthUnchecked,
    ReadCodeMissing,
    UnknownObjectEmpty,
    MemberUnchecked,
    ElementUnchecked,
    GuestAsksAccess,
    CompleteAlwaysOk,
    AnyEventSubscribed,
    RefusalWithValue,
    WaitZero,
    DeferredForgotten,
    CompleteAnyTransaction,
)
