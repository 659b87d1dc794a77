"""Tests of exchanges: repeats, RESYNC, addresses, two commanders (protocol 2.3)."""

from umi_cli.application.commands import NoOperation
from umi_cli.certify.bench import Bench, describe, expect_error
from umi_cli.certify.case import Need, NotApplicable, case, expect
from umi_cli.certify.link_cases import exchange_nothing, not_on_spi
from umi_cli.link.frame import (
    Frame,
    FrameType,
    LinkErrorCode,
)


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
    not_on_spi(bench)
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
