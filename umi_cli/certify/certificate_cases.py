"""Tests of certificates that a device is handed: a catalogue of bad ones (protocol 6.4)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from umi_cli.application.codes import ResultCode
from umi_cli.application.security_commands import (
    S2AddCertificate,
    S2GetCertificate,
)
from umi_cli.certificates.authorisation import (
    EVERY_TARGET,
    Authorisation,
    AuthorityAuthorisation,
    StandardAuthorisation,
    TargetRange,
)
from umi_cli.certificates.cvc import Certificate, CertificateBody
from umi_cli.certify.bench import Bench, expect_result
from umi_cli.certify.case import Failure, Need, NotApplicable, case
from umi_cli.certify.hand_session import HandSession, device_certificate
from umi_cli.crypto import PrivateKey, Signer
from umi_cli.errors import MalformedError
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


def now_of(bench: Bench) -> datetime:
    """Return the host's time, by the clock that the port lives by."""
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
    now = now_of(bench)
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


def by_authority(bench: Bench, key: Signer | None = None, **fields: Any) -> Certificate:
    """Return a certificate of the authority that the device trusts, for a key."""
    authority, signer = bench.authority()
    point = (key or PrivateKey.generate()).public_point
    return issued(bench, signer, point, issuer=authority.body.subject, **fields)


def expect_known_authority(bench: Bench) -> None:
    """Go on if the device knows the authority that was given; `NotApplicable` if not.

    Either it shows the authority's certificate, or it finds that a signature is not the
    authority's: for that it must have its key.
    """
    authority, _ = bench.authority()
    shown = _shown_key(bench, authority.body.subject)
    is_known = _finds_forgery(bench) if shown is None else shown == authority.body.public_point
    if not is_known:
        raise NotApplicable("the device does not know this authority (--ca-cert)")


def _shown_key(bench: Bench, subject: UmiId) -> bytes | None:
    """Return the key in the certificate that the device has of somebody; None without."""
    message = bench.result_of(S2GetCertificate(subject=subject))
    if message.argument != ResultCode.OK:
        return None
    try:
        return Certificate.decode(message.payload).body.public_point
    except MalformedError:
        return None


def _finds_forgery(bench: Bench) -> bool:
    """Tell whether the device finds a wrong signature in the name of the authority."""
    stranger = PrivateKey.generate()
    issuer = bench.authority()[0].body.subject
    forged = issued(bench, stranger, stranger.public_point, issuer=issuer)
    return hand_over(bench, forged.encode()) == ResultCode.INVALID_CERTIFICATE_SIGNATURE


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
    if not is_trusting(bench):
        raise NotApplicable("the device trusts nobody yet: it takes the first root it is given")
    root = issued(bench, key, key.public_point, subject=AN_AUTHORITY, authorisation=rights)
    expect_refused(bench, root.encode(), "a root of our own")
    leaf = issued(bench, key, PrivateKey.generate().public_point)
    expect_refused(bench, leaf.encode(), "a certificate of that root")


def is_trusting(bench: Bench) -> bool:
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
