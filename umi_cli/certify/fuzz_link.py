"""Spoilt link exchanges: frames, their order, their fragments, their CRC (protocol 2)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from umi_cli.application.commands import NoOperation, ReadObject
from umi_cli.certify.fuzz_bases import Subject, harmless_command, message_of, packet_of
from umi_cli.certify.fuzz_case import Carrier, FuzzCase
from umi_cli.certify.fuzz_model import SETTLED_FRAMES
from umi_cli.link.crc import crc
from umi_cli.link.fragment import Fragment, FragmentType, split
from umi_cli.link.frame import CRC_BYTES, HEADER_BYTES, MAX_SEQUENCE, Frame, FrameType
from umi_cli.mutation import Number, mutated, numbers, reordered
from umi_cli.wire import u16

CRC_FIXED = 0.75  # how often a spoilt frame is given the CRC of what it has become
LONG_BYTES = (260, 900)  # of a payload that takes two to four fragments
REORDERED = 0.4  # how often the order of several frames is wrong
SPOILT_TOO = 0.5  # how often a frame is spoilt then as well
MAX_COMMANDS = 3
MAX_FRAGMENTS_TAKEN = 4
_FIRST = SETTLED_FRAMES + 1  # the sequence that a case begins with
_FRAME_NUMBERS = numbers((1, 1, 1, 1))
_FRAGMENT_NUMBERS = numbers((1, 1, 2), HEADER_BYTES)


def spoilt_link(subject: Subject, chance: Random, case: FuzzCase) -> FuzzCase:
    """Return a case with frames of a valid exchange, of which some or their order are wrong."""
    make = chance.choice((_short, _short, _repeated, _long, _long_response, _begun_anew))
    base, frames = make(subject, chance)
    valid = tuple(frame.encode() for frame in frames)
    pieces = list(valid)
    if len(pieces) > 1 and chance.random() < REORDERED:
        pieces = reordered(pieces, chance)
    if tuple(pieces) == valid or chance.random() < SPOILT_TOO:
        at = chance.randrange(len(pieces))
        pieces[at] = _spoilt(pieces[at], chance)
    return replace(case, base=base, carrier=Carrier.FRAMES, pieces=tuple(pieces), valid=valid)


def _short(subject: Subject, chance: Random) -> tuple[str, list[Frame]]:
    """Return commands that each fit a frame."""
    commands = [harmless_command(subject, chance) for _ in range(chance.randint(1, MAX_COMMANDS))]
    packets = [packet_of(subject, message_of(command, chance)) for command in commands]
    frames = [
        subject.addresses.frame(_FIRST + number, FrameType.SIMPLE, packet)
        for number, packet in enumerate(packets)
    ]
    return ", ".join(command.title for command in commands), frames


def _repeated(subject: Subject, chance: Random) -> tuple[str, list[Frame]]:
    """Return a command that is repeated to the letter, as after a lost answer."""
    base, frames = _short(subject, chance)
    return f"{base}, repeated", [*frames, frames[-1]]


def _begun_anew(subject: Subject, chance: Random) -> tuple[str, list[Frame]]:
    """Return a RESYNC with a command after it."""
    command = harmless_command(subject, chance)
    packet = packet_of(subject, message_of(command, chance))
    frames = [
        subject.addresses.frame(0, FrameType.RESYNC),
        subject.addresses.frame(1, FrameType.SIMPLE, packet),
    ]
    return f"RESYNC, {command.title}", frames


def _long(subject: Subject, chance: Random) -> tuple[str, list[Frame]]:
    """Return a command in fragments, which does nothing."""
    payload = chance.randbytes(chance.randint(*LONG_BYTES))
    packet = packet_of(subject, message_of(NoOperation(), chance, payload=payload))
    frames = [
        subject.addresses.frame(_FIRST + number, FrameType.FRAGMENT, part)
        for number, part in enumerate(split(packet))
    ]
    return f"NO_OPERATION of {len(packet)} bytes in fragments", frames


def _long_response(subject: Subject, chance: Random) -> tuple[str, list[Frame]]:
    """Return the read of an array, and what takes the fragments of its response."""
    if not subject.arrays:
        return _long(subject, chance)
    command = ReadObject(code=chance.choice(subject.arrays).code)
    packet = packet_of(subject, message_of(command, chance))
    taken = Fragment(fragment_type=FragmentType.NEXT).encode()
    frames = [
        subject.addresses.frame(_FIRST, FrameType.SIMPLE, packet),
        *(
            subject.addresses.frame(_FIRST + number, FrameType.FRAGMENT_RESPONSE, taken)
            for number in range(chance.randint(1, MAX_FRAGMENTS_TAKEN))
        ),
    ]
    return f"{command.title} in fragments", frames


def _spoilt(frame: bytes, chance: Random) -> bytes:
    """Return a frame with a mutation."""
    if len(frame) < HEADER_BYTES + CRC_BYTES:  # a piece of one that was cut
        return mutated(frame, chance)
    return chance.choice((_renumbered, _misread, _shaken, _noisy))(frame, chance)


def _renumbered(frame: bytes, chance: Random) -> bytes:
    """Return a frame in which a nibble of the header is swept."""
    at, shift = chance.choice(((0, 4), (0, 0), (1, 0), (3, 4), (3, 0)))
    spoilt = bytearray(frame)
    spoilt[at] = (spoilt[at] & 0xF0 >> shift) | chance.randint(0, MAX_SEQUENCE) << shift
    return _with_crc(bytes(spoilt), chance)


def _misread(frame: bytes, chance: Random) -> bytes:
    """Return a frame whose header, or that of its fragment, is wrong."""
    is_fragment = frame[1] & 0xF in (FrameType.FRAGMENT, FrameType.FRAGMENT_RESPONSE)
    known: Sequence[Number] = _FRAGMENT_NUMBERS if is_fragment else _FRAME_NUMBERS
    head = HEADER_BYTES * (2 if is_fragment else 1)
    spoilt = mutated(frame[:head], chance, known)
    return _with_crc(spoilt + frame[head:], chance)


def _shaken(frame: bytes, chance: Random) -> bytes:
    """Return a frame with a mutation anywhere, its length byte made right as a rule."""
    payload = mutated(frame[HEADER_BYTES:-CRC_BYTES], chance)
    spoilt = frame[:HEADER_BYTES] + payload + frame[-CRC_BYTES:]
    if chance.random() < CRC_FIXED:
        length = min(len(payload), 0xFF)
        spoilt = spoilt[:2] + bytes([length]) + spoilt[3:]
    return _with_crc(spoilt, chance)


def _noisy(frame: bytes, chance: Random) -> bytes:
    """Return a frame with bytes beside it, or a mutation that nobody makes good."""
    noise = chance.randbytes(chance.randint(1, MAX_SEQUENCE))
    makers: tuple[Callable[[], bytes], ...] = (
        lambda: noise + frame,
        lambda: frame + noise,
        lambda: frame + frame,
        lambda: mutated(frame, chance),
    )
    return chance.choice(makers)()


def _with_crc(frame: bytes, chance: Random) -> bytes:
    """Return a frame with the CRC of its bytes, mostly."""
    if len(frame) <= CRC_BYTES or chance.random() >= CRC_FIXED:
        return frame
    return frame[:-CRC_BYTES] + u16(crc(frame[:-CRC_BYTES]))
