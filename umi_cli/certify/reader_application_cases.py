"""Scenarios with application packets: whom a reader believes, and how it waits (protocol 3)."""

import math

from umi_cli.application.codes import PacketType
from umi_cli.application.commands import ReadObject, ReadObjectPart, Wait
from umi_cli.certify.bench import describe
from umi_cli.certify.case import Level, NotApplicable, expect, fail
from umi_cli.certify.reader_case import End, Task, reader_case
from umi_cli.certify.reader_judging import (
    LEAST_PAUSE_S,
    expect_no_false_success,
    expect_not_believed,
    is_meant,
    repeats_of,
)
from umi_cli.certify.reader_record import Asked, Conversation, Strike, is_wait, response_in
from umi_cli.types import TO_END

EARLY_S = 0.005  # of a clock with ticks


@reader_case(
    "RDR-030",
    "a response under another transaction number is not believed",
    level=Level.APPLICATION,
    clause="3.1",
    mark="F",
    trick="transaction-wrong",
    task=Task.READ,
    end=End.EITHER,
    sends="the first value that is read, under the transaction number after the command's",
    expects="the same read again, or an end; nothing that goes on from there",
    advice="Compare the transaction number before anything else of a response is looked at.",
)
def _transaction(talk: Conversation) -> None:
    expect_not_believed(talk)


@reader_case(
    "RDR-031",
    "a response whose UMI IDs are not swapped is not believed",
    level=Level.APPLICATION,
    clause="3.1",
    mark="F",
    trick="ids-unswapped",
    task=Task.READ,
    end=End.EITHER,
    sends="the first value that is read, with source and destination as in the command",
    expects="the same read again, or an end; nothing that goes on from there",
    advice="The source of a response is the destination of its command, and the other way round.",
)
def _ids(talk: Conversation) -> None:
    expect_not_believed(talk)


@reader_case(
    "RDR-032",
    "a response of another type is not believed",
    level=Level.APPLICATION,
    clause="3.2",
    mark="F",
    trick="type-wrong",
    task=Task.READ,
    end=End.EITHER,
    sends="the first value that is read, as packet type 35, an answer to a write",
    expects="the same read again, or an end; nothing that goes on from there",
    advice="Each command has one type of response: its own type, and one more.",
)
def _type(talk: Conversation) -> None:
    expect_not_believed(talk)


@reader_case(
    "RDR-033",
    "a value of another object is not believed",
    level=Level.APPLICATION,
    clause="3.2",
    mark="F",
    trick="object-wrong",
    task=Task.READ,
    end=End.EITHER,
    sends="the first value that is read, under the code of another object",
    expects="the same read again, or an end; nothing that goes on from there",
    advice="The response repeats the code or the object part that was asked for: compare it.",
)
def _object(talk: Conversation) -> None:
    expect_not_believed(talk)


@reader_case(
    "RDR-034",
    "a WAIT under another transaction number is not obeyed",
    level=Level.APPLICATION,
    clause="3.1",
    mark="F",
    trick="wait-wrong",
    task=Task.READ,
    end=End.EITHER,
    sends="WAIT 20 ms under the transaction number after the command's",
    expects="no COMPLETE; the same read again, or an end",
    advice="A WAIT is a response as any other: compare its transaction number first.",
)
def _false_wait(talk: Conversation) -> None:
    for each in talk.asked_after(talk.strike.order):
        if each.packet_type == PacketType.COMPLETE:
            fail("the reader obeyed a WAIT of another transaction: it sent COMPLETE")
    expect_not_believed(talk)


@reader_case(
    "RDR-035",
    "a response whose lengths do not fit is survived",
    level=Level.APPLICATION,
    clause="3.1",
    mark="F",
    trick="malformed",
    task=Task.READ,
    end=End.EITHER,
    sends="a response whose payload length, 65,535, leads past its end",
    expects="the same read again, or an end; nothing that goes on from there",
    advice="Check each length against the bytes that are there before anything is copied.",
)
def _malformed(talk: Conversation) -> None:
    expect_not_believed(talk)


