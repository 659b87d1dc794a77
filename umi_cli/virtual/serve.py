"""How a virtual meter is served on TCP and pseudo-terminals: the only file here that opens a port.

One thread waits for all of them at once. Only lines that wait for something are asked for the
time, so hundreds of idle readers cost nothing.
"""

import errno
import math
import os
import selectors
import socket
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from umi_cli.errors import InputError, NoSuchPortError, PortBusyError, PortPermissionError, UmiError
from umi_cli.optical.characters import SIGN_ON_SETTINGS
from umi_cli.virtual.channels import Channel, FrameChannel, FramePort, Line, Watch
from umi_cli.virtual.examiner import Examiner
from umi_cli.virtual.host import Host
from umi_cli.virtual.optical_port import OpticalPort
from umi_cli.virtual.setup import Simulation

MAX_UNSENT_BYTES = 1 << 20  # a reader that takes nothing is hung up on
MAX_FETCHES = 16  # frames of a port of the Host, before the other lines are looked at
LONGEST_WAIT_S = 3600.0  # the system's limit is lower than a time to serve may be
BACKLOG = 512


class Server:
    """Serves a virtual meter until it is told to stop.

    Args:
        meter: gives each reader its line; the server does not close it.
        host: the Host with its ports that the meter is, if readers are to reach those.
        watch: returns what sees what passes on a line, by its name, if anybody wants that.
    """

    def __init__(
        self,
        meter: Simulation | Examiner,
        host: Host | None = None,
        watch: Callable[[str], Watch | None] = lambda name: None,
    ) -> None:
        self._meter = meter
        self._host = host
        self._watch = watch
        self._ports: list[FrameChannel] = []
        self._selector = selectors.DefaultSelector()
        self._listeners: list[socket.socket] = []
        self._channels: set[Channel] = set()
        self._timed: set[Channel] = set()
        self._links: dict[Path, str] = {}
        """What we made, and the terminal it leads to."""
        self._slaves: list[int] = []
        self._names = 0
        self._wakeup, self._waker = socket.socketpair()
        self._is_stopping = False
        self._has_news = False
        self._events = meter.events
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
        name = self._next_name()
        self._open_terminal(link, self._new_line(name), name)
        return f"serial:{link}"

    def open_optical(self, link: Path) -> str:
        """Serve an optical port on a pseudo-terminal; as `open_terminal`."""
        name = self._next_name()
        port = self._meter.new_optical_port(name)
        port.settings = SIGN_ON_SETTINGS
        self._open_terminal(link, port, name)
        return f"opto:{link}"

    def press_key(self) -> None:
        """Press the meter's key, which opens its optical ports for a minute."""
        for channel in self._channels:
            if isinstance(channel.line, OpticalPort):
                channel.line.press_key(time.monotonic())

    def _open_terminal(self, link: Path, line: Line, name: str) -> None:
        if not link.name:  # as of an empty text, which is the working directory
            raise InputError(f"{link} is no name for a pseudo-terminal", hint="write /tmp/meter")
        master, slave = os.openpty()
        tty.setraw(slave)  # it stays open: a reader may come and go
        self._slaves.append(slave)
        terminal = os.ttyname(slave)
        os.set_blocking(master, False)
        self._add(Channel(line, master, self._watch(name)), master)
        try:
            if link.is_symlink() and link.readlink().parent == Path(terminal).parent:
                if link.exists() and str(link.readlink()) != terminal:
                    raise PortBusyError(
                        f"{link} leads to {link.readlink()}, which is in use",
                        hint="take another name; if no sim serves it any more, remove the link",
                    )
                link.unlink()  # left behind by a run that was killed
            link.symlink_to(terminal)
        except OSError as error:
            raise InputError(f"cannot make the link {link}: {error.strerror}") from error
        self._links[link] = terminal

    def run(self, until_s: float = math.inf) -> None:
        """Serve until `stop` is called, or until a moment (monotonic seconds)."""
        while not self._is_stopping and time.monotonic() < until_s:
            for key, mask in self._selector.select(self._timeout_s(until_s)):
                self._on_ready(key.data, mask)
            self._on_timers()
            for channel in list(self._ports):
                self._fetch(channel)
            while self._has_news:
                self._publish()

    def stop(self) -> None:
        """Have `run` return; may be called from another thread."""
        self._is_stopping = True
        self._waker.send(b"\x00")

    def hang_up(self) -> None:
        """Hang up on every reader; others may call."""
        for channel in list(self._channels):
            self._drop(channel)

    def close(self) -> None:
        """Hang up, and take the links away."""
        with suppress(ValueError):  # closed before
            self._events.subscribers.remove(self._on_event)
        for link, name in self._links.items():
            if link.is_symlink() and str(link.readlink()) == name:  # it is ours still
                link.unlink(missing_ok=True)
        self.hang_up()
        for listener in self._listeners:
            listener.close()
        for slave in self._slaves:
            os.close(slave)
        self._slaves.clear()
        self._selector.close()
        self._wakeup.close()
        self._waker.close()

    def _timeout_s(self, until_s: float) -> float | None:
        waiting = (*self._timed, *self._ports)  # what a Peripheral wants changes as frames pass
        due = min((at for each in waiting if (at := each.deadline) is not None), default=until_s)
        due = min(due, until_s)
        if math.isinf(due):
            return None
        return min(max(0.0, due - time.monotonic()), LONGEST_WAIT_S)

    def _on_ready(self, target: socket.socket | Channel | None, mask: int) -> None:
        if isinstance(target, Channel):
            self._on_channel(target, mask)
        elif target is not None:
            with suppress(OSError):  # it has gone again, or we have no descriptor left
                self._add_connection(target.accept()[0])

    def _add_connection(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = self._next_name()
        try:
            line = self._new_line(name)
        except InputError:  # no link address is left for it
            connection.close()
            return
        self._add(Channel(line, connection, self._watch(name)), connection)

    def _next_name(self) -> str:
        self._names += 1
        return f"line {self._names}"

    def _new_line(self, name: str) -> Line:
        return self._host.new_reader(name) if self._host else self._meter.new_line(name)

    def add_port(
        self,
        address: int,
        port: FramePort,
        on_lost: Callable[[str], None],
        *,
        wants_authentication: bool = False,
    ) -> None:
        """Serve a port of the Host, 1..15; it is switched off when its Peripheral is gone."""
        if self._host is None:
            raise ValueError("there is no Host to have ports")
        line = self._host.new_port(address, wants_authentication=wants_authentication)
        channel = FrameChannel(line, port, on_lost, self._watch(f"port {address}"))
        self._ports.append(channel)
        self._channels.add(channel)
        self._timed.add(channel)
        if port.fileno() >= 0:
            self._selector.register(port.fileno(), selectors.EVENT_READ, channel)
        self._tend(channel, line.on_timer)

    def _add(self, channel: Channel, port: Any) -> None:
        self._channels.add(channel)
        self._selector.register(port, selectors.EVENT_READ, channel)

    def _on_channel(self, channel: Channel, mask: int) -> None:
        if isinstance(channel, FrameChannel):
            return  # every port is looked at anyway
        if mask & selectors.EVENT_READ:
            data = channel.read()
            if data is None:
                return
            if not data:
                self._drop(channel)
                return
            self._pass_on(channel, data)
        else:
            self._send(channel)

    def _fetch(self, channel: FrameChannel) -> None:
        """Take the frames that a port has; the others get their turn after a few."""
        for _ in range(MAX_FETCHES):
            data = channel.read() if channel in self._channels else None
            if data is None:
                return
            if not data:
                self._drop(channel)
                return
            self._pass_on(channel, data)

    def _pass_on(self, channel: Channel, data: bytes) -> None:
        """Give a line what came in; under a Host it may be for any other line."""
        self._tend(channel, lambda now, utc: channel.pass_on(data, now, utc))
        if self._host is not None:
            for other in list(self._channels):
                if other is not channel and other in self._channels:
                    self._tend(other, other.line.on_timer)

    def _on_timers(self) -> None:
        now = time.monotonic()
        for channel in list(self._timed):
            due = channel.deadline
            if due is not None and due <= now:
                self._tend(channel, channel.line.on_timer)

    def _on_event(self, number: int, now_s: int) -> None:
        self._has_news = True

    def _publish(self) -> None:
        """Let every line send what its reader has subscribed to."""
        self._has_news = False
        for channel in list(self._channels):
            self._tend(channel, channel.line.on_timer)

    def _tend(self, channel: Channel, act: Callable[[float, float], None]) -> None:
        """Let a line do something, and send what comes of it."""
        line = channel.line
        channel.look_at_reader()
        act(time.monotonic(), time.time())
        channel.fetch()
        (self._timed.discard if channel.deadline is None else self._timed.add)(channel)
        if line.is_hung_up and not channel.is_terminal:
            self._drop(channel)
            return
        line.is_hung_up = False  # a cable that was pulled is in again
        self._send(channel)

    def _send(self, channel: Channel) -> None:
        try:
            channel.write()
        except OSError:
            self._drop(channel)
            return
        if channel.unsent_bytes > MAX_UNSENT_BYTES:
            if channel.is_terminal:
                channel.lose_unsent()
            else:
                self._drop(channel)
        elif not isinstance(channel, FrameChannel):
            waits = selectors.EVENT_WRITE if channel.unsent_bytes else 0
            self._selector.modify(channel.port, selectors.EVENT_READ | waits, channel)

    def _drop(self, channel: Channel) -> None:
        if channel in self._channels:
            self._channels.discard(channel)
            self._timed.discard(channel)
            if isinstance(channel, FrameChannel):
                self._ports.remove(channel)
            with suppress(KeyError, ValueError):  # a port without a descriptor was never registered
                self._selector.unregister(channel.port)
            channel.close()


def _address(host: str, port: int) -> str:
    return f"tcp:[{host}]:{port}" if ":" in host else f"tcp:{host}:{port}"


def _listen_error(host: str, port: int, error: OSError) -> UmiError:
    kinds = {errno.EADDRINUSE: PortBusyError, errno.EACCES: PortPermissionError}
    kind = kinds.get(error.errno or 0, NoSuchPortError)
    return kind(f"cannot listen on {host}:{port}: {error.strerror}")
