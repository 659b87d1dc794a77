"""How large the terminal is that the result is shown on, and which characters it can show."""

import shutil
import sys


def size() -> tuple[int, int]:
    """Return the columns and lines of the terminal; 80 and 24 where there is none."""
    found = shutil.get_terminal_size()
    return found.columns, found.lines


def columns() -> int:
    """Return the columns of the terminal."""
    return size()[0]


def levels() -> str:
    """Return the characters of `sparkline` that standard output can show."""
    from umi_cli.output.sparkline import levels_for

    return levels_for(getattr(sys.stdout, "encoding", None))
