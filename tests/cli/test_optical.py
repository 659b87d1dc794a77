"""`umi` at an optical probe: a served meter on a pseudo-terminal, and what stands for a probe."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serial.tools import list_ports

from tests.cli.conftest import TIME_LIMIT_S, call_umi, run_umi, start_umi
from tests.cli.test_ports import fake_port
from tests.transports.ends import Terminal, terminal
from umi_cli.errors import NoSuchPortError
from umi_cli.transports.hosts import SerialPort, the_probe

SERIAL = "31733978"
AWAKE = "?wakeup=none"


@contextmanager
def serving(*words: str) -> Iterator[tuple[Any, list[str]]]:
    """Run `umi sim`; yield its process and its addresses, and end it as Ctrl-C does."""
    process = start_umi("sim", *words)
    try:
        yield process, json.loads(process.stdout.readline())["addresses"]
    finally:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 130, stderr


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a fast meter that is awake, and whose head echoes."""
    link = tmp_path_factory.mktemp("sim") / "probe"
    options = ["--pty", str(link), "--opto", "baud:19200,no-wakeup,echo"]
    with serving(*options) as (_, [address]):
        assert address == f"opto:{link}"
        yield address


def test_a_meter_is_read(meter: str) -> None:
    outcome = run_umi("-p", meter + AWAKE, "read", "manufacturer-id/serial")
    assert outcome.exit == 0
    assert SERIAL in outcome.stdout
    assert outcome.stderr == ""


def test_a_meter_is_read_as_json(meter: str) -> None:
    document = run_umi("-p", meter + AWAKE, "read", "manufacturer-id", "--json").document
    assert document["data"][0]["value"]["serial"] == SERIAL
    assert document["meta"]["port"] == meter + AWAKE
    assert document["meta"]["device"] == "00237EFE00000001"


def test_who_a_meter_is(meter: str) -> None:
    outcome = run_umi("-p", meter + AWAKE, "info")
    assert outcome.exit == 0
    assert SERIAL in outcome.stdout
    assert outcome.stderr == ""


def test_the_bytes_of_the_sign_on_are_shown(meter: str) -> None:
    outcome = run_umi("-v", "-p", meter + AWAKE, "read", "counter", "-o", "raw")
    assert outcome.exit == 0
    shown = outcome.stderr.replace(" ", "")
    for message in ("af3f218d0a", "063036368d0a", "01040000fe5b"):
        assert message in shown
    assert "af3f" not in outcome.stdout


def test_a_meter_that_calls_learns_where(tmp_path: Path) -> None:
    waiting = start_umi("-p", "tcp-listen:0?wait=30", "read", "umi-id")
    said = waiting.stderr.readline()
    place = said.split()[2]
    assert said == f"listening on {place} for up to 30 s: have the device call\n"
    with serving("--call", place):
        stdout, stderr = waiting.communicate(timeout=TIME_LIMIT_S)
    assert (waiting.returncode, stdout, stderr) == (0, "00237EFE00000001\n", "")


def test_a_line_that_breaks_right_after_the_sign_on_is_signed_on_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The seed loses the line between the two RESYNCs."""
    port = "opto:sim?fault=lift:0.03,drop:0.03&seed=28"
    outcome = call_umi(capsys, "-p", port, "read", "profile-table[0:40]")
    assert outcome.exit == 0, outcome.stderr
    assert len(outcome.stdout.splitlines()) > 40
    said = outcome.stderr.splitlines()
    assert said == [f"{port} has fallen silent: signing on again, which may take 30 s"] * len(said)
    assert said


def test_two_at_one_probe(meter: str) -> None:
    with terminal() as line:
        os.set_blocking(line.master, False)
        waiting = start_umi("-v", "-p", f"opto:{line.name}{AWAKE}", "read", "counter")
        waiting.stderr.readline()  # the request: it has the port
        outcome = run_umi("-p", f"opto:{line.name}{AWAKE}", "read", "counter")
        waiting.send_signal(signal.SIGINT)
        waiting.communicate(timeout=TIME_LIMIT_S)
    assert outcome.exit == 11
    assert "another program holds" in outcome.stderr
    assert outcome.stdout == ""
    assert waiting.returncode == 130


def test_a_key_that_is_pressed_opens_the_port(tmp_path: Path) -> None:
    words = ["--pty", str(tmp_path / "probe"), "--opto", "baud:19200,no-wakeup,key"]
    with serving(*words) as (sim, [address]):
        reader = start_umi("-v", "-p", address + AWAKE, "read", "manufacturer-id/serial")
        while "81 42 30 03 71" not in (line := reader.stderr.readline()):
            assert line  # what is sent when the first request was not answered
        sim.send_signal(signal.SIGUSR1)
        stdout, _ = reader.communicate(timeout=TIME_LIMIT_S)
    assert reader.returncode == 0
    assert SERIAL in stdout


def test_link_frames_are_served_without_a_sign_on(tmp_path: Path) -> None:
    words = ["--serial", str(tmp_path / "line"), "--pty", str(tmp_path / "probe")]
    with serving(*words) as (_, [probe, line]):
        assert line == f"serial:{tmp_path / 'line'}"
        assert probe == f"opto:{tmp_path / 'probe'}"
        outcome = run_umi("-p", line, "read", "manufacturer-id/serial", "--json")
        assert outcome.document["data"][0]["value"] == SERIAL


@pytest.mark.parametrize("spec", ["baud:115200", "reaction:fast", "eco", "wakeup"])
def test_an_optical_port_that_cannot_be(capsys: pytest.CaptureFixture[str], spec: str) -> None:
    outcome = call_umi(capsys, "sim", "--pty", "x", "--opto", spec)
    assert outcome.exit == 2
    assert "no-wakeup" in outcome.stderr


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("y=x", "6 to 9"),
        ("echo=maybe", "auto or on or off"),
        ("parity=even", "soft or hard"),
        ("switch-delay=9999", "0 to 400"),
        ("rate=9600", "switch-delay"),
    ],
)
@pytest.mark.parametrize("kind", ["opto:/dev/nosuch", "auto"])
def test_an_option_that_cannot_be_is_told_before_a_port_is_opened(
    capsys: pytest.CaptureFixture[str], plugged: list[Any], kind: str, query: str, hint: str
) -> None:
    document = call_umi(capsys, "-p", f"{kind}?{query}", "info", "--json").document
    assert document["error"]["code"] == "usage"
    assert document["error"]["exit"] == 2
    assert hint in document["error"]["hint"]


# The one probe that is plugged in


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what this host has for serial ports; a test plugs in what it needs."""
    ports: list[Any] = []
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    return ports


