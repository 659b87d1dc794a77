"""How text leaves the process: results on stdout, everything else on stderr, in any encoding.

Output never ends an operation by itself: a character the terminal cannot show becomes `?`, and a
reader that has gone away is reported once, as `OutputClosedError`.
"""

import contextlib
import io
import os
import sys
from typing import TextIO

_COLOURS = {"red": "31", "yellow": "33", "bold": "1"}


class OutputClosedError(Exception):
    """Standard output takes nothing: closed, its reader gone, or the disk behind it full."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(f"cannot write the result: {reason.strerror or reason}")
        self.is_broken_pipe = isinstance(reason, BrokenPipeError)


def prepare() -> None:
    """Make both streams show `?` for what their encoding lacks, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def require() -> None:
    """Make sure, before anything is done, that there is a stdout to give the result to.

    Raises:
        OutputClosedError: the process was started without one, as with `>&-`.
    """
    if sys.stdout is None:
        import errno

        raise OutputClosedError(OSError(errno.EBADF, "standard output is closed"))


def write(text: str, *, flush: bool = False) -> None:
    """Write a piece of the result to stdout.

    Raises:
        OutputClosedError: it cannot be written.
    """
    require()
    try:
        sys.stdout.write(text)
        if flush:
            sys.stdout.flush()
    except OSError as error:
        raise OutputClosedError(error) from error


def say(text: str) -> None:
    """Write one line to stderr, for people."""
    draw(text + "\n")


def draw(text: str) -> None:
    """Write to stderr as it stands; a stderr that cannot take it is no error."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()


def abandon() -> None:
    """Point stdout at nothing, so that the interpreter's last flush cannot fail again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person watches the stream."""
    return stream is not None and not stream.closed and stream.isatty()


def paint(text: str, colour: str, stream: TextIO | None) -> str:
    """Return the text in a colour if the stream is a terminal that shows it."""
    if not _shows_colour(stream):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def _shows_colour(stream: TextIO | None) -> bool:
    environment = os.environ
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    if os.name == "nt" and "WT_SESSION" not in environment:  # an old console prints the codes
        return False
    return is_terminal(stream)
