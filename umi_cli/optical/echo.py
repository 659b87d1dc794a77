"""Does an optical head send back what it is given? What it does is taken out below every protocol.

A head reflects its own light (protocol 8). In doubt only an exact echo is dropped. Once a head has
echoed three times its echo is required: as many bytes as went out are dropped, and if they differ
the bytes were damaged on the way out, which `faults` counts.
"""

from typing import Literal

EchoMode = Literal["auto", "on", "off"]

PROOFS = 3  # echoes that make a head one that echoes; as many misses take that back
SLACK_S = 0.5  # how late an echo may come: a USB adapter and a busy host


class EchoCanceller:
    """Takes the echo out of what is received.

    Args:
        mode: `on` requires an echo, `off` expects none, `auto` finds out.
    """

    def __init__(self, mode: EchoMode = "auto") -> None:
        self._mode = mode
        self._expected = bytearray()
        self._matched = 0
        self._is_same = True
        self._until = 0.0
        self._held = b""
        self._misses = 0
        self._proofs = 0
        self.echoes = 0
        """How often what was sent came back whole."""
        self.faults = 0
        """How often it came back damaged, or not at all, although it should have."""

    @property
    def is_required(self) -> bool:
        """Tell whether the head is known to echo."""
        return self._mode == "on" or self._proofs >= PROOFS

    def sent(self, data: bytes, now: float, *, takes_s: float = 0.0) -> None:
        """Note what is sent from `now` on (seconds, monotonic), and how long it takes."""
        if self._mode != "off":
            self._held += self._expire(now)
            self._expected += data
            self._until = now + takes_s + SLACK_S

    def received(self, data: bytes, now: float) -> bytes:
        """Return what is no echo of what arrived at `now`."""
        held, self._held = self._held + self._expire(now), b""
        if not self._expected:
            return held + data
        if not self.is_required:
            return held + self._match(data)
        return held + self._take(data)

    def _expire(self, now: float) -> bytes:
        """Give up on an echo that is overdue; return what was held back for it."""
        if not self._expected or now <= self._until:
            return b""
        held = b"" if self.is_required else bytes(self._expected[: self._matched])
        self._miss()
        return held

    def _match(self, data: bytes) -> bytes:
        """Drop an exact echo; what differs anywhere is none."""
        left = self._expected[self._matched :]
        same = next((at for at, (a, b) in enumerate(zip(data, left, strict=False)) if a != b), None)
        count = min(len(data), len(left)) if same is None else same
        self._matched += count
        if self._matched == len(self._expected):
            self._hit()
            return data[count:]
        if same is None:
            return b""  # the rest is still to come
        held = bytes(self._expected[: self._matched])
        self._miss()
        return held + data[count:]

    def _take(self, data: bytes) -> bytes:
        """Drop as many bytes as were sent."""
        left = self._expected[self._matched :]
        count = min(len(data), len(left))
        self._is_same = self._is_same and data[:count] == left[:count]
        self._matched += count
        if self._matched == len(self._expected):
            if self._is_same:
                self._hit()
            else:
                self._miss()
        return data[count:]

    def _hit(self) -> None:
        self.echoes += 1
        self._proofs, self._misses = self._proofs + 1, 0
        self._forget()

    def _miss(self) -> None:
        self.faults += self.is_required
        self._misses += 1
        if self._misses >= PROOFS:
            self._proofs = 0
        self._forget()

    def _forget(self) -> None:
        self._expected.clear()
        self._matched, self._is_same = 0, True
