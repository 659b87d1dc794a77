"""What a factory line does to each unit: a plan in TOML, checked whole before anything moves.

A complete example; paths are seen from the plan's own directory::

    schema = "umi-plan/1"
    name = "G4, line 3"

    [units]
    count = 200                     # or: csv = "units.csv", a row a unit: serial, umi_id

    [identity]
    umi_ids = "00237EFE00010000..00237EFE0001FFFF"
    serials = "10000000..10099999"
    model = "EISGMv0"
    manufacturer = "ELS"
    factory = "0025"

    [authority]                     # issues the units' certificates
    key = "authority.pem"           # where the key is: a path, pkcs11:…, env:NAME …
    chain = "authority.cvc"         # its own certificate first, then upwards, without the anchor
    anchor = "root.cvc"
    role = "metering-device"
    days = 3650

    [station]                       # what the line proves itself with once a unit has its chain
    key = "station.pem"
    cert = "station.cvc"            # role manufacturer

    [trust]                         # optional: whose certificates each unit is handed
    certificates = ["office.cvc"]

    [[write]]                       # optional, any number, in this order
    object = "wan-configuration/primary_host"
    value = "head-end.example"

    [[access]]                      # optional
    object = "valve"
    read = ["all"]
    write = ["service"]

    [image]                         # optional: loaded where another version runs
    file = "signed.umi"

    [[test]]                        # optional: what must be read at the end
    object = "valve"
    equals = "open"

    [end]
    lock = true
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from umi_cli.errors import InputError
from umi_cli.objects.toml_table import Table, read_file
from umi_cli.types import Role, RoleSet, UmiId

T = TypeVar("T")
Fault = Callable[[str, str], InputError]
"""Returns the error of a key, with file and line; takes the key and what is wrong."""
SCHEMA = "umi-plan/1"
MAX_UNITS = 1_000_000
MAX_DAYS = 36_500
_RANGE = ".."


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityTerms:
    """What the units are called."""

    umi_ids: tuple[UmiId, UmiId]
    """First and last."""
    serials: tuple[str, str]
    """First and last: digits, as many in both."""
    model: str
    manufacturer: str
    factory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityTerms:
    """Who issues the units' certificates, and on what terms."""

    key: str
    """Where the key is."""
    chain: Path
    anchor: Path
    role: Role
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWrite:
    """An object that is written."""

    object: str
    value: str
    """As `umi write` takes it."""
    fault: Fault = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAccess:
    """Role sets that are set; None leaves one as it is."""

    object: str
    read: RoleSet | None
    write: RoleSet | None
    fault: Fault = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTest:
    """A value that must be read."""

    object: str
    equals: str
    fault: Fault = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a line does to each unit."""

    name: str
    source: Path
    count: int
    """How many units."""
    given: tuple[Mapping[str, str], ...]
    """What a CSV says of each unit: `serial`, `umi_id`; none if the plan has no CSV."""
    identity: IdentityTerms
    authority: AuthorityTerms
    station_key: str
    station_cert: Path
    trusted: tuple[Path, ...]
    writes: tuple[PlannedWrite, ...]
    accesses: tuple[PlannedAccess, ...]
    image: Path | None
    tests: tuple[PlannedTest, ...]
    locks: bool
    fault: Fault = field(repr=False, compare=False)
    """Of a key of the table `identity`."""
    image_fault: Fault = field(repr=False, compare=False)
    """Of a key of the table `image`."""


def load_plan(path: Path) -> Plan:
    """Load a plan and check its form; files and objects that it names are not looked at.

    Raises:
        InputError: it cannot be read, or something in it is wrong, with file, line and key.
    """
    table = Table.load(read_file(path, "plan"), file=str(path))
    if table.text("schema") != SCHEMA:
        raise table.fault("schema", f"{SCHEMA!r} is expected")
    plan = _parse(table, path)
    table.end()
    return plan


def _parse(table: Table, path: Path) -> Plan:
    names = table.table("identity")
    identity = _identity(names)
    count, given = _units(table.table("units"), path.parent, identity)
    station = table.table("station")
    trust, image, end = table.table("trust"), table.table("image"), table.table("end")
    plan = Plan(
        name=table.text("name"),
        source=path,
        count=count,
        given=given,
        identity=identity,
        authority=_authority(table.table("authority"), path.parent),
        station_key=_beside(path.parent, station.text("key")),
        station_cert=path.parent / station.text("cert"),
        trusted=tuple(path.parent / name for name in trust.texts("certificates", ())),
        writes=tuple(map(_write, table.tables("write"))),
        accesses=tuple(map(_access, table.tables("access"))),
        image=path.parent / image.text("file") if table.has("image") else None,
        tests=tuple(map(_test, table.tables("test"))),
        locks=end.boolean("lock", default=False),
        fault=names.fault,
        image_fault=image.fault,
    )
    for each in (station, trust, image, end):
        each.end()
    return plan


def _identity(table: Table) -> IdentityTerms:
    first, last = _range(table, "umi_ids", UmiId.parse)
    serials = _range(table, "serials", str)
    if not all(text.isascii() and text.isdigit() for text in serials):
        raise table.fault("serials", "digits are expected, such as 10000000..10099999")
    if len(serials[0]) != len(serials[1]) or serials[0] > serials[1]:
        raise table.fault("serials", "the last one is not above the first, or has other digits")
    if first.value > last.value:
        raise table.fault("umi_ids", "the last one is not above the first")
    terms = IdentityTerms(
        umi_ids=(first, last),
        serials=serials,
        model=table.text("model"),
        manufacturer=table.text("manufacturer"),
        factory=table.text("factory"),
    )
    table.end()
    return terms


def _range(table: Table, key: str, parse: Callable[[str], T]) -> tuple[T, T]:
    first, separator, last = table.text(key).partition(_RANGE)
    if not separator:
        raise table.fault(key, "a range is expected, FIRST..LAST")
    try:
        return parse(first.strip()), parse(last.strip())
    except InputError as error:
        raise table.fault(key, str(error)) from error


def _units(
    table: Table, directory: Path, identity: IdentityTerms
) -> tuple[int, tuple[Mapping[str, str], ...]]:
    name = table.optional_text("csv")
    if name is None:
        count, given = table.number("count", low=1, high=MAX_UNITS), ()
        table.end()
        _check_room(table, count, identity)
        return count, given
    table.end()
    rows = tuple(_rows(table, directory / name))
    return len(rows), rows


def _check_room(table: Table, count: int, identity: IdentityTerms) -> None:
    first, last = identity.umi_ids
    room = {
        "UMI IDs": last.value - first.value + 1,
        "serial numbers": int(identity.serials[1]) - int(identity.serials[0]) + 1,
    }
    for what, size in room.items():
        if size < count:
            raise table.fault("count", f"{count} units, and the plan has {size} {what}")


def _rows(table: Table, path: Path) -> Iterator[Mapping[str, str]]:
    """Yield the units of a CSV; a value that stands twice is refused."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise table.fault("csv", f"{path} cannot be read: {error}") from error
    seen: set[tuple[str, str]] = set()
    reader = csv.DictReader(io.StringIO(text))
    columns = set(reader.fieldnames or ())
    if "serial" not in columns or columns - {"serial", "umi_id"}:
        raise table.fault("csv", f"{path}: the columns are serial, and umi_id if they are listed")
    for number, row in enumerate(reader, start=2):
        try:
            values = _given(row)
        except InputError as error:
            raise table.fault("csv", f"{path}, line {number}: {error}") from error
        for pair in values.items():
            if pair in seen:
                raise table.fault("csv", f"{path}, line {number}: {pair[0]} stands twice")
            seen.add(pair)
        yield values
    if not seen:
        raise table.fault("csv", f"{path}: there is no unit in it")


