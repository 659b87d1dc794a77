"""What passed between a reader and the meter that examined it: frames, commands, tricks, in order.

The recorder is the witness of `umi_cli.virtual.examiner`; a judge gets the conversation.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any, Literal

from umi_cli.application.codes import PacketType
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import Command, decode_command
from umi_cli.certify.case import NotApplicable
from umi_cli.certify.evidence import MAX_PIECES, Piece
from umi_cli.errors import MalformedError
from umi_cli.link.fragment import Assembler, Fragment, FragmentError
from umi_cli.link.frame import Frame, FrameType
from umi_cli.link.stream import FrameReceiver

Way = Literal["in", "out"]
"""In from the reader, out to it: the meter's view, whose part we play."""
_COMMAND_FRAMES = (FrameType.SIMPLE, FrameType.FRAGMENT, FrameType.RESYNC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A whole frame that passed."""

    order: int
    """Among all that happened: what is higher came later."""
    at_s: float
    """Since the conversation began."""
    line: int
    way: Way
    frame: Frame

    @property
    def is_response(self) -> bool:
        """Tell whether it carries the meter's response to a command, or its beginning."""
        return self.way == "out" and self.frame.frame_type in (
            FrameType.SIMPLE_RESPONSE,
            FrameType.FRAGMENT,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """The trick was played: what went out to the reader next is what came of it."""

    order: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command of the reader's that came whole; repeats of its frame are no further ones."""

    order: int
    at_s: float
    packet: bytes
    envelope: Envelope
    message: Message | None
    """None for a sealed packet that the meter could not open."""

    @property
    def is_sealed(self) -> bool:
        """Tell whether it was encrypted."""
        return self.envelope.encryption_scheme != 0

    @property
    def packet_type(self) -> int | None:
        """Return its packet type; None if it could not be opened."""
        return None if self.message is None else self.message.packet_type

    @property
    def command(self) -> Command[Any] | None:
        """Return what was asked for; None if nobody can tell."""
        if self.message is None:
            return None
        try:
            return decode_command(self.message.packet_type, self.message.payload)
        except MalformedError:
            return None

    @property
    def title(self) -> str:
        """Return it in words."""
        if self.message is None:
            return f"a sealed packet of {len(self.packet)} bytes"
        if (command := self.command) is not None:
            return command.title
        return f"packet type 0x{self.message.packet_type:02x}"

    def is_same_as(self, other: "Asked") -> bool:
        """Tell whether it asks for the same."""
        if self.message is None or other.message is None:
            return len(self.packet) == len(other.packet)
        own, theirs = self.message, other.message
        return (own.packet_type, own.payload) == (theirs.packet_type, theirs.payload)


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """All that a judge is told of a scenario."""

    frames: tuple[Passage, ...]
    strikes: tuple[Strike, ...]
    hang_ups: tuple[int, ...] = ()
    """When a reader hung up, in the order of all that happened."""
    opened: dict[bytes, Message] = field(default_factory=dict)
    """What the meter found in sealed packets."""
    timeout_s: float = 2.0
    """How long the reader waits for an answer, as its maker says."""
    attempts: int = 3
    """How often the reader sends a frame at most."""
    exit: int | None = None
    """What the reader's command ended with; below 0 by a signal; None if nobody can tell."""

    @property
    def played(self) -> tuple[Strike, ...]:
        """Return when the trick was played; `NotApplicable` if it never was."""
        if not self.strikes:
            raise NotApplicable("the reader did not do what the scenario is about")
        return self.strikes

    @property
    def strike(self) -> Strike:
        """Return when the trick was played first; `NotApplicable` if it never was."""
        return self.played[0]

    def sent(self, *, after: int = -1, before: float = math.inf) -> list[Passage]:
        """Return the reader's frames within some orders, both left out."""
        return [each for each in self.frames if each.way == "in" and after < each.order < before]

    def answered(self, *, after: int = -1, before: float = math.inf) -> list[Passage]:
        """Return the meter's frames within some orders, both left out."""
        return [each for each in self.frames if each.way == "out" and after < each.order < before]

    @property
    def struck(self) -> Passage:
        """Return the reader's frame that the trick answered."""
        return self.struck_by(self.strike)

    def struck_by(self, strike: Strike) -> Passage:
        """Return the reader's frame that a strike answered; `NotApplicable` if none is known."""
        before = self.sent(before=strike.order)
        if not before:
            raise NotApplicable("the reader did not send a whole frame before")
        return before[-1]

    @cached_property
    def asked(self) -> list[Asked]:
        """Return the commands of the reader, in order."""
        return list(_asked(self.sent(), self.opened))

    def asked_after(self, order: int) -> list[Asked]:
        """Return the commands that came later."""
        return [each for each in self.asked if each.order > order]

    @property
    def struck_command(self) -> Asked:
        """Return the command that the trick answered; `NotApplicable` if none is known."""
        return self.command_before(self.strike)

    def command_before(self, strike: Strike) -> Asked:
        """Return the last command before a strike; `NotApplicable` if there is none."""
        before = [each for each in self.asked if each.order < strike.order]
        if not before:
            raise NotApplicable("the reader did not send a command before")
        return before[-1]


def _asked(sent: list[Passage], opened: dict[bytes, Message]) -> Iterator[Asked]:
    """Yield the commands in the reader's frames; a frame that is repeated counts once."""
    assemblers: dict[int, Assembler] = {}
    last: dict[int, Frame] = {}
    for passage in sent:
        frame, line = passage.frame, passage.line
        if frame.frame_type not in _COMMAND_FRAMES or last.get(line) == frame:
            continue
        last[line] = frame
        packet = _packet_of(frame, assemblers.setdefault(line, Assembler()))
        if packet is not None and (asked := _taken_apart(packet, passage, opened)):
            yield asked


def _packet_of(frame: Frame, assembler: Assembler) -> bytes | None:
    """Return the packet that a frame is, or that it ends."""
    if frame.frame_type == FrameType.SIMPLE:
        return frame.payload
    if frame.frame_type == FrameType.RESYNC:
        assembler.drop()
        return None
    try:
        return assembler.take(Fragment.decode(frame.payload))
    except FragmentError:
        return None


def _taken_apart(packet: bytes, passage: Passage, opened: dict[bytes, Message]) -> Asked | None:
    try:
        envelope = Envelope.decode(packet)
        is_clear = envelope.encryption_scheme == 0
        message = Message.decode(packet[ENVELOPE_BYTES:]) if is_clear else opened.get(packet)
    except MalformedError:
        return None
    return Asked(
        order=passage.order,
        at_s=passage.at_s,
        packet=packet,
        envelope=envelope,
        message=message,
    )


def response_in(passage: Passage) -> Message | None:
    """Return the response in the clear that one of the meter's frames is; None if it is none."""
    if passage.frame.frame_type != FrameType.SIMPLE_RESPONSE or passage.frame.payload[:1] != b"\0":
        return None
    try:
        return Message.decode(passage.frame.payload[ENVELOPE_BYTES:])
    except MalformedError:
        return None


def is_wait(message: Message | None) -> bool:
    """Tell whether a response is a WAIT."""
    return message is not None and message.packet_type == PacketType.WAIT


class ReaderRecorder:
    """Keeps what passes between a reader and the meter in one scenario."""

    def __init__(self) -> None:
        self._order = count()
        self._begun_s: float | None = None
        self._frames: list[Passage] = []
        self._strikes: list[Strike] = []
        self._hang_ups: list[int] = []
        self._opened: dict[bytes, Message] = {}
        self._pieces: list[Piece] = []
        self._receivers: dict[tuple[int, Way], FrameReceiver] = {}
        self.open_lines: set[int] = set()
        """The lines on which the reader has said something and not hung up."""
        self.last_s: float | None = None
        """When something passed last, or a reader hung up: monotonic seconds."""
        self.left_out = 0
        """How many pieces were more than are kept."""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Return what crossed the line, in order."""
        return tuple(self._pieces)

    @property
    def duration_s(self) -> float:
        """Return how long the conversation was."""
        return 0.0 if self.last_s is None else self._since(self.last_s)

    def passed(self, line: int, way: Way, data: bytes, at_s: float) -> None:
        """Keep some bytes."""
        self.last_s = at_s
        self.open_lines.add(line)
        since_s = self._since(at_s)
        self._pieces.append(Piece(since_s, way, data, since_s))
        if len(self._pieces) > MAX_PIECES:
            del self._pieces[0]
            self.left_out += 1
        receiver = self._receivers.setdefault((line, way), FrameReceiver())
        self._keep(receiver.receive_data(data, at_s), line, way, since_s)

    def opened(self, packet: bytes, message: Message) -> None:
        """Keep what was in a sealed packet."""
        self._opened[packet] = message

    def struck(self, at_s: float) -> None:
        """Keep when the trick was played."""
        self._strikes.append(Strike(order=next(self._order), at_s=self._since(at_s)))

    def hung_up(self, line: int, at_s: float) -> None:
        """Keep when a reader hung up."""
        for way in ("in", "out"):  # what still stands in a buffer may be a frame behind noise
            receiver = self._receivers.get((line, way))
            if receiver is not None:
                self._keep(receiver.on_timer(math.inf), line, way, self._since(at_s))
        self.last_s = at_s if self.last_s is None else max(self.last_s, at_s)
        self._hang_ups.append(next(self._order))
        self.open_lines.discard(line)

    def conversation(
        self, *, timeout_s: float, attempts: int, exit: int | None = None
    ) -> Conversation:
        """Return all that was kept, for a judge."""
        return Conversation(
            frames=tuple(self._frames),
            strikes=tuple(self._strikes),
            hang_ups=tuple(self._hang_ups),
            opened=dict(self._opened),
            timeout_s=timeout_s,
            attempts=attempts,
            exit=exit,
        )

    def _since(self, at_s: float) -> float:
        if self._begun_s is None:
            self._begun_s = at_s
        return at_s - self._begun_s

    def _keep(self, frames: list[Frame], line: int, way: Way, at_s: float) -> None:
        self._frames += [
            Passage(order=next(self._order), at_s=at_s, line=line, way=way, frame=frame)
            for frame in frames
        ]
