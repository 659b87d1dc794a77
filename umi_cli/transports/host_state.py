"""What stands in the way of a port on this host: its owner, other programs, slow drivers.

All of it is read from the file system of Linux; nothing is opened. Elsewhere it is not known.
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC, SYS = Path("/proc"), Path("/sys")
RULES_NAME = "60-umi-probe.rules"
RULE_DIRECTORIES = tuple(
    Path(place) for place in ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d")
)
GRABBERS = ("ModemManager", "brltty")
"""Programs that open every new serial port to see whether it is for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A program that runs."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortAccess:
    """Whether this user may open a device."""

    is_open_to_us: bool
    mode: int
    """The permission bits."""
    group: str | None
    """The group of the device, if it has a name."""
    is_member: bool
    """The user is in that group, by the host's list of groups."""


def access_of(device: str) -> PortAccess | None:
    """Return whether this user may open a device; None if it is not there."""
    import grp
    import pwd

    try:
        status = os.stat(device)
    except OSError:
        return None
    group, is_member = None, False
    with contextlib.suppress(KeyError):
        entry = grp.getgrgid(status.st_gid)
        group = entry.gr_name
        is_member = pwd.getpwuid(os.geteuid()).pw_name in entry.gr_mem
    return PortAccess(
        is_open_to_us=os.access(device, os.R_OK | os.W_OK),
        mode=stat.S_IMODE(status.st_mode),
        group=group,
        is_member=is_member,
    )


def holders_of(device: str, proc: Path = PROC) -> list[Process]:
    """Return the programs that have a device open; only root sees those of other users."""
    real = os.path.realpath(device)
    return [
        Process(pid=pid, name=_name_of(proc, pid))
        for pid in _pids(proc)
        if pid != os.getpid() and real in _open_files(proc / str(pid) / "fd")
    ]


def running(names: Iterable[str], proc: Path = PROC) -> list[Process]:
    """Return the programs of these names that run."""
    wanted = set(names)
    found = (Process(pid=pid, name=_name_of(proc, pid)) for pid in _pids(proc))
    return [process for process in found if process.name in wanted]


def latency_ms(device: str, sys: Path = SYS) -> int | None:
    """Return how long an FTDI chip holds a byte back; None for any other."""
    path = sys / "bus" / "usb-serial" / "devices" / os.path.basename(os.path.realpath(device))
    try:
        return int((path / "latency_timer").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def installed_rules(directories: Iterable[Path] = RULE_DIRECTORIES) -> Path | None:
    """Return where the udev rules for probes are installed; None if they are not."""
    places = (directory / RULES_NAME for directory in directories)
    return next((path for path in places if path.is_file()), None)


def _pids(proc: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for entry in sorted(os.listdir(proc)):
            if entry.isdigit():
                yield int(entry)


def _name_of(proc: Path, pid: int) -> str:
    try:
        return (proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # it has ended meanwhile
        return "?"


def _open_files(directory: Path) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
        for descriptor in os.listdir(directory):
            with contextlib.suppress(OSError):
                found.add(os.readlink(directory / descriptor))
    return found
