"""Tricks in a session of scheme 2 (protocol 6.3)."""

from dataclasses import replace

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import NoOperation
from umi_cli.application.packet import (
    ENVELOPE_BYTES,
    MESSAGE_HEADER_BYTES,
    NO_SIGNATURE,
    Envelope,
    Message,
)
from umi_cli.application.payload import Payload
from umi_cli.application.security_commands import S2EndSession, S2StartSession, S2StartSessionReply
from umi_cli.crypto import SALT_BYTES, TAG_BYTES
from umi_cli.virtual.dispatch import Call
from umi_cli.virtual.peer import Outcome
from umi_cli.virtual.refusal import Refusal
from umi_cli.virtual.tricks.base import Means, Timed, Trick

SEALED = 2  # the encryption scheme, first byte of a packet
SHORTEST_SEALED_BYTES = ENVELOPE_BYTES + MESSAGE_HEADER_BYTES + len(NO_SIGNATURE) + TAG_BYTES
"""Of NO_OPERATION and S2_END_SESSION, which carry nothing."""


def _with_tag_spoilt(packet: bytes) -> bytes:
    return packet[:-1] + bytes([packet[-1] ^ 0x01])


class SaltZero(Trick):
    """There is no source of chance."""

    NAME = "salt-zero"
    TITLE = "answers S2_START_SESSION with a salt of zeros"

    def run(self, call: Call) -> Payload:
        """Give the salt that the trick is about."""
        reply = super().run(call)
        command = call.request.command
        if not isinstance(command, S2StartSession):
            return reply
        self.strike()
        return S2StartSessionReply(salt_b=self.salt(command.salt_a))

    def salt(self, salt_a: bytes) -> bytes:
        """Return the meter's half of the salt."""
        return bytes(SALT_BYTES)


class SaltRepeated(SaltZero):
    """The reader's own half is sent back."""

    NAME = "salt-same"
    TITLE = "answers S2_START_SESSION with the reader's own salt"

    def salt(self, salt_a: bytes) -> bytes:
        """Return the reader's half."""
        return salt_a


class SealedTrick(Trick):
    """Something is wrong with the response to the first command that does something in a session.

    (NO_OPERATION, which confirms the key, and S2_END_SESSION do nothing.)
    """

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._due: Outcome | None = None
        self._before = b""

    def run(self, call: Call) -> Payload:
        """Run a command, and see whether its response is the one to spoil."""
        request = call.request
        is_idle = isinstance(request.command, NoOperation | S2EndSession)
        is_due = request.is_encrypted and not is_idle and not self.strikes
        kind = request.command.REPLY.TYPE
        try:
            reply = super().run(call)
        except Refusal as refusal:
            self._due = Outcome(packet_type=kind, result=refusal.code) if is_due else None
            raise
        self._due = Outcome(packet_type=kind, payload=reply.encode()) if is_due else None
        return reply

    def packet_out(self, command: bytes, response: bytes) -> bytes:
        """Return what goes out in place of a response."""
        due, self._due = self._due, None
        if response[0] != SEALED:
            return response
        before, self._before = self._before, response
        if due is None:
            return response
        self.strike()
        return self.spoil(command, response, due, before)

    def spoil(self, command: bytes, response: bytes, outcome: Outcome, before: bytes) -> bytes:
        """Return what goes out in place of the response.

        Args:
            command: that is answered.
            response: sealed, as it should go out.
            outcome: what is in it.
            before: the sealed response before it, if there was one.
        """
        return response


class ClearInSession(SealedTrick):
    """Somebody answers in the clear."""

    NAME = "clear-in-session"
    TITLE = "answers a command in a session in the clear"

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._transaction = self._created_s = 0

    def spoil(self, command: bytes, response: bytes, outcome: Outcome, before: bytes) -> bytes:
        """Return the response without its seal.

        Its transaction number is sealed in the command; what was run last tells it.
        """
        clear = replace(Envelope.decode(response), encryption_scheme=0, encryption_options=0)
        message = Message(
            transaction=self._transaction,
            created_s=self._created_s,
            packet_type=outcome.packet_type,
            argument=outcome.result,
            payload=outcome.payload,
        )
        return clear.encode() + message.encode()

    def run(self, call: Call) -> Payload:
        """Run a command, and keep what its response must repeat."""
        self._transaction = call.request.message.transaction
        self._created_s = call.security.now_s
        return super().run(call)


class TagWrong(SealedTrick):
    """A sealed response is damaged, or forged."""

    NAME = "tag-wrong"
    TITLE = "answers a command in a session under a wrong tag"

    def spoil(self, command: bytes, response: bytes, outcome: Outcome, before: bytes) -> bytes:
        """Return the response with a bit of its tag turned round."""
        return _with_tag_spoilt(response)


class ResponseReplayed(SealedTrick):
    """Somebody sends what the meter has said before."""

    NAME = "response-replayed"
    TITLE = "answers a command in a session with the sealed response before"

    def spoil(self, command: bytes, response: bytes, outcome: Outcome, before: bytes) -> bytes:
        """Return the response before; the one that is due, damaged, where there is none."""
        return before or _with_tag_spoilt(response)


class SealedLost(SealedTrick):
    """A sealed response never arrives."""

    NAME = "sealed-lost"
    TITLE = "loses the response to a command in a session"

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._is_next = False
        self._lost = b""

    def spoil(self, command: bytes, response: bytes, outcome: Outcome, before: bytes) -> bytes:
        """Have the link lose it."""
        self._is_next = True
        return response

    def on_line(self, frame: bytes) -> list[Timed]:
        """Lose the frame that is to be lost."""
        if self._is_next:
            self._is_next, self._lost = False, frame
            return []
        return [] if self.is_lost(frame) else [(0.0, frame)]

    def is_lost(self, frame: bytes) -> bool:
        """Tell whether a frame is lost after the first one was."""
        return False


class SealedUnanswered(SealedLost):
    """A sealed response is lost for good."""

    NAME = "sealed-unanswered"
    TITLE = "loses the response to a command in a session, however often it is asked for"

    def is_lost(self, frame: bytes) -> bool:
        """Lose the same response again, until another one is due."""
        if frame != self._lost:
            self._lost = b""
        return bool(self._lost)


class SessionForgotten(Trick):
    """The meter has lost its session, as after a power cut."""

    NAME = "session-forgotten"
    TITLE = "answers a command in a session with NO_SESSION (17), and has forgotten the session"

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._sealed = 0

    def packet_in(self, packet: bytes) -> bytes:
        """Return a command in the session as one that cannot be opened."""
        if packet[:1] != bytes([SEALED]):
            return packet
        self._sealed += 1
        is_idle = len(packet) <= SHORTEST_SEALED_BYTES
        if self.strikes or self._sealed == 1 or is_idle:  # the first confirms the key
            return packet
        self.strike()
        return _with_tag_spoilt(packet)


class ConfirmationRefused(Trick):
    """NO_OPERATION is not offered."""

    NAME = "confirmation-refused"
    TITLE = "answers NO_OPERATION in a session with NOT_IMPLEMENTED (7), sealed"

    def run(self, call: Call) -> Payload:
        """Refuse it."""
        reply = super().run(call)
        if call.request.is_encrypted and isinstance(call.request.command, NoOperation):
            self.strike()
            raise Refusal(ResultCode.NOT_IMPLEMENTED)
        return reply


SESSION_TRICKS: tuple[type[Trick], ...] = (
    SaltZero,
    SaltRepeated,
    ClearInSession,
    TagWrong,
    ResponseReplayed,
    SealedLost,
    SealedUnanswered,
    SessionForgotten,
    ConfirmationRefused,
)
