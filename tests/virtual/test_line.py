"""A line of the virtual meter: publishing over a joined link, deferral, busy, faults, power."""

import pytest

from tests.independent import IndependentReader, NoAnswer, Refused
from tests.virtual.bench import START_S, START_UNIX_S
from tests.virtual.wire import Wire, new_meter, replaying
from umi_cli.application.commands import (
    EventPublish,
    EventPublishReply,
    EventSubscribe,
    WriteObject,
)
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import CommandReceived, LinkSettings, ResponseReceived
from umi_cli.security.scheme0 import Scheme0
from umi_cli.types import DEFAULT_READER_ID, UNKNOWN_DEVICE, Role, UmiCode
from umi_cli.virtual.delivered import VIRTUAL_METER_ID, new_memory
from umi_cli.virtual.device import MeterSettings, VirtualMeter
from umi_cli.virtual.faults import LIFTED_S, FaultInjector, FaultRates
from umi_cli.virtual.line import MeterLine

COUNTER = UmiCode.parse("umi.255.0.0.65")
VALVE = UmiCode.parse("umi.255.0.0.32")
CLOSED = WriteObject(code=VALVE, value=b"\x00")
OPEN = WriteObject(code=VALVE, value=b"\x01")
EVENTS = 1 << 5 | 1 << 6
COUNTER_NUMBER = 0xFF00_0041
MANUFACTURER_ID = 0x0101_0000


class Subscriber:
    """A reader that can be commanded too: a `LinkConnection` joined to a line of the meter."""

    def __init__(self, meter: VirtualMeter, name: str = "line") -> None:
        self.line = MeterLine(meter, name)
        self.link = LinkConnection(LinkSettings(accepts_commands=True))
        self.now = 0.0
        self.transaction = 0
        self.is_deaf = False
        self.is_mute = False
        self.heard = 0
        self.published: list[tuple[Envelope, Message]] = []

    def command(self, command: Command[EventPublishReply] | WriteObject | EventSubscribe) -> int:
        """Send a command; return the result code of its response."""
        self.transaction += 1
        message = Message(
            transaction=self.transaction,
            created_s=START_S,
            packet_type=command.TYPE,
            payload=command.encode(),
        )
        envelope = Envelope(source=DEFAULT_READER_ID, destination=UNKNOWN_DEVICE)
        self.link.command(Scheme0().seal(envelope, message), self.now)
        results: list[int] = []
        while not results:
            results = self.pump()
        self.pump()
        return results[0]

    def pump(self) -> list[int]:
        """Pass on what either side has to send; return the results of our commands."""
        results: list[int] = []
        for frame in self.link.frames_to_send():
            self.line.receive_data(frame, self.now, START_UNIX_S + self.now)
        for chunk in self.line.data_to_send():
            self.heard += 1
            for event in [] if self.is_deaf else self.link.receive_data(chunk, self.now):
                if isinstance(event, ResponseReceived):
                    results.append(Scheme0().open(event.packet)[1].argument)
                elif isinstance(event, CommandReceived):
                    self._take(event.packet)
        return results

    def _take(self, packet: bytes) -> None:
        envelope, message = Scheme0().open(packet)
        self.published.append((envelope, message))
        response = Message(
            transaction=message.transaction, created_s=START_S, packet_type=message.packet_type + 1
        )
        swapped = Envelope(source=envelope.destination, destination=envelope.source)
        if not self.is_mute:
            self.link.respond(Scheme0().seal(swapped, response))

    def settle(self) -> None:
        """Pump until nothing is said any more."""
        while True:
            heard = self.heard
            self.pump()
            self.pump()
            if heard == self.heard:
                return

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.line.on_timer(self.now, START_UNIX_S + self.now)
        self.settle()

    @property
    def events(self) -> list[EventPublish]:
        return [EventPublish.decode(message.payload) for _, message in self.published]


def subscribed(meter: VirtualMeter, events: int = EVENTS) -> Subscriber:
    reader = Subscriber(meter)
    assert reader.command(EventSubscribe(events=events, signature_scheme=0)) == 0
    return reader


