"""Defects of data objects and of who may access them (protocol 4, 6.1).

A catalogue, and as long as that: a class for each defect.
"""

from dataclasses import replace
from typing import Any, ClassVar

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import (
    GetObjectAccess,
    GetObjectAccessReply,
    ReadObject,
    ReadObjectPart,
    ReadObjectPartReply,
    ReadObjectReply,
    SetObjectReadAccess,
    SetObjectReadAccessReply,
    WriteObject,
    WriteObjectPart,
    WriteObjectPartReply,
    WriteObjectReply,
)
from umi_cli.application.payload import Payload
from umi_cli.types import ALL_MEMBERS, TO_END, ObjectPart, Role, RoleSet, UmiCode
from umi_cli.virtual import dispatch
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.dispatch import Call
from umi_cli.virtual.refusal import Refusal

_MISSING = "active-software-version"
_READS = (ReadObject, ReadObjectPart)
_WRITES = (WriteObject, WriteObjectPart)


def _name(call: Call, code: UmiCode) -> str:
    try:
        return call.memory.store.definition(code).name
    except Refusal:
        return ""


class ValueDefect(Defect):
    """Something is wrong with what is read."""

    def run(self, call: Call) -> Payload:
        """Return the reply to a read with another value."""
        reply = dispatch.run(call)
        if isinstance(reply, ReadObjectReply):
            return replace(reply, value=self.value(call, ObjectPart(reply.code), reply.value))
        if isinstance(reply, ReadObjectPartReply):
            return replace(reply, value=self.value(call, reply.part, reply.value))
        return reply

    def value(self, call: Call, part: ObjectPart, raw: bytes) -> bytes:
        """Return what is read in place of a part's value."""
        return raw


class PartDefect(Defect):
    """Something is wrong with which part is read."""

    def run(self, call: Call) -> Payload:
        """Read another part than the one that was asked for."""
        command = call.request.command
        if not isinstance(command, ReadObjectPart):
            return dispatch.run(call)
        part = self.part(call, command.part)
        value = call.memory.store.read(part, call.role)
        return ReadObjectPartReply(part=command.part, value=value)

    def part(self, call: Call, part: ObjectPart) -> ObjectPart:
        """Return the part that is read."""
        return part


class ObjectMissing(Defect):
    """An object of the datasheet is not there."""

    NAME = "object-missing"
    TITLE = "does not have the active software version"

    def run(self, call: Call) -> Payload:
        """Refuse everything that is about it."""
        command = call.request.command
        part = getattr(command, "part", None)
        code = part.code if part else getattr(command, "code", None)
        if isinstance(code, UmiCode) and _name(call, code) == _MISSING:
            raise Refusal(ResultCode.UNKNOWN_OBJECT)
        return dispatch.run(call)


class ValuePadded(ValueDefect):
    """Structures are as the compiler lays them out."""

    NAME = "value-padded"
    TITLE = "reads a whole clock with four bytes of padding behind it"

    def value(self, call: Call, part: ObjectPart, raw: bytes) -> bytes:
        """Return the value with some padding."""
        is_padded = part.is_whole and _name(call, part.code) == "metrology-clock"
        return raw + bytes(4) if is_padded else raw


class EveryoneReads(Defect):
    """The read role set is not looked at."""

    NAME = "everyone-reads"
    TITLE = "lets everybody read everything but secrets"

    def run(self, call: Call) -> Payload:
        """Read as whoever may."""
        command = call.request.command
        part = getattr(command, "part", None) or ObjectPart(getattr(command, "code", UmiCode(0)))
        if not isinstance(command, _READS) or call.memory.store.definition(part.code).secret:
            return dispatch.run(call)
        roles = [role for role in Role if role in call.memory.store.access[part.code].read]
        value = call.memory.store.read(part, roles[0] if roles else call.role)
        if isinstance(command, ReadObject):
            return ReadObjectReply(code=command.code, value=value)
        return ReadObjectPartReply(part=part, value=value)


