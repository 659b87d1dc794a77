"""How much of an optical line is image data, and how much memory an image takes.

The optical line is in this process, under a clock that skips what would be waited for: its time is
that of the characters on it. The virtual meter answers at once; a real one adds its turn-around.

    python -m tests.bench_images          # --full measures 256 MiB, too
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import campaign
from tests.cli.conftest import environment
from tests.images.packages import LABEL, built, signed
from umi_cli.certificates.authorisation import EVERY_TARGET
from umi_cli.crypto import sha256
from umi_cli.device.image_upload import first_block_bytes
from umi_cli.device.meter import Meter
from umi_cli.images.header import ImageLabel, Version
from umi_cli.images.upload import Transfer, Upload
from umi_cli.objects.catalogue import Catalogue
from umi_cli.optical.sign_on import SignOnProfile
from umi_cli.transports.memory import MemoryPort, SimulatedClock
from umi_cli.transports.optical import OpticalSettings, OpticalTransport
from umi_cli.types import Role, parse_datetime
from umi_cli.virtual.faults import FaultRates
from umi_cli.virtual.flash import SLOT_BYTES
from umi_cli.virtual.optical_sign_on import OpticalCharacter
from umi_cli.virtual.setup import SimOptions, Simulation

MIB = 1 << 20
IMAGE_BYTES = 256 << 10
BAUD, BITS = 9600, 10
SCHEMES = (0, 2)
LOSS = "drop:0.05"
PROVIDER = Role.SOFTWARE_PROVIDER
# choice: the longest package that the virtual meter takes, less what stands around the image
LONGEST_BYTES = SLOT_BYTES - 4096
UPLOADED_BYTES = (MIB, LONGEST_BYTES)
VERIFIED_BYTES = (MIB, 64 * MIB)
FULL_BYTES = 256 * MIB

# What this process alone took at most: the parent's share, which fork hands on, is not in VmHWM.
UMI = """
import sys
from pathlib import Path
from umi_cli.cli.main import run

code = run(sys.argv[1:])
[peak] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines()
          if line.startswith("VmHWM")]
print(peak, file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True, kw_only=True)
class LineFigures:
    """What came out of one upload."""

    scheme: int
    block_bytes: int
    share: float
    """Package bytes, of the raw 8N1 byte rate."""
    idle: float
    """Of the time, when no character was on the line."""
    lossy_share: float
    """The same where one chunk in twenty is lost."""


@dataclass(frozen=True, kw_only=True)
class MemoryFigures:
    """What two runs that differ in the length of the image took at most."""

    what: str
    bytes_and_peaks: tuple[tuple[int, int], ...]

    @property
    def ratio(self) -> float:
        """Return the peak of the longest by that of the shortest."""
        return self.bytes_and_peaks[-1][1] / self.bytes_and_peaks[0][1]


def label(built_s: int = 0) -> ImageLabel:
    """Return what is for every virtual meter."""
    version = Version(2, 0, 0)
    return ImageLabel(
        model=LABEL.model, version=version, targets=EVERY_TARGET, built_s=built_s, not_after_s=0
    )


def measure_line(scheme: int) -> LineFigures:
    """Upload at 9600 baud under a scheme, over a line that is sound and one that is not."""
    share, idle, block_bytes = _upload(scheme, FaultRates())
    lossy_share, _, _ = _upload(scheme, FaultRates.parse(LOSS))
    return LineFigures(
        scheme=scheme, block_bytes=block_bytes, share=share, idle=idle, lossy_share=lossy_share
    )


