"""The keys and certificates of a virtual meter, and what it lets be done with them (protocol 6).

Everything here survives a power cut; sessions do not, and stand in `security`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from umi_cli.application.codes import ResultCode
from umi_cli.certificates.authorisation import StandardAuthorisation
from umi_cli.certificates.chain import decode_chain, encode_chain, verify_chain
from umi_cli.certificates.cvc import Certificate, CertificateName
from umi_cli.certificates.request import CertificateRequest
from umi_cli.certificates.trust import Anchor, ChainError, ChainFailure, Purpose, Trust
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.errors import MalformedError, SignatureError
from umi_cli.types import EPOCH, UNKNOWN_DEVICE, Role, UmiId
from umi_cli.virtual.refusal import Refusal

KEY_TABLE_SIZE = 16  # certificates of others, as small devices have it
ROOTS = 4  # choice: so many, for one authority may hand over to the next
REVOCATION_SIZE = 16
USED_SIGNATURES = 256  # signed commands whose window is still open

_CHAIN_RESULTS = {
    ChainFailure.UNKNOWN_ISSUER: ResultCode.UNKNOWN_ISSUER,
    ChainFailure.NO_ANCHOR: ResultCode.UNKNOWN_ISSUER,
    ChainFailure.NOT_PINNED: ResultCode.UNKNOWN_ISSUER,
    ChainFailure.BAD_SIGNATURE: ResultCode.INVALID_CERTIFICATE_SIGNATURE,
}
"""How a failure is told; any other is INVALID_CERTIFICATE."""


@dataclass(slots=True, kw_only=True)
class Vault:
    """What a virtual meter holds of keys, certificates and revocations."""

    signer: PrivateKey | None = field(default=None, repr=False)
    """Its own key pair."""
    chain: tuple[Certificate, ...] = ()
    """Its own certificate, then upwards."""
    anchors: tuple[Certificate, ...] = ()
    """The roots it trusts."""
    key_table: dict[UmiId, Certificate] = field(default_factory=dict)
    """Certificates of others, by subject."""
    revoked: dict[CertificateName, int] = field(default_factory=dict)
    """Revoked certificates, and until when that is kept (UMI datetime)."""
    asked: set[CertificateName] = field(default_factory=set)
    """What the revocation point was asked about and has not answered."""
    used_signatures: dict[bytes, int] = field(default_factory=dict)
    """Digests of signed commands that ran, and when their windows close (UMI datetime)."""
    transport_keys: dict[int, AesKey] = field(default_factory=dict, repr=False)
    """What images may be encrypted with, by ID (protocol 7)."""
    key_table_size: int = KEY_TABLE_SIZE
    """How many certificates of others fit; not remembered."""

    @property
    def trust(self) -> Trust:
        """Return whom the meter trusts."""
        anchors = tuple(Anchor.of(certificate) for certificate in self.anchors)
        return Trust(anchors=anchors, denied=frozenset(self.revoked))

    def certificate_of(self, subject: UmiId) -> Certificate:
        """Return a certificate that the meter can show; `Refusal` if it has none."""
        known = [*self.chain, *self.anchors, *self.key_table.values()]
        for certificate in known:
            if certificate.body.subject == subject:
                return certificate
        raise Refusal(ResultCode.NO_CERTIFICATE)

    def peer(self, subject: UmiId, own_id: UmiId, at: datetime) -> tuple[Certificate, Role]:
        """Return a commander's certificate and role, if it is still to be trusted.

        Raises:
            Refusal: the meter does not have it, or it has ended, or it was revoked.
        """
        certificate = self.key_table.get(subject)
        if certificate is None:
            raise Refusal(ResultCode.NO_CERTIFICATE)
        authorisation = certificate.body.authorisation
        if not isinstance(authorisation, StandardAuthorisation):
            raise Refusal(ResultCode.NO_CURRENT_RIGHTS)
        self._verify(certificate, own_id, at)
        return certificate, authorisation.role

    def add(self, data: bytes, own_id: UmiId, at: datetime, *, may_add_root: bool = False) -> None:
        """Take another's certificate; `Refusal` says why not.

        Args:
            data: the certificate.
            own_id: the meter's UMI ID.
            at: the meter's time.
            may_add_root: whoever hands it over may say whom the meter trusts.
        """
        certificate = _decode(data)
        if certificate in (*self.anchors, *self.chain):
            return  # it has it
        # choice: a meter that trusts nobody yet, in the factory, takes the first root it is given
        is_first = not self.anchors and not self.chain
        is_root = certificate.body.issuer == certificate.body.subject
        if is_root and (is_first or may_add_root):
            self._add_anchor(certificate)
            return
        subject = certificate.body.subject
        self._verify(certificate, own_id, at)
        self._check_newer(certificate, at)
        if subject not in self.key_table and len(self.key_table) >= self.key_table_size:
            self.drop_untrusted(own_id, at)
            if len(self.key_table) >= self.key_table_size:
                raise Refusal(ResultCode.KEY_TABLE_FULL)
        self.key_table[subject] = certificate

    def _check_newer(self, certificate: Certificate, at: datetime) -> None:
        # choice: certificates are public, and anyone may hand over one that was: it must not take
        # the place of the one that came after it.
        known = self.key_table.get(certificate.body.subject)
        if known is None or known.body.valid_until < at:
            return
        if certificate.body.valid_from < known.body.valid_from:
            raise Refusal(ResultCode.ALREADY_INSTALLED)

    def drop_untrusted(self, own_id: UmiId, at: datetime) -> None:
        """Forget the certificates that no longer hold: they ended, or hang on a revoked one."""
        for subject, certificate in list(self.key_table.items()):
            try:
                self._verify(certificate, own_id, at)
            except Refusal:
                del self.key_table[subject]

    def _add_anchor(self, certificate: Certificate) -> None:
        if not certificate.is_authority:
            raise Refusal(ResultCode.INVALID_CERTIFICATE)
        try:
            certificate.envelope.verify(certificate.body.public_point)
        except SignatureError as error:
            raise Refusal(ResultCode.INVALID_CERTIFICATE_SIGNATURE) from error
        if len(self.anchors) >= ROOTS:
            raise Refusal(ResultCode.KEY_TABLE_FULL)
        self.anchors = (*self.anchors, certificate)

    def _verify(self, certificate: Certificate, own_id: UmiId, at: datetime) -> None:
        others = [*self.key_table.values(), *self.chain]
        target = None if certificate.is_authority else own_id
        try:
            purpose = Purpose(target=target)
            verify_chain(certificate, others, trust=self.trust, at=at, purpose=purpose)
        except ChainError as error:
            result = _CHAIN_RESULTS.get(error.failure, ResultCode.INVALID_CERTIFICATE)
            raise Refusal(result) from error

    def generate_keypair(self) -> None:
        """Make the meter's own key pair; `Refusal` if it has one."""
        if self.signer is not None:
            raise Refusal(ResultCode.KEYPAIR_ALREADY_GENERATED)
        self.signer = PrivateKey.generate()

    def request(self, own_id: UmiId) -> bytes:
        """Return the meter's certificate request; `Refusal` if it has no key pair."""
        if self.signer is None:
            raise Refusal(ResultCode.NO_PUBLIC_KEY)
        issuer = self.anchors[0].body.subject if self.anchors else UNKNOWN_DEVICE
        return CertificateRequest.create(self.signer, issuer=issuer, subject=own_id).encode()

    def install_chain(
        self, data: bytes, own_id: UmiId, at: datetime, *, may_replace: bool = False
    ) -> None:
        """Take the meter's own certificates, all of them or none; `Refusal` says why not.

        Args:
            data: the certificates, own first, then upwards.
            own_id: the meter's UMI ID.
            at: the meter's time.
            may_replace: they may take the place of those that it has.
        """
        if self.signer is None:
            raise Refusal(ResultCode.NO_PUBLIC_KEY)
        if self.chain and not may_replace:
            raise Refusal(ResultCode.ALREADY_INSTALLED)
        try:
            chain = decode_chain(data)
        except MalformedError as error:
            raise Refusal(ResultCode.INVALID_CERTIFICATE_FORMAT) from error
        purpose = Purpose(source=own_id, public_point=self.signer.public_point)
        try:
            verify_chain(chain[0], chain[1:], trust=self.trust, at=at, purpose=purpose)
        except ChainError as error:
            result = _CHAIN_RESULTS.get(error.failure, ResultCode.INVALID_CERTIFICATE)
            raise Refusal(result) from error
        self.chain = chain

    def revoke(self, name: CertificateName, now_s: int) -> None:
        """Revoke a certificate until it would have ended; `Refusal` if memory is full.

        The party leaves the key table all the same.
        """
        certificate = self.key_table.get(name.subject)
        until_s = 0xFFFF_FFFF
        if certificate is not None and certificate.body.name == name:
            until_s = int((certificate.body.valid_until - EPOCH).total_seconds())
            del self.key_table[name.subject]
        self.revoked = {known: until for known, until in self.revoked.items() if until >= now_s}
        if name not in self.revoked and len(self.revoked) >= REVOCATION_SIZE:
            raise Refusal(ResultCode.OUT_OF_REVOCATION_MEMORY)
        self.revoked[name] = until_s

    def ask(self, name: CertificateName) -> None:
        """Note that the revocation point was asked; `Refusal` if memory is full."""
        if name not in self.asked and len(self.asked) >= REVOCATION_SIZE:
            raise Refusal(ResultCode.OUT_OF_REVOCATION_MEMORY)
        self.asked.add(name)

    def relinquish(self, subject: UmiId) -> None:
        """Forget a commander's certificate, as it wishes; `Refusal` if it has none."""
        if self.key_table.pop(subject, None) is None:
            raise Refusal(ResultCode.NO_CURRENT_RIGHTS)

    def use_signature(self, digest: bytes, until_s: int, now_s: int) -> None:
        """Note that a signed command runs; `Refusal` if it has run before."""
        open_ones = {used: end for used, end in self.used_signatures.items() if end >= now_s}
        self.used_signatures = open_ones
        if digest in open_ones:
            raise Refusal(ResultCode.INVALID_SIGNATURE)
        if len(open_ones) >= USED_SIGNATURES:
            raise Refusal(ResultCode.UNAVAILABLE)
        open_ones[digest] = until_s

    def dump(self) -> dict[str, Any]:
        """Return what the state file holds of it."""
        return {
            "key": self.signer.to_pkcs8().hex() if self.signer else None,
            "chain": encode_chain(self.chain).hex(),
            "anchors": [each.encode().hex() for each in self.anchors],
            "key_table": [each.encode().hex() for each in self.key_table.values()],
            "revoked": [[name.encode().hex(), until] for name, until in self.revoked.items()],
            "asked": [name.encode().hex() for name in self.asked],
            "used": [[digest.hex(), until] for digest, until in self.used_signatures.items()],
            "transport_keys": [
                [key_id, key.raw.hex()] for key_id, key in self.transport_keys.items()
            ],
        }

    @classmethod
    def load(cls, content: Mapping[str, Any]) -> "Vault":
        """Return the vault that a state file holds.

        Raises:
            ValueError, KeyError, TypeError, OverflowError, UmiError: it is not what `dump` gives.
        """
        others = [Certificate.decode(bytes.fromhex(text)) for text in content["key_table"]]
        chain = bytes.fromhex(content["chain"])
        key = content["key"]
        return cls(
            signer=PrivateKey.from_pkcs8(bytes.fromhex(key)) if key else None,
            chain=decode_chain(chain) if chain else (),
            anchors=tuple(Certificate.decode(bytes.fromhex(text)) for text in content["anchors"]),
            key_table={each.body.subject: each for each in others},
            revoked={_name(text): int(until) for text, until in content["revoked"]},
            asked={_name(text) for text in content["asked"]},
            used_signatures={
                bytes.fromhex(digest): int(until) for digest, until in content["used"]
            },
            transport_keys={
                int(key_id): AesKey(bytes.fromhex(raw))
                for key_id, raw in content.get("transport_keys", [])
            },
        )


def _name(text: str) -> CertificateName:
    return CertificateName.decode(bytes.fromhex(text))


def _decode(data: bytes) -> Certificate:
    try:
        return Certificate.decode(data)
    except MalformedError as error:
        raise Refusal(ResultCode.INVALID_CERTIFICATE_FORMAT) from error
