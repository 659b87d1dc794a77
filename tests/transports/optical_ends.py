"""The other ends of optical lines: a scripted meter, a port of a terminal server, a fast clock."""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import serial

from tests.transports.ends import Terminal, in_thread
from umi_cli.link.frame import Frame, FrameType
from umi_cli.optical.characters import SIGN_ON_BAUD, LineSettings, with_parity
from umi_cli.optical.messages import BREAK, RATES, request
from umi_cli.transports.optical import OpticalSettings, OpticalTransport
from umi_cli.transports.serial import SerialPort, open_port
from umi_cli.virtual.channels import terminal_settings
from umi_cli.virtual.setup import Simulation

REQUEST, SIGN_OFF = with_parity(request()), with_parity(BREAK)
IDENT = with_parity(b"/ELS5EISGMv0\r\n")
RESYNC = Frame(sequence=0, frame_type=FrameType.RESYNC, destination=0, source=0).encode()
SYNCED = Frame(sequence=0, frame_type=FrameType.RESYNC_RESPONSE, destination=5, source=0).encode()


@dataclass(frozen=True, slots=True)
class HurriedClock:
    """A clock that is many times as fast: whoever waits by it waits for a fraction of the time."""

    hurry: int

    def monotonic(self) -> float:
        return time.monotonic() * self.hurry

    def utc(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.hurry)


class NotingPort(SerialPort):
    """A port that notes what is sent, and at which rate, before it is sent.

    Who reads it at the other end learns neither for sure: pieces run together, and the port may be
    at the next rate when they are read.
    """

    sent: ClassVar[dict[str, deque[tuple[int, bytes]]]] = {}
    """By the name of the terminal; what its meter has not taken yet."""

    def __init__(self, name: str) -> None:
        super().__init__(open_port(name, SIGN_ON_BAUD, "opto:x"), "opto:x")
        self._baud = SIGN_ON_BAUD
        self._notes = self.sent[name] = deque()

    def set_line(self, settings: LineSettings) -> None:
        super().set_line(settings)
        self._baud = settings.baud

    def send(self, data: bytes) -> None:
        self._notes.append((self._baud, data))
        super().send(data)


def sign_on(line: Terminal, *, hurry: int = 5, **profile: Any) -> OpticalTransport:
    """Sign on at a terminal, without a wake-up and in a hurry; raises as the transport does."""
    port = NotingPort(line.name)
    port.clock = HurriedClock(hurry)
    port._port.timeout = 0.002  # how long it waits at once: that is in no hurry
    settings = OpticalSettings()
    settings = replace(settings, profile=replace(settings.profile, **profile))
    return OpticalTransport(port, settings, "opto:x")


Answer = Callable[[int, bytes], bytes]
"""Gets what came and the rate that it came at; returns what the meter answers."""


@dataclass(slots=True)
class ScriptedMeter:
    """An optical meter that does as a test says, at the master of a pseudo-terminal.

    It lets go of the slave with the first message, and stops when the reader closes the port.
    """

    line: Terminal
    answer: Answer
    chatter: bytes = b""
    """What it sends again and again."""
    heard: list[tuple[int, bytes]] = field(default_factory=list)
    """What the reader sent, and the rate that its port was set to."""
    was_closed: bool = False
    """The reader has closed its port."""
    _name: str = field(init=False)
    _unread: bytes = b""
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._name = self.line.name  # it has none once the slave is let go of
        NotingPort.sent.pop(self._name, None)  # of a terminal before that was called so

    @property
    def messages(self) -> list[bytes]:
        return [message for _, message in self.heard]

    def _run(self) -> None:
        while not self._is_over.is_set() and self.line.is_open and not self.was_closed:
            is_ready = bool(select.select([self.line.master], [], [], 0.01)[0])
            if is_ready:
                self._hear()
            elif self.chatter and self.line.is_open:
                os.write(self.line.master, self.chatter)

    def _hear(self) -> None:
        try:
            self._unread += os.read(self.line.master, 4096)
        except OSError:  # EIO: nobody has the slave open any more
            self.was_closed = True
            return
        self.line.let_go()
        notes = NotingPort.sent.get(self._name)
        if notes is None:  # a port of its own, as an address names it
            rate = terminal_settings(self.line.master).baud
            message, self._unread = self._unread, b""
            self._take(rate, message)
        while notes and len(self._unread) >= len(notes[0][1]):
            rate, message = notes.popleft()
            assert self._unread.startswith(message)
            self._unread = self._unread[len(message) :]
            self._take(rate, message)

    def _take(self, rate: int, message: bytes) -> None:
        self.heard.append((rate, message))
        answer = self.answer(rate, message)
        if answer and self.line.is_open:
            os.write(self.line.master, answer)

    @contextmanager
    def playing(self) -> Iterator[Self]:
        """Play in another thread, until the reader has closed the port or the test is over."""
        with in_thread(self._run):
            try:
                yield self
            finally:
                self._is_over.set()


