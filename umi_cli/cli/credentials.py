"""What a run of `umi` proves itself with, and whom it trusts: own key, certificates, anchors, pins.

The options of cli.md become the credentials of a session here; the commands of the desk load
their keys and certificates here as well.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

import click

from umi_cli.certificates.authorisation import StandardAuthorisation
from umi_cli.certificates.chain import check_time, decode_chain
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.request import CertificateRequest
from umi_cli.certificates.trust import Anchor, ChainError, Trust
from umi_cli.cli.pins import Pins
from umi_cli.cli.settings import Settings, user_config
from umi_cli.cli.sources import asker, parse_source, read_file
from umi_cli.crypto import AesKey, Signer
from umi_cli.device.credentials import Credentials, Scheme1Credentials, Scheme2Credentials
from umi_cli.errors import InputError, KeyUnusableError, MalformedError
from umi_cli.security.keys import decode_key, is_encrypted
from umi_cli.security.signatures import SigningKey
from umi_cli.security.sources import SecretSource, SourceKind
from umi_cli.security.token_uri import SCHEME as TOKEN
from umi_cli.security.token_uri import TokenUri
from umi_cli.types import DEFAULT_READER_ID, UmiId

T = TypeVar("T")

_KEY_HINT = "a key is a PEM file with mode 0600; make one with: umi key new FILE"
_PIN_HINT = "say in the PKCS#11 URI where it is: pin-source=file:PATH, env:NAME or fd:3"
_FILE_HINT = "see what the file holds with: umi decode FILE"
_IN_THE_CLEAR = "nobody proves who he is, and nothing is encrypted"
_CLEAR_HINT = (
    "scheme 2 needs --key and --cert, scheme 1 --scheme 1, --role and --key;"
    " --scheme 0 goes on in the clear"
)
_ASKING_HINT = "say where it is with --passphrase SOURCE: a file, fd:3 or env:NAME"


class User(Protocol):
    """Who wants to prove himself: a run of `umi`, or a connection that outlives it."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the environment variables."""
        ...

    def warn(self, message: str) -> None:
        """Warn of something that does not stop the command."""
        ...


def credentials_of(settings: Settings, user: User) -> Credentials | None:
    """Return what proves us under the security scheme; None under scheme 0.

    Raises:
        InputError: an option that the scheme needs is missing, or one makes no sense without it.
        KeyUnusableError: a key or certificate cannot be used.
    """
    if settings.scheme == 1:
        return scheme1_credentials(settings)
    if settings.scheme == 2:
        return _scheme2(settings, user)
    if settings.role is not None:
        raise InputError(
            f"to act as {settings.role.label} needs security scheme 1 or 2",
            hint="give --key and --cert, or --scheme 1 and --key; under scheme 0 all are guest",
        )
    if not settings.is_scheme_given:
        _check_unproved(settings, user)
    return None


def _check_unproved(settings: Settings, user: User) -> None:
    """Refuse to go on in the clear where something was named to prove ourselves with.

    An anchor alone is warned of: `device install` needs it before there is anything to prove.

    Raises:
        InputError: a key, a certificate or `--pin` would not be used.
        KeyUnusableError: a key, a certificate or an anchor is named that cannot be used at all.
    """
    _check_readable(settings)
    unused = [name for name in ("key", "cert", "pin") if getattr(settings, name)]
    if unused:
        raise InputError(f"--{unused[0]} proves nothing alone: {_IN_THE_CLEAR}", hint=_CLEAR_HINT)
    if settings.anchors:
        user.warn(f"{_IN_THE_CLEAR}: scheme 2 needs --key and --cert")


def _check_readable(settings: Settings) -> None:
    """Check what is named and would not be used; nobody is asked, and stdin is left alone."""
    load_anchors(settings)
    if settings.cert and settings.cert != "-":
        load_chain(settings.cert)
    if settings.key is None or settings.key.startswith(TOKEN):
        return
    with next_step(_KEY_HINT):
        source = parse_source(settings.key)
        pem = source.read("key") if source.kind is SourceKind.FILE else b""
        if pem and not is_encrypted(pem):
            decode_key(pem, None)


