"""What was typed in earlier shells: a file that is its owner's alone.

A line that begins with a space is not kept, as in other shells; nor is one that holds a secret,
or might: `umi_cli.cli.discretion` tells which.
"""

import contextlib
from pathlib import Path

from umi_cli import files

KEPT_LINES = 1000
_SLACK = 2  # the file is cut when it has grown to this many times as much


class History:
    """The lines that were typed, the last at the end.

    Args:
        path: the file, which need not be there yet; what is wrong with it is no error: a shell
            works without.
        lines: where they stand in memory.
    """

    def __init__(self, path: Path, lines: list[str]) -> None:
        self._path = path
        self.lines = lines
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lines += self._load()

    def add(self, line: str) -> bool:
        """Keep a line, and tell whether it is kept: not one like the last, or behind a space."""
        if line[:1].isspace() or not line.strip() or line in self.lines[-1:]:
            return False
        self.lines.append(line)
        with contextlib.suppress(OSError), files.growing_file(self._path) as file:
            file.append(line.encode("utf-8", "surrogateescape") + b"\n")
        return True

    def _load(self) -> list[str]:
        """Return the last lines of the file; one that has grown too long is cut."""
        with files.growing_file(self._path) as file:
            lines = file.read().decode("utf-8", "surrogateescape").splitlines()
        if len(lines) > _SLACK * KEPT_LINES:
            text = "".join(f"{line}\n" for line in lines[-KEPT_LINES:])
            data = text.encode("utf-8", "surrogateescape")
            files.write_atomically(self._path, data, mode=files.PRIVATE_MODE)
        return lines[-KEPT_LINES:]
