"""`umi host` on real TCP, with Peripherals in process on its ports; the rig has real lines."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TIME_LIMIT_S, call_umi, run_umi, start_umi
from tests.transports.ends import LOCALHOST, SAFETY_S, free_port

FIRST = "spi:sim?umi-id=00237EFE00000011"
SECOND = "spi:sim?umi-id=00237EFE00000022&as=service"
EMPTY = "spi:sim?pins=low:1"  # its INTB does not let go when it is first selected
GONE = "spi:9.9?int=LINE&rst=LINE2"
HOST_ID = "00237EFE00000000"


class Hosting:
    """A Host in a process of its own."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self._seen: list[dict[str, Any]] = []
        self.listening = self.told("listening")

    def told(self, kind: str) -> dict[str, Any]:
        """Return the next line of a type that it prints; what else it prints is kept."""
        for line in self._seen:
            if line["type"] == kind:
                self._seen.remove(line)
                return line
        for text in self.process.stdout:
            line = json.loads(text)
            if line["type"] == kind:
                return dict(line)
            self._seen.append(line)
        raise AssertionError(f"it printed no {kind}: {self.process.stderr.read()}")

    @property
    def tcp(self) -> str:
        [address] = self.listening["addresses"]
        return str(address)

    def end(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=TIME_LIMIT_S)
        assert self.process.returncode == (130 if number == signal.SIGINT else 143), stderr
        assert "Traceback" not in stderr


@contextmanager
def hosting(*words: str, listen: str = f"{LOCALHOST}:0") -> Iterator[Hosting]:
    """Run `umi host`, and end it as Ctrl-C does unless it has ended."""
    process = start_umi("host", "--listen", listen, *words)
    try:
        host = Hosting(process)
        yield host
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode is None:
        host.end()


@pytest.fixture(scope="module")
def star() -> Iterator[Hosting]:
    """A Host with Peripherals on its ports 1 and 2, and nothing on 3."""
    attach = (f"1={FIRST}", f"2={SECOND}", f"3={EMPTY}")
    with hosting(*(word for port in attach for word in ("--attach", port))) as host:
        yield host


def read_id(address: str) -> str:
    outcome = run_umi("-p", address, "read", "umi-id")
    assert outcome.exit == 0, outcome.stderr
    return outcome.stdout.strip()


# What it does


def test_it_says_where_it_listens_and_who_is_on_its_ports(star: Hosting) -> None:
    assert star.tcp.startswith(f"tcp:{LOCALHOST}:")
    assert star.listening["ports"] == [1, 2, 3]
    told = [star.told("peripheral") for _ in range(2)]
    assert [(each["port"], each["device"]) for each in told] == [
        (1, "00237EFE00000011"),
        (2, "00237EFE00000022"),
    ]


def test_it_says_which_port_is_empty(star: Hosting) -> None:
    empty = star.told("empty")
    assert empty["port"] == 3
    assert "the port is empty" in empty["message"]
    outcome = run_umi("-p", f"{star.tcp}/3", "read", "umi-id")
    assert outcome.exit == 15
    assert "BAD_ADDRESS (3)" in outcome.stderr


def test_a_reader_reaches_the_host_and_each_peripheral(star: Hosting) -> None:
    assert read_id(star.tcp) == HOST_ID
    assert read_id(f"{star.tcp}/1") == "00237EFE00000011"
    assert read_id(f"{star.tcp}/2") == "00237EFE00000022"


def test_what_is_written_behind_it_is_read_back(star: Hosting) -> None:
    for at, number in enumerate(("", "/1", "/2")):
        address = star.tcp + number
        assert run_umi("-p", address, "write", "counter", str(at + 40), "--verify").exit == 0
    for at, number in enumerate(("", "/1", "/2")):
        document = run_umi("-p", star.tcp + number, "read", "counter", "--json").document
        assert document["data"][0]["value"] == at + 40
    content = bytes(range(256)).hex() * 8
    assert run_umi("-p", f"{star.tcp}/2", "write", "scratch", f"hex:{content}").exit == 0
    document = run_umi("-p", f"{star.tcp}/2", "read", "scratch", "--json").document
    assert document["data"][0]["raw"] == content


def test_what_a_peripheral_publishes_is_printed(star: Hosting) -> None:
    outcome = run_umi("-p", f"{star.tcp}/2", "write", "valve", "closed")
    assert outcome.exit == 0, outcome.stderr
    event = star.told("event")
    assert event["source"] == "00237EFE00000022"
    assert event["events"] == [{"number": 6, "name": "valve-closed"}]
    assert event["timestamp"].endswith("Z")


