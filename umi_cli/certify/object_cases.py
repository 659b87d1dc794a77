"""Tests of the objects against the datasheet: existence, sizes, parts, access (protocol 4, 6.1)."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import (
    NoOperation,
    ReadObject,
    ReadObjectPart,
    ReadObjectReply,
    SetObjectReadAccess,
    WriteObject,
)
from umi_cli.certify.bench import Bench
from umi_cli.certify.case import (
    Failure,
    Need,
    NotApplicable,
    case,
    expect,
    expect_same,
    fail,
    in_hex,
    listed,
)
from umi_cli.certify.reply_cases import decoded
from umi_cli.certify.values import guest_part_of, guest_value_of
from umi_cli.errors import MalformedError
from umi_cli.objects.definitions import ObjectDefinition
from umi_cli.objects.value_types import AnyType
from umi_cli.objects.values import Enumerated
from umi_cli.types import TO_END, ObjectPart, Role, UmiCode

VIRTUAL_BANK = "umi.255.0."
"""What only the virtual meter has (protocol 4)."""
SCAN = 150
CLOCK_SLACK_S = 3
_NO_ELEMENT = (ResultCode.UNKNOWN_ELEMENT, ResultCode.INVALID_VALUE)
CLOCK = "metrology-clock"
_LOGS = ("profile-status", "event-status")
_LIFE_CYCLE, _BLANK = "life-cycle", "blank"


def declared(bench: Bench) -> list[ObjectDefinition]:
    """Return the objects that the datasheet says a device has."""
    return [each for each in bench.catalogue.objects if not str(each.code).startswith(VIRTUAL_BANK)]


def open_to_guests(bench: Bench) -> Iterator[tuple[ObjectDefinition, bytes]]:
    """Return the objects that a guest may read, each with its value; `Failure` if one refuses.

    A value that is too long for a response is asked for in parts.
    """
    for definition in declared(bench):
        if Role.GUEST in definition.read and not definition.secret:
            yield definition, guest_value_of(bench, definition)


def _definition(bench: Bench, code: UmiCode) -> ObjectDefinition:
    return next(each for each in declared(bench) if each.code == code)


def _fixed_size(definition: ObjectDefinition) -> int:
    """Return the size of an element; `NotApplicable` if it varies."""
    size = definition.element_size_bytes
    if not size:
        raise NotApplicable(f"the elements of {definition.name} vary in size")
    return size


def steady(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
    """Have a test run once more if it has failed, and a log has grown meanwhile.

    What was read first is then no longer what there is; the next entry is minutes away.
    """

    @wraps(run)
    def once_more(bench: Bench) -> None:
        before = _logs(bench)
        try:
            run(bench)
        except Failure:
            if _logs(bench) == before:
                raise
            run(bench)

    return once_more


def _logs(bench: Bench) -> list[bytes]:
    """Return the status of each log that the datasheet has, as bytes."""
    names = [name for name in _LOGS if bench.catalogue.has(name)]
    codes = [bench.catalogue.resolve(name).code for name in names]
    return [bench.result_of(ReadObject(code=code)).payload for code in codes]


@case(
    "OBJ-001",
    "every object of the datasheet exists",
    clause="4",
    mark="C",
    sends="READ_OBJECT_PART of one element of each object of the datasheet, as guest",
    expects="a value or ACCESS_DENIED, never UNKNOWN_OBJECT",
    advice="Take the object into the device, or out of the datasheet.",
)
def _exist(bench: Bench) -> None:
    missing = []
    for definition in declared(bench):
        last = 0 if definition.kind.is_array else TO_END
        message = bench.result_of(ReadObjectPart(part=ObjectPart(definition.code, 0, last)))
        if message.argument == ResultCode.UNKNOWN_OBJECT:
            missing.append(f"{definition.code} {definition.name}")
    expect(not missing, f"unknown: {listed(missing)}")


@case(
    "OBJ-002",
    "values are as long as their types say",
    clause="4",
    mark="F",
    sends="READ_OBJECT of everything that guests may read, in parts what is TOO_LONG",
    expects="as many bytes as the datasheet's types need, strings at their fixed length",
    advice="Members stand one after the other without padding between them.",
)
def _sizes(bench: Bench) -> None:
    for definition, value in open_to_guests(bench):
        try:
            definition.type.decode(value, definition.name)
        except MalformedError as error:
            fail(f"{definition.code}, {len(value)} bytes: {error}")


@case(
    "OBJ-003",
    "who may not read an object is refused",
    clause="6.1",
    mark="F",
    sends="READ_OBJECT of everything that guests may not read, as guest",
    expects="ACCESS_DENIED (9)",
    advice="Check the read role set before the value is looked up.",
)
def _denied(bench: Bench) -> None:
    for definition in declared(bench):
        if Role.GUEST not in definition.read:
            bench.refused(ReadObject(code=definition.code), ResultCode.ACCESS_DENIED)


@case(
    "OBJ-004",
    "a member is that part of the whole",
    clause="4",
    mark="F",
    sends="READ_OBJECT_PART of every member of the structures that guests may read",
    expects="the bytes that stand at its place in the whole",
    advice="Members count from 0 in the order of the datasheet.",
)
@steady
def _members(bench: Bench) -> None:
    for definition, _ in open_to_guests(bench):
        if not definition.members or definition.kind.is_array:
            continue
        pieces = [
            guest_part_of(bench, ObjectPart(definition.code, member=number))
            for number in range(len(definition.members))
        ]
        for member, piece in zip(definition.members, pieces, strict=True):
            _expect_size(member.type, piece, f"{definition.name}/{member.name}")
        if definition.name != CLOCK:  # it goes on
            whole = guest_value_of(bench, definition)
            title = f"{definition.name}, joined from its members,"
            expect_same(b"".join(pieces), whole, title)


def _expect_size(kind: AnyType, raw: bytes, title: str) -> None:
    is_fixed = kind.size_bytes is not None
    is_right = len(raw) == kind.size_bytes if is_fixed else len(raw) <= kind.max_bytes
    expect(is_right, f"{title} has {len(raw)} bytes, its type {kind.size_bytes or kind.max_bytes}")


@case(
    "OBJ-013",
    "nothing that the datasheet does not declare can be read by guests",
    clause="4",
    mark="C",
    sends=f"READ_OBJECT of {SCAN} codes: those next to the declared ones, and others by chance",
    expects="no value",
    advice="Objects of the laboratory do not belong into the field: remove or guard them.",
)
def _undeclared(bench: Bench) -> None:
    known = {each.code for each in bench.catalogue.objects}
    found = [
        str(code)
        for code in _codes_to_try(bench)
        if code not in known and bench.result_of(ReadObject(code=code)).argument == ResultCode.OK
    ]
    expect(not found, f"guests read {listed(found)}, which the datasheet does not declare")


def _codes_to_try(bench: Bench) -> list[UmiCode]:
    near = {each.code.value + step for each in declared(bench) for step in (-1, 1, 2)}
    banks = sorted({each.code.value >> 16 << 16 for each in declared(bench)})
    while len(near) < SCAN:
        near.add(bench.random.choice(banks) + bench.random.randrange(1 << 16))
    return [UmiCode(value) for value in sorted(near) if 0 <= value < 1 << 32]


@case(
    "OBJ-014",
    "a secret is never read",
    clause="4",
    mark="C",
    sends="READ_OBJECT and READ_OBJECT_PART of the objects that the datasheet calls secret",
    expects="no value",
    advice="Keys are write-only, in whole and in part, for every role.",
)
def _secrets(bench: Bench) -> None:
    secret = [each for each in bench.catalogue.objects if each.secret]
    if not secret:
        raise NotApplicable("the datasheet has no secret objects")
    for definition in secret:
        commands: tuple[Any, ...] = (
            ReadObject(code=definition.code),
            ReadObjectPart(part=ObjectPart(definition.code, 0, 0)),
        )
        for command in commands:
            message = bench.result_of(command)
            expect(message.argument != ResultCode.OK, f"{command.title} gave a value")


@case(
    "OBJ-015",
    "guests write nothing that they may not write",
    clause="6.1",
    mark="F",
    sends="WRITE_OBJECT of the very value that was read, as guest, where guests may not write",
    expects="ACCESS_DENIED (9)",
    advice="The write role set is another one than the read role set.",
)
def _guest_writes(bench: Bench) -> None:
    if _is_blank(bench):
        raise NotApplicable(
            "the device is blank: a guest is the factory, which writes its identity"
        )
    for definition, value in open_to_guests(bench):
        if Role.GUEST not in definition.write and not definition.kind.is_array:
            command = WriteObject(code=definition.code, value=value)
            bench.refused(command, ResultCode.ACCESS_DENIED)


def _is_blank(bench: Bench) -> bool:
    """Tell whether the device says of itself that nobody has provisioned it."""
    if not bench.catalogue.has(_LIFE_CYCLE):
        return False
    part = bench.catalogue.resolve(_LIFE_CYCLE)
    message = bench.result_of(ReadObject(code=part.code))
    if message.argument != ResultCode.OK:
        return False
    stage = bench.catalogue.decode(part, decoded(ReadObjectReply, message).value)
    return isinstance(stage, Enumerated) and stage.name == _BLANK


@case(
    "OBJ-016",
    "guests do not say who may access an object",
    clause="6.1",
    mark="F",
    sends="SET_OBJECT_READ_ACCESS of umi.1.1.0.0 to what the datasheet declares, as guest",
    expects="ACCESS_DENIED (9)",
    advice="Whoever may change access sets may do everything.",
    needs=(Need.CHANGES,),
)
def _guest_sets_access(bench: Bench) -> None:
    definition = next(each for each in declared(bench) if Role.GUEST in each.read)
    command = SetObjectReadAccess(code=definition.code, roles=definition.read)
    bench.refused(command, ResultCode.ACCESS_DENIED)


def _status_and_table(bench: Bench, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return status and table of a log, agreed on their length; `NotApplicable` if it has none."""
    if not (bench.catalogue.has(f"{name}-status") and bench.catalogue.has(f"{name}-table")):
        raise NotApplicable(f"the datasheet has no {name} log")
    values: list[Any] = []
    for part in (f"{name}-status", f"{name}-table"):
        resolved = bench.catalogue.resolve(part)
        raw = guest_value_of(bench, _definition(bench, resolved.code))
        values.append(bench.catalogue.decode(resolved, raw))
    status, table = values
    expect(
        status["entries"] == len(table),
        f"the status says {status['entries']} entries, the table has {len(table)}",
    )
    return status, table