def _given(row: Mapping[str | None, str | None]) -> Mapping[str, str]:
    """Return what a row of a CSV says of a unit; `InputError` if that cannot be."""
    if None in row or None in row.values():
        raise InputError("there are more or fewer values than columns")
    values = {str(key): (value or "").strip() for key, value in row.items()}
    serial = values["serial"]
    if not (serial.isascii() and serial.isdigit()):
        raise InputError(f"the serial number {serial!r:.60} is not of digits")
    if "umi_id" in values:
        values["umi_id"] = str(UmiId.parse(values["umi_id"]))
    return values


def _authority(table: Table, directory: Path) -> AuthorityTerms:
    try:
        role = Role.parse(table.text("role", Role.METERING_DEVICE.label))
    except InputError as error:
        raise table.fault("role", str(error)) from error
    terms = AuthorityTerms(
        key=_beside(directory, table.text("key")),
        chain=directory / table.text("chain"),
        anchor=directory / table.text("anchor"),
        role=role,
        days=table.number("days", low=1, high=MAX_DAYS, default=3650),
    )
    table.end()
    return terms


def _beside(directory: Path, source: str) -> str:
    """Return a source of a secret; a plain path is seen from the plan's directory."""
    return source if ":" in source or source in ("-", "prompt") else str(directory / source)


def _write(table: Table) -> PlannedWrite:
    planned = PlannedWrite(
        object=table.text("object"), value=table.text("value"), fault=table.fault
    )
    table.end()
    return planned


def _access(table: Table) -> PlannedAccess:
    def roles(key: str) -> RoleSet | None:
        if not table.has(key):
            return None
        try:
            return RoleSet.parse(",".join(table.texts(key)))
        except InputError as error:
            raise table.fault(key, str(error)) from error

    planned = PlannedAccess(
        object=table.text("object"), read=roles("read"), write=roles("write"), fault=table.fault
    )
    table.end()
    return planned


def _test(table: Table) -> PlannedTest:
    planned = PlannedTest(
        object=table.text("object"), equals=table.text("equals"), fault=table.fault
    )
    table.end()
    return planned
