"""Link frames on a TCP stream, nothing around them; we call, or are called (protocol 10)."""

import errno
import select
import socket
from typing import Self

from umi_cli.errors import (
    LostError,
    NoAnswerError,
    NoSuchPortError,
    PortBusyError,
    PortPermissionError,
)
from umi_cli.link.stream import DEFAULT_IDLE_GAP_S
from umi_cli.transports.base import LONGEST_WAIT_S, Clock, Notify, Steady, SystemClock, tell_nobody

CONNECT_TIMEOUT_S = 10.0
CALL_TIMEOUT_S = 60.0  # how long we wait for a meter to call
CHUNK_BYTES = 65_536


class TcpTransport(Steady):
    """A port on a connected socket, which it closes.

    Args:
        connection: the socket.
        address: what the user called it.
    """

    timeout_s = 2.0
    byte_time_s = 0.0
    idle_gap_s = DEFAULT_IDLE_GAP_S

    def __init__(self, connection: socket.socket, address: str) -> None:
        self.address = address
        self.clock: Clock = SystemClock()
        self._socket = connection
        self._socket.setblocking(True)
        # Every frame waits for its answer: nothing is ever worth gathering.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._readable = select.poll()  # select() itself knows no descriptor past 1023
        self._readable.register(connection, select.POLLIN)

    def send(self, data: bytes) -> None:
        """Send all of the bytes; `LostError` if the peer has hung up."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise LostError(f"{self.address} has hung up: {error}") from error

    def receive(self, deadline: float) -> bytes:
        """Return what is there; nothing at the deadline; `LostError` if the peer has hung up."""
        try:
            while not self._readable.poll(self._wait_ms(deadline)):
                if self.clock.monotonic() >= deadline:
                    return b""
            data = self._socket.recv(CHUNK_BYTES)
        except OSError as error:
            raise LostError(f"{self.address} has hung up: {error}") from error
        if not data:
            raise LostError(f"{self.address} has hung up")
        return data

    def _wait_ms(self, deadline: float) -> float:
        wait_s = max(0.0, deadline - self.clock.monotonic())
        return min(wait_s, LONGEST_WAIT_S) * 1000

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def call(host: str, port: int, address: str) -> TcpTransport:
    """Call a device.

    Raises:
        NoSuchPortError: the host is unknown, or nobody listens there.
        NoAnswerError: the host does not answer at all.
    """
    try:
        return TcpTransport(socket.create_connection((host, port), CONNECT_TIMEOUT_S), address)
    except TimeoutError as error:
        raise NoAnswerError(f"{address}: the host does not answer") from error
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", "") or "no name has this form"
        raise NoSuchPortError(
            f"{address}: there is no host {host!r} ({reason})", hint="check the name"
        ) from error
    except OSError as error:
        raise NoSuchPortError(
            f"{address}: nothing listens there ({error.strerror})",
            hint="check host and port, and that the device is switched on",
        ) from error


def wait_for_call(
    host: str,
    port: int,
    address: str,
    wait_s: float | None = None,
    notify: Notify = tell_nobody,
) -> TcpTransport:
    """Wait until a device calls.

    Args:
        host, port: where to listen; port 0 is any free one.
        address: what the user called it.
        wait_s: how long, in seconds. `--timeout` is for link exchanges, which begin after it.
        notify: told where we listen, and for how long.

    Raises:
        NoSuchPortError: this host has no such address.
        PortBusyError: another program listens there.
        PortPermissionError: this user may not listen there.
        NoAnswerError: nobody called in time.
    """
    try:
        server = socket.create_server((host, port), family=_family(host))
    except PermissionError as error:
        raise PortPermissionError(
            f"{address}: this user may not listen on port {port}", hint="use a port above 1023"
        ) from error
    except OSError as error:
        kind = PortBusyError if error.errno == errno.EADDRINUSE else NoSuchPortError
        raise kind(f"{address}: cannot listen there ({error.strerror})") from error
    with server:
        wait_s = CALL_TIMEOUT_S if wait_s is None else wait_s
        server.settimeout(wait_s)
        own_host, own_port = server.getsockname()[:2]
        place = f"[{own_host}]:{own_port}" if ":" in own_host else f"{own_host}:{own_port}"
        notify(f"listening on {place} for up to {wait_s:g} s: have the device call")
        try:
            connection, _ = server.accept()
        except TimeoutError as error:
            raise NoAnswerError(
                f"{address}: nobody called within {wait_s:g} s",
                hint="have the device call, or wait longer with tcp-listen:PORT?wait=SECONDS",
            ) from error
    return TcpTransport(connection, address)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
