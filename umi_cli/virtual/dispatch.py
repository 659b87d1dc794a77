"""Which function of a virtual meter runs which command."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from umi_cli.application.codes import ResultCode
from umi_cli.application.payload import Command, Payload
from umi_cli.types import Role, UmiId
from umi_cli.virtual import life_cycle
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.peer import Peer, Request
from umi_cli.virtual.refusal import Refusal
from umi_cli.virtual.security import Security
from umi_cli.virtual.updates import Updates


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command that is to run, and what it may touch."""

    memory: Memory
    security: Security
    updates: Updates
    peer: Peer
    request: Request

    @property
    def role(self) -> Role:
        """Return what the commander may act as."""
        return self.request.role

    @property
    def source(self) -> UmiId:
        """Return who commands."""
        return self.request.source


Handler = Callable[[Call, Any], Payload]
H = TypeVar("H", bound=Handler)

_HANDLERS: dict[type[Command[Any]], Handler] = {}


def handles(kind: type[Command[Any]]) -> Callable[[H], H]:
    """Have a function run a command."""

    def register(handler: H) -> H:
        _HANDLERS[kind] = handler
        return handler

    return register


def run(call: Call) -> Payload:
    """Run a command and return its reply.

    Raises:
        Refusal: with the result code that the commander is told.
    """
    command = call.request.command
    life_cycle.check_command(call.memory, command)
    handler = _HANDLERS.get(type(command))
    if handler is None:
        raise Refusal(ResultCode.NOT_IMPLEMENTED)
    return handler(call, command)
