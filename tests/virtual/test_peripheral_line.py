"""A virtual Peripheral's line to its Host: its address, its clock, its events, its commanders."""

from collections.abc import Callable

import pytest

from tests.virtual.bench import START_S, START_UNIX_S
from tests.virtual.pinned import (
    IDENTITY,
    MANUFACTURER_ID,
    OWN,
    frame,
    packet_of,
    question,
    resync,
    value_in,
)
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import (
    EventPublish,
    EventPublishReply,
    EventSubscribe,
    ReadObject,
    ReadObjectReply,
)
from umi_cli.application.packet import Envelope, Message
from umi_cli.link.frame import HOST_ADDRESS, Frame, FrameType
from umi_cli.security.scheme0 import Scheme0
from umi_cli.types import DEFAULT_READER_ID, UmiCode
from umi_cli.virtual.delivered import VIRTUAL_METER_ID, new_memory
from umi_cli.virtual.device import MeterSettings, VirtualMeter
from umi_cli.virtual.peripheral_line import CLOCK_OBJECT, PeripheralLine

READER, OTHER = 5, 9
WRONG_S = -7200.0  # how far its clock is off at first
EVENTS = 1 << 5 | 1 << 6


class Wired:
    """A Peripheral's line, and a Host that is the test's."""

    def __init__(self) -> None:
        self.now = 0.0
        self.meter = VirtualMeter(MeterSettings(), new_memory("ei4", VIRTUAL_METER_ID))
        self.meter.memory.clock_offset_s = WRONG_S
        self.line = PeripheralLine(self.meter, "line")

    @property
    def offset_s(self) -> float:
        return self.meter.memory.clock_offset_s

    def tell(self, data: bytes) -> list[Frame]:
        """Send a frame; return what comes back."""
        self.line.receive_data(data, self.now, START_UNIX_S + self.now)
        return [Frame.decode(each) for each in self.line.data_to_send()]

    def wait(self, seconds: float) -> list[Frame]:
        self.now += seconds
        self.line.on_timer(self.now, START_UNIX_S + self.now)
        return [Frame.decode(each) for each in self.line.data_to_send()]

    def answer(self, asked: Frame, message: Message) -> list[Frame]:
        """Answer a command of the Peripheral."""
        envelope, _ = Scheme0().open(asked.payload)
        swapped = Envelope(source=envelope.destination, destination=envelope.source)
        packet = Scheme0().seal(swapped, message)
        return self.tell(frame(asked.sequence, packet, FrameType.SIMPLE_RESPONSE))

    def started(self) -> Frame:
        """Re-sync; return what it asks then."""
        answered, asked = self.tell(resync())
        assert answered.frame_type == FrameType.RESYNC_RESPONSE
        return asked

    def settled(self) -> None:
        """Re-sync, and give it the time."""
        asked = self.started()
        assert self.answer(asked, time_message(asked)) == []

    def subscribe(self, sequence: int) -> None:
        packet = packet_of(EventSubscribe(events=EVENTS, signature_scheme=0))
        assert len(self.tell(frame(sequence, packet))) == 1


def message_of(asked: Frame) -> Message:
    assert asked.frame_type == FrameType.SIMPLE
    assert (asked.source, asked.destination) == (OWN, HOST_ADDRESS)
    envelope, message = Scheme0().open(asked.payload)
    assert envelope.source == VIRTUAL_METER_ID
    return message


def time_message(
    asked: Frame,
    value: bytes = START_S.to_bytes(4, "little"),
    *,
    code: UmiCode = CLOCK_OBJECT,
    result: ResultCode = ResultCode.OK,
    kind: PacketType = PacketType.READ_OBJECT_RESPONSE,
) -> Message:
    return Message(
        transaction=message_of(asked).transaction,
        created_s=START_S,
        packet_type=kind,
        argument=result,
        payload=ReadObjectReply(code=code, value=value).encode(),
    )


@pytest.fixture
def wired() -> Wired:
    return Wired()


# Its address


@pytest.mark.parametrize("given", [1, 4, 15])
def test_it_takes_its_address_from_a_resync(wired: Wired, given: int) -> None:
    answered, asked = wired.tell(resync(given))
    assert (answered.source, answered.destination) == (given, HOST_ADDRESS)
    assert (asked.source, asked.destination) == (given, HOST_ADDRESS)


def test_before_any_resync_it_says_nothing(wired: Wired) -> None:
    assert wired.wait(10.0) == []
    assert wired.line.deadline is None


# The time


def test_it_asks_its_host_for_the_time_and_takes_it(wired: Wired) -> None:
    asked = wired.started()
    assert message_of(asked).packet_type == ReadObject.TYPE
    assert ReadObject.decode(message_of(asked).payload).code == CLOCK_OBJECT
    assert wired.answer(asked, time_message(asked)) == []
    assert wired.offset_s == 0.0
    assert wired.meter.memory.synced_s == START_S


def test_a_longer_answer_begins_with_the_time(wired: Wired) -> None:
    asked = wired.started()
    value = START_S.to_bytes(4, "little") + bytes(range(8))
    wired.answer(asked, time_message(asked, value))
    assert wired.offset_s == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda asked: time_message(asked, result=ResultCode.ACCESS_DENIED),
        lambda asked: time_message(asked, code=MANUFACTURER_ID),
        lambda asked: time_message(asked, b"\x01\x02\x03"),
        lambda asked: time_message(asked, kind=PacketType.WAIT),
        lambda asked: Message(
            transaction=message_of(asked).transaction,
            created_s=START_S,
            packet_type=PacketType.READ_OBJECT_RESPONSE,
            payload=b"\x01",
        ),
    ],
    ids=["refused", "another object", "too short", "another type", "malformed"],
)
def test_any_other_answer_leaves_its_clock(wired: Wired, wrong: Callable[[Frame], Message]) -> None:
    asked = wired.started()
    wired.answer(asked, wrong(asked))
    assert wired.offset_s == WRONG_S


