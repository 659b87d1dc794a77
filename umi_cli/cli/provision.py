"""`umi provision`: the factory line: run a plan, see how far it is, account for it."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli.base import group
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.params import SECONDS
from umi_cli.errors import ConflictError, InputError, SomeFailedError, UnitFailedError
from umi_cli.output.render import Table, View, timestamp

if TYPE_CHECKING:
    from umi_cli.device.credentials import Credentials
    from umi_cli.device.meter import Meter
    from umi_cli.provision.journal import Journal, UnitState
    from umi_cli.provision.line import Line
    from umi_cli.provision.plan import Plan
    from umi_cli.provision.station import Outcome

RUN = """\
umi provision run plan.toml --journal line3.journal --stations opto:/dev/ttyUSB0,opto:/dev/ttyUSB1
umi provision run plan.toml --journal postgresql://factory@db/line3 --stations tcp:192.0.2.7:4059
umi provision run plan.toml --journal line3.journal --dry-run
"""
STATUS = """\
umi provision status --journal line3.journal
umi provision status --journal line3.journal --json
"""
EXPORT = """\
umi provision export --journal line3.journal -o csv
umi provision export --journal postgresql://factory@db/line3 --json
"""
VERIFY = """\
umi provision verify --journal line3.journal
umi provision verify --journal line3.journal --head "$KEPT"
"""
EXAMPLES = "".join(text.splitlines(keepends=True)[0] for text in (RUN, STATUS, EXPORT, VERIFY))
WAIT_S = 30.0

JOURNAL = click.option(
    "--journal", "url", metavar="URL", required=True, help="A file, or postgresql://HOST/DATABASE"
)
OPERATOR = click.option("--operator", metavar="NAME", help="Who works; default: this user")


@group(examples=EXAMPLES)
def provision() -> None:
    """Run a factory line, and account for it."""


@provision.command(examples=RUN, lacks=("raw",))
@click.argument("plan_path", metavar="PLAN", type=click.Path(path_type=Path))
@JOURNAL
@OPERATOR
@click.option("--stations", metavar="ADDRESS,...", help="One process each; default: --port")
@click.option("--station-name", metavar="NAME", help="Of a single station, in the journal")
@click.option("--wait", type=SECONDS, default="30", help="How long to wait for the next unit")
@pass_app
def run(
    app: App,
    plan_path: Path,
    url: str,
    operator: str | None,
    stations: str | None,
    station_name: str | None,
    wait: float,
) -> None:
    """Take unit after unit through a plan; what was cut goes on where it was.

    The plan is checked whole before anything moves. Each unit makes its own key pair, is given a
    serial number and a UMI ID that nobody else has, its certificate, and the rest of the plan. A
    unit that fails is put in quarantine with its reason.
    """
    from umi_cli.cli.provision_line import line_of
    from umi_cli.provision.plan import load_plan
    from umi_cli.transports.address import Address

    addresses = [each for each in (stations or app.settings.port or "").split(",") if each]
    plan = load_plan(plan_path)
    line = line_of(app, plan)
    if app.settings.dry_run:
        app.emit({"plan": plan.name, "units": plan.count, "valid": True}, _plan_view(plan))
        return
    if not addresses:
        raise InputError("no station is named", hint="add --stations ADDRESS,..., or -p ADDRESS")
    for address in addresses:
        Address.parse(address)
    operator = operator or getpass.getuser()
    if len(addresses) > 1:
        from umi_cli.cli.provision_stations import run_stations

        counts = run_stations(app, plan_path, url, operator, addresses, wait)
    else:
        name = station_name or addresses[0]
        with _opened(app, url, name, operator, create=True) as journal:
            counts = _work(app, line, journal, addresses[0], wait)
    _conclude(app, counts)


@provision.command(
    examples="umi provision resume plan.toml --journal line3.journal -p auto", lacks=("raw",)
)
@click.pass_context
def resume(ctx: click.Context, /, **options: Any) -> None:
    """Go on with a line that was cut: as run, for each unit goes on where it was."""
    ctx.invoke(run, **options)


# The same words: whoever resumes repeats the command that was cut.
resume.params = [*run.params]


def _plan_view(plan: "Plan") -> View:
    rows = {
        "plan": plan.name,
        "units": plan.count,
        "serial numbers": "..".join(plan.identity.serials),
        "UMI IDs": "..".join(map(str, plan.identity.umi_ids)),
        "writes": len(plan.writes),
        "tests": len(plan.tests),
        "image": plan.image and plan.image.name,
        "lock": "yes" if plan.locks else "no",
    }
    return View(blocks=[Table.pairs({name: value for name, value in rows.items() if value})])


def _work(
    app: App, line: "Line", journal: "Journal", address: str, wait_s: float
) -> dict[str, int]:
    """Work at one station until the plan's units are done or no other is put in."""
    from umi_cli.cli.provision_line import uploader
    from umi_cli.provision.run import UnitRun
    from umi_cli.provision.station import Station
    from umi_cli.transports.base import SystemClock

    @contextmanager
    def connect(credentials: "Credentials | None") -> "Iterator[Meter]":
        from umi_cli.connecting import connect as open_device

        settings = app.settings
        with (
            app.traced(address) as trace,
            open_device(
                address,
                datasheet=settings.datasheet,
                timeout_s=settings.timeout_s,
                retries=settings.retries,
                umi_id=line.station.certificate.body.subject,
                credentials=credentials,
                trace=trace,
            ) as meter,
        ):
            yield meter

    def tell(unit: str, step: str) -> None:
        app.event("step", unit=unit, step=step)

    def make_run() -> UnitRun:
        return UnitRun(line, journal, connect, uploader(app, line), tell)

    station = Station(make_run, journal, connect, SystemClock(), wait_s)
    counts = {"done": 0, "failed": 0, "conflict": 0, "interrupted": 0}
    for outcome in station.work(lambda: journal.count_done() >= line.plan.count):
        counts[outcome.kind] += 1
        _tell_unit(app, outcome)
    return counts


