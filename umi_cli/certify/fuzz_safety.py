"""What a case must never send: what would change the device if it were taken for sound.

A case is looked at as its receiver would see it, and as a receiver would that checks nothing: what
stands where the packet type stands decides. Packet types that the standard does not define are
sent; what a device makes of them is its own. Where changes are allowed, objects are written; those
without which the device could not be worked with any more are not.
"""

# Importing these has all commands registered.
from umi_cli.application import commands as commands
from umi_cli.application import security_commands as security_commands
from umi_cli.application.codes import PacketType
from umi_cli.application.packet import ENVELOPE_BYTES, MESSAGE_HEADER_BYTES
from umi_cli.application.payload import COMMANDS
from umi_cli.certify.fuzz_bases import Subject
from umi_cli.certify.fuzz_case import Carrier, FuzzCase
from umi_cli.certify.fuzz_model import SoundDevice
from umi_cli.link.frame import HEADER_BYTES

TYPE_AT = 28  # of the packet type, in a packet
CODE_BYTES = 4

# A false proof changes nothing, but three of them lock the device for a while (protocol 6.2).
CHANGING = frozenset(kind for kind, each in COMMANDS.items() if each.CHANGES) | {
    PacketType.S1_AUTH_REPLY
}
# What cannot be undone from here is not sent even where changes are allowed.
FINAL = frozenset(
    {
        PacketType.SET_OBJECT_READ_ACCESS,
        PacketType.SET_OBJECT_WRITE_ACCESS,
        PacketType.S2_GENERATE_KEYPAIR,
        PacketType.S2_INSTALL_OWN_CERTIFICATE_CHAIN,
        PacketType.S2_REVOKE_CERTIFICATE,
        PacketType.S2_RELINQUISH_RIGHTS,
    }
)
_WRITES = (PacketType.WRITE_OBJECT, PacketType.WRITE_OBJECT_PART)


def is_harmless(case: FuzzCase, subject: Subject) -> bool:
    """Tell whether a case may be sent, by what it is made of alone."""
    if case.carrier is Carrier.SEALED:
        is_type_hit = case.patch is not None and case.patch.at == TYPE_AT
        return (case.changes or not is_type_hit) and all(
            is_message_harmless(piece, subject, changes=case.changes) for piece in case.pieces
        )
    packets = list(case.pieces)
    if case.carrier is Carrier.FRAMES:
        device = SoundDevice(subject.addresses)
        found = [packet for piece in case.pieces for packet in device.take(piece).packets]
        packets = [*found, *(piece[HEADER_BYTES:] for piece in case.pieces)]
    return all(
        is_message_harmless(packet[ENVELOPE_BYTES:], subject, changes=case.changes)
        for packet in packets
    )


def is_message_harmless(message: bytes, subject: Subject, *, changes: bool) -> bool:
    """Tell whether what follows an envelope may be sent.

    Args:
        message: right or wrong.
        subject: the device.
        changes: it may be changed.
    """
    at = TYPE_AT - ENVELOPE_BYTES
    if len(message) <= at:
        return True
    kind = message[at]
    if kind in FINAL or (kind in CHANGING and not changes):
        return False
    target = message[MESSAGE_HEADER_BYTES : MESSAGE_HEADER_BYTES + CODE_BYTES]
    return kind not in _WRITES or target not in subject.untouchable
