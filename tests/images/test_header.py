"""The header of a package: its bytes, and everything that is none."""

import io
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.images.independent import split
from tests.images.packages import LABEL, NONCE, RECIPIENT_KEY
from umi_cli.certificates.authorisation import TargetRange
from umi_cli.errors import InputError, MalformedError
from umi_cli.images.failures import LengthError
from umi_cli.images.header import (
    MAX_HEADER_BYTES,
    MAX_IMAGE_BYTES,
    ImageHeader,
    ImageKind,
    ImageLabel,
    Sealing,
    Version,
    is_package,
    read_header,
)
from umi_cli.types import UmiId

PLAIN = ImageHeader(
    kind=ImageKind.DEVICE, label=LABEL, image_bytes=5, image_sha256=bytes(range(32))
)
WITH_KEY = replace(PLAIN, is_signed=True, sealing=Sealing(key_id=9, nonce=NONCE))
TO_DEVICE = replace(
    PLAIN, is_signed=True, sealing=Sealing(nonce=NONCE, c0=RECIPIENT_KEY.public_point)
)
HEADERS = [PLAIN, replace(PLAIN, is_signed=True), WITH_KEY, TO_DEVICE]

u8s, u32s = st.integers(0, 0xFF), st.integers(0, 0xFFFF_FFFF)
ids = st.builds(UmiId, st.integers(0, 0xFFFF_FFFF_FFFF_FFFF))
ranges = st.tuples(ids, ids).map(
    lambda pair: TargetRange(lowest=min(pair), highest=max(pair)),
)
labels = st.builds(
    ImageLabel,
    model=st.from_regex(r"[ -~]{0,15}[!-~]", fullmatch=True),
    version=st.builds(Version, u8s, u8s, u8s),
    slot=u8s,
    targets=ranges,
    built_s=st.integers(0, 5),
    not_after_s=st.sampled_from([0, 5, 0xFFFF_FFFF]),
)
sealings = st.builds(
    Sealing,
    key_id=u32s,
    nonce=st.binary(min_size=12, max_size=12),
    c0=st.sampled_from([b"", RECIPIENT_KEY.public_point]),
)
headers = st.builds(
    ImageHeader,
    kind=st.sampled_from(ImageKind),
    label=labels,
    image_bytes=st.integers(1, MAX_IMAGE_BYTES),
    image_sha256=st.binary(min_size=32, max_size=32),
    is_signed=st.booleans(),
    sealing=st.none() | sealings,
)


def test_the_bytes_are_those_of_the_notes() -> None:
    assert PLAIN.encode().hex() == (
        "554d4931" + "5800" + "01" + "00"
        "00000000fe7e2300" + "ffff0000fe7e2300"
        "00050101" + LABEL.built_s.to_bytes(4, "little").hex()
        + LABEL.not_after_s.to_bytes(4, "little").hex()
        + "05000000" + bytes(range(32)).hex()
        + b"EISGMv0".hex() + "00" * 9
    )  # fmt: skip
    assert [len(header.encode()) for header in HEADERS] == [88, 88, 105, 170]
    assert [header.length_bytes for header in HEADERS] == [88, 88, 105, 170]
    assert WITH_KEY.encode()[88:] == bytes.fromhex("09000000") + NONCE + b"\0"
    assert TO_DEVICE.encode()[88:] == bytes(4) + NONCE + b"\x41" + RECIPIENT_KEY.public_point
    assert len(TO_DEVICE.encode()) == MAX_HEADER_BYTES


def test_the_signed_form_is_that_before_encryption() -> None:
    assert TO_DEVICE.signed_form == replace(PLAIN, is_signed=True).encode()
    assert PLAIN.signed_form == WITH_KEY.signed_form


@given(headers)
def test_round_trip(header: ImageHeader) -> None:
    data = header.encode()
    assert ImageHeader.decode(data) == header
    assert read_header(io.BytesIO(data + b"more")) == header
    assert is_package(data)


@given(headers)
def test_a_second_reader_sees_the_same(header: ImageHeader) -> None:
    found = split(replace(header, sealing=header.sealing or Sealing(nonce=NONCE)).encode())
    label = header.label
    assert found["kind"] == header.kind
    assert found["signed"] == header.is_signed
    assert found["targets"] == (label.targets.lowest.value, label.targets.highest.value)
    assert found["version"] == (label.version.major, label.version.minor, label.version.bugfix)
    assert (found["slot"], found["model"]) == (label.slot, label.model)
    assert (found["built"], found["not_after"]) == (label.built_s, label.not_after_s)
    assert (found["image_length"], found["sha256"]) == (header.image_bytes, header.image_sha256)
    if header.sealing:
        assert (found["key_id"], found["nonce"]) == (header.sealing.key_id, header.sealing.nonce)
        assert found["c0"] == header.sealing.c0


def put(offset: int, form: str, *values: Any) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        struct.pack_into(form, changed, offset, *values)
        return bytes(changed)

    return change


