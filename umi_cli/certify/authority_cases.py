"""Tests of what a trusted authority may hand out, and of who may say so (protocol 6.4)."""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from umi_cli.application.codes import ResultCode
from umi_cli.application.security_commands import (
    S2AddCertificate,
    S2GenerateKeypair,
    S2GetCsr,
    S2InstallOwnCertificateChain,
    S2RelinquishRights,
    S2RevokeCertificate,
    S2StartSession,
)
from umi_cli.certificates.authorisation import (
    EVERY_TARGET,
    AuthorityAuthorisation,
    StandardAuthorisation,
    TargetRange,
)
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.request import CertificateRequest
from umi_cli.certify.bench import Bench, describe_result, expect_result
from umi_cli.certify.case import Failure, Need, NotApplicable, case, expect
from umi_cli.certify.certificate_cases import (
    A_STRANGER,
    A_SUB_AUTHORITY,
    AN_AUTHORITY,
    by_authority,
    expect_known_authority,
    expect_refused,
    hand_over,
    is_trusting,
    issued,
)
from umi_cli.certify.hand_session import HandSession, device_certificate
from umi_cli.crypto import PrivateKey, Signer, new_salt
from umi_cli.errors import MalformedError, SignatureError
from umi_cli.types import Role, RoleSet, UmiId


def _expect_invalid(bench: Bench, what: str, **fields: Any) -> None:
    expect_known_authority(bench)
    certificate = by_authority(bench, **fields)
    expect_refused(bench, certificate.encode(), what, ResultCode.INVALID_CERTIFICATE)


@case(
    "SEC-062",
    "a certificate that has ended is refused",
    clause="6.4",
    mark="F",
    sends="a certificate of the trusted authority that ended yesterday",
    expects="INVALID_CERTIFICATE (141)",
    advice="Every certificate of a chain is in its time, by the device's own clock.",
    needs=(Need.AUTHORITY,),
)
def _ended(bench: Bench) -> None:
    _expect_invalid(bench, "an ended certificate", days=(-30, -1))


@case(
    "SEC-063",
    "a certificate that has not begun is refused",
    clause="6.4",
    mark="F",
    sends="a certificate of the trusted authority that begins tomorrow",
    expects="INVALID_CERTIFICATE (141)",
    advice="Every certificate of a chain is in its time, by the device's own clock.",
    needs=(Need.AUTHORITY,),
)
def _not_begun(bench: Bench) -> None:
    _expect_invalid(bench, "a certificate of tomorrow", days=(1, 30))


@case(
    "SEC-064",
    "a certificate for other devices is refused",
    clause="6.4",
    mark="F",
    sends="a certificate of the trusted authority whose targets do not hold the device",
    expects="INVALID_CERTIFICATE (141)",
    advice="The device's own UMI ID lies in the range of whoever commands it.",
    needs=(Need.AUTHORITY,),
)
def _other_target(bench: Bench) -> None:
    device = bench.meter.session.identify()
    above = UmiId(device.value + 1)
    rights = StandardAuthorisation(
        targets=TargetRange(lowest=above, highest=above), role=Role.USER, flags=0
    )
    _expect_invalid(bench, "a certificate for another device", authorisation=rights)


def _sub_authority(bench: Bench, **fields: Any) -> tuple[Certificate, PrivateKey]:
    """Return a subordinate authority of the trusted one; `fields` are of its authorisation."""
    expect_known_authority(bench)
    key = PrivateKey.generate()
    authority, signer = bench.authority()
    sound: dict[str, Any] = {
        "targets": EVERY_TARGET,
        "signing_roles": RoleSet.of(Role.USER),
        "devolvable_roles": RoleSet(0),
        "flags": 0,
    }
    certificate = issued(
        bench,
        signer,
        key.public_point,
        issuer=authority.body.subject,
        subject=A_SUB_AUTHORITY,
        authorisation=AuthorityAuthorisation(**{**sound, **fields}),
    )
    return certificate, key


def _below(bench: Bench, sub: Certificate, key: Signer, **fields: Any) -> Certificate:
    """Return a certificate that a subordinate authority has issued."""
    point = PrivateKey.generate().public_point
    return issued(bench, key, point, issuer=sub.body.subject, **fields)


@case(
    "SEC-065",
    "a role that the issuer may not sign is refused",
    clause="6.4",
    mark="F",
    sends="a subordinate authority that signs for users alone, and its certificate for a service",
    expects="the authority is taken, the certificate refused with INVALID_CERTIFICATE (141)",
    advice="The leaf's role is one of its issuer's signing roles.",
    needs=(Need.AUTHORITY, Need.CHANGES),
)
def _role_exceeded(bench: Bench) -> None:
    sub, key = _sub_authority(bench)
    _expect_taken(bench, sub)
    rights = StandardAuthorisation(targets=EVERY_TARGET, role=Role.SERVICE, flags=0)
    leaf = _below(bench, sub, key, authorisation=rights)
    expect_refused(bench, leaf.encode(), "a role too many", ResultCode.INVALID_CERTIFICATE)


