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
        self.held: list[int] = []
        """What has come and was not obeyed yet."""

    @property
    def handlers(self) -> "dict[int, signal._HANDLER]":
        """Return what obeys each of them now."""
        return {number: signal.getsignal(number) for number in self._numbers}

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
        if self.held:
            _obey(self.held[0], None)

    def ignore(self) -> None:
        """Obey no more orders: how the process ends is settled."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        self.held.append(number)


class Held:
    """A block in which orders are held back; its end obeys the first one.

    For starting what must be ended again: an order that came before anybody knew of it would leave
    it behind.
    """

    def __enter__(self) -> None:
        from umi_cli.transports.undisturbed import undisturbed

        self._orders = Orders()
        self._before = self._orders.handlers
        with undisturbed():
            self._orders.hold()

    def __exit__(self, *raised: object) -> None:
        from umi_cli.transports.undisturbed import undisturbed

        with undisturbed():  # or one would be obeyed while others are held back for ever
            for number, handler in self._before.items():
                signal.signal(number, handler)
        for number in self._orders.held[:1]:
            signal.raise_signal(number)


def _obey(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated if number == signal.SIGTERM else HungUp
