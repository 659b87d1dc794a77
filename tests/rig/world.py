"""What stands at the other end of the wires? What a test supplies, and what the drivers need."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from tests.rig.records import Record, SpiTransfer

if TYPE_CHECKING:
    from tests.rig.rig import Rig

Made = TypeVar("Made", bound=Record)


class World(Protocol):
    """The board beyond the processor; all of it is called under `rig.lock`, one at a time.

    What a method raises goes to the program as its errno if it is an `OSError`, and fails the
    test, when the rig ends, if it is anything else.
    """

    def attach(self, rig: "Rig") -> None:
        """Take hold of the rig, before anything happens."""

    def transfer(self, transfer: SpiTransfer) -> bytes:
        """Return what is on MISO while `transfer.sent` is on MOSI: as many bytes."""
        ...

    def line_set(self, chip: str, name: str, level: bool) -> None:
        """Note that a program drives a line; an open drain that is high is let go of."""
        ...

    def line_released(self, chip: str, name: str) -> None:
        """Note that no program holds the line any longer."""
        ...


class EmptyWorld:
    """A board with nothing on it: a base for those that have something."""

    rig: "Rig"

    def attach(self, rig: "Rig") -> None:
        self.rig = rig

    def transfer(self, transfer: SpiTransfer) -> bytes:
        return bytes(len(transfer.sent))

    def line_set(self, chip: str, name: str, level: bool) -> None:
        pass

    def line_released(self, chip: str, name: str) -> None:
        pass


class Bench(Protocol):
    """What the drivers need of the rig."""

    world: World

    def record(self, kind: Callable[..., Made], **fields: object) -> Made:
        """Log an event that happens now."""
        ...

    def transfer(self, **fields: object) -> bytes:
        """Let the world answer a transfer, and log it before what it causes."""
        ...
