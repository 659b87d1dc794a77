"""How a device fails a fuzz case, and which packets no device may answer with OK."""

from enum import StrEnum

from umi_cli.application.codes import PacketType
from umi_cli.application.packet import ENVELOPE_BYTES, PROTOCOL, Envelope, Message
from umi_cli.application.payload import COMMANDS
from umi_cli.errors import MalformedError


class Trouble(StrEnum):
    """What is wrong."""

    SILENT = "silent"
    """It no longer answers."""
    HUNG_UP = "hung-up"
    """The port is gone, or the connection has ended."""
    RESTARTED = "restarted"
    """It has started anew: its log says so, or its clock has gone back."""
    MALFORMED = "malformed"
    """What it sends is no frame, no packet, or not the answer to what it was asked."""
    OBEYED = "obeyed"
    """It took what it must refuse."""
    DISTURBED = "disturbed"
    """It answers, but no longer does what it did before."""
    CHANGED = "changed"
    """It is another device, or runs other software."""
    PRIVILEGE = "privilege"
    """It lets a guest do what it refused before."""

    @property
    def is_down(self) -> bool:
        """Tell whether it is one of those that a crash may look like."""
        return self in (Trouble.SILENT, Trouble.HUNG_UP, Trouble.RESTARTED)

    def is_like(self, other: "Trouble") -> bool:
        """Tell whether both may have one cause."""
        return self is other or (self.is_down and other.is_down)


class FuzzFailure(Exception):
    """The device failed a case.

    Args:
        trouble: what is wrong.
        message: what it did, as a sentence without its subject.
    """

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


def why_refused(packet: bytes) -> str:
    """Return why a packet in the clear must not be answered with OK; nothing if it may be.

    What devices may well see differently is no reason: numbers of a manufacturer's own, options,
    a UMI ID that may be an alias.
    """
    try:
        envelope = Envelope.decode(packet)
    except MalformedError as error:
        return str(error)
    if envelope.protocol != PROTOCOL:
        return f"its protocol type and version are {envelope.protocol:#04x}"
    if envelope.encryption_scheme != 0:
        return f"it says that it is encrypted under scheme {envelope.encryption_scheme}"
    return why_message_refused(packet[ENVELOPE_BYTES:])


def why_message_refused(data: bytes) -> str:
    """Return why what follows an envelope must not be answered with OK; nothing if it may be."""
    try:
        message = Message.decode(data)
    except MalformedError as error:
        return str(error)
    if message.signature_scheme != 0:
        return "its signature is nobody's"
    if message.packet_type % 2 or message.packet_type == PacketType.ERROR:
        return f"packet type 0x{message.packet_type:02x} is no command"
    kind = COMMANDS.get(message.packet_type)
    if kind is None:
        return ""
    try:
        kind.decode(message.payload)
    except MalformedError as error:
        return str(error)
    return ""
