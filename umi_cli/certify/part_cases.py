"""Tests of parts of objects: elements, ranges and members, at their edges (protocol 3.3)."""

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import (
    ReadObjectPart,
)
from umi_cli.certify.bench import Bench, describe_result, expect_result
from umi_cli.certify.case import (
    NotApplicable,
    case,
    expect,
    expect_same,
)
from umi_cli.certify.object_cases import CLOCK, open_to_guests, steady
from umi_cli.certify.values import guest_part_of
from umi_cli.objects.definitions import ObjectDefinition
from umi_cli.types import ALL_MEMBERS, TO_END, ObjectPart, UmiCode

_NO_ELEMENT = (ResultCode.UNKNOWN_ELEMENT, ResultCode.INVALID_VALUE)


def _filled_array(bench: Bench, at_least: int = 3) -> tuple[ObjectDefinition, bytes, int]:
    """Return an array with some elements, its value, and the size of one."""
    for definition, value in open_to_guests(bench):
        if definition.kind.is_array and definition.element_size_bytes:
            size = definition.element_size_bytes
            if len(value) >= at_least * size:
                return definition, value, size
    raise NotApplicable(f"no array that guests may read has {at_least} elements")


@case(
    "OBJ-005",
    "an element is that part of the whole",
    clause="4",
    mark="F",
    sends="READ_OBJECT_PART of the first, the second and the last element of an array",
    expects="the bytes that stand at its place in the whole",
    advice="Elements count from 0.",
)
@steady
def _elements(bench: Bench) -> None:
    definition, whole, size = _filled_array(bench)
    for number in (0, 1, len(whole) // size - 1):
        found = guest_part_of(bench, ObjectPart(definition.code, number, number))
        wanted = whole[number * size : (number + 1) * size]
        expect_same(found, wanted, f"element {number} of {definition.name}")


@case(
    "OBJ-006",
    "a range of elements includes its last one",
    clause="1",
    mark="F",
    sends="READ_OBJECT_PART [0:1] and [1:2] of an array",
    expects="two elements each time",
    advice="Both ends of a range are inclusive.",
)
@steady
def _ranges(bench: Bench) -> None:
    definition, whole, size = _filled_array(bench)
    for first in (0, 1):
        found = guest_part_of(bench, ObjectPart(definition.code, first, first + 1))
        wanted = whole[first * size : (first + 2) * size]
        expect_same(found, wanted, f"[{first}:{first + 1}] of {definition.name}")


@case(
    "OBJ-007",
    "0xFFFF as the last element means to the end",
    clause="1",
    mark="F",
    sends="READ_OBJECT_PART [n:] with n two before the end of an array",
    expects="the last two elements",
    advice="0xFFFF is no index: it stands for whatever is the last one now.",
)
@steady
def _to_end(bench: Bench) -> None:
    definition, whole, size = _filled_array(bench)
    count = len(whole) // size
    found = guest_part_of(bench, ObjectPart(definition.code, count - 2, TO_END))
    expect_same(found, whole[-2 * size :], f"[{count - 2}:] of {definition.name}")


@case(
    "OBJ-008",
    "a member of several elements comes from each of them",
    clause="1",
    mark="F",
    sends="READ_OBJECT_PART [0:2]/m of an array of structures, for each member m",
    expects="that member of three elements, one after the other",
    advice="Cut each element by its members, then take the one that was asked for.",
)
@steady
def _members_of_elements(bench: Bench) -> None:
    definition, whole, size = _filled_array(bench)
    if not definition.members:
        raise NotApplicable(f"the elements of {definition.name} have no members")
    at = 0
    for number, member in enumerate(definition.members):
        length = member.type.size_bytes or 0
        found = guest_part_of(bench, ObjectPart(definition.code, 0, 2, number))
        wanted = b"".join(whole[i * size + at : i * size + at + length] for i in range(3))
        expect_same(found, wanted, f"[0:2]/{number} of {definition.name}")
        at += length


@case(
    "OBJ-009",
    "a range past the end is refused, not cut",
    clause="3.3",
    mark="C",
    sends="READ_OBJECT_PART from the last element to one after it",
    expects="UNKNOWN_ELEMENT (6)",
    advice="A shorter value than was asked for is taken for another part.",
)
@steady
def _past_end(bench: Bench) -> None:
    definition, whole, size = _filled_array(bench)
    last = len(whole) // size - 1
    part = ObjectPart(definition.code, last, last + 1)
    bench.refused(ReadObjectPart(part=part), ResultCode.UNKNOWN_ELEMENT)


@case(
    "OBJ-010",
    "a range that runs backwards is refused",
    clause="3.3",
    mark="C",
    sends="READ_OBJECT_PART [2:1]",
    expects="UNKNOWN_ELEMENT (6) or INVALID_VALUE (12)",
    advice="The number of elements would be negative: check before it is multiplied.",
)
def _backwards(bench: Bench) -> None:
    definition, _, _ = _filled_array(bench)
    payload = ReadObjectPart(part=ObjectPart(definition.code, 1, 1)).encode()
    swapped = payload[:4] + b"\x02\x00\x01\x00" + payload[8:]
    message = bench.result_of(
        ReadObjectPart(part=ObjectPart(definition.code, 1, 1)), payload=swapped
    )
    expect_result(message, "READ_OBJECT_PART [2:1]", *_NO_ELEMENT)


@case(
    "OBJ-011",
    "a single value has one element",
    clause="1",
    mark="C",
    sends="READ_OBJECT_PART umi.0.0.0.0[1]",
    expects="UNKNOWN_ELEMENT (6)",
    advice="What is no array has element 0 alone.",
)
def _single(bench: Bench) -> None:
    part = ObjectPart(UmiCode(0), 1, 1)
    bench.refused(ReadObjectPart(part=part), ResultCode.UNKNOWN_ELEMENT)


@case(
    "OBJ-012",
    "a value without members has none",
    clause="1",
    mark="C",
    sends="READ_OBJECT_PART umi.0.0.0.0/1",
    expects="UNKNOWN_MEMBER (5)",
    advice="Member numbers belong to structures.",
)
def _no_members(bench: Bench) -> None:
    part = ObjectPart(UmiCode(0), member=1)
    bench.refused(ReadObjectPart(part=part), ResultCode.UNKNOWN_MEMBER)


@case(
    "OBJ-035",
    "whole objects and parts are the same object",
    clause="1",
    mark="F",
    sends="READ_OBJECT and READ_OBJECT_PART [:] of everything that guests may read",
    expects="the same bytes both ways, or TOO_LONG (8) from a certain length on",
    advice="0 to 0xFFFF with member 0xFF is the whole object.",
)
@steady
def _whole_as_part(bench: Bench) -> None:
    longest, shortest_refused = 0, TO_END
    for definition, whole in open_to_guests(bench):
        if definition.name == CLOCK:
            continue
        payload = ReadObjectPart(part=ObjectPart(definition.code, 0, 0)).encode()
        everything = payload[:4] + b"\x00\x00\xff\xff" + bytes([ALL_MEMBERS])
        command = ReadObjectPart(part=ObjectPart(definition.code, 0, 0))
        message = bench.result_of(command, payload=everything)
        if message.argument == ResultCode.TOO_LONG:
            shortest_refused = min(shortest_refused, len(whole))
            continue
        expect(
            message.argument == ResultCode.OK,
            f"{definition.name}[:] was answered with {describe_result(message)}",
        )
        longest = max(longest, len(whole))
        found = message.payload[-len(whole) :] if whole else b""
        expect_same(found, whole, f"{definition.name}[:]")
    expect(
        longest <= shortest_refused,
        f"[:] of {shortest_refused} bytes is TOO_LONG (8), [:] of {longest} bytes is not",
    )
