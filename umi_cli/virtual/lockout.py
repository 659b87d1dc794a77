"""How a virtual meter keeps those out who try keys (protocol 6.2)."""

from dataclasses import dataclass

MAX_FAILURES = 3
LOCKED_S = 60  # choice: protocol 6.2 says "for a while"


@dataclass(slots=True, kw_only=True)
class Lockout:
    """Counts failed authentications; three in a row lock the meter for a while.

    It survives a power cut, for pulling the plug must not buy three more tries.
    """

    failures: int = 0
    locked_until_s: int = 0
    """UMI datetime."""

    def is_locked(self, now_s: int) -> bool:
        """Tell whether the meter takes no authentication now."""
        if self.locked_until_s > now_s + LOCKED_S:
            self.locked_until_s = 0  # the clock was set back, which must lock nobody out for longer
        return now_s < self.locked_until_s

    def fail(self, now_s: int) -> None:
        """Count a failure."""
        self.failures += 1
        if self.failures >= MAX_FAILURES:
            self.failures, self.locked_until_s = 0, now_s + LOCKED_S

    def succeed(self) -> None:
        """Begin to count anew."""
        self.failures = 0
