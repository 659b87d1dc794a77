"""The vault of a virtual meter: what it keeps, how much of it, for how long, and in which form."""

import contextlib
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates.pki import (
    AUTHORITY,
    AUTHORITY_ID,
    AUTHORITY_KEY,
    DEVICE,
    FALSE_KEY,
    NOW,
    ROOT,
    UNTIL,
    make_key,
    make_root,
    standard,
)
from tests.virtual.parties import METER, SERVICE, USER, party, vault
from umi_cli.application.codes import ResultCode
from umi_cli.certificates.cvc import Certificate, CertificateName
from umi_cli.crypto import PrivateKey
from umi_cli.errors import UmiError
from umi_cli.types import EPOCH, Role, UmiId
from umi_cli.virtual.delivered import VIRTUAL_METER_ID as OWN_ID
from umi_cli.virtual.refusal import Refusal
from umi_cli.virtual.vault import (
    KEY_TABLE_SIZE,
    REVOCATION_SIZE,
    USED_SIGNATURES,
    Vault,
)

DOCUMENTED = (ValueError, KeyError, TypeError, OverflowError, UmiError)
NOW_S = int((NOW - EPOCH).total_seconds())
UNTIL_S = int((UNTIL - EPOCH).total_seconds())


def refused(code: ResultCode) -> Any:
    return pytest.raises(Refusal, match=f"^{code.name}$")


def name(number: int) -> CertificateName:
    return CertificateName(issuer=UmiId(1), subject=UmiId(number), serial=b"\x01\x02")


def full() -> Vault:
    filled = vault(SERVICE, USER)
    filled.revoke(name(7), NOW_S)
    filled.revoke(USER.certificate.body.name, NOW_S)
    filled.ask(name(9))
    filled.use_signature(bytes(range(16)), NOW_S + 300, NOW_S)
    return filled


def comparable(content: Vault) -> dict[str, Any]:
    return {**content.dump(), "asked": sorted(content.dump()["asked"])}


# --- Its form in a state file --------------------------------------------------------------------


@pytest.mark.parametrize("content", [Vault(), vault(), full()], ids=["empty", "new", "full"])
def test_a_vault_round_trips(content: Vault) -> None:
    """Through JSON and back, to the letter: keys, chains, tables, revocations, used signatures."""
    again = Vault.load(json.loads(json.dumps(content.dump())))
    assert comparable(again) == comparable(content)
    assert again.key_table == content.key_table
    assert (again.chain, again.anchors) == (content.chain, content.anchors)
    assert (again.revoked, again.asked) == (content.revoked, content.asked)
    assert again.used_signatures == content.used_signatures
    if content.signer:
        assert again.signer is not None
        assert again.signer.public_point == content.signer.public_point


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
HEX = st.text("0123456789abcdef", max_size=80)


@given(st.data())
def test_garbage_in_a_field_raises_what_is_documented(data: st.DataObject) -> None:
    """Whatever stands in a field, `load` gives a vault or one of its documented errors."""
    content = full().dump()
    for field in data.draw(st.lists(st.sampled_from(sorted(content)), min_size=1, max_size=3)):
        content[field] = data.draw(
            JSON | HEX | st.lists(HEX, max_size=2) | st.lists(st.tuples(HEX, JSON), max_size=2)
        )
    with contextlib.suppress(*DOCUMENTED):
        Vault.load(content)


@pytest.mark.parametrize("until", [float("inf"), float("nan"), None, "soon", [1]])
def test_a_window_that_is_no_number_is_none(until: Any) -> None:
    for entries in ({"used": [["00" * 16, until]]}, {"revoked": [[name(1).encode().hex(), until]]}):
        with pytest.raises(DOCUMENTED):
            Vault.load({**full().dump(), **entries})


@given(JSON)
def test_garbage_as_a_whole_raises_what_is_documented(content: Any) -> None:
    with pytest.raises(DOCUMENTED):
        Vault.load(content)


def test_a_damaged_certificate_is_none() -> None:
    content = full().dump()
    for field in ("anchors", "key_table"):
        for damage in ("7f21", content[field][0] + "00", "zz"):
            with pytest.raises(DOCUMENTED):
                Vault.load({**content, field: [damage]})


def test_nothing_shows_the_key() -> None:
    """Not in a repr; it stands in the state file, which is its owner's alone."""
    shown = repr(full())
    scalar = METER.key.to_pkcs8()[36:68].hex()
    assert scalar in full().dump()["key"]
    assert scalar not in shown
    assert "signer" not in shown


# --- The first root ------------------------------------------------------------------------------


