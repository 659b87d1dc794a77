"""How does a manual page look in man(7), so that man shows it and `mandoc -T lint` is content?

click-man would be the library for it: it fails on options that a sub-command does not list, knows
neither examples nor sections of ours, and mandoc finds fault with its pages.
"""

import re
import textwrap
from collections.abc import Iterable

_LINE_CHARACTERS = 78  # mandoc asks for 80 at most
_SPECIAL = {"\\": r"\e", "~": r"\(ti", "^": r"\(ha", "`": r"\(ga", "'": r"\(aq", '"': r"\(dq"}
_LEADING_DASH = re.compile(r"(?<![\w-])-+(?=\w)")


class Page:
    """A manual page of section 1, written from top to bottom.

    Args:
        name: of the page, `umi-read`.
        date: when its form was last changed, `2026-11-22`.
        source: the program and its version.
        manual: the manual it belongs to.
    """

    def __init__(self, name: str, *, date: str, source: str, manual: str) -> None:
        self._lines = [f'.TH {code(name).upper()} 1 {date} "{source}" "{manual}"']
        self._is_fresh = True

    def section(self, title: str) -> None:
        """Begin a section."""
        self._lines.append(f".SH {title}")
        self._is_fresh = True

    def paragraph(self, text: str) -> None:
        """Write a paragraph of plain text."""
        self._begin_paragraph()
        self._lines += _wrapped(prose(text))

    def line(self, text: str) -> None:
        """Write a line that is marked up already."""
        self._begin_paragraph()
        self._lines += _wrapped(text)

    def term(self, marked: str, text: str) -> None:
        """Write a term, marked up already, and what it means."""
        self._lines += [".TP", marked, *_wrapped(prose(text))]
        self._is_fresh = False

    def examples(self, lines: Iterable[str]) -> None:
        """Write command lines as they are typed."""
        self._begin_paragraph()
        self._lines += [".EX", *(_guarded(code(line)) for line in lines), ".EE"]

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"

    def _begin_paragraph(self) -> None:
        if not self._is_fresh:
            self._lines.append(".PP")
        self._is_fresh = False


def bold(text: str) -> str:
    """Mark what is typed as it stands."""
    return rf"\fB{code(text)}\fR"


def italic(text: str) -> str:
    """Mark what stands for something else."""
    return rf"\fI{code(text)}\fR"


def code(text: str) -> str:
    """Return text that is typed: each character is itself, and a dash is a dash."""
    return _escaped(text).replace("-", r"\-")


def prose(text: str) -> str:
    """Return text for people, in which only the dashes of options and numbers are typed ones."""
    escaped = _escaped(" ".join(text.split()))
    return _LEADING_DASH.sub(lambda match: match[0].replace("-", r"\-"), escaped)


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in text)


def _wrapped(text: str) -> list[str]:
    lines = textwrap.wrap(text, _LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)
    return [_guarded(line) for line in lines]


def _guarded(line: str) -> str:
    """Return a line that begins with no request of roff's."""
    return rf"\&{line}" if line.startswith(".") else line
