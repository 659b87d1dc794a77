"""How much of what is clocked over UMI-spi is object data, and what an exchange costs the Host.

The genuine spidev and gpiod modules read an array in a process of their own, under the rig: its
wires take no time, so the time that passes is the software's, the rig's own included, and what the
Peripheral takes to wake and to let go. `tests.bench` prints what comes out here.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench_optical import ARRAY_BYTES, DATASHEET
from tests.rig.build import why_not
from tests.rig.peripheral import Peripherals, Wiring, rig_of
from tests.rig.records import SpiTransfer
from umi_cli.types import UmiCode
from umi_cli.virtual.pins import PAUSE_S, RISE_S, WAKE_S

HZ = 1_000_000
PERIPHERAL_S = WAKE_S + RISE_S + PAUSE_S  # of an exchange, its own
ROUNDS = 3
WIRING = Wiring(number=1)
PROGRAM = """
import json, resource, sys, time
from umi_cli.connecting import connect

address, sheet, rounds = sys.argv[1:]
sent = []

def see(direction, data):
    if direction == "out": sent.append(data)

def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

with connect(address, datasheet=sheet, observer=see) as meter:
    meter.read("large")
    for _ in range(int(rounds)):
        sent.clear()
        began, spent = time.monotonic(), cpu_s()
        count = len(meter.read("large").raw)
        cpu, ended = cpu_s() - spent, time.monotonic()
        found = dict(bytes=count, began=began, ended=ended, cpu_s=cpu, exchanges=len(sent))
        print(json.dumps(found), flush=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiFigures:
    """What came out."""

    data_share: float
    """Object data of a 64 KiB array, of the bits that were clocked."""
    data_bits_per_s: float
    """Its object data, where the wires take no time."""
    exchange_cpu_s: float
    """CPU time of our process for a frame out and its answer."""
    exchange_wire_s: float
    """How long the bits of such an exchange are on the wire."""


def measure() -> SpiFigures | str:
    """Read the array a few times and return the best round; or why the rig cannot run."""
    if why_not():
        return why_not()
    with TemporaryDirectory() as folder:
        sheet = Path(folder) / "bench.toml"
        sheet.write_text(DATASHEET, encoding="utf-8")
        world = Peripherals([WIRING], datasheet=str(sheet))
        store = world.ports[0].simulation.meter.memory.store
        store.values[UmiCode.parse("umi.9.1.0.1")] = bytes(range(256)) * (ARRAY_BYTES // 256)
        with rig_of(world) as rig:
            address = f"{WIRING.address}&hz={HZ}"
            done = rig.run(sys.executable, "-c", PROGRAM, address, str(sheet), str(ROUNDS))
            assert not done.returncode, done.stderr
            transfers = [record for record in rig.log if isinstance(record, SpiTransfer)]
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    first = rounds[0]
    assert {each["bytes"] for each in rounds} == {ARRAY_BYTES}
    clocked_bits = sum(
        8 * len(transfer.sent)
        for transfer in transfers
        if first["began"] <= transfer.time_s <= first["ended"]
    )
    return SpiFigures(
        data_share=8 * ARRAY_BYTES / clocked_bits,
        data_bits_per_s=8 * ARRAY_BYTES / min(each["ended"] - each["began"] for each in rounds),
        exchange_cpu_s=min(each["cpu_s"] / each["exchanges"] for each in rounds),
        exchange_wire_s=clocked_bits / HZ / first["exchanges"],
    )
