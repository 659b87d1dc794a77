"""How watched values look on a terminal: a table that is drawn over itself."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from umi_cli.cli.terminal import columns, levels, size
from umi_cli.cli.watch_view import Shown, number_of
from umi_cli.output import streams
from umi_cli.output.live import LiveScreen
from umi_cli.output.render import timestamp
from umi_cli.output.sparkline import ARROWS, cut, sparkline

if TYPE_CHECKING:
    from umi_cli.objects.values import Units, Value

HISTORY = 60  # values in a sparkline, where there is room
VALUE_COLUMNS = 40  # of a value; a longer one is cut
MARKED_COLUMNS = 23  # a time and a mark
LEAST_VALUE_COLUMNS = 8  # that are left of a value where there is no room
LEAST_PICTURE = 8  # values in a sparkline that is worth its room
LEAST_ADDRESS = 4
HEADER = ("part", "value", "lowest", "highest")
GAP = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What a table has room for."""

    change_columns: int = 2 * VALUE_COLUMNS + 4
    """How wide an old and a new value may be together; of wider ones the new is marked alone."""
    has_bounds: bool = True
    """There are columns for the lowest and the highest value."""


_LOOKS = (
    _Look(),
    _Look(change_columns=MARKED_COLUMNS),
    _Look(change_columns=MARKED_COLUMNS, has_bounds=False),
)
"""What is tried, the roomiest first."""


@dataclass(slots=True)
class _Row:
    """A line of the table: a value, or a member of one."""

    text: str = ""
    old: str | None = None
    """What it was before; None if it has not changed just now."""
    history: "deque[int | Decimal | None]" = field(default_factory=lambda: deque(maxlen=HISTORY))
    lowest: "int | Decimal | None" = None
    highest: "int | Decimal | None" = None

    def take(self, value: "Value", text: str) -> None:
        """Take the next value."""
        self.old = self.text if self.history and self.text != text else None
        self.text = text
        number = number_of(value)
        self.history.append(number)
        if number is not None:
            self.lowest = number if self.lowest is None else min(self.lowest, number)
            self.highest = number if self.highest is None else max(self.highest, number)

    def cells(self, look: _Look, levels: str) -> list[str]:
        """Return the cells but for the name and the picture."""
        text = cut(self.text, VALUE_COLUMNS, levels)
        if self.old is not None:
            new = f"{ARROWS[levels]} {text}"
            change = f"{cut(self.old, VALUE_COLUMNS, levels)} {new}"
            text = change if len(change) <= look.change_columns else new
        bounds = (self.lowest, self.highest) if look.has_bounds else ()
        return [text, *("" if each is None else f"{each}" for each in bounds)]


class LiveVoice:
    """Shows readings in a table that is drawn over itself.

    Args:
        address: of the device that is watched.
        every_s: from one reading to the next.
    """

    def __init__(self, address: str, every_s: float) -> None:
        self.gathered: dict[str, Any] = {}
        self._address = address
        self._every_s = every_s
        self._rows: dict[str, _Row] = {}
        self._faults: dict[str, str] = {}
        self._note = ""
        self._count = 0
        self._levels = levels()
        self._screen = LiveScreen(lambda text: streams.write(text, flush=True), size, self._levels)

    def give(self, shown: "Sequence[Shown]") -> None:
        """Take what was read at once, and draw."""
        self._count += 1
        for row in self._rows.values():
            row.old = None
        for each in shown:
            self._faults.pop(each.label, None)
            if each.found is None:
                self._faults[each.label] = each.text
            for label, value, text in _values(each):
                self._rows.setdefault(label, _Row()).take(value, text)
        moment = f", {timestamp(shown[0].time)}" if shown else ""
        self._screen.draw(list(self._lines(moment)))

    def note(self, message: str) -> None:
        """Show a remark above the table, from the next drawing on."""
        self._note = message

    def close(self) -> None:
        """Show the cursor again; a terminal that is gone needs none."""
        with suppress(streams.OutputClosedError):
            self._screen.close()

    def _lines(self, moment: str) -> Iterator[str]:
        yield self._title(moment, columns() - 1)
        # Above the table: what is cut off for want of room stands at the end.
        for label, fault in self._faults.items():
            yield f"! {label} {fault}"
        if self._note:
            yield f"note: {self._note}"
        if self._rows:
            yield from self._table(columns() - 1)

    def _title(self, moment: str, room: int) -> str:
        """Return the first line: how to end it comes before all else but the count."""
        ending = "; Ctrl-C ends"
        text = f"reading {self._count}{moment}, every {self._every_s:g} s{ending}"
        if len(text) > room:
            return f"reading {self._count}{ending}"
        left = room - len(text) - len("; ")
        if left < min(LEAST_ADDRESS, len(self._address)):
            return text
        return f"{text}; {cut(self._address, left, self._levels)}"

    def _table(self, room: int) -> Iterator[str]:
        """Yield the lines of the table, in the roomiest look that leaves the pictures theirs."""
        is_drawn = any(row.lowest is not None for row in self._rows.values())
        least = len(GAP) + LEAST_PICTURE if is_drawn else 0
        for look in _LOOKS:
            lines = self._cells(look)
            widths = _widths(lines)
            left = room - _width(widths)
            if left >= least:
                break
        else:
            widths[1] = max(LEAST_VALUE_COLUMNS, widths[1] + left - least)
            left = room - _width(widths)
        header, *cells = lines
        yield self._aligned(header, widths).rstrip()
        for line, row in zip(cells, self._rows.values(), strict=True):
            picture = self._picture(row, min(HISTORY, left - len(GAP)))
            yield (self._aligned(line, widths) + GAP + picture).rstrip()

    def _cells(self, look: _Look) -> list[list[str]]:
        """Return the header of the table, and its lines."""
        header = HEADER if look.has_bounds else HEADER[:2]
        rows = [[label, *row.cells(look, self._levels)] for label, row in self._rows.items()]
        return [list(header), *rows]

    def _aligned(self, cells: list[str], widths: list[int]) -> str:
        pairs = zip(cells, widths, strict=True)
        return GAP.join(f"{cut(cell, width, self._levels):<{width}}" for cell, width in pairs)

    def _picture(self, row: _Row, room: int) -> str:
        """Return the sparkline of a row, in so many columns."""
        if row.lowest is None or room < 1:
            return ""
        numbers = [None if each is None else float(each) for each in row.history]
        return sparkline(numbers[-room:], self._levels)


def _values(shown: Shown) -> "Iterator[tuple[str, Value, str]]":
    """Yield each value with its name and text; a structure has one for each member."""
    from umi_cli.objects.values import to_text

    if shown.found is None:
        return
    value, units = shown.found.value, shown.found.units
    if shown.found.is_secret or not isinstance(value, dict):
        yield shown.label, None if shown.found.is_secret else value, shown.text
        return
    for name, member in value.items():
        yield f"{shown.label}/{name}", member, to_text(member, _unit(units, name))


def _unit(units: "Units", name: str) -> str:
    return units.get(name, "") if isinstance(units, Mapping) else units


def _widths(lines: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def _width(widths: list[int]) -> int:
    """Return how wide columns are with the gaps between them."""
    return sum(widths) + len(GAP) * (len(widths) - 1)
