"""What a virtual meter does on each command, but for those of security (protocol 3.2)."""

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
from umi_cli.types import ObjectPart
from umi_cli.virtual import life_cycle
from umi_cli.virtual.dispatch import Call, handles
from umi_cli.virtual.refusal import Refusal


@handles(NoOperation)
def _no_operation(call: Call, command: NoOperation) -> NoOperationReply:
    return NoOperationReply()


@handles(EventSubscribe)
def _subscribe(call: Call, command: EventSubscribe) -> EventSubscribeReply:
    if command.signature_scheme != 0:
        raise Refusal(ResultCode.UNKNOWN_SIGNATURE_SCHEME)
    if command.events & ~call.memory.known_events:
        raise Refusal(ResultCode.UNKNOWN_EVENT)
    call.peer.subscribed_events = command.events
    return EventSubscribeReply()


@handles(EventPublish)
def _take_event(call: Call, command: EventPublish) -> EventPublishReply:
    # choice: whoever is on the line may tell what happened; nothing changes by it.
    call.memory.events.receive(call.source, command.events, command.timestamp_s)
    return EventPublishReply()


@handles(ReadObject)
def _read(call: Call, command: ReadObject) -> ReadObjectReply:
    value = call.memory.store.read(ObjectPart(command.code), call.role)
    return ReadObjectReply(code=command.code, value=value)


@handles(ReadObjectPart)
def _read_part(call: Call, command: ReadObjectPart) -> ReadObjectPartReply:
    value = call.memory.store.read(command.part, call.role)
    return ReadObjectPartReply(part=command.part, value=value)


@handles(WriteObject)
def _write(call: Call, command: WriteObject) -> WriteObjectReply:
    _write_to(call, ObjectPart(command.code), command.value)
    return WriteObjectReply()


@handles(WriteObjectPart)
def _write_part(call: Call, command: WriteObjectPart) -> WriteObjectPartReply:
    _write_to(call, command.part, command.value)
    return WriteObjectPartReply()


def _write_to(call: Call, part: ObjectPart, value: bytes) -> None:
    store = call.memory.store
    if store.definition(part.code).signed and not call.request.is_signed:
        raise Refusal(ResultCode.INVALID_SIGNATURE)
    role = life_cycle.role_to_write(call.memory, part.code, value, call.role)
    store.write(part, value, role)


@handles(GetObjectAccess)
def _get_access(call: Call, command: GetObjectAccess) -> GetObjectAccessReply:
    access = call.memory.store.access_of(command.code, call.role)
    return GetObjectAccessReply(code=command.code, read_roles=access.read, write_roles=access.write)


@handles(SetObjectReadAccess)
def _set_read(call: Call, command: SetObjectReadAccess) -> SetObjectReadAccessReply:
    role = life_cycle.role_to_grant(call.memory, command.code, call.role)
    call.memory.store.set_access(command.code, role, read=command.roles)
    return SetObjectReadAccessReply()


@handles(SetObjectWriteAccess)
def _set_write(call: Call, command: SetObjectWriteAccess) -> SetObjectWriteAccessReply:
    role = life_cycle.role_to_grant(call.memory, command.code, call.role)
    call.memory.store.set_access(command.code, role, write=command.roles)
    return SetObjectWriteAccessReply()
