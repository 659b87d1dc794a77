"""The virtual meter on real ports: many readers, rude readers, and an order to end."""

import json
import os
import resource
import select
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import serial

import umi_cli
from tests.cli.conftest import run_umi, start_umi
from tests.independent import IndependentReader, Refused
from tests.transports.ends import (
    LOCALHOST,
    SAFETY_S,
    Served,
    free_port,
    reset,
    served,
    wait_until,
    without_privileges,
)
from umi_cli.application.commands import EventPublish, EventPublishReply, EventSubscribe, ReadObject
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.device.meter import Meter
from umi_cli.errors import (
    InputError,
    LostError,
    NoSuchPortError,
    PortBusyError,
    PortPermissionError,
    UmiError,
)
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import CommandReceived, LinkSettings, ResponseReceived
from umi_cli.link.frame import Frame, FrameType
from umi_cli.link.stream import DEFAULT_IDLE_GAP_S, FrameReceiver
from umi_cli.types import DEFAULT_READER_ID, UNKNOWN_DEVICE, Role, UmiCode
from umi_cli.virtual.channels import CHUNK_BYTES
from umi_cli.virtual.event_log import EventNumber
from umi_cli.virtual.faults import Cut, FaultInjector, FaultRates
from umi_cli.virtual.host import Host
from umi_cli.virtual.serve import MAX_UNSENT_BYTES, Server
from umi_cli.virtual.setup import SimOptions, Simulation

IDENTITY = b"EISGMv0\x00ELS002531733978"
RESYNC = Frame(sequence=0, frame_type=FrameType.RESYNC, destination=0, source=0).encode()
ANSWER_BYTES = 6
READERS = 200


def connected(meter: Served) -> socket.socket:
    return socket.create_connection((LOCALHOST, meter.port), timeout=SAFETY_S)


def received(connection: socket.socket, length_bytes: int) -> bytes:
    data = b""
    while len(data) < length_bytes:
        data += connection.recv(65_536)
    return data


def still_serves(meter: Served) -> bool:
    with umi_cli.connect(meter.tcp, timeout_s=SAFETY_S) as reader:
        return reader.read("manufacturer-id").raw == IDENTITY


@pytest.fixture
def simulation() -> Simulation:
    return Simulation(SimOptions(), time.time())


# Many readers


def test_200_readers_at_once() -> None:
    with served() as meter, ExitStack() as readers, ThreadPoolExecutor(8) as pool:
        store = meter.simulation.meter.memory.store
        with umi_cli.connect(meter.tcp) as reader:
            reader.write("scratch", bytes(range(READERS)))
        table = store.read(reader.catalogue.resolve("profile-table"), Role.GUEST)
        open_readers = [
            readers.enter_context(umi_cli.connect(meter.tcp, timeout_s=SAFETY_S))
            for _ in range(READERS)
        ]

        def read(number: int, turn: int) -> None:
            reader = open_readers[number]
            assert reader.read(f"scratch[{number}]").raw == bytes([number])
            first = (number + turn) % 300
            raw = reader.read(f"profile-table[{first}:{first + 9}]").raw
            assert raw == table[12 * first : 12 * (first + 10)]

        for turn in range(8):
            list(pool.map(read, range(READERS), [turn] * READERS))
        assert len(meter.simulation.injectors) == READERS + 1


def test_a_meter_is_one_for_all_its_readers(tmp_path: Path) -> None:
    with served(pty=tmp_path / "meter") as meter, ExitStack() as readers:
        all_readers = [
            readers.enter_context(umi_cli.connect(address))
            for address in (meter.tcp, meter.tcp, meter.pty)
        ]
        for number, writer in enumerate(all_readers):
            writer.write("counter", number)
            assert [reader.read("counter").value for reader in all_readers] == [number] * 3


