"""A meter that spoils what it sends, by a chance that can be repeated, to fuzz its reader.

The meter itself is sound: what it holds and what it was made to do is what it would be without.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from umi_cli.application.packet import ENVELOPE_BYTES, Envelope
from umi_cli.errors import MalformedError
from umi_cli.link.crc import crc
from umi_cli.link.fragment import FragmentType
from umi_cli.link.frame import CRC_BYTES, HEADER_BYTES, MAX_FRAME_PAYLOAD, Frame, FrameType
from umi_cli.link.stream import FrameReceiver
from umi_cli.mutation import mutated, numbers
from umi_cli.types import UmiId
from umi_cli.virtual.defect import Defect
from umi_cli.wire import u16

KEPT_FRAMES = 8  # of the past, to be sent again out of place
_PACKET_NUMBERS = (*numbers((1, 1, 1, 1, 8, 8, 1)), *numbers((1, 2, 4, 1, 1, 2), ENVELOPE_BYTES))
_FRAME_NUMBERS = numbers((1, 1, 1, 1, 1, 1, 2))


class Spoiling(StrEnum):
    """What a meter that fuzzes its reader does."""

    LINE = "line"
    """What a bad line does: frames are lost, doubled, late, and every one that is changed has a
    wrong CRC. A sound reader believes nothing wrong, whatever the security scheme."""
    FORGERY = "forgery"
    """What an attacker does: frames and packets are changed, and their CRC is right. Under
    scheme 0 a reader has to believe that; under 1 and 2 it must not."""


@dataclass(frozen=True, slots=True)
class Spoilt:
    """Something that went out otherwise than it should have."""

    number: int
    """Counted from 1."""
    what: str
    """`frame` or `packet`, and what was done."""
    sound: bytes
    sent: tuple[bytes, ...]
    """In its place."""


class FuzzingMeter(Defect):
    """Spoils some of what goes out.

    Args:
        chance: decides everything; the same one spoils the same answers in the same way.
        rate: how many of the frames are spoilt, 0..1; under forgery of the packets too.
        spoiling: how.
        tell: told of each that is.
        limit: how many are spoilt; what comes then is sound. None for no end.
    """

    def __init__(
        self,
        chance: Random,
        rate: float,
        spoiling: Spoiling,
        tell: Callable[[Spoilt], None] = lambda spoilt: None,
        limit: int | None = None,
    ) -> None:
        self._chance = chance
        self._rate = rate
        self._spoiling = spoiling
        self._tell = tell
        self._limit = limit
        self._past: list[bytes] = []
        self.counts: Counter[str] = Counter()
        """How often each thing was done."""
        self.frames = 0
        """How many there were to send."""
        self.readers: Counter[UmiId] = Counter()
        """Who asked, and how many commands of each were answered."""

    def packet_out(self, command: bytes, response: bytes) -> bytes:
        """Return a response, or what has become of it."""
        with suppress(MalformedError):
            self.readers[Envelope.decode(command).source] += 1
        if self._spoiling is Spoiling.LINE or not self._is_due():
            return response
        spoilt = mutated(response, self._chance, _PACKET_NUMBERS) or b"\0"
        self._note("packet changed", response, (spoilt,))
        return spoilt

    def frames_out(self, frame: bytes) -> list[bytes]:
        """Return what goes out in place of a frame."""
        self.frames += 1
        self._past = [*self._past, frame][-KEPT_FRAMES:]
        if not self._is_due():
            return [frame]
        kind = self._chance.choice(("lost", "doubled", "old", "noise", "changed", "changed"))
        sent = self._spoilt(kind, frame)
        self._note(f"frame {kind}", frame, tuple(sent))
        return sent

    def _is_due(self) -> bool:
        """Have chance decide whether something is spoilt."""
        is_enough = self._limit is not None and self.counts.total() >= self._limit
        return self._chance.random() < self._rate and not is_enough

    def _spoilt(self, kind: str, frame: bytes) -> list[bytes]:
        if kind == "lost":
            return []
        if kind == "doubled":
            return [frame, frame]
        if kind == "old":
            return [self._chance.choice(self._past), frame]
        if kind == "noise":
            noise = self._chance.randbytes(self._chance.randint(1, 40))
            return [self._chance.choice((noise + frame, frame + noise))]
        is_line = self._spoiling is Spoiling.LINE
        return [self._broken(frame) if is_line else self._forged(frame)]

    def _broken(self, frame: bytes) -> bytes:
        """Return a frame with a mutation, in which nobody finds a frame."""
        while True:
            spoilt = mutated(frame, self._chance, _FRAME_NUMBERS)
            if not _frames_in(spoilt):
                return spoilt

    def _forged(self, frame: bytes) -> bytes:
        """Return a frame that says something else, with a right CRC, mostly."""
        kind = self._chance.choice(("header", "payload", "fragment", "anything"))
        if kind == "anything":
            return mutated(frame, self._chance, _FRAME_NUMBERS)
        if kind == "header":
            head = mutated(frame[:HEADER_BYTES], self._chance, numbers((1, 1, 1, 1)))
            body = head + frame[HEADER_BYTES:-CRC_BYTES]
            return body + u16(crc(body))
        with suppress(MalformedError):
            return self._other_payload(Frame.decode(frame), is_fragment=kind == "fragment")
        return frame

    def _other_payload(self, frame: Frame, *, is_fragment: bool) -> bytes:
        """Return a frame with another payload, or as a fragment that it is not."""
        payload = mutated(frame.payload, self._chance, _PACKET_NUMBERS)[:MAX_FRAME_PAYLOAD]
        kind = frame.frame_type
        if is_fragment:
            kind = self._chance.choice((FrameType.FRAGMENT, FrameType.FRAGMENT_RESPONSE))
            head = bytes([self._chance.choice(list(FragmentType)) << 4, 0])
            payload = (head + u16(self._chance.randrange(1 << 16)) + frame.payload)[
                :MAX_FRAME_PAYLOAD
            ]
        return Frame(
            sequence=frame.sequence,
            frame_type=kind,
            destination=frame.destination,
            source=frame.source,
            payload=payload,
            is_busy=frame.is_busy,
        ).encode()

    def _note(self, what: str, sound: bytes, sent: tuple[bytes, ...]) -> None:
        self.counts[what] += 1
        self._tell(Spoilt(self.counts.total(), what, sound, sent))


def _frames_in(data: bytes) -> list[Frame]:
    """Return the frames that a receiver finds in what a pause follows."""
    receiver = FrameReceiver()
    return receiver.receive_data(data, 0.0) + receiver.on_timer(1.0)
