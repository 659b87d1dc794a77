"""Spoilt certificates: fields lost, doubled, swapped, out of bounds; signed by nobody (6.4)."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from random import Random

from umi_cli.application.security_commands import S2AddCertificate
from umi_cli.certificates import tlv
from umi_cli.certificates.authorisation import (
    EVERY_TARGET,
    AuthorityAuthorisation,
    StandardAuthorisation,
)
from umi_cli.certificates.cvc import (
    TAG_AUTHORISATION,
    TAG_SERIAL,
    TAG_VALID_FROM,
    TAG_VALID_UNTIL,
)
from umi_cli.certificates.envelope import (
    PROFILE,
    TAG_BODY,
    TAG_ENVELOPE,
    TAG_ISSUER,
    TAG_POINT,
    TAG_PROFILE,
    TAG_PUBLIC_KEY,
    TAG_SIGNATURE,
    TAG_SUBJECT,
)
from umi_cli.certify.fuzz_bases import Subject, message_of, packet_of
from umi_cli.certify.fuzz_case import Carrier, FuzzCase
from umi_cli.crypto import PrivateKey
from umi_cli.mutation import TELLING_BYTES, Number, mutated
from umi_cli.types import Role, RoleSet

RESIGNED = 0.7  # how often the stranger's signature is over what the body has become
OWN_SPOILT = 0.3  # how often the certificate is one of ours, were it not spoilt
A_STRANGER = 0x0200_0000_0000_5678
DATE_BYTES = 15
_FROM, _UNTIL = b"20260101000000Z", b"20460101000000Z"
_DATES = (b"00000000000000Z", b"99991231235959Z", b"20261301000000Z", b"2026010100000 Z", _UNTIL)
_TAGS = (0x00, 0x42, 0x5A, 0x5F20, 0x5F29, 0x5F37, 0x5F4C, 0x7F21, 0x7F4E, 0xDF24, 0xDF25, 0xFFFF)
_SERIAL_BYTES = (0, 1, 20, 255, 256)
_LENGTH_AT = 2  # of an outer TLV: behind its tag of two bytes
_ENVELOPE_NUMBERS = (Number(0, 2, "big"), Number(_LENGTH_AT, 1), Number(3, 1), Number(4, 2, "big"))

Fields = list[tuple[int, bytes]]
"""Tags and values of a body, in their order."""


@cache
def stranger() -> PrivateKey:
    """Return a key that nobody trusts, and everybody may know."""
    return PrivateKey.from_scalar(bytes(31) + b"\x07")


def spoilt_certificate(subject: Subject, chance: Random, case: FuzzCase) -> FuzzCase:
    """Return a case that hands over a certificate which no device may take."""
    if subject.chain and chance.random() < OWN_SPOILT:
        base, valid = "our own certificate", chance.choice(subject.chain)
        spoilt = mutated(valid, chance, _ENVELOPE_NUMBERS)
    else:
        base, fields = "a stranger's certificate", _fields(subject, chance)
        valid = _signed(tlv.encode(TAG_BODY, _joined(fields)))
        spoilt = _spoilt(fields, valid, chance)
    packets = [
        packet_of(subject, message_of(S2AddCertificate(certificate=data), chance))
        for data in (spoilt, valid)
    ]
    return replace(
        case, base=base, carrier=Carrier.PACKETS, pieces=(packets[0],), valid=(packets[1],)
    )


def _fields(subject: Subject, chance: Random) -> Fields:
    """Return the body of a certificate that is whole, but that nobody has issued."""
    issuer = chance.choice((A_STRANGER, subject.device_id.value, subject.own_id.value))
    holder = chance.choice((A_STRANGER, issuer, subject.own_id.value))
    rights = chance.choice(
        (
            StandardAuthorisation(targets=EVERY_TARGET, role=chance.choice(list(Role))),
            AuthorityAuthorisation(
                targets=EVERY_TARGET,
                signing_roles=RoleSet.everyone(),
                devolvable_roles=RoleSet.everyone(),
            ),
        )
    )
    return [
        (TAG_PROFILE, PROFILE),
        (TAG_ISSUER, issuer.to_bytes(8, "big")),
        (TAG_SERIAL, chance.randbytes(8)),
        (TAG_PUBLIC_KEY, tlv.encode(TAG_POINT, stranger().public_point)),
        (TAG_SUBJECT, holder.to_bytes(8, "big")),
        (TAG_VALID_FROM, _FROM),
        (TAG_VALID_UNTIL, _UNTIL),
        (TAG_AUTHORISATION, rights.encode()),
    ]


def _joined(fields: Fields) -> bytes:
    return b"".join(tlv.encode(tag, value) for tag, value in fields)


def _signed(body: bytes) -> bytes:
    """Return an envelope around a body, with the stranger's signature."""
    return tlv.encode(TAG_ENVELOPE, body, tlv.encode(TAG_SIGNATURE, stranger().sign(body)))


