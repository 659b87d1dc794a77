"""What a link connection reports, and what it is told to do (protocol 2)."""

from dataclasses import dataclass

from umi_cli.link.fragment import MAX_PACKET_BYTES
from umi_cli.link.stream import DEFAULT_IDLE_GAP_S


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """How patient a connection is, and how much it takes."""

    timeout_s: float = 2.0
    """How long the peer may take to answer, without the time on the wire."""
    attempts: int = 3
    """How often a frame is sent in all before the exchange fails (protocol 2.3)."""
    idle_gap_s: float = DEFAULT_IDLE_GAP_S
    """A pause of that many seconds ends a frame."""
    byte_time_s: float = 0.0
    """How long a byte is on the wire; it extends the timeout by our frame and the answer."""
    limit_bytes: int = MAX_PACKET_BYTES
    """The longest packet to take from the peer."""
    accepts_commands: bool = False
    """Whether the peer may command us."""
    takes_address: bool = False
    """Whether we are a Peripheral: our address is the one that a Host's RESYNC is sent to."""


@dataclass(slots=True, kw_only=True)
class LinkAddresses:
    """Who talks to whom: addresses 0..15, both learnt from RESYNC (protocol 2.3)."""

    own: int = 0
    peer: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandReceived:
    """The peer sent a whole command; answer with `respond` or `refuse`."""

    packet: bytes
    source: int
    """The link address of who commands, as it stands in the frame."""
    destination: int
    """The link address that it was sent to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseReceived:
    """The response to our command is whole; the exchange is over."""

    packet: bytes
    is_busy: bool
    """The peer is still at work on the transaction (protocol 2.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkErrorReceived:
    """The peer's link layer refused our command: it did not run."""

    number: int
    """A `LinkErrorCode`, or a number nobody has defined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentErrorReceived:
    """The peer cannot put our fragments together: the command did not run."""

    number: int
    """A `FragmentErrorCode`, or a number nobody has defined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeFailed:
    """The exchange ended without a response. The next command re-syncs first."""

    reason: str
    may_have_run: bool
    """The whole command may have reached the peer: nobody can tell whether it ran."""


@dataclass(frozen=True, slots=True)
class Resynchronised:
    """The peer started over: all that was half done is gone."""


Event = (
    CommandReceived
    | ResponseReceived
    | LinkErrorReceived
    | FragmentErrorReceived
    | ExchangeFailed
    | Resynchronised
)
