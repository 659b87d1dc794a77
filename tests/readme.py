"""What stands in the README: its fenced blocks, and the commands in them with what they print.

A comment on the line above a fence says what is special about the block:

- `<!-- not run: REASON -->`: it is shown only, for the reason given;
- `<!-- file: NAME -->`: it is the text of a file that the commands below it read;
- `<!-- output -->`: it is what the Python block above it prints;
- `<!-- command: NAME -->`: it is the file of a command (tests/test_contributing.py tries it).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
KINDS = ("console", "sh", "python", "toml", "text")

_FENCE = re.compile(r"```(\w*)")
_NOTE = re.compile(r"<!-- (not run|file|output|command)(?:: ?(.*?))? -->")
_PROMPT = "$ "


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block."""

    kind: str
    """The word behind the fence."""
    note: tuple[str, str]
    """The comment above it, its word and its text; two empty texts if there is none."""
    first: int
    """Index of its first line in the README."""
    lines: tuple[str, ...]
    """What stands between the fences."""

    @property
    def text(self) -> str:
        """Return the lines as a file has them."""
        return "".join(f"{line}\n" for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to run, and what the README shows that it prints."""

    text: str
    """A command of the shell, over several lines maybe; a script in Python if `is_python`."""
    line: int
    """Where it stands in the README, counted from 1."""
    first: int
    """Index of the first line of what it prints."""
    shown: tuple[str, ...] | None
    """What the README shows; None where it shows nothing, and success is all that is asked."""
    is_python: bool = False
    file: str = ""
    """The name of the file whose text this is, where nothing is run."""


def blocks(lines: Sequence[str]) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown text.

    Raises:
        ValueError: a block has no kind that we know, or does not end.
    """
    index = 0
    while index < len(lines):
        fence = _FENCE.fullmatch(lines[index])
        if fence is None:
            index += 1
            continue
        if fence[1] not in KINDS:
            raise ValueError(f"README.md:{index + 1}: a block is one of {', '.join(KINDS)}")
        if "```" not in lines[index + 1 :]:
            raise ValueError(f"README.md:{index + 1}: the block does not end")
        end = lines.index("```", index + 1)
        note = _NOTE.fullmatch(lines[index - 1])
        yield Block(
            kind=fence[1],
            note=(note[1], note[2] or "") if note else ("", ""),
            first=index + 1,
            lines=tuple(lines[index + 1 : end]),
        )
        index = end + 1


def steps(lines: Sequence[str]) -> Iterator[Step]:
    """Yield what is run of a README, top to bottom."""
    script: Block | None = None
    for block in blocks(lines):
        if script is not None:
            yield _script(script, block if block.note[0] == "output" else None)
            script = None
        if block.note[0] == "file":
            yield Step(
                text=block.text, line=block.first, first=block.first, shown=None, file=block.note[1]
            )
        elif block.note[0]:
            continue
        elif block.kind == "console":
            yield from console_steps(block)
        elif block.kind == "sh":
            yield Step(text=block.text, line=block.first + 1, first=block.first, shown=None)
        elif block.kind == "python":
            script = block
    if script is not None:
        yield _script(script, None)


def _script(script: Block, output: Block | None) -> Step:
    """Return the step of a Python block, with the block of its output below it."""
    return Step(
        text=script.text,
        line=script.first + 1,
        first=output.first if output else script.first,
        shown=output.lines if output else None,
        is_python=True,
    )


def console_steps(block: Block) -> Iterator[Step]:
    """Yield the commands of a block: each begins with `$ `, and goes on behind a backslash."""
    at = 0
    while at < len(block.lines):
        if not block.lines[at].startswith(_PROMPT):
            raise ValueError(f"README.md:{block.first + at + 1}: {_PROMPT}COMMAND is due here")
        begin = at
        while block.lines[at].endswith("\\"):
            at += 1
        at += 1
        command = "\n".join(block.lines[begin:at]).removeprefix(_PROMPT)
        output = at
        while at < len(block.lines) and not block.lines[at].startswith(_PROMPT):
            at += 1
        shown = list(block.lines[output:at])
        while shown and not shown[-1]:  # an empty line parts commands
            shown.pop()
        yield Step(
            text=command,
            line=block.first + begin + 1,
            first=block.first + output,
            shown=tuple(shown),
        )
