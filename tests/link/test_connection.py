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
    answer_of,
    any_faults,
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
            assert isinstance(event, ExchangeFailed | LinkErrorReceived | FragmentErrorReceived)
            never_ran.add(packet)
        assert joined.reader.is_idle
    assert len(sent) == exchanges
    assert len(joined.executed) == len(sent.intersection(joined.executed))
    assert never_ran.isdisjoint(joined.executed)
    return joined


@pytest.mark.parametrize("block", range(10))
def test_at_most_once_and_the_right_answer_or_none_short_packets(block: int) -> None:
    for seed in range(200 * block, 200 * block + 200):
        exchanges = 5 if seed % 10 else 30  # a round of sequences and more
        run_case(seed, any_faults(Random(seed)), exchanges=exchanges, longest=400)


@pytest.mark.parametrize("block", range(4))
def test_at_most_once_and_the_right_answer_or_none_packets_of_any_length(block: int) -> None:
    for seed in range(10_000 + 15 * block, 10_000 + 15 * block + 15):
        run_case(seed, any_faults(Random(seed)), exchanges=3, longest=65_536)


def test_after_the_worst_line_a_good_one_works_at_once() -> None:
    for seed in range(50):
        joined = Joined(seed=seed, faults=Faults(drop=0.5, flip=0.3, duplicate=0.5, late=0.5))
        for tag in range(10):
            joined.exchange(packet_of(tag, 400), 400)
        joined.settle()
        joined.set_faults(Faults())
        last = packet_of(99, 400)
        while isinstance(event := joined.exchange(last), ExchangeFailed):
            assert not event.may_have_run  # a half sent answer may cost the first one
        assert event == ResponseReceived(packet=answer_of(last, 400), is_busy=False)


def test_every_frame_lost_ends_after_three_attempts() -> None:
    joined = Joined(faults=Faults(drop=1.0))
    event = joined.exchange(b"command")
    assert event == ExchangeFailed(reason="no answer after 3 attempts", may_have_run=False)
    assert joined.frames == 3


# What no link of protocol 2.3 can promise: frames that come after a RESYNC behind them


def test_on_a_line_that_keeps_order_nothing_runs_twice_however_late_it_comes() -> None:
    for seed in range(200):
        faults = Faults(
            drop=0.05,
            duplicate=0.1,
            late=0.1,
            latest_s=20 * HALF_A_ROUND_S,
            keeps_order=True,
            crosses_resync=True,
        )
        joined = Joined(seed=seed, faults=faults)
        for tag in range(20):
            joined.exchange(packet_of(tag, 20))
        assert len(joined.executed) == len(set(joined.executed))


def test_a_resync_that_arrives_late_lets_a_repeated_command_run_twice() -> None:
    """RESYNC forgets the stored answer: the application's transaction number is the next guard."""
    meter = LinkConnection(METER, LinkAddresses(own=1, peer=5))
    resync = bytes.fromhex("01040000fe5b")
    command = Frame(sequence=1, frame_type=0, destination=1, source=5).encode()
    ran = 0
    for data in (resync, command, resync, command):
        events = meter.receive_data(data, 0.0)
        ran += sum(isinstance(event, CommandReceived) for event in events)
        meter.respond(b"answer")
    assert ran == 2


def test_a_late_resync_response_and_answer_are_taken_for_the_next_ones() -> None:
    """Sequences begin at 1 each time: the application's transaction number is the next guard."""
    reader = LinkConnection(FAST)
    resynced = Frame(sequence=0, frame_type=5, destination=5, source=1).encode()
    reader.command(b"first", 0.0)
    reader.receive_data(resynced, 0.0)
    while reader.deadline is not None:
        events = reader.on_timer(reader.deadline)
    assert isinstance(events[0], ExchangeFailed)
    reader.command(b"second", 9.0)
    reader.receive_data(resynced, 9.0)
    late = Frame(sequence=1, frame_type=1, destination=5, source=1, payload=b"to first").encode()
    (event,) = reader.receive_data(late, 9.0)
    assert event == ResponseReceived(packet=b"to first", is_busy=False)


# One end alone: garbage, unknown frames, the peer that starts over


def odd_frame(**fields: int) -> bytes:
    known = {"sequence": 3, "frame_type": 0, "destination": 1, "source": 5}
    return Frame(**(known | fields)).encode()  # type: ignore[arg-type]


ODD = [
    (odd_frame(version=2), LinkErrorCode.UNKNOWN_PROTOCOL_VERSION),
    (odd_frame(version=0, frame_type=7), LinkErrorCode.UNKNOWN_PROTOCOL_VERSION),
    (odd_frame(frame_type=6), LinkErrorCode.UNKNOWN_FRAME_TYPE),
    (odd_frame(frame_type=14), LinkErrorCode.UNKNOWN_FRAME_TYPE),
]


