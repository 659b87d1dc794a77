"""What a client proves itself with: its role, and what never shows."""

import pytest

from tests.certificates.pki import ROOT, ROOT_KEY
from tests.device.between import credentials2
from tests.virtual.parties import SERVICE, USER, role_key
from umi_cli.device.credentials import Scheme1Credentials, Scheme2Credentials
from umi_cli.device.protection import Unprotected
from umi_cli.device.protection2 import Scheme2
from umi_cli.errors import NotTrustedError
from umi_cli.types import Role, UmiId


def test_the_role_is_the_certificates() -> None:
    assert credentials2().role is Role.SERVICE
    assert credentials2(USER).role is Role.USER
    assert credentials2().certificate == SERVICE.certificate


def test_an_authority_acts_in_no_role() -> None:
    """Exit 24, before anything is sent."""
    credentials = Scheme2Credentials(signer=ROOT_KEY, chain=(ROOT,))
    with pytest.raises(NotTrustedError, match="authorises no role") as failure:
        _ = Scheme2(credentials).standing
    assert failure.value.exit_code == 24


def test_without_a_pinner_nothing_is_pinned() -> None:
    assert not credentials2().pin(UmiId(1), SERVICE.certificate)
    assert credentials2().trust.pins == frozenset()


def test_keys_do_not_show() -> None:
    """Not in a repr of credentials, nor of what holds them."""
    first = Scheme1Credentials(role=Role.SERVICE, key=role_key(Role.SERVICE))
    for shown in (repr(first), repr(credentials2()), repr(vars(Scheme2(credentials2())))):
        assert role_key(Role.SERVICE).raw.hex() not in shown
        assert repr(role_key(Role.SERVICE).raw) not in shown
        assert "redacted" in shown


def test_who_has_no_credentials_is_a_guest() -> None:
    standing = Unprotected().standing
    assert (standing.scheme, standing.role) == (0, Role.GUEST)
    proved = (standing.is_authenticated, standing.is_encrypted, standing.is_confirmed)
    assert proved == (False, False, False)
    assert Unprotected().farewell() is None
