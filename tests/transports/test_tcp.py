"""Link frames on real TCP connections, to meters and to whatever else may listen (protocol 10)."""

import fcntl
import os
import random
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

import umi_cli
from tests.device.scripted import (
    ScriptedDevice,
    Step,
    dead,
    hang_up,
    link_error,
    raw,
    refused,
    reply,
    value,
)
from tests.transports.ends import (
    LOCALHOST,
    SAFETY_S,
    free_port,
    in_thread,
    peer,
    play_on,
    reset,
    served,
    wait_until,
    without_privileges,
)
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import ReadObjectReply
from umi_cli.device.meter import Meter
from umi_cli.errors import (
    LinkError,
    LostError,
    MalformedError,
    NoAnswerError,
    NoSuchPortError,
    PortBusyError,
    PortPermissionError,
    UmiError,
)
from umi_cli.link.frame import Frame, FrameType, LinkErrorCode
from umi_cli.transports import tcp
from umi_cli.types import DEFAULT_READER_ID, UNKNOWN_DEVICE, UmiCode

IDENTITY = b"EISGMv0\x00ELS002531733978"
CODE = UmiCode.parse("umi.1.1.0.0")
ANSWER = ReadObjectReply(code=CODE, value=IDENTITY)
RESYNC_RESPONSE = Frame(
    sequence=0, frame_type=FrameType.RESYNC_RESPONSE, destination=5, source=1
).encode()


def reader_of(port: int, timeout_s: float = SAFETY_S, retries: int = 0) -> Meter:
    return umi_cli.connect(f"tcp:{LOCALHOST}:{port}", timeout_s=timeout_s, retries=retries)


def read_identity(port: int, timeout_s: float = SAFETY_S) -> bytes:
    with reader_of(port, timeout_s) as meter:
        return meter.read("manufacturer-id").raw


# Meters


def test_a_meter_is_read_and_written() -> None:
    data = bytes(range(250)) * 20
    with served() as meter, umi_cli.connect(meter.tcp) as reader:
        assert reader.read("manufacturer-id/serial").value == "31733978"
        reader.write("scratch", data, verify=True)
        assert reader.read("scratch").raw == data
        assert reader.transport.address == meter.tcp


def test_a_port_of_the_host_that_is_not_there() -> None:
    with served() as meter, umi_cli.connect(f"{meter.tcp}/3") as reader:
        with pytest.raises(LinkError, match="BAD_ADDRESS") as caught:
            reader.read("manufacturer-id")
        assert "leave /N off" in caught.value.hint


def test_the_host_itself_may_be_named() -> None:
    with served() as meter, umi_cli.connect(f"{meter.tcp}/0") as reader:
        assert reader.read("manufacturer-id").raw == IDENTITY


def test_a_meter_under_an_ipv6_address() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this host has no IPv6")
    with listener:
        port = listener.getsockname()[1]
        with umi_cli.connect(f"tcp:[::1]:{port}"), listener.accept()[0]:
            pass


# Nobody there


def test_no_listener() -> None:
    with pytest.raises(NoSuchPortError, match="nothing listens there") as caught:
        read_identity(free_port())
    assert caught.value.exit_code == 10
    assert caught.value.hint == "check host and port, and that the device is switched on"


@pytest.mark.parametrize("host", ["nosuch.invalid", "a..b", "x" * 64, "x" * 300])
def test_unknown_host(host: str) -> None:
    with pytest.raises(NoSuchPortError, match="there is no host") as caught:
        umi_cli.connect(f"tcp:{host}:4059")
    assert (caught.value.exit_code, caught.value.hint) == (10, "check the name")
    with pytest.raises(NoSuchPortError, match="cannot listen there") as caught:
        umi_cli.connect(f"tcp-listen:{host}:0?wait=1")
    assert caught.value.exit_code == 10


def test_a_host_that_takes_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tcp.CONNECT_TIMEOUT_S == 10
    monkeypatch.setattr(tcp, "CONNECT_TIMEOUT_S", 0.1)
    with socket.create_server((LOCALHOST, 0), backlog=0) as full, ExitStack() as callers:
        for _ in range(3):  # more than wait to be accepted: what comes next is dropped
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        with pytest.raises(NoAnswerError, match="the host does not answer") as caught:
            read_identity(full.getsockname()[1])
    assert caught.value.exit_code == 14