def own_id(settings: Settings, credentials: Credentials | None) -> UmiId:
    """Return our own UMI ID: as chosen, else of our certificate, else a reader's."""
    if settings.umi_id is not None:
        return settings.umi_id
    if isinstance(credentials, Scheme2Credentials):
        return credentials.certificate.body.subject
    return load_chain(settings.cert)[0].body.subject if settings.cert else DEFAULT_READER_ID


def scheme1_credentials(settings: Settings) -> Scheme1Credentials:
    """Return the role and its key under scheme 1; raises as `credentials_of` does."""
    if settings.role is None:
        raise InputError("scheme 1 proves a role, and none is named", hint="add --role ROLE")
    key = load_key(settings)
    if not isinstance(key, AesKey):
        raise KeyUnusableError(
            "scheme 1 needs an AES-128 key, and this is a P-256 key",
            hint="make one with: umi key new FILE --type aes128",
        )
    return Scheme1Credentials(role=settings.role, key=key)


def _scheme2(settings: Settings, user: User) -> Scheme2Credentials:
    if settings.cert is None:
        raise InputError("scheme 2 needs a certificate, and none is named", hint="add --cert FILE")
    signer, chain = load_signer(settings), load_chain(settings.cert)
    check_own(chain[0], signer, settings)
    warn_of_time(chain[0], user)
    pins = Pins(Path(user_config(user.environment)).with_name("pins"))
    anchors = load_anchors(settings)
    return Scheme2Credentials(
        signer=signer,
        chain=chain,
        # A root that was named decides: what was pinned without one does not get past it.
        trust=Trust(anchors=anchors) if anchors else Trust(pins=pins.fingerprints),
        pin=_pinner(pins, user.warn, may_record=settings.pin),
    )


def warn_of_time(own: Certificate, user: User) -> None:
    """Warn of an own certificate that does not hold now: nobody else will take it."""
    try:
        check_time(own.body, datetime.now(UTC))
    except ChainError as error:
        user.warn(f"the own certificate is out of its time: {error}")


def check_own(own: Certificate, signer: Signer, settings: Settings) -> None:
    """Check that the own certificate is that of the own key, and for the role to act in.

    Raises:
        KeyUnusableError: it is not.
    """
    if signer.public_point != own.body.public_point:
        raise KeyUnusableError(
            f"the key is not the one that the certificate of {own.body.subject} certifies",
            hint="compare them with: umi key show, umi cert show FILE",
        )
    rights = own.body.authorisation
    if not isinstance(rights, StandardAuthorisation):
        raise KeyUnusableError(
            f"the certificate of {own.body.subject} is a signing authority's: it acts in no role",
            hint="issue one for a role with: umi cert issue",
        )
    if settings.role not in (None, rights.role):
        raise KeyUnusableError(
            f"the certificate is for the role {rights.role.label}, not {settings.role.label}",
            hint="leave --role out, or use a certificate for that role",
        )


def _pinner(
    pins: Pins, warn: Callable[[str], None], *, may_record: bool
) -> Callable[[UmiId, Certificate], bool]:
    """Return who is asked about a device that no anchor vouches for."""

    def pin(device: UmiId, certificate: Certificate) -> bool:
        if pins.is_known(device, certificate):
            return True
        if not may_record:
            return False
        check_time(certificate.body, datetime.now(UTC))
        pins.record(device, certificate)
        warn(
            f"the certificate of {device} is trusted on first contact, and pinned:"
            f" SHA-256 {certificate.fingerprint.hex()}"
        )
        return True

    return pin


