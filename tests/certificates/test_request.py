"""Certificate requests: bytes and proof of possession."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates.pki import DEVICE_ID, DEVICE_KEY, FALSE_KEY, ROOT_ID
from tests.load_vectors import octets
from umi_cli.certificates.envelope import Envelope
from umi_cli.certificates.request import CertificateRequest
from umi_cli.crypto import PrivateKey
from umi_cli.errors import MalformedError, SignatureError
from umi_cli.types import UmiId

VECTOR = octets("certificate-request", "bytes")


def test_vector() -> None:
    request = CertificateRequest.decode(VECTOR)
    assert (str(request.issuer), str(request.subject)) == ("00237EFFFFFFFFFF", "00237EFE00000004")
    request.verify()
    assert request.encode() == VECTOR
    key = PrivateKey.from_scalar(octets("certificate-request", "private_key"))
    made = CertificateRequest.create(
        key, issuer=UmiId.parse("00237EFFFFFFFFFF"), subject=UmiId.parse("00237EFE00000004")
    )
    assert made == request


def test_another_key_proves_nothing() -> None:
    request = CertificateRequest.create(DEVICE_KEY, issuer=ROOT_ID, subject=DEVICE_ID)
    forged = replace(request, envelope=Envelope.seal(request.envelope.signed, FALSE_KEY))
    with pytest.raises(SignatureError):
        CertificateRequest.decode(forged.encode()).verify()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [("5f290140", "5f290141", "unknown profile"), ("5f2008", "5f2108", "tag 5F21 stands where")],
)
def test_bodies_that_break_a_rule_are_refused(old: str, new: str, fault: str) -> None:
    with pytest.raises(MalformedError, match=fault):
        CertificateRequest.decode(bytes.fromhex(VECTOR.hex().replace(old, new, 1)))


@given(st.integers(0, len(VECTOR) - 1), st.integers(1, 255))
def test_a_changed_byte_raises_one_error_or_has_one_form(offset: int, change: int) -> None:
    data = bytearray(VECTOR)
    data[offset] ^= change
    with contextlib.suppress(MalformedError, SignatureError):
        request = CertificateRequest.decode(bytes(data))
        assert request.encode() == data
        request.verify()
        pytest.fail("a changed request verifies")


@given(st.binary(max_size=200))
def test_garbage_is_no_request(data: bytes) -> None:
    with pytest.raises(MalformedError):
        CertificateRequest.decode(data)
