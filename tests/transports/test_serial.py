"""Link frames on real pseudo-terminals, and on what else pyserial opens by URL."""

import logging
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial

import umi_cli
from tests.device.scripted import ScriptedDevice, value
from tests.transports.ends import (
    LOCALHOST,
    SAFETY_S,
    Terminal,
    TerminalServer,
    free_port,
    in_thread,
    peer,
    served,
    terminal,
    without_privileges,
)
from umi_cli.application.commands import ReadObject
from umi_cli.device.session import Session
from umi_cli.errors import (
    LinkError,
    LostError,
    NoAnswerError,
    NoSuchPortError,
    PortBusyError,
    PortPermissionError,
)
from umi_cli.link.frame import MAX_FRAME_BYTES
from umi_cli.transports.serial import SerialTransport, open_serial
from umi_cli.types import UmiCode

IDENTITY = b"EISGMv0\x00ELS002531733978"
DATA = bytes(range(250)) * 20
READ = ReadObject(code=UmiCode.parse("umi.1.1.0.0"))


def test_a_meter_is_read_and_written(tmp_path: Path) -> None:
    with served(pty=tmp_path / "meter") as meter, umi_cli.connect(f"{meter.pty}@9600") as reader:
        assert reader.read("manufacturer-id").raw == IDENTITY
        reader.write("scratch", DATA, verify=True)
        assert reader.read("scratch").raw == DATA
        assert reader.transport.address == f"serial:{tmp_path / 'meter'}@9600"


@pytest.mark.parametrize("baud", [300, 9600, 19_200, 115_200, 12_345])
def test_any_rate_opens(tmp_path: Path, baud: int) -> None:
    with served(pty=tmp_path / "meter") as meter, umi_cli.connect(f"{meter.pty}@{baud}") as reader:
        assert reader.read("manufacturer-id").raw == IDENTITY
        assert reader.transport.byte_time_s == 10 / baud


def test_the_rate_extends_every_deadline() -> None:
    with terminal() as line, open_serial(line.name, 300, "serial:x@300") as transport:
        session = Session(transport)
        settings = session.link.settings
        assert settings.byte_time_s == pytest.approx(1 / 30)
        assert (settings.timeout_s, settings.idle_gap_s) == (2.0, 0.1)
        session.link.command(b"x" * 100, 50.0)
        resync, answer = 6, MAX_FRAME_BYTES
        assert session.link.deadline == pytest.approx(50.0 + 2.0 + (resync + answer) / 30)


def test_a_port_is_held_alone() -> None:
    with terminal() as line, open_serial(line.name, 9600, "a"):
        with pytest.raises(PortBusyError, match="another program holds") as caught:
            umi_cli.connect(f"serial:{line.name}@9600")
        assert caught.value.exit_code == 11
        assert caught.value.hint


def test_a_port_is_free_again_once_it_is_closed() -> None:
    with terminal() as line:
        for _ in range(3):
            open_serial(line.name, 9600, "a").close()


def test_a_port_that_another_program_has_locked() -> None:
    with (
        terminal() as line,
        serial.Serial(line.name, exclusive=True),
        pytest.raises(PortBusyError),
    ):
        open_serial(line.name, 9600, "a")


@pytest.mark.parametrize(
    "device",
    [
        "/dev/nosuch",
        "/dev/null",
        "nosuch://x",
        "socket://127.0.0.1:1",
        "loop://?nosuch=1",
        "hwgrep://nosuch-device",
    ],
)
def test_no_such_device(device: str) -> None:
    with pytest.raises(NoSuchPortError) as caught:
        umi_cli.connect(f"serial:{device}@9600")
    assert caught.value.exit_code == 10
    assert device in str(caught.value)
    assert "umi ports" in caught.value.hint


def test_what_is_no_terminal(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"precious")
    for path, reason in {
        file: "is no serial port",
        Path("/dev/null"): "is no serial port",
        tmp_path: "cannot be opened",
    }.items():
        with pytest.raises(NoSuchPortError, match=f"{path} {reason}") as caught:
            umi_cli.connect(f"serial:{path}@9600")
        assert "ioctl" not in str(caught.value)
    assert file.read_bytes() == b"precious"


def test_nobody_listens_at_a_url() -> None:
    """Said in the words of the system, and not in those of the library."""
    with pytest.raises(NoSuchPortError, match=r"cannot be opened \(Connection refused\)$"):
        umi_cli.connect("serial:socket://127.0.0.1:1")


def test_a_device_that_is_not_for_everybody() -> None:
    with terminal() as line:
        name = line.name
        os.chmod(name, 0)
        with (
            without_privileges(),
            pytest.raises(PortPermissionError, match="may not open") as caught,
        ):
            open_serial(name, 9600, f"serial:{name}@9600")
        os.chmod(name, stat.S_IRUSR | stat.S_IWUSR)
    assert caught.value.exit_code == 12
    assert "dialout" in caught.value.hint


