"""Run the README: every command in it, top to bottom, in one shell; and compare what it shows.

`python -m tests.tour` prints where the README is wrong; `--write` puts right what it shows.

The commands run in an empty directory, with an empty home, and `umi` of this environment first on
the PATH. What differs from run to run is compared by its shape (`VARYING`); a line `…` stands for
any lines, and `…` inside a line for any text. Virtual meters of the tour live before
`TOUR_ENDS`: a time before it is compared to the letter, a later one is that of whoever runs this.
"""

import argparse
import difflib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.readme import README, Step, steps
from tests.spec_page import with_spec_page

ROOT = README.parent
TIME_LIMIT_S = 600
TOUR_ENDS = "2026-04-01"
PORT = "127.0.0.1:4059"  # of the README's servers; a free one takes its place
ELISION = "…"

VARYING = (
    (re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
    (re.compile(r"\bkey-[0-9a-f]{32}\b"), "<key>"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "<serial>"),
    (re.compile(r'"duration_ms":\d+'), '"duration_ms":<ms>'),
    (re.compile(r"\d+ \S+/s, \d+:\d\d left"), "<rate>"),
)
"""What is compared by its shape alone."""

# Each step sees the exit code of the one before. A server in the background has begun when it says
# that it listens, and that line is all that is compared of it.
_RUNNER = """\
last=0
run() { (exit $last); . "$1.sh" >"$1.out" 2>&1 </dev/null; last=$?; echo $last >"$1.code"; }
start() { . "$1.sh" >"$1.log" 2>&1 </dev/null; echo 0 >"$1.code"
    for _ in $(seq 600); do grep '"listening"' "$1.log" >"$1.out" && break; sleep 0.1; done; }
"""
# What was told to end may take a moment.
_LEFT = """\
for _ in $(seq 100); do [ -z "$(jobs -pr)" ] && break; sleep 0.1; done
jobs -pr >{folder}/left; kill $(jobs -pr) 2>/dev/null; wait
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a step went."""

    step: Step
    code: int
    """Exit code."""
    printed: tuple[str, ...]
    """What came on stdout and stderr, as a terminal shows both."""

    @property
    def fault(self) -> str:
        """Return how this differs from the README; nothing if it does not."""
        where = f"README.md:{self.step.line}"
        if self.step.shown is None:
            text = "\n".join(self.printed)
            return f"{where}: exit {self.code}\n{text}\n" if self.code else ""
        if is_same(self.step.shown, self.printed):
            return ""
        shown, printed = map(normalised, (self.step.shown, self.printed))
        return "\n".join(difflib.unified_diff(shown, printed, where, "what it prints", lineterm=""))


def run_tour(readme: Sequence[str], folder: Path) -> list[Ran]:
    """Run what is to be run of a README.

    Args:
        readme: its lines.
        folder: an empty directory.

    Raises:
        ValueError: the README leaves a process behind, or is not in its form.
        subprocess.TimeoutExpired: a command does not end.
    """
    found = list(steps(readme))
    place, work = folder / "steps", folder / "work"
    for each in (place, work, folder / "home"):
        each.mkdir(parents=True)
    port = f"127.0.0.1:{_free_port()}"
    _run_shell(_script(found, place, port), work, folder / "home")
    if left := (place / "left").read_text().split():
        raise ValueError(f"a process is left behind: {left}; end what a block starts with: kill %1")
    return [
        Ran(
            step=step,
            code=int((place / f"{number}.code").read_text()),
            printed=_printed(place / f"{number}.out", port),
        )
        for number, step in enumerate(found)
    ]


def _script(found: Sequence[Step], place: Path, port: str) -> str:
    """Write each step into a file, and return the script that runs them one after the other."""
    lines = [_RUNNER]
    for number, step in enumerate(found):
        path = place / str(number)
        text = step.text.replace(PORT, port)
        path.with_suffix(".text").write_text(text)
        path.with_suffix(".sh").write_text(_command(step, text, path.with_suffix(".text")))
        goes_on = text.rstrip().endswith(" &")
        lines.append(f"{'start' if goes_on else 'run'} {shlex.quote(str(path))}\n")
    return "".join([*lines, _LEFT.format(folder=shlex.quote(str(place)))])


def _command(step: Step, text: str, path: Path) -> str:
    """Return what the shell does for a step."""
    if step.file:
        return f"cp {shlex.quote(str(path))} {shlex.quote(step.file)}\n"
    if step.is_python:
        return f"{shlex.quote(sys.executable)} -W error {shlex.quote(str(path))}\n"
    return f"{text}\n" if step.shown is not None else f"(set -eo pipefail\n{text})\n"


def _run_shell(script: str, work: Path, home: Path) -> None:
    """Run a script to its end, and end all that it started if it does not come to it."""
    with subprocess.Popen(
        ["bash", "-c", script], cwd=work, env=_environment(home), start_new_session=True
    ) as process:
        try:
            process.wait(TIME_LIMIT_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _environment(home: Path) -> dict[str, str]:
    """Return the environment of a user who has just installed umi."""
    own = ("UMI_", "XDG_", "PYTHON", "COV_", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return kept | {
        "HOME": str(home),
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "COLUMNS": "100",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }


def _printed(path: Path, port: str) -> tuple[str, ...]:
    text = path.read_text(encoding="utf-8").replace(port, PORT)
    return tuple(line.rstrip() for line in text.rstrip("\n").split("\n")) if text.strip() else ()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def normalised(lines: Sequence[str]) -> list[str]:
    """Return lines with what varies as its shape."""
    return [_normalised(line) for line in lines]


def _normalised(line: str) -> str:
    for pattern, shape in VARYING:
        line = pattern.sub(lambda found, shape=shape: _shape(found[0], shape), line)  # type: ignore[misc]
    return line


def _shape(text: str, shape: str) -> str:
    return text if shape == "<time>" and text < TOUR_ENDS else shape


def is_same(shown: Sequence[str], printed: Sequence[str]) -> bool:
    """Tell whether lines are what the README shows, but for what varies or is left out."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == ELISION else _line_pattern(line)
        for line in normalised(shown)
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in normalised(printed))) is not None


def _line_pattern(line: str) -> str:
    return ".*".join(map(re.escape, line.split(ELISION))) + r"\n"


def corrected(readme: Sequence[str], ran: Sequence[Ran]) -> list[str]:
    """Return a README that shows what was printed; what is right already stays as it is."""
    lines = list(readme)
    for each in reversed(ran):
        shown = each.step.shown
        if shown is None or not each.fault:
            continue
        lines[each.step.first : each.step.first + len(shown)] = elided(shown, each.printed)
    return lines


def elided(shown: Sequence[str], printed: Sequence[str]) -> list[str]:
    """Return what is printed, with as many lines left out as the README left out."""
    if ELISION not in shown:
        return list(printed)
    before = shown.index(ELISION)
    after = len(shown) - before - 1
    return [*printed[:before], ELISION, *printed[len(printed) - after :]]


def links(text: str) -> list[str]:
    """Return where the links of a Markdown text lead that lead nowhere else."""
    return [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]


def check(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Run a README; return what is wrong with it, and its lines put right.

    Raises:
        ValueError: as `run_tour`.
    """
    with tempfile.TemporaryDirectory() as folder:
        ran = run_tour(lines, Path(folder))
    faults = [each.fault for each in ran if each.fault]
    return faults, corrected(lines, ran)


def main() -> int:
    """Run the README of this repository."""
    parser = argparse.ArgumentParser(prog="python -m tests.tour", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put right what the README shows")
    wants_write = parser.parse_args().write
    lines = README.read_text(encoding="utf-8").splitlines()
    if wants_write:
        lines = with_spec_page(lines)
    faults, right = check(lines)
    if wants_write:
        README.write_text("".join(f"{line}\n" for line in right), encoding="utf-8")
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults and not wants_write else 0


if __name__ == "__main__":
    sys.exit(main())
