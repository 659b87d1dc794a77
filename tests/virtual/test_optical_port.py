"""The optical line: characters take their time, heads echo and are lifted, wrong rates garble."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.virtual.bench import START_S, START_UNIX_S
from tests.virtual.wire import new_meter
from umi_cli.errors import NoAnswerError
from umi_cli.link.events import LinkSettings
from umi_cli.link.frame import Frame, FrameType
from umi_cli.optical.characters import SIGN_ON_SETTINGS, LineSettings, with_parity
from umi_cli.optical.messages import BREAK, Identification, OptionSelect, request
from umi_cli.optical.sign_on import SignOnProfile
from umi_cli.transports.memory import MemoryPort, SimulatedClock
from umi_cli.transports.optical import OpticalSettings, OpticalTransport
from umi_cli.types import UmiCode
from umi_cli.virtual.faults import LIFTED_S, OFF_S, FaultInjector, FaultRates
from umi_cli.virtual.line import MeterLine
from umi_cli.virtual.optical_port import MAX_QUEUE_S, OpticalPort, Wire
from umi_cli.virtual.optical_sign_on import OpticalCharacter, PortState
from umi_cli.virtual.waveform import heard

IDENTITY = UmiCode.parse("umi.1.1.0.0")
IDENTIFIED = with_parity(b"/ELS5EISGMv0\r\n")
REQUEST = with_parity(request())
SELECT = with_parity(OptionSelect(v="0", z="5", y="6").encode())
BROKEN_OFF = with_parity(BREAK)
RESYNC = Frame(sequence=0, frame_type=FrameType.RESYNC, destination=0, source=0).encode()
RESPONSE = bytes.fromhex("01050050")
AWAKE = OpticalCharacter(needs_wakeup=False)
ECHOING = OpticalCharacter(needs_wakeup=False, has_echo=True)
IN_300, IN_9600 = LineSettings(baud=300), LineSettings(baud=9600)
GOOD = FaultRates()
Arrivals = list[tuple[float, bytes]]


class Head:
    """A reader's port with a head on a meter, and the time."""

    def __init__(
        self, character: OpticalCharacter = AWAKE, rates: FaultRates = GOOD, seed: int = 0
    ) -> None:
        self.now = 0.0
        self.meter = new_meter()
        self.faults = FaultInjector(rates, seed)
        settings = LinkSettings(accepts_commands=True, byte_time_s=1 / 960)
        self.line = MeterLine(self.meter, "opto", settings=settings)
        self.port = OpticalPort(self.meter, self.line, character, self.faults)
        self.port.settings = IN_300

    @property
    def state(self) -> PortState:
        return self.port.sign_on.state

    def send(self, data: bytes) -> None:
        self.port.receive_data(data, self.now, START_UNIX_S + self.now)

    def look(self) -> bytes:
        """Let the port do what is due; return what the reader has received."""
        self.port.on_timer(self.now, START_UNIX_S + self.now)
        return b"".join(self.port.data_to_send())

    def wait(self, seconds: float) -> Arrivals:
        """Return what arrives within a time, and how much later."""
        start, until, arrived = self.now, self.now + seconds, []
        while (due := self.port.deadline) is not None and due <= until:
            self.now = max(self.now, due)
            if data := self.look():
                arrived.append((round(self.now - start, 5), data))
        self.now = until
        if data := self.look():
            arrived.append((round(seconds, 5), data))
        return arrived

    def strike(self, rates: FaultRates) -> None:
        """Have the line do this from now on."""
        self.faults._rates = rates

    def exchange(self, data: bytes, seconds: float = 2.0) -> bytes:
        self.send(data)
        return joined(self.wait(seconds))

    def sign_on(self) -> None:
        assert self.exchange(REQUEST).endswith(IDENTIFIED)
        self.exchange(SELECT, 0.25)
        assert self.state is PortState.UMI
        self.port.settings = self.port.sign_on.settings

    def resync(self) -> bytes:
        """Return what comes back to RESYNC, without its CRC."""
        return self.exchange(RESYNC, 0.5)[:-2]


