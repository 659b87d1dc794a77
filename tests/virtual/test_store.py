"""Objects of the virtual meter: who may touch them, and every edge of an object part."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.virtual.bench import Bench
from umi_cli.application.codes import ResultCode
from umi_cli.objects.composites import Member, Structure
from umi_cli.objects.definitions import Kind, ObjectDefinition
from umi_cli.objects.type_text import parse_type
from umi_cli.types import ALL_MEMBERS, TO_END, ObjectPart, Role, RoleSet, UmiCode
from umi_cli.virtual.refusal import Refusal
from umi_cli.virtual.store import Access, ObjectStore

OK = ResultCode.OK
EVERYONE = RoleSet.everyone()
LOG = UmiCode.parse("umi.1.7.0.1")
RECORD = UmiCode.parse("umi.1.7.0.2")
NUMBERS = UmiCode.parse("umi.1.7.0.3")
TEXT = UmiCode.parse("umi.1.7.0.4")
PAIR = Structure(
    members=(
        Member(name="a", title="A", type=parse_type("u8")),
        Member(name="b", title="B", type=parse_type("u16")),
    )
)
TAILED = Structure(
    members=(*PAIR.members, Member(name="c", title="C", type=parse_type("ascii[<=4]")))
)


def store(limit: int | None = None) -> ObjectStore:
    """An array of pairs, a structure with a tail, an array of numbers, and a text."""
    kinds = [
        (LOG, Kind.ARRAY_OF_STRUCTURES, PAIR, limit),
        (RECORD, Kind.STRUCTURE, TAILED, None),
        (NUMBERS, Kind.ARRAY, parse_type("u16"), limit),
        (TEXT, Kind.VALUE, parse_type("ascii[<=4]"), None),
    ]
    return ObjectStore(
        ObjectDefinition(
            code=code,
            name=f"object-{code.value & 0xFF}",
            title="",
            kind=kind,
            element=element,
            max_elements=limit,
            write=EVERYONE,
        )
        for code, kind, element, limit in kinds
    )


@dataclass
class Outcome:
    """The bytes of a read, or its refusal."""

    value: bytes | None = None
    code: ResultCode = field(default=OK)


def read(objects: ObjectStore, part: ObjectPart) -> Outcome:
    try:
        return Outcome(objects.read(part, Role.GUEST))
    except Refusal as refusal:
        return Outcome(code=refusal.code)


def write(
    objects: ObjectStore, part: ObjectPart, value: bytes, role: Role = Role.GUEST
) -> ResultCode:
    before = dict(objects.values)
    try:
        objects.write(part, value, role)
    except Refusal as refusal:
        assert objects.values == before  # a refused write changes nothing
        return refusal.code
    return OK


elements = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 0xFFFF)), max_size=6)
numbers = st.integers(0, 8) | st.sampled_from([TO_END - 1, TO_END])
members = st.integers(0, 3) | st.sampled_from([ALL_MEMBERS - 1, ALL_MEMBERS])


def raw(pairs: list[tuple[int, int]]) -> bytes:
    return b"".join(bytes([a]) + b.to_bytes(2, "little") for a, b in pairs)


def expected_part(pairs: list[tuple[int, int]], part: ObjectPart) -> Outcome:
    """What a part of a list of pairs is, by the words of protocol 1 and 3.3."""
    if part.member not in (0, 1, ALL_MEMBERS):
        is_gone = part.first not in range(len(pairs)) and not part.is_every_element
        code = ResultCode.UNKNOWN_ELEMENT if is_gone else ResultCode.UNKNOWN_MEMBER
        return Outcome(code=code)
    last = len(pairs) - 1 if part.last == TO_END else part.last
    if not part.is_every_element and not part.first <= last < len(pairs):
        return Outcome(code=ResultCode.UNKNOWN_ELEMENT)
    wanted = pairs[part.first : last + 1]
    if part.member == 0:
        return Outcome(bytes(a for a, _ in wanted))
    if part.member == 1:
        return Outcome(b"".join(b.to_bytes(2, "little") for _, b in wanted))
    return Outcome(raw(wanted))


@given(elements, numbers, numbers, members)
def test_reading_any_part_of_an_array(
    pairs: list[tuple[int, int]], first: int, last: int, member: int
) -> None:
    """Every part gives the bytes of its elements and members, or says which of them is missing."""
    objects = store()
    objects.values[LOG] = raw(pairs)
    part = ObjectPart(LOG, first, last, member)
    found, expected = read(objects, part), expected_part(pairs, part)
    if expected.code in (ResultCode.UNKNOWN_MEMBER, ResultCode.UNKNOWN_ELEMENT):
        # where both are missing, either may be named
        assert found.code in (ResultCode.UNKNOWN_MEMBER, ResultCode.UNKNOWN_ELEMENT)
        assert found.value is None
    else:
        assert found == expected


@given(elements, numbers, numbers, members, st.binary(max_size=20))
def test_writing_any_part_of_an_array(
    pairs: list[tuple[int, int]], first: int, last: int, member: int, value: bytes
) -> None:
    """What was taken reads back from the same elements, and no other element has changed."""
    objects = store()
    objects.values[LOG] = before = raw(pairs)
    part = ObjectPart(LOG, first, last, member)
    if write(objects, part, value) is not OK:
        return
    after = objects.values[LOG]
    assert len(after) % 3 == 0
    if member != ALL_MEMBERS:
        assert len(after) == len(before)
        assert read(objects, part) == Outcome(value)
    elif last == TO_END:
        assert after == before[: 3 * first] + value
    else:
        assert after == before[: 3 * first] + value + before[3 * (last + 1) :]
        assert len(value) == 3 * (last + 1 - first)


@pytest.mark.parametrize(
    ("part", "value", "code"),
    [
        (ObjectPart(LOG), raw([(1, 2), (3, 4)]), OK),
        (ObjectPart(LOG), b"", OK),
        (ObjectPart(LOG), b"\x01", ResultCode.INVALID_LENGTH),
        (ObjectPart(LOG, 0, 0), raw([(7, 7)]), OK),
        (ObjectPart(LOG, 2, 2), raw([(7, 7)]), OK),
        (ObjectPart(LOG, 3, 3), raw([(7, 7)]), OK),  # the next one: the array grows
        (ObjectPart(LOG, 2, 4), raw([(7, 7)] * 3), OK),
        (ObjectPart(LOG, 4, 4), raw([(7, 7)]), ResultCode.UNKNOWN_ELEMENT),
        (ObjectPart(LOG, 1, TO_END), raw([(7, 7)]), OK),  # to the end: what was behind is gone
        (ObjectPart(LOG, 3, TO_END), raw([(7, 7)]), OK),
        (ObjectPart(LOG, 4, TO_END), raw([(7, 7)]), ResultCode.UNKNOWN_ELEMENT),
        (ObjectPart(LOG, TO_END, TO_END), raw([(7, 7)]), ResultCode.UNKNOWN_ELEMENT),
        (ObjectPart(LOG, 2, 1), b"", ResultCode.UNKNOWN_ELEMENT),
        (ObjectPart(LOG, 0, 1), raw([(7, 7)]), ResultCode.INVALID_LENGTH),
        (ObjectPart(LOG, 0, 0), raw([(7, 7)]) + b"\x00", ResultCode.INVALID_LENGTH),
        (ObjectPart(LOG, 0, TO_END, 1), b"\x01\x02" * 3, OK),
        (ObjectPart(LOG, 1, 1, 1), b"\x01\x02", OK),
        (ObjectPart(LOG, 3, 3, 1), b"\x01\x02", ResultCode.UNKNOWN_ELEMENT),
        (ObjectPart(LOG, 1, 1, 2), b"\x01", ResultCode.UNKNOWN_MEMBER),
        (ObjectPart(LOG, 1, 1, 1), b"\x01", ResultCode.INVALID_LENGTH),
        (ObjectPart(LOG, 0, 1, 0), b"\x01\x02\x03", ResultCode.INVALID_LENGTH),
        (ObjectPart(RECORD), b"\x01\x02\x03abcd", OK),
        (ObjectPart(RECORD), b"\x01\x02\x03", OK),
        (ObjectPart(RECORD), b"\x01\x02", ResultCode.INVALID_LENGTH),
        (ObjectPart(RECORD), b"\x01\x02\x03abcde", ResultCode.INVALID_LENGTH),
        (ObjectPart(RECORD, 0, 0), b"\x01\x02\x03a", OK),
        (ObjectPart(RECORD, 0, 1), b"\x01\x02\x03a", ResultCode.UNKNOWN_ELEMENT),
        (ObjectPart(RECORD, 1, TO_END), b"\x01\x02\x03a", ResultCode.UNKNOWN_ELEMENT),
        (ObjectPart(RECORD, member=0), b"\x09", OK),
        (ObjectPart(RECORD, member=1), b"\x09", ResultCode.INVALID_LENGTH),
        (ObjectPart(RECORD, member=2), b"", OK),
        (ObjectPart(RECORD, member=2), b"abcd", OK),
        (ObjectPart(RECORD, member=2), b"abcde", ResultCode.INVALID_LENGTH),
        (ObjectPart(RECORD, member=3), b"", ResultCode.UNKNOWN_MEMBER),
        (ObjectPart(TEXT), b"abcd", OK),
        (ObjectPart(TEXT), b"abcde", ResultCode.INVALID_LENGTH),
        (ObjectPart(TEXT, member=0), b"a", ResultCode.UNKNOWN_MEMBER),
        (ObjectPart(UmiCode(9)), b"", ResultCode.UNKNOWN_OBJECT),
    ],
    ids=repr,
)
def test_writing_at_the_edges(part: ObjectPart, value: bytes, code: ResultCode) -> None:
    """First, last, member, growth and 0xFFFF, each with the right and the wrong length."""
    objects = store()
    objects.values[LOG] = raw([(1, 10), (2, 20), (3, 30)])
    assert write(objects, part, value) is code
    if code is OK:
        assert read(objects, part) == Outcome(value)


@pytest.mark.parametrize("part", [ObjectPart(LOG, member=0), ObjectPart(LOG, member=1)])
def test_writing_a_member_of_no_element(part: ObjectPart) -> None:
    """An empty array has no members to write: bytes for them are not dropped in silence."""
    assert write(store(), part, b"") is OK
    assert write(store(), part, b"\x01\x02") is ResultCode.INVALID_LENGTH
    assert read(store(), part) == Outcome(b"")
    assert read(store(), ObjectPart(LOG, member=2)).code is ResultCode.UNKNOWN_MEMBER


@pytest.mark.parametrize("grow_by", [1, 2, 3])
def test_an_array_grows_to_its_limit_and_no_further(grow_by: int) -> None:
    """Whole, at its end, element by element: the datasheet's limit holds in every way."""
    objects = store(limit=6)
    for first in range(0, 6, grow_by):
        part = ObjectPart(NUMBERS, first, first + grow_by - 1)
        assert write(objects, part, bytes(2 * grow_by)) is OK
    assert len(objects.values[NUMBERS]) == 12
    assert write(objects, ObjectPart(NUMBERS, 6, 6), bytes(2)) is ResultCode.INVALID_LENGTH
    assert write(objects, ObjectPart(NUMBERS, 5, TO_END), bytes(4)) is ResultCode.INVALID_LENGTH
    assert write(objects, ObjectPart(NUMBERS), bytes(14)) is ResultCode.INVALID_LENGTH
    assert write(objects, ObjectPart(NUMBERS), bytes(12)) is OK