@pytest.mark.parametrize("kind", ["tcp", "pty"])
def test_an_independent_reader_reads_and_writes(kind: str, tmp_path: Path) -> None:
    data = bytes(range(250)) * 80
    with served(pty=tmp_path / "meter") as meter, ExitStack() as stack:
        if kind == "tcp":
            connection = stack.enter_context(connected(meter))
            reader = IndependentReader(connection.sendall, lambda: connection.recv(65_536))
        else:
            port = stack.enter_context(serial.Serial(str(tmp_path / "meter"), timeout=SAFETY_S))
            reader = IndependentReader(
                lambda frame: port.write(frame) and None,  # type: ignore[arg-type]
                lambda: port.read(1) + port.read(port.in_waiting),
            )
        assert reader.read(0x01_01_00_00) == IDENTITY
        reader.write(0xFF_00_00_40, data)
        assert reader.read(0xFF_00_00_40) == data
        for first in range(0, 330, 10):
            assert len(reader.read_part(0x01_01_C2_17, first, first + 9)) == 120
        with pytest.raises(Refused) as caught:
            reader.read(0x01_01_63_09)
        assert caught.value.args == ("result", 4)
        assert reader.resyncs > 2


# Rude readers


def slow_connection(meter: Served) -> socket.socket:
    """Call a meter, and be ready to take a few kilobytes at a time."""
    connection = socket.socket()
    connection.settimeout(SAFETY_S)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((LOCALHOST, meter.port))
    return connection


def held_bytes() -> int:
    """Return how much the system holds for such a reader that takes nothing."""
    with socket.create_server((LOCALHOST, 0)) as listener, socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(listener.getsockname())
        with listener.accept()[0] as writer:
            writer.setblocking(False)
            held = 0
            while True:
                try:
                    held += writer.send(bytes(254 * 1000))
                except BlockingIOError:
                    return held


def packet(kind: int, payload: bytes) -> bytes:
    head = Envelope(source=DEFAULT_READER_ID, destination=UNKNOWN_DEVICE)
    message = Message(transaction=0, created_s=0, packet_type=kind, payload=payload)
    return head.encode() + message.encode()


TABLE = ReadObject(code=UmiCode.parse("umi.1.1.194.23"))
READ_TABLE = Frame(
    sequence=1,
    frame_type=FrameType.SIMPLE,
    destination=0,
    source=5,
    payload=packet(TABLE.TYPE, TABLE.encode()),
).encode()
"""Its answer is a first fragment, and so is that to each repeat of it."""
FRAGMENT_BYTES = 254


def test_a_reader_that_never_takes_its_answers_stops_nobody() -> None:
    with served() as meter, slow_connection(meter) as rude:
        rude.sendall(RESYNC)
        answers = 0

        def send_on() -> None:
            nonlocal answers
            while True:
                rude.sendall(READ_TABLE * 100)
                answers += 100
                assert still_serves(meter)

        with pytest.raises(ConnectionError):
            send_on()
        assert answers * FRAGMENT_BYTES > MAX_UNSENT_BYTES, "it was hung up on for good reason"
        assert still_serves(meter)


