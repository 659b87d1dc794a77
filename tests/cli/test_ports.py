"""`umi ports` and the enumeration behind it; no hardware is needed."""

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from serial.tools import list_ports

import umi_cli
from tests.cli.conftest import run_umi
from umi_cli.transports import hosts


def fake_port(device: str, **known: object) -> SimpleNamespace:
    empty = dict.fromkeys(("vid", "pid", "product", "serial_number", "description"))
    return SimpleNamespace(device=device, **{**empty, **known})


def test_ports_as_json() -> None:
    document = run_umi("ports", "--json").document
    assert set(document["data"]) == {"serial", "spi", "gpio"}
    assert document["meta"]["port"] is None


def test_ports_for_people_and_as_csv() -> None:
    assert run_umi("ports").exit == 0
    assert run_umi("ports", "-o", "csv").stdout.startswith(
        "kind,device,detail,serial,stable path\n"
    )


def test_serial_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapters = [tmp_path / "ttyUSB10", tmp_path / "ttyUSB2"]
    for adapter in adapters:
        adapter.touch()
    by_id = tmp_path / "serial" / "by-id"
    by_id.mkdir(parents=True)
    (by_id / "usb-FTDI-if00").symlink_to(adapters[0])
    ports = [
        fake_port(str(adapters[0]), vid=0x0403, pid=0x6001, product="FT232R", serial_number="A1"),
        fake_port(str(adapters[1]), description="n/a"),
    ]
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    second, tenth = hosts.serial_ports(tmp_path)
    assert tenth == hosts.SerialPort(
        device=str(adapters[0]),
        stable=str(by_id / "usb-FTDI-if00"),
        usb="0403:6001",
        product="FT232R",
        serial="A1",
        probe="FTDI FT232R",
    )
    assert second.device == str(adapters[1])
    assert (second.stable, second.usb, second.product, second.probe) == (None,) * 4


def test_spi_buses_and_gpio_chips(tmp_path: Path) -> None:
    for name in ("spidev0.1", "spidev0.0", "spidev10.0", "gpiochip0", "gpiochip10", "gpiochip2"):
        (tmp_path / name).touch()
    assert [bus.address for bus in hosts.spi_buses(tmp_path)] == [
        "spi:0.0",
        "spi:0.1",
        "spi:10.0",
    ]
    chips = hosts.gpio_chips(tmp_path)
    assert [os.path.basename(chip.device) for chip in chips] == [
        "gpiochip0",
        "gpiochip2",
        "gpiochip10",
    ]
    assert {(chip.label, chip.lines) for chip in chips} == {(None, None)}  # plain files: no ioctl


def test_a_gpio_chip_that_is_linked_is_listed_once(tmp_path: Path) -> None:
    (tmp_path / "gpiochip0").touch()
    (tmp_path / "gpiochip4").symlink_to("gpiochip0")
    assert [chip.device for chip in hosts.gpio_chips(tmp_path)] == [str(tmp_path / "gpiochip0")]


def test_gpio_chip_tells_its_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    answer = b"gpiochip0".ljust(32, b"\0") + b"pinctrl-rp1".ljust(32, b"\0") + b"\x36\0\0\0"
    monkeypatch.setattr(fcntl, "ioctl", lambda descriptor, request, argument: answer)
    (tmp_path / "gpiochip0").touch()
    [chip] = hosts.gpio_chips(tmp_path)
    assert (chip.label, chip.lines) == ("pinctrl-rp1", 54)


def test_host_without_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_ports, "comports", list)
    assert hosts.serial_ports(tmp_path / "nosuch") == []
    assert hosts.spi_buses(tmp_path / "nosuch") == []
    assert hosts.gpio_chips(tmp_path / "nosuch") == []


def test_the_udev_rules_are_for_the_chips_that_auto_takes() -> None:
    rules = run_umi("ports", "--udev").stdout
    found = re.findall(r'idVendor}=="(\w+)", ATTRS{idProduct}=="(\w+)"', rules)
    assert sorted(":".join(pair) for pair in found) == sorted(hosts.PROBE_CHIPS)
    assert rules == hosts_rules().read_text(encoding="utf-8")


def hosts_rules() -> Path:
    return Path(umi_cli.__file__).parent / "share" / "60-umi-probe.rules"
