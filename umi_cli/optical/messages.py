"""What is said at a sign-on, as 7-bit characters: request, identification, option select, break.

Sources: EN 62056-21, protocol 8.
"""

import re
from dataclasses import dataclass
from typing import Self

from umi_cli.errors import MalformedError
from umi_cli.optical.characters import without_parity

NAK = b"\x15"
BREAK = b"\x01B0\x03\x71"  # SOH B0 ETX, and the XOR of what follows SOH
WAKE_UP = bytes(66)  # NUL characters: 2.2 s at 300 baud without a gap
RATES = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19_200}
"""What the rate character Z stands for in mode C; others are reserved."""
MAX_LINE = 64  # characters of an identification; longer is no identification
MAX_ADDRESS = 32

_IDENTIFICATION = re.compile(rb"/([A-Za-z]{3})([\x20-\x7e])((?:\\[\x20-\x7e])*)([ -.0-~]*)\r\n\Z")
_ADDRESS = re.compile(r"[0-9A-Za-z ]*", re.ASCII)
_OPTION_SELECT = re.compile(rb"\x06([\x20-\x7e])([\x20-\x7e])([\x20-\x7e])\r\n\Z")


def request(address: str = "") -> bytes:
    """Return the request message; without an address any device answers.

    Raises:
        ValueError: the address is longer than 32 characters, or not letters, digits and spaces.
    """
    if len(address) > MAX_ADDRESS or not _ADDRESS.fullmatch(address):
        raise ValueError(f"{address!r:.60} is no address of a device")
    return b"/?" + address.encode("ascii") + b"!\r\n"


# "/" XXX Z ["\" W]... IDENT CR LF
@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """What a meter says of itself when it is asked."""

    manufacturer: str
    """XXX: three FLAG letters; the third in lower case promises a reaction time of 20 ms."""
    rate: str
    """Z: the offered rate, one character."""
    ident: str
    """What the meter calls itself."""
    escapes: str = ""
    """W: what stands behind backslashes; `2` offers HDLC."""

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """Decode a line of 7-bit characters, from any noise before its last `/` on.

        Raises:
            MalformedError: no identification stands in it.
        """
        start = line.rfind(b"/")
        match = _IDENTIFICATION.match(line[start:]) if start >= 0 else None
        if match is None or len(line) - start > MAX_LINE:
            raise MalformedError("this is no identification of EN 62056-21")
        manufacturer, rate, escapes, ident = (group.decode("ascii") for group in match.groups())
        return cls(manufacturer=manufacturer, rate=rate, escapes=escapes[1::2], ident=ident)

    def encode(self) -> bytes:
        """Return the line of 7-bit characters."""
        escapes = "".join(f"\\{escape}" for escape in self.escapes)
        return f"/{self.manufacturer}{self.rate}{escapes}{self.ident}\r\n".encode("ascii")

    @property
    def baud(self) -> int | None:
        """Return the offered rate; None if the character stands for none of mode C."""
        return RATES.get(self.rate)

    @property
    def is_fast(self) -> bool:
        """Tell whether the meter reacts within 20 ms."""
        return self.manufacturer[2].islower()

    @property
    def offers_hdlc(self) -> bool:
        """Tell whether the meter offers mode E."""
        return "2" in self.escapes

    def __str__(self) -> str:
        return f"{self.manufacturer} {self.ident}".strip()


# ACK V Z Y CR LF
@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSelect:
    """What the reader chooses."""

    v: str
    """Protocol control character."""
    z: str
    """The rate; `0` stays at 300 baud."""
    y: str
    """Mode control character: 6..9 are the manufacturer's own."""

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """Decode 7-bit characters; `MalformedError` if they are no option select."""
        match = _OPTION_SELECT.match(line)
        if match is None:
            raise MalformedError("this is no option select of EN 62056-21")
        v, z, y = (group.decode("ascii") for group in match.groups())
        return cls(v=v, z=z, y=y)

    def encode(self) -> bytes:
        """Return the 7-bit characters."""
        return b"\x06" + f"{self.v}{self.z}{self.y}\r\n".encode("ascii")


def is_break(data: bytes) -> bool:
    """Tell whether characters are the break, with parity in bit 7 or without."""
    return without_parity(data) == BREAK
