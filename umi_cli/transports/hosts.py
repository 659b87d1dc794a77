"""Which ports this host has: serial ports, SPI buses and GPIO chips; nothing is opened to send.

SPI and GPIO are Linux's: their lists are empty elsewhere.
"""

import contextlib
import os
import re
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from umi_cli.errors import NoSuchPortError

if TYPE_CHECKING:
    from serial.tools.list_ports_common import ListPortInfo

DEVICES = Path("/dev")
# choice: no list of UMI probes exists. These are the USB chips that probes are made with; `auto`
# takes one that is alone, and sends nothing to anything else.
PROBE_CHIPS = {
    "0403:6001": "FTDI FT232R",
    "0403:6015": "FTDI FT-X",
    "067b:2303": "Prolific PL2303",
    "10c4:ea60": "Silicon Labs CP210x",
    "1a86:7523": "WCH CH340",
}
_SERIAL_NAMES = ("ttyUSB*", "ttyACM*", "ttyAMA*", "rfcomm*", "cu.*")  # Linux; the last, macOS
_GPIO_GET_CHIPINFO = 0x8044_B401  # linux/gpio.h, _IOR(0xB4, 1, struct gpiochip_info)
_CHIP_INFO = struct.Struct("=32s32sI")  # name, label, number of lines


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialPort:
    """A serial port."""

    device: str
    """What to open, `/dev/ttyUSB0` or `COM3`."""
    stable: str | None
    """A path that stays the same when the adapter is plugged in again."""
    usb: str | None
    """USB vendor and product, `0403:6001`."""
    product: str | None
    """What the adapter calls itself."""
    serial: str | None
    """The adapter's serial number."""
    probe: str | None
    """The chip, if optical probes are made with it."""

    @property
    def path(self) -> str:
        """Return what to open: the path that stays, where there is one."""
        return self.stable or self.device

    def __str__(self) -> str:
        details = " ".join(filter(None, (self.usb, self.product, self.serial)))
        return f"{self.path} ({details})" if details else self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiBus:
    """A chip select of an SPI bus that programs may use."""

    device: str
    """What to open, `/dev/spidev0.0`."""
    address: str
    """As umi writes it, `spi:0.0`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpioChip:
    """A chip with GPIO lines."""

    device: str
    """What to open, `/dev/gpiochip0`."""
    label: str | None
    """The chip's label; None if this user may not ask."""
    lines: int | None
    """How many lines it has; None if this user may not ask."""


def serial_ports(devices: Path = DEVICES) -> list[SerialPort]:
    """Return the serial ports that the operating system knows."""
    from serial.tools import list_ports

    stable = _stable_paths(devices / "serial" / "by-id")
    ports = sorted(list_ports.comports(), key=lambda port: _natural(port.device))
    return [_serial_port(port, stable.get(os.path.realpath(port.device))) for port in ports]


def serial_devices(devices: Path = DEVICES) -> list[str]:
    """Return the paths of serial ports by their names alone, which costs nothing to find out.

    Those that stay the same when an adapter is plugged in again come first.
    """
    stable = _matching(devices / "serial" / "by-id", "*")
    named = (path for pattern in _SERIAL_NAMES for path in _matching(devices, pattern))
    return [str(path) for path in (*stable, *named)]


def _serial_port(port: "ListPortInfo", stable: str | None) -> SerialPort:
    usb = None if port.vid is None else f"{port.vid:04x}:{port.pid or 0:04x}"
    return SerialPort(
        device=port.device,
        stable=stable,
        usb=usb,
        product=port.product or _description(port.description),
        serial=port.serial_number,
        probe=PROBE_CHIPS.get(usb or ""),
    )


def the_probe(ports: Sequence[SerialPort]) -> SerialPort:
    """Return the one optical probe that is plugged in; nothing is sent to find it.

    Raises:
        NoSuchPortError: there is none, or there are several; the sentence lists what is there.
    """
    probes = [port for port in ports if port.probe]
    if len(probes) == 1:
        return probes[0]
    if probes:
        found = ", ".join(map(str, probes))
        raise NoSuchPortError(
            f"auto: {len(probes)} adapters could be the probe: {found}",
            hint="name one: opto:DEVICE",
        )
    others = ", ".join(map(str, ports)) or "no serial port at all"
    raise NoSuchPortError(
        f"auto: no optical probe is plugged in; this host has {others}",
        hint="plug it in, or name the port of a probe that umi does not know: opto:DEVICE",
    )


def _description(text: str | None) -> str | None:
    return None if text in (None, "", "n/a") else text


def _stable_paths(directory: Path) -> dict[str, str]:
    """Return the path by ID of each device, by the device's real path."""
    with contextlib.suppress(OSError):
        return {os.path.realpath(link): str(link) for link in sorted(directory.iterdir())}
    return {}


def spi_buses(devices: Path = DEVICES) -> list[SpiBus]:
    """Return the SPI chip selects under `/dev/spidev*`."""
    return [
        SpiBus(device=str(path), address="spi:" + path.name.removeprefix("spidev"))
        for path in _matching(devices, "spidev*")
    ]


def gpio_chips(devices: Path = DEVICES) -> list[GpioChip]:
    """Return the GPIO chips under `/dev/gpiochip*`, each once.

    Raspberry Pi OS links a chip's former number to it: /dev/gpiochip4 leads to gpiochip0.
    """
    chips = []
    for path in _matching(devices, "gpiochip*"):
        if path.is_symlink():
            continue
        label, lines = _chip_info(path)
        chips.append(GpioChip(device=str(path), label=label, lines=lines))
    return chips


def _matching(devices: Path, pattern: str) -> list[Path]:
    return sorted(devices.glob(pattern), key=lambda path: _natural(path.name))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts ttyUSB10 after ttyUSB2."""
    return [(int(piece or 0), text) for text, piece in re.findall(r"(\D*)(\d*)", name)]


def _chip_info(path: Path) -> tuple[str | None, int | None]:
    """Ask the kernel for a GPIO chip's label and number of lines."""
    if sys.platform != "linux":
        return None, None
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None, None
    try:
        info = fcntl.ioctl(descriptor, _GPIO_GET_CHIPINFO, bytes(_CHIP_INFO.size))
    except OSError:
        return None, None
    finally:
        os.close(descriptor)
    _, label, lines = _CHIP_INFO.unpack(info)
    return label.rstrip(b"\0").decode("utf-8", "replace"), lines
