"""What a device publishes, as records for people and programs."""

from typing import TYPE_CHECKING, Any

from umi_cli.output.render import timestamp

if TYPE_CHECKING:
    from umi_cli.objects.catalogue import Catalogue
    from umi_cli.types import UmiId

EVENT_BITS = 32


def published(
    source: "UmiId", events: int, timestamp_s: int, catalogue: "Catalogue"
) -> dict[str, Any]:
    """Return a publication: who, when, and which events by number and name."""
    from datetime import timedelta

    from umi_cli.types import EPOCH

    numbers = [number for number in range(EVENT_BITS) if events >> number & 1]
    return {
        "source": str(source),
        "timestamp": timestamp(EPOCH + timedelta(seconds=timestamp_s)),
        "events": [{"number": number, "name": _name(number, catalogue)} for number in numbers],
    }


def _name(number: int, catalogue: "Catalogue") -> str:
    event = catalogue.event(number)
    return event.name if event else f"event {number}"
