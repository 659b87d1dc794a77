"""A virtual Host: what is for it, what it forwards, and what it refuses (protocol 2.3, 9)."""

import pytest

from tests import campaign
from tests.independent import IndependentReader, Refused
from tests.virtual.bench import START_S, START_UNIX_S
from tests.virtual.pinned import IDENTITY, frame
from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import ReadObjectReply
from umi_cli.application.packet import Envelope, Message
from umi_cli.errors import InputError
from umi_cli.link.frame import HOST_ADDRESS, Frame, FrameType, LinkErrorCode
from umi_cli.link.stream import DEFAULT_IDLE_GAP_S
from umi_cli.security.scheme0 import Scheme0
from umi_cli.transports.memory import MemoryTransport
from umi_cli.types import Role, UmiCode, UmiId
from umi_cli.virtual.delivered import VIRTUAL_METER_ID, new_memory
from umi_cli.virtual.device import HOST_ALIAS, MeterSettings, VirtualMeter
from umi_cli.virtual.host import Host, HostLine
from umi_cli.virtual.line import READER_ADDRESS
from umi_cli.virtual.peripheral_line import PeripheralLine

UMI_ID, CODE = 0, 0x0101_0000
FIRST, SECOND = UmiId(0x0023_7EFE_0000_0001), UmiId(0x0023_7EFE_0000_0002)
COMMANDS = [FrameType.SIMPLE, FrameType.FRAGMENT, FrameType.RESYNC]
ANSWERS = [
    FrameType.SIMPLE_RESPONSE,
    FrameType.FRAGMENT_RESPONSE,
    FrameType.RESYNC_RESPONSE,
    FrameType.ERROR,
]


