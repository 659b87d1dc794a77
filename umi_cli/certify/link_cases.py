"""Tests of single frames: CRC, version, types, addresses, noise (protocol 2.1 to 2.3)."""

from umi_cli.application.commands import NoOperation
from umi_cli.certify.bench import Bench, describe, expect_error
from umi_cli.certify.case import Need, NotApplicable, case, expect
from umi_cli.certify.long_packets import idle_packet
from umi_cli.link.frame import (
    CRC_BYTES,
    HEADER_BYTES,
    MAX_FRAME_PAYLOAD,
    MAX_SEQUENCE,
    Frame,
    FrameType,
    LinkErrorCode,
)

ROUNDS = 20
PIECE_PAUSE_S = 0.02  # well below the shortest idle gap, 100 ms
_UNKNOWN_TYPES = (0x6, 0x7, 0x8, 0x9, 0xA, 0xB, 0xC, 0xD, 0xE)
_STRAY = (FrameType.SIMPLE_RESPONSE, FrameType.RESYNC_RESPONSE, FrameType.ERROR)


def exchange_nothing(bench: Bench) -> Frame:
    """Have the device answer a NO_OPERATION, and return its frame; `Failure` if it does not."""
    answer = bench.exchange(bench.frame(bench.packet(NoOperation())))
    expect(
        answer.frame_type == FrameType.SIMPLE_RESPONSE,
        f"NO_OPERATION was answered with {describe(answer)}",
    )
    return answer


def _not_on_spi(bench: Bench) -> None:
    if Need.SPI in bench.has:
        raise NotApplicable("on SPI the clock says where a frame is, not a pause (protocol 9)")


def let_idle(bench: Bench) -> None:
    """Keep the line quiet for long enough to end a frame."""
    bench.wait(2 * bench.meter.transport.idle_gap_s)


@case(
    "LNK-001",
    "RESYNC is answered with RESYNC_RESPONSE under sequence 0, without payload",
    clause="2.3",
    mark="F",
    sends="RESYNC",
    expects="RESYNC_RESPONSE, sequence 0, no payload, not busy",
    advice="A commander without an address has no other way in: answer RESYNC at any time.",
)
def _resync(bench: Bench) -> None:
    answer = bench.sync()
    is_plain = answer.sequence == 0 and not answer.payload and not answer.is_busy
    expect(is_plain, f"the answer was {describe(answer)}")


@case(
    "LNK-002",
    "a frame with a wrong CRC is dropped in silence",
    clause="2.3",
    mark="F",
    sends="NO_OPERATION in a frame whose CRC has one wrong bit, then the same frame right",
    expects="no answer to the first, an answer to the second",
    advice="Check the CRC before anything else of a frame is looked at; never answer a bad one.",
)
def _wrong_crc(bench: Bench) -> None:
    good = bench.frame(bench.packet(NoOperation())).encode()
    bad = good[:-CRC_BYTES] + bytes([good[-CRC_BYTES] ^ 0x10, good[-1]])
    bench.silence(bad)
    let_idle(bench)
    answer = bench.exchange(good)
    expect(answer.frame_type == FrameType.SIMPLE_RESPONSE, f"it got {describe(answer)}")


@case(
    "LNK-003",
    "a response repeats the sequence of its command",
    clause="2.3",
    mark="F",
    sends="NO_OPERATION under sequences 1 to 15",
    expects="SIMPLE_RESPONSE under the same sequence each time",
    advice="Copy the high nibble of byte 0 from the command into the response.",
)
def _same_sequence(bench: Bench) -> None:
    for _ in range(MAX_SEQUENCE):
        answer = exchange_nothing(bench)
        expect(
            answer.sequence == bench.sequence,
            f"a command of sequence {bench.sequence} was answered with {describe(answer)}",
        )


