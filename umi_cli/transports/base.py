"""What every port offers: bytes out, bytes in until a deadline, and the time."""

import time
from collections.abc import Callable
from typing import Protocol, Self, runtime_checkable

from umi_cli.optical.characters import LineSettings

LONGEST_WAIT_S = 3600.0
"""How long to wait at once: the system's limit is lower than a deadline may be."""
Notify = Callable[[str], None]
"""Told, in a sentence, what takes long before it is waited for."""


def tell_nobody(sentence: str) -> None:
    """Let nobody know."""


class Clock(Protocol):
    """Where the time comes from; the virtual meter in process has one that skips waits."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def utc(self) -> float:
        """Return the Unix time in seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


@runtime_checkable
class SkippingClock(Clock, Protocol):
    """A clock that skips waits, unless somebody watches."""

    is_watched: bool
    """Waits take as long as they last."""


class SystemClock:
    """The clock of this host."""

    monotonic = staticmethod(time.monotonic)
    utc = staticmethod(time.time)
    sleep = staticmethod(time.sleep)


class Transport(Protocol):
    """An open port. Closing it twice is harmless.

    What has these methods carries UMI, so a transport of one's own needs no more than this:

    >>> from umi_cli.connecting import open_transport
    >>> from umi_cli.device.meter import Meter
    >>> from umi_cli.device.session import Session
    >>> from umi_cli.objects.catalogue import Catalogue
    >>> from umi_cli.transports.address import Address
    >>> transport = open_transport(Address.parse("sim"))  # or an object of your own
    >>> with Meter(transport, Session(transport), Catalogue.load("ei4")) as meter:
    ...     meter.read("manufacturer-id/serial").value
    '31733978'
    """

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

    @property
    def clock(self) -> Clock:
        """Return where the time comes from."""
        ...

    @property
    def chunk_bytes(self) -> int | None:
        """Return how much of an array to ask for at once, so that a break loses no more."""
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

    @property
    def clock(self) -> Clock:
        """Return where the time comes from."""
        ...

    @property
    def byte_time_s(self) -> float:
        """Return how long a byte is on the bus, in seconds."""
        ...

    @property
    def switches_power(self) -> bool:
        """Tell whether VDD can be switched; a self-powered port's cannot."""
        ...

    def power(self, on: bool) -> None:
        """Switch VDD, and HVDD on a high-power port."""
        ...

    def reset(self, held: bool) -> None:
        """Hold RSTB low, or release it (open drain)."""
        ...

    def select(self, selected: bool) -> None:
        """Pull CSB low, or let it go."""
        ...

    def int_is_low(self) -> bool:
        """Tell whether INTB is low now."""
        ...

    def wait_for_int(self, low: bool, deadline: float) -> bool:
        """Wait until INTB is low, or high, by its edges; False at the deadline.

        A rise since it was selected last counts as well, even if INTB has fallen again meanwhile: a
        peripheral that answers at once must not look like one that never let go.
        """
        ...

    def exchange(self, data: bytes) -> bytes:
        """Clock bytes out, and as many in; `LostError` if the bus is gone."""
        ...

    def fileno(self) -> int:
        """Return a descriptor that is readable when INTB has changed; -1 if there is none."""
        ...

    @property
    def deadline(self) -> float | None:
        """Return when to look at INTB again, where no descriptor tells: seconds, monotonic."""
        ...

    def close(self) -> None:
        """Hold RSTB low, switch everything off and let go of the lines; twice is harmless."""
        ...


class Steady:
    """What a transport has on which nothing needs to be begun again, and any length is right."""

    has_answered = False
    chunk_bytes: int | None = None

    def recover(self) -> None:
        """Do nothing: a RESYNC is all that such a line needs."""
