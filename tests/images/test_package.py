"""Packages as a whole: built, read in pieces, taken apart by a second reader; and hostile ones."""

import hashlib
import io
import struct
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.images import independent
from tests.images.packages import (
    IMAGE,
    KEY_ID,
    LABEL,
    RECIPIENT_KEY,
    ROLE_KEY,
    TRANSPORT_KEY,
    built,
    product,
    sealed_to,
    sealed_with,
    signed,
)
from umi_cli import crypto
from umi_cli.errors import ImageInvalidError, InputError, MalformedError
from umi_cli.images import build
from umi_cli.images.build import build_device, build_product
from umi_cli.images.failures import LengthError
from umi_cli.images.header import ImageHeader, ImageKind, Sealing, Version
from umi_cli.images.package import MAX_PARTS, Contents, PackageReader
from umi_cli.images.streams import CHUNK_BYTES, Listener

images = st.binary(min_size=1, max_size=300)
MODEM = replace(LABEL, model="modem", version=Version(2, 0, 1))


class Dribble(io.BytesIO):
    """A pipe that never brings more than a few bytes at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(7, size or 0) if size != -1 else 7)


def read(package: bytes, *listeners: Listener) -> Contents:
    return PackageReader(io.BytesIO(package)).read(*listeners)


def opened(package: bytes, key: crypto.AesKey) -> Contents:
    reader = PackageReader(io.BytesIO(package))
    reader.open(key)
    return reader.read()


# Built


def test_a_second_reader_takes_a_built_package_apart() -> None:
    found = independent.split(built())
    assert (found["kind"], found["signed"], found["encrypted"]) == (1, False, False)
    assert (found["image"], found["record"]) == (IMAGE, b"")
    assert (found["model"], found["version"], found["slot"]) == ("EISGMv0", (1, 5, 0), 1)


def test_the_same_image_and_label_make_the_same_bytes() -> None:
    assert built() == built()
    assert signed() == signed()


@given(images)
def test_what_is_built_is_read(image: bytes) -> None:
    heard: list[bytes] = []
    package = built(image)
    contents = read(package, heard.append)
    assert b"".join(heard) == image
    assert contents.has_right_hash
    assert contents.sha256 == hashlib.sha256(image).digest()
    assert (contents.length_bytes, contents.record, contents.parts) == (len(package), None, ())


def test_pieces_of_any_size_will_do() -> None:
    out = io.BytesIO(b"")
    build_device(Dribble(IMAGE), out, LABEL)
    assert out.getvalue() == built()
    for package in (built(), signed(), product(signed(), built())):
        assert PackageReader(Dribble(package)).read() == read(package)


def test_no_piece_is_longer_than_a_chunk() -> None:
    heard: list[bytes] = []
    read(built(), heard.append)
    assert [len(piece) for piece in heard] == [CHUNK_BYTES, len(IMAGE) - CHUNK_BYTES]


def test_a_package_may_stand_anywhere_in_a_file() -> None:
    out = io.BytesIO()
    out.write(b"before")
    header = build_device(io.BytesIO(IMAGE), out, LABEL)
    out.write(b"after")
    assert out.getvalue() == b"before" + built() + b"after"
    assert header.encode() == built()[:88]


@pytest.mark.parametrize(("image", "fault"), [(b"", "is empty"), (b"123456", "up to 5 bytes")])
def test_images_that_are_none(monkeypatch: pytest.MonkeyPatch, image: bytes, fault: str) -> None:
    monkeypatch.setattr(build, "MAX_IMAGE_BYTES", 5)
    with pytest.raises(InputError, match=fault):
        built(image)


# Products


def test_a_product_holds_the_packages_of_its_devices() -> None:
    packages = [signed(), sealed_with(signed()), built(b"modem", MODEM)]
    package = product(*packages)
    found = independent.split(package)
    assert found["kind"] == ImageKind.PRODUCT
    assert independent.parts(found["image"]) == packages
    contents = read(package)
    assert [part.header.label for part in contents.parts] == [LABEL, LABEL, MODEM]
    assert [part.has_right_hash for part in contents.parts] == [True, None, True]
    assert [part.length_bytes for part in contents.parts] == [len(each) for each in packages]
    assert contents.parts[1].record is None
    contents.check_hash()
    out = io.BytesIO()
    header, parts = build_product([io.BytesIO(each) for each in packages], out, LABEL)
    assert (header, parts) == (contents.header, contents.parts)


@pytest.mark.parametrize("count", [0, MAX_PARTS + 1])
def test_a_product_has_some_parts(count: int) -> None:
    with pytest.raises(InputError, match="1 to 64 packages"):
        product(*[built(b"x")] * count)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (product(built(b"x")), "malformed"),
        (b"firmware", "malformed"),
        (built()[:-1], "wrong-length"),
        (built() + b"\0", "wrong-length"),
        (built()[:-1] + b"X", "wrong-hash"),
    ],
)
def test_what_is_no_part(part: bytes, reason: str) -> None:
    with pytest.raises(ImageInvalidError) as caught:
        product(built(b"x"), part)
    assert caught.value.reason == reason


def test_a_part_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MAX_IMAGE_BYTES", len(built()) - 1)
    with pytest.raises(InputError, match="this package has more"):
        product(built())


def of_parts(image: bytes) -> bytes:
    """Return a product whose image is that, whatever it is."""
    header = ImageHeader(
        kind=ImageKind.PRODUCT,
        label=LABEL,
        image_bytes=len(image),
        image_sha256=hashlib.sha256(image).digest(),
    )
    return header.encode() + image


def part(package: bytes, more: int = 0) -> bytes:
    return struct.pack("<I", len(package) + more) + package


SMALL = built(b"image")
HOSTILE_PRODUCTS = {
    "no part": (b"x", "part 1: its length is cut off"),
    "half a length": (part(SMALL) + b"\1\0\0", "part 2: its length is cut off"),
    "a part longer than the product": (part(SMALL, 1), "part 1: it is said to have 94 bytes, 93"),
    "a huge part": (b"\xff\xff\xff\xff" + SMALL, "part 1: it is said to have 4294967295 bytes"),
    "a part of nothing": (part(b""), "part 1: .*does not begin with UMI1"),
    "a part that is cut off": (part(SMALL[:-1]), "part 1: the image is cut off"),
    "a part whose header is cut off": (part(SMALL[:60]), "part 1: image header is cut off"),
    "a part with more behind it": (part(SMALL + b"\0"), "part 1: the package goes on"),
    "a part with much behind it": (part(SMALL + bytes(999)), "part 1: the package goes on"),
    "a product": (part(product(SMALL)), "part 1: a product stands inside a product"),
    "a product as second part": (part(SMALL) + part(product(SMALL)), "part 2: a product stands"),
    "garbage": (part(b"UMI1" + bytes(100)), "part 1: image header"),
    "a damaged record": (part(signed()[:-75] + bytes(75)), "part 1: image signature"),
    "too many parts": (part(SMALL) * (MAX_PARTS + 1), "more than 64 parts"),
}


@pytest.mark.parametrize("name", HOSTILE_PRODUCTS)
def test_hostile_products(name: str) -> None:
    image, fault = HOSTILE_PRODUCTS[name]
    with pytest.raises(MalformedError, match=fault):
        read(of_parts(image))
    sealed = sealed_by_hand(signed_anyhow(of_parts(image)))
    assert read(sealed).parts == ()  # nobody sees it
    with pytest.raises(MalformedError, match=fault):
        opened(sealed, TRANSPORT_KEY)
    with pytest.raises(ImageInvalidError) as caught:
        opened(sealed, ROLE_KEY)  # what a wrong key makes of it is not told
    assert caught.value.reason == "bad-tag"


def signed_anyhow(package: bytes) -> bytes:
    """Return a product as a device package, signed, and then a product again."""
    device = package[:6] + b"\1" + package[7:]
    return signed(device)[:6] + b"\2" + signed(device)[7:]


def sealed_by_hand(package: bytes) -> bytes:
    """Return a package encrypted with the transport key, whatever is in it."""
    sealing = Sealing(nonce=bytes(12))
    header = replace(ImageHeader.decode(package[:88]), sealing=sealing).encode()
    return header + crypto.gcm_seal(TRANSPORT_KEY, sealing.nonce, package[88:], header)


def test_a_hostile_product_may_be_sealed_only_by_hand() -> None:
    with pytest.raises(ImageInvalidError):
        sealed_with(signed_anyhow(of_parts(part(product(SMALL)))))


# Lengths


FORMS = {
    "plain": built(),
    "signed": signed(),
    "signed under scheme 1": signed(key=ROLE_KEY),
    "encrypted": sealed_with(signed()),
    "encrypted under scheme 1": sealed_with(signed(key=ROLE_KEY)),
    "encrypted to a device": sealed_to(signed()),
    "product": product(signed(), built(b"modem", MODEM)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_package_that_is_cut_off(form: str) -> None:
    package = FORMS[form]
    for end in [*range(4, 400), *range(len(package) - 200, len(package))]:
        if form.startswith("encrypted") and len(package) - end == 75 - 19:
            continue  # as long as under scheme 1: only who opens it can tell
        with pytest.raises(MalformedError, match=r"cut off|no known end|too short"):
            read(package[:end])


@pytest.mark.parametrize("form", FORMS)
def test_a_package_with_something_behind_it(form: str) -> None:
    for more in (b"\0", bytes(57), bytes(300), FORMS[form]):
        with pytest.raises(LengthError, match=r"goes on after its end|no known end"):
            read(FORMS[form] + more)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("by", [-70_000, -76, -1, 1, 16, 75, 0x7000_0000])
def test_an_image_length_that_lies(form: str, by: int) -> None:
    package = bytearray(FORMS[form])
    (length,) = struct.unpack_from("<I", package, 36)
    struct.pack_into("<I", package, 36, length + by)
    with pytest.raises(MalformedError):
        read(bytes(package))


def test_flags_that_lie() -> None:
    for package, flags in ((built(), 1), (signed(), 0), (sealed_with(signed()), 2)):
        changed = package[:7] + bytes([flags]) + package[8:]
        with pytest.raises(LengthError):
            read(changed)


def test_what_is_encrypted_is_not_told() -> None:
    heard: list[bytes] = []
    package = sealed_to(signed())
    contents = read(package, heard.append)
    assert (heard, contents.sha256, contents.record) == ([], None, None)
    assert contents.has_right_hash is None
    assert contents.length_bytes == len(package)
    contents.check_hash()


def test_a_key_for_what_is_not_encrypted_is_no_matter() -> None:
    assert opened(signed(), TRANSPORT_KEY) == read(signed())


# Garbage


@given(st.binary(max_size=250))
def test_garbage_raises_one_error(data: bytes) -> None:
    for each in (data, b"UMI1" + data, SMALL[:88] + data):
        with suppress(MalformedError):
            assert read(each).length_bytes == len(each)


SMALL_FORMS = [
    SMALL,
    signed(SMALL),
    signed(SMALL, ROLE_KEY),
    product(SMALL, signed(SMALL)),
    sealed_with(signed(product(SMALL, signed(SMALL)))),
    sealed_to(signed(SMALL)),
]


@given(
    st.sampled_from(SMALL_FORMS),
    st.integers(0, 600),
    st.binary(max_size=6),
    st.integers(0, 6),
)
def test_a_spoilt_package_raises_the_errors_of_its_room(
    package: bytes, offset: int, patch: bytes, removed: int
) -> None:
    """Whatever is changed: a form of its own, or one of the two errors."""
    spoilt = package[:offset] + patch + package[offset + removed :]
    with suppress(MalformedError, ImageInvalidError):
        reader = PackageReader(io.BytesIO(spoilt))
        sealing = reader.header.sealing
        if sealing and sealing.c0:
            reader.open(crypto.decapsulate(RECIPIENT_KEY, sealing.c0))
        elif sealing:
            assert sealing.key_id >= 0
            reader.open(TRANSPORT_KEY)
        contents = reader.read()
        assert contents.length_bytes == len(spoilt)
        if sealing:
            assert spoilt == package  # every byte of it is bound


def test_the_key_id_is_bound_as_well() -> None:
    package = bytearray(sealed_with(signed(SMALL)))
    assert package[88] == KEY_ID
    package[88] ^= 1
    with pytest.raises(ImageInvalidError, match="cannot be decrypted"):
        opened(bytes(package), TRANSPORT_KEY)


def test_a_sealing_without_a_record() -> None:
    """Nobody makes such a package here, and a device may meet one."""
    contents = opened(sealed_by_hand(SMALL), TRANSPORT_KEY)
    assert contents.has_right_hash
    assert contents.record is None
