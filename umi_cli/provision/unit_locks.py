"""How processes on one machine keep each other off a unit: a locked file beside the journal.

The kernel holds the lock, not the file: it is gone with the process, however that ends. A file
that was left behind means nothing.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from umi_cli.crypto import sha256
from umi_cli.errors import ConflictError, JournalError
from umi_cli.files import PRIVATE_MODE

_DIRECTORY_MODE = 0o700
_NAME_CHARS = 32
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class UnitLocks:
    """The locks of the units in one journal.

    Args:
        directory: where the files are; made when it is needed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextlib.contextmanager
    def hold(self, unit: str) -> Iterator[None]:
        """Hold the lock of a unit.

        Raises:
            ConflictError: somebody has it.
            JournalError: there can be no file.
        """
        path = self._directory / sha256(unit.encode()).hex()[:_NAME_CHARS]
        try:
            descriptor = self._lock(path)
        except BlockingIOError as error:
            raise at_work(unit) from error
        except OSError as error:
            raise JournalError(f"cannot lock a unit in {path}: {error.strerror}") from error
        try:
            yield
        finally:
            try:
                with contextlib.suppress(OSError):  # a file that stays locks nobody out
                    path.unlink()
            finally:
                os.close(descriptor)

    def _lock(self, path: Path) -> int:
        self._directory.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        while True:
            descriptor = os.open(path, _FLAGS, PRIVATE_MODE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(path, descriptor):
                    return descriptor
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)  # who held it took the file away while we opened it


def _is_at(path: Path, descriptor: int) -> bool:
    """Tell whether the open file is still the one with that name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def at_work(unit: str) -> ConflictError:
    """Return the error for a unit that somebody else has locked."""
    return ConflictError(
        f"another station is at work on unit {unit}",
        hint="wait until it is done; what it did so far is in the journal",
    )
