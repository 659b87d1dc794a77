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
from umi_cli.output.sparkline import ARROWS, sparkline

if TYPE_CHECKING:
    from umi_cli.objects.values import Units, Value

HISTORY = 60  # values in a sparkline, where there is room
VALUE_COLUMNS = 40  # of a value; a longer one is cut
HEADER = ("part", "value", "lowest", "highest", "")
GAP = "  "


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

    def cells(self, arrow: str) -> list[str]:
        """Return the cells but for the name and the picture."""
        text = _cut(self.text, VALUE_COLUMNS)
        if self.old is not None:
            text = f"{_cut(self.old, VALUE_COLUMNS)} {arrow} {text}"
        return [text, *("" if each is None else f"{each}" for each in (self.lowest, self.highest))]


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
        self._screen = LiveScreen(lambda text: streams.write(text, flush=True), size)

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
        arrow = ARROWS[self._levels]
        cells = [[label, *row.cells(arrow)] for label, row in self._rows.items()]
        widths = [max(map(len, column)) for column in zip(HEADER[:-1], *cells, strict=True)]
        yield (
            f"reading {self._count}{moment}, every {self._every_s:g} s;"
            f" Ctrl-C ends; {self._address}"
        )
        # Above the table: what is cut off for want of room stands at the end.
        for label, fault in self._faults.items():
            yield f"! {label} {fault}"
        if self._note:
            yield f"note: {self._note}"
        if cells:
            yield _aligned(list(HEADER[:-1]), widths)
        room = min(HISTORY, columns() - sum(widths) - len(GAP) * len(widths) - 1)
        for line, row in zip(cells, self._rows.values(), strict=True):
            yield (_aligned(line, widths) + GAP + self._picture(row, room)).rstrip()

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


def _aligned(cells: list[str], widths: list[int]) -> str:
    return GAP.join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