def test_the_first_root_is_taken_while_there_is_none() -> None:
    empty = Vault()
    empty.add(ROOT.encode(), OWN_ID, NOW)
    assert empty.anchors == (ROOT,)
    other = Certificate.sign(make_root(subject=UmiId(9), issuer=UmiId(9)).body, FALSE_KEY)
    with refused(ResultCode.UNKNOWN_ISSUER):
        empty.add(other.encode(), OWN_ID, NOW)
    assert empty.anchors == (ROOT,)
    assert empty.key_table == {}


def test_a_root_is_self_signed_by_an_authority() -> None:
    with refused(ResultCode.INVALID_CERTIFICATE_SIGNATURE):
        Vault().add(Certificate.sign(ROOT.body, FALSE_KEY).encode(), OWN_ID, NOW)
    with refused(ResultCode.INVALID_CERTIFICATE):
        Vault().add(make_root(authorisation=standard()).encode(), OWN_ID, NOW)


def test_without_a_root_nobody_else_is_taken() -> None:
    empty = Vault()
    for certificate in (DEVICE, AUTHORITY, SERVICE.certificate):
        with refused(ResultCode.UNKNOWN_ISSUER):
            empty.add(certificate.encode(), OWN_ID, NOW)
    assert (empty.anchors, empty.key_table) == ((), {})


# --- The key table -------------------------------------------------------------------------------


def test_the_key_table_has_its_limit() -> None:
    content = vault(*(party(number) for number in range(0x100, 0x100 + KEY_TABLE_SIZE)))
    with refused(ResultCode.KEY_TABLE_FULL):
        content.add(SERVICE.certificate.encode(), OWN_ID, NOW)
    assert len(content.key_table) == KEY_TABLE_SIZE
    content.relinquish(UmiId(0x100))
    content.add(SERVICE.certificate.encode(), OWN_ID, NOW)
    assert content.key_table[SERVICE.umi_id] == SERVICE.certificate


def test_a_party_is_trusted_as_long_as_its_certificate() -> None:
    """Asked anew each time: it may have ended, or its issuer may be gone."""
    content = vault(SERVICE)
    assert content.peer(SERVICE.umi_id, OWN_ID, NOW) == (SERVICE.certificate, Role.SERVICE)
    with refused(ResultCode.INVALID_CERTIFICATE):
        content.peer(SERVICE.umi_id, OWN_ID, UNTIL + timedelta(seconds=1))
    with refused(ResultCode.INVALID_CERTIFICATE):
        content.peer(SERVICE.umi_id, OWN_ID, SERVICE.certificate.body.valid_from - timedelta(1))
    content.anchors = ()
    with refused(ResultCode.UNKNOWN_ISSUER):
        content.peer(SERVICE.umi_id, OWN_ID, NOW)


def test_a_newer_certificate_takes_the_place_of_an_older_one_alone() -> None:
    """While the newer one holds; one that has ended gives way to any."""
    newer = party(
        0x51, valid_from=NOW - timedelta(1), valid_until=NOW + timedelta(1), serial=b"\x05"
    )
    content = vault(SERVICE)
    content.add(newer.certificate.encode(), OWN_ID, NOW)
    with refused(ResultCode.ALREADY_INSTALLED):
        content.add(SERVICE.certificate.encode(), OWN_ID, NOW)
    content.add(newer.certificate.encode(), OWN_ID, NOW)
    assert content.key_table == {SERVICE.umi_id: newer.certificate}
    content.add(SERVICE.certificate.encode(), OWN_ID, NOW + timedelta(2))
    assert content.key_table == {SERVICE.umi_id: SERVICE.certificate}


# --- Revocations ---------------------------------------------------------------------------------


def test_a_revocation_is_kept_until_the_certificate_would_have_ended() -> None:
    """To the second; of one that the meter never saw nobody knows when that is."""
    content = vault(SERVICE)
    content.revoke(SERVICE.certificate.body.name, NOW_S)
    assert content.key_table == {}
    content.revoke(name(7), UNTIL_S)
    assert set(content.revoked) == {SERVICE.certificate.body.name, name(7)}
    with refused(ResultCode.INVALID_CERTIFICATE):
        content.add(SERVICE.certificate.encode(), OWN_ID, NOW)
    content.revoke(name(8), UNTIL_S + 1)
    assert content.revoked == {name(7): 0xFFFF_FFFF, name(8): 0xFFFF_FFFF}


def test_the_party_leaves_the_key_table_though_memory_is_full() -> None:
    content = vault(SERVICE)
    for number in range(REVOCATION_SIZE):
        content.revoke(name(number), NOW_S)
    with refused(ResultCode.OUT_OF_REVOCATION_MEMORY):
        content.revoke(SERVICE.certificate.body.name, NOW_S)
    assert content.key_table == {}
    assert len(content.revoked) == REVOCATION_SIZE
    content.revoke(name(0), NOW_S)  # it is there already


