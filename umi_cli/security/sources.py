"""Where does a secret come from? One syntax for every key, PIN and passphrase. (cli.md, Secrets)

    PATH   -   fd:3   file:PATH   env:NAME   prompt

A key may also stay in a token, `pkcs11:…`: see `token_uri`.

A secret itself is never taken from the command line, where other users see it and the shell keeps
it. What might be one is never repeated in an error.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Self

from umi_cli import files
from umi_cli.errors import KeyUnusableError

STDIN = 0

_READ_BYTES = 65_536
_SOURCES_HINT = "name a file, -, fd:N, file:PATH, env:NAME or prompt"
_LITERAL = re.compile(
    r"""
      (0x)?([0-9a-f]{2}[:\s-]?){4,}   # hex: a key, a check value
    | [0-9\s-]+                       # a PIN
    | -----BEGIN.*                    # a key's PEM text
    | (hex|pass|pin|base64|data|secret|key):.*
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


class SourceKind(Enum):
    """The ways a secret can come in."""

    FILE = "file"
    DESCRIPTOR = "fd"
    ENVIRONMENT = "env"
    PROMPT = "prompt"


Ask = Callable[[str], str]
"""Ask the user for a secret without echo; the argument says for what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """Where a secret is to be read from."""

    kind: SourceKind
    where: str = field(default="", repr=False)
    """A path, a descriptor's number or a variable's name."""
    is_explicit: bool = True
    """The user wrote `file:`; otherwise `where` may be a secret typed by mistake."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of a secret's source.

        Raises:
            KeyUnusableError: it is a secret itself, or of a kind that cannot be used.
        """
        if text == "-":
            return cls(kind=SourceKind.DESCRIPTOR, where=str(STDIN))
        if text == "prompt":
            return cls(kind=SourceKind.PROMPT)
        prefix, _, rest = text.partition(":")
        if prefix == "pkcs11":
            raise KeyUnusableError(
                "a PKCS#11 token signs, and gives no secret away", hint=_SOURCES_HINT
            )
        if prefix in ("fd", "file", "env") and rest:
            return cls._parse_explicit(SourceKind(prefix), rest)
        if not text or _LITERAL.fullmatch(text):
            raise KeyUnusableError(
                "a secret cannot stand on the command line, nor in settings: others can see it",
                hint=_SOURCES_HINT,
            )
        return cls(kind=SourceKind.FILE, where=text, is_explicit=False)

    @classmethod
    def _parse_explicit(cls, kind: SourceKind, where: str) -> Self:
        if kind is SourceKind.DESCRIPTOR and not re.fullmatch(r"[0-9]{1,5}", where):
            raise KeyUnusableError("fd: wants the number of an open descriptor, such as fd:3")
        if kind is SourceKind.ENVIRONMENT and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", where):
            raise KeyUnusableError("env: wants the name of an environment variable")
        return cls(kind=kind, where=where)

    def read(
        self, what: str, *, ask: Ask | None = None, environ: Mapping[str, str] | None = None
    ) -> bytes:
        """Read the secret.

        Args:
            what: what it is, for questions and errors, such as `"passphrase of the key"`.
            ask: asks the user; None where nobody may be asked.
            environ: the environment, the process's own by default.

        Raises:
            KeyUnusableError: it cannot be read, or is empty.
        """
        match self.kind:
            case SourceKind.PROMPT:
                secret = _ask(what, ask)
            case SourceKind.ENVIRONMENT:
                secret = _read_variable(self.where, os.environ if environ is None else environ)
            case SourceKind.DESCRIPTOR:
                secret = _read_descriptor(int(self.where))
            case _:
                secret = self._read_file()
        if not secret:
            raise KeyUnusableError(f"the {what} is empty")
        return secret

    def read_text(
        self, what: str, *, ask: Ask | None = None, environ: Mapping[str, str] | None = None
    ) -> bytes:
        """Read a PIN or passphrase: as `read`, without the line end that editors add."""
        secret = self.read(what, ask=ask, environ=environ)
        stripped = secret.removesuffix(b"\n").removesuffix(b"\r")
        if not stripped:
            raise KeyUnusableError(f"the {what} is empty")
        return stripped

    def _read_file(self) -> bytes:
        path = os.path.expanduser(self.where)
        if not self.is_explicit and not os.path.exists(path):
            # Not named: it may be a passphrase that was typed in the place of its source.
            raise KeyUnusableError(
                "the source of a secret names no file that exists, and a secret itself "
                "cannot stand on the command line, nor in settings",
                hint=_SOURCES_HINT,
            )
        return files.read_private(Path(path))


def _ask(what: str, ask: Ask | None) -> bytes:
    if ask is None:
        raise KeyUnusableError(f"the {what} is missing, and nobody may be asked")
    return ask(what).encode()


def _read_variable(name: str, environ: Mapping[str, str]) -> bytes:
    if name not in environ:
        raise KeyUnusableError(f"there is no environment variable {name}")
    return os.fsencode(environ[name])


def _read_descriptor(descriptor: int) -> bytes:
    """Read a descriptor to its end; it stays open, for it is not ours."""
    chunks: list[bytes] = []
    try:
        while chunk := os.read(descriptor, _READ_BYTES):
            chunks.append(chunk)
            if sum(map(len, chunks)) > files.MAX_PRIVATE_FILE_BYTES:
                raise KeyUnusableError(f"descriptor {descriptor} brings too much for a secret")
    except OSError as error:
        raise KeyUnusableError(f"cannot read descriptor {descriptor}: {error.strerror}") from error
    return b"".join(chunks)
