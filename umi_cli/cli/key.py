"""`umi key`: own keys, made and looked at; nothing secret is ever shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli.base import group
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.sources import asker, parse_source
from umi_cli.errors import InputError, KeyUnusableError

if TYPE_CHECKING:
    from umi_cli.security.signatures import SigningKey

SHORT_PASSPHRASE_BYTES = 12  # a stolen file is guessed at without limit

EXAMPLES = """\
umi key new meter.pem
umi key new office.pem --passphrase prompt
umi key new service.key --type aes128
umi key show meter.pem
"""
SHOW = """\
umi key show meter.pem
umi key show --key env:METER_KEY --json
umi key show "pkcs11:token=umi;object=root?module-path=/usr/lib/softhsm/libsofthsm2.so"
"""


@group(examples=EXAMPLES)
def key() -> None:
    """Make and show own keys; nothing secret is shown."""


@key.command(examples="\n".join(EXAMPLES.splitlines()[:3]), lacks=("raw",))
@click.argument("path", metavar="FILE")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["p256", "aes128"]),
    default="p256",
    help="p256 (default), or aes128: a role's key under scheme 1",
)
@pass_app
def new(app: App, path: str, kind: str) -> None:
    """Make a new random key in a new file that only you can read.

    With --passphrase SOURCE the file is encrypted. A file that is there is never overwritten.
    """
    from umi_cli.cli.credentials import next_step
    from umi_cli.crypto import AesKey, PrivateKey
    from umi_cli.security.keys import save_key

    if path == "-":
        raise InputError("a key is not written to stdout", hint="name a file")
    passphrase = _new_passphrase(app)
    made = PrivateKey.generate() if kind == "p256" else AesKey.generate()
    with next_step("name a file in a directory of your own"):
        save_key(Path(path), made, passphrase)
    app.emit({"file": path, **record_of(made, encrypted=passphrase is not None)})


@key.command(examples=SHOW)
@click.argument("source", metavar="[SOURCE]", required=False)
@pass_app
def show(app: App, source: str | None) -> None:
    """Show what a key is, and by what others know it.

    SOURCE is a file, -, fd:3, file:PATH, env:NAME or pkcs11:...; default: --key. The fingerprint is
    the SHA-256 of the 65 bytes of the public point; by the check value people compare AES keys.

    A key in a PKCS#11 token is named by token=, object= or id=, and behind the ? by module-path=,
    the token's library, and pin-source=, where the PIN is: file:PATH, env:NAME, fd:3 or prompt
    (default). It works wherever a key file does.
    """
    from umi_cli.cli.credentials import load_key

    app.emit(record_of(load_key(app.settings, source)))


def record_of(key: "SigningKey", **more: Any) -> dict[str, Any]:
    """Return what may be known of a key, as `--json` prints it."""
    from umi_cli import crypto
    from umi_cli.security.keys import check_value

    if isinstance(key, crypto.AesKey):
        return {"type": "aes128", **more, "check_value": check_value(key)}
    point = key.public_point
    return {"type": "p256", **more, "public_point": point, "fingerprint": crypto.sha256(point)}


def _new_passphrase(app: App) -> bytes | None:
    """Return the passphrase of a key that is to be made; one that is typed is typed twice."""
    if app.settings.passphrase is None:
        return None
    from umi_cli.security.sources import SourceKind

    source = parse_source(app.settings.passphrase)
    ask = asker(no_input=app.settings.no_input)
    passphrase = source.read_text("passphrase of the new key", ask=ask)
    if source.kind is SourceKind.PROMPT and ask("passphrase once more").encode() != passphrase:
        raise KeyUnusableError("the passphrases differ", hint="no key was made; try again")
    if len(passphrase) < SHORT_PASSPHRASE_BYTES:
        app.warn(f"a passphrase of fewer than {SHORT_PASSPHRASE_BYTES} characters is soon guessed")
    return passphrase
