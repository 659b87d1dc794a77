"""How long is an answer waited for that the peer's link layer gives by itself? (protocol 2.3)

A fragment that is not the last is acknowledged before any application has seen it, so every such
answer takes about as long as those before it. Where some have come, a lost one need not be waited
for as long as a device may think about a command.
"""

from umi_cli.link.events import LinkSettings

# choice: protocol 2.3 has one timeout. Ours for these answers is twice the slowest that has come,
# and never within the pause by which the peer, or we, find the end of what was cut off.
KNOWN_AFTER = 4
MAX_MISSES = 2
FACTOR = 2.0
MARGIN_S = 0.2


class Patience:
    """What is known of one line.

    Args:
        settings: the full timeout, and the pause that ends a frame.
    """

    __slots__ = ("_answers", "_misses", "_settings", "_slowest_s")

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._answers = self._misses = 0
        self._slowest_s = 0.0

    @property
    def timeout_s(self) -> float:
        """Return how long to wait, without the time on the wire."""
        full_s = self._settings.timeout_s
        if self._answers < KNOWN_AFTER:
            return full_s
        least_s = self._settings.idle_gap_s + MARGIN_S
        return min(full_s, max(least_s, FACTOR * self._slowest_s))

    def learn(self, took_s: float) -> None:
        """Take in how long an answer to a frame took that was sent once."""
        self._answers += 1
        self._misses = 0
        self._slowest_s = max(self._slowest_s, took_s)

    def miss(self) -> None:
        """Take in that an answer did not come in time: after two in a row the peer has changed."""
        self._misses += 1
        if self._misses >= MAX_MISSES:
            self._answers = self._misses = 0
