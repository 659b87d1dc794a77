"""What the bytes of a signature record mean (protocol 5)."""

from umi_cli.application.packet import NO_SIGNATURE
from umi_cli.errors import MalformedError
from umi_cli.explain.certificates import placed
from umi_cli.explain.layers import Layer
from umi_cli.security.signatures import (
    CommandSignature,
    ImageSignature,
    ResponseSignature,
)
from umi_cli.types import format_datetime

_Record = CommandSignature | ResponseSignature | ImageSignature

_KINDS: dict[bytes, type[_Record]] = {
    b"\x02\x53": CommandSignature,
    b"\x01\x1b": CommandSignature,
    b"\x02\x4a": ResponseSignature,
    b"\x01\x12": ResponseSignature,
    b"\x02\x4b": ImageSignature,
    b"\x01\x13": ImageSignature,
}
"""By scheme and length, which are the first two bytes."""


def is_signature(data: bytes) -> bool:
    """Tell whether bytes are as long as the signature record that they begin as."""
    return data == NO_SIGNATURE or (data[:2] in _KINDS and data[1] == len(data))


def explain_signature(data: bytes, offset: int) -> Layer:
    """Explain a signature record, which stands at that offset.

    Whether it verifies, only who has the key and what was signed can tell.
    """
    layer = Layer(name="signature record")
    if data == NO_SIGNATURE:
        layer.add("scheme", offset, data[:1], 0, "not signed")
        return layer
    kind = _KINDS.get(data[:2])
    if kind is None:
        layer.failures.append("no record begins with that scheme and length")
        return layer
    try:
        record = kind.decode(data)
    except MalformedError as error:
        layer.failures.append(placed(error, offset))
        return layer
    _add_fields(layer, record, data, offset)
    return layer


def _add_fields(layer: Layer, record: _Record, data: bytes, offset: int) -> None:
    names = {CommandSignature: "command", ResponseSignature: "response", ImageSignature: "image"}
    proof = "CMAC" if record.scheme == 1 else "ECDSA"
    layer.add("scheme", offset, data[:1], record.scheme, f"{names[type(record)]}, {proof}")
    layer.add("length", offset + 1, data[1:2], data[1])
    if not isinstance(record, ResponseSignature):
        layer.add("role", offset + 2, data[2:3], int(record.role), record.role.label)
    if isinstance(record, CommandSignature):
        for place, name, moment_s in (
            (3, "valid from", record.valid_from_s),
            (7, "valid until", record.valid_until_s),
        ):
            layer.add(name, offset + place, data[place : place + 4], format_datetime(moment_s))
    start, end = len(record.prefix), len(record.prefix) + len(record.value)
    layer.add("proof", offset + start, data[start:end], meaning=f"{end - start} bytes")
    if end < len(data):
        layer.add("padding", offset + end, data[end:], meaning=f"{len(data) - end} bytes")
