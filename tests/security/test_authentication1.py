"""Scheme 1: both proofs, and what they bind."""

from dataclasses import replace
from typing import Any

import pytest

from tests.load_vectors import octets, vector
from umi_cli.crypto import AesKey
from umi_cli.errors import AuthenticationError
from umi_cli.security.authentication1 import NONCE_BYTES, Handshake, new_nonce
from umi_cli.types import Role, UmiId

NAME = "s1-authentication"
KEY = AesKey(octets(NAME, "key"))
HANDSHAKE = Handshake(
    role=Role(vector(NAME)["role"]),
    supplicant=UmiId.parse(vector(NAME)["supplicant"]),
    authenticator=UmiId.parse(vector(NAME)["authenticator"]),
    nonce_a=octets(NAME, "nonce_a"),
    nonce_b=octets(NAME, "nonce_b"),
)


def test_vector() -> None:
    assert HANDSHAKE.tag_a(KEY) == octets(NAME, "tag_a")
    assert HANDSHAKE.tag_b(KEY) == octets(NAME, "tag_b")
    HANDSHAKE.verify_tag_a(KEY, octets(NAME, "tag_a"))
    HANDSHAKE.verify_tag_b(KEY, octets(NAME, "tag_b"))


@pytest.mark.parametrize(
    "changes",
    [
        {"role": Role.USER},
        {"supplicant": UmiId(1)},
        {"authenticator": UmiId(1)},
        {"nonce_a": bytes(16)},
        {"nonce_b": bytes(16)},
        {"supplicant": HANDSHAKE.authenticator, "authenticator": HANDSHAKE.supplicant},
        {"nonce_a": HANDSHAKE.nonce_b, "nonce_b": HANDSHAKE.nonce_a},
    ],
)
def test_tags_bind_all_of_the_handshake(changes: dict[str, Any]) -> None:
    other = replace(HANDSHAKE, **changes)
    with pytest.raises(AuthenticationError, match="the supplicant does not hold"):
        other.verify_tag_a(KEY, HANDSHAKE.tag_a(KEY))
    with pytest.raises(AuthenticationError, match="the device does not hold"):
        other.verify_tag_b(KEY, HANDSHAKE.tag_b(KEY))


def test_a_tag_cannot_be_sent_back() -> None:
    mirrored = replace(
        HANDSHAKE,
        supplicant=HANDSHAKE.authenticator,
        authenticator=HANDSHAKE.supplicant,
        nonce_a=HANDSHAKE.nonce_b,
        nonce_b=HANDSHAKE.nonce_a,
    )
    with pytest.raises(AuthenticationError):
        mirrored.verify_tag_a(KEY, HANDSHAKE.tag_b(KEY))
    with pytest.raises(AuthenticationError):
        HANDSHAKE.verify_tag_b(KEY, HANDSHAKE.tag_a(KEY))


@pytest.mark.parametrize("tag", [b"", HANDSHAKE.tag_a(KEY)[:-1], HANDSHAKE.tag_a(KEY) + b"\0"])
def test_a_tag_has_its_length(tag: bytes) -> None:
    with pytest.raises(AuthenticationError):
        HANDSHAKE.verify_tag_a(KEY, tag)


def test_another_key_proves_nothing() -> None:
    with pytest.raises(AuthenticationError):
        HANDSHAKE.verify_tag_a(AesKey.generate(), HANDSHAKE.tag_a(KEY))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"supplicant": HANDSHAKE.authenticator}, "same UMI ID"),
        ({"nonce_a": HANDSHAKE.nonce_b}, "same nonce"),
        ({"nonce_a": bytes(15)}, "16 bytes"),
        ({"nonce_b": bytes(17)}, "16 bytes"),
    ],
)
def test_handshakes_that_could_be_reflected_are_refused(
    changes: dict[str, Any], fault: str
) -> None:
    with pytest.raises(AuthenticationError, match=fault):
        replace(HANDSHAKE, **changes)


def test_nonces_are_fresh() -> None:
    assert len(new_nonce()) == NONCE_BYTES
    assert new_nonce() != new_nonce()