def _spoilt(fields: Fields, valid: bytes, chance: Random) -> bytes:
    """Return a certificate with something wrong in its fields, its lengths, or anywhere."""
    kind = chance.choice(("fields", "fields", "fields", "body", "anywhere", "signature"))
    if kind == "anywhere":
        return mutated(valid, chance, _ENVELOPE_NUMBERS)
    body = tlv.encode(TAG_BODY, _joined(fields))
    if kind == "signature":
        spoilt = mutated(stranger().sign(body), chance)
        return tlv.encode(TAG_ENVELOPE, body, tlv.encode(TAG_SIGNATURE, spoilt))
    if kind == "body":  # lengths that lead elsewhere, signed as they stand
        spoilt = mutated(body, chance, _ENVELOPE_NUMBERS)
    else:
        spoilt = tlv.encode(TAG_BODY, _joined(_altered(fields, chance)))
    if chance.random() < RESIGNED:
        return _signed(spoilt)
    return tlv.encode(TAG_ENVELOPE, spoilt, tlv.encode(TAG_SIGNATURE, stranger().sign(body)))


def _altered(fields: Fields, chance: Random) -> Fields:
    """Return the fields with one lost, doubled, swapped, renamed, or of another value."""
    fields = list(fields)
    at = chance.randrange(len(fields))
    tag, value = fields[at]
    kind = chance.choice(("lost", "doubled", "swapped", "renamed", "value", "value", "value"))
    if kind == "lost":
        del fields[at]
    elif kind == "doubled":
        fields.insert(chance.randint(0, len(fields)), fields[at])
    elif kind == "swapped":
        other = chance.randrange(len(fields))
        fields[at], fields[other] = fields[other], fields[at]
    elif kind == "renamed":
        fields[at] = (chance.choice(_TAGS), value)
    else:
        fields[at] = (tag, _VALUES.get(tag, mutated)(value, chance))
    return fields


def _date(value: bytes, chance: Random) -> bytes:
    return chance.choice((*_DATES, mutated(value, chance)))


def _serial(value: bytes, chance: Random) -> bytes:
    return chance.randbytes(chance.choice(_SERIAL_BYTES))


def _point(value: bytes, chance: Random) -> bytes:
    """Return a public key that is off the curve, compressed, infinite, or spoilt."""
    point = value[-len(stranger().public_point) :]
    compressed = bytes([2 + point[-1] % 2]) + point[1 : 1 + len(point) // 2]
    other = chance.choice((compressed, b"\0", bytes(len(point)), mutated(point, chance)))
    return tlv.encode(TAG_POINT, other)


def _rights(value: bytes, chance: Random) -> bytes:
    """Return an authorisation of another kind, of a role there is not, or spoilt."""
    at = chance.choice((0, 1, len(value) - 2, len(value) - 1))
    swept = value[:at] + bytes([chance.choice(TELLING_BYTES)]) + value[at + 1 :]
    return chance.choice((swept, mutated(value, chance)))


_VALUES: dict[int, Callable[[bytes, Random], bytes]] = {
    TAG_VALID_FROM: _date,
    TAG_VALID_UNTIL: _date,
    TAG_SERIAL: _serial,
    TAG_PUBLIC_KEY: _point,
    TAG_AUTHORISATION: _rights,
}
