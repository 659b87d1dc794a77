"""How does a key sign that never leaves its token? Through PKCS#11 it is a `crypto.Signer`.

The only importer of `pkcs11`, an extra of its own, and that inside the functions. A token signs
digests (CKM_ECDSA) and, where it allows it, agrees on keys (CKM_ECDH1_DERIVE). Its PIN stands in
no error; whatever it refuses is a `KeyUnusableError`.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

from umi_cli import crypto
from umi_cli.crypto import SCALAR_BYTES, Secret
from umi_cli.errors import KeyUnusableError, MalformedError, SignatureError, install_hint
from umi_cli.security.token_uri import TokenUri, check_module

if TYPE_CHECKING:
    from pkcs11 import PrivateKey, Session, Token

_P256 = bytes.fromhex("06082a8648ce3d030107")  # DER of its object identifier, CKA_EC_PARAMS
_POINT_HEAD = bytes([0x04, crypto.POINT_BYTES])  # DER of CKA_EC_POINT; some tokens leave it out
_SIGNATURE_BYTES = 2 * SCALAR_BYTES  # r and s

_GONE = (
    "{token} is gone, or has ended the session",
    "connect it again, and repeat the command: nothing was signed half",
)
_WRONG_PIN = (
    "the PIN of {token} is wrong",
    "check where pin-source leads; after some wrong PINs in a row a token locks itself",
)
_FAULTS = {
    "PinIncorrect": _WRONG_PIN,
    "PinInvalid": _WRONG_PIN,
    "PinLenRange": _WRONG_PIN,
    "PinLocked": (
        "the PIN of {token} is locked, after wrong ones",
        "unlock it with the SO PIN, with the tool of the token's maker",
    ),
    "PinExpired": (
        "the PIN of {token} has expired",
        "set a new one with the tool of the token's maker",
    ),
    "UserPinNotInitialized": (
        "{token} has no PIN yet",
        "set one with the tool of the token's maker",
    ),
    "UserNotLoggedIn": (
        "{token} wants its PIN before each use of the key, which umi does not do",
        "use a key without CKA_ALWAYS_AUTHENTICATE",
    ),
    **dict.fromkeys(
        (
            "DeviceRemoved",
            "KeyHandleInvalid",
            "ObjectHandleInvalid",
            "SessionClosed",
            "SessionHandleInvalid",
            "TokenNotPresent",
        ),
        _GONE,
    ),
}
"""What the errors of a token mean: a sentence and the next step."""


class TokenSigner(Secret):
    """A P-256 key in a token, under a session that is open until `close`.

    Args:
        session: logged in.
        key: the private key, a handle alone.
        point: its public key, 65 bytes 04‖X‖Y.
        name: what the token is called in errors.
    """

    __slots__ = ("_key", "_name", "_point", "_session")

    def __init__(self, session: "Session", key: "PrivateKey", point: bytes, name: str) -> None:
        self._session = session
        self._key: Any = key  # its methods depend on what it may do
        self._point = point
        self._name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session; a token that is gone has ended it itself."""
        _close(self._session)

    @property
    def public_point(self) -> bytes:
        """Return the public key, 65 bytes 04‖X‖Y."""
        return self._point

    def sign(self, data: bytes) -> bytes:
        """Return the DER signature of ECDSA with SHA-256 over the data; as `sign_digest`."""
        return self.sign_digest(crypto.sha256(data))

    def sign_digest(self, digest: bytes) -> bytes:
        """Return the DER signature of ECDSA over data whose SHA-256 this is.

        Raises:
            KeyUnusableError: the token does not sign, or what it gives does not verify.
        """
        import pkcs11

        if not isinstance(self._key, pkcs11.SignMixin):
            raise self._may_not("sign")
        with _asking(self._name, "sign"):
            pair = self._key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)
        signature = crypto.signature_of_integers(pair) if len(pair) == _SIGNATURE_BYTES else b""
        try:
            crypto.verify_digest(self._point, signature, digest)
        except SignatureError as error:
            raise KeyUnusableError(
                f"what {self._name} signs does not verify with the public key beside the key",
                hint="the two must be one pair, with one CKA_ID: write its public key once more",
            ) from error
        return signature

    def exchange(self, point: bytes) -> bytes:
        """Return Z, a long-term secret of the two keys: use it at once, keep it nowhere.

        Raises:
            MalformedError: the point is none of the curve.
            KeyUnusableError: the token does not agree on keys, or keeps Z to itself.
        """
        import pkcs11

        crypto.check_point(point)
        if not isinstance(self._key, pkcs11.DeriveMixin):
            raise self._may_not("agree on a session's key (ECDH)")
        with _asking(self._name, "agree on a session's key (ECDH)"):
            secret: Any = self._key.derive_key(
                pkcs11.KeyType.GENERIC_SECRET,
                8 * SCALAR_BYTES,
                mechanism=pkcs11.Mechanism.ECDH1_DERIVE,
                mechanism_param=(pkcs11.KDF.NULL, None, point),
                template={
                    pkcs11.Attribute.SENSITIVE: False,
                    pkcs11.Attribute.EXTRACTABLE: True,
                },
            )
            try:
                z = bytes(secret[pkcs11.Attribute.VALUE])
            finally:
                secret.destroy()
        if len(z) != SCALAR_BYTES:
            raise KeyUnusableError(
                f"{self._name} gives {len(z)} bytes for a shared secret of {SCALAR_BYTES}",
                hint="use a key file for sessions; the token still signs",
            )
        return z

    def _may_not(self, what: str) -> KeyUnusableError:
        return KeyUnusableError(
            f"{self._name} does not let this key {what}", hint="use another key, or a key file"
        )


