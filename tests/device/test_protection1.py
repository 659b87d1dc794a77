"""Scheme 1 at the client's end, and through a real exchange with the virtual meter."""

from dataclasses import replace
from typing import Any

import pytest

from tests.device.between import (
    Attack,
    Between,
    Forward,
    changed,
    forged,
    honest,
    parsed,
    type_of,
    under_scheme1,
)
from tests.load_vectors import octets, vector
from tests.virtual.parties import (
    COUNTER,
    KEYS,
    LOAD_LIMIT,
    SERVICE,
    VALVE,
    role_key,
    trusting_memory,
)
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import NoOperation, ReadObject, WriteObject
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope
from umi_cli.application.security_commands import S1AuthRequest, S1AuthRequestReply
from umi_cli.crypto import AesKey
from umi_cli.device import protection1
from umi_cli.device.credentials import Scheme1Credentials
from umi_cli.device.protection1 import Scheme1
from umi_cli.errors import (
    AccessDeniedError,
    AuthenticationError,
    LockedOutError,
    MalformedError,
    OutcomeUnknownError,
    RefusedError,
    SignatureError,
)
from umi_cli.security.signatures import CommandSignature, sign_response
from umi_cli.types import EPOCH_UNIX_S, Role, RoleSet, UmiCode, UmiId
from umi_cli.virtual import security_handlers
from umi_cli.virtual.delivered import VIRTUAL_METER_ID

PT = PacketType
KEY = role_key(Role.SERVICE)
HANDSHAKE = [PT.READ_OBJECT, PT.S1_AUTH_REQUEST, PT.S1_AUTH_REPLY, PT.NO_OPERATION]
"""What is sent before the first command: who are you, prove it, so do I, and what time is it."""


def only(kind: int, change: Attack) -> Attack:
    """Attack the commands of one type alone."""

    def attack(packet: bytes, forward: Forward) -> bytes | None:
        return change(packet, forward) if type_of(packet) == kind else forward(packet)

    return attack


def answer_with(**changes: Any) -> Attack:
    """Change the meter's answers; their MACs stay as they were."""

    def attack(packet: bytes, forward: Forward) -> bytes | None:
        answer = forward(packet)
        return answer and changed(answer, **changes)

    return attack


def test_both_prove_themselves_and_every_command_carries_a_mac() -> None:
    """The meter runs them in the role; the client is told so."""
    line, meter = under_scheme1()
    assert not meter.session.standing.is_authenticated
    meter.write("valve", "closed")
    assert line.memory.store.values[VALVE] == b"\x00"
    assert line.types == [*HANDSHAKE, PT.WRITE_OBJECT]
    schemes = [parsed(packet)[1].signature_scheme for packet in line.commands]
    wanted = [parsed(packet)[1].argument for packet in line.commands]
    assert schemes == wanted == [0, 0, 0, 1, 1]
    standing = meter.session.standing
    assert (standing.scheme, standing.role, standing.is_authenticated) == (1, Role.SERVICE, True)
    assert not standing.is_encrypted


def test_the_vector_through_a_real_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """Client and meter with the vector's key, IDs and nonces exchange its tags."""
    name = "s1-authentication"
    monkeypatch.setattr(security_handlers, "new_nonce", lambda: octets(name, "nonce_b"))
    monkeypatch.setattr(protection1, "new_nonce", lambda: octets(name, "nonce_a"))
    role, key = Role(vector(name)["role"]), AesKey(octets(name, "key"))
    line = Between(trusting_memory())
    keys = bytearray(line.memory.store.values[KEYS])
    keys[16 * role : 16 * role + 16] = key.raw
    line.memory.store.values[KEYS] = bytes(keys)
    own = UmiId.parse(vector(name)["supplicant"])
    line.client(Scheme1(Scheme1Credentials(role=role, key=key)), own).ping()
    assert parsed(line.answers[1])[1].payload == octets(name, "nonce_b") + octets(name, "tag_b")
    assert parsed(line.commands[2])[1].payload == octets(name, "tag_a")


def test_a_false_meter_learns_nothing() -> None:
    """Tag B is verified before tag A is sent: exit 20, and no proof of ours has left."""
    line, meter = under_scheme1(key=role_key(Role.USER))
    with pytest.raises(AuthenticationError, match="the device does not hold") as failure:
        meter.read("load-limit")
    assert failure.value.exit_code == 20
    assert PT.S1_AUTH_REPLY not in line.types
    assert line.memory.lockout.failures == 0


def test_a_meter_without_the_roles_key_says_so() -> None:
    line, meter = under_scheme1()
    line.memory.store.values[KEYS] = bytes(256)
    with pytest.raises(AuthenticationError, match="does not accept our key for the role service"):
        meter.ping()


