"""What an application packet is, byte by byte (protocol 3.1).

 0  u8   encryption scheme                         |
 1  u8   protocol type (high nibble) | version     |
 2  u8   source options                            |  the envelope: 21 bytes in the clear
 3  u8   destination options                       |
 4  u64  source UMI ID                             |
12  u64  destination UMI ID                        |
20  u8   encryption options                        |
21  u8   signature scheme                          |
22  u16  transaction number                        |
24  u32  created datetime                          |  the message: encrypted under scheme 2
28  u8   packet type                               |
29  u8   signature scheme wanted, or result code   |
30  u16  payload length                            |
32       payload                                   |
         signature record: scheme u8, its whole length u8, …
"""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from umi_cli.errors import MalformedError
from umi_cli.types import UmiId
from umi_cli.wire import Reader

PROTOCOL = 0x01  # protocol type 0, version 1
ENVELOPE_BYTES = 21
MESSAGE_HEADER_BYTES = 11
NO_SIGNATURE = b"\x00\x02"  # the record of signature scheme 0 (protocol 5)
MAX_PACKET_BYTES = 65_536  # the longest that fragments can announce (protocol 2.4)
MAX_PAYLOAD_BYTES = MAX_PACKET_BYTES - ENVELOPE_BYTES - MESSAGE_HEADER_BYTES - len(NO_SIGNATURE)

_ENVELOPE = Struct("<BBBBQQB")
_HEADER = Struct("<BHIBBH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The first 21 bytes of a packet: always in the clear, authenticated under scheme 2."""

    source: UmiId
    destination: UmiId
    encryption_scheme: int = 0
    protocol: int = PROTOCOL
    """Protocol type (high nibble) and version (low nibble)."""
    source_options: int = 0
    destination_options: int = 0
    encryption_options: int = 0
    """Under scheme 2 the lowest byte of the counter."""

    @classmethod
    def decode(cls, packet: bytes) -> Self:
        """Decode the envelope at the head of a packet; `MalformedError` if it is too short."""
        head = Reader(packet, what="packet").take(ENVELOPE_BYTES, "envelope")
        scheme, protocol, source_options, destination_options, source, destination, options = (
            _ENVELOPE.unpack(head)
        )
        return cls(
            encryption_scheme=scheme,
            protocol=protocol,
            source_options=source_options,
            destination_options=destination_options,
            source=UmiId(source),
            destination=UmiId(destination),
            encryption_options=options,
        )

    def encode(self) -> bytes:
        """Return the 21 bytes."""
        return _ENVELOPE.pack(
            self.encryption_scheme,
            self.protocol,
            self.source_options,
            self.destination_options,
            self.source.value,
            self.destination.value,
            self.encryption_options,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What follows the envelope: header, payload and signature record, in the clear."""

    transaction: int
    """0..65535; a response repeats its command's."""
    created_s: int
    """UMI datetime of the sender."""
    packet_type: int
    """A `PacketType`, or another number 0..255."""
    argument: int = 0
    """Of a command the signature scheme wanted on the response; of a response the result code."""
    payload: bytes = b""
    """0..65502 bytes."""
    signature_scheme: int = 0
    signature: bytes = NO_SIGNATURE
    """The whole signature record, from its scheme to its end (protocol 5)."""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode a message.

        Raises:
            MalformedError: too short, or its lengths do not lead to its end.
        """
        reader = Reader(data, what="packet")
        scheme, transaction, created_s, packet_type, argument, length = _HEADER.unpack(
            reader.take(MESSAGE_HEADER_BYTES, "header")
        )
        payload = reader.take(length, "payload")
        signature = reader.rest()
        if len(signature) < len(NO_SIGNATURE) or signature[1] != len(signature):
            raise MalformedError(
                f"the signature record does not end where the packet ends: {len(signature)} bytes",
                offset=len(data) - len(signature),
            )
        if signature[0] != scheme:
            raise MalformedError(
                f"the header says signature scheme {scheme}, the record {signature[0]}",
                offset=len(data) - len(signature),
            )
        return cls(
            signature_scheme=scheme,
            transaction=transaction,
            created_s=created_s,
            packet_type=packet_type,
            argument=argument,
            payload=payload,
            signature=signature,
        )

    def encode_unsigned(self) -> bytes:
        """Return header and payload, without the signature record."""
        header = _HEADER.pack(
            self.signature_scheme,
            self.transaction,
            self.created_s,
            self.packet_type,
            self.argument,
            len(self.payload),
        )
        return header + self.payload

    def encode(self) -> bytes:
        """Return all bytes behind the envelope."""
        return self.encode_unsigned() + self.signature