@pytest.fixture
def line() -> Iterator[Terminal]:
    with terminal() as made:
        os.set_blocking(made.master, False)
        yield made


def assert_untouched(line: Terminal) -> None:
    with pytest.raises(BlockingIOError):
        os.read(line.master, 1)


def test_auto_takes_the_probe(
    capsys: pytest.CaptureFixture[str], plugged: list[Any], line: Terminal, meter: str
) -> None:
    probe = meter.partition(":")[2]
    plugged += [fake_port(probe, vid=0x0403, pid=0x6001), fake_port(line.name)]
    outcome = call_umi(capsys, "-p", f"auto{AWAKE}", "read", "manufacturer-id/serial")
    assert outcome.exit == 0
    assert SERIAL in outcome.stdout
    assert_untouched(line)


def test_auto_opens_nothing_where_there_is_no_probe(
    capsys: pytest.CaptureFixture[str], plugged: list[Any], line: Terminal
) -> None:
    plugged.append(fake_port(line.name, vid=0x1234, pid=0x5678, product="Modem"))
    document = call_umi(capsys, "-p", "auto", "read", "counter", "--json").document
    assert document["error"]["exit"] == 10
    assert "no optical probe is plugged in" in document["error"]["message"]
    assert f"{line.name} (1234:5678 Modem)" in document["error"]["message"]
    assert "opto:DEVICE" in document["error"]["hint"]
    assert_untouched(line)


def test_auto_does_not_choose_between_two(
    capsys: pytest.CaptureFixture[str], plugged: list[Any], line: Terminal
) -> None:
    plugged += [
        fake_port(line.name, vid=0x0403, pid=0x6001),
        fake_port("/dev/ttyUSB9", vid=0x10C4, pid=0xEA60),
    ]
    outcome = call_umi(capsys, "-p", "auto", "read", "counter")
    assert outcome.exit == 10
    assert outcome.stdout == ""
    for word in ("2 adapters", line.name, "/dev/ttyUSB9", "name one"):
        assert word in outcome.stderr
    assert_untouched(line)


def port(device: str, probe: str | None = None, stable: str | None = None) -> SerialPort:
    return SerialPort(
        device=device, stable=stable, usb=None, product=None, serial=None, probe=probe
    )


def test_the_probe_is_opened_by_the_path_that_stays() -> None:
    probe = port("/dev/ttyUSB0", "FTDI FT232R", "/dev/serial/by-id/usb-FTDI")
    assert the_probe([port("/dev/ttyS0"), probe]).path == "/dev/serial/by-id/usb-FTDI"
    with pytest.raises(NoSuchPortError, match=r"this host has /dev/ttyS0, /dev/ttyS1$"):
        the_probe([port("/dev/ttyS0"), port("/dev/ttyS1")])
    with pytest.raises(NoSuchPortError, match="this host has no serial port at all"):
        the_probe([])
    with pytest.raises(NoSuchPortError, match=r"2 adapters .*/by-id/usb-FTDI, /dev/ttyUSB1"):
        the_probe([probe, port("/dev/ttyUSB1", "WCH CH340")])