@reader_case(
    "RDR-036",
    "a WAIT is waited for, and COMPLETE fetches the response under the same transaction",
    level=Level.APPLICATION,
    clause="3.2",
    mark="F",
    trick="deferred",
    task=Task.READ,
    sends="WAIT 300 ms for each read, and the value when COMPLETE comes",
    expects="COMPLETE under the transaction number of the read, 300 ms later or more",
    advice="Send nothing else meanwhile: the meter has room for one transaction.",
)
def _wait(talk: Conversation) -> None:
    for strike in talk.played:
        _check_wait(talk, strike)


def _check_wait(talk: Conversation, strike: Strike) -> None:
    """Go on if what came after a WAIT was the COMPLETE that is due, and in time."""
    deferred = talk.command_before(strike)
    told = response_in(talk.answered(after=strike.order)[0])
    if told is None or not is_wait(told):
        raise NotApplicable("the WAIT did not reach the reader")
    after = talk.asked_after(strike.order)
    expect(bool(after), f"{deferred.title} was deferred, and COMPLETE never came")
    complete = after[0]
    expect(
        complete.packet_type == PacketType.COMPLETE,
        f"{deferred.title} was deferred, and {complete.title} came instead of COMPLETE",
    )
    numbers = [each.message.transaction for each in (complete, deferred) if each.message]
    expect(
        len(set(numbers)) == 1,
        f"COMPLETE came under transaction {numbers[0]}, {deferred.title} had {numbers[-1]}",
    )
    waited_s, due_s = complete.at_s - strike.at_s, Wait.decode(told.payload).wait_ms / 1000
    expect(
        waited_s >= due_s - EARLY_S,
        f"COMPLETE came after {waited_s:.3f} s, WAIT said {due_s:.3f} s",
    )


@reader_case(
    "RDR-037",
    "a read that is too long is asked for in smaller parts",
    level=Level.APPLICATION,
    clause="3.3",
    mark="F",
    trick="too-long",
    task=Task.LONG,
    sends="TOO_LONG (8) for every value of more than 480 bytes",
    expects="a read of fewer elements of the same array, until they fit",
    advice="Halve the number of elements, and keep what fitted for the next read.",
)
def _too_long(talk: Conversation) -> None:
    for strike in talk.played:
        refused = talk.command_before(strike)
        after = [each for each in talk.asked_after(strike.order) if is_meant(each)]
        expect(bool(after), f"{refused.title} was too long, and given up")
        code, elements = _extent(refused)
        next_code, next_elements = _extent(after[0])
        expect(
            code == next_code and next_elements < elements,
            f"{refused.title} was too long, and {after[0].title} came next, which is no smaller",
        )


def _extent(asked: Asked) -> tuple[object, float]:
    """Return which object a command reads, and how many elements of it."""
    command = asked.command
    if isinstance(command, ReadObject):
        return command.code, math.inf
    if isinstance(command, ReadObjectPart):
        part = command.part
        return part.code, math.inf if part.last == TO_END else part.last - part.first + 1
    return None, math.inf


@reader_case(
    "RDR-038",
    "what is unavailable is not asked for again at once",
    level=Level.APPLICATION,
    clause="3.3",
    mark="F",
    trick="unavailable",
    task=Task.READ,
    end=End.EITHER,
    sends="UNAVAILABLE (10) for the first read",
    expects="the same read again, 50 ms later or more, or an end that says so",
    advice="Try again later, or tell the user to.",
)
def _unavailable(talk: Conversation) -> None:
    refused = talk.struck_command
    again = [each for each in talk.asked_after(talk.strike.order) if each.is_same_as(refused)]
    pause_s = again[0].at_s - talk.strike.at_s if again else math.inf
    expect(
        pause_s >= LEAST_PAUSE_S,
        f"{refused.title} was unavailable, and asked for again within {pause_s * 1000:.0f} ms",
    )
    expect_no_false_success(talk)


@reader_case(
    "RDR-039",
    "a result code that nobody has defined is a refusal",
    level=Level.APPLICATION,
    clause="3.3",
    mark="C",
    trick="result-unknown",
    task=Task.READ,
    end=End.EITHER,
    sends="result 77 for the first read, and no payload",
    expects="no repeat of its frame: it was answered; the reader goes on, or ends and says so",
    advice="Later versions of the standard add codes: treat any but 0 as a refusal.",
)
def _unknown(talk: Conversation) -> None:
    repeats = repeats_of(talk, talk.struck)
    expect(repeats == 0, f"{describe(talk.struck.frame)} came again, though it was answered")
    expect_no_false_success(talk)
