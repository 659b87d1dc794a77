"""`umi ports power`: the ports of a Host, with Peripherals in process; the rig has real lines."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TIME_LIMIT_S, call_umi, start_umi

FIRST = "spi:sim?umi-id=00237EFE00000011"
SECOND = "spi:sim?umi-id=00237EFE00000022"
EMPTY = "spi:sim?pins=low:1"  # its INTB does not let go when it is first selected
DEAF = "spi:sim?fault=drop:1"
GONE = "spi:9.9?int=LINE&rst=LINE2"


def described(config: Path, **ports: str) -> tuple[str, ...]:
    """Describe ports in a configuration file; return the option that names it."""
    config.write_text(
        "\n".join(f'[host.port.{name[1:]}]\naddress = "{text}"\n' for name, text in ports.items())
    )
    return ("--config", str(config))


@pytest.fixture
def two(config: Path) -> tuple[str, ...]:
    return described(config, _2=FIRST, _7=SECOND)


def rows(capsys: pytest.CaptureFixture[str], *args: str) -> list[dict[str, Any]]:
    data = call_umi(capsys, *args, "--json").document["data"]
    assert all(set(row) == {"port", "address", "state", "device"} for row in data)
    return list(data)


def states(capsys: pytest.CaptureFixture[str], *args: str) -> dict[int, str]:
    return {row["port"]: row["state"] for row in rows(capsys, *args)}


def test_scan_tells_who_is_there(capsys: pytest.CaptureFixture[str], two: tuple[str, ...]) -> None:
    assert rows(capsys, *two, "ports", "power", "scan") == [
        {"port": 2, "address": FIRST, "state": "present", "device": "00237EFE00000011"},
        {"port": 7, "address": SECOND, "state": "present", "device": "00237EFE00000022"},
    ]


def test_scan_for_people_and_as_csv(
    capsys: pytest.CaptureFixture[str], two: tuple[str, ...]
) -> None:
    shown = call_umi(capsys, *two, "ports", "power", "scan")
    assert shown.exit == 0
    assert [line.split()[-1] for line in shown.stdout.splitlines()[2:]] == [
        "00237EFE00000011",
        "00237EFE00000022",
    ]
    listed = call_umi(capsys, *two, "ports", "power", "scan", "-o", "csv")
    assert listed.stdout.splitlines()[:2] == [
        "port,address,state,device",
        f"2,{FIRST},present,00237EFE00000011",
    ]


def test_scan_tells_an_empty_port_from_one_that_does_not_speak(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    words = described(config, _1=EMPTY, _2=DEAF, _3=FIRST)
    document = call_umi(capsys, *words, "ports", "power", "scan", "--json").document
    assert [(row["state"], row["device"]) for row in document["data"]] == [
        ("empty", None),
        ("present, and does not speak", None),
        ("present", "00237EFE00000011"),
    ]
    [warning] = document["warnings"]
    assert warning.startswith(f"port 2: {DEAF}")


@pytest.mark.parametrize("verb", ["scan", "on", "off", "cycle"])
def test_a_port_that_this_host_does_not_have_is_an_error(
    capsys: pytest.CaptureFixture[str], config: Path, verb: str
) -> None:
    words = described(config, _1=FIRST, _2=GONE)
    error = call_umi(capsys, *words, "ports", "power", verb, "2", "--json").document["error"]
    assert error["exit"] == 10
    assert GONE in error["message"]


def test_scan_of_a_line_that_this_host_does_not_have_is_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = "spi:0.0?int=NOSUCHLINE"
    error = call_umi(capsys, "-p", port, "ports", "power", "scan", "--json").document["error"]
    assert error["exit"] == 10


@pytest.mark.parametrize("verb", ["scan", "on", "off", "cycle"])
def test_ports_are_chosen_by_number_in_order_and_once(
    capsys: pytest.CaptureFixture[str], two: tuple[str, ...], verb: str
) -> None:
    words = (*two, "ports", "power", verb, *(("--for", "0.01") if verb == "on" else ()))
    assert list(states(capsys, *words)) == [2, 7]
    assert list(states(capsys, *words, "7")) == [7]
    assert [row["port"] for row in rows(capsys, *words, "7", "2", "7")] == [7, 2]


@pytest.mark.parametrize("verb", ["scan", "on", "off", "cycle"])
@pytest.mark.parametrize("where", ["file", "option"])
def test_a_port_that_nobody_described_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], two: tuple[str, ...], verb: str, where: str
) -> None:
    words = two if where == "file" else ("-p", FIRST)
    outcome = call_umi(capsys, *words, "ports", "power", verb, "3")
    assert outcome.exit == 2
    assert outcome.stderr.startswith("umi: there is no port 3\nhint: ")
    assert outcome.stdout == ""


def test_without_a_description_there_is_no_port(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    config.write_text("retries = 2\n")
    outcome = call_umi(capsys, "--config", str(config), "ports", "power", "scan")
    assert outcome.exit == 2
    assert "no port of a Host is described" in outcome.stderr
    assert "[host.port.N]" in outcome.stderr


def test_a_port_that_is_named_needs_no_description(capsys: pytest.CaptureFixture[str]) -> None:
    [row] = rows(capsys, "-p", FIRST, "ports", "power", "scan")
    assert (row["port"], row["device"]) == (1, "00237EFE00000011")


def test_on_holds_for_a_while(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    words = described(config, _1=EMPTY, _2=FIRST)
    outcome = call_umi(capsys, *words, "ports", "power", "on", "--for", "0.05")
    assert outcome.exit == 0
    assert "the ports are on" in outcome.stderr
    assert states(capsys, *words, "ports", "power", "on", "--for", "0.05") == {
        1: "off: empty",
        2: "on",
    }


def test_on_does_not_wait_where_every_port_is_empty(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = call_umi(capsys, "-p", EMPTY, "ports", "power", "on")
    assert outcome.exit == 14
    assert "port 1 is empty" in outcome.stderr


def test_a_port_that_was_asked_for_and_is_empty_is_an_error(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    words = described(config, _1=EMPTY, _2=FIRST, _3=EMPTY)
    document = call_umi(capsys, *words, "ports", "power", "on", "2", "1", "--json").document
    assert document["error"]["exit"] == 14
    assert "port 1 is empty" in document["error"]["message"]
    assert [row["state"] for row in document["data"]] == ["on", "off: empty"]
    several = call_umi(capsys, *words, "ports", "power", "on", "1", "3")
    assert "ports 1, 3 are empty" in several.stderr


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_on_holds_for_a_time(capsys: pytest.CaptureFixture[str], seconds: str) -> None:
    outcome = call_umi(capsys, "-p", FIRST, "ports", "power", "on", "--for", seconds)
    assert outcome.exit == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_on_holds_until_it_is_told_to_end(tmp_path: Path, number: int, code: int) -> None:
    state = tmp_path / "meter.json"
    process = start_umi("-p", f"spi:sim:{state}", "ports", "power", "on")
    assert "the ports are on" in process.stderr.readline()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == code, stderr
    assert ("on" in stdout.split()) is (code == 0)
    assert json.loads(state.read_text()), "what is on the port was closed as well"


def test_off_and_cycle(capsys: pytest.CaptureFixture[str], two: tuple[str, ...]) -> None:
    assert states(capsys, *two, "ports", "power", "off") == {2: "off", 7: "off"}
    assert states(capsys, *two, "ports", "power", "cycle") == {2: "present", 7: "present"}
    assert states(capsys, "-p", EMPTY, "ports", "power", "cycle") == {1: "empty"}


@pytest.mark.parametrize(("seed", "state"), [(1, "present"), (9, "empty")])
def test_cycle_tells_of_a_peripheral_that_does_not_come_back(
    capsys: pytest.CaptureFixture[str], seed: int, state: str
) -> None:
    """With seed 9 its INTB lets go at its first start, and is stuck for 1.8 s at the second."""
    port = f"spi:sim?pins=low:0.5&seed={seed}"
    assert states(capsys, "-p", port, "ports", "power", "on", "--for", "0.01") == {1: "on"}
    assert states(capsys, "-p", port, "ports", "power", "cycle") == {1: state}
