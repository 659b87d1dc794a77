"""What a line is served on: a socket, a pseudo-terminal, or a port of the Host with its pins."""

import os
import socket
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from umi_cli.errors import LostError
from umi_cli.link.frame import Direction
from umi_cli.optical.characters import LineSettings
from umi_cli.optical.messages import RATES
from umi_cli.virtual.examiner import ExaminerLine
from umi_cli.virtual.host import HostLine
from umi_cli.virtual.line import MeterLine
from umi_cli.virtual.optical_port import OpticalPort

CHUNK_BYTES = 65_536
OTHER_BAUD = 115_200  # stands for every rate that EN 62056-21 does not have
MAX_MISSES = 3  # of a Peripheral that does not wake, or calls for nothing, before it is reset

Line = MeterLine | ExaminerLine | OpticalPort | HostLine

_SPEEDS = {getattr(termios, f"B{baud}"): baud for baud in RATES.values()}


def terminal_settings(master: int) -> LineSettings:
    """Return what the other end of a pseudo-terminal is set to; other rates than EN 62056-21's are
    one that the meter cannot hear.

    Linux keeps every pseudo-terminal at 8N1, and tcsetattr reports 7E1 as refused (EINVAL). Nothing
    is lost by that: a 7E1 character is an 8N1 character with its parity in bit 7, which a reader
    makes in software.
    """
    return LineSettings(baud=_SPEEDS.get(termios.tcgetattr(master)[5], OTHER_BAUD))


class Watch(Protocol):
    """Sees what passes on a line."""

    def on_served(self, direction: Direction, data: bytes, *, is_sign_on: bool = False) -> None:
        """Take a piece of what came "in" from the reader, or went "out" to it."""
        ...

    def close(self) -> None:
        """Note that nothing more will pass."""
        ...


class Channel:
    """A line and what it is served on.

    Args:
        line: the virtual meter's end.
        port: a socket or a descriptor, which it closes.
        watch: sees what passes, if anybody wants that.
    """

    def __init__(self, line: Line, port: socket.socket | int, watch: Watch | None = None) -> None:
        self.line = line
        self.port = port
        self._watch = watch
        self._unsent = bytearray()

    @property
    def unsent_bytes(self) -> int:
        """Return how much waits to be sent."""
        return len(self._unsent)

    @property
    def deadline(self) -> float | None:
        """Return when the line wants to be told the time: seconds, monotonic."""
        return self.line.deadline

    @property
    def is_terminal(self) -> bool:
        """Tell whether readers come and go without the channel ending."""
        return isinstance(self.port, int)

    def pass_on(self, data: bytes, now: float, utc: float) -> None:
        """Give the line what came in."""
        self._show("in", data)
        self.line.receive_data(data, now, utc)

    def fetch(self) -> None:
        """Take from the line what is to be sent."""
        chunks = self.line.data_to_send()
        for chunk in chunks:
            self._show("out", chunk)
        self._put(chunks)

    def _show(self, direction: Direction, data: bytes) -> None:
        if self._watch is not None:
            line = self.line
            is_sign_on = isinstance(line, OpticalPort) and not line.sign_on.is_umi
            self._watch.on_served(direction, data, is_sign_on=is_sign_on)

    def _put(self, chunks: list[bytes]) -> None:
        self._unsent += b"".join(chunks)

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
            while self._unsent:
                sent = (
                    os.write(self.port, self._unsent)
                    if isinstance(self.port, int)
                    else self.port.send(self._unsent)
                )
                del self._unsent[:sent]

    def lose_unsent(self) -> None:
        """Lose what nobody takes: a line goes on when its reader does not listen."""
        self._unsent.clear()

    def look_at_reader(self) -> None:
        """Have an optical line know what the reader's end of the terminal is set to."""
        if isinstance(self.line, OpticalPort) and isinstance(self.port, int):
            self.line.settings = terminal_settings(self.port)

    def close(self) -> None:
        """Forget the line and close what it was served on."""
        self.line.close()
        if self._watch is not None:
            self._watch.close()
        self._close_port()

    def _close_port(self) -> None:
        if isinstance(self.port, int):
            os.close(self.port)
        else:
            self.port.close()


class FramePort(Protocol):
    """A port of the Host: frames go out and come in one by one, and INTB says when."""

    @property
    def misses(self) -> int:
        """Return how often in a row it did not wake to take a frame, or had none when it called."""
        ...

    @property
    def deadline(self) -> float | None:
        """Return when the port is to be looked at, where no descriptor tells."""
        ...

    def fileno(self) -> int:
        """Return a descriptor that is readable when INTB has changed; -1 if there is none."""
        ...

    def has_frame(self) -> bool:
        """Tell whether the Peripheral has something to say now."""
        ...

    def send(self, data: bytes) -> None:
        """Clock a frame out; `LostError` if the port is gone."""
        ...

    def receive(self, deadline: float) -> bytes:
        """Fetch a frame; nothing at the deadline; `LostError` if the port is gone."""
        ...

    def recover(self) -> None:
        """Reset the Peripheral; `LostError` if it does not come back."""
        ...

    def close(self) -> None:
        """Switch it off."""
        ...


class FrameChannel(Channel):
    """A port of the Host, and its line.

    Args:
        line: the Host's end.
        port: the pins.
        on_lost: told once why the Peripheral is gone.
        watch: sees what passes, if anybody wants that.
    """

    def __init__(
        self,
        line: HostLine,
        port: FramePort,
        on_lost: Callable[[str], None],
        watch: Watch | None = None,
    ) -> None:
        super().__init__(line, port.fileno(), watch)
        self.host_line = line
        self._port = port
        self._on_lost = on_lost
        self._frames: list[bytes] = []

    @property
    def unsent_bytes(self) -> int:
        """Return nothing: the Host waits for its Peripheral."""
        return 0

    @property
    def deadline(self) -> float | None:
        """Return when the line, or the port, wants to be looked at."""
        times = (self.line.deadline, self._port.deadline)
        return min((time for time in times if time is not None), default=None)

    def _put(self, chunks: list[bytes]) -> None:
        self._frames += chunks

    def read(self) -> bytes | None:
        """Return a frame if there is one, None if not; no bytes once the Peripheral is gone."""
        try:
            if not self._port.has_frame():
                return None
            data = self._port.receive(0.0)
            self._recover_if_due()
        except LostError as error:
            self._on_lost(str(error))
            return b""
        return data or None

    def write(self) -> None:
        """Clock the frames out; `OSError` if the Peripheral is gone."""
        try:
            while self._frames:
                self._port.send(self._frames.pop(0))
                self._recover_if_due()
        except LostError as error:
            self._on_lost(str(error))
            raise ConnectionError(str(error)) from error

    def _recover_if_due(self) -> None:
        """Reset a Peripheral that fails several times in a row, and greet it anew."""
        if self._port.misses >= MAX_MISSES:
            self._port.recover()
            self._frames.clear()
            self.host_line.greet()

    def _close_port(self) -> None:
        self._port.close()  # which switches it off
