"""Which certificates did an authority ever issue? A register that only grows (protocol 6.4).

Each line tells one certificate, and the hash of what stands before it, so that nobody changes an
earlier line unseen. What a chain cannot see is that its end was cut off: keep the head elsewhere.
Here are bytes alone; the file is the caller's.

# choice: JSON lines, keys sorted, no blanks. `n` counts from 1; `p` is the SHA-256 of all bytes
# since the line before began, 64 zeros in the first. A write that a crash cut leaves a piece
# without an end: it stays, the next line says in `torn` how many bytes it has, line end included.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from umi_cli import crypto
from umi_cli.certificates.authorisation import StandardAuthorisation
from umi_cli.certificates.cvc import Certificate
from umi_cli.errors import InputError, UmiError
from umi_cli.types import Role, UmiId

NO_LINE = "0" * 64
AUTHORITY = "authority"
"""Stands for the role of who issues certificates himself."""

_OPERATOR = re.compile(r"[\w.@+-](?:[\w.@+ -]{0,62}[\w.@+-])?")
_TIME_FORM = "%Y-%m-%dT%H:%M:%SZ"
_END = b"}"  # of a line, and nowhere else in it: a piece of a line never ends so
_BEGINNING = b'{"fingerprint":"'
_KEYS = frozenset(
    ("fingerprint", "issuer", "n", "operator", "p", "role", "serial", "subject", "time")
)
_ROLES = {AUTHORITY, *(role.label for role in Role)}


class RegisterError(UmiError):
    """A register cannot be used: it was changed, or cannot be read or written."""

    code: ClassVar[str] = "register-unusable"
    exit_code: ClassVar[int] = 52
    default_hint: ClassVar[str] = "take it from the last backup, and find out who changed it"


class SerialUsedError(UmiError):
    """A serial number was given before."""

    code: ClassVar[str] = "conflict"
    exit_code: ClassVar[int] = 51
    default_hint: ClassVar[str] = "leave --serial out: a new random one is taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One certificate that was issued."""

    time: datetime
    """When, in whole seconds."""
    issuer: UmiId
    subject: UmiId
    serial: bytes
    role: str
    """A role's name, or `authority`."""
    fingerprint: bytes
    """SHA-256 of the certificate."""
    operator: str
    """Who issued it."""

    def __post_init__(self) -> None:
        if not _OPERATOR.fullmatch(self.operator):
            raise InputError(
                f"{self.operator!r:.80} is no operator's name",
                hint="it has up to 64 letters, digits, blanks, or . @ + - _",
            )

    @classmethod
    def of(cls, certificate: Certificate, *, time: datetime, operator: str) -> Self:
        """Return the entry of a certificate that is to be issued."""
        body, rights = certificate.body, certificate.body.authorisation
        return cls(
            time=time,
            issuer=body.issuer,
            subject=body.subject,
            serial=body.serial,
            role=rights.role.label if isinstance(rights, StandardAuthorisation) else AUTHORITY,
            fingerprint=certificate.fingerprint,
            operator=operator,
        )

    def encode(self, number: int, previous: str, torn: int = 0) -> bytes:
        """Return the line, its end included.

        Args:
            number: of the line.
            previous: the hash of what stands before it.
            torn: how many bytes before it are no line.
        """
        fields: dict[str, Any] = {
            "n": number,
            "p": previous,
            "time": self.time.astimezone(UTC).strftime(_TIME_FORM),
            "issuer": str(self.issuer),
            "subject": str(self.subject),
            "serial": self.serial.hex(),
            "role": self.role,
            "fingerprint": self.fingerprint.hex(),
            "operator": self.operator,
        }
        if torn:
            fields["torn"] = torn
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode() + b"\n"