def test_a_subscriber_is_told_in_order_and_once() -> None:
    """Each event is published on the line that asked for it, from the meter, to all ones."""
    reader = subscribed(new_meter(Role.SERVICE))
    for number, command in enumerate((CLOSED, OPEN, CLOSED)):
        reader.wait(1)
        assert reader.command(command) == 0
        reader.settle()
        assert len(reader.events) == number + 1
    expected = [(6, START_S + 1), (5, START_S + 2), (6, START_S + 3)]
    assert reader.events == [
        EventPublish(events=1 << number, timestamp_s=at_s, milliseconds=0)
        for number, at_s in expected
    ]
    envelope, message = reader.published[0]
    assert (envelope.source, envelope.destination) == (VIRTUAL_METER_ID, UNKNOWN_DEVICE)
    assert (message.packet_type, message.created_s) == (0x22, START_S + 1)
    assert len({each.transaction for _, each in reader.published}) == 3


def test_only_what_was_asked_for_is_published() -> None:
    """Other events are logged and not published; a subscription to nothing ends it."""
    reader = subscribed(new_meter(Role.SERVICE), events=1 << 5)
    reader.command(CLOSED)
    reader.command(OPEN)
    reader.settle()
    assert [event.events for event in reader.events] == [1 << 5]
    reader.command(EventSubscribe(events=0, signature_scheme=0))
    reader.command(OPEN)
    reader.settle()
    assert len(reader.events) == 1


def test_another_line_hears_of_it_too() -> None:
    """An event that one reader causes is published to the other, when its line is looked at."""
    meter = new_meter(Role.SERVICE)
    listener = subscribed(meter)
    actor = Subscriber(meter, "other line")
    actor.command(CLOSED)
    actor.command(OPEN)
    listener.wait(0)
    assert [event.events for event in listener.events] == [1 << 6, 1 << 5]
    assert actor.events == []
    actor.line.close()
    listener.line.close()
    assert meter.memory.events.subscribers == []


def test_a_subscriber_that_does_not_answer_is_given_up() -> None:
    """After three attempts nothing more is published, what was still to come included."""
    meter = new_meter(Role.SERVICE)
    listener = subscribed(meter)
    listener.is_mute = True
    actor = Subscriber(meter, "other line")
    for command in (CLOSED, OPEN, CLOSED):
        actor.command(command)
    for _ in range(60):
        listener.wait(1)
    assert [event.events for event in listener.events] == [1 << 6]
    heard = listener.heard
    actor.command(OPEN)
    for _ in range(60):
        listener.wait(1)
    assert listener.heard == heard
    assert listener.line.deadline is None


def test_a_line_that_is_dead_ends_the_subscription() -> None:
    """Nothing comes back at all: three attempts, and silence."""
    meter = new_meter(Role.SERVICE)
    listener = subscribed(meter)
    listener.is_deaf = True
    heard = listener.heard
    Subscriber(meter, "other line").command(CLOSED)
    for _ in range(60):
        listener.wait(1)
    assert listener.heard == heard + 3


def deferring() -> Wire:
    settings = MeterSettings(defer_ms={COUNTER: 2500})
    return Wire(VirtualMeter(settings, new_memory("ei4", VIRTUAL_METER_ID)))


WRITE = COUNTER_NUMBER.to_bytes(4, "little") + bytes.fromhex("0000 0400 01020304")


def test_waiting_and_completing_over_the_line() -> None:
    """WAIT has the busy bit; another command gets link ERROR 5; COMPLETE brings the response."""
    wire = deferring()
    wait = wire.response(0x34, WRITE, 77)
    assert wire.received[-1][1] == 0x81  # busy, SIMPLE_RESPONSE
    assert wait[1:3] + wait[7:] == bytes.fromhex("4d00 03 00 0200 c409 0002")  # 2500 ms
    with pytest.raises(Refused) as caught:
        wire.reader.read(MANUFACTURER_ID)
    assert caught.value.args == ("link", 5)
    other = Wire(wire.meter, "other line")
    assert len(other.reader.read(MANUFACTURER_ID)) == 23
    due = wire.line.deadline
    assert due == 2.5
    wire.wait(due)
    assert wire.line.deadline is None
    done = wire.response(0x02, b"", 77)
    assert wire.received[-1][1] == 0x01  # no longer busy
    assert done[1:3] + done[7:] == bytes.fromhex("4d00 35 00 0000 0002")
    assert wire.meter.memory.store.values[COUNTER] == b"\x01\x02\x03\x04"


