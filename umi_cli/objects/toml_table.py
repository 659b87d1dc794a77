"""Where in a TOML file is the fault? Tables that are read key by key and name file, line and key.

`tomllib` says a line for faults of syntax only, so the lines of keys are found by a scan.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar

from umi_cli.errors import InputError
from umi_cli.names import near

T = TypeVar("T")
Path = tuple[str | int, ...]  # keys, and numbers in arrays of tables: ("object", 0, "code")
_SPANS = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|'
    + r"'''.*?'{3,5}"
    + r'|"(?:\\.|[^"\\\n])*"'
    + r"|'[^'\n]*'|#[^\n]*",
    re.DOTALL,
)
_HEADER = re.compile(r"\s*(\[\[?)([^\[\]]+)\]\]?\s*")
_KEY = re.compile(r"\s*([^=\[\]{}]+?)\s*=")
_SYNTAX_LINE = re.compile(r"at line (\d+)")
_KINDS = {str: "a text", int: "a whole number", bool: "true or false", list: "a list"}
_KINDS |= {dict: "a table"}
MAX_FILE_BYTES = 1 << 20


def read_file(path: str | os.PathLike[str], what: str) -> bytes:
    """Return the bytes of a TOML file.

    Args:
        path: the file.
        what: it is, in the plain words of its users.

    Raises:
        InputError: it cannot be read, or has more than `MAX_FILE_BYTES`.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: no path may hold a NUL
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"cannot read the {what} {path}: {reason}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise InputError(f"{path} is no {what}: it has more than {MAX_FILE_BYTES} bytes")
    return raw


class Lines:
    """On which line each key and table of a TOML text stands.

    A key inside an inline table is found on the line of the key that holds the table.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {(): 1}
        self._counts: dict[Path, int] = {}
        self._scan(_SPANS.sub(_mask, text))

    def of(self, path: Path) -> int:
        """Return the line of a key, or of the nearest table around it that has one."""
        path = (*path, 0) if (*path, 0) in self._lines else path  # of several tables, the first
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def _scan(self, text: str) -> None:
        table: Path = ()
        depth = 0  # of brackets: inside them no line is a header or a key of the table
        for number, line in enumerate(text.split("\n"), start=1):
            header = _HEADER.fullmatch(line) if depth == 0 else None
            key = _KEY.match(line) if depth == 0 and not header else None
            if header:
                table = self._enter(_names(header[2]), is_array=header[1] == "[[")
                self._lines.setdefault(table, number)
            elif key:
                self._lines.setdefault(table + _names(key[1]), number)
            depth += sum(line.count(c) for c in "[{") - sum(line.count(c) for c in "]}")

    def _enter(self, names: tuple[str, ...], *, is_array: bool) -> Path:
        """Return the path of a table header: the last of each array of tables around it."""
        path: Path = ()
        for name in names[:-1]:
            path += (name,)
            if path in self._counts:
                path += (self._counts[path],)
        path += names[-1:]
        if is_array:
            self._counts[path] = self._counts.get(path, -1) + 1
            path += (self._counts[path],)
        return path


def _mask(match: re.Match[str]) -> str:
    """Blank what only looks like TOML: comments, and marks of syntax inside strings."""
    span = match[0]
    return "" if span.startswith("#") else re.sub(r"[\[\]{}=.#]", "_", span)


def _names(dotted: str) -> tuple[str, ...]:
    return tuple(name.strip().strip("\"'") for name in dotted.split("."))


class Table:
    """A table of a TOML file, read key by key; what is never asked for is an unknown key.

    Args:
        data: what `tomllib` made of it.
        file: the file's name, for the error sentences.
        lines: of the file.
        path: of the table in the file.
    """

    def __init__(self, data: dict[str, Any], *, file: str, lines: Lines, path: Path = ()) -> None:
        self._data = data
        self._file = file
        self._lines = lines
        self._path = path
        self._asked: set[str] = set()

    @classmethod
    def load(cls, raw: bytes, *, file: str) -> "Table":
        """Return the top table of a TOML file's bytes; `InputError` if they are no TOML."""
        try:
            text = raw.decode("utf-8").replace("\r\n", "\n")
            return cls(tomllib.loads(text), file=file, lines=Lines(text))
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise InputError(f"{file}, line {line}: not UTF-8") from error
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            found = _SYNTAX_LINE.search(str(error))
            line = int(found[1]) if found else text.count("\n") + 1
            raise InputError(f"{file}, line {line}: not TOML: {error}") from error

    def fault(self, key: str, message: str, *, hint: str = "") -> InputError:
        """Return the error of a key, which need not be there."""
        path = (*self._path, key)
        label = ".".join(name for name in path if isinstance(name, str))
        line = self._lines.of(path)
        return InputError(f"{self._file}, line {line}: {label}: {message}", hint=hint)

    def has(self, key: str) -> bool:
        """Tell whether a key is there."""
        self._asked.add(key)
        return key in self._data

    def peek(self, key: str) -> object:
        """Return whatever a key holds; None if it is not there."""
        return self._data.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text; without a default the key must be there."""
        return self._get(key, str, default)

    def optional_text(self, key: str) -> str | None:
        """Return a text, or None."""
        return self.text(key) if self.has(key) else None

    def matching(self, key: str, pattern: re.Pattern[str], expected: str, default: str = "") -> str:
        """Return a text of a certain form; it must be there unless it has a default."""
        value = self.text(key, default or None)
        if not pattern.fullmatch(value):
            raise self.fault(key, f"{value!r:.60} is not {expected}")
        return value

    def boolean(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        return self._get(key, bool, default)

    def number(self, key: str, *, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number in range; without a default the key must be there."""
        value = self._get(key, int, default)
        if not low <= value <= high:
            raise self.fault(key, f"{value} is out of range, {low} to {high}")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a list of texts; without a default the key must be there."""
        values = self._get(key, list, None if default is None else list(default))
        if not all(isinstance(value, str) for value in values):
            raise self.fault(key, "a list of texts is expected")
        return tuple(values)

    def table(self, key: str) -> "Table":
        """Return a table; an empty one if the key is not there."""
        data = self._get(key, dict, {})
        return Table(data, file=self._file, lines=self._lines, path=(*self._path, key))

    def tables(self, key: str) -> list["Table"]:
        """Return an array of tables; an empty one if the key is not there."""
        found = self._get(key, list, [])
        if not all(isinstance(data, dict) for data in found):
            raise self.fault(key, "tables are expected")
        return [
            Table(data, file=self._file, lines=self._lines, path=(*self._path, key, number))
            for number, data in enumerate(found)
        ]

    def items(self) -> Mapping[str, Any]:
        """Return everything in the table, whatever its keys; none of them is unknown then."""
        self._asked.update(self._data)
        return self._data

    def end(self) -> None:
        """Make sure that there is no key that nobody asked for; `InputError` if there is."""
        for key in self._data:
            if key not in self._asked:
                raise self.fault(key, "there is no such key here", hint=near(key, self._asked))

    def _get(self, key: str, kind: type[T], default: T | None) -> T:
        self._asked.add(key)
        value = self._data.get(key, default)
        if value is None:
            raise self.fault(key, "it is missing")
        if type(value) is not kind:  # exactly: true is not the number 1
            raise self.fault(key, f"{_KINDS[kind]} is expected")
        return value
