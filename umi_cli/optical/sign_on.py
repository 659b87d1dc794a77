"""How a reader brings a meter to speak UMI: the sign-on as a state machine without I/O or clock.

Source: protocol 8, EN 62056-21. Each step is a generator that yields until when it wants to listen
and is handed what came; `step` drives it. It says what to do in `actions`, in order.

Request and identification at 300 baud 7E1, option select, change of rate, RESYNC: a right CRC at
the new rate proves the switch.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Literal

from umi_cli.errors import MalformedError
from umi_cli.link.frame import Frame, FrameType
from umi_cli.link.stream import DEFAULT_IDLE_GAP_S, FrameReceiver
from umi_cli.optical.characters import (
    SIGN_ON_BAUD,
    SIGN_ON_SETTINGS,
    LineSettings,
    count_bad_parity,
    with_parity,
    without_parity,
)
from umi_cli.optical.evidence import Evidence, is_nak, is_readout
from umi_cli.optical.messages import (
    BREAK,
    MAX_LINE,
    RATES,
    WAKE_UP,
    Identification,
    OptionSelect,
    request,
)

REACTION_S = 1.5  # the meter's longest reaction time
SLACK_S = 0.5  # what an adapter, its driver and a busy host add to it
CHARACTER_GAP_S = 1.5  # the longest pause between the characters of a message
PAUSE_S = 0.25  # our reaction before the option select: 200 ms at least
FAST_PAUSE_S = 0.03  # 20 ms at least, to a meter that promises as much
QUIET_S = 1.6  # silence between the wake-up and the request
IDLE_S = 2.0  # silence before another try
MAX_IDLE_S = 20.0  # for a meter that does not stop talking
BREAK_PAUSE_S = 0.15  # before a break: a pause ends a frame, of which it would be a part
SETTLE_S = 0.02  # adapter and driver hold the last byte back that long
SILENT_ATTEMPTS = 3
SWITCH_DELAYS_MS = (0, 100, 250)  # tried after the profile's own
RESYNC_ATTEMPTS = 2  # one frame may be lost on the way

ParityMode = Literal["soft", "hard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOnProfile:
    """How the meter wants to be signed on to, and what the reader chooses."""

    v: str = "0"
    y: str = "6"
    wakeup: bool = False
    """NUL characters first, for a battery meter."""
    switch_delay_ms: int = 50
    """Silence between the option select and the change of rate."""
    baud: int | None = None
    """300 to stay there; what the meter offers if None."""
    parity: ParityMode = "soft"
    """Who makes 7E1: we, on a port that stays at 8N1, or the port."""
    device_address: str = ""
    """Which device is asked; any if empty."""


@dataclass(frozen=True, slots=True)
class Send:
    """Put these bytes on the line."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SetLine:
    """Change the port's settings, without closing it."""

    settings: LineSettings


Action = Send | SetLine
_Steps = Generator[float, bytes, None]
_Listening = Generator[float, bytes, bytes]


