"""The other ends of real lines: a served meter, a scripted device, a peer that does as it likes."""

import os
import select
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serial.rfc2217 import PortManager

from tests.device.scripted import ScriptedDevice
from umi_cli.virtual.optical_port import OpticalPort
from umi_cli.virtual.serve import Server
from umi_cli.virtual.setup import SimOptions, Simulation

LOCALHOST = "127.0.0.1"
SAFETY_S = 30.0  # a test that waits that long has failed
NOBODY = 65_534


@dataclass(frozen=True, slots=True)
class Served:
    """A virtual meter that is served in another thread."""

    server: Server
    simulation: Simulation
    tcp: str
    """Its address on TCP."""
    pty: str
    """Its address on a pseudo-terminal, if it has one."""
    opto: str
    """The address of its optical port on a pseudo-terminal, if it has one."""

    @property
    def port(self) -> int:
        return int(self.tcp.rpartition(":")[2])

    @property
    def optical(self) -> OpticalPort:
        """Its optical port, which the other thread drives."""
        lines = [each.line for each in self.server._channels]
        [port] = [line for line in lines if isinstance(line, OpticalPort)]
        return port


@contextmanager
def served(pty: Path | None = None, optical: Path | None = None, **query: str) -> Iterator[Served]:
    """Serve a virtual meter on TCP, and on pseudo-terminals if there are names for them.

    Args:
        pty: the name of a pseudo-terminal for link frames.
        optical: the name of a pseudo-terminal for its optical port.
        query: options of the meter, as in `sim:?…`; `_` stands for `-`.
    """
    options = {name.rstrip("_").replace("_", "-"): text for name, text in query.items()}
    simulation = Simulation(SimOptions.from_query("", options), time.time())
    with Server(simulation) as server, ThreadPoolExecutor(1) as pool:
        tcp = server.listen(LOCALHOST, 0)
        terminal = server.open_terminal(pty) if pty else ""
        opto = server.open_optical(optical) if optical else ""
        running = pool.submit(server.run)
        try:
            yield Served(server, simulation, tcp, terminal, opto)
        finally:
            server.stop()
            running.result(SAFETY_S)
    simulation.close()


@contextmanager
def peer(act: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen on TCP, and let a thread act on the connections that come, one after the other.

    What `act` raises fails the test; that the caller hangs up does not. Yields the port.
    """
    with socket.create_server((LOCALHOST, 0)) as listener, ThreadPoolExecutor(1) as pool:
        running = pool.submit(_act_on_each, listener, act)
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            running.result(SAFETY_S)


def _act_on_each(listener: socket.socket, act: Callable[[socket.socket], None]) -> None:
    while True:
        try:
            connection = listener.accept()[0]
        except OSError:  # the test is over
            return
        connection.settimeout(SAFETY_S)
        with connection:
            try:
                act(connection)
            except ConnectionError:
                continue


def play_on(connection: socket.socket, device: ScriptedDevice) -> None:
    """Be a scripted device on a connection until the caller hangs up, or the script says so."""
    while data := connection.recv(65_536):
        device.receive_data(data, time.monotonic(), time.time())
        connection.sendall(b"".join(device.data_to_send()))
        if device.is_hung_up:
            return


def reset(connection: socket.socket) -> None:
    """Hang up without a word of farewell: RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()


class TerminalServer:
    """A terminal server: it passes what it is given on to a serial port, and what comes back.

    Args:
        open_port: opens the serial port.
        is_telnet: it obeys RFC 2217; else it passes the bytes on, and its port stays as it is.
    """

    def __init__(self, open_port: Callable[[], Any], *, is_telnet: bool = True) -> None:
        self.settings = 0
        """How often a rate was set."""
        self._open_port = open_port
        self._is_telnet = is_telnet
        self._lock = threading.Lock()

    def serve(self, connection: socket.socket) -> None:
        """Serve a connection until the caller hangs up."""
        self._connection = connection
        with self._open_port() as port:
            manager = PortManager(port, self) if self._is_telnet else None  # type: ignore[arg-type]
            is_over = threading.Event()

            def from_port() -> None:
                while not is_over.is_set():
                    if data := port.read(1):
                        self.write(b"".join(manager.escape(data)) if manager else data)

            with in_thread(from_port):
                try:
                    while data := connection.recv(1000):
                        self.settings += data.count(b"\xff\xfa\x2c\x01")
                        port.write(b"".join(manager.filter(data)) if manager else data)
                finally:
                    is_over.set()

    def write(self, data: bytes) -> None:
        """Send to the caller."""
        with self._lock:
            self._connection.sendall(data)


def free_port() -> int:
    """Return a TCP port on which nobody listens."""
    with socket.create_server((LOCALHOST, 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass(slots=True)
class Terminal:
    """A pseudo-terminal; the device under test opens the slave by name."""

    master: int
    slave: int
    is_open: bool = True
    is_held: bool = True
    """We have the slave open, too."""

    @property
    def name(self) -> str:
        return os.ttyname(self.slave)

    def vanish(self) -> None:
        """Take it away, as an adapter that is unplugged."""
        if self.is_open:
            self.is_open = False
            os.close(self.master)
            self.let_go()

    def let_go(self) -> None:
        """Close the slave, so that the master learns when the device under test closes it."""
        if self.is_held:
            self.is_held = False
            os.close(self.slave)

    def read(self) -> bytes:
        assert select.select([self.master], [], [], SAFETY_S)[0], "nothing came"
        return os.read(self.master, 65_536)


@contextmanager
def terminal() -> Iterator[Terminal]:
    master, slave = os.openpty()
    tty.setraw(slave)
    made = Terminal(master, slave)
    try:
        yield made
    finally:
        made.vanish()


@contextmanager
def in_thread(act: Callable[[], object]) -> Iterator[None]:
    """Do something beside the test; what it raises fails the test."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(act)
        yield
        running.result(SAFETY_S)


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread or process is about to do."""
    end = time.monotonic() + SAFETY_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Be nobody for a while, where the tests are run by root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
