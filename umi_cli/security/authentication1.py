"""How do two parties prove to each other that they hold a role's key? (protocol 6.2, scheme 1)

# choice: after ISO/IEC 9798-4, with identities, role and direction bound into each tag:
# CMAC(key, "UMI-S1-AUTH-v1" ‖ direction u8 ‖ role u8 ‖ ID ‖ ID ‖ nonce ‖ nonce), 64 bytes.

The supplicant A wants the role; the authenticator B grants it. A verifies tag B before it sends
tag A, so that a false meter learns nothing.
"""

import os
from dataclasses import dataclass

from umi_cli import crypto, wire
from umi_cli.crypto import AesKey
from umi_cli.errors import AuthenticationError, SignatureError
from umi_cli.types import Role, UmiId

NONCE_BYTES = 16

_LABEL = b"UMI-S1-AUTH-v1"
_FROM_SUPPLICANT = 1
_FROM_AUTHENTICATOR = 2


def new_nonce() -> bytes:
    """Return a fresh random nonce."""
    return os.urandom(NONCE_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """What both sides know of one authentication, before any tag."""

    role: Role
    supplicant: UmiId
    authenticator: UmiId
    nonce_a: bytes
    """The supplicant's 16 bytes."""
    nonce_b: bytes
    """The authenticator's 16 bytes."""

    def __post_init__(self) -> None:
        # protocol 6.2: equal IDs or nonces are refused; they would let a tag be reflected
        if self.supplicant == self.authenticator:
            raise AuthenticationError("both sides have the same UMI ID")
        if self.nonce_a == self.nonce_b:
            raise AuthenticationError("both sides have the same nonce")
        if not len(self.nonce_a) == len(self.nonce_b) == NONCE_BYTES:
            raise AuthenticationError(f"a nonce has {NONCE_BYTES} bytes")

    def tag_a(self, key: AesKey) -> bytes:
        """Return the supplicant's proof."""
        return crypto.cmac(key, self._text_a())

    def tag_b(self, key: AesKey) -> bytes:
        """Return the authenticator's proof."""
        return crypto.cmac(key, self._text_b())

    def verify_tag_a(self, key: AesKey, tag: bytes) -> None:
        """Verify the supplicant's proof; `AuthenticationError` if it does not hold the key."""
        _verify(key, tag, self._text_a(), "the supplicant")

    def verify_tag_b(self, key: AesKey, tag: bytes) -> None:
        """Verify the authenticator's proof; `AuthenticationError` if it does not hold the key."""
        _verify(key, tag, self._text_b(), "the device")

    def _text_a(self) -> bytes:
        ids = self.supplicant.encode() + self.authenticator.encode()
        return self._head(_FROM_SUPPLICANT) + ids + self.nonce_a + self.nonce_b

    def _text_b(self) -> bytes:
        ids = self.authenticator.encode() + self.supplicant.encode()
        return self._head(_FROM_AUTHENTICATOR) + ids + self.nonce_b + self.nonce_a

    def _head(self, direction: int) -> bytes:
        return _LABEL + wire.u8(direction) + wire.u8(self.role)


def _verify(key: AesKey, tag: bytes, text: bytes, who: str) -> None:
    try:
        crypto.verify_cmac(key, tag, text)
    except SignatureError as error:
        raise AuthenticationError(f"{who} does not hold the key of this role") from error
