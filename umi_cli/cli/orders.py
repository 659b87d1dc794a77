"""When do orders from outside (Ctrl-C, SIGTERM, a terminal that closes) reach the program?

They are held back while the program is imported, obeyed while it runs, and ignored once its exit
code is settled: at no moment does one end in a traceback. This file imports next to nothing, as it
comes before everything else.
"""

import signal
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # the last one is not known to Windows


class Terminated(BaseException):  # an order, like KeyboardInterrupt
    """The process was told to end (SIGTERM); raised so that `finally` runs."""


class HungUp(Terminated):
    """The terminal was closed (SIGHUP)."""


class Orders:
    """The orders that this process takes; what its parent had it ignore stays ignored."""

    def __init__(self) -> None:
        known = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        self._numbers = [each for each in known if signal.getsignal(each) is not signal.SIG_IGN]
        self._held: list[int] = []

    def hold(self) -> None:
        """Take orders, and obey none of them yet."""
        for number in self._numbers:
            signal.signal(number, self._keep)

    def obey(self) -> None:
        """Obey orders as they come from now on, beginning with what was held back.

        Raises:
            KeyboardInterrupt, Terminated: one was.
        """
        for number in self._numbers:
            signal.signal(number, _obey)
        if self._held:
            _obey(self._held[0], None)

    def ignore(self) -> None:
        """Obey no more orders: how the process ends is settled."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        self._held.append(number)


def _obey(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated if number == signal.SIGTERM else HungUp
