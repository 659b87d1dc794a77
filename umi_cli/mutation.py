"""How sound bytes are spoilt by a chance that can be repeated: the floor of all fuzzing.

Nothing here knows what the bytes mean; who does says where numbers stand in them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

MAX_FLIPPED_BITS = 3
MAX_ADDED_BYTES = 40
ONE_MORE = 0.3  # the probability of each further mutation of the same bytes
OF_NUMBERS = 0.5  # where numbers are known, half of the mutations strike them
TELLING_BYTES = (0x00, 0xFF, 0x7F, 0x80, 0x01, 0xFE)
"""Where counters, lengths and signs turn over."""


@dataclass(frozen=True, slots=True)
class Number:
    """Where an unsigned number stands in some bytes."""

    at: int
    """Of its first byte, from 0 on."""
    size_bytes: int
    order: Literal["little", "big"] = "little"

    @property
    def end(self) -> int:
        """Return where it ends."""
        return self.at + self.size_bytes

    def read(self, data: bytes) -> int:
        """Return its value."""
        return int.from_bytes(data[self.at : self.end], self.order)

    def put(self, data: bytes, value: int) -> bytes:
        """Return the bytes with another value, of which the low bits are kept."""
        raw = (value % (1 << 8 * self.size_bytes)).to_bytes(self.size_bytes, self.order)
        return data[: self.at] + raw + data[self.end :]


def numbers(sizes: Sequence[int], at: int = 0) -> tuple[Number, ...]:
    """Return numbers that stand one after the other, little-endian, from their sizes in bytes."""
    found = []
    for size_bytes in sizes:
        found.append(Number(at, size_bytes))
        at += size_bytes
    return tuple(found)


def mutated(data: bytes, chance: Random, known: Sequence[Number] = ()) -> bytes:
    """Return the bytes with one mutation or a few; the same chance gives the same.

    Args:
        data: sound bytes, any number of them.
        chance: decides everything.
        known: where numbers stand.

    Returns:
        Other bytes as a rule; mutations that undo each other are possible.
    """
    while True:
        data = _mutated_once(data, chance, known)
        if chance.random() >= ONE_MORE:
            return data


def _mutated_once(data: bytes, chance: Random, known: Sequence[Number]) -> bytes:
    there = [number for number in known if number.end <= len(data)]
    if there and chance.random() < OF_NUMBERS:
        return _renumbered(data, chance, chance.choice(there))
    if not data:
        return _extended(data, chance)
    return chance.choice(_MUTATIONS)(data, chance)


def _renumbered(data: bytes, chance: Random, number: Number) -> bytes:
    """Put a number to a bound, or next to what it was."""
    value, top = number.read(data), (1 << 8 * number.size_bytes) - 1
    near = (value - 1, value + 1)
    bounds = (0, 1, top, top - 1, top // 2, top // 2 + 1)
    return number.put(data, chance.choice((*near, *near, *bounds, chance.randint(0, top))))


def _flipped(data: bytes, chance: Random) -> bytes:
    spoilt = bytearray(data)
    for _ in range(chance.randint(1, MAX_FLIPPED_BITS)):
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def _set(data: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(data))
    value = chance.choice((*TELLING_BYTES, chance.randrange(256)))
    return data[:at] + bytes([value]) + data[at + 1 :]


def _filled(data: bytes, chance: Random) -> bytes:
    """Set several bytes in a row to the same."""
    start, end = _stretch(data, chance)
    return data[:start] + bytes([chance.choice(TELLING_BYTES)]) * (end - start) + data[end:]


def _truncated(data: bytes, chance: Random) -> bytes:
    return data[: chance.randrange(len(data))]


def _extended(data: bytes, chance: Random) -> bytes:
    count = chance.randint(1, MAX_ADDED_BYTES)
    return data + chance.choice((bytes(count), b"\xff" * count, chance.randbytes(count)))


def _removed(data: bytes, chance: Random) -> bytes:
    start, end = _stretch(data, chance)
    return data[:start] + data[end:]


def _doubled(data: bytes, chance: Random) -> bytes:
    start, end = _stretch(data, chance)
    return data[:end] + data[start:]


def _swapped(data: bytes, chance: Random) -> bytes:
    """Let two pieces that follow each other change places."""
    first, middle, last = sorted(chance.randint(0, len(data)) for _ in range(3))
    return data[:first] + data[middle:last] + data[first:middle] + data[last:]


def _inserted(data: bytes, chance: Random) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + chance.randbytes(chance.randint(1, 4)) + data[at:]


def _stretch(data: bytes, chance: Random) -> tuple[int, int]:
    """Return where a piece begins and ends: short as a rule, and never empty."""
    start = chance.randrange(len(data))
    room = len(data) - start
    return start, start + min(room, chance.choice((1, 2, 4, 8, room)))


_MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flipped,
    _flipped,
    _set,
    _set,
    _filled,
    _truncated,
    _extended,
    _removed,
    _doubled,
    _swapped,
    _inserted,
)


def reordered(pieces: Sequence[bytes], chance: Random) -> list[bytes]:
    """Return pieces of which one is lost, comes twice, comes elsewhere, or is cut in two.

    Args:
        pieces: at least one.
        chance: decides everything.
    """
    rest = list(pieces)
    one = rest.pop(chance.randrange(len(rest)))
    kind = chance.choice(("lost", "twice", "elsewhere", "cut", "joined"))
    if kind == "lost" and rest:
        return rest
    if kind == "joined" and rest:
        at = chance.randrange(len(rest))
        return [*rest[:at], rest[at] + one, *rest[at + 1 :]]
    if kind == "cut" and len(one) > 1:
        at = chance.randrange(1, len(one))
        parts = [one[:at], one[at:]]
    else:
        parts = [one, one] if kind == "twice" or not rest else [one]
    for part in parts:
        rest.insert(chance.randint(0, len(rest)), part)
    return rest
