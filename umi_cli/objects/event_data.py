"""What the data bytes of a logged event mean, in words (protocol 4, events)."""

from dataclasses import dataclass

from umi_cli.errors import MalformedError
from umi_cli.objects.composites import Structure
from umi_cli.objects.definitions import Event
from umi_cli.objects.values import Enumerated, Value, to_text
from umi_cli.types import UNKNOWN_DEVICE

OPTO_COMMUNICATIONS = 17  # its UMI ID of all ones is the sign-on, before anybody has said his


@dataclass(frozen=True, slots=True, kw_only=True)
class EventData:
    """The data of an event."""

    values: dict[str, Value] | None
    """By the names of the datasheet; None if it does not know the event, or they do not fit."""
    text: str
    """For people; empty if the event has nothing to say."""
    fault: str = ""
    """Why the bytes themselves are shown; empty if the datasheet explains them all."""


def describe(event: Event | None, data: bytes) -> EventData:
    """Return what the data of an event means; what is not understood is shown in hex, and said.

    Args:
        event: what the datasheet knows of it.
        data: as logged.
    """
    if event is None:
        return _raw(data, "not in the datasheet")
    layout = Structure(members=event.data)
    try:
        values = event.decode(data)
    except MalformedError as error:
        return _raw(data, f"does not fit its layout: {error}")
    surplus = data[layout.max_bytes :]
    if not any(surplus):
        return EventData(values=values, text=_words(event, values))
    fault = "more data than the datasheet lays out"
    words = _words(event, values) if values else ""
    text = "; ".join(filter(None, (words, f"{data.hex()} ({fault})")))
    return EventData(values=values, text=text, fault=fault)


def _raw(data: bytes, fault: str) -> EventData:
    text = f"{data.hex()} ({fault})"
    return EventData(values=None, text=text, fault=fault)


def _words(event: Event, values: dict[str, Value]) -> str:
    """Return `reason completed, error 0`; a single value that speaks for itself has no name."""
    units = Structure(members=event.data).units
    unit_of = units if isinstance(units, dict) else {}
    texts = {name: _text(event, value, unit_of.get(name, "")) for name, value in values.items()}
    if len(values) == 1 and (unit_of or not isinstance(next(iter(values.values())), int)):
        return next(iter(texts.values()))
    return ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in texts.items())


def _text(event: Event, value: Value, unit: str) -> str:
    text = to_text(value, unit)
    if isinstance(value, Enumerated) and value.name is None:
        return f"{text} (unknown)"
    if event.number == OPTO_COMMUNICATIONS and value == UNKNOWN_DEVICE:
        return f"{text} (sign-on)"
    return text
