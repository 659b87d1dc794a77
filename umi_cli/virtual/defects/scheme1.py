"""Defects of scheme 1 (protocol 6.2)."""

from dataclasses import replace

from umi_cli.application.codes import ResultCode
from umi_cli.application.payload import Payload
from umi_cli.application.security_commands import (
    S1AuthReply,
    S1AuthReplyReply,
    S1AuthRequest,
    S1AuthRequestReply,
)
from umi_cli.security.authentication1 import NONCE_BYTES, Handshake, new_nonce
from umi_cli.types import Role
from umi_cli.virtual import dispatch
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.dispatch import Call
from umi_cli.virtual.peer import Challenge
from umi_cli.virtual.refusal import Refusal

HALF_BYTES = 8


def _handshake(call: Call, challenge: Challenge) -> Handshake:
    return Handshake(
        role=challenge.role,
        supplicant=challenge.source,
        authenticator=call.memory.umi_id,
        nonce_a=challenge.nonce_a,
        nonce_b=challenge.nonce_b,
    )


class DeviceUnproved(Defect):
    """The device proves nothing."""

    NAME = "scheme-1-device-unproved"
    TITLE = "sends a tag that proves nothing"

    def run(self, call: Call) -> Payload:
        """Return the reply with another tag."""
        reply = dispatch.run(call)
        return replace(reply, tag_b=new_nonce()) if isinstance(reply, S1AuthRequestReply) else reply


class _ReplyJudged(Defect):
    """A supplicant's proof is judged in a way of its own."""

    def run(self, call: Call) -> Payload:
        """Judge the proof, or leave it to the sound judge."""
        command, challenge = call.request.command, call.peer.challenge
        if isinstance(command, S1AuthReply) and self.is_taken(call, command.tag_a, challenge):
            if challenge is not None:
                call.peer.authenticated[call.source] = challenge.role
            call.peer.challenge = None
            return S1AuthReplyReply()
        return dispatch.run(call)

    def is_taken(self, call: Call, tag: bytes, challenge: Challenge | None) -> bool:
        """Tell whether a proof is taken although it may be wrong."""
        return False


class AnyTag(_ReplyJudged):
    """Every proof is right."""

    NAME = "scheme-1-any-tag"
    TITLE = "takes every proof"

    def is_taken(self, call: Call, tag: bytes, challenge: Challenge | None) -> bool:
        """Take it."""
        return challenge is not None


class HalfTag(_ReplyJudged):
    """Half of a tag is compared."""

    NAME = "scheme-1-half-tag"
    TITLE = "compares the first 8 bytes of a proof alone"

    def is_taken(self, call: Call, tag: bytes, challenge: Challenge | None) -> bool:
        """Compare the first half."""
        if challenge is None:
            return False
        right = _handshake(call, challenge).tag_a(call.security.role_key(challenge.role))
        return tag[:HALF_BYTES] == right[:HALF_BYTES]


class TagReflected(_ReplyJudged):
    """The direction of a tag does not matter."""

    NAME = "scheme-1-tag-reflected"
    TITLE = "takes its own proof as one of its supplicant"

    def is_taken(self, call: Call, tag: bytes, challenge: Challenge | None) -> bool:
        """Compare with the own proof."""
        if challenge is None:
            return False
        return tag == _handshake(call, challenge).tag_b(call.security.role_key(challenge.role))


class ProofAgain(_ReplyJudged):
    """A proof that was right stays right."""

    NAME = "scheme-1-proof-again"
    TITLE = "takes a proof a second time"

    def __init__(self) -> None:
        self._last = b""

    def is_taken(self, call: Call, tag: bytes, challenge: Challenge | None) -> bool:
        """Compare with the proof before."""
        is_again = challenge is None and tag == self._last
        self._last = tag
        return is_again


class Unasked(_ReplyJudged):
    """A proof needs no challenge."""

    NAME = "scheme-1-unasked"
    TITLE = "takes a proof that it has not asked for"

    def is_taken(self, call: Call, tag: bytes, challenge: Challenge | None) -> bool:
        """Take it."""
        return challenge is None


class RightRefused(Defect):
    """No proof is right."""

    NAME = "scheme-1-right-refused"
    TITLE = "refuses every proof"

    def run(self, call: Call) -> Payload:
        """Refuse it."""
        if isinstance(call.request.command, S1AuthReply):
            raise Refusal(ResultCode.AUTHENTICATION_FAILED)
        return dispatch.run(call)


class NonceRepeated(Defect):
    """There is no source of chance."""

    NAME = "scheme-1-nonce-repeated"
    TITLE = "sends the same nonce in every challenge"
    NONCE = b"\x5a" * NONCE_BYTES

    def run(self, call: Call) -> Payload:
        """Return a challenge with the nonce that it always has."""
        reply = dispatch.run(call)
        challenge = call.peer.challenge
        if not isinstance(reply, S1AuthRequestReply) or challenge is None:
            return reply
        call.peer.challenge = replace(challenge, nonce_b=self.NONCE)
        key = call.security.role_key(challenge.role)
        tag = _handshake(call, call.peer.challenge).tag_b(key)
        return S1AuthRequestReply(nonce_b=self.NONCE, tag_b=tag)


class UnusedRole(Defect):
    """Every number is a role."""

    NAME = "scheme-1-unused-role"
    TITLE = "begins to authenticate roles that nobody has"

    def run(self, call: Call) -> Payload:
        """Return something for a role without a name."""
        command = call.request.command
        if isinstance(command, S1AuthRequest) and command.role not in list(Role):
            return S1AuthRequestReply(nonce_b=new_nonce(), tag_b=new_nonce())
        return dispatch.run(call)


class NoLockOut(Defect):
    """Keys may be tried for ever."""

    NAME = "scheme-1-no-lock-out"
    TITLE = "does not lock after failed proofs"

    def run(self, call: Call) -> Payload:
        """Count no failure."""
        try:
            return dispatch.run(call)
        finally:
            call.memory.lockout.succeed()
            call.memory.lockout.locked_until_s = 0


SCHEME1_DEFECTS: tuple[type[Defect], ...] = (
    DeviceUnproved,
    AnyTag,
    HalfTag,
    TagReflected,
    ProofAgain,
    Unasked,
    RightRefused,
    NonceRepeated,
    UnusedRole,
    NoLockOut,
)
