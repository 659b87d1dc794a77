"""Two ends of a link over good and bad lines, and a foreign commander (protocol 2)."""

import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import (
    FAST,
    HALF_A_ROUND_S,
    METER,
    Faults,
    Joined,
    any_faults,
    answer_of,
)
from tests.independent import IndependentReader, NoAnswer, Refused
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import (
    CommandReceived,
    Event,
    ExchangeFailed,
    FragmentErrorReceived,
    LinkAddresses,
    LinkErrorReceived,
    LinkSettings,
    ResponseReceived,
    Resynchronised,
)
from umi_cli.link.frame import Frame, FrameType, LinkErrorCode
from umi_cli.link.stream import DEFAULT_IDLE_GAP_S

EDGES = (1, 249, 250, 488, 489, 15 * 244, 15 * 244 + 1, 65_535, 65_536)


def size(random: Random, longest: int = 65_536) -> int:
    """Return any length, short ones more often."""
    return min(longest, int(2 ** random.uniform(0, 16.01)))


def packet_of(tag: int, length: int) -> bytes:
    """Return a command like no other: its number, then bytes that it determines."""
    return (tag.to_bytes(4, "big") + Random(tag).randbytes(length))[: max(length, 4)]


# What a clean line carries


@pytest.mark.parametrize("length", EDGES)
def test_packets_of_every_length_go_both_ways(length: int) -> None:
    joined = Joined()
    for command_bytes, answer_bytes in ((length, 1), (1, length), (length, length)):
        packet = bytes(command_bytes)
        assert joined.exchange(packet, answer_bytes) == ResponseReceived(
            packet=answer_of(packet, answer_bytes), is_busy=False
        )
    assert joined.executed == [bytes(length), bytes(1), bytes(length)]
    joined.settle()
    assert joined.meter.is_idle
    assert joined.reader.is_idle


def test_fifteen_exchanges_between_two_resyncs() -> None:
    joined = Joined()
    for tag in range(100):
        assert isinstance(joined.exchange(packet_of(tag, 10)), ResponseReceived)
    assert joined.resyncs == 7
    assert joined.frames == 2 * (100 + 7)


def test_a_packet_past_the_meters_limit_is_error_0_and_the_next_one_passes() -> None:
    meter = LinkSettings(accepts_commands=True, limit_bytes=1_000)
    joined = Joined(meter=meter)
    assert joined.exchange(bytes(1_001)) == FragmentErrorReceived(number=0)
    assert isinstance(joined.exchange(bytes(1_000)), ResponseReceived)


def test_a_response_past_the_readers_limit_fails_and_the_next_one_passes() -> None:
    joined = Joined(reader=LinkSettings(limit_bytes=1_000))
    event = joined.exchange(b"ask", 1_001)
    assert isinstance(event, ExchangeFailed)
    assert event.may_have_run
    assert isinstance(joined.exchange(b"ask", 1_000), ResponseReceived)
    assert joined.executed == [b"ask", b"ask"]


# What a bad line carries: at most once, the right answer or none, and always an end


def run_case(seed: int, faults: Faults, *, exchanges: int, longest: int) -> Joined:
    """Run exchanges over a bad line, holding each to the promises of protocol 2.3."""
    random = Random(seed)
    joined = Joined(seed=seed, faults=faults, longest_work_s=random.choice((0.0, 0.0, 1.0)))
    sent, never_ran = set(), set()
    for tag in range(exchanges):
        packet = packet_of(tag, size(random, longest))
        sent.add(packet)
        answer_bytes = size(random, longest)
        event = joined.exchange(packet, answer_bytes)
        ran = joined.executed.count(packet)
        if isinstance(event, ResponseReceived):
            assert event.packet == answer_of(packet, answer_bytes)
            assert ran == 1
        elif isinstance(event, ExchangeFailed) and event.may_have_run:
            assert ran <= 1
        else:
            assert isinstance(
                event, ExchangeFailed | LinkErrorReceived | FragmentErrorReceived
            )
            never_ran.add(packet)
        assert joined.reader.is_idle
    assert len(sent) == exchanges
    assert len(joined.executed) == len(sent.intersection(joined.executed))
    assert never_ran.isdisjoint(joined.executed)
    return joined


@pytest.mark.parametrize("block", range(10))
def test_at_most_once_and_the_right_answer_or_none_short_packets(block: int) -> None:
    for seed in range(200 * block, 200 * block + 200):
        run_case(seed, any_faults(Random(seed)), exchanges=20, longest=1_500)


@pytest.mark.parametrize("block", range(4))
def test_at_most_once_and_the_right_answer_or_none_packets_of_any_length(block: int) -> None:
    for seed in range(10_000 + 25 * block, 10_000 + 25 * block + 25):
        run_case(seed, any_faults(Random(seed)), exchanges=3, longest=65_536)
