"""Tests of packets that travel in fragments, both ways (protocol 2.4).

A catalogue, and as long as that: each entry says what it sends, what it expects, what to mend.
"""

from itertools import pairwise

from umi_cli.certify.bench import Bench, describe
from umi_cli.certify.case import NotApplicable, case, expect
from umi_cli.certify.link_cases import exchange_nothing, let_idle
from umi_cli.certify.long_packets import (
    LONG_BYTES,
    acknowledgement,
    begin_long_response,
    expect_refused,
    expect_taken,
    fragment_in,
    fragments_of,
    idle_packet,
    in_words,
    send_fragment,
    take,
)
from umi_cli.link.fragment import (
    MAX_FRAGMENT_BYTES,
    Fragment,
    FragmentErrorCode,
    FragmentType,
)
from umi_cli.link.frame import MAX_FRAME_PAYLOAD, MAX_SEQUENCE, Frame, FrameType

MANY_FRAGMENTS_BYTES = 15 * MAX_FRAGMENT_BYTES
_RESPONSES = (FrameType.SIMPLE_RESPONSE, FrameType.FRAGMENT)
_LENGTH_BYTES = slice(2, 4)  # of a fragment: its u16 of data


@case(
    "LNK-040",
    "a long command is taken in fragments",
    clause="2.4",
    mark="C",
    sends=f"a packet of {LONG_BYTES} bytes as FIRST, MIDDLE and LAST",
    expects="FRAGMENT_RESPONSE with ACK to each but the last, which gets the response itself",
    advice="Only LAST completes a packet; NEXT in place of ACK is accepted.",
)
def _long_command(bench: Bench) -> None:
    *head, last = fragments_of(bench)
    for payload in head:
        expect_taken(send_fragment(bench, payload))
    _expect_response(send_fragment(bench, last))


def _expect_response(frame: Frame) -> None:
    expect(frame.frame_type in _RESPONSES, f"LAST was answered with {describe(frame)}")


@case(
    "LNK-041",
    "a FRAGMENT_RESPONSE repeats the sequence of the fragment that it takes",
    clause="2.4",
    mark="C",
    sends="the fragments of a long command",
    expects="each taken under its own sequence",
    advice="The commander tells late answers from new ones by the sequence alone.",
)
def _fragment_sequence(bench: Bench) -> None:
    for payload in fragments_of(bench)[:-1]:
        answer = send_fragment(bench, payload)
        expect_taken(answer)
        expect(
            answer.sequence == bench.sequence,
            f"the fragment of sequence {bench.sequence} got {describe(answer)}",
        )


@case(
    "LNK-042",
    "MIDDLE without FIRST is refused",
    clause="2.4",
    mark="C",
    sends="a MIDDLE fragment after RESYNC",
    expects="FRAGMENT_RESPONSE with ERROR 1 (protocol error)",
    advice="A fragment belongs to a FIRST; without it there is no length to check.",
)
def _orphan_middle(bench: Bench) -> None:
    answer = send_fragment(bench, fragments_of(bench)[1])
    expect_refused(answer, FragmentErrorCode.PROTOCOL_ERROR)


@case(
    "LNK-043",
    "LAST without FIRST is refused",
    clause="2.4",
    mark="C",
    sends="a LAST fragment after RESYNC",
    expects="FRAGMENT_RESPONSE with ERROR 1 (protocol error)",
    advice="A LAST alone must never be executed as a packet.",
)
def _orphan_last(bench: Bench) -> None:
    answer = send_fragment(bench, fragments_of(bench)[-1])
    expect_refused(answer, FragmentErrorCode.PROTOCOL_ERROR)


@case(
    "LNK-044",
    "fewer bytes than FIRST announced are refused",
    clause="2.4",
    mark="C",
    sends="FIRST, then LAST without the MIDDLE between them",
    expects="FRAGMENT_RESPONSE with ERROR 2 (length error)",
    advice="Compare what has come at LAST with what FIRST said.",
)
def _too_few(bench: Bench) -> None:
    first, _, last = fragments_of(bench)
    expect_taken(send_fragment(bench, first))
    expect_refused(send_fragment(bench, last), FragmentErrorCode.LENGTH_ERROR)