@dataclass(slots=True)
class Register:
    """A register as far as it has been read; every line of it fits the one before."""

    heads: list[str] = field(default_factory=list)
    """The hash of each line."""
    serials: dict[bytes, int] = field(default_factory=dict)
    """The line of each serial number."""
    torn: int = 0
    """How many bytes at the end are no line, a line end included that they may still lack."""
    ends_open: bool = False
    """The last line, or piece of one, lacks its end."""
    previous: bytes = field(default=b"", repr=False)
    """All since the last line began: what the next line's `p` is of."""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a register.

        Raises:
            RegisterError: a line does not fit; the sentence names the first one.
        """
        register = cls(ends_open=bool(data) and not data.endswith(b"\n"))
        first_torn = 0
        for number, text in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), 1):
            if text.endswith(_END):
                register._take(text, number, first_torn)
                first_torn = 0
            else:
                register._take_piece(text, number)
                first_torn = first_torn or number
        return register

    @property
    def count(self) -> int:
        """Return how many lines there are."""
        return len(self.heads)

    @property
    def head(self) -> str:
        """Return the hash of the last line; zeros if there is none."""
        return self.heads[-1] if self.heads else NO_LINE

    def check_free(self, serial: bytes) -> None:
        """Check that a serial number was never given; `SerialUsedError` otherwise."""
        if serial in self.serials:
            line = self.serials[serial]
            raise SerialUsedError(
                f"the serial number {serial.hex()} was given before, as entry {line}"
            )

    def check_head(self, count: int, head: str) -> None:
        """Check that what was the head once is still there, so that nothing was cut off.

        Raises:
            RegisterError: the line is another one, or is missing.
        """
        if count > self.count:
            raise RegisterError(f"entry {count} was there, and the register ends at {self.count}")
        if head != (self.heads[count - 1] if count else NO_LINE):
            raise RegisterError(f"entry {count} is not what it was")

    def extend(self, entry: Entry) -> bytes:
        """Take an entry, and return the bytes that are to be appended to the file.

        Raises:
            SerialUsedError: its serial number was given before.
        """
        self.check_free(entry.serial)
        line = entry.encode(self.count + 1, _hash(self.previous), self.torn)
        end = b"\n" if self.ends_open else b""
        self.ends_open = False
        self._add(entry, line)
        return end + line

    def _take(self, text: bytes, number: int, first_torn: int) -> None:
        """Take a line of the file."""
        fields, entry = _parse(text, number)
        line = text + b"\n"
        if first_torn and fields.get("torn", 0) != self.torn:
            raise _no_line(first_torn)
        if fields["n"] != self.count + 1:
            raise RegisterError(f"line {number} counts {fields['n']}, not {self.count + 1}")
        if fields["p"] != _hash(self.previous):
            raise RegisterError(
                f"line {number} does not follow what stands before it: one of them was changed"
            )
        if line != entry.encode(self.count + 1, fields["p"], self.torn):
            raise RegisterError(f"line {number} is not in its form")
        if entry.serial in self.serials:
            raise RegisterError(f"line {number} gives the serial {entry.serial.hex()} once more")
        self._add(entry, line)

    def _take_piece(self, text: bytes, number: int) -> None:
        """Take what a crash left of a line: its beginning, more or less of it."""
        length = min(len(text), len(_BEGINNING))
        if not text or text[:length] != _BEGINNING[:length]:
            raise _no_line(number)
        self.torn += len(text) + 1
        self.previous += text + b"\n"

    def _add(self, entry: Entry, line: bytes) -> None:
        self.heads.append(crypto.sha256(line).hex())
        self.serials[entry.serial] = self.count
        self.previous, self.torn = line, 0


def _hash(previous: bytes) -> str:
    return crypto.sha256(previous).hex() if previous else NO_LINE


def _no_line(number: int) -> RegisterError:
    return RegisterError(f"line {number} is no line of a register")


def _parse(text: bytes, number: int) -> tuple[dict[str, Any], Entry]:
    """Return the fields of a line, and its entry; `RegisterError` if it is none."""
    try:
        fields = json.loads(text.decode())
        _check_keys(fields)
        entry = Entry(
            time=datetime.strptime(fields["time"], _TIME_FORM).replace(tzinfo=UTC),
            issuer=UmiId.parse(fields["issuer"]),
            subject=UmiId.parse(fields["subject"]),
            serial=bytes.fromhex(fields["serial"]),
            role=fields["role"],
            fingerprint=bytes.fromhex(fields["fingerprint"]),
            operator=fields["operator"],
        )
    except (ValueError, TypeError, AttributeError, RecursionError, InputError) as error:
        raise _no_line(number) from error
    return fields, entry


def _check_keys(fields: Any) -> None:
    if set(fields) - {"torn"} != _KEYS or fields["role"] not in _ROLES:
        raise ValueError("these are not the fields of an entry")
