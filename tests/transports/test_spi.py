"""UMI-spi under the rig: the genuine modules, the real command, a virtual Peripheral."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import campaign
from tests.bench_optical import DATASHEET
from tests.cli.conftest import run_umi
from tests.rig import build
from tests.rig.peripheral import Peripherals, Wiring, check_wires, rig_of
from tests.rig.records import SpiTransfer
from tests.rig.rig import Rig
from umi_cli.security.keys import save_key
from umi_cli.types import UmiCode

pytestmark = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())

SAFETY_S = 60.0
BY_LINE = Wiring(number=1)
BY_CONTROLLER = Wiring(number=1, has_select_line=False)
DATA = bytes(range(256)) * 20


def umi(rig: Rig, *words: str) -> "subprocess.CompletedProcess[str]":
    return rig.run(sys.executable, "-m", "umi_cli", *words)


@pytest.mark.parametrize("wiring", [BY_LINE, BY_CONTROLLER], ids=["line", "controller"])
def test_a_peripheral_is_read_and_written(wiring: Wiring) -> None:
    world = Peripherals([wiring])
    with rig_of(world) as rig:
        done = umi(rig, "-p", wiring.address, "info", "--json")
        assert done.returncode == 0, done.stderr
        data = json.loads(done.stdout)["data"]
        assert (data["device"], data["link"]) == ("00237EFE00000001", {"own": 0, "device": 1})
        written = umi(rig, "-p", wiring.address, "write", "scratch", f"hex:{DATA.hex()}")
        assert written.returncode == 0, written.stderr
        read = umi(rig, "-p", wiring.address, "read", "scratch", "--json")
        assert json.loads(read.stdout)["data"][0]["raw"] == DATA.hex()
        rig.settle()
        check_wires(rig.log, wiring)


def test_the_clock_is_taken_from_the_host(tmp_path: Path) -> None:
    world = Peripherals([BY_LINE])
    memory = world.ports[0].simulation.meter.memory
    memory.clock_offset_s = -7200.0
    with rig_of(world) as rig:
        assert umi(rig, "-p", BY_LINE.address, "read", "umi-id").returncode == 0
    assert abs(memory.clock_offset_s) < 2


def test_an_empty_port_is_off_again() -> None:
    world = Peripherals([BY_LINE])
    world.ports[0].pins.unplug(0.0)
    with rig_of(world) as rig:
        done = umi(rig, "-p", BY_LINE.address, "info")
        assert done.returncode == 14
        assert "the port is empty" in done.stderr
        rig.settle()
        check_wires(rig.log, BY_LINE)
        assert not [record for record in rig.log if isinstance(record, SpiTransfer)]


@pytest.mark.parametrize("after", [3, 12, 40])
@pytest.mark.parametrize("words", [("info",), ("read", "profile-table")], ids=["info", "array"])
def test_a_peripheral_that_is_unplugged_in_the_middle(after: int, words: tuple[str, ...]) -> None:
    world = Peripherals([BY_LINE])
    world.unplug_after = after
    with rig_of(world) as rig:
        done = umi(rig, "-p", BY_LINE.address, "--timeout", "0.1", *words)
        assert done.returncode == (17 if world.unplug_after is None else 0), done.stderr
        assert "Traceback" not in done.stderr
        rig.settle()
        assert not rig.level("VDD1")
        assert not rig.level("RSTB1")


@pytest.fixture
def held() -> Iterator[tuple[Rig, "subprocess.Popen[str]"]]:
    """Hold a port on, with a GPIO driver that keeps outputs when their program dies."""
    with rig_of(Peripherals([BY_LINE]), keeps_outputs=True) as rig:
        words = ("-p", BY_LINE.address, "ports", "power", "on")
        process = rig.popen(sys.executable, "-m", "umi_cli", *words)
        assert process.stderr
        assert "ports are on" in process.stderr.readline()
        assert rig.level("VDD1")
        yield rig, process
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_the_power_goes_off_whatever_ends_the_program(
    held: tuple[Rig, "subprocess.Popen[str]"], number: signal.Signals
) -> None:
    rig, process = held
    process.send_signal(number)
    process.wait(SAFETY_S)
    end = time.monotonic() + SAFETY_S
    while rig.level("VDD1"):  # after SIGKILL it is the guardian that acts
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not rig.level("RSTB1")


SECOND = Wiring(number=2, device=1)


def test_64_kib_in_one_array(tmp_path: Path) -> None:
    sheet = tmp_path / "large.toml"
    sheet.write_text(DATASHEET)
    world = Peripherals([BY_LINE], datasheet=str(sheet))
    code = UmiCode.parse("umi.9.1.0.1")
    content = bytes(range(256)) * 256
    world.ports[0].simulation.meter.memory.store.values[code] = content
    with rig_of(world) as rig:
        done = umi(rig, "-p", BY_LINE.address, "--datasheet", str(sheet), "read", "large", "--json")
        assert json.loads(done.stdout)["data"][0]["raw"] == content.hex()
        check_wires(rig.log, BY_LINE)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a desk with what a scheme 2 session with the virtual meter needs."""
    folder = tmp_path_factory.mktemp("desk")
    save_key(folder / "own.pem", campaign.OWN_KEY)
    (folder / "own.cvc").write_bytes(campaign.CREDENTIALS_2.chain[0].encode())
    (folder / "root.cvc").write_bytes(campaign.ROOT.encode())
    return folder


