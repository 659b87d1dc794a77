"""Every command with its reply, but for those of security (protocol 3.2).

A command names its reply, so `session.request(ReadObject(code=…))` returns a `ReadObjectReply`.
"""

from typing import Annotated, ClassVar

from umi_cli.application.codec import (
    CODE,
    DATETIME,
    OBJECT_VALUE,
    PART,
    PART_VALUE,
    REST,
    ROLES,
    U8,
    U16,
    U32,
)
from umi_cli.application.codes import PacketType
from umi_cli.application.payload import Acknowledgement, Command, Payload, record
from umi_cli.types import ObjectPart, RoleSet, UmiCode


class NoOperationReply(Acknowledgement):
    """The device is there."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.NO_OPERATION_RESPONSE


@record
class NoOperation(Command[NoOperationReply]):
    """Do nothing, and say so."""

    TYPE: ClassVar = PacketType.NO_OPERATION
    REPLY: ClassVar = NoOperationReply


@record
class Wait(Payload):
    """The response is deferred."""

    TYPE: ClassVar = PacketType.WAIT
    wait_ms: Annotated[int, U16]
    """How long to wait before COMPLETE may be sent, in milliseconds."""


@record
class Complete(Command[Wait]):
    """Ask for a response that was deferred, under its own transaction number.

    It is answered with another WAIT, or with the response that was due.
    """

    TYPE: ClassVar = PacketType.COMPLETE
    REPLY: ClassVar = Wait


class EventSubscribeReply(Acknowledgement):
    """The events will be published."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.EVENT_SUBSCRIBE_RESPONSE


@record
class EventSubscribe(Command[EventSubscribeReply]):
    """Have the device publish events to us."""

    TYPE: ClassVar = PacketType.EVENT_SUBSCRIBE
    REPLY: ClassVar = EventSubscribeReply
    events: Annotated[int, U32]
    """Bit n stands for event n."""
    signature_scheme: Annotated[int, U8]
    """Of the signature wanted on what is published."""


class EventPublishReply(Acknowledgement):
    """The events were taken."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.EVENT_PUBLISH_RESPONSE


@record
class EventPublish(Command[EventPublishReply]):
    """Tell a subscriber what happened."""

    TYPE: ClassVar = PacketType.EVENT_PUBLISH
    REPLY: ClassVar = EventPublishReply
    events: Annotated[int, U32]
    """Bit n stands for event n."""
    timestamp_s: Annotated[int, DATETIME]
    """When, as a UMI datetime."""
    milliseconds: Annotated[int, U16]


@record
class ReadObjectReply(Payload):
    """The value of an object."""

    TYPE: ClassVar = PacketType.READ_OBJECT_RESPONSE
    code: Annotated[UmiCode, CODE]
    value: Annotated[bytes, OBJECT_VALUE]
    """0..65535 bytes."""


@record
class ReadObject(Command[ReadObjectReply]):
    """Read a whole object."""

    TYPE: ClassVar = PacketType.READ_OBJECT
    REPLY: ClassVar = ReadObjectReply
    code: Annotated[UmiCode, CODE]


@record
class ReadObjectPartReply(Payload):
    """The value of a part of an object."""

    TYPE: ClassVar = PacketType.READ_OBJECT_PART_RESPONSE
    part: Annotated[ObjectPart, PART]
    value: Annotated[bytes, PART_VALUE]
    """0..65535 bytes."""


@record
class ReadObjectPart(Command[ReadObjectPartReply]):
    """Read a member, elements, or both."""

    TYPE: ClassVar = PacketType.READ_OBJECT_PART
    REPLY: ClassVar = ReadObjectPartReply
    part: Annotated[ObjectPart, PART]


class WriteObjectReply(Acknowledgement):
    """The object was written."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.WRITE_OBJECT_RESPONSE


@record
class WriteObject(Command[WriteObjectReply]):
    """Write a whole object."""

    TYPE: ClassVar = PacketType.WRITE_OBJECT
    REPLY: ClassVar = WriteObjectReply
    CHANGES: ClassVar = True
    code: Annotated[UmiCode, CODE]
    value: Annotated[bytes, OBJECT_VALUE]
    """0..65535 bytes."""