def test_a_slow_reader_gets_its_answers_whole() -> None:
    held = held_bytes()
    receiver = FrameReceiver()
    with served() as meter, slow_connection(meter) as slow:
        slow.sendall(RESYNC)
        for _ in range((held + MAX_UNSENT_BYTES // 2) // FRAGMENT_BYTES // 100):
            slow.sendall(READ_TABLE * 100)
            assert still_serves(meter)
        time.sleep(2 * DEFAULT_IDLE_GAP_S)  # so that the end of it is no part of a frame
        slow.sendall(RESYNC)
        frames: list[Frame] = []
        length_bytes = 0
        while len(frames) < 2 or frames[-1].frame_type != FrameType.RESYNC_RESPONSE:
            data = slow.recv(65_536)
            assert data
            length_bytes += len(data)
            frames += receiver.receive_data(data, 0.0)
    assert length_bytes > held, "some of it waited in the server"
    assert receiver.noise_bytes == 0
    assert {frame.frame_type for frame in frames[1:-1]} == {FrameType.FRAGMENT}
    assert len(set(map(Frame.encode, frames[1:-1]))) == 1


def test_readers_that_vanish_are_forgotten() -> None:
    with served() as meter:
        subscribers = meter.simulation.meter.memory.events.subscribers
        before = len(subscribers)
        for _ in range(30):
            rude, quiet = connected(meter), connected(meter)
            rude.sendall(RESYNC * 50)
            reset(rude)
            quiet.sendall(RESYNC)
            received(quiet, ANSWER_BYTES)
            reset(quiet)
            with connected(meter) as half:
                half.sendall(RESYNC + b"\x11\x00\x20")
            connected(meter).close()
        assert still_serves(meter)
        wait_until(lambda: len(subscribers) == before)


def test_half_a_frame_is_forgotten_after_a_pause() -> None:
    with served() as meter, connected(meter) as reader:
        reader.sendall(b"\x01\x04\xf9")  # says that 249 bytes follow, and they never do
        time.sleep(1.5 * DEFAULT_IDLE_GAP_S)
        reader.sendall(RESYNC)
        assert Frame.decode(received(reader, ANSWER_BYTES)).frame_type == FrameType.RESYNC_RESPONSE


def test_garbage_stops_nobody() -> None:
    with served() as meter, connected(meter) as rude:
        for _ in range(20):
            rude.sendall(os.urandom(10_000))
        assert still_serves(meter)


def test_more_readers_than_descriptors() -> None:
    with ended(start_umi("sim", "--tcp", "127.0.0.1:0")) as process, ExitStack() as stack:
        address = announced(process)
        early = stack.enter_context(umi_cli.connect(address, timeout_s=SAFETY_S))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (20, 20))
        port = int(address.rpartition(":")[2])
        crowd = [socket.create_connection((LOCALHOST, port)) for _ in range(30)]
        assert early.read("manufacturer-id").raw == IDENTITY
        for one in crowd:
            one.close()
        with umi_cli.connect(address, timeout_s=SAFETY_S) as late:
            assert late.read("manufacturer-id").raw == IDENTITY


# Faults


def test_a_line_that_hangs_up() -> None:
    with served(fault="hangup:1") as meter:
        for _ in range(5):
            with umi_cli.connect(meter.tcp, timeout_s=SAFETY_S) as reader:
                with pytest.raises(LostError, match="has hung up") as caught:
                    reader.ping()
                assert caught.value.exit_code == 17
    assert "5 lines were served; faults injected: 5 hangup" in meter.simulation.summary


def test_a_pseudo_terminal_that_is_pulled_out_is_in_again(tmp_path: Path) -> None:
    with served(pty=tmp_path / "meter", fault="hangup:0.3") as meter:
        answers = 0
        codes = set()
        with umi_cli.connect(meter.pty, timeout_s=0.05) as reader:
            while answers < 5:
                try:
                    answers += reader.read("manufacturer-id").raw == IDENTITY
                except UmiError as error:
                    codes.add(error.exit_code)
    assert codes <= {14, 15, 17}


def strikes_at(rates: FaultRates, seed: int) -> tuple[int, float]:
    """Return before which chunk a line's power fails, of 200, and for how long."""
    injector = FaultInjector(rates, seed)
    for number in range(200):
        if injector.pass_through(b"x").cut is Cut.POWER:
            return number, injector.off_s()
    return 200, 0.0


def test_a_power_cut_on_one_line_is_one_on_all() -> None:
    rates = FaultRates(power=0.01)
    # The first line's power fails in its tenth exchange, for long; the second one's never.
    seed = next(
        seed
        for seed in count()
        if 20 <= (cut := strikes_at(rates, seed))[0] < 60
        and 1.5 < cut[1] < 2.0
        and strikes_at(rates, seed + 1)[0] == 200
    )
    with (
        served(fault="power:0.01", seed=str(seed)) as meter,
        umi_cli.connect(meter.tcp, timeout_s=0.2, retries=0) as first,
        umi_cli.connect(meter.tcp, timeout_s=0.2, retries=0) as second,
    ):
        device = meter.simulation.meter
        first.ping()
        second.ping()

        def ping_on() -> None:
            while True:
                first.ping()

        with pytest.raises(LostError):
            ping_on()
        assert device.power_losses == 1
        with pytest.raises(LostError, match="answered before and no longer does"):
            second.ping()
        wait_until(lambda: not device.is_off(time.monotonic()))
        assert second.read("manufacturer-id").raw == IDENTITY
        assert meter.simulation.injectors[1].counts["power"] == 0


def delay_s(seed: int) -> float:
    """Return how long a line with that seed holds up a RESYNC and its answer."""
    injector = FaultInjector(FaultRates(delay=1), seed)
    return sum(injector.pass_through(RESYNC).pieces[0][0] for _ in range(2))


def test_what_is_held_up_comes_in_time_of_itself() -> None:
    seed = next(seed for seed in count() if delay_s(seed) < 0.3)
    with served(fault="delay:1", seed=str(seed)) as meter, connected(meter) as reader:
        reader.sendall(RESYNC)
        answer = Frame.decode(received(reader, ANSWER_BYTES))
    assert answer.frame_type == FrameType.RESYNC_RESPONSE


def test_deferred_answers_come() -> None:
    with (
        served(defer="umi.255.0.0.65:60,umi.1.1.0.0:90") as meter,
        umi_cli.connect(meter.tcp, timeout_s=SAFETY_S) as reader,
        umi_cli.connect(meter.tcp, timeout_s=SAFETY_S) as other,
    ):
        reader.write("counter", 7)
        assert other.read("counter").value == 7
        assert reader.read("manufacturer-id").raw == IDENTITY


def test_what_was_deferred_is_done_though_its_reader_has_gone() -> None:
    with served(defer="umi.255.0.0.65:50") as meter, connected(meter) as rude:
        reader = IndependentReader(rude.sendall, lambda: rude.recv(65_536))
        with pytest.raises(AssertionError):  # it knows no WAIT
            reader.write(0xFF_00_00_41, b"\x09\0\0\0")
        rude.close()
        time.sleep(0.1)
        with umi_cli.connect(meter.tcp, timeout_s=SAFETY_S) as other:
            assert other.read("counter").value == 9


# Events


class Subscriber:
    """A reader that commands and is commanded."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._link = LinkConnection(LinkSettings(accepts_commands=True, timeout_s=SAFETY_S))
        self.published: list[EventPublish] = []

    def subscribe(self, events: int) -> None:
        command = EventSubscribe(events=events, signature_scheme=0)
        self._link.command(packet(command.TYPE, command.encode()), time.monotonic())
        while not any(isinstance(event, ResponseReceived) for event in self._pass()):
            pass

    def wait_for_event(self) -> None:
        """Take what the meter publishes, and thank it."""
        before = len(self.published)
        while len(self.published) == before:
            for event in self._pass():
                assert isinstance(event, CommandReceived)
                message = Message.decode(event.packet[ENVELOPE_BYTES:])
                assert message.packet_type == EventPublish.TYPE
                self.published.append(EventPublish.decode(message.payload))
                self._link.respond(packet(EventPublishReply.TYPE, b""))
        self._flush()

    def _flush(self) -> None:
        self._connection.sendall(b"".join(self._link.frames_to_send()))

    def _pass(self) -> list[Any]:
        self._flush()
        return list(self._link.receive_data(self._connection.recv(65_536), time.monotonic()))


def test_an_event_that_one_reader_causes_is_published_to_another() -> None:
    with (
        served(as_="service") as meter,
        connected(meter) as line,
        connected(meter) as other,
        umi_cli.connect(meter.tcp, timeout_s=SAFETY_S) as writer,
    ):
        subscriber, bystander = Subscriber(line), Subscriber(other)
        subscriber.subscribe(1 << EventNumber.VALVE_CLOSED | 1 << EventNumber.VALVE_RELEASED)
        bystander.subscribe(1 << EventNumber.CLOCK_SET)
        for state, number in (
            ("closed", EventNumber.VALVE_CLOSED),
            ("open", EventNumber.VALVE_RELEASED),
        ):
            writer.write("valve", state)
            subscriber.wait_for_event()
            assert subscriber.published[-1].events == 1 << number
        assert not select.select([other], [], [], 0)[0]


# Pseudo-terminals


def test_a_reader_comes_and_goes(tmp_path: Path) -> None:
    with served(pty=tmp_path / "meter") as meter:
        for number in range(5):
            with umi_cli.connect(meter.pty, timeout_s=SAFETY_S) as reader:
                reader.write("counter", number, verify=True)
            with serial.Serial(str(tmp_path / "meter")) as rude:
                rude.write(RESYNC * 20 + b"\x11\x00")  # and gone, without taking the answers
        assert still_serves(meter)


def test_a_terminal_has_a_name_while_it_is_served(tmp_path: Path, simulation: Simulation) -> None:
    link = tmp_path / "meter"
    with Server(simulation) as server:
        assert server.open_terminal(link) == f"serial:{link}"
        assert link.is_symlink()
        assert stat.S_ISCHR(link.stat().st_mode)
    assert not link.is_symlink()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_has_the_name_already_stays(kind: str, tmp_path: Path, simulation: Simulation) -> None:
    link, target = tmp_path / "meter", tmp_path / "precious"
    target.write_bytes(b"precious")
    if kind == "file":
        link.write_bytes(b"precious")
    elif kind == "directory":
        link.mkdir()
    else:
        link.symlink_to(target)
    with Server(simulation) as server, pytest.raises(InputError, match="File exists"):
        server.open_terminal(link)
    assert link.is_dir() or link.read_bytes() == b"precious"
    assert link.is_symlink() == (kind == "link")


def test_a_name_that_cannot_be_made(tmp_path: Path, simulation: Simulation) -> None:
    with Server(simulation) as server, pytest.raises(InputError, match="No such file") as caught:
        server.open_terminal(tmp_path / "nosuch" / "meter")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["", "/"])
def test_what_is_no_name_at_all(name: str, simulation: Simulation) -> None:
    with Server(simulation) as server, pytest.raises(InputError, match="is no name") as caught:
        server.open_optical(Path(name))
    assert caught.value.exit_code == 2


def test_a_name_left_behind_is_taken_over(tmp_path: Path, simulation: Simulation) -> None:
    link = tmp_path / "meter"
    gone = "/dev/pts/999999"
    link.symlink_to(gone)
    with Server(simulation) as server:
        server.open_terminal(link)
        assert str(link.readlink()) != gone
    assert not link.is_symlink()


def test_a_name_that_is_in_use_stays(tmp_path: Path, simulation: Simulation) -> None:
    link = tmp_path / "meter"
    with Server(simulation) as first:
        first.open_terminal(link)
        its = link.readlink()
        with Server(simulation) as second, pytest.raises(PortBusyError, match="in use"):
            second.open_terminal(link)
        assert link.readlink() == its
    assert not link.is_symlink()


def test_a_name_that_another_took_over_stays(tmp_path: Path, simulation: Simulation) -> None:
    link = tmp_path / "meter"
    with Server(simulation) as first:
        first.open_terminal(link)
        with Server(simulation) as second:
            link.unlink()
            second.open_terminal(link)
            first.close()
            assert link.exists(), "it is the second one's now"
    assert not link.is_symlink()


# Ports that are not to be had


def test_ports_that_cannot_be_listened_on(simulation: Simulation) -> None:
    with Server(simulation) as server, socket.create_server((LOCALHOST, 0)) as other:
        with pytest.raises(PortBusyError, match="cannot listen on") as caught:
            server.listen(LOCALHOST, other.getsockname()[1])
        assert caught.value.exit_code == 11
        for host in ("192.0.2.254", "a..b"):
            with pytest.raises(NoSuchPortError, match="cannot listen on"):
                server.listen(host, 0)


def test_a_port_that_is_not_for_everybody(simulation: Simulation) -> None:
    limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not limit.exists() or int(limit.read_text()) <= 1:
        pytest.skip("everybody may listen on every port here")
    with (
        Server(simulation) as server,
        without_privileges(),
        pytest.raises(PortPermissionError) as caught,
    ):
        server.listen(LOCALHOST, 1)
    assert caught.value.exit_code == 12


@pytest.mark.parametrize("host", [LOCALHOST, "a..b"])
def test_nobody_to_call(host: str, simulation: Simulation) -> None:
    with Server(simulation) as server, pytest.raises(NoSuchPortError, match="nobody listens"):
        server.call(host, free_port())


def test_ipv6_addresses_have_brackets(simulation: Simulation) -> None:
    with Server(simulation) as server:
        try:
            address = server.listen("::1", 0)
        except NoSuchPortError:
            pytest.skip("this host has no IPv6")
        port = int(address.rpartition(":")[2])
        assert address == f"tcp:[::1]:{port}"
        assert server.call("::1", port) == address


# The end


def test_closing_twice_is_harmless(tmp_path: Path, simulation: Simulation) -> None:
    server = Server(simulation)
    server.listen(LOCALHOST, 0)
    server.open_terminal(tmp_path / "meter")
    server.close()
    (tmp_path / "meter").write_bytes(b"precious")
    server.close()
    assert (tmp_path / "meter").read_bytes() == b"precious"


def test_readers_are_hung_up_on_at_the_end() -> None:
    with served() as meter:
        reader = umi_cli.connect(meter.tcp, timeout_s=SAFETY_S)
        reader.ping()
    with reader, pytest.raises(LostError):
        reader.ping()


# `umi sim`


@contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """See to it that a process does not outlive its test."""
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=SAFETY_S)


def announced(process: "subprocess.Popen[str]") -> str:
    """Return the one address that `umi sim` prints when it serves."""
    assert process.stdout is not None
    [address] = json.loads(process.stdout.readline())["addresses"]
    assert isinstance(address, str)
    return address


@pytest.mark.parametrize(
    ("order", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "terminate"]
)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["", "json"])
def test_sim_serves_until_it_is_told_to_end(
    order: signal.Signals, code: int, form: list[str], tmp_path: Path
) -> None:
    link, state = tmp_path / "meter", tmp_path / "state.json"
    with ended(
        start_umi(
            "sim", "--tcp", "127.0.0.1:0", "--serial", str(link), "--state", str(state), *form
        )
    ) as process:
        line = process.stdout.readline()  # type: ignore[union-attr]
        document = json.loads(line)
        tcp, pty = document["addresses"]
        assert document == {"type": "listening", "addresses": [tcp, pty]}
        assert pty == f"serial:{link}"
        with umi_cli.connect(tcp) as reader, umi_cli.connect(pty) as other:
            reader.write("counter", 41)
            assert other.read("counter").value == 41
            locked = run_umi("-p", f"sim:{state}", "read", "counter", "--json")
            process.send_signal(order)
            out, err = process.communicate(timeout=SAFETY_S)
    assert (process.returncode, out) == (code, "")
    assert locked.document["error"]["exit"] == 11
    assert "Traceback" not in err
    assert ("2 lines were served" in err) == (not form)
    assert not link.is_symlink()
    assert run_umi("-p", f"sim:{state}", "read", "counter").stdout == "41\n"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600


def test_sim_prints_its_address_under_events_as_well() -> None:
    with ended(start_umi("sim", "--tcp", "127.0.0.1:0", "--events")) as process:
        first = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=SAFETY_S)
    assert first["type"] == "listening"
    assert [address.partition(":")[0] for address in first["addresses"]] == ["tcp"]
    *_, last = map(json.loads, out.splitlines())
    assert (last["type"], last["exit"]) == ("result", 130)


def test_sim_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    args = ("sim", "--serial", str(tmp_path / "meter"), "--state", str(tmp_path / "state.json"))
    for number in range(2):
        with ended(start_umi(*args)) as process:
            with umi_cli.connect(announced(process), timeout_s=SAFETY_S) as reader:
                assert reader.read("counter").value == number
                reader.write("counter", number + 1)
            process.kill()
            process.wait(SAFETY_S)
        assert (tmp_path / "meter").is_symlink()


def test_sim_calls_a_reader_that_listens() -> None:
    port = free_port()

    def read(reader_of: Callable[[str], Meter]) -> bytes:
        with reader_of(f"tcp-listen:{port}?wait={SAFETY_S}") as reader:
            return reader.read("manufacturer-id").raw

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read, umi_cli.connect)
        while not reading.done():
            with ended(start_umi("sim", "--call", f"{LOCALHOST}:{port}")) as process:
                line = process.stdout.readline()  # type: ignore[union-attr]
                if not line:  # the reader did not listen yet
                    assert process.wait(SAFETY_S) == 10
                    continue
                assert json.loads(line)["addresses"] == [f"tcp:{LOCALHOST}:{port}"]
                assert reading.result(SAFETY_S) == IDENTITY


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ([], 2),
        (["--tcp", "x"], 2),
        (["--tcp", "127.0.0.1:0", "--fault", "nosuch:1"], 2),
        (["--tcp", "127.0.0.1:0", "--state", "/nosuch/state.json"], 2),
        (["--serial", "{file}"], 2),
        (["--tcp", "{busy}"], 11),
        (["--tcp", "192.0.2.254:0"], 10),
        (["--call", "{free}"], 10),
    ],
)
def test_sim_that_cannot_serve(args: list[str], code: int, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"precious")
    with socket.create_server((LOCALHOST, 0)) as other:
        places = {
            "file": str(file),
            "busy": f"{LOCALHOST}:{other.getsockname()[1]}",
            "free": f"{LOCALHOST}:{free_port()}",
        }
        outcome = run_umi("sim", *(arg.format(**places) for arg in args), "--json")
    assert outcome.document["error"]["exit"] == code
    assert file.read_bytes() == b"precious"


def test_a_server_serves_until_a_moment(simulation: Simulation) -> None:
    with Server(simulation) as server:
        server.listen(LOCALHOST, 0)
        begun_s = time.monotonic()
        server.run(begun_s + 0.05)
        assert time.monotonic() >= begun_s + 0.05


def test_a_server_hangs_up_on_every_reader_and_takes_others(simulation: Simulation) -> None:
    with Server(simulation) as server:
        address = server.listen(LOCALHOST, 0)
        place = (LOCALHOST, int(address.rpartition(":")[2]))
        for _ in range(2):
            with socket.create_connection(place, timeout=SAFETY_S) as reader:
                reader.sendall(RESYNC)
                while not select.select([reader], [], [], 0)[0]:
                    server.run(time.monotonic() + 0.05)
                assert len(received(reader, ANSWER_BYTES)) == ANSWER_BYTES
                server.hang_up()
                assert reader.recv(1) == b""


def test_a_server_serves_for_longer_than_the_system_can_wait(simulation: Simulation) -> None:
    with Server(simulation) as server, ThreadPoolExecutor(1) as pool:
        address = server.listen(LOCALHOST, 0)
        running = pool.submit(server.run, time.monotonic() + 366 * 86_400)
        with umi_cli.connect(address, timeout_s=SAFETY_S) as reader:
            assert reader.read("manufacturer-id").raw == IDENTITY
        server.stop()
        running.result(SAFETY_S)


def test_a_terminal_goes_on_when_its_reader_has_taken_nothing(tmp_path: Path) -> None:
    with served(pty=tmp_path / "meter") as meter:
        with serial.Serial(str(tmp_path / "meter"), write_timeout=SAFETY_S) as rude:
            rude.write(RESYNC)
            for _ in range(400):  # 6 MB of answers
                rude.write(READ_TABLE * 50)
        with serial.Serial(str(tmp_path / "meter"), timeout=0.5) as patient:
            while patient.read(CHUNK_BYTES):
                pass  # what the terminal itself has kept
        with umi_cli.connect(meter.pty, timeout_s=SAFETY_S) as reader:
            assert reader.read("manufacturer-id").raw == IDENTITY


class Hanging:
    """A port of the Host whose INTB hangs low; nothing else is there."""

    def __init__(self) -> None:
        self.misses = self.reads = 0
        self.deadline = None
        self.is_off = False

    def fileno(self) -> int:
        return -1

    def has_frame(self) -> bool:
        return True

    def send(self, data: bytes) -> None:
        self.misses += 1

    def receive(self, deadline: float) -> bytes:
        self.reads += 1
        self.misses += 1
        return bytes(3)

    def recover(self) -> None:
        raise LostError("the peripheral does not answer its reset; the port is off")

    def close(self) -> None:
        self.is_off = True


def test_a_port_whose_intb_hangs_keeps_nobody_waiting(simulation: Simulation) -> None:
    port = Hanging()
    lost: list[str] = []
    with Server(simulation, Host(simulation.meter)) as server, ThreadPoolExecutor(1) as pool:
        server.add_port(1, port, lost.append)
        address = server.listen(LOCALHOST, 0)
        running = pool.submit(server.run)
        with umi_cli.connect(address, timeout_s=SAFETY_S) as reader:
            assert reader.read("manufacturer-id").raw == IDENTITY
        server.stop()
        running.result(SAFETY_S)
    assert lost == ["the peripheral does not answer its reset; the port is off"]
    assert port.is_off
    assert port.reads < 10
