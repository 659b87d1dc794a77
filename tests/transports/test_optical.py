"""Optical probes on real pseudo-terminals, and on what else pyserial opens by URL (protocol 8)."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import umi_cli
from tests.campaign import session_under, trust_each_other
from tests.transports.ends import (
    LOCALHOST,
    SAFETY_S,
    TerminalServer,
    free_port,
    peer,
    served,
    terminal,
    wait_until,
)
from tests.transports.optical_ends import (
    IDENT,
    REQUEST,
    RESYNC,
    SIGN_OFF,
    SYNCED,
    OpticalSerial,
    PlainPort,
    ScriptedMeter,
    by_the_book,
    sign_on,
)
from umi_cli.connecting import open_transport
from umi_cli.device.meter import Meter
from umi_cli.errors import (
    InputError,
    LostError,
    NoAnswerError,
    NoSuchPortError,
    PortBusyError,
    SignOnError,
    UmiError,
)
from umi_cli.objects.catalogue import Catalogue
from umi_cli.optical.characters import LineSettings, with_parity
from umi_cli.optical.messages import OptionSelect
from umi_cli.transports.address import Address
from umi_cli.transports.memory import MemoryPort, SimulatedClock
from umi_cli.transports.optical import OpticalSettings, OpticalTransport
from umi_cli.transports.serial import SerialPort, open_port
from umi_cli.types import Role
from umi_cli.virtual.optical_sign_on import PortState
from umi_cli.virtual.setup import SimOptions, Simulation
from umi_cli.virtual.waveform import heard

IDENTITY = b"EISGMv0\x00ELS002531733978"
AWAKE = "?wakeup=none"
OF_PYSERIAL = pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")
SELECT = with_parity(OptionSelect(v="0", z="5", y="6").encode())
Messages = list[tuple[str, bytes]]


def is_listening(meter: Any) -> bool:
    """Tell whether the meter waits for a sign-on."""
    return bool(meter.optical.sign_on.state is PortState.LISTENING)


def watched(messages: Messages) -> Callable[[str, bytes], None]:
    return lambda direction, data: messages.append((direction, data))


def sent(messages: Messages) -> list[bytes]:
    return [data for direction, data in messages if direction == "out"]


# A served meter


@pytest.mark.parametrize("baud", [2400, 9600, 19_200])
def test_a_meter_is_read_and_written_at_the_rate_that_it_offers(tmp_path: Path, baud: int) -> None:
    with (
        served(optical=tmp_path / "probe", opto=f"baud:{baud},no-wakeup") as meter,
        umi_cli.connect(meter.opto + AWAKE) as reader,
    ):
        assert reader.transport.byte_time_s == 10 / baud
        assert reader.transport.address == meter.opto
        assert isinstance(reader.transport, OpticalTransport)
        assert str(reader.transport.identification) == "ELS EISGMv0"
        assert reader.read("manufacturer-id").raw == IDENTITY
        assert reader.write("counter", 5, verify=True).value == 5
        elements = {2400: 5, 9600: 60, 19_200: 300}[baud]
        found = reader.read(f"profile-table[0:{elements - 1}]")
        assert found.raw == meter.simulation.meter.memory.store.read(found.part, Role.GUEST)


def test_a_meter_that_stays_at_300_baud(tmp_path: Path) -> None:
    with (
        served(optical=tmp_path / "probe", opto="baud:9600,no-wakeup") as meter,
        umi_cli.connect(f"{meter.opto}{AWAKE}&baud=300") as reader,
    ):
        assert reader.transport.byte_time_s == 10 / 300
        assert reader.read("counter").value == 0


def test_a_meter_is_woken(tmp_path: Path) -> None:
    messages: Messages = []
    with (
        served(optical=tmp_path / "probe", opto="baud:19200,echo") as meter,
        umi_cli.connect(meter.opto, observer=watched(messages)) as reader,
    ):
        assert reader.read("counter").value == 0
    assert sent(messages)[:2] == [bytes(66), REQUEST]


@pytest.mark.parametrize("echo", ["auto", "on"])
def test_a_head_that_echoes(tmp_path: Path, echo: str) -> None:
    with (
        served(optical=tmp_path / "probe", opto="baud:9600,no-wakeup,echo") as meter,
        umi_cli.connect(f"{meter.opto}{AWAKE}&echo={echo}") as reader,
    ):
        assert reader.read("profile-table[0:39]").part.suffix == "[0:39]"
        assert reader.write("counter", 5, verify=True).value == 5
        transport = reader.transport
        assert isinstance(transport, OpticalTransport)
        assert transport.echo.is_required
        assert transport.echo.echoes > 5
        assert transport.echo.faults == 0


@pytest.mark.parametrize("baud", [9600, 19_200])
def test_a_session_under_scheme_2(tmp_path: Path, baud: int) -> None:
    with served(optical=tmp_path / "probe", opto=f"baud:{baud},no-wakeup") as meter:
        trust_each_other(meter.simulation.meter.memory)
        transport = open_transport(Address.parse(meter.opto + AWAKE))
        with Meter(transport, session_under(2, transport), Catalogue.load("ei4")) as reader:
            assert reader.read("manufacturer-id").raw == IDENTITY
            assert reader.session.standing.is_confirmed
            assert reader.read("profile-table[0:39]").part.suffix == "[0:39]"
        wait_until(lambda: is_listening(meter))


@pytest.mark.parametrize("baud", [9600, 19_200])
def test_a_session_ends_with_its_port_and_the_next_one_begins_at_once(
    tmp_path: Path, baud: int
) -> None:
    with served(optical=tmp_path / "probe", opto=f"baud:{baud},no-wakeup") as meter:
        for value in range(2):
            messages: Messages = []
            with umi_cli.connect(meter.opto + AWAKE, observer=watched(messages)) as reader:
                assert reader.read("counter").value == value
                reader.write("counter", value + 1)  # the break comes right behind an answer
            assert sent(messages).count(REQUEST) == 1
            wait_until(lambda: is_listening(meter))


def test_a_port_is_held_alone(tmp_path: Path) -> None:
    with (
        served(optical=tmp_path / "probe", opto="baud:19200,no-wakeup") as meter,
        umi_cli.connect(meter.opto + AWAKE) as reader,
    ):
        with pytest.raises(PortBusyError, match="another program holds") as caught:
            umi_cli.connect(meter.opto + AWAKE)
        assert caught.value.exit_code == 11
        assert reader.read("counter").value == 0, "whoever was refused has not touched the port"


@pytest.mark.parametrize("device", ["/dev/nosuch", "/dev/null", "nosuch://x"])
def test_no_such_device(device: str) -> None:
    with pytest.raises(NoSuchPortError) as caught:
        umi_cli.connect(f"opto:{device}")
    assert caught.value.exit_code == 10
    assert device in str(caught.value)


def test_a_terminal_server_has_a_host_and_a_port() -> None:
    with pytest.raises(InputError, match="names no host and port"):
        umi_cli.connect("opto:socket://x")


@pytest.mark.parametrize("baud", [300, 600, 1200, 2400, 4800, 9600, 19_200])
def test_a_session_that_somebody_left_open_is_ended(baud: int) -> None:
    clock = SimulatedClock(1_795_341_600.0)
    options = {"opto": f"baud:{baud},no-wakeup", "time": "2026-11-22T10:00:00Z"}
    line = Simulation(SimOptions.from_query("", options), clock.utc()).new_optical_port("line")
    for _ in range(2):
        began = clock.monotonic()
        OpticalTransport(MemoryPort(line, clock=clock), OpticalSettings(), "opto:x")  # left open
        assert clock.monotonic() - began < 10
        assert line.sign_on.settings == LineSettings(baud=baud)


def test_ctrl_c_in_the_middle_of_a_sign_on_leaves_no_session_open() -> None:
    """What is sent next is heard: it is one request, where an open session took ten seconds."""
    clock = SimulatedClock(1_795_341_600.0)
    options = {"opto": "baud:9600,no-wakeup", "time": "2026-11-22T10:00:00Z"}
    line = Simulation(SimOptions.from_query("", options), clock.utc()).new_optical_port("line")

    def press(direction: str, data: bytes) -> None:
        if (direction, data) == ("out", RESYNC):  # the option select has been taken
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        OpticalTransport(MemoryPort(line, clock=clock), OpticalSettings(), "opto:x", press)
    sent: list[bytes] = []
    OpticalTransport(
        MemoryPort(line, clock=clock),
        OpticalSettings(),
        "opto:x",
        lambda direction, data: sent.append(data) if direction == "out" else None,
    )
    assert sent.count(REQUEST) == 1


# A scripted meter


def test_the_rate_changes_on_the_open_port_and_a_break_is_the_last_that_is_said() -> None:
    with terminal() as line, ScriptedMeter(line, by_the_book).playing() as meter:
        with sign_on(line) as transport:
            assert transport.has_answered
        wait_until(lambda: meter.was_closed)
    assert meter.heard == [(300, REQUEST), (300, SELECT), (9600, RESYNC), (9600, SIGN_OFF)]


RESERVED = with_parity(b"/ELS9EISGMv0\r\n")


def test_a_meter_that_offers_a_reserved_rate_gets_no_option_select() -> None:
    with (
        terminal() as line,
        ScriptedMeter(line, partial(by_the_book, then={REQUEST: RESERVED})).playing() as meter,
        pytest.raises(SignOnError, match="offers the rate '9', which mode C") as caught,
    ):
        sign_on(line)
    assert "baud=300" in caught.value.hint
    assert set(meter.messages) == {REQUEST, SIGN_OFF}


def test_a_meter_that_offers_a_reserved_rate_can_stay_at_300_baud() -> None:
    stay = with_parity(OptionSelect(v="0", z="0", y="6").encode())
    answer = partial(by_the_book, then={REQUEST: RESERVED, RESYNC: SYNCED})
    with terminal() as line, ScriptedMeter(line, answer).playing() as meter:
        sign_on(line, baud=300).close()
    assert meter.heard == [(300, REQUEST), (300, stay), (300, RESYNC), (300, SIGN_OFF)]


def test_a_device_that_vanishes_while_it_is_signed_on_to() -> None:
    def answer(rate: int, message: bytes) -> bytes:
        line.vanish()
        return b""

    with (
        terminal() as line,
        ScriptedMeter(line, answer).playing(),
        pytest.raises(LostError, match="opto:x is gone") as caught,
    ):
        sign_on(line)
    assert caught.value.exit_code == 17


def test_a_device_that_vanishes_before_the_rate_is_changed() -> None:
    def answer(rate: int, message: bytes) -> bytes:
        if message == SELECT:
            line.vanish()
        return by_the_book(rate, message)

    with (
        terminal() as line,
        ScriptedMeter(line, answer).playing(),
        pytest.raises(LostError, match="is gone") as caught,
    ):
        sign_on(line)
    assert caught.value.exit_code == 17


def test_a_device_that_vanishes_in_the_middle_of_a_transfer() -> None:
    def answer(rate: int, message: bytes) -> bytes:
        if message in (REQUEST, SELECT, RESYNC):
            return by_the_book(rate, message)
        os.write(line.master, b"\x11\x01\x2e")  # the head of an answer
        line.vanish()
        return b""

    with (
        terminal() as line,
        ScriptedMeter(line, answer).playing(),
        umi_cli.connect(f"opto:{line.name}{AWAKE}", timeout_s=SAFETY_S) as reader,
    ):
        with pytest.raises(LostError, match="is gone") as caught:
            reader.read("counter")
        assert caught.value.exit_code == 17


def test_a_port_that_is_gone_takes_no_settings() -> None:
    with terminal() as line:
        port = SerialPort(open_port(line.name, 300, "opto:x"), "opto:x")
        line.vanish()
        with pytest.raises(LostError, match="opto:x is gone"):
            port.set_line(LineSettings(baud=9600))
        port.close()


def test_parity_of_the_port_is_refused_where_there_is_none() -> None:
    """Linux keeps every pseudo-terminal at 8N1."""
    with (
        terminal() as line,
        pytest.raises(SignOnError, match="the adapter refuses 300 baud 7E1") as caught,
    ):
        sign_on(line, parity="hard")
    assert caught.value.exit_code == 16
    assert "parity=soft" in caught.value.hint


# What is said of a meter that does not speak UMI


def silent(rate: int, message: bytes) -> bytes:
    return b""


def echoing(rate: int, message: bytes) -> bytes:
    return message


def identifying(*then: bytes, ident: bytes = IDENT) -> Callable[[int, bytes], bytes]:
    """Return a meter that identifies itself, and answers every option select so."""
    return partial(by_the_book, then={REQUEST: ident, SELECT: b"".join(then), RESYNC: b""})


def saying(answer: bytes) -> Callable[[int, bytes], bytes]:
    """Return a meter that answers a request so, at 300 baud."""
    return lambda rate, message: answer if message == REQUEST else b""


READOUT = with_parity(b"\x02F.F(00)\r\n0.0.0(12345678)\r\n!\r\n\x03\x22")
HDLC_IDENT = with_parity(b"/ISK5\\2ME382\r\n")
ODD = bytes(character ^ 0x80 for character in IDENT)
AT_9600 = heard(
    bytes.fromhex("11012e5000010000ffffffffffffffff04000000fe7e2300000003007a299a32") * 4,
    LineSettings(baud=9600),
    LineSettings(baud=300),
)


@pytest.mark.parametrize(
    ("answer", "kind", "sentence", "hint"),
    [
        pytest.param(silent, NoAnswerError, "nothing came back at all", "press", id="silence"),
        pytest.param(echoing, NoAnswerError, "but our own echo", "echo=on", id="echo"),
        pytest.param(
            identifying(),
            SignOnError,
            r"ELS EISGMv0 identified itself, and was silent after the option select V/Y = 0/6"
            r" \(switch delays of 50, 0, 100, 250 ms were tried\)",
            "switch-delay=",
            id="no switch",
        ),
        pytest.param(
            identifying(READOUT),
            SignOnError,
            "ELS EISGMv0 answered the option select with an ASCII readout",
            "no UMI meter",
            id="readout",
        ),
        pytest.param(
            identifying(with_parity(b"\x15")),
            SignOnError,
            "ELS EISGMv0 refused the option select V/Y = 0/6 with NAK",
            "y=7",
            id="NAK",
        ),
        pytest.param(
            identifying(b"\x13\x88"),
            SignOnError,
            "holds no UMI frame",
            "noisy",
            id="noise after the switch",
        ),
        pytest.param(
            identifying(ident=HDLC_IDENT),
            SignOnError,
            r"ISK ME382 offers HDLC .*HDLC \(DLMS\), not UMI",
            "no UMI meter",
            id="HDLC",
        ),
        pytest.param(
            saying(bytes.fromhex("7ea00a000200234193c65a7e")),
            SignOnError,
            "sends HDLC frames",
            "no UMI meter",
            id="HDLC frames",
        ),
        pytest.param(saying(READOUT), SignOnError, "readout unasked", "no UMI meter", id="unasked"),
        pytest.param(
            saying(AT_9600), SignOnError, "garbage came at 300 baud", "wait 60 s", id="garbage"
        ),
        pytest.param(
            saying(b"\xfe\xfe"), SignOnError, "garbage came", "wait 60 s", id="short garbage"
        ),
        pytest.param(
            saying(ODD),
            SignOnError,
            "parity is wrong everywhere, in 100% of 42 characters",
            "parity=hard",
            id="odd parity",
        ),
        pytest.param(
            saying(bytes(each & 0x7F for each in IDENT)),
            SignOnError,
            r"parity is wrong in \d\d% of 42 characters",
            "parity=hard",
            id="no parity",
        ),
        pytest.param(
            saying(bytes(20)), SignOnError, "only a constant level", "turn the head", id="level"
        ),
    ],
)
def test_what_is_no_umi_meter_is_told_by_its_name(
    answer: Callable[[int, bytes], bytes], kind: type[UmiError], sentence: str, hint: str
) -> None:
    with (
        terminal() as line,
        ScriptedMeter(line, answer).playing() as meter,
        pytest.raises(kind, match=f"^opto:x: .*{sentence}") as caught,
    ):
        # An echo must come within half a second of a clock that is so fast.
        sign_on(line, hurry=3 if answer is echoing else 10)
    assert caught.value.exit_code == (14 if kind is NoAnswerError else 16)
    assert hint in caught.value.hint
    assert meter.messages.count(REQUEST) >= 1
    # One for every rate; which rate the meter saw each at hangs on how soon its thread ran.
    assert b"".join(meter.messages).count(SIGN_OFF) >= 7, "no session is left open"


def test_a_meter_that_never_stops_talking_at_another_rate() -> None:
    with (
        terminal() as line,
        ScriptedMeter(line, silent, chatter=AT_9600).playing(),
        pytest.raises(SignOnError, match="garbage came at 300 baud") as caught,
    ):
        sign_on(line, hurry=10)
    assert "session may still be open" in caught.value.hint


def test_a_meter_in_a_session_of_somebody_else_comes_back_after_the_break() -> None:
    def answer(rate: int, message: bytes) -> bytes:
        if (rate, message) == (2400, SIGN_OFF):
            meter.chatter = b""
        return b"" if meter.chatter else by_the_book(rate, message)

    with terminal() as line:
        meter = ScriptedMeter(line, answer, chatter=AT_9600)
        with meter.playing(), sign_on(line) as transport:
            assert str(transport.identification) == "ELS EISGMv0"
    assert meter.messages.count(SELECT) == 1


def test_a_meter_that_follows_late_is_caught_by_another_switch_delay() -> None:
    def answer(rate: int, message: bytes) -> bytes:
        if message == RESYNC and meter.messages.count(SELECT) < 3:
            return b""
        return by_the_book(rate, message)

    with terminal() as line:
        meter = ScriptedMeter(line, answer)
        with meter.playing(), sign_on(line):
            pass
    assert meter.messages.count(SELECT) == 3


def test_a_resync_that_is_lost_is_given_again() -> None:
    def answer(rate: int, message: bytes) -> bytes:
        is_first = message == RESYNC and meter.messages.count(RESYNC) == 1
        return b"" if is_first else by_the_book(rate, message)

    with terminal() as line:
        meter = ScriptedMeter(line, answer)
        with meter.playing(), sign_on(line):
            pass
    assert meter.messages.count(REQUEST) == 1


def test_a_meter_of_another_datasheet_gets_no_option_select() -> None:
    foreign = with_parity(b"/HON5EI5\r\n")
    answer = partial(by_the_book, then={REQUEST: foreign})
    with (
        terminal() as line,
        ScriptedMeter(line, answer).playing() as meter,
        pytest.raises(SignOnError, match="HON EI5 answers, and the datasheet's") as caught,
    ):
        umi_cli.connect(f"opto:{line.name}{AWAKE}")
    assert caught.value.exit_code == 16
    assert "--datasheet" in caught.value.hint
    assert meter.messages == [REQUEST]


def test_whoever_gives_the_characters_knows_the_meter() -> None:
    foreign = with_parity(b"/HON5EI5\r\n")
    answer = partial(by_the_book, then={REQUEST: foreign})
    with terminal() as line, ScriptedMeter(line, answer).playing() as meter:
        umi_cli.connect(f"opto:{line.name}{AWAKE}&y=7").close()
    assert with_parity(b"\x06057\r\n") in meter.messages


# Terminal servers and bridges


@contextmanager
def terminal_server(open_port: Callable[[], Any]) -> Iterator[str]:
    """Yield the URL of a terminal server that obeys RFC 2217."""
    with peer(TerminalServer(open_port).serve) as port:
        yield f"rfc2217://{LOCALHOST}:{port}"


@contextmanager
def simulated(**options: str) -> Iterator[Simulation]:
    simulation = Simulation(SimOptions.from_query("", options), 0.0)
    yield simulation
    simulation.close()


@OF_PYSERIAL
def test_a_probe_behind_a_terminal_server(tmp_path: Path) -> None:
    with served(optical=tmp_path / "probe", opto="baud:9600,no-wakeup") as meter:
        device = meter.opto.partition(":")[2]
        with (
            terminal_server(lambda: PlainPort(device, timeout=0.01)) as url,
            umi_cli.connect(f"opto:{url}?wakeup=none") as reader,
        ):
            assert reader.transport.byte_time_s == 10 / 9600
            assert reader.read("profile-table[0:39]").part.suffix == "[0:39]"
            assert reader.write("counter", 5, verify=True).value == 5
        wait_until(lambda: is_listening(meter))


@OF_PYSERIAL
def test_parity_that_the_port_makes() -> None:
    with simulated(opto="baud:9600,no-wakeup,echo") as simulation:
        port = OpticalSerial(simulation)
        with (
            terminal_server(lambda: port) as url,
            umi_cli.connect(f"opto:{url}?wakeup=none&parity=hard") as reader,
        ):
            assert reader.read("manufacturer-id").raw == IDENTITY
            assert reader.write("counter", 5, verify=True).value == 5
    assert port.taken == ["300 baud 7E1", "9600 baud 8N1"]


@OF_PYSERIAL
@pytest.mark.parametrize(
    ("refused", "option", "sentence", "hint"),
    [
        ({"baud": 9600}, "", "refuses 9600 baud 8N1", "baud=300"),
        ({"parity": "E"}, "&parity=hard", "refuses 300 baud 7E1", "parity=soft"),
    ],
)
def test_an_adapter_that_refuses_what_it_is_set_to(
    refused: dict[str, Any], option: str, sentence: str, hint: str
) -> None:
    with (
        simulated(opto="baud:9600,no-wakeup") as simulation,
        terminal_server(lambda: OpticalSerial(simulation, refused)) as url,
        pytest.raises(SignOnError, match=f"the adapter {sentence}") as caught,
    ):
        umi_cli.connect(f"opto:{url}?wakeup=none{option}")
    assert caught.value.exit_code == 16
    assert hint in caught.value.hint


@OF_PYSERIAL
def test_a_terminal_server_that_is_gone_is_not_one_that_refuses() -> None:
    hang_ups: list[socket.socket] = []

    with simulated() as simulation:
        server = TerminalServer(lambda: OpticalSerial(simulation))

        def serve(connection: socket.socket) -> None:
            hang_ups.append(connection)
            server.serve(connection)

        with peer(serve) as number:
            url = f"rfc2217://{LOCALHOST}:{number}?timeout=0.5"
            port = SerialPort(open_port(url, 300, "opto:x"), "opto:x")
            hang_ups[0].shutdown(socket.SHUT_RDWR)
            with pytest.raises(LostError, match="opto:x is gone"):
                port.set_line(LineSettings(baud=9600))
            port._port._socket.close()  # pyserial leaves it open when it cannot shut it down
            port.close()


def test_a_probe_behind_a_bridge_stays_at_300_baud(tmp_path: Path) -> None:
    with served(optical=tmp_path / "probe", opto="baud:9600,no-wakeup") as meter:
        device = meter.opto.partition(":")[2]
        bridge = TerminalServer(lambda: PlainPort(device, 300, timeout=0.01), is_telnet=False)
        with (
            peer(bridge.serve) as port,
            umi_cli.connect(f"opto:socket://{LOCALHOST}:{port}?wakeup=none") as reader,
        ):
            assert reader.transport.byte_time_s == 10 / 300
            reader.ping()
        wait_until(lambda: is_listening(meter))


def test_nobody_behind_a_bridge() -> None:
    with pytest.raises(NoSuchPortError, match="refused"):
        umi_cli.connect(f"opto:socket://{LOCALHOST}:{free_port()}")


def test_a_bridge_that_hangs_up_while_it_is_signed_on_through() -> None:
    def act(connection: socket.socket) -> None:
        connection.recv(100)

    with peer(act) as port, pytest.raises(LostError, match="is gone") as caught:
        umi_cli.connect(f"opto:socket://{LOCALHOST}:{port}?wakeup=none")
    assert caught.value.exit_code == 17
