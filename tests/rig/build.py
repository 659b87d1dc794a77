"""Where does the shim come from? It is compiled once for each state of its source, and kept."""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-U_FORTIFY_SOURCE")
LIBRARIES = ("-ldl", "-lpthread")
HEADERS = "#include <linux/gpio.h>\n#include <linux/spi/spidev.h>\nint x = GPIO_V2_LINES_MAX;\n"
OLDEST_GPIOD = 2


class NoCompilerError(Exception):
    """The shim cannot be compiled here."""


@cache
def why_not() -> str:
    """Say what the rig lacks on this machine: the reason of a skipped test, or nothing."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return "the rig needs a 64-bit Linux"
    for module in ("spidev", "gpiod"):
        try:
            version = importlib.metadata.version(module)
        except importlib.metadata.PackageNotFoundError:
            return f"{module} is not installed"
        if module == "gpiod" and int(version.partition(".")[0]) < OLDEST_GPIOD:
            return f"gpiod {version} is older than {OLDEST_GPIOD}"
    try:
        shim()
    except NoCompilerError as error:
        return str(error)
    return ""


@cache
def shim() -> Path:
    """Return the shared library, and compile it if it has not been yet.

    Raises:
        NoCompilerError: there is no C compiler, or it lacks the kernel's headers.
        RuntimeError: the compiler refuses the source.
    """
    state = (
        SOURCE.read_bytes(),
        *map(str.encode, (*FLAGS, platform.machine(), *platform.libc_ver())),
    )
    library = _cache() / f"shim-{hashlib.sha256(b'|'.join(state)).hexdigest()[:16]}.so"
    if not library.exists():
        _compile(library)
    return library


def _cache() -> Path:
    """Return a directory that no other user can write to."""
    path = Path(tempfile.gettempdir()) / f"umi-rig-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022 or path.is_symlink():
        raise RuntimeError(f"{path} is open to others; remove it")
    return path


def _compile(library: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NoCompilerError("no C compiler (gcc) was found")
    probe = [compiler, "-x", "c", "-fsyntax-only", "-"]
    if subprocess.run(probe, input=HEADERS, text=True, capture_output=True, check=False).returncode:
        raise NoCompilerError("the headers of C and of Linux were not found")
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        made = Path(scratch) / library.name
        command = [compiler, *FLAGS, "-o", str(made), str(SOURCE), *LIBRARIES]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{compiler} refused {SOURCE}:\n{done.stderr}")
        made.replace(library)  # at once: other workers may be compiling it too
