"""What a bad line does to the bytes on it: seeded, so that every run can be run again.

A chunk is what one side sent at once: a frame. Each fault has its own probability per chunk and
direction; several may strike one chunk.
"""

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import Enum

from umi_cli.errors import InputError
from umi_cli.names import near
from umi_cli.virtual.flash import UNTOUCHED

DELAY_S = (0.01, 3.0)  # up to longer than a client waits: some answers come too late
OFF_S = (0.05, 4.0)  # how long the power stays away
LIFTED_S = (0.05, 20.0)  # how long the probe is off the port, or the line interrupted
MAX_FLIPPED_BITS = 3
MAX_NOISE_BYTES = 40


class Cut(Enum):
    """A fault that ends more than one chunk."""

    HANG_UP = "hangup"
    POWER = "power"
    LIFT = "lift"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRates:
    """The probability of each fault, 0..1, per chunk."""

    drop: float = 0.0
    """The chunk never arrives."""
    duplicate: float = 0.0
    """It arrives twice, the second time late."""
    delay: float = 0.0
    """It arrives late, and later ones may overtake it."""
    flip: float = 0.0
    """One to three bits of it are turned over."""
    truncate: float = 0.0
    """Its end is missing."""
    noise: float = 0.0
    """Random bytes stand before, in or behind it."""
    hangup: float = 0.0
    """The connection ends."""
    power: float = 0.0
    """The meter loses power, and comes back after a while; also while it writes to its flash."""
    lift: float = 0.0
    """The probe is lifted, or the line interrupted: for a while nothing passes either way."""
    ber: float = 0.0
    """Each bit is turned over with this probability; not one of `all`."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise ValueError(f"{field.name} is a probability, 0 to 1")

    @classmethod
    def parse(cls, text: str) -> "FaultRates":
        """Parse `drop:0.05,flip:0.01`; `all:0.05` stands for every kind.

        Raises:
            InputError: a kind is unknown, or a probability is none.
        """
        names = [field.name for field in fields(cls)]
        of_all = [name for name in names if name != "ber"]  # whose number is per bit
        return cls(**parse_rates(text, names, of_all, "fault"))


def parse_rates(
    text: str, names: Sequence[str], of_all: Sequence[str], what: str
) -> dict[str, float]:
    """Return the probabilities in `KIND:PROBABILITY,…`.

    Args:
        names: the kinds.
        of_all: those that `all` stands for.
        what: what a kind is, for the error.

    Raises:
        InputError: a kind is unknown, or a probability is none.
    """
    rates: dict[str, float] = {}
    for item in text.split(","):
        name, _, number = item.strip().partition(":")
        try:
            rate = float(number)
        except ValueError:
            rate = -1.0
        if not 0 <= rate <= 1 or name not in (*names, "all"):
            form = f"write KIND:PROBABILITY between commas, of {', '.join(names)} or all"
            hint = form if name in names else near(name, names, form)
            raise InputError(f"{item!r:.60} is no {what}", hint=hint)
        rates |= dict.fromkeys(of_all, rate) if name == "all" else {name: rate}
    return rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What became of a chunk."""

    pieces: list[tuple[float, bytes]]
    """When (seconds from now) what arrives."""
    cut: Cut | None = None


class FaultInjector:
    """Lets chunks pass, or not. `counts` says how often each fault has struck.

    Args:
        rates: how likely each fault is.
        seed: of the chance.
    """

    def __init__(self, rates: FaultRates, seed: int) -> None:
        self._rates = rates
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.counts: Counter[str] = Counter()

    def off_s(self) -> float:
        """Return how long the power stays away this time, in seconds."""
        return self._chance.uniform(*OFF_S)

    def lifted_s(self) -> float:
        """Return how long the line stays interrupted this time, in seconds."""
        return self._chance.uniform(*LIFTED_S)

    def tear(self, length_bytes: int) -> int | None:
        """Return how much of a write to flash lands before the power is lost; None if it stays."""
        if not self._strikes(Cut.POWER.value):
            return None
        return self._chance.randint(UNTOUCHED, length_bytes)

    def pass_through(self, chunk: bytes) -> Passage:
        """Return what becomes of a chunk."""
        for cut in Cut:
            if self._strikes(cut.value):
                return Passage(pieces=[], cut=cut)
        if self._strikes("drop"):
            return Passage(pieces=[])
        damaged = self._damage(chunk)
        delay_s = self._late() if self._strikes("delay") else 0.0
        pieces = [(delay_s, damaged)]
        if self._strikes("duplicate"):
            pieces.append((self._late(), damaged))
        return Passage(pieces=pieces)

    def _strikes(self, kind: str) -> bool:
        rate = getattr(self._rates, kind)
        if not rate:  # no chance is drawn: a kind that is off changes nothing of the others
            return False
        strikes = bool(self._chance.random() < rate)
        self.counts[kind] += strikes
        return strikes

    def _late(self) -> float:
        return self._chance.uniform(*DELAY_S)

    def _damage(self, chunk: bytes) -> bytes:
        data = bytearray(chunk)
        if self._strikes("flip"):
            for _ in range(self._chance.randint(1, MAX_FLIPPED_BITS)):
                data[self._chance.randrange(len(data))] ^= 1 << self._chance.randrange(8)
        for bit in self._wrong_bits(8 * len(data)):
            data[bit // 8] ^= 1 << bit % 8
        if self._strikes("truncate"):
            del data[self._chance.randrange(len(data)) :]
        if self._strikes("noise"):
            place = self._chance.randint(0, len(data))
            data[place:place] = self._chance.randbytes(self._chance.randint(1, MAX_NOISE_BYTES))
        return bytes(data)

    def _wrong_bits(self, bits: int) -> Iterator[int]:
        """Yield which bits the bit error rate strikes, leaping from one to the next."""
        if not (rate := self._rates.ber):
            return
        bit = -1
        while True:
            luck = 1 - self._chance.random()  # above 0
            leap = math.log(luck) / math.log1p(-rate) if rate < 1 else 0
            bit += 1 + int(min(leap, bits))  # it may be infinite
            if bit >= bits:
                return
            self.counts["ber"] += 1
            yield bit
