"""How a virtual meter is served on TCP and pseudo-terminals: the only file here that opens a port.

One thread waits for all of them at once. Only lines that wait for something are asked for the
time, so hundreds of idle readers cost nothing.
"""

import errno
import os
import selectors
import socket
import termios
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from umi_cli.errors import InputError, NoSuchPortError, PortBusyError, PortPermissionError, UmiError
from umi_cli.optical.characters import SIGN_ON_SETTINGS, LineSettings
from umi_cli.optical.messages import RATES
from umi_cli.virtual.line import MeterLine
from umi_cli.virtual.optical_port import OpticalPort
from umi_cli.virtual.setup import Simulation

CHUNK_BYTES = 65_536
MAX_UNSENT_BYTES = 1 << 20  # a reader that takes nothing is hung up on
BACKLOG = 512
OTHER_BAUD = 115_200  # stands for every rate that EN 62056-21 does not have


class _Channel:
    """A line and the file descriptor it is served on."""

    def __init__(
        self, line: MeterLine | OpticalPort, port: socket.socket | int, address: str
    ) -> None:
        self.line = line
        self.port = port
        self.address = address
        self.unsent = bytearray()

    @property
    def is_terminal(self) -> bool:
        return isinstance(self.port, int)

    def read(self) -> bytes | None:
        """Return what is there, None if it is nothing yet; no bytes once the reader is gone."""
        try:
            if isinstance(self.port, int):
                return os.read(self.port, CHUNK_BYTES)
            return self.port.recv(CHUNK_BYTES)
        except BlockingIOError:
            return None
        except OSError:  # not only ConnectionError: a network that fails has many names
            return b""

    def write(self) -> None:
        """Send what can be sent without waiting; `OSError` if the reader is gone."""
        with suppress(BlockingIOError):
            while self.unsent:
                sent = (
                    os.write(self.port, self.unsent)
                    if isinstance(self.port, int)
                    else self.port.send(self.unsent)
                )
                del self.unsent[:sent]

    def look_at_reader(self) -> None:
        """Have an optical line know what the reader's end of the terminal is set to."""
        if isinstance(self.line, OpticalPort) and isinstance(self.port, int):
            self.line.settings = terminal_settings(self.port)

    def close(self) -> None:
        self.line.close()
        if isinstance(self.port, int):
            os.close(self.port)
        else:
            self.port.close()


_SPEEDS = {getattr(termios, f"B{baud}"): baud for baud in RATES.values()}


def terminal_settings(master: int) -> LineSettings:
    """Return what the other end of a pseudo-terminal is set to; other rates than
    EN 62056-21's are one that the meter cannot hear.

    Linux keeps every pseudo-terminal at 8N1, and tcsetattr reports 7E1 as refused (EINVAL). Nothing
    is lost by that: a 7E1 character is an 8N1 character with its parity in bit 7, which a reader
    makes in software.
    """
    attributes = termios.tcgetattr(master)
    return LineSettings(baud=_SPEEDS.get(attributes[5], OTHER_BAUD))