def words_of(desk: Path) -> list[str]:
    files = {"--key": "own.pem", "--cert": "own.cvc", "--anchor": "root.cvc"}
    return [word for option, name in files.items() for word in (option, str(desk / name))]


def test_a_scheme_2_session(desk: Path) -> None:
    with rig_of(Peripherals([BY_LINE])) as rig:
        done = umi(rig, "-p", BY_LINE.address, "auth", "--json", *words_of(desk))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["data"]["encrypted"] is True
        check_wires(rig.log, BY_LINE)


@contextmanager
def hosted(rig: Rig, *words: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Be a Host with the two ports of the rig; yields the process and its TCP address."""
    ports = [f"{each.number}={each.address}" for each in (BY_LINE, SECOND)]
    attach = [word for port in ports for word in ("--attach", port)]
    listen = ("host", "--listen", "127.0.0.1:0", *attach, *words)
    process = rig.popen(sys.executable, "-m", "umi_cli", *listen)
    assert process.stdout
    try:
        yield process, line_of(process, "listening")["addresses"][0]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SAFETY_S)


def line_of(process: "subprocess.Popen[str]", kind: str) -> dict[str, Any]:
    """Return the next line of a type that a Host prints."""
    assert process.stdout
    for text in process.stdout:
        line: dict[str, Any] = json.loads(text)
        if line["type"] == kind:
            return line
    raise AssertionError(f"the Host ended and printed no {kind}")


def test_a_reader_on_tcp_reaches_each_peripheral_through_the_host(desk: Path) -> None:
    world = Peripherals([BY_LINE, SECOND])
    with rig_of(world) as rig:
        with hosted(rig) as (_, tcp):
            for port, umi_id in {"": "00237EFE00000000", "/1": "…1", "/2": "…2"}.items():
                done = run_umi("-p", tcp + port, "read", "umi-id")
                assert done.stdout.strip() == umi_id.replace("…", "00237EFE0000000"), done.stderr
            assert run_umi("-p", f"{tcp}/2", "write", "counter", "7", "--verify").exit == 0
            assert run_umi("-p", f"{tcp}/2", "read", "profile-table").exit == 0
            assert run_umi("-p", f"{tcp}/1", "auth", *words_of(desk)).exit == 0
            assert run_umi("-p", f"{tcp}/3", "read", "umi-id").exit == 15
        for wiring in (BY_LINE, SECOND):
            check_wires(rig.log, wiring)


def test_nothing_is_forwarded_before_its_sender_has_authenticated() -> None:
    with rig_of(Peripherals([BY_LINE, SECOND])) as rig, hosted(rig, "--authenticate") as (_, tcp):
        refused = run_umi("-p", f"{tcp}/2", "--timeout", "0.5", "read", "umi-id")
        assert refused.exit == 15
        assert "CANNOT_FORWARD (4)" in refused.stderr
        assert run_umi("-p", tcp, "read", "umi-id").exit == 0


def test_what_a_peripheral_publishes_is_shown_by_the_host() -> None:
    world = Peripherals([BY_LINE, SECOND])
    with rig_of(world) as rig, hosted(rig) as (process, tcp):
        assert run_umi("-p", f"{tcp}/1", "read", "umi-id").exit == 0  # it has subscribed by now
        world.publish(12)
        event = line_of(process, "event")
        assert event["source"] == "00237EFE00000001"
        assert event["events"] == [{"number": 12, "name": "magnet-on"}]


def test_a_peripheral_that_is_unplugged_behind_a_host() -> None:
    world = Peripherals([BY_LINE, SECOND])
    with rig_of(world) as rig, hosted(rig) as (process, tcp):
        assert run_umi("-p", f"{tcp}/1", "read", "umi-id").exit == 0
        world.unplug_after = 20
        lost = run_umi("-p", f"{tcp}/1", "--timeout", "1", "read", "profile-table")
        assert lost.exit == 17, lost.stderr
        assert line_of(process, "lost")["port"] == 1
        assert not rig.level("VDD1")
        assert rig.level("VDD2"), "the other port serves on"
        assert run_umi("-p", f"{tcp}/2", "read", "umi-id").exit == 0
