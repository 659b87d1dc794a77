"""How does a party ask for a certificate, and prove that it holds the key? (protocol 3.2, 6.4)

# choice: AA/AB carry an envelope like a certificate's, signed with the key it asks for:
#   7F21 { 7F4E { 5F29 01 40 · 42 08 wanted issuer · 7F49 { 86 41 04‖X‖Y } · 5F20 08 own UMI ID }
#          5F37 self-signature }
"""

from dataclasses import dataclass, field
from typing import Self

from umi_cli.certificates import tlv
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
from umi_cli.crypto import Signer
from umi_cli.errors import MalformedError
from umi_cli.types import UmiId

_WHAT = "certificate request"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRequest:
    """A wish for a certificate, signed by the key that is to be certified."""

    issuer: UmiId
    """Who is to issue it."""
    public_point: bytes = field(repr=False)
    """65 bytes 04‖X‖Y."""
    subject: UmiId
    envelope: Envelope = field(repr=False)

    @classmethod
    def create(cls, signer: Signer, *, issuer: UmiId, subject: UmiId) -> Self:
        """Ask for a certificate of the signer's own key."""
        body = tlv.encode(
            TAG_BODY,
            tlv.encode(TAG_PROFILE, PROFILE),
            encode_id(TAG_ISSUER, issuer),
            encode_point(signer.public_point),
            encode_id(TAG_SUBJECT, subject),
        )
        return cls(
            issuer=issuer,
            public_point=signer.public_point,
            subject=subject,
            envelope=Envelope.seal(body, signer),
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode exactly one request, its signature unverified; `MalformedError` if it is none."""
        envelope = Envelope.decode(data, _WHAT)
        fields = envelope.open_body(_WHAT)
        if fields.sized(TAG_PROFILE, 1, "profile") != PROFILE:
            raise MalformedError("certificate request has an unknown profile")
        request = cls(
            issuer=read_id(fields, TAG_ISSUER, "wanted issuer"),
            public_point=read_point(fields, _WHAT),
            subject=read_id(fields, TAG_SUBJECT, "subject"),
            envelope=envelope,
        )
        fields.end()
        return request

    def encode(self) -> bytes:
        """Return the bytes of the request, as received."""
        return self.envelope.encode()

    def verify(self) -> None:
        """Verify the proof of possession; `SignatureError` if the key did not sign this."""
        self.envelope.verify(self.public_point)
