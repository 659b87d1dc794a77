"""Spoilt packets and spoilt payloads, in the clear and under a session key (protocol 3, 5, 6.3)."""

from dataclasses import replace
from random import Random
from typing import Any

from umi_cli.application.packet import ENVELOPE_BYTES, NO_SIGNATURE, Message
from umi_cli.application.payload import Command
from umi_cli.certify.fuzz_bases import (
    CREATED_S,
    MESSAGE_NUMBERS,
    PACKET_NUMBERS,
    Subject,
    harmless_command,
    message_of,
    numbers_of,
    packet_of,
    write_command,
)
from umi_cli.certify.fuzz_case import Carrier, FuzzCase, Patch
from umi_cli.crypto import MAC_BYTES, TAG_BYTES
from umi_cli.mutation import mutated, numbers
from umi_cli.security.signatures import SCHEME_MAC, CommandSignature
from umi_cli.types import Role

SEALED = 0.5  # how often a case is sealed, where we can
PATCHED = 0.5  # how often it is spoilt after that, instead of before
SIGNED = 0.2  # how often a command carries a MAC that nobody has made
SWEPT = 0.2  # how often a version, a scheme or a type is swept, instead of a mutation
WRITES = 0.3  # how often a command is a write, where those are allowed
WINDOW_S = 300
_SWEPT_AT = (0, 1, 21, 28, 28, 28, 29)
"""Encryption scheme, version, signature scheme, packet type, signature wanted."""


def spoilt_packet(subject: Subject, chance: Random, case: FuzzCase) -> FuzzCase:
    """Return a case with a packet that is wrong somewhere."""
    command = _command(subject, chance, case)
    message = _signed(message_of(command, chance), chance)
    if subject.sealed_id is not None and chance.random() < SEALED:
        return _sealed(message, command.title, chance, case)
    valid = packet_of(subject, message)
    known = (*PACKET_NUMBERS, *_record_numbers(message, ENVELOPE_BYTES))
    spoilt = _swept(valid, chance) if chance.random() < SWEPT else mutated(valid, chance, known)
    return replace(
        case,
        base=command.title,
        carrier=Carrier.PACKETS,
        pieces=(spoilt or b"\0",),
        valid=(valid,),
    )


def spoilt_payload(subject: Subject, chance: Random, case: FuzzCase) -> FuzzCase:
    """Return a case with a sound packet whose payload is wrong."""
    command = _command(subject, chance, case)
    message = message_of(command, chance)
    spoilt = replace(message, payload=mutated(message.payload, chance, numbers_of(command)))
    if subject.sealed_id is not None and chance.random() < SEALED:
        carrier, pieces, valid = Carrier.SEALED, spoilt.encode(), message.encode()
    else:
        carrier, pieces = Carrier.PACKETS, packet_of(subject, spoilt)
        valid = packet_of(subject, message)
    return replace(case, base=command.title, carrier=carrier, pieces=(pieces,), valid=(valid,))


def _command(subject: Subject, chance: Random, case: FuzzCase) -> Command[Any]:
    is_write = case.changes and chance.random() < WRITES
    return write_command(subject, chance) if is_write else harmless_command(subject, chance)


def _sealed(message: Message, base: str, chance: Random, case: FuzzCase) -> FuzzCase:
    """Return a case with a message that is spoilt before it is sealed, or after."""
    valid = message.encode()
    patch = None
    spoilt = valid
    if chance.random() < PATCHED:
        patch = _patch(ENVELOPE_BYTES + len(valid) + TAG_BYTES, chance)
    else:
        known = (*MESSAGE_NUMBERS, *_record_numbers(message, 0))
        spoilt = mutated(valid, chance, known)
    return replace(
        case, base=base, carrier=Carrier.SEALED, pieces=(spoilt,), valid=(valid,), patch=patch
    )


def _patch(length_bytes: int, chance: Random) -> Patch:
    """Return what spoils a sealed packet of that length."""
    at = chance.randrange(length_bytes)
    kind = chance.choice(("flip", "flip", "flip", "cut", "insert"))
    if kind == "flip":
        return Patch(at=at, flip=1 << chance.randrange(8))
    if kind == "cut":
        return Patch(at=at, remove_bytes=chance.choice((1, 2, length_bytes)))
    return Patch(at=at, insert=chance.randbytes(chance.choice((1, 16))))


def _signed(message: Message, chance: Random) -> Message:
    """Return a message with a MAC under no key, now and then."""
    if chance.random() >= SIGNED:
        return message
    record = CommandSignature(
        scheme=SCHEME_MAC,
        role=chance.choice(list(Role)),
        valid_from_s=CREATED_S - WINDOW_S,
        valid_until_s=CREATED_S + WINDOW_S,
        value=chance.randbytes(MAC_BYTES),
    )
    return replace(message, signature_scheme=SCHEME_MAC, signature=record.encode())


def _record_numbers(message: Message, offset: int) -> tuple[Any, ...]:
    """Return where numbers stand in the signature record of a message."""
    at = offset + len(message.encode_unsigned())
    is_plain = message.signature == NO_SIGNATURE
    return numbers((1, 1) if is_plain else (1, 1, 1, 4, 4), at)


def _swept(packet: bytes, chance: Random) -> bytes:
    """Return a packet in which one of the bytes that select something is any."""
    at = chance.choice(_SWEPT_AT)
    return packet[:at] + bytes([chance.randrange(256)]) + packet[at + 1 :]