@dataclass(slots=True, kw_only=True)
class SignOn:
    """One sign-on. Begin with `step(b"", now)`, and go on until `is_over`."""

    profile: SignOnProfile
    evidence: Evidence = field(default_factory=Evidence)
    identification: Identification | None = None
    """What the meter said, once it speaks UMI."""
    settings: LineSettings = SIGN_ON_SETTINGS
    """What the port is set to."""
    is_over: bool = False
    deadline: float = 0.0
    """When `step` wants to be called at the latest: seconds, monotonic."""
    _actions: list[Action] = field(default_factory=list)
    _now: float = 0.0
    _steps: _Steps | None = None

    @property
    def has_succeeded(self) -> bool:
        """Tell whether the meter speaks UMI at the rate of `settings`."""
        return self.identification is not None

    def actions(self) -> list[Action]:
        """Return what is to be done now, in order; it is forgotten here."""
        actions, self._actions = self._actions, []
        return actions

    def step(self, data: bytes, now: float) -> None:
        """Take what arrived until `now`, or nothing when the deadline has come."""
        self._now = now
        try:
            if self._steps is None:
                self._steps = self._run()
                self.deadline = next(self._steps)
            else:
                self.deadline = self._steps.send(data)
        except StopIteration:
            self.is_over = True

    def _run(self) -> _Steps:
        delays_ms = list(dict.fromkeys((self.profile.switch_delay_ms, *SWITCH_DELAYS_MS)))
        silent_attempts_left = SILENT_ATTEMPTS
        self.evidence.asked = self.profile.device_address
        self._set(SIGN_ON_SETTINGS)
        while True:
            meter = yield from self._identify()
            if meter is None:
                silent_attempts_left -= 1
                self.evidence.unanswered += self.evidence.identification is not None
            else:
                self.evidence.identification = meter
                self.evidence.unanswered = 0
                yield from self._switch(meter, delays_ms.pop(0))
                if self.has_succeeded:
                    return
                if self._is_hopeless():
                    delays_ms.clear()
            yield from self._end_sessions()
            if not silent_attempts_left or not delays_ms:
                return
            yield from self._come_to_rest()

    def _is_hopeless(self) -> bool:
        """Tell whether another switch delay would change nothing."""
        answered = self.evidence.answered
        is_unsaid = not self.evidence.delays_ms
        return is_unsaid or is_readout(answered) or is_nak(answered)

    def _identify(self) -> Generator[float, bytes, Identification | None]:
        """Ask who is there; return the answer, or None."""
        if self.profile.wakeup and self.evidence.identification is None:
            heard = yield from self._send(WAKE_UP)
            heard += yield from self._listen(self._now + QUIET_S)
            self.evidence.heard += heard.strip(b"\0")
        heard = yield from self._send(self._characters(request(self.profile.device_address)))
        heard = self._raw((yield from self._read_line(heard)))
        text = without_parity(heard)
        start = max(text.rfind(b"/"), 0)  # what stands before it is noise, whatever its parity
        end = text.find(b"\n", start) + 1
        if not count_bad_parity(heard[start:end]):
            try:
                return Identification.decode(text[start:end])
            except MalformedError:
                pass  # what it is instead, the evidence will tell
        self.evidence.heard += heard
        return None

    def _read_line(self, line: bytes) -> _Listening:
        """Return what comes up to the end of a line, or until nothing more comes."""
        until = self._now + REACTION_S + SLACK_S
        while b"\n" not in without_parity(line) and len(line) < 2 * MAX_LINE:
            data = yield until
            line += data
            if data:
                until = self._now + CHARACTER_GAP_S
            elif self._now >= until:
                break
        return line

    def _switch(self, meter: Identification, delay_ms: int) -> _Steps:
        """Select UMI, change the rate, and have the meter prove that it followed."""
        pause_s = FAST_PAUSE_S if meter.is_fast else PAUSE_S
        heard = yield from self._listen(self._now + pause_s)
        z = "0" if self.profile.baud == SIGN_ON_BAUD else meter.rate
        select = OptionSelect(v=self.profile.v, z=z, y=self.profile.y)
        self.evidence.select = f"V/Y = {select.v}/{select.y}"
        if select.z not in RATES:
            return
        self.evidence.delays_ms.append(delay_ms)
        # Waited out by computation: a drain call returns early on USB adapters.
        answered = heard + (yield from self._send(self._characters(select.encode())))
        answered += yield from self._listen(self._now + delay_ms / 1000)
        answered = self._raw(answered)
        self._set(LineSettings(baud=RATES[z]))
        # choice: protocol 8 gives pauses for the sign-on alone; link frames follow at once.
        for _ in range(RESYNC_ATTEMPTS):
            heard = yield from self._resync()
            answered += heard
            if _holds_resync_response(heard, self._now):
                self.identification = meter
                return
        self.evidence.answered += answered

    def _resync(self) -> _Listening:
        """Send RESYNC; return what answers it."""
        frame = Frame(sequence=0, frame_type=FrameType.RESYNC, destination=0, source=0).encode()
        heard = yield from self._send(frame)
        until = self._now + REACTION_S + SLACK_S + len(frame) * self.settings.character_s
        while self._now < until and not _holds_resync_response(heard, self._now):
            heard += yield until
        return heard

    def _end_sessions(self) -> _Steps:
        """End whatever session may be open, at any rate, and go back to 300 baud."""
        for baud in sorted(RATES.values(), reverse=True):
            self._set(LineSettings(baud=baud))
            self._note((yield from self._listen(self._now + BREAK_PAUSE_S)))
            self._note((yield from self._send(with_parity(BREAK))))
            self._note((yield from self._listen(self._now + SETTLE_S)))
        self._set(SIGN_ON_SETTINGS)

    def _come_to_rest(self) -> _Steps:
        """Wait until the line has been silent for long enough to try again."""
        end = self._now + MAX_IDLE_S
        until = self._now + IDLE_S
        while self._now < min(until, end):
            data = yield until
            self._note(self._raw(data))
            if data:
                until = self._now + IDLE_S

    def _note(self, heard: bytes) -> None:
        """Keep what was heard between two attempts."""
        if self.evidence.identification is None:
            self.evidence.heard += heard
        else:
            self.evidence.answered += heard

    def _listen(self, until: float) -> _Listening:
        """Return all that comes until a moment."""
        heard = b""
        while self._now < until:
            heard += yield until
        return heard

    def _send(self, data: bytes) -> _Listening:
        """Send, and wait until the last bit is on the line; return what came until then.

        A host that was busy may see the answer only together with the end of the wait.
        """
        self._actions.append(Send(data))
        return (yield from self._listen(self._now + len(data) * self.settings.character_s))

    def _characters(self, text: bytes) -> bytes:
        return text if self.profile.parity == "hard" else with_parity(text)

    def _raw(self, heard: bytes) -> bytes:
        """Return what was heard at 300 baud with its parity in bit 7, as evidence has it."""
        return with_parity(heard) if self.profile.parity == "hard" else heard

    def _set(self, settings: LineSettings) -> None:
        is_soft = self.profile.parity == "soft"
        self.settings = LineSettings(baud=settings.baud) if is_soft else settings
        self._actions.append(SetLine(self.settings))


def _holds_resync_response(heard: bytes, now: float) -> bool:
    receiver = FrameReceiver()
    frames = receiver.receive_data(heard, now) + receiver.on_timer(now + DEFAULT_IDLE_GAP_S)
    return any(frame.frame_type == FrameType.RESYNC_RESPONSE for frame in frames)
