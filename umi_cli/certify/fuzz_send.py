"""How a case gets to the device, and what the device answers meanwhile."""

from dataclasses import dataclass

from umi_cli.application.commands import NoOperation
from umi_cli.application.packet import ENVELOPE_BYTES
from umi_cli.certify.bench import Bench
from umi_cli.certify.case import Failure
from umi_cli.certify.fuzz_case import Carrier, FuzzCase
from umi_cli.certify.fuzz_model import Addresses, Seen, SoundDevice
from umi_cli.certify.fuzz_verdict import FuzzFailure, Trouble
from umi_cli.certify.hand_session import HandSession
from umi_cli.errors import LinkError, MalformedError, SessionDeadError, SignatureError, UmiError
from umi_cli.link.frame import Frame, FrameType

OF_THE_DEVICE = (FrameType.SIMPLE, FrameType.RESYNC)
"""What a Peripheral says of its own accord: no answer to anything."""
IDLE_GAPS = 2  # of quiet behind a piece that is no whole frame, so that the next one begins one
HOST_PAUSE_S = 0.6  # choice: a Peripheral of ours forgets half a frame of its Host's after 0.5 s
_JUNK = bytes(48)  # sealed under no key, long enough to be looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameExchange:
    """A piece that went out as it stands, and what came back."""

    seen: Seen
    """What a sound device found in it."""
    answers: tuple[Frame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketExchange:
    """A packet, and the packet that answered it."""

    sent: bytes
    """In the clear, or what was sealed: without its envelope."""
    answer: bytes | None
    """As it came; None if the link had no answer to give."""
    opened: bytes | None = None
    """What the answer holds under the session key; None if it came in the clear."""
    is_patched: bool = False
    """It was spoilt after it was sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came back to a case."""

    frames: tuple[FrameExchange, ...] = ()
    packets: tuple[PacketExchange, ...] = ()
    is_sealed: bool = False


def send(bench: Bench, case: FuzzCase, addresses: Addresses) -> Heard:
    """Send a case; return what came back.

    Raises:
        FuzzFailure: no session comes about any more, or what comes back cannot be opened.
        LostError: the port is gone.
    """
    if case.carrier is Carrier.FRAMES:
        device = SoundDevice(addresses)
        return Heard(
            frames=tuple(_send_frames(bench, piece, device.take(piece)) for piece in case.pieces)
        )
    bench.forget_link()
    if case.carrier is Carrier.SEALED:
        return Heard(packets=tuple(_send_sealed(bench, case)), is_sealed=True)
    return Heard(
        packets=tuple(
            PacketExchange(sent=piece, answer=_carried(bench, piece)) for piece in case.pieces
        )
    )


def _send_frames(bench: Bench, piece: bytes, seen: Seen) -> FrameExchange:
    """Send a piece; wait for what is due, and where a frame was left open for an idle gap.

    What comes without being due is still there when the device is checked.
    """
    bench.send(piece)
    if not seen.is_clean and bench.settings.kind == "spi":
        # Where INTB is low for want of the rest, a fetch would be taken for it (protocol 9).
        bench.wait(HOST_PAUSE_S)
    answers: list[Frame] = []
    while len(answers) < seen.answers and (frame := bench.raw.receive(bench.settings.answer_s)):
        answers.append(frame)
    if not seen.is_clean:
        answers += bench.raw.drain(IDLE_GAPS * bench.meter.transport.idle_gap_s)
    return FrameExchange(
        seen=seen,
        answers=tuple(each for each in answers if each.frame_type not in OF_THE_DEVICE),
    )


def _carried(bench: Bench, packet: bytes) -> bytes | None:
    """Carry a packet over a sound link; None if the link has no answer, or refuses it."""
    try:
        return bench.transact(packet, NoOperation())
    except (Failure, LinkError):
        # A case may be left without an answer. Where we are the Host, bringing the device back is
        # a reset, and it would have restarted for no fault of its own.
        bench.meter.session.driver.forgive()
        return None


def _send_sealed(bench: Bench, case: FuzzCase) -> list[PacketExchange]:
    """Send messages under a session of their own, the last one patched; then end the session."""
    try:
        session = HandSession(bench)
    except (Failure, UmiError) as error:
        failure = f"lets no session begin any more: {error}"
        raise FuzzFailure(Trouble.DISTURBED, failure) from error
    exchanges: list[PacketExchange] = []
    for number, message in enumerate(case.pieces):
        is_last = number == len(case.pieces) - 1
        exchange = _sealed(bench, session, message, case if is_last else None)
        exchanges.append(exchange)
        if exchange.opened is None:  # the session is over
            break
    return [*exchanges, *_farewell(bench, session)]


def _sealed(
    bench: Bench, session: HandSession, message: bytes, case: FuzzCase | None
) -> PacketExchange:
    """Seal a message and send it; `case` says how it is patched, if at all."""
    envelope = session.envelope(encryption_scheme=2).encode()[:ENVELOPE_BYTES]
    packet = session.sealed.seal(envelope, message)
    patch = case.patch if case else None
    answer = _carried(bench, patch.apply(packet) if patch else packet)
    opened = None
    if answer is not None and answer[:1] == b"\x02":
        try:
            opened = session.sealed.open(answer)
        except (MalformedError, SignatureError, SessionDeadError) as error:
            failure = f"seals an answer so that it cannot be opened: {error}"
            raise FuzzFailure(Trouble.MALFORMED, failure) from error
    else:
        session.sealed.end()
    return PacketExchange(sent=message, answer=answer, opened=opened, is_patched=patch is not None)


def _farewell(bench: Bench, session: HandSession) -> list[PacketExchange]:
    """End the session on both sides, so that the next case finds none.

    Where it is over on ours, a packet that nobody can open ends it on the device's (protocol 6.3).
    """
    if session.sealed.is_alive:
        session.close()
        return []
    junk = session.envelope(encryption_scheme=2).encode() + _JUNK
    return [PacketExchange(sent=_JUNK, answer=_carried(bench, junk), is_patched=True)]
