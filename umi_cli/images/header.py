"""What does the header of an image package say, byte by byte? (protocol 7)

It stands in the clear, and whoever signs or encrypts the package binds it. Decoding is strict:
what decodes has exactly one encoding.
"""

import re
from dataclasses import dataclass, field, replace
from enum import IntEnum
from struct import Struct
from typing import Self

from umi_cli import crypto
from umi_cli.certificates.authorisation import TargetRange
from umi_cli.certificates.tlv import malformed
from umi_cli.errors import InputError, MalformedError
from umi_cli.images.streams import Source, take, take_up_to
from umi_cli.types import MAX_DATETIME_S, UmiId
from umi_cli.wire import Reader

MAGIC = b"UMI1"
PLAIN_BYTES = 88
NONCE_BYTES = 12
HASH_BYTES = 32
MODEL_BYTES = 16
MAX_HEADER_BYTES = 170  # with the sealing of an encrypted package, C0 in it

SIGNED, ENCRYPTED = 1, 2

# choice: protocol 7 gives u32 for the image; the package around it must fit the u32 of
# IMAGE_START as well: header, image, signature record (75), tag (16). An empty image is none.
MAX_IMAGE_BYTES = 0xFFFF_FFFF - MAX_HEADER_BYTES - 75 - crypto.TAG_BYTES

# choice: protocol 7 says ascii[16] for the model; we take 1 to 16 printable characters, no blank
# at the end, and zeros after them, so that two headers that look alike are alike.
_MODEL = re.compile(r"[\x20-\x7e]{0,15}[\x21-\x7e]")

_WHAT = "image header"
_LENGTH_AT, _FLAGS_AT = 4, 7
_HEADER = Struct("<4sHBBQQBBBBIII32s16s")
_SEALING = Struct("<I12sB")
_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)


class ImageKind(IntEnum):
    """What a package is."""

    DEVICE = 1
    """An image for one device."""
    PRODUCT = 2
    """Device packages for the devices of a product, one after the other."""


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """The version of an image, `1.5.0`; versions compare as people read them."""

    major: int
    """0..255, as the others."""
    minor: int
    bugfix: int

    def __post_init__(self) -> None:
        if not all(0 <= number <= 0xFF for number in (self.major, self.minor, self.bugfix)):
            raise ValueError(f"a number of the version {self} is past 255")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `major.minor.bugfix`.

        Raises:
            InputError: it has another form, or a number past 255.
        """
        match = _VERSION.fullmatch(text.strip())
        numbers = [int(number) for number in match.groups()] if match else []
        if not numbers or max(numbers) > 0xFF:
            raise InputError(
                f"{text!r} is not a version",
                hint="write three numbers of 0 to 255, such as 1.5.0",
            )
        return cls(*numbers)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.bugfix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLabel:
    """What a package is for, as its builder decides."""

    model: str
    """1 to 16 printable ASCII characters."""
    version: Version
    slot: int = 0
    """Which of the device's image slots, 0..255."""
    targets: TargetRange
    """The devices that it is for."""
    built_s: int
    """UMI datetime; 0 is not set."""
    not_after_s: int = 0
    """UMI datetime after which it is not to be installed; 0 is never."""

    def __post_init__(self) -> None:
        if not _MODEL.fullmatch(self.model):
            raise ValueError(f"a model is 1 to {MODEL_BYTES} printable ASCII characters")
        if not 0 <= self.slot <= 0xFF:
            raise ValueError(f"a slot is a number from 0 to 255, not {self.slot}")
        if not all(0 <= each <= MAX_DATETIME_S for each in (self.built_s, self.not_after_s)):
            raise ValueError("a time does not fit a UMI datetime")
        if 0 < self.not_after_s < self.built_s:
            raise ValueError("it is not to be installed after a time before it was built")


