"""Protections that believe or tell too much, in one thing each."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from umi_cli import crypto, wire
from umi_cli.application.codes import PacketType
from umi_cli.application.commands import NoOperation
from umi_cli.application.packet import Envelope, Message
from umi_cli.certificates.chain import verify_chain
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import Anchor, Purpose, Trust
from umi_cli.crypto import AesKey
from umi_cli.device.protection import Channel, Unprotected
from umi_cli.device.protection1 import Scheme1
from umi_cli.device.protection2 import Scheme2, check_device
from umi_cli.errors import MalformedError
from umi_cli.security.authentication1 import Handshake
from umi_cli.security.scheme0 import Scheme0
from umi_cli.types import EPOCH, UmiId

_LENGTH = slice(30, 32)
_OVERHEAD_BYTES = 34  # of a packet without payload and signature
_CODE_BYTES = 4


class TransactionUnchecked(Unprotected):
    """Whatever comes back answers what was sent."""

    def open(self, packet: bytes, sent: Message) -> tuple[Envelope, Message]:
        envelope, message = super().open(packet, sent)
        return envelope, replace(message, transaction=sent.transaction)


class IdsUnchecked(Unprotected):
    """Nobody else is on the line."""

    def open(self, packet: bytes, sent: Message) -> tuple[Envelope, Message]:
        envelope, message = super().open(packet, sent)
        return replace(envelope, destination=self._own, source=self._device), message

    def seal(
        self, envelope: Envelope, message: Message, channel: Channel, *, is_signed: bool
    ) -> tuple[bytes, Message]:
        self._own, self._device = envelope.source, envelope.destination
        return super().seal(envelope, message, channel, is_signed=is_signed)


class TypeUnchecked(Unprotected):
    """A response to a command is its response."""

    def open(self, packet: bytes, sent: Message) -> tuple[Envelope, Message]:
        envelope, message = super().open(packet, sent)
        is_error = message.packet_type == PacketType.ERROR
        own = message.packet_type if is_error else sent.packet_type + 1
        return envelope, replace(message, packet_type=own)


class ObjectUnchecked(Unprotected):
    """A value is that of the object that was asked for."""

    def open(self, packet: bytes, sent: Message) -> tuple[Envelope, Message]:
        envelope, message = super().open(packet, sent)
        payload = sent.payload[:_CODE_BYTES] + message.payload[_CODE_BYTES:]
        return envelope, replace(message, payload=payload)


class LengthUnchecked(Unprotected):
    """A payload ends where the packet ends."""

    def open(self, packet: bytes, sent: Message) -> tuple[Envelope, Message]:
        length = wire.u16(len(packet) - _OVERHEAD_BYTES)
        whole = packet[: _LENGTH.start] + length + packet[_LENGTH.stop :]
        return super().open(whole, sent)


class TrustsAnyone(Scheme2):
    """A certificate is a certificate."""

    def _verify(
        self, leaf: Certificate, above: list[Certificate], device: UmiId, channel: Channel
    ) -> None:
        return


class _Lenient(Scheme2):
    """All is verified but for one thing."""

    def _verify(
        self, leaf: Certificate, above: list[Certificate], device: UmiId, channel: Channel
    ) -> None:
        trust, purpose, at = self.lenient(leaf, above, device, channel)
        verify_chain(leaf, above, trust=trust, at=at, purpose=purpose)
        check_device(leaf)

    def lenient(
        self, leaf: Certificate, above: list[Certificate], device: UmiId, channel: Channel
    ) -> tuple[Trust, Purpose, datetime]:
        now = EPOCH.fromtimestamp(EPOCH.timestamp() + channel.utc_s(), EPOCH.tzinfo)
        return self._credentials.trust, Purpose(source=device), now


class TimeUnchecked(_Lenient):
    """A certificate holds for ever."""

    def lenient(self, leaf: Certificate, *args: Any) -> tuple[Trust, Purpose, datetime]:
        trust, purpose, _ = super().lenient(leaf, *args)
        # Its issuer's time is looked at, at a moment when both hold.
        return replace(trust, anchors=_without_time(trust)), purpose, leaf.body.valid_from


def _without_time(trust: Trust) -> tuple[Anchor, ...]:
    return tuple(
        Anchor(subject=each.subject, public_point=each.public_point) for each in trust.anchors
    )


class SubjectUnchecked(_Lenient):
    """A certificate of any device is the device's."""

    def lenient(self, leaf: Certificate, *args: Any) -> tuple[Trust, Purpose, datetime]:
        trust, _, at = super().lenient(leaf, *args)
        return trust, Purpose(), at


