"""Scenarios on the link: what a reader does when answers are lost, spoilt or late.

Source: protocol 2.1 to 2.3.
"""

from umi_cli.certify.bench import describe
from umi_cli.certify.case import Level, NotApplicable, expect
from umi_cli.certify.reader_case import End, Task, reader_case
from umi_cli.certify.reader_judging import (
    LEAST_PAUSE_S,
    expect_same_frame_again,
    expect_waits,
    is_command,
    repeats_of,
)
from umi_cli.certify.reader_record import Conversation, Passage
from umi_cli.link.frame import MAX_SEQUENCE, Frame, FrameType


@reader_case(
    "RDR-001",
    "a command whose response was lost is sent again, to the letter",
    level=Level.LINK,
    clause="2.3",
    mark="F",
    trick="response-lost",
    task=Task.READ,
    sends="nothing for the first response; the stored answer when the frame comes again",
    expects="the very same frame again, under the same sequence",
    advice="Keep the bytes of the frame, and send those: a frame made anew is another command.",
)
def _lost(talk: Conversation) -> None:
    expect_same_frame_again(talk)


@reader_case(
    "RDR-002",
    "a frame is sent three times in all, and no more",
    level=Level.LINK,
    clause="2.3",
    mark="F",
    trick="command-unanswered",
    task=Task.READ,
    end=End.EITHER,
    sends="nothing for the first response, however often its frame comes; all else is answered",
    expects="the frame a second and a third time; then the reader gives up, or begins with RESYNC",
    advice="Count the attempts of each frame; after the last one nobody knows what became of it.",
)
def _three_times(talk: Conversation) -> None:
    times = 1 + repeats_of(talk, talk.struck)
    frame = describe(talk.struck.frame)
    expect(times > 1, f"{frame} was sent once, and not repeated")
    expect(times <= talk.attempts, f"{frame} was sent {times} times in all, not {talk.attempts}")


@reader_case(
    "RDR-003",
    "a response whose CRC is wrong is not believed",
    level=Level.LINK,
    clause="2.2",
    mark="F",
    trick="crc-wrong",
    task=Task.READ,
    sends="the first response with a bit turned round, under the CRC that it had before",
    expects="the same frame again, as if nothing had come",
    advice="Compute the CRC over header and payload before anything of a frame is looked at.",
)
def _crc(talk: Conversation) -> None:
    expect_same_frame_again(talk)


@reader_case(
    "RDR-004",
    "a response under another sequence is ignored",
    level=Level.LINK,
    clause="2.3",
    mark="F",
    trick="sequence-wrong",
    task=Task.READ,
    sends="the first response under the sequence after the command's",
    expects="the same frame again",
    advice="A response belongs to the command whose sequence it carries, and to no other.",
)
def _sequence(talk: Conversation) -> None:
    expect_same_frame_again(talk)


@reader_case(
    "RDR-005",
    "a response from another link address is ignored",
    level=Level.LINK,
    clause="2.3",
    mark="F",
    trick="source-wrong",
    task=Task.READ,
    sends="the first response from link address 9, which was not asked",
    expects="the same frame again",
    advice="Compare the source of a response with the destination of the command.",
)
def _source(talk: Conversation) -> None:
    expect_same_frame_again(talk)


@reader_case(
    "RDR-006",
    "a response to another link address is ignored",
    level=Level.LINK,
    clause="2.3",
    mark="F",
    trick="destination-wrong",
    task=Task.READ,
    sends="the first response to link address 9, which is not the reader's",
    expects="the same frame again",
    advice="Compare the destination of a response with the address that RESYNC_RESPONSE gave.",
)
def _destination(talk: Conversation) -> None:
    expect_same_frame_again(talk)


@reader_case(
    "RDR-007",
    "a RESYNC whose response was lost is sent again",
    level=Level.LINK,
    clause="2.3",
    mark="F",
    trick="resync-lost",
    task=Task.READ,
    sends="nothing for the first RESYNC; RESYNC_RESPONSE for the second",
    expects="RESYNC again, and no command before it is answered",
    advice="Before RESYNC_RESPONSE neither side has an address or a sequence.",
)
def _resync(talk: Conversation) -> None:
    expect_same_frame_again(talk)


