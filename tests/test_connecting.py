"""From an address to an open device, and from what goes wrong to an exit code and one sentence."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import umi_cli
from tests.cli.conftest import Outcome, call_umi
from tests.device.scripted import ScriptedDevice, hang_up, refused, reply
from tests.transports.ends import LOCALHOST, free_port, peer, play_on, served, terminal
from umi_cli.application.codes import ResultCode
from umi_cli.connecting import MAX_WAIT_S, connect, open_transport
from umi_cli.errors import InputError, LinkError, PortBusyError, UmiError
from umi_cli.transports.address import Address
from umi_cli.transports.memory import MemoryTransport
from umi_cli.transports.serial import SerialTransport
from umi_cli.transports.tcp import TcpTransport
from umi_cli.types import UmiId


def test_the_package_offers_connect() -> None:
    with umi_cli.connect("sim") as meter:
        assert meter.read("umi.1.1.0.0/3").value == "31733978"


def test_the_package_offers_nothing_else() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nosuch'"):
        umi_cli.nosuch  # noqa: B018


def test_every_kind_of_address_opens_its_transport() -> None:
    with served() as meter, terminal() as line:
        expected = {
            "sim": MemoryTransport,
            "sim/2": MemoryTransport,
            meter.tcp: TcpTransport,
            f"serial:{line.name}": SerialTransport,
            "serial:loop://": SerialTransport,
        }
        for text, kind in expected.items():
            transport = open_transport(Address.parse(text))
            with transport:
                assert type(transport) is kind
                assert transport.address == text


@pytest.mark.parametrize("retries", [-1, -100])
def test_a_frame_is_sent_once_at_least(retries: int) -> None:
    with pytest.raises(InputError, match=f"repeated {retries} times"):
        umi_cli.connect("sim", retries=retries)


@pytest.mark.parametrize(
    "timeout_s", [0.0, -1.0, float("nan"), float("inf"), MAX_WAIT_S + 1, float("-inf")]
)
def test_a_timeout_is_a_time(timeout_s: float) -> None:
    with pytest.raises(InputError, match="above 0 and up to 86400"):
        umi_cli.connect("sim", timeout_s=timeout_s)


@pytest.mark.parametrize("wait", ["", "x", "0", "-1", "nan", "inf", "1e9", "1s"])
def test_a_wait_for_a_call_is_a_time(wait: str) -> None:
    with pytest.raises(InputError, match="above 0 and up to 86400") as caught:
        umi_cli.connect(f"tcp-listen:0?wait={wait}")
    assert caught.value.exit_code == 2


def test_the_users_patience_reaches_the_link() -> None:
    with umi_cli.connect("sim", timeout_s=7.5, retries=4) as meter:
        settings = meter.session.link.settings
        assert (settings.timeout_s, settings.attempts) == (7.5, 5)
    with umi_cli.connect("sim") as meter:
        settings = meter.session.link.settings
        assert (settings.timeout_s, settings.attempts) == (MemoryTransport.timeout_s, 3)


def test_the_users_id_and_dry_run_reach_the_session() -> None:
    sent: list[bytes] = []
    own = UmiId(0x0123_4567_89AB_CDEF)
    with umi_cli.connect(
        "sim", umi_id=own, dry_run=True, observer=lambda way, data: sent.append(data)
    ) as meter:
        meter.ping()
        assert any(own.encode() in data for data in sent)
        with pytest.raises(InputError, match="dry run"):
            meter.write("counter", 1)


@pytest.mark.parametrize(("port", "answers"), [("", True), ("/0", True), ("/1", False)])
def test_a_port_behind_the_slash_is_commanded(port: str, answers: bool) -> None:
    with umi_cli.connect(f"sim{':' * bool(port)}{port}") as meter:
        if answers:
            meter.ping()
            return
        with pytest.raises(LinkError, match="BAD_ADDRESS"):
            meter.ping()


# The virtual meter's state


def test_a_state_file_is_remembered_and_held_alone(tmp_path: Path) -> None:
    address = f"sim:{tmp_path / 'meter.json'}"
    with umi_cli.connect(address) as meter:
        meter.write("counter", 41)
        with pytest.raises(PortBusyError, match="in use by another umi") as caught:
            umi_cli.connect(address)
        assert caught.value.exit_code == 11
    with umi_cli.connect(address) as meter:
        assert meter.read("counter").value == 41


def test_a_state_file_is_let_go_after_any_exception(tmp_path: Path) -> None:
    address = f"sim:{tmp_path / 'meter.json'}"
    for _ in range(3):
        with umi_cli.connect(address) as meter, pytest.raises(UmiError):
            meter.read("umi.1.1.99.9")
        with pytest.raises(InputError, match="has no option"):
            umi_cli.connect(f"{address}?nosuch=1")


def test_nothing_is_made_for_a_datasheet_that_is_not_there(tmp_path: Path) -> None:
    for options in ({"datasheet": "nosuch"}, {"retries": -1}, {"timeout_s": -1.0}):
        with pytest.raises(InputError):
            umi_cli.connect(f"sim:{tmp_path / 'meter.json'}", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_whose_time_and_seed_are_given_can_be_run_again(seed: int) -> None:
    def run() -> list[tuple[str, bytes]]:
        seen: list[tuple[str, bytes]] = []
        with umi_cli.connect(
            f"sim:?time=2026-11-22T10:00:00Z&fault=all:0.05&seed={seed}",
            observer=lambda way, data: seen.append((way, data)),
        ) as meter:
            try:
                for number in range(20):
                    meter.write("counter", number)
            except UmiError as error:
                seen.append(("error", str(error).encode()))
        return seen

    assert run() == run()


# What a user sees of it


def say(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[Outcome, Outcome]:
    """Return what `umi` says to people, and under --json."""
    return call_umi(capsys, *args), call_umi(capsys, *args, "--json")


def check(outcomes: tuple[Outcome, Outcome], code: int) -> None:
    """Make sure that both say the same: one sentence, a hint, no traceback."""
    plain, document = outcomes
    assert (plain.exit, document.exit) == (code, code)
    assert plain.stdout == ""
    said = [line for line in plain.stderr.splitlines() if not line.startswith("listening on ")]
    first, *rest = said
    error = document.document["error"]
    assert error["exit"] == code
    assert first == f"umi: {error['message']}"
    assert [line.partition(": ")[0] for line in rest] == ["hint"] * bool(error["hint"])
    assert "Traceback" not in plain.stderr


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("nosuch", 2),
        ("sim:?fault=nosuch:1", 2),
        ("sim:/nosuch/meter.json", 2),
        ("tcp:x", 2),
        ("tcp-listen:0?wait=x", 2),
        ("serial:/dev/x@0", 2),
        ("opto:/dev/ttyUSB0", 10),
        ("spi:0.0", 2),
        ("spi:9.9?int=LINE&rst=LINE2", 10),
        ("auto", 10),
        ("tcp:a..b:80", 10),
        ("serial:/dev/nosuch", 10),
        ("serial:nosuch://x", 10),
        ("serial:loop://?nosuch=1", 10),
        ("tcp-listen:192.0.2.254:0", 10),
        ("tcp-listen:0?wait=0.01", 14),
    ],
)
def test_addresses_that_lead_nowhere(
    address: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    check(say(capsys, "-p", address, "read", "umi-id"), code)


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    check(say(capsys, "-p", f"tcp:{LOCALHOST}:{free_port()}", "info"), 10)


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with served() as meter:
        check(say(capsys, "-p", f"tcp-listen:{meter.port}", "info"), 11)


def stay_silent(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


def talk_garbage(connection: socket.socket) -> None:
    while connection.recv(1000):
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def hang_up_midway(connection: socket.socket) -> None:
    play_on(connection, ScriptedDevice([hang_up]))


def answer_something_else(connection: socket.socket) -> None:
    play_on(connection, ScriptedDevice([reply(transaction=1)] * 4))


@pytest.mark.parametrize(
    ("act", "timeout", "code"),
    [
        (stay_silent, "0.05", 14),
        (talk_garbage, "0.15", 15),
        (hang_up_midway, "30", 17),
        (answer_something_else, "30", 33),
    ],
)
def test_peers_that_are_no_meters(
    act: Callable[[socket.socket], None],
    timeout: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    patience = ("--timeout", timeout, "--retries", "0")
    with peer(act) as port:
        address = f"tcp:{LOCALHOST}:{port}"
        check(say(capsys, "-p", address, "read", "manufacturer-id", *patience), code)


def test_info_of_a_meter_on_tcp(capsys: pytest.CaptureFixture[str]) -> None:
    with served() as meter:
        data = call_umi(capsys, "-p", meter.tcp, "info", "--json").document["data"]
        shown = call_umi(capsys, "-p", meter.tcp, "info")
    assert data["device"] == "00237EFE00000001"
    assert data["identity"]["serial"] == "31733978"
    assert (data["security"]["scheme"], data["security"]["role"]) == (0, "guest")
    assert data["link"] == {"own": 5, "device": 0}
    assert abs(data["clock"]["difference_s"]) <= 1
    assert shown.exit == 0
    assert "31733978" in shown.stdout


def test_info_of_a_device_that_refuses_everything(capsys: pytest.CaptureFixture[str]) -> None:
    def act(connection: socket.socket) -> None:
        play_on(connection, ScriptedDevice([refused(ResultCode.ACCESS_DENIED)] * 20))

    with peer(act) as port:
        address = f"tcp:{LOCALHOST}:{port}"
        data = call_umi(capsys, "-p", address, "info", "--json").document["data"]
        shown = call_umi(capsys, "-p", address, "info")
    assert data["device"] is None
    assert (data["identity"], data["clock"]) == (None, None)
    assert set(data["refused"].values()) == {"ACCESS_DENIED"}
    assert shown.exit == 0
    assert "identity: the device refused" in shown.stderr


class NoTrace:
    """A trace that cannot begin."""

    def begin(self, *args: object, **options: object) -> None:
        raise KeyboardInterrupt


def test_a_port_that_was_opened_in_vain_is_closed(tmp_path: Path) -> None:
    address = f"sim:{tmp_path / 'meter.json'}"
    with pytest.raises(KeyboardInterrupt):
        connect(address, trace=NoTrace())  # type: ignore[arg-type]
    with connect(address) as meter:  # its state file is free
        meter.ping()
