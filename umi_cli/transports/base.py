"""What every port offers: bytes out, bytes in until a deadline, and the time."""

import time
from typing import Protocol, Self


class Clock(Protocol):
    """Where the time comes from; the virtual meter in process has one that skips waits."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def utc(self) -> float:
        """Return the Unix time in seconds."""
        ...


class SystemClock:
    """The clock of this host."""

    monotonic = staticmethod(time.monotonic)
    utc = staticmethod(time.time)


class Transport(Protocol):
    """An open port. Closing it twice is harmless."""

    address: str
    """As the user named it."""
    timeout_s: float
    """How long a device on such a line may take to answer, by default."""
    byte_time_s: float
    """How long a byte is on the wire, in seconds."""
    idle_gap_s: float
    """A pause of that many seconds ends a frame."""

    @property
    def clock(self) -> Clock:
        """Return where the time comes from."""
        ...

    def send(self, data: bytes) -> None:
        """Send all of the bytes.

        Raises:
            LostError: the port is gone, or the peer has hung up.
        """
        ...

    def receive(self, deadline: float) -> bytes:
        """Return the bytes that are there as soon as there are any; none at the deadline.

        Args:
            deadline: on the monotonic clock of the port.

        Raises:
            LostError: the port is gone, or the peer has hung up.
        """
        ...

    def close(self) -> None:
        """Close the port."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
