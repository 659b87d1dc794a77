"""A virtual meter that `umi sim` serves on TCP, and what went over the line to it."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.cli.conftest import TIME_LIMIT_S, start_umi

_PIECE = re.compile(r"\S+ (out|in) \d+ bytes")
_ROW = re.compile(r"  [0-9a-f]{8}  ((?:[0-9a-f]{2}  ?)+)")


@dataclass(frozen=True, slots=True)
class Server:
    """A meter that is served."""

    address: str
    pid: int

    @property
    def port(self) -> int:
        """Return the TCP port."""
        return int(self.address.rpartition(":")[2])

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Have it take what comes and answer nothing, for a while."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)


@contextmanager
def served(*words: str, port: int = 0) -> Iterator[Server]:
    """Serve a virtual meter, and kill the server without a word."""
    process = start_umi("sim", "--tcp", f"127.0.0.1:{port}", *words)
    try:
        first = process.stdout.readline()
        assert first, process.communicate(timeout=TIME_LIMIT_S)
        address, *_ = json.loads(first)["addresses"]
        yield Server(address, process.pid)
    finally:
        process.kill()
        process.communicate(timeout=TIME_LIMIT_S)


def sent(log: str) -> list[bytes]:
    """Return the frames that were sent, from what `-v` logs."""
    frames: list[bytes] = []
    is_ours = False
    for line in log.splitlines():
        if piece := _PIECE.fullmatch(line):
            is_ours = piece[1] == "out"
            frames += [b""] if is_ours else []
        elif is_ours and (row := _ROW.match(line)):
            frames[-1] += bytes.fromhex(row[1])
    return frames
