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
BROKEN_OFF = 20
"""Bytes of a frame that breaks off: with the commands that follow it is far from whole."""
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


def not_on_spi(bench: Bench) -> None:
    """Leave a test out where pauses and pieces mean nothing."""
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
    "LNK-020",
    "noise before a frame, ended by a pause, does not spoil it",
    clause="2.3",
    mark="C",
    sends="some bytes of noise, an idle gap, NO_OPERATION",
    expects="an answer",
    advice="A pause ends whatever is half received: the next byte begins a frame.",
)
def _noise_then_gap(bench: Bench) -> None:
    not_on_spi(bench)
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
    not_on_spi(bench)
    answer = bench.exchange(b"\xff" + bench.frame(bench.packet(NoOperation())).encode())
    expect(answer.frame_type == FrameType.SIMPLE_RESPONSE, f"it got {describe(answer)}")


@case(
    "LNK-022",
    "a frame that broke off is forgotten after a pause",
    clause="2.3",
    mark="C",
    sends=f"the first {BROKEN_OFF} bytes of a frame of 255, an idle gap, NO_OPERATION",
    expects="silence to the first, an answer to the second",
    advice="Start the idle timer with each byte; when it ends, drop what stands half received.",
)
def _truncated(bench: Bench) -> None:
    not_on_spi(bench)
    whole = bench.frame(idle_packet(bench, MAX_FRAME_PAYLOAD)).encode()
    bench.silence(whole[:BROKEN_OFF])
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
    not_on_spi(bench)
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
    not_on_spi(bench)
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
    not_on_spi(bench)
    whole = bench.frame(bench.packet(NoOperation())).encode()
    for length in range(1, len(whole), 5):
        bench.sync()
        bench.send(whole[:length])
        let_idle(bench)
        exchange_nothing(bench)
