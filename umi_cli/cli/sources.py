"""Where bytes and secrets come from: hex, files, stdin, file descriptors, the environment.

A secret has one syntax everywhere: a path, `-`, `fd:3`, `file:PATH`, `env:NAME` or `prompt`; a
literal one on the command line is refused.
"""

import os
import re
import stat
import sys
from collections.abc import Callable

from umi_cli.errors import InputError, KeyUnusableError

_SEPARATORS = re.compile(r"[\s:,]|0x", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]*", re.IGNORECASE)
MAX_INPUT_BYTES = 64 * 1024 * 1024  # no image or capture is longer; a wrong path may be endless
SOURCES_HINT = "give it as a path, -, fd:3, file:PATH, env:NAME or prompt"


def parse_hex(text: str) -> bytes | None:
    """Return the bytes of hex with spaces, colons, commas, 0x or newlines; None if it is none."""
    digits = _SEPARATORS.sub("", text)
    if not digits or len(digits) % 2 or not _HEX.fullmatch(digits):
        return None
    return bytes.fromhex(digits)


def read_bytes(source: str) -> bytes:
    """Return bytes given as hex, `hex:…`, `file:PATH`, a path, or `-` for stdin.

    A file, like stdin, holds the bytes themselves or their hex.

    Raises:
        InputError: it is neither hex nor a file that can be read.
    """
    if source.startswith("hex:"):
        return _hex_only(source.removeprefix("hex:"))
    if not source.startswith("file:") and source != "-" and (data := parse_hex(source)) is not None:
        return data
    if source != "-" and not source.startswith("file:") and not os.path.exists(source):
        raise InputError(
            f"{_short(source)!r} is neither hex nor a file",
            hint="write an even number of hex digits, a file's path, or - for stdin",
        )
    content = _content(source.removeprefix("file:"))
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


def _hex_only(text: str) -> bytes:
    data = parse_hex(text)
    if data is None:
        raise InputError(f"{_short(text)!r} is not hex", hint="write two hex digits a byte")
    return data


def _content(path: str) -> bytes:
    """Return what a file holds, or stdin for `-`."""
    try:
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


def read_secret(source: str, what: str) -> str:
    """Return a secret from where the user keeps it, without the newline at its end.

    Args:
        source: a path, `-`, `fd:N`, `file:PATH`, `env:NAME` or `prompt`.
        what: what the secret is, for messages, such as "the key".

    Raises:
        KeyUnusableError: it is not there, or cannot be read, or others can read its file.
        InputError: the source is a literal secret, or of a kind this version does not know.
    """
    kind, colon, rest = source.partition(":")
    readers: dict[str, Callable[[str], bytes]] = {
        "fd": _from_descriptor,
        "file": _from_file,
        "env": _from_variable,
    }
    if source == "prompt":
        return _ask(what)
    if kind == "pkcs11" and colon:
        raise InputError(f"{what} from a PKCS#11 token is not in this version", hint=SOURCES_HINT)
    try:
        if source == "-":
            content = sys.stdin.buffer.read()
        elif colon and kind in readers:
            content = readers[kind](rest)
        elif os.path.exists(source):
            content = _from_file(source)
        else:
            # the text may be the secret itself: it is not repeated
            raise InputError(f"{what} is not taken from the command line", hint=SOURCES_HINT)
        return content.decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise KeyUnusableError(f"cannot read {what}: {reason}", hint=SOURCES_HINT) from error


def _from_descriptor(number: str) -> bytes:
    if not (number.isascii() and number.isdigit()):
        raise InputError(f"fd:{number} is no file descriptor", hint="write fd:3")
    with open(int(number), "rb", closefd=False) as file:
        return file.read()


def _from_file(path: str) -> bytes:
    with open(path, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if os.name == "posix" and stat.S_ISREG(mode) and mode & 0o077:
            raise KeyUnusableError(
                f"others can use {path}", hint=f"make it yours: chmod 600 {path}"
            )
        return file.read()


def _from_variable(name: str) -> bytes:
    value = os.environ.get(name)
    if value is None:
        raise KeyUnusableError(f"there is no environment variable {name}")
    return os.fsencode(value)


def _ask(what: str) -> str:
    from getpass import getpass

    from umi_cli.output import streams

    if not streams.is_terminal(sys.stdin):
        raise InputError(f"nobody is here to type {what}", hint=SOURCES_HINT)
    return getpass(f"{what[:1].upper()}{what[1:]}: ", stream=sys.stderr)
