"""Links that are wrong in one thing each: what a reader's maker may get wrong below its packets."""

from dataclasses import replace

from umi_cli import wire
from umi_cli.application.packet import ENVELOPE_BYTES, Message
from umi_cli.errors import MalformedError
from umi_cli.link.connection import LinkConnection
from umi_cli.link.crc import crc
from umi_cli.link.events import Event, LinkAddresses, LinkSettings
from umi_cli.link.fragment import Assembler, Fragment, FragmentType
from umi_cli.link.frame import CRC_BYTES, HEADER_BYTES, Frame, FrameType
from umi_cli.link.stream import FrameReceiver
from umi_cli.virtual.tricks.application import UNKNOWN_RESULT

_CREATED = ENVELOPE_BYTES + 3  # where the time stands in a packet
_ANSWERS = (FrameType.SIMPLE_RESPONSE, FrameType.FRAGMENT)


class FrameLink(LinkConnection):
    """A link that takes other frames than those that came, or sends others than it should."""

    def _on_frame(self, frame: Frame, now: float) -> list[Event]:
        taken = self.taken(frame)
        return [] if taken is None else super()._on_frame(taken, now)

    def frames_to_send(self) -> list[bytes]:
        return [self.sent(frame) for frame in super().frames_to_send()]

    def taken(self, frame: Frame) -> Frame | None:
        return frame

    def sent(self, frame: bytes) -> bytes:
        return frame


class RepeatsAnew(FrameLink):
    """A repeat is made anew: its time is another one."""

    _last = b""

    def sent(self, frame: bytes) -> bytes:
        is_repeat, self._last = frame == self._last, frame
        decoded = Frame.decode(frame)
        if not is_repeat or len(decoded.payload) <= _CREATED:
            return frame
        payload = bytearray(decoded.payload)
        payload[_CREATED] ^= 0x01
        return replace(decoded, payload=bytes(payload)).encode()


class CrcUnchecked(FrameLink):
    """What looks like a frame is one."""

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        is_frame = len(data) > HEADER_BYTES and len(data) == HEADER_BYTES + data[2] + CRC_BYTES
        body = data[:-CRC_BYTES]
        return super().receive_data(body + wire.u16(crc(body)) if is_frame else data, now)


class SequenceUnchecked(FrameLink):
    """Whatever answer comes is the one that is due."""

    def taken(self, frame: Frame) -> Frame | None:
        if frame.frame_type not in _ANSWERS:
            return frame
        return replace(frame, sequence=self._commander._due_sequences()[-1])


class AddressUnchecked(FrameLink):
    """Whoever answers is the one who was asked, and means us."""

    def taken(self, frame: Frame) -> Frame | None:
        if frame.frame_type not in _ANSWERS:
            return frame
        return replace(frame, source=self.addresses.peer, destination=self.addresses.own)


class BufferKept(SequenceUnchecked):
    """An answer that nobody waited for is kept for the next command."""

    def __init__(self, settings: LinkSettings, addresses: LinkAddresses | None = None) -> None:
        super().__init__(settings, addresses)
        self._kept: list[Frame] = []

    @property
    def deadline(self) -> float | None:
        return 0.0 if self._kept and not self._commander.is_idle else super().deadline

    def _on_frame(self, frame: Frame, now: float) -> list[Event]:
        if self._commander.is_idle and frame.frame_type == FrameType.SIMPLE_RESPONSE:
            self._kept.append(frame)
            return []
        return super()._on_frame(frame, now)

    def on_timer(self, now: float) -> list[Event]:
        if self._kept and not self._commander.is_idle:
            return self._on_frame(self._kept.pop(), now)
        return super().on_timer(now)


class Wraps(FrameLink):
    """Behind 15 comes 1."""

    def __init__(self, settings: LinkSettings, addresses: LinkAddresses | None = None) -> None:
        super().__init__(settings, addresses)
        commander = self._commander
        commander._must_resync = lambda frames: not commander._is_synced  # type: ignore[method-assign]


class BeginsAtSeven(LinkConnection):
    """The first sequence behind a RESYNC is 7."""

    def __init__(self, settings: LinkSettings, addresses: LinkAddresses | None = None) -> None:
        super().__init__(settings, addresses)
        commander = self._commander
        send_command = commander._send_command

        def send_later(now: float) -> None:
            commander._sequence = commander._sequence or 6
            send_command(now)

        commander._send_command = send_later  # type: ignore[method-assign]


class NeverSlides(FrameLink):
    """A length byte leads to the next frame, whatever it says."""

    class _Receiver(FrameReceiver):
        @property
        def deadline(self) -> float | None:
            return None

        def _slide(self) -> None:
            length = self._buffer[2] + HEADER_BYTES + CRC_BYTES
            del self._buffer[:length]

    def __init__(self, settings: LinkSettings, addresses: LinkAddresses | None = None) -> None:
        super().__init__(settings, addresses)
        self._receiver = self._Receiver()


class ChunkIsFrame(FrameLink):
    """What arrives at once is a frame, and what is none is dropped."""

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        self._receiver.drop()
        return super().receive_data(data, now)


class TakesWithAck(FrameLink):
    """ACK is as good as NEXT."""

    def sent(self, frame: bytes) -> bytes:
        decoded = Frame.decode(frame)
        if decoded.frame_type != FrameType.FRAGMENT_RESPONSE:
            return frame
        return replace(decoded, payload=Fragment(fragment_type=FragmentType.ACK).encode()).encode()


class LengthUnchecked(FrameLink):
    """FIRST may announce what it likes."""

    class _Assembler(Assembler):
        def _check_length(self, *, is_last: bool) -> None:
            return

    def __init__(self, settings: LinkSettings, addresses: LinkAddresses | None = None) -> None:
        super().__init__(settings, addresses)
        self._commander._assembler = self._Assembler()


class FragmentErrorIgnored(FrameLink):
    """A fragment error is a lost fragment."""

    def taken(self, frame: Frame) -> Frame | None:
        is_error = frame.frame_type == FrameType.FRAGMENT and frame.payload[:1] == b"\xf0"
        return None if is_error else frame


class ResultUnheard(FrameLink):
    """A result that nobody knows is no answer."""

    def taken(self, frame: Frame) -> Frame | None:
        try:
            message = Message.decode(frame.payload[ENVELOPE_BYTES:])
        except MalformedError:
            return frame
        return None if message.argument == UNKNOWN_RESULT else frame
