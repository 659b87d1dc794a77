"""How a device is kept in touch with for hours: what is lost is connected again, and told.

One session does for everything while it lasts; when it is lost, another one is begun at the next
attempt. Time is counted over all of them, by the clock of each transport.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from umi_cli.device.meter import Meter
from umi_cli.device.schedule import INSTANT_S
from umi_cli.errors import (
    LinkError,
    LostError,
    MalformedError,
    NoAnswerError,
    NoSuchPortError,
    PortBusyError,
    RefusedError,
    SignatureError,
    SignOnError,
    UmiError,
)
from umi_cli.transports.base import Clock, SkippingClock, SystemClock
from umi_cli.types import UmiId

_PASSING = (
    LinkError,
    LostError,
    MalformedError,
    NoAnswerError,
    NoSuchPortError,  # a server that is restarted, a probe that is off for a moment
    PortBusyError,
    SignatureError,
    SignOnError,
)


class AnotherDeviceError(LostError):
    """Another device answers at the address than before."""

    code = "another-device"
    default_hint = "check the address: the meter may have got another one"


class LastingConnection:
    """A device that is connected when it is needed, and again when it was lost.

    Args:
        connect: opens the device; raises `UmiError`.
        tell: told when the device is lost, and when it is there again.
        max_failures: how many failures in a row are one too many.
        is_watched: a person looks on, so that a clock which skips waits is to wait as well.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Meter]],
        tell: Callable[[str], None],
        *,
        max_failures: int,
        is_watched: bool = False,
    ) -> None:
        self._connect = connect
        self._tell = tell
        self._max_failures = max_failures
        self._is_watched = is_watched
        self._failures = 0
        self._opened: AbstractContextManager[Meter] | None = None
        self._meter: Meter | None = None
        self._device_id: UmiId | None = None
        self._lost_s: float | None = None
        self._clock: Clock = SystemClock()
        self._counted_s = 0.0
        self._started_s = self._clock.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close(error)

    @property
    def now_s(self) -> float:
        """Return how many seconds it has been used."""
        return self._counted_s + self._clock.monotonic() - self._started_s

    @property
    def utc_s(self) -> float:
        """Return the Unix time by the transport's clock, in seconds."""
        return self._clock.utc()

    @property
    def device_id(self) -> UmiId | None:
        """Return who the device is, as far as it was asked."""
        return self._device_id

    def meter(self) -> Meter:
        """Return the device, connected.

        Raises:
            UmiError: it cannot be connected, or is another one than before.
        """
        if self._meter is None:
            opened = self._connect()
            meter = opened.__enter__()
            self._opened, self._meter = opened, meter
            self._go_by(meter.transport.clock)
        if self._lost_s is not None:
            self._check_identity(self._meter)
            self._tell(f"the device is there again, {self.now_s - self._lost_s:.0f} s later")
            self._lost_s = None
        return self._meter

    def remember_identity(self) -> None:
        """Ask the device who it is, once, so that another one is not taken for it later."""
        if self._device_id is None:
            self._device_id = self.meter().device_id

    def succeeded(self) -> None:
        """Note that an attempt came to something."""
        self._failures = 0

    def failed(self, error: UmiError) -> None:
        """Note that an attempt failed; a connection that may be broken is closed.

        Raises:
            UmiError: the error, if it will not pass by itself, or there were too many in a row.
        """
        self._failures += 1
        cause = getattr(error, "cause", error)  # of what came in part
        will_pass = isinstance(cause, (*_PASSING, RefusedError))
        if not will_pass or isinstance(cause, AnotherDeviceError):
            raise error
        if self._failures >= self._max_failures:
            if self._lost_s is None:
                raise error
            raise LostError(
                f"the device was lost, and does not come back: {error}", hint=error.hint
            ) from error
        if not isinstance(cause, RefusedError):
            self._lose(error)

    def wait(self, until_s: float) -> None:
        """Wait until a moment (as `now_s` counts), and take in what the device sends meanwhile."""
        while (left_s := until_s - self.now_s) > INSTANT_S:
            if self._meter is None:
                self._clock.sleep(left_s)
                continue
            try:
                self._meter.session.listen(left_s)
            except LostError as error:
                self._lose(error)

    def _check_identity(self, meter: Meter) -> None:
        if self._device_id is not None and meter.device_id != self._device_id:
            raise AnotherDeviceError(
                f"another device answers now: {meter.device_id}, and not {self._device_id}"
            )

    def _go_by(self, clock: Clock) -> None:
        """Count the time by another clock from now on."""
        self._counted_s = self.now_s
        if isinstance(clock, SkippingClock):
            clock.is_watched = self._is_watched
        self._clock = clock
        self._started_s = clock.monotonic()

    def _lose(self, error: UmiError) -> None:
        if self._lost_s is None:
            self._lost_s = self.now_s
            self._tell(f"the device was lost: {error}")
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        """Close the connection, if there is one, because of an error or without one."""
        opened, self._opened, self._meter = self._opened, None, None
        if opened is not None:
            kind = None if error is None else type(error)
            opened.__exit__(kind, error, None if error is None else error.__traceback__)