class NobodyReads(Defect):
    """A role that may read is refused."""

    NAME = "nobody-reads"
    TITLE = "refuses the WAN configuration to roles that may read it"

    def run(self, call: Call) -> Payload:
        """Refuse to read one object."""
        command = call.request.command
        part = getattr(command, "part", None) or ObjectPart(getattr(command, "code", UmiCode(0)))
        if isinstance(command, _READS) and _name(call, part.code) == "wan-configuration":
            raise Refusal(ResultCode.ACCESS_DENIED)
        return dispatch.run(call)


class MemberOffByOne(PartDefect):
    """Members count from 1."""

    NAME = "member-off-by-one"
    TITLE = "counts members from 1"

    def part(self, call: Call, part: ObjectPart) -> ObjectPart:
        """Return the member before."""
        is_shifted = part.member not in (0, ALL_MEMBERS) and part.code.value
        is_single = part.first == 0 and part.last == TO_END
        return replace(part, member=part.member - 1) if is_shifted and is_single else part


class ElementOffByOne(PartDefect):
    """Elements count from 1."""

    NAME = "element-off-by-one"
    TITLE = "counts elements from 1"

    def part(self, call: Call, part: ObjectPart) -> ObjectPart:
        """Return the element before."""
        is_shifted = 0 < part.first == part.last < TO_END - 1 and part.code.value
        return replace(part, first=part.first - 1, last=part.last - 1) if is_shifted else part


class RangeExclusive(PartDefect):
    """The last element of a range does not belong to it."""

    NAME = "range-exclusive"
    TITLE = "leaves the last element out of a range"

    def part(self, call: Call, part: ObjectPart) -> ObjectPart:
        """Return the range without its last element."""
        is_range = part.first < part.last < TO_END
        return replace(part, last=part.last - 1) if is_range else part


class ToEndShort(ValueDefect):
    """The end is one element too early."""

    NAME = "to-end-short"
    TITLE = "leaves the last element out where it is asked for all to the end"

    def value(self, call: Call, part: ObjectPart, raw: bytes) -> bytes:
        """Return the value without its last element."""
        if part.last != TO_END or not part.first:
            return raw
        return raw[: -(call.memory.store.definition(part.code).element_size_bytes or 1)]


