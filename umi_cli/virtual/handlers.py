"""What a virtual meter does on each command (protocol 3.2)."""

from collections.abc import Callable
from typing import Any, TypeVar

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import (
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
from umi_cli.types import ObjectPart
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.peer import Peer
from umi_cli.virtual.refusal import Refusal

Handler = Callable[[Memory, Peer, Any], Payload]
H = TypeVar("H", bound=Handler)

_HANDLERS: dict[type[Command[Any]], Handler] = {}


def run(memory: Memory, peer: Peer, command: Command[Any]) -> Payload:
    """Run a command of a peer and return its reply.

    Raises:
        Refusal: with the result code that the peer is told.
    """
    handler = _HANDLERS.get(type(command))
    if handler is None:
        raise Refusal(ResultCode.NOT_IMPLEMENTED)
    return handler(memory, peer, command)


def _handles(kind: type[Command[Any]]) -> Callable[[H], H]:
    def register(handler: H) -> H:
        _HANDLERS[kind] = handler
        return handler

    return register


@_handles(NoOperation)
def _no_operation(memory: Memory, peer: Peer, command: NoOperation) -> NoOperationReply:
    return NoOperationReply()


@_handles(EventSubscribe)
def _subscribe(memory: Memory, peer: Peer, command: EventSubscribe) -> EventSubscribeReply:
    if command.signature_scheme != 0:
        raise Refusal(ResultCode.UNKNOWN_SIGNATURE_SCHEME)
    if command.events & ~memory.known_events:
        raise Refusal(ResultCode.UNKNOWN_EVENT)
    peer.subscribed_events = command.events
    return EventSubscribeReply()


@_handles(ReadObject)
def _read(memory: Memory, peer: Peer, command: ReadObject) -> ReadObjectReply:
    value = memory.store.read(ObjectPart(command.code), peer.role)
    return ReadObjectReply(code=command.code, value=value)


@_handles(ReadObjectPart)
def _read_part(memory: Memory, peer: Peer, command: ReadObjectPart) -> ReadObjectPartReply:
    value = memory.store.read(command.part, peer.role)
    return ReadObjectPartReply(part=command.part, value=value)


@_handles(WriteObject)
def _write(memory: Memory, peer: Peer, command: WriteObject) -> WriteObjectReply:
    memory.store.write(ObjectPart(command.code), command.value, peer.role)
    return WriteObjectReply()


@_handles(WriteObjectPart)
def _write_part(memory: Memory, peer: Peer, command: WriteObjectPart) -> WriteObjectPartReply:
    memory.store.write(command.part, command.value, peer.role)
    return WriteObjectPartReply()


@_handles(GetObjectAccess)
def _get_access(memory: Memory, peer: Peer, command: GetObjectAccess) -> GetObjectAccessReply:
    access = memory.store.access_of(command.code, peer.role)
    return GetObjectAccessReply(code=command.code, read_roles=access.read, write_roles=access.write)


@_handles(SetObjectReadAccess)
def _set_read(memory: Memory, peer: Peer, command: SetObjectReadAccess) -> SetObjectReadAccessReply:
    memory.store.set_access(command.code, peer.role, read=command.roles)
    return SetObjectReadAccessReply()


@_handles(SetObjectWriteAccess)
def _set_write(
    memory: Memory, peer: Peer, command: SetObjectWriteAccess
) -> SetObjectWriteAccessReply:
    memory.store.set_access(command.code, peer.role, write=command.roles)
    return SetObjectWriteAccessReply()