def test_a_locked_meter_is_told_as_locked() -> None:
    """Exit 21, and what to do."""
    line, meter = under_scheme1()
    for _ in range(3):
        line.memory.lockout.fail(int(line.clock.utc()) - EPOCH_UNIX_S)
    with pytest.raises(LockedOutError, match="after too many that failed") as failure:
        meter.ping()
    assert failure.value.exit_code == 21
    line.clock.skip_to(line.clock.monotonic() + 60)
    meter.ping()


def test_a_meter_that_has_lost_its_challenge_is_asked_again() -> None:
    """It proved that it holds the same key: 129 once is no wrong key."""
    lost: list[int] = []

    def attack(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) == PT.S1_AUTH_REPLY and not lost:
            lost.append(1)
            line.peer.challenge = None
        return forward(packet)

    line, meter = under_scheme1(attack)
    meter.ping()
    assert line.types.count(PT.S1_AUTH_REPLY) == 2


def test_a_proof_that_is_refused_twice_is_refused() -> None:
    """Somebody on the line spoils our proofs: exit 20, and no third one."""

    def spoil(packet: bytes, forward: Forward) -> bytes | None:
        return forward(changed(packet, payload=bytes(16)))

    line, meter = under_scheme1(only(PT.S1_AUTH_REPLY, spoil))
    with pytest.raises(AuthenticationError, match="does not accept"):
        meter.ping()
    assert line.types.count(PT.S1_AUTH_REPLY) == 2
    assert line.memory.lockout.failures == 2
    assert not meter.session.standing.is_authenticated


def test_another_refusal_of_the_authentication_is_told_as_it_is() -> None:
    """A meter that does not know the command at all."""
    none = only(
        PT.S1_AUTH_REQUEST,
        lambda packet, _: forged(packet, PT.S1_AUTH_REQUEST_RESPONSE, ResultCode.NOT_IMPLEMENTED),
    )
    _, meter = under_scheme1(none)
    with pytest.raises(RefusedError) as failure:
        meter.ping()
    assert (failure.value.exit_code, failure.value.number) == (30, 7)


def test_equal_nonces_are_refused() -> None:
    """The meter sends our own nonce back to us: nothing of ours goes out."""

    def reflect(packet: bytes, forward: Forward) -> bytes | None:
        nonce_a = S1AuthRequest.decode(parsed(packet)[1].payload).nonce_a
        reply = S1AuthRequestReply(nonce_b=nonce_a, tag_b=bytes(16))
        return forged(packet, reply.TYPE, payload=reply.encode())

    line, meter = under_scheme1(only(PT.S1_AUTH_REQUEST, reflect))
    with pytest.raises(AuthenticationError, match="the same nonce"):
        meter.ping()
    assert PT.S1_AUTH_REPLY not in line.types


def test_equal_ids_are_refused() -> None:
    line = Between(trusting_memory())
    meter = line.client(Scheme1(Scheme1Credentials(role=Role.SERVICE, key=KEY)), VIRTUAL_METER_ID)
    with pytest.raises(AuthenticationError):
        meter.ping()
    assert PT.S1_AUTH_REPLY not in line.types


def test_a_meter_that_offers_no_no_operation_is_confirmed_as_well() -> None:
    """What counts is that its refusal carries the MAC."""

    def none(packet: bytes, forward: Forward) -> bytes | None:
        answer = forward(packet)
        assert answer is not None
        envelope, message = parsed(answer)
        message = replace(message, argument=ResultCode.NOT_IMPLEMENTED)
        record = sign_response(envelope.encode() + message.encode_unsigned(), KEY)
        return envelope.encode() + replace(message, signature=record.encode()).encode()

    _, meter = under_scheme1(only(PT.NO_OPERATION, none))
    meter.session.begin()
    assert meter.session.standing.is_authenticated


def test_the_role_is_what_the_key_proves() -> None:
    """A user's key does not close the valve; exit 23, and believed, for it carries the MAC."""
    line, meter = under_scheme1(role=Role.USER)
    with pytest.raises(AccessDeniedError):
        meter.write("valve", "closed")
    assert line.memory.store.values[VALVE] == b"\x01"


def test_a_signed_object_takes_the_mac_for_a_signature() -> None:
    line, meter = under_scheme1()
    meter.write("load-limit", 2500)
    assert line.memory.store.values[LOAD_LIMIT] == (2500).to_bytes(4, "little")


def test_logout_leaves_a_guest_behind() -> None:
    line, meter = under_scheme1()
    meter.ping()
    assert line.peer.authenticated == {SERVICE.umi_id: Role.SERVICE}
    meter.close()
    assert line.types[-1] == PT.S1_AUTH_LOGOUT
    assert line.peer.authenticated == {}


