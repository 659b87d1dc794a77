"""The meter's side of the sign-on: asleep, shut, listening, identified, or speaking UMI.

Sources: EN 62056-21, protocol 8. No I/O and no clock.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from umi_cli.errors import InputError, MalformedError
from umi_cli.optical.characters import (
    SIGN_ON_SETTINGS,
    LineSettings,
    count_bad_parity,
    with_parity,
    without_parity,
)
from umi_cli.optical.messages import (
    MAX_LINE,
    NAK,
    RATES,
    Identification,
    OptionSelect,
    is_break,
)

# choice: protocol 8 leaves these to the meter; they are within what EN 62056-21 demands.
REACTION_S = 0.2
MIN_WAKE_UP_S = 2.1  # of NUL characters without a gap
WAKE_UP_GAP_S = 0.05
MIN_QUIET_S = 1.4  # after them, before the request
AWAKE_S = 60.0
KEY_PRESS_S = 60.0  # the port of an EI3 opens for one minute
SELECT_WITHIN_S = 4.0
INACTIVE_S = 60.0
BREAK_GAP_S = 0.1  # a break stands alone

_REQUEST = re.compile(rb"/\?([0-9A-Za-z ]*)!\r\n\Z")
_READOUT = b"\x02F.F(00)\r\n0.0.0(12345678)\r\n!\r\n\x03"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpticalCharacter:
    """How a virtual meter's optical port and the head on it behave."""

    rate: str = "5"
    """Z: the rate that it offers."""
    has_echo: bool = False
    """The head sends back what it is given."""
    needs_wakeup: bool = True
    needs_key: bool = False
    """The port opens for a minute when the key is pressed, and is shut otherwise."""
    reaction_s: float = REACTION_S

    @property
    def baud(self) -> int:
        """Return the rate that the port offers."""
        return RATES[self.rate]

    @classmethod
    def parse(cls, text: str) -> "OpticalCharacter":
        """Parse `baud:19200,echo,no-wakeup,key,reaction:20`.

        Raises:
            InputError: a word is unknown, or its number is none.
        """
        values: dict[str, object] = {}
        for item in filter(None, map(str.strip, text.split(","))):
            name, _, number = item.partition(":")
            if item in _SWITCHES:
                field, value = _SWITCHES[item]
                values[field] = value
            elif name == "baud" and number in _RATES_BY_BAUD:
                values["rate"] = _RATES_BY_BAUD[number]
            elif name == "reaction" and number.isascii() and number.isdigit() and len(number) < 5:
                values["reaction_s"] = int(number) / 1000
            else:
                raise InputError(
                    f"{item!r:.60} says nothing of an optical port",
                    hint="write baud:9600, echo, no-wakeup, key, reaction:MS, between commas;"
                    f" rates are {', '.join(_RATES_BY_BAUD)}",
                )
        return cls(**values)  # type: ignore[arg-type]


_SWITCHES: dict[str, tuple[str, bool]] = {
    "echo": ("has_echo", True),
    "no-wakeup": ("needs_wakeup", False),
    "key": ("needs_key", True),
}
_RATES_BY_BAUD = {str(baud): character for character, baud in RATES.items()}


class PortState(Enum):
    """What the meter does at its optical port."""

    LISTENING = auto()
    """It waits for a request, if it is awake and open."""
    IDENTIFIED = auto()
    """It has said who it is, and waits for the option select."""
    READOUT = auto()
    """It was asked for something else than UMI, and sends its readout."""
    UMI = auto()
    """Link frames pass."""