@case(
    "LNK-045",
    "more bytes than FIRST announced are refused",
    clause="2.4",
    mark="C",
    sends="FIRST, MIDDLE, MIDDLE again under the next sequence, LAST",
    expects="FRAGMENT_RESPONSE with ERROR 2 (length error) as soon as there are too many",
    advice="The length of FIRST bounds the memory: check each fragment before it is copied.",
)
def _too_many(bench: Bench) -> None:
    first, middle, last = fragments_of(bench)
    expect_taken(send_fragment(bench, first))
    expect_taken(send_fragment(bench, middle))
    answer = send_fragment(bench, middle)
    if fragment_in(answer).fragment_type in (FragmentType.ACK, FragmentType.NEXT):
        answer = send_fragment(bench, last)
    expect_refused(answer, FragmentErrorCode.LENGTH_ERROR)


@case(
    "LNK-046",
    "an unknown fragment version is refused",
    clause="2.4",
    mark="F",
    sends="FIRST of fragment version 1",
    expects="FRAGMENT_RESPONSE with ERROR 4 (unknown fragment version)",
    advice="The low nibble of the fragment's first byte is its version: 0.",
)
def _unknown_version(bench: Bench) -> None:
    first = fragments_of(bench)[0]
    answer = send_fragment(bench, bytes([first[0] | 1]) + first[1:])
    expect_refused(answer, FragmentErrorCode.UNKNOWN_FRAGMENT_VERSION)


@case(
    "LNK-047",
    "an unknown fragment type is refused",
    clause="2.4",
    mark="F",
    sends="a fragment of type 9",
    expects="FRAGMENT_RESPONSE with ERROR 1 (protocol error)",
    advice="The high nibble of the fragment's first byte is its type: 0 to 4, and 15.",
)
def _unknown_kind(bench: Bench) -> None:
    first = fragments_of(bench)[0]
    answer = send_fragment(bench, bytes([0x90]) + first[1:])
    expect_refused(answer, FragmentErrorCode.PROTOCOL_ERROR)


@case(
    "LNK-048",
    "a fragment that is missing is noticed",
    clause="2.4",
    mark="C",
    sends="FIRST under sequence 1, MIDDLE under sequence 3",
    expects="FRAGMENT_RESPONSE with ERROR 1 (protocol error)",
    advice="Fragments of a command come under consecutive sequences, from 15 on to 1.",
)
def _gap(bench: Bench) -> None:
    first, middle, _ = fragments_of(bench)
    expect_taken(send_fragment(bench, first, sequence=1))
    answer = send_fragment(bench, middle, sequence=3)
    expect_refused(answer, FragmentErrorCode.PROTOCOL_ERROR)


@case(
    "LNK-049",
    "a repeated fragment is taken once",
    clause="2.4",
    mark="C",
    sends="FIRST, MIDDLE, the same MIDDLE again, LAST",
    expects="the same ACK to the repeat, and the response to LAST",
    advice="A repeat is answered as before and adds nothing: its sequence tells it.",
)
def _repeated_fragment(bench: Bench) -> None:
    first, middle, last = fragments_of(bench)
    expect_taken(send_fragment(bench, first))
    taken = send_fragment(bench, middle)
    again = send_fragment(bench, middle, sequence=bench.sequence)
    expect(again == taken, f"the repeat was answered with {describe(again)}")
    _expect_response(send_fragment(bench, last))


@case(
    "LNK-050",
    "a FIRST that announces the longest packet is taken or refused, and never ignored",
    clause="2.4",
    mark="C",
    sends="FIRST whose length is 0, which means 65,536",
    expects="ACK, or FRAGMENT_RESPONSE with ERROR 0 (packet too large)",
    advice="Refuse what there is no memory for at FIRST, before anything is copied.",
)
def _longest_announced(bench: Bench) -> None:
    first = fragments_of(bench)[0]
    answer = send_fragment(bench, first[:2] + bytes(2) + first[4:])
    try:
        expect_taken(answer)
    except NotApplicable:
        return  # refused as it should be


@case(
    "LNK-051",
    "RESYNC ends a long command at every fragment",
    clause="2.3",
    mark="C",
    sends="the first 1, 2 … fragments of a long command, then RESYNC and NO_OPERATION",
    expects="an answer to RESYNC and to NO_OPERATION each time",
    advice="RESYNC drops the packet that is being put together, and its buffer.",
)
def _resync_in_command(bench: Bench) -> None:
    payloads = fragments_of(bench)
    for count in range(1, len(payloads)):
        bench.sync()
        for payload in payloads[:count]:
            expect_taken(send_fragment(bench, payload))
        bench.sync()
        exchange_nothing(bench)


