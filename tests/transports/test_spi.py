"""UMI-spi under the rig: the genuine modules, the real command, a virtual Peripheral."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig import build
from tests.rig.peripheral import Peripherals, Wiring, check_wires, rig_of
from tests.rig.records import SpiTransfer
from tests.rig.rig import Rig

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
