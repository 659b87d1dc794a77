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

    Of several frames in a piece it may answer each before it looks at the next, or look at all of
    them while it is at work on the first. Both ways are played; what either takes may be taken,
    and so may any of them that would be, had it come alone.

    Args:
        addresses: of both ends.
    """

    def __init__(self, addresses: Addresses) -> None:
        self._prompt, self._slow = (_Responder(addresses) for _ in range(2))
        self._found: list[bytes] = []
        self._receiver = FrameReceiver(on_piece=self._on_piece)
        self._now = 0.0
        self.take(addresses.frame(0, FrameType.RESYNC).encode())
        for number in range(SETTLED_FRAMES):
            self.take(addresses.frame(number + 1, FrameType.SIMPLE, _ANSWER).encode())

    def take(self, piece: bytes) -> Seen:
        """Take a piece that a pause follows, and answer what is to be answered."""
        frames, is_clean = self._frames_in(piece)
        alone = [packet for frame in frames[1:] for packet in self._slow.copy().take([frame])]
        packets = self._prompt.take(frames)
        packets += [each for each in self._slow.take_at_once(frames) if each not in packets]
        packets += [each for each in alone if each not in packets]
        return Seen(
            frames=len(frames),
            answers=max(self._prompt.answers(), self._slow.answers()),
            packets=tuple(packets),
            is_clean=is_clean,
        )

    def _frames_in(self, piece: bytes) -> tuple[list[bytes], bool]:
        """Return the frames with a right CRC, and whether there is nothing else."""
        self._found = []
        noise = self._receiver.noise_bytes
        self._receiver.receive_data(piece, self._now)
        is_clean = self._receiver.deadline is None and self._receiver.noise_bytes == noise
        self._now += PAUSE_S
        self._receiver.on_timer(self._now)
        return self._found, is_clean

    def _on_piece(self, data: bytes, frame: Frame | None) -> None:
        if frame is not None:
            self._found.append(data)


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
