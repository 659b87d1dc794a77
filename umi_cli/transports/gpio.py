"""GPIO lines by name, on the gpiod module (libgpiod 2), which is imported when one is asked for.

Chips are found by label: the header of a Raspberry Pi 5 is gpiochip0 or gpiochip4, by kernel.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from umi_cli.errors import (
    LostError,
    NoSuchPortError,
    PortBusyError,
    PortPermissionError,
    UmiError,
    install_hint,
)
from umi_cli.transports.hosts import DEVICES

CONSUMER = "umi"
SHOWN_NAMES = 6
_INSTALL = install_hint("gpio")
_JOIN = "join the group that owns it (sudo usermod -aG gpio $USER), then log in again"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePlace:
    """Where a line is."""

    wanted: str
    """As the user named it."""
    device: str
    """The chip's, `/dev/gpiochip0`."""
    label: str
    """The chip's."""
    offset: int
    """The line's on the chip."""

    def __str__(self) -> str:
        place = f"{self.label}:{self.offset}"
        return place if self.wanted == place else f"{self.wanted} ({place})"


class OutputLine:
    """A line that we drive, and hold for us alone until it is released.

    Args:
        request: gpiod's, of that line.
        place: where it is.
        address: of the port, for what it raises.
    """

    def __init__(self, request: Any, place: LinePlace, address: str) -> None:
        from gpiod.line import Value

        self.place = place
        self._address = address
        self._request = request
        self._levels = (Value.INACTIVE, Value.ACTIVE)  # the guardian imports nothing

    def drive(self, high: bool) -> None:
        """Drive it; an open drain that is high is let go of.

        Raises:
            LostError: the chip is gone, or the line was released.
        """
        try:
            _live(self._request, self.place, self._address).set_value(
                self.place.offset, self._levels[high]
            )
        except OSError as error:
            raise _lost(self.place, self._address, error) from error

    def fileno(self) -> int:
        """Return the descriptor that the line is held by."""
        return int(self._request.fd)

    def release(self) -> None:
        """Let go of the line; twice is harmless."""
        self._request.release()


class InputLine:
    """A line that we watch, pulled up, and hold for us alone until it is released.

    Args:
        request: gpiod's, of that line, with both edges.
        place: where it is.
        address: of the port, for what it raises.
    """

    def __init__(self, request: Any, place: LinePlace, address: str) -> None:
        from gpiod import EdgeEvent
        from gpiod.line import Value

        self.place = place
        self.has_risen = False
        """An edge up was among those that were forgotten; whoever asks sets it back."""
        self._address = address
        self._request = request
        self._low = Value.INACTIVE
        self._rise = EdgeEvent.Type.RISING_EDGE

    def is_low(self) -> bool:
        """Forget the edges that were queued, then look: a change after that is a new edge.

        Raises:
            LostError: the chip is gone, or the line was released.
        """
        try:
            request = _live(self._request, self.place, self._address)
            while request.wait_edge_events(0):
                edges = request.read_edge_events()
                self.has_risen |= any(edge.event_type == self._rise for edge in edges)
            return bool(request.get_value(self.place.offset) == self._low)
        except OSError as error:
            raise _lost(self.place, self._address, error) from error

    def wait(self, timeout_s: float) -> None:
        """Wait until an edge is queued, or the chip is gone, or the time is over."""
        _live(self._request, self.place, self._address).wait_edge_events(timeout_s)

    def fileno(self) -> int:
        """Return the descriptor that is readable while edges are queued, or the chip is gone."""
        return int(_live(self._request, self.place, self._address).fd)

    def release(self) -> None:
        """Let go of the line; twice is harmless."""
        self._request.release()


def _live(request: Any, place: LinePlace, address: str) -> Any:
    if not request:
        raise LostError(f"{address} is closed: {place} was released")
    return request


def _lost(place: LinePlace, address: str, error: OSError) -> LostError:
    return LostError(f"{address} is gone: the GPIO line {place} fails ({error.strerror})")