@reader_case(
    "RDR-008",
    "sequences count up from 1, and after 15 comes a RESYNC",
    level=Level.LINK,
    clause="2.3",
    mark="F",
    trick="last-sequence",
    task=Task.MANY,
    sends="every response as it should be",
    expects="sequences 1, 2, ... 15 behind each RESYNC, and a RESYNC before the next command",
    advice="Let no sequence wrap: a meter takes an old sequence for a repeat, and runs nothing.",
)
def _fifteen(talk: Conversation) -> None:
    strike = talk.strike
    _check_all_sequences(talk)
    later = [each for each in talk.sent(after=strike.order) if each.frame != talk.struck.frame]
    if not later:
        raise NotApplicable("the reader sent nothing behind sequence 15")


def _check_all_sequences(talk: Conversation) -> None:
    for line in {each.line for each in talk.frames}:
        _check_sequences([each for each in talk.frames if each.line == line])


def _check_sequences(frames: list[Passage]) -> None:
    """Go on if each command carries the sequence behind the last one that either side used."""
    last, before = 0, None
    for each in frames:
        frame = each.frame
        if each.way == "out":
            last = frame.sequence if frame.frame_type == FrameType.FRAGMENT else last
        elif frame.frame_type == FrameType.RESYNC:
            last, before = 0, frame
        elif is_command(each) and frame != before:
            _check_sequence(frame, last, is_first=not _goes_on(frame))
            last, before = frame.sequence, frame


def _goes_on(frame: Frame) -> bool:
    """Tell whether a frame goes on with a long command: those alone wrap."""
    return frame.frame_type == FrameType.FRAGMENT and frame.payload[:1] != b"\x00"


def _check_sequence(frame: Frame, last: int, *, is_first: bool) -> None:
    if is_first:
        expect(last < MAX_SEQUENCE, f"behind sequence 15 came {describe(frame)} and no RESYNC")
    due = last % MAX_SEQUENCE + 1
    expect(frame.sequence == due, f"{describe(frame)} came where sequence {due} was due")


def _check_busy(talk: Conversation) -> None:
    """Go on if a command that was refused for the moment came again, and not at once."""
    for number, strike in enumerate(talk.played, start=1):
        refused, after = talk.command_before(strike), talk.sent(after=strike.order)
        if not after:
            expect(number > 1, f"{refused.title} was given up when it was refused the first time")
            return
        pause_s = after[0].at_s - strike.at_s
        expect(
            pause_s >= LEAST_PAUSE_S,
            f"after a refusal {describe(after[0].frame)} came within {pause_s * 1000:.0f} ms",
        )
        again = talk.asked_after(strike.order)
        expect(
            bool(again) and again[0].is_same_as(refused),
            f"{refused.title} was refused for the moment, and not given again"
            + (f": {again[0].title} came" if again else ""),
        )


@reader_case(
    "RDR-009",
    "a command that meets a busy meter is given again, after a pause",
    level=Level.LINK,
    clause="2.3",
    mark="F",
    trick="busy",
    task=Task.READ,
    end=End.EITHER,
    sends="ERROR 5, busy, for the first three commands; then responses as they should be",
    expects="the same command again, each time 50 ms later or more",
    advice="Busy passes. Wait a while, try again, and give up after some seconds at the earliest.",
)
def _busy(talk: Conversation) -> None:
    _check_busy(talk)


@reader_case(
    "RDR-010",
    "a command that cannot be forwarded is given again, after a pause",
    level=Level.LINK,
    clause="2.1",
    mark="F",
    trick="cannot-forward",
    task=Task.READ,
    end=End.EITHER,
    sends="ERROR 4, cannot forward, for the first three commands; then responses as they should be",
    expects="the same command again, each time 50 ms later or more",
    advice="ERROR 4 is temporary: the port on the way may be asleep, or want to know you first.",
)
def _cannot_forward(talk: Conversation) -> None:
    _check_busy(talk)


