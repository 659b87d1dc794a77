"""What a maker may get wrong: the seams at which a virtual meter can be spoilt on purpose.

A sound meter has a `Defect` that spoils nothing. Each defect overrides the one seam that it needs,
so that the meter itself knows of none of them.
"""

from collections.abc import Callable
from typing import ClassVar, Literal

from umi_cli.application.payload import Payload
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import LinkAddresses, LinkSettings
from umi_cli.virtual import dispatch
from umi_cli.virtual.dispatch import Call
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.optical_sign_on import OpticalCharacter
from umi_cli.virtual.security import Security

PinTime = Literal["ready", "wake", "rise"]
"""From reset to ready, from select to awake, from the end of a frame to high (protocol 9)."""


class Defect:
    """Nothing is wrong. One instance belongs to one meter, and may keep state."""

    NAME: ClassVar[str] = ""
    """As `sim --defect` takes it."""
    TITLE: ClassVar[str] = ""
    """What the meter does wrong, as a sentence without its subject."""

    def new_link(self, settings: LinkSettings, addresses: LinkAddresses) -> LinkConnection:
        """Return the meter's end of a link."""
        return LinkConnection(settings, addresses)

    def bytes_in(self, link: LinkConnection, data: bytes) -> bytes:
        """Return what the meter's link takes of what arrived."""
        return data

    def frames_out(self, frame: bytes) -> list[bytes]:
        """Return what goes out in place of a frame of the meter's."""
        return [frame]

    def packet_in(self, packet: bytes) -> bytes:
        """Return the packet that the meter makes of one that came."""
        return packet

    def packet_out(self, command: bytes, response: bytes) -> bytes:
        """Return what goes out in place of a response packet."""
        return response

    def run(self, call: Call) -> Payload:
        """Run a command and return its reply; `Refusal` says why not."""
        return dispatch.run(call)

    def new_security(self, memory: Memory, now_s: Callable[[], int]) -> Security:
        """Return who judges what a commander may."""
        return Security(memory, now_s)

    def pin_s(self, what: PinTime, seconds: float) -> float:
        """Return how long INTB takes, as a Peripheral."""
        return seconds

    def optical(self, character: OpticalCharacter) -> OpticalCharacter:
        """Return how the optical port behaves."""
        return character