def test_ctrl_c_in_an_exchange_is_told_as_it_is_and_still_logs_out() -> None:
    def interrupt(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) == PT.S1_AUTH_LOGOUT:
            return forward(packet)
        raise KeyboardInterrupt

    line, meter = under_scheme1()
    meter.ping()
    line.attack = interrupt
    with pytest.raises(KeyboardInterrupt), meter:
        meter.ping()
    assert line.peer.authenticated == {}


def test_without_an_authentication_there_is_no_logout() -> None:
    line, meter = under_scheme1()
    meter.close()
    assert line.commands == []


# --- MACs of responses ---------------------------------------------------------------------------


SPOILT: dict[str, Attack] = {
    "another value": answer_with(payload=b"\x40\0\xff\xff" + bytes(8)),
    "another time": answer_with(created_s=5),
    "no MAC": answer_with(signature_scheme=0, signature=b"\x00\x02"),
    "a MAC of zeros": answer_with(signature=b"\x01\x12" + bytes(16)),
    "a refusal": answer_with(argument=ResultCode.ACCESS_DENIED),
    "another success": answer_with(packet_type=PT.NO_OPERATION_RESPONSE),
    "an answer in the clear": lambda packet, _: forged(packet, PT.READ_OBJECT_RESPONSE),
    "a WAIT in the clear": lambda packet, _: forged(packet, PT.WAIT, payload=b"\x01\x00"),
}


@pytest.mark.parametrize("attack", SPOILT.values(), ids=SPOILT)
def test_the_mac_of_a_response_is_always_verified(attack: Attack) -> None:
    """No read yields a value, no write counts as done or as refused: exit 33 and 17."""
    is_on = [False]
    _, meter = under_scheme1(
        lambda packet, forward: attack(packet, forward) if is_on[0] else forward(packet)
    )
    meter.ping()
    is_on[0] = True
    with pytest.raises((MalformedError, SignatureError)) as failure:
        meter.session.request(ReadObject(code=LOAD_LIMIT))
    assert failure.value.exit_code == 33
    with pytest.raises(OutcomeUnknownError) as unknown:
        meter.session.request(WriteObject(code=COUNTER, value=b"\x01\0\0\0"))
    assert unknown.value.exit_code == 17