class Star:
    """A Host, and what stands at its lines.

    Peripherals answer at once; what goes to a port without one waits there for the test.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.meter = VirtualMeter(MeterSettings(), new_memory("ei4", HOST_ALIAS))
        self.identified: list[tuple[int, UmiId]] = []
        self.host = Host(self.meter, lambda port, umi_id: self.identified.append((port, umi_id)))
        self.ports: list[tuple[HostLine, PeripheralLine]] = []

    def plug(self, address: int, umi_id: UmiId, *, strict: bool = False) -> VirtualMeter:
        """Open a port with a Peripheral, and let the two greet each other."""
        meter = VirtualMeter(MeterSettings(), new_memory("ei4", umi_id))
        line = self.host.new_port(address, wants_authentication=strict)
        self.ports.append((line, PeripheralLine(meter, "line")))
        self.tend()
        return meter

    def reader(self) -> tuple[IndependentReader, HostLine]:
        line = self.host.new_reader("reader")

        def send(data: bytes) -> None:
            line.receive_data(data, self.now, START_UNIX_S + self.now)
            self.tend()

        return IndependentReader(send, lambda: b"".join(line.data_to_send())), line

    def tell(self, line: HostLine, data: bytes) -> list[Frame]:
        """Have the other end of a line send something; return what the Host sends back there."""
        line.receive_data(data, self.now, START_UNIX_S + self.now)
        return due(line)

    def tend(self) -> None:
        """Carry frames between the ports and their Peripherals until all is said."""
        is_busy = True
        while is_busy:
            is_busy = False
            for line, peripheral in self.ports:
                line.on_timer(self.now, START_UNIX_S + self.now)
                peripheral.on_timer(self.now, START_UNIX_S + self.now)
                for data in line.data_to_send():
                    is_busy = True
                    peripheral.receive_data(data, self.now, START_UNIX_S + self.now)
                for data in peripheral.data_to_send():
                    is_busy = True
                    line.receive_data(data, self.now, START_UNIX_S + self.now)


def due(line: HostLine) -> list[Frame]:
    """Return what the other end of a line receives now."""
    return [Frame.decode(data) for data in line.data_to_send()]


def error(code: LinkErrorCode, destination: int, sequence: int = 1) -> Frame:
    return Frame(
        sequence=sequence,
        frame_type=FrameType.ERROR,
        destination=destination,
        source=HOST_ADDRESS,
        payload=int(code).to_bytes(2, "little"),
    )


@pytest.fixture
def star() -> Star:
    return Star()


# Itself


def test_it_answers_what_is_for_itself(star: Star) -> None:
    reader, _ = star.reader()
    assert reader.read(UMI_ID) == HOST_ALIAS.encode()
    assert (reader.own, reader.peer) == (READER_ADDRESS, HOST_ADDRESS)


def test_it_learns_who_a_peripheral_is_and_gives_it_the_time(star: Star) -> None:
    star.meter.memory.clock_offset_s = 3600.0
    first = star.plug(1, FIRST)
    second = star.plug(2, SECOND)
    assert star.identified == [(1, FIRST), (2, SECOND)]
    assert first.metering.now_s == second.metering.now_s == START_S + 3600


def test_it_takes_what_its_peripherals_publish(star: Star) -> None:
    told: list[tuple[UmiId, int, int]] = []
    star.meter.memory.events.receivers.append(lambda *event: told.append(event))
    star.plug(1, FIRST)
    second = star.plug(2, SECOND)
    second.memory.events.add(12, START_S)
    star.tend()
    assert told == [(SECOND, 1 << 12, START_S)]


@pytest.mark.parametrize(
    ("code", "value", "result"),
    [
        (UmiCode(0), FIRST.encode(), ResultCode.OK),
        (UmiCode(0), FIRST.encode(), ResultCode.ACCESS_DENIED),
        (UmiCode(0), FIRST.encode()[:7], ResultCode.OK),
        (UmiCode(0), FIRST.encode() + b"\0", ResultCode.OK),
        (UmiCode(CODE), FIRST.encode(), ResultCode.OK),
    ],
    ids=["right", "refused", "too short", "too long", "another object"],
)
def test_a_peripheral_is_known_by_its_umi_id_alone(
    star: Star, code: UmiCode, value: bytes, result: ResultCode
) -> None:
    line = star.host.new_port(1)
    line.on_timer(star.now, START_UNIX_S)
    assert [each.frame_type for each in due(line)] == [FrameType.RESYNC]
    [subscribed] = star.tell(
        line, frame(0, kind=FrameType.RESYNC_RESPONSE, destination=0, source=1)
    )
    answered = frame(subscribed.sequence, b"?", FrameType.SIMPLE_RESPONSE, destination=0, source=1)
    [asked] = star.tell(line, answered)
    envelope, message = Scheme0().open(asked.payload)
    answer = Message(
        transaction=message.transaction,
        created_s=START_S,
        packet_type=ReadObjectReply.TYPE,
        argument=result,
        payload=ReadObjectReply(code=code, value=value).encode(),
    )
    packet = Scheme0().seal(
        Envelope(source=envelope.destination, destination=envelope.source), answer
    )
    star.tell(
        line,
        frame(asked.sequence, packet, FrameType.SIMPLE_RESPONSE, destination=0, source=1),
    )
    is_right = (code, value, result) == (UmiCode(0), FIRST.encode(), ResultCode.OK)
    assert star.identified == ([(1, FIRST)] if is_right else [])


def test_a_peripheral_that_was_reset_is_greeted_anew(star: Star) -> None:
    star.plug(1, FIRST)
    line, peripheral = star.ports[0]
    peripheral.start_over()
    line.greet()
    star.tend()
    assert star.identified == [(1, FIRST)] * 2


def test_half_a_frame_is_left_behind_after_the_idle_gap(star: Star) -> None:
    line = star.host.new_reader("reader")
    whole = frame(0, kind=FrameType.RESYNC, destination=0, source=0)
    assert star.tell(line, b"\x11\x00\xf9\x05" + whole) == []
    assert line.deadline == star.now + DEFAULT_IDLE_GAP_S
    star.now += DEFAULT_IDLE_GAP_S
    line.on_timer(star.now, START_UNIX_S + star.now)
    assert [each.frame_type for each in due(line)] == [FrameType.RESYNC_RESPONSE]


# What it forwards


def test_a_reader_reaches_each_port_by_its_address(star: Star) -> None:
    meters = {0: star.meter, 1: star.plug(1, FIRST), 2: star.plug(2, SECOND)}
    reader, _ = star.reader()
    for turn in range(10):  # it changes between them without a RESYNC (protocol 2.3)
        for address, meter in meters.items():
            reader.peer = address if reader.own else 0
            assert reader.read(UMI_ID) == meter.memory.umi_id.encode()
            reader.peer = address
            reader.write(0xFF00_0041, (100 * turn + address).to_bytes(4, "little"))
    for address, meter in meters.items():
        counter = meter.memory.store.find("counter")
        assert counter is not None
        assert meter.memory.store.values[counter.code] == (900 + address).to_bytes(4, "little")
    assert reader.resyncs > 3


def test_long_packets_pass_both_ways(star: Star) -> None:
    star.plug(2, SECOND)
    reader, _ = star.reader()
    assert reader.read(CODE) == IDENTITY
    reader.peer = 2
    content = bytes(range(256)) * 4
    reader.write(0xFF00_0040, content)
    assert reader.read(0xFF00_0040) == content


@pytest.mark.parametrize("kind", [*COMMANDS, *ANSWERS])
def test_a_frame_reaches_the_line_it_is_for_to_the_letter(star: Star, kind: FrameType) -> None:
    line = star.host.new_port(1)
    target = star.host.new_reader("reader")
    due(line)
    data = frame(3, b"payload", kind, destination=READER_ADDRESS, source=1)
    assert star.tell(line, data) == []
    assert target.data_to_send() == [data]


def test_two_peripherals_talk_to_each_other(star: Star) -> None:
    one, two = star.host.new_port(1), star.host.new_port(2)
    due(one), due(two)
    asked = frame(1, b"ask", destination=2, source=1)
    star.tell(one, asked)
    told, forwarded = two.data_to_send()
    assert Frame.decode(told).frame_type == FrameType.RESYNC
    assert forwarded == asked
    answered = frame(1, b"answer", FrameType.SIMPLE_RESPONSE, destination=1, source=2)
    star.tell(two, answered)
    assert one.data_to_send()[-1] == answered


# What it refuses


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize(
    ("source", "destination"),
    [(5, 3), (6, 1), (1, 1), (0, 1), (5, 5)],
    ids=["no such port", "another source", "the port's own", "no source", "itself"],
)
def test_a_command_that_cannot_go_there_is_error_3(
    star: Star, kind: FrameType, source: int, destination: int
) -> None:
    port = star.host.new_port(1)
    line = star.host.new_reader("reader")
    due(port)
    answers = star.tell(line, frame(1, b"x", kind, destination=destination, source=source))
    assert answers == [error(LinkErrorCode.BAD_ADDRESS, source)]
    assert due(port) == []


def test_a_resync_in_another_name_is_error_3(star: Star) -> None:
    line = star.host.new_reader("reader")
    answers = star.tell(line, frame(0, kind=FrameType.RESYNC, destination=0, source=6))
    assert answers == [error(LinkErrorCode.BAD_ADDRESS, 6, 0)]


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_stray_answer_gets_none(star: Star, kind: FrameType) -> None:
    line = star.host.new_reader("reader")
    for source, destination in ((5, 3), (6, 0), (5, 5)):
        stray = frame(1, b"x", kind, destination=destination, source=source)
        assert star.tell(line, stray) == []


def test_who_has_not_authenticated_is_error_4_where_the_port_asks_for_it(star: Star) -> None:
    star.plug(1, FIRST)
    star.plug(2, SECOND, strict=True)
    reader, _ = star.reader()
    assert reader.read(UMI_ID) == HOST_ALIAS.encode()
    reader.peer = 2
    with pytest.raises(Refused) as refused:
        reader.read(UMI_ID)
    assert refused.value.args == ("link", LinkErrorCode.CANNOT_FORWARD)
    reader.peer = 1
    assert reader.read(UMI_ID) == FIRST.encode()


@pytest.mark.parametrize("scheme", [1, 2])
def test_who_has_authenticated_with_the_host_is_let_through(star: Star, scheme: int) -> None:
    campaign.trust_each_other(star.meter.memory)
    star.meter.memory.umi_id = VIRTUAL_METER_ID  # whom its certificate names
    port = star.host.new_port(2, wants_authentication=True)
    due(port)
    line = star.host.new_reader("reader")
    asked = frame(1, b"x", destination=2, source=READER_ADDRESS)
    assert star.tell(line, asked) == [error(LinkErrorCode.CANNOT_FORWARD, READER_ADDRESS)]
    campaign.session_under(scheme, MemoryTransport(line)).begin()
    assert line.is_authenticated
    assert star.tell(line, asked) == []
    assert port.data_to_send()[-1] == asked


def test_a_guest_is_nobody_who_has_authenticated(star: Star) -> None:
    line = star.host.new_reader("reader")
    line.line.peer.authenticated[FIRST] = Role.GUEST
    assert not line.is_authenticated


# Who starts over


def sync(star: Star, line: HostLine) -> None:
    """Have a reader re-sync with the Host."""
    answers = star.tell(line, frame(0, kind=FrameType.RESYNC, destination=0, source=0))
    assert [each.frame_type for each in answers] == [FrameType.RESYNC_RESPONSE]


def test_a_port_is_told_once_that_a_reader_has_started_over(star: Star) -> None:
    port = star.host.new_port(2)
    due(port)
    line = star.host.new_reader("reader")
    for _ in range(3):
        sync(star, line)
        assert due(port) == [], "nothing is told before there is something to forward"
        for sequence in (1, 2, 3):
            star.tell(line, frame(sequence, b"x", destination=2, source=5))
            told = [each.frame_type for each in due(port)]
            assert told == [FrameType.RESYNC] * (sequence == 1) + [FrameType.SIMPLE]


def test_the_resync_that_it_tells_is_in_the_readers_name(star: Star) -> None:
    port = star.host.new_port(2)
    due(port)
    line = star.host.new_reader("reader")
    star.tell(line, frame(1, b"x", destination=2, source=5))
    assert due(port)[0] == Frame(sequence=0, frame_type=FrameType.RESYNC, destination=2, source=5)


def test_the_response_to_what_it_told_is_not_forwarded(star: Star) -> None:
    port = star.host.new_port(2)
    line = star.host.new_reader("reader")
    due(port)
    star.tell(line, frame(1, b"x", destination=2, source=5))
    due(port)
    response = frame(0, kind=FrameType.RESYNC_RESPONSE, destination=5, source=2)
    assert star.tell(port, response) == due(line) == []
    star.tell(port, response)
    assert line.data_to_send() == [response], "of a second one the reader is the origin"


def test_a_resync_to_a_port_is_forwarded_and_answered(star: Star) -> None:
    port = star.host.new_port(2)
    line = star.host.new_reader("reader")
    due(port)
    sync(star, line)
    data = frame(0, kind=FrameType.RESYNC, destination=2, source=5)
    star.tell(line, data)
    assert port.data_to_send() == [data]
    response = frame(0, kind=FrameType.RESYNC_RESPONSE, destination=5, source=2)
    star.tell(port, response)
    assert line.data_to_send() == [response]
    star.tell(line, frame(1, b"x", destination=2, source=5))
    assert [each.frame_type for each in due(port)] == [FrameType.SIMPLE], "it knows"


def test_each_reader_is_told_of_by_itself(star: Star) -> None:
    port = star.host.new_port(2)
    due(port)
    for line in (star.host.new_reader("one"), star.host.new_reader("two")):
        star.tell(line, frame(1, b"x", destination=2, source=line.address))
        assert [(each.frame_type, each.source) for each in due(port)] == [
            (FrameType.RESYNC, line.address),
            (FrameType.SIMPLE, line.address),
        ]


def test_a_peripheral_that_was_reset_is_told_again(star: Star) -> None:
    port = star.host.new_port(2)
    line = star.host.new_reader("reader")
    star.tell(line, frame(1, b"x", destination=2, source=5))
    due(port)
    port.greet()
    star.tell(line, frame(2, b"x", destination=2, source=5))
    assert FrameType.RESYNC in [each.frame_type for each in due(port)]


def test_who_takes_the_address_of_one_who_left_is_told_of(star: Star) -> None:
    port = star.host.new_port(2)
    due(port)
    for _ in range(2):
        line = star.host.new_reader("reader")
        star.tell(line, frame(1, b"x", destination=2, source=5))
        assert [each.frame_type for each in due(port)] == [FrameType.RESYNC, FrameType.SIMPLE]
        line.close()


# Addresses


def test_the_first_reader_is_5_and_all_addresses_differ(star: Star) -> None:
    star.host.new_port(1)
    addresses = [star.host.new_reader(f"reader {at}").address for at in range(14)]
    assert addresses[0] == READER_ADDRESS == 5
    assert sorted(addresses) == list(range(2, 16))


def test_where_port_5_exists_a_reader_is_another(star: Star) -> None:
    star.host.new_port(5)
    assert star.host.new_reader("reader").address == 15


def test_there_are_fifteen_lines_at_most(star: Star) -> None:
    lines = [star.host.new_reader(f"reader {at}") for at in range(15)]
    with pytest.raises(InputError, match="all 15 link addresses are taken"):
        star.host.new_reader("one more")
    lines[3].close()
    assert star.host.new_reader("one more").address == lines[3].address


def test_a_line_that_is_closed_is_forgotten(star: Star) -> None:
    port = star.host.new_port(2)
    line = star.host.new_reader("reader")
    port.close()
    answers = star.tell(line, frame(1, b"x", destination=2, source=5))
    assert answers == [error(LinkErrorCode.BAD_ADDRESS, 5)]
    before = star.host.new_port(2)
    star.host.forget(port)  # once more, after another has taken its place
    due(before)
    assert star.tell(line, frame(1, b"x", destination=2, source=5)) == []
    assert len(due(before)) == 2
