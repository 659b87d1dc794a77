"""What a virtual meter does on the commands of security (protocol 6)."""

from umi_cli.application.codes import ResultCode
from umi_cli.application.security_commands import (
    S1AuthChallenge,
    S1AuthChallengeReply,
    S1AuthLogout,
    S1AuthLogoutReply,
    S1AuthReply,
    S1AuthReplyReply,
    S1AuthRequest,
    S1AuthRequestReply,
    S2AddCertificate,
    S2AddCertificateReply,
    S2CheckRevocation,
    S2CheckRevocationReply,
    S2EndSession,
    S2EndSessionReply,
    S2GenerateKeypair,
    S2GenerateKeypairReply,
    S2GetCertificate,
    S2GetCertificateReply,
    S2GetCsr,
    S2GetCsrReply,
    S2InstallOwnCertificateChain,
    S2InstallOwnCertificateChainReply,
    S2RelinquishRights,
    S2RelinquishRightsReply,
    S2RevocationAnswer,
    S2RevocationAnswerReply,
    S2RevokeCertificate,
    S2RevokeCertificateReply,
    S2StartSession,
    S2StartSessionReply,
)
from umi_cli.certificates.cvc import CertificateName
from umi_cli.errors import AuthenticationError
from umi_cli.security.authentication1 import Handshake, new_nonce
from umi_cli.types import Role
from umi_cli.virtual import life_cycle
from umi_cli.virtual.dispatch import Call, handles
from umi_cli.virtual.event_log import EventNumber
from umi_cli.virtual.peer import Challenge
from umi_cli.virtual.refusal import Refusal


@handles(S1AuthRequest)
def _request(call: Call, command: S1AuthRequest) -> S1AuthRequestReply:
    now_s = call.security.now_s
    if call.memory.lockout.is_locked(now_s):
        raise Refusal(ResultCode.UNAVAILABLE)
    role = _role(command.role)
    challenge = Challenge(
        role=role, source=call.source, nonce_a=command.nonce_a, nonce_b=new_nonce()
    )
    key = call.security.role_key(role)
    tag_b = _handshake(call, challenge).tag_b(key)
    call.peer.challenge = challenge
    return S1AuthRequestReply(nonce_b=challenge.nonce_b, tag_b=tag_b)


@handles(S1AuthReply)
def _reply(call: Call, command: S1AuthReply) -> S1AuthReplyReply:
    challenge, call.peer.challenge = call.peer.challenge, None
    if challenge is None or challenge.source != call.source:
        raise Refusal(ResultCode.AUTHENTICATION_FAILED)
    lockout, now_s = call.memory.lockout, call.security.now_s
    if lockout.is_locked(now_s):
        raise Refusal(ResultCode.UNAVAILABLE)
    key = call.security.role_key(challenge.role)
    try:
        _handshake(call, challenge).verify_tag_a(key, command.tag_a)
    except AuthenticationError as error:
        lockout.fail(now_s)
        call.memory.events.add(EventNumber.FAILED_AUTHENTICATION, now_s, call.source.encode())
        raise Refusal(ResultCode.AUTHENTICATION_FAILED) from error
    lockout.succeed()
    call.peer.authenticated[call.source] = challenge.role
    return S1AuthReplyReply()


@handles(S1AuthChallenge)
def _challenge(call: Call, command: S1AuthChallenge) -> S1AuthChallengeReply:
    """Prove ourselves to an authenticator that begins: here the meter is the supplicant."""
    role, nonce_a = Role.METERING_DEVICE, new_nonce()
    key = call.security.role_key(role)
    try:
        handshake = Handshake(
            role=role,
            supplicant=call.memory.umi_id,
            authenticator=call.source,
            nonce_a=nonce_a,
            nonce_b=command.nonce_b,
        )
    except AuthenticationError as error:
        raise Refusal(ResultCode.AUTHENTICATION_FAILED) from error
    return S1AuthChallengeReply(role=role, nonce_a=nonce_a, tag_a=handshake.tag_a(key))


@handles(S1AuthLogout)
def _logout(call: Call, command: S1AuthLogout) -> S1AuthLogoutReply:
    call.peer.authenticated.pop(call.source, None)
    return S1AuthLogoutReply()


@handles(S2StartSession)
def _start(call: Call, command: S2StartSession) -> S2StartSessionReply:
    salt_b = call.security.start_session(call.peer, call.source, command.salt_a)
    return S2StartSessionReply(salt_b=salt_b)


@handles(S2EndSession)
def _end(call: Call, command: S2EndSession) -> S2EndSessionReply:
    if not call.request.is_encrypted:
        raise Refusal(ResultCode.NO_ENCRYPTION)
    call.peer.ending = call.source  # once its answer is sealed
    return S2EndSessionReply()


