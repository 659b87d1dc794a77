"""`--trace`: what passes on the ports of one run, in a capture file that Wireshark reads.

The file is the user's alone, and what it holds is whole after every frame: a run that is killed
leaves a capture that can be read.
"""

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from umi_cli import __version__
from umi_cli.device.trace import Kind, Record, Trace
from umi_cli.errors import InputError
from umi_cli.explain.pcapng import (
    LINK_TYPE_FRAMES,
    LINK_TYPE_LINE,
    LINK_TYPE_PACKETS,
    MAGIC,
    Block,
    Interface,
    Packet,
    Section,
)
from umi_cli.files import open_private

if TYPE_CHECKING:
    from umi_cli.device.redaction import IsSecret

_LINK_TYPES = {
    Kind.FRAME: LINK_TYPE_FRAMES,
    Kind.LINE: LINK_TYPE_LINE,
    Kind.PACKET: LINK_TYPE_PACKETS,
}
_DESCRIPTIONS = {
    Kind.FRAME: "UMI link frames",
    Kind.LINE: "bytes that are no frame: the sign-on, noise",
    Kind.PACKET: "UMI packets, decrypted",
}
REDACTED = "Values of secret objects are zeros here, and their frames' CRCs made anew."
PLAIN = "Nothing is redacted: this file holds secrets, and what encrypted sessions said."


class Recorder:
    """The capture file of a run.

    Args:
        path: of the file; a capture that is there already is replaced.
        is_plain: nothing is redacted.
        warn: tells the user what goes wrong on the way.

    Raises:
        InputError: the file cannot be written, or is something else than a capture.
    """

    def __init__(self, path: Path, *, is_plain: bool, warn: Callable[[str], None]) -> None:
        self._path = path
        self._is_plain = is_plain
        self._warn = warn
        self._interfaces: dict[tuple[str, Kind], int] = {}
        try:
            self._descriptor: int | None = open_private(path, MAGIC)
        except OSError as error:
            raise InputError(
                f"--trace: cannot write {path}: {error.strerror or error}",
                hint="nothing was sent; name a new file, or a capture to replace",
            ) from error
        if is_plain:
            warn(f"--trace-plain: {path} will hold SECRETS, and what encrypted sessions say")
        system = os.uname()
        self._write(
            Section(
                comments=(PLAIN if is_plain else REDACTED,),
                hardware=system.machine,
                system=f"{system.sysname} {system.release}",
                application=f"umi {__version__} (Python {platform.python_version()})",
            )
        )

    def trace(self, address: str, is_secret: "IsSecret") -> Trace:
        """Return what watches a port and records it here.

        Args:
            address: of the port; the interface in the file is called so.
            is_secret: tells which objects hold secrets.
        """
        return Trace(
            lambda record: self._record(address, record),
            is_secret=is_secret,
            is_plain=self._is_plain,
        )

    def close(self) -> None:
        """Close the file; twice is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            if self._is_plain:
                self._warn(f"--trace-plain: {self._path} holds SECRETS: keep it as a key is kept")

    def _record(self, address: str, record: Record) -> None:
        self._write(
            Packet(
                interface=self._interface(address, record.kind),
                utc_us=record.utc_us,
                data=record.data,
                direction=record.direction,
                comments=record.comments,
            )
        )

    def _interface(self, address: str, kind: Kind) -> int:
        """Return the number of an interface, which is described when it is first needed."""
        key = address, kind
        if key not in self._interfaces:
            self._interfaces[key] = len(self._interfaces)
            name = address if kind is Kind.FRAME else f"{address}/{kind.value}"
            self._write(
                Interface(link_type=_LINK_TYPES[kind], name=name, description=_DESCRIPTIONS[kind])
            )
        return self._interfaces[key]

    def _write(self, block: Block) -> None:
        """Write a block at once; a file that takes no more ends the trace, and nothing else."""
        if self._descriptor is None:
            return
        data = block.encode()
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            self._warn(f"--trace: {self._path} takes no more, and ends here: {error.strerror}")
            os.close(self._descriptor)
            self._descriptor = None


def numbered(path: str, number: int) -> str:
    """Return the name of one of several captures, `line-2.pcapng`."""
    whole = Path(path)
    return str(whole.with_name(f"{whole.stem}-{number}{whole.suffix}"))
