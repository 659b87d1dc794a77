"""Tests of what a role may do with the objects, and of writes (protocol 3.2, 6.1)."""

from typing import Any

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import (
    GetObjectAccess,
    ReadObjectPart,
    WriteObject,
)
from umi_cli.certify.bench import Bench, named, result_of
from umi_cli.certify.case import Need, NotApplicable, case, expect, expect_same
from umi_cli.certify.object_cases import declared
from umi_cli.certify.values import value_of
from umi_cli.objects.definitions import ObjectDefinition
from umi_cli.types import TO_END, ObjectPart


@case(
    "OBJ-030",
    "access sets are as the datasheet declares them",
    clause="6.1",
    mark="C",
    sends="GET_OBJECT_ACCESS of every object, in the role that we can prove",
    expects="the read and write role sets of the datasheet",
    advice="A device may change them; as delivered they are those of the datasheet.",
    needs=(Need.CREDENTIALS,),
)
def _access_sets(bench: Bench) -> None:
    with bench.secured() as meter:
        for definition in declared(bench):
            reply = meter.session.request(GetObjectAccess(code=definition.code))
            found, wanted = (
                (reply.read_roles, reply.write_roles),
                (definition.read, definition.write),
            )
            expect(
                found == wanted,
                f"{definition.name}: read {found[0]}, write {found[1]}"
                f" instead of {wanted[0]}, {wanted[1]}",
            )


@case(
    "OBJ-031",
    "a role reads what it may, and nothing else",
    clause="6.1",
    mark="F",
    sends="READ_OBJECT_PART of one element of every object, in the role that we can prove",
    expects="a value where the role is in the read set, ACCESS_DENIED (9) elsewhere",
    advice="The role is the one of the session, not the one that was asked for last.",
    needs=(Need.CREDENTIALS,),
)
def _role_reads(bench: Bench) -> None:
    with bench.secured() as meter:
        for definition in declared(bench):
            part = ObjectPart(definition.code, 0, 0 if definition.kind.is_array else TO_END)
            code = result_of(meter, ReadObjectPart(part=part))
            is_allowed = bench.role in definition.read
            fits = _ALLOWED if is_allowed else _DENIED
            expect(code in fits, f"{definition.name} as {bench.role.label}: {named(code)}")


_DENIED = (ResultCode.ACCESS_DENIED,)
# An empty array has no element 0; a structure may be too long for a response.
_ALLOWED = (ResultCode.OK, ResultCode.UNKNOWN_ELEMENT, ResultCode.TOO_LONG)


def _writable(bench: Bench, meter: Any) -> tuple[ObjectDefinition, bytes]:
    """Return a structure that our role may read and write, and its value now."""
    for definition in declared(bench):
        is_ours = bench.role in definition.read and bench.role in definition.write
        is_plain = definition.members and not definition.kind.is_array and not definition.signed
        if is_ours and is_plain and "control" not in definition.name:
            return definition, value_of(meter.session.request, definition)
    raise NotApplicable(f"no structure may be read and written as {bench.role.label}")


@case(
    "OBJ-032",
    "what was written is read back, and nothing else has changed",
    clause="3.2",
    mark="F",
    sends="WRITE_OBJECT_PART of one member with another value; then the old one again",
    expects="the new value at its place, all else as it was; then the old value",
    advice="A part that is written must not touch the members beside it.",
    needs=(Need.CREDENTIALS, Need.CHANGES),
)
def _write_member(bench: Bench) -> None:
    with bench.secured() as meter:
        definition, before = _writable(bench, meter)
        member = len(definition.members) - 1
        size = definition.members[member].type.size_bytes or 0
        start = sum(each.type.max_bytes for each in definition.members[:member])
        old = before[start : start + size]
        new = bytes([old[0] ^ 1]) + old[1:]
        part = ObjectPart(definition.code, member=member)
        meter.write(part, new)
        try:
            now = value_of(meter.session.request, definition)
            wanted = before[:start] + new + before[start + size :]
            expect_same(now, wanted, f"{definition.name}, written at {part},")
        finally:
            meter.write(part, old)
        after = value_of(meter.session.request, definition)
        expect(after == before, f"{definition.name} is not what it was before")


@case(
    "OBJ-033",
    "a value of a wrong length is refused, and changes nothing",
    clause="3.3",
    mark="F",
    sends="WRITE_OBJECT with a byte less and a byte more than the type has",
    expects="INVALID_LENGTH (11), and the old value",
    advice="Compare the length with the type before the first byte is stored.",
    needs=(Need.CREDENTIALS, Need.CHANGES),
)
def _wrong_length(bench: Bench) -> None:
    with bench.secured() as meter:
        definition, before = _writable(bench, meter)
        for value in (before[:-1], before + b"\x00"):
            code = result_of(meter, WriteObject(code=definition.code, value=value))
            now = value_of(meter.session.request, definition)
            if now != before:
                meter.write(ObjectPart(definition.code), before)
            expect(code == ResultCode.INVALID_LENGTH, f"{len(value)} bytes: {named(code)}")
            expect(now == before, f"the refused write changed {definition.name}")


@case(
    "OBJ-034",
    "a role does not write what it may only read",
    clause="6.1",
    mark="F",
    sends="WRITE_OBJECT of the very value that was read, where our role may not write",
    expects="ACCESS_DENIED (9)",
    advice="Read and write role sets are two sets.",
    needs=(Need.CREDENTIALS,),
)
def _role_writes(bench: Bench) -> None:
    with bench.secured() as meter:
        for definition in declared(bench):
            is_read_only = bench.role in definition.read and bench.role not in definition.write
            if not is_read_only or definition.kind.is_array:
                continue
            value = value_of(meter.session.request, definition)
            code = result_of(meter, WriteObject(code=definition.code, value=value))
            expect(code in _DENIED, f"{definition.name} as {bench.role.label}: {named(code)}")
