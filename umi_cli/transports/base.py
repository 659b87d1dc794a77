"""What every port offers: bytes out, bytes in until a deadline, and the time."""

import time
from typing import Protocol, Self

from umi_cli.optical.characters import LineSettings


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
    has_answered: bool
    """The device has answered on this port already: a sign-on has succeeded."""
    chunk_bytes: int | None
    """How much of an array to ask for at once, so that a break of the line loses no more."""

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

    def recover(self) -> None:
        """Do what brings back a device that has fallen silent, such as to sign on again.

        Raises:
            UmiError: it does not come back.
        """
        ...

    def close(self) -> None:
        """Close the port."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class LinePort(Protocol):
    """A serial line whose settings can change while it is open: what an optical head sits on."""

    @property
    def clock(self) -> Clock:
        """Return where the time comes from."""
        ...

    def set_line(self, settings: LineSettings) -> None:
        """Change the settings of the open port.

        Raises:
            SignOnError: the adapter cannot do them.
            LostError: the port is gone.
        """
        ...

    def send(self, data: bytes) -> None:
        """Send all of the bytes; `LostError` if the port is gone."""
        ...

    def receive(self, deadline: float) -> bytes:
        """Return what is there as soon as there is any; nothing at the deadline.

        Raises:
            LostError: the port is gone.
        """
        ...

    def close(self) -> None:
        """Close the port; twice is harmless."""
        ...


class Board(Protocol):
    """The pins of one UMI-spi port, seen from the Host (protocol 9)."""

    address: str
    """As the user named it."""

    @property
    def clock(self) -> Clock:
        """Return where the time comes from."""
        ...

    @property
    def switches_power(self) -> bool:
        """Tell whether VDD can be switched; a self-powered port cannot."""
        ...

    def power(self, on: bool) -> None:
        """Switch VDD, and HVDD on a high-power port; nothing on a self-powered one.

        Raises:
            LostError: the pins are gone.
        """
        ...

    def reset(self, held: bool) -> None:
        """Hold RSTB low, or release it (open drain); `LostError` if the pins are gone."""
        ...

    def select(self, selected: bool) -> None:
        """Pull CSB low, or let it go; `LostError` if the pins or the bus are gone.

        Where the controller has CSB, it is low during each exchange, and this is a pulse that
        wakes the peripheral.
        """
        ...

    def int_is_low(self) -> bool:
        """Tell whether INTB is low now; `fileno` is readable again when it has changed after that.

        Raises:
            LostError: the pins are gone.
        """
        ...

    def wait_for_int(self, low: bool, deadline: float) -> bool:
        """Wait for INTB to be low (or high), by edge events; False at the deadline.

        Args:
            low: which of the two.
            deadline: on the monotonic clock of the board.

        Raises:
            LostError: the pins are gone.
        """
        ...

    def exchange(self, data: bytes) -> bytes:
        """Clock bytes out, and as many in; `LostError` if the bus is gone."""
        ...

    def fileno(self) -> int:
        """Return a descriptor that is readable when INTB has changed (for a selector)."""
        ...

    def close(self) -> None:
        """RSTB low, everything off, lines released; twice is harmless."""
        ...


class Steady:
    """What a transport has on which nothing needs to be begun again, and any length is right."""

    has_answered = False
    chunk_bytes: int | None = None

    def recover(self) -> None:
        """Do nothing: a RESYNC is all that such a line needs."""
