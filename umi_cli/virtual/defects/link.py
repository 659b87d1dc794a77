"""Defects of the link layer (protocol 2)."""

from umi_cli.link.connection import LinkConnection
from umi_cli.link.crc import crc
from umi_cli.link.frame import CRC_BYTES, Frame, FrameType
from umi_cli.virtual.defect import Defect
from umi_cli.wire import u16


class CrcUnchecked(Defect):
    """A frame with a wrong CRC is taken: the meter makes the CRC right before it looks."""

    NAME = "crc-unchecked"
    TITLE = "takes frames whose CRC is wrong"

    def bytes_in(self, link: LinkConnection, data: bytes) -> bytes:
        """Return the bytes with the CRC that a whole frame would have."""
        is_frame = len(data) > CRC_BYTES and len(data) == data[2] + 6
        return data[:-CRC_BYTES] + u16(crc(data[:-CRC_BYTES])) if is_frame else data


class RepeatExecuted(Defect):
    """The stored answer is forgotten at once, so that a repeated command runs again."""

    NAME = "repeat-executed"
    TITLE = "executes a repeated frame again"

    def __init__(self) -> None:
        self._last = b""

    def bytes_in(self, link: LinkConnection, data: bytes) -> bytes:
        """Have the link start over when the frame that it has just answered comes again."""
        if data == self._last:
            link.reset()
        self._last = data
        return data


class ResponseSequenceWrong(Defect):
    """A response carries the sequence after its command's."""

    NAME = "response-sequence-wrong"
    TITLE = "answers under another sequence than the command's"

    def frames_out(self, frame: bytes) -> list[bytes]:
        """Return the frame with the next sequence."""
        decoded = Frame.decode(frame)
        if decoded.frame_type != FrameType.SIMPLE_RESPONSE:
            return [frame]
        spoilt = bytes([(decoded.sequence + 1 & 0xF) << 4 | frame[0] & 0xF]) + frame[1:-CRC_BYTES]
        return [spoilt + u16(crc(spoilt))]


LINK_DEFECTS = (CrcUnchecked, RepeatExecuted, ResponseSequenceWrong)
