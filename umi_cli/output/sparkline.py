"""How a row of numbers looks in one line of text: blocks, or ASCII where those cannot be shown."""

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-~=+*#"
ARROWS = {BLOCKS: "→", ASCII: "->"}
"""What stands between an old value and a new one, in the same characters."""
CUTS = {BLOCKS: "…", ASCII: "~"}
"""What ends a text that is cut, in the same characters."""
GAP = " "


def levels_for(encoding: str | None) -> str:
    """Return the characters for eight levels, lowest first, that an encoding can show."""
    try:
        (BLOCKS + ARROWS[BLOCKS]).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def cut(text: str, length: int, levels: str = BLOCKS) -> str:
    """Return a text in so many columns; one that is cut ends in a mark."""
    if len(text) <= length:
        return text
    return f"{text[: max(0, length - 1)]}{CUTS[levels]}"


def sparkline(values: Sequence[float | None], levels: str = BLOCKS) -> str:
    """Return a character for each value, between the lowest and the highest of them.

    Args:
        values: None is a gap.
        levels: the characters, lowest first.
    """
    known = [value for value in values if value is not None]
    if not known:
        return GAP * len(values)
    low, high = min(known), max(known)
    return "".join(GAP if each is None else _level(each, low, high, levels) for each in values)


def _level(value: float, low: float, high: float, levels: str) -> str:
    if high == low:
        return levels[0]
    step = (value - low) / (high - low) * len(levels)
    return levels[min(len(levels) - 1, int(step))]
