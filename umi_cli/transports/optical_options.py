"""What an `opto:` address says of head and meter, on top of the datasheet's optical profile."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

from umi_cli.errors import InputError
from umi_cli.optical.characters import SIGN_ON_BAUD
from umi_cli.optical.echo import EchoMode
from umi_cli.optical.messages import request
from umi_cli.optical.sign_on import ParityMode, SignOnProfile
from umi_cli.transports.optical import OpticalSettings

MAX_SWITCH_DELAY_MS = 400  # the meter's own reaction time is over soon after
# It leads to no port whose rate could be changed: the meter is asked to stay at 300 baud.
_FIXED_RATE = "socket://"
_OFFERED = "offered"
_CONTROLS = "0123456789"
_OWN_MODES = "6789"  # 0 to 5 mean something else to every meter: readout, programming, HDLC


def settle(
    options: Mapping[str, str],
    device: str,
    profile: SignOnProfile,
    matches: Callable[[str], bool],
) -> OpticalSettings:
    """Return how to sign on.

    Args:
        options: those of the address, whose names are known to be right.
        device: path or pyserial URL.
        profile: the datasheet's.
        matches: whether the datasheet's control characters are for a meter with that XXX and IDENT.

    Raises:
        InputError: an option has no value that it can have.
    """
    if "y" in options or "v" in options:
        matches = _anything  # whoever gives characters knows the meter
    echo = _one_of(options, "echo", ("auto", "on", "off"), "auto")
    parity = _one_of(options, "parity", ("soft", "hard"), "soft")
    wakeup = _one_of(options, "wakeup", ("std", "none"), "std" if profile.wakeup else "none")
    stays = SIGN_ON_BAUD if device.startswith(_FIXED_RATE) else _OFFERED
    baud = _one_of(options, "baud", (_OFFERED, str(SIGN_ON_BAUD)), str(stays))
    profile = replace(
        profile,
        v=_character(options, "v", profile.v, _CONTROLS),
        y=_character(options, "y", profile.y, _OWN_MODES),
        wakeup=wakeup == "std",
        switch_delay_ms=_milliseconds(options, profile.switch_delay_ms),
        baud=None if baud == _OFFERED else SIGN_ON_BAUD,
        parity=cast(ParityMode, parity),
        device_address=_device_address(options),
    )
    return OpticalSettings(profile=profile, echo=cast(EchoMode, echo), accepts=matches)


def _anything(_: str) -> bool:
    return True


def _one_of(options: Mapping[str, str], name: str, known: tuple[str, ...], default: str) -> str:
    value = options.get(name, default)
    if value not in known:
        raise InputError(f"{name}={value:.60} is not known", hint=f"write {' or '.join(known)}")
    return value


def _character(options: Mapping[str, str], name: str, default: str, known: str) -> str:
    value = options.get(name, default)
    if len(value) != 1 or value not in known:
        raise InputError(
            f"{name}={value:.60} is no digit that {name} can be",
            hint="v is 0 or 1; y is 6 to 9, which EN 62056-21 leaves to the manufacturer",
        )
    return value


def _milliseconds(options: Mapping[str, str], default: int) -> int:
    value = options.get("switch-delay", str(default))
    if not (value.isascii() and value.isdigit() and int(value) <= MAX_SWITCH_DELAY_MS):
        raise InputError(
            f"switch-delay={value:.60} is no number of milliseconds",
            hint=f"write 0 to {MAX_SWITCH_DELAY_MS}",
        )
    return int(value)


def _device_address(options: Mapping[str, str]) -> str:
    value = options.get("device", "")
    try:
        request(value)
    except ValueError as error:
        raise InputError(str(error), hint="write up to 32 letters, digits and spaces") from error
    return value
