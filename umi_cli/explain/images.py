"""What the bytes of an image package mean, as far as they stand in the clear (protocol 7).

The fields of the header are walked first, as many as there are; then the strict decoders of the
image room have their say, about the header and about what follows it.
"""

import io
from collections.abc import Callable
from typing import Any

from umi_cli.errors import MalformedError
from umi_cli.explain.certificates import placed
from umi_cli.explain.layers import Layer
from umi_cli.explain.signatures import explain_signature
from umi_cli.images.header import (
    ENCRYPTED,
    PLAIN_BYTES,
    SIGNED,
    ImageHeader,
    ImageKind,
    read_header,
)
from umi_cli.images.package import PART_HEAD_BYTES, Contents, PackageReader
from umi_cli.types import UmiId, format_datetime

_FLAGS_AT = 7
_N_AT = 104
_Meaning = Callable[[bytes], tuple[Any, str]]


def _number(raw: bytes) -> tuple[Any, str]:
    return int.from_bytes(raw, "little"), ""


def _id(raw: bytes) -> tuple[Any, str]:
    return str(UmiId(int.from_bytes(raw, "little"))), ""


def _time(raw: bytes) -> tuple[Any, str]:
    return format_datetime(int.from_bytes(raw, "little")), ""


def _text(raw: bytes) -> tuple[Any, str]:
    return raw.rstrip(b"\0").decode("latin-1"), ""


def _nothing(raw: bytes) -> tuple[Any, str]:
    return None, f"{len(raw)} bytes"


def _kind(raw: bytes) -> tuple[Any, str]:
    names = {kind.value: kind.name.lower() for kind in ImageKind}
    return raw[0], names.get(raw[0], "unknown")


def _flags(raw: bytes) -> tuple[Any, str]:
    names = {SIGNED: "signed", ENCRYPTED: "encrypted"}
    return raw[0], ", ".join(name for bit, name in names.items() if raw[0] & bit)


def _version(raw: bytes) -> tuple[Any, str]:
    return ".".join(map(str, reversed(raw))), "bugfix, minor, major"


# name, offset, length, what it means
_HEADER: tuple[tuple[str, int, int, _Meaning], ...] = (
    ("magic", 0, 4, _text),
    ("header length", 4, 2, _number),
    ("kind", 6, 1, _kind),
    ("flags", _FLAGS_AT, 1, _flags),
    ("lowest target", 8, 8, _id),
    ("highest target", 16, 8, _id),
    ("version", 24, 3, _version),
    ("slot", 27, 1, _number),
    ("built", 28, 4, _time),
    ("not after", 32, 4, _time),
    ("image length", 36, 4, _number),
    ("image SHA-256", 40, 32, _nothing),
    ("model", 72, 16, _text),
)
_SEALING: tuple[tuple[str, int, int, _Meaning], ...] = (
    ("transport key ID", 88, 4, _number),
    ("nonce", 92, 12, _nothing),
    ("n", _N_AT, 1, _number),
    ("C0", 105, 65, _nothing),
)


def explain_package(data: bytes, offset: int, what: str = "image header") -> list[Layer]:
    """Explain an image package, which stands at that offset.

    Args:
        what: the name of the first layer.
    """
    layer = _walk(data, offset, what)
    try:
        header = read_header(io.BytesIO(data))
    except MalformedError as error:
        layer.failures.append(str(error) if error.offset is None else placed(error, offset))
        return [layer]
    try:
        contents = PackageReader(io.BytesIO(data)).read()
    except MalformedError as error:
        layer.failures.append(str(error))
        return [layer]
    _judge(layer, contents, offset)
    return [layer, *_inside(data, offset, header, contents)]


def _walk(data: bytes, offset: int, what: str) -> Layer:
    """Return a layer with the fields of the header that are there."""
    layer = Layer(name=what)
    fields = _HEADER
    if len(data) >= PLAIN_BYTES and data[_FLAGS_AT] & ENCRYPTED:
        fields += _SEALING if data[_N_AT : _N_AT + 1] == b"\x41" else _SEALING[:-1]
    for name, start, length, meaning in fields:
        raw = data[start : start + length]
        if len(raw) == length:
            layer.add(name, offset + start, raw, *meaning(raw))
    return layer


def _judge(layer: Layer, contents: Contents, offset: int) -> None:
    """Say what is to be said of the image."""
    start, length = offset + contents.header.length_bytes, contents.header.image_bytes
    where = f"the image has {length} bytes, at offset {start}"
    if contents.has_right_hash is None:
        layer.notes.append(f"{where}, and is encrypted with all that follows")
    elif contents.has_right_hash:
        layer.notes.append(f"{where}, and the hash that the header names")
    else:
        layer.failures.append(f"{where}, and another hash than the header names")


def _inside(data: bytes, offset: int, header: ImageHeader, contents: Contents) -> list[Layer]:
    """Explain the parts of a product, and the signature record, if they can be seen."""
    layers: list[Layer] = []
    start = header.length_bytes
    for number, part in enumerate(contents.parts, 1):
        start += PART_HEAD_BYTES
        package = data[start : start + part.length_bytes]
        layers += explain_package(package, offset + start, f"part {number}: image header")
        start += part.length_bytes
    if contents.record is not None:
        start = header.length_bytes + header.image_bytes
        layers.append(explain_signature(data[start:], offset + start))
    return layers
