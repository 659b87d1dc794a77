"""What do certificates and certificate requests have in common? A signed envelope (protocol 6.4).

    7F21 { 7F4E { body } 5F37 DER signature over the whole 7F4E TLV, tag and length included }

The signature is verified over the bytes received: they are kept, never encoded again.
"""

from dataclasses import dataclass, field
from typing import Self

from umi_cli import crypto
from umi_cli.certificates import tlv
from umi_cli.certificates.tlv import TlvReader
from umi_cli.crypto import Signer
from umi_cli.types import UmiId

TAG_ENVELOPE = 0x7F21
TAG_BODY = 0x7F4E
TAG_SIGNATURE = 0x5F37
TAG_PROFILE = 0x5F29
TAG_ISSUER = 0x42
TAG_PUBLIC_KEY = 0x7F49
TAG_POINT = 0x86
TAG_SUBJECT = 0x5F20

PROFILE = b"\x40"  # the only one there is


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A signed body."""

    signed: bytes = field(repr=False)
    """The 7F4E TLV as received: what the signature covers."""
    signature: bytes = field(repr=False)
    """DER."""

    @classmethod
    def seal(cls, body: bytes, signer: Signer) -> Self:
        """Sign an encoded body, tag and length included."""
        return cls(signed=body, signature=signer.sign(body))

    @classmethod
    def read(cls, fields: TlvReader, what: str) -> Self:
        """Take an envelope, which more may follow; `MalformedError` if it is none."""
        inner = TlvReader(fields.value(TAG_ENVELOPE, what), what=what)
        signed = inner.whole(TAG_BODY, "body")
        signature = inner.value(TAG_SIGNATURE, "signature")
        inner.end()
        return cls(signed=signed, signature=signature)

    @classmethod
    def decode(cls, data: bytes, what: str) -> Self:
        """Decode exactly one envelope; `MalformedError` if the bytes are anything else."""
        fields = TlvReader(data, what=what)
        envelope = cls.read(fields, what)
        fields.end()
        return envelope

    def encode(self) -> bytes:
        """Return the envelope's bytes: those received, for there is only one form."""
        return tlv.encode(TAG_ENVELOPE, self.signed, tlv.encode(TAG_SIGNATURE, self.signature))

    def open_body(self, what: str) -> TlvReader:
        """Return a reader over the fields of the body."""
        return TlvReader(tlv.decode_only(self.signed, TAG_BODY, what=what), what=what)

    def verify(self, point: bytes) -> None:
        """Verify the signature with that public key; `SignatureError` if it is not its own."""
        crypto.verify(point, self.signature, self.signed)


def encode_id(tag: int, umi_id: UmiId) -> bytes:
    """Encode a UMI ID, which is big-endian in certificates (protocol 1)."""
    return tlv.encode(tag, umi_id.value.to_bytes(8, "big"))


def read_id(fields: TlvReader, tag: int, name: str) -> UmiId:
    """Take a UMI ID."""
    return UmiId(int.from_bytes(fields.sized(tag, 8, name), "big"))


def encode_point(point: bytes) -> bytes:
    """Encode a public key."""
    return tlv.encode(TAG_PUBLIC_KEY, tlv.encode(TAG_POINT, point))


def read_point(fields: TlvReader, what: str) -> bytes:
    """Take a public key; `MalformedError` if it is no point of the curve."""
    encoded = fields.value(TAG_PUBLIC_KEY, "public key")
    point = tlv.decode_only(encoded, TAG_POINT, what=f"{what} public key")
    crypto.check_point(point)
    return point
