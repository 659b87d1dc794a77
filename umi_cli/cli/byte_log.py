"""What `-v` shows of a line: the bytes that pass, and when; what came in one go stands together."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from umi_cli.output import streams

PAUSE_S = 0.25  # what comes after a longer pause is shown on its own


class ByteLog:
    """Logs to stderr every piece of bytes that passes.

    A serial line hands over one byte or a few at a time: what comes in is gathered until something
    goes out, a pause tells it apart, or the line is closed. What goes out is shown at once.

    Args:
        is_secret: the bytes may hold a secret, so only their number is shown.
        clock: a clock that only goes forward, in seconds.
    """

    def __init__(self, *, is_secret: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._is_secret = is_secret
        self._clock = clock
        self._gathered = bytearray()
        self._began = datetime.now(UTC)
        self._latest_s = 0.0

    def __call__(self, direction: str, data: bytes) -> None:
        """Take a piece: `"out"` or `"in"`, and the bytes."""
        now_s = self._clock()
        if direction == "out" or now_s - self._latest_s > PAUSE_S:
            self.flush()
        if direction == "out":
            self._show(direction, data, datetime.now(UTC))
            return
        if not self._gathered:
            self._began = datetime.now(UTC)
        self._gathered += data
        self._latest_s = now_s

    def flush(self) -> None:
        """Show what was gathered."""
        if self._gathered:
            self._show("in", bytes(self._gathered), self._began)
            self._gathered.clear()

    def _show(self, direction: str, data: bytes, moment: datetime) -> None:
        from umi_cli.output.hexdump import hexdump
        from umi_cli.output.render import timestamp

        at = timestamp(moment, timespec="milliseconds")
        streams.say(f"{at} {direction} {len(data)} bytes")
        if not self._is_secret:
            streams.say(hexdump(data, indent="  "))