def load_key(settings: Settings, source: str | None = None) -> SigningKey:
    """Read the key at a source, or at `--key`, asking for its passphrase if need be.

    A key in a token stays there, and can be used until the command ends.

    Raises:
        InputError: no source is named, it is a secret itself, or the passphrase is missing.
        KeyUnusableError: the key cannot be used.
    """
    source = source or settings.key
    if source is None:
        raise InputError("no key is named", hint="add --key SOURCE; make one with: umi key new")
    if source.startswith(TOKEN):
        return _open_token(settings, TokenUri.parse(source))
    with next_step(_KEY_HINT):
        pem = parse_source(source).read("key", ask=asker(no_input=settings.no_input))
        passphrase = _passphrase(settings) if is_encrypted(pem) else None
        return decode_key(pem, passphrase)


def _open_token(settings: Settings, uri: TokenUri) -> Signer:
    from umi_cli.tokens import open_signer

    signer = open_signer(uri, lambda: _pin(settings, uri))
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(signer.close)
    return signer


def _pin(settings: Settings, uri: TokenUri) -> str:
    ask = asker(no_input=settings.no_input)
    what = "PIN of the token"
    source = uri.pin or SecretSource(kind=SourceKind.PROMPT)
    try:
        return source.read_text(what, ask=ask).decode()
    except UnicodeDecodeError:  # not chained: it would show a byte of the secret
        raise KeyUnusableError(f"the {what} is no UTF-8 text", hint=_PIN_HINT) from None
    except (InputError, KeyUnusableError) as error:
        error.hint = _PIN_HINT
        raise


def load_signer(settings: Settings) -> Signer:
    """Read the P-256 key at `--key`; raises as `load_key` does."""
    key = load_key(settings)
    if isinstance(key, AesKey):
        raise KeyUnusableError(
            "a P-256 key is needed here, and this is an AES-128 key",
            hint="make one with: umi key new FILE",
        )
    return key


def _passphrase(settings: Settings) -> bytes:
    ask = asker(no_input=settings.no_input)
    what = "passphrase of the key"
    if settings.passphrase is not None:
        return parse_source(settings.passphrase).read_text(what, ask=ask)
    try:
        return ask(what).encode()
    except InputError as error:
        raise InputError(
            "the key is encrypted, and its passphrase is not given", hint=_ASKING_HINT
        ) from error


def load_chain(path: str) -> tuple[Certificate, ...]:
    """Read certificates that stand one after the other, the holder's own first.

    Args:
        path: a file, or `-`; it holds the bytes as they are, or in hex.

    Raises:
        KeyUnusableError: it cannot be read, or holds anything else.
    """
    return _load(path, decode_chain, "certificate")


def load_anchors(settings: Settings) -> tuple[Anchor, ...]:
    """Read the certificates at `--anchor`, one in each file; raises as `load_chain` does."""
    return tuple(Anchor.of(_load_one(path)) for path in settings.anchors)


def _load_one(path: str) -> Certificate:
    chain = load_chain(path)
    if len(chain) != 1:
        raise KeyUnusableError(
            f"{path} holds {len(chain)} certificates, and an anchor is one",
            hint="put each root that is to be trusted into a file of its own",
        )
    return chain[0]


def load_request(path: str) -> CertificateRequest:
    """Read a certificate request, its proof unverified; raises as `load_chain` does."""
    return _load(path, CertificateRequest.decode, "certificate request")


def _load(path: str, decode: Callable[[bytes], T], what: str) -> T:
    try:
        return decode(read_file(path))
    except InputError as error:
        raise KeyUnusableError(str(error), hint="see what makes one with: umi cert -h") from error
    except MalformedError as error:
        raise KeyUnusableError(f"{path} holds no {what}: {error}", hint=_FILE_HINT) from error


@contextlib.contextmanager
def next_step(hint: str) -> Iterator[None]:
    """Say what to do next where an unusable key or certificate does not say it itself."""
    try:
        yield
    except KeyUnusableError as error:
        error.hint = error.hint or hint
        raise
