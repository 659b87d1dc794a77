"""What a sound device makes of any bytes at the link: how many frames, and which packets.

It is the link of the toolkit in the part of the responder, so it says what may be answered at all:
bytes in which it finds no frame must not be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import CommandReceived, Event, LinkAddresses, LinkSettings
from umi_cli.link.frame import Frame, FrameType

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
    """Whole commands."""
    is_clean: bool
    """Nothing but whole frames: no pause is needed for the next piece to begin one."""


class SoundDevice:
    """A device as a case finds it: re-synchronised, with two frames exchanged since.

    Args:
        addresses: of both ends.
    """

    def __init__(self, addresses: Addresses) -> None:
        self._link = LinkConnection(
            LinkSettings(accepts_commands=True),
            LinkAddresses(own=addresses.peer, peer=addresses.own),
        )
        self._now = 0.0
        self.take(addresses.frame(0, FrameType.RESYNC).encode())
        for number in range(SETTLED_FRAMES):
            self.take(addresses.frame(number + 1, FrameType.SIMPLE, _ANSWER).encode())

    def take(self, piece: bytes) -> Seen:
        """Take a piece that a pause follows, and answer what is to be answered."""
        known, noise = self._link.frames_received, self._link.noise_bytes
        events = self._link.receive_data(piece, self._now)
        packets = self._answered(events)
        is_clean = self._link.deadline is None and self._link.noise_bytes == noise
        self._now += PAUSE_S
        packets += self._answered(self._link.on_timer(self._now))
        return Seen(
            frames=self._link.frames_received - known,
            answers=len(self._link.frames_to_send()),
            packets=tuple(packets),
            is_clean=is_clean,
        )

    def _answered(self, events: Sequence[Event]) -> list[bytes]:
        packets = []
        for event in events:
            if isinstance(event, CommandReceived):
                packets.append(event.packet)
                self._link.respond(_ANSWER, commander=event.source)
        return packets
