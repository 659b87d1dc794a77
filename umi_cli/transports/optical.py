"""An optical probe on a serial port: sign on, speak, sign off, and sign on again (protocol 8)."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from umi_cli.errors import LostError, SignOnError, UmiError
from umi_cli.link.frame import Direction
from umi_cli.optical.characters import SIGN_ON_BAUD, with_parity
from umi_cli.optical.echo import EchoCanceller, EchoMode
from umi_cli.optical.evidence import diagnose
from umi_cli.optical.messages import BREAK, Identification
from umi_cli.optical.sign_on import (
    BREAK_PAUSE_S,
    REACTION_S,
    SETTLE_S,
    SLACK_S,
    Send,
    SignOn,
    SignOnProfile,
)
from umi_cli.transports.base import Clock, LinePort, Notify, tell_nobody
from umi_cli.transports.serial import SerialPort, open_port
from umi_cli.transports.undisturbed import undisturbed

Observer = Callable[[Direction, bytes], None]
IDLE_GAP_S = 0.5  # choice: characters may pause for 1.5 s, adapters and hosts do for less
RECOVERY_S = 30  # the break, and a sign-on whose every message is repeated
# choice: how much of an array is asked for at once, which is what a lifted probe costs: 5 s at 9600
# baud. Less than a frame or four would spend the line on questions.
CHUNK_S = 5.0
CHUNK_BYTES = (1024, 4096)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpticalSettings:
    """What is known of head and meter before the first character."""

    profile: SignOnProfile = field(default_factory=SignOnProfile)
    echo: EchoMode = "auto"
    accepts: Callable[[str], bool] = lambda _: True
    """Whether these control characters are for a meter with that XXX and IDENT."""


class OpticalTransport:
    """A port whose meter is signed on to, and signed off from when it closes.

    Args:
        port: the serial port, which it closes.
        settings: how to sign on.
        address: what the user called it.
        observer: told every piece of bytes of the sign-on, `"out"` or `"in"`.
        notify: told when a meter that has fallen silent is signed on to again.

    Raises:
        UmiError: as `sign_on` does; the port is closed then.
    """

    timeout_s = REACTION_S + SLACK_S
    idle_gap_s = IDLE_GAP_S
    has_answered = True

    def __init__(
        self,
        port: LinePort,
        settings: OpticalSettings,
        address: str,
        observer: Observer | None = None,
        notify: Notify = tell_nobody,
    ) -> None:
        self.address = address
        self._notify = notify
        self._port = port
        self._settings = settings
        self._observer = observer or (lambda direction, data: None)
        self._echo = EchoCanceller(settings.echo)
        self._is_open = True
        self._is_signed_on = False
        self._has_session = False
        self.byte_time_s = 0.0
        self.identification: Identification | None = None
        """What the meter said of itself."""
        try:
            self.sign_on()
        finally:
            if not self._is_signed_on:
                self.close()

    @property
    def clock(self) -> Clock:
        """Return where the time comes from."""
        return self._port.clock

    @property
    def chunk_bytes(self) -> int | None:
        """Return how much of an array to ask for at once."""
        least, most = CHUNK_BYTES
        return min(max(least, int(CHUNK_S / self.byte_time_s)), most)

    @property
    def echo(self) -> EchoCanceller:
        """Return what is known of the head's echo."""
        return self._echo

    def sign_on(self) -> None:
        """Bring the meter to speak UMI.

        Raises:
            NoAnswerError: nothing came, or only our own echo.
            SignOnError: something came, and it is not UMI; the sentence says what it is.
            LostError: the port is gone.
        """
        self._is_signed_on = False
        echoes_before = self._echo.echoes
        machine = SignOn(profile=self._settings.profile)
        try:
            self._drive(machine)
        finally:
            self.byte_time_s = machine.settings.character_s
            # Ctrl-C behind an option select leaves a session open, which would not hear the next
            # sign-on; a sign-on that came to nothing has ended whatever it began.
            has_begun = bool(machine.evidence.delays_ms)
            self._has_session = machine.has_succeeded or (has_begun and not machine.is_over)
        self.identification = machine.identification
        if self.identification is None:
            raise self._diagnosis(machine, has_echo=self._echo.echoes > echoes_before)
        self._is_signed_on = True

    def _drive(self, machine: SignOn) -> None:
        """Do what a sign-on says until it is over."""
        machine.step(b"", self.clock.monotonic())
        while not machine.is_over:
            for action in machine.actions():
                if isinstance(action, Send):
                    self.byte_time_s = machine.settings.character_s
                    self._observer("out", action.data)
                    self.send(action.data)
                else:
                    self._port.set_line(action.settings)
            data = self.receive(machine.deadline)
            if data:
                self._observer("in", data)
            machine.step(data, self.clock.monotonic())
            self._check_identity(machine.evidence.identification)

    def _check_identity(self, meter: Identification | None) -> None:
        """Send no option select of one manufacturer to another's meter."""
        if meter is not None and not self._settings.accepts(meter.manufacturer + meter.ident):
            raise SignOnError(
                f"{self.address}: {meter} answers, and the datasheet's profile is not for it",
                hint="name its --datasheet, or insist with its own characters: opto:DEVICE?v=0&y=6",
            )

    def _diagnosis(self, machine: SignOn, *, has_echo: bool) -> UmiError:
        error = diagnose(machine.evidence, has_echo=has_echo)
        return type(error)(f"{self.address}: {error}", hint=error.hint)

    def send(self, data: bytes) -> None:
        """Send all of the bytes; `LostError` if the port is gone."""
        self._echo.sent(data, self.clock.monotonic(), takes_s=len(data) * self.byte_time_s)
        self._port.send(data)

    def receive(self, deadline: float) -> bytes:
        """Return what is there and no echo; nothing at the deadline.

        Raises:
            LostError: the port is gone.
        """
        while raw := self._port.receive(deadline):
            if data := self._echo.received(raw, self.clock.monotonic()):
                return data
        return b""

    def recover(self) -> None:
        """Sign on again; raises as `sign_on` does."""
        self._notify(
            f"{self.address} has fallen silent: signing on again, which may take {RECOVERY_S} s"
        )
        self._sign_off()
        self.sign_on()

    def close(self) -> None:
        """Sign off and close the port; twice is harmless."""
        if self._is_open:
            # An order in the pause before the break would leave the meter in its session.
            with undisturbed():
                self._is_open = False
                try:
                    self._sign_off()
                finally:
                    self._port.close()

    def _sign_off(self) -> None:
        """End the meter's session with a break, and see it out: a port that closes drops bytes."""
        if not self._has_session:
            return
        self._has_session = False
        with suppress(LostError):
            self._pass_over(BREAK_PAUSE_S)
            self._observer("out", with_parity(BREAK))
            self.send(with_parity(BREAK))
            self._pass_over(len(BREAK) * self.byte_time_s + SETTLE_S)

    def _pass_over(self, pause_s: float) -> None:
        """Let time pass, and forget what comes meanwhile."""
        until = self.clock.monotonic() + pause_s
        while self.clock.monotonic() < until:
            self.receive(until)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_optical(
    device: str,
    settings: OpticalSettings,
    address: str,
    observer: Observer | None = None,
    notify: Notify = tell_nobody,
) -> OpticalTransport:
    """Open a probe by path or pyserial URL, for us alone, and sign on.

    Args:
        device: the path or URL.
        settings, address, observer, notify: as of `OpticalTransport`.

    Raises:
        NoSuchPortError, PortBusyError, PortPermissionError: the port does not open.
        UmiError: as `OpticalTransport.sign_on` does.
    """
    port = SerialPort(open_port(device, SIGN_ON_BAUD, address), address)
    port.lower_latency()
    return OpticalTransport(port, settings, address, observer, notify)
