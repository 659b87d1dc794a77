"""Who switches a port off when its program is killed? A child that outlives it, and only waits.

The kernel takes a dead program's GPIO lines back, but some drivers leave an output as it was (so
does Raspberry Pi OS), and no handler runs in a program that was killed by SIGKILL or that crashed.
A peripheral would stay powered until somebody pulls a plug. So a child shares the descriptors of
the requested lines, and waits at a socket whose other end the program alone holds: whatever ends
the program ends that too.
"""

import errno
import os
import socket
import warnings
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import NoReturn, Self
from weakref import WeakSet

from umi_cli.errors import UmiError
from umi_cli.transports.undisturbed import stoppers, undisturbed

READY, FAREWELL = b"r", b"f"
Step = Callable[[], None]


class Guardian:
    """A child process that takes the steps when this process ends without a farewell.

    Leaving it as a context says farewell, if nothing was raised on the way; else the child takes
    the steps too. Either way the child is gone then.

    Args:
        steps: what to do, in order; one that fails does not keep the next from being taken. They
            must need no descriptor but those that are kept, and start or import nothing.
        keep: the descriptors that they need; the child closes all others.

    Raises:
        OSError: no process can be started.
    """

    def __init__(self, steps: Sequence[Step], keep: Collection[int]) -> None:
        self._pid = 0
        # No other program sees the ends (PEP 446). Not a pipe: it goes both ways.
        self._end, waits_at = (end.detach() for end in socket.socketpair())
        _hide_ends_from_children()
        _guardians.add(self)
        is_ready = False
        try:
            self._start(steps, keep, waits_at)
            is_ready = True
        finally:
            if not is_ready:  # nobody else would know of the child
                self._end_it()

    def _start(self, steps: Sequence[Step], keep: Collection[int], waits_at: int) -> None:
        try:
            # Nothing may interrupt the child before it ignores it: it would unwind our own stack.
            with undisturbed():
                self._pid = _fork()
                if not self._pid:
                    _watch(steps, {waits_at, *keep}, waits_at)
        finally:
            os.close(waits_at)
        # Until then a signal to the group would end the child too: nothing may be on yet.
        if os.read(self._end, 1) != READY:
            raise OSError(errno.ECHILD, "the guardian has ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._end < 0:
            return
        if exc_type is None:
            with suppress(BrokenPipeError):  # somebody killed the child
                os.write(self._end, FAREWELL)
        self._end_it()

    def _end_it(self) -> None:
        self.hang_up()
        if not self._pid:
            return
        with suppress(ChildProcessError):  # who ignores SIGCHLD has no children to wait for
            os.waitpid(self._pid, 0)

    def hang_up(self) -> None:
        """Close our end of the socket, once."""
        _guardians.discard(self)
        os.close(self._end)
        self._end = -1


_guardians: WeakSet[Guardian] = WeakSet()


@cache
def _hide_ends_from_children() -> None:
    """Have forked children close our ends: one that outlives us would keep the guardian waiting.

    Children that run another program never see them.
    """
    os.register_at_fork(after_in_child=_close_ends)


def _close_ends() -> None:
    for guardian in list(_guardians):
        guardian.hang_up()


def _fork() -> int:
    with warnings.catch_warnings():
        # Python warns of locks that other threads hold; the child takes none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _watch(steps: Sequence[Step], keep: Collection[int], end: int) -> NoReturn:
    """Be the child: wait for the farewell, or take the steps."""
    from signal import SIG_IGN, signal

    try:
        os.setsid()  # out of reach of the terminal's signals and of those to the group
        for stopper in stoppers():
            signal(stopper, SIG_IGN)
        _close_all_but(keep)  # the terminal, the bus and the rest end with the program
        os.write(end, READY)
        if os.read(end, 1) != FAREWELL:
            for step in steps:
                with suppress(UmiError, OSError):
                    step()
    finally:
        os._exit(0)  # nothing of the program's runs here: no handlers, no buffers, no traceback


def _close_all_but(keep: Collection[int]) -> None:
    for text in os.listdir("/proc/self/fd"):  # the limit may be a billion
        if int(text) not in keep:
            with suppress(OSError):  # the listing's own
                os.close(int(text))
