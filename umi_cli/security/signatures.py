"""How is a packet or an image signed? (protocol 5)

A signature record ends every packet. Its decoder takes the DER signature up to where its own
length byte says, for real signatures may end in 00, and wants zeros after it.

The signed bytes are the packet from byte 1 on, with byte 20 (encryption options) as 0, and the
record up to where the signature or MAC begins. `packet` below is the packet without its record,
unencrypted: 21 bytes in the clear, 11-byte header, payload.
"""

from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeVar

from umi_cli import crypto, wire
from umi_cli.application.packet import ENVELOPE_BYTES
from umi_cli.crypto import AesKey, Signer
from umi_cli.errors import InputError, MalformedError, SignatureError
from umi_cli.types import Role
from umi_cli.wire import Reader

SCHEME_MAC = 1
SCHEME_ECDSA = 2

WINDOW_BEFORE_S = 60  # how far the device's clock may lie behind ours
WINDOW_AFTER_S = 300
MAX_WINDOW_S = 7 * 24 * 3600  # a command signed ahead, offline

_HEAD_BYTES = 2  # scheme and length
_VALUE_BYTES = {SCHEME_MAC: crypto.MAC_BYTES, SCHEME_ECDSA: crypto.MAX_DER_SIGNATURE_BYTES}
_DER_SEQUENCE = 0x30
_DER_LONG_LENGTH = 0x80
_ENCRYPTION_OPTIONS = 20  # offset in the packet

SigningKey = Signer | AesKey
"""Scheme 2 signs with a P-256 key, scheme 1 with the role's AES-128 key."""

VerifyingKey = bytes | AesKey
"""Scheme 2 verifies with the public point of a verified certificate."""


class Record(Protocol):
    """A signature record: a scheme, what is signed with it, and the signature or MAC."""

    @property
    def scheme(self) -> int:
        """Return 1 or 2."""

    @property
    def value(self) -> bytes:
        """Return the DER signature, or the MAC."""

    @property
    def prefix(self) -> bytes:
        """Return the record up to where the signature or MAC begins."""


def _head(scheme: int, fields_bytes: int) -> bytes:
    return bytes([scheme, _HEAD_BYTES + fields_bytes + _VALUE_BYTES[scheme]])


def _encode(record: Record) -> bytes:
    return record.prefix + record.value.ljust(_VALUE_BYTES[record.scheme], b"\0")


def _read_head(record: bytes, fields_bytes: int, what: str) -> tuple[Reader, int]:
    """Return a reader past the head, and the scheme."""
    reader = Reader(record, what=what)
    scheme = reader.u8("scheme")
    if scheme not in _VALUE_BYTES:
        raise MalformedError(f"{what} has an unknown scheme {scheme}", offset=0)
    if reader.u8("length") != _head(scheme, fields_bytes)[1]:
        raise MalformedError(f"{what} has a wrong length byte", offset=1)
    return reader, scheme


def _read_value(reader: Reader, scheme: int, what: str) -> bytes:
    """Take the signature or MAC, which ends the record."""
    start = reader.offset
    value = reader.take(_VALUE_BYTES[scheme], "signature")
    reader.end()
    if scheme == SCHEME_MAC:
        return value
    end = _HEAD_BYTES + value[1]  # of the DER SEQUENCE
    if value[0] != _DER_SEQUENCE or value[1] >= _DER_LONG_LENGTH or end > len(value):
        raise MalformedError(f"{what} holds no DER signature", offset=start)
    if any(value[end:]):
        raise MalformedError(f"{what} has bytes after the signature", offset=start + end)
    return value[:end]


def _read_role(reader: Reader, what: str) -> Role:
    number = reader.u8("role")
    try:
        return Role(number)
    except ValueError as error:
        raise MalformedError(f"{what} has an unknown role {number}", offset=2) from error