def _tell_unit(app: App, outcome: "Outcome") -> None:
    """Print the label line of a unit, or why it is none."""
    result, error = outcome.result, outcome.error
    record: dict[str, Any] = {
        "outcome": outcome.kind,
        "unit": result.unit if result else None,
        "serial": result.serial if result else None,
        "umi_id": result.umi_id if result else None,
        "certificate": result.certificate if result else None,
        "error": None if error is None else {"code": error.code, "message": str(error)},
    }
    app.event("unit", **record)
    if error is not None:
        app.warn(f"{outcome.kind}: {error}" + (f" ({error.hint})" if error.hint else ""))
    else:
        app.note(f"done: {record['serial']} {record['umi_id']} {record['certificate']}")


def _conclude(app: App, counts: dict[str, int]) -> None:
    app.emit(counts, View(blocks=[Table.pairs({k: str(v) for k, v in counts.items()})]))
    bad = counts["failed"] + counts["conflict"] + counts["interrupted"]
    if bad and counts["done"]:
        raise SomeFailedError(
            f"{bad} of {bad + counts['done']} units are not done",
            hint="see why with: umi provision status --journal URL",
        )
    if counts["conflict"] == bad > 0:
        raise ConflictError(
            "every unit was provisioned already, or is in quarantine",
            hint="see which with: umi provision status --journal URL",
        )
    if bad:
        raise UnitFailedError(
            "no unit is done", hint="see why with: umi provision status --journal URL"
        )


@contextmanager
def _opened(
    app: App, url: str, station: str, operator: str, *, create: bool
) -> "Iterator[Journal]":
    from umi_cli import __version__
    from umi_cli.provision.journal import open_journal

    with open_journal(
        url, station=station, operator=operator, tool=__version__, create=create, warn=app.warn
    ) as journal:
        yield journal


@contextmanager
def _read(app: App, url: str) -> "Iterator[Journal]":
    """Open a journal that must be there, to read."""
    with _opened(app, url, "desk", getpass.getuser(), create=False) as journal:
        yield journal


COLUMNS = ("unit", "status", "serial", "umi_id", "station", "reason")


@provision.command(examples=STATUS)
@JOURNAL
@pass_app
def status(app: App, url: str) -> None:
    """Show where each unit stands."""
    with _read(app, url) as journal:
        records = [_record(state) for state in journal.units()]
    table = Table(columns=COLUMNS, rows=[[each[name] for name in COLUMNS] for each in records])
    app.emit(records, View(blocks=[table], csv=table))


def _record(state: "UnitState") -> dict[str, Any]:
    return {
        "unit": state.unit,
        "status": state.status.value,
        "serial": state.values.get("serial"),
        "umi_id": state.values.get("umi-id"),
        "certificate_serial": state.values.get("certificate-serial"),
        "steps": sorted(state.done),
        "station": state.station or None,
        "reason": state.reason,
    }


@provision.command(
    examples="umi provision release key-1f09 --journal line3.journal --reason mended",
    lacks=("raw",),
)
@click.argument("unit")
@JOURNAL
@OPERATOR
@click.option("--reason", required=True, metavar="TEXT", help="What was done about it")
@pass_app
def release(app: App, unit: str, url: str, operator: str | None, reason: str) -> None:
    """Let a unit in quarantine go on."""
    with _opened(app, url, "desk", operator or getpass.getuser(), create=False) as journal:
        if not app.settings.dry_run:
            journal.release(unit, reason)
        record = _record(journal.state(unit))
    app.emit(record, View(blocks=[Table.pairs({k: str(v) for k, v in record.items() if v})]))


EXPORTED = ("number", "time", "station", "operator", "tool", "unit", "step", "phase", "data")


@provision.command(examples=EXPORT)
@JOURNAL
@pass_app
def export(app: App, url: str) -> None:
    """Export every entry of a journal, for an audit: JSON with --json, a table with -o csv."""
    import json

    with _read(app, url) as journal:
        records = [
            {
                "number": entry.number,
                "time": timestamp(entry.time, timespec="microseconds"),
                "station": entry.station,
                "operator": entry.operator,
                "tool": entry.tool,
                "unit": entry.unit,
                "step": entry.step,
                "phase": entry.phase.value,
                "data": dict(entry.data),
                "digest": entry.digest.hex(),
            }
            for entry in journal.entries()
        ]
    rows = [
        [json.dumps(each[name]) if name == "data" else each[name] for name in EXPORTED]
        for each in records
    ]
    table = Table(columns=EXPORTED, rows=rows)
    app.emit(records, View(blocks=[table], csv=table))


@provision.command(examples=VERIFY)
@JOURNAL
@click.option("--head", metavar="N:DIGEST", help="What the head was once, kept elsewhere")
@pass_app
def verify(app: App, url: str, head: str | None) -> None:
    """Walk the whole chain of a journal, and print its head, to be kept elsewhere or signed."""
    from umi_cli.provision.journal import Head

    wanted: Head | None = None if head is None else Head.parse(head)
    with _read(app, url) as journal:
        found = journal.verify(wanted)
    record = {"valid": True, "entries": found.number, "head": str(found)}
    app.emit(record, View(blocks=[Table.pairs({"entries": found.number, "head": str(found)})]))
