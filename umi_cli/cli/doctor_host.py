"""Is this host fit? Python and its packages, the clock, the settings, the places to write in."""

import os
import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from umi_cli import __version__
from umi_cli.cli.doctor_check import Check, attempt, fail, note, ok, warning
from umi_cli.errors import install_hint

if TYPE_CHECKING:
    from umi_cli.cli.context import App

PACKAGES = ("click", "cryptography", "pyserial", "tabulate")
EXTRAS = {
    "spi": ("spidev", "SPI buses"),
    "gpio": ("gpiod", "GPIO lines"),
    "hsm": ("pkcs11", "keys in a token"),
    "postgres": ("psycopg", "a factory's journal in a database"),
}
"""By extra: the module that it brings, and what for."""
# choice: older than this version of umi can be, so the clock was never set.
_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
_ADJTIMEX_BYTES = 256  # struct timex has 208
_TIME_ERROR = 5  # linux/timex.h: the clock is not synchronised
_ZONE = "Europe/London"


def host_checks(app: "App") -> Iterator[Check]:
    """Check the host."""
    yield ok("python", f"{platform.python_version()} at {sys.executable}")
    yield ok("umi", f"{__version__} at {Path(__file__).parents[1]}")
    yield from map(_package, PACKAGES)
    yield from (_extra(extra, *what) for extra, what in EXTRAS.items())
    yield _clock(datetime.now(UTC))
    yield _synchronised()
    yield _zones()
    yield _configuration(app)
    if app.settings_fault is None:
        yield attempt("host ports", lambda: _host_ports(app))
    yield _directory("settings directory", _settings_directory(app))
    yield _directory("state directory", _state_directory(app))
    yield from _uploads(_state_directory(app))


def _package(name: str) -> Check:
    from importlib import metadata

    try:
        return ok(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return note(name, "no record of its installation", "install umi again with: pip install .")


def _extra(extra: str, module: str, purpose: str) -> Check:
    from importlib.util import find_spec

    name = f"extra {extra}"
    if find_spec(module) is None:
        return note(name, f"{module} is not installed; it is for {purpose}", install_hint(extra))
    return ok(name, f"{module} is installed")


def _clock(now: datetime) -> Check:
    found = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    if now < _EARLIEST:
        advice = "set it, for certificates are not valid yet: sudo date -u -s 2026-11-22T10:00:00Z"
        return warning("clock", f"{found}, so nobody has set it", advice)
    return ok("clock", found)


def _synchronised() -> Check:
    is_synchronised = _kernel_says_synchronised()
    if is_synchronised is None:
        return note("clock source", "not known on this host")
    if is_synchronised:
        return ok("clock source", "the kernel says that it is synchronised")
    return note(
        "clock source",
        "nobody synchronises the clock, as far as the kernel knows",
        "before umi clock sync: sudo timedatectl set-ntp true",
    )


def _kernel_says_synchronised() -> bool | None:
    if sys.platform != "linux":
        return None
    import ctypes

    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_ADJTIMEX_BYTES))
    return None if state < 0 else bool(state != _TIME_ERROR)


def _zones() -> Check:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(_ZONE)
    except (ZoneInfoNotFoundError, OSError):
        found = "none, so --tz knows UTC alone"
        return warning("time zones", found, "install them with: pip install tzdata")
    return ok("time zones", "there")


def _configuration(app: "App") -> Check:
    from umi_cli.cli.settings import load_document

    if app.settings_fault is not None:
        return fail("configuration", app.settings_fault)
    path = _configuration_path(app)
    profiles = load_document(path, is_required=False).get("profile", {})
    if not os.path.exists(path):
        return ok("configuration", f"{path} is not there, and need not be")
    return ok("configuration", f"{path}; profiles: {', '.join(sorted(profiles)) or 'none'}")


def _configuration_path(app: "App") -> str:
    from umi_cli.cli.settings import user_config

    named = app.given.get("config") or app.environment.get("UMI_CONFIG")
    return named or user_config(app.environment)


def _host_ports(app: "App") -> str:
    ports = app.host_config.ports
    return ", ".join(f"{each.number}: {each.address.text}" for each in ports.values()) or "none"


def _settings_directory(app: "App") -> Path:
    from umi_cli.cli.settings import user_config

    return Path(user_config(app.environment)).parent


def _state_directory(app: "App") -> Path:
    from umi_cli.cli.image_upload import state_directory

    return state_directory(app.environment)


def _directory(name: str, path: Path) -> Check:
    """Check that files can be made in a directory, which need not be there yet."""
    there = path
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return ok(name, f"{path}" + ("" if there == path else " is made when it is needed"))
    found = f"{there} cannot be written in, so {path} cannot be used"
    return warning(
        name, found, "make it yours, or name another with XDG_CONFIG_HOME, XDG_STATE_HOME"
    )


def _uploads(directory: Path) -> Iterator[Check]:
    """Tell of uploads that have stopped on their way."""
    from umi_cli.device.upload_journal import unfinished

    for upload in unfinished(directory):
        yield note(
            "unfinished upload",
            f"to {upload.device}, stopped at block {upload.next_number} of its package",
            "go on with it: umi image upload with the same package",
        )
