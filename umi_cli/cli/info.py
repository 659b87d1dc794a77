"""`umi info`: who a device is, what it runs, its clock and its security, on one screen."""

from typing import TYPE_CHECKING, Any

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.standing import standing_record, standing_rows
from umi_cli.output.render import Table, View, cell

if TYPE_CHECKING:
    from umi_cli.device.info import Info
    from umi_cli.objects.catalogue import Catalogue

EXAMPLES = """\
umi -p sim info
umi -p tcp:192.0.2.7:4059 info --json
"""


@command(examples=EXAMPLES)
@pass_app
def info(app: App) -> None:
    """Show who a device is, what it runs, and its security."""
    from umi_cli.device.info import read_info

    with app.connect() as meter:
        found = read_info(meter)
        data = _data(found, meter.catalogue)
    for section, error in found.refused.items():
        app.note(f"{section}: {error}")
    app.emit(data, View(blocks=_blocks(found, data)))


def _data(found: "Info", catalogue: "Catalogue") -> dict[str, Any]:
    """Return what `--json` prints."""
    from umi_cli.objects.values import to_json

    objects: dict[str, Any] = {name: to_json(value) for name, value in found.objects.items()}
    clock = objects.get("clock")
    return {
        "device": found.device_id,
        **{name: objects.get(name) for name in ("identity", "software")},
        "clock": None
        if clock is None
        else {**clock, "host": found.host_time, "difference_s": found.clock_difference_s},
        **{name: objects.get(name) for name in ("profile", "events", "life_cycle")},
        "security": standing_record(found.standing),
        "link": {"own": found.addresses[0], "device": found.addresses[1]},
        "datasheet": {"name": catalogue.datasheet.name, "sha256": catalogue.datasheet.sha256},
        "refused": {name: error.name for name, error in found.refused.items()},
    }


def _blocks(found: "Info", data: dict[str, Any]) -> list[Table]:
    identity, software = data["identity"] or {}, data["software"] or {}
    version = ".".join(str(software.get(part, "?")) for part in ("major", "minor", "bugfix"))
    rows = {
        "device": cell(found.device_id),
        "manufacturer": " ".join(filter(None, map(identity.get, ("manufacturer", "model")))),
        "serial number": identity.get("serial"),
        "factory": identity.get("factory"),
        "software": f"{version} {software.get('details', '')}".strip() if software else None,
        "life cycle": (data["life_cycle"] or {}).get("name"),
        "clock": _clock(data["clock"]),
        "profile": _count(data["profile"]),
        "events": _count(data["events"]),
        **standing_rows(found.standing),
        "link": f"we are {found.addresses[0]}, the device is {found.addresses[1]}",
        "datasheet": data["datasheet"]["name"],
    }
    return [Table.pairs({name: value for name, value in rows.items() if value})]


def _clock(clock: dict[str, Any] | None) -> str | None:
    if clock is None or clock["difference_s"] is None:
        return None
    difference_s = clock["difference_s"]
    side = "ahead of" if difference_s > 0 else "behind"
    against = f"{abs(difference_s)} s {side} this host" if difference_s else "as this host's"
    return f"{clock['now']} ({against})"


def _count(status: dict[str, Any] | None) -> str | None:
    if status is None:
        return None
    entries, first = status["entries"], status["first_timestamp"]
    return f"{entries} {'entry' if entries == 1 else 'entries'}{f' since {first}' if first else ''}"
