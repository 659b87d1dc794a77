"""Boards for the tests of UMI-spi: chips and buses of the rig, and programs that open a port."""

import json
import sys
from collections.abc import Iterable
from textwrap import dedent
from typing import Any

from tests.rig.gpio import GpioChip
from tests.rig.records import LineOutput, LineReleased, Record
from tests.rig.rig import Rig
from tests.rig.spi import SpiDevice

SPI = SpiDevice(bus=0, device=0)
SOC = GpioChip(
    number=0,
    label="pinctrl-soc",
    lines=["ID_SD", "VDD", "HVDD", "RSTB", "CSB", "INTB", "", "CE0", "INTB_2"],
    held={"CE0": "spi0 CS0"},
)
KEEPING = GpioChip(number=0, label="pinctrl-soc", lines=SOC.lines, keeps_outputs=True)
EXPANDER = GpioChip(number=3, label="INT34C6:00", lines=["P0", "P1", "VDD_2", ""])
"""Its label has a colon, as those of ACPI have."""

PREAMBLE = """
import errno, json, os, select, signal, sys, time
from umi_cli.errors import UmiError
from umi_cli.transports.board import open_board
from umi_cli.transports.board_options import BoardSettings
from umi_cli.transports.gpio import find_lines, request_input, request_output

ADDRESS = "spi:0.0"

def say(*what): print(json.dumps(what[0] if len(what) == 1 else what), flush=True)

def refusal(act, *args, **named):
    try: act(*args, **named)
    except UmiError as error: return [error.code, str(error), error.hint]
    return None

def board(**options):
    options.setdefault("int", "INTB")
    return open_board(0, 0, BoardSettings.from_options(options), ADDRESS)

def find(*wanted): return find_lines(wanted, ADDRESS)
def output(name, **more): return request_output(find(name)[0], ADDRESS, **more)
def watch(name): return request_input(find(name)[0], ADDRESS)

def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file: return file.read().split()

LOW_POWER = dict(rst="RSTB", vdd="VDD")
HIGH_POWER = dict(**LOW_POWER, hvdd="HVDD")
"""


def command(script: str) -> tuple[str, ...]:
    return (sys.executable, "-bb", "-W", "error", "-c", PREAMBLE + dedent(script))


def run(rig: Rig, script: str) -> Any:
    """Run a script to its end, and return what it said."""
    done = rig.run(*command(script))
    assert not done.returncode, done.stderr
    assert not done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    return said[0] if len(said) == 1 else said


def outputs(log: Iterable[Record]) -> list[str]:
    """Return what programs did to the lines: `VDD=1`, and `-VDD` when it was let go of."""
    return [
        f"{one.name}={one.level:d}" if isinstance(one, LineOutput) else f"-{one.name}"
        for one in log
        if isinstance(one, LineOutput | LineReleased)
    ]