@pytest.mark.parametrize(("data", "code"), ODD)
def test_an_unknown_version_or_type_in_step_is_error_2_or_1(
    data: bytes, code: LinkErrorCode
) -> None:
    meter = LinkConnection(METER, LinkAddresses(own=1, peer=5))
    assert meter.receive_data(data, 0.0) == []
    (reply,) = meter.frames_to_send()
    assert Frame.decode(reply) == Frame(
        sequence=3,
        frame_type=FrameType.ERROR,
        destination=5,
        source=1,
        payload=bytes([code, 0]),
    )


@pytest.mark.parametrize(("data", "code"), ODD)
def test_but_not_out_of_step_nor_by_who_takes_no_commands(data: bytes, code: LinkErrorCode) -> None:
    meter = LinkConnection(METER, LinkAddresses(own=1, peer=5))
    meter.receive_data(b"\xff\xff\xff\xff" + data, 0.0)
    assert meter.frames_to_send() == []
    reader = LinkConnection(FAST)
    reader.receive_data(data, 0.0)
    assert reader.frames_to_send() == []
    assert (meter.frames_received, reader.frames_received) == (0, 1)


@pytest.mark.parametrize("kind", [1, 5, 15])
def test_a_stray_answer_is_dropped(kind: int) -> None:
    meter = LinkConnection(METER, LinkAddresses(own=1, peer=5))
    assert meter.receive_data(odd_frame(frame_type=kind), 0.0) == []
    assert meter.frames_to_send() == []


def test_a_frame_that_an_idle_gap_brings_out_is_answered() -> None:
    meter = LinkConnection(METER, LinkAddresses(own=1, peer=5))
    assert meter.receive_data(b"\x11\x00\xf9\x15" + odd_frame(), 1.0) == []
    assert meter.deadline == pytest.approx(1.0 + METER.idle_gap_s)
    (event,) = meter.on_timer(meter.deadline or 0.0)
    assert event == CommandReceived(packet=b"", source=5, destination=1)
    assert meter.noise_bytes == 4


def test_a_peer_that_starts_over_ends_our_exchange() -> None:
    meter = LinkConnection(METER, LinkAddresses(own=1, peer=5))
    resync = odd_frame(sequence=0, frame_type=4)
    assert meter.receive_data(resync, 0.0) == [Resynchronised()]
    meter.command(b"of the meter's own", 0.0)
    _, sent = map(Frame.decode, meter.frames_to_send())
    assert sent.sequence == 1  # the reader's RESYNC counts for the meter's commands too
    assert not meter.is_idle
    resynchronised, failed = meter.receive_data(resync, 0.0)
    assert resynchronised == Resynchronised()
    assert failed == ExchangeFailed(reason="the peer started over", may_have_run=True)
    assert meter.is_idle


@pytest.mark.parametrize(("sent_before", "kind"), [(0, FrameType.FRAGMENT), (1, FrameType.RESYNC)])
def test_behind_the_peers_resync_alone_a_long_packet_needs_none(
    sent_before: int, kind: FrameType
) -> None:
    meter = LinkConnection(METER, LinkAddresses(own=1, peer=5))
    meter.receive_data(odd_frame(sequence=0, frame_type=4), 0.0)
    for _ in range(sent_before):
        meter.command(b"short", 0.0)
        meter.receive_data(odd_frame(sequence=1, frame_type=1), 0.0)
    meter.frames_to_send()
    meter.command(bytes(16 * 244), 0.0)
    (sent,) = map(Frame.decode, meter.frames_to_send())
    assert sent.frame_type == kind


def test_our_own_exchange_can_be_ended() -> None:
    joined = Joined()
    assert joined.reader.abort("nothing is open") is None
    joined.reader.command(b"command", 0.0)
    failed = joined.reader.abort("the user left")
    assert failed == ExchangeFailed(reason="the user left", may_have_run=False)
    assert joined.reader.is_idle
    assert isinstance(joined.exchange(b"next"), ResponseReceived)


def test_an_ignored_command_is_looked_at_again() -> None:
    meter = LinkConnection(METER, LinkAddresses(own=1, peer=5))
    for _ in range(2):
        (event,) = meter.receive_data(odd_frame(), 0.0)
        assert isinstance(event, CommandReceived)
        meter.ignore()
        meter.ignore()
        assert meter.is_idle
        assert meter.frames_to_send() == []


