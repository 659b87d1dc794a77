"""What does a receiver make of characters that were sent under other settings than its own?

A receiver waits for the edge of a start bit and samples the middle of each bit that it expects.
Sent at another rate or with another number of bits, the same levels come out as other characters:
the garbage that a wrong rate shows on a real line.
"""

from collections.abc import Iterator

from umi_cli.optical.characters import LineSettings

_HIGH, _LOW = 1, 0  # the line rests high; a start bit is low
_CHARACTER_BITS = 10  # 7E1 and 8N1 alike


def heard(data: bytes, sent: LineSettings, receiver: LineSettings) -> bytes:
    """Return the characters that a receiver makes of others, eight bits each, unchecked parity.

    Args:
        data: what was sent without a gap, eight bits a character: bit 7 of 7E1 is its parity.
        sent: the settings of the sender.
        receiver: the settings of the receiver.
    """
    is_same_length = sent.character_bits == receiver.character_bits == _CHARACTER_BITS
    if sent.baud == receiver.baud and is_same_length:
        return data
    levels = [level for character in data for level in _levels(character, sent)]
    return bytes(_sample(levels, sent.baud / receiver.baud, receiver.character_bits - 2))


def _levels(character: int, settings: LineSettings) -> list[int]:
    """Return the levels of a character, a bit time each."""
    count = settings.character_bits - 2
    return [_LOW, *(character >> bit & 1 for bit in range(count)), _HIGH]


def _sample(levels: list[int], bits_per_bit: float, count: int) -> Iterator[int]:
    """Yield what is sampled; `bits_per_bit` is a bit of the receiver in bits of the sender."""
    at = 0.0
    while (edge := _next_edge(levels, at)) is not None:
        samples = [_level(levels, edge + (bit + 1.5) * bits_per_bit) for bit in range(count)]
        yield sum(level << bit for bit, level in enumerate(samples)) & 0xFF  # 8E1 has nine
        at = edge + (count + 1.5) * bits_per_bit
        if _level(levels, at) == _LOW:  # no stop bit: it waits until the line is high again
            at = _next_high(levels, at)


def _level(levels: list[int], at: float) -> int:
    index = int(at)
    return levels[index] if index < len(levels) else _HIGH


def _next_edge(levels: list[int], at: float) -> int | None:
    """Return where the line falls next after a moment at which it is high."""
    return next((place for place in range(int(at), len(levels)) if levels[place] == _LOW), None)


def _next_high(levels: list[int], at: float) -> float:
    return float(
        next((place for place in range(int(at), len(levels)) if levels[place]), len(levels))
    )
