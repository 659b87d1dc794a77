"""Who has which keys around a virtual meter, and what they send it, packet by packet."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.certificates.pki import (
    DEVICE_BODY,
    ROOT,
    ROOT_ID,
    ROOT_KEY,
    make_key,
    standard,
)
from tests.virtual.bench import START_S, Bench
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import ReadObject, WriteObject
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.application.security_commands import (
    S1AuthReply,
    S1AuthRequest,
    S1AuthRequestReply,
    S2AddCertificate,
    S2StartSession,
    S2StartSessionReply,
)
from umi_cli.certificates.cvc import Certificate
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.security.authentication1 import Handshake
from umi_cli.security.session2 import SealedSession, agree
from umi_cli.security.signatures import sign_command
from umi_cli.types import Role, UmiCode, UmiId
from umi_cli.virtual.delivered import VIRTUAL_METER_ID, new_memory
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.peer import Peer
from umi_cli.virtual.vault import Vault

COUNTER = UmiCode.parse("umi.255.0.0.65")
VALVE = UmiCode.parse("umi.255.0.0.32")
LOAD_LIMIT = UmiCode.parse("umi.255.0.0.48")
KEYS = UmiCode.parse("umi.255.0.0.16")
MANUFACTURER_ID = UmiCode.parse("umi.1.1.0.0")
CLOCK_CONTROL = UmiCode.parse("umi.1.1.194.32")
SALT_A = bytes(range(1, 17))

READ = ReadObject(code=MANUFACTURER_ID)
CLOSE_VALVE = WriteObject(code=VALVE, value=b"\x00")
"""What the roles service and utility supplier may do, and no guest."""
SET_LIMIT = WriteObject(code=LOAD_LIMIT, value=b"\xc4\x09\x00\x00")
"""What only a signed command does."""


def role_key(role: Role) -> AesKey:
    """Return the scheme 1 key of a role: each has its own."""
    return AesKey(bytes([0x80 + role]) * 16)


@dataclass(frozen=True, kw_only=True)
class Party:
    """Somebody with a UMI ID, a key and a certificate for it."""

    umi_id: UmiId
    key: PrivateKey
    certificate: Certificate


def party(
    number: int,
    role: Role = Role.SERVICE,
    *,
    issuer: UmiId = ROOT_ID,
    signer: PrivateKey = ROOT_KEY,
    key: PrivateKey | None = None,
    **changes: Any,
) -> Party:
    """Return a party that the root, or another issuer, has certified."""
    key = key or make_key(1000 + number)
    body = replace(
        DEVICE_BODY,
        issuer=issuer,
        subject=UmiId(number),
        serial=b"\x00" + number.to_bytes(8, "big"),
        public_point=key.public_point,
        authorisation=standard(role),
    )
    body = replace(body, **changes)
    return Party(umi_id=body.subject, key=key, certificate=Certificate.sign(body, signer))


METER = party(VIRTUAL_METER_ID.value, Role.METERING_DEVICE)
SERVICE = party(0x51)
USER = party(0x41, Role.USER)
SECURITY = party(0xF1, Role.SECURITY_AUTHORITY)
MANUFACTURER = party(0x61, Role.MANUFACTURER)


def vault(*known: Party) -> Vault:
    """Return the vault of a meter in the field, which knows these parties."""
    table = {each.umi_id: each.certificate for each in known}
    return Vault(
        signer=METER.key, chain=(METER.certificate,), anchors=(ROOT,), key_table=dict(table)
    )


def trusting_memory(*known: Party) -> Memory:
    """Return the memory of a meter in the field."""
    memory = new_memory("ei4", VIRTUAL_METER_ID)
    memory.vault = vault(*known)
    keys = b"".join(
        bytes(16) if number not in list(Role) else role_key(Role(number)).raw
        for number in range(16)
    )
    memory.store.values[KEYS] = bytes(16) + keys[16:]  # no key makes anybody a guest
    return memory


def secure_bench(*known: Party, **options: Any) -> Bench:
    """Return a meter in the field on the bench, which knows these parties."""
    return Bench(**({"memory": trusting_memory(*known)} | options))


Window = tuple[int, int]


def signed_packet(
    bench: Bench,
    command: Command[Any],
    key: PrivateKey | AesKey,
    role: Role,
    *,
    source: UmiId,
    destination: UmiId = VIRTUAL_METER_ID,
    window: Window | None = None,
    wanted: int = 0,
    transaction: int | None = None,
) -> bytes:
    """Return a packet in the clear with a signature or a MAC.

    Args:
        window: from when until when it holds; around the meter's clock if None.
        wanted: the signature scheme that it wants on the response.
    """
    scheme = 1 if isinstance(key, AesKey) else 2
    bench.transaction = bench.transaction + 1 if transaction is None else transaction
    envelope = Envelope(source=source, destination=destination)
    message = Message(
        transaction=bench.transaction,
        created_s=START_S + int(bench.now),
        packet_type=command.TYPE,
        argument=wanted,
        payload=command.encode(),
        signature_scheme=scheme,
    )
    start_s, end_s = window or (bench.clock_s - 60, bench.clock_s + 300)
    record = sign_command(
        envelope.encode() + message.encode_unsigned(),
        key,
        role=role,
        valid_from_s=start_s,
        valid_until_s=end_s,
    )
    return envelope.encode() + replace(message, signature=record.encode()).encode()


def signed_by(bench: Bench, command: Command[Any], who: Party, **options: Any) -> bytes:
    """Return a packet in the clear that a party has signed in its certificate's role."""
    role = who.certificate.body.authorisation.role  # type: ignore[union-attr]
    return signed_packet(
        bench, command, who.key, options.pop("role", role), source=who.umi_id, **options
    )