def test_ended_revocations_make_room() -> None:
    short = [
        party(number, valid_until=NOW + timedelta(hours=1))
        for number in range(0x100, 0x100 + REVOCATION_SIZE)
    ]
    content = vault(*short)
    for each in short:
        content.revoke(each.certificate.body.name, NOW_S)
    with refused(ResultCode.OUT_OF_REVOCATION_MEMORY):
        content.revoke(name(1), NOW_S + 3600)
    content.revoke(name(1), NOW_S + 3601)
    assert content.revoked == {name(1): 0xFFFF_FFFF}


def test_a_revocation_names_one_certificate_of_a_party() -> None:
    """Its next one, with another serial number, is none of it."""
    content = vault(SERVICE)
    content.revoke(SERVICE.certificate.body.name, NOW_S)
    content.add(party(0x51, serial=b"\x55").certificate.encode(), OWN_ID, NOW)
    assert content.peer(SERVICE.umi_id, OWN_ID, NOW)[1] is Role.SERVICE


def test_what_hangs_on_a_revoked_authority_is_no_longer_trusted() -> None:
    child = party(0x77, issuer=AUTHORITY_ID, signer=AUTHORITY_KEY)
    content = vault(SERVICE)
    content.add(AUTHORITY.encode(), OWN_ID, NOW)
    content.add(child.certificate.encode(), OWN_ID, NOW)
    content.revoke(AUTHORITY.body.name, NOW_S)
    with refused(ResultCode.UNKNOWN_ISSUER):
        content.peer(child.umi_id, OWN_ID, NOW)
    content.drop_untrusted(OWN_ID, NOW)
    assert set(content.key_table) == {SERVICE.umi_id}


def test_questions_have_their_limit() -> None:
    content = vault()
    for number in range(REVOCATION_SIZE):
        content.ask(name(number))
    content.ask(name(0))
    with refused(ResultCode.OUT_OF_REVOCATION_MEMORY):
        content.ask(name(REVOCATION_SIZE))
    assert len(content.asked) == REVOCATION_SIZE


# --- Used signatures -----------------------------------------------------------------------------


def test_a_signature_is_used_once_until_its_window_has_closed() -> None:
    content = vault()
    content.use_signature(b"a" * 16, 200, 100)
    for now_s in (100, 150, 200):
        with refused(ResultCode.INVALID_SIGNATURE):
            content.use_signature(b"a" * 16, 200, now_s)
    content.use_signature(b"b" * 16, 300, 201)
    assert content.used_signatures == {b"b" * 16: 300}


def test_used_signatures_have_their_limit() -> None:
    content = vault()
    for number in range(USED_SIGNATURES):
        content.use_signature(number.to_bytes(16, "big"), 200, 100)
    with refused(ResultCode.UNAVAILABLE):
        content.use_signature(b"a" * 16, 200, 100)
    content.use_signature(b"a" * 16, 300, 201)
    assert content.used_signatures == {b"a" * 16: 300}


# --- Its own identity ----------------------------------------------------------------------------


def test_a_key_pair_is_made_once() -> None:
    content = Vault()
    with refused(ResultCode.NO_PUBLIC_KEY):
        content.request(OWN_ID)
    content.generate_keypair()
    first = content.signer
    with refused(ResultCode.KEYPAIR_ALREADY_GENERATED):
        content.generate_keypair()
    assert content.signer is first


def test_a_chain_is_installed_once_and_for_the_own_key_alone() -> None:
    content = Vault(signer=METER.key, anchors=(ROOT,))
    with refused(ResultCode.INVALID_CERTIFICATE):
        content.install_chain(SERVICE.certificate.encode(), OWN_ID, NOW)
    content.install_chain(METER.certificate.encode(), OWN_ID, NOW)
    with refused(ResultCode.ALREADY_INSTALLED):
        content.install_chain(METER.certificate.encode(), OWN_ID, NOW)
    assert content.chain == (METER.certificate,)


def test_certificates_are_shown_by_subject() -> None:
    content = vault(SERVICE)
    for certificate in (METER.certificate, ROOT, SERVICE.certificate):
        assert content.certificate_of(certificate.body.subject) == certificate
    with refused(ResultCode.NO_CERTIFICATE):
        content.certificate_of(UmiId(0x12345))


def test_nobody_shadows_the_meters_own_certificate() -> None:
    """A party may hold another certificate of the meter's ID: it is not shown for the meter's."""
    other = party(OWN_ID.value, Role.USER, key=make_key(99))
    content = vault(other)
    assert content.certificate_of(OWN_ID) == METER.certificate
    assert isinstance(content.signer, PrivateKey)
