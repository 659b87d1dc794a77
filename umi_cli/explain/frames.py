"""What the bytes of link frames mean (protocol 2)."""

from umi_cli.errors import MalformedError
from umi_cli.explain.layers import Layer
from umi_cli.explain.packets import explain_packet
from umi_cli.explain.summary import Opener
from umi_cli.link.fragment import (
    Assembler,
    Fragment,
    FragmentError,
    FragmentErrorCode,
    FragmentType,
)
from umi_cli.link.frame import (
    CRC_BYTES,
    HEADER_BYTES,
    KNOWN_TYPES,
    MAX_FRAME_PAYLOAD,
    VERSION,
    Frame,
    FrameType,
    LinkErrorCode,
    verify_crc,
)
from umi_cli.objects.catalogue import Catalogue

OVERHEAD_BYTES = HEADER_BYTES + CRC_BYTES
_CHUNK = "part of the packet"


def is_frame(data: bytes) -> bool:
    """Tell whether bytes begin with what is, or was once, a link frame."""
    if len(data) < OVERHEAD_BYTES:
        return False
    length = data[2] + OVERHEAD_BYTES
    if length <= len(data):
        try:
            verify_crc(data[:length])
        except MalformedError:
            return length == len(data) or _has_frame_head(data)
        return True
    return _has_frame_head(data)


def _has_frame_head(data: bytes) -> bool:
    """Tell whether bytes begin as no packet does: with a sequence, the version, a known type."""
    return data[0] & 0xF == VERSION and data[1] & 0xF in KNOWN_TYPES and data[0] >> 4 > 0


class FrameExplainer:
    """Explains frames one after the other, and the packets that their fragments make up.

    Args:
        catalogue: names and types of objects.
        opener: opens encrypted packets, if there is a key.
    """

    def __init__(self, catalogue: Catalogue, opener: Opener | None = None) -> None:
        self._catalogue = catalogue
        self._opener = opener
        self._assembler = Assembler()
        self._chunks: list[Layer] = []
        self.packet: bytes | None = None
        """The packet that the last frame was, or has completed."""

    def explain(self, data: bytes) -> list[Layer]:
        """Explain all the frames that stand one after the other in `data`."""
        layers: list[Layer] = []
        offset = 0
        while offset < len(data):
            length = self._length(data[offset:])
            layers += self._explain_one(data[offset : offset + length], offset)
            offset += length
        return layers

    def _length(self, data: bytes) -> int:
        """Return how long the frame at the head is; all that is left where it cannot be told."""
        length = data[2] + OVERHEAD_BYTES if len(data) > 2 else len(data)
        return length if length <= len(data) and is_frame(data[:length]) else len(data)

    def _explain_one(self, data: bytes, offset: int) -> list[Layer]:
        layer = Layer(name="link frame")
        self.packet = None
        if len(data) < OVERHEAD_BYTES:
            layer.failures.append(f"a frame has at least 6 bytes, these are {len(data)}")
            return [layer]
        _explain_header(layer, data, offset)
        payload = data[HEADER_BYTES:-CRC_BYTES]
        _explain_crc(layer, data, offset)
        if layer.failures:
            if payload:
                layer.add("payload", offset + HEADER_BYTES, payload)
            return [layer]
        return [layer, *self._explain_payload(layer, Frame.decode(data), offset + HEADER_BYTES)]

    def _explain_payload(self, layer: Layer, frame: Frame, offset: int) -> list[Layer]:
        if frame.frame_type in (FrameType.SIMPLE, FrameType.SIMPLE_RESPONSE):
            self.packet = frame.payload
            return explain_packet(frame.payload, offset, self._catalogue, self._opener)
        if frame.frame_type in (FrameType.FRAGMENT, FrameType.FRAGMENT_RESPONSE):
            return self._explain_fragment(frame, offset)
        if frame.frame_type == FrameType.ERROR:
            number = int.from_bytes(frame.payload[:2], "little")
            layer.add("error", offset, frame.payload, number, _name(LinkErrorCode, number))
        elif frame.payload:
            layer.add("payload", offset, frame.payload)
            layer.notes.append("a frame of this type carries no payload")
        return []

    def _explain_fragment(self, frame: Frame, offset: int) -> list[Layer]:
        layer = Layer(name="fragment")
        try:
            fragment = Fragment.decode(frame.payload)
        except FragmentError as error:
            layer.failures.append(str(error))
            return [layer]
        kind = fragment.fragment_type
        layer.add("type", offset, frame.payload[:1], kind.value, kind.name)
        meaning = {
            FragmentType.FIRST: f"a packet of {fragment.data} bytes begins",
            FragmentType.ERROR: _name(FragmentErrorCode, fragment.data),
        }
        layer.add("data", offset + 2, frame.payload[2:4], fragment.data, meaning.get(kind, ""))
        if fragment.chunk:
            layer.add(_CHUNK, offset + 4, fragment.chunk)
        return [layer, *self._join(layer, frame, fragment)]

    def _join(self, layer: Layer, frame: Frame, fragment: Fragment) -> list[Layer]:
        if frame.frame_type != FrameType.FRAGMENT or fragment.fragment_type is FragmentType.ERROR:
            return []
        if fragment.fragment_type is not FragmentType.FIRST and not self._assembler.is_open:
            layer.notes.append("its FIRST is not here, so the packet cannot be put together")
            return []
        if fragment.fragment_type is FragmentType.FIRST:
            self._chunks.clear()
        self._chunks.append(layer)
        try:
            packet = self._assembler.take(fragment)
        except FragmentError as error:
            layer.failures.append(str(error))
            return []
        if packet is None:
            return []
        self.packet = packet
        within = f"the packet of {len(packet)} bytes put together"
        layers = explain_packet(packet, 0, self._catalogue, self._opener, within)
        if any(each.is_secret for each in layers):
            for each in self._chunks:
                each.hide(_CHUNK)
        return layers


