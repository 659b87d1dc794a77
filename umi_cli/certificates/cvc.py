"""What does a certificate say, byte by byte? (protocol 6.4)

Big-endian inside. Decoding is strict: one order, shortest lengths, nothing left over, a point on
the curve, ranges and times the right way round.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from umi_cli import crypto, wire
from umi_cli.certificates import tlv
from umi_cli.certificates.authorisation import (
    Authorisation,
    AuthorityAuthorisation,
    decode_authorisation,
)
from umi_cli.certificates.envelope import (
    PROFILE,
    TAG_BODY,
    TAG_ISSUER,
    TAG_PROFILE,
    TAG_SUBJECT,
    Envelope,
    encode_id,
    encode_point,
    read_id,
    read_point,
)
from umi_cli.certificates.tlv import TlvReader, malformed
from umi_cli.crypto import Signer
from umi_cli.errors import MalformedError
from umi_cli.types import UmiId
from umi_cli.wire import Reader

TAG_SERIAL = 0x5A
TAG_VALID_FROM = 0xDF25
TAG_VALID_UNTIL = 0xDF24
TAG_AUTHORISATION = 0x5F4C

# choice: protocol 6.4 gives no bounds; the certificate name has u8 for the length, and a serial
# number of no bytes names nothing.
MAX_SERIAL_BYTES = 255

_WHAT = "certificate"
_DATE_FORM = "%Y%m%d%H%M%SZ"
_DATE_BYTES = 15


def _check_serial(serial: bytes) -> None:
    if not 1 <= len(serial) <= MAX_SERIAL_BYTES:
        raise ValueError(f"a serial number has 1 to {MAX_SERIAL_BYTES} bytes")


# Certificate name (B0, B2, B4):
#  0 u64 issuer  8 u64 subject  16 u8 n  17 n bytes serial number; little-endian, as in packets
@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateName:
    """What names one certificate among all: the revocation list holds these (protocol 3.2)."""

    issuer: UmiId
    subject: UmiId
    serial: bytes

    def __post_init__(self) -> None:
        _check_serial(self.serial)

    def encode(self) -> bytes:
        """Return the bytes of the wire."""
        ids = self.issuer.encode() + self.subject.encode()
        return ids + wire.u8(len(self.serial)) + self.serial

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take a certificate name; `MalformedError` if it is cut or has no serial number."""
        issuer, subject = UmiId(reader.u64("issuer")), UmiId(reader.u64("subject"))
        serial = reader.take(reader.u8("serial number length"), "serial number")
        with malformed("certificate name"):
            return cls(issuer=issuer, subject=subject, serial=serial)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode exactly one certificate name; `MalformedError` otherwise."""
        reader = Reader(data, what="certificate name")
        name = cls.read(reader)
        reader.end()
        return name

    def __str__(self) -> str:
        return f"{self.issuer}/{self.subject}/{self.serial.hex()}"


# Body: 7F4E {
#   5F29 01  40                            5F20 08  subject UMI ID
#   42   08  issuer UMI ID                 DF25 0F  valid from "YYYYMMDDHHMMSSZ"
#   5A   n   serial number                 DF24 0F  valid until
#   7F49 43 { 86 41 04‖X‖Y }               5F4C n   authorisation }
@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateBody:
    """What a certificate says, without its signature."""

    issuer: UmiId
    serial: bytes
    public_point: bytes = field(repr=False)
    """65 bytes 04‖X‖Y."""
    subject: UmiId
    valid_from: datetime
    valid_until: datetime
    """Inclusive."""
    authorisation: Authorisation

    def __post_init__(self) -> None:
        _check_serial(self.serial)
        for moment in (self.valid_from, self.valid_until):
            if moment.tzinfo is None or moment.microsecond:
                raise ValueError("times of a certificate have a zone and whole seconds")
        if not self.valid_from < self.valid_until:
            raise ValueError("the certificate ends before it begins")

    @property
    def name(self) -> CertificateName:
        """Return the certificate's name, by which it is revoked."""
        return CertificateName(issuer=self.issuer, subject=self.subject, serial=self.serial)

    def encode(self) -> bytes:
        """Return the 7F4E TLV: what is signed."""
        return tlv.encode(
            TAG_BODY,
            tlv.encode(TAG_PROFILE, PROFILE),
            encode_id(TAG_ISSUER, self.issuer),
            tlv.encode(TAG_SERIAL, self.serial),
            encode_point(self.public_point),
            encode_id(TAG_SUBJECT, self.subject),
            _encode_date(TAG_VALID_FROM, self.valid_from),
            _encode_date(TAG_VALID_UNTIL, self.valid_until),
            tlv.encode(TAG_AUTHORISATION, self.authorisation.encode()),
        )

    @classmethod
    def read(cls, fields: TlvReader) -> Self:
        """Take the fields of a body; `ValueError` or `MalformedError` if they are none."""
        if fields.sized(TAG_PROFILE, 1, "profile") != PROFILE:
            raise MalformedError("certificate has an unknown profile")
        body = cls(
            issuer=read_id(fields, TAG_ISSUER, "issuer"),
            serial=fields.value(TAG_SERIAL, "serial number"),
            public_point=read_point(fields, _WHAT),
            subject=read_id(fields, TAG_SUBJECT, "subject"),
            valid_from=_read_date(fields, TAG_VALID_FROM, "valid from"),
            valid_until=_read_date(fields, TAG_VALID_UNTIL, "valid until"),
            authorisation=decode_authorisation(fields.value(TAG_AUTHORISATION, "authorisation")),
        )
        fields.end()
        return body


def _encode_date(tag: int, moment: datetime) -> bytes:
    # The year by itself: strftime writes years before 1000 with fewer digits on some systems.
    utc = moment.astimezone(UTC)
    return tlv.encode(tag, f"{utc.year:04}{utc:%m%d%H%M%S}Z".encode())


def _read_date(fields: TlvReader, tag: int, name: str) -> datetime:
    text = fields.sized(tag, _DATE_BYTES, name)
    if not text[:-1].isdigit():  # strptime alone would take blanks for digits
        raise MalformedError(f"certificate: {name} is not YYYYMMDDHHMMSSZ")
    return datetime.strptime(text.decode("latin-1"), _DATE_FORM).replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate: what it says, and the bytes that were signed."""

    body: CertificateBody
    envelope: Envelope = field(repr=False)

    @classmethod
    def sign(cls, body: CertificateBody, signer: Signer) -> Self:
        """Sign a body; no rule is checked here, see `issue`."""
        return cls(body=body, envelope=Envelope.seal(body.encode(), signer))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode exactly one certificate, its signature unverified.

        Raises:
            MalformedError: the bytes are anything else, or break a rule of protocol 6.4.
        """
        return cls._of(Envelope.decode(data, _WHAT))

    @classmethod
    def read(cls, fields: TlvReader) -> Self:
        """Take a certificate, which more may follow; `MalformedError` if it is none."""
        return cls._of(Envelope.read(fields, _WHAT))

    @classmethod
    def _of(cls, envelope: Envelope) -> Self:
        with malformed(_WHAT):
            body = CertificateBody.read(envelope.open_body(_WHAT))
        return cls(body=body, envelope=envelope)

    def encode(self) -> bytes:
        """Return the bytes of the certificate, as received."""
        return self.envelope.encode()

    @property
    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the certificate's bytes, by which it is pinned (protocol 6.4)."""
        return crypto.sha256(self.encode())

    @property
    def is_authority(self) -> bool:
        """Tell whether the holder may issue certificates."""
        return isinstance(self.body.authorisation, AuthorityAuthorisation)
