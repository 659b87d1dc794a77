"""Packets longer than a frame: what the tests of fragments send, and have the device send."""

from collections.abc import Iterator
from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import Complete, NoOperation, ReadObject, ReadObjectPart, Wait
from umi_cli.application.packet import ENVELOPE_BYTES, MESSAGE_HEADER_BYTES, NO_SIGNATURE, Message
from umi_cli.application.payload import Command
from umi_cli.certify.bench import MAX_WAITS, Bench, describe
from umi_cli.certify.case import Failure, NotApplicable, expect
from umi_cli.errors import MalformedError
from umi_cli.link.fragment import Fragment, FragmentError, FragmentErrorCode, FragmentType, split
from umi_cli.link.frame import MAX_FRAME_PAYLOAD, Frame, FrameType
from umi_cli.types import ObjectPart

OVERHEAD_BYTES = ENVELOPE_BYTES + MESSAGE_HEADER_BYTES + len(NO_SIGNATURE)
LONG_BYTES = 600  # three fragments


def idle_packet(bench: Bench, length_bytes: int) -> bytes:
    """Return a packet of a length that does nothing: a NO_OPERATION with a payload.

    The link carries it as any other; what it carries is refused.
    """
    return bench.packet(
        NoOperation(), payload=bench.random.randbytes(length_bytes - OVERHEAD_BYTES)
    )


def fragments_of(bench: Bench, length_bytes: int = LONG_BYTES) -> list[bytes]:
    """Return the payloads of the frames of a sound long command."""
    return split(idle_packet(bench, length_bytes))


def send_fragment(bench: Bench, payload: bytes, *, sequence: int | None = None) -> Frame:
    """Send one fragment of a command and return what answers it; `Failure` if nothing does.

    Args:
        payload: of the frame.
        sequence: the next one if None.
    """
    fields = {} if sequence is None else {"sequence": sequence}
    return bench.exchange(bench.frame(payload, frame_type=FrameType.FRAGMENT, **fields))


def fragment_in(frame: Frame) -> Fragment:
    """Return the fragment that a frame carries; `Failure` if it carries none."""
    if frame.frame_type not in (FrameType.FRAGMENT, FrameType.FRAGMENT_RESPONSE):
        raise Failure(f"instead of a fragment came {describe(frame)}")
    try:
        return Fragment.decode(frame.payload)
    except FragmentError as error:
        raise Failure(f"{describe(frame)}: {error}") from error


def expect_taken(frame: Frame) -> None:
    """Go on if a fragment was taken.

    Raises:
        Failure: it was refused.
        NotApplicable: the device takes no packet that long, and says so.
    """
    answer = fragment_in(frame)
    is_too_large = answer.data == FragmentErrorCode.PACKET_TOO_LARGE
    if answer.fragment_type is FragmentType.ERROR and is_too_large:
        raise NotApplicable("the device takes no packet longer than a frame, and says so")
    is_taken = answer.fragment_type in (FragmentType.ACK, FragmentType.NEXT)
    expect(is_taken, f"the fragment was answered with {in_words(answer)}")


def expect_refused(frame: Frame, code: FragmentErrorCode) -> None:
    """Go on if a fragment was refused with an error; `Failure` if not."""
    answer = fragment_in(frame)
    is_it = answer.fragment_type is FragmentType.ERROR and answer.data == code
    expect(is_it, f"it was answered with {in_words(answer)} instead of ERROR {code.name}")


def in_words(fragment: Fragment) -> str:
    """Return a fragment in words."""
    if fragment.fragment_type is not FragmentType.ERROR:
        return fragment.fragment_type.name
    known = fragment.data in list(FragmentErrorCode)
    return f"ERROR {FragmentErrorCode(fragment.data).name if known else fragment.data}"


def begin_long_response(bench: Bench, at_least_bytes: int = MAX_FRAME_PAYLOAD + 1) -> Frame:
    """Have the device begin a response in fragments, and return its first frame.

    Raises:
        NotApplicable: none of its arrays holds so much, or it gives less at once.
        Failure: nothing answers.
    """
    for command in _long_reads(bench, at_least_bytes):
        answer = answer_by_hand(bench, command)
        if answer.frame_type == FrameType.FRAGMENT:
            if fragment_in(answer).data >= at_least_bytes:
                return answer
            bench.sync()
    raise NotApplicable(f"no array of the device makes a response of {at_least_bytes} bytes")


def _long_reads(bench: Bench, at_least_bytes: int) -> Iterator[Command[Any]]:
    """Return commands that a long response may answer: arrays, and no more of them than it takes.

    The second is for a device that has more than it gives at once, and says TOO_LONG.
    """
    for definition in bench.catalogue.objects:
        if not definition.kind.is_array or definition.secret:
            continue
        yield ReadObject(code=definition.code)
        if size := definition.element_size_bytes:
            last = -(-at_least_bytes // size) - 1
            yield ReadObjectPart(part=ObjectPart(definition.code, 0, last))


def answer_by_hand(bench: Bench, command: Command[Any]) -> Frame:
    """Send a command in a frame of its own, and return the first frame that answers it.

    A response that is deferred is waited for.

    Raises:
        Failure: nothing answers it, or it is deferred for ever.
    """
    message = bench.message(command)
    packet = bench.envelope().encode() + message.encode()
    return fetch_by_hand(bench, bench.exchange(bench.frame(packet)), message)


def fetch_by_hand(bench: Bench, answer: Frame, message: Message) -> Frame:
    """Send COMPLETE as long as a command is answered with WAIT; return the first other frame.

    Args:
        answer: the first frame that answers the command.
        message: the command.

    Raises:
        Failure: nothing answers, or it is deferred for ever.
    """
    for _ in range(MAX_WAITS):
        wait_ms = wait_ms_of(answer)
        if wait_ms is None:
            return answer
        bench.wait(wait_ms / 1000)
        packet = bench.packet(Complete(), transaction=message.transaction)
        answer = bench.exchange(bench.frame(packet))
    raise Failure(f"a command was deferred {MAX_WAITS} times")


def wait_ms_of(answer: Frame) -> int | None:
    """Return how long a frame has us wait before COMPLETE; None if it defers nothing."""
    if answer.frame_type != FrameType.SIMPLE_RESPONSE:
        return None
    try:
        message = Message.decode(answer.payload[ENVELOPE_BYTES:])
        is_wait = message.packet_type == PacketType.WAIT and message.argument == ResultCode.OK
        return Wait.decode(message.payload).wait_ms if is_wait else None
    except MalformedError:
        return None  # what it is instead is for the test to say


def take(bench: Bench, frame: Frame, kind: FragmentType = FragmentType.NEXT) -> Frame:
    """Acknowledge a fragment of a response, and return what the device sends then."""
    return bench.exchange(acknowledgement(bench, frame, kind))


def acknowledgement(
    bench: Bench, frame: Frame, kind: FragmentType = FragmentType.NEXT, *, data: int = 0
) -> Frame:
    """Return the FRAGMENT_RESPONSE to a fragment of the device's."""
    payload = Fragment(fragment_type=kind, data=data).encode()
    return bench.frame(payload, frame_type=FrameType.FRAGMENT_RESPONSE, sequence=frame.sequence)
