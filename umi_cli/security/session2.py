"""How is a scheme 2 session kept safe? Its key, and its counters. (protocol 6.3)

One nonce may never seal two texts. A command takes counter n and its response n+1, under the same
key and the commander's UMI ID; so uniqueness depends on both ends, and on neither ever guessing.
"""

from enum import Enum, auto
from typing import Self

from umi_cli import crypto, wire
from umi_cli.crypto import SALT_BYTES, AesKey, Secret, Signer
from umi_cli.errors import MalformedError, SessionDeadError, SignatureError
from umi_cli.types import UmiId

CLEAR_BYTES = 21  # protocol 3.1: in the clear, authenticated
SCHEME = 2

# choice: protocol 6.3 ends a session "long before 2³²": the counter never comes near its wrap
LAST_COUNTER = 0xFFFF_0000

_SOURCE = slice(4, 12)  # offsets in the packet
_DESTINATION = slice(12, 20)
_ENCRYPTION_OPTIONS = 20
_COUNTERS_PER_EXCHANGE = 2  # the command's and its response's


def agree(signer: Signer, peer_point: bytes, salt_a: bytes, salt_b: bytes) -> AesKey:
    """Derive the session key from our key, the peer's verified certificate and both salts.

    Args:
        peer_point: from a certificate that was verified: an unverified one is a man in the middle.

    Raises:
        MalformedError: salt B repeats salt A or is all zero, a salt has another length, or the
            point is none of the curve.
    """
    if len(salt_a) != SALT_BYTES or len(salt_b) != SALT_BYTES:
        raise MalformedError(f"a session salt has {SALT_BYTES} bytes")
    if salt_b == salt_a or not any(salt_b):
        raise MalformedError("the peer's session salt is not random")
    return crypto.session_key(signer.exchange(peer_point), salt_a, salt_b)


class _Turn(Enum):
    SEAL = auto()
    OPEN = auto()
    NEVER = auto()


