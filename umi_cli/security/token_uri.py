"""Which key in which token is meant? A `pkcs11:` URI says it (RFC 7512).

    pkcs11:token=umi;object=root;type=private?module-path=/usr/lib/lib.so&pin-source=file:/run/pin

# choice: what stands in it is understood in full or refused; module-path must be there, and a PIN
# only where it is kept, never itself.
"""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from umi_cli.errors import InputError, KeyUnusableError
from umi_cli.security.sources import SecretSource

SCHEME = "pkcs11:"

_PATH_NAMES = (
    "token",
    "serial",
    "manufacturer",
    "model",
    "slot-id",
    "object",
    "id",
    "type",
)
_QUERY_NAMES = ("module-path", "pin-source")
# RFC 7512, 2.3: what stands there for itself; all else is written with %
_PATH_TEXT = re.compile(r"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9._~:\[\]@!$'()*+,=&-])*", re.ASCII)
_QUERY_TEXT = re.compile(r"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9._~:\[\]@!$'()*+,=/?|-])*", re.ASCII)
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_EXAMPLE = (
    "write pkcs11:token=NAME;object=KEY?module-path=/PATH/OF/MODULE.so&pin-source=file:/PATH,"
    " between quotes"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUri:
    """A private key in a token; what is None may be any, as long as one key alone fits."""

    module_path: str
    """The token's library: absolute."""
    token: str | None = None
    """The token's label."""
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    slot_id: int | None = None
    object: str | None = None
    """The key's label."""
    id: bytes | None = None
    """The key's CKA_ID."""
    pin: SecretSource | None = field(default=None, repr=False)
    """Where the PIN is kept; None: it is asked for."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a URI.

        Raises:
            InputError: it is none, or has an attribute that is not known here; nothing that might
                be a secret is repeated.
        """
        path, _, query = text.removeprefix(SCHEME).partition("?")
        found = _attributes(path, ";", _PATH_NAMES, _PATH_TEXT)
        asked = _attributes(query, "&", _QUERY_NAMES, _QUERY_TEXT)
        if found.get("type", b"private") != b"private":
            raise InputError("type in a PKCS#11 URI is private here", hint=_EXAMPLE)
        texts = {name: _text(name, value) for name, value in {**found, **asked}.items()}
        return cls(
            module_path=_module_path(texts.get("module-path")),
            token=texts.get("token"),
            serial=texts.get("serial"),
            manufacturer=texts.get("manufacturer"),
            model=texts.get("model"),
            slot_id=_slot_id(texts.get("slot-id")),
            object=texts.get("object"),
            id=found.get("id"),
            pin=_pin_source(texts.get("pin-source")),
        )


def _attributes(
    part: str, separator: str, names: tuple[str, ...], form: re.Pattern[str]
) -> dict[str, bytes]:
    """Return the attributes of the URI's path or query, decoded."""
    found: dict[str, bytes] = {}
    for attribute in part.split(separator) if part else ():
        name, equals, value = attribute.partition("=")
        if name == "pin-value":
            raise InputError(
                "a PIN cannot stand in a PKCS#11 URI: others can see the command line",
                hint="change it if it is in use; then say where it is kept with pin-source=SOURCE",
            )
        if name not in names or not equals:
            raise InputError(
                "the PKCS#11 URI has an attribute that is not known there",
                hint=f"umi knows {', '.join(_PATH_NAMES)} before the ?, between semicolons,"
                f" and {', '.join(_QUERY_NAMES)} behind it, between &",
            )
        if name in found:
            raise InputError(f"the PKCS#11 URI has {name} twice", hint=_EXAMPLE)
        if not form.fullmatch(value):
            raise InputError(
                f"{name} in the PKCS#11 URI has a character that cannot stand there",
                hint="write it with %, such as %20 for a blank",
            )
        found[name] = _PERCENT.sub(lambda match: bytes.fromhex(match[1].decode()), value.encode())
    return found


def _text(name: str, value: bytes) -> str:
    if name == "id":
        return ""  # bytes, not text
    try:
        return value.decode()
    except UnicodeDecodeError:  # not chained: it would show what may be a secret
        raise InputError(f"{name} in the PKCS#11 URI is no UTF-8 text", hint=_EXAMPLE) from None


def _module_path(path: str | None) -> str:
    if path is None:
        raise InputError("the PKCS#11 URI names no module-path", hint=_EXAMPLE)
    if not os.path.isabs(path) or "\0" in path:
        raise InputError(
            "module-path in the PKCS#11 URI is not absolute", hint="begin it with a slash"
        )
    return path


def _slot_id(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", text, re.ASCII):
        raise InputError("slot-id in the PKCS#11 URI is no number", hint=_EXAMPLE)
    return int(text)


def _pin_source(text: str | None) -> SecretSource | None:
    if text is None:
        return None
    try:
        return SecretSource.parse(text)
    except KeyUnusableError as error:  # what was typed is wrong, not what it leads to
        raise InputError(f"pin-source in the PKCS#11 URI: {error}", hint=error.hint) from error


def check_module(path: str) -> None:
    """Check that a module is there, and that nobody but root or we can have put it there.

    Raises:
        KeyUnusableError: it is not.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        raise KeyUnusableError(
            f"cannot read the PKCS#11 module {path}: {error.strerror}",
            hint="the token's software has it; SoftHSM's is /usr/lib/softhsm/libsofthsm2.so",
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise KeyUnusableError(
            f"the PKCS#11 module {path} is no file", hint="module-path names a shared library"
        )
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise KeyUnusableError(
            f"the PKCS#11 module {path} is another user's, or others can write to it",
            hint="whoever can change it has the PIN: use one that root or you alone can write to",
        )
