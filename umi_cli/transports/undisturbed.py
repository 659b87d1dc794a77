"""How is short work done that must not be left in the middle? Orders to end wait until it is."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Have signals that end a session or a service come once the block is left.

    The block must take a moment only, and start no process: that would never get them.
    """
    from signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask

    mask = pthread_sigmask(SIG_BLOCK, stoppers())
    try:
        yield
    finally:
        pthread_sigmask(SIG_SETMASK, mask)


def stoppers() -> set[int]:
    """Return the signals that end a session or a service: the end of the program tells of it."""
    from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM

    return {SIGHUP, SIGINT, SIGQUIT, SIGTERM}
