"""An SPI bus of Linux, on the spidev module, which is imported when a bus is opened."""

import errno
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from struct import Struct
from typing import Any

from umi_cli.errors import (
    LostError,
    NoSuchPortError,
    PortBusyError,
    PortPermissionError,
    UmiError,
    install_hint,
)
from umi_cli.transports.board_options import BoardSettings

BITS_PER_WORD = 8
BUFFER_FILE = Path("/sys/module/spidev/parameters/bufsiz")
MODULE_MAX_BYTES = 4096  # the spidev module takes no more at once, whatever the driver's buffer
DMA_ALIGNMENT = 128  # the driver rounds what a transfer takes of its buffer up to that, on arm64
WAKE_PULSE_US = 20  # choice: CSB is low that long to wake a peripheral, 20 clocks at 1 MHz
# linux/spi/spidev.h: struct spi_ioc_transfer, and SPI_IOC_MESSAGE(1), _IOW('k', 0, that structure).
_TRANSFER = Struct("=QQIIHBBBBBB")
_SPI_IOC_MESSAGE_1 = 1 << 30 | _TRANSFER.size << 16 | ord("k") << 8
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits in the opposite order."""


class SpiBus:
    """An open spidev device, which it closes.

    Args:
        spi: the spidev object.
        address: of the port, for what it raises.
        hz: the rate that was set.
        reverses: whether each byte's bits are turned round here, and not by the controller.
    """

    def __init__(self, spi: Any, address: str, *, hz: int, reverses: bool) -> None:
        self.hz = hz
        self._spi = spi
        self._address = address
        self._reverses = reverses
        self._piece_bytes = _longest_message()

    def exchange(self, data: bytes) -> bytes:
        """Clock bytes out, and as many in; in pieces that the driver takes.

        Between pieces the controller lets its own CSB go, which keeps the position in a frame.

        Raises:
            LostError: the bus is gone.
        """
        if self._reverses:
            data = data.translate(REVERSED)
        try:
            pieces = [
                bytes(self._spi.xfer2(list(data[at : at + self._piece_bytes])))
                for at in range(0, len(data), self._piece_bytes)
            ]
        except OSError as error:
            raise self._lost(error) from error
        received = b"".join(pieces)
        return received.translate(REVERSED) if self._reverses else received

    def pulse(self) -> None:
        """Have the controller pull CSB low for a moment; `LostError` if the bus is gone.

        The spidev module sends no empty transfer, so the driver is asked for it.
        """
        import fcntl

        nothing = _TRANSFER.pack(0, 0, 0, 0, WAKE_PULSE_US, 0, 0, 0, 0, 0, 0)
        try:
            fcntl.ioctl(self._spi.fileno(), _SPI_IOC_MESSAGE_1, nothing)
        except (OSError, ValueError) as error:  # ValueError: it was closed
            raise self._lost(error) from error

    def close(self) -> None:
        """Close the device; twice is harmless."""
        self._spi.close()

    def _lost(self, error: OSError | ValueError) -> LostError:
        return LostError(f"{self._address} is gone: the SPI bus fails ({error})")


def _longest_message() -> int:
    """Return how many bytes the module, and the driver's buffer, take at once."""
    with suppress(OSError, ValueError):
        room = min(MODULE_MAX_BYTES, int(BUFFER_FILE.read_text(encoding="ascii")))
        return max(1, room - room % DMA_ALIGNMENT if room > DMA_ALIGNMENT else room)
    return MODULE_MAX_BYTES


def open_bus(bus: int, device: int, settings: BoardSettings, address: str) -> SpiBus:
    """Open `/dev/spidev<bus>.<device>`; nothing is clocked.

    Raises:
        NoSuchPortError: the spidev module is missing, there is no such device, or its controller
            refuses the settings.
        PortBusyError, PortPermissionError: it does not open.
    """
    try:
        import spidev
    except ImportError as error:
        raise NoSuchPortError(
            f"{address}: SPI needs the Python module spidev ({error})",
            hint=install_hint("spi"),
        ) from error
    path = f"/dev/spidev{bus}.{device}"
    spi = spidev.SpiDev()
    with ExitStack() as undo:
        undo.callback(spi.close)
        try:
            spi.open(bus, device)
        except OSError as error:
            raise _open_error(path, address, error) from error
        os.set_inheritable(spi.fileno(), False)  # the module opens it for all our children
        try:
            reverses = _configure(spi, settings)
        except OSError as error:
            raise NoSuchPortError(
                f"{address}: the controller of {path} refuses mode {settings.mode} ({error})",
                hint="choose another with mode=",
            ) from error
        undo.pop_all()
    return SpiBus(spi, address, hz=settings.hz, reverses=reverses)


def _configure(spi: Any, settings: BoardSettings) -> bool:
    """Set what the device may keep of another program; tell if bits are to be reversed here.

    Raises:
        OSError: the controller refuses the mode.
    """
    spi.mode = settings.mode
    spi.max_speed_hz = settings.hz
    spi.bits_per_word = BITS_PER_WORD
    # Some kernels say that a chip select on a GPIO is active high when it is not, and insist.
    _switch(spi, "cshigh", False)
    # Where this is refused, the controller moves its own chip select, and nothing hangs on it.
    _switch(spi, "no_cs", settings.select is not None)
    for name in ("loop", "threewire"):
        _switch(spi, name, False)
    return not _switch(spi, "lsbfirst", settings.lsb_first) and settings.lsb_first


def _switch(spi: Any, name: str, on: bool) -> bool:
    """Set a bit of the mode, and tell if the controller does it so."""
    if getattr(spi, name) != on:
        with suppress(OSError, ValueError):
            setattr(spi, name, on)
    return bool(getattr(spi, name) == on)


def _open_error(path: str, address: str, error: OSError) -> UmiError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return PortPermissionError(
            f"{address}: this user may not open {path}",
            hint="join the group that owns it (sudo usermod -aG spi $USER), then log in again",
        )
    if error.errno == errno.EBUSY:
        return PortBusyError(f"{address}: another program holds {path}")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return NoSuchPortError(
        f"{address}: {path} cannot be opened ({reason})",
        hint="switch SPI on (on a Raspberry Pi: dtparam=spi=on), then list the buses: umi ports",
    )
