"""Which ports a Host has: the `[host]` table of the user's configuration file.

::

    [host]
    state = "/home/me/host.json"        # optional: where the Host's own objects are kept

    [host.port.2]                       # link address 1 to 15
    address = "spi:0.1?int=GPIO25&rst=GPIO24&vdd=GPIO23"
    authenticate = true                 # optional: forward only from who has authenticated
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from umi_cli.cli.settings import load_document, user_config
from umi_cli.errors import InputError

if TYPE_CHECKING:
    from umi_cli.transports.address import Address

MAX_PORT = 15
_HOST_KEYS = {"state", "port"}
_PORT_KEYS = {"address", "authenticate"}
_HINT = 'write [host.port.2] with address = "spi:0.0?int=LINE&rst=LINE&vdd=LINE"'


@dataclass(frozen=True, slots=True, kw_only=True)
class PortConfig:
    """One port of a Host."""

    number: int
    """Link address, 1..15."""
    address: "Address"
    """Where its pins are."""
    wants_authentication: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """A Host."""

    state: str | None = None
    ports: Mapping[int, PortConfig] = field(default_factory=dict)
    """By number."""


def host_config(config: str | None, environment: Mapping[str, str]) -> HostConfig:
    """Return the Host that the configuration file describes; one without ports if none.

    Raises:
        InputError: the file is missing or wrong.
    """
    path = config or user_config(environment)
    table = load_document(path, is_required=config is not None).get("host", {})
    ports = table.get("port", {}) if isinstance(table, dict) else None
    if not isinstance(ports, dict) or set(table) - _HOST_KEYS:
        raise InputError(f"{path}: [host] is not understood", hint=_HINT)
    state = table.get("state")
    if not isinstance(state, str | None):
        raise InputError(f"{path}: host.state is no file name")
    found = (_port(f"{path}: host.port.{name}", name, entry) for name, entry in ports.items())
    return HostConfig(state=state, ports={port.number: port for port in found})


def parse_attachment(text: str) -> PortConfig:
    """Parse `2=spi:0.1?…`, a port's number and address.

    Raises:
        InputError: it has no such form.
    """
    number, _, address = text.partition("=")
    return _port(repr(text), number, {"address": address})


def _port(place: str, name: str, entry: Any) -> PortConfig:
    from umi_cli.transports.address import Address

    if name not in map(str, range(1, MAX_PORT + 1)):
        raise InputError(f"{place} is no port of a Host: they are 1 to {MAX_PORT}", hint=_HINT)
    if not isinstance(entry, dict) or set(entry) - _PORT_KEYS or "address" not in entry:
        raise InputError(f"{place} is not understood", hint=_HINT)
    if not isinstance(entry.get("authenticate", False), bool):
        raise InputError(f"{place}.authenticate is true or false")
    try:
        address = Address.parse(str(entry["address"]))
    except InputError as error:
        raise InputError(f"{place}: {error}", hint=error.hint) from error
    if address.kind != "spi":
        raise InputError(f"{place}: {address.text} is no port with pins", hint=_HINT)
    return PortConfig(
        number=int(name),
        address=address,
        wants_authentication=entry.get("authenticate", False),
    )
