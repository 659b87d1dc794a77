"""Defects of a parser that trusts what it reads: one bad byte, and the meter is gone for a while.

The suite of `umi certify` sends some of these bytes by chance at most; `umi fuzz` finds them.
"""

from umi_cli.application.packet import ENVELOPE_BYTES, MESSAGE_HEADER_BYTES
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import Event, LinkAddresses, LinkSettings
from umi_cli.link.fragment import MAX_PACKET_BYTES, FragmentType
from umi_cli.link.frame import CRC_BYTES, HEADER_BYTES, MAX_FRAME_PAYLOAD, FrameType
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.flash import PowerCut

HANGS_S = 60.0
MIN_FRAGMENT_BYTES = HEADER_BYTES + 4 + CRC_BYTES  # one that carries nothing
_LENGTH_AT = 2


class FragileLink(LinkConnection):
    """A link that may be dead for a while, or until the power is cut.

    Args:
        settings: of the link.
        addresses: of the link.
        defect: says what kills it, and for how long.
    """

    def __init__(
        self, settings: LinkSettings, addresses: LinkAddresses, defect: "FragileDefect"
    ) -> None:
        super().__init__(settings, addresses)
        self._defect = defect
        self._dead_until = 0.0

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes, unless it is dead."""
        if now >= self._dead_until and self._defect.is_fatal(data):
            self._dead_until = now + self._defect.DEAD_S
        if now < self._dead_until:
            return []
        return super().receive_data(data, now)

    def reset(self) -> None:
        """Forget everything, as after a power cut."""
        super().reset()
        self._dead_until = 0.0


class FragileDefect(Defect):
    """Something that arrives kills the meter's link."""

    DEAD_S = float("inf")
    """For how long."""

    def new_link(self, settings: LinkSettings, addresses: LinkAddresses) -> LinkConnection:
        """Return a link that can be killed."""
        return FragileLink(settings, addresses, self)

    def is_fatal(self, data: bytes) -> bool:
        """Tell whether what arrived at once kills it."""
        raise NotImplementedError


class CrashOnLength(FragileDefect):
    """The length byte is believed, and the buffer is as long as a frame may be."""

    NAME = "crash-on-length"
    TITLE = (
        f"falls silent for good once a frame says that it carries over {MAX_FRAME_PAYLOAD} bytes"
    )

    def is_fatal(self, data: bytes) -> bool:
        """Tell whether the frame says that it is longer than any."""
        return len(data) > _LENGTH_AT and data[_LENGTH_AT] > MAX_FRAME_PAYLOAD


class HangOnFragment(FragileDefect):
    """What is left to come is counted down past zero."""

    NAME = "hang-on-fragment"
    TITLE = f"hangs for {HANGS_S:.0f} s when fragments carry more bytes than FIRST has announced"
    DEAD_S = HANGS_S

    def __init__(self) -> None:
        self._left_bytes = 0

    def is_fatal(self, data: bytes) -> bool:
        """Tell whether this is a fragment with more than is left to come."""
        if len(data) < MIN_FRAGMENT_BYTES or data[1] & 0xF != FrameType.FRAGMENT:
            return False
        head = data[HEADER_BYTES:]
        if head[0] >> 4 == FragmentType.FIRST:
            self._left_bytes = int.from_bytes(head[2:4], "little") or MAX_PACKET_BYTES
        self._left_bytes -= len(data) - MIN_FRAGMENT_BYTES
        is_past_zero = self._left_bytes < 0
        self._left_bytes = max(0, self._left_bytes)
        return is_past_zero


class RestartOnRecord(Defect):
    """The length of the signature record is believed."""

    NAME = "restart-on-record"
    TITLE = (
        "restarts when a signature record says that it is longer than what is left of the packet"
    )

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet, or lose power over it."""
        head = ENVELOPE_BYTES + MESSAGE_HEADER_BYTES
        record = packet[head + int.from_bytes(packet[head - 2 : head], "little") :]
        if packet[:1] == b"\0" and len(record) > 1 and record[1] > len(record):
            raise PowerCut
        return packet


FRAGILE_DEFECTS: tuple[type[Defect], ...] = (CrashOnLength, HangOnFragment, RestartOnRecord)
