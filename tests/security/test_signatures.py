"""Signature records: bytes, coverage, and signatures that naive decoders refuse."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load_vectors import octets
from umi_cli.application.packet import NO_SIGNATURE
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.errors import InputError, MalformedError, SignatureError
from umi_cli.security import signatures
from umi_cli.security.signatures import (
    CommandSignature,
    ImageSignature,
    Record,
    ResponseSignature,
    SigningKey,
    VerifyingKey,
)
from umi_cli.types import Role

KEY = PrivateKey.from_scalar(octets("s2-command-signature", "private_key"))
POINT = KEY.public_point
MAC_KEY = AesKey(octets("s1-command-signature", "key"))
PAIRS: list[tuple[SigningKey, VerifyingKey]] = [(KEY, POINT), (MAC_KEY, MAC_KEY)]
OTHERS: list[VerifyingKey] = [PrivateKey.generate().public_point, AesKey.generate()]
NOW_S = 0x30E8_7580 + 60

# Real signatures of KEY over packets of 32 zero bytes and a number (u32), found by search.
ENDS_IN_00 = bytes.fromhex(
    "304502207150c59358f19052108b0ecb8ec131fc2892dcecdc84f49d48e2bfe31b86e0f9"
    "0221009ea2c9e8a08b93f423484998e7c0f18f17c56890f54980745c215c810c85c900"
)
SHORT = bytes.fromhex(
    "3042021e3a353b5a35068bff070ee514faff1b785a1b9c30723eb46f241d26c64916"
    "02203e7d0963090c596f785f832e4a82388945214011357a7e0dda9a7e7585ab599d"
)
ODD = [(4, ENDS_IN_00), (43479, SHORT)]


def odd_packet(number: int) -> bytes:
    return bytes(32) + number.to_bytes(4, "little")


def split(name: str) -> tuple[bytes, bytes]:
    """Return a vector's packet, byte 0 put back, and its record."""
    record = octets(name, "record")
    return b"\x02" + octets(name, "to_be_signed").removesuffix(record[:11]), record


@pytest.mark.parametrize(
    ("name", "signer", "verifier"),
    [("s2-command-signature", KEY, POINT), ("s1-command-signature", MAC_KEY, MAC_KEY)],
)
def test_vectors(name: str, signer: SigningKey, verifier: VerifyingKey) -> None:
    packet, record = split(name)
    decoded = CommandSignature.decode(record)
    assert decoded.role is Role.MANUFACTURER
    assert decoded.valid_until_s - decoded.valid_from_s == 120
    assert decoded.encode() == record
    assert signatures.packet_signed_bytes(packet, decoded.prefix) == octets(name, "to_be_signed")
    signatures.verify_packet(packet, decoded, verifier)
    made = signatures.sign_command(
        packet,
        signer,
        role=decoded.role,
        valid_from_s=decoded.valid_from_s,
        valid_until_s=decoded.valid_until_s,
    )
    assert made == decoded


@pytest.mark.parametrize(("number", "der"), ODD)
def test_odd_signatures_are_taken(number: int, der: bytes) -> None:
    record = ResponseSignature(scheme=2, value=der).encode()
    assert len(record) == 74
    decoded = ResponseSignature.decode(record)
    assert decoded.value == der
    signatures.verify_packet(odd_packet(number), decoded, POINT)


@pytest.mark.parametrize(("number", "der"), ODD)
def test_bytes_after_the_signature_are_refused(number: int, der: bytes) -> None:
    record = ResponseSignature(scheme=2, value=der).encode()
    with pytest.raises(MalformedError, match="bytes after the signature"):
        ResponseSignature.decode(record[:-1] + b"\x01")


def wrong_der() -> list[bytes]:
    """Return encodings of the integers of `SHORT` that are not DER (after Wycheproof)."""
    r, s = SHORT[2:34], SHORT[34:]
    return [
        b"\x30\x81\x42" + r + s,  # long form of a short length
        b"\x30\x43" + r + s + b"\0",  # one byte more inside
        b"\x30\x41" + r + s,  # one byte less
        b"\x30\x43\x02\x1f\0" + r[2:] + s,  # leading zero
        b"\x30\x42" + s + r,  # swapped
        b"\x30\x20" + r,  # one integer
        b"\x31\x42" + r + s,  # SET
        b"\x30\x80" + r + s + b"\0\0",  # indefinite length
        b"\x30\x45" + r + s + b"\x02\x01\x01",  # three integers
        b"\x30\x42\x03" + r[1:] + s,  # other tag
        b"\x30\x06\x02\x01\x00\x02\x01\x00",  # zeros
        b"\x30\x00",
        b"\x30\x7f" + r + s,
        b"",
    ]


@pytest.mark.parametrize("der", wrong_der(), ids=lambda der: der[:8].hex())
def test_what_is_not_der_never_verifies(der: bytes) -> None:
    record = b"\x02\x4a" + der.ljust(72, b"\0")
    with pytest.raises((MalformedError, SignatureError)):
        signatures.verify_packet(odd_packet(43479), ResponseSignature.decode(record), POINT)


@pytest.mark.parametrize(("signer", "verifier"), PAIRS)
def test_all_records_round_trip(signer: SigningKey, verifier: VerifyingKey) -> None:
    packet, image = bytes(range(40)), b"image"
    command = signatures.sign_command(
        packet, signer, role=Role.SERVICE, valid_from_s=5, valid_until_s=9
    )
    response = signatures.sign_response(packet, signer)
    stamp = signatures.sign_image(image, signer, role=Role.SOFTWARE_PROVIDER)
    sizes = {1: (27, 18, 19), 2: (83, 74, 75)}[command.scheme]
    assert (len(command.encode()), len(response.encode()), len(stamp.encode())) == sizes
    assert (command.encode()[1], response.encode()[1], stamp.encode()[1]) == sizes
    assert stamp.role is Role.SOFTWARE_PROVIDER
    signatures.verify_packet(packet, CommandSignature.decode(command.encode()), verifier)
    signatures.verify_packet(packet, ResponseSignature.decode(response.encode()), verifier)
    signatures.verify_image(image, ImageSignature.decode(stamp.encode()), verifier)