def joined(arrivals: Arrivals) -> bytes:
    return b"".join(data for _, data in arrivals)


def test_each_character_takes_its_time() -> None:
    """Request 167 ms, reaction 200 ms; then a character every 33 ms."""
    head = Head()
    head.send(REQUEST)
    arrived = head.wait(2.0)
    answer_s = len(REQUEST) / 30 + 0.2
    assert [data for _, data in arrived] == [bytes([each]) for each in IDENTIFIED]
    assert [at_s for at_s, _ in arrived] == pytest.approx(
        [answer_s + (number + 1) / 30 for number in range(len(IDENTIFIED))], abs=1e-4
    )


@pytest.mark.parametrize("rate", "0123456")
def test_frames_take_their_time_at_every_rate(rate: str) -> None:
    """RESYNC is on the line for six characters, and so is its response."""
    head = Head(OpticalCharacter(needs_wakeup=False, rate=rate))
    head.exchange(REQUEST)
    head.exchange(with_parity(OptionSelect(v="0", z=rate, y="6").encode()), 0.25)
    head.port.settings = head.port.sign_on.settings
    head.send(RESYNC)
    arrived = head.wait(1.0)
    assert joined(arrived)[:-2] == RESPONSE
    assert arrived[-1][0] == pytest.approx(12 * head.port.settings.character_s, abs=1e-4)


def test_a_long_message_arrives_in_slices_of_20_ms() -> None:
    arrived: list[tuple[bytes, float, float]] = []
    wire = Wire(lambda piece, _, began, ended: arrived.append((piece, began, ended)))
    data = bytes(range(100))
    wire.put(data, IN_9600, 5.0)
    assert wire.deadline == pytest.approx(5.0 + 19 / 960)
    wire.pass_on(5.0 + 50 / 960)
    assert b"".join(piece for piece, *_ in arrived) == data[:38]
    wire.pass_on(9.0)
    assert b"".join(piece for piece, *_ in arrived) == data
    assert wire.deadline is None
    assert wire.busy_s == pytest.approx(100 / 960)
    for number, (piece, began, ended) in enumerate(arrived):
        assert began == pytest.approx(5.0 + 19 * number / 960)
        assert ended - began == pytest.approx(len(piece) / 960)


def test_what_is_put_on_a_busy_line_waits_until_it_is_free() -> None:
    ends: list[float] = []
    wire = Wire(lambda piece, settings, began, ended: ends.append(ended))
    wire.put(bytes(3), IN_300, 1.0)
    wire.put(b"x", IN_300, 1.05)
    wire.pass_on(9.0)
    assert ends == pytest.approx([1 + 1 / 30, 1 + 2 / 30, 1.1, 1.1 + 1 / 30])
    wire.put(bytes(300), IN_300, 9.0)
    wire.clear()
    wire.put(b"x", IN_300, 9.0)
    wire.pass_on(99.0)
    assert ends[4:] == pytest.approx([9 + 1 / 30])


def test_a_line_that_is_flooded_loses_what_it_has_no_room_for() -> None:
    arrived: list[bytes] = []
    wire = Wire(lambda piece, settings, began, ended: arrived.append(piece))
    settings = LineSettings(baud=300)
    for _ in range(100):
        wire.put(bytes(10_000), settings, 1.0)
    wire.pass_on(math.inf)
    limit_bytes = MAX_QUEUE_S / settings.character_s
    assert limit_bytes - 1 <= sum(map(len, arrived)) <= limit_bytes
    wire.put(b"heard again", settings, 1.0 + MAX_QUEUE_S)
    wire.pass_on(math.inf)
    assert b"".join(arrived).endswith(b"heard again")