def by_the_book(rate: int, message: bytes, then: dict[bytes, bytes] | None = None) -> bytes:
    """Identify itself; answer what `then` says to what comes next, and to RESYNC at 9600 baud."""
    answers = {REQUEST: IDENT, **(then or {})}
    if message == RESYNC and rate == RATES["5"] and RESYNC not in answers:
        return SYNCED
    return answers.get(message, b"")


class PlainPort(serial.Serial):
    """A pseudo-terminal as a serial port whose modem lines, which it does not have, are low."""

    cts = dsr = ri = cd = False

    def _update_dtr_state(self) -> None: ...

    def _update_rts_state(self) -> None: ...


class OpticalSerial:
    """The serial port of a terminal server, with a head on a virtual meter: here 7E1 is real.

    Args:
        simulation: the meter.
        refuses: settings that its driver refuses, by name.
    """

    stopbits = 1
    xonxoff = rtscts = dtr = rts = break_condition = False
    cts = dsr = ri = cd = False

    def __init__(self, simulation: Simulation, refuses: dict[str, Any] | None = None) -> None:
        self._port = simulation.new_optical_port("serial")
        self._port.settings = LineSettings(baud=SIGN_ON_BAUD)
        self._lock = threading.Lock()
        self._refuses = refuses or {}
        self.taken: list[str] = []
        """What it was set to when it was written to, each once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.reset_output_buffer()

    @property
    def baudrate(self) -> int:
        return self._port.settings.baud

    @baudrate.setter
    def baudrate(self, baud: int) -> None:
        self._set(baud=baud)

    @property
    def bytesize(self) -> int:
        return self._port.settings.bits

    @bytesize.setter
    def bytesize(self, bits: int) -> None:
        self._set(bits=bits)

    @property
    def parity(self) -> str:
        return self._port.settings.parity

    @parity.setter
    def parity(self, parity: str) -> None:
        self._set(parity=parity)

    def _set(self, **change: Any) -> None:
        for name, value in change.items():
            if self._refuses.get(name) == value:
                raise ValueError(f"{name} {value} is not supported")
        with self._lock:
            self._port.on_timer(time.monotonic(), time.time())
            self._port.settings = replace(self._port.settings, **change)

    def write(self, data: bytes) -> None:
        with self._lock:
            settings = str(self._port.settings)
            if data and settings not in self.taken:
                self.taken.append(settings)
            self._port.receive_data(data, time.monotonic(), time.time())

    def read(self, size: int) -> bytes:
        """Return what is there, whatever `size` says; nothing after a while."""
        time.sleep(0.002)
        with self._lock:
            self._port.on_timer(time.monotonic(), time.time())
            return b"".join(self._port.data_to_send())

    def reset_input_buffer(self) -> None:
        self.read(0)

    def reset_output_buffer(self) -> None:
        pass
