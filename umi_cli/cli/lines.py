"""What is a line of a shell or of a batch, and how is it run?

A line is a command of `umi`, with or without that word, or a built-in such as `use`. Words are
quoted as in a POSIX shell, `#` begins a comment; nothing is expanded. The lines of a shell share
the options it was started with, and one connection.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from umi_cli.cli.base import VERSION, RootGroup
from umi_cli.cli.context import App
from umi_cli.cli.failure import Failure
from umi_cli.cli.links import Links
from umi_cli.cli.main import EXAMPLES, PROGRAM, attempt
from umi_cli.cli.params import PartArgument
from umi_cli.cli.registry import BUILT_INS, COMMANDS, Entry
from umi_cli.cli.settings import FORMS, settle
from umi_cli.errors import InputError
from umi_cli.output import streams

if TYPE_CHECKING:
    from umi_cli.objects.catalogue import Catalogue
    from umi_cli.output.render import Format

MAX_LINE_BYTES = 65_536  # no command line is longer; a wrong file may hold no line end at all
_BATCHES = ("run", "shell")
_PIECE = re.compile(
    r"""
      \s+
    | (?P<comment>\#.*)
    | (?: ' [^']* ' | " (?:\\.|[^"\\])* " | \\. | [^\s'"\\] )+
    """,
    re.VERBOSE | re.DOTALL,
)


class LineGroup(RootGroup):
    """The commands that a line may be: those of `umi`, and what only lines have."""

    entries: Mapping[str, Entry] = {**COMMANDS, **BUILT_INS}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of `umi`, and those of lines apart from them."""
        for title, entries in (("Commands", COMMANDS), ("In the shell", BUILT_INS)):
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in entries.items()])


