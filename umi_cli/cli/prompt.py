"""How a line is typed: the prompt, earlier lines, and completion by TAB.

Where Python's readline is missing, or the terminal is not ours on both sides, it is typed plainly.
"""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import click

from umi_cli.cli.context import App
from umi_cli.cli.discretion import holds_secret
from umi_cli.cli.history import History
from umi_cli.cli.lines import ROOT, Lines
from umi_cli.cli.main import PROGRAM
from umi_cli.cli.settings import user_state
from umi_cli.errors import UmiError
from umi_cli.output import streams

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_UNFINISHED = re.compile(r"[/:=,\[]$")  # what one types on after
_SPECIAL = re.compile(r"[\s'\"\\]")
_DELIMITERS = " \t\n"


class Prompt:
    """Where a person types lines.

    Args:
        lines: what they are for.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._history = History(user_state(lines.environment) / "history", lines.history)
        self._found: list[str] = []
        self._readline = _readline()
        if self._readline is not None:
            self._set_up(self._readline)

    def ask(self) -> str:
        """Return the next line.

        Raises:
            EOFError: there is none: Ctrl-D.
            KeyboardInterrupt: it is not to be run: Ctrl-C.
        """
        where = self._lines.port
        text = self._read(f"{PROGRAM} {where}> " if where else f"{PROGRAM}> ")
        if not holds_secret(self._lines, text) and self._history.add(text) and self._readline:
            self._readline.add_history(text)
        return text

    def _read(self, prompt: str) -> str:
        if self._readline is not None:
            return input(prompt)
        streams.draw(prompt)
        text = sys.stdin.readline()
        if not text:
            raise EOFError
        return text.removesuffix("\n")

    def _set_up(self, readline: ModuleType) -> None:
        readline.set_auto_history(False)
        for line in self._history.lines:
            readline.add_history(line)
        readline.set_completer_delims(_DELIMITERS)
        readline.set_completer(self._complete)
        is_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")

    def _complete(self, text: str, state: int) -> str | None:
        """Return one candidate after the other, as readline asks for them."""
        assert self._readline is not None  # noqa: S101 - it is readline that calls
        if state == 0:
            before = self._readline.get_line_buffer()[: self._readline.get_begidx()]
            self._found = candidates(self._lines, before, text)
        return self._found[state] if state < len(self._found) else None


def _readline() -> ModuleType | None:
    if not (streams.is_terminal(sys.stdin) and streams.is_terminal(sys.stdout)):
        return None
    try:
        import readline
    except ImportError:  # Windows, and a Python that was built without
        return None
    return readline


def candidates(lines: Lines, before: str, incomplete: str) -> list[str]:
    """Return the words that may stand where the cursor is.

    Args:
        lines: whose options hold.
        before: the line up to the word.
        incomplete: the word, as far as it is typed.
    """
    from click.shell_completion import ShellComplete

    words = _words(before)
    option, equals, value = incomplete.partition("=")
    head = option + equals if equals and option.startswith("--") else ""
    app = App(words, lines.environment, lines=lines)
    completion = ShellComplete(ROOT, {"obj": app}, PROGRAM, "")
    try:
        items = completion.get_completions(words, incomplete.lstrip("'\""))
    except (UmiError, click.ClickException):  # what stands before is wrong: the run will say so
        return []
    typed = value if head else incomplete.lstrip("'\"")
    return [
        head + _shown(each, goes_on=bool(item.goes_on))
        for item in items
        for each in _texts(item, typed)
    ]


def _words(text: str) -> list[str]:
    """Return the words of a line that is not finished, without a leading `umi`."""
    words: list[str] = []
    with contextlib.suppress(ValueError):  # a quote is still open: up to there
        parser = shlex.shlex(text, posix=True)
        parser.whitespace_split, parser.commenters = True, ""
        words += parser
    return words[1:] if words[:1] == [PROGRAM] else words


def _texts(item: "CompletionItem[str]", incomplete: str) -> Iterator[str]:
    """Yield what an item stands for: itself, or the files that begin so."""
    if item.type in ("file", "dir"):
        return _paths(incomplete, has_files=item.type == "file")
    return iter([item.value])


def _paths(incomplete: str, *, has_files: bool) -> Iterator[str]:
    directory, name = os.path.split(incomplete)
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(directory or "."), key=lambda entry: entry.name):
            is_meant = entry.name.startswith(name) and (name or not entry.name.startswith("."))
            if is_meant and (has_files or entry.is_dir()):
                yield os.path.join(directory, entry.name) + ("/" if entry.is_dir() else "")


def _shown(text: str, *, goes_on: bool) -> str:
    """Return a candidate as it is typed: quoted if need be, and with a space if it is whole."""
    quoted = shlex.quote(text) if _SPECIAL.search(text) else text
    return quoted if goes_on or _UNFINISHED.search(text) else quoted + " "
