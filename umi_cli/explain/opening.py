"""How are captured packets opened with their session key? (protocol 6.3)

A packet carries the low byte of its counter only, so those that a session may have come to are
tried; a forged packet opens under none of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from umi_cli import crypto, wire
from umi_cli.application.packet import Envelope
from umi_cli.crypto import AesKey
from umi_cli.errors import MalformedError, SignatureError
from umi_cli.types import UmiId

IV_BYTES = 12
COUNTERS_TRIED = 256  # 65,536 packets: 32,768 exchanges, more than a session of a day


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpener:
    """Opens packets of one session; an `Opener` of `explain.packets`."""

    key: AesKey = field(repr=False)
    commander: UmiId | None = None
    """Who began the session, which is part of every IV; either end of a packet is tried if None."""
    iv: bytes | None = None
    """The IV, where it is known; nothing else is tried then."""

    def __call__(self, envelope: Envelope, sealed: bytes) -> bytes:
        """Return what follows an envelope in the clear; `MalformedError` if no IV opens it."""
        for iv in self._ivs(envelope):
            try:
                return crypto.gcm_open(self.key, iv, sealed, envelope.encode())
            except SignatureError:
                continue
        raise MalformedError(
            "it does not open: the key, the commander or the counter is another, or a bit is wrong"
        )

    def _ivs(self, envelope: Envelope) -> Iterator[bytes]:
        if self.iv is not None:
            yield self.iv
            return
        commanders = [self.commander] if self.commander else [envelope.destination, envelope.source]
        for turn in range(COUNTERS_TRIED):
            counter = wire.u32(envelope.encryption_options + 256 * turn)
            yield from (counter + commander.encode() for commander in commanders)