@reader_case(
    "RDR-011",
    "noise before a response costs one repeat at most",
    level=Level.LINK,
    clause="2.3",
    mark="C",
    trick="noise-before",
    task=Task.READ,
    sends="20 bytes of noise and, right behind them, the first response",
    expects="the response taken, or the same frame again once",
    advice="Where no frame stands, slide on by one byte, or start anew after a pause of 100 ms.",
)
def _noise(talk: Conversation) -> None:
    repeats = repeats_of(talk, talk.struck)
    expect(repeats <= 1, f"after noise {describe(talk.struck.frame)} came {repeats} times again")
    later = talk.sent(after=talk.strike.order)[repeats:]
    is_lost = bool(later) and later[0].frame.frame_type == FrameType.RESYNC
    is_due = talk.struck.frame.sequence == MAX_SEQUENCE
    expect(not is_lost or is_due, "after noise the reader gave the command up, and sent RESYNC")


@reader_case(
    "RDR-012",
    "a response that arrives in pieces is put together",
    level=Level.LINK,
    clause="2.3",
    mark="F",
    trick="in-pieces",
    task=Task.READ,
    sends="the first response in three pieces, 10 ms apart, the first of them one byte",
    expects="the response taken: its command does not come again",
    advice="A stream has no packets: collect bytes until as many are there as the header says.",
)
def _pieces(talk: Conversation) -> None:
    repeats = repeats_of(talk, talk.struck)
    expect(repeats == 0, f"{describe(talk.struck.frame)} came again, though it was answered")


@reader_case(
    "RDR-013",
    "a response that arrives twice answers one command",
    level=Level.LINK,
    clause="2.3",
    mark="F",
    trick="doubled",
    task=Task.READ,
    sends="the first response twice, and the second response after a while",
    expects="the second command, and nothing else until it is answered",
    advice="Drop what waits in the buffer under an old sequence when a command is sent.",
)
def _doubled(talk: Conversation) -> None:
    later = [each for each in talk.sent(after=talk.strike.order) if is_command(each)]
    later = [each for each in later if each.frame != talk.struck.frame]
    if not later:
        raise NotApplicable("the reader sent one command alone")
    expect_waits(talk, later[0], may_repeat=True)


@reader_case(
    "RDR-014",
    "a late response to the command before is not taken for the next one's",
    level=Level.LINK,
    clause="2.3",
    mark="F",
    trick="late-copy",
    task=Task.READ,
    sends="for the second command the first response once more, and the right one after a while",
    expects="nothing until the right one is there",
    advice="The sequence tells which command a response belongs to.",
)
def _late(talk: Conversation) -> None:
    expect_waits(talk, talk.struck, may_repeat=True)


@reader_case(
    "RDR-015",
    "the first sequence behind a RESYNC is 1, and the next ones count up",
    level=Level.LINK,
    clause="2.3",
    mark="F",
    trick="last-sequence",
    task=Task.READ,
    sends="every response as it should be",
    expects="sequence 1 behind each RESYNC, then 2, and so on",
    advice="RESYNC sets the sequence of both sides to 0; what was counted before does not go on.",
)
def _from_one(talk: Conversation) -> None:
    if not any(is_command(each) for each in talk.sent()):
        raise NotApplicable("the reader sent no command")
    _check_all_sequences(talk)


@reader_case(
    "RDR-090",
    "a response that takes its time is waited for",
    level=Level.TIMING,
    clause="2.3",
    mark="F",
    trick="slow",
    task=Task.READ,
    sends="the first response after 60 % of the reader's timeout (--timeout, or else 2 s)",
    expects="nothing until then",
    advice="A meter on batteries wakes up first. Wait as long as your own documentation says.",
)
def _slow(talk: Conversation) -> None:
    expect_waits(talk, talk.struck, may_repeat=False)


@reader_case(
    "RDR-091",
    "a frame is not repeated before the timeout is over",
    level=Level.TIMING,
    clause="2.3",
    mark="F",
    trick="response-lost",
    task=Task.READ,
    sends="nothing for the first response",
    expects="the same frame again, when the reader's timeout (--timeout, or else 2 s) is over and"
    " not before",
    advice="A repeat that comes too soon meets the answer on its way, and then one too many.",
)
def _hasty(talk: Conversation) -> None:
    expect_same_frame_again(talk)
    waited_s = talk.sent(after=talk.strike.order)[0].at_s - talk.struck.at_s
    # a tenth less, and 50 ms, for what either side's clock and the way to it take
    least_s = 0.9 * talk.timeout_s - 0.05
    expect(waited_s >= least_s, f"it was repeated after {waited_s:.3f} s of {talk.timeout_s:g} s")