def test_a_head_sends_back_what_it_is_given_as_it_goes_out() -> None:
    """The echo of a character is there when the character is; the reply follows."""
    head = Head(ECHOING)
    head.send(REQUEST)
    arrived = head.wait(2.0)
    assert joined(arrived) == REQUEST + IDENTIFIED
    assert [at_s for at_s, _ in arrived[:5]] == pytest.approx(
        [(number + 1) / 30 for number in range(5)], abs=1e-4
    )


def test_an_echo_at_the_wrong_rate_is_right() -> None:
    """The head reflects what the port sends, whoever else understands it."""
    head = Head(ECHOING)
    head.port.settings = IN_9600
    assert head.exchange(REQUEST) == REQUEST
    assert head.state is PortState.LISTENING


def test_a_port_at_7e1_says_and_hears_seven_bits() -> None:
    head = Head(ECHOING)
    head.port.settings = SIGN_ON_SETTINGS
    assert head.exchange(request()) == request() + b"/ELS5EISGMv0\r\n"


def test_a_reader_at_the_wrong_rate_hears_garbage() -> None:
    head = Head()
    head.send(REQUEST)
    head.port.settings = IN_9600
    garbage = b"".join(heard(bytes([each]), SIGN_ON_SETTINGS, IN_9600) for each in IDENTIFIED)
    assert joined(head.wait(2.0)) == garbage != IDENTIFIED


def test_a_meter_at_another_rate_hears_garbage() -> None:
    """A request at 9600 is none; a RESYNC at 300, to a meter that has gone to 9600, is none."""
    head = Head()
    head.port.settings = IN_9600
    assert head.exchange(REQUEST) == b""
    head.port.settings = IN_300
    head.sign_on()
    head.port.settings = IN_300
    assert head.resync() == b""
    head.port.settings = IN_9600
    head.wait(0.5)
    assert head.resync() == RESPONSE


def test_what_is_sent_before_the_rate_changes_went_out_at_the_old_one() -> None:
    head = Head()
    head.exchange(REQUEST)
    head.send(SELECT)
    head.port.settings = IN_9600
    head.wait(0.25)
    assert head.resync() == RESPONSE


def test_a_sign_on_is_logged_with_all_ones() -> None:
    """Event 17: who has signed on is not known yet."""
    head = Head()
    head.sign_on()
    records = head.meter.memory.events.records
    assert [record for record in records if record[0] == 17] == [(17, START_S + 2, "ff" * 8)]
    assert head.meter.memory.events.active >> 17 & 1


def test_a_readout_is_no_sign_on() -> None:
    head = Head()
    head.exchange(REQUEST)
    head.send(with_parity(b"\x06050\r\n"))
    head.wait(0.2)
    head.port.settings = IN_9600
    assert joined(head.wait(1.0))[:1] == b"\x82"
    assert all(number != 17 for number, *_ in head.meter.memory.events.records)


def test_frames_do_not_pass_before_the_sign_on() -> None:
    head = Head()
    head.port.settings = IN_9600
    assert head.resync() == b""
    head.port.settings = IN_300
    assert head.resync() == b""


def test_a_break_ends_the_session_of_port_and_link() -> None:
    """What is under way is gone, and the meter falls silent in the middle of it."""
    head = Head()
    head.sign_on()
    peer = head.line.peer
    head.send(RESYNC)
    head.wait(0.2)
    assert head.exchange(BROKEN_OFF) == b""
    assert head.state is PortState.LISTENING
    assert head.line.peer is not peer
    head.port.settings = IN_300
    head.sign_on()
    assert head.resync() == RESPONSE


def test_inactivity_ends_the_session_of_the_link_too() -> None:
    head = Head()
    head.sign_on()
    peer = head.line.peer
    head.wait(60)
    assert head.state is PortState.LISTENING
    assert head.line.peer is not peer


