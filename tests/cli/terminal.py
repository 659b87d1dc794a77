"""A person at a terminal: a process that has a pseudo-terminal for its own, and Ctrl-C on it."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from tests.cli.conftest import TIME_LIMIT_S, UMI, environment

INSIST_S = 1.0
_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x07")


@dataclass(slots=True)
class Terminal:
    """What a person sees and types."""

    process: "subprocess.Popen[bytes]"
    descriptor: int
    seen: str = ""
    _raw: bytes = field(default=b"", repr=False)
    _read_to: int = 0

    def type(self, text: str) -> None:
        """Type a text; `\\x03` is Ctrl-C, `\\x04` Ctrl-D, `\\t` TAB."""
        os.write(self.descriptor, text.encode())

    def expect(self, text: str) -> str:
        """Wait for a text behind what was expected before, and return what stands up to it."""
        limit = time.monotonic() + TIME_LIMIT_S
        while (found := self.seen.find(text, self._read_to)) < 0:
            assert self._read(limit), f"no {text!r} in {self.seen[self._read_to :]!r}"
        passed = self.seen[self._read_to : found]
        self._read_to = found + len(text)
        return passed

    def insist(self, key: str, text: str) -> None:
        """Press a key, and again now and then, until a text shows.

        Python's readline does not see a signal that comes between two of its waits: a person
        presses Ctrl-C again.
        """
        limit = time.monotonic() + TIME_LIMIT_S
        while self.seen.find(text, self._read_to) < 0:
            assert time.monotonic() < limit, f"no {text!r} in {self.seen[self._read_to :]!r}"
            self.type(key)
            pause = time.monotonic() + INSIST_S
            while self.seen.find(text, self._read_to) < 0 and time.monotonic() < pause:
                self._read(pause)
        self.expect(text)

    def hang_up(self) -> None:
        """Close the terminal."""
        os.close(self.descriptor)
        self.descriptor = -1

    def end(self) -> int:
        """Wait for the end, and return the exit code."""
        limit = time.monotonic() + TIME_LIMIT_S
        while self._read(limit):
            pass
        return self.process.wait(timeout=TIME_LIMIT_S)

    def _read(self, limit: float) -> bool:
        """Take in what is shown; false if nothing more comes."""
        ready, _, _ = select.select([self.descriptor], [], [], max(0.0, limit - time.monotonic()))
        try:
            piece = os.read(self.descriptor, 4096) if ready else b""
        except OSError:  # Linux ends a pseudo-terminal with EIO
            return False
        self._raw += piece
        self.seen = _ESCAPES.sub(b"", self._raw).decode(errors="replace").replace("\r", "")
        return bool(piece)


@contextmanager
def at_terminal(
    *args: str, env: Mapping[str, str] | None = None, stdout: int | IO[str] | None = None
) -> Iterator[Terminal]:
    """Start `umi` at a terminal of its own; it is killed if it is still there at the end."""
    near, far = pty.openpty()

    def own_terminal() -> None:
        fcntl.ioctl(far, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(
        [*UMI, *args],
        env=environment({"TERM": "xterm", "INPUTRC": "/dev/null", **(env or {})}),
        stdin=far,
        stdout=far if stdout is None else stdout,
        stderr=far,
        start_new_session=True,
        preexec_fn=own_terminal,
    )
    os.close(far)
    terminal = Terminal(process, near)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        if terminal.descriptor >= 0:
            os.close(near)
