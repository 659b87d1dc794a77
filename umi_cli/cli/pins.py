"""Which certificates of devices were trusted on first contact? The user's file of pins.

A line for each device: its UMI ID, and the SHA-256 of its certificate (protocol 6.4). The file
stands beside the user's `config.toml` and is its owner's alone: who could write it could have any
device trusted.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from umi_cli import files
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import ChainError, ChainFailure
from umi_cli.errors import KeyUnusableError
from umi_cli.types import UmiId

_LINE = re.compile(r"([0-9A-F]{16}) ([0-9a-f]{64})", re.ASCII)
_DIRECTORY_MODE = 0o700


class Pins:
    """The pins of a user.

    Args:
        path: their file, which need not be there yet.

    Raises:
        KeyUnusableError: the file cannot be read, is open to others, or holds anything else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_device = _load(path)

    @property
    def fingerprints(self) -> frozenset[bytes]:
        """Return the SHA-256 of every certificate that is pinned.

        Each is of one device alone: the certificate names it, and so must its packets.
        """
        return frozenset(self._by_device.values())

    def is_known(self, device: UmiId, certificate: Certificate) -> bool:
        """Tell whether a device's certificate is the one that was pinned; false if none was.

        Raises:
            ChainError: another one was, or the certificate is not the device's.
        """
        if certificate.body.subject != device:
            raise ChainError(
                ChainFailure.WRONG_SUBJECT,
                f"{device} shows a certificate of {certificate.body.subject}: it is not pinned",
            )
        pinned = self._by_device.get(device)
        if pinned not in (None, certificate.fingerprint):
            raise ChainError(
                ChainFailure.NOT_PINNED,
                f"THE CERTIFICATE OF {device} HAS CHANGED since it was pinned: somebody may be in"
                " the middle of this line",
                hint="find out whether the device was given a new certificate; if it was, take"
                f" its line out of {self._path}, and pin it again with --pin",
            )
        return pinned is not None

    def record(self, device: UmiId, certificate: Certificate) -> None:
        """Pin a device's certificate, in the file too.

        Raises:
            ChainError: another one was pinned.
            KeyUnusableError: the file cannot be written.
        """
        try:
            self._path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            with _locked(self._path.parent):
                self._by_device = _load(self._path)  # another process may have pinned
                if not self.is_known(device, certificate):
                    self._by_device[device] = certificate.fingerprint
                    files.write_atomically(self._path, self._encode(), mode=files.PRIVATE_MODE)
        except OSError as error:
            raise KeyUnusableError(f"cannot write {self._path}: {error.strerror}") from error

    def _encode(self) -> bytes:
        pins = sorted(self._by_device.items())
        return "".join(f"{device} {pinned.hex()}\n" for device, pinned in pins).encode("ascii")


def _load(path: Path) -> dict[UmiId, bytes]:
    if not os.path.lexists(path):
        return {}
    pins = {}
    for number, line in enumerate(files.read_private(path).decode("latin-1").splitlines(), 1):
        match = _LINE.fullmatch(line.rstrip())
        if match is None or UmiId.parse(match[1]) in pins:
            raise KeyUnusableError(
                f"{path}, line {number}, is no pin, or one of a device that has one already",
                hint="a pin is a UMI ID, a blank and 64 hex digits; take the line out",
            )
        pins[UmiId.parse(match[1])] = bytes.fromhex(match[2])
    return pins


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other processes from changing the file meanwhile; closing ends the lock."""
    import fcntl

    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
