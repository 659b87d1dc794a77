"""Write the manual pages and completions that the wheel installs, from the commands themselves.

`python -m umi_cli.cli.generate [--check] [DIR]`; with `--check` nothing is written, and files that
differ are named.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from umi_cli import files
from umi_cli.cli.main import PROGRAM, umi
from umi_cli.cli.manual import UnwrittenError, pages
from umi_cli.cli.shells import script

PAGES, COMPLETIONS = "man", "completions"
_NAMES = {
    "bash": f"{PROGRAM}.bash",
    "zsh": f"_{PROGRAM}",
    "fish": f"{PROGRAM}.fish",
    "powershell": f"{PROGRAM}.ps1",
}


def generated() -> dict[str, str]:
    """Return the text of every file by its path.

    Raises:
        UnwrittenError: a command lacks what its page must say.
        LookupError: this version of click cannot complete in every shell.
    """
    texts = {f"{PAGES}/{name}": text for name, text in pages(umi, PROGRAM).items()}
    for shell, name in _NAMES.items():
        texts[f"{COMPLETIONS}/{name}"] = script(umi, PROGRAM, shell)
    return texts


def differing(texts: dict[str, str], directory: Path) -> list[str]:
    """Return the paths that are missing in a directory, stand there otherwise, or too much."""
    wrong = [path for path, text in texts.items() if _text_of(directory / path) != text]
    return sorted([*wrong, *_surplus(texts, directory)])


def write(texts: dict[str, str], directory: Path) -> None:
    """Write what differs, and remove pages of commands that are no more."""
    for path in differing(texts, directory):
        target = directory / path
        if path in texts:
            target.parent.mkdir(parents=True, exist_ok=True)
            files.write_atomically(target, texts[path].encode())
        else:
            target.unlink()


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _surplus(texts: dict[str, str], directory: Path) -> list[str]:
    """Return what looks as if we had written it once."""
    patterns = (f"{PAGES}/{PROGRAM}*.1", f"{COMPLETIONS}/*{PROGRAM}*")
    found = (path for pattern in patterns for path in directory.glob(pattern))
    paths = (path.relative_to(directory).as_posix() for path in found)
    return [path for path in paths if path not in texts]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or compare them; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m umi_cli.cli.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; name what differs")
    parser.add_argument("directory", metavar="DIR", nargs="?", type=Path, default=Path())
    options = parser.parse_args(arguments)
    try:
        texts = generated()
    except (UnwrittenError, LookupError) as error:
        print(error, file=sys.stderr)
        return 1
    wrong = differing(texts, options.directory)
    for path in wrong:
        print(path)
    if options.check:
        return 1 if wrong else 0
    write(texts, options.directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
