"""Tests of scheme 1: proofs of a shared key, and commands with a MAC (protocol 6.2)."""

from dataclasses import replace

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import NoOperation
from umi_cli.application.security_commands import S1AuthReply, S1AuthRequest
from umi_cli.certify.bench import Bench, describe_result, expect_result
from umi_cli.certify.case import Need, NotApplicable, case, expect, fail
from umi_cli.crypto import AesKey
from umi_cli.errors import AuthenticationError
from umi_cli.security.authentication1 import NONCE_BYTES, Handshake, new_nonce
from umi_cli.security.signatures import SCHEME_MAC, sign_command
from umi_cli.types import Role, UmiId

LOCKED_S = 61
MAX_FAILURES = 3
WINDOW_S = 60
UNUSED_ROLE = 13
_ABSENT = (ResultCode.UNKNOWN_PACKET_TYPE, ResultCode.NOT_IMPLEMENTED)
_FAILED = ResultCode.AUTHENTICATION_FAILED


class _Proof:
    """One authentication, begun: the device has proved that it holds the key, or claims to."""

    def __init__(self, bench: Bench, role: Role, *, source: UmiId | None = None) -> None:
        self.bench = bench
        self.source = source or bench.meter.session.own_id
        self.device = bench.meter.session.identify()
        self.nonce_a = new_nonce()
        command = S1AuthRequest(role=role, nonce_a=self.nonce_a)
        message = bench.ask(self._packet(command), command)
        if message.argument in (*_ABSENT, _FAILED):
            raise NotApplicable(f"the device has no key for {role.label}")
        expect_result(message, command.title, ResultCode.OK)
        if len(message.payload) != 2 * NONCE_BYTES:
            fail(f"the reply has {len(message.payload)} bytes, not {2 * NONCE_BYTES}")
        self.nonce_b, self.tag_b = message.payload[:NONCE_BYTES], message.payload[NONCE_BYTES:]
        self.handshake = Handshake(
            role=role,
            supplicant=self.source,
            authenticator=self.device,
            nonce_a=self.nonce_a,
            nonce_b=self.nonce_b,
        )

    def _packet(self, command: S1AuthRequest | S1AuthReply) -> bytes:
        envelope = self.bench.envelope(source=self.source, destination=self.device)
        return envelope.encode() + self.bench.message(command).encode()

    def reply(self, tag: bytes) -> int:
        """Send a tag as our own proof; return the result code."""
        command = S1AuthReply(tag_a=tag)
        self.bench.at_end(self.bench.log_out)  # the tests that follow are a guest's
        return self.bench.ask(self._packet(command), command).argument


def _succeed(bench: Bench) -> None:
    """Authenticate, so that the device counts failures anew."""
    credentials = bench.role_key()
    proof = _Proof(bench, credentials.role)
    code = proof.reply(proof.handshake.tag_a(credentials.key))
    expect(code == ResultCode.OK, f"a right proof was answered with {ResultCode(code).name}")


@case(
    "SEC-080",
    "the device proves itself first",
    clause="6.2",
    mark="C",
    sends="S1_AUTH_REQUEST in the role whose key we hold",
    expects="a nonce, and a tag that our key verifies",
    advice="CMAC over the label, direction 2, role, IDs B and A, nonces B and A.",
    needs=(Need.ROLE_KEY,),
)
def _device_proof(bench: Bench) -> None:
    credentials = bench.role_key()
    proof = _Proof(bench, credentials.role)
    try:
        proof.handshake.verify_tag_b(credentials.key, proof.tag_b)
    except AuthenticationError as error:
        fail(str(error))


@case(
    "SEC-081",
    "a right proof authenticates",
    clause="6.2",
    mark="C",
    sends="S1_AUTH_REQUEST, S1_AUTH_REPLY with the right tag",
    expects="OK",
    advice="CMAC over the label, direction 1, role, IDs A and B, nonces A and B.",
    needs=(Need.ROLE_KEY,),
)
def _right(bench: Bench) -> None:
    _succeed(bench)


