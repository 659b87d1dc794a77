"""One command runs once, whatever its line does to the packet (protocol 2.3)."""

from tests.virtual.bench import START_S, Bench, opened
from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import ReadObject, WriteObject
from umi_cli.application.packet import Message
from umi_cli.types import UmiCode
from umi_cli.virtual.device import Answer
from umi_cli.virtual.memory import load_memory
from umi_cli.virtual.replay import LATE_WITHIN_S, REMEMBERED, ReplayGuard

COUNTER = UmiCode.parse("umi.255.0.0.65")


def write_counter(number: int) -> WriteObject:
    return WriteObject(code=COUNTER, value=number.to_bytes(4, "little"))


def counted(bench: Bench) -> list[int]:
    """Return the values that were written, as they are written."""
    written: list[int] = []
    bench.memory.store.on_write("counter", lambda raw: written.append(raw[0]))
    return written


def test_the_same_packet_runs_once() -> None:
    """After RESYNC the link no longer knows it; the meter does, and answers the same again."""
    bench = Bench()
    written = counted(bench)
    packet = bench.packet(write_counter(1))
    first = bench.execute(packet)
    assert bench.result(write_counter(2)) == ResultCode.OK
    bench.wait(30)
    assert bench.execute(packet) == first
    assert written == [1, 2]
    assert bench.memory.store.values[COUNTER][0] == 2


def test_a_refusal_is_repeated_too() -> None:
    """What was refused once is not taken when it comes again: its sender has been told."""
    bench = Bench()
    packet = bench.packet(WriteObject(code=COUNTER, value=b""))
    first = bench.execute(packet)
    assert opened(first).argument == ResultCode.INVALID_LENGTH
    assert bench.execute(packet) == first
    assert bench.changes == 1


def test_the_same_packet_runs_once_across_a_power_cut() -> None:
    """What ran before the cut is in the memory that survives it, in process and in the file."""
    bench = Bench()
    written = counted(bench)
    packet = bench.packet(write_counter(1))
    first = bench.execute(packet)
    bench.meter.lose_power(bench.now + 1)
    bench.wait(1)
    assert bench.execute(packet, bench.meter.new_peer("line")) == first
    assert written == [1]
    reborn = Bench(memory=load_memory(bench.memory.dump(), "test"))
    written = counted(reborn)
    assert reborn.execute(packet) == first
    assert written == []


def test_what_was_cut_off_before_it_ran_runs_when_it_comes_again() -> None:
    """At most once is not never: a deferred command that the cut ended has not run."""
    bench = Bench(defer_ms={COUNTER: 500})
    written = counted(bench)
    packet = bench.packet(write_counter(1))
    bench.execute(packet)
    bench.meter.lose_power(bench.now + 1)
    bench.wait(1)
    peer = bench.meter.new_peer("line")
    assert bench.execute(packet, peer).is_busy
    bench.wait(1)
    assert written == [1]
    assert opened(bench.execute(packet, peer)).packet_type == 0x35
    assert written == [1]


def test_a_deferred_command_runs_once_whether_its_answer_was_fetched_or_not() -> None:
    """The client lost WAIT, re-synced and says it again: while it is at work, and afterwards."""
    bench = Bench(defer_ms={COUNTER: 500})
    written = counted(bench)
    packet = bench.packet(write_counter(1))
    bench.execute(packet)
    assert bench.execute(packet) == Answer(packet=None, is_busy=True)
    bench.wait(0.5)
    assert written == [1]
    done = bench.execute(packet)
    assert (opened(done).packet_type, opened(done).argument) == (0x35, ResultCode.OK)
    reborn = Bench(memory=load_memory(bench.memory.dump(), "test"))
    assert reborn.execute(packet) == done
    bench.wait(5)
    assert bench.execute(packet) == done
    assert written == [1]


def test_reading_again_reads_again() -> None:
    """What changes nothing is not remembered: its answer is the value of now."""
    bench = Bench()
    packet = bench.packet(ReadObject(code=COUNTER))
    assert opened(bench.execute(packet)).payload[-4:] == bytes(4)
    assert bench.result(write_counter(3)) == ResultCode.OK
    assert opened(bench.execute(packet)).payload[-4:] == b"\x03\x00\x00\x00"


def test_a_late_command_that_was_overtaken_is_dropped() -> None:
    """It never ran and its sender has gone on: it is neither run nor answered."""
    bench = Bench()
    written = counted(bench)
    late = bench.packet(write_counter(1), transaction=5, created_s=START_S)
    newer = bench.packet(write_counter(2), transaction=6, created_s=START_S + 2)
    assert opened(bench.execute(newer)).argument == ResultCode.OK
    bench.wait(3)
    assert bench.execute(late) == Answer(packet=None, is_busy=False)
    assert written == [2]
    other = bench.meter.new_peer("other line")  # which has its own order
    assert opened(bench.execute(late, other)).argument == ResultCode.OK


def test_no_frame_is_late_for_ever() -> None:
    """Behind the longest delay of any line, an older number is a client of its own."""
    bench = Bench()
    newer = bench.packet(write_counter(2), transaction=6, created_s=START_S + 2)
    bench.execute(newer)
    bench.wait(LATE_WITHIN_S)
    old = bench.packet(write_counter(1), transaction=5, created_s=START_S)
    assert opened(bench.execute(old)).argument == ResultCode.OK


def test_a_client_that_starts_its_transactions_over_is_served() -> None:
    """Its numbers are smaller and its times are not: each of its commands runs."""
    bench = Bench()
    written = counted(bench)
    for number in (40, 41):
        assert bench.result(write_counter(number)) == ResultCode.OK
    bench.transaction = -1
    for number in (1, 2, 3):
        assert bench.result(write_counter(number)) == ResultCode.OK
    bench.wait(1)
    assert opened(bench.execute(bench.packet(write_counter(4), transaction=0))).argument == 0
    assert written == [40, 41, 1, 2, 3, 4]


def test_transactions_wrap() -> None:
    """0 follows 65,535, and 65,535 is late behind it."""
    guard = ReplayGuard()
    assert not guard.is_late("line", message(65_535, START_S), 0.0)
    assert not guard.is_late("line", message(0, START_S + 1), 1.0)
    assert guard.is_late("line", message(65_535, START_S), 2.0)


def message(transaction: int, created_s: int) -> Message:
    return Message(transaction=transaction, created_s=created_s, packet_type=0x34)


def test_each_line_has_a_memory_of_its_own() -> None:
    """Others may be as busy as they like: a line's last commands stay remembered."""
    guard = ReplayGuard()
    for number in range(REMEMBERED + 1):
        guard.remember("line", b"%d" % number, b"answer %d" % number)
    for number in range(1000):
        guard.remember(f"line {number}", b"1", b"another answer")
    assert guard.answer_to("line", b"0") is None
    for number in range(1, REMEMBERED + 1):
        assert guard.answer_to("line", b"%d" % number) == b"answer %d" % number
    assert guard.answer_to("no line", b"1") is None
    assert ReplayGuard(guard.answers).answers == guard.answers


def test_whoever_calls_again_means_what_he_says() -> None:
    """The same bytes on a new line are a new command: 5, 6 and 5 again leave 5."""
    bench = Bench()
    written = counted(bench)
    for number in (5, 6, 5):
        peer = bench.meter.new_peer("line")
        packet = bench.packet(write_counter(number), transaction=0)
        assert opened(bench.execute(packet, peer)).argument == ResultCode.OK
        bench.meter.forget(peer)
    assert written == [5, 6, 5]
    assert bench.memory.store.values[COUNTER][0] == 5
    assert bench.memory.replay.answers == []
