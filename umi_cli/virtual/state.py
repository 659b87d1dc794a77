"""How a virtual meter remembers across processes: one state file, one process at a time."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

from umi_cli.errors import InputError, PortBusyError
from umi_cli.files import PRIVATE_MODE, write_atomically


class StateFile:
    """A state file, locked while it is open. It holds keys, so it is its owner's alone.

    Args:
        path: of the file; it need not exist.

    Raises:
        PortBusyError: another process has it open.
        InputError: its directory does not exist or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _lock(path)

    def load(self) -> str | None:
        """Return the file's content, None if there is no file; `InputError` if it is unreadable."""
        if self.path.exists() and not self.path.is_file():  # /dev/zero has no end
            raise InputError(f"cannot read the state file {self.path}: it is no regular file")
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"cannot read the state file {self.path}: {reason}") from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.path} is no state file: it is no text",
                hint="name another file, or a new one",
            ) from error

    def save(self, text: str) -> None:
        """Replace the file's content, whole or not at all; `InputError` if it cannot be."""
        try:
            write_atomically(self.path, text.encode(), mode=PRIVATE_MODE)
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"cannot write the state file {self.path}: {reason}") from error

    def close(self) -> None:
        """Let go of the file."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _lock(path: Path) -> int | None:
    try:
        lock = path.with_name(f".{path.name}.lock")
        descriptor = os.open(
            lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_MODE
        )
    except (OSError, ValueError) as error:  # ValueError: no name of a file, such as `.`
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot use the state file {path}: {reason}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise PortBusyError(f"the virtual meter in {path} is in use by another umi") from error
    return descriptor
