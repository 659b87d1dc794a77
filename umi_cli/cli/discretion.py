"""Which typed lines are not to be kept, for a secret stands in them, or might?

Every line that is typed is judged before it is kept or run, whether or not it is refused later.
"""

import base64
import binascii
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from umi_cli.cli.lines import Line, Lines
from umi_cli.cli.sources import check_source, parse_hex
from umi_cli.errors import InputError, UmiError

if TYPE_CHECKING:
    from umi_cli.objects.catalogue import Catalogue

_SECRET_OPTIONS = ("key", "keys", "passphrase")  # and `--session-key`, `--meter-role-keys`
_WRITERS = ("write", "sign")
_KEY_BYTES = (16, 32)  # AES-128, P-256
_PEM = "-----BEGIN"
# What the bytes of a key are not: what it is asked of is what others may see.
_TAKES_BYTES = ("decode",)


def holds_secret(lines: Lines, text: str) -> bool:
    """Tell whether a secret stands in a line, or might.

    Args:
        lines: whose datasheet says which objects are secret.
        text: the line, as it was typed; it need not be one that can be run.
    """
    words = _words(text)
    if any(_is_literal(option, value) for option, value in _given(words)):
        return True
    if words[:1] and words[0] not in _TAKES_BYTES and any(map(_is_key, words)):
        return True
    return any(word in _WRITERS for word in words) and _names_secret(lines, words)


def _words(text: str) -> list[str]:
    try:
        return Line(number=1, text=text.strip()).words()
    except InputError:  # a quote is open
        return text.split()


def _given(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the options that take a secret's source, and their values."""
    joined = [word.partition("=")[::2] for word in words if "=" in word]
    for option, value in [*pairwise(words), *joined]:
        if option.startswith("--") and option.rpartition("-")[2] in _SECRET_OPTIONS:
            yield option, value


def _is_literal(option: str, value: str) -> bool:
    """Tell whether the value of an option that takes a source is none; it may follow `role:`."""
    try:
        check_source(value, is_key=not option.endswith("passphrase"))
    except InputError:
        return True
    return False


def _is_key(word: str) -> bool:
    """Tell whether a word, or a piece of it, could be the bytes of a key."""
    pieces = word.replace("=", " ").replace(":", " ").split()
    found = [parse_hex(each.strip("[]\"'")) or b"" for each in [word, *pieces]]
    found += [_base64(each) for each in (word, word.rpartition(":")[2])]
    return _PEM in word or any(len(raw) in _KEY_BYTES for raw in found)


def _base64(word: str) -> bytes:
    try:
        return base64.b64decode(word.strip("[]\"'"), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _names_secret(lines: Lines, words: list[str]) -> bool:
    """Tell whether one of the words names an object that the datasheet calls secret."""
    try:
        catalogue = lines.catalogue(lines.datasheet)
    except UmiError:
        return True  # nobody knows
    return any(_is_secret(catalogue, word) for word in words)


def _is_secret(catalogue: "Catalogue", word: str) -> bool:
    try:
        definition = catalogue.find(catalogue.resolve(word).code)
    except UmiError:
        return False
    return definition is not None and definition.secret