def command_between(commander: LinkConnection, responder: LinkConnection, packet: bytes) -> int:
    """Command over a clean line; return how often the packet ran, having checked its answer."""
    ran = 0
    commander.command(packet, 0.0)
    while frames := commander.frames_to_send():
        for event in [event for data in frames for event in responder.receive_data(data, 0.0)]:
            if isinstance(event, CommandReceived):
                ran += event.packet == packet
                responder.respond(event.packet[::-1])
        for data in responder.frames_to_send():
            for event in commander.receive_data(data, 0.0):
                assert event == ResponseReceived(packet=packet[::-1], is_busy=False)
    assert commander.is_idle
    return ran


def test_both_ends_may_command_one_after_the_other() -> None:
    """A Host and a Peripheral: RESYNC of either counts for both directions."""
    random = Random(1)
    ends = [
        LinkConnection(METER, LinkAddresses(own=0, peer=1)),
        LinkConnection(METER, LinkAddresses(own=1, peer=0)),
    ]
    for tag in range(500):
        commander, responder = random.sample(ends, 2)
        assert command_between(commander, responder, packet_of(tag, size(random, 2_000))) == 1
    assert ends[0].addresses == LinkAddresses(own=0, peer=1)


def test_a_response_to_us_leaves_our_own_stored_answer() -> None:
    reader = LinkConnection(METER)
    meter = LinkConnection(METER, LinkAddresses(own=1, peer=5))
    command_between(reader, meter, b"subscribe")
    meter.command(b"event", 0.0)
    (published,) = meter.frames_to_send()
    reader.receive_data(published, 0.0)
    reader.respond(b"taken")
    stored = reader.frames_to_send()
    command_between(reader, meter, b"read")
    assert reader.receive_data(published, 0.0) == []
    assert reader.frames_to_send() == stored


@pytest.mark.parametrize("before", range(1, 16))
def test_a_resync_forgets_on_both_sides_what_was_answered(before: int) -> None:
    """Else the peer's first command after it would look like a repeat, or late."""
    reader = LinkConnection(METER)
    meter = LinkConnection(METER, LinkAddresses(own=1, peer=5))
    assert command_between(reader, meter, b"subscribe") == 1
    for tag in range(before):
        assert command_between(meter, reader, packet_of(tag, 4)) == 1
    for tag in range(100, 115):
        assert command_between(reader, meter, packet_of(tag, 4)) == 1
    assert command_between(meter, reader, b"event") == 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.binary(max_size=60),
            st.integers(0, 15),
            st.sampled_from(FrameType),
            st.sampled_from((0x00, 0x10, 0x20, 0x30, 0x40, 0xF0, 0x01)),
        ),
        max_size=30,
    ),
    st.booleans(),
)
def test_no_bytes_and_no_frames_ever_raise(
    steps: list[tuple[int, bytes, int, FrameType, int]], accepts_commands: bool
) -> None:
    settings = LinkSettings(accepts_commands=accepts_commands, limit_bytes=200)
    link = LinkConnection(settings, LinkAddresses(own=1, peer=5))
    for number, (action, data, sequence, kind, fragment) in enumerate(steps):
        now = number * DEFAULT_IDLE_GAP_S
        if action == 0:
            link.receive_data(data, now)
        elif action == 1 and not link._commander.is_idle:
            link.on_timer(link.deadline or now)
        elif action == 1:
            link.command(data * 20, now)
        elif action == 2:
            link.respond(data * 20, is_busy=bool(sequence & 1))
        else:
            wanted = link._commander._sequence if action == 3 else sequence
            payload = struct.pack("<BBH", fragment, 0, sequence * 8) + data
            link.receive_data(
                Frame(
                    sequence=wanted, frame_type=kind, destination=1, source=5, payload=payload
                ).encode(),
                now,
            )
        for frame in link.frames_to_send():
            Frame.decode(frame)


def test_two_that_command_at_once_over_a_bad_line_never_raise_and_always_end() -> None:
    for seed in range(80):
        random = Random(seed)
        ends = [LinkConnection(METER, LinkAddresses(own=own, peer=1 - own)) for own in range(2)]
        now = 0.0
        for _ in range(120):
            for end, other in (ends, ends[::-1]):
                if end._commander.is_idle and random.random() < 0.3:
                    end.command(random.randbytes(size(random, 700)), now)
                for frame in end.frames_to_send():
                    if random.random() < 0.9:
                        other.receive_data(frame, now)
                if random.random() < 0.7:
                    other.respond(random.randbytes(size(random, 700)))
                end.on_timer(now)
            now += 0.1
        for end in ends:
            while end.deadline is not None:
                end.on_timer(end.deadline)
            assert end._commander.is_idle


# A commander that shares no line with ours


