"""How does a test run genuine spidev and gpiod modules without hardware? It opens a `Rig`.

The program under test runs in a process of its own, with `rig.env`. The shim hands its calls to
this process, where one thread plays the kernel and calls the test's `World`.
"""

import errno
import heapq
import os
import selectors
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import IntEnum
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.rig.build import shim
from tests.rig.gpio import GpioChip
from tests.rig.kernel import Kernel
from tests.rig.records import Record, SpiTransfer
from tests.rig.spi import BUFFER_BYTES, LARGEST_BUFFER_BYTES, SpiDevice
from tests.rig.wire import QUESTION_MAX, Answer, Question, What
from tests.rig.world import EmptyWorld, World

Made = TypeVar("Made", bound=Record)

SAFETY_S = 30.0  # a test that waits that long has failed
SETTLING_ROUNDS = 3  # a connection is accepted, then speaks, then hangs up


class _Rank(IntEnum):
    """What is looked at first when several things are ready.

    Files first: what a program closed before it asked is closed before it is answered.
    """

    FILE = 0
    QUESTIONS = 1
    LISTENER = 2
    WAKER = 3


class _Connection:
    """A connection of the shim: an open file, or the questions of a process."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.rank = _Rank.QUESTIONS
        self.number = 0
        """Of the file that it is, if it is one."""

    def notify(self) -> None:
        self.end.send(b"\1")

    def hang_up(self) -> None:
        self.end.shutdown(socket.SHUT_RDWR)


class Rig:
    """A board of which a program in another process sees the devices.

    Args:
        world: what stands at the other end of the wires.
        chips: the GPIO chips.
        spi: the SPI devices.
        buffer_bytes: the longest SPI message: `bufsiz` of the driver.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        chips: Sequence[GpioChip] = (),
        spi: Sequence[SpiDevice] = (),
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        if buffer_bytes > LARGEST_BUFFER_BYTES:
            raise ValueError(f"the rig carries messages of up to {LARGEST_BUFFER_BYTES} bytes")
        self.world: World = EmptyWorld() if world is None else world
        self.lock = threading.RLock()
        """Held while the kernel or the world does anything; do not hold it and read `log`."""
        self._kernel = Kernel(chips, spi, buffer_bytes, self)
        self._log: list[Record] = []
        self._numbers = count()
        self._failures: list[Exception] = []
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._timer_numbers = count()
        self._waiters: list[threading.Event] = []
        self._is_stopping = False
        self._was_woken = False
        self._buffer = memoryview(bytearray(QUESTION_MAX))
        self._thread = threading.Thread(target=self._serve, name="rig", daemon=True)

    def __enter__(self) -> Self:
        self._library = shim()
        self._directory = tempfile.TemporaryDirectory(prefix="umi-rig-")
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self._path)
        self._listener.listen(socket.SOMAXCONN)
        self._waker, self._woken = socket.socketpair()
        for end in (self._listener, self._woken):
            end.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, _Rank.LISTENER)
        self._selector.register(self._woken, selectors.EVENT_READ, _Rank.WAKER)
        self.world.attach(self)
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_stopping = True
        self._wake()
        self._thread.join(SAFETY_S)
        for key in self._selector.get_map().values():
            if isinstance(key.data, _Connection):
                key.data.end.close()
        self._selector.close()
        for end in (self._listener, self._woken, self._waker):
            end.close()
        self._directory.cleanup()
        if self._failures and exc_value is None:
            raise self._failures[0]
        if self._failures and exc_value is not None:
            exc_value.add_note(f"in the rig: {self._failures[0]!r}")

    @property
    def _path(self) -> str:
        return str(Path(self._directory.name) / "kernel")

    @property
    def env(self) -> dict[str, str]:
        """The environment in which a program sees the board."""
        preloaded = " ".join(filter(None, (str(self._library), os.environ.get("LD_PRELOAD", ""))))
        return {**os.environ, "LD_PRELOAD": preloaded, "UMI_RIG": self._path}

    def popen(self, *command: str) -> "subprocess.Popen[str]":
        """Start a program that sees the board."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, env=self.env, text=True, stdin=pipe, stdout=pipe, stderr=pipe
        )

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a program that sees the board to its end."""
        return subprocess.run(
            command, env=self.env, text=True, capture_output=True, timeout=SAFETY_S, check=False
        )

    # What a test and its world do to the board.

    @property
    def log(self) -> tuple[Record, ...]:
        """What happened on the wires so far, in order; it includes what processes left behind."""
        self.settle()
        with self.lock:
            return tuple(self._log)

    def drive(self, name: str, level: bool, *, chip: str | None = None) -> None:
        """Give a line a level from outside; who waits for that edge gets it.

        Args:
            name: of the line, or its offset if it has none.
            level: on the wire, whatever ACTIVE_LOW says.
            chip: the label of its chip, where several have such a line.
        """
        with self.lock:
            driver, line = self._kernel.line(name, chip)
            driver.set_outside(line, level)

    def level(self, name: str, *, chip: str | None = None) -> bool:
        """Return the level on a line, whoever drives it."""
        self.settle()
        with self.lock:
            return self._kernel.line(name, chip)[1].level

    def is_held(self, name: str, *, chip: str | None = None) -> bool:
        """Say whether a program, or the kernel, holds a line."""
        self.settle()
        with self.lock:
            return self._kernel.line(name, chip)[1].is_held

    def unplug(self, name: str) -> None:
        """Take a device away, such as `spidev0.0` or `gpiochip0`."""
        with self.lock:
            self._kernel.unplug(f"/dev/{name}")

    def call_later(self, seconds: float, function: Callable[[], object]) -> None:
        """Call a function from the rig's thread, under its lock."""
        with self.lock:
            due = time.monotonic() + seconds
            heapq.heappush(self._timers, (due, next(self._timer_numbers), function))
        if threading.current_thread() is not self._thread:
            self._wake()

    def settle(self) -> None:
        """Wait until everything that happened so far, deaths included, has been dealt with."""
        if not self._thread.is_alive() or threading.current_thread() is self._thread:
            return
        waiter = threading.Event()
        self._waiters.append(waiter)
        self._wake()
        if not waiter.wait(SAFETY_S):
            raise TimeoutError("the rig does not settle; is its lock held?")

    # What the drivers need.

    def record(self, kind: Callable[..., Made], **fields: object) -> Made:
        made = self._make(kind, fields)
        self._log.append(made)
        return made

    def transfer(self, **fields: object) -> bytes:
        made = self._make(SpiTransfer, fields)
        at, received = len(self._log), b""
        try:
            received = self.world.transfer(made)
        finally:
            self._log.insert(at, replace(made, received=received))
        if len(received) != len(made.sent):
            raise ValueError(f"{len(made.sent)} bytes went out, {len(received)} came back")
        return received

    def _make(self, kind: Callable[..., Made], fields: dict[str, object]) -> Made:
        return kind(number=next(self._numbers), time_s=time.monotonic(), **fields)

    # The thread that is the kernel.

    def _serve(self) -> None:
        while not self._is_stopping:
            self._do_round(0.0 if self._was_woken else self._wait_s())
            if self._was_woken:
                self._was_woken = False
                waiters = [self._waiters.pop() for _ in range(len(self._waiters))]
                for _ in range(SETTLING_ROUNDS if waiters else 0):
                    self._do_round(0.0)
                for waiter in waiters:
                    waiter.set()

    def _wait_s(self) -> float | None:
        with self.lock:
            return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _do_round(self, wait_s: float | None) -> None:
        ready = [key for key, _ in self._selector.select(wait_s)]
        with self.lock:
            while self._timers and self._timers[0][0] <= time.monotonic():
                self._guarded(heapq.heappop(self._timers)[2])
        for key in sorted(ready, key=_rank_of):
            with self.lock:
                if isinstance(key.data, _Connection):
                    self._on_connection(key.data)
                elif key.data is _Rank.LISTENER:
                    self._accept()
                else:
                    self._was_woken = bool(self._woken.recv(4096))

    def _wake(self) -> None:
        self._waker.send(b"\1")

    def _guarded(self, act: Callable[[], object]) -> None:
        """Call the world; what it raises fails the test, but does not end the thread."""
        try:
            act()
        except Exception as error:
            self._failures.append(error)

    def _accept(self) -> None:
        try:
            end, _ = self._listener.accept()
        except OSError:  # it is gone already
            return
        end.setblocking(False)
        self._selector.register(end, selectors.EVENT_READ, _Connection(end))

    def _on_connection(self, connection: _Connection) -> None:
        try:
            length = connection.end.recv_into(self._buffer)
        except BlockingIOError:
            return
        except ConnectionError:
            length = 0
        if not length:
            self._forget(connection)
            return
        question = Question.decode(bytes(self._buffer[:length]))
        answer = self._answer(question, connection)
        if question.what in (What.OPEN, What.LINES) and answer.result == 0:
            connection.rank, connection.number = _Rank.FILE, question.object
        try:
            connection.end.send(answer.encode())
        except OSError:  # the program died meanwhile
            self._forget(connection)

    def _answer(self, question: Question, connection: _Connection) -> Answer:
        try:
            return self._kernel.answer(question, connection)
        except OSError as error:
            return Answer(-(error.errno or errno.EIO))
        except Exception as error:  # the world's or the test's own: it fails the test
            self._failures.append(error)
            return Answer(-errno.EIO)

    def _forget(self, connection: _Connection) -> None:
        self._selector.unregister(connection.end)
        connection.end.close()
        if connection.rank is _Rank.FILE:
            self._guarded(lambda: self._kernel.hang_up(connection.number))


def _rank_of(key: selectors.SelectorKey) -> _Rank:
    rank = key.data.rank if isinstance(key.data, _Connection) else key.data
    assert isinstance(rank, _Rank)
    return rank