@case(
    "OBJ-017",
    "the load profile's status tells its table",
    clause="4",
    mark="F",
    sends="READ_OBJECT of profile-status and of profile-table",
    expects="as many entries as the status says, the first of the time that it says",
    advice="Readers ask for elements by the count of the status object.",
)
@steady
def _profile(bench: Bench) -> None:
    status, table = _status_and_table(bench, "profile")
    if table:
        expect(
            status["first_timestamp"] == table[0]["timestamp"],
            f"the status says {status['first_timestamp']}, the table {table[0]['timestamp']}",
        )


@case(
    "OBJ-018",
    "the event log's status tells its table",
    clause="4",
    mark="F",
    sends="READ_OBJECT of event-status and of event-table",
    expects="as many entries as the status says, first and latest of the times that it says",
    advice="Readers ask for elements by the count of the status object.",
)
@steady
def _event_log(bench: Bench) -> None:
    status, table = _status_and_table(bench, "event")
    if table:
        said = (status["first_timestamp"], status["latest_timestamp"])
        found = (table[0]["timestamp"], table[-1]["timestamp"])
        expect(said == found, f"the status says {said}, the table {found}")


@case(
    "OBJ-019",
    "the manufacturer ID is text that people can read",
    clause="4",
    mark="F",
    sends="READ_OBJECT umi.1.1.0.0",
    expects="printable ASCII, padded at its end with 00 or 20; FLAG letters in member 1",
    advice="A label, an optical sign-on and a head end all print it.",
)
def _manufacturer(bench: Bench) -> None:
    raw = bench.request(ReadObject(code=UmiCode.parse("umi.1.1.0.0"))).value
    expect(all(byte == 0 or 0x20 <= byte < 0x7F for byte in raw), f"not printable: {in_hex(raw)}")
    flag = raw[8:11]
    expect(flag.isalpha(), f"the FLAG letters are {flag!r}")


