"""Tricks with application packets (protocol 3).

What is spoilt in a packet is spoilt in the clear: a session key vouches for what is sealed.
"""

from dataclasses import replace
from typing import ClassVar

from umi_cli import wire
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import (
    ReadObject,
    ReadObjectPart,
    ReadObjectPartReply,
    ReadObjectReply,
    Wait,
)
from umi_cli.application.packet import (
    ENVELOPE_BYTES,
    MESSAGE_HEADER_BYTES,
    NO_SIGNATURE,
    Envelope,
    Message,
)
from umi_cli.application.payload import Payload
from umi_cli.link.frame import Frame
from umi_cli.virtual.dispatch import Call
from umi_cli.virtual.refusal import Refusal
from umi_cli.virtual.tricks.base import Timed, Trick

WAIT_MS = 300
FALSE_WAIT_MS = 20
UNKNOWN_RESULT = 77
LONGEST_VALUE_BYTES = 480  # that the meter gives at once, where it says TOO_LONG
_READS = (PacketType.READ_OBJECT_RESPONSE, PacketType.READ_OBJECT_PART_RESPONSE)
_TYPE = 28  # where the packet type stands
_LENGTH = slice(30, 32)


class ReadTrick(Trick):
    """Something is wrong with the first response to a read, and with no other packet."""

    def packet_out(self, command: bytes, response: bytes) -> bytes:
        """Return what goes out in place of a response."""
        if response[0] != 0 or response[_TYPE] not in _READS or self.strikes:
            return response
        self.strike()
        message = Message.decode(response[ENVELOPE_BYTES:])
        envelope, message = self.spoil(Envelope.decode(response), message)
        return self.finish(envelope.encode() + message.encode())

    def spoil(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return what is sent in place of the response."""
        return envelope, message

    def finish(self, packet: bytes) -> bytes:
        """Return the bytes of what is sent."""
        return packet


class TransactionWrong(ReadTrick):
    """A response belongs to no transaction of the reader's."""

    NAME = "transaction-wrong"
    TITLE = "answers the first read under another transaction number"

    def spoil(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the next number."""
        return envelope, replace(message, transaction=message.transaction + 1 & 0xFFFF)


class IdsUnswapped(ReadTrick):
    """A response goes from the reader to the meter."""

    NAME = "ids-unswapped"
    TITLE = "answers the first read with source and destination as in the command"

    def spoil(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the UMI IDs the wrong way round."""
        source, destination = envelope.destination, envelope.source
        return replace(envelope, source=source, destination=destination), message


class TypeWrong(ReadTrick):
    """A response answers another command."""

    NAME = "type-wrong"
    TITLE = "answers the first read with the type of an answer to a write"

    def spoil(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the value under another type."""
        return envelope, replace(message, packet_type=PacketType.WRITE_OBJECT_RESPONSE)


class ObjectWrong(ReadTrick):
    """A response is about another object."""

    NAME = "object-wrong"
    TITLE = "answers the first read for another object than was asked for"

    def spoil(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the value under another code: its first byte is b0."""
        payload = bytes([message.payload[0] ^ 0x40]) + message.payload[1:]
        return envelope, replace(message, payload=payload)


class WaitWrong(ReadTrick):
    """A WAIT belongs to no transaction of the reader's."""

    NAME = "wait-wrong"
    TITLE = f"answers the first read with WAIT {FALSE_WAIT_MS} ms under another transaction number"

    def spoil(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return a WAIT."""
        return envelope, replace(
            message,
            transaction=message.transaction + 1 & 0xFFFF,
            packet_type=PacketType.WAIT,
            argument=ResultCode.OK,
            payload=Wait(wait_ms=FALSE_WAIT_MS).encode(),
        )


class Malformed(ReadTrick):
    """A length in a response leads past its end."""

    NAME = "malformed"
    TITLE = "answers the first read with a payload length past the end of the packet"

    def finish(self, packet: bytes) -> bytes:
        """Return the packet with a payload length of 65,535."""
        return packet[: _LENGTH.start] + wire.u16(0xFFFF) + packet[_LENGTH.stop :]


class ResultUnknown(ReadTrick):
    """A result code that nobody has defined."""

    NAME = "result-unknown"
    TITLE = f"answers the first read with result {UNKNOWN_RESULT}, which nobody has defined"

    def spoil(self, envelope: Envelope, message: Message) -> tuple[Envelope, Message]:
        """Return the code alone."""
        return envelope, replace(message, argument=UNKNOWN_RESULT, payload=b"")


class Deferred(Trick):
    """The meter works a while on what it is asked."""

    NAME = "deferred"
    TITLE = f"answers reads with WAIT {WAIT_MS} ms, and with the value when it is asked for"
    DEFER_MS = WAIT_MS

    def on_line(self, frame: bytes) -> list[Timed]:
        """Say when a WAIT goes out, which is told in the clear."""
        packet = Frame.decode(frame).payload
        shortest = ENVELOPE_BYTES + MESSAGE_HEADER_BYTES + len(NO_SIGNATURE)
        if len(packet) > shortest and packet[0] == 0 and packet[_TYPE] == PacketType.WAIT:
            self.strike()
        return [(0.0, frame)]


class _ReadRefused(Trick):
    """A read is refused with a result code."""

    CODE: ClassVar[ResultCode]

    def run(self, call: Call) -> Payload:
        """Refuse it, if it is to be."""
        reply = super().run(call)
        if isinstance(call.request.command, ReadObject | ReadObjectPart) and self.is_due(reply):
            self.strike()
            raise Refusal(self.CODE)
        return reply

    def is_due(self, reply: Payload) -> bool:
        """Tell whether the read is to be refused whose reply this is."""
        return not self.strikes


class Unavailable(_ReadRefused):
    """What was asked for is not there at the moment."""

    NAME = "unavailable"
    TITLE = "refuses the first read with UNAVAILABLE (10)"
    CODE = ResultCode.UNAVAILABLE


class TooLong(_ReadRefused):
    """The meter gives a little at a time."""

    NAME = "too-long"
    TITLE = f"refuses reads of more than {LONGEST_VALUE_BYTES} bytes with TOO_LONG (8)"
    CODE = ResultCode.TOO_LONG

    def is_due(self, reply: Payload) -> bool:
        """Tell whether the value is too long."""
        if not isinstance(reply, ReadObjectReply | ReadObjectPartReply):
            return False
        return len(reply.value) > LONGEST_VALUE_BYTES


APPLICATION_TRICKS: tuple[type[Trick], ...] = (
    TransactionWrong,
    IdsUnswapped,
    TypeWrong,
    ObjectWrong,
    WaitWrong,
    Malformed,
    ResultUnknown,
    Deferred,
    Unavailable,
    TooLong,
)