def test_what_is_delivered_fits_the_datasheet() -> None:
    """Zeros, arrays empty, tails of variable length empty: each value can be decoded."""
    objects = store()
    assert objects.values == {LOG: b"", RECORD: bytes(3), NUMBERS: b"", TEXT: b""}
    for code, value in objects.values.items():
        objects.definition(code).type.decode(value)


def test_a_number_without_a_name_is_no_value() -> None:
    """An enumeration takes the numbers that the datasheet names; flags take any bit."""
    bench = Bench(role=Role.SERVICE)
    assert bench.write("valve", b"\x00") == OK
    assert bench.write("valve", b"\x02") == ResultCode.INVALID_VALUE
    assert bench.write("valve", b"") == ResultCode.INVALID_LENGTH
    assert bench.write("valve", b"\x00\x00") == ResultCode.INVALID_LENGTH
    assert bench.write("wan-configuration/control_flags", b"\xff\xff\xff\xff") == OK
    assert bench.read("valve") == b"\x00"


def test_what_is_computed_nobody_writes() -> None:
    """A write that would be lost is not answered with OK, whatever the access set says."""
    bench = Bench(role=Role.MANUFACTURER)
    code = bench.catalogue.resolve("metrology-clock").code
    bench.memory.store.access[code] = Access(read=EVERYONE, write=EVERYONE)
    assert bench.write("metrology-clock", bytes(12)) == ResultCode.ACCESS_DENIED