ROOT = LineGroup(
    PROGRAM,
    examples=EXAMPLES,
    params=[VERSION],
    help="Run a command of umi, or one of those that only a shell has.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line, as it was written."""

    number: int
    """Counted from 1."""
    text: str

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to run: no word, or a comment."""
        return not self.text or self.text.startswith("#")

    def words(self) -> list[str]:
        """Return the words, without quotes, comment and a leading `umi`.

        Raises:
            InputError: a quote is not closed, or nothing follows a backslash.
        """
        import shlex

        try:
            words = shlex.split(_without_comment(self.text))
        except ValueError as error:
            what = "a quote is not closed" if "quot" in str(error) else "it ends in a backslash"
            raise InputError(
                f"the line is cut off: {what}", hint="put a quote itself in the other quotes"
            ) from error
        return words[1:] if words[:1] == [PROGRAM] else words


def _without_comment(text: str) -> str:
    """Return a line up to its comment, which begins where a word could."""
    at = 0
    while piece := _PIECE.match(text, at):
        if piece["comment"]:
            break
        at = piece.end()
    return text[:at] if piece else text


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """Yield the lines of a file in which there is something to run, as they come.

    Raises:
        InputError: one is too long.
    """
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            raise InputError(f"line {number} is longer than {MAX_LINE_BYTES} bytes")
        # As the system hands arguments over: what is no UTF-8 comes through to the command.
        text = raw.decode("utf-8", "surrogateescape").removeprefix("\ufeff").strip()
        line = Line(number=number, text=text)
        if not line.is_empty:
            yield line


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a line."""

    line: Line
    failure: Failure | None
    document: Mapping[str, Any]
    """What `--json` would have printed."""

    @property
    def exit(self) -> int:
        """Return the exit code that the command would have had alone."""
        return self.failure.exit if self.failure else 0

    @property
    def record(self) -> dict[str, Any]:
        """Return the line's result for `--json`."""
        meta = self.document["meta"]
        return {
            "line": self.line.number,
            "command": self.line.text,
            "ok": self.failure is None,
            "exit": self.exit,
            **{name: self.document[name] for name in ("data", "error", "warnings")},
            **{name: meta[name] for name in ("port", "device", "duration_ms")},
        }


class Lines:
    """Commands that come line by line, and share options and a connection. Close it at the end.

    Args:
        app: the run of the shell or batch; where it is a line itself, it hands its connection on.
        form: the form of each line's result, which is kept and not shown; None to show each as its
            options say.
        is_script: they come from a file or a pipe, and what goes wrong names the line.
    """

    def __init__(self, app: App, *, form: "Format | None" = None, is_script: bool = False) -> None:
        self._app = app
        self.environment = app.environment
        self.form: Format | None = form
        self.is_script = is_script
        self.is_over = False
        """Whether a line has ended it."""
        self.history: list[str] = []
        """What was typed, the last at the end."""
        self.options: dict[str, Any] = _over(app.start, app.given)
        if app.settings.no_input:
            self.options["no-input"] = True
        self._first = dict(self.options)
        self.links: Links = app.links if app.lines else Links(is_kept=True)
        self._catalogues: dict[str, Catalogue] = {}

    def close(self) -> None:
        """Close the connection, unless it is another shell's."""
        if self._app.lines is None:
            self.links.close(self._app)

    def run(self, line: Line) -> Outcome:
        """Run a line and return how it went; the result of one for people is shown as it comes.

        Raises:
            OutputClosedError: it cannot be shown.
        """
        return self._run(line, App)

    def check(self, line: Line) -> Failure | None:
        """Return why a line cannot be run, as far as that can be told without doing anything.

        Its command and options are understood, and the objects it names are in the datasheet.
        """
        return self._run(line, _Rehearsal).failure

    def use(self, given: Mapping[str, Any], *, is_anew: bool = False) -> None:
        """Set options for the lines that follow.

        Args:
            given: options by key.
            is_anew: forget what was set since the start.
        """
        self.options = _over(self._first if is_anew else self.options, given)

    def catalogue(self, datasheet: str) -> "Catalogue":
        """Return a datasheet, which is loaded once; raises as `Catalogue.load` does."""
        from umi_cli.objects.catalogue import Catalogue

        if datasheet not in self._catalogues:
            self._catalogues[datasheet] = Catalogue.load(datasheet)
        return self._catalogues[datasheet]

    @property
    def port(self) -> str | None:
        """Return where the device of the next line is, if its own options do not say otherwise."""
        try:
            return settle({}, self.environment, self.options).port
        except InputError:  # the configuration file was broken meanwhile: each line will say so
            return None

    @property
    def datasheet(self) -> str:
        """Return the datasheet of the next line; `InputError` if its options are wrong."""
        return settle({}, self.environment, self.options).datasheet

    def _run(self, line: Line, kind: type[App]) -> Outcome:
        words, failure = _words_of(line)
        app = kind(words, self.environment, lines=self)
        if failure is None:
            failure = attempt(app, words, root=ROOT)
        if self.form is None:
            self._finish(app, line, failure)
        return Outcome(line=line, failure=failure, document=app.report.document(failure))

    def _finish(self, app: App, line: Line, failure: Failure | None) -> None:
        """End a line whose result was shown; of a script, what goes wrong names the line."""
        if failure is None or not (self.is_script and app.report.is_for_people):
            app.finish(failure)
            return
        app.finish(None)
        hint = f" ({failure.hint})" if failure.hint else ""
        where = streams.paint(f"line {line.number}: ", "red", sys.stderr)
        streams.say(f"{where}{failure.message}{hint}")


class _Rehearsal(App):
    """A run that ends when its command line is understood."""

    def begin(
        self, command: str, lacks: Sequence[str] = (), *, forgives_settings: bool = False
    ) -> None:
        """Settle what holds for a command, and stop short of running it; `use` changes nothing."""
        super().begin(command, lacks, forgives_settings=forgives_settings)
        if command in _BATCHES:
            raise InputError("a batch runs no other batch, and no shell")
        context = click.get_current_context()
        for param in context.command.params:
            if isinstance(param, PartArgument):
                given = context.params[param.name or ""]
                for text in [given] if isinstance(given, str) else given or ():
                    self.catalogue.resolve(text)
        if command != "use":
            context.exit()


def _words_of(line: Line) -> tuple[list[str], Failure | None]:
    try:
        return line.words(), None
    except InputError as error:
        return [], Failure.of(error)


def _over(options: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with others over them; a form of output takes the place of another one."""
    is_form_given = any(given.get(key) for key in FORMS)
    kept = {key: each for key, each in options.items() if not (is_form_given and key in FORMS)}
    return {**kept, **given}