@pytest.mark.parametrize("packet", [b"", b"\0", b"\xff" * 30], ids=["empty", "short", "garbage"])
def test_an_answer_that_is_no_packet_leaves_its_clock(wired: Wired, packet: bytes) -> None:
    asked = wired.started()
    assert wired.tell(frame(asked.sequence, packet, FrameType.SIMPLE_RESPONSE)) == []
    assert wired.offset_s == WRONG_S


def test_it_asks_once_after_each_start(wired: Wired) -> None:
    wired.settled()
    assert [each.frame_type for each in wired.tell(resync())] == [FrameType.RESYNC_RESPONSE]
    wired.line.start_over()
    assert message_of(wired.started()).packet_type == ReadObject.TYPE


def test_it_asks_again_when_its_power_was_cut(wired: Wired) -> None:
    wired.settled()
    wired.meter.lose_power(wired.now)
    wired.wait(0.0)
    assert message_of(wired.started()).packet_type == ReadObject.TYPE


def test_a_host_that_does_not_answer_is_asked_three_times_and_left_alone(wired: Wired) -> None:
    asked = [wired.started()]
    for _ in range(10):
        asked += wired.wait(1.0)
    assert [message_of(each) for each in asked] == [message_of(asked[0])] * 3
    assert wired.offset_s == WRONG_S
    assert value_in(wired.tell(question())[0]) == IDENTITY, "it answers nevertheless"


# What it publishes


def test_it_publishes_to_its_host(wired: Wired) -> None:
    wired.settled()
    wired.subscribe(1)
    wired.meter.memory.events.add(5, START_S + 1)
    [published] = wired.wait(1.0)
    event = EventPublish.decode(message_of(published).payload)
    assert (event.events, event.timestamp_s) == (1 << 5, START_S + 1)
    taken = Message(
        transaction=message_of(published).transaction,
        created_s=START_S,
        packet_type=EventPublishReply.TYPE,
        payload=b"",
    )
    wired.meter.memory.events.add(6, START_S + 2)
    assert wired.wait(0.5) == [], "one at a time"
    [second] = wired.answer(published, taken)
    assert EventPublish.decode(message_of(second).payload).events == 1 << 6


def test_what_nobody_has_subscribed_to_is_kept(wired: Wired) -> None:
    wired.settled()
    wired.meter.memory.events.add(5, START_S + 1)
    assert wired.wait(1.0) == []
    wired.subscribe(1)
    wired.meter.memory.events.add(7, START_S + 1)
    assert wired.wait(1.0) == []


# Others, through the Host


def test_another_commander_is_answered_by_its_own_sequences(wired: Wired) -> None:
    wired.settled()
    by_host = wired.tell(question(1))
    assert [each.destination for each in by_host] == [HOST_ADDRESS]
    assert [each.frame_type for each in wired.tell(resync(source=READER))] == [
        FrameType.RESYNC_RESPONSE
    ]
    [by_reader] = wired.tell(question(1, UmiCode(0), source=READER))
    assert (by_reader.destination, by_reader.sequence) == (READER, 1)
    assert value_in(by_reader) == VIRTUAL_METER_ID.encode()
    assert wired.tell(question(1)) == by_host, "the Host's last command is repeated as it was"
    [next_by_host] = wired.tell(question(2))
    assert (next_by_host.destination, next_by_host.sequence) == (HOST_ADDRESS, 2)


def test_commands_that_arrive_together_are_answered_each_to_its_commander(wired: Wired) -> None:
    wired.settled()
    both = question(1, source=READER) + question(1, UmiCode(0), source=OTHER)
    answers = {each.destination: value_in(each) for each in wired.tell(both)}
    assert answers == {READER: IDENTITY, OTHER: VIRTUAL_METER_ID.encode()}


def test_another_commander_leaves_our_own_question_open(wired: Wired) -> None:
    asked = wired.started()
    assert [each.destination for each in wired.tell(resync(source=READER))] == [READER]
    assert value_in(wired.tell(question(1, source=READER))[0]) == IDENTITY
    assert wired.answer(asked, time_message(asked)) == []
    assert wired.offset_s == 0.0


def test_a_reader_that_is_first_has_the_host_asked_all_the_same(wired: Wired) -> None:
    answered, first = wired.tell(resync(source=READER))
    assert answered.destination == READER
    assert (first.frame_type, first.destination) == (FrameType.RESYNC, HOST_ADDRESS)
    reply = frame(0, kind=FrameType.RESYNC_RESPONSE)
    [asked] = wired.tell(reply)
    assert ReadObject.decode(message_of(asked).payload).code == CLOCK_OBJECT


def test_nobody_but_the_host_gives_the_time(wired: Wired) -> None:
    asked = wired.started()
    envelope, _ = Scheme0().open(asked.payload)
    swapped = Envelope(source=DEFAULT_READER_ID, destination=envelope.source)
    packet = Scheme0().seal(swapped, time_message(asked))
    wired.tell(frame(asked.sequence, packet, FrameType.SIMPLE_RESPONSE, source=READER))
    assert wired.offset_s == WRONG_S