def _expect_taken(bench: Bench, certificate: Certificate) -> None:
    command = S2AddCertificate(certificate=certificate.encode())
    message = bench.result_of(command)
    if message.argument == ResultCode.KEY_TABLE_FULL:
        raise NotApplicable("the device's key table is full")
    codes = (ResultCode.OK, ResultCode.ALREADY_INSTALLED)
    expect_result(message, "a sound certificate", *codes)


@case(
    "SEC-066",
    "targets that the issuer is not for are refused",
    clause="6.4",
    mark="F",
    sends="a subordinate authority for this device alone, and its certificate for every device",
    expects="the authority is taken, the certificate refused with INVALID_CERTIFICATE (141)",
    advice="The target range of a certificate lies in its issuer's.",
    needs=(Need.AUTHORITY, Need.CHANGES),
)
def _range_exceeded(bench: Bench) -> None:
    device = bench.meter.session.identify()
    sub, key = _sub_authority(bench, targets=TargetRange(lowest=device, highest=device))
    _expect_taken(bench, sub)
    leaf = _below(bench, sub, key)
    expect_refused(bench, leaf.encode(), "targets too many", ResultCode.INVALID_CERTIFICATE)


@case(
    "SEC-067",
    "an authority hands on what it may, and nothing more",
    clause="6.4",
    mark="C",
    sends="a subordinate authority that may devolve nothing, and an authority below it",
    expects="the first is taken, the second refused with INVALID_CERTIFICATE (141)",
    advice="A subordinate's signing and devolvable roles lie in its issuer's devolvable roles.",
    needs=(Need.AUTHORITY, Need.CHANGES),
)
def _authority_exceeded(bench: Bench) -> None:
    sub, key = _sub_authority(bench)
    _expect_taken(bench, sub)
    rights = AuthorityAuthorisation(
        targets=EVERY_TARGET,
        signing_roles=RoleSet.of(Role.USER),
        devolvable_roles=RoleSet(0),
        flags=0,
    )
    below = _below(bench, sub, key, authorisation=rights)
    expect_refused(bench, below.encode(), "an authority too low", ResultCode.INVALID_CERTIFICATE)


@case(
    "SEC-068",
    "an older certificate does not take the place of a newer one",
    clause="6.4",
    mark="C",
    sends="two certificates for one subject, the newer one first",
    expects="the newer is taken, the older refused with ALREADY_INSTALLED (133)",
    advice="Certificates are public: whoever kept an old one could bring its key back.",
    needs=(Need.AUTHORITY, Need.CHANGES),
)
def _older(bench: Bench) -> None:
    expect_known_authority(bench)
    subject = UmiId(A_STRANGER.value + 2)
    newer = by_authority(bench, subject=subject, days=(-1, 30))
    older = by_authority(bench, subject=subject, days=(-20, 20))
    _expect_taken(bench, newer)
    code = ResultCode.ALREADY_INSTALLED
    expect_refused(bench, older.encode(), "an older certificate", code)


@case(
    "SEC-069",
    "a full key table says so, and keeps what it has",
    clause="3.3",
    mark="F",
    sends="certificates of the trusted authority for ever new subjects, until one is refused",
    expects="KEY_TABLE_FULL (142), and our own certificate still good for a session",
    advice="Never throw out a certificate in use for one that a guest brings.",
    needs=(Need.AUTHORITY, Need.CREDENTIALS, Need.DESTRUCTION),
)
def _table_full(bench: Bench) -> None:
    expect_known_authority(bench)
    session = HandSession(bench)
    session.close()
    is_full = False
    for number in range(MAX_TABLE):
        key = PrivateKey.generate()
        certificate = by_authority(bench, key, subject=UmiId(A_STRANGER.value + 0x100 + number))
        code = hand_over(bench, certificate.encode())
        if code == ResultCode.OK:
            bench.at_end(partial(_give_up, bench, certificate, key))
        if is_full := code == ResultCode.KEY_TABLE_FULL:
            break
        expect(code == ResultCode.OK, f"certificate {number + 1} was answered with {code}")
    start = S2StartSession(salt_a=new_salt())  # without handing ours over once more
    message = bench.ask(session.clear(start), start)
    expect(
        message.argument == ResultCode.OK,
        f"after {number + 1} certificates it no longer has ours:"
        f" S2_START_SESSION was answered with {describe_result(message)}",
    )
    if not is_full:
        raise NotApplicable(f"the device took {MAX_TABLE} certificates, and had room for more")