@case(
    "SEC-082",
    "a wrong proof does not authenticate",
    clause="6.2",
    mark="C",
    sends="S1_AUTH_REPLY with a tag of another key",
    expects="AUTHENTICATION_FAILED (129)",
    advice="Compare all 16 bytes, in constant time.",
    needs=(Need.ROLE_KEY,),
)
def _wrong(bench: Bench) -> None:
    role = bench.role_key().role
    proof = _Proof(bench, role)
    _expect_failed(proof.reply(proof.handshake.tag_a(AesKey(bench.random.randbytes(16)))))
    _succeed(bench)


def _expect_failed(code: int) -> None:
    expect(code == _FAILED, f"it was answered with {ResultCode(code).name} ({code})")


@case(
    "SEC-083",
    "a tag that agrees in its first bytes does not authenticate",
    clause="6.2",
    mark="C",
    sends="S1_AUTH_REPLY with the right tag but for its last bit",
    expects="AUTHENTICATION_FAILED (129)",
    advice="A tag that is compared in part is a shorter tag.",
    needs=(Need.ROLE_KEY,),
)
def _nearly(bench: Bench) -> None:
    credentials = bench.role_key()
    proof = _Proof(bench, credentials.role)
    tag = proof.handshake.tag_a(credentials.key)
    _expect_failed(proof.reply(tag[:-1] + bytes([tag[-1] ^ 1])))
    _succeed(bench)


@case(
    "SEC-084",
    "the device's own proof does not authenticate us",
    clause="6.2",
    mark="C",
    sends="S1_AUTH_REPLY with the tag that the device has just sent",
    expects="AUTHENTICATION_FAILED (129)",
    advice="The direction is part of what is proved: a tag cannot be sent back.",
    needs=(Need.ROLE_KEY,),
)
def _reflected(bench: Bench) -> None:
    proof = _Proof(bench, bench.role_key().role)
    _expect_failed(proof.reply(proof.tag_b))
    _succeed(bench)


@case(
    "SEC-085",
    "a proof is good once",
    clause="6.2",
    mark="C",
    sends="a right S1_AUTH_REPLY, and the same tag again",
    expects="OK, then AUTHENTICATION_FAILED (129)",
    advice="A challenge is gone with the first answer to it.",
    needs=(Need.ROLE_KEY,),
)
def _once(bench: Bench) -> None:
    credentials = bench.role_key()
    proof = _Proof(bench, credentials.role)
    tag = proof.handshake.tag_a(credentials.key)
    expect(proof.reply(tag) == ResultCode.OK, "the first proof was refused")
    _expect_failed(proof.reply(tag))


@case(
    "SEC-086",
    "a proof without a challenge is refused",
    clause="6.2",
    mark="C",
    sends="S1_AUTH_REPLY that no S1_AUTH_REQUEST came before",
    expects="AUTHENTICATION_FAILED (129), or the device has no scheme 1",
    advice="There is no nonce that it could be about.",
)
def _unasked(bench: Bench) -> None:
    command = S1AuthReply(tag_a=bytes(16))
    message = bench.result_of(command)
    if message.argument in _ABSENT:
        raise NotApplicable("the device has no scheme 1")
    expect_result(message, command.title, _FAILED)


@case(
    "SEC-087",
    "each challenge has a nonce of its own",
    clause="6.2",
    mark="C",
    sends="S1_AUTH_REQUEST, five times",
    expects="five different nonces",
    advice="A nonce that comes again lets an old proof authenticate.",
    needs=(Need.ROLE_KEY,),
)
def _nonces(bench: Bench) -> None:
    role = bench.role_key().role
    nonces = {_Proof(bench, role).nonce_b for _ in range(5)}
    expect(len(nonces) == 5, f"{len(nonces)} different nonces in five challenges")


@case(
    "SEC-088",
    "a proof belongs to the role that was asked for",
    clause="6.2",
    mark="C",
    sends="S1_AUTH_REPLY whose tag is over another role",
    expects="AUTHENTICATION_FAILED (129)",
    advice="The role is part of what is proved.",
    needs=(Need.ROLE_KEY,),
)
def _other_role(bench: Bench) -> None:
    credentials = bench.role_key()
    proof = _Proof(bench, credentials.role)
    other = Role.USER if credentials.role is not Role.USER else Role.SERVICE
    _expect_failed(proof.reply(replace(proof.handshake, role=other).tag_a(credentials.key)))
    _succeed(bench)


