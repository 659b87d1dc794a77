"""How files are written so that no cut leaves half of one, and how private files are read.

A reader sees the old file or the new one, never a part: temporary file beside it, fsync, rename,
fsync of the directory. Files with secrets are their owner's alone (cli.md, Secrets). A file that
only grows is held under a lock, and what was appended is on the disk before anything else happens.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from umi_cli.errors import KeyUnusableError

PRIVATE_MODE = 0o600
MAX_PRIVATE_FILE_BYTES = 65_536  # a PEM key has 300 bytes; more is the wrong file

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ANEW = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not hang before it is refused


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644, replace: bool = True) -> None:
    """Write a file whole or not at all.

    Args:
        mode: permission bits of the new file, whatever the umask.
        replace: take the place of a file that is already there.

    Raises:
        FileExistsError: there is a file and `replace` is false.
        OSError: the file cannot be written; nothing has changed.
    """
    with atomic_writer(path, mode=mode, replace=replace) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_writer(path: Path, *, mode: int = 0o644, replace: bool = True) -> Iterator[BinaryIO]:
    """Open a file for a long text: it is there whole when the block ends well, or not at all.

    Its place stays as it was while the block runs, and after an error; the file can be sought in
    and read again. Arguments and errors are those of `write_atomically`.
    """
    _check_place(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with os.fdopen(os.open(temporary, _CREATE, PRIVATE_MODE), "w+b") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # unlike a rename, it fails where a file is already there
    finally:
        with contextlib.suppress(OSError):  # most often it is not there; else why it failed is told
            temporary.unlink()
    _sync_directory(path.parent)


def _check_place(path: Path) -> None:
    """Replace files and links alone: a device or a FIFO would be gone for good."""
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, "the name of a file is missing")
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise FileExistsError(errno.EEXIST, "there is something that is no regular file")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_private(path: Path, magic: bytes) -> int:
    """Open a file to be written anew, for its owner alone; return its descriptor.

    It is of use while it is written, so nothing is renamed, and no cut loses what stands in it.

    Args:
        magic: what a file that may be replaced begins with; any other is left as it is.

    Raises:
        FileExistsError: there is something else.
        BlockingIOError: somebody else writes to it so.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, _ANEW, PRIVATE_MODE)
    is_taken = False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileExistsError(errno.EEXIST, "there is something that is no regular file")
        _lock(descriptor)
        if os.read(descriptor, len(magic)) not in (b"", magic):
            raise FileExistsError(errno.EEXIST, "there is another kind of file, which stays")
        os.fchmod(descriptor, PRIVATE_MODE)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        is_taken = True
    finally:
        if not is_taken:
            os.close(descriptor)
    return descriptor


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(errno.EWOULDBLOCK, "another program is writing to it") from error


class GrowingFile:
    """A file that nothing is ever taken from, held under a lock.

    Args:
        descriptor: of the file, open to append.
        is_new: it was not there before.
    """

    __slots__ = ("_descriptor", "is_new")

    def __init__(self, descriptor: int, *, is_new: bool) -> None:
        self._descriptor = descriptor
        self.is_new = is_new

    def read(self) -> bytes:
        """Return all that the file holds."""
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            return file.read()

    def append(self, data: bytes) -> None:
        """Write bytes behind what is there; on return they are on the disk.

        Raises:
            OSError: they are not, or a part of them is.
        """
        while data:
            data = data[os.write(self._descriptor, data) :]
        os.fsync(self._descriptor)


@contextlib.contextmanager
def growing_file(path: Path) -> Iterator[GrowingFile]:
    """Open a file that only grows, for its owner alone, and wait until nobody else holds it.

    Raises:
        FileExistsError: there is something that is no regular file.
        PermissionError: others can write into it.
        OSError: it cannot be opened.
    """
    is_new = not os.path.lexists(path)
    descriptor = os.open(path, _APPEND, PRIVATE_MODE)
    try:
        _check_growing(os.fstat(descriptor))
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if is_new:
            os.fchmod(descriptor, PRIVATE_MODE)  # the umask may have left less
            _sync_directory(path.parent)
        yield GrowingFile(descriptor, is_new=is_new)
    finally:
        os.close(descriptor)  # and with it the lock is gone


def _check_growing(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FileExistsError(errno.EEXIST, "there is something that is no regular file")
    if status.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "other users can write into it (chmod 600)")


def read_private(path: Path) -> bytes:
    """Read a file that only its owner, we, can read.

    Raises:
        KeyUnusableError: it is missing, unreadable, too long, another's, or open to others.
    """
    try:
        with os.fdopen(os.open(path, _OPEN), "rb") as file:
            _check_private(path, os.fstat(file.fileno()))
            data = file.read(MAX_PRIVATE_FILE_BYTES + 1)
    except OSError as error:
        raise KeyUnusableError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_PRIVATE_FILE_BYTES:
        raise KeyUnusableError(f"{path} is too long for a file with a secret")
    return data


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyUnusableError(
            f"{path} is not a regular file", hint="hand a pipe over as fd:N, or as - on stdin"
        )
    if status.st_uid != os.geteuid():
        raise KeyUnusableError(
            f"{path} belongs to another user", hint="use a file of your own, with mode 0600"
        )
    if status.st_mode & 0o077:
        raise KeyUnusableError(
            f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):04o})",
            hint="take their rights away (chmod 600); if others had access, make a new key",
        )
