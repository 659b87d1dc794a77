"""How a packet longer than one frame travels in fragments (protocol 2.4).

A FRAGMENT frame's payload:

    u8    fragment type (high nibble) | fragment version 0 (low nibble)
    u8    reserved, 0
    u16   data: FIRST the length of the whole packet (0 is 65,536); ERROR its number; else 0
    0..244 bytes of the packet
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Self

from umi_cli.errors import MalformedError
from umi_cli.link.frame import MAX_FRAME_PAYLOAD

FRAGMENT_VERSION = 0
MAX_PACKET_BYTES = 65_536  # what FIRST can announce: its u16, with 0 for 65,536
MAX_FRAGMENT_BYTES = 244  # of the packet; the field limit, one below what the frame would hold

_HEADER = Struct("<BBH")


class FragmentType(IntEnum):
    """The fragment types (protocol 2.4)."""

    FIRST = 0
    MIDDLE = 1
    LAST = 2
    NEXT = 3
    ACK = 4
    ERROR = 0xF


class FragmentErrorCode(IntEnum):
    """The number in a fragment ERROR (protocol 2.4)."""

    PACKET_TOO_LARGE = 0
    PROTOCOL_ERROR = 1
    LENGTH_ERROR = 2
    TERMINATED = 3
    UNKNOWN_FRAGMENT_VERSION = 4


class FragmentError(MalformedError):
    """The peer's fragments cannot be put together; `number` is what it is told.

    Args:
        number: the error to answer with.
    """

    def __init__(self, message: str, number: FragmentErrorCode) -> None:
        super().__init__(message)
        self.number = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """The payload of a FRAGMENT or FRAGMENT_RESPONSE frame."""

    fragment_type: FragmentType
    data: int = 0
    """FIRST: length of the whole packet, 1..65536; ERROR: its number; else 0."""
    chunk: bytes = b""
    """0..245 bytes of the packet."""

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Decode the payload of a frame.

        Raises:
            FragmentError: too short, or of an unknown version or type.
        """
        if len(payload) < _HEADER.size:
            raise FragmentError("a fragment has at least 4 bytes", FragmentErrorCode.PROTOCOL_ERROR)
        kind, _, data = _HEADER.unpack_from(payload)
        if kind & 0xF != FRAGMENT_VERSION:
            raise FragmentError(
                f"unknown fragment version {kind & 0xF}",
                FragmentErrorCode.UNKNOWN_FRAGMENT_VERSION,
            )
        try:
            fragment_type = FragmentType(kind >> 4)
        except ValueError as error:
            raise FragmentError(
                f"unknown fragment type {kind >> 4}", FragmentErrorCode.PROTOCOL_ERROR
            ) from error
        if fragment_type is FragmentType.FIRST and data == 0:
            data = MAX_PACKET_BYTES
        return cls(fragment_type=fragment_type, data=data, chunk=payload[_HEADER.size :])

    def encode(self) -> bytes:
        """Return the payload of the frame."""
        return (
            _HEADER.pack(self.fragment_type << 4 | FRAGMENT_VERSION, 0, self.data & 0xFFFF)
            + self.chunk
        )


def split(packet: bytes) -> list[bytes]:
    """Split a packet into the payloads of its frames: itself, or FIRST, MIDDLE …, LAST.

    Raises:
        ValueError: it is longer than 65,536 bytes.
    """
    if len(packet) <= MAX_FRAME_PAYLOAD:
        return [packet]
    if len(packet) > MAX_PACKET_BYTES:
        raise ValueError(f"a packet has at most {MAX_PACKET_BYTES} bytes, not {len(packet)}")
    starts = range(0, len(packet), MAX_FRAGMENT_BYTES)
    kinds = {0: FragmentType.FIRST, starts[-1]: FragmentType.LAST}
    return [
        Fragment(
            fragment_type=kinds.get(start, FragmentType.MIDDLE),
            data=0 if start else len(packet),
            chunk=packet[start : start + MAX_FRAGMENT_BYTES],
        ).encode()
        for start in starts
    ]


class Assembler:
    """Puts the fragments of one packet together; never holds more than FIRST announced.

    Args:
        limit_bytes: the longest packet to take; a longer one is refused with error 0.
    """

    __slots__ = ("_announced_bytes", "_limit_bytes", "_packet")

    def __init__(self, limit_bytes: int = MAX_PACKET_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._announced_bytes = 0  # while no packet is open
        self._packet = bytearray()

    @property
    def is_open(self) -> bool:
        """Tell whether a FIRST was taken and its LAST is still to come."""
        return self._announced_bytes > 0

    def drop(self) -> None:
        """Forget the half-received packet."""
        self._announced_bytes = 0
        self._packet.clear()

    def take(self, fragment: Fragment) -> bytes | None:
        """Take the next fragment; return the packet when it is whole.

        Raises:
            FragmentError: the fragment does not belong here, announces too much, or the bytes are
                not as many as announced. The half-received packet is gone then.
        """
        try:
            return self._take(fragment)
        except FragmentError:
            self.drop()
            raise

    def _take(self, fragment: Fragment) -> bytes | None:
        kind = fragment.fragment_type
        if kind is FragmentType.FIRST:
            self._begin(fragment.data)
        elif not self.is_open or kind not in (FragmentType.MIDDLE, FragmentType.LAST):
            raise FragmentError(
                f"fragment {kind.name} is out of place", FragmentErrorCode.PROTOCOL_ERROR
            )
        if kind is FragmentType.MIDDLE and not fragment.chunk:  # choice: else it need never end
            raise FragmentError("a MIDDLE carries no bytes", FragmentErrorCode.PROTOCOL_ERROR)
        self._packet += fragment.chunk
        self._check_length(is_last=kind is FragmentType.LAST)
        if kind is not FragmentType.LAST:
            return None
        packet = bytes(self._packet)
        self.drop()
        return packet

    def _begin(self, announced_bytes: int) -> None:
        self.drop()
        if announced_bytes > self._limit_bytes:
            raise FragmentError(
                f"a packet of {announced_bytes} bytes is announced, {self._limit_bytes} are taken",
                FragmentErrorCode.PACKET_TOO_LARGE,
            )
        self._announced_bytes = announced_bytes

    def _check_length(self, *, is_last: bool) -> None:
        announced = self._announced_bytes
        received = len(self._packet)
        if received > announced or (is_last and received != announced):
            raise FragmentError(
                f"{received} bytes of fragments came, {announced} were announced",
                FragmentErrorCode.LENGTH_ERROR,
            )
