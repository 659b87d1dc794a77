"""Tests of replies, and of the result codes that can be provoked (protocol 3.2, 3.3)."""

from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import (
    Complete,
    EventSubscribe,
    GetObjectAccess,
    ReadObject,
    ReadObjectPart,
    ReadObjectPartReply,
    ReadObjectReply,
    WriteObject,
)
from umi_cli.application.packet import ENVELOPE_BYTES, Message
from umi_cli.certify.application_cases import NO_OBJECT, NOT_TAKEN, UMI_ID_OBJECT, UNDEFINED_EVENT
from umi_cli.certify.bench import Bench, describe, describe_result, expect_result
from umi_cli.certify.case import Failure, NotApplicable, case, expect, in_hex
from umi_cli.errors import MalformedError
from umi_cli.types import TO_END, ObjectPart, UmiCode


@case(
    "APP-020",
    "READ_OBJECT is answered with the code, the length and the value",
    clause="3.2",
    mark="F",
    sends="READ_OBJECT umi.0.0.0.0",
    expects="the code, u16 0, u16 8, 8 bytes",
    advice="The reply says again what was read; readers compare it.",
)
def _read_reply(bench: Bench) -> None:
    message = bench.result_of(ReadObject(code=UMI_ID_OBJECT))
    expect_result(message, "READ_OBJECT umi.0.0.0.0", ResultCode.OK)
    reply = decoded(ReadObjectReply, message)
    expect(reply.code == UMI_ID_OBJECT, f"the reply is about {reply.code}")
    expect(message.payload[4:6] == b"\x00\x00", "the field behind the code is not 0")
    expect(len(reply.value) == 8, f"a UMI ID has 8 bytes, this one {len(reply.value)}")


def decoded(kind: Any, message: Message) -> Any:
    """Return the reply in a message; `Failure` if it has not its form."""
    try:
        return kind.decode(message.payload)
    except MalformedError as error:
        raise Failure(f"the payload {in_hex(message.payload)} is none: {error}") from error


@case(
    "APP-021",
    "READ_OBJECT_PART is answered with the part that was asked for",
    clause="3.2",
    mark="F",
    sends="READ_OBJECT_PART umi.1.1.0.0/3, the serial number",
    expects="the same 9 bytes of object part, u8 0, the length, the value",
    advice="Anyone may read the serial number in the clear.",
)
def _part_reply(bench: Bench) -> None:
    part = ObjectPart(UmiCode.parse("umi.1.1.0.0"), member=3)
    message = bench.result_of(ReadObjectPart(part=part))
    expect_result(message, f"READ_OBJECT_PART {part}", ResultCode.OK)
    reply = decoded(ReadObjectPartReply, message)
    expect(reply.part == part, f"the reply is about {reply.part}")


@case(
    "APP-022",
    "an unknown object is refused by name",
    clause="3.3",
    mark="F",
    sends=f"READ_OBJECT, READ_OBJECT_PART and WRITE_OBJECT {NO_OBJECT}",
    expects="UNKNOWN_OBJECT (4)",
    advice="Whether an object exists comes before who may read it.",
)
def _unknown_object(bench: Bench) -> None:
    bench.refused(ReadObject(code=NO_OBJECT), ResultCode.UNKNOWN_OBJECT)
    bench.refused(ReadObjectPart(part=ObjectPart(NO_OBJECT)), ResultCode.UNKNOWN_OBJECT)
    bench.refused(WriteObject(code=NO_OBJECT, value=b"\x00"), ResultCode.UNKNOWN_OBJECT)


@case(
    "APP-023",
    "an unknown member is refused by name",
    clause="3.3",
    mark="F",
    sends="READ_OBJECT_PART umi.1.1.0.0/200",
    expects="UNKNOWN_MEMBER (5)",
    advice="A member number past the structure must not read what lies behind it.",
)
def _unknown_member(bench: Bench) -> None:
    part = ObjectPart(UmiCode.parse("umi.1.1.0.0"), member=200)
    bench.refused(ReadObjectPart(part=part), ResultCode.UNKNOWN_MEMBER)


