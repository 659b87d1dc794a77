"""Tests of responses that are deferred: WAIT, COMPLETE, busy (protocol 2.3, 3.2)."""

from contextlib import suppress
from functools import partial
from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import (
    Complete,
    NoOperation,
    ReadObject,
    Wait,
)
from umi_cli.application.packet import Message
from umi_cli.certify.bench import (
    MAX_WAITS,
    Bench,
    describe_result,
    expect_error,
    expect_result,
    is_error,
)
from umi_cli.certify.case import Failure, NotApplicable, case, expect
from umi_cli.certify.long_packets import fetch_by_hand, wait_ms_of
from umi_cli.certify.reply_cases import decoded
from umi_cli.link.frame import LinkErrorCode
from umi_cli.objects.definitions import ObjectDefinition

MAX_TRIES = 5
"""How often to send a command in the time of another one: a slow line may be too late."""


def _deferred(bench: Bench) -> tuple[ReadObject, Message]:
    """Have the device defer a response; return the command and its WAIT.

    It is fetched at the end of the test: left there, it would make the device busy.

    Raises:
        NotApplicable: it defers the reading of no object.
    """
    for definition in _short_first(bench):
        command = ReadObject(code=definition.code)
        message = bench.ask(bench.packet(command), command)
        if message.packet_type == PacketType.WAIT:
            bench.at_end(partial(_leave_nothing, bench, message))
            return command, message
    raise NotApplicable("the device answers READ_OBJECT of every object at once")


def _short_first(bench: Bench) -> list[ObjectDefinition]:
    """Return the objects to read, arrays last: they take long on a slow line."""
    objects = [each for each in bench.catalogue.objects if not each.secret]
    return sorted(objects, key=lambda each: each.kind.is_array)


def _fetch(bench: Bench, message: Message) -> Message:
    """Fetch what a WAIT defers; return the message that is no WAIT any more."""
    transaction = message.transaction
    for _ in range(MAX_WAITS):
        if message.packet_type != PacketType.WAIT or message.argument != ResultCode.OK:
            break
        bench.wait(decoded(Wait, message).wait_ms / 1000)
        message = _complete(bench, transaction=transaction)
    return message


def _leave_nothing(bench: Bench, message: Message) -> None:
    """Fetch what a WAIT defers, if it is still there; what a test found has been said."""
    with suppress(Failure):
        _fetch(bench, message)


def _complete(bench: Bench, **fields: Any) -> Message:
    return bench.ask(bench.packet(Complete(), **fields), Complete())


@case(
    "APP-040",
    "WAIT says how long to wait",
    clause="3.2",
    mark="F",
    sends="READ_OBJECT of an object whose reading the device defers",
    expects="WAIT, result OK, with u16 milliseconds above 0",
    advice="The commander waits that long before it asks again.",
)
def _wait(bench: Bench) -> None:
    command, message = _deferred(bench)
    expect_result(message, command.title, ResultCode.OK)
    wait = decoded(Wait, message)
    expect(wait.wait_ms > 0, "it says 0 ms")


@case(
    "APP-041",
    "COMPLETE fetches the response that was deferred",
    clause="3.2",
    mark="F",
    sends="READ_OBJECT that is deferred; after the wait COMPLETE under the same transaction",
    expects="another WAIT, or READ_OBJECT_RESPONSE under the same transaction number",
    advice="Keep what came of the command until it is fetched.",
)
def _completed(bench: Bench) -> None:
    command, message = _deferred(bench)
    message = _fetch(bench, message)
    expect(
        message.packet_type == command.REPLY.TYPE,
        f"{command.title} ended with {describe_result(message)}",
    )


@case(
    "APP-042",
    "COMPLETE of another transaction fetches nothing",
    clause="3.2",
    mark="F",
    sends="READ_OBJECT that is deferred; after the wait COMPLETE under another transaction",
    expects="DEFER_ERROR (21)",
    advice="Compare the transaction number, or one command gets another one's response.",
)
def _other_transaction(bench: Bench) -> None:
    _, message = _deferred(bench)
    bench.wait(decoded(Wait, message).wait_ms / 1000)
    other = (message.transaction + 100) & 0xFFFF
    expect_result(_complete(bench, transaction=other), "COMPLETE", ResultCode.DEFER_ERROR)


@case(
    "APP-043",
    "a command that comes while another is deferred gets link ERROR 5",
    clause="2.3",
    mark="F",
    sends="READ_OBJECT that is deferred, and NO_OPERATION before its time",
    expects="link ERROR with BUSY",
    advice="Busy is said by the link: the command did not run and may be sent again.",
)
def _busy(bench: Bench) -> None:
    command, message = _deferred(bench)
    _fetch(bench, message)
    for _ in range(MAX_TRIES):
        bench.sync()
        again = bench.message(command)
        began = bench.now_s
        waiting = bench.exchange(bench.frame(bench.envelope().encode() + again.encode()))
        answer = bench.exchange(bench.frame(bench.packet(NoOperation())))
        took_s = bench.now_s - began
        fetch_by_hand(bench, waiting, again)
        if took_s < (wait_ms_of(waiting) or 0) / 1000 or is_error(answer, LinkErrorCode.BUSY):
            expect_error(answer, LinkErrorCode.BUSY)
            return
    raise NotApplicable("its time was over before another command could come, each time")
