"""The suite on real lines: a meter on TCP, one at an optical probe, a Peripheral on the rig.

Whole on TCP; of the others a part, for the rest is the same as on their lines in process.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.certify.world import World
from tests.cli.conftest import TIME_LIMIT_S, start_umi
from tests.cli.test_optical import serving
from tests.rig import build
from tests.rig.peripheral import Peripherals, Wiring, check_wires, rig_of
from tests.transports.test_spi import desk, words_of
from umi_cli.certify.suite import CASES

__all__ = ["desk"]  # a fixture

WHOLE_LIMIT_S = 3 * TIME_LIMIT_S  # most of it is silence that has to last
QUIET = ("--quiet", "0.1")
UNDONE = ("--allow-changes", "--destructive", "--yes")
NOT_THE_LOCK_OUT = ("LNK*", "APP*", "OBJ*", "SEC-0[0-8]*", "SEC-09[0-2]", "IMG*", "TIM*")
"""SEC-099 takes a minute, which nothing shortens on a real line."""
WIRING = Wiring(number=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.made(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def only(*globs: str) -> list[str]:
    return [word for glob in globs for word in ("--only", glob)]


def report_of(stdout: str, stderr: str) -> dict[str, Any]:
    document = json.loads(stdout)
    assert stderr == ""
    report = document["data"]
    assert report is not None, document["error"]
    failed = {
        each["number"]: each["message"] for each in report["tests"] if each["verdict"] == "failed"
    }
    assert failed == {}
    assert document["ok"]
    return dict(report)


def certified(*words: str) -> dict[str, Any]:
    process = start_umi(*words, "--json")
    return report_of(*process.communicate(timeout=WHOLE_LIMIT_S))


def served(world: World) -> list[str]:
    """Return what `umi sim` is told so that it serves a meter of the world."""
    options = {"key": "meter-key", "cert": "meter-cert", "anchor": "meter-anchor"}
    names = {**options, "role-keys": "meter-role-keys", "defer": "defer"}
    return [word for name, text in world.query.items() for word in (f"--{names[name]}", text)]


def test_a_meter_on_tcp_passes_everything(world: World) -> None:
    with serving("--tcp", "127.0.0.1:0", *served(world)) as (_, [address]):
        words = ("-p", address, "certify", *world.words, *UNDONE, *QUIET)
        report = certified(*words, *only(*NOT_THE_LOCK_OUT))
    left_out = {each["number"] for each in report["tests"] if each["verdict"] == "left-out"}
    needs = {each for each in left_out if CASES[each].needs}
    assert left_out == needs, "and these need a probe, pins, or power"
    assert report["totals"]["all"]["passed"] > 200


def test_a_meter_at_a_probe(world: World, tmp_path: Path) -> None:
    """The characters are paced, as on a real line; in process all of the suite is run on one."""
    opto = ("--opto", "baud:19200,no-wakeup,echo")
    with serving("--pty", str(tmp_path / "probe"), *opto, *served(world)) as (_, [address]):
        words = ("-p", f"{address}?wakeup=none", "certify", *world.words, *QUIET, "--no-state")
        report = certified(*words, *only("LNK-00*", "LNK-04[0-4]", "SEC-01[0-4]", "TIM*"))
    assert report["totals"]["link"]["passed"] == 14
    assert report["totals"]["timing"]["passed"] > 2


@pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())
def test_a_peripheral_on_the_rig(desk: Path) -> None:
    with rig_of(Peripherals([WIRING])) as rig:
        tests = only("LNK-00*", "LNK-0[46]*", "APP-01*", "SEC-01*", "IMG-01*", "IMG-050", "TIM*")
        words = ("certify", *words_of(desk), "--allow-changes", *QUIET, "--power", "pins", *tests)
        process = rig.popen(sys.executable, "-m", "umi_cli", "-p", WIRING.address, *words, "--json")
        report = report_of(*process.communicate(timeout=WHOLE_LIMIT_S))
        rig.settle()
        check_wires(rig.log, WIRING)
    assert report["totals"]["all"]["passed"] > 50
    assert {"spi", "board", "power"} <= set(report["allowed"])
