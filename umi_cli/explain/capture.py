"""What do the packets of a capture say, one line each and layer by layer?

The dissector in `share/umi.lua` says the same: what a repeat is, which fragments belong together.
Nothing but the packet that is being put together is kept, so that a capture may be of any length.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from umi_cli.application.packet import ENVELOPE_BYTES, Message
from umi_cli.errors import MalformedError
from umi_cli.explain.frames import FrameExplainer
from umi_cli.explain.layers import Layer
from umi_cli.explain.packets import explain_packet
from umi_cli.explain.pcapng import (
    LINK_TYPE_FRAMES,
    LINK_TYPE_LINE,
    LINK_TYPE_PACKETS,
    Interface,
    Packet,
    Section,
    read_blocks,
)
from umi_cli.explain.summary import Opener, summarise, summarise_packet
from umi_cli.link.commander import next_command_sequence, next_response_sequence
from umi_cli.link.fragment import Fragment, FragmentError, FragmentErrorCode, FragmentType
from umi_cli.link.frame import (
    CRC_BYTES,
    HEADER_BYTES,
    Frame,
    FrameType,
    LinkErrorCode,
)
from umi_cli.objects.catalogue import Catalogue
from umi_cli.optical.characters import without_parity

OVERHEAD_BYTES = HEADER_BYTES + CRC_BYTES
_OF_A_PACKET = (FragmentType.FIRST, FragmentType.MIDDLE, FragmentType.LAST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One packet of a capture."""

    number: int
    """Counted from 1, as Wireshark counts: packets of other link types have one, too."""
    packet: Packet
    interface: Interface
    what: str
    """In one line."""
    layers: list[Layer] = field(default_factory=list)
    is_repeated: bool = False

    @property
    def failures(self) -> list[str]:
        """Return the checks that failed, a sentence each."""
        return [f"{layer.name}: {text}" for layer in self.layers for text in layer.failures]


class CaptureExplainer:
    """Explains a capture.

    Args:
        catalogue: names and types of objects.
        opener: opens encrypted packets, if there is a key.
    """

    def __init__(self, catalogue: Catalogue, opener: Opener | None = None) -> None:
        self._catalogue = catalogue
        self._opener = opener
        # Addresses are nibbles and interfaces few, so that this does not grow with the capture.
        self._ways: dict[tuple[object, ...], _Way] = {}
        self.comments: list[str] = []
        """What the capture says of itself, as far as it was read."""
        self.interfaces: list[Interface] = []
        """What it was captured on, as far as it was read."""
        self.passed_over = 0
        """How many packets are of a link type that is not ours."""

    def explain(self, file: BinaryIO) -> Iterator[Explained]:
        """Yield what is known of each packet, one after the other.

        Raises:
            MalformedError: this is no capture, or it is damaged or cut off.
        """
        interfaces: list[Interface] = []
        number = 0
        for block in read_blocks(file):
            if isinstance(block, Section):
                self.comments += block.comments
                interfaces.clear()
            elif isinstance(block, Interface):
                interfaces.append(block)
                self.interfaces.append(block)
            else:
                number += 1
                explained = self._packet(number, block, interfaces[block.interface])
                if explained is None:
                    self.passed_over += 1
                else:
                    yield explained

    def _packet(self, number: int, packet: Packet, interface: Interface) -> Explained | None:
        if interface.link_type == LINK_TYPE_FRAMES:
            what, layers, is_repeated = self._frame(packet)
        elif interface.link_type == LINK_TYPE_LINE:
            what, layers, is_repeated = _line(packet.data), [], False
        elif interface.link_type == LINK_TYPE_PACKETS:
            what, layers, is_repeated = *self._opened(packet.data), False
        else:
            return None
        return Explained(
            number=number,
            packet=packet,
            interface=interface,
            what=what,
            layers=layers,
            is_repeated=is_repeated,
        )

    def _opened(self, data: bytes) -> tuple[str, list[Layer]]:
        try:
            what = f"decrypted: {summarise(Message.decode(data[ENVELOPE_BYTES:]))}"
        except MalformedError:
            what = "decrypted: packet, malformed"
        return what, explain_packet(data, 0, self._catalogue, is_opened=True)

    def _frame(self, packet: Packet) -> tuple[str, list[Layer], bool]:
        data = packet.data
        try:
            frame = Frame.decode(data)
        except MalformedError:
            return _damaged(data), self._stranger().explain(data), False
        way = self._way(packet)
        if frame.frame_type == FrameType.RESYNC:
            way.explainer = self._stranger()  # it ends what was half done
        is_repeated = way.is_repeat(data)
        explainer = way.explainer if not is_repeated and way.takes(frame) else self._stranger()
        layers = explainer.explain(data)
        what = _what(frame, layers, explainer.packet, self._opener)
        return ("repeated: " if is_repeated else "") + what, layers, is_repeated

    def _way(self, packet: Packet) -> "_Way":
        """Return what is kept of everything that goes that way: from whom, to whom."""
        key = packet.interface, packet.direction, packet.data[3]
        if key not in self._ways:
            self._ways[key] = _Way(self._stranger())
        return self._ways[key]

    def _stranger(self) -> FrameExplainer:
        """Return what explains a frame for itself."""
        return FrameExplainer(self._catalogue, self._opener)