class WriteObjectPartReply(Acknowledgement):
    """The part was written."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.WRITE_OBJECT_PART_RESPONSE


@record
class WriteObjectPart(Command[WriteObjectPartReply]):
    """Write a member, elements, or both."""

    TYPE: ClassVar = PacketType.WRITE_OBJECT_PART
    REPLY: ClassVar = WriteObjectPartReply
    CHANGES: ClassVar = True
    part: Annotated[ObjectPart, PART]
    value: Annotated[bytes, PART_VALUE]
    """0..65535 bytes."""


class SetObjectReadAccessReply(Acknowledgement):
    """The read role set was changed."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.SET_OBJECT_READ_ACCESS_RESPONSE


@record
class SetObjectReadAccess(Command[SetObjectReadAccessReply]):
    """Set which roles may read an object."""

    TYPE: ClassVar = PacketType.SET_OBJECT_READ_ACCESS
    REPLY: ClassVar = SetObjectReadAccessReply
    CHANGES: ClassVar = True
    code: Annotated[UmiCode, CODE]
    roles: Annotated[RoleSet, ROLES]


class SetObjectWriteAccessReply(Acknowledgement):
    """The write role set was changed."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.SET_OBJECT_WRITE_ACCESS_RESPONSE


@record
class SetObjectWriteAccess(Command[SetObjectWriteAccessReply]):
    """Set which roles may write an object."""

    TYPE: ClassVar = PacketType.SET_OBJECT_WRITE_ACCESS
    REPLY: ClassVar = SetObjectWriteAccessReply
    CHANGES: ClassVar = True
    code: Annotated[UmiCode, CODE]
    roles: Annotated[RoleSet, ROLES]


@record
class GetObjectAccessReply(Payload):
    """Which roles may read and write an object."""

    TYPE: ClassVar = PacketType.GET_OBJECT_ACCESS_RESPONSE
    code: Annotated[UmiCode, CODE]
    read_roles: Annotated[RoleSet, ROLES]
    write_roles: Annotated[RoleSet, ROLES]


@record
class GetObjectAccess(Command[GetObjectAccessReply]):
    """Ask which roles may read and write an object."""

    TYPE: ClassVar = PacketType.GET_OBJECT_ACCESS
    REPLY: ClassVar = GetObjectAccessReply
    code: Annotated[UmiCode, CODE]


class ImageStartReply(Acknowledgement):
    """The device is ready for the image."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.IMAGE_START_RESPONSE


@record
class ImageStart(Command[ImageStartReply]):
    """Begin an image transfer."""

    TYPE: ClassVar = PacketType.IMAGE_START
    REPLY: ClassVar = ImageStartReply
    CHANGES: ClassVar = True
    length_bytes: Annotated[int, U32]
    """Of the whole image."""


class ImageDataReply(Acknowledgement):
    """The block was taken."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.IMAGE_DATA_RESPONSE


@record
class ImageData(Command[ImageDataReply]):
    """One block of an image."""

    TYPE: ClassVar = PacketType.IMAGE_DATA
    REPLY: ClassVar = ImageDataReply
    CHANGES: ClassVar = True
    number: Annotated[int, U32]
    """Counts from 0."""
    data: Annotated[bytes, REST]


class ImageEndReply(Acknowledgement):
    """The device took the image, or forgot it."""

    __slots__ = ()
    TYPE: ClassVar = PacketType.IMAGE_END_RESPONSE


@record
class ImageEnd(Command[ImageEndReply]):
    """End an image transfer."""

    TYPE: ClassVar = PacketType.IMAGE_END
    REPLY: ClassVar = ImageEndReply
    CHANGES: ClassVar = True
    is_valid: Annotated[int, U8]
    """1 valid, 0 abort."""


@record
class TunnelDataReply(Payload):
    """What came back through the tunnel."""

    TYPE: ClassVar = PacketType.TUNNEL_DATA_RESPONSE
    data: Annotated[bytes, REST]  # choice: protocol 3.2


@record
class TunnelData(Command[TunnelDataReply]):
    """Send bytes through a tunnel."""

    TYPE: ClassVar = PacketType.TUNNEL_DATA
    REPLY: ClassVar = TunnelDataReply
    CHANGES: ClassVar = True
    data: Annotated[bytes, REST]


@record
class TunnelUmiReply(Payload):
    """The response packet that came back through the tunnel."""

    TYPE: ClassVar = PacketType.TUNNEL_UMI_RESPONSE
    packet: Annotated[bytes, REST]  # choice: protocol 3.2


@record
class TunnelUmi(Command[TunnelUmiReply]):
    """Send a whole application packet through a tunnel."""

    TYPE: ClassVar = PacketType.TUNNEL_UMI
    REPLY: ClassVar = TunnelUmiReply
    CHANGES: ClassVar = True
    packet: Annotated[bytes, REST]
