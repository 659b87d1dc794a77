"""Who is at the other end of a virtual meter's line, and what it asked for."""

from dataclasses import dataclass, field
from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.certificates.cvc import Certificate
from umi_cli.security.session2 import SealedSession
from umi_cli.security.signatures import SCHEME_ECDSA, CommandSignature
from umi_cli.types import Role, UmiId


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A scheme 2 session with a commander."""

    sealed: SealedSession
    certificate: Certificate
    """The commander's, whose key the session key was made with."""
    role: Role
    """Of that certificate."""
    used_s: int
    """When it was used last, as a UMI datetime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command as it came, and in which right."""

    packet: bytes
    envelope: Envelope
    message: Message
    command: Command[Any]
    role: Role
    """What the commander may act as in this command."""
    signature: CommandSignature | None = None
    """Verified; None for a command that is not signed."""
    is_ahead: bool = False
    """Signed ahead, to be sent later: it may well be older than what came before it."""
    is_encrypted: bool = False

    @property
    def source(self) -> UmiId:
        """Return who commands."""
        return self.envelope.source

    @property
    def is_signed(self) -> bool:
        """Tell whether the command carries a signature or MAC of its own."""
        return self.signature is not None

    @property
    def is_certified(self) -> bool:
        """Tell whether the role is that of the source's own certificate.

        A key of scheme 1 is shared: it proves a role, but not who acts in it.
        """
        if self.signature is None:
            return self.is_encrypted
        return self.signature.scheme == SCHEME_ECDSA


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a command, before it is signed and sealed."""

    packet_type: PacketType
    result: ResultCode = ResultCode.OK
    payload: bytes = b""


@dataclass(slots=True, kw_only=True)
class Deferred:
    """A command that the meter is still at work on, or has just finished."""

    request: Request
    due: float
    """When the work is done: seconds, monotonic."""
    outcome: Outcome | None = None
    """What came of it, once the work is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A scheme 1 authentication that waits for the supplicant's proof (protocol 6.2)."""

    role: Role
    source: UmiId
    nonce_a: bytes
    nonce_b: bytes


@dataclass(slots=True, kw_only=True)
class Peer:
    """A peer of the meter; what is known of it is gone with the power."""

    line: str
    """Name of the line."""
    role: Role
    """What it acts as in a command that is neither signed nor encrypted."""
    deferred: Deferred | None = None
    subscribed_events: int = 0
    """Bit n stands for event n."""
    challenge: Challenge | None = None
    authenticated: dict[UmiId, Role] = field(default_factory=dict)
    """The role that each commander on the line has proved under scheme 1."""
    sessions: dict[UmiId, Session] = field(default_factory=dict)
    """The live session of each commander on the line."""
    ending: UmiId | None = None
    """Whose session ends as soon as its last response is sealed."""
    pending: dict[UmiId, Session] = field(default_factory=dict)
    """Sessions under which nothing has come yet."""
