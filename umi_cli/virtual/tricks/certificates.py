"""Tricks with the certificate that a meter shows for itself (protocol 6.4)."""

from dataclasses import replace
from datetime import timedelta

from umi_cli.application.payload import Payload
from umi_cli.application.security_commands import S2GetCertificate, S2GetCertificateReply
from umi_cli.certificates.authorisation import (
    EVERY_TARGET,
    AuthorityAuthorisation,
    StandardAuthorisation,
)
from umi_cli.certificates.cvc import Certificate, CertificateBody
from umi_cli.crypto import PrivateKey, Signer
from umi_cli.types import Role, RoleSet, UmiId
from umi_cli.virtual.dispatch import Call
from umi_cli.virtual.tricks.base import Means, Trick

STRANGER_ID = UmiId(0x0200_5747_4E41_5254)  # made up locally, as bit 57 says
_DAY = timedelta(days=1)
_ENDED = (-60 * _DAY, -1 * _DAY)
_HOLDS = (-1 * _DAY, 30 * _DAY)


class CertificateTrick(Trick):
    """The meter shows something else in place of its own certificate."""

    def run(self, call: Call) -> Payload:
        """Show what the trick is about, to whoever asks for it."""
        command = call.request.command
        if isinstance(command, S2GetCertificate):
            if command.subject == call.memory.umi_id:
                self.strike()
                own = call.memory.vault.chain[0].body
                return S2GetCertificateReply(certificate=self.shown(call, own).encode())
            issuer = self.issuer
            if issuer is not None and command.subject == issuer.body.subject:
                return S2GetCertificateReply(certificate=issuer.encode())
        return super().run(call)

    @property
    def issuer(self) -> Certificate | None:
        """Return the certificate of whoever issues what is shown, if it is another's."""
        return None

    def shown(self, call: Call, own: CertificateBody) -> Certificate:
        """Return the certificate that is shown; `own` is what the meter's own says."""
        raise NotImplementedError


class CertificateOfStranger(CertificateTrick):
    """A root that nobody trusts has certified the meter; it shows that root as well."""

    NAME = "certificate-of-stranger"
    TITLE = "shows a certificate of an issuer that it has made up, and that issuer's own"

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._key = PrivateKey.generate()
        self._root: Certificate | None = None

    @property
    def issuer(self) -> Certificate | None:
        """Return the root that was made up."""
        return self._root

    def shown(self, call: Call, own: CertificateBody) -> Certificate:
        """Return the meter's own certificate, issued by the root that was made up."""
        everyone = RoleSet.everyone()
        root = replace(
            own,
            issuer=STRANGER_ID,
            subject=STRANGER_ID,
            public_point=self._key.public_point,
            authorisation=AuthorityAuthorisation(
                targets=EVERY_TARGET, signing_roles=everyone, devolvable_roles=everyone
            ),
        )
        self._root = Certificate.sign(root, self._key)
        return Certificate.sign(replace(own, issuer=STRANGER_ID), self._key)


class CertificateForged(CertificateTrick):
    """Somebody has put his own key into the meter's certificate."""

    NAME = "certificate-forged"
    TITLE = "shows its own certificate with another key in it, which its issuer did not sign"

    def shown(self, call: Call, own: CertificateBody) -> Certificate:
        """Return a certificate that the right issuer did not sign."""
        key = PrivateKey.generate()
        return Certificate.sign(replace(own, public_point=key.public_point), key)


class _Issued(CertificateTrick):
    """An authority that the reader trusts has issued something that is not to be trusted."""

    @property
    def issuer(self) -> Certificate | None:
        """Return the authority's certificate."""
        return self._authority[0]

    @property
    def _authority(self) -> tuple[Certificate, Signer]:
        if self.means.authority is None:
            raise ValueError(f"{self.NAME} needs an authority")
        return self.means.authority

    def shown(self, call: Call, own: CertificateBody) -> Certificate:
        """Return what the authority has signed."""
        certificate, signer = self._authority
        start, end = (call.security.at.replace(microsecond=0) + shift for shift in _HOLDS)
        body = replace(own, issuer=certificate.body.subject, valid_from=start, valid_until=end)
        return Certificate.sign(self.flawed(body), signer)

    def flawed(self, body: CertificateBody) -> CertificateBody:
        """Return a body with the flaw that the trick is about."""
        raise NotImplementedError


class CertificateExpired(_Issued):
    """The certificate has ended."""

    NAME = "certificate-expired"
    TITLE = "shows a certificate of its own that ended a day ago"

    def flawed(self, body: CertificateBody) -> CertificateBody:
        """Return a body of the past."""
        now = body.valid_from - _HOLDS[0]
        return replace(body, valid_from=now + _ENDED[0], valid_until=now + _ENDED[1])


class CertificateOfOther(_Issued):
    """The certificate is another device's."""

    NAME = "certificate-of-other"
    TITLE = "shows a certificate for another UMI ID than its own"

    def flawed(self, body: CertificateBody) -> CertificateBody:
        """Return a body of the device next to this one."""
        return replace(body, subject=UmiId(body.subject.value ^ 0x10))


class CertificateOfCommander(_Issued):
    """The certificate is that of somebody who commands devices."""

    NAME = "certificate-of-commander"
    TITLE = "shows a certificate that authorises the role service, which no device acts in"

    def flawed(self, body: CertificateBody) -> CertificateBody:
        """Return a body with a role of people."""
        rights = StandardAuthorisation(targets=EVERY_TARGET, role=Role.SERVICE)
        return replace(body, authorisation=rights)


CERTIFICATE_TRICKS: tuple[type[Trick], ...] = (
    CertificateOfStranger,
    CertificateForged,
    CertificateExpired,
    CertificateOfOther,
    CertificateOfCommander,
)
