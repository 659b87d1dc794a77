"""What a security scheme does to packets, and which one a packet names (protocol 3.1, 6)."""

from typing import Protocol

from umi_cli.application.packet import Envelope, Message


class Scheme(Protocol):
    """Seals messages into packets and opens them again. One instance is one peer's session."""

    number: int
    """As it stands in the first byte of a packet."""

    def seal(self, envelope: Envelope, message: Message) -> bytes:
        """Return the whole packet."""
        ...

    def open(self, packet: bytes) -> tuple[Envelope, Message]:
        """Take a packet apart.

        Raises:
            MalformedError: it is no packet of this scheme.
        """
        ...
