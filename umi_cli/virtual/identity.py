"""How a virtual meter on the bench is given its keys and certificates from files.

A meter in the factory makes its own key pair; on the bench it is handy to hand one over.
"""

from dataclasses import dataclass, field
from pathlib import Path

from umi_cli import crypto
from umi_cli.certificates.chain import decode_chain
from umi_cli.certificates.cvc import Certificate
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.errors import InputError, KeyUnusableError, MalformedError
from umi_cli.security.keys import load_key
from umi_cli.types import Role
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.security import KEYS_OBJECT

MAX_KEY_ID = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityFiles:
    """The files that a virtual meter's identity comes from; what is None stays as it is."""

    key: Path | None = None
    """Its own P-256 key."""
    cert: Path | None = None
    """Its own certificate, with those above it behind it."""
    anchor: Path | None = None
    """The root that it trusts."""
    role_keys: dict[Role, Path] = field(default_factory=dict)
    """The scheme 1 key of each role."""
    transport_keys: dict[int, Path] = field(default_factory=dict)
    """The AES-128 keys that images may be encrypted with, by ID."""


def parse_role_keys(text: str) -> dict[Role, Path]:
    """Parse `service:service.key,user:user.key`; `InputError` if a role is unknown."""
    result = {}
    for item in text.split(","):
        role, _, path = item.partition(":")
        if not path:
            raise InputError(f"{item!r} names no key file", hint="write ROLE:FILE between commas")
        result[Role.parse(role)] = Path(path)
    return result


def parse_transport_keys(text: str) -> dict[int, Path]:
    """Parse `7:fleet.key,8:spare.key`; `InputError` if an ID is no number of 32 bits."""
    result = {}
    for item in text.split(","):
        key_id, _, path = item.partition(":")
        is_number = key_id.isascii() and key_id.isdigit() and len(key_id) <= len(str(MAX_KEY_ID))
        if not path or not is_number or int(key_id) > MAX_KEY_ID:
            raise InputError(
                f"{item!r} names no transport key",
                hint=f"write ID:FILE between commas; an ID is a number of 0 to {MAX_KEY_ID}",
            )
        result[int(key_id)] = Path(path)
    return result


def give_identity(memory: Memory, files: IdentityFiles) -> None:
    """Load what the files hold into a meter's memory.

    Raises:
        KeyUnusableError: a file cannot be read, or holds no such key or certificate.
    """
    vault = memory.vault
    if files.key is not None:
        vault.signer = _load_signer(files.key)
    if files.anchor is not None:
        vault.anchors = _load_certificates(files.anchor)
    if files.cert is not None:
        vault.chain = _load_certificates(files.cert)
    if vault.chain and vault.signer:
        own = vault.chain[0].body
        if own.public_point != vault.signer.public_point or own.subject != memory.umi_id:
            raise KeyUnusableError(
                f"the meter's certificate is for {own.subject}, or for another key",
                hint=f"issue one for {memory.umi_id} from a request made with the meter's key",
            )
    for role, path in files.role_keys.items():
        _set_role_key(memory, role, path)
    for key_id, path in files.transport_keys.items():
        vault.transport_keys[key_id] = _load_aes_key(path)


def _load_signer(path: Path) -> PrivateKey:
    key = load_key(path)
    if not isinstance(key, PrivateKey):
        raise KeyUnusableError(f"{path} holds no P-256 key", hint="make one with: umi key new")
    return key


def _load_certificates(path: Path) -> tuple[Certificate, ...]:
    try:
        return decode_chain(path.read_bytes())
    except (OSError, MalformedError) as error:
        raise KeyUnusableError(f"{path} holds no certificate: {error}") from error


def _load_aes_key(path: Path) -> AesKey:
    key = load_key(path)
    if not isinstance(key, AesKey):
        raise KeyUnusableError(
            f"{path} holds no AES-128 key", hint="make one with: umi key new --type aes128"
        )
    return key


def _set_role_key(memory: Memory, role: Role, path: Path) -> None:
    key = _load_aes_key(path)
    definition = memory.store.find(KEYS_OBJECT)
    if definition is None:
        raise KeyUnusableError(f"the meter has no place for {path}: its datasheet has no keys")
    keys = bytearray(memory.store.values[definition.code])
    place = role * crypto.AES_KEY_BYTES
    keys[place : place + crypto.AES_KEY_BYTES] = key.raw
    memory.store.values[definition.code] = bytes(keys)
