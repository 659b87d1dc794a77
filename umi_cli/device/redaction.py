"""Which bytes of a frame must nobody see? Values of secret objects, wherever they travel.

A frame keeps its length: what is secret becomes zeros, and the CRC is made right again. Packets
under scheme 2 are safe as they are. The value ends where the packet's signature record begins; of
that the first two bytes are left, for a proof over a short secret would tell whoever guesses it.

Repeats are hidden as the first copy was, and a damaged frame may hold what a whole one does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from umi_cli import wire
from umi_cli.application.codes import PacketType
from umi_cli.application.packet import ENVELOPE_BYTES, MESSAGE_HEADER_BYTES
from umi_cli.link.crc import crc
from umi_cli.link.fragment import FRAGMENT_VERSION, FragmentType
from umi_cli.link.frame import HEADER_BYTES, Frame, FrameType
from umi_cli.types import UmiCode

IsSecret = Callable[[UmiCode], bool]
"""Tells whether the value of an object is a secret."""

FRAGMENT_HEADER_BYTES = 4
HEAD_BYTES = 256  # of a packet: what it takes to see whether a secret stands in it
MAX_HIDDEN_FRAMES = 1024  # remembered for their repeats: three of the longest packets
_PAYLOAD = ENVELOPE_BYTES + MESSAGE_HEADER_BYTES
_TYPE, _LENGTH = ENVELOPE_BYTES + 7, ENVELOPE_BYTES + 9
_CODE_BYTES, _PART_BYTES = 4, 9
_COUNT_BYTES = {_CODE_BYTES: 4, _PART_BYTES: 3}  # what is reserved, and the u16 before the value
_RECORD_HEAD_BYTES = 2
_FIRST = wire.u8(FragmentType.FIRST << 4 | FRAGMENT_VERSION)
_TARGETS = {
    PacketType.WRITE_OBJECT: _CODE_BYTES,
    PacketType.READ_OBJECT_RESPONSE: _CODE_BYTES,
    PacketType.WRITE_OBJECT_PART: _PART_BYTES,
    PacketType.READ_OBJECT_PART_RESPONSE: _PART_BYTES,
}
_QUESTIONS = (PacketType.READ_OBJECT, PacketType.READ_OBJECT_PART)
_TUNNELLED_PACKETS = (PacketType.TUNNEL_UMI, PacketType.TUNNEL_UMI_RESPONSE)
_TUNNELLED_BYTES = (PacketType.TUNNEL_DATA, PacketType.TUNNEL_DATA_RESPONSE)
_WITHOUT_PACKET = (FrameType.FRAGMENT_RESPONSE, FrameType.ERROR)


@dataclass(frozen=True, slots=True)
class Cover:
    """What is hidden of a packet: all from a place on, but for the heads of signature records."""

    start: int
    records: tuple[int, ...]
    """Where signature records begin."""

    def over(self, data: bytes, offset: int) -> "Redacted":
        """Return bytes that stand at an offset of the packet, with what is secret as zeros."""
        shown = {place + step for place in self.records for step in range(_RECORD_HEAD_BYTES)}
        places = range(offset, offset + len(data))
        hidden = [place >= self.start and place not in shown for place in places]
        text = bytes(0 if is_hidden else byte for byte, is_hidden in zip(data, hidden, strict=True))
        return Redacted(text, sum(hidden))


class Redacted(NamedTuple):
    """Bytes as anybody may see them."""

    data: bytes
    hidden_bytes: int
    """How many were secret; told where they are zeros anyway, for so they would be known."""


def names_secret(head: bytes, is_secret: IsSecret) -> bool:
    """Tell whether a packet in the clear asks for a secret object, which its answer may hold."""
    if len(head) < _PAYLOAD + _CODE_BYTES or head[0] == 2 or head[_TYPE] not in _QUESTIONS:
        return False
    return is_secret(_code_at(head, _PAYLOAD))


def cover_of(head: bytes, is_secret: IsSecret, start: int = 0) -> Cover | None:
    """Return what is to be hidden of a packet; None if nothing is.

    Args:
        head: its first `HEAD_BYTES`, or all of it.
        is_secret: tells which objects are.
        start: where the packet begins in these bytes, if it is in a tunnel.
    """
    payload = start + _PAYLOAD
    if len(head) < payload or head[start] == 2:
        return None
    kind = head[start + _TYPE]
    end = payload + int.from_bytes(head[start + _LENGTH :][:2], "little")
    if kind in _TUNNELLED_BYTES or (start and kind in _TUNNELLED_PACKETS):
        return Cover(payload, (end,))  # what nobody can look into may hold anything
    if kind in _TUNNELLED_PACKETS:
        inner = cover_of(head, is_secret, payload)
        return inner and Cover(inner.start, (*inner.records, end))
    target_bytes = _TARGETS.get(PacketType(kind)) if kind in _TARGETS else None
    if target_bytes is None or len(head) < payload + _CODE_BYTES:
        return None
    if not is_secret(_code_at(head, payload)):
        return None
    return Cover(payload + target_bytes + _COUNT_BYTES[target_bytes], (end,))


def _code_at(head: bytes, offset: int) -> UmiCode:
    return UmiCode(int.from_bytes(head[offset : offset + _CODE_BYTES], "little"))


class Redactor:
    """Hides what is secret in the frames of one direction, as they pass.

    Args:
        is_secret: tells which objects are.
    """

    def __init__(self, is_secret: IsSecret) -> None:
        self._is_secret = is_secret
        self._known: dict[bytes, Redacted] = {}
        self._first = b""  # the FIRST of the packet that is in fragments, to know it again
        self._head = b""
        self._length = 0
        self._cover: Cover | None = None
        self.has_met_secrets = False
        """A secret was asked for or seen: bytes that are no frame may be a part of one."""

    def redact(self, data: bytes, frame: Frame) -> Redacted:
        """Return the bytes of a frame as anybody may see them.

        Args:
            data: as they passed.
            frame: what they say.
        """
        if data in self._known:
            return self._known[data]
        payload, hidden_bytes = self._covered(data, frame)
        if not hidden_bytes:
            return Redacted(data, 0)
        body = data[:HEADER_BYTES] + payload
        if len(self._known) >= MAX_HIDDEN_FRAMES:
            del self._known[next(iter(self._known))]
        self._known[data] = Redacted(body + wire.u16(crc(body)), hidden_bytes)
        return self._known[data]

    def _covered(self, data: bytes, frame: Frame) -> Redacted:
        """Return the payload of a frame, with what is secret as zeros."""
        if frame.frame_type == FrameType.FRAGMENT:
            return self._covered_fragment(data, frame.payload)
        is_packet = frame.frame_type not in _WITHOUT_PACKET
        cover = self._look(frame.payload) if is_packet else None
        return cover.over(frame.payload, 0) if cover else Redacted(frame.payload, 0)

    def _covered_fragment(self, data: bytes, payload: bytes) -> Redacted:
        head, chunk = payload[:FRAGMENT_HEADER_BYTES], payload[FRAGMENT_HEADER_BYTES:]
        is_first = payload[:1] == _FIRST
        if is_first and data != self._first:
            self._first, self._head, self._length, self._cover = data, b"", 0, None
        offset = self._length
        self._length += len(chunk)
        if self._cover is None and len(self._head) < HEAD_BYTES:
            self._head = (self._head + chunk)[:HEAD_BYTES]
            self._cover = self._look(self._head)
        if self._cover is None:
            return Redacted(payload, 0)
        text, hidden_bytes = self._cover.over(chunk, offset)
        return Redacted(head + text, hidden_bytes)

    def _look(self, head: bytes) -> Cover | None:
        """Return what is to be hidden of a packet that begins so."""
        cover = cover_of(head[:HEAD_BYTES], self._is_secret)
        if cover is not None or names_secret(head, self._is_secret):
            self.has_met_secrets = True
        return cover
