"""One end of a link: bytes and time in, events and frames out (protocol 2).

No I/O and no clock: hand over what arrived with `receive_data`, send what `frames_to_send` gives,
call `on_timer` when `deadline` has come. Client and virtual meter run the same code.
"""

from umi_cli.link.commander import Commander
from umi_cli.link.events import (
    Event,
    ExchangeFailed,
    LinkAddresses,
    LinkSettings,
    Resynchronised,
)
from umi_cli.link.frame import KNOWN_TYPES, VERSION, Frame, FrameType, LinkErrorCode
from umi_cli.link.responder import Responder
from umi_cli.link.stream import FrameReceiver

_COMMANDS = (
    FrameType.SIMPLE,
    FrameType.FRAGMENT,
    FrameType.RESYNC,
    FrameType.FRAGMENT_RESPONSE,  # what calls for the next fragment of a response of ours
)


class LinkConnection:
    """One end of a link, commander and responder at once.

    Args:
        settings: timeouts, limits, and whether the peer may command us.
        addresses: what is known before the first RESYNC. A commander starts at 0/0; a Host has
            its own address and the one it gives to a commander without.
    """

    def __init__(
        self, settings: LinkSettings | None = None, addresses: LinkAddresses | None = None
    ) -> None:
        self.settings = settings or LinkSettings()
        self.addresses = addresses or LinkAddresses()
        self.frames_received = 0
        self.heard_from: set[int] = set()
        """Link addresses that frames came from; an ERROR does not count."""
        self._outbox: list[bytes] = []
        self._receiver = FrameReceiver(self.settings.idle_gap_s)
        self._commander = Commander(self.settings, self.addresses, self._outbox)
        self._responders: dict[int, Responder] = {}
        """By the address of the commander: one exchange is open at a time per pair."""
        self._answering = self._responder_of(self.addresses.peer)

    @property
    def noise_bytes(self) -> int:
        """Return how many bytes came that were part of no frame."""
        return self._receiver.noise_bytes

    @property
    def is_idle(self) -> bool:
        """Tell whether no exchange is open, in either direction."""
        return self._commander.is_idle and all(each.is_idle for each in self._responders.values())

    @property
    def deadline(self) -> float | None:
        """Return when `on_timer` wants to be called, if at all: seconds, monotonic."""
        times = (self._commander.deadline, self._receiver.deadline)
        return min((time for time in times if time is not None), default=None)

    def command(self, packet: bytes, now: float, destination: int | None = None) -> None:
        """Send a packet (1..65536 bytes) as a command; `RuntimeError` if one is under way."""
        self._commander.command(packet, now, destination)

    def respond(
        self, packet: bytes, *, is_busy: bool = False, commander: int | None = None
    ) -> None:
        """Answer a command.

        Args:
            packet: the response.
            is_busy: we are still at work on it.
            commander: the source of the command; that of the one reported last if None.
        """
        self._asked_by(commander).respond(packet, is_busy=is_busy)

    def refuse(self, code: LinkErrorCode, *, commander: int | None = None) -> None:
        """Answer a command with a link ERROR; `commander` as for `respond`."""
        self._asked_by(commander).refuse(code)

    def ignore(self, *, commander: int | None = None) -> None:
        """Leave a command without an answer; `commander` as for `respond`."""
        self._asked_by(commander).ignore()

    def abort(self, reason: str) -> ExchangeFailed | None:
        """End our own exchange, if one is open; return how it ended."""
        return self._commander.abort(reason)

    def reset(self) -> None:
        """Forget every exchange, as after a power cut; the next command re-syncs."""
        self._receiver.drop()
        self._commander.drop()
        for responder in self._responders.values():
            responder.drop()
        self._outbox.clear()

    def frames_to_send(self) -> list[bytes]:
        """Return the frames that are to go out now, in order; they are forgotten here."""
        frames = self._outbox[:]
        self._outbox.clear()
        return frames

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes that arrived at `now`; return what happened."""
        return self._on_frames(self._receiver.receive_data(data, now), now)

    def on_timer(self, now: float) -> list[Event]:
        """Do what is due at `now`; return what happened."""
        events = self._on_frames(self._receiver.on_timer(now), now)
        return events + self._commander.on_timer(now)

    def _on_frames(self, frames: list[Frame], now: float) -> list[Event]:
        self.frames_received += len(frames)
        self.heard_from |= {each.source for each in frames if each.frame_type != FrameType.ERROR}
        return [event for frame in frames for event in self._on_frame(frame, now)]

    def _on_frame(self, frame: Frame, now: float) -> list[Event]:
        if self._commander.expects(frame) and frame.version == VERSION:
            if frame.frame_type == FrameType.RESYNC_RESPONSE:
                # The peer's sequences start over with ours.
                self._responder_of(self.addresses.peer).drop()
            return self._commander.on_frame(frame, now)
        if not self.settings.accepts_commands:
            return []
        responder = self._responder_of(self._commander_address(frame.source))
        if frame.version != VERSION:
            responder.refuse_frame(frame, LinkErrorCode.UNKNOWN_PROTOCOL_VERSION)
            return []
        if frame.frame_type not in KNOWN_TYPES:
            responder.refuse_frame(frame, LinkErrorCode.UNKNOWN_FRAME_TYPE)
            return []
        if frame.frame_type not in _COMMANDS:
            return []  # a late or stray answer
        events = responder.on_frame(frame)
        if events:
            self._answering = responder
        if Resynchronised() in events and responder is self._responder_of(self.addresses.peer):
            ended = self._commander.abort("the peer started over")
            events += [ended] if ended else []
            self._commander.adopt_sync()
        return events

    def _asked_by(self, commander: int | None) -> Responder:
        if commander is None:
            return self._answering
        return self._responder_of(self._commander_address(commander))

    def _commander_address(self, source: int) -> int:
        """Return who commands: a commander that has no address yet is given one by RESYNC."""
        is_nobody = source == 0 and not self.settings.takes_address
        return self.addresses.peer if is_nobody else source

    def _responder_of(self, address: int) -> Responder:
        """Return our half towards a commander."""
        if address not in self._responders:
            self._responders[address] = Responder(self.settings, self.addresses, self._outbox)
        return self._responders[address]