@case(
    "LNK-004",
    "an unknown frame type is answered with ERROR 1",
    clause="2.1",
    mark="F",
    sends="frames of the types 0x6 to 0xE, which nobody has defined, with a right CRC",
    expects="ERROR with UNKNOWN_FRAME_TYPE each time",
    advice="A whole frame deserves an answer even when its type is unknown.",
)
def _unknown_type(bench: Bench) -> None:
    for number in _UNKNOWN_TYPES:
        answer = bench.exchange(bench.frame(frame_type=number))
        expect_error(answer, LinkErrorCode.UNKNOWN_FRAME_TYPE)


@case(
    "LNK-005",
    "an unknown protocol version is answered with ERROR 2",
    clause="2.1",
    mark="F",
    sends="NO_OPERATION in frames of the versions 2 and 15, with a right CRC",
    expects="ERROR with UNKNOWN_PROTOCOL_VERSION; nothing is executed",
    advice="Look at the low nibble of byte 0 once the CRC has proved right.",
)
def _unknown_version(bench: Bench) -> None:
    for version in (2, 15):
        answer = bench.exchange(bench.frame(bench.packet(NoOperation()), version=version))
        expect_error(answer, LinkErrorCode.UNKNOWN_PROTOCOL_VERSION)


@case(
    "LNK-006",
    "a frame to an address that nobody has is answered with ERROR 3",
    clause="2.1",
    mark="F",
    sends="NO_OPERATION to a link address next to the device's",
    expects="ERROR with BAD_ADDRESS; nothing is executed",
    advice="Compare the high nibble of byte 3 with the own address before a command is taken.",
)
def _bad_address(bench: Bench) -> None:
    other = (bench.peer + 9) % 16
    answer = bench.exchange(bench.frame(bench.packet(NoOperation()), destination=other))
    expect_error(answer, LinkErrorCode.BAD_ADDRESS)


@case(
    "LNK-007",
    "an ERROR repeats the sequence of the frame that it is about",
    clause="2.3",
    mark="C",
    sends="a frame of an unknown type under the sequences 3, 4 and 5",
    expects="ERROR under the same sequence",
    advice="An ERROR is an answer: it takes the sequence of what it answers, or it is ignored.",
)
def _error_sequence(bench: Bench) -> None:
    for sequence in (3, 4, 5):
        answer = bench.exchange(bench.frame(frame_type=0x6, sequence=sequence))
        expect_error(answer, LinkErrorCode.UNKNOWN_FRAME_TYPE)
        expect(answer.sequence == sequence, f"sequence {sequence} got {describe(answer)}")


@case(
    "LNK-008",
    "a response carries the addresses of its command the other way round",
    clause="2.3",
    mark="F",
    sends="NO_OPERATION from the address that RESYNC gave us",
    expects="a response to that address, from the one that was commanded",
    advice="Swap the nibbles of byte 3.",
)
def _addresses(bench: Bench) -> None:
    answer = exchange_nothing(bench)
    is_swapped = (answer.destination, answer.source) == (bench.own, bench.peer)
    expect(is_swapped, f"we are {bench.own}, the device is {bench.peer}: {describe(answer)}")


@case(
    "LNK-009",
    "what is reserved in a frame is zero",
    clause="2.1",
    mark="F",
    sends="NO_OPERATION, and RESYNC",
    expects="answers whose byte 1 has bits 6 to 4 clear",
    advice="A later version of the protocol may give these bits a meaning.",
)
def _reserved_bits(bench: Bench) -> None:
    exchange_nothing(bench)
    received = b"".join(p.data for p in bench.recorder.pieces if p.direction == "in")
    heads = _heads(received)
    expect(bool(heads), "no frame came")
    for head in heads:
        expect(not head[1] & 0x70, f"byte 1 of a frame is 0x{head[1]:02x}")


def _heads(data: bytes) -> list[bytes]:
    """Return the headers of the frames that stand one after the other."""
    heads = []
    while len(data) >= HEADER_BYTES:
        heads.append(data[:HEADER_BYTES])
        data = data[HEADER_BYTES + data[2] + CRC_BYTES :]
    return heads


