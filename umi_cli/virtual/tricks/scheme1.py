"""Tricks under scheme 1 (protocol 6.2)."""

from umi_cli.application.codes import PacketType
from umi_cli.application.payload import Payload
from umi_cli.application.security_commands import S1AuthRequest, S1AuthRequestReply
from umi_cli.crypto import MAC_BYTES
from umi_cli.security.authentication1 import new_nonce
from umi_cli.security.signatures import SCHEME_MAC
from umi_cli.virtual.dispatch import Call
from umi_cli.virtual.tricks.base import Trick

_SIGNATURE_SCHEME, _TYPE = 21, 28  # where they stand in a packet
_READS = (PacketType.READ_OBJECT_RESPONSE, PacketType.READ_OBJECT_PART_RESPONSE)


class TagBFalse(Trick):
    """A false meter does not hold the role's key."""

    NAME = "tag-b-false"
    TITLE = "proves itself with a tag that was made without the role's key"

    def run(self, call: Call) -> Payload:
        """Make something up; a false meter has no key to refuse with, either."""
        if not isinstance(call.request.command, S1AuthRequest):
            return super().run(call)
        self.strike()
        return S1AuthRequestReply(nonce_b=new_nonce(), tag_b=new_nonce()[:MAC_BYTES])


class MacWrong(Trick):
    """A response was changed on its way."""

    NAME = "mac-wrong"
    TITLE = "answers the first read with a MAC that is wrong"

    def packet_out(self, command: bytes, response: bytes) -> bytes:
        """Return the response with a bit of its MAC turned round."""
        is_clear = response[0] == 0 and response[_TYPE] in _READS
        if not is_clear or response[_SIGNATURE_SCHEME] != SCHEME_MAC or self.strikes:
            return response
        self.strike()
        return response[:-1] + bytes([response[-1] ^ 0x01])


SCHEME1_TRICKS: tuple[type[Trick], ...] = (TagBFalse, MacWrong)
