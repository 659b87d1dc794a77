"""What crossed the line during a test, for an engineer to read: the bytes, and what they say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from umi_cli.certify.evidence import Piece
from umi_cli.explain.frames import FrameExplainer, is_frame
from umi_cli.explain.layers import Field, Layer
from umi_cli.objects.catalogue import Catalogue

SHOWN_BYTES = 24  # of a field without a meaning; the bytes of the piece stand beside it
_SHOWN = {
    "link frame": ("type", "sequence", "destination", "source", "payload length"),
    "packet": ("encryption scheme", "source UMI ID", "destination UMI ID"),
    "message": ("packet type", "result", "transaction"),
}
"""Of these layers, the fields that tell one from another; of all others, every field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """A piece of what crossed the line: a frame, several, or bytes that are none."""

    at_s: float
    """Since the test began."""
    direction: Literal["out", "in"]
    length_bytes: int
    raw: bytes | None
    """None where it holds a value that must not be shown."""
    words: tuple[str, ...]
    """A line for each layer: frame, fragment, packet, message, payload."""


def in_words(pieces: Sequence[Piece], catalogue: Catalogue) -> tuple[FrameRecord, ...]:
    """Return pieces with what they say.

    Args:
        pieces: in order; fragments are put together within each direction.
        catalogue: names and types of objects, and which are secret.
    """
    explainers = {way: FrameExplainer(catalogue) for way in ("out", "in")}
    # All are explained before any is told: a secret may begin in a fragment before.
    explained = [_layers(explainers[piece.direction], piece.data) for piece in pieces]
    return tuple(_record(*each) for each in zip(pieces, explained, strict=True))


def _layers(explainer: FrameExplainer, data: bytes) -> list[Layer]:
    return explainer.explain(data) if is_frame(data) else []


def _record(piece: Piece, layers: Sequence[Layer]) -> FrameRecord:
    is_secret = any(layer.is_secret for layer in layers)
    return FrameRecord(
        at_s=piece.at_s,
        direction=piece.direction,
        length_bytes=len(piece.data),
        raw=None if is_secret else piece.data,
        words=tuple(map(_line, layers)) or ("no link frame",),
    )


def _line(layer: Layer) -> str:
    """Return a layer as one line."""
    fields = layer.fields
    if names := _SHOWN.get(layer.name):
        fields = sorted(
            (each for each in fields if each.name in names),
            key=lambda each: names.index(each.name),
        )
    busy = [f"busy {each.value}" for each in layer.fields if each.name == "busy" and each.value]
    told = [*map(_text, fields), *busy, *layer.notes]
    wrong = [f"WRONG: {text}" for text in layer.failures]
    return f"{layer.name}: {', '.join([*told, *wrong])}"


def _text(field: Field) -> str:
    value = "" if field.value is None or isinstance(field.value, dict | list) else str(field.value)
    if field.meaning and value and value != field.meaning:
        return f"{field.name} {value} ({field.meaning})"
    if field.meaning or value:
        return f"{field.name} {field.meaning or value}"
    more = "…" if len(field.raw) > SHOWN_BYTES else ""
    return f"{field.name} {field.raw[:SHOWN_BYTES].hex()}{more}"