@case(
    "LNK-010",
    "every frame of the device has a right CRC",
    clause="2.2",
    mark="F",
    sends=f"NO_OPERATION, {ROUNDS} times",
    expects="as many answers, and no byte that is part of no frame",
    advice="Bits enter the CRC least significant first, the register is sent low byte first.",
)
def _own_crc(bench: Bench) -> None:
    noise = bench.raw.noise_bytes
    for _ in range(ROUNDS):
        if bench.sequence == MAX_SEQUENCE:
            bench.sync()
        exchange_nothing(bench)
    came = bench.raw.noise_bytes - noise
    expect(not came, f"{came} bytes came that are part of no frame with a right CRC")


@case(
    "LNK-011",
    "a response that nobody waits for is not answered",
    clause="2.3",
    mark="C",
    sends="SIMPLE_RESPONSE, RESYNC_RESPONSE and ERROR that answer nothing",
    expects="silence, and an answer to the command that follows",
    advice="Two devices that answer each other's answers never stop.",
)
def _stray_response(bench: Bench) -> None:
    for kind in _STRAY:
        payload = b"\x01\x00" if kind == FrameType.ERROR else b""
        bench.silence(bench.frame(payload, frame_type=kind, sequence=9))
    exchange_nothing(bench)


@case(
    "LNK-012",
    "a repeated frame is answered again and executed once",
    clause="2.3",
    mark="C",
    sends="NO_OPERATION; two seconds later the same frame to the letter, twice",
    expects="the stored answer each time, to the letter: its created time does not move",
    advice="Keep the last answer, and give it again where the sequence is that of the last one.",
)
def _repeat(bench: Bench) -> None:
    frame = bench.frame(bench.packet(NoOperation()))
    first = bench.exchange(frame)
    for _ in range(2):
        bench.wait(2.1)
        again = bench.exchange(frame)
        expect(again == first, f"the repeat was answered with other bytes: {describe(again)}")


@case(
    "LNK-013",
    "a command under the next sequence is executed anew",
    clause="2.3",
    mark="C",
    sends="NO_OPERATION; two seconds later the same packet under the next sequence",
    expects="an answer of its own, with a created time of its own",
    advice="The stored answer belongs to one sequence, whatever the packet in the frame is.",
)
def _anew(bench: Bench) -> None:
    packet = bench.packet(NoOperation())
    first = bench.exchange(bench.frame(packet))
    bench.wait(2.1)
    second = bench.exchange(bench.frame(packet))
    expect(first.payload != second.payload, "the answer of the command before was given again")


@case(
    "LNK-014",
    "RESYNC forgets the stored answer",
    clause="2.3",
    mark="C",
    sends="NO_OPERATION under sequence 1; two seconds later RESYNC, and the same frame again",
    expects="an answer with a created time of its own",
    advice="RESYNC ends whatever either side had: the answer it kept for repeats as well.",
)
def _resync_forgets(bench: Bench) -> None:
    frame = bench.frame(bench.packet(NoOperation()))
    first = bench.exchange(frame)
    bench.wait(2.1)
    bench.sync()
    second = bench.exchange(frame)
    expect(first.payload != second.payload, "the answer from before the RESYNC was given again")


@case(
    "LNK-015",
    "RESYNC may follow RESYNC",
    clause="2.3",
    mark="F",
    sends="RESYNC, four times in a row, then NO_OPERATION",
    expects="an answer to each",
    advice="A commander whose RESYNC_RESPONSE was lost sends RESYNC again.",
)
def _resync_again(bench: Bench) -> None:
    for _ in range(4):
        bench.sync()
    exchange_nothing(bench)


