"""What passed on a port, as the records of a capture: frames, bytes that are none, plain packets.

It is told pieces of bytes and takes the time from the port's clock; frames are cut as our own link
layer cuts them. What is secret is hidden, unless everything is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from math import inf

from umi_cli.application.packet import Envelope, Message
from umi_cli.device.redaction import IsSecret, Redactor
from umi_cli.errors import MalformedError
from umi_cli.explain.summary import summarise
from umi_cli.link.fragment import FragmentType
from umi_cli.link.frame import (
    CRC_BYTES,
    HEADER_BYTES,
    KNOWN_TYPES,
    VERSION,
    Direction,
    Frame,
    FrameType,
)
from umi_cli.link.stream import DEFAULT_IDLE_GAP_S, FrameReceiver
from umi_cli.transports.base import Clock, SystemClock

ENCRYPTED = 2
MAX_NOISE_BYTES = 255  # of one record: as long as a frame
_LINE_ENDS = (b"\n", b"\x8a")  # without and with parity; a sign-on comes letter by letter


class Kind(Enum):
    """What the bytes of a record are."""

    FRAME = "frames"
    """A link frame, or what was once one and has a wrong CRC."""
    LINE = "line"
    """Bytes that are no frame: the sign-on of an optical port, noise."""
    PACKET = "plain"
    """An application packet whose message was decrypted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Something that passed."""

    kind: Kind
    direction: Direction
    utc_us: int
    """Unix time in microseconds, by the clock of the port."""
    data: bytes
    comments: tuple[str, ...] = ()


Sink = Callable[[Record], None]


class _Side:
    """What one of the two has sent, and is not recorded yet.

    Args:
        redactor: hides what is secret of its frames.
    """

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor
        self.receiver = FrameReceiver()
        self.came_us = self.noise_us = self.heard_us = 0
        self.noise = b""
        """Bytes that are no frame."""
        self.heard = b""
        """The beginning of a line of a sign-on."""
        self.last = b""
        """The frame before."""
        self.times = 1
        """How often in a row that was sent."""


class Trace:
    """Watches one port, from before it opens until after it is closed.

    A response under scheme 2 is held back until the session has opened it, so that the record can
    say what it means; nothing that takes time is waited for.

    Args:
        sink: told each record.
        is_secret: tells which objects hold secrets.
        is_plain: hide nothing, and show what was decrypted.
    """

    def __init__(self, sink: Sink, *, is_secret: IsSecret, is_plain: bool = False) -> None:
        self.clock: Clock = SystemClock()
        """Where the time comes from; the port's own, as soon as there is one."""
        self._sink = sink
        self._is_plain = is_plain
        self._sides: dict[Direction, _Side] = {
            "out": _Side(Redactor(is_secret)),
            "in": _Side(Redactor(is_secret)),
        }
        self._hides_noise = False
        self._set_idle_gap(DEFAULT_IDLE_GAP_S)
        self._meaning = ""
        self._is_answer_due = False
        self._held: list[Record] = []

    def begin(self, clock: Clock, idle_gap_s: float, *, takes_commands: bool = False) -> None:
        """Take the time from a port that has opened.

        Args:
            clock: the port's.
            idle_gap_s: a pause of that many seconds ends a frame on it.
            takes_commands: who is there may command us, and so write a secret of his own accord.
        """
        self.clock = clock
        self._hides_noise = takes_commands
        self._set_idle_gap(idle_gap_s)

    def on_line(self, direction: Direction, data: bytes) -> None:
        """Take bytes of a sign-on: a message of ours, or a piece of what came."""
        if direction == "out":
            self._end_lines()
            self._add_line(direction, data)
        else:
            self._hear(direction, data)

    def on_link(self, direction: Direction, data: bytes) -> None:
        """Take a frame of ours, or a piece of what came."""
        self._let_time_pass()
        if direction == "out":
            self._end_lines()
            self._on_frame(direction, data, Frame.decode(data), self._utc_us())
        else:
            self._receive(direction, data)

    def on_served(self, direction: Direction, data: bytes, *, is_sign_on: bool = False) -> None:
        """Take a piece of what either side sends on a line that we serve, damaged or not."""
        self._let_time_pass()
        if is_sign_on:
            self._hear(direction, data)
        else:
            self._receive(direction, data)

    def on_message(self, direction: Direction, envelope: Envelope, message: Message) -> None:
        """Take a message before it is sealed, or after it was opened."""
        if envelope.encryption_scheme != ENCRYPTED:
            return  # its frames say it
        meaning = f"encrypted: {summarise(message)}"
        self._is_answer_due = direction == "out"
        if direction == "out":
            self._meaning = meaning
        elif self._held:
            first, *others = self._held
            self._held = [replace(first, comments=(*first.comments, meaning)), *others]
        self._release()
        if self._is_plain:
            self._add(Kind.PACKET, direction, envelope.encode() + message.encode(), ("decrypted",))

    def close(self) -> None:
        """Pass on all that was held back."""
        self._give_up_frames()
        self._end_lines()
        self._release()

    def _set_idle_gap(self, idle_gap_s: float) -> None:
        for direction, side in self._sides.items():
            side.receiver = FrameReceiver(idle_gap_s, partial(self._on_piece, direction))

    def _let_time_pass(self) -> None:
        now = self.clock.monotonic()
        for side in self._sides.values():
            side.receiver.on_timer(now)

    def _give_up_frames(self) -> None:
        for side in self._sides.values():
            side.receiver.on_timer(inf)

    def _hear(self, direction: Direction, data: bytes) -> None:
        side = self._sides[direction]
        if not side.heard:
            self._give_up_frames()
            self._end_lines()
            side.heard_us = self._utc_us()
        side.heard += data
        if data.endswith(_LINE_ENDS) or len(side.heard) >= MAX_NOISE_BYTES:
            self._end_line(direction)

    def _receive(self, direction: Direction, data: bytes) -> None:
        side = self._sides[direction]
        if side.heard:
            self._end_line(direction)
        side.came_us = self._utc_us()
        side.receiver.receive_data(data, self.clock.monotonic())

    def _on_piece(self, direction: Direction, data: bytes, frame: Frame | None) -> None:
        side = self._sides[direction]
        if frame is not None:
            self._end_lines()
            self._on_frame(direction, data, frame, side.came_us)
            return
        if not side.noise:
            side.noise_us = side.came_us
        side.noise += data
        if len(side.noise) >= MAX_NOISE_BYTES:
            self._end_noise(direction)

    def _on_frame(self, direction: Direction, data: bytes, frame: Frame, utc_us: int) -> None:
        shown, hidden_bytes = data, 0
        if not self._is_plain:
            shown, hidden_bytes = self._sides[direction].redactor.redact(data, frame)
        comments = self._repetition(direction, data)
        if direction == "out" and self._meaning and not comments and _begins_packet(frame):
            comments, self._meaning = [self._meaning], ""
        if hidden_bytes:
            comments.append(f"redacted: {hidden_bytes} bytes are zeros here, the CRC is made anew")
        record = Record(
            kind=Kind.FRAME, direction=direction, utc_us=utc_us, data=shown, comments=(*comments,)
        )
        is_answer = direction == "in" and self._is_answer_due and _ends_packet(frame)
        if self._held and direction == "out" and frame.frame_type == FrameType.FRAGMENT_RESPONSE:
            self._held.append(record)  # it acknowledges the fragment that is held
            return
        self._release()
        if is_answer:
            self._held.append(record)
        else:
            self._sink(record)

    def _repetition(self, direction: Direction, data: bytes) -> list[str]:
        """Return a comment if this is the frame before once more: nothing is sent twice else."""
        side = self._sides[direction]
        side.times = side.times + 1 if data == side.last else 1
        side.last = data
        return [f"repeated, attempt {side.times}"] if side.times > 1 else []

    def _end_lines(self) -> None:
        for direction in self._sides:
            self._end_line(direction)

    def _end_line(self, direction: Direction) -> None:
        """Pass on what came and is no frame, of a sign-on or on the link."""
        side = self._sides[direction]
        data, side.heard = side.heard, b""
        if data:
            self._add_line(direction, data, side.heard_us)
        self._end_noise(direction)

    def _add_line(self, direction: Direction, data: bytes, utc_us: int | None = None) -> None:
        """Pass a piece of a sign-on on; it ends with frames, which prove the switch."""
        kind = Kind.FRAME if any(data) and _is_frame(data) else Kind.LINE
        self._add(kind, direction, data, ("sign-on",), utc_us)

    def _end_noise(self, direction: Direction) -> None:
        """Pass on the bytes that came and were part of no frame."""
        side = self._sides[direction]
        data, side.noise = side.noise, b""
        if not data:
            return
        done = "dropped" if direction == "in" else "sent"
        kind, comments = Kind.FRAME, [f"{done}: the CRC is wrong"]
        if not _looks_like_frame(data) or self._is_noise_secret:
            kind, comments = Kind.LINE, [f"{done}: {len(data)} bytes that are no frame"]
        if self._is_noise_secret:
            data = bytes(len(data))
            comments.append("redacted: they may be a part of a secret")
        self._add(kind, direction, data, (*comments,), side.noise_us)

    @property
    def _is_noise_secret(self) -> bool:
        """Tell whether bytes that are no frame may be a part of a secret."""
        if self._is_plain:
            return False
        sides = self._sides.values()
        return self._hides_noise or any(side.redactor.has_met_secrets for side in sides)

    def _add(
        self,
        kind: Kind,
        direction: Direction,
        data: bytes,
        comments: tuple[str, ...],
        utc_us: int | None = None,
    ) -> None:
        self._release()
        self._sink(
            Record(
                kind=kind,
                direction=direction,
                utc_us=self._utc_us() if utc_us is None else utc_us,
                data=data,
                comments=comments,
            )
        )

    def _release(self) -> None:
        held, self._held = self._held, []
        for record in held:
            self._sink(record)

    def _utc_us(self) -> int:
        return max(0, round(self.clock.utc() * 1_000_000))


def _begins_packet(frame: Frame) -> bool:
    """Tell whether a packet begins in this frame of ours."""
    return frame.frame_type == FrameType.SIMPLE or (
        frame.frame_type == FrameType.FRAGMENT and frame.payload[0] >> 4 == FragmentType.FIRST
    )


def _ends_packet(frame: Frame) -> bool:
    """Tell whether a response ends in this frame."""
    return frame.frame_type == FrameType.SIMPLE_RESPONSE or (
        frame.frame_type == FrameType.FRAGMENT
        and bool(frame.payload)
        and frame.payload[0] >> 4 == FragmentType.LAST
    )


def _is_frame(data: bytes) -> bool:
    try:
        Frame.decode(data)
    except MalformedError:
        return False
    return True


def _looks_like_frame(data: bytes) -> bool:
    """Tell whether bytes are as long as the frame that they begin as."""
    if len(data) < HEADER_BYTES + CRC_BYTES or data[0] & 0xF != VERSION:
        return False
    return data[1] & 0xF in KNOWN_TYPES and len(data) == data[2] + HEADER_BYTES + CRC_BYTES