@pytest.mark.parametrize(("signer", "verifier"), PAIRS)
def test_every_signed_byte_counts(signer: SigningKey, verifier: VerifyingKey) -> None:
    packet = bytes(range(40))
    record = signatures.sign_command(
        packet, signer, role=Role.SERVICE, valid_from_s=5, valid_until_s=9
    )
    for offset in range(40):
        changed = bytes(b ^ (i == offset) for i, b in enumerate(packet))
        if offset in (0, 20):  # encryption scheme and options: made when the packet is sealed
            signatures.verify_packet(changed, record, verifier)
        else:
            with pytest.raises(SignatureError):
                signatures.verify_packet(changed, record, verifier)
    for other in (
        replace(record, role=Role.USER),
        replace(record, valid_from_s=4),
        replace(record, valid_until_s=10),
    ):
        with pytest.raises(SignatureError):
            signatures.verify_packet(packet, other, verifier)


@pytest.mark.parametrize(("signer", "verifier"), PAIRS)
@given(pieces=st.lists(st.binary(max_size=70), max_size=5))
def test_an_image_in_pieces_is_signed_as_the_whole_is(
    signer: SigningKey, verifier: VerifyingKey, pieces: list[bytes]
) -> None:
    signing = signatures.ImageSigner(signer, role=Role.MANUFACTURER)
    verifying = signatures.ImageVerifier(verifier)
    false = signatures.ImageVerifier(verifier)
    for piece in pieces:
        signing.update(piece)
        verifying.update(piece)
        false.update(piece)
    stamp = signing.finish()
    assert stamp == signatures.sign_image(b"".join(pieces), signer, role=Role.MANUFACTURER)
    verifying.finish(stamp)
    with pytest.raises(SignatureError):
        false.finish(replace(stamp, role=Role.SOFTWARE_PROVIDER))


@pytest.mark.parametrize(("signer", "verifier"), PAIRS)
def test_other_keys_and_schemes_do_not_verify(signer: SigningKey, verifier: VerifyingKey) -> None:
    response = signatures.sign_response(b"packet", signer)
    stamp = signatures.sign_image(b"image", signer, role=Role.SERVICE)
    for other in OTHERS:
        with pytest.raises(SignatureError):
            signatures.verify_packet(b"packet", response, other)
        with pytest.raises(SignatureError):
            signatures.verify_image(b"image", stamp, other)
        verifying = signatures.ImageVerifier(other)
        verifying.update(b"image")
        with pytest.raises(SignatureError):
            verifying.finish(stamp)
    with pytest.raises(SignatureError):
        signatures.verify_image(b"emage", stamp, verifier)


def test_a_window_lies_around_the_devices_clock() -> None:
    assert signatures.command_window(1000) == (940, 1300)
    assert signatures.command_window(10) == (0, 310)
    week = signatures.MAX_WINDOW_S
    assert signatures.command_window(0xFFFF_FFF0, ahead_s=week) == (0xFFFF_FFB4, 0xFFFF_FFFF)
    for ahead_s in (-1, week + 1):
        with pytest.raises(InputError, match="7 days"):
            signatures.command_window(1000, ahead_s=ahead_s)


def test_both_ends_are_in_the_window() -> None:
    record = CommandSignature.decode(octets("s1-command-signature", "record"))
    start, end = record.valid_from_s, record.valid_until_s
    for moment in (start, NOW_S, end):
        assert record.is_valid_at(moment)
    for moment in (start - 1, end + 1):
        assert not record.is_valid_at(moment)


def test_a_window_does_not_end_before_it_begins() -> None:
    with pytest.raises(ValueError, match="before it begins"):
        CommandSignature(scheme=1, role=Role.USER, valid_from_s=2, valid_until_s=1, value=bytes(16))


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ("", "too short"),
        (NO_SIGNATURE.hex(), "unknown scheme 0"),
        ("031b", "unknown scheme 3"),
        ("011a" + "00" * 25, "wrong length byte"),
        ("021b" + "00" * 25, "wrong length byte"),
        ("011b0c" + "00" * 24, "unknown role 12"),
        ("011b05" + "02000000" + "01000000" + "00" * 16, "before it begins"),
        ("011b05" + "00" * 23, "too short"),
        ("011b05" + "00" * 25, "too many"),
    ],
)
def test_other_command_records_are_refused(record: str, fault: str) -> None:
    with pytest.raises(MalformedError, match=fault):
        CommandSignature.decode(bytes.fromhex(record))


HEADS = {CommandSignature: (83, 27), ResponseSignature: (74, 18), ImageSignature: (75, 19)}


@pytest.mark.parametrize("kind", [CommandSignature, ResponseSignature, ImageSignature])
@given(data=st.binary(max_size=90), scheme=st.sampled_from([1, 2]))
def test_garbage_raises_one_error_or_has_one_form(
    kind: type[CommandSignature | ResponseSignature | ImageSignature], data: bytes, scheme: int
) -> None:
    length = HEADS[kind][0 if scheme == 2 else 1]
    for record in (data, bytes([scheme, length]) + data[: length - 2].ljust(length - 2, b"\0")):
        with contextlib.suppress(MalformedError):
            decoded: Record = kind.decode(record)
            assert kind.decode(record).encode() == record
            assert record.startswith(decoded.prefix)