def _upload(scheme: int, faults: FaultRates) -> tuple[float, float, int]:
    """Return the share of image data, the share of idle time, and the length of the blocks."""
    clock = SimulatedClock(campaign.START_UNIX_S)
    options = SimOptions(
        faults=faults,
        guest_role=PROVIDER,
        optical=OpticalCharacter.parse(f"baud:{BAUD}"),
        time_s=parse_datetime(campaign.START),
    )
    simulation = Simulation(options, clock.utc())
    campaign.trust_each_other(simulation.meter.memory)
    image = bytes(range(256)) * (IMAGE_BYTES // 256)
    package = signed(built(image, label()), campaign.CREDENTIALS_1.key, PROVIDER)
    port = MemoryPort(simulation.new_optical_port("line"), clock=clock)
    seen: list[int] = []
    transport = OpticalTransport(
        port, OpticalSettings(profile=SignOnProfile(wakeup=True)), "optical"
    )
    session = campaign.session_under(scheme, transport, observer=lambda _, data: _add(seen, data))
    with Meter(transport, session, Catalogue.load("ei4")) as meter:
        session.begin()
        transfer = Transfer(
            file=io.BytesIO(package),
            length_bytes=len(package),
            sha256=sha256(package),
            request=session.request,
        )
        block_bytes = first_block_bytes(meter, None)
        seen.clear()
        began = clock.monotonic()
        sender = Upload(transfer, block_bytes)
        sender.send()
        took_s, wire_s = clock.monotonic() - began, sum(seen) * BITS / BAUD
        sender.end()
        assert meter.read("active-software-version/major").value == 2
    return len(package) / took_s / (BAUD / BITS), max(0.0, 1 - wire_s / took_s), block_bytes


def _add(seen: list[int], data: bytes) -> None:
    seen.append(len(data))


def measure_memory(*, full: bool = False) -> list[MemoryFigures]:
    """Measure the peak of an upload and of a verification, of a short image and of a long one."""
    verified = (MIB, FULL_BYTES) if full else VERIFIED_BYTES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _umi(folder, "key", "new", "role.key", "--type", "aes128")
        for image_bytes in {*UPLOADED_BYTES, *verified}:
            _make(folder, image_bytes)
        return [
            MemoryFigures(
                what="umi image upload, over TCP",
                bytes_and_peaks=tuple(
                    (each, _peak_of_upload(folder, each)) for each in UPLOADED_BYTES
                ),
            ),
            MemoryFigures(
                what="umi image verify",
                bytes_and_peaks=tuple((each, _peak_of_verify(folder, each)) for each in verified),
            ),
        ]


def _make(folder: Path, image_bytes: int) -> None:
    with (folder / "image.bin").open("wb") as file:
        file.truncate(image_bytes)  # sparse
    options = "--model EISGMv0 --version 2.0.0 --target-min 0 --target-max FFFFFFFFFFFFFFFE"
    _umi(folder, "image", "build", "image.bin", "app.umi", "--yes", *options.split())
    key = "--scheme 1 --role software-provider --key role.key"
    _umi(folder, "image", "sign", "app.umi", "--out", f"{image_bytes}.umi", *key.split())


def _peak_of_verify(folder: Path, image_bytes: int) -> int:
    key = "--scheme 1 --role software-provider --key role.key"
    return _umi(folder, "image", "verify", f"{image_bytes}.umi", *key.split())


def _peak_of_upload(folder: Path, image_bytes: int) -> int:
    with _meter(folder) as address:
        words = ("image", "upload", f"{image_bytes}.umi", "--signer-key", "role.key")
        return _umi(folder, "-p", address, *words)


@contextlib.contextmanager
def _meter(folder: Path) -> Iterator[str]:
    """Serve a virtual meter that knows the key; yield its address."""
    options = "sim --tcp 127.0.0.1:0 --as software-provider --meter-role-keys"
    words = [*options.split(), f"software-provider:{folder}/role.key"]
    command = [sys.executable, "-m", "umi_cli", *words]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["addresses"][0]
        finally:
            process.terminate()


def _umi(folder: Path, *words: str) -> int:
    """Run `umi`, and return how many bytes it took at most."""
    process = subprocess.run(
        [sys.executable, "-c", UMI, *words],
        cwd=folder,
        env=environment({"XDG_STATE_HOME": str(folder / "state")}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return int(process.stderr.split()[-1]) << 10


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--full", action="store_true", help="verify 256 MiB, too")
    full = parser.parse_args().full
    for line in map(measure_line, SCHEMES):
        print(line)
    for memory in measure_memory(full=full):
        print(memory, f"{memory.ratio:.2f}")


if __name__ == "__main__":
    main()
