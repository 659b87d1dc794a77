"""How much of an optical line is object data, and how much of it is idle.

The line is a real pseudo-terminal, paced at the rate that was agreed on; `tests.bench` prints what
comes out here.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from umi_cli.connecting import connect
from umi_cli.device.info import read_info
from umi_cli.device.meter import Meter
from umi_cli.optical.sign_on import PAUSE_S, QUIET_S
from umi_cli.types import UmiCode
from umi_cli.virtual.optical_sign_on import REACTION_S, OpticalCharacter
from umi_cli.virtual.serve import Server
from umi_cli.virtual.setup import SimOptions, Simulation

RATES = (9600, 19_200)
ARRAY_BYTES = 65_536
ELEMENT_BYTES = 8
ONE_FRAME = 10  # elements that a reader without fragments asks for at once
ONE_FRAME_BYTES = 12 * ONE_FRAME  # of the load profile
SIGN_ON_S = 10 / 300  # a character at 300 baud
BITS = 10
SWITCH_DELAY_S = 0.05
RESYNC = bytes.fromhex("010400")
DATASHEET = f"""\
schema = "umi-datasheet/1"
name = "bench"
title = "64 KiB in one array"
extends = "ei4"
banks = ["umi.9.1"]

[[object]]
code = "umi.9.1.0.1"
name = "large"
title = "A large array"
kind = "array"
type = "u64"
max_elements = {ARRAY_BYTES // ELEMENT_BYTES}
read = ["all"]
"""


@dataclass
class Seen:
    """The bytes that passed, counted at the rate they passed at."""

    baud: int
    sign_on_bytes: int = 0
    frame_bytes: int = 0
    has_switched: bool = field(default=False)

    def __call__(self, direction: str, data: bytes) -> None:
        self.has_switched = self.has_switched or data.startswith(RESYNC)
        if self.has_switched:
            self.frame_bytes += len(data)
        else:
            self.sign_on_bytes += len(data)

    @property
    def wire_s(self) -> float:
        """Return how long the bytes were on the line."""
        return self.sign_on_bytes * SIGN_ON_S + self.frame_bytes * BITS / self.baud


@dataclass(frozen=True, kw_only=True)
class OpticalFigures:
    """What came out at one rate."""

    baud: int
    data_share: float
    """Object data of a 64 KiB array, of the raw 8N1 byte rate."""
    idle_share: float
    """Of the time that array took, when no character was on the line."""
    one_frame_share: float
    """Object data when ten elements are asked for at a time."""
    info_s: float
    """A cold `info`: sign-on, reads, sign-off."""
    info_least_s: float
    """Its bytes on the wire, and the waits that the standard demands."""


def measure(baud: int, folder: Path) -> OpticalFigures:
    """Read over a pseudo-terminal at a rate."""
    sheet = folder / f"bench-{baud}.toml"  # one each: they are measured at once
    sheet.write_text(DATASHEET, encoding="utf-8")
    options = SimOptions(datasheet=str(sheet), optical=OpticalCharacter.parse(f"baud:{baud}"))
    simulation = Simulation(options, time.time())
    code = UmiCode.parse("umi.9.1.0.1")
    simulation.meter.memory.store.values[code] = bytes(range(256)) * (ARRAY_BYTES // 256)
    with Server(simulation) as server, ThreadPoolExecutor(1) as pool:
        address = server.open_optical(folder / f"meter{baud}")
        running = pool.submit(server.run)
        try:
            seen = Seen(baud)
            began = time.monotonic()
            with connect(address, datasheet=str(sheet), observer=seen) as meter:
                read_info(meter)
            info_s = time.monotonic() - began
            waits_s = QUIET_S + REACTION_S + PAUSE_S + SWITCH_DELAY_S
            info_least_s = seen.wire_s + waits_s
            array = Seen(baud, has_switched=True)
            with connect(address, datasheet=str(sheet), observer=array) as meter:
                array.frame_bytes = 0
                taken_s = _read_array(meter)
                wire_s = array.wire_s
                one_frame_s = _read_frames(meter)
        finally:
            server.stop()
            running.result()
    raw = baud / BITS
    return OpticalFigures(
        baud=baud,
        data_share=ARRAY_BYTES / taken_s / raw,
        idle_share=1 - wire_s / taken_s,
        one_frame_share=ONE_FRAME_BYTES / one_frame_s / raw,
        info_s=info_s,
        info_least_s=info_least_s,
    )


def _read_array(meter: Meter) -> float:
    began = time.monotonic()
    assert len(meter.read("large").raw) == ARRAY_BYTES
    return time.monotonic() - began


def _read_frames(meter: Meter) -> float:
    """Return how long ten elements take, over a few frames."""
    count = 10
    began = time.monotonic()
    for first in range(0, count * ONE_FRAME, ONE_FRAME):
        meter.read(f"profile-table[{first}:{first + ONE_FRAME - 1}]")
    return (time.monotonic() - began) / count


def measure_all() -> list[OpticalFigures]:
    """Measure every rate, each on its own line at the same time."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(len(RATES)) as pool:
        return list(pool.map(lambda baud: measure(baud, Path(folder)), RATES))