def with_mac(bench: Bench, command: Command[Any], role: Role, **options: Any) -> bytes:
    """Return a packet in the clear with the MAC of a role."""
    given: dict[str, Any] = {"source": SERVICE.umi_id, "wanted": 1, "key": role_key(role)}
    options = given | options
    return signed_packet(bench, command, options.pop("key"), role, **options)


def told(bench: Bench, packet: bytes, peer: Peer | None = None) -> ResultCode:
    """Return the result code of what is answered in the clear, to a command or with an ERROR."""
    return ResultCode(bench.message(packet, peer).argument)


def in_clear(bench: Bench, command: Command[Any], source: UmiId, **options: Any) -> Message:
    """Return what is answered to a command in the clear, without a signature."""
    peer = options.pop("peer", None)
    return bench.message(bench.packet(command, source=source, **options), peer)


class Commander:
    """A party that has a sealed session with a meter on the bench."""

    def __init__(
        self, bench: Bench, who: Party, peer: Peer | None = None, *, salt_a: bytes = SALT_A
    ) -> None:
        self.bench, self.who, self.peer = bench, who, peer
        message = in_clear(bench, S2StartSession(salt_a=salt_a), who.umi_id, peer=peer)
        assert message.argument == ResultCode.OK, ResultCode(message.argument).name
        salt_b = S2StartSessionReply.decode(message.payload).salt_b
        key = agree(who.key, METER.key.public_point, salt_a, salt_b)
        self.session = SealedSession.of_commander(key, who.umi_id)

    def seal(
        self,
        command: Command[Any],
        *,
        sign: bool = False,
        wanted: int | None = None,
        transaction: int | None = None,
        change: Callable[[Message], Message] = lambda message: message,
    ) -> bytes:
        """Return the encrypted packet of a command."""
        bench = self.bench
        bench.transaction = bench.transaction + 1 if transaction is None else transaction
        envelope = Envelope(
            source=self.who.umi_id, destination=VIRTUAL_METER_ID, encryption_scheme=2
        )
        message = Message(
            transaction=bench.transaction,
            created_s=START_S + int(bench.now),
            packet_type=command.TYPE,
            argument=(2 if sign else 0) if wanted is None else wanted,
            payload=command.encode(),
            signature_scheme=2 if sign else 0,
        )
        if sign:
            record = sign_command(
                envelope.encode() + message.encode_unsigned(),
                self.who.key,
                role=self.who.certificate.body.authorisation.role,  # type: ignore[union-attr]
                valid_from_s=bench.clock_s - 60,
                valid_until_s=bench.clock_s + 300,
            )
            message = replace(message, signature=record.encode())
        return self.session.seal(envelope.encode(), change(message).encode())

    def open(self, packet: bytes | None) -> Message:
        """Return the message of an encrypted answer."""
        assert packet is not None
        assert packet[0] == 2, f"answered in the clear: {Message.decode(packet[ENVELOPE_BYTES:])}"
        return Message.decode(self.session.open(packet))

    def ask(self, command: Command[Any], **options: Any) -> Message:
        """Send a command under the session and return what is answered."""
        return self.open(self.bench.execute(self.seal(command, **options), self.peer).packet)

    def told(self, command: Command[Any], **options: Any) -> ResultCode:
        """Return the result code that a command under the session gets."""
        return ResultCode(self.ask(command, **options).argument)


def introduce(bench: Bench, *parties: Party) -> None:
    """Hand over certificates in the clear."""
    for each in parties:
        command = S2AddCertificate(certificate=each.certificate.encode())
        assert in_clear(bench, command, each.umi_id).argument == ResultCode.OK


def authenticate(
    bench: Bench,
    role: Role = Role.SERVICE,
    *,
    key: AesKey | None = None,
    source: UmiId = SERVICE.umi_id,
    peer: Peer | None = None,
    spoil: int = 0,
) -> ResultCode:
    """Authenticate under scheme 1, and return what came of it.

    Args:
        spoil: which bits of the first byte of the proof to turn over.
    """
    request = S1AuthRequest(role=role, nonce_a=bytes(range(16)))
    message = in_clear(bench, request, source, peer=peer)
    if message.argument:
        return ResultCode(message.argument)
    reply = S1AuthRequestReply.decode(message.payload)
    handshake = Handshake(
        role=role,
        supplicant=source,
        authenticator=bench.memory.umi_id,
        nonce_a=request.nonce_a,
        nonce_b=reply.nonce_b,
    )
    tag = handshake.tag_a(key or role_key(role))
    tag = bytes([tag[0] ^ spoil]) + tag[1:]
    message = in_clear(bench, S1AuthReply(tag_a=tag), source, peer=peer)
    assert message.packet_type in (PacketType.S1_AUTH_REPLY_RESPONSE, PacketType.ERROR)
    return ResultCode(message.argument)
