"""Where a device is: the text of an address, taken apart (cli.md, Addresses)."""

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from umi_cli.errors import InputError

KINDS = ("sim", "tcp", "tcp-listen", "serial", "opto", "auto", "spi")
_PORT = re.compile(r"(?P<rest>.*)/(?P<port>\d{1,4})", re.ASCII)
_SERIAL = re.compile(r"(?P<device>.+?)(?:@(?P<baud>\d{1,9})(?:/(?P<port>\d{1,4}))?)?", re.ASCII)
# Of all devices only a pseudo-terminal's own path ends in a number: /dev/pts/3.
_OPTO = re.compile(r"(?P<device>.+?)(?:(?<!/pts)/(?P<port>\d{1,4}))?", re.ASCII)
_SPI = re.compile(r"(?P<target>\d{1,3}\.\d{1,3}|sim(?:[:?].*?)?)(?:/(?P<port>\d{1,4}))?", re.ASCII)
_BARE = re.compile(r"(?P<kind>sim|auto)(?P<rest>(?:/\d{1,4})?(?:\?.*)?)", re.ASCII)
_TCP = re.compile(r"(?:(?P<host>[^\[\]:/]+|\[[^\[\]]+\]):)?(?P<number>\d{1,5})", re.ASCII)
DEFAULT_BAUD = 9600
_PROBE_OPTIONS = ("v", "y", "wakeup", "echo", "parity", "baud", "switch-delay", "device")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "tcp": (),
    "tcp-listen": ("wait",),
    "serial": (),
    "opto": _PROBE_OPTIONS,
    "auto": _PROBE_OPTIONS,
    "spi": ("int", "rst", "vdd", "hvdd", "cs", "hz", "mode", "order", "power", "host"),
}
_NETWORK_URLS = ("socket://", "rfc2217://")
_FOREIGN_KINDS = ("serial", "opto", "spi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address, taken apart."""

    text: str
    """As the user wrote it."""
    kind: str
    """One of `KINDS`."""
    target: str = ""
    """State file, host or serial device; empty where there is none."""
    number: int = 0
    """TCP port or baud rate."""
    port: int | None = None
    """Link address of another port of the Host, 1..15; None is whoever answers."""
    options: dict[str, str] = field(default_factory=dict)
    """What stands behind `?`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an address.

        Raises:
            InputError: it has no form that an address has.
        """
        kind, _, rest = text.strip().partition(":")
        if match := _BARE.fullmatch(text.strip()):  # sim/2, auto?y=7
            kind, rest = match["kind"], match["rest"]
        if kind not in KINDS:
            raise InputError(
                f"{text!r} is no address of a device",
                hint="write sim, opto:DEVICE, auto, spi:BUS.DEVICE, serial:DEVICE@BAUD,"
                " tcp:HOST:PORT or tcp-listen:PORT",
            )
        rest, query = _split_query(kind, rest)
        options = _options(kind, query, text)
        target, number, port = _PARSERS[kind](rest, text)
        if port is not None and not 0 <= port <= 15:
            raise InputError(f"{text!r}: a Host has the ports 1 to 15")
        return cls(text=text, kind=kind, target=target, number=number, port=port, options=options)


def _split_query(kind: str, rest: str) -> tuple[str, str]:
    """Return what stands before and behind `?`.

    In a URL of pyserial, or behind a head on the virtual meter, it may belong there: what is no
    option of ours stays.
    """
    before, _, query = rest.partition("?")
    is_foreign = "://" in rest or before.partition(":")[0] == "sim"
    if kind not in _FOREIGN_KINDS or not is_foreign:
        return before, query
    ours: list[str] = []
    own: list[str] = []
    for item in filter(None, query.split("&")):
        is_ours = item.partition("=")[0] in _OPTIONS[kind]
        (ours if is_ours else own).append(item)
    return before + ("?" + "&".join(own) if own else ""), "&".join(ours)


def _options(kind: str, query: str, text: str) -> dict[str, str]:
    """Return what stands behind `?`, each once."""
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs):
        names = [name for name, _ in pairs]
        twice = ", ".join(sorted({name for name in names if names.count(name) > 1}))
        raise InputError(f"{text!r} says {twice} more than once", hint="leave one of them")
    _check_options(kind, options, text)
    return options


