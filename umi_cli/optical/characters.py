"""What a character on the optical line is, and how its parity is made in software (EN 62056-21).

A 7E1 character is bit for bit an 8N1 character whose bit 7 is the parity: start, eight bits, stop.
So a port that stays at 8N1 can say and check 7E1 itself, and at the switch only the rate changes.
"""

from dataclasses import dataclass
from typing import Literal

Parity = Literal["N", "E", "O"]

SIGN_ON_BAUD = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    """What a port is set to; one stop bit always."""

    baud: int
    bits: int = 8
    """Data bits, 5..8."""
    parity: Parity = "N"

    @property
    def character_bits(self) -> int:
        """Return how many bit times a character takes, start and stop included."""
        return self.bits + (self.parity != "N") + 2

    @property
    def character_s(self) -> float:
        """Return how long a character is on the wire, in seconds."""
        return self.character_bits / self.baud

    def __str__(self) -> str:
        return f"{self.baud} baud {self.bits}{self.parity}1"


SIGN_ON_SETTINGS = LineSettings(baud=SIGN_ON_BAUD, bits=7, parity="E")

_EVEN = bytes(code & 0x7F | (code & 0x7F).bit_count() % 2 << 7 for code in range(256))
_PLAIN = bytes(code & 0x7F for code in range(256))
_BAD = bytes(code for code in range(256) if code.bit_count() % 2)


def with_parity(text: bytes) -> bytes:
    """Return 7-bit characters with even parity in bit 7."""
    return text.translate(_EVEN)


def without_parity(data: bytes) -> bytes:
    """Return the 7-bit characters, whatever their parity."""
    return data.translate(_PLAIN)


def count_bad_parity(data: bytes) -> int:
    """Return how many characters have no even parity."""
    return len(data) - len(data.translate(None, _BAD))
