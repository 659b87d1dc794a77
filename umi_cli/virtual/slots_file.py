"""How the flash of a virtual meter lasts: a file beside its state file, to which writes are added.

Images are long, and the state file is written anew for each command; so what lands in flash is
appended here, and what does not change is not written again. A record is on the disk before
`Flash.write_record` returns, with all that came before it. So a process that is killed has written
what it has acknowledged, and at most one block, or one record, more; what was cut off while it was
appended has not landed.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from zlib import crc32

from umi_cli import wire
from umi_cli.errors import InputError, MalformedError
from umi_cli.files import PRIVATE_MODE, atomic_writer
from umi_cli.virtual.flash import Flash, Write, WriteKind
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.slots import NoImageError, Slots
from umi_cli.wire import Reader

# File: 8 bytes "umislot1", 16 bytes token (hex, also in the state file), then writes:
#  u8 kind, u8 slot or place, u32 offset, u32 length; the data; u32 CRC-32 of all that
MAGIC = b"umislot1"
TOKEN_BYTES = 16
SLACK_BYTES = 1 << 20  # what is overwritten may take so much, and as much as what stands
_HEAD = Struct("<BBII")
_CHECKSUM_BYTES = 4


class SlotsFile:
    """The file of a meter's flash; where it has one, its memory is given that flash.

    Nothing is written before the meter writes to its flash.

    Args:
        state: the meter's state file, which is locked by its caller.
        memory: of the meter; it names the token of the file that belongs to it.

    Raises:
        InputError: the file is missing, of another state, or damaged.
    """

    def __init__(self, state: Path, memory: Memory) -> None:
        self.path = state.with_name(f"{state.name}.slots")
        self._memory = memory
        self._descriptor: int | None = None
        self._length = 0
        self._rewritten_length = 0
        if memory.slots_token is not None:
            memory.flash = self._load(memory.slots_token)
        memory.flash.listener = self._on_write

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _load(self, token: str) -> Flash:
        try:
            data = self.path.read_bytes()
            if not data.startswith(MAGIC + token.encode()):
                raise ValueError("it belongs to another state file")
            writes = list(_decode(data))
            flash = Flash(writes)
            Slots(flash)
        except (OSError, ValueError, NoImageError) as error:
            raise InputError(
                f"cannot use {self.path}, the image slots of the virtual meter: {error}",
                hint="bring back the file, or move the state file away to begin with a new meter",
            ) from error
        return flash

    def _on_write(self, write: Write) -> None:
        try:
            if self._descriptor is None or self._is_wasteful(write):
                self._rewrite()
            else:
                self._append(self._descriptor, write)
        except OSError as error:
            self.close()  # what was cut off must not stand before what comes next
            raise InputError(f"cannot write {self.path}: {error}") from error

    def _is_wasteful(self, write: Write) -> bool:
        is_moment = write.kind is WriteKind.ERASE  # once in a transfer, when little stands
        return is_moment and self._length > 2 * self._rewritten_length + SLACK_BYTES

    def _append(self, descriptor: int, write: Write) -> None:
        data = _encode(write)
        self._length += len(data)
        while data:
            data = data[os.write(descriptor, data) :]
        if write.kind is WriteKind.RECORD:
            os.fsync(descriptor)

    def _rewrite(self) -> None:
        """Write the file anew, whole or not at all, with what stands in flash alone."""
        if self._memory.slots_token is None:
            self._memory.slots_token = secrets.token_hex(TOKEN_BYTES // 2)
        self.close()
        with atomic_writer(self.path, mode=PRIVATE_MODE) as file:
            file.write(MAGIC + self._memory.slots_token.encode())
            for write in self._memory.flash.snapshot():
                file.write(_encode(write))
            self._length = self._rewritten_length = file.tell()
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def _encode(write: Write) -> bytes:
    head = _HEAD.pack(write.kind, write.number, write.offset, len(write.data))
    body = head + write.data
    return body + wire.u32(crc32(body))


def _decode(data: bytes) -> Iterator[Write]:
    """Yield the writes of a file, up to one that was cut off; `ValueError` if they are none."""
    reader = Reader(data, what="slots")
    reader.take(len(MAGIC) + TOKEN_BYTES, "head")
    while True:
        try:
            head = reader.take(_HEAD.size, "head")
            kind, number, offset, length = _HEAD.unpack(head)
            body = head + reader.take(length, "data")
            checksum = reader.u32("checksum")
        except MalformedError:
            return
        if crc32(body) != checksum:
            return
        yield Write(kind=WriteKind(kind), number=number, offset=offset, data=body[_HEAD.size :])