class Server:
    """Serves a virtual meter until it is told to stop.

    Args:
        simulation: the meter; the server does not close it.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._selector = selectors.DefaultSelector()
        self._listeners: list[socket.socket] = []
        self._channels: set[_Channel] = set()
        self._timed: set[_Channel] = set()
        self._links: dict[Path, str] = {}
        """What we made, and the terminal it leads to."""
        self._slaves: list[int] = []
        self._names = 0
        self._wakeup, self._waker = socket.socketpair()
        self._is_stopping = False
        self._has_news = False
        self._events = simulation.meter.memory.events
        self._events.subscribers.append(self._on_event)
        self._selector.register(self._wakeup, selectors.EVENT_READ, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def listen(self, host: str, port: int) -> str:
        """Take readers on a TCP port (0: any that is free); return the address.

        Raises:
            PortBusyError: the port is in use.
            PortPermissionError: this user may not listen there.
            NoSuchPortError: this host has no such address.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise _listen_error(host, port, error) from error
        listener.setblocking(False)
        self._listeners.append(listener)
        self._selector.register(listener, selectors.EVENT_READ, listener)
        number = listener.getsockname()[1]
        return _address(host, number)

    def call(self, host: str, port: int) -> str:
        """Call a reader that listens, as a meter with a modem does; return the address.

        Raises:
            NoSuchPortError: nobody listens there.
        """
        try:
            connection = socket.create_connection((host, port), timeout=10)
        except (OSError, UnicodeError) as error:
            raise NoSuchPortError(f"nobody listens on {host}:{port}: {error}") from error
        self._add_connection(connection)
        return _address(host, port)

    def open_terminal(self, link: Path) -> str:
        """Serve link frames on a pseudo-terminal, found under the name `link`; return the address.

        Raises:
            InputError: the name is taken by a file, or cannot be made.
        """
        self._open_terminal(link, self._new_line())
        return f"serial:{link}"

    def open_optical(self, link: Path) -> str:
        """Serve an optical port on a pseudo-terminal; as `open_terminal`."""
        self._names += 1
        port = self._simulation.new_optical_port(f"line {self._names}")
        port.settings = SIGN_ON_SETTINGS
        self._open_terminal(link, port)
        return f"opto:{link}"

    def press_key(self) -> None:
        """Press the meter's key, which opens its optical ports for a minute."""
        for channel in self._channels:
            if isinstance(channel.line, OpticalPort):
                channel.line.press_key(time.monotonic())

    def _open_terminal(self, link: Path, line: MeterLine | OpticalPort) -> None:
        master, slave = os.openpty()
        tty.setraw(slave)  # it stays open: a reader may come and go
        self._slaves.append(slave)
        name = os.ttyname(slave)
        os.set_blocking(master, False)
        self._add(_Channel(line, master, str(link)), master)
        try:
            if link.is_symlink() and link.readlink().parent == Path(name).parent:
                link.unlink()  # left behind by a run that was killed
            link.symlink_to(name)
        except OSError as error:
            raise InputError(f"cannot make the link {link}: {error.strerror}") from error
        self._links[link] = name

    def run(self) -> None:
        """Serve until `stop` is called."""
        while not self._is_stopping:
            for key, mask in self._selector.select(self._timeout_s()):
                self._on_ready(key.data, mask)
            self._on_timers()
            while self._has_news:
                self._publish()

    def stop(self) -> None:
        """Have `run` return; may be called from another thread."""
        self._is_stopping = True
        self._waker.send(b"\x00")

    def close(self) -> None:
        """Hang up, and take the links away."""
        with suppress(ValueError):  # closed before
            self._events.subscribers.remove(self._on_event)
        for link, name in self._links.items():
            if link.is_symlink() and str(link.readlink()) == name:  # it is ours still
                link.unlink(missing_ok=True)
        for channel in list(self._channels):
            self._drop(channel)
        for listener in self._listeners:
            listener.close()
        for slave in self._slaves:
            os.close(slave)
        self._slaves.clear()
        self._selector.close()
        self._wakeup.close()
        self._waker.close()

    def _timeout_s(self) -> float | None:
        due = [at for each in self._timed if (at := each.line.deadline) is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _on_ready(self, target: socket.socket | _Channel | None, mask: int) -> None:
        if isinstance(target, _Channel):
            self._on_channel(target, mask)
        elif target is not None:
            with suppress(OSError):  # it has gone again, or we have no descriptor left
                self._add_connection(target.accept()[0])

    def _add_connection(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._add(_Channel(self._new_line(), connection, "tcp"), connection)

    def _new_line(self) -> MeterLine:
        self._names += 1
        return self._simulation.new_line(f"line {self._names}")

    def _add(self, channel: _Channel, port: Any) -> None:
        self._channels.add(channel)
        self._selector.register(port, selectors.EVENT_READ, channel)

    def _on_channel(self, channel: _Channel, mask: int) -> None:
        if mask & selectors.EVENT_READ:
            data = channel.read()
            if data is None:
                return
            if not data:
                self._drop(channel)
                return
            self._tend(channel, lambda now, utc: channel.line.receive_data(data, now, utc))
        else:
            self._send(channel)

    def _on_timers(self) -> None:
        now = time.monotonic()
        for channel in list(self._timed):
            due = channel.line.deadline
            if due is not None and due <= now:
                self._tend(channel, channel.line.on_timer)

    def _on_event(self, number: int, now_s: int) -> None:
        self._has_news = True

    def _publish(self) -> None:
        """Let every line send what its reader has subscribed to."""
        self._has_news = False
        for channel in list(self._channels):
            self._tend(channel, channel.line.on_timer)

    def _tend(self, channel: _Channel, act: Callable[[float, float], None]) -> None:
        """Let a line do something, and send what comes of it."""
        line = channel.line
        channel.look_at_reader()
        act(time.monotonic(), time.time())
        channel.unsent += b"".join(line.data_to_send())
        (self._timed.discard if line.deadline is None else self._timed.add)(channel)
        if line.is_hung_up and not channel.is_terminal:
            self._drop(channel)
            return
        line.is_hung_up = False  # a cable that was pulled is in again
        self._send(channel)

    def _send(self, channel: _Channel) -> None:
        try:
            channel.write()
        except OSError:
            self._drop(channel)
            return
        if len(channel.unsent) > MAX_UNSENT_BYTES:
            self._drop(channel)
            return
        waits = selectors.EVENT_WRITE if channel.unsent else 0
        self._selector.modify(channel.port, selectors.EVENT_READ | waits, channel)

    def _drop(self, channel: _Channel) -> None:
        if channel in self._channels:
            self._channels.discard(channel)
            self._timed.discard(channel)
            self._selector.unregister(channel.port)
            channel.close()


def _address(host: str, port: int) -> str:
    return f"tcp:[{host}]:{port}" if ":" in host else f"tcp:{host}:{port}"


def _listen_error(host: str, port: int, error: OSError) -> UmiError:
    kinds = {errno.EADDRINUSE: PortBusyError, errno.EACCES: PortPermissionError}
    kind = kinds.get(error.errno or 0, NoSuchPortError)
    return kind(f"cannot listen on {host}:{port}: {error.strerror}")
