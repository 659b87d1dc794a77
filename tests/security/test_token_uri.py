"""`pkcs11:` URIs: each attribute is understood or refused, and no PIN is ever repeated."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import InputError, KeyUnusableError
from umi_cli.security.sources import SourceKind
from umi_cli.security.token_uri import TokenUri, check_module

MODULE = "module-path=/usr/lib/token.so"


def test_everything_at_once() -> None:
    uri = TokenUri.parse(
        "pkcs11:token=My%20token;serial=0a1b;manufacturer=M%C3%BCller;model=v2;slot-id=7;object=root;"
        "id=%00%ff%3B;type=private?module-path=/usr/lib/a%20b.so&pin-source=file:/run/pin"
    )
    assert (uri.token, uri.serial, uri.manufacturer) == ("My token", "0a1b", "Müller")
    assert (uri.model, uri.slot_id, uri.object) == ("v2", 7, "root")
    assert uri.id == b"\x00\xff;"
    assert uri.module_path == "/usr/lib/a b.so"
    assert uri.pin is not None
    assert (uri.pin.kind, uri.pin.where) == (SourceKind.FILE, "/run/pin")


def test_the_least_of_it() -> None:
    uri = TokenUri.parse(f"pkcs11:?{MODULE}")
    assert uri == TokenUri(module_path="/usr/lib/token.so")


@pytest.mark.parametrize(
    ("source", "kind", "where"),
    [
        ("env:PIN", SourceKind.ENVIRONMENT, "PIN"),
        ("fd:3", SourceKind.DESCRIPTOR, "3"),
        ("-", SourceKind.DESCRIPTOR, "0"),
        ("prompt", SourceKind.PROMPT, ""),
        ("/run/pin", SourceKind.FILE, "/run/pin"),
        ("%66ile:a%26b", SourceKind.FILE, "a&b"),
    ],
)
def test_a_pin_has_the_sources_of_every_secret(source: str, kind: SourceKind, where: str) -> None:
    pin = TokenUri.parse(f"pkcs11:token=x?{MODULE}&pin-source={source}").pin
    assert pin is not None
    assert (pin.kind, pin.where) == (kind, where)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("token=x", "names no module-path"),
        ("token=x?module-path=lib.so", "not absolute"),
        ("token=x?module-path=", "not absolute"),
        ("token=x?module-path=/lib%00.so", "not absolute"),
        (f"token=x?{MODULE}&pin-value=83461", "a PIN cannot stand"),
        (f"pin-value=83461;token=x?{MODULE}", "a PIN cannot stand"),
        (f"token=x?{MODULE}&pin-source=83461", "pin-source in the PKCS#11 URI: a secret cannot"),
        (f"token=x?{MODULE}&pin-source=pkcs11:x", "gives no secret away"),
        (f"token=x?{MODULE}&pin=83461", "is not known there"),
        (f"token=x?{MODULE}&module-name=x", "is not known there"),
        (f"token=x;{MODULE}", "is not known there"),
        (f"tokens=x?{MODULE}", "is not known there"),
        (f"token=x;?{MODULE}", "is not known there"),
        (f"token?{MODULE}", "is not known there"),
        (f"83461?{MODULE}", "is not known there"),
        (f"token=x?{MODULE}&token=y", "is not known there"),
        (f"Token=x?{MODULE}", "is not known there"),
        (f"token=x;token=y?{MODULE}", "has token twice"),
        (f"token=a b?{MODULE}", "a character that cannot stand there"),
        (f"token=a%2?{MODULE}", "a character that cannot stand there"),
        (f"token=a%GG?{MODULE}", "a character that cannot stand there"),
        (f"token=a/b?{MODULE}", "a character that cannot stand there"),
        (f"token=%FF?{MODULE}", "no UTF-8 text"),
        (f"token=x?{MODULE}&pin-source=%FF83461", "no UTF-8 text"),
        (f"slot-id=x?{MODULE}", "slot-id in the PKCS#11 URI is no number"),
        (f"type=public?{MODULE}", "type in a PKCS#11 URI is private"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        TokenUri.parse(f"pkcs11:{text}")
    assert said in str(caught.value)
    assert caught.value.hint
    for shown in (str(caught.value), caught.value.hint, repr(caught.value.__cause__)):
        assert "83461" not in shown


@given(st.text(max_size=60))
def test_any_text_is_a_uri_or_refused(text: str) -> None:
    for whole in (text, f"token={text}?{MODULE}", f"?{MODULE}&pin-source={text}"):
        with contextlib.suppress(InputError):
            TokenUri.parse(f"pkcs11:{whole}")


def test_the_pin_is_not_shown() -> None:
    assert "secretly" not in repr(TokenUri.parse(f"pkcs11:?{MODULE}&pin-source=file:secretly"))


# Modules


def module(tmp_path: Path, mode: int = 0o644) -> Path:
    path = tmp_path / "module.so"
    path.touch()
    path.chmod(mode)
    return path


def test_an_own_module(tmp_path: Path) -> None:
    check_module(str(module(tmp_path)))
    (tmp_path / "link.so").symlink_to("module.so")
    check_module(str(tmp_path / "link.so"))


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_module_that_others_can_change(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyUnusableError, match="others can write to it"):
        check_module(str(module(tmp_path, mode)))


def test_a_module_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = module(tmp_path)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(KeyUnusableError, match="another user's"):
        check_module(str(path))


def test_what_is_no_module(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusableError, match="No such file"):
        check_module(str(tmp_path / "nosuch.so"))
    with pytest.raises(KeyUnusableError, match="is no file"):
        check_module(str(tmp_path))
