"""What the bytes of an application packet mean (protocol 3.1, 3.2)."""

from typing import Any

from umi_cli.application.codec import forms_of
from umi_cli.application.codes import PacketType, result_name
from umi_cli.application.packet import (
    ENVELOPE_BYTES,
    MESSAGE_HEADER_BYTES,
    PROTOCOL,
    Envelope,
    Message,
)
from umi_cli.application.payload import Payload
from umi_cli.errors import MalformedError, UmiError
from umi_cli.explain.layers import Layer
from umi_cli.explain.summary import GCM_TAG_BYTES, MIN_MESSAGE_BYTES, Opener, kind_of
from umi_cli.objects.catalogue import Catalogue
from umi_cli.objects.values import to_json, to_text
from umi_cli.types import ObjectPart, UmiCode, format_datetime
from umi_cli.wire import Reader

MIN_PACKET_BYTES = ENVELOPE_BYTES + MIN_MESSAGE_BYTES


def is_packet(data: bytes) -> bool:
    """Tell whether bytes look like an application packet."""
    return len(data) >= MIN_PACKET_BYTES and data[0] <= 2 and data[1] == PROTOCOL


def explain_packet(
    data: bytes,
    offset: int,
    catalogue: Catalogue,
    opener: Opener | None = None,
    within: str = "",
    *,
    is_opened: bool = False,
) -> list[Layer]:
    """Explain a packet.

    Args:
        data: the packet.
        offset: where it stands.
        catalogue: names and types of objects.
        opener: opens it if it is encrypted.
        within: what offsets are counted in, where it is not the bytes that were given.
        is_opened: what follows the envelope was decrypted already.
    """
    layer = Layer(name="packet", within=within)
    try:
        envelope = Envelope.decode(data)
    except MalformedError as error:
        layer.failures.append(str(error))
        return [layer]
    _explain_envelope(layer, envelope, data, offset)
    body = data[ENVELOPE_BYTES:]
    if envelope.encryption_scheme != 2 or is_opened:
        return [layer, *explain_message(body, offset + ENVELOPE_BYTES, catalogue, within)]
    return [layer, *_explain_sealed(layer, envelope, body, offset, catalogue, opener)]


def _explain_envelope(layer: Layer, envelope: Envelope, data: bytes, offset: int) -> None:
    scheme = envelope.encryption_scheme
    meaning = {0: "in the clear", 2: "AES-128-GCM"}.get(scheme, "unknown")
    layer.add("encryption scheme", offset, data[:1], scheme, meaning)
    layer.add("protocol type", offset + 1, data[1:2], envelope.protocol >> 4)
    layer.add("version", offset + 1, data[1:2], envelope.protocol & 0xF)
    layer.add("source options", offset + 2, data[2:3], envelope.source_options)
    layer.add("destination options", offset + 3, data[3:4], envelope.destination_options)
    layer.add("source UMI ID", offset + 4, data[4:12], str(envelope.source))
    layer.add("destination UMI ID", offset + 12, data[12:20], str(envelope.destination))
    layer.add("encryption options", offset + 20, data[20:21], envelope.encryption_options)
    if envelope.protocol != PROTOCOL:
        layer.failures.append(f"unknown protocol type and version {envelope.protocol:#04x}")
    if scheme > 2:
        layer.failures.append(f"unknown encryption scheme {scheme}")


def _explain_sealed(
    layer: Layer,
    envelope: Envelope,
    body: bytes,
    offset: int,
    catalogue: Catalogue,
    opener: Opener | None,
) -> list[Layer]:
    start = offset + ENVELOPE_BYTES
    if len(body) < MIN_MESSAGE_BYTES + GCM_TAG_BYTES:
        layer.failures.append(f"{len(body)} bytes are too few for an encrypted message")
        return []
    text, tag = body[:-GCM_TAG_BYTES], body[-GCM_TAG_BYTES:]
    layer.add("ciphertext", start, text, meaning=f"{len(text)} bytes")
    layer.add("GCM tag", start + len(text), tag)
    if opener is None:
        layer.notes.append("what it says is encrypted")
        return []
    try:
        plain = opener(envelope, body)
    except MalformedError as error:
        layer.failures.append(str(error))
        return []
    return explain_message(plain, ENVELOPE_BYTES, catalogue, "the decrypted packet")