class MeterSignOn:
    """One optical port of a meter.

    Args:
        character: how it behaves.
        identify: returns XXX and IDENT.
        on_sign_on: called when a reader has switched the port to UMI.
        serial: returns the device address that requests may name.
    """

    def __init__(
        self,
        character: OpticalCharacter,
        identify: Callable[[], tuple[str, str]],
        on_sign_on: Callable[[], None] = lambda: None,
        serial: Callable[[], str] = str,
    ) -> None:
        self.settings: LineSettings = SIGN_ON_SETTINGS
        """What the meter listens and speaks at."""
        self.state = PortState.LISTENING
        self._character = character
        self._identify = identify
        self._on_sign_on = on_sign_on
        self._serial = serial
        self._open_until = 0.0
        self._awake_from = self._awake_until = 0.0
        self._nul_since = 0.0
        self._line = b""
        self._last_heard = -BREAK_GAP_S
        self._reply: tuple[float, bytes] | None = None
        self._until: float | None = None

    @property
    def deadline(self) -> float | None:
        """Return when `on_timer` wants to be called: seconds, monotonic."""
        times = [self._reply[0] if self._reply else None, self._until]
        return min((time for time in times if time is not None), default=None)

    @property
    def is_umi(self) -> bool:
        """Tell whether link frames pass."""
        return self.state is PortState.UMI

    def press_key(self, now: float) -> None:
        """Open the port for a minute, and wake the meter."""
        self._open_until = self._awake_until = now + KEY_PRESS_S
        self._awake_from = now

    def reset(self) -> None:
        """Forget the session, as a power cut and a break do."""
        self.state, self.settings = PortState.LISTENING, SIGN_ON_SETTINGS
        self._line, self._reply, self._until = b"", None, None

    def lose_power(self) -> None:
        """Forget everything: the meter sleeps, and its port is shut."""
        self.reset()
        self._open_until = self._awake_from = self._awake_until = 0.0
        self._nul_since, self._last_heard = 0.0, -BREAK_GAP_S

    def hear(self, data: bytes, began: float, now: float) -> None:
        """Take characters that came from `began` to `now`, bit 7 as it was on the line."""
        is_pause = began - self._last_heard >= BREAK_GAP_S
        if is_pause and self.state is not PortState.IDENTIFIED:
            self._line = b""
        if began - self._last_heard > WAKE_UP_GAP_S:
            self._nul_since = began
        self._last_heard = now
        if self.is_umi:
            self._hear_frames(data, now)
        else:
            self._hear_text(data, began, now)

    def _hear_frames(self, data: bytes, now: float) -> None:
        self._until = now + INACTIVE_S
        self._line = (self._line + data)[: MAX_LINE + 1]
        if is_break(self._line):
            self.reset()

    def _hear_text(self, data: bytes, began: float, now: float) -> None:
        for character in data:
            self._take(bytes([character]), now)
        if data.strip(b"\0"):
            self._nul_since = now
        elif now - self._nul_since >= MIN_WAKE_UP_S:
            self._awake_from, self._awake_until = now + MIN_QUIET_S, now + AWAKE_S

    def _take(self, character: bytes, now: float) -> None:
        """Take a character of a message; one of wrong parity spoils it."""
        if count_bad_parity(character):
            self._line = b""
            return
        self._line = (self._line + without_parity(character))[-MAX_LINE:]
        if self._line.endswith(b"\n"):
            line, self._line = self._line, b""
            self._on_line(line, now)
        elif is_break(self._line):
            self.reset()

    def _on_line(self, line: bytes, now: float) -> None:
        if self.state is PortState.IDENTIFIED and b"\x06" in line:
            self._on_select(line[line.index(b"\x06") :], now)
        elif self._is_asked(line) and self._may_answer(now):
            manufacturer, ident = self._identify()
            answer = Identification(
                manufacturer=manufacturer, rate=self._character.rate, ident=ident
            )
            self.state, self._until = PortState.IDENTIFIED, now + SELECT_WITHIN_S
            self._reply = now + self._character.reaction_s, with_parity(answer.encode())

    def _is_asked(self, line: bytes) -> bool:
        """Tell whether a request is for any device, or names us: leading zeros do not count."""
        match = _REQUEST.search(line)
        if match is None:
            return False
        asked, own = match[1].lstrip(b"0"), self._serial().encode("ascii", "replace").lstrip(b"0")
        return not match[1] or asked.lower() == own.lower()

    def _may_answer(self, now: float) -> bool:
        is_open = not self._character.needs_key or now < self._open_until
        is_awake = not self._character.needs_wakeup or (self._awake_from <= now < self._awake_until)
        return is_open and is_awake and self.state is not PortState.READOUT

    def _on_select(self, line: bytes, now: float) -> None:
        try:
            select = OptionSelect.decode(line)
        except MalformedError:
            return
        if select.z not in ("0", self._character.rate):
            self._reply = now + self._character.reaction_s, with_parity(NAK)
            return
        baud = RATES[select.z]
        self._awake_until = now + AWAKE_S
        # choice: V 0 and Y 6 switch to UMI (protocol 8); anything else is a readout in mode C.
        if (select.v, select.y) == ("0", "6"):
            self.state, self.settings = PortState.UMI, LineSettings(baud=baud)
            self._until = now + INACTIVE_S
            self._on_sign_on()
        else:
            self.state = PortState.READOUT
            self.settings = LineSettings(baud=baud, bits=7, parity="E")
            self._reply = now + self._character.reaction_s, with_parity(_readout())
            self._until = now + SELECT_WITHIN_S

    def on_timer(self, now: float) -> bytes:
        """Do what is due at `now`; return the characters to send, bit 7 as on the line."""
        reply = b""
        if self._reply and self._reply[0] <= now:
            reply, self._reply = self._reply[1], None
        if self._until is not None and self._until <= now:
            self._awake_until = max(self._awake_until, now + AWAKE_S)
            self.reset()
        return reply


def _readout() -> bytes:
    """Return a data readout: STX, lines, ETX and the block check."""
    check = 0
    for character in _READOUT[1:]:
        check ^= character
    return _READOUT + bytes([check])