def test_silence() -> None:
    received: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        while data := connection.recv(1000):
            received.append(data)

    with peer(listen) as port, pytest.raises(NoAnswerError, match="does not answer") as caught:
        read_identity(port, 0.05)
    assert caught.value.exit_code == 14
    assert b"".join(received) == bytes.fromhex("01040000fe5b"), "one RESYNC, for no retries"


# A peer that hangs up


def at_once(connection: socket.socket) -> None:
    """Hang up."""


def after_a_word(connection: socket.socket) -> None:
    connection.recv(1000)


def after_half_an_answer(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.sendall(RESYNC_RESPONSE[:3])


def after_resync(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.sendall(RESYNC_RESPONSE)
    connection.recv(1000)


def rudely(connection: socket.socket) -> None:
    connection.recv(1000)
    reset(connection)


@pytest.mark.parametrize("act", [at_once, after_a_word, after_half_an_answer, after_resync, rudely])
def test_a_peer_that_hangs_up(act: Callable[[socket.socket], None]) -> None:
    with peer(act) as port, pytest.raises(LostError, match="has hung up") as caught:
        read_identity(port)
    assert caught.value.exit_code == 17
    assert "None" not in str(caught.value)


def test_a_peer_that_hangs_up_between_two_reads() -> None:
    def act(connection: socket.socket) -> None:
        play_on(connection, ScriptedDevice([value(IDENTITY), hang_up]))

    with peer(act) as port, reader_of(port) as meter:
        assert meter.read("manufacturer-id").raw == IDENTITY
        for _ in range(3):
            with pytest.raises(LostError):
                meter.read("manufacturer-id")


def test_a_write_to_a_peer_that_hangs_up_is_in_doubt() -> None:
    def act(connection: socket.socket) -> None:
        play_on(connection, ScriptedDevice([hang_up]))

    with peer(act) as port, reader_of(port) as meter:
        with pytest.raises(LostError, match="unknown whether it ran") as caught:
            meter.write("counter", 5)
        assert caught.value.exit_code == 17


# A peer that speaks something else


SIXTY_FOUR_KIB = random.Random(4).randbytes(65_536)
GARBAGE = {
    "text": b"SSH-2.0-OpenSSH_9.6\r\n",
    "ones": b"\xff" * 300,
    "heads of frames": b"\x01" * 300,
    "long frames": b"\x01\x01\xf9\x51" * 100,
    "random": SIXTY_FOUR_KIB[:5000],
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_bytes_that_are_no_frames(garbage: bytes) -> None:
    def act(connection: socket.socket) -> None:
        while connection.recv(1000):
            connection.sendall(garbage)

    with peer(act) as port, pytest.raises(LinkError, match="none of them a UMI frame") as caught:
        read_identity(port, 0.15)
    assert caught.value.exit_code == 15
    assert caught.value.hint


ENDLESS = {
    "random": SIXTY_FOUR_KIB,
    "zeros": bytes(65_536),
    "heads of frames": b"\x01" * 65_536,
    "stray answers": Frame(
        sequence=9, frame_type=FrameType.SIMPLE_RESPONSE, destination=5, source=1, payload=b"x"
    ).encode()
    * 6000,
    "RESYNC over and over": RESYNC_RESPONSE * 6000,
}


@pytest.mark.parametrize("garbage", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_stream_ends(garbage: bytes) -> None:
    def act(connection: socket.socket) -> None:
        while True:
            connection.sendall(garbage)

    with peer(act) as port, pytest.raises(LinkError) as caught:
        read_identity(port, 0.1)
    assert caught.value.exit_code == 15


def test_an_echo_is_no_meter() -> None:
    def act(connection: socket.socket) -> None:
        while data := connection.recv(1000):
            connection.sendall(data)

    with peer(act) as port, pytest.raises(LinkError, match="not this command"):
        read_identity(port, 0.1)


@pytest.mark.parametrize(
    ("step", "exit_code"),
    [
        (reply(ANSWER, transaction=1), 33),
        (reply(ANSWER, source=DEFAULT_READER_ID, destination=UNKNOWN_DEVICE), 33),
        (reply(ANSWER, kind=PacketType.WRITE_OBJECT_RESPONSE), 33),
        (reply(ANSWER, kind=0x77), 33),
        (reply(ReadObjectReply(code=UmiCode(7), value=IDENTITY)), 33),
        (reply(ANSWER, encryption_scheme=1), 33),
        (reply(ANSWER.encode()[:-1]), 33),
        (reply(ReadObjectReply(code=CODE, value=IDENTITY[:-1])), 33),
        (lambda request: b"", 33),
        (lambda request: b"no packet", 33),
        (lambda request: SIXTY_FOUR_KIB[:249], 33),
        (lambda request: SIXTY_FOUR_KIB, 33),
        (refused(ResultCode.ACCESS_DENIED), 23),
        (refused(ResultCode.UNKNOWN_OBJECT), 31),
        (refused(200), 30),
        (link_error(LinkErrorCode.UNKNOWN_FRAME_TYPE), 15),
        (raw(b"\x11\x01\x00\x51\x00\x00"), 15),
        (hang_up, 17),
    ],
)
def test_frames_that_are_right_and_what_they_carry_is_not(step: Step, exit_code: int) -> None:
    def act(connection: socket.socket) -> None:
        play_on(connection, ScriptedDevice([step] * 4))

    is_silent = exit_code == 15
    with peer(act) as port, pytest.raises(UmiError) as caught:
        read_identity(port, 0.2 if is_silent else SAFETY_S)
    assert caught.value.exit_code == exit_code
    assert isinstance(caught.value, MalformedError) == (exit_code == 33)


def test_a_device_that_falls_silent_after_its_first_answer() -> None:
    def act(connection: socket.socket) -> None:
        play_on(connection, ScriptedDevice([value(IDENTITY), dead]))

    with peer(act) as port, reader_of(port, 0.1) as meter:
        meter.read("manufacturer-id")
        with pytest.raises(LostError, match="answered before and no longer does") as caught:
            meter.read("manufacturer-id")
        assert caught.value.exit_code == 17


# Being called


def test_a_meter_calls() -> None:
    address = f"tcp-listen:{free_port()}?wait={SAFETY_S}"
    port = int(address.split(":")[1].split("?")[0])
    meter = ScriptedDevice([value(IDENTITY)])

    def call() -> None:
        until_s = time.monotonic() + SAFETY_S
        while time.monotonic() < until_s:
            try:
                connection = socket.create_connection((LOCALHOST, port), timeout=SAFETY_S)
            except ConnectionRefusedError:
                time.sleep(0.01)
                continue
            with connection:
                play_on(connection, meter)
            return

    with in_thread(call), umi_cli.connect(address) as reader:
        assert reader.read("manufacturer-id").raw == IDENTITY
        assert reader.transport.address == address


def test_nobody_calls() -> None:
    with pytest.raises(NoAnswerError, match=r"nobody called within 0\.05 s") as caught:
        umi_cli.connect("tcp-listen:0?wait=0.05")
    assert caught.value.exit_code == 14
    assert "wait=SECONDS" in caught.value.hint


def test_nobody_is_waited_for_a_minute_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tcp.CALL_TIMEOUT_S == 60
    monkeypatch.setattr(tcp, "CALL_TIMEOUT_S", 0.01)
    with pytest.raises(NoAnswerError, match=r"within 0\.01 s"):
        umi_cli.connect("tcp-listen:0")


def test_another_program_listens_there() -> None:
    with socket.create_server((LOCALHOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortBusyError, match="cannot listen there") as caught:
            umi_cli.connect(f"tcp-listen:{port}?wait=1")
    assert caught.value.exit_code == 11


def test_an_address_of_another_host() -> None:
    with pytest.raises(NoSuchPortError, match="cannot listen there") as caught:
        umi_cli.connect("tcp-listen:192.0.2.254:0?wait=1")
    assert caught.value.exit_code == 10


def test_a_port_that_is_not_for_everybody() -> None:
    limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not limit.exists() or int(limit.read_text()) <= 1:
        pytest.skip("everybody may listen on every port here")
    with (
        without_privileges(),
        pytest.raises(PortPermissionError, match="may not listen on port 1") as caught,
    ):
        tcp.wait_for_call("127.0.0.1", 1, "tcp-listen:1")
    assert caught.value.exit_code == 12
    assert "1023" in caught.value.hint


# The transport itself


@pytest.fixture
def pair() -> tuple[tcp.TcpTransport, socket.socket]:
    near, far = socket.socketpair()
    near.close()
    far.close()
    with socket.create_server((LOCALHOST, 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far = listener.accept()[0]
    return tcp.TcpTransport(near, "tcp:here"), far


def test_bytes_go_both_ways(pair: tuple[tcp.TcpTransport, socket.socket]) -> None:
    transport, far = pair
    with transport, far:
        transport.send(b"abc")
        assert far.recv(10) == b"abc"
        far.sendall(b"def")
        assert transport.receive(transport.clock.monotonic() + SAFETY_S) == b"def"
        assert transport.receive(transport.clock.monotonic() - 1) == b"", "the deadline has passed"
        far.sendall(b"ghi")
        far.close()
        received = b""
        while len(received) < 3:
            received += transport.receive(transport.clock.monotonic() + SAFETY_S)
        assert received == b"ghi", "what came before the end still comes"
        with pytest.raises(LostError, match="tcp:here has hung up"):
            transport.receive(transport.clock.monotonic() + SAFETY_S)


def test_a_closed_transport_is_lost(pair: tuple[tcp.TcpTransport, socket.socket]) -> None:
    transport, far = pair
    with far:
        transport.close()
        transport.close()
        assert far.recv(10) == b""
        for act in (lambda: transport.send(b"x"), lambda: transport.receive(0.0)):
            with pytest.raises(LostError, match="tcp:here has hung up"):
                act()


def test_sending_to_a_peer_that_is_gone(pair: tuple[tcp.TcpTransport, socket.socket]) -> None:
    transport, far = pair

    def send_on() -> None:
        while True:
            transport.send(b"x")

    with transport:
        reset(far)
        with pytest.raises(LostError, match=r"has hung up: .*(reset|pipe)"):
            send_on()


def test_a_program_may_have_more_than_a_thousand_descriptors(
    pair: tuple[tcp.TcpTransport, socket.socket],
) -> None:
    transport, far = pair
    transport.close()
    with far, socket.create_server((LOCALHOST, 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        try:
            high = fcntl.fcntl(near.fileno(), fcntl.F_DUPFD_CLOEXEC, 1500)
        except OSError:
            pytest.skip("the limit of this process is lower")
        finally:
            near.close()
        with (
            tcp.TcpTransport(socket.socket(fileno=high), "tcp:here") as above,
            listener.accept()[0] as other,
        ):
            assert high >= 1500
            assert above.receive(0.0) == b""
            other.sendall(b"abc")
            assert above.receive(above.clock.monotonic() + SAFETY_S) == b"abc"


def test_the_port_is_closed_after_an_error() -> None:
    def count() -> int:
        return len(os.listdir("/dev/fd"))

    with served() as meter:
        before = count()
        for _ in range(3):
            with pytest.raises(UmiError):
                read_identity(free_port())
            reader = umi_cli.connect(f"{meter.tcp}/3")
            with reader, pytest.raises(LinkError):
                reader.ping()
            reader.close()
        wait_until(lambda: count() == before)  # the server closes its end a moment later


def test_a_wait_may_be_longer_than_the_system_can_wait_at_once() -> None:
    with socket.create_server((LOCALHOST, 0)) as listener:
        here = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()
        with tcp.TcpTransport(here, "tcp:x") as transport, there:
            there.sendall(b"late")
            assert transport.receive(transport.clock.monotonic() + 366 * 86_400) == b"late"
