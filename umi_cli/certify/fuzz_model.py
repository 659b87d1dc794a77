"""What a sound device makes of any bytes at the link: how many frames, and which packets.

It is the link of the toolkit in the part of the responder, so it says what may be answered at all:
bytes in which it finds no frame must not be.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Self

from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import CommandReceived, LinkAddresses, LinkSettings
from umi_cli.link.frame import Frame, FrameType
from umi_cli.link.stream import FrameReceiver

SETTLED_FRAMES = 2  # that a check of the device has exchanged since its RESYNC
PAUSE_S = 1.0  # between pieces: longer than any idle gap
_ANSWER = bytes(34)  # any packet


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The link addresses of both ends."""

    own: int
    """The tester's."""
    peer: int
    """The device's."""

    def frame(self, sequence: int, kind: FrameType, payload: bytes = b"") -> Frame:
        """Return a frame of the tester's."""
        return Frame(
            sequence=sequence,
            frame_type=kind,
            destination=self.peer,
            source=self.own,
            payload=payload,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a sound device has found in a piece."""

    frames: int
    """Frames with a right CRC; each is answered once at most."""
    answers: int
    """How many frames it sends back."""
    packets: tuple[bytes, ...]
    """Whole commands that it may take."""
    is_clean: bool
    """Nothing but whole frames: no pause is needed for the next piece to begin one."""


class SoundDevice:
    """A device as a case finds it: re-synchronised, with two frames exchanged since.

    How it hears a piece is its own affair, and the line's (protocol 2.3, 9). Of several frames it
    may answer each before it looks at the next, or look at all of them while it is at work on the
    first. Behind noise it may find frames, or not before a pause; behind a frame it hears nothing
    where a transfer is a frame. All those ways are played: what any of them takes may be taken, and
    so may a frame that would be, had it come alone.

    Args:
        addresses: of both ends.
    """

    def __init__(self, addresses: Addresses) -> None:
        self._prompt, self._slow, self._lost, self._framed = (
            _Responder(addresses) for _ in range(4)
        )
        self._frames: list[bytes] = []
        self._in_step = 0
        self._receiver = FrameReceiver(on_piece=self._on_piece)
        self._noise = 0
        self._now = 0.0
        self.take(addresses.frame(0, FrameType.RESYNC).encode())
        for number in range(SETTLED_FRAMES):
            self.take(addresses.frame(number + 1, FrameType.SIMPLE, _ANSWER).encode())

    def take(self, piece: bytes) -> Seen:
        """Take a piece that a pause follows, and answer what is to be answered."""
        is_clean = self._look_at(piece)
        frames, in_step = self._frames, self._frames[: self._in_step]
        ways = (self._prompt, self._slow, self._lost, self._framed)
        alone = [each for frame in frames[1:] for way in ways for each in way.copy().take([frame])]
        packets = self._prompt.take(frames) + self._slow.take_at_once(frames)
        packets += self._lost.take(in_step) + self._framed.take(in_step[:1])
        return Seen(
            frames=len(frames),
            answers=max(way.answers() for way in ways),
            packets=tuple(dict.fromkeys(packets + alone)),
            is_clean=is_clean,
        )

    def _look_at(self, piece: bytes) -> bool:
        """Find the frames with a right CRC; tell whether there is nothing else."""
        self._frames, self._in_step = [], 0
        self._noise = self._receiver.noise_bytes
        self._receiver.receive_data(piece, self._now)
        is_clean = self._receiver.deadline is None and self._receiver.noise_bytes == self._noise
        self._now += PAUSE_S
        self._receiver.on_timer(self._now)
        return is_clean

    def _on_piece(self, data: bytes, frame: Frame | None) -> None:
        if frame is not None:
            self._frames.append(data)
            if self._receiver.noise_bytes == self._noise:
                self._in_step += 1


class _Responder:
    """The device's half of the link.

    Args:
        addresses: of both ends.
    """

    def __init__(self, addresses: Addresses) -> None:
        self._link = LinkConnection(
            LinkSettings(accepts_commands=True),
            LinkAddresses(own=addresses.peer, peer=addresses.own),
        )

    def copy(self) -> Self:
        """Return another one that is as far."""
        return deepcopy(self)

    def take(self, frames: Sequence[bytes]) -> list[bytes]:
        """Answer each frame before the next one comes; return the whole commands."""
        return [packet for frame in frames for packet in self.take_at_once([frame])]

    def take_at_once(self, frames: Sequence[bytes]) -> list[bytes]:
        """Answer once all frames are there; return the whole commands."""
        packets = []
        for event in self._link.receive_data(b"".join(frames), 0.0):
            if isinstance(event, CommandReceived):
                packets.append(event.packet)
                self._link.respond(_ANSWER, commander=event.source)
        return packets

    def answers(self) -> int:
        """Return how many frames have gone back since it was asked last."""
        return len(self._link.frames_to_send())
