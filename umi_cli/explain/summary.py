"""What is a packet, in one line? As the comments of a trace and the lists of captures have it.

The dissector in `share/umi.lua` says the same; a test compares them.
"""

from collections.abc import Callable
from typing import Any

import umi_cli.application.security_commands  # noqa: F401 - its types are among COMMANDS then
from umi_cli.application.codes import PacketType, ResultCode, result_name
from umi_cli.application.commands import GetObjectAccess, GetObjectAccessReply
from umi_cli.application.packet import (
    ENVELOPE_BYTES,
    MESSAGE_HEADER_BYTES,
    NO_SIGNATURE,
    Envelope,
    Message,
)
from umi_cli.application.payload import COMMANDS, REPLIES, Payload
from umi_cli.errors import MalformedError

ACCESS_REPLY_BYTES = 8  # code and two role sets
EVENT_BITS = 32
ENCRYPTED = 2
GCM_TAG_BYTES = 16
MIN_MESSAGE_BYTES = MESSAGE_HEADER_BYTES + len(NO_SIGNATURE)
MALFORMED = "packet, malformed"

Opener = Callable[[Envelope, bytes], bytes]
"""Opens what follows an envelope under scheme 2; `MalformedError` if it cannot be."""


def type_name(number: int) -> str:
    """Return the name of a packet type, or `packet type 0x77` for one that nobody has defined."""
    try:
        return PacketType(number).name
    except ValueError:
        return f"packet type 0x{number:02x}"


def kind_of(message: Message) -> type[Payload] | None:
    """Return the record of a message's payload; None for a refusal, and for an unknown type."""
    if message.packet_type & 1 and message.argument != ResultCode.OK:
        return None
    kind = COMMANDS.get(message.packet_type) or REPLIES.get(message.packet_type)
    if kind is GetObjectAccess and len(message.payload) == ACCESS_REPLY_BYTES:
        return GetObjectAccessReply  # as the field client numbers it, protocol 3.2
    return kind


def summarise(message: Message) -> str:
    """Return a message in one line: its type, what it is about, the result, how much it carries.

    No value stands in it, so it is harmless where the value is secret.
    """
    words = [type_name(message.packet_type)]
    if message.packet_type & 1:
        words.append(result_name(message.argument))
    kind = kind_of(message)
    if kind is None:
        return ", ".join(words)
    try:
        record = kind.decode(message.payload)
    except MalformedError:
        return ", ".join([*words, "malformed"])
    target = getattr(record, "part", None) or getattr(record, "code", None)
    words[0] += f" {target}" if target else ""
    told = ((tell, getattr(record, name, None)) for name, tell in DETAILS.items())
    return ", ".join([*words, *(tell(value) for tell, value in told if value is not None)])


def summarise_packet(packet: bytes, opener: Opener | None = None) -> str:
    """Return a packet in one line; what it says, if it can be opened."""
    try:
        envelope = Envelope.decode(packet)
        sealed = packet[ENVELOPE_BYTES:]
        if envelope.encryption_scheme != ENCRYPTED:
            return summarise(Message.decode(sealed))
        if len(sealed) < MIN_MESSAGE_BYTES + GCM_TAG_BYTES:
            return MALFORMED
    except MalformedError:
        return MALFORMED
    told = f"encrypted packet, {len(packet)} bytes"
    if opener is None:
        return told
    try:
        return f"encrypted: {summarise(Message.decode(opener(envelope, sealed)))}"
    except MalformedError:
        return f"{told}, which do not open"


def _bytes(value: bytes) -> str:
    return f"{len(value)} bytes"


def _events(bits: int) -> str:
    return " ".join(["events", *(str(bit) for bit in range(EVENT_BITS) if bits >> bit & 1)])


DETAILS: dict[str, Callable[[Any], str]] = {
    "number": lambda number: f"block {number}",
    "value": _bytes,
    "data": _bytes,
    "packet": _bytes,
    "certificate": _bytes,
    "certificates": _bytes,
    "request": _bytes,
    "length_bytes": lambda length: f"{length} bytes",
    "wait_ms": lambda wait_ms: f"{wait_ms} ms",
    "events": _events,
    "is_valid": lambda is_valid: "valid" if is_valid == 1 else "abort",
    "subject": lambda subject: f"of {subject}",
}
"""What is said of a payload's fields, in this order."""
