"""What the virtual meter does on each command it knows, and on each that it does not offer."""

from typing import Any

import pytest

from tests.application.test_payloads import TABLE
from tests.virtual.bench import Bench
from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import (
    EventPublish,
    EventPublishReply,
    EventSubscribe,
    EventSubscribeReply,
    GetObjectAccess,
    GetObjectAccessReply,
    NoOperation,
    NoOperationReply,
    ReadObject,
    ReadObjectPart,
    ReadObjectPartReply,
    ReadObjectReply,
    SetObjectReadAccess,
    SetObjectReadAccessReply,
    SetObjectWriteAccess,
    SetObjectWriteAccessReply,
    WriteObject,
    WriteObjectPart,
    WriteObjectPartReply,
    WriteObjectReply,
)
from umi_cli.application.payload import Command, Payload
from umi_cli.types import ObjectPart, Role, RoleSet, UmiCode

MANUFACTURER_ID = UmiCode.parse("umi.1.1.0.0")
COUNTER = UmiCode.parse("umi.255.0.0.65")
NOWHERE = UmiCode.parse("umi.1.1.0.99")
SERIAL = ObjectPart(MANUFACTURER_ID, member=3)
ALL = RoleSet.everyone()
CLOSED = RoleSet.of(Role.MANUFACTURER)

ANSWERS: list[tuple[Command[Any], Payload]] = [
    (NoOperation(), NoOperationReply()),
    (EventSubscribe(events=1 << 18, signature_scheme=0), EventSubscribeReply()),
    (EventPublish(events=1 << 18, timestamp_s=676_999_688, milliseconds=250), EventPublishReply()),
    (
        ReadObject(code=MANUFACTURER_ID),
        ReadObjectReply(code=MANUFACTURER_ID, value=b"EISGMv0\x00ELS002531733978"),
    ),
    (ReadObjectPart(part=SERIAL), ReadObjectPartReply(part=SERIAL, value=b"31733978")),
    (WriteObject(code=COUNTER, value=b"\x01\x00\x00\x00"), WriteObjectReply()),
    (
        WriteObjectPart(part=ObjectPart(COUNTER), value=b"\x01\x00\x00\x00"),
        WriteObjectPartReply(),
    ),
    (
        GetObjectAccess(code=MANUFACTURER_ID),
        GetObjectAccessReply(code=MANUFACTURER_ID, read_roles=ALL, write_roles=CLOSED),
    ),
    (SetObjectReadAccess(code=COUNTER, roles=CLOSED), SetObjectReadAccessReply()),
    (SetObjectWriteAccess(code=COUNTER, roles=CLOSED), SetObjectWriteAccessReply()),
]


@pytest.mark.parametrize(("command", "reply"), ANSWERS, ids=lambda record: type(record).__name__)
def test_each_command_that_it_offers(command: Command[Any], reply: Payload) -> None:
    """The reply is of the type that belongs to the command, echoes code or part, and is whole."""
    assert Bench(role=Role.MANUFACTURER).reply(command) == reply


OFFERED = {type(command) for command, _ in ANSWERS}
OTHERS = [
    record
    for number, record, _ in TABLE
    if isinstance(record, Command)
    and type(record) not in OFFERED
    and number != 0x02  # COMPLETE belongs to what was deferred
    and not 0x50 <= number < 0x60  # those of images have tests of their own
    and number < 0x90  # where those of security begin
]


@pytest.mark.parametrize("command", OTHERS, ids=lambda record: type(record).__name__)
def test_each_command_that_it_knows_and_does_not_offer(command: Command[Any]) -> None:
    """NOT_IMPLEMENTED in a response of the command's own type, with no payload."""
    assert Bench(role=Role.MANUFACTURER).result(command) == ResultCode.NOT_IMPLEMENTED


def test_an_object_that_does_not_exist() -> None:
    """Every command that names an object says so, whatever the role."""
    bench = Bench(role=Role.MANUFACTURER)
    part = ObjectPart(NOWHERE)
    for command in (
        ReadObject(code=NOWHERE),
        ReadObjectPart(part=part),
        WriteObject(code=NOWHERE, value=b""),
        WriteObjectPart(part=part, value=b""),
        GetObjectAccess(code=NOWHERE),
        SetObjectReadAccess(code=NOWHERE, roles=ALL),
        SetObjectWriteAccess(code=NOWHERE, roles=ALL),
    ):
        assert bench.result(command) == ResultCode.UNKNOWN_OBJECT


def test_subscribing() -> None:
    """Only events of the datasheet, and unsigned ones; the last subscription counts, 0 ends it."""
    bench = Bench()
    assert bench.result(EventSubscribe(events=1 << 26, signature_scheme=0)) == 15  # UNKNOWN_EVENT
    assert bench.result(EventSubscribe(events=1, signature_scheme=2)) == 19
    assert bench.peer.subscribed_events == 0
    assert bench.result(EventSubscribe(events=0b1101, signature_scheme=0)) == ResultCode.OK
    assert bench.peer.subscribed_events == 0b1101
    assert bench.result(EventSubscribe(events=0, signature_scheme=0)) == ResultCode.OK
    assert bench.peer.subscribed_events == 0


def test_changing_access_counts_from_then_on() -> None:
    """Read and write sets change one by one, and the meter goes by them."""
    bench = Bench(role=Role.SERVICE)
    assert bench.write("counter", 5) == ResultCode.OK
    only_user = RoleSet.of(Role.USER)
    bench.reply(SetObjectReadAccess(code=COUNTER, roles=only_user))
    access = bench.reply(GetObjectAccess(code=COUNTER))
    assert (access.read_roles, access.write_roles) == (only_user, ALL)
    assert bench.result(ReadObject(code=COUNTER)) == ResultCode.ACCESS_DENIED
    assert bench.write("counter", 6) == ResultCode.OK
    bench.reply(SetObjectWriteAccess(code=COUNTER, roles=only_user))
    access = bench.reply(GetObjectAccess(code=COUNTER))
    assert (access.read_roles, access.write_roles) == (only_user, only_user)
    assert bench.write("counter", 7) == ResultCode.ACCESS_DENIED
    # whoever may no longer write may no longer say who may
    back = SetObjectWriteAccess(code=COUNTER, roles=ALL)
    assert bench.result(back) == ResultCode.ACCESS_DENIED
    assert bench.memory.store.values[COUNTER] == b"\x06\x00\x00\x00"