@case(
    "OBJ-020",
    "the clock object and the created time of packets agree",
    clause="4",
    mark="F",
    sends="READ_OBJECT umi.1.1.194.31, then NO_OPERATION",
    expects="a created time within a few seconds of the clock",
    advice="There is one clock: signatures and logs are judged by it.",
)
def _clock(bench: Bench) -> None:
    if not bench.catalogue.has(CLOCK):
        raise NotApplicable("the datasheet has no clock")
    code = bench.catalogue.resolve(CLOCK).code
    begun_s = bench.now_s
    raw = bench.request(ReadObject(code=code)).value
    created_s = bench.result_of(NoOperation()).created_s
    slack_s = CLOCK_SLACK_S + bench.now_s - begun_s
    clock_s = int.from_bytes(raw[:4], "little")
    expect(
        abs(created_s - clock_s) <= slack_s,
        f"the clock says {clock_s}, the packet {created_s}: {created_s - clock_s:+} s",
    )


@case(
    "OBJ-021",
    "the UMI ID is one",
    clause="1",
    mark="F",
    sends="READ_OBJECT umi.0.0.0.0",
    expects="8 bytes, neither all zeros nor all ones",
    advice="A unit without an ID is not provisioned.",
)
def _umi_id(bench: Bench) -> None:
    raw = bench.request(ReadObject(code=UmiCode(0))).value
    expect(len(raw) == 8 and raw not in (bytes(8), b"\xff" * 8), f"it is {in_hex(raw)}")
