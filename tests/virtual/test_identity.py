"""A virtual meter is given its keys and certificates from files."""

from pathlib import Path

import pytest

from tests.certificates.pki import AUTHORITY, AUTHORITY_ID, AUTHORITY_KEY, FALSE_KEY, ROOT
from tests.virtual.parties import KEYS, METER, SERVICE, party, role_key
from umi_cli.certificates.chain import encode_chain
from umi_cli.crypto import AesKey
from umi_cli.errors import InputError, KeyUnusableError
from umi_cli.security.keys import save_key
from umi_cli.types import Role, UmiId
from umi_cli.virtual.delivered import VIRTUAL_METER_ID, new_memory
from umi_cli.virtual.identity import (
    IdentityFiles,
    give_identity,
    parse_role_keys,
    parse_transport_keys,
)
from umi_cli.virtual.memory import Memory


@pytest.fixture
def memory() -> Memory:
    return new_memory("ei4", VIRTUAL_METER_ID)


@pytest.fixture
def files(tmp_path: Path) -> IdentityFiles:
    key, cert, anchor = (tmp_path / name for name in ("key.pem", "cert.cvc", "root.cvc"))
    save_key(key, METER.key)
    cert.write_bytes(METER.certificate.encode())
    anchor.write_bytes(ROOT.encode())
    return IdentityFiles(key=key, cert=cert, anchor=anchor)


def test_keys_and_certificates_are_taken_from_files(memory: Memory, files: IdentityFiles) -> None:
    give_identity(memory, files)
    vault = memory.vault
    assert vault.signer is not None
    assert vault.signer.public_point == METER.key.public_point
    assert (vault.chain, vault.anchors) == ((METER.certificate,), (ROOT,))


def test_what_is_not_given_stays(memory: Memory, files: IdentityFiles) -> None:
    give_identity(memory, files)
    before = memory.dump()
    give_identity(memory, IdentityFiles())
    assert memory.dump() == before


def test_a_chain_comes_with_what_is_above_it(memory: Memory, files: IdentityFiles) -> None:
    own = party(
        VIRTUAL_METER_ID.value,
        Role.METERING_DEVICE,
        issuer=AUTHORITY_ID,
        signer=AUTHORITY_KEY,
        key=METER.key,
    )
    assert files.cert is not None
    files.cert.write_bytes(encode_chain((own.certificate, AUTHORITY)))
    give_identity(memory, files)
    assert memory.vault.chain == (own.certificate, AUTHORITY)


@pytest.mark.parametrize(
    "other",
    [party(VIRTUAL_METER_ID.value, key=FALSE_KEY), party(7, key=METER.key)],
    ids=["for another key", "for another meter"],
)
def test_a_certificate_is_for_the_meter_and_its_key(
    memory: Memory, files: IdentityFiles, other: object
) -> None:
    assert files.cert is not None
    files.cert.write_bytes(other.certificate.encode())  # type: ignore[attr-defined]
    with pytest.raises(KeyUnusableError, match="for another key"):
        give_identity(memory, files)


def test_role_keys_stand_at_their_roles_place(memory: Memory, tmp_path: Path) -> None:
    """The others stay as they are."""
    wanted = {Role.SERVICE: tmp_path / "service.key", Role.USER: tmp_path / "user.key"}
    for role, path in wanted.items():
        save_key(path, role_key(role))
    give_identity(memory, IdentityFiles(role_keys=wanted))
    keys = memory.store.values[KEYS]
    for role in Role:
        expected = role_key(role).raw if role in wanted else bytes(16)
        assert keys[16 * role : 16 * role + 16] == expected


def test_role_keys_are_parsed() -> None:
    parsed = parse_role_keys("service:a.key,15:dir/b:c.key")
    assert parsed == {Role.SERVICE: Path("a.key"), Role.SECURITY_AUTHORITY: Path("dir/b:c.key")}


@pytest.mark.parametrize("text", ["", "service", "service:", "king:a.key", "service:a.key,"])
def test_role_keys_of_another_form(text: str) -> None:
    with pytest.raises(InputError):
        parse_role_keys(text)


def test_transport_keys_are_installed(memory: Memory, tmp_path: Path) -> None:
    """Those that the meter has already stay."""
    memory.vault.transport_keys[1] = role_key(Role.USER)
    save_key(tmp_path / "fleet.key", role_key(Role.SERVICE))
    give_identity(memory, IdentityFiles(transport_keys={7: tmp_path / "fleet.key"}))
    expected = {1: role_key(Role.USER), 7: role_key(Role.SERVICE)}
    assert memory.vault.transport_keys == expected


def test_transport_keys_are_parsed() -> None:
    parsed = parse_transport_keys("0:a.key,4294967295:dir/b:c.key")
    assert parsed == {0: Path("a.key"), 0xFFFF_FFFF: Path("dir/b:c.key")}


@pytest.mark.parametrize(
    "text", ["", "7", "7:", ":a.key", "x:a.key", "-1:a.key", "4294967296:a", "\u0663:a", "7:a,"]
)
def test_transport_keys_of_another_form(text: str) -> None:
    with pytest.raises(InputError, match="transport key"):
        parse_transport_keys(text)


def test_keys_of_the_wrong_kind(memory: Memory, files: IdentityFiles, tmp_path: Path) -> None:
    """A key of one scheme is none of the other's; and a datasheet may have no place for keys."""
    aes = tmp_path / "aes.key"
    save_key(aes, AesKey(bytes(16)))
    with pytest.raises(KeyUnusableError, match="no P-256 key"):
        give_identity(memory, IdentityFiles(key=aes))
    assert files.key is not None
    with pytest.raises(KeyUnusableError, match="no AES-128 key"):
        give_identity(memory, IdentityFiles(role_keys={Role.USER: files.key}))
    with pytest.raises(KeyUnusableError, match="no AES-128 key"):
        give_identity(memory, IdentityFiles(transport_keys={7: files.key}))
    sheet = tmp_path / "small.toml"
    sheet.write_text(
        'schema = "umi-datasheet/1"\nname = "small"\ntitle = "Small"\nbanks = ["umi.1.7"]\n'
    )
    small = new_memory(str(sheet), UmiId(1))
    if small.store.find("scheme-1-keys") is None:
        with pytest.raises(KeyUnusableError):
            give_identity(small, IdentityFiles(role_keys={Role.USER: aes}))


@pytest.mark.parametrize("content", [None, b"", b"garbage", SERVICE.certificate.encode()[:-1]])
def test_files_that_hold_no_certificate(
    memory: Memory, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "some.cvc"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KeyUnusableError, match="holds no certificate"):
        give_identity(memory, IdentityFiles(anchor=path))
    assert memory.vault.anchors == ()


def test_a_key_that_others_can_read_is_not_taken(memory: Memory, files: IdentityFiles) -> None:
    assert files.key is not None
    files.key.chmod(0o644)
    with pytest.raises(KeyUnusableError):
        give_identity(memory, files)
