"""Both kinds of authorisation, byte by byte."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates.pki import authority, standard, targets
from umi_cli.certificates.authorisation import (
    EVERY_TARGET,
    AuthorityAuthorisation,
    StandardAuthorisation,
    decode_authorisation,
)
from umi_cli.errors import MalformedError
from umi_cli.types import Role, RoleSet, UmiId

RANGE = "000000000000000100000000000000ff"


def test_standard_bytes() -> None:
    given = standard(Role.MANUFACTURER, targets=targets(1, 0xFF))
    assert given.encode().hex() == "0100" + RANGE + "0600"
    assert decode_authorisation(given.encode()) == given


def test_authority_bytes() -> None:
    given = authority(
        signing=RoleSet.of(Role.SERVICE, Role.SECURITY_AUTHORITY),
        devolvable=RoleSet.of(Role.GUEST),
        targets=targets(1, 0xFF),
    )
    assert given.encode().hex() == "0101" + RANGE + "8020" + "0001" + "00"
    assert decode_authorisation(given.encode()) == given


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ("", "too short"),
        ("0200" + RANGE + "0600", "unknown version"),
        ("0102" + RANGE + "0600", "unknown kind"),
        ("0100" + RANGE + "0c00", "12 is not a valid Role"),
        ("0100" + RANGE + "06", "too short"),
        ("0100" + RANGE + "060000", "too many"),
        ("0100" + "00000000000001ff" + "00000000000000ff" + "0600", "wrong way round"),
    ],
)
def test_other_forms_are_refused(data: str, fault: str) -> None:
    with pytest.raises(MalformedError, match=fault):
        decode_authorisation(bytes.fromhex(data))


def test_flags_are_a_byte() -> None:
    with pytest.raises(ValueError, match="8 bits"):
        StandardAuthorisation(targets=EVERY_TARGET, role=Role.SERVICE, flags=256)
    with pytest.raises(ValueError, match="8 bits"):
        AuthorityAuthorisation(
            targets=EVERY_TARGET, signing_roles=RoleSet(0), devolvable_roles=RoleSet(0), flags=-1
        )


def test_ranges() -> None:
    inner = targets(2, 4)
    assert UmiId(2) in inner
    assert UmiId(4) in inner
    assert UmiId(1) not in inner
    assert UmiId(5) not in inner
    assert inner.is_within(inner)
    assert inner.is_within(EVERY_TARGET)
    assert not targets(1, 4).is_within(inner)
    assert not targets(2, 5).is_within(inner)
    assert str(inner) == "0000000000000002..0000000000000004"


@given(
    st.one_of(
        st.binary(max_size=30),
        st.builds(lambda kind, rest: bytes([1, kind]) + rest, st.integers(0, 2), st.binary()),
    )
)
def test_garbage_raises_one_error_or_has_one_form(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        assert decode_authorisation(data).encode() == data
