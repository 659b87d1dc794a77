"""Certificates, byte by byte."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates.pki import (
    AUTHORITY,
    AUTHORITY_KEY,
    DEVICE,
    DEVICE_BODY,
    FROM,
    ROOT,
    standard,
    targets,
)
from tests.load_vectors import octets
from umi_cli import crypto
from umi_cli.certificates import tlv
from umi_cli.certificates.cvc import Certificate, CertificateName
from umi_cli.certificates.envelope import TAG_BODY, Envelope
from umi_cli.crypto import PrivateKey
from umi_cli.errors import MalformedError, SignatureError
from umi_cli.types import Role, UmiId

VECTOR = octets("certificate-standard", "bytes")


def resign(body: bytes) -> bytes:
    """Return a certificate of these body bytes, whatever they are, rightly signed."""
    return Envelope.seal(tlv.encode(TAG_BODY, body), AUTHORITY_KEY).encode()


def body_bytes() -> bytes:
    return tlv.decode_only(DEVICE.envelope.signed, TAG_BODY, what="body")


def test_vector_decodes() -> None:
    certificate = Certificate.decode(VECTOR)
    body = certificate.body
    assert (str(body.issuer), str(body.subject)) == ("00237EFFFFFFFFFF", "00237EFE00000004")
    assert body.serial == b"\0"
    assert body.valid_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert body.valid_until == datetime(2036, 1, 1, tzinfo=UTC)
    expected = standard(Role.MANUFACTURER, targets=targets(0, 0x7FFF_FFFF_FFFF_FFFF))
    assert body.authorisation == replace(expected, flags=1)
    assert certificate.encode() == VECTOR
    assert body.encode() == certificate.envelope.signed
    certificate.envelope.verify(body.public_point)


def test_vector_is_made() -> None:
    key = PrivateKey.from_scalar(octets("certificate-standard", "private_key"))
    assert Certificate.sign(Certificate.decode(VECTOR).body, key).encode() == VECTOR


def test_fingerprint_is_of_the_whole_certificate() -> None:
    assert DEVICE.fingerprint == crypto.sha256(DEVICE.encode())


def test_kinds() -> None:
    assert AUTHORITY.is_authority
    assert not DEVICE.is_authority


def test_signature_is_verified_over_the_bytes_received() -> None:
    DEVICE.envelope.verify(AUTHORITY_KEY.public_point)
    changed = DEVICE.encode().replace(b"20260101", b"20250101")
    with pytest.raises(SignatureError):
        Certificate.decode(changed).envelope.verify(AUTHORITY_KEY.public_point)


@pytest.mark.parametrize("certificate", [ROOT, AUTHORITY, DEVICE])
def test_round_trip(certificate: Certificate) -> None:
    assert Certificate.decode(certificate.encode()) == certificate


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("5f290140", "5f290141", "unknown profile"),
        ("5f290140", "5f29024040", "profile has 2 bytes"),
        ("5f290140", "", "stands where profile is due"),
        ("5f290140", "5f2901405f290140", "comes twice"),
        ("5a0103", "5a00", "serial number has 1 to 255 bytes"),
        ("df250f3230323630313031", "df250f3230323631333031", "certificate:"),  # month 13
        ("df250f3230323630313031", "df250f3230323620313031", "not YYYYMMDDHHMMSSZ"),
        ("df250f3230323630313031", "df250f3230343630313031", "ends before it begins"),
        ("3030303030305adf24", "3030303030302bdf24", "certificate:"),  # no Z
    ],
)
def test_bodies_that_break_a_rule_are_refused(old: str, new: str, fault: str) -> None:
    assert old in body_bytes().hex()
    data = resign(bytes.fromhex(body_bytes().hex().replace(old, new, 1)))
    with pytest.raises(MalformedError, match=fault):
        Certificate.decode(data)


def test_points_off_the_curve_are_refused() -> None:
    body = bytearray(body_bytes())
    body[body.index(bytes.fromhex("864104")) + 10] ^= 1
    with pytest.raises(MalformedError, match="not a point"):
        Certificate.decode(resign(bytes(body)))


def test_nothing_may_follow() -> None:
    for data in (DEVICE.encode() + b"\0", resign(body_bytes() + b"\0"), DEVICE.encode()[:-1]):
        with pytest.raises(MalformedError):
            Certificate.decode(data)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"serial": b""}, "1 to 255"),
        ({"serial": bytes(256)}, "1 to 255"),
        ({"valid_from": datetime(2026, 1, 1)}, "zone"),
        ({"valid_until": FROM + timedelta(microseconds=1)}, "whole seconds"),
        ({"valid_until": FROM}, "before it begins"),
    ],
)
def test_bodies_check_themselves(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        replace(DEVICE_BODY, **changes)


def test_times_are_written_in_utc() -> None:
    cet = timezone(timedelta(hours=1))
    body = replace(DEVICE_BODY, valid_from=datetime(2026, 1, 1, 1, tzinfo=cet))
    assert body.encode() == DEVICE_BODY.encode()
    early = replace(DEVICE_BODY, valid_from=datetime(7, 1, 1, tzinfo=UTC))
    assert b"00070101000000Z" in early.encode()


def test_certificate_name_bytes() -> None:
    name = CertificateName(issuer=UmiId(1), subject=UmiId(2), serial=b"\xab\xcd")
    assert name.encode().hex() == "0100000000000000020000000000000002abcd"
    assert CertificateName.decode(name.encode()) == name
    assert str(name) == "0000000000000001/0000000000000002/abcd"
    assert DEVICE.body.name.serial == b"\x03"


@given(st.binary(max_size=40))
def test_garbage_is_no_name(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        assert CertificateName.decode(data).encode() == data


def test_a_name_has_a_serial_number() -> None:
    with pytest.raises(MalformedError, match="1 to 255"):
        CertificateName.decode(bytes(17))
    with pytest.raises(MalformedError, match="too many"):
        CertificateName.decode(DEVICE.body.name.encode() + b"\0")


@given(st.binary(max_size=300))
def test_garbage_is_no_certificate(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Certificate.decode(data)


@given(st.integers(0, len(VECTOR) - 1), st.integers(1, 255))
def test_a_changed_byte_raises_one_error_or_has_one_form(offset: int, change: int) -> None:
    data = bytearray(VECTOR)
    data[offset] ^= change
    with contextlib.suppress(MalformedError, SignatureError):
        certificate = Certificate.decode(bytes(data))
        assert certificate.encode() == data
        certificate.envelope.verify(Certificate.decode(VECTOR).body.public_point)
        pytest.fail("a changed certificate verifies")
