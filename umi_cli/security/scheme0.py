"""Scheme 0: packets in the clear, the peer is guest (protocol 3.1, 6.1)."""

from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.errors import MalformedError


class Scheme0:
    """Packets in the clear. It holds no state."""

    number = 0

    def seal(self, envelope: Envelope, message: Message) -> bytes:
        """Return the whole packet."""
        return envelope.encode() + message.encode()

    def open(self, packet: bytes) -> tuple[Envelope, Message]:
        """Take a packet apart.

        Raises:
            MalformedError: too short, of inconsistent lengths, or encrypted.
        """
        envelope = Envelope.decode(packet)
        if envelope.encryption_scheme != self.number:
            raise MalformedError(
                f"the packet is sealed under scheme {envelope.encryption_scheme}, not in the clear",
                offset=0,
            )
        return envelope, Message.decode(packet[ENVELOPE_BYTES:])
