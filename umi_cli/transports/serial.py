"""Serial ports by path or pyserial URL, and link frames straight on one."""

import contextlib
import errno
import os
from typing import Any, Self

import serial

from umi_cli.errors import (
    LostError,
    NoSuchPortError,
    PortBusyError,
    PortPermissionError,
    SignOnError,
    UmiError,
)
from umi_cli.link.stream import DEFAULT_IDLE_GAP_S
from umi_cli.optical.characters import LineSettings
from umi_cli.transports.base import Clock, Steady, SystemClock

POLL_S = 0.02  # a read ends after that long; to set it anew would configure the port anew
LAST_LOOK_S = 0.1  # settings fail alike on a port that refuses and on one that has just gone
try:
    from termios import error as TermiosError
except ImportError:  # no POSIX
    TermiosError = OSError  # type: ignore[misc, assignment]
_REFUSED = (ValueError, OSError, TermiosError)


class SerialPort:
    """An open pyserial object, which it closes.

    Args:
        port: the pyserial object.
        address: what the user called it.
    """

    def __init__(self, port: Any, address: str) -> None:
        self.address = address
        self.clock: Clock = SystemClock()
        self._port = port
        self._port.timeout = POLL_S

    def set_line(self, settings: LineSettings) -> None:
        """Change the settings of the open port, and make sure that the adapter took them.

        Raises:
            SignOnError: it did not.
            LostError: the port is gone.
        """
        wanted = {
            "baudrate": settings.baud,
            "bytesize": settings.bits,
            "parity": settings.parity,
        }
        try:
            self._port.apply_settings(wanted)
            taken_baud = _actual_baud(self._port)
        except _REFUSED as error:
            self.receive(self.clock.monotonic() + LAST_LOOK_S)  # a port that is gone says so here
            raise _refused(self.address, settings, str(error)) from error
        if taken_baud not in (None, settings.baud):
            raise _refused(self.address, settings, f"it went to {taken_baud} baud")

    def lower_latency(self) -> None:
        """Have the driver hand over each byte at once, where it can be told to (FTDI: 16 ms)."""
        with contextlib.suppress(AttributeError, NotImplementedError, *_REFUSED):
            self._port.set_low_latency_mode(True)

    def send(self, data: bytes) -> None:
        """Send all of the bytes; `LostError` if the port is gone."""
        try:
            self._port.write(data)
        except OSError as error:
            raise LostError(f"{self.address} is gone: {error}") from error

    def receive(self, deadline: float) -> bytes:
        """Return what is there; nothing at the deadline; `LostError` if the port is gone."""
        try:
            data: bytes = self._port.read(1)
            while not data and self.clock.monotonic() < deadline:
                data = self._port.read(1)
        except (OSError, TypeError) as error:
            # pyserial meets a port that was closed under it with a TypeError
            raise LostError(f"{self.address} is gone: {error}") from error
        if data:
            with contextlib.suppress(OSError, TypeError):  # the next call will say that it is gone
                data += self._port.read(self._port.in_waiting)
        return data

    def close(self) -> None:
        """Close the port."""
        self._port.close()


class SerialTransport(SerialPort, Steady):
    """Link frames straight on a serial port.

    Args:
        port: the pyserial object.
        address: what the user called it.
    """

    timeout_s = 2.0
    idle_gap_s = DEFAULT_IDLE_GAP_S

    def __init__(self, port: Any, address: str) -> None:
        super().__init__(port, address)
        self.byte_time_s = LineSettings(baud=port.baudrate).character_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_serial(device: str, baud: int, address: str) -> SerialTransport:
    """Open a serial port for link frames; raises as `open_port` does."""
    return SerialTransport(open_port(device, baud, address), address)


def open_port(device: str, baud: int, address: str) -> Any:
    """Open a serial port by path or pyserial URL, for us alone.

    Raises:
        NoSuchPortError: there is none, or it does not take the rate.
        PortBusyError: another program holds it.
        PortPermissionError: this user may not open it.
    """
    options: dict[str, Any] = {} if "://" in device else {"exclusive": True}
    try:
        return serial.serial_for_url(device, baudrate=baud, **options)
    except (OSError, ValueError, KeyError) as error:  # KeyError: an option of a URL
        raise _open_error(device, baud, address, error) from error


def _actual_baud(port: Any) -> int | None:
    """Return the rate that the driver reports; None where it cannot be asked, or has no name."""
    try:
        import termios

        speeds = {
            getattr(termios, f"B{baud}"): baud
            for baud in (300, 600, 1200, 2400, 4800, 9600, 19_200)
        }
        return speeds.get(termios.tcgetattr(port.fileno())[5])
    except (ImportError, AttributeError, serial.SerialException, OSError, ValueError):
        return None  # a URL has no descriptor
    except TermiosError as error:
        if error.args[0] == errno.ENOTTY:  # socket:// has one, and it is no terminal's
            return None
        raise


def _refused(address: str, settings: LineSettings, reason: str) -> SignOnError:
    hint = "take another adapter, or stay at 300 baud: opto:DEVICE?baud=300"
    if settings.parity != "N":
        hint = "leave the parity to umi: parity=soft, the default"
    return SignOnError(f"{address}: the adapter refuses {settings} ({reason})", hint=hint)


def _number_of(error: Exception) -> int | None:
    """Return what the system said; pyserial tells some of it in its own words alone."""
    for each in (error, error.__context__):
        if isinstance(each, OSError | TermiosError) and each.args:
            number = each.args[0]
            if isinstance(number, int):
                return number
    return None


def _open_error(device: str, baud: int, address: str, error: Exception) -> UmiError:
    number = _number_of(error)
    text = str(error)
    if number in (errno.EACCES, errno.EPERM):
        return PortPermissionError(
            f"{address}: this user may not open {device}",
            hint="join the group that owns it (sudo usermod -aG dialout $USER), then log in again",
        )
    if number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "exclusively lock" in text:
        return PortBusyError(f"{address}: another program holds {device}")
    if number == errno.ENOTTY:
        return NoSuchPortError(f"{address}: {device} is no serial port")
    if not isinstance(error, OSError):
        return NoSuchPortError(f"{address}: {device} does not open at {baud} baud ({text})")
    reason = os.strerror(number) if number else text
    return NoSuchPortError(f"{address}: {device} cannot be opened ({reason})")