class _Way:
    """What is kept of the frames of one direction."""

    def __init__(self, explainer: FrameExplainer) -> None:
        self.explainer = explainer
        self._last = b""
        self._sequence = 0

    def is_repeat(self, data: bytes) -> bool:
        """Tell whether a frame is the one before once more, to the letter."""
        is_repeat, self._last = data == self._last, data
        return is_repeat

    def takes(self, frame: Frame) -> bool:
        """Tell whether a frame belongs to what is being put together, and is no late one."""
        if frame.frame_type != FrameType.FRAGMENT:
            return True
        try:
            kind = Fragment.decode(frame.payload).fragment_type
        except FragmentError:
            return True
        last = self._sequence
        follows = frame.sequence in (next_command_sequence(last), next_response_sequence(last))
        if kind is not FragmentType.FIRST and not follows:
            return False
        self._sequence = frame.sequence
        return kind in _OF_A_PACKET


def _damaged(data: bytes) -> str:
    """Return in one line what is no frame, or no longer."""
    if len(data) >= OVERHEAD_BYTES and len(data) == data[2] + OVERHEAD_BYTES:
        return f"wrong CRC, {len(data)} bytes"
    return "frame, malformed"


def _line(data: bytes) -> str:
    """Return in one line bytes that are no frame."""
    text = "".join(chr(c) if 0x20 <= c < 0x7F else "." for c in without_parity(data))
    return f"{len(data)} bytes that are no frame: {text}"


def _what(frame: Frame, layers: list[Layer], packet: bytes | None, opener: Opener | None) -> str:
    """Return a frame in one line."""
    kind = frame.frame_type
    name = _name(FrameType, kind, f"frame type {kind:#x}")
    if kind in (FrameType.FRAGMENT, FrameType.FRAGMENT_RESPONSE):
        return _fragment(name, frame, is_bad=bool(layers[1].failures)) + (
            f": {summarise_packet(packet, opener)}" if packet else ""
        )
    if kind == FrameType.ERROR and len(frame.payload) >= 2:
        number = int.from_bytes(frame.payload[:2], "little")
        return f"{name} {_name(LinkErrorCode, number, str(number))}"
    return summarise_packet(packet, opener) if packet else name


def _fragment(name: str, frame: Frame, *, is_bad: bool) -> str:
    try:
        fragment = Fragment.decode(frame.payload)
    except FragmentError:
        return f"{name}, malformed"
    told = f"{name} {fragment.fragment_type.name}"
    if fragment.fragment_type is FragmentType.ERROR:
        return f"{told} {_name(FragmentErrorCode, fragment.data, str(fragment.data))}"
    if frame.frame_type == FrameType.FRAGMENT and fragment.fragment_type is FragmentType.FIRST:
        told += f", a packet of {fragment.data} bytes"
    return told + (", malformed" if is_bad else "")


def _name(
    numbers: type[FrameType] | type[LinkErrorCode] | type[FragmentErrorCode],
    number: int,
    otherwise: str,
) -> str:
    try:
        return numbers(number).name
    except ValueError:
        return otherwise
