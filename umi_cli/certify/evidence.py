"""What crossed the line during a test: the frames of a failure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MAX_PIECES = 400  # of a test that transfers an image, the last ones tell


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes, one way."""

    at_s: float
    """Since the test began."""
    direction: Literal["out", "in"]
    data: bytes
    until_s: float = 0.0
    """When the last of them passed: what comes in pieces is kept as one."""


class Recorder:
    """Keeps what passes, anew for each test.

    Args:
        clock: seconds that never go back, of the port; without one, time stands still until
            `set_clock`, for a port has to be watched before it is open.
        tell: told every piece as well.
    """

    def __init__(
        self,
        clock: Callable[[], float] = lambda: 0.0,
        tell: Callable[[str, bytes], None] = lambda direction, data: None,
    ) -> None:
        self._clock = clock
        self._tell = tell
        self._begun_s = clock()
        self._pieces: list[Piece] = []
        self.left_out = 0
        """How many pieces were more than are kept."""

    def set_clock(self, clock: Callable[[], float]) -> None:
        """Go by the clock of a port that is open now."""
        self._clock = clock
        self._begun_s = clock()

    def begin(self) -> None:
        """Forget what came before."""
        self._begun_s = self._clock()
        self._pieces.clear()
        self.left_out = 0

    def __call__(self, direction: str, data: bytes) -> None:
        """Keep a piece: an `Observer` of the link."""
        self._tell(direction, data)
        way: Literal["out", "in"] = "out" if direction == "out" else "in"
        at_s = self._clock() - self._begun_s
        last = self._pieces[-1] if self._pieces else None
        if last and last.direction == way == "in":  # a frame comes in pieces
            self._pieces[-1] = Piece(last.at_s, way, last.data + data, at_s)
            return
        self._pieces.append(Piece(at_s, way, bytes(data), at_s))
        if len(self._pieces) > MAX_PIECES:
            del self._pieces[0]
            self.left_out += 1

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Return what passed, in order."""
        return tuple(self._pieces)