def explain_message(
    data: bytes, offset: int, catalogue: Catalogue, within: str = ""
) -> list[Layer]:
    """Explain what follows the envelope of a packet, in the clear; arguments as before."""
    layer = Layer(name="message", within=within)
    try:
        message = Message.decode(data)
    except MalformedError as error:
        layer.failures.append(str(error))
        return [layer]
    _explain_header(layer, message, data, offset)
    start = offset + MESSAGE_HEADER_BYTES
    record = start + len(message.payload)
    layer.add(
        "signature",
        record,
        message.signature,
        meaning=f"scheme {message.signature_scheme}" if message.signature_scheme else "none",
    )
    return [layer, *_explain_payload(message, start, catalogue, within)]


def _explain_header(layer: Layer, message: Message, data: bytes, offset: int) -> None:
    layer.add("signature scheme", offset, data[:1], message.signature_scheme)
    layer.add("transaction", offset + 1, data[1:3], message.transaction)
    created = format_datetime(message.created_s)
    layer.add("created", offset + 3, data[3:7], created, "" if created else "not set")
    name = _type_name(message.packet_type)
    layer.add("packet type", offset + 7, data[7:8], message.packet_type, name)
    if message.packet_type & 1:
        result = result_name(message.argument)
        layer.add("result", offset + 8, data[8:9], message.argument, result)
    else:
        layer.add("signature scheme wanted", offset + 8, data[8:9], message.argument)
    layer.add("payload length", offset + 9, data[9:11], len(message.payload))
    if name == "unknown":
        layer.failures.append(f"unknown packet type {message.packet_type:#04x}")


def _type_name(number: int) -> str:
    try:
        return PacketType(number).name
    except ValueError:
        return "unknown"


def _explain_payload(
    message: Message, offset: int, catalogue: Catalogue, within: str
) -> list[Layer]:
    kind = kind_of(message)
    if not message.payload or kind is None:
        return []
    layer = Layer(name=kind.TYPE.name, within=within)
    values: dict[str, Any] = {}
    try:
        _explain_fields(layer, values, kind, message.payload, offset)
    except MalformedError as error:
        layer.failures.append(str(error))
    _explain_value(layer, values, catalogue)
    return [layer]


def _explain_fields(
    layer: Layer, values: dict[str, Any], kind: type[Payload], payload: bytes, offset: int
) -> None:
    """Explain a payload's fields; their values, as far as they go, are put into `values`."""
    reader = Reader(payload, what=kind.TYPE.name)
    for name, form in forms_of(kind).items():
        start = reader.offset
        value = values[name] = form.read(reader, name)
        raw = payload[start : reader.offset]
        if isinstance(value, bytes):
            layer.add(name, offset + reader.offset - len(value), value)
        else:
            plain = value if isinstance(value, int) else str(value)
            meaning = format_datetime(value) or "" if name == "timestamp_s" else ""
            layer.add(name, offset + start, raw, plain, meaning)
    reader.end()


def _explain_value(layer: Layer, values: dict[str, Any], catalogue: Catalogue) -> None:
    """Say what an object's value means, if the datasheet knows the object."""
    code, part = values.get("code"), values.get("part")
    if isinstance(code, UmiCode):
        part = ObjectPart(code)
    definition = catalogue.find(part.code) if isinstance(part, ObjectPart) else None
    if not isinstance(part, ObjectPart) or definition is None:
        return
    if definition.secret:
        layer.hide("value")
    try:
        name = catalogue.name_of(part)
        layer.notes.append(f"{part} is {name}")
        if "value" in values:
            value = catalogue.decode(part, values["value"])
            units = catalogue.units_of(part)
            if not definition.secret:
                raw: bytes = values["value"]
                start = next(each.offset for each in layer.fields if each.name == "value")
                layer.fields = [each for each in layer.fields if each.name != "value"]
                layer.add("value", start, raw, to_json(value), to_text(value, units))
    except UmiError as error:
        layer.notes.append(f"its value is not what the datasheet says: {error}")
