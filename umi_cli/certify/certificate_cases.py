"""Tests of certificates that a device is handed: a catalogue of bad ones (protocol 6.4)."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
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
    Authorisation,
    AuthorityAuthorisation,
    StandardAuthorisation,
    TargetRange,
)
from umi_cli.certificates.cvc import Certificate, CertificateBody
from umi_cli.certificates.request import CertificateRequest
from umi_cli.certify.bench import Bench, describe_result, expect_result
from umi_cli.certify.case import Failure, Need, NotApplicable, case, expect
from umi_cli.certify.hand_session import HandSession, device_certificate
from umi_cli.crypto import PrivateKey, Signer, new_salt
from umi_cli.errors import MalformedError, SignatureError
from umi_cli.types import EPOCH, Role, RoleSet, UmiId

A_STRANGER = UmiId(0x0200_0000_0000_5678)
AN_AUTHORITY = UmiId(0x0200_0000_0000_9ABC)
A_SUB_AUTHORITY = UmiId(0x0200_0000_0000_9ABD)  # a device keeps what it has taken of it
_DAY = timedelta(days=1)
_REFUSED = (
    ResultCode.UNKNOWN_ISSUER,
    ResultCode.INVALID_CERTIFICATE_FORMAT,
    ResultCode.INVALID_CERTIFICATE_SIGNATURE,
    ResultCode.INVALID_CERTIFICATE,
)
_FORMAT = (ResultCode.INVALID_CERTIFICATE_FORMAT,)
_PROFILE = b"\x5f\x29\x01\x40"


def hand_over(bench: Bench, data: bytes) -> ResultCode | int:
    """Hand the device a certificate; return its result code."""
    command = S2AddCertificate(certificate=data)
    return bench.result_of(command).argument


def expect_refused(bench: Bench, data: bytes, what: str, *codes: ResultCode) -> None:
    """Go on if a certificate is refused with one of the codes; `Failure` if not."""
    command = S2AddCertificate(certificate=data)
    message = bench.result_of(command)
    if message.argument in (ResultCode.UNKNOWN_PACKET_TYPE, ResultCode.NOT_IMPLEMENTED):
        raise NotApplicable("the device takes no certificates: it has no scheme 2")
    expect_result(message, what, *(codes or _REFUSED))


def _sound(bench: Bench) -> tuple[Certificate, PrivateKey]:
    """Return a certificate of nobody's authority, in its form without a flaw."""
    key = PrivateKey.generate()
    return issued(bench, key, key.public_point), key


def _now(bench: Bench) -> datetime:
    return EPOCH + timedelta(seconds=bench.meter.session.utc_s())


def issued(
    bench: Bench,
    signer: Signer,
    point: bytes,
    *,
    issuer: UmiId = AN_AUTHORITY,
    subject: UmiId = A_STRANGER,
    authorisation: Authorisation | None = None,
    days: tuple[int, int] = (-1, 30),
) -> Certificate:
    """Return a certificate that an authority has signed, whatever it says."""
    now = _now(bench)
    body = CertificateBody(
        issuer=issuer,
        serial=bench.random.randbytes(8),
        public_point=point,
        subject=subject,
        valid_from=now + days[0] * _DAY,
        valid_until=now + days[1] * _DAY,
        authorisation=authorisation
        or StandardAuthorisation(targets=EVERY_TARGET, role=Role.USER, flags=0),
    )
    return Certificate.sign(body, signer)


def _by_authority(bench: Bench, key: Signer | None = None, **fields: Any) -> Certificate:
    """Return a certificate of the authority that the device trusts, for a key."""
    authority, signer = bench.authority()
    point = (key or PrivateKey.generate()).public_point
    return issued(bench, signer, point, issuer=authority.body.subject, **fields)


def _spoilt(certificate: Certificate, spoil: Callable[[bytes], bytes], signer: Signer) -> bytes:
    """Return a certificate whose body was spoilt before it was signed."""
    body = spoil(certificate.envelope.signed)
    return replace(certificate.envelope, signed=body, signature=signer.sign(body)).encode()


@case(
    "SEC-050",
    "a certificate that is cut off is refused",
    clause="6.4",
    mark="F",
    sends="S2_ADD_CERTIFICATE with the first 0, 8, 16 … bytes of a certificate",
    expects="INVALID_CERTIFICATE_FORMAT (139) each time",
    advice="Every length is compared with what is left before a byte is read.",
)
def _cut(bench: Bench) -> None:
    data = _sound(bench)[0].encode()
    for length in range(0, len(data), 8):
        expect_refused(bench, data[:length], f"{length} bytes", *_FORMAT)