# Sealing, after the 88 bytes of the header under flag 2:
#  0  u32 transport key ID    4  12 bytes nonce    16  u8 n, 65 or 0    17  n bytes C0
@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """How a package is encrypted: with which transport key, and under which nonce."""

    # choice: protocol 7 says nothing of the key ID beside a C0; we write 0 and take any.
    key_id: int = 0
    """0..2³²-1: a transport key that the device has; without meaning where there is a C0."""
    nonce: bytes
    """12 bytes, never twice under one transport key."""
    c0: bytes = field(default=b"", repr=False)
    """The ephemeral point from which the device derives the transport key; or nothing."""

    def __post_init__(self) -> None:
        if not 0 <= self.key_id <= 0xFFFF_FFFF:
            raise ValueError(f"the ID of a transport key is 32 bits, not {self.key_id:#x}")
        if len(self.nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(self.nonce)}")
        if self.c0:
            crypto.check_point(self.c0)

    def encode(self) -> bytes:
        """Return the 17 bytes, and C0."""
        return _SEALING.pack(self.key_id, self.nonce, len(self.c0)) + self.c0

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take a sealing; `MalformedError` if it is cut, or C0 is none."""
        key_id, nonce, n = _SEALING.unpack(reader.take(_SEALING.size, "sealing"))
        if n not in (0, crypto.POINT_BYTES):
            raise MalformedError(
                f"{_WHAT}: C0 has {crypto.POINT_BYTES} bytes or none, not {n}",
                offset=reader.offset - 1,
            )
        return cls(key_id=key_id, nonce=nonce, c0=reader.take(n, "C0"))


# Header:
#  0  4   "UMI1"                           24  u8  bugfix, u8 minor, u8 major
#  4  u16 header length: 88, 105 or 170    27  u8  slot
#  6  u8  kind: 1 device, 2 product        28  u32 built, datetime
#  7  u8  flags: 1 signed, 2 encrypted     32  u32 not after, datetime; 0 none
#  8  u64 lowest target UMI ID             36  u32 image length
# 16  u64 highest target UMI ID            40  32  SHA-256 of the image
#                                          72  16  model, ASCII and zeros
@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """What stands before the image: what it is for, how long it is, how it is protected."""

    kind: ImageKind
    label: ImageLabel
    image_bytes: int
    """Length of the image, 1..`MAX_IMAGE_BYTES`."""
    image_sha256: bytes = field(repr=False)
    """Of the plain image."""
    is_signed: bool = False
    """A signature record follows the image."""
    sealing: Sealing | None = None
    """How image and record are encrypted; None if they are not."""

    def __post_init__(self) -> None:
        if not 1 <= self.image_bytes <= MAX_IMAGE_BYTES:
            raise ValueError(f"an image has 1 to {MAX_IMAGE_BYTES} bytes, not {self.image_bytes}")
        if len(self.image_sha256) != HASH_BYTES:
            raise ValueError(f"a SHA-256 has {HASH_BYTES} bytes")

    @property
    def length_bytes(self) -> int:
        """Return how long the header itself is."""
        return PLAIN_BYTES + (len(self.sealing.encode()) if self.sealing else 0)

    @property
    def signed_form(self) -> bytes:
        """Return the 88 bytes that a signature covers: flag 2 cleared, header length 88."""
        return replace(self, is_signed=True, sealing=None).encode()

    def encode(self) -> bytes:
        """Return the 88, 105 or 170 bytes."""
        label, version = self.label, self.label.version
        head = _HEADER.pack(
            MAGIC,
            self.length_bytes,
            self.kind,
            self.is_signed * SIGNED | (self.sealing is not None) * ENCRYPTED,
            label.targets.lowest.value,
            label.targets.highest.value,
            version.bugfix,
            version.minor,
            version.major,
            label.slot,
            label.built_s,
            label.not_after_s,
            self.image_bytes,
            self.image_sha256,
            label.model.encode("ascii"),
        )
        return head + (self.sealing.encode() if self.sealing else b"")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode exactly one header.

        Raises:
            MalformedError: the bytes are anything else.
        """
        _check_magic(data)
        reader = Reader(data, what=_WHAT)
        (
            _,
            length_bytes,
            kind,
            flags,
            lowest,
            highest,
            bugfix,
            minor,
            major,
            slot,
            built_s,
            not_after_s,
            image_bytes,
            image_sha256,
            model,
        ) = _HEADER.unpack(reader.take(PLAIN_BYTES, "header"))
        if flags & ~(SIGNED | ENCRYPTED):
            raise MalformedError(f"{_WHAT} has unknown flags {flags:#04x}", offset=_FLAGS_AT)
        with malformed(_WHAT):
            label = ImageLabel(
                model=model.rstrip(b"\0").decode("ascii"),
                version=Version(major, minor, bugfix),
                slot=slot,
                targets=TargetRange(lowest=UmiId(lowest), highest=UmiId(highest)),
                built_s=built_s,
                not_after_s=not_after_s,
            )
            header = cls(
                kind=ImageKind(kind),
                label=label,
                image_bytes=image_bytes,
                image_sha256=image_sha256,
                is_signed=bool(flags & SIGNED),
                sealing=Sealing.read(reader) if flags & ENCRYPTED else None,
            )
        reader.end()
        if length_bytes != len(data):
            raise MalformedError(
                f"{_WHAT} says that it has {length_bytes} bytes, its flags say {len(data)}",
                offset=_LENGTH_AT,
            )
        return header


def is_package(data: bytes) -> bool:
    """Tell whether bytes begin as a package does."""
    return data.startswith(MAGIC)


def _check_magic(data: bytes) -> None:
    if not is_package(data):
        raise MalformedError("this is no image package: it does not begin with UMI1", offset=0)


def read_header(source: Source) -> ImageHeader:
    """Take the header that a package begins with; its flags say where it ends.

    Raises:
        LengthError: it is cut off.
        MalformedError: it is none.
    """
    data = take_up_to(source, len(MAGIC))
    _check_magic(data)
    data += take(source, PLAIN_BYTES - len(data), _WHAT)
    if data[_FLAGS_AT] & ENCRYPTED:
        data += take(source, _SEALING.size, _WHAT)
        if data[-1] == crypto.POINT_BYTES:
            data += take(source, crypto.POINT_BYTES, _WHAT)
    return ImageHeader.decode(data)