@case(
    "LNK-052",
    "a long command that was given up does not stand in the way",
    clause="2.3",
    mark="C",
    sends="FIRST; after a pause RESYNC is not sent, but a FIRST of another packet and its rest",
    expects="the second packet is answered",
    advice="A FIRST begins anew, whatever was begun before.",
)
def _given_up(bench: Bench) -> None:
    expect_taken(send_fragment(bench, fragments_of(bench)[0]))
    let_idle(bench)
    *head, last = fragments_of(bench, LONG_BYTES - 100)
    for payload in head:
        expect_taken(send_fragment(bench, payload))
    _expect_response(send_fragment(bench, last))


@case(
    "LNK-053",
    "a packet that fits a frame comes in one",
    clause="2.4",
    mark="C",
    sends="NO_OPERATION",
    expects="SIMPLE_RESPONSE, not fragments",
    advice=f"Fragment only what is longer than {MAX_FRAME_PAYLOAD} bytes.",
)
def _simple(bench: Bench) -> None:
    exchange_nothing(bench)
    answer = bench.exchange(bench.frame(idle_packet(bench, MAX_FRAME_PAYLOAD)))
    expect(
        answer.frame_type == FrameType.SIMPLE_RESPONSE, f"it was answered with {describe(answer)}"
    )


def _whole_response(bench: Bench) -> tuple[int, list[Frame]]:
    """Take a whole long response; return what FIRST announced, and all frames."""
    frame = begin_long_response(bench)
    frames = [frame]
    while fragment_in(frame).fragment_type is not FragmentType.LAST:
        frame = take(bench, frame)
        frames.append(frame)
    bench.send(acknowledgement(bench, frame, FragmentType.ACK))
    return fragment_in(frames[0]).data, frames


@case(
    "LNK-060",
    "a long response is as long as its FIRST announces",
    clause="2.4",
    mark="C",
    sends="READ_OBJECT of an array that does not fit a frame; NEXT to each fragment, ACK to LAST",
    expects="FIRST, MIDDLE …, LAST, together as long as FIRST said",
    advice="FIRST announces the whole packet, envelope and signature included.",
)
def _response_length(bench: Bench) -> None:
    announced, frames = _whole_response(bench)
    came = sum(len(fragment_in(frame).chunk) for frame in frames)
    expect(came == announced, f"FIRST announced {announced} bytes, {came} came")
    exchange_after(bench)


def exchange_after(bench: Bench) -> None:
    """Have the device answer a command after it has sent a long response."""
    bench.sync()
    exchange_nothing(bench)


@case(
    "LNK-061",
    "the fragments of a response come in order: FIRST, MIDDLE, LAST",
    clause="2.4",
    mark="C",
    sends="as LNK-060",
    expects="one FIRST, then MIDDLE only, one LAST, none longer than 244 bytes of the packet",
    advice=f"A fragment carries at most {MAX_FRAGMENT_BYTES} bytes of the packet.",
)
def _response_order(bench: Bench) -> None:
    fragments = [fragment_in(frame) for frame in _whole_response(bench)[1]]
    kinds = [each.fragment_type for each in fragments]
    middle = [FragmentType.MIDDLE] * (len(kinds) - 2)
    expect(
        kinds == [FragmentType.FIRST, *middle, FragmentType.LAST],
        f"they came as {', '.join(kind.name for kind in kinds)}",
    )
    longest = max(len(each.chunk) for each in fragments)
    expect(longest <= MAX_FRAGMENT_BYTES, f"a fragment carried {longest} bytes")
    exchange_after(bench)


@case(
    "LNK-062",
    "each fragment of a response takes the next sequence",
    clause="2.4",
    mark="C",
    sends="as LNK-060",
    expects="the command's sequence for FIRST, then one more each time, from 14 on to 1",
    advice="Never 15: readers re-sync when they see it, and the response is lost.",
)
def _response_sequences(bench: Bench) -> None:
    frames = _many_fragments(bench)
    for before, after in pairwise(frames):
        due = 1 if before.sequence >= MAX_SEQUENCE - 1 else before.sequence + 1
        expect(after.sequence == due, f"after sequence {before.sequence} came {after.sequence}")
    exchange_after(bench)