class Meter:
    """What an independent commander talks to: a link connection that answers at once."""

    def __init__(self, drop: float = 0.0) -> None:
        self.link = LinkConnection(METER, LinkAddresses(own=1, peer=5))
        self.random, self.drop = Random(7), drop
        self.executed: list[bytes] = []
        self.now = 0.0
        self.objects: dict[int, bytes] = {}

    def send(self, data: bytes) -> None:
        if self.random.random() >= self.drop:
            self._react(self.link.receive_data(data, self.now))

    def receive(self) -> bytes:
        self.now += METER.idle_gap_s
        self._react(self.link.on_timer(self.now))
        frames = self.link.frames_to_send()
        return b"".join(frame for frame in frames if self.random.random() >= self.drop)

    def _react(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, CommandReceived):
                self.executed.append(event.packet)
                self.link.respond(self.answer(event.packet))

    def answer(self, packet: bytes) -> bytes:
        return packet[::-1]


def test_ten_thousand_exchanges_of_an_independent_commander() -> None:
    meter = Meter()
    reader = IndependentReader(meter.send, meter.receive)
    for number in range(10_000):
        packet = number.to_bytes(8, "big")
        assert reader.exchange(packet) == packet[::-1]
    assert len(meter.executed) == 10_000
    assert reader.resyncs == 667
    assert (reader.own, reader.peer) == (5, 1)


def test_long_packets_of_an_independent_commander() -> None:
    meter = Meter()
    reader = IndependentReader(meter.send, meter.receive)
    for number, length in enumerate([*EDGES, *(250 + 173 * step for step in range(40))]):
        packet = packet_of(number, length)
        assert reader.exchange(packet) == packet[::-1]
    with pytest.raises(ValueError, match="65536"):
        meter.link.command(bytes(65_537), 0.0)


def test_an_independent_commander_over_a_line_that_loses() -> None:
    meter = Meter(drop=0.05)
    reader = IndependentReader(meter.send, meter.receive)
    answered = 0
    for number in range(500):
        packet = packet_of(number, 4 + number)
        try:
            assert reader.exchange(packet) == packet[::-1]
            answered += 1
        except NoAnswer:
            reader.sequence = 15  # so that it re-syncs
    assert answered > 400
    assert len(meter.executed) == len(set(meter.executed)) >= answered


def test_an_independent_commander_is_told_what_is_wrong() -> None:
    meter = Meter()
    reader = IndependentReader(meter.send, meter.receive)
    reader.exchange(b"command")
    reader.peer = 2
    with pytest.raises(Refused) as caught:
        reader.exchange(b"command")
    assert caught.value.args == ("link", LinkErrorCode.BAD_ADDRESS)
    small = Meter()
    small.link = LinkConnection(
        LinkSettings(accepts_commands=True, limit_bytes=300), LinkAddresses(own=1, peer=5)
    )
    reader = IndependentReader(small.send, small.receive)
    with pytest.raises(Refused) as caught:
        reader.exchange(bytes(301))
    assert caught.value.args == ("fragment", 0)


class ObjectMeter(Meter):
    """Answers READ_OBJECT, READ_OBJECT_PART and WRITE_OBJECT as protocol 3.1 and 3.2 have it."""

    def answer(self, packet: bytes) -> bytes:
        source, destination = packet[4:12], packet[12:20]
        number, created, kind, wanted, length = struct.unpack("<HIBBH", packet[22:32])
        payload = packet[32 : 32 + length]
        (code,) = struct.unpack("<I", payload[:4])
        result, reply = 0, b""
        if kind == 0x34:
            self.objects[code] = payload[8:]
        elif code not in self.objects:
            result = 4
        elif kind == 0x30:
            value = self.objects[code]
            reply = payload + struct.pack("<HH", 0, len(value)) + value
        else:
            first, last = struct.unpack("<HH", payload[4:8])
            value = self.objects[code][first : last + 1]
            reply = payload + struct.pack("<BH", 0, len(value)) + value
        head = b"\0\1\0\0" + destination + source + b"\0"
        middle = struct.pack("<BHIBBH", wanted, number, created, kind + 1, result, len(reply))
        return head + middle + reply + b"\x00\x02"


def test_an_independent_commander_reads_and_writes_objects() -> None:
    meter = ObjectMeter()
    reader = IndependentReader(meter.send, meter.receive)
    code = 0x0101C217  # umi.1.1.194.23
    value = bytes(range(256)) * 20
    for length in (0, 1, 200, 5_120):
        reader.write(code, value[:length])
        assert reader.read(code) == value[:length]
    assert reader.read_part(code, 3, 5) == value[3:6]
    assert reader.read_part(code, 3, 0xFFFF, 2) == value[3:]
    with pytest.raises(Refused) as caught:
        reader.read(1)
    assert caught.value.args == ("result", 4)
    assert reader.transaction == 11
