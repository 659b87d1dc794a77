"""What goes wrong on the pins of an SPI port: seeded, so that every run can be run again."""

import random
from collections import Counter
from dataclasses import dataclass, fields

from umi_cli.virtual.faults import parse_rates

STUCK_S = (0.05, 3.0)  # up to longer than a Host waits
LATE_S = (0.0, 0.3)  # a Host gives a peripheral 100 ms to wake
GLITCH_S = 0.0002


@dataclass(frozen=True, slots=True, kw_only=True)
class PinFaultRates:
    """The probability of each fault, 0..1, per select."""

    low: float = 0.0
    """INTB is stuck low for a while."""
    high: float = 0.0
    """INTB is stuck high for a while."""
    late: float = 0.0
    """The peripheral wakes late, or too late."""
    glitch: float = 0.0
    """INTB shows the other level for a moment."""
    miso: float = 0.0
    """MISO is stuck during a transfer."""
    flip: float = 0.0
    """A bit is turned over during a transfer, either way."""
    mode: float = 0.0
    """A transfer is sampled on the wrong edge: everything is shifted by a bit."""
    reset: float = 0.0
    """The peripheral resets in the middle."""

    @classmethod
    def parse(cls, text: str) -> "PinFaultRates":
        """Parse `low:0.05,miso:0.01`; `all:0.05` stands for every kind.

        Raises:
            InputError: a kind is unknown, or a probability is none.
        """
        names = [each.name for each in fields(cls)]
        return cls(**parse_rates(text, names, names, "fault of a pin") if text else {})


class PinFaults:
    """Decides which faults strike. `counts` says how often each one has.

    Args:
        rates: how likely each fault is.
        seed: of the chance.
    """

    def __init__(self, rates: PinFaultRates, seed: int) -> None:
        self._rates = rates
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._forced: tuple[float, bool] | None = None
        self.counts: Counter[str] = Counter()

    @property
    def deadline(self) -> float | None:
        """Return when a level that is forced ends."""
        return self._forced[0] if self._forced else None

    def strike(self, now: float) -> None:
        """Let INTB get stuck, or glitch, from now on."""
        for kind, is_low in (("low", True), ("high", False)):
            if self._strikes(kind):
                self._forced = now + self._chance.uniform(*STUCK_S), is_low
        if self._strikes("glitch"):
            self._forced = now + GLITCH_S, bool(self._chance.getrandbits(1))

    def level(self, now: float, *, is_low: bool) -> bool:
        """Return whether INTB is low, given whether the peripheral pulls it low."""
        if self._forced and now >= self._forced[0]:
            self._forced = None
        return self._forced[1] if self._forced else is_low

    def wake_s(self, usual_s: float) -> float:
        """Return how long the peripheral takes to wake this time."""
        return self._chance.uniform(*LATE_S) if self._strikes("late") else usual_s

    def resets(self) -> bool:
        """Tell whether the peripheral resets now."""
        return self._strikes("reset")

    def received(self, data: bytes) -> bytes:
        """Return what the peripheral hears of what was clocked out."""
        return self._damaged(data)

    def sent(self, data: bytes) -> bytes:
        """Return what the Host hears of what the peripheral clocks out."""
        if self._strikes("miso"):
            return self._chance.choice((b"\0", b"\xff")) * len(data)
        return self._damaged(data)

    def _damaged(self, data: bytes) -> bytes:
        if data and self._strikes("mode"):
            bits = int.from_bytes(data, "big") >> 1
            data = bits.to_bytes(len(data), "big")
        if data and self._strikes("flip"):
            place, bit = self._chance.randrange(len(data)), 1 << self._chance.randrange(8)
            data = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
        return data

    def _strikes(self, kind: str) -> bool:
        rate = getattr(self._rates, kind)
        if not rate:
            return False
        strikes = bool(self._chance.random() < rate)
        self.counts[kind] += strikes
        return strikes