@case(
    "LNK-016",
    "a commander without an address is given one",
    clause="2.3",
    mark="F",
    sends="RESYNC from 0 to 0",
    expects="RESYNC_RESPONSE to an address of 1 to 15, which is ours from then on",
    advice="0 is the Host's address: whoever asks from 0 has none yet.",
)
def _address_given(bench: Bench) -> None:
    _not_as_host(bench)
    resync = Frame(sequence=0, frame_type=FrameType.RESYNC, destination=0, source=0)
    answer = bench.exchange(resync)
    expect(
        answer.frame_type == FrameType.RESYNC_RESPONSE and answer.destination != 0,
        f"RESYNC from 0 was answered with {describe(answer)}",
    )


@case(
    "LNK-017",
    "a commander that has an address keeps it",
    clause="2.3",
    mark="F",
    sends="RESYNC from 7, then NO_OPERATION from 7",
    expects="answers to 7",
    advice="RESYNC_RESPONSE goes to the commander's address where it has one.",
)
def _address_kept(bench: Bench) -> None:
    _not_as_host(bench)
    resync = Frame(sequence=0, frame_type=FrameType.RESYNC, destination=bench.peer, source=7)
    answer = bench.exchange(resync)
    expect(answer.destination == 7, f"RESYNC from 7 was answered with {describe(answer)}")
    bench.own, bench.sequence = 7, 0
    answer = exchange_nothing(bench)
    expect(answer.destination == 7, f"a command from 7 was answered with {describe(answer)}")


@case(
    "LNK-018",
    "each commander has an exchange of its own",
    clause="2.3",
    mark="F",
    sends="NO_OPERATION under sequence 1 from one address, then under 1 from another",
    expects="an answer of its own to each: nobody gets what is stored for another",
    advice="One exchange is open per pair: keep sequence and stored answer by source address.",
)
def _two_commanders(bench: Bench) -> None:
    _not_as_host(bench)
    first = bench.exchange(bench.frame(bench.packet(NoOperation())))
    other = bench.frame(bench.packet(NoOperation()), sequence=1, source=(bench.own + 3) % 15 + 1)
    second = bench.exchange(other)
    expect(
        second.destination == other.source and second.payload != first.payload,
        f"the other commander was answered with {describe(second)}",
    )


def _not_as_host(bench: Bench) -> None:
    if Need.SPI in bench.has:
        raise NotApplicable("we are the Host on this line: the device takes its address from us")


@case(
    "LNK-019",
    "of two commands sent at once both are answered",
    clause="2.3",
    mark="F",
    sends="two NO_OPERATION frames one after the other, without waiting for the first answer",
    expects="the response to the first, then a response or ERROR 5 (BUSY) to the second",
    advice="A command that cannot be taken now is answered with ERROR 5, never lost.",
)
def _two_at_once(bench: Bench) -> None:
    _not_on_spi(bench)
    frames = [bench.frame(bench.packet(NoOperation())) for _ in range(2)]
    bench.send(b"".join(frame.encode() for frame in frames))
    first, second = bench.answer(), bench.answer()
    if second.sequence == frames[0].sequence:  # BUSY may overtake the response
        first, second = second, first
    expect(
        first.frame_type == FrameType.SIMPLE_RESPONSE and first.sequence == frames[0].sequence,
        f"the first was answered with {describe(first)}",
    )
    if second.frame_type == FrameType.ERROR:
        expect_error(second, LinkErrorCode.BUSY)
    expect(second.sequence == frames[1].sequence, f"the second got {describe(second)}")


@case(
    "LNK-020",
    "noise before a frame, ended by a pause, does not spoil it",
    clause="2.3",
    mark="C",
    sends="some bytes of noise, an idle gap, NO_OPERATION",
    expects="an answer",
    advice="A pause ends whatever is half received: the next byte begins a frame.",
)
def _noise_then_gap(bench: Bench) -> None:
    _not_on_spi(bench)
    for _ in range(5):
        bench.send(bench.random.randbytes(bench.random.randint(1, 40)))
        bench.raw.drain(bench.settings.quiet_s / 5)  # a byte that begins a frame may be answered
        let_idle(bench)
        exchange_nothing(bench)