def test_a_busy_command_did_not_run_and_may_come_again() -> None:
    """What was refused with ERROR 5 is looked at when the meter is free: no repeat of an answer."""
    wire = deferring()
    wire.response(0x34, WRITE, 1)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            wire.response(0x34, WRITE, 2)
        assert caught.value.args == ("link", 5)
    wire.wait(2.5)
    assert wire.response(0x34, WRITE, 2)[7] == 0x03  # it is begun only now


def test_a_power_cut_forgets_the_link_and_keeps_the_values() -> None:
    """While it is off the meter is silent; then it is as after a RESYNC, and its values stay."""
    wire = Wire()
    wire.reader.write(COUNTER_NUMBER, b"\x07\x00\x00\x00")
    wire.meter.lose_power(wire.now + 10)
    wire.wait(0)
    with pytest.raises(NoAnswer):
        wire.reader.read(COUNTER_NUMBER)
    wire.wait(10)
    assert wire.reader.read(COUNTER_NUMBER) == b"\x07\x00\x00\x00"
    wire.reader.resync()
    assert wire.reader.read(COUNTER_NUMBER) == b"\x07\x00\x00\x00"


def test_a_power_cut_on_one_line_is_one_on_all() -> None:
    """The meter is one device: the other line's subscription is gone with the power as well."""
    meter = new_meter(Role.SERVICE)
    listener = subscribed(meter)
    other = Wire(meter, "other line", FaultInjector(FaultRates(power=1.0), 0))
    with pytest.raises(NoAnswer):
        other.reader.resync()
    assert meter.power_losses == 3
    listener.wait(20)
    actor = Subscriber(meter, "third line")
    actor.now = 20.0
    assert actor.command(CLOSED) == 0
    listener.wait(0)
    assert listener.events == []


def test_a_command_held_up_across_a_power_cut_runs_once() -> None:
    """Its double comes when the meter is back, and finds that it has run."""
    wire = Wire()
    written: list[bytes] = []
    wire.meter.memory.store.on_write("counter", written.append)
    wire.reader.write(COUNTER_NUMBER, b"\x01\x00\x00\x00")
    wire.meter.lose_power(wire.now + 1)
    wire.wait(1)
    resync, command = wire.sent
    answers = replaying(wire, [resync, command, command])
    assert answers == [wire.received[0], wire.received[1], wire.received[1]]
    assert written == [b"\x01\x00\x00\x00"]


def test_a_command_that_was_overtaken_is_met_with_silence() -> None:
    """No answer, no link ERROR: its sender has gone on, and the line goes on as well."""
    wire = Wire()
    wire.response(0x34, WRITE, 6, START_S + 2)
    with pytest.raises(NoAnswer):
        wire.response(0x34, WRITE[:-1] + b"\x09", 5, START_S)
    assert wire.reader.read(COUNTER_NUMBER) == b"\x01\x02\x03\x04"


def test_a_hang_up_takes_the_chunk_and_the_line() -> None:
    wire = Wire(faults=FaultInjector(FaultRates(hangup=1.0), 0))
    wire.send(bytes.fromhex("01040000fe5b"))
    assert wire.line.is_hung_up
    assert wire.receive() == b""


RESYNC = bytes.fromhex("01040000fe5b")


def test_an_interrupted_line_passes_nothing_for_a_while_and_stays() -> None:
    """Nobody hangs up, and the meter notices nothing: it goes on where it was."""
    faults = FaultInjector(FaultRates(), 0)
    wire = Wire(faults=faults)
    wire.reader.write(COUNTER_NUMBER, b"\x07\x00\x00\x00")
    faults._rates = FaultRates(lift=1.0)
    with pytest.raises(NoAnswer):
        wire.reader.read(COUNTER_NUMBER)
    faults._rates = FaultRates()
    assert not wire.line.is_hung_up
    assert faults.counts["lift"] == 1
    peer, power_losses = wire.line.peer, wire.meter.power_losses
    with pytest.raises(NoAnswer):  # it lasts longer than a frame
        wire.reader.read(COUNTER_NUMBER)
    wire.wait(LIFTED_S[1])
    wire.reader.resync()
    assert wire.reader.read(COUNTER_NUMBER) == b"\x07\x00\x00\x00"
    assert (wire.line.peer, wire.meter.power_losses) == (peer, power_losses)


