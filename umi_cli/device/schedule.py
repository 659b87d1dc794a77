"""When something is due that is done at a fixed rate, and when it ends. No clock is read here."""

from dataclasses import dataclass

INSTANT_S = 1e-6  # less than that is rounding, and no wait


class Beats:
    """Moments at a fixed rate: what takes long shifts none of them, it misses some.

    Args:
        every_s: from one to the next.
        first_s: the first one.
    """

    def __init__(self, every_s: float, first_s: float = 0.0) -> None:
        self._every_s = every_s
        self._first_s = first_s
        self._number = -1

    def next(self, now_s: float) -> tuple[float, int]:
        """Return the next moment that is not over, and how many were missed since the last one.

        A moment is over when the one after it has come: until then it is late.
        """
        due = self._number + 1
        current = int((now_s - self._first_s) // self._every_s)
        self._number = max(due, current)
        return self._first_s + self._number * self._every_s, self._number - due


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """When something that goes on by itself ends; never, unless something is set."""

    count: int | None = None
    """After so many."""
    after_s: float | None = None
    """After so many seconds."""

    def is_after(self, moment_s: float) -> bool:
        """Tell whether it has ended before a moment."""
        return self.after_s is not None and moment_s > self.after_s + INSTANT_S

    def is_counted(self, done: int) -> bool:
        """Tell whether that many are all that were wanted."""
        return self.count is not None and done >= self.count