def test_no_bit_of_a_response_can_be_turned_over() -> None:
    """Whatever bit it is, no wrong value is reported.

    Byte 20 is not signed and says nothing in the clear; all else is bound to the command.
    """
    line, meter = under_scheme1()
    meter.ping()
    wanted = bytes(4)
    bits = 8 * (21 + 11 + 12 + 18)
    for bit in range(bits):
        fresh = [True]

        def flip(packet: bytes, forward: Forward, bit: int = bit, fresh: list[bool] = fresh) -> Any:
            answer = forward(packet)
            assert answer is not None
            if not fresh[0]:
                return answer
            assert len(answer) * 8 == bits
            fresh[0] = False
            spoilt = bytearray(answer)
            spoilt[bit // 8] ^= 1 << bit % 8
            return bytes(spoilt)

        line.attack = flip
        sent = len(line.commands)
        assert meter.session.request(ReadObject(code=LOAD_LIMIT)).value == wanted
        asked_again = len(line.commands) - sent > 1
        assert asked_again is (bit // 8 != 20), bit


def test_an_error_without_a_mac_is_told_and_not_believed() -> None:
    """Anyone can say it: a read is given again; a write may have run for all we know."""
    refuse = lambda packet, _: forged(packet, PT.ERROR, ResultCode.ACCESS_DENIED)  # noqa: E731
    line, meter = under_scheme1()
    meter.ping()
    sent = len(line.commands)
    line.attack = refuse
    with pytest.raises(AccessDeniedError):
        meter.session.request(ReadObject(code=LOAD_LIMIT))
    assert len(line.commands) - sent == 4
    with pytest.raises(OutcomeUnknownError, match="ACCESS_DENIED"):
        meter.session.request(WriteObject(code=COUNTER, value=b"\x01\0\0\0"))


def test_an_unsigned_change_is_a_guests() -> None:
    """Somebody strips the MAC of a command: the meter runs it as a guest's, and refuses it."""

    def strip(packet: bytes, forward: Forward) -> bytes | None:
        return forward(changed(packet, signature_scheme=0, signature=b"\x00\x02", argument=0))

    line, meter = under_scheme1(only(PT.WRITE_OBJECT, strip))
    with pytest.raises(OutcomeUnknownError):
        meter.session.request(WriteObject(code=VALVE, value=b"\x00"))
    assert parsed(line.answers[-1])[1].argument == ResultCode.ACCESS_DENIED
    assert line.memory.store.values[VALVE] == b"\x01"


def test_a_recorded_command_does_not_run_again() -> None:
    """Neither on this line, nor on another, nor after a power cut."""
    line, meter = under_scheme1()
    meter.write("counter", 5)
    (packet,) = [each for each in line.commands if type_of(each) == PT.WRITE_OBJECT]
    line.memory.store.values[COUNTER] = bytes(4)
    line.forward(packet)  # the stored answer
    line.peer = line.meter.new_peer("another line")
    assert parsed(line.forward(packet) or b"")[1].argument == ResultCode.INVALID_SIGNATURE
    line.lose_power()
    line.peer = line.meter.new_peer("a third one")
    assert parsed(line.forward(packet) or b"")[1].argument == ResultCode.INVALID_SIGNATURE
    assert line.memory.store.values[COUNTER] == bytes(4)


def test_a_response_recorded_yesterday_does_not_answer_today() -> None:
    """Transaction numbers begin anywhere: the same script has others the next day."""
    starts = set()
    for _ in range(20):
        line, meter = under_scheme1()
        meter.ping()
        starts.add(parsed(line.commands[0])[1].transaction)
    assert len(starts) > 15


# --- Windows -------------------------------------------------------------------------------------


def window_of(packet: bytes) -> tuple[int, int]:
    record = CommandSignature.decode(parsed(packet)[1].signature)
    return record.valid_from_s, record.valid_until_s


@pytest.mark.parametrize("offset_s", [0, 30 * 86_400, -400 * 86_400])
def test_windows_are_in_the_meters_time(offset_s: int) -> None:
    """A meter whose clock is off by a month is commanded all the same."""
    line, meter = under_scheme1()
    line.memory.clock_offset_s = offset_s
    meter.write("counter", 9)
    now_s = line.meter.metering.now_s
    assert window_of(line.commands[-1]) == (now_s - 60, now_s + 300)


def test_nobody_makes_us_sign_for_next_year() -> None:
    """What is in the clear may lie about the meter's time; then only the harmless first command is
    signed for that time, and no change."""
    year_s = 365 * 86_400

    def shift(packet: bytes, forward: Forward) -> bytes | None:
        answer = forward(packet)
        assert answer is not None
        message = parsed(answer)[1]
        if message.signature_scheme:
            return answer
        return changed(answer, created_s=message.created_s + year_s)

    line, meter = under_scheme1(shift)
    with pytest.raises(RefusedError) as failure:
        meter.write("counter", 9)
    assert failure.value.number == ResultCode.INVALID_SIGNATURE
    macs = [packet for packet in line.commands if parsed(packet)[1].signature_scheme]
    assert {type_of(packet) for packet in macs} == {PT.NO_OPERATION}
    assert line.memory.store.values[COUNTER] == bytes(4)
    # later, inside a proved session, the clear is not listened to at all
    line.attack = honest
    meter.ping()
    line.attack = shift
    meter.session.request_in_clear(NoOperation())
    assert meter.session.device_now_s == line.meter.metering.now_s


def test_a_command_held_back_past_its_window_is_refused() -> None:
    line, meter = under_scheme1()
    meter.ping()

    def hold(packet: bytes, forward: Forward) -> bytes | None:
        line.clock.skip_to(line.clock.monotonic() + 301)
        return forward(packet)

    line.attack = only(PT.WRITE_OBJECT, hold)
    with pytest.raises(OutcomeUnknownError, match=r"INVALID_SIGNATURE \(128\)"):
        meter.session.request(WriteObject(code=COUNTER, value=b"\x05\0\0\0"))
    assert line.memory.store.values[COUNTER] == bytes(4)


def test_a_deferred_response_carries_a_mac_as_well() -> None:
    line, meter = under_scheme1(defer_ms={COUNTER: 700})
    meter.write("counter", 3)
    assert PT.COMPLETE in line.types
    assert all(parsed(each)[1].signature_scheme == 1 for each in line.answers[4:])
    assert line.memory.store.values[COUNTER] == b"\x03\0\0\0"


def test_a_read_that_guests_may_not_make() -> None:
    """The role of the MAC counts, also before and after other authentications on the line."""
    code = UmiCode.parse("umi.1.1.194.32")
    line, meter = under_scheme1()
    line.memory.store.set_access(code, Role.MANUFACTURER, read=RoleSet.of(Role.SERVICE))
    assert meter.session.request(ReadObject(code=code)).value == bytes(8)
    line.lose_power()
    assert meter.session.request(ReadObject(code=code)).value == bytes(8)
    assert Envelope.decode(line.commands[-1]).encryption_scheme == 0
    assert len(line.commands[-1]) == ENVELOPE_BYTES + 11 + 4 + 27
