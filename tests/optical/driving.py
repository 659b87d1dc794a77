"""A sign-on driven without I/O: the time, what it does and when, a meter that is a function."""

from collections.abc import Callable
from itertools import pairwise

from umi_cli.link.frame import Frame, FrameType
from umi_cli.optical.characters import SIGN_ON_SETTINGS, LineSettings, with_parity
from umi_cli.optical.messages import BREAK, NAK, RATES, Identification, OptionSelect, request
from umi_cli.optical.sign_on import Action, Send, SetLine, SignOn, SignOnProfile

START_S = 1000.0
EI4 = Identification(manufacturer="ELS", rate="5", ident="EI4", escapes="2")
IDENTIFIED = with_parity(EI4.encode())
REQUEST = with_parity(request())
SELECT = with_parity(OptionSelect(v="0", z="5", y="6").encode())
BROKEN_OFF = with_parity(BREAK)
REFUSED = with_parity(NAK)
RESYNC = bytes.fromhex("01040000fe5b")  # vector crc-resync
RESYNC_RESPONSE = Frame(
    sequence=0, frame_type=FrameType.RESYNC_RESPONSE, destination=5, source=0
).encode()
READOUT = with_parity(b"\x02F.F(00)\r\n!\r\n\x03")
IN_300 = SetLine(LineSettings(baud=300))
BREAKS = [
    action
    for baud in sorted(RATES.values(), reverse=True)
    for action in (SetLine(LineSettings(baud=baud)), Send(BROKEN_OFF))
]

Answer = Callable[[bytes, LineSettings], bytes]
"""What a meter says to what it hears, at what the reader's port is set to."""


class Drive:
    """A sign-on, and the time: 0 at the first step."""

    def __init__(self, profile: SignOnProfile | None = None) -> None:
        self.machine = SignOn(profile=profile or SignOnProfile())
        self.now = 0.0
        self.steps = 0
        self.done: list[tuple[float, Action]] = []
        """What it did, and when, in milliseconds."""
        self._step(b"")

    def _step(self, data: bytes) -> list[Action]:
        self.steps += 1
        self.machine.step(data, START_S + self.now)
        actions = self.machine.actions()
        assert self.machine.actions() == []
        self.done += [(round(self.now * 1000, 1), action) for action in actions]
        return actions

    @property
    def deadline(self) -> float:
        return self.machine.deadline - START_S

    def hear(self, data: bytes, after_s: float = 0.01) -> list[Action]:
        """Have bytes arrive after a while; return what it does."""
        self.now += after_s
        return self._step(data)

    def wait(self) -> list[Action]:
        """Let the time pass, in silence, until it does something; return what."""
        while not self.machine.is_over:
            self.now = max(self.now, self.deadline)
            if actions := self._step(b""):
                return actions
        return []

    def asked(self) -> None:
        """Go on until the request is out."""
        while self.done[-1][1] != Send(REQUEST):
            self.wait()
        self.now = self.deadline
        assert self._step(b"") == []

    def run(self, answer: Answer, reaction_s: float = 0.3) -> None:
        """Go on to the end with a meter that answers whatever it hears."""
        settings = SIGN_ON_SETTINGS
        seen = 0
        arrivals: list[tuple[float, bytes]] = []
        while not self.machine.is_over:
            for at_ms, action in self.done[seen:]:
                if isinstance(action, SetLine):
                    settings = action.settings
                elif reply := answer(action.data, settings):
                    sent_s = len(action.data) * settings.character_s
                    arrivals.append((at_ms / 1000 + sent_s + reaction_s, reply))
            seen = len(self.done)
            arrives = min(arrivals, default=None)
            if arrives is None or arrives[0] > self.deadline:
                self.now = max(self.now, self.deadline)
                self._step(b"")
            else:
                arrivals.remove(arrives)
                self.now = max(self.now, arrives[0])
                self._step(arrives[1])

    @property
    def sent(self) -> list[bytes]:
        """Return what was sent, in order."""
        return [action.data for _, action in self.done if isinstance(action, Send)]

    @property
    def delays_ms(self) -> list[float]:
        """Return how long after each option select the rate was changed."""
        return [
            round(at_ms - before_ms - 1000 * len(action.data) * SIGN_ON_SETTINGS.character_s, 1)
            for (before_ms, action), (at_ms, _) in pairwise(self.done)
            if isinstance(action, Send) and action.data[0] == SELECT[0]
        ]


def silent(_: bytes, __: LineSettings) -> bytes:
    """Say nothing."""
    return b""


def a_meter(
    identified: bytes = IDENTIFIED, selected: bytes = b"", resynced: bytes = RESYNC_RESPONSE
) -> Answer:
    """Return what says the same to each message, whatever the rate."""

    def answer(data: bytes, _: LineSettings) -> bytes:
        if data == REQUEST:
            return identified
        if data == RESYNC:
            return resynced
        return selected if data[0] == SELECT[0] else b""

    return answer
