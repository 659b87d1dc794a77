"""Spoilt image transfers: header, signature record, lengths, order of blocks (protocol 3.2, 7).

Nobody that a device trusts has signed any of these packages, so none may be taken.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from umi_cli.application.commands import ImageData, ImageEnd, ImageStart
from umi_cli.application.packet import Message
from umi_cli.application.payload import Command
from umi_cli.certificates.authorisation import TargetRange
from umi_cli.certify.fuzz_bases import CREATED_S, Subject, message_of, packet_of
from umi_cli.certify.fuzz_case import Carrier, FuzzCase
from umi_cli.certify.fuzz_certificates import stranger
from umi_cli.images.build import build_device
from umi_cli.images.header import ImageLabel, Version
from umi_cli.images.signing import sign_package
from umi_cli.mutation import Number, mutated, numbers
from umi_cli.types import Role

BLOCK_BYTES = 128
IMAGE_BYTES = (1, 400)
SIGNED = 0.7  # how often there is a signature at all
SPOILT_PACKAGE = 0.7  # how often the package is spoilt; else what carries it is
RECORD_BYTES = 75  # of an image's signature, under scheme 2 (protocol 5)
MAX_U32 = 0xFFFF_FFFF
VERSION = Version(250, 0, 0)
_HEADER_NUMBERS = numbers((4, 2, 1, 1, 8, 8, 1, 1, 1, 1, 4, 4, 4, 32, 16))


def spoilt_image(subject: Subject, chance: Random, case: FuzzCase) -> FuzzCase:
    """Return a case that transfers an image which no device may take, and aborts it then."""
    valid = _package(subject, chance)
    package, commands = valid, _transfer(valid)
    if chance.random() < SPOILT_PACKAGE:
        package = mutated(valid, chance, (*_HEADER_NUMBERS, *_record_numbers(valid)))
        commands = _transfer(package)
    else:
        commands = _disturbed(commands, chance)
    commands.append(ImageEnd(is_valid=0))
    is_sealed = subject.sealed_id is not None
    return replace(
        case,
        base=f"an image of {len(valid)} bytes",
        carrier=Carrier.SEALED if is_sealed else Carrier.PACKETS,
        pieces=_pieces(commands, subject, chance, is_sealed=is_sealed),
        valid=_pieces(_transfer(valid), subject, chance, is_sealed=is_sealed),
    )


def _package(subject: Subject, chance: Random) -> bytes:
    """Return a package for this device that is whole, and signed by a stranger or by nobody."""
    label = ImageLabel(
        model=subject.model,
        version=VERSION,
        targets=TargetRange(lowest=subject.device_id, highest=subject.device_id),
        built_s=CREATED_S,
    )
    image = io.BytesIO(chance.randbytes(chance.randint(*IMAGE_BYTES)))
    plain = io.BytesIO()
    build_device(image, plain, label)
    if chance.random() >= SIGNED:
        return plain.getvalue()
    signed = io.BytesIO()
    plain.seek(0)
    sign_package(plain, signed, stranger(), role=Role.SOFTWARE_PROVIDER)
    return signed.getvalue()


def _record_numbers(package: bytes) -> tuple[Number, ...]:
    return numbers((1, 1, 1, 1, 1), max(0, len(package) - RECORD_BYTES))


def _transfer(package: bytes) -> list[Command[Any]]:
    """Return the commands that transfer a package."""
    blocks = [package[at : at + BLOCK_BYTES] for at in range(0, len(package), BLOCK_BYTES)]
    return [
        ImageStart(length_bytes=len(package)),
        *(ImageData(number=number, data=block) for number, block in enumerate(blocks)),
        ImageEnd(is_valid=1),
    ]


def _disturbed(commands: Sequence[Command[Any]], chance: Random) -> list[Command[Any]]:
    """Return a transfer of which a command is lost, doubled, elsewhere, or of another number."""
    commands = list(commands)
    at = chance.randrange(len(commands))
    one = commands.pop(at)
    kind = chance.choice(("lost", "doubled", "elsewhere", "other", "other"))
    if kind == "doubled":
        commands[at:at] = [one, one]
    elif kind == "elsewhere":
        commands.insert(chance.randint(0, len(commands)), one)
    elif kind == "other":
        commands.insert(at, _other(one, chance))
    return commands


def _other(command: Command[Any], chance: Random) -> Command[Any]:
    """Return a command with a number that is out of bounds, or beside the right one."""
    if isinstance(command, ImageStart):
        length = command.length_bytes
        return ImageStart(length_bytes=chance.choice((0, 1, length - 1, length + 1, MAX_U32)))
    if isinstance(command, ImageData):
        number = chance.choice((0, command.number + 1, MAX_U32 // 2 + 1, MAX_U32))
        data = chance.choice((command.data, b"", command.data + command.data))
        return ImageData(number=number, data=data)
    return ImageEnd(is_valid=chance.choice((0, 2, 0xFF)))


def _pieces(
    commands: Sequence[Command[Any]], subject: Subject, chance: Random, *, is_sealed: bool
) -> tuple[bytes, ...]:
    messages: list[Message] = [message_of(command, chance) for command in commands]
    if is_sealed:
        return tuple(message.encode() for message in messages)
    return tuple(packet_of(subject, message) for message in messages)