@pytest.mark.parametrize("character", [AWAKE, ECHOING])
def test_a_lifted_probe_loses_both_directions_and_no_session(character: OpticalCharacter) -> None:
    """Nobody hangs up: set down again, the probe goes on where it was."""
    head = Head(character)
    head.sign_on()
    head.strike(FaultRates(lift=1.0))
    assert head.exchange(RESYNC, 0.02) == b""
    head.strike(GOOD)
    assert head.faults.counts["lift"] == 1
    assert not head.port.is_hung_up
    peer = head.line.peer
    assert head.exchange(RESYNC, 0.02) == b""
    head.wait(LIFTED_S[1])
    assert head.line.peer is peer
    assert head.state is PortState.UMI
    echo = RESYNC if character.has_echo else b""
    assert head.resync() == echo + RESPONSE


def test_a_probe_lifted_from_the_answer_alone() -> None:
    """What is on its way is lost in the middle, either way."""
    head = Head()
    head.exchange(REQUEST, 0.2)
    assert joined(head.wait(0.29)) == IDENTIFIED[:3]
    head.strike(FaultRates(lift=1.0))
    head.send(b"\x95")
    assert head.wait(2.0) == []
    assert head.faults.counts["lift"] == 1


def test_a_power_cut_silences_the_meter_and_ends_the_session() -> None:
    """While it is off nothing is answered; then it is to be signed on to anew."""
    head = Head()
    head.sign_on()
    head.send(RESYNC)
    head.meter.lose_power(head.now + 10)
    assert head.wait(1.0) == []
    assert head.state is PortState.LISTENING
    assert head.port.sign_on.settings == SIGN_ON_SETTINGS
    head.port.settings = IN_300
    assert head.exchange(REQUEST) == b""
    head.wait(7.0)
    head.sign_on()
    assert head.resync() == RESPONSE
    numbers = [number for number, *_ in head.meter.memory.events.records]
    assert numbers[-3:] == [17, 16, 17]  # signed on, restarted, signed on


def test_a_power_cut_on_the_optical_line_is_the_meters() -> None:
    head = Head(rates=FaultRates(power=1.0))
    assert head.exchange(REQUEST) == b""
    assert head.meter.power_losses == 1
    head.strike(GOOD)
    head.wait(OFF_S[1])
    head.sign_on()


def test_the_rest_of_what_a_meter_without_power_had_to_say_stays_unsaid() -> None:
    """The first of its frames takes the power; the next one is not said at 300 baud."""
    head = Head()
    head.sign_on()
    head.line._outbox += [RESYNC, RESYNC]
    head.strike(FaultRates(power=1.0))
    assert head.wait(2.0) == []
    assert head.meter.power_losses == 1


def test_faults_strike_messages_and_frames() -> None:
    head = Head(rates=FaultRates(drop=1.0))
    assert head.exchange(REQUEST) == b""
    assert head.faults.counts["drop"] == 1
    head.strike(GOOD)
    head.sign_on()
    head.strike(FaultRates(delay=1.0))
    assert head.exchange(RESYNC, 10.0)[:-2] == RESPONSE
    assert head.faults.counts["delay"] == 2


IDENTITIES = [
    (b"EISGMv0\0ELS" + bytes(11), "ELS", "EISGMv0"),
    (b"x\0y\0    hON", "hON", "x y"),
    (b"", "XXX", ""),
    (b"EISGMv0\0EL", "XXX", "EISGMv0"),
    (b"EISGMv0\0E1S", "XXX", "EISGMv0"),
    (b"\xff" * 22, "XXX", "????????"),
    (b"a/b!c\r\n\x07ELS", "ELS", "a?b?c???"),
    (b"\\2abcdefELS", "ELS", "?2abcdef"),
]


@pytest.mark.parametrize(("value", "manufacturer", "ident"), IDENTITIES)
def test_a_meter_says_what_its_manufacturer_wrote(
    value: bytes, manufacturer: str, ident: str
) -> None:
    """An erased or odd identity is still an identification."""
    head = Head()
    head.meter.memory.store.values[IDENTITY] = value
    expected = Identification(manufacturer=manufacturer, rate="5", ident=ident)
    assert head.exchange(REQUEST, 3.0) == with_parity(expected.encode())


