"""Commands that are signed here and now, and sent elsewhere later (protocol 5).

The packet is complete: whoever carries it can neither read a key from it nor change it, and the
device runs it once, inside its window, and only if it is the device meant.
"""

import json
import secrets
from dataclasses import dataclass, replace
from typing import Any, Self

from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import Command, decode_command
from umi_cli.device.credentials import Credentials, Scheme1Credentials
from umi_cli.errors import InputError, MalformedError
from umi_cli.security.signatures import (
    MAX_WINDOW_S,
    SCHEME_ECDSA,
    SCHEME_MAC,
    CommandSignature,
    SigningKey,
    sign_command,
)
from umi_cli.types import MAX_DATETIME_S, Role, UmiId, format_datetime

SCHEMA = "umi-command/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCommand:
    """A signed command packet, and what it says."""

    packet: bytes
    envelope: Envelope
    message: Message
    command: Command[Any]
    signature: CommandSignature

    @classmethod
    def decode(cls, packet: bytes) -> Self:
        """Take a packet apart.

        Raises:
            MalformedError: it is no packet with a signed command in the clear.
        """
        envelope = Envelope.decode(packet)
        if envelope.encryption_scheme != 0:
            raise MalformedError("the packet is encrypted: it belongs to a session that is over")
        message = Message.decode(packet[ENVELOPE_BYTES:])
        if message.signature_scheme == 0:
            raise MalformedError("the packet carries no signature")
        return cls(
            packet=packet,
            envelope=envelope,
            message=message,
            command=decode_command(message.packet_type, message.payload),
            signature=CommandSignature.decode(message.signature),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what a file of it holds: the packet, and what people want to know of it."""
        return {
            "schema": SCHEMA,
            "command": self.command.title,
            "target": str(self.envelope.destination),
            "commander": str(self.envelope.source),
            "role": self.signature.role.label,
            "scheme": self.signature.scheme,
            "valid_from": format_datetime(self.signature.valid_from_s),
            "valid_until": format_datetime(self.signature.valid_until_s),
            "packet": self.packet.hex(),
        }

    @classmethod
    def parse(cls, text: str, origin: str) -> Self:
        """Parse a file of a signed command; only its packet is believed.

        Raises:
            InputError: it is none.
        """
        try:
            content = json.loads(text)
            if content["schema"] != SCHEMA:
                raise ValueError(f"its schema is not {SCHEMA}")
            return cls.decode(bytes.fromhex(content["packet"]))
        except (ValueError, KeyError, TypeError, RecursionError, MalformedError) as error:
            raise InputError(
                f"{origin} holds no signed command: {error}", hint="make one with: umi sign"
            ) from error


def sign_ahead(
    command: Command[Any],
    credentials: Credentials,
    *,
    commander: UmiId,
    target: UmiId,
    from_s: int,
    valid_for_s: int,
) -> SignedCommand:
    """Sign a command for one device and one window of its time.

    Args:
        command: what is to run.
        credentials: of the role that may.
        commander: our UMI ID.
        target: the device's.
        from_s: when the window begins, as a UMI datetime.
        valid_for_s: how long it is, up to seven days.

    Raises:
        InputError: the window is longer, or none.
        NotTrustedError: our certificate authorises no role.
    """
    key, role, scheme = _signing(credentials)
    if not 0 <= valid_for_s <= MAX_WINDOW_S:
        raise InputError("a command may be signed for up to 7 days")
    envelope = Envelope(source=commander, destination=target)
    message = Message(
        transaction=secrets.randbelow(1 << 16),
        created_s=from_s,
        packet_type=command.TYPE,
        payload=command.encode(),
        signature_scheme=scheme,
    )
    record = sign_command(
        envelope.encode() + message.encode_unsigned(),
        key,
        role=role,
        valid_from_s=from_s,
        valid_until_s=min(from_s + valid_for_s, MAX_DATETIME_S),
    )
    message = replace(message, signature=record.encode())
    return SignedCommand.decode(envelope.encode() + message.encode())


def _signing(credentials: Credentials) -> tuple[SigningKey, Role, int]:
    if isinstance(credentials, Scheme1Credentials):
        return credentials.key, credentials.role, SCHEME_MAC
    return credentials.signer, credentials.role, SCHEME_ECDSA