@case(
    "SEC-089",
    "a role that nobody has is refused",
    clause="6.1",
    mark="F",
    sends=f"S1_AUTH_REQUEST for role {UNUSED_ROLE}",
    expects="any result but OK",
    advice="12 to 14 are unused: they must have no key.",
)
def _unused_role(bench: Bench) -> None:
    message = bench.result_of(S1AuthRequest(role=UNUSED_ROLE, nonce_a=new_nonce()))
    if message.argument in _ABSENT:
        raise NotApplicable("the device has no scheme 1")
    expect(message.argument != ResultCode.OK, "it was answered with OK")


def _macd(bench: Bench, *, start_s: int, end_s: int, key: AesKey | None = None) -> bytes:
    """Return NO_OPERATION with a MAC, in a window around the device's time."""
    credentials = bench.role_key()
    device = bench.meter.session.identify()
    now_s = bench.result_of(NoOperation()).created_s
    envelope = bench.envelope(destination=device).encode()
    message = bench.message(NoOperation(), signature_scheme=SCHEME_MAC)
    record = sign_command(
        envelope + message.encode_unsigned(),
        key or credentials.key,
        role=credentials.role,
        valid_from_s=max(0, now_s + start_s),
        valid_until_s=max(0, now_s + end_s),
    )
    return envelope + replace(message, signature=record.encode()).encode()


def _expect(bench: Bench, packet: bytes, what: str, code: ResultCode) -> None:
    expect_result(bench.ask(packet, NoOperation()), what, code)


@case(
    "SEC-090",
    "a command with a right MAC is taken",
    clause="5",
    mark="C",
    sends="NO_OPERATION with a MAC of the role's key, within its window",
    expects="OK",
    advice="AES-128 CMAC over bytes 1 to 20, header, payload, and the record's first 11 bytes.",
    needs=(Need.ROLE_KEY,),
)
def _mac(bench: Bench) -> None:
    packet = _macd(bench, start_s=-WINDOW_S, end_s=WINDOW_S)
    _expect(bench, packet, "a right MAC", ResultCode.OK)


@case(
    "SEC-091",
    "a command with a wrong MAC is refused",
    clause="5",
    mark="C",
    sends="NO_OPERATION with a MAC of another key",
    expects="INVALID_SIGNATURE (128)",
    advice="All 16 bytes count.",
    needs=(Need.ROLE_KEY,),
)
def _wrong_mac(bench: Bench) -> None:
    key = AesKey(bench.random.randbytes(16))
    packet = _macd(bench, start_s=-WINDOW_S, end_s=WINDOW_S, key=key)
    _expect(bench, packet, "a wrong MAC", ResultCode.INVALID_SIGNATURE)


@case(
    "SEC-092",
    "a command with a MAC whose window is over is refused",
    clause="5",
    mark="C",
    sends="NO_OPERATION with a MAC for the hour before the last",
    expects="INVALID_SIGNATURE (128)",
    advice="The window counts in the device's own time.",
    needs=(Need.ROLE_KEY,),
)
def _late_mac(bench: Bench) -> None:
    packet = _macd(bench, start_s=-7200, end_s=-3600)
    _expect(bench, packet, "a MAC that is too old", ResultCode.INVALID_SIGNATURE)


@case(
    "SEC-099",
    "three failures lock a device for a while",
    clause="6.2",
    mark="C",
    sends=f"{MAX_FAILURES} wrong proofs, a right one, and after {LOCKED_S} s another right one",
    expects="UNAVAILABLE (10) to the first right one, OK to the second",
    advice="Count failures in memory that keeps: a power cut must not buy three more tries.",
    needs=(Need.ROLE_KEY, Need.CHANGES),
)
def _lock_out(bench: Bench) -> None:
    credentials = bench.role_key()
    for _ in range(MAX_FAILURES):
        proof = _Proof(bench, credentials.role)
        proof.reply(bytes(16))
    message = bench.result_of(S1AuthRequest(role=credentials.role, nonce_a=new_nonce()))
    bench.outlast(LOCKED_S)
    if message.argument != ResultCode.UNAVAILABLE:
        fail(f"after {MAX_FAILURES} failures it was answered with {describe_result(message)}")
    _succeed(bench)