# Command record:
#  0  u8 scheme             2  u8 role            7  u32 valid until
#  1  u8 length of it all   3  u32 valid from    11  72 bytes DER and zeros, or 16 bytes MAC
@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSignature:
    """Who commands, from when until when in the device's time, and the proof."""

    scheme: int
    role: Role
    valid_from_s: int
    """UMI datetime."""
    valid_until_s: int
    """UMI datetime, inclusive."""
    value: bytes

    def __post_init__(self) -> None:
        if self.valid_from_s > self.valid_until_s:
            raise ValueError("the command's window ends before it begins")

    @property
    def prefix(self) -> bytes:
        """Return the record up to where the signature or MAC begins."""
        window = wire.u32(self.valid_from_s) + wire.u32(self.valid_until_s)
        return _head(self.scheme, 9) + wire.u8(self.role) + window

    def encode(self) -> bytes:
        """Return the 83 or 27 bytes."""
        return _encode(self)

    @classmethod
    def decode(cls, record: bytes) -> Self:
        """Decode a command's record; `MalformedError` if it is none."""
        what = "command signature"
        reader, scheme = _read_head(record, 9, what)
        role = _read_role(reader, what)
        start, end = reader.u32("valid from"), reader.u32("valid until")
        if start > end:
            raise MalformedError(f"{what} ends before it begins", offset=3)
        value = _read_value(reader, scheme, what)
        return cls(scheme=scheme, role=role, valid_from_s=start, valid_until_s=end, value=value)

    def is_valid_at(self, device_s: int) -> bool:
        """Tell whether that UMI datetime of the device's clock lies in the window."""
        return self.valid_from_s <= device_s <= self.valid_until_s


# Response record: 0 u8 scheme, 1 u8 length of it all, 2 DER and zeros (72) or MAC (16)
@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseSignature:
    """The proof that a response is the device's."""

    scheme: int
    value: bytes

    @property
    def prefix(self) -> bytes:
        """Return the record up to where the signature or MAC begins."""
        return _head(self.scheme, 0)

    def encode(self) -> bytes:
        """Return the 74 or 18 bytes."""
        return _encode(self)

    @classmethod
    def decode(cls, record: bytes) -> Self:
        """Decode a response's record; `MalformedError` if it is none."""
        reader, scheme = _read_head(record, 0, "response signature")
        return cls(scheme=scheme, value=_read_value(reader, scheme, "response signature"))


# Image record: 0 u8 scheme, 1 u8 length of it all, 2 u8 role, 3 DER and zeros (72) or MAC (16)
@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSignature:
    """Who stands for an image, and the proof."""

    scheme: int
    role: Role
    value: bytes

    @property
    def prefix(self) -> bytes:
        """Return the record up to where the signature or MAC begins."""
        return _head(self.scheme, 1) + wire.u8(self.role)

    def encode(self) -> bytes:
        """Return the 75 or 19 bytes."""
        return _encode(self)

    @classmethod
    def decode(cls, record: bytes) -> Self:
        """Decode an image's record; `MalformedError` if it is none."""
        what = "image signature"
        reader, scheme = _read_head(record, 1, what)
        role = _read_role(reader, what)
        return cls(scheme=scheme, role=role, value=_read_value(reader, scheme, what))


class ImageSigner:
    """Signs an image that comes piece by piece, for it may not fit into memory.

    Args:
        key: a P-256 key, or a role's AES key under scheme 1.
        role: whose stamp it is to be.
    """

    __slots__ = ("_key", "_stream", "_unsigned")

    def __init__(self, key: SigningKey, *, role: Role) -> None:
        self._key = key
        self._stream = _begin(key)
        self._unsigned = ImageSignature(scheme=_scheme_of(key), role=role, value=b"")

    def update(self, piece: bytes) -> None:
        """Take the next piece: header in signed form, then the plain image (protocol 7)."""
        self._stream.update(piece)

    def finish(self) -> ImageSignature:
        """Return the record."""
        self._stream.update(self._unsigned.prefix)
        value = self._stream.finish()
        if not isinstance(self._key, AesKey):
            value = self._key.sign_digest(value)
        return replace(self._unsigned, value=value)


class ImageVerifier:
    """Verifies the record of an image that comes piece by piece.

    Args:
        key: the signer's public point, or a role's AES key under scheme 1.
    """

    __slots__ = ("_key", "_stream")

    def __init__(self, key: VerifyingKey) -> None:
        self._key = key
        self._stream = _begin(key)

    def update(self, piece: bytes) -> None:
        """Take the next piece: header in signed form, then the plain image (protocol 7)."""
        self._stream.update(piece)

    def finish(self, record: ImageSignature) -> None:
        """Verify the record that follows what came.

        Raises:
            SignatureError: that key did not sign it, or the record is of another scheme.
        """
        _check_scheme(record, self._key)
        self._stream.update(record.prefix)
        if isinstance(self._key, AesKey):
            crypto.compare_macs(self._stream.finish(), record.value)
        else:
            crypto.verify_digest(self._key, record.value, self._stream.finish())