def open_signer(uri: TokenUri, pin: Callable[[], str]) -> TokenSigner:
    """Open the key that a URI means.

    Args:
        pin: returns the PIN; asked only when the token has been found.

    Raises:
        KeyUnusableError: the module, the token or the key is missing, or the PIN is not taken.
    """
    token = _find_token(_load(uri.module_path), uri)
    name = f"the token {token.label!r}"
    with contextlib.ExitStack() as undo:
        session = _log_in(token, name, pin())
        undo.callback(_close, session)
        with _asking(name, "show its keys"):
            key = _find_key(session, uri, name)
            signer = TokenSigner(session, key, _point_of(session, key, name), name)
        undo.pop_all()
    return signer


def _load(path: str) -> Any:
    """Return the module of a token, loaded."""
    check_module(path)
    try:
        import pkcs11
    except ImportError as error:
        raise KeyUnusableError(
            "keys in PKCS#11 tokens need the package python-pkcs11, which is not installed",
            hint=install_hint("hsm"),
        ) from error
    try:
        return pkcs11.lib(path)
    except pkcs11.PKCS11Error as error:
        raise KeyUnusableError(
            f"the PKCS#11 module {path} does not load",
            hint="it is no PKCS#11 module, is for another machine, or its own settings are wrong",
        ) from error


def _find_token(module: Any, uri: TokenUri) -> "Token":
    """Return the one token that fits."""
    from pkcs11 import TokenFlag

    with _asking("the PKCS#11 module", "list its tokens"):
        tokens: list[Token] = list(module.get_tokens())
    tokens = [token for token in tokens if TokenFlag.TOKEN_INITIALIZED in token.flags]
    fitting = [token for token in tokens if _fits(token, uri)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise KeyUnusableError(
            f"several tokens fit the PKCS#11 URI: {_list(fitting)}",
            hint="say which with token=NAME, or with serial=NUMBER",
        )
    raise KeyUnusableError(
        "no token fits the PKCS#11 URI",
        hint=f"the module has {_list(tokens) or 'none'}; connect it, or correct the URI",
    )


def _fits(token: "Token", uri: TokenUri) -> bool:
    pairs = (
        (uri.token, token.label),
        (uri.serial, token.serial.decode("utf-8", "replace")),
        (uri.manufacturer, token.manufacturer_id),
        (uri.model, token.model),
        (uri.slot_id, token.slot.slot_id),
    )
    return all(wanted in (None, found) for wanted, found in pairs)


def _list(tokens: "list[Token]") -> str:
    serials = [token.serial.decode("utf-8", "replace") for token in tokens]
    return ", ".join(
        f"{token.label!r} (serial {serial})" for token, serial in zip(tokens, serials, strict=True)
    )


def _log_in(token: "Token", name: str, pin: str) -> "Session":
    import pkcs11

    with _asking(name, "log us in"):
        try:
            return token.open(user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:  # with another key of it, in this process
            return token.open()


def _close(session: "Session") -> None:
    import pkcs11

    with contextlib.suppress(pkcs11.PKCS11Error):
        session.close()


def _find_key(session: "Session", uri: TokenUri, name: str) -> "PrivateKey":
    """Return the one private key that fits."""
    from pkcs11 import Attribute, KeyType, ObjectClass

    wanted = {Attribute.LABEL: uri.object, Attribute.ID: uri.id}
    template: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    found: list[Any] = list(
        session.get_objects(template | {k: v for k, v in wanted.items() if v is not None})
    )
    if not found:
        others: list[Any] = list(session.get_objects(template))
        labels = ", ".join(sorted({repr(each.label) for each in others}))
        raise KeyUnusableError(
            f"{name} has no private key that fits the PKCS#11 URI",
            hint=f"it has {labels or 'none'}: correct object= or id=",
        )
    if len(found) > 1:
        ids = ", ".join(sorted("".join(f"%{byte:02x}" for byte in each.id) for each in found))
        raise KeyUnusableError(
            f"{name} has several private keys that fit the PKCS#11 URI",
            hint=f"say which with object=NAME or id=: {ids}",
        )
    key: PrivateKey = found[0]
    if key.key_type is not KeyType.EC:
        raise _not_p256(name)
    return key


def _point_of(session: "Session", key: "PrivateKey", name: str) -> bytes:
    """Return the public point that stands beside a private key: of its ID, or else of its label."""
    from pkcs11 import Attribute, ObjectClass

    template: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PUBLIC_KEY}
    found: list[Any] = []
    for attribute, value in ((Attribute.ID, key.id), (Attribute.LABEL, key.label)):
        if value and not found:
            found = list(session.get_objects(template | {attribute: value}))
    if not found:
        raise KeyUnusableError(
            f"{name} has no public key beside the private key",
            hint="write its public key into the token, with the same CKA_ID",
        )
    if found[0][Attribute.EC_PARAMS] != _P256:
        raise _not_p256(name)
    point = bytes(found[0][Attribute.EC_POINT]).removeprefix(_POINT_HEAD)
    try:
        crypto.check_point(point)
    except MalformedError as error:
        raise _not_p256(name) from error
    return point


def _not_p256(name: str) -> KeyUnusableError:
    return KeyUnusableError(
        f"the key in {name} is not on the curve P-256", hint="make one there: EC, secp256r1"
    )


@contextlib.contextmanager
def _asking(name: str, what: str) -> Iterator[None]:
    """Say what a token's refusal means.

    Args:
        name: the token's.
        what: it was asked to do.
    """
    import pkcs11

    try:
        yield
    except pkcs11.PKCS11Error as error:
        kind = type(error).__name__
        sentence, hint = _FAULTS.get(kind, (f"{{token}} does not {what} ({kind})", ""))
        raise KeyUnusableError(
            sentence.format(token=name),
            hint=hint or "see what the token allows this key, with the tool of its maker",
        ) from error