def _many_fragments(bench: Bench) -> list[Frame]:
    """Take fragments until their sequences have come round, or the response has ended."""
    frame = begin_long_response(bench)
    frames = [frame]
    while len(frames) <= MAX_SEQUENCE and fragment_in(frame).fragment_type != FragmentType.LAST:
        frame = take(bench, frame)
        frames.append(frame)
    return frames


@case(
    "LNK-063",
    "a fragment is sent again when its NEXT is repeated",
    clause="2.4",
    mark="C",
    sends="NEXT to FIRST, and the same NEXT again",
    expects="the second fragment, twice, to the letter",
    advice="A commander whose fragment was lost repeats its NEXT.",
)
def _next_repeated(bench: Bench) -> None:
    first = begin_long_response(bench)
    second = take(bench, first)
    again = take(bench, first)
    expect(again == second, f"the repeat was answered with {describe(again)}")
    exchange_after(bench)


@case(
    "LNK-064",
    "LAST that is answered with NEXT gets an empty SIMPLE_RESPONSE",
    clause="2.4",
    mark="C",
    sends="NEXT to every fragment, to LAST as well",
    expects="SIMPLE_RESPONSE without payload",
    advice="Some commanders know no ACK; they must not be left waiting.",
)
def _last_with_next(bench: Bench) -> None:
    frame = begin_long_response(bench)
    while fragment_in(frame).fragment_type is not FragmentType.LAST:
        frame = take(bench, frame)
    answer = take(bench, frame)
    is_empty = answer.frame_type == FrameType.SIMPLE_RESPONSE and not answer.payload
    expect(is_empty, f"it was answered with {describe(answer)}")


@case(
    "LNK-065",
    "a fragment ERROR ends a response",
    clause="2.4",
    mark="C",
    sends="FRAGMENT_RESPONSE with ERROR 3 (terminated) to FIRST, then NO_OPERATION",
    expects="an answer to NO_OPERATION, and nothing of the old response",
    advice="A commander that has run out of memory says so; the response is dropped.",
)
def _terminated(bench: Bench) -> None:
    first = begin_long_response(bench)
    bench.silence(
        acknowledgement(bench, first, FragmentType.ERROR, data=FragmentErrorCode.TERMINATED)
    )
    exchange_nothing(bench)


@case(
    "LNK-066",
    "RESYNC ends a long response at every fragment",
    clause="2.3",
    mark="C",
    sends="NEXT to the first 0, 1, 2 fragments of a response, then RESYNC and NO_OPERATION",
    expects="an answer to RESYNC and to NO_OPERATION each time",
    advice="RESYNC drops what is still to be sent.",
)
def _resync_in_response(bench: Bench) -> None:
    for count in range(3):
        frame = begin_long_response(bench)
        for _ in range(count):
            if fragment_in(frame).fragment_type is FragmentType.LAST:
                break
            frame = take(bench, frame)
        bench.sync()
        exchange_nothing(bench)


@case(
    "LNK-067",
    "what is reserved in a fragment is zero",
    clause="2.4",
    mark="F",
    sends="as LNK-060",
    expects="0 in byte 1 of each fragment, and in the data of MIDDLE and LAST",
    advice="Only FIRST and ERROR have data.",
)
def _reserved(bench: Bench) -> None:
    for frame in _whole_response(bench)[1]:
        expect(frame.payload[1] == 0, f"byte 1 of a fragment is {frame.payload[1]}")
        is_first = fragment_in(frame).fragment_type is FragmentType.FIRST
        data = int.from_bytes(frame.payload[_LENGTH_BYTES], "little")
        expect(is_first or data == 0, f"{in_words(fragment_in(frame))} has data {data}")
    exchange_after(bench)


@case(
    "LNK-068",
    "a fragment of an unknown kind in the middle of a response does not hang the device",
    clause="2.4",
    mark="C",
    sends="FRAGMENT_RESPONSE of fragment type 9 to FIRST, then RESYNC and NO_OPERATION",
    expects="an answer to RESYNC and to NO_OPERATION",
    advice="What makes no sense as an acknowledgement is ignored; the commander starts over.",
)
def _strange_acknowledgement(bench: Bench) -> None:
    first = begin_long_response(bench)
    sound = Fragment(fragment_type=FragmentType.NEXT).encode()
    strange = bytes([0x90]) + sound[1:]
    bench.send(
        bench.frame(strange, frame_type=FrameType.FRAGMENT_RESPONSE, sequence=first.sequence)
    )
    bench.raw.drain(bench.settings.quiet_s)
    exchange_after(bench)