def _begin(key: SigningKey | VerifyingKey) -> crypto.Cmac | crypto.Sha256:
    return crypto.Cmac(key) if isinstance(key, AesKey) else crypto.Sha256()


PacketSignature = CommandSignature | ResponseSignature

_AnyRecord = TypeVar("_AnyRecord", CommandSignature, ResponseSignature, ImageSignature)


def packet_signed_bytes(packet: bytes, prefix: bytes) -> bytes:
    """Return what the signature of a packet covers."""
    # choice: protocol 5: a signature is made before encryption, so byte 20 counts as 0
    return packet[1:_ENCRYPTION_OPTIONS] + b"\0" + packet[ENVELOPE_BYTES:] + prefix


def command_window(device_s: int, *, ahead_s: int = WINDOW_AFTER_S) -> tuple[int, int]:
    """Return from when until when a command is to hold, around the device's clock.

    Args:
        device_s: the device's clock, a UMI datetime.
        ahead_s: how long after it the command may still run.

    Raises:
        InputError: that is more than seven days, or negative.
    """
    if not 0 <= ahead_s <= MAX_WINDOW_S:
        raise InputError("a command may be signed up to 7 days ahead")
    return max(device_s - WINDOW_BEFORE_S, 0), min(device_s + ahead_s, 0xFFFF_FFFF)


def sign_command(
    packet: bytes, key: SigningKey, *, role: Role, valid_from_s: int, valid_until_s: int
) -> CommandSignature:
    """Sign a command packet for a role and a window of the device's time."""
    unsigned = CommandSignature(
        scheme=_scheme_of(key),
        role=role,
        valid_from_s=valid_from_s,
        valid_until_s=valid_until_s,
        value=b"",
    )
    return _sign(unsigned, packet_signed_bytes(packet, unsigned.prefix), key)


def sign_response(packet: bytes, key: SigningKey) -> ResponseSignature:
    """Sign a response packet."""
    unsigned = ResponseSignature(scheme=_scheme_of(key), value=b"")
    return _sign(unsigned, packet_signed_bytes(packet, unsigned.prefix), key)


def sign_image(image: bytes, key: SigningKey, *, role: Role) -> ImageSignature:
    """Sign an image: its header in signed form and its plain bytes (protocol 7)."""
    unsigned = ImageSignature(scheme=_scheme_of(key), role=role, value=b"")
    return _sign(unsigned, image + unsigned.prefix, key)


def verify_packet(packet: bytes, record: PacketSignature, key: VerifyingKey) -> None:
    """Verify the record of a packet; its window is the caller's to check.

    Raises:
        SignatureError: that key did not sign it, or the record is of another scheme than the key.
    """
    _verify(record, packet_signed_bytes(packet, record.prefix), key)


def verify_image(image: bytes, record: ImageSignature, key: VerifyingKey) -> None:
    """Verify the record of an image, given as to `sign_image`; `SignatureError` otherwise."""
    _verify(record, image + record.prefix, key)


def _scheme_of(key: SigningKey | VerifyingKey) -> int:
    return SCHEME_MAC if isinstance(key, AesKey) else SCHEME_ECDSA


def _sign(unsigned: _AnyRecord, data: bytes, key: SigningKey) -> _AnyRecord:
    value = crypto.cmac(key, data) if isinstance(key, AesKey) else key.sign(data)
    return replace(unsigned, value=value)


def _check_scheme(record: Record, key: VerifyingKey) -> None:
    if record.scheme != _scheme_of(key):
        raise SignatureError(f"the signature is of scheme {record.scheme}, the key is not")


def _verify(record: Record, data: bytes, key: VerifyingKey) -> None:
    _check_scheme(record, key)
    if isinstance(key, AesKey):
        crypto.verify_cmac(key, record.value, data)
    else:
        crypto.verify(key, record.value, data)
