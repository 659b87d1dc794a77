"""Tests of the link layer: frames, CRC, addresses, sequences (protocol 2.1 to 2.3)."""

from umi_cli.application.commands import NoOperation
from umi_cli.certify.bench import Bench, describe, expect_error
from umi_cli.certify.case import case, expect
from umi_cli.link.frame import CRC_BYTES, FrameType, LinkErrorCode


@case(
    "LNK-001",
    "RESYNC is answered with RESYNC_RESPONSE, sequence 0, without payload",
    clause="2.3",
    mark="F",
    sends="RESYNC from 0 to 0",
    expects="RESYNC_RESPONSE under sequence 0 with no payload",
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
    frame = bench.frame(bench.packet(NoOperation()))
    good = frame.encode()
    bad = good[:-CRC_BYTES] + bytes([good[-CRC_BYTES] ^ 0x10, good[-1]])
    bench.silence(bad)
    bench.wait(bench.meter.transport.idle_gap_s)
    answer = bench.exchange(good)
    expect(answer.frame_type == FrameType.SIMPLE_RESPONSE, f"it got {describe(answer)}")


@case(
    "LNK-003",
    "a response repeats the sequence of its command",
    clause="2.3",
    mark="F",
    sends="NO_OPERATION under sequences 1 to 5",
    expects="SIMPLE_RESPONSE under the same sequence each time",
    advice="Copy the high nibble of byte 0 from the command into the response.",
)
def _same_sequence(bench: Bench) -> None:
    bench.sync()
    for _ in range(5):
        frame = bench.frame(bench.packet(NoOperation()))
        answer = bench.exchange(frame)
        expect(
            answer.sequence == frame.sequence and answer.frame_type == FrameType.SIMPLE_RESPONSE,
            f"a command of sequence {frame.sequence} was answered with {describe(answer)}",
        )


@case(
    "LNK-004",
    "an unknown frame type is answered with ERROR 1",
    clause="2.1",
    mark="F",
    sends="a frame of type 0x6 with a right CRC",
    expects="ERROR with UNKNOWN_FRAME_TYPE",
    advice="A whole frame deserves an answer even when its type is unknown.",
)
def _unknown_type(bench: Bench) -> None:
    bench.sync()
    expect_error(bench.exchange(bench.frame(frame_type=0x6)), LinkErrorCode.UNKNOWN_FRAME_TYPE)
