"""What some bytes are, to begin with: link frames or an application packet."""

from umi_cli.errors import MalformedError
from umi_cli.explain.frames import FrameExplainer, is_frame
from umi_cli.explain.layers import Layer
from umi_cli.explain.packets import Opener, explain_message, explain_packet, is_packet
from umi_cli.objects.catalogue import Catalogue

KINDS = ("frame", "packet", "message")


def explain(
    data: bytes, catalogue: Catalogue, kind: str | None = None, opener: Opener | None = None
) -> list[Layer]:
    """Explain bytes.

    Args:
        data: link frames one after the other, a packet, or what follows a packet's envelope.
        catalogue: names and types of objects.
        kind: `frame`, `packet` or `message`; found out if None.
        opener: opens encrypted packets, if there is a key.

    Raises:
        MalformedError: the bytes look like nothing that is known.
    """
    kind = kind or _kind_of(data)
    if kind == "packet":
        return explain_packet(data, 0, catalogue, opener)
    if kind == "message":
        return explain_message(data, 0, catalogue)
    return FrameExplainer(catalogue, opener).explain(data)


def _kind_of(data: bytes) -> str:
    if is_frame(data):
        return "frame"
    if is_packet(data):
        return "packet"
    raise MalformedError(
        f"these {len(data)} bytes look like no link frame and no packet",
        hint=f"say what they are with --as {' or --as '.join(KINDS)} to see which checks fail",
    )