@handles(S2GetCertificate)
def _get(call: Call, command: S2GetCertificate) -> S2GetCertificateReply:
    certificate = call.memory.vault.certificate_of(command.subject)
    return S2GetCertificateReply(certificate=certificate.encode())


@handles(S2AddCertificate)
def _add(call: Call, command: S2AddCertificate) -> S2AddCertificateReply:
    # choice: whom the meter trusts, once it trusts anybody, its makers say under certificates alone
    may_add_root = call.request.is_certified and (
        call.role in life_cycle.MAKERS and life_cycle.may_change_identity(call.memory, call.role)
    )
    call.memory.vault.add(
        command.certificate, call.memory.umi_id, call.security.at, may_add_root=may_add_root
    )
    return S2AddCertificateReply()


@handles(S2GenerateKeypair)
def _generate(call: Call, command: S2GenerateKeypair) -> S2GenerateKeypairReply:
    _check_factory(call)
    call.memory.vault.generate_keypair()
    return S2GenerateKeypairReply()


@handles(S2GetCsr)
def _get_csr(call: Call, command: S2GetCsr) -> S2GetCsrReply:
    return S2GetCsrReply(request=call.memory.vault.request(call.memory.umi_id))


@handles(S2InstallOwnCertificateChain)
def _install(
    call: Call, command: S2InstallOwnCertificateChain
) -> S2InstallOwnCertificateChainReply:
    _check_factory(call)
    # choice: a chain that ends is replaced by the security authority, under its certificate
    is_authority = call.role is Role.SECURITY_AUTHORITY and call.request.is_certified
    call.memory.vault.install_chain(
        command.certificates, call.memory.umi_id, call.security.at, may_replace=is_authority
    )
    life_cycle.leave_factory(call.memory)
    return S2InstallOwnCertificateChainReply()


@handles(S2RevokeCertificate)
def _revoke(call: Call, command: S2RevokeCertificate) -> S2RevokeCertificateReply:
    _check_authority(call)
    call.security.revoke(_name(command))
    return S2RevokeCertificateReply()


@handles(S2CheckRevocation)
def _check(call: Call, command: S2CheckRevocation) -> S2CheckRevocationReply:
    """Ask the revocation point, a security authority; it answers with S2_REVOCATION_ANSWER."""
    call.security.check_revocation_point(call.peer)
    call.memory.vault.ask(_name(command))
    return S2CheckRevocationReply()


@handles(S2RevocationAnswer)
def _answer(call: Call, command: S2RevocationAnswer) -> S2RevocationAnswerReply:
    _check_authority(call)
    if command.is_revoked > 1:
        raise Refusal(ResultCode.INVALID_VALUE)
    name = _name(command)
    call.memory.vault.asked.discard(name)
    if command.is_revoked:
        call.security.revoke(name)
    return S2RevocationAnswerReply()


@handles(S2RelinquishRights)
def _relinquish(call: Call, command: S2RelinquishRights) -> S2RelinquishRightsReply:
    if not call.request.is_certified:
        raise Refusal(ResultCode.NO_ENCRYPTION)  # nobody gives up another's rights
    call.memory.vault.relinquish(call.source)
    call.peer.ending = call.source
    return S2RelinquishRightsReply()


def _role(number: int) -> Role:
    try:
        return Role(number)
    except ValueError as error:
        raise Refusal(ResultCode.INVALID_VALUE) from error


def _handshake(call: Call, challenge: Challenge) -> Handshake:
    try:
        return Handshake(
            role=challenge.role,
            supplicant=challenge.source,
            authenticator=call.memory.umi_id,
            nonce_a=challenge.nonce_a,
            nonce_b=challenge.nonce_b,
        )
    except AuthenticationError as error:
        raise Refusal(ResultCode.AUTHENTICATION_FAILED) from error


def _check_factory(call: Call) -> None:
    if not life_cycle.may_change_identity(call.memory, call.role):
        raise Refusal(ResultCode.ACCESS_DENIED)


def _check_authority(call: Call) -> None:
    is_certified = call.request.is_certified  # protocol 6.4: a key of scheme 1 is no certificate
    if call.role is not Role.SECURITY_AUTHORITY or not is_certified:
        raise Refusal(ResultCode.ACCESS_DENIED)


def _name(
    command: S2RevokeCertificate | S2CheckRevocation | S2RevocationAnswer,
) -> CertificateName:
    if not command.serial_number:
        raise Refusal(ResultCode.INVALID_VALUE)
    return CertificateName(
        issuer=command.issuer, subject=command.subject, serial=command.serial_number
    )
