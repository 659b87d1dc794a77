"""Can the ports of this host be used? Nothing is opened, and nothing is sent."""

from collections.abc import Iterator
from pathlib import Path

from umi_cli.cli.doctor_check import Check, fail, note, ok, warning
from umi_cli.errors import PortBusyError, PortPermissionError
from umi_cli.transports import host_state, hosts

MAX_LATENCY_MS = 1  # what the udev rules set; the driver begins with 16
_RULES_ADVICE = "install them: umi ports --udev | sudo tee /etc/udev/rules.d/60-umi-probe.rules"


def port_checks() -> Iterator[Check]:
    """Check the serial ports, and what stands between them and umi."""
    ports = hosts.serial_ports()
    if not ports:
        yield note("serial ports", "none", "plug the probe in; it shows in: umi ports")
    for port in ports:
        yield from _serial(port)
    has_probe = any(port.probe for port in ports)
    yield _rules(has_probe=has_probe)
    yield _grabbers(has_probe=has_probe)
    yield from _spi()
    yield from _gpio()


def _serial(port: hosts.SerialPort) -> Iterator[Check]:
    name = f"port {port.path}"
    holders = host_state.holders_of(port.device)
    access = host_state.access_of(port.device)
    if holders:
        said = f"{port.device} is held by {', '.join(map(str, holders))}"
        yield (warning if port.probe else note)(name, said, PortBusyError.default_hint)
    elif access is None or access.is_open_to_us:
        what = " ".join(filter(None, (port.usb, port.product, port.probe))) or "no USB adapter"
        yield ok(name, f"{port.device}: {what}")
    elif port.probe:
        yield fail(name, _no_permission(port.device, access))
    else:
        yield note(name, f"{port.device} is not for this user", _join(access))
    yield from _latency(port)


def _no_permission(device: str, access: host_state.PortAccess) -> PortPermissionError:
    owner = f", group {access.group}" if access.group else ""
    return PortPermissionError(
        f"this user may not open {device} (mode {access.mode:04o}{owner})", hint=_join(access)
    )


def _join(access: host_state.PortAccess) -> str:
    """Return how a user gets the rights of a device's group."""
    if access.is_member:
        return f"log in again: the group {access.group} is new to this session"
    if access.group in (None, "root"):
        return _RULES_ADVICE
    return f"sudo usermod -aG {access.group} $USER, then log in again"


def _latency(port: hosts.SerialPort) -> Iterator[Check]:
    latency_ms = host_state.latency_ms(port.device)
    if latency_ms is not None and latency_ms > MAX_LATENCY_MS:
        found = f"the driver holds each byte back for {latency_ms} ms"
        yield note(f"latency {port.path}", f"{found}; umi asks for less", _RULES_ADVICE)


def _rules(*, has_probe: bool) -> Check:
    path = host_state.installed_rules()
    if path is None:
        say = warning if has_probe else note
        return say("udev rules", "those for probes are not installed", _RULES_ADVICE)
    if path.read_bytes() != _own_rules():
        return note("udev rules", f"{path} is not as umi ships it now", _RULES_ADVICE)
    return ok("udev rules", str(path))


def _own_rules() -> bytes:
    return (Path(__file__).parents[1] / "share" / host_state.RULES_NAME).read_bytes()


def _grabbers(*, has_probe: bool) -> Check:
    """Tell of programs that open every new port; the rules keep them away from probes."""
    found = host_state.running(host_state.GRABBERS)
    name = "other programs"
    if not found:
        return ok(name, f"none of {', '.join(host_state.GRABBERS)} runs")
    said = f"{', '.join(map(str, found))} may open a probe that is plugged in"
    if host_state.installed_rules() is not None:
        return ok(name, f"{said}; the udev rules keep it away")
    return (warning if has_probe else note)(name, said, _RULES_ADVICE)


def _spi() -> Iterator[Check]:
    buses = hosts.spi_buses()
    if not buses:
        advice = "on a Raspberry Pi: sudo raspi-config nonint do_spi 0"
        yield note("SPI", "no bus that programs may use", advice)
    for bus in buses:
        yield _device(f"SPI {bus.address}", bus.device)


def _gpio() -> Iterator[Check]:
    chips = hosts.gpio_chips()
    if not chips:
        yield note("GPIO", "no chip")
    for chip in chips:
        yield _device(f"GPIO {chip.device}", chip.device, f"{chip.label}, {chip.lines} lines")


def _device(name: str, device: str, what: str = "") -> Check:
    access = host_state.access_of(device)
    if access is None or access.is_open_to_us:
        return ok(name, what or device)
    return note(name, f"this user may not open {device}", _join(access))
