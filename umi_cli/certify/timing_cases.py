"""Tests of reaction times, measured with their spread: link, optical port, SPI (protocol 8, 9)."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from umi_cli.application.commands import NoOperation, ReadObject
from umi_cli.application.payload import Command
from umi_cli.certify.bench import Bench, describe
from umi_cli.certify.case import Failure, Need, case, expect, fail
from umi_cli.certify.evidence import Piece
from umi_cli.certify.long_packets import fetch_by_hand
from umi_cli.link.frame import FrameType
from umi_cli.types import UmiCode

SAMPLES = 15
SIGN_ONS = 3
SIGN_ON_CHARACTER_S = 10 / 300  # EN 62056-21: ten bits at 300 baud
REACTION_S = (0.2, 1.5)
SHORT_REACTION_S = 0.02  # where the third letter of the manufacturer is lower case
READY_S, WAKE_S, RISE_S = 0.5, 0.1, 0.1
SLACK_S = 0.02  # of the host's own timers and drivers
NAME_OBJECT = UmiCode.parse("umi.1.1.0.0")
_REQUEST = b"/?"


def _spread(seconds: Sequence[float]) -> str:
    low, middle, high = min(seconds), median(seconds), max(seconds)
    return f"{low * 1000:.1f} to {high * 1000:.1f} ms, median {middle * 1000:.1f} ms"


def _exchanges(bench: Bench, command: Command[Any]) -> list[float]:
    """Return how long the device took to answer each of some frames, without the wire.

    A WAIT is an answer, too; what it defers is fetched before the next frame.
    """
    byte_s = bench.meter.transport.byte_time_s
    found = []
    bench.sync()
    for _ in range(SAMPLES):
        if bench.sequence == SAMPLES:
            bench.sync()
        message = bench.message(command)
        frame = bench.frame(bench.envelope().encode() + message.encode()).encode()
        begun_s = bench.now_s
        answer = bench.exchange(frame)
        if answer.frame_type != FrameType.SIMPLE_RESPONSE:
            fail(f"it was answered with {describe(answer)}")
        on_wire_s = (len(frame) + len(answer.encode())) * byte_s
        found.append(max(0.0, bench.now_s - begun_s - on_wire_s))
        fetch_by_hand(bench, answer, message)
    return found


@case(
    "TIM-001",
    "a command that costs nothing is answered well within the link's timeout",
    clause="2.3",
    mark="C",
    sends=f"NO_OPERATION, {SAMPLES} times",
    expects="an answer each time within half of the timeout; the spread is reported",
    advice="Half of the timeout is left for the line and the reader.",
)
def _no_operation(bench: Bench) -> None:
    _expect_quick(bench, _exchanges(bench, NoOperation()))


def _expect_quick(bench: Bench, found: Sequence[float]) -> None:
    bench.notes.append(f"it answers within {_spread(found)}")
    limit_s = bench.settings.answer_s / 2
    expect(max(found) <= limit_s, f"it took up to {max(found):.2f} s of {limit_s:g}")


@case(
    "TIM-002",
    "a read is answered well within the link's timeout",
    clause="2.3",
    mark="C",
    sends=f"READ_OBJECT umi.1.1.0.0, {SAMPLES} times",
    expects="an answer or WAIT each time within half of the timeout; the spread is reported",
    advice="What takes longer is deferred with WAIT, so that the link does not time out.",
)
def _read(bench: Bench) -> None:
    _expect_quick(bench, _exchanges(bench, ReadObject(code=NAME_OBJECT)))


def _sign_ons(bench: Bench) -> list[tuple[Piece, Piece]]:
    """Sign on some times; return the request and the identification of each.

    Raises:
        Failure: the device does not identify itself.
    """
    found = []
    for _ in range(SIGN_ONS):
        bench.recorder.begin()
        bench.meter.transport.recover()
        bench.forget_link()
        found.append(_request_and_answer(bench.recorder.pieces))
    return found


def _request_and_answer(pieces: Sequence[Piece]) -> tuple[Piece, Piece]:
    for number, piece in enumerate(pieces):
        if piece.direction == "out" and _plain(piece.data).startswith(_REQUEST):
            answers = [each for each in pieces[number + 1 :] if each.direction == "in"]
            if answers:
                return piece, answers[0]
    raise Failure("no identification came after the request")


def _plain(data: bytes) -> bytes:
    """Return characters without their parity bit."""
    return bytes(byte & 0x7F for byte in data)


def _reactions(pairs: Sequence[tuple[Piece, Piece]]) -> list[float]:
    """Return from the end of each request to the beginning of its answer, in seconds."""
    return [
        answer.at_s - request.at_s - (len(request.data) + 1) * SIGN_ON_CHARACTER_S
        for request, answer in pairs
    ]


@case(
    "TIM-010",
    "the meter identifies itself no sooner than its manufacturer's letters say",
    clause="8",
    mark="F",
    sends=f"the request of the sign-on, {SIGN_ONS} times",
    expects="at least 200 ms of silence, or 20 ms where the third letter is lower case",
    advice="Readers switch their head from sending to receiving in that time.",
    needs=(Need.OPTICAL,),
)
def _not_too_soon(bench: Bench) -> None:
    pairs = _sign_ons(bench)
    found = _reactions(pairs)
    is_short = _plain(pairs[0][1].data)[3:4].islower()
    limit_s = SHORT_REACTION_S if is_short else REACTION_S[0]
    bench.notes.append(f"reaction {_spread(found)}")
    expect(min(found) >= limit_s - SLACK_S, f"it answered after {min(found) * 1000:.0f} ms")


@case(
    "TIM-011",
    "the meter identifies itself within 1.5 s",
    clause="8",
    mark="F",
    sends=f"the request of the sign-on, {SIGN_ONS} times",
    expects="the first character at most 1500 ms after the request has ended",
    advice="Readers give up then, or send the request again into the answer.",
    needs=(Need.OPTICAL,),
)
def _not_too_late(bench: Bench) -> None:
    found = _reactions(_sign_ons(bench))
    bench.notes.append(f"reaction {_spread(found)}")
    expect(max(found) <= REACTION_S[1] + SLACK_S, f"it answered after {max(found):.2f} s")


def _after_reset(bench: Bench) -> float:
    """Reset the Peripheral; return how long INTB took to fall, `Failure` if it did not."""
    board, clock = bench.board(), bench.meter.transport.clock
    board.reset(True)
    clock.sleep(RESET_S)
    board.reset(False)
    begun_s = clock.monotonic()
    if not board.wait_for_int(True, begun_s + 2 * READY_S):
        fail(f"INTB did not fall within {2 * READY_S:g} s of the reset")
    return clock.monotonic() - begun_s


RESET_S = 0.05


def _bring_back(bench: Bench) -> None:
    """Have the transport begin anew with the Peripheral when the test is over."""

    def begin_anew() -> None:
        bench.meter.transport.recover()
        bench.forget_link()

    bench.at_end(begin_anew)


@case(
    "TIM-020",
    "a Peripheral is ready within 500 ms of its reset",
    clause="9",
    mark="C",
    sends=f"RSTB low for 50 ms and released, {SIGN_ONS} times",
    expects="INTB falls within 500 ms; the spread is reported",
    advice="Say ready as soon as frames can be taken; start the rest afterwards.",
    needs=(Need.SPI, Need.BOARD, Need.CHANGES),
)
def _ready(bench: Bench) -> None:
    _bring_back(bench)
    found = [_after_reset(bench) for _ in range(SIGN_ONS)]
    bench.notes.append(f"ready within {_spread(found)}")
    expect(max(found) <= READY_S + SLACK_S, f"INTB fell after {max(found) * 1000:.0f} ms")


def _wakes(bench: Bench) -> list[float]:
    """Select the Peripheral some times; return how long INTB took to fall."""
    board, clock = bench.board(), bench.meter.transport.clock
    found = []
    for _ in range(SAMPLES):
        board.wait_for_int(False, clock.monotonic() + RISE_S)
        board.select(True)
        begun_s = clock.monotonic()
        is_awake = board.wait_for_int(True, begun_s + 2 * WAKE_S)
        found.append(clock.monotonic() - begun_s)
        board.select(False)
        clock.sleep(SETTLE_S)
        if not is_awake:
            fail(f"INTB did not fall within {2 * WAKE_S:g} s of the select")
    return found


SETTLE_S = 1.0  # a Peripheral forgets a Host that wakes it and says nothing


@case(
    "TIM-021",
    "a Peripheral is awake within 100 ms of a select",
    clause="9",
    mark="C",
    sends=f"CSB low without a frame, {SAMPLES} times",
    expects="INTB falls within 100 ms each time; the spread is reported",
    advice="A frame that is clocked out before that is lost.",
    needs=(Need.SPI, Need.BOARD),
)
def _awake(bench: Bench) -> None:
    _bring_back(bench)
    found = _wakes(bench)
    bench.notes.append(f"awake within {_spread(found)}")
    expect(max(found) <= WAKE_S + SLACK_S / 4, f"INTB fell after {max(found) * 1000:.0f} ms")


@case(
    "TIM-022",
    "INTB rises at the end of the Host's frame",
    clause="9",
    mark="C",
    sends="RESYNC, clocked out by hand",
    expects="INTB is high within 100 ms of CSB high",
    advice="An answer is announced by the next fall: without a rise there is none.",
    needs=(Need.SPI, Need.BOARD),
)
def _rises(bench: Bench) -> None:
    _bring_back(bench)
    board, clock = bench.board(), bench.meter.transport.clock
    frame = bench.frame(frame_type=FrameType.RESYNC, sequence=0).encode()
    board.select(True)
    if not board.wait_for_int(True, clock.monotonic() + 2 * WAKE_S):
        fail("INTB did not fall after the select")
    board.exchange(frame)
    board.select(False)
    begun_s = clock.monotonic()
    has_risen = board.wait_for_int(False, begun_s + 5 * RISE_S)
    took_s = clock.monotonic() - begun_s
    bench.notes.append(f"INTB rose after {took_s * 1000:.1f} ms")
    expect(has_risen and took_s <= RISE_S + SLACK_S, f"INTB was low for {took_s * 1000:.0f} ms")
