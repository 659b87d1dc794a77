"""How files are written so that no cut leaves half of one.

A reader sees the old file or the new one, never a part: temporary file beside it, fsync, rename,
fsync of the directory.
"""

import contextlib
import os
import secrets
from pathlib import Path

PRIVATE_MODE = 0o600

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644, replace: bool = True) -> None:
    """Write a file whole or not at all.

    Args:
        mode: permission bits of the new file, whatever the umask.
        replace: take the place of a file that is already there.

    Raises:
        FileExistsError: there is a file and `replace` is false.
        OSError: the file cannot be written; nothing has changed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, _CREATE, PRIVATE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # unlike a rename, it fails where a file is already there
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