@case(
    "LNK-021",
    "noise right before a frame does not spoil it",
    clause="2.3",
    mark="C",
    sends="a byte 0xFF and NO_OPERATION without a pause between them",
    expects="an answer",
    advice="Slide byte by byte until a header with a right CRC stands; do not drop the rest.",
)
def _noise_without_gap(bench: Bench) -> None:
    _not_on_spi(bench)
    answer = bench.exchange(b"\xff" + bench.frame(bench.packet(NoOperation())).encode())
    expect(answer.frame_type == FrameType.SIMPLE_RESPONSE, f"it got {describe(answer)}")


@case(
    "LNK-022",
    "a frame that broke off is forgotten after a pause",
    clause="2.3",
    mark="C",
    sends="NO_OPERATION without its last 10 bytes, an idle gap, NO_OPERATION",
    expects="silence to the first, an answer to the second",
    advice="Start the idle timer with each byte; when it ends, drop what stands half received.",
)
def _truncated(bench: Bench) -> None:
    _not_on_spi(bench)
    bench.silence(bench.frame(bench.packet(NoOperation())).encode()[:-10])
    let_idle(bench)
    exchange_nothing(bench)


@case(
    "LNK-023",
    "a frame may come in pieces",
    clause="2.3",
    mark="C",
    sends="NO_OPERATION in three pieces, each 20 ms after the one before",
    expects="an answer",
    advice="A serial driver hands over what it has: frame by the length byte, not by reads.",
)
def _in_pieces(bench: Bench) -> None:
    _not_on_spi(bench)
    data = bench.frame(bench.packet(NoOperation())).encode()
    for piece in (data[:2], data[2:9]):
        bench.send(piece)
        bench.wait(PIECE_PAUSE_S)
    answer = bench.exchange(data[9:])
    expect(answer.frame_type == FrameType.SIMPLE_RESPONSE, f"it got {describe(answer)}")


@case(
    "LNK-024",
    "the longest frame is taken",
    clause="2.1",
    mark="F",
    sends=f"a packet of {MAX_FRAME_PAYLOAD} bytes in a SIMPLE frame: 255 bytes in all",
    expects="a response, whatever its result",
    advice="The receive buffer holds 255 bytes: header, 249 of payload, CRC.",
)
def _longest(bench: Bench) -> None:
    answer = bench.exchange(bench.frame(idle_packet(bench, MAX_FRAME_PAYLOAD)))
    is_response = answer.frame_type in (FrameType.SIMPLE_RESPONSE, FrameType.FRAGMENT)
    expect(is_response, f"it was answered with {describe(answer)}")


@case(
    "LNK-025",
    "a length that no frame has is noise",
    clause="2.1",
    mark="F",
    sends="256 bytes whose length byte says 250, an idle gap, NO_OPERATION",
    expects="silence to the first, an answer to the second",
    advice="The length byte is at most 249; more must not run past the receive buffer.",
)
def _too_long(bench: Bench) -> None:
    _not_on_spi(bench)
    head = bytes([bench.frame().sequence << 4 | 1, 0, MAX_FRAME_PAYLOAD + 1, bench.peer << 4])
    bench.silence(head + bytes(252))
    let_idle(bench)
    exchange_nothing(bench)


@case(
    "LNK-026",
    "a frame cut off at every byte leaves nothing behind",
    clause="2.3",
    mark="C",
    sends="a NO_OPERATION frame cut off after 1, 2, 3 … bytes, an idle gap, then a whole one",
    expects="an answer to every whole one",
    advice="Whatever is half received must be gone after the idle gap, header or not.",
)
def _cut_everywhere(bench: Bench) -> None:
    _not_on_spi(bench)
    whole = bench.frame(bench.packet(NoOperation())).encode()
    for length in range(1, len(whole), 5):
        bench.sync()
        bench.send(whole[:length])
        let_idle(bench)
        exchange_nothing(bench)