def _give_up(bench: Bench, certificate: Certificate, key: PrivateKey) -> None:
    """Have the device forget a certificate of ours, as far as it does."""
    credentials = replace(bench.credentials(), signer=key, chain=(certificate,))
    with suppress(Failure):
        HandSession(bench, credentials).ask(S2RelinquishRights())


MAX_TABLE = 300


@case(
    "SEC-070",
    "guests do not install a certificate chain",
    clause="6.4",
    mark="C",
    sends="S2_INSTALL_OWN_CERTIFICATE_CHAIN with the certificate that the device has already",
    expects="ACCESS_DENIED (9) or ALREADY_INSTALLED (133)",
    advice="A chain is given in the factory, and replaced by the security authority.",
)
def _guest_installs(bench: Bench) -> None:
    if not is_trusting(bench):
        raise NotApplicable("the device has no certificate yet")
    own = device_certificate(bench, bench.meter.session.identify())
    command = S2InstallOwnCertificateChain(certificates=own.encode())
    codes = (ResultCode.ACCESS_DENIED, ResultCode.ALREADY_INSTALLED)
    bench.refused(command, *codes)


@case(
    "SEC-071",
    "guests do not make a device a new key",
    clause="6.4",
    mark="C",
    sends="S2_GENERATE_KEYPAIR as guest",
    expects="ACCESS_DENIED (9) or KEYPAIR_ALREADY_GENERATED (132)",
    advice="A new key makes the certificate worthless, and the device dumb.",
    needs=(Need.DESTRUCTION,),
)
def _guest_generates(bench: Bench) -> None:
    if not is_trusting(bench):
        raise NotApplicable("the device has no certificate yet: a guest is the factory")
    codes = (ResultCode.ACCESS_DENIED, ResultCode.KEYPAIR_ALREADY_GENERATED)
    bench.refused(S2GenerateKeypair(), *codes)


@case(
    "SEC-072",
    "a certificate request proves that the device holds the key",
    clause="6.4",
    mark="C",
    sends="S2_GET_CSR",
    expects="a request for the device's UMI ID, signed with the key in it",
    advice="Without that proof anybody has a certificate issued for a key of another.",
)
def _request(bench: Bench) -> None:
    message = bench.result_of(S2GetCsr())
    if message.argument != ResultCode.OK:
        raise NotApplicable(f"the device gives no request: {describe_result(message)}")
    try:
        request = CertificateRequest.decode(message.payload)
        request.verify()
    except (MalformedError, SignatureError) as error:
        raise Failure(f"the request does not hold: {error}") from error
    device = bench.meter.session.identify()
    expect(request.subject == device, f"it is for {request.subject}, the device is {device}")


@case(
    "SEC-073",
    "guests revoke nothing",
    clause="6.4",
    mark="C",
    sends="S2_REVOKE_CERTIFICATE of a certificate that nobody has, as guest",
    expects="ACCESS_DENIED (9)",
    advice="Revocation is obeyed from a certificate of the security authority alone.",
)
def _guest_revokes(bench: Bench) -> None:
    bench.refused(_revocation(), ResultCode.ACCESS_DENIED)


def _revocation() -> S2RevokeCertificate:
    return S2RevokeCertificate(
        issuer=AN_AUTHORITY, subject=A_STRANGER, serial_number=b"\x01\x02\x03\x04"
    )


@case(
    "SEC-074",
    "only the security authority revokes",
    clause="6.4",
    mark="C",
    sends="S2_REVOKE_CERTIFICATE of a certificate that nobody has, in our own role",
    expects="ACCESS_DENIED (9)",
    advice="The role comes from the certificate of the session.",
    needs=(Need.CREDENTIALS,),
)
def _role_revokes(bench: Bench) -> None:
    if bench.role is Role.SECURITY_AUTHORITY:
        raise NotApplicable("we are the security authority")
    message = HandSession(bench).ask(_revocation())
    expect_result(message, "S2_REVOKE_CERTIFICATE", ResultCode.ACCESS_DENIED)


@case(
    "SEC-075",
    "nobody gives up the rights of another",
    clause="6.4",
    mark="C",
    sends="S2_RELINQUISH_RIGHTS in the clear, in the name of one whom the device knows",
    expects="it is refused, and a session of that one still comes about",
    advice="Only under a certificate is it clear who gives up his rights.",
    needs=(Need.CREDENTIALS,),
)
def _relinquishes(bench: Bench) -> None:
    session = HandSession(bench)
    command = S2RelinquishRights()
    message = bench.ask(session.clear(command), command)
    expect(message.argument != ResultCode.OK, "it was done")
    HandSession(bench)
