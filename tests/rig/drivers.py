"""What do the devices of both kinds have in common? A file that is open, and a place in /dev."""

import errno
import stat
from dataclasses import dataclass

from tests.rig.wire import Answer, encode_seen


def refused(number: int, why: str = "") -> OSError:
    """Return what makes a system call fail."""
    return OSError(number, why or errno.errorcode[number])


class UnsupportedError(Exception):
    """The kernel can do it, and the rig cannot: the test cannot be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A character device in `/dev` and in `/sys/dev/char`."""

    name: str
    subsystem: str
    major: int
    minor: int
    is_denied: bool = False
    """Whether nobody may open it, not even root."""

    @property
    def seen(self) -> bytes:
        permissions = 0 if self.is_denied else 0o660
        return encode_seen(mode=stat.S_IFCHR | permissions, major=self.major, minor=self.minor)


class OpenFile:
    """An open file of a driver; what a driver does not know fails as in the kernel."""

    place: Place | None = None

    def ioctl(self, request: int, payload: bytes) -> bytes:
        raise refused(errno.ENOTTY)

    def message(self, size: int, payload: bytes) -> Answer:
        """Do what SPI_IOC_MESSAGE asks: a structure of that size, then what its pointers show."""
        raise refused(errno.ENOTTY)

    def read(self, count: int, has_byte: bool) -> Answer:
        raise refused(errno.EINVAL)

    def write(self, data: bytes, count: int) -> int:
        raise refused(errno.EINVAL)

    def close(self) -> None:
        """Do what the kernel does when the last descriptor is gone."""
