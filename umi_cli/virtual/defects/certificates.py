"""Defects of how certificates are taken, and of who may say so (protocol 6.4)."""

from typing import ClassVar

from umi_cli.application.codes import ResultCode
from umi_cli.application.payload import Payload
from umi_cli.application.security_commands import (
    S2AddCertificate,
    S2AddCertificateReply,
    S2GenerateKeypair,
    S2GenerateKeypairReply,
    S2GetCsr,
    S2GetCsrReply,
    S2InstallOwnCertificateChain,
    S2InstallOwnCertificateChainReply,
    S2RelinquishRights,
    S2RelinquishRightsReply,
    S2RevokeCertificate,
    S2RevokeCertificateReply,
)
from umi_cli.certificates.cvc import Certificate
from umi_cli.errors import MalformedError
from umi_cli.virtual import dispatch
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.dispatch import Call
from umi_cli.virtual.refusal import Refusal


class _CertificateTaken(Defect):
    """A reason to refuse a certificate is none."""

    CODE: ClassVar[ResultCode]

    def run(self, call: Call) -> Payload:
        """Say OK where the certificate is refused for that reason."""
        try:
            return dispatch.run(call)
        except Refusal as refusal:
            is_it = isinstance(call.request.command, S2AddCertificate)
            if not is_it or refusal.code is not self.CODE:
                raise
            return S2AddCertificateReply()


class CertificateFormatUnchecked(_CertificateTaken):
    """A certificate is taken as far as it goes."""

    NAME = "certificate-format-unchecked"
    TITLE = "takes certificates that are malformed"
    CODE = ResultCode.INVALID_CERTIFICATE_FORMAT


class IssuerUnchecked(_CertificateTaken):
    """Who has issued a certificate does not matter."""

    NAME = "issuer-unchecked"
    TITLE = "takes certificates of authorities that it does not know"
    CODE = ResultCode.UNKNOWN_ISSUER


class CertificateSignatureUnchecked(_CertificateTaken):
    """The signature of a certificate is not verified."""

    NAME = "certificate-signature-unchecked"
    TITLE = "takes certificates whose signature is wrong"
    CODE = ResultCode.INVALID_CERTIFICATE_SIGNATURE


class ChainRulesUnchecked(_CertificateTaken):
    """A certificate whose signature is right is right."""

    NAME = "chain-rules-unchecked"
    TITLE = "checks of a certificate its signature alone, not time, targets or roles"
    CODE = ResultCode.INVALID_CERTIFICATE


class OlderReplaces(_CertificateTaken):
    """The certificate that came last counts."""

    NAME = "older-replaces"
    TITLE = "has an older certificate take the place of a newer one"
    CODE = ResultCode.ALREADY_INSTALLED


class CertificateTailIgnored(Defect):
    """What stands behind a certificate is not looked at."""

    NAME = "certificate-tail-ignored"
    TITLE = "takes a certificate with bytes behind it"

    def run(self, call: Call) -> Payload:
        """Say OK where the certificate is one without its last byte."""
        command = call.request.command
        if not isinstance(command, S2AddCertificate):
            return dispatch.run(call)
        try:
            Certificate.decode(command.certificate[:-1])
        except MalformedError:
            return dispatch.run(call)
        return S2AddCertificateReply()


class AnyRootTrusted(Defect):
    """Whoever brings a root is trusted."""

    NAME = "any-root-trusted"
    TITLE = "trusts every root that it is given"

    def run(self, call: Call) -> Payload:
        """Take a certificate that is its own issuer's."""
        command, vault = call.request.command, call.memory.vault
        if isinstance(command, S2AddCertificate):
            try:
                certificate = Certificate.decode(command.certificate)
            except MalformedError:
                return dispatch.run(call)
            if certificate.body.issuer == certificate.body.subject and certificate.is_authority:
                vault.anchors = (*vault.anchors, certificate)
                return S2AddCertificateReply()
        return dispatch.run(call)


class TableOverwritten(Defect):
    """A full key table makes room."""

    NAME = "key-table-overwritten"
    TITLE = "throws the oldest certificate out of a full key table"

    def run(self, call: Call) -> Payload:
        """Forget the first certificate, and take the new one."""
        try:
            return dispatch.run(call)
        except Refusal as refusal:
            if refusal.code is not ResultCode.KEY_TABLE_FULL:
                raise
            table = call.memory.vault.key_table
            del table[next(iter(table))]
            return dispatch.run(call)


class GuestInstallsChain(Defect):
    """Anybody installs a chain."""

    NAME = "guest-installs-chain"
    TITLE = "takes a certificate chain from guests"

    def run(self, call: Call) -> Payload:
        """Say OK."""
        is_it = isinstance(call.request.command, S2InstallOwnCertificateChain)
        return S2InstallOwnCertificateChainReply() if is_it else dispatch.run(call)


class GuestMakesKey(Defect):
    """Anybody has a new key made."""

    NAME = "guest-makes-key"
    TITLE = "answers S2_GENERATE_KEYPAIR of guests with OK"

    def run(self, call: Call) -> Payload:
        """Say OK."""
        is_it = isinstance(call.request.command, S2GenerateKeypair)
        return S2GenerateKeypairReply() if is_it else dispatch.run(call)


class RequestUnsigned(Defect):
    """A certificate request proves nothing."""

    NAME = "request-unsigned"
    TITLE = "sends a certificate request with a wrong signature"

    def run(self, call: Call) -> Payload:
        """Return the request with another last byte."""
        reply = dispatch.run(call)
        if isinstance(call.request.command, S2GetCsr) and isinstance(reply, S2GetCsrReply):
            data = reply.request
            return S2GetCsrReply(request=data[:-1] + bytes([data[-1] ^ 1]))
        return reply


class AnybodyRevokes(Defect):
    """Revocation is obeyed from everybody."""

    NAME = "anybody-revokes"
    TITLE = "revokes certificates for everybody"

    def run(self, call: Call) -> Payload:
        """Say OK."""
        is_it = isinstance(call.request.command, S2RevokeCertificate)
        return S2RevokeCertificateReply() if is_it else dispatch.run(call)


class ClearRelinquishes(Defect):
    """Anybody gives up the rights of another."""

    NAME = "clear-relinquishes"
    TITLE = "obeys S2_RELINQUISH_RIGHTS in the clear"

    def run(self, call: Call) -> Payload:
        """Forget the certificate of who is named as the source."""
        if isinstance(call.request.command, S2RelinquishRights):
            call.memory.vault.relinquish(call.source)
            return S2RelinquishRightsReply()
        return dispatch.run(call)


CERTIFICATE_DEFECTS: tuple[type[Defect], ...] = (
    CertificateFormatUnchecked,
    IssuerUnchecked,
    CertificateSignatureUnchecked,
    ChainRulesUnchecked,
    OlderReplaces,
    CertificateTailIgnored,
    AnyRootTrusted,
    TableOverwritten,
    GuestInstallsChain,
    GuestMakesKey,
    RequestUnsigned,
    AnybodyRevokes,
    ClearRelinquishes,
)