def _explain_header(layer: Layer, data: bytes, offset: int) -> None:
    head, kind, length, addresses = data[:HEADER_BYTES]
    layer.add("sequence", offset, data[:1], head >> 4)
    layer.add("version", offset, data[:1], head & 0xF)
    layer.add("busy", offset + 1, data[1:2], bool(kind & 0x80))
    layer.add("type", offset + 1, data[1:2], kind & 0xF, _name(FrameType, kind & 0xF))
    layer.add("payload length", offset + 2, data[2:3], length)
    layer.add("destination", offset + 3, data[3:4], addresses >> 4)
    layer.add("source", offset + 3, data[3:4], addresses & 0xF)
    if head & 0xF != VERSION:
        layer.failures.append(f"unknown protocol version {head & 0xF}: only {VERSION} is known")
    if kind & 0x70:
        layer.failures.append(f"reserved bits are set in byte 1: {kind:#04x}")
    if kind & 0xF not in KNOWN_TYPES:
        layer.failures.append(f"unknown frame type {kind & 0xF:#x}")
    there = len(data) - OVERHEAD_BYTES
    if length != there:
        layer.failures.append(f"the length byte says {length} bytes of payload, {there} are there")
    elif length > MAX_FRAME_PAYLOAD:
        layer.failures.append(f"a frame carries at most {MAX_FRAME_PAYLOAD} bytes, not {length}")


def _explain_crc(layer: Layer, data: bytes, offset: int) -> None:
    try:
        verify_crc(data)
        meaning = "right"
    except MalformedError as error:
        meaning = "wrong"
        layer.failures.append(str(error))
    found = data[-CRC_BYTES:]
    layer.add("CRC", offset + len(data) - CRC_BYTES, found, found.hex(), meaning)


def _name(
    numbers: type[FrameType] | type[LinkErrorCode] | type[FragmentErrorCode], number: int
) -> str:
    try:
        return numbers(number).name
    except ValueError:
        return "unknown"