# Finding.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chip:
    device: str
    label: str
    names: tuple[str, ...]
    """Of its lines, by offset; empty where a line has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chips:
    """What this user sees of the GPIO chips of this host."""

    seen: tuple[_Chip, ...]
    denied: tuple[str, ...]
    """Devices that this user may not open."""


def find_lines(wanted: Sequence[str], address: str) -> list[LinePlace]:
    """Find lines by name, or by `CHIP-LABEL:OFFSET`; nothing is requested.

    Args:
        wanted: as the user named them.
        address: of the port, for what it raises.

    Raises:
        NoSuchPortError: gpiod is missing, or there is no such line, or several.
        PortPermissionError: a line is not on the chips that this user may open.
    """
    chips = _look(address)
    return [_find(name, chips, address) for name in wanted]


def _look(address: str) -> _Chips:
    gpiod = _load(address)
    seen, denied = [], []
    for path in sorted(DEVICES.glob("gpiochip*")):
        if path.is_symlink():  # a chip's former number
            continue
        try:
            with gpiod.Chip(str(path)) as chip:
                seen.append(_chip(str(path), chip))
        except PermissionError:
            denied.append(str(path))
        except OSError:  # unplugged meanwhile
            continue
    return _Chips(seen=tuple(seen), denied=tuple(denied))


def _chip(device: str, chip: Any) -> _Chip:
    info = chip.get_info()
    names = (chip.get_line_info(offset).name for offset in range(info.num_lines))
    return _Chip(device=device, label=info.label, names=tuple(name or "" for name in names))


def _load(address: str) -> Any:
    try:
        import gpiod
    except ImportError as error:
        raise NoSuchPortError(
            f"{address}: GPIO lines need the Python module gpiod ({error})", hint=_INSTALL
        ) from error
    if not hasattr(gpiod, "LineSettings"):
        raise NoSuchPortError(
            f"{address}: the Python module gpiod is older than version 2", hint=_INSTALL
        )
    return gpiod


def _find(wanted: str, chips: _Chips, address: str) -> LinePlace:
    found = _by_name(wanted, chips) or _by_offset(wanted, chips)
    if len(found) == 1:
        return found[0]
    if found:
        places = ", ".join(f"{place.device} {place.label}:{place.offset}" for place in found)
        raise NoSuchPortError(
            f"{address}: {len(found)} GPIO lines are called {wanted!r}: {places}",
            hint="name the one that is meant: CHIP-LABEL:OFFSET",
        )
    if chips.denied:
        raise PortPermissionError(
            f"{address}: this user may not open {', '.join(chips.denied)}", hint=_JOIN
        )
    raise NoSuchPortError(
        f"{address}: there is no GPIO line {wanted!r}; {_near(wanted, chips)}",
        hint="a line is its name, or CHIP-LABEL:OFFSET; list the chips with: umi ports",
    )


def _by_name(wanted: str, chips: _Chips) -> list[LinePlace]:
    return [
        LinePlace(wanted=wanted, device=chip.device, label=chip.label, offset=offset)
        for chip in chips.seen
        for offset, name in enumerate(chip.names)
        if name == wanted
    ]


def _by_offset(wanted: str, chips: _Chips) -> list[LinePlace]:
    label, _, offset = wanted.rpartition(":")  # labels may have colons
    if not (offset.isascii() and offset.isdigit()):
        return []
    return [
        LinePlace(wanted=wanted, device=chip.device, label=chip.label, offset=int(offset))
        for chip in chips.seen
        if chip.label == label and int(offset) < len(chip.names)
    ]


def _near(wanted: str, chips: _Chips) -> str:
    """Say what was perhaps meant: the names that are near, or what there is."""
    from difflib import get_close_matches

    names = sorted({name for chip in chips.seen for name in chip.names if name})
    by_fold = {name.casefold(): name for name in names}
    near = [by_fold[name] for name in get_close_matches(wanted.casefold(), by_fold, SHOWN_NAMES)]
    if near:
        return f"near are {', '.join(near)}"
    if not chips.seen:
        return "this host has no GPIO chip"
    return "the chips are " + ", ".join(
        f"{chip.label} with {len(chip.names)} lines" for chip in chips.seen
    )


# Requesting.


def request_output(
    place: LinePlace, address: str, *, high: bool, open_drain: bool = False
) -> OutputLine:
    """Take hold of a line and drive it at once.

    Args:
        place: where it is.
        address: of the port, for what it raises.
        high: the level from the first moment on.
        open_drain: whether high is to let go of it.

    Raises:
        PortBusyError: a program or a driver holds it; the sentence says who.
        PortPermissionError: this user may not.
        NoSuchPortError: it cannot be used so.
    """
    gpiod = _load(address)
    from gpiod.line import Direction, Drive, Value

    settings = gpiod.LineSettings(
        direction=Direction.OUTPUT,
        drive=Drive.OPEN_DRAIN if open_drain else Drive.PUSH_PULL,
        output_value=Value.ACTIVE if high else Value.INACTIVE,
    )
    return OutputLine(_request(place, settings, address), place, address)


def request_input(place: LinePlace, address: str) -> InputLine:
    """Take hold of a line, pull it up and watch both edges; raises as `request_output` does."""
    gpiod = _load(address)
    from gpiod.line import Bias, Direction, Edge

    settings = gpiod.LineSettings(
        direction=Direction.INPUT, edge_detection=Edge.BOTH, bias=Bias.PULL_UP
    )
    hint = "INTB needs a chip that reports edges"
    return InputLine(_request(place, settings, address, hint), place, address)


def _request(place: LinePlace, settings: Any, address: str, hint: str = "") -> Any:
    gpiod = _load(address)
    try:
        return gpiod.request_lines(place.device, consumer=CONSUMER, config={place.offset: settings})
    except OSError as error:
        raise _request_error(place, address, error, hint) from error


def _request_error(place: LinePlace, address: str, error: OSError, hint: str) -> UmiError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return PortPermissionError(f"{address}: this user may not use {place.device}", hint=_JOIN)
    if error.errno == errno.EBUSY:
        holder = _holder(place, address) or "another program"
        return PortBusyError(f"{address}: the GPIO line {place} is held by {holder}")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return NoSuchPortError(f"{address}: the GPIO line {place} cannot be used ({reason})", hint=hint)


def _holder(place: LinePlace, address: str) -> str:
    """Return who holds a line, as the kernel tells it; empty if it does not."""
    with suppress(OSError), _load(address).Chip(place.device) as chip:
        return str(chip.get_line_info(place.offset).consumer or "")
    return ""
