"""What some bytes are, to begin with: frames, a packet, a certificate, a signature, an image."""

from collections.abc import Iterable, Iterator

from umi_cli.errors import MalformedError
from umi_cli.explain.certificates import explain_certificates, is_certificate
from umi_cli.explain.frames import FrameExplainer, is_frame
from umi_cli.explain.images import explain_package
from umi_cli.explain.layers import Layer
from umi_cli.explain.packets import explain_message, explain_packet, is_packet
from umi_cli.explain.signatures import explain_signature, is_signature
from umi_cli.explain.summary import Opener
from umi_cli.images.header import is_package
from umi_cli.objects.catalogue import Catalogue

KINDS = ("frame", "packet", "message", "certificate", "request", "signature", "image")


def explain(
    data: bytes, catalogue: Catalogue, kind: str | None = None, opener: Opener | None = None
) -> list[Layer]:
    """Explain bytes.

    Args:
        data: link frames one after the other, a packet, what follows a packet's envelope, a
            certificate, a chain of them, a certificate request, a signature record or an image
            package.
        catalogue: names and types of objects.
        kind: one of `KINDS`; found out if None.
        opener: opens encrypted packets, if there is a key.

    Raises:
        MalformedError: the bytes look like nothing that is known.
    """
    told, kind = kind, kind or _kind_of(data)
    if kind in ("certificate", "request"):
        return explain_certificates(data, 0, told)
    if kind == "signature":
        return [explain_signature(data, 0)]
    if kind == "image":
        return explain_package(data, 0)
    if kind == "packet":
        layers = explain_packet(data, 0, catalogue, opener)
    elif kind == "message":
        layers = explain_message(data, 0, catalogue)
    else:
        layers = FrameExplainer(catalogue, opener).explain(data)
    return list(_with_what_is_inside(layers))


def _with_what_is_inside(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Yield layers, each followed by the certificates and signature records in its fields."""
    for layer in layers:
        yield layer
        for each in layer.fields:
            if each.name == "signature" and is_signature(each.raw) and each.raw[0]:
                yield _within(layer, explain_signature(each.raw, each.offset))
            elif is_certificate(each.raw):
                for inner in explain_certificates(each.raw, each.offset):
                    yield _within(layer, inner)


def _within(outer: Layer, inner: Layer) -> Layer:
    inner.within = outer.within
    return inner


def _kind_of(data: bytes) -> str:
    kinds = {
        "certificate": is_certificate,
        "image": is_package,
        "frame": is_frame,
        "packet": is_packet,
        "signature": is_signature,
    }
    for kind, fits in kinds.items():
        if fits(data):
            return kind
    raise MalformedError(
        f"these {len(data)} bytes look like nothing that is known",
        hint=f"say what they are with --as {' or --as '.join(KINDS)} to see which checks fail",
    )