DELIVERED_ACCESS = [
    ("manufacturer-id", Role.GUEST, OK, ResultCode.ACCESS_DENIED),
    ("manufacturer-id", Role.MANUFACTURER, OK, OK),
    ("active-software-version", Role.MANUFACTURER, OK, ResultCode.ACCESS_DENIED),  # read-only
    ("scheme-1-keys", Role.MANUFACTURER, ResultCode.ACCESS_DENIED, OK),  # write-only
    ("scheme-1-keys", Role.SECURITY_AUTHORITY, ResultCode.ACCESS_DENIED, OK),
    ("scheme-1-keys", Role.GUEST, ResultCode.ACCESS_DENIED, ResultCode.ACCESS_DENIED),
    ("wan-configuration", Role.GUEST, ResultCode.ACCESS_DENIED, ResultCode.ACCESS_DENIED),
    ("wan-configuration", Role.USER, OK, ResultCode.ACCESS_DENIED),
    ("wan-configuration", Role.SERVICE, OK, OK),
    ("scratch", Role.GUEST, OK, OK),
    ("counter", Role.VERIFICATION, OK, OK),
]


@pytest.mark.parametrize(("name", "role", "reading", "writing"), DELIVERED_ACCESS)
def test_roles_decide(name: str, role: Role, reading: ResultCode, writing: ResultCode) -> None:
    """Each role reads and writes what its sets say, guest being the role of whoever has none."""
    bench = Bench(role=role)
    part = bench.catalogue.resolve(name)
    definition = bench.memory.store.definition(part.code)
    assert read_code(bench.memory.store, part, role) is reading
    value = bench.memory.store.values[part.code] or bytes(definition.element.max_bytes)
    assert bench.write(name, value) is writing