def test_silence() -> None:
    with terminal() as line, umi_cli.connect(f"serial:{line.name}@115200", timeout_s=0.05) as meter:
        with pytest.raises(NoAnswerError) as caught:
            meter.ping()
        assert caught.value.exit_code == 14
        assert line.read() == bytes.fromhex("01040000fe5b") * 3


def test_noise() -> None:
    with (
        terminal() as line,
        umi_cli.connect(f"serial:{line.name}@115200", timeout_s=0.05) as meter,
    ):
        os.write(line.master, b"\xfe" * 100)
        with pytest.raises(LinkError, match=r"sends bytes \(100\)"):
            meter.ping()


def answer_on(line: Terminal, device: ScriptedDevice, commands: int) -> None:
    """Be a scripted device until that many commands have come."""
    while len(device.requests) < commands:
        device.receive_data(line.read(), 0.0, 0.0)
        for chunk in device.data_to_send():
            os.write(line.master, chunk)


def test_a_device_that_vanishes() -> None:
    def act() -> None:
        answer_on(line, ScriptedDevice([value(IDENTITY)]), 1)
        line.read()
        line.vanish()

    with (
        terminal() as line,
        umi_cli.connect(f"serial:{line.name}@9600", timeout_s=SAFETY_S) as meter,
    ):
        with in_thread(act):
            assert meter.read("manufacturer-id").raw == IDENTITY
            with pytest.raises(LostError, match="is gone") as caught:
                meter.read("manufacturer-id")
        assert caught.value.exit_code == 17
        with pytest.raises(LostError, match="is gone"):
            meter.write("counter", 1)


def test_a_port_that_is_closed_is_gone() -> None:
    with terminal() as line:
        transport = open_serial(line.name, 9600, "serial:x")
        transport.close()
        transport.close()
        for act in (lambda: transport.send(b"x"), lambda: transport.receive(0.0)):
            with pytest.raises(LostError, match="serial:x is gone"):
                act()


def test_nothing_that_came_before_is_taken_for_an_answer() -> None:
    with terminal() as line:
        os.write(line.master, b"old")
        with open_serial(line.name, 9600, "a") as transport:
            os.write(line.master, b"new")
            received = transport.receive(transport.clock.monotonic() + SAFETY_S)
            assert received == b"new"
            assert transport.receive(transport.clock.monotonic() - 1) == b""


# pyserial's URLs


def test_our_own_echo_is_no_meter() -> None:
    with (
        umi_cli.connect("serial:loop://@115200", timeout_s=0.05) as meter,
        pytest.raises(LinkError, match="not this command"),
    ):
        meter.ping()


def test_options_of_a_url_reach_pyserial() -> None:
    with umi_cli.connect("serial:loop://?logging=error@9600") as meter:
        assert isinstance(meter.transport, SerialTransport)
        assert meter.transport._port.logger.level == logging.ERROR


def test_a_meter_behind_a_socket_url() -> None:
    with (
        served() as meter,
        umi_cli.connect(f"serial:socket://{LOCALHOST}:{meter.port}@115200") as reader,
    ):
        assert reader.read("manufacturer-id").raw == IDENTITY
        reader.write("scratch", DATA)
        assert reader.read("scratch").raw == DATA


def test_nobody_behind_a_socket_url() -> None:
    with pytest.raises(NoSuchPortError, match="refused"):
        umi_cli.connect(f"serial:socket://{LOCALHOST}:{free_port()}@9600")


def test_what_came_before_the_end_still_comes() -> None:
    data = b"seven.."  # pyserial takes two at a time: with the last one comes the end

    def act(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(data)

    def receive_on() -> None:
        transport.send(b"?")
        while True:
            received.append(transport.receive(transport.clock.monotonic() + SAFETY_S))

    received: list[bytes] = []
    with (
        peer(act) as port,
        open_serial(f"socket://{LOCALHOST}:{port}", 9600, "serial:x") as transport,
        pytest.raises(LostError, match="serial:x is gone"),
    ):
        receive_on()
    assert b"".join(received) == data


@contextmanager
def terminal_server() -> Iterator[tuple[TerminalServer, int]]:
    with served() as meter:
        url = f"socket://{LOCALHOST}:{meter.port}"
        server = TerminalServer(lambda: serial.serial_for_url(url, timeout=0.01))
        with peer(server.serve) as port:
            yield server, port


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # of pyserial
def test_a_meter_behind_a_terminal_server() -> None:
    with terminal_server() as (server, port):
        with umi_cli.connect(f"serial:rfc2217://{LOCALHOST}:{port}@19200") as reader:
            once = server.settings
            for _ in range(20):
                assert reader.read("manufacturer-id").raw == IDENTITY
            assert reader.read("profile-table[0:47]").part.suffix == "[0:47]"
            assert reader.transport.byte_time_s == 10 / 19_200
        assert server.settings == once, "the port is configured when it is opened, and not again"