@pytest.mark.parametrize(
    ("header", "change", "fault"),
    [
        (PLAIN, put(0, "4s", b"UMI2"), "does not begin with UMI1"),
        (PLAIN, put(4, "<H", 87), "says that it has 87 bytes, its flags say 88"),
        (PLAIN, put(4, "<H", 105), "says that it has 105 bytes"),
        (WITH_KEY, put(4, "<H", 170), "says that it has 170 bytes, its flags say 105"),
        (TO_DEVICE, put(4, "<H", 88), "says that it has 88 bytes"),
        (PLAIN, put(6, "B", 0), "0 is not a valid ImageKind"),
        (PLAIN, put(6, "B", 3), "3 is not a valid ImageKind"),
        (PLAIN, put(7, "B", 4), "unknown flags 0x04"),
        (PLAIN, put(7, "B", 0x80), "unknown flags 0x80"),
        (PLAIN, put(8, "<QQ", 2, 1), "wrong way round"),
        (PLAIN, put(28, "<II", 9, 8), "before it was built"),
        (PLAIN, put(36, "<I", 0), "has 1 to 4294967034 bytes, not 0"),
        (PLAIN, put(36, "<I", MAX_IMAGE_BYTES + 1), "has 1 to 4294967034 bytes"),
        (PLAIN, put(72, "16s", bytes(16)), "printable"),
        (PLAIN, put(72, "16s", b"a\0b"), "printable"),
        (PLAIN, put(72, "16s", b"a "), "printable"),
        (PLAIN, put(72, "16s", b"a\n"), "printable"),
        (PLAIN, put(72, "16s", b"a".ljust(16)), "printable"),
        (PLAIN, put(72, "16s", b"\xe9"), "ascii"),
        (WITH_KEY, put(104, "B", 64), "65 bytes or none, not 64"),
        (WITH_KEY, put(104, "B", 65), "C0 needs 65 bytes"),
        (TO_DEVICE, put(104, "B", 0), "65 bytes too many"),
        (TO_DEVICE, put(105, "B", 2), "65 bytes, 04"),
        (TO_DEVICE, put(169, "B", 1), "not a point of the curve"),
        (PLAIN, lambda data: data + b"\0", "1 bytes too many"),
        (PLAIN, lambda data: data[:-1], "too short"),
        (WITH_KEY, lambda data: data[:-1], "too short"),
        (TO_DEVICE, lambda data: data[:-1], "too short"),
        (PLAIN, lambda data: data[:3], "does not begin"),
        (PLAIN, lambda data: b"", "does not begin"),
    ],
)
def test_what_is_no_header(
    header: ImageHeader, change: Callable[[bytes], bytes], fault: str
) -> None:
    with pytest.raises(MalformedError, match=fault):
        ImageHeader.decode(change(header.encode()))


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_that_is_cut_off(header: ImageHeader) -> None:
    data = header.encode()
    for length in range(4, len(data)):
        with pytest.raises(LengthError, match="image header is cut off"):
            read_header(io.BytesIO(data[:length]))
    with pytest.raises(MalformedError, match="does not begin with UMI1"):
        read_header(io.BytesIO(data[:3]))
    with pytest.raises(MalformedError, match="C0 has 65 bytes or none, not 66"):
        read_header(io.BytesIO(put(104, "B", 66)(WITH_KEY.encode())))


@given(st.binary(max_size=180), headers, st.integers(0, 170), st.binary(min_size=1, max_size=8))
def test_garbage_raises_one_error_or_has_one_form(
    garbage: bytes, header: ImageHeader, offset: int, patch: bytes
) -> None:
    data = header.encode()
    spoilt = data[:offset] + patch + data[offset + len(patch) :]
    for each in (garbage, b"UMI1" + garbage, spoilt, data[:offset]):
        with suppress(MalformedError):
            assert ImageHeader.decode(each).encode() == each
        with suppress(MalformedError):
            assert each.startswith(read_header(io.BytesIO(each)).encode())


def test_versions() -> None:
    assert Version.parse(" 1.5.0 ") == Version(1, 5, 0)
    assert str(Version(10, 0, 255)) == "10.0.255"
    assert Version(1, 9, 0) < Version(1, 10, 0) < Version(2, 0, 0)
    for text in ("", "1.5", "1.5.0.0", "1.5.256", "1.5.x", "v1.5.0", "1.5.-1", "1.5.\u0663"):
        with pytest.raises(InputError, match="is not a version"):
            Version.parse(text)
    with pytest.raises(ValueError, match="past 255"):
        Version(1, 2, 256)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"slot": 256}, "slot"),
        ({"built_s": -1}, "time"),
        ({"not_after_s": 1 << 32}, "time"),
        ({"model": "x" * 17}, "model"),
    ],
)
def test_what_is_no_label(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        replace(LABEL, **changes)


def test_what_is_no_sealing_and_no_hash() -> None:
    with pytest.raises(ValueError, match="nonce"):
        Sealing(nonce=bytes(11))
    with pytest.raises(ValueError, match="32 bits"):
        Sealing(key_id=1 << 32, nonce=NONCE)
    with pytest.raises(ValueError, match="SHA-256"):
        replace(PLAIN, image_sha256=b"")