def test_what_the_meter_says_meanwhile_is_lost_too() -> None:
    """An interruption that begins with what the meter says takes that as well."""
    meter = new_meter(Role.SERVICE)
    listener = subscribed(meter)
    faults = listener.line._faults
    faults._rates = FaultRates(lift=1.0)
    Subscriber(meter, "other line").command(CLOSED)
    heard = listener.heard
    listener.wait(0)
    faults._rates = FaultRates()
    assert faults.counts["lift"] == 1
    assert listener.heard == heard
    listener.wait(LIFTED_S[1])
    assert not listener.line.is_hung_up
    assert listener.command(OPEN) == 0


def test_an_interruption_takes_what_was_in_transit() -> None:
    faults = FaultInjector(FaultRates(delay=1.0), 5)
    wire = Wire(faults=faults)
    wire.send(RESYNC)
    there = wire.line.deadline
    assert there is not None
    faults._rates = FaultRates(lift=1.0)
    wire.send(RESYNC)
    assert wire.line.deadline is None
    faults._rates = FaultRates()
    wire.wait(LIFTED_S[1])
    assert wire.line.data_to_send() == []
    wire.send(RESYNC)
    assert [chunk[:4] for chunk in wire.line.data_to_send()] == [bytes.fromhex("01050050")]


def test_late_frames_arrive_when_their_time_has_come() -> None:
    """A delayed chunk is in transit: the line says when it wants to be looked at."""
    wire = Wire(faults=FaultInjector(FaultRates(delay=1.0), 5))
    wire.send(bytes.fromhex("01040000fe5b"))
    there = wire.line.deadline
    assert there is not None
    assert wire.line.data_to_send() == []
    wire.wait(there)
    back = wire.line.deadline
    assert back is not None
    assert back > there
    assert wire.line.data_to_send() == []
    wire.wait(back - there)
    assert [chunk[:4] for chunk in wire.line.data_to_send()] == [bytes.fromhex("01050050")]
    assert wire.line.deadline is None


def run(kind: str, seed: int) -> tuple[list[bytes], list[bytes], list[str]]:
    """Run a script over a bad line; return what was received, what was written, what came of it."""
    wire = Wire(faults=FaultInjector(FaultRates.parse(f"{kind}:0.2"), seed))
    written: list[bytes] = []
    wire.meter.memory.store.on_write("counter", written.append)
    outcomes = []
    for number in range(20):
        value = number.to_bytes(4, "little")
        try:
            wire.reader.write(COUNTER_NUMBER, value)
            outcomes.append("written")
        except (NoAnswer, Refused, AssertionError) as error:
            outcomes.append(type(error).__name__)
            reconnect(wire)
    return wire.received, written, outcomes


def reconnect(wire: Wire) -> None:
    """Re-sync as a client does that has lost the thread, on the same line."""
    fresh = IndependentReader(wire.send, wire.receive)
    fresh.transaction = wire.reader.transaction
    wire.reader = fresh


KINDS = ["drop", "duplicate", "delay", "flip", "truncate", "noise", "power"]


@pytest.mark.parametrize("kind", KINDS)
def test_faults_on_a_line_are_the_same_every_time(kind: str) -> None:
    """A seed fixes every byte that is received; no write runs twice; each that is said to, did."""
    for seed in range(5):
        received, written, outcomes = run(kind, seed)
        assert run(kind, seed) == (received, written, outcomes)
        assert len(set(written)) == len(written)
        for number, outcome in enumerate(outcomes):
            if outcome == "written":
                assert number.to_bytes(4, "little") in written
        assert outcomes.count("written") >= 5
