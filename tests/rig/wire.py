"""What do the shim and the rig say to each other? The other half of these pages is `shim.c`."""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct


class What(IntEnum):
    """What the shim asks."""

    OPEN = 1
    LINES = 2
    STAT = 3
    LIST = 4
    RESOLVE = 5
    IOCTL = 6
    MESSAGE = 7
    READ = 8
    WRITE = 9
    FLOCK = 10


IS_DEVICE, IS_FILE = 0, 1  # results of OPEN
MUST_WAIT = 1  # a result of READ
QUESTION_MAX = 1 << 18  # more than the shim ever sends

_ASK = Struct("=IIQQ")
_ANSWER = Struct("=iI")
_SEEN = Struct("=4I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question of the shim."""

    what: What
    has_byte: bool
    """READ: the byte that says that there is something to be read was taken."""
    object: int
    """The SO_COOKIE of the connection that is the open file."""
    argument: int
    payload: bytes

    @classmethod
    def decode(cls, data: bytes) -> "Question":
        what, has_byte, number, argument = _ASK.unpack_from(data)
        return cls(
            what=What(what),
            has_byte=bool(has_byte),
            object=number,
            argument=argument,
            payload=data[_ASK.size :],
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the rig: a result as of a system call, or a negative errno."""

    result: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        return _ANSWER.pack(self.result, 0) + self.payload


def encode_seen(*, mode: int, major: int, minor: int, size: int = 0) -> bytes:
    """Return what `stat` tells of a file."""
    return _SEEN.pack(mode, major, minor, size)


def text(data: bytes) -> str:
    """Return a C string."""
    return data.partition(b"\0")[0].decode()
