"""A long image takes no more memory than a short one, whatever is done with it."""

import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import environment

MIB = 1 << 20
LONG_BYTES, SHORT_BYTES = 64 * MIB, MIB
MARGIN_BYTES = 24 * MIB  # what an allocator may keep; the image itself would be more than twice it

# The peak of this process alone: what fork and exec hand on of the parent's is not in VmHWM.
CODE = """
import resource, sys
from pathlib import Path
from umi_cli.cli.main import run

LABEL = "--model big --version 1.0.0 --target-min 1 --target-max 9"
for line in (
    f"image build image.bin app.umi {LABEL}",
    "image sign app.umi --out signed.umi --key own.pem --role software-provider",
    "image sign app.umi --tbs app.tbs --role software-provider",
    "image sign app.umi --out mac.umi --scheme 1 --role manufacturer --key role.key",
    "image encrypt signed.umi sealed.umi --transport-key role.key --transport-key-id 1",
    "image encrypt mac.umi mac-sealed.umi --transport-key role.key --transport-key-id 1",
    f"image build --product signed.umi sealed.umi all.umi {LABEL}",
    "image show all.umi",
    "image verify mac-sealed.umi --scheme 1 --role manufacturer --key role.key"
    " --decrypt-key role.key",
):
    assert run(line.split()) == 0, line
status = Path("/proc/self/status")
if status.exists():
    [peak] = [line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line]
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(int(peak) * 1024, file=sys.stderr)
"""
KEYS = """
from umi_cli.cli.main import run

assert run(["key", "new", "own.pem"]) == run(["key", "new", "role.key", "--type", "aes128"]) == 0
"""


def start(code: str, directory: Path) -> str:
    """Run code in a process of its own; return the last line that it wrote to stderr."""
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stderr.rpartition("\n")[0].rpartition("\n")[2]


def peak_bytes(directory: Path, image_bytes: int) -> int:
    directory.mkdir()
    with (directory / "image.bin").open("wb") as file:
        file.truncate(image_bytes)  # sparse
    start(KEYS, directory)
    return int(start(CODE, directory))


def test_memory_does_not_grow_with_the_image(tmp_path: Path) -> None:
    short = peak_bytes(tmp_path / "short", SHORT_BYTES)
    long = peak_bytes(tmp_path / "long", LONG_BYTES)
    assert long - short < MARGIN_BYTES
