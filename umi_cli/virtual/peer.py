"""Who is at the other end of a virtual meter's line, and what it asked for."""

from dataclasses import dataclass
from typing import Any

from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.types import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command as it came."""

    packet: bytes
    envelope: Envelope
    message: Message
    command: Command[Any]


@dataclass(slots=True, kw_only=True)
class Deferred:
    """A command that the meter is still at work on, or has just finished."""

    request: Request
    due: float
    """When the work is done: seconds, monotonic."""
    answer: bytes | None = None
    """The response packet, once the work is done."""


@dataclass(slots=True, kw_only=True)
class Peer:
    """A peer of the meter; what is known of it is gone with the power."""

    line: str
    """Name of the line."""
    role: Role
    deferred: Deferred | None = None
    subscribed_events: int = 0
    """Bit n stands for event n."""