class ShownRootTrusted(_Lenient):
    """Whoever brings a root has one."""

    def lenient(
        self, leaf: Certificate, above: list[Certificate], *args: Any
    ) -> tuple[Trust, Purpose, datetime]:
        trust, purpose, at = super().lenient(leaf, above, *args)
        brought = tuple(Anchor.of(each) for each in above)
        return replace(trust, anchors=(*trust.anchors, *brought)), purpose, at


class RoleUnchecked(Scheme2):
    """Whoever has a certificate of our root is a device."""

    def _verify(
        self, leaf: Certificate, above: list[Certificate], device: UmiId, channel: Channel
    ) -> None:
        now = EPOCH.fromtimestamp(EPOCH.timestamp() + channel.utc_s(), EPOCH.tzinfo)
        purpose = Purpose(source=device)
        verify_chain(leaf, above, trust=self._credentials.trust, at=now, purpose=purpose)


class NaiveSession:
    """Seals and opens, and never ends; counters go up by a step."""

    def __init__(self, key: AesKey, commander: UmiId, step: int = 2) -> None:
        self._key, self._commander, self._step = key, commander, step
        self._counter = -step
        self.is_alive = True

    def _iv(self, counter: int) -> bytes:
        return wire.u32(counter) + self._commander.encode()

    def seal(self, envelope: bytes, inner: bytes) -> bytes:
        self._counter += self._step
        clear = envelope[:20] + wire.u8(self._counter & 0xFF)
        return clear + crypto.gcm_seal(self._key, self._iv(self._counter), inner, clear)

    def open(self, packet: bytes) -> bytes:
        iv = self._iv(self._counter + 1)
        return crypto.gcm_open(self._key, iv, packet[21:], packet[:21])

    def end(self) -> None:
        return


class NaiveScheme2(Scheme2):
    """A key is agreed on, whatever the salt, and a session is never doubted."""

    STEP = 2

    def _agree(self, channel: Channel, device: Certificate) -> None:
        self._session, self._is_confirmed, self._exchanges = None, False, 0
        salt_a = self._salt()
        salt_b = self._start(channel, salt_a)
        z = self._credentials.signer.exchange(device.body.public_point)
        key = crypto.session_key(z, salt_a, salt_b)
        self._session = NaiveSession(key, channel.own_id, self.STEP)  # type: ignore[assignment]
        channel.request_under(self, NoOperation())

    def _refuse_clear(self, packet: bytes, sent: Message) -> None:
        raise MalformedError("answered in the clear")

    def doubt(self) -> None:
        return


class CounterStands(NaiveScheme2):
    """Every packet is sealed under the same counter."""

    STEP = 0


class BelievesClear(Scheme2):
    """In a session, too, an answer in the clear is an answer."""

    def open(self, packet: bytes, sent: Message) -> tuple[Envelope, Message]:
        if packet[0] != 0:
            return super().open(packet, sent)
        assert self._session is not None
        self._session._turn = type(self._session._turn).SEAL
        return Scheme0().open(packet)


class ProvesFirst(Scheme1):
    """The device's proof is not verified."""

    def _verified(self, channel: Channel) -> Handshake:
        verify, Handshake.verify_tag_b = Handshake.verify_tag_b, _believe  # type: ignore[method-assign]
        try:
            return super()._verified(channel)
        finally:
            Handshake.verify_tag_b = verify  # type: ignore[method-assign]


def _believe(self: Handshake, key: AesKey, tag: bytes) -> None:
    return


class MacUnchecked(Scheme1):
    """A response is believed for its form."""

    def open(self, packet: bytes, sent: Message) -> tuple[Envelope, Message]:
        return self._scheme.open(packet)
