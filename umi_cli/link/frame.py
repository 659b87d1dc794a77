"""What one link frame is, byte by byte (protocol 2.1).

byte 0   sequence (high nibble) | protocol version (low nibble)
byte 1   busy (bit 7) | reserved (bits 6..4) | frame type (low nibble)
byte 2   payload length, 0..249
byte 3   destination (high nibble) | source (low nibble)
payload
u16      CRC of all the above
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Literal, Self

from umi_cli import wire
from umi_cli.errors import MalformedError
from umi_cli.link.crc import crc

VERSION = 1
HEADER_BYTES = 4
CRC_BYTES = 2
MAX_FRAME_BYTES = 255
MAX_FRAME_PAYLOAD = MAX_FRAME_BYTES - HEADER_BYTES - CRC_BYTES  # 249
MAX_SEQUENCE = 15  # a nibble
HOST_ADDRESS = 0  # its ports are 1..15

Direction = Literal["in", "out"]
"""Which way bytes go, as we see it."""

_HEADER = Struct("4B")


class FrameType(IntEnum):
    """The frame types; a command is even, its response is odd (protocol 2.1)."""

    SIMPLE = 0x0
    SIMPLE_RESPONSE = 0x1
    FRAGMENT = 0x2
    FRAGMENT_RESPONSE = 0x3
    RESYNC = 0x4
    RESYNC_RESPONSE = 0x5
    ERROR = 0xF


KNOWN_TYPES = frozenset(FrameType)


class LinkErrorCode(IntEnum):
    """The payload of an ERROR frame (protocol 2.1)."""

    UNKNOWN_FRAME_TYPE = 1
    UNKNOWN_PROTOCOL_VERSION = 2
    BAD_ADDRESS = 3
    CANNOT_FORWARD = 4
    BUSY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One link frame. Numbers stay as they came, so that a foreign frame can be answered."""

    sequence: int
    """0..15."""
    frame_type: int
    """A `FrameType`, or another number 0..15 that nobody has defined."""
    destination: int
    """Link address 0..15."""
    source: int
    """Link address 0..15."""
    payload: bytes = b""
    """0..249 bytes."""
    is_busy: bool = False
    version: int = VERSION
    """0..15."""

    def __post_init__(self) -> None:
        nibbles = (self.sequence, self.frame_type, self.destination, self.source, self.version)
        if min(nibbles) < 0 or max(nibbles) > 0xF:
            raise ValueError(f"a frame field is past its nibble: {nibbles}")
        if len(self.payload) > MAX_FRAME_PAYLOAD:
            raise ValueError(f"a frame carries {MAX_FRAME_PAYLOAD} bytes, not {len(self.payload)}")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode exactly one frame.

        Raises:
            MalformedError: too short, another length than it says, or a wrong CRC. An unknown
                version or type is no such error: the frame is whole and deserves an answer.
        """
        if len(data) < HEADER_BYTES + CRC_BYTES:
            raise MalformedError(f"a frame has at least 6 bytes, these are {len(data)}")
        head, kind, length, addresses = _HEADER.unpack_from(data)
        if length > MAX_FRAME_PAYLOAD or length + HEADER_BYTES + CRC_BYTES != len(data):
            raise MalformedError(
                f"the frame's length byte says {length} bytes of payload, "
                f"{len(data) - HEADER_BYTES - CRC_BYTES} are there",
                offset=2,
            )
        verify_crc(data)
        return cls(
            sequence=head >> 4,
            version=head & 0xF,
            is_busy=bool(kind & 0x80),
            frame_type=kind & 0xF,
            destination=addresses >> 4,
            source=addresses & 0xF,
            payload=bytes(data[HEADER_BYTES:-CRC_BYTES]),
        )

    def encode(self) -> bytes:
        """Return the bytes of the wire, CRC included."""
        body = (
            _HEADER.pack(
                self.sequence << 4 | self.version,
                self.is_busy << 7 | self.frame_type,
                len(self.payload),
                self.destination << 4 | self.source,
            )
            + self.payload
        )
        return body + wire.u16(crc(body))


def begins_a_frame(data: bytes) -> bool:
    """Tell whether the first four bytes are the header of a frame that we know."""
    is_known = data[0] & 0xF == VERSION and data[1] & 0xF in KNOWN_TYPES
    return is_known and data[2] <= MAX_FRAME_PAYLOAD


def verify_crc(data: bytes) -> None:
    """Make sure that the last two bytes are the CRC of all before them.

    Raises:
        MalformedError: they are not; the sentence names both values as they stand on the wire.
    """
    found = bytes(data[-CRC_BYTES:])
    expected = wire.u16(crc(data[:-CRC_BYTES]))
    if found != expected:
        raise MalformedError(
            f"wrong CRC: the frame carries {found.hex()}, its bytes give {expected.hex()}",
            offset=len(data) - CRC_BYTES,
        )