@case(
    "SEC-051",
    "bytes behind a certificate are refused",
    clause="6.4",
    mark="F",
    sends="S2_ADD_CERTIFICATE with a byte 00 behind the certificate, and inside its envelope",
    expects="INVALID_CERTIFICATE_FORMAT (139)",
    advice="What is not looked at can hide something else: strict on input.",
)
def _trailing(bench: Bench) -> None:
    certificate, _ = _sound(bench)
    data = certificate.encode()
    expect_refused(bench, data + b"\x00", "a byte behind it", *_FORMAT)
    inside = data[:3] + bytes([data[3] + 1]) + data[4:] + b"\x00"
    expect_refused(bench, inside, "a byte at the end of the envelope", *_FORMAT)


@case(
    "SEC-052",
    "a length that is not in its shortest form is refused",
    clause="6.4",
    mark="F",
    sends="a certificate whose profile has the length 81 01 instead of 01",
    expects="INVALID_CERTIFICATE_FORMAT (139)",
    advice="One certificate has one encoding: BER's other forms are not taken.",
)
def _long_length(bench: Bench) -> None:
    _expect_spoilt(bench, "a long length", lambda body: _resized(body, _LONG_PROFILE, 1))


_LONG_PROFILE = b"\x5f\x29\x81\x01\x40"


def _resized(body: bytes, profile: bytes, growth: int) -> bytes:
    """Return a body with another profile field, and its length put right."""
    head = body[:2] + bytes([body[2], body[3] + growth])
    return head + profile + body[4 + len(_PROFILE) :]


def _expect_spoilt(bench: Bench, what: str, spoil: Callable[[bytes], bytes]) -> None:
    certificate, key = _sound(bench)
    expect_refused(bench, _spoilt(certificate, spoil, key), what, *_FORMAT)


@case(
    "SEC-053",
    "an unknown profile is refused",
    clause="6.4",
    mark="F",
    sends="a certificate of the profile 41",
    expects="INVALID_CERTIFICATE_FORMAT (139)",
    advice="Another profile may mean other things by the same fields.",
)
def _unknown_profile(bench: Bench) -> None:
    _expect_spoilt(bench, "profile 41", lambda body: body.replace(_PROFILE, b"\x5f\x29\x01\x41"))


@case(
    "SEC-054",
    "a field that comes twice is refused",
    clause="6.4",
    mark="F",
    sends="a certificate that has its profile twice",
    expects="INVALID_CERTIFICATE_FORMAT (139)",
    advice="Two readers would each believe another one of them.",
)
def _twice(bench: Bench) -> None:
    _expect_spoilt(bench, "a field twice", lambda body: _resized(body, _PROFILE * 2, 4))


@case(
    "SEC-055",
    "a public key that is no point of the curve is refused",
    clause="6.4",
    mark="F",
    sends="a certificate whose point has one bit turned, and one with a compressed point",
    expects="INVALID_CERTIFICATE_FORMAT (139)",
    advice="A point off the curve gives the private key away when it is used.",
)
def _off_curve(bench: Bench) -> None:
    certificate, key = _sound(bench)
    point = certificate.body.public_point
    for what, wrong in (
        ("a point off the curve", point[:-1] + bytes([point[-1] ^ 1])),
        ("a point of another form", b"\x03" + point[1:]),
        ("no point at all", bytes(65)),
    ):
        data = _spoilt(certificate, lambda body, wrong=wrong: body.replace(point, wrong), key)  # type: ignore[misc]
        expect_refused(bench, data, what, *_FORMAT)


@case(
    "SEC-056",
    "times that are none are refused",
    clause="6.4",
    mark="F",
    sends="certificates with month 13, with a blank for a digit, and that end before they begin",
    expects="INVALID_CERTIFICATE_FORMAT (139) or INVALID_CERTIFICATE (141)",
    advice="YYYYMMDDHHMMSSZ, and from before until.",
)
def _times(bench: Bench) -> None:
    certificate, key = _sound(bench)
    start = f"{certificate.body.valid_from:%Y%m%d%H%M%S}Z".encode()
    end = f"{certificate.body.valid_until:%Y%m%d%H%M%S}Z".encode()
    swapped = {start: end, end: start}
    for what, wrong in (
        ("month 13", start[:4] + b"13" + start[6:]),
        ("a blank", b" " + start[1:]),
        ("no zone", start[:-1] + b"0"),
    ):
        data = _spoilt(certificate, lambda body, wrong=wrong: body.replace(start, wrong), key)  # type: ignore[misc]
        expect_refused(bench, data, what, *_FORMAT, ResultCode.INVALID_CERTIFICATE)
    body = certificate.envelope.signed
    reverse = body.replace(start, b"*").replace(end, swapped[end]).replace(b"*", swapped[start])
    data = _spoilt(certificate, lambda _: reverse, key)
    expect_refused(bench, data, "an end before the start", *_FORMAT, ResultCode.INVALID_CERTIFICATE)