@case(
    "APP-024",
    "an unknown element is refused by name",
    clause="3.3",
    mark="F",
    sends="READ_OBJECT_PART of element 65,534 of each array that may be read",
    expects="UNKNOWN_ELEMENT (6)",
    advice="An index past the array must not read what lies behind it.",
)
def _unknown_element(bench: Bench) -> None:
    tried = 0
    for definition in bench.catalogue.objects:
        if not definition.kind.is_array or definition.secret:
            continue
        part = ObjectPart(definition.code, TO_END - 1, TO_END - 1)
        message = bench.result_of(ReadObjectPart(part=part))
        if message.argument in (ResultCode.UNKNOWN_OBJECT, ResultCode.ACCESS_DENIED):
            continue
        tried += 1
        expect_result(message, f"READ_OBJECT_PART {part}", ResultCode.UNKNOWN_ELEMENT)
    if not tried:
        raise NotApplicable("the device has no array that a guest may read")


@case(
    "APP-025",
    "guests are not told who may access an object",
    clause="6.1",
    mark="F",
    sends="GET_OBJECT_ACCESS umi.1.1.0.0 as guest",
    expects="ACCESS_DENIED (9)",
    advice="Any role but guest may ask.",
)
def _access_as_guest(bench: Bench) -> None:
    code = UmiCode.parse("umi.1.1.0.0")
    bench.refused(GetObjectAccess(code=code), ResultCode.ACCESS_DENIED)


@case(
    "APP-026",
    "COMPLETE without a deferred response is refused",
    clause="3.3",
    mark="F",
    sends="COMPLETE",
    expects="DEFER_ERROR (21)",
    advice="There is nothing to complete: say so.",
)
def _nothing_deferred(bench: Bench) -> None:
    bench.refused(Complete(), ResultCode.DEFER_ERROR)


@case(
    "APP-027",
    "an event that nobody has defined cannot be subscribed to",
    clause="3.3",
    mark="F",
    sends=f"EVENT_SUBSCRIBE for event {UNDEFINED_EVENT}, then for none",
    expects="UNKNOWN_EVENT (15), then OK",
    advice="A subscriber must learn that what it waits for does not come.",
)
def _unknown_event(bench: Bench) -> None:
    wanted = EventSubscribe(events=1 << UNDEFINED_EVENT, signature_scheme=0)
    none = EventSubscribe(events=0, signature_scheme=0)
    try:
        if bench.result_of(none).argument == ResultCode.NOT_IMPLEMENTED:
            raise NotApplicable("the device publishes no events")
        bench.refused(wanted, ResultCode.UNKNOWN_EVENT)
    finally:
        bench.result_of(none)


@case(
    "APP-028",
    "a refused command is answered under its own type, without a value",
    clause="3.2",
    mark="C",
    sends=f"READ_OBJECT {NO_OBJECT}",
    expects="READ_OBJECT_RESPONSE or ERROR, with a result and no payload",
    advice="A reply that says no carries nothing that may be taken for a value.",
)
def _refusal(bench: Bench) -> None:
    message = bench.result_of(ReadObject(code=NO_OBJECT))
    kinds = (PacketType.READ_OBJECT_RESPONSE, PacketType.ERROR)
    expect(message.packet_type in kinds, f"it was answered with {describe_result(message)}")
    expect(message.argument != ResultCode.OK, "it was answered with OK")
    expect(not message.payload, f"it carries {in_hex(message.payload)}")


@case(
    "APP-029",
    "an empty frame is no packet, and is refused",
    clause="3.1",
    mark="C",
    sends="a SIMPLE frame without payload",
    expects="ERROR with INVALID_PACKET_FORMAT (3)",
    advice="A packet of no bytes is a short packet like any other.",
)
def _empty(bench: Bench) -> None:
    answer = bench.exchange(bench.frame())
    try:
        message = Message.decode(answer.payload[ENVELOPE_BYTES:])
    except MalformedError as error:
        raise Failure(f"it was answered with {describe(answer)}") from error
    expect_result(message, "an empty packet", *NOT_TAKEN)
