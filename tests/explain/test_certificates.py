"""Certificates, requests, signature records and sealed packets, explained; and what is wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates.pki import (
    AUTHORITY,
    AUTHORITY_ID,
    AUTHORITY_KEY,
    DEVICE,
    DEVICE_ID,
    DEVICE_KEY,
    FALSE_KEY,
    ROOT,
)
from tests.cli.conftest import Outcome, call_umi
from tests.load_vectors import octets, vector
from umi_cli import crypto
from umi_cli.application.packet import ENVELOPE_BYTES, NO_SIGNATURE, Message
from umi_cli.certificates import tlv
from umi_cli.certificates.chain import encode_chain
from umi_cli.certificates.envelope import TAG_ENVELOPE, Envelope
from umi_cli.certificates.request import CertificateRequest
from umi_cli.crypto import AesKey
from umi_cli.errors import MalformedError
from umi_cli.explain.bytes import explain
from umi_cli.explain.certificates import explain_certificates
from umi_cli.explain.layers import Field, Layer
from umi_cli.explain.opening import SessionOpener
from umi_cli.explain.signatures import explain_signature, is_signature
from umi_cli.objects.catalogue import Catalogue
from umi_cli.security.signatures import sign_command, sign_image, sign_response
from umi_cli.types import Role, UmiId

CATALOGUE = Catalogue.load("ei4")
REQUEST = CertificateRequest.create(DEVICE_KEY, issuer=AUTHORITY_ID, subject=DEVICE_ID)

FIELD = "ei4-read-manufacturer-id-response"
FRAME, IV = octets(FIELD, "frame"), octets(FIELD, "iv")
PACKET = FRAME[4:-2]
SESSION_KEY = AesKey(octets(FIELD, "session_key"))
COMMANDER = UmiId(0x0023_7EFE_0000_0004)


def failures(layers: list[Layer]) -> list[str]:
    return [failure for layer in layers for failure in layer.failures]


def field(layers: list[Layer], name: str) -> Field:
    return next(each for layer in layers for each in layer.fields if each.name == name)


def by_layer(layers: list[Layer]) -> list[str]:
    return [layer.name for layer in layers]


# Certificates


def test_a_certificate_layer_by_layer() -> None:
    data = DEVICE.encode()
    layers = explain(data, CATALOGUE)
    assert by_layer(layers) == ["certificate", "certificate body", "authorisation"]
    assert failures(layers) == []
    assert field(layers, "issuer").value == str(AUTHORITY_ID)
    assert field(layers, "subject").value == str(DEVICE_ID)
    assert field(layers, "valid until").value == "20360101000000Z"
    assert (field(layers, "role").value, field(layers, "role").meaning) == (5, "service")
    assert any(DEVICE.fingerprint.hex() in note for note in layers[0].notes)
    for layer in layers:
        for each in layer.fields:
            assert data[each.offset : each.offset + len(each.raw)] == each.raw


def test_a_chain_has_offsets_throughout() -> None:
    data = encode_chain([DEVICE, AUTHORITY, ROOT])
    layers = explain(data, CATALOGUE)
    assert failures(layers) == []
    assert by_layer(layers)[::3] == ["certificate"] * 3
    for layer in layers:
        for each in layer.fields:
            assert data[each.offset : each.offset + len(each.raw)] == each.raw
    assert any("valid: itself" in note for note in layers[6].notes)
    assert field(layers[3:], "signing roles").meaning == "all"


def test_a_self_signature_that_is_none() -> None:
    forged = replace(ROOT, envelope=Envelope.seal(ROOT.envelope.signed, FALSE_KEY))
    [failure] = failures(explain(forged.encode(), CATALOGUE))
    assert "the self-signature does not verify" in failure


@pytest.mark.parametrize("kind", [None, "request"])
def test_a_request(kind: str | None) -> None:
    layers = explain(REQUEST.encode(), CATALOGUE, kind)
    assert by_layer(layers) == ["certificate request", "certificate request body"]
    assert failures(layers) == []
    assert "valid" in layers[0].notes[0]


def test_a_request_of_another_key() -> None:
    forged = replace(REQUEST, envelope=Envelope.seal(REQUEST.envelope.signed, FALSE_KEY))
    [failure] = failures(explain(forged.encode(), CATALOGUE))
    assert "the key that it asks for did not sign it" in failure


@pytest.mark.parametrize(
    ("data", "kind"),
    [(REQUEST.encode(), "certificate"), (DEVICE.encode(), "request")],
    ids=["certificate", "request"],
)
def test_what_the_user_says_it_is(data: bytes, kind: str) -> None:
    assert failures(explain(data, CATALOGUE, kind))


@pytest.mark.parametrize("length", range(2, len(DEVICE.encode())))
def test_a_cut_certificate_names_the_offset(length: int) -> None:
    [failure] = failures(explain(DEVICE.encode()[:length], CATALOGUE))
    assert "at offset" in failure


def test_a_malformed_inner_tlv_names_its_absolute_offset() -> None:
    data = bytearray(encode_chain([DEVICE, AUTHORITY]))
    offset = len(DEVICE.encode()) + 4 + 4 + 4 + 1  # the length byte of the second issuer
    assert data[offset - 1] == 0x42
    data[offset] = 0x80  # indefinite
    [failure] = failures(explain(bytes(data), CATALOGUE))
    assert failure == f"TLV: length of issuer has no known form, at offset {offset}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (b"\x5f\x29\x01\x41", "unknown profile"),
        (b"\x5f\x29\x02\x40\x40", "profile has 2 bytes"),
        (b"\x5f\x29\x01\x40\x04\x00", "tag 04 stands where issuer is due"),
    ],
)
def test_a_strict_rule_that_is_broken(change: bytes, said: str) -> None:
    body = tlv.decode_only(DEVICE.envelope.signed, 0x7F4E, what="body")
    signed = tlv.encode(0x7F4E, body.replace(b"\x5f\x29\x01\x40", change, 1))
    data = Envelope.seal(signed, AUTHORITY_KEY).encode()
    assert said in failures(explain(data, CATALOGUE))[0]


def test_a_broken_authorisation_names_its_offset() -> None:
    data = bytearray(DEVICE.encode())
    start = field(explain(bytes(data), CATALOGUE), "kind").offset
    data[start] = 9
    [failure] = failures(explain(bytes(data), CATALOGUE))
    assert failure == f"authorisation has an unknown kind, at offset {start}"


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "no bytes"), (b"\x04\x00", "where 7F21 is due, at offset 0"), (b"\x7f", "at offset 1")],
)
def test_what_is_no_certificate_at_all(data: bytes, said: str) -> None:
    assert said in failures(explain(data, CATALOGUE, "certificate"))[0]


@given(st.integers(0, len(REQUEST.encode()) * 8 - 1))
def test_each_flipped_bit_of_a_request_is_a_failure(bit: int) -> None:
    data = bytearray(REQUEST.encode())
    data[bit // 8] ^= 1 << bit % 8
    assert failures(explain(bytes(data), CATALOGUE, "request"))


@given(st.binary(max_size=80))
def test_garbage_fails_and_never_breaks(data: bytes) -> None:
    for each in (data, b"\x7f\x21" + data, tlv.encode(TAG_ENVELOPE, data)):
        assert failures(explain_certificates(each, 0))
        explain_signature(data, 0)


# Signature records

WINDOW = {"valid_from_s": 676_999_628, "valid_until_s": 676_999_988}
MAC_KEY = AesKey(bytes(16))
RECORDS = {
    "command, ECDSA": sign_command(PACKET, DEVICE_KEY, role=Role.SERVICE, **WINDOW).encode(),
    "command, CMAC": sign_command(PACKET, MAC_KEY, role=Role.SERVICE, **WINDOW).encode(),
    "response, ECDSA": sign_response(PACKET, DEVICE_KEY).encode(),
    "response, CMAC": sign_response(PACKET, MAC_KEY).encode(),
    "image, ECDSA": sign_image(b"image", DEVICE_KEY, role=Role.SERVICE).encode(),
    "image, CMAC": sign_image(b"image", MAC_KEY, role=Role.SERVICE).encode(),
}


@pytest.mark.parametrize("meaning", RECORDS)
@pytest.mark.parametrize("kind", [None, "signature"])
def test_a_signature_record(meaning: str, kind: str | None) -> None:
    data = RECORDS[meaning]
    layers = explain(data, CATALOGUE, kind)
    assert failures(layers) == []
    assert field(layers, "scheme").meaning == meaning
    assert sum(len(each.raw) for each in layers[0].fields) == len(data)
    if "response" not in meaning:
        assert field(layers, "role").meaning == "service"
    if "command" in meaning:
        assert field(layers, "valid from").value == "2021-06-14T15:27:08Z"


def test_a_record_that_signs_nothing() -> None:
    layers = explain(NO_SIGNATURE, CATALOGUE)
    assert field(layers, "scheme").meaning == "not signed"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x03\x53" + bytes(81), "no record begins with"),
        (b"", "no record begins with"),
        (RECORDS["command, ECDSA"][:-1], "at offset 11"),
        (RECORDS["command, ECDSA"][:-1] + b"\x01", "bytes after the signature, at offset"),
        (b"\x02\x53\x0c" + RECORDS["command, ECDSA"][3:], "unknown role 12, at offset 2"),
    ],
)
def test_a_record_that_is_none(data: bytes, said: str) -> None:
    [failure] = failures(explain(data, CATALOGUE, "signature"))
    assert said in failure


def test_only_whole_records_are_recognised() -> None:
    assert all(map(is_signature, RECORDS.values()))
    assert not is_signature(RECORDS["image, CMAC"] + b"\0")
    with pytest.raises(MalformedError, match="like nothing that is known"):
        explain(RECORDS["image, CMAC"] + b"\0", CATALOGUE)


def test_what_stands_inside_a_packet_is_explained_there() -> None:
    record = RECORDS["command, ECDSA"]
    message = Message(
        transaction=1,
        created_s=676_999_688,
        packet_type=0xA6,
        payload=DEVICE.encode(),
        signature_scheme=2,
        signature=record,
    )
    data = PACKET[:1].replace(b"\x02", b"\x00") + PACKET[1:ENVELOPE_BYTES] + message.encode()
    layers = explain(data, CATALOGUE)
    assert failures(layers) == []
    assert {"signature record", "S2_ADD_CERTIFICATE", "certificate body"} <= set(by_layer(layers))
    for layer in layers:
        for each in layer.fields:
            assert data[each.offset : each.offset + len(each.raw)] == each.raw


# Sealed packets


@pytest.fixture
def key(tmp_path: Path) -> str:
    """Return the path of a file with the session key of the captured frame."""
    path = tmp_path / "session.hex"
    path.write_text(SESSION_KEY.raw.hex() + "\n")
    path.chmod(0o600)
    return str(path)


def decode(capsys: pytest.CaptureFixture[str], *args: str) -> Outcome:
    return call_umi(capsys, "decode", *args)


@pytest.mark.parametrize(
    "more",
    [
        ["--commander", str(COMMANDER)],
        ["--iv", IV.hex()],
        [],
        ["--as", "frame", "--json", "--commander", str(COMMANDER)],
        ["-o", "csv"],
    ],
)
def test_the_captured_frame_opens(
    key: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = decode(capsys, FRAME.hex(), "--session-key", key, *more)
    assert outcome.exit == 0
    assert vector(FIELD)["fields"]["serial"] == "78340915"
    assert "78340915" in outcome.stdout
    assert SESSION_KEY.raw.hex() not in outcome.stdout + outcome.stderr


def test_the_key_may_be_raw_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raw").write_bytes(SESSION_KEY.raw)
    (tmp_path / "raw").chmod(0o600)
    monkeypatch.setenv("SESSION", SESSION_KEY.raw.hex())
    for source in (f"{tmp_path}/raw", "env:SESSION"):
        assert decode(capsys, FRAME.hex(), "--session-key", source).exit == 0


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--session-key", SESSION_KEY.raw.hex()], 2, "cannot stand on the command line"),
        (["--session-key", "/nonexistent"], 22, "names no file"),
        (["--session-key", "env:SHORT"], 22, "this is no session key"),
        (["--session-key", "env:KEY", "--iv", "00"], 2, "an IV has 12 bytes"),
        (["--session-key", "env:KEY", "--iv", "x"], 2, "not hex"),
        (["--commander", str(COMMANDER)], 2, "without a key"),
        (["--iv", IV.hex()], 2, "without a key"),
        (["--session-key", "env:OTHER"], 33, "does not open"),
        (["--session-key", "env:KEY", "--commander", "1"], 33, "does not open"),
    ],
)
def test_what_does_not_open(
    args: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEY", SESSION_KEY.raw.hex())
    monkeypatch.setenv("OTHER", "00" * 16)
    monkeypatch.setenv("SHORT", "00" * 15)
    outcome = decode(capsys, FRAME.hex(), *args)
    assert outcome.exit == code
    assert said in outcome.stderr
    assert "78340915" not in outcome.stdout
    assert SESSION_KEY.raw.hex() not in outcome.stderr


def assert_malformed(data: bytes, opener: SessionOpener) -> None:
    """Check that a packet fails, and that nothing is told of what it seals."""
    layers = explain(data, CATALOGUE, "packet", opener)
    assert failures(layers)
    assert not {"result", "code", "value"} & {e.name for layer in layers for e in layer.fields}


@pytest.mark.parametrize("bit", range(8))
def test_each_flipped_bit_of_the_packet_is_malformed(bit: int) -> None:
    opener = SessionOpener(key=SESSION_KEY, commander=COMMANDER)
    for place in range(len(PACKET)):
        data = bytearray(PACKET)
        data[place] ^= 1 << bit
        assert_malformed(bytes(data), opener)


@pytest.mark.parametrize("place", range(12))
def test_each_flipped_bit_of_the_iv_is_malformed(place: int) -> None:
    for bit in range(8):
        iv = bytearray(IV)
        iv[place] ^= 1 << bit
        assert_malformed(PACKET, SessionOpener(key=SESSION_KEY, iv=bytes(iv)))


def test_a_later_counter_of_the_same_low_byte() -> None:
    key, counter = SESSION_KEY, 0x3501
    iv = counter.to_bytes(4, "little") + COMMANDER.encode()
    sealed = crypto.gcm_seal(key, iv, octets(FIELD, "plaintext"), PACKET[:ENVELOPE_BYTES])
    opener = SessionOpener(key=key, commander=COMMANDER)
    assert failures(explain(PACKET[:ENVELOPE_BYTES] + sealed, CATALOGUE, "packet", opener)) == []


def test_the_opener_shows_no_key() -> None:
    assert SESSION_KEY.raw.hex() not in repr(SessionOpener(key=SESSION_KEY))
