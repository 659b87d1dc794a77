"""What goes into the bundle of `umi doctor`: enough to help, and nothing that gives somebody away.

Keys and passphrases are never read for it. Serial numbers and UMI IDs become digests under a key
that nobody keeps, so that two places that name the same thing still do, and no list of serial
numbers leads back.
"""

import hashlib
import json
import os
import platform
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umi_cli import __version__
from umi_cli.errors import InputError, UmiError
from umi_cli.output.render import to_plain

if TYPE_CHECKING:
    from umi_cli.cli.context import App
    from umi_cli.cli.settings import Settings

_DIGEST_BYTES = 6
_MIN_SERIAL = 4  # a shorter one names nobody, and stands in every other word
_UMI_ID = re.compile(r"(?<![0-9A-Fa-f])[0-9A-F]{16}(?![0-9A-Fa-f])", re.ASCII)
_ABOUT = """\
What umi doctor --bundle has gathered on this host, for a report of a fault.

{files}

Not in it: keys, passphrases, PINs, certificates, exports, journals, and what any device holds.
{identity}
"""
_HASHED = "Serial numbers and UMI IDs are digests under a key that was thrown away."
_PLAIN = "Serial numbers and UMI IDs are in it, as --with-identity asked."
_WHAT = {
    "doctor.json": "the checks, as umi doctor --json prints them",
    "version.json": "the versions of umi, Python, its packages and the system",
    "settings.json": "the settings that hold, without secrets",
    "datasheet.json": "name and SHA-256 of the datasheet",
    "ports.json": "the ports of this host, and the udev rules for probes",
}


class Redactor:
    """What stands in for what nobody else is to see; the same for the same, in one bundle.

    Args:
        identities: serial numbers that are known; UMI IDs are found by their form.
        home: the user's directory, whose name says who it is.
        is_open: leave identities as they are.
    """

    def __init__(self, identities: Iterable[str], home: str, *, is_open: bool) -> None:
        self._key = secrets.token_bytes(32)
        known = {each for each in identities if len(each) >= _MIN_SERIAL}
        self._identities = sorted(known, key=len, reverse=True)
        self._home = home
        self._is_open = is_open

    def text(self, text: str) -> str:
        """Return a text without what gives somebody away."""
        if len(self._home) > 1:
            text = text.replace(self._home, "~")
        if self._is_open:
            return text
        for identity in self._identities:
            text = text.replace(identity, self._digest(identity))
        return _UMI_ID.sub(lambda found: self._digest(found[0]), text)

    def record(self, value: Any) -> Any:
        """Return JSON data with every text in it redacted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.record(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.record(item) for item in value]
        return value

    def _digest(self, identity: str) -> str:
        raw = hashlib.blake2b(identity.encode(), key=self._key, digest_size=_DIGEST_BYTES)
        return f"hashed-{raw.hexdigest()}"


def write_bundle(
    app: "App", path: str, doctor: Mapping[str, Any], *, with_identity: bool
) -> list[str]:
    """Write the bundle, and return the names of what is in it.

    Raises:
        InputError: it cannot be written.
    """
    from umi_cli.files import PRIVATE_MODE, write_atomically

    ports = _ports()
    serials = [each["serial"] for each in ports["serial"] if each["serial"]]
    redactor = Redactor(serials, os.path.expanduser("~"), is_open=with_identity)
    records = {
        "doctor.json": doctor,
        "version.json": _versions(),
        "settings.json": _settings(app.settings, app.environment),
        "datasheet.json": _datasheet(app),
        "ports.json": ports,
    }
    listed = "\n".join(f"{name}: {_WHAT[name]}" for name in records)
    about = _ABOUT.format(files=listed, identity=_PLAIN if with_identity else _HASHED)
    texts = {"README.txt": about} | {
        name: json.dumps(redactor.record(to_plain(record)), indent=1) + "\n"
        for name, record in records.items()
    }
    try:
        write_atomically(Path(path), _zipped(texts), mode=PRIVATE_MODE)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return list(texts)


def _zipped(texts: Mapping[str, str]) -> bytes:
    import io
    import zipfile

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return file.getvalue()


def _versions() -> dict[str, Any]:
    from importlib import metadata

    from umi_cli.cli.doctor_host import PACKAGES

    known = {each.metadata["Name"] for each in metadata.distributions()}
    return {
        "umi": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": {name: metadata.version(name) for name in PACKAGES if name in known},
    }


def _settings(settings: "Settings", environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings, and which variables set some; of secrets only of what kind they are."""
    plain = ("datasheet", "scheme", "timeout_s", "retries", "form", "no_input", "yes", "dry_run")
    return {
        **{name: getattr(settings, name) for name in plain},
        "port": _address(settings.port),
        "role": settings.role.label if settings.role else None,
        "umi_id": settings.umi_id,
        "key": _source(settings.key),
        "passphrase": _source(settings.passphrase),
        "cert": settings.cert,
        "anchors": settings.anchors,
        "pin": settings.pin,
        "variables": sorted(name for name in environment if name.startswith("UMI_")),
    }


def _address(port: str | None) -> str | None:
    """Return an address without its options, of which some of a virtual meter name keys."""
    return port if port is None else port.partition("?")[0] + ("?..." if "?" in port else "")


def _source(source: str | None) -> str | None:
    """Return of what kind the source of a secret is; where it is says nothing to others."""
    from umi_cli.cli.sources import parse_source

    if source is None:
        return None
    if source.startswith("pkcs11:"):
        return "pkcs11"
    try:
        return parse_source(source).kind.value
    except UmiError:
        return "unusable"


def _datasheet(app: "App") -> dict[str, Any]:
    try:
        sheet = app.catalogue.datasheet
    except UmiError as error:
        return {"name": app.settings.datasheet, "error": str(error)}
    return {"name": sheet.name, "sha256": sheet.sha256, "banks": sheet.banks}


def _ports() -> dict[str, Any]:
    from dataclasses import asdict

    from umi_cli.transports import host_state, hosts

    rules = host_state.installed_rules()
    return {
        "serial": [asdict(port) for port in hosts.serial_ports()],
        "spi": [asdict(bus) for bus in hosts.spi_buses()],
        "gpio": [asdict(chip) for chip in hosts.gpio_chips()],
        "udev_rules": None
        if rules is None
        else rules.read_text(encoding="utf-8", errors="replace"),
    }
