"""Link frames straight on a serial port, or on anything that pyserial opens by URL."""

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
    UmiError,
)
from umi_cli.link.stream import DEFAULT_IDLE_GAP_S
from umi_cli.transports.base import Clock, SystemClock

BITS_PER_BYTE = 10  # 8N1: start, eight, stop
POLL_S = 0.02  # a read ends after that long; to set it anew would configure the port anew


class SerialTransport:
    """A port on an open pyserial object, which it closes.

    Args:
        port: the pyserial object.
        address: what the user called it.
    """

    timeout_s = 2.0
    idle_gap_s = DEFAULT_IDLE_GAP_S

    def __init__(self, port: Any, address: str) -> None:
        self.address = address
        self.clock: Clock = SystemClock()
        self.byte_time_s = BITS_PER_BYTE / port.baudrate
        self._port = port
        self._port.timeout = POLL_S

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_serial(device: str, baud: int, address: str) -> SerialTransport:
    """Open a serial port by path or pyserial URL, for us alone.

    Raises:
        NoSuchPortError: there is none, or it does not take the rate.
        PortBusyError: another program holds it.
        PortPermissionError: this user may not open it.
    """
    options: dict[str, Any] = {} if "://" in device else {"exclusive": True}
    try:
        port = serial.serial_for_url(device, baudrate=baud, **options)
    except (OSError, ValueError, KeyError) as error:  # KeyError: an option of a URL
        raise _open_error(device, baud, address, error) from error
    return SerialTransport(port, address)


def _open_error(device: str, baud: int, address: str, error: Exception) -> UmiError:
    number = getattr(error, "errno", None)
    text = str(error)
    if number in (errno.EACCES, errno.EPERM):
        return PortPermissionError(
            f"{address}: this user may not open {device}",
            hint="join the group that owns it (sudo usermod -aG dialout $USER), then log in again",
        )
    if number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "exclusively lock" in text:
        return PortBusyError(f"{address}: another program holds {device}")
    if not isinstance(error, OSError):
        return NoSuchPortError(f"{address}: {device} does not open at {baud} baud ({text})")
    reason = os.strerror(number) if number else text
    return NoSuchPortError(f"{address}: {device} cannot be opened ({reason})")
