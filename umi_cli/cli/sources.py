"""Where bytes, texts and secrets come from: hex, files, stdin, and the sources of secrets.

What a secret's source may be, `umi_cli.security.sources` says; here is the person who is asked.
"""

import os
import re
import sys
from typing import TYPE_CHECKING

from umi_cli.errors import InputError, KeyUnusableError

if TYPE_CHECKING:
    from pathlib import Path

    from umi_cli.security.sources import Ask, SecretSource

_SEPARATORS = re.compile(r"[\s:,]|0x", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]*", re.IGNORECASE)
_PATH = re.compile(r"[/\\]|\.\w{1,8}$")  # choice: what is meant as a path, though no file is there
MAX_INPUT_BYTES = 64 * 1024 * 1024  # no image or capture is longer; a wrong path may be endless
SOURCES_HINT = "give it as a path, -, fd:3, file:PATH or env:NAME"


def parse_hex(text: str) -> bytes | None:
    """Return the bytes of hex with spaces, colons, commas, 0x or newlines; None if it is none."""
    digits = _SEPARATORS.sub("", text)
    if not digits or len(digits) % 2 or not _HEX.fullmatch(digits):
        return None
    return bytes.fromhex(digits)


def hex_only(text: str) -> bytes:
    """Return the bytes of hex; `InputError` if it is none."""
    data = parse_hex(text)
    if data is None:
        raise InputError(f"{_short(text)!r} is not hex", hint="write two hex digits a byte")
    return data


def read_bytes(source: str) -> bytes:
    """Return bytes given as hex, `hex:…`, `file:PATH`, a path, or `-` for stdin.

    A file, like stdin, holds the bytes themselves or their hex.

    Raises:
        InputError: it is neither hex nor a file that can be read.
    """
    if source.startswith("hex:"):
        return hex_only(source.removeprefix("hex:"))
    if not source.startswith("file:") and source != "-" and (data := parse_hex(source)) is not None:
        return data
    if source != "-" and not source.startswith("file:") and not os.path.exists(source):
        raise InputError(
            f"{_short(source)!r} is neither hex nor a file",
            hint="write an even number of hex digits, a file's path, or - for stdin",
        )
    return read_file(source.removeprefix("file:"))


def find_capture(source: str) -> "Path | None":
    """Return the file that `file:PATH` or a path names, if it is a capture (pcapng)."""
    from pathlib import Path

    from umi_cli.explain.pcapng import MAGIC

    path = Path(source.removeprefix("file:"))
    if source == "-" or parse_hex(source) is not None or not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return path if file.read(len(MAGIC)) == MAGIC else None
    except OSError:
        return None  # whoever reads it says why


def read_file(path: str) -> bytes:
    """Return the bytes that a file, or stdin for `-`, holds as they are or in hex.

    Raises:
        InputError: it cannot be read, or is endless.
    """
    content = _content(path)
    try:
        as_text = content.decode("ascii")
    except UnicodeDecodeError:
        return content
    return parse_hex(as_text) or content


def read_text(source: str) -> str:
    """Return the text on stdin for `-`, without its last newline; any other text as it is.

    Raises:
        InputError: stdin holds no text.
    """
    if source != "-":
        return source
    try:
        return _content("-").decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise InputError("stdin holds no UTF-8 text", hint="give bytes as hex:00ff") from error


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def _content(path: str) -> bytes:
    """Return what a file holds, or stdin for `-`."""
    try:
        if path == "-" and sys.stdin is None:
            raise InputError("stdin is closed", hint="give a file, or a pipe on stdin")
        if path == "-":
            content = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > MAX_INPUT_BYTES:
        raise InputError(f"{path} holds more than {MAX_INPUT_BYTES >> 20} MiB")
    return content


def parse_source(text: str) -> "SecretSource":
    """Return where a secret is to be read from; `InputError` if the text is a secret itself."""
    from umi_cli.security.sources import SecretSource

    try:
        return SecretSource.parse(text)
    except KeyUnusableError as error:  # what was typed is wrong, not what it leads to
        raise InputError(str(error), hint=error.hint or SOURCES_HINT) from error


def check_source(text: str, *, is_key: bool) -> None:
    """Check that a text names where a secret is; nothing is read, and nobody is asked.

    Args:
        text: what the user gave as a source.
        is_key: of a key, which may be in a token; else of a passphrase, which may look like a name.

    Raises:
        InputError: it is a secret itself, or a passphrase's that is no file, and no path to one.
    """
    from umi_cli.security.sources import SourceKind
    from umi_cli.security.token_uri import SCHEME as TOKEN

    if is_key and text.startswith(TOKEN):
        return
    source = parse_source(text)
    is_bare = source.kind is SourceKind.FILE and not source.is_explicit
    if is_key or not is_bare or _PATH.search(text) or os.path.exists(os.path.expanduser(text)):
        return
    raise InputError(
        "the source of a secret names no file that exists, and a secret itself"
        " cannot stand on the command line, nor in settings",
        hint=SOURCES_HINT,
    )


def read_secret(source: str, what: str, *, no_input: bool = False) -> str:
    """Return a secret text from where the user keeps it, without the newline at its end.

    Args:
        source: a path, `-`, `fd:N`, `file:PATH`, `env:NAME` or `prompt`.
        what: what the secret is, for messages, such as "the passphrase".
        no_input: nobody may be asked.

    Raises:
        KeyUnusableError: it is not there, or cannot be read, or others can read its file.
        InputError: the source is a literal secret, or there is nobody to ask.
    """
    name = what.removeprefix("the ")
    secret = parse_source(source).read_text(name, ask=asker(no_input=no_input))
    try:
        return secret.decode("utf-8")
    except UnicodeDecodeError:  # not chained: it would show a byte of the secret
        raise KeyUnusableError(f"the {name} is no UTF-8 text") from None


def asker(*, no_input: bool) -> "Ask":
    """Return who asks for a secret at the terminal, without echo."""

    def ask(what: str) -> str:
        from getpass import getpass

        from umi_cli.output import streams

        if no_input or not streams.is_terminal(sys.stdin):
            raise InputError(f"nobody is here to type the {what}", hint=SOURCES_HINT)
        try:
            return getpass(f"{what[:1].upper()}{what[1:]}: ", stream=sys.stderr)
        except EOFError as error:
            raise InputError(f"the {what} was not given", hint=SOURCES_HINT) from error

    return ask