def test_there_are_no_more_readers_than_addresses(star: Hosting) -> None:
    number = int(star.tcp.rpartition(":")[2])
    with ExitStack() as stack:
        readers = [
            stack.enter_context(socket.create_connection((LOCALHOST, number), timeout=SAFETY_S))
            for _ in range(13)  # the ports 1 and 2 have theirs
        ]
        for reader in readers:
            reader.sendall(bytes.fromhex("01040000fe5b"))
        answers = [reader.recv(6) for reader in readers]
        assert sorted(answer[3] >> 4 for answer in answers) == list(range(3, 16))
        with socket.create_connection((LOCALHOST, number), timeout=SAFETY_S) as one_more:
            assert one_more.recv(1) == b"", "it is hung up on"
    assert read_id(star.tcp) == HOST_ID


def test_under_events_each_line_is_an_event() -> None:
    with hosting("--attach", f"1={FIRST}", "--events") as host:
        peripheral = host.told("peripheral")
        assert {"seq", "ts"} <= set(peripheral)
        host.process.send_signal(signal.SIGTERM)
        assert host.told("result")["exit"] == 143
        host.process.communicate(timeout=TIME_LIMIT_S)
        assert host.process.returncode == 143


def test_a_port_that_does_not_open_is_told_and_the_others_serve() -> None:
    with hosting("--attach", f"1={GONE}", "--attach", f"2={SECOND}") as host:
        broken = host.told("broken")
        assert broken["port"] == 1
        assert GONE in broken["message"]
        assert read_id(f"{host.tcp}/2") == "00237EFE00000022"


def test_under_json_there_is_one_document() -> None:
    with hosting("--attach", f"1={FIRST}", "--attach", f"3={EMPTY}", "--json") as host:
        assert read_id(f"{host.tcp}/1") == "00237EFE00000011"
        assert run_umi("-p", f"{host.tcp}/1", "write", "valve", "closed").exit in (0, 23)
        host.process.send_signal(signal.SIGINT)
        stdout, stderr = host.process.communicate(timeout=TIME_LIMIT_S)
        assert (host.process.returncode, stdout) == (130, "")
        assert stderr == "umi: interrupted\n"
    assert host.listening["ports"] == [1, 3]
    assert list(host.listening["unserved"]) == ["3"]


def test_where_it_cannot_listen_is_told_before_a_port_is_opened(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    state = tmp_path / "meter.json"
    outcome = call_umi(capsys, "host", "--listen", "nonsense", "--attach", f"1=spi:sim:{state}")
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []


# Who may pass


def test_nothing_is_forwarded_before_its_sender_has_authenticated(config: Path) -> None:
    config.write_text(
        f'[host.port.1]\naddress = "{FIRST}"\n'
        f'[host.port.2]\naddress = "{SECOND}"\nauthenticate = true\n'
    )
    with hosting("--config", str(config)) as host:
        assert host.listening["ports"] == [1, 2]
        assert read_id(f"{host.tcp}/1") == "00237EFE00000011"
        refused = run_umi("-p", f"{host.tcp}/2", "read", "umi-id")
        assert refused.exit == 15
        assert "CANNOT_FORWARD (4)" in refused.stderr
        assert read_id(host.tcp) == HOST_ID


# Its configuration


def test_the_command_line_beats_the_file(config: Path, tmp_path: Path) -> None:
    config.write_text(
        f'[host]\nstate = "{tmp_path}/file.json"\n'
        f'[host.port.1]\naddress = "{EMPTY}"\n[host.port.9]\naddress = "{SECOND}"\n'
    )
    words = ("--attach", f"1={FIRST}", "--state", str(tmp_path / "option.json"))
    with hosting("--config", str(config), *words) as host:
        assert host.listening["ports"] == [1, 9]
        assert read_id(f"{host.tcp}/1") == "00237EFE00000011"
        assert read_id(f"{host.tcp}/9") == "00237EFE00000022"
    assert (tmp_path / "option.json").exists()
    assert not (tmp_path / "file.json").exists()


def test_its_own_objects_are_remembered(config: Path, tmp_path: Path) -> None:
    config.write_text(f'[host]\nstate = "{tmp_path}/host.json"\n')
    for before, after in (("0", "41"), ("41", "42")):
        with hosting("--config", str(config)) as host:
            assert run_umi("-p", host.tcp, "read", "counter").stdout == f"{before}\n"
            assert run_umi("-p", host.tcp, "write", "counter", after).exit == 0


PORT = f'address = "{FIRST}"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("host = 3", "[host] is not understood"),
        ("[host]\nport = 3", "[host] is not understood"),
        ('[host]\nname = "x"', "[host] is not understood"),
        ("[host]\nstate = 3", "host.state is no file name"),
        ("[host.port.0]\n" + PORT, "host.port.0 is no port of a Host: they are 1 to 15"),
        ("[host.port.16]\n" + PORT, "host.port.16 is no port of a Host"),
        ("[host.port.01]\n" + PORT, "host.port.01 is no port of a Host"),
        ("[host.port.one]\n" + PORT, "host.port.one is no port of a Host"),
        (f"[host.port.{'1' * 5000}]\n" + PORT, "is no port of a Host"),
        ("[host.port.1]", "host.port.1 is not understood"),
        ('[host.port]\n1 = "spi:sim"', "host.port.1 is not understood"),
        ('[host.port.1]\nname = "x"\n' + PORT, "host.port.1 is not understood"),
        ('[host.port.1]\nauthenticate = "yes"\n' + PORT, "host.port.1.authenticate is true or"),
        ("[host.port.1]\naddress = 5", "host.port.1: '5' is no address"),
        ('[host.port.1]\naddress = "spi:zero"', "host.port.1: 'spi:zero' names no SPI bus"),
        ('[host.port.1]\naddress = "spi:0.0?pin=1"', "host.port.1: 'spi:0.0?pin=1': spi: has no"),
        ('[host.port.1]\naddress = "sim"', "host.port.1: sim is no port with pins"),
        ("[host.port.1]\n[host.port.1]\n" + PORT, "Cannot declare"),
    ],
)
@pytest.mark.parametrize("command", [("host",), ("ports", "power", "scan")], ids=["host", "scan"])
def test_a_line_of_the_file_that_is_wrong(
    capsys: pytest.CaptureFixture[str],
    config: Path,
    text: str,
    sentence: str,
    command: tuple[str, ...],
) -> None:
    config.write_text(text)
    outcome = call_umi(capsys, "--config", str(config), *command)
    assert outcome.exit == 2
    assert outcome.stdout == ""
    assert outcome.stderr.startswith(f"umi: {config}")
    assert sentence in outcome.stderr


