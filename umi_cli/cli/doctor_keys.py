"""Do the keys and certificates that the settings name hold? No secret is shown or asked for."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from umi_cli.cli.doctor_check import Check, attempt, fail, note, ok
from umi_cli.errors import UmiError

if TYPE_CHECKING:
    from umi_cli.certificates.cvc import Certificate
    from umi_cli.cli.context import App
    from umi_cli.cli.settings import Settings
    from umi_cli.security.signatures import SigningKey

_ONCE = ("-", "fd:", "prompt")  # a secret that is there once, and for who needs it
_TOKEN = "pkcs11:"  # noqa: S105 - the scheme of a URI


def key_checks(app: "App") -> Iterator[Check]:
    """Check the own key, the own certificate, the trusted roots and the pins."""
    settings = replace(app.settings, no_input=True)
    if settings.key is None:
        yield note("key", "none is named, so umi acts as guest")
        key = None
    else:
        check, key = _key(settings, settings.key)
        yield check
    if settings.cert is not None:
        yield from _certificate(settings, settings.cert, key)
    for path in settings.anchors:
        yield from _anchor(path)
    yield attempt("pins", lambda: _pins(app))


def _key(settings: "Settings", source: str) -> "tuple[Check, SigningKey | None]":
    """Check the own key, where that costs nothing: a token counts its PINs."""
    from umi_cli.cli.credentials import load_key
    from umi_cli.cli.sources import parse_source
    from umi_cli.crypto import AesKey
    from umi_cli.security.keys import is_encrypted

    if source.startswith(_TOKEN):
        return note("key", "in a token, which is not opened here"), None
    if source.startswith(_ONCE):
        return note("key", "is read when it is needed, and not here"), None
    try:
        if is_encrypted(parse_source(source).read("key")) and settings.passphrase is None:
            return note("key", "encrypted; its passphrase is not asked for here"), None
        key = load_key(settings)
    except UmiError as error:
        return fail("key", error), None
    kind = "AES-128" if isinstance(key, AesKey) else "P-256"
    return ok("key", f"a {kind} key, readable, and for its owner alone"), key


def _certificate(settings: "Settings", path: str, key: "SigningKey | None") -> Iterator[Check]:
    from umi_cli.cli.credentials import check_own, load_chain
    from umi_cli.crypto import AesKey

    try:
        own, *above = load_chain(path)
    except UmiError as error:
        yield fail("certificate", error)
        return
    yield _dates("certificate", own)
    for each in above:
        yield _dates("chain", each)
    if key is not None and not isinstance(key, AesKey):
        signer = key

        def match() -> str:
            check_own(own, signer, settings)
            return "the certificate is of this key"

        yield attempt("key and certificate", match)


def _anchor(path: str) -> Iterator[Check]:
    from umi_cli.cli.credentials import load_chain

    try:
        for each in load_chain(path):
            yield _dates("anchor", each)
    except UmiError as error:
        yield fail("anchor", error)


def _dates(name: str, certificate: "Certificate") -> Check:
    """Check that a certificate holds now."""
    from umi_cli.certificates.chain import check_time

    body = certificate.body

    def look() -> str:
        check_time(body, datetime.now(UTC))
        return f"of {body.subject}, until {body.valid_until:%Y-%m-%d}"

    return attempt(name, look)


def _pins(app: "App") -> str:
    from umi_cli.cli.pins import Pins
    from umi_cli.cli.settings import user_config

    pins = Pins(Path(user_config(app.environment)).with_name("pins"))
    return f"{len(pins.fingerprints)} devices were trusted on first contact"
