"""How OBIS codes are written: `7.0.3.0.0.255` or `7-0:3.0.0*255` (IEC 62056-61)."""

import re

from umi_cli.errors import InputError

_OBIS = re.compile(
    r"(\d{1,3})[-.](\d{1,3})[:.](\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:[*.](\d{1,3}))?", re.ASCII
)
_NO_BILLING_PERIOD = "255"  # what the sixth number is where it is left out


def is_obis(text: str) -> bool:
    """Tell whether a text is meant as an OBIS code: it begins with a number and `-` or `.`."""
    return bool(re.match(r"\d+[-.]", text.strip(), re.ASCII))


def parse_obis(text: str) -> str:
    """Return an OBIS code as six numbers with dots between.

    Raises:
        InputError: it has another form, or a number past 255.
    """
    match = _OBIS.fullmatch(text.strip())
    numbers = [int(number) for number in match.groups(_NO_BILLING_PERIOD)] if match else []
    if not numbers or max(numbers) > 0xFF:
        raise InputError(
            f"{text!r:.60} is not an OBIS code",
            hint="write six numbers of 0 to 255, such as 7.0.3.0.0.255 or 7-0:3.0.0*255",
        )
    return ".".join(str(number) for number in numbers)