def test_a_meter_without_an_identity_is_anybodys() -> None:
    head = Head()
    del head.meter.memory.store.values[IDENTITY]
    assert head.exchange(REQUEST) == with_parity(b"/XXX5\r\n")


def test_a_key_press_opens_the_port() -> None:
    head = Head(OpticalCharacter(needs_key=True))
    assert head.exchange(REQUEST) == b""
    head.port.press_key(head.now)
    assert head.exchange(REQUEST) == IDENTIFIED


def test_a_closed_line_hears_of_no_event() -> None:
    head = Head()
    head.port.close()
    assert head.meter.memory.events.subscribers == []


def test_a_quiet_port_wants_nothing() -> None:
    assert Head().port.deadline is None


SCRIPT = st.lists(
    st.tuples(
        st.sampled_from([REQUEST, SELECT, RESYNC, BROKEN_OFF, bytes(70), b"\x95"])
        | st.binary(min_size=1, max_size=9),
        st.sampled_from([0.0, 0.01, 0.25, 0.5, 1.0, 2.0, 70.0]),
        st.sampled_from([IN_300, IN_9600]),
    ),
    min_size=1,
    max_size=12,
)
RATES = st.sampled_from([GOOD, GOOD, FaultRates.parse("all:0.2,ber:0.001")])


@given(SCRIPT, RATES, st.booleans(), st.integers(0, 9))
def test_a_host_that_is_late_changes_nothing_of_what_happens(
    script: Sequence[tuple[bytes, float, LineSettings]],
    rates: FaultRates,
    has_echo: bool,
    seed: int,
) -> None:
    """All that was due is done in its own order, each at its own moment."""
    character = OpticalCharacter(has_echo=has_echo, needs_wakeup=False)
    prompt, late = Head(character, rates, seed), Head(character, rates, seed)
    for data, pause_s, settings in script:
        for head in (prompt, late):
            head.port.settings = settings
            head.send(data)
        came = joined(prompt.wait(pause_s))
        late.now += pause_s
        assert late.look() == came
        assert late.state == prompt.state
    assert late.meter.memory.events.records == prompt.meter.memory.events.records
    assert late.faults.counts == prompt.faults.counts
    assert late.port.deadline == prompt.port.deadline


class Probe:
    """A probe at a port, as a reader has it, on a simulated clock."""

    def __init__(self, words: str) -> None:
        self.clock = SimulatedClock(START_UNIX_S)
        self.head = Head(OpticalCharacter.parse(words))
        self.head.port.settings = SIGN_ON_SETTINGS
        port = MemoryPort(self.head.port, clock=self.clock)
        self.transport = OpticalTransport(port, OpticalSettings(profile=SignOnProfile()), "sim")

    def signing_on_s(self) -> float:
        start_s = self.clock.monotonic()
        self.transport.recover()
        return self.clock.monotonic() - start_s


@pytest.mark.parametrize("head", ["", ",echo"])
@pytest.mark.parametrize("baud", [300, 9600, 19_200])
def test_a_probe_signs_off_and_on_again_at_once(baud: int, head: str) -> None:
    """In one attempt each time: the echo of the break is none of the next request's."""
    probe = Probe(f"no-wakeup,baud:{baud}{head}")
    for _ in range(4):
        assert probe.signing_on_s() < 2.5
    assert probe.transport.echo.faults == 0
    assert sum(number == 17 for number, *_ in probe.head.meter.memory.events.records) == 5


def test_a_head_that_echoes_is_signed_on_with_after_it_was_lifted() -> None:
    probe = Probe("no-wakeup,echo")
    assert probe.transport.echo.is_required
    probe.head.port._lifted_until = probe.clock.monotonic() + 30
    with pytest.raises(NoAnswerError, match="not even an echo"):
        probe.transport.recover()
    probe.clock.skip_to(probe.clock.monotonic() + 60)
    probe.transport.recover()
    assert probe.transport.identification is not None