def read_code(objects: ObjectStore, part: ObjectPart, role: Role) -> ResultCode:
    try:
        objects.read(part, role)
    except Refusal as refusal:
        return refusal.code
    return OK


@given(st.sampled_from(Role), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_every_role_against_every_role_set(role: Role, readers: int, writers: int) -> None:
    """Bit n of a set is role n, for reading and writing apart; a denial tells nothing else."""
    objects = store()
    objects.access[TEXT] = Access(read=RoleSet(readers), write=RoleSet(writers))
    part = ObjectPart(TEXT)
    may_read, may_write = bool(readers >> role & 1), bool(writers >> role & 1)
    assert read_code(objects, part, role) is (OK if may_read else ResultCode.ACCESS_DENIED)
    missing = ObjectPart(TEXT, member=9)
    if not may_read:
        assert read_code(objects, missing, role) is ResultCode.ACCESS_DENIED
    assert write(objects, part, b"ab", role) is (OK if may_write else ResultCode.ACCESS_DENIED)


@pytest.mark.parametrize("role", list(Role))
def test_any_role_but_guest_may_ask_for_access(role: Role) -> None:
    """Protocol 6.1; and whoever may write, or made the meter, may say who else may."""
    objects = store()
    objects.access[TEXT] = Access(read=EVERYONE, write=RoleSet.of(Role.SERVICE))
    code = access_code(objects, role)
    assert code is (ResultCode.ACCESS_DENIED if role is Role.GUEST else OK)
    may_set = role in (Role.SERVICE, Role.MANUFACTURER)
    if may_set:
        objects.set_access(TEXT, role, read=RoleSet(0))
        objects.set_access(TEXT, role, write=RoleSet(1))
        assert objects.access[TEXT] == Access(read=RoleSet(0), write=RoleSet(1))
    else:
        with pytest.raises(Refusal) as caught:
            objects.set_access(TEXT, role, read=RoleSet(0))
        assert caught.value.code is ResultCode.ACCESS_DENIED


def access_code(objects: ObjectStore, role: Role) -> ResultCode:
    try:
        objects.access_of(TEXT, role)
    except Refusal as refusal:
        return refusal.code
    return OK