class MemberOfFirstElement(ValueDefect):
    """Only the first element of a range is cut by its members."""

    NAME = "member-of-first-element"
    TITLE = "gives a member of the first element of a range alone"

    def value(self, call: Call, part: ObjectPart, raw: bytes) -> bytes:
        """Return the member of one element."""
        count = part.last - part.first + 1
        is_cut = part.member != ALL_MEMBERS and count > 1 and part.last != TO_END
        return raw[: len(raw) // count] if is_cut else raw


class RangeClamped(PartDefect):
    """A range past the end is cut at the end."""

    NAME = "range-clamped"
    TITLE = "cuts a range that runs past the end"

    def part(self, call: Call, part: ObjectPart) -> ObjectPart:
        """Return the range up to the end, where it runs past it."""
        store = call.memory.store
        size = store.definition(part.code).element_size_bytes
        if part.first >= part.last or part.last == TO_END or not size:
            return part
        count = len(store.read(ObjectPart(part.code), call.role)) // size
        return replace(part, last=TO_END) if part.last >= count else part


class BackwardsRange(Defect):
    """A range that runs backwards is empty."""

    NAME = "backwards-range"
    TITLE = "answers a range that runs backwards with nothing"

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet with its range the right way round."""
        is_part = len(packet) >= 41 and packet[0] == 0 and packet[28] == 0x32
        if is_part and packet[36:38] > packet[38:40]:
            return packet[:36] + packet[38:40] + packet[36:38] + packet[40:]
        return packet


class SingleAnyElement(PartDefect):
    """A single value has as many elements as one likes."""

    NAME = "single-any-element"
    TITLE = "gives a single value for any element"

    def part(self, call: Call, part: ObjectPart) -> ObjectPart:
        """Return the whole of what is no array."""
        is_array = call.memory.store.definition(part.code).kind.is_array
        return part if is_array else replace(part, first=0, last=TO_END)


class ValueAnyMember(PartDefect):
    """A value without members has as many as one likes."""

    NAME = "value-any-member"
    TITLE = "gives a value without members for any member"

    def part(self, call: Call, part: ObjectPart) -> ObjectPart:
        """Return the whole of what has no members."""
        has_members = call.memory.store.definition(part.code).kind.has_members
        return part if has_members else replace(part, member=ALL_MEMBERS)


class HiddenObject(Defect):
    """An object of the laboratory is still there."""

    NAME = "hidden-object"
    TITLE = "lets guests read umi.1.1.0.1, which no datasheet declares"
    CODE = UmiCode.parse("umi.1.1.0.1")

    def run(self, call: Call) -> Payload:
        """Return something for it."""
        command = call.request.command
        if isinstance(command, ReadObject) and command.code == self.CODE:
            return ReadObjectReply(code=command.code, value=b"debug")
        return dispatch.run(call)


class SecretRead(Defect):
    """Secrets are read like everything else."""

    NAME = "secret-read"
    TITLE = "lets everybody read secrets"

    def run(self, call: Call) -> Payload:
        """Return the value of a secret object."""
        command = call.request.command
        if isinstance(command, ReadObject):
            definition = call.memory.store.definition(command.code)
            if definition.secret:
                return ReadObjectReply(
                    code=command.code, value=call.memory.store.values[command.code]
                )
        return dispatch.run(call)


class GuestWrites(Defect):
    """The write role set is not looked at for who has not authenticated."""

    NAME = "guest-writes"
    TITLE = "lets guests write what they may read"

    def run(self, call: Call) -> Payload:
        """Say OK, and leave the value as it is."""
        command = call.request.command
        if isinstance(command, WriteObject) and call.role is Role.GUEST:
            call.memory.store.read(ObjectPart(command.code), call.role)
            return WriteObjectReply()
        return dispatch.run(call)


class GuestSetsAccess(Defect):
    """Anybody says who may read."""

    NAME = "guest-sets-access"
    TITLE = "lets guests set who may read an object"

    def run(self, call: Call) -> Payload:
        """Set what is asked."""
        command = call.request.command
        if not isinstance(command, SetObjectReadAccess):
            return dispatch.run(call)
        call.memory.store.set_access(command.code, Role.MANUFACTURER, read=command.roles)
        return SetObjectReadAccessReply()


class EntriesWrong(ValueDefect):
    """A status object does not count the newest entry."""

    NAME = "entries-wrong"
    TITLE = "counts one entry less than its logs have"
    AT: ClassVar = {"profile-status": 8, "event-status": 8}

    def value(self, call: Call, part: ObjectPart, raw: bytes) -> bytes:
        """Return the status with another count."""
        at = self.AT.get(_name(call, part.code))
        if at is None or not part.is_whole:
            return raw
        entries = int.from_bytes(raw[at : at + 2], "little") - 1
        return raw[:at] + (entries & 0xFFFF).to_bytes(2, "little") + raw[at + 2 :]


class FlagUnprintable(ValueDefect):
    """The manufacturer's letters were never written."""

    NAME = "flag-unprintable"
    TITLE = "has FF where its FLAG letters should be"

    def value(self, call: Call, part: ObjectPart, raw: bytes) -> bytes:
        """Return the manufacturer ID without letters."""
        is_it = part.is_whole and _name(call, part.code) == "manufacturer-id"
        return raw[:8] + b"\xff\xff\xff" + raw[11:] if is_it else raw


class TwoClocks(ValueDefect):
    """The clock object is another clock than that of the packets."""

    NAME = "two-clocks"
    TITLE = "has a clock object an hour behind the time of its packets"

    def value(self, call: Call, part: ObjectPart, raw: bytes) -> bytes:
        """Return the clock an hour back."""
        if not part.is_whole or _name(call, part.code) != "metrology-clock":
            return raw
        now_s = int.from_bytes(raw[:4], "little") - 3600
        return now_s.to_bytes(4, "little") + raw[4:]


class UmiIdZero(ValueDefect):
    """Nobody has given the unit an ID."""

    NAME = "umi-id-zero"
    TITLE = "has UMI ID 0"

    def value(self, call: Call, part: ObjectPart, raw: bytes) -> bytes:
        """Return zeros for the UMI ID."""
        return bytes(len(raw)) if part.code == UmiCode(0) else raw


class AccessUndeclared(Defect):
    """Access sets are not those of the datasheet."""

    NAME = "access-undeclared"
    TITLE = "says that everybody may read everything"

    def run(self, call: Call) -> Payload:
        """Return other sets."""
        reply = dispatch.run(call)
        if isinstance(reply, GetObjectAccessReply) and isinstance(
            call.request.command, GetObjectAccess
        ):
            return replace(reply, read_roles=RoleSet.everyone())
        return reply


class WriteForgotten(Defect):
    """A part that is written is not stored."""

    NAME = "write-forgotten"
    TITLE = "answers WRITE_OBJECT_PART with OK, and stores nothing"

    def run(self, call: Call) -> Payload:
        """Say OK."""
        is_it = isinstance(call.request.command, WriteObjectPart)
        return WriteObjectPartReply() if is_it else dispatch.run(call)


class LengthForgiven(Defect):
    """A value is made as long as it must be."""

    NAME = "write-length-forgiven"
    TITLE = "takes values that are too short or too long"

    def run(self, call: Call) -> Payload:
        """Store what there is, as long as the old value."""
        command = call.request.command
        if not isinstance(command, WriteObject):
            return dispatch.run(call)
        old = call.memory.store.read(ObjectPart(command.code), call.role)
        value = command.value[: len(old)].ljust(len(old), b"\x00")
        call.memory.store.write(ObjectPart(command.code), value, call.role)
        return WriteObjectReply()


class RoleWritesAll(Defect):
    """Who is known may write."""

    NAME = "role-writes-all"
    TITLE = "lets every role but guest write what it may read"

    def run(self, call: Call) -> Payload:
        """Say OK to whoever is known."""
        command: Any = call.request.command
        if isinstance(command, WriteObject) and call.role is not Role.GUEST:
            call.memory.store.read(ObjectPart(command.code), call.role)
            try:
                return dispatch.run(call)
            except Refusal as refusal:
                if refusal.code is not ResultCode.ACCESS_DENIED:
                    raise
                return WriteObjectReply()
        return dispatch.run(call)


class WholePartRefused(Defect):
    """The whole of an object is no part of it."""

    NAME = "whole-part-refused"
    TITLE = "refuses READ_OBJECT_PART of the whole object"

    def run(self, call: Call) -> Payload:
        """Refuse all elements with all members."""
        command = call.request.command
        if isinstance(command, ReadObjectPart) and command.part.is_whole:
            raise Refusal(ResultCode.UNKNOWN_ELEMENT)
        return dispatch.run(call)


OBJECT_DEFECTS: tuple[type[Defect], ...] = (
    ObjectMissing,
    ValuePadded,
    EveryoneReads,
    NobodyReads,
    MemberOffByOne,
    ElementOffByOne,
    RangeExclusive,
    ToEndShort,
    MemberOfFirstElement,
    RangeClamped,
    BackwardsRange,
    SingleAnyElement,
    ValueAnyMember,
    HiddenObject,
    SecretRead,
    GuestWrites,
    GuestSetsAccess,
    EntriesWrong,
    FlagUnprintable,
    TwoClocks,
    UmiIdZero,
    AccessUndeclared,
    WriteForgotten,
    LengthForgiven,
    RoleWritesAll,
    WholePartRefused,
)