@case(
    "SEC-057",
    "a target range that is the wrong way round is refused",
    clause="6.4",
    mark="F",
    sends="a certificate whose lowest target is above its highest",
    expects="INVALID_CERTIFICATE_FORMAT (139) or INVALID_CERTIFICATE (141)",
    advice="min must not be above max.",
)
def _range(bench: Bench) -> None:
    key = PrivateKey.generate()
    rights = StandardAuthorisation(
        targets=TargetRange(lowest=UmiId(1), highest=UmiId(2)), role=Role.USER, flags=0
    )
    certificate = issued(bench, key, key.public_point, authorisation=rights)
    sound = rights.targets.encode()
    data = _spoilt(certificate, lambda body: body.replace(sound, sound[8:] + sound[:8]), key)
    expect_refused(bench, data, "min above max", *_FORMAT, ResultCode.INVALID_CERTIFICATE)


@case(
    "SEC-058",
    "a certificate of an authority that nobody knows is refused",
    clause="6.4",
    mark="F",
    sends="a certificate in its form without a flaw, of an authority made up for the test",
    expects="UNKNOWN_ISSUER (137)",
    advice="Only what hangs on a trusted anchor counts.",
)
def _unknown_issuer(bench: Bench) -> None:
    data = _sound(bench)[0].encode()
    expect_refused(bench, data, "an unknown issuer", ResultCode.UNKNOWN_ISSUER)


@case(
    "SEC-059",
    "a root that anybody brings is not trusted",
    clause="6.4",
    mark="F",
    sends="a self-signed authority made up for the test, and a certificate of that authority",
    expects="both refused",
    advice="A device that trusts somebody takes no other root from guests.",
)
def _own_root(bench: Bench) -> None:
    key = PrivateKey.generate()
    everything = RoleSet.everyone()
    rights = AuthorityAuthorisation(
        targets=EVERY_TARGET, signing_roles=everything, devolvable_roles=everything, flags=0
    )
    if not _is_trusting(bench):
        raise NotApplicable("the device trusts nobody yet: it takes the first root it is given")
    root = issued(bench, key, key.public_point, subject=AN_AUTHORITY, authorisation=rights)
    expect_refused(bench, root.encode(), "a root of our own")
    leaf = issued(bench, key, PrivateKey.generate().public_point)
    expect_refused(bench, leaf.encode(), "a certificate of that root")


def _is_trusting(bench: Bench) -> bool:
    """Tell whether the device has a certificate of its own, and so trusts somebody."""
    try:
        device_certificate(bench, bench.meter.session.identify())
    except Failure:
        return False
    return True


@case(
    "SEC-060",
    "a certificate with a wrong signature is refused",
    clause="6.4",
    mark="F",
    sends="our own certificate with another serial number, under the old signature",
    expects="INVALID_CERTIFICATE_SIGNATURE (140)",
    advice="Verify over the bytes received, never over what was decoded from them.",
    needs=(Need.CREDENTIALS,),
)
def _wrong_signature(bench: Bench) -> None:
    HandSession(bench)  # has the device know who issued it
    certificate = bench.credentials().certificate
    serial = certificate.body.serial
    other = serial[:-1] + bytes([serial[-1] ^ 1])
    signed = certificate.envelope.signed.replace(serial, other)
    data = replace(certificate.envelope, signed=signed).encode()
    code = ResultCode.INVALID_CERTIFICATE_SIGNATURE
    expect_refused(bench, data, "a changed serial number", code)


@case(
    "SEC-061",
    "a certificate that is no authority's issues none",
    clause="6.4",
    mark="F",
    sends="a certificate that our own key has signed in the name of our own certificate",
    expects="it is refused",
    advice="Every issuer in a chain is a signing authority: check its authorisation.",
    needs=(Need.CREDENTIALS,),
)
def _leaf_issues(bench: Bench) -> None:
    HandSession(bench)
    credentials = bench.credentials()
    issuer = credentials.certificate.body.subject
    point = PrivateKey.generate().public_point
    forged = issued(bench, credentials.signer, point, issuer=issuer)
    expect_refused(bench, forged.encode(), "a certificate of a standard certificate")


def _expect_invalid(bench: Bench, what: str, **fields: Any) -> None:
    certificate = _by_authority(bench, **fields)
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
    subject = UmiId(A_STRANGER.value + 2)
    newer = _by_authority(bench, subject=subject, days=(-1, 30))
    older = _by_authority(bench, subject=subject, days=(-20, 20))
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
    session = HandSession(bench)
    session.close()
    is_full = False
    for number in range(MAX_TABLE):
        key = PrivateKey.generate()
        certificate = _by_authority(bench, key, subject=UmiId(A_STRANGER.value + 0x100 + number))
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
    if not _is_trusting(bench):
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
