"""How far a long piece of work is: a bar on a terminal, a line now and then elsewhere.

The clock is an argument, so that a test can run an hour in no time.
"""

from collections.abc import Callable
from typing import Protocol

BAR_CELLS = 24
REDRAW_S = 0.1  # a terminal shows no more than ten states a second to the eye
LINE_EVERY_PERCENT = 10
LINE_EVERY_S = 10.0
SHORT_S = 2.0  # choice: what is mostly over by then needs no line in a log before


class Progress(Protocol):
    """What a command tells about its progress; every form of output takes it."""

    def update(self, done: int) -> None:
        """Say how many units are done, of all."""

    def make_room(self) -> None:
        """Say that a line of text comes, which must not run into the progress."""

    def finish(self) -> None:
        """Say that the work has ended, done or not."""


class Silence:
    """Progress that nobody asked for."""

    def update(self, done: int) -> None:
        """Say nothing."""

    def make_room(self) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Say nothing."""


class Gauge:
    """How fast the work goes, and how long it still takes."""

    def __init__(self, total: int, clock: Callable[[], float], done: int = 0) -> None:
        self.total = total
        self._first = done
        self._clock = clock
        self._start = clock()

    def elapsed_s(self) -> float:
        """Return the seconds since the start."""
        return self._clock() - self._start

    def percent(self, done: int) -> int:
        """Return the share that is done, 0..100."""
        return min(100, 100 * done // self.total) if self.total > 0 else 100

    def figures(self, done: int, unit: str) -> str:
        """Return the rate and the time left, such as `120 B/s, 0:41 left`."""
        elapsed_s = self.elapsed_s()
        self._first = min(self._first, done)  # it may begin anew
        gained = done - self._first
        if gained <= 0 or elapsed_s <= 0:
            return ""
        rate = gained / elapsed_s
        left_s = max(0, self.total - done) / rate
        return f"{rate:.{0 if rate >= 10 else 1}f} {unit}/s, {_clock_text(left_s)} left"


def _clock_text(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class Bar:
    """Progress on a terminal: one line that is drawn again and again."""

    def __init__(
        self,
        label: str,
        total: int,
        unit: str,
        *,
        clock: Callable[[], float],
        draw: Callable[[str], None],
        done: int = 0,
    ) -> None:
        self._label, self._unit = label, unit
        self._gauge = Gauge(total, clock, done)
        self._draw = draw
        self._drawn_s = -REDRAW_S
        self._width = 0

    def update(self, done: int) -> None:
        """Draw the bar, unless it was drawn a moment ago."""
        now_s = self._gauge.elapsed_s()
        if now_s - self._drawn_s < REDRAW_S and done < self._gauge.total:
            return
        self._drawn_s = now_s
        percent = self._gauge.percent(done)
        bar = ("#" * (BAR_CELLS * percent // 100)).ljust(BAR_CELLS, ".")
        line = f"{self._label} [{bar}] {percent:3}% {self._gauge.figures(done, self._unit)}"
        self._draw("\r" + line.rstrip().ljust(self._width))
        self._width = len(line.rstrip())

    def make_room(self) -> None:
        """Wipe the bar off its line; the next update draws it anew."""
        if self._width:
            self._draw("\r" + " " * self._width + "\r")
        self._width, self._drawn_s = 0, -REDRAW_S

    def finish(self) -> None:
        """End the line of the bar, if there is one."""
        if self._width:
            self._draw("\n")


class Lines:
    """Progress in a log: a line every ten per cent or ten seconds, whichever comes first.

    Args:
        quiet_s: how long it says nothing, for work that is mostly soon done.
    """

    def __init__(
        self,
        label: str,
        total: int,
        unit: str,
        *,
        clock: Callable[[], float],
        say: Callable[[str], None],
        done: int = 0,
        quiet_s: float = 0.0,
    ) -> None:
        self._label, self._unit = label, unit
        self._gauge = Gauge(total, clock, done)
        self._say, self._quiet_s = say, quiet_s
        percent = self._gauge.percent(done)
        self._said_percent = percent - percent % LINE_EVERY_PERCENT
        self._said_s = 0.0

    def update(self, done: int) -> None:
        """Say a line if one is due."""
        percent, now_s = self._gauge.percent(done), self._gauge.elapsed_s()
        if now_s < self._quiet_s:
            return
        step = percent - percent % LINE_EVERY_PERCENT
        if step <= self._said_percent and now_s - self._said_s < LINE_EVERY_S:
            return
        self._said_percent, self._said_s = max(step, self._said_percent), now_s
        figures = self._gauge.figures(done, self._unit)
        self._say(f"{self._label} {percent}% {figures}".rstrip())

    def make_room(self) -> None:
        """Do nothing: each line stands by itself."""

    def finish(self) -> None:
        """Say nothing: the last line has said it."""
