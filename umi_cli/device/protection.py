"""How a session is protected: what is proved, sealed and signed under each scheme (protocol 5, 6).

A protection is begun before the first command, and begun anew whenever it is in doubt: after a
lost answer, a wrong tag, a wrong counter. It is in memory only.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Command, Payload
from umi_cli.security.scheme0 import Scheme0
from umi_cli.types import Role, UmiId

if TYPE_CHECKING:
    from umi_cli.certificates.cvc import Certificate

R = TypeVar("R", bound=Payload)


class Channel(Protocol):
    """What a protection needs of its session to begin."""

    own_id: UmiId

    @property
    def device_now_s(self) -> int:
        """Return the device's time as far as we know it, as a UMI datetime."""
        ...

    def utc_s(self) -> int:
        """Return the host's time as a UMI datetime."""
        ...

    def identify(self) -> UmiId:
        """Return the device's UMI ID, asking for it if need be."""
        ...

    def request_in_clear(self, command: Command[R]) -> R:
        """Send a command without protection and return its reply."""
        ...

    def request_under(self, protection: "Protection", command: Command[R]) -> R:
        """Send a command under a protection and return its reply."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a session stands: what a security officer asks."""

    scheme: int
    role: Role
    is_authenticated: bool = False
    """The device has proved that it is who it says it is, and we have."""
    is_encrypted: bool = False
    is_confirmed: bool = False
    """The device has answered under the session key."""
    own_certificate: "Certificate | None" = None
    device_certificate: "Certificate | None" = None
    is_pinned: bool = False
    """The device's certificate is trusted because it was seen before, not by an anchor."""


class Protection(Protocol):
    """What stands between a command and the line."""

    number: int
    """The security scheme."""

    @property
    def is_ready(self) -> bool:
        """Tell whether commands can be sealed; if not, `begin` comes first."""
        ...

    @property
    def standing(self) -> Standing:
        """Return where the session stands."""
        ...

    def begin(self, channel: Channel) -> None:
        """Prove who we are, and make the device prove who it is.

        Raises:
            UmiError: one of us could not.
        """
        ...

    def seal(
        self, envelope: Envelope, message: Message, channel: Channel, *, is_signed: bool
    ) -> tuple[bytes, Message]:
        """Return the packet, and the message as it was signed."""
        ...

    def open(self, packet: bytes, sent: Message) -> tuple[Envelope, Message]:
        """Take a response apart, and believe it.

        Raises:
            MalformedError: it is not the response of a device under this protection.
            SessionDeadError: the device no longer knows the session.
        """
        ...

    def doubt(self) -> None:
        """Throw the session away: what was sent last may or may not have arrived."""
        ...

    def farewell(self) -> Command[Any] | None:
        """Return the command that ends the session, if there is one to end."""
        ...


class Unprotected:
    """Scheme 0: packets in the clear, and we are guest."""

    number = 0
    is_ready = True
    standing = Standing(scheme=0, role=Role.GUEST)

    def __init__(self) -> None:
        self._scheme = Scheme0()

    def begin(self, channel: Channel) -> None:
        """Prove nothing."""

    def seal(
        self, envelope: Envelope, message: Message, channel: Channel, *, is_signed: bool
    ) -> tuple[bytes, Message]:
        """Return the packet in the clear."""
        return self._scheme.seal(envelope, message), message

    def open(self, packet: bytes, sent: Message) -> tuple[Envelope, Message]:
        """Take a response in the clear apart; `MalformedError` if it is none."""
        return self._scheme.open(packet)

    def doubt(self) -> None:
        """Throw nothing away."""

    def farewell(self) -> Command[Any] | None:
        """Return nothing: there is no session to end."""
        return None
