"""How a screenful of lines is shown again and again in the same place of a terminal."""

from collections.abc import Callable, Sequence

from umi_cli.output.sparkline import BLOCKS, cut

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_TO_LINE_END, _TO_SCREEN_END = "\x1b[K", "\x1b[J"


class LiveScreen:
    """Lines that are drawn over themselves; `close` them, or the cursor stays hidden.

    Args:
        write: takes text for the terminal, at once.
        size: returns how many columns and lines the terminal has.
        levels: the characters that it can show, as in `sparkline`.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        size: Callable[[], tuple[int, int]],
        levels: str = BLOCKS,
    ) -> None:
        self._write = write
        self._size = size
        self._levels = levels
        self._drawn = 0
        self._is_open = False

    def draw(self, lines: Sequence[str]) -> None:
        """Draw the lines where the last ones are; what does not fit is cut."""
        columns, rows = self._size()
        room = max(1, rows - 1)  # the cursor stands in the line below
        width = max(1, columns - 1)
        shown = [cut(line, width, self._levels) for line in lines]
        if len(shown) > room:
            left_out = len(shown) - room + 1
            rest = cut(f"... and {left_out} more lines", width, self._levels)
            shown = [*shown[: room - 1], rest]
        up = f"\x1b[{min(self._drawn, room)}F" if self._drawn else ""
        body = "".join(f"{line}{_TO_LINE_END}\n" for line in shown)
        self._is_open = True  # first: a signal may come in between
        self._write(f"{HIDE_CURSOR}{up}{body}{_TO_SCREEN_END}")
        self._drawn = len(shown)

    def close(self) -> None:
        """Show the cursor again; twice is harmless."""
        if self._is_open:
            self._write(SHOW_CURSOR)
            self._is_open = False  # last: a signal may come in between
