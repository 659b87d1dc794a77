"""What stands in the way of a port: read from trees of files, and once from this host itself."""

import os
import stat
from pathlib import Path

import pytest

from umi_cli.transports import host_state
from umi_cli.transports.host_state import Process


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Return a /proc with two programs, of which the first has a port open."""
    root = tmp_path / "proc"
    port = tmp_path / "ttyUSB0"
    port.touch()
    for pid, name in ((41, "ModemManager"), (42, "bash")):
        files = root / str(pid) / "fd"
        files.mkdir(parents=True)
        (root / str(pid) / "comm").write_text(f"{name}\n")
    (root / "41" / "fd" / "7").symlink_to(port)
    (root / "sys").mkdir()
    return root


def test_who_holds_a_port(proc: Path, tmp_path: Path) -> None:
    link = tmp_path / "by-id"
    link.symlink_to(tmp_path / "ttyUSB0")
    for device in (tmp_path / "ttyUSB0", link):
        assert host_state.holders_of(str(device), proc) == [Process(pid=41, name="ModemManager")]
    assert host_state.holders_of("/dev/ttyUSB9", proc) == []
    assert host_state.holders_of("/dev/ttyUSB9", tmp_path / "none") == []
    assert str(Process(pid=41, name="ModemManager")) == "ModemManager (process 41)"


def test_we_are_no_holder_of_our_own(tmp_path: Path) -> None:
    path = tmp_path / "port"
    with path.open("w"):
        assert host_state.holders_of(str(path)) == []


def test_which_programs_run(proc: Path) -> None:
    found = host_state.running(host_state.GRABBERS, proc)
    assert found == [Process(pid=41, name="ModemManager")]
    assert host_state.running(["brltty"], proc) == []


def test_a_program_that_has_ended_meanwhile(proc: Path) -> None:
    (proc / "43").mkdir()
    assert host_state.running(["?"], proc) == [Process(pid=43, name="?")]


def test_who_may_open_a_device(tmp_path: Path) -> None:
    path = tmp_path / "port"
    path.touch()
    path.chmod(0o640)
    access = host_state.access_of(str(path))
    assert access is not None
    assert access.is_open_to_us
    assert access.mode == 0o640 == stat.S_IMODE(path.stat().st_mode)
    assert host_state.access_of(str(tmp_path / "none")) is None


def test_a_group_without_a_name(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root gives files away")
    path = tmp_path / "port"
    path.touch()
    os.chown(path, -1, 54321)
    access = host_state.access_of(str(path))
    assert access is not None
    assert (access.group, access.is_member) == (None, False)


def test_latency(tmp_path: Path) -> None:
    directory = tmp_path / "bus" / "usb-serial" / "devices" / "ttyUSB0"
    directory.mkdir(parents=True)
    assert host_state.latency_ms("/dev/ttyUSB0", tmp_path) is None
    (directory / "latency_timer").write_text("16\n")
    assert host_state.latency_ms("/dev/ttyUSB0", tmp_path) == 16
    (directory / "latency_timer").write_text("x\n")
    assert host_state.latency_ms("/dev/ttyUSB0", tmp_path) is None


def test_installed_rules(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    second.mkdir()
    assert host_state.installed_rules([first, second]) is None
    (second / host_state.RULES_NAME).touch()
    assert host_state.installed_rules([first, second]) == second / host_state.RULES_NAME