class SealedSession(Secret):
    """One end of a scheme 2 session: seals and opens packets, and keeps the counters.

    The commander seals a command, then opens its response; the responder opens a command, then
    seals its response. `seal` and `open` alternate, and anything else ends the session.

    Invariants:
        - Every seal has a counter above all that this end has sealed or opened with before, so
          no nonce seals two texts. The responder answers n with n+1 and nothing else.
        - Both counters of an exchange are reserved before the command is sealed.
        - While a call runs the session counts as dead, and comes back to life only when the call
          succeeds: a bad tag, a wrong counter, an interrupt or any error is final.
        - The session ends at `LAST_COUNTER`, before the counter could wrap.
        - It is in memory only: it cannot be copied or pickled.

    They hold as long as each end begins one session per key and commander. A repeat on the link
    is the caller's to make, from the packet that `seal` returned. After a timeout the caller must
    `end` the session. A device that publishes events is the commander of a second
    `SealedSession`, under the same key and its own UMI ID.
    """

    __slots__ = ("_commander", "_is_commander", "_key", "_next", "_response", "_turn")

    def __init__(self, key: AesKey, commander: UmiId, *, is_commander: bool) -> None:
        self._key = key
        self._commander = commander
        self._is_commander = is_commander
        self._turn = _Turn.SEAL if is_commander else _Turn.OPEN
        self._next = 0  # of the next command: all below has been used or given up
        self._response = 0  # of the response that is due, where one is

    @classmethod
    def of_commander(cls, key: AesKey, commander: UmiId) -> Self:
        """Begin the commander's end of a session under a fresh key."""
        return cls(key, commander, is_commander=True)

    @classmethod
    def of_responder(cls, key: AesKey, commander: UmiId) -> Self:
        """Begin the responder's end of a session under a fresh key."""
        return cls(key, commander, is_commander=False)

    @property
    def commander(self) -> UmiId:
        """Return the commander's UMI ID, which is part of every nonce."""
        return self._commander

    @property
    def is_alive(self) -> bool:
        """Tell whether the session can go on."""
        return self._turn is not _Turn.NEVER

    @property
    def exchanges_left(self) -> int:
        """Return how many commands the session can still take before it must be renewed."""
        if not self.is_alive:
            return 0
        return max(0, (LAST_COUNTER - self._next) // _COUNTERS_PER_EXCHANGE + 1)

    def pass_over(self) -> None:
        """Leave a command's counter and its response's unused, as where a command was lost.

        Raises:
            SessionDeadError: the session has ended, or it is not our turn.
        """
        self._begin(_Turn.SEAL)
        self._reserve(self._next)
        self._turn = _Turn.SEAL

    def end(self) -> None:
        """End the session for good: after END_SESSION, a timeout, or any doubt."""
        self._turn = _Turn.NEVER

    def seal(self, envelope: bytes, inner: bytes) -> bytes:
        """Seal a packet: a command as the commander, the response that is due as the responder.

        Args:
            envelope: the 21 bytes in the clear; the last one, encryption options, is filled in.
            inner: header, payload and signature record, byte 21 to the end.

        Returns:
            The packet as it goes out; a link repeat sends these very bytes.

        Raises:
            SessionDeadError: the session has ended, it is not our turn, or counters are used up.
            MalformedError: the envelope is not one of this session.
        """
        self._begin(_Turn.SEAL)
        self._check_envelope(envelope, by_commander=self._is_commander)
        counter = self._reserve(self._next) if self._is_commander else self._response
        clear = envelope[:_ENCRYPTION_OPTIONS] + wire.u8(counter & 0xFF)
        packet = clear + crypto.gcm_seal(self._key, self._iv(counter), inner, clear)
        self._turn = _Turn.OPEN
        return packet

    def open(self, packet: bytes) -> bytes:
        """Open a packet: the response that is due as the commander, a command as the responder.

        Returns:
            Header, payload and signature record, byte 21 to the end.

        Raises:
            SessionDeadError: the session has ended, it is not the peer's turn, or counters are
                used up.
            MalformedError: the packet is too short, of another scheme, or has other UMI IDs.
            SignatureError: the counter or the tag is wrong.
        """
        self._begin(_Turn.OPEN)
        clear, sealed = packet[:CLEAR_BYTES], packet[CLEAR_BYTES:]
        self._check_envelope(clear, by_commander=not self._is_commander)
        options = clear[_ENCRYPTION_OPTIONS]
        counter = self._response if self._is_commander else self._reserve(self._follow(options))
        if options != counter & 0xFF:
            raise SignatureError("the packet has a wrong counter; the session is over")
        inner = crypto.gcm_open(self._key, self._iv(counter), sealed, clear)
        self._turn = _Turn.SEAL
        return inner

    def _begin(self, turn: _Turn) -> None:
        """Take the turn, and leave the session dead until the call has succeeded."""
        due, self._turn = self._turn, _Turn.NEVER
        if due is _Turn.NEVER:
            raise SessionDeadError("the sealed session has ended")
        if due is not turn:
            raise SessionDeadError("the sealed session ended: command and response got out of step")

    def _check_envelope(self, envelope: bytes, *, by_commander: bool) -> None:
        if len(envelope) != CLEAR_BYTES or envelope[0] != SCHEME:
            raise MalformedError("not a packet under encryption scheme 2")
        if envelope[_SOURCE if by_commander else _DESTINATION] != self._commander.encode():
            raise MalformedError("the packet is not of this session: it has other UMI IDs")

    def _reserve(self, counter: int) -> int:
        """Set a command's counter and its response's aside, and return the command's."""
        if counter > LAST_COUNTER:
            raise SessionDeadError("the sealed session ended: its counters are used up")
        self._next = counter + _COUNTERS_PER_EXCHANGE
        self._response = counter + 1
        return counter

    def _follow(self, options: int) -> int:
        """Return the commander's counter, of which a packet carries the low byte only.

        It is never below the next one; commands that never arrived may have taken some between,
        two at a time.
        """
        skipped = (options - self._next) & 0xFF
        return self._next + skipped - skipped % _COUNTERS_PER_EXCHANGE

    def _iv(self, counter: int) -> bytes:
        return wire.u32(counter) + self._commander.encode()