def _check_options(kind: str, options: dict[str, str], text: str) -> None:
    known = _OPTIONS.get(kind)  # the virtual meter checks its own
    unknown = sorted(set(options) - set(known or ()))
    if known is not None and unknown:
        raise InputError(
            f"{text!r}: {kind}: has no option {', '.join(unknown)}",
            hint=f"its options are {', '.join(known)}" if known else "it has none",
        )


def _parse_sim(rest: str, text: str) -> tuple[str, int, int | None]:
    if rest.startswith("/") and (match := _PORT.fullmatch(rest)) and not match["rest"]:
        return "", 0, int(match["port"])
    return rest, 0, None


def parse_host_and_port(text: str) -> tuple[str, int]:
    """Parse `HOST:PORT`, `[IPV6]:PORT`, or a port alone on this host; port 0 is any free one.

    Raises:
        InputError: it has another form, or the port is past 65535.
    """
    match = _TCP.fullmatch(text)
    if match is None or int(match["number"]) >= 1 << 16:
        raise InputError(f"{text!r} is no host and port", hint="write 127.0.0.1:4059")
    # Callers from other hosts are let in only where the user says so.
    return (match["host"] or "127.0.0.1").strip("[]"), int(match["number"])


def _parse_tcp(rest: str, text: str) -> tuple[str, int, int | None]:
    address, port = _split_port(rest)
    host, number = parse_host_and_port(address)
    if ":" not in address or number == 0:
        raise InputError(f"{text!r} names no host and port", hint="write tcp:HOST:PORT")
    return host, number, port


def _parse_listen(rest: str, text: str) -> tuple[str, int, int | None]:
    address, port = _split_port(rest)
    return *parse_host_and_port(address), port


def _parse_serial(rest: str, text: str) -> tuple[str, int, int | None]:
    match = _SERIAL.fullmatch(rest)
    if match is None:
        raise InputError(f"{text!r} names no device", hint="write serial:/dev/ttyUSB0@9600")
    baud = int(match["baud"] or DEFAULT_BAUD)
    if baud == 0:
        raise InputError(f"{text!r} has no rate", hint="write serial:/dev/ttyUSB0@9600")
    _check_url(match["device"], text)
    return match["device"], baud, int(match["port"]) if match["port"] else None


def _check_url(device: str, text: str) -> None:
    """Make sure that a URL of pyserial that leads over the network says where to."""
    if not device.startswith(_NETWORK_URLS):
        return
    try:
        parts = urlsplit(device)
        is_whole = bool(parts.hostname and parts.port)
    except ValueError:  # the port is no number, or past 65535
        is_whole = False
    if not is_whole:
        scheme = device.partition(":")[0]
        raise InputError(f"{text!r} names no host and port", hint=f"write {scheme}://HOST:PORT")


def _parse_opto(rest: str, text: str) -> tuple[str, int, int | None]:
    match = _OPTO.fullmatch(rest)
    if match is None:
        raise InputError(f"{text!r} names no device", hint="write opto:/dev/ttyUSB0, or auto")
    _check_url(match["device"], text)
    return match["device"], 0, int(match["port"]) if match["port"] else None


def _parse_spi(rest: str, text: str) -> tuple[str, int, int | None]:
    match = _SPI.fullmatch(rest)
    if match is None:
        raise InputError(f"{text!r} names no SPI bus", hint="write spi:0.0?int=LINE&rst=LINE")
    return match["target"], 0, int(match["port"]) if match["port"] else None


def _parse_auto(rest: str, text: str) -> tuple[str, int, int | None]:
    if rest and not (match := _PORT.fullmatch(rest)):
        raise InputError(f"{text!r} names a device", hint="write opto:DEVICE, or auto alone")
    return "", 0, int(match["port"]) if rest and match else None


def _split_port(rest: str) -> tuple[str, int | None]:
    match = _PORT.fullmatch(rest)
    return (match["rest"], int(match["port"])) if match else (rest, None)


_PARSERS = {
    "sim": _parse_sim,
    "tcp": _parse_tcp,
    "tcp-listen": _parse_listen,
    "serial": _parse_serial,
    "opto": _parse_opto,
    "auto": _parse_auto,
    "spi": _parse_spi,
}