@pytest.mark.parametrize(
    ("attach", "sentence"),
    [
        ("spi:sim", "is no port of a Host"),
        ("=spi:sim", "is no port of a Host"),
        ("16=spi:sim", "is no port of a Host"),
        ("٣=spi:sim", "is no port of a Host"),
        ("1" * 5000 + "=spi:sim", "is no port of a Host"),
        ("1", "is no address of a device"),
        ("1=", "is no address of a device"),
        ("1=tcp:127.0.0.1:4059", "is no port with pins"),
    ],
)
def test_an_attachment_that_is_wrong(
    capsys: pytest.CaptureFixture[str], attach: str, sentence: str
) -> None:
    outcome = call_umi(capsys, "host", "--attach", attach)
    assert outcome.exit == 2
    assert sentence in outcome.stderr
    assert "hint: " in outcome.stderr


def test_a_port_that_is_attached_twice(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call_umi(capsys, "host", "--attach", f"2={FIRST}", "--attach", f"2={SECOND}")
    assert outcome.exit == 2
    assert "port 2 is attached twice" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (("--listen", "nosuch"), 2),
        (("--listen", "127.0.0.1:65536"), 2),
        (("--listen", "192.0.2.254:0"), 10),
        (("--attach", f"1={GONE}"), 10),
        (("--attach", f"1={EMPTY}", "--attach", f"2={EMPTY}"), 14),
        (("--listen", "127.0.0.1:0", "--key", "mine.pem"), 2),
        (("--listen", "127.0.0.1:0", "--cert", "mine.cvc"), 2),
        (("--listen", "127.0.0.1:0", "--anchor", "root.cvc"), 2),
        (("--listen", "127.0.0.1:0", "--pin"), 2),
        (("--listen", "127.0.0.1:0", "--attach", "1=spi:sim?pins=none:1"), 2),
        (("--listen", "127.0.0.1:0", "--state", "/nosuch/host.json"), 2),
    ],
)
def test_what_cannot_be_served_is_told_before_it_listens(
    capsys: pytest.CaptureFixture[str], config: Path, words: tuple[str, ...], code: int
) -> None:
    config.write_text("")
    document = call_umi(capsys, "--config", str(config), "host", *words, "--json").document
    assert document["error"]["exit"] == code


def test_a_tcp_port_that_is_taken(star: Hosting, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call_umi(capsys, "host", "--listen", star.tcp.partition(":")[2])
    assert outcome.exit == 11


# How it ends


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_cleans_up_whatever_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    peripheral, own, port = tmp_path / "meter.json", tmp_path / "host.json", free_port()
    words = ("--attach", f"1=spi:sim:{peripheral}", "--state", str(own))
    with hosting(*words, listen=f"{LOCALHOST}:{port}") as host:
        assert run_umi("-p", f"{host.tcp}/1", "write", "counter", "7").exit == 0
        assert run_umi("-p", host.tcp, "write", "counter", "8").exit == 0
        with socket.create_connection((LOCALHOST, port), timeout=SAFETY_S) as reader:
            reader.sendall(bytes.fromhex("01040000fe5b"))
            assert reader.recv(6)
            host.end(number)
            assert reader.recv(1) == b""
    assert run_umi("-p", f"sim:{peripheral}", "read", "counter").stdout == "7\n"
    assert run_umi("-p", f"sim:{own}", "read", "counter").stdout == "8\n"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOCALHOST, port), timeout=SAFETY_S)
