"""Three failures lock a meter; and scheme 1 at the meter's end (protocol 6.2)."""

import pytest

from tests.load_vectors import octets, vector
from tests.virtual.bench import Bench
from tests.virtual.parties import (
    KEYS,
    SERVICE,
    USER,
    authenticate,
    in_clear,
    role_key,
    secure_bench,
)
from umi_cli.application.codes import ResultCode
from umi_cli.application.security_commands import (
    S1AuthChallenge,
    S1AuthChallengeReply,
    S1AuthReply,
    S1AuthRequest,
    S1AuthRequestReply,
)
from umi_cli.security.authentication1 import Handshake
from umi_cli.types import Role, UmiId
from umi_cli.virtual import security_handlers
from umi_cli.virtual.delivered import VIRTUAL_METER_ID
from umi_cli.virtual.event_log import EventNumber
from umi_cli.virtual.lockout import LOCKED_S, MAX_FAILURES, Lockout
from umi_cli.virtual.memory import load_memory

WRONG = role_key(Role.VERIFICATION)
REQUEST = S1AuthRequest(role=Role.SERVICE, nonce_a=bytes(range(16)))


def lock(bench: Bench) -> None:
    for _ in range(MAX_FAILURES):
        assert authenticate(bench, key=WRONG) == ResultCode.AUTHENTICATION_FAILED


def test_the_vector_through_a_real_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key, IDs, role and nonces of the vector give its tags, and the meter takes the proof."""
    name = "s1-authentication"
    monkeypatch.setattr(security_handlers, "new_nonce", lambda: octets(name, "nonce_b"))
    bench = secure_bench()
    role, key = Role(vector(name)["role"]), octets(name, "key")
    assert bench.memory.umi_id == UmiId.parse(vector(name)["authenticator"])
    keys = bytearray(bench.memory.store.values[KEYS])
    keys[16 * role : 16 * role + 16] = key
    bench.memory.store.values[KEYS] = bytes(keys)
    source = UmiId.parse(vector(name)["supplicant"])
    request = S1AuthRequest(role=role, nonce_a=octets(name, "nonce_a"))
    reply = S1AuthRequestReply.decode(in_clear(bench, request, source).payload)
    assert reply == S1AuthRequestReply(nonce_b=octets(name, "nonce_b"), tag_b=octets(name, "tag_b"))
    proof = S1AuthReply(tag_a=octets(name, "tag_a"))
    assert in_clear(bench, proof, source).argument == ResultCode.OK
    assert bench.peer.authenticated == {source: role}


@pytest.mark.parametrize("role", [role for role in Role if role])
def test_each_role_has_its_own_key(role: Role) -> None:
    bench = secure_bench()
    assert authenticate(bench, role) == ResultCode.OK
    assert bench.peer.authenticated == {SERVICE.umi_id: role}


def test_three_failures_lock_the_meter_for_a_minute_of_its_time() -> None:
    """Nobody is authenticated meanwhile, by the right key either; to the second."""
    bench = secure_bench()
    lock(bench)
    assert authenticate(bench) == ResultCode.UNAVAILABLE
    bench.wait(LOCKED_S - 1)
    assert authenticate(bench) == ResultCode.UNAVAILABLE
    bench.wait(1)
    assert authenticate(bench) == ResultCode.OK


def test_failures_are_counted_over_all_lines_and_sources() -> None:
    bench = secure_bench()
    for number in range(MAX_FAILURES):
        peer = bench.meter.new_peer(f"line {number}")
        result = authenticate(bench, key=WRONG, peer=peer, source=UmiId(number + 1))
        assert result == ResultCode.AUTHENTICATION_FAILED
    assert authenticate(bench) == ResultCode.UNAVAILABLE


def test_challenges_drawn_before_do_not_buy_more_tries() -> None:
    """A proof that comes while the meter is locked is not looked at."""
    bench = secure_bench()
    peers = [bench.meter.new_peer(f"line {number}") for number in range(5)]
    for peer in peers:
        assert in_clear(bench, REQUEST, SERVICE.umi_id, peer=peer).argument == ResultCode.OK
    proof = S1AuthReply(tag_a=bytes(16))
    results = [in_clear(bench, proof, SERVICE.umi_id, peer=peer).argument for peer in peers]
    assert results == [129, 129, 129, 10, 10]


def test_two_failures_and_a_success_begin_to_count_anew() -> None:
    bench = secure_bench()
    for _ in range(3):
        for _ in range(MAX_FAILURES - 1):
            assert authenticate(bench, key=WRONG) == ResultCode.AUTHENTICATION_FAILED
        assert authenticate(bench) == ResultCode.OK


def test_a_lock_survives_a_power_cut() -> None:
    """Pulling the plug buys no more tries, neither locked nor on the way to it."""
    bench = secure_bench()
    for _ in range(MAX_FAILURES):
        assert authenticate(bench, key=WRONG) == ResultCode.AUTHENTICATION_FAILED
        bench.meter.lose_power(bench.now)
        bench.peer = bench.meter.new_peer("line")
    assert authenticate(bench) == ResultCode.UNAVAILABLE


def test_a_lock_survives_in_the_state_file() -> None:
    """It is saved with every proof, and before the answer goes out."""
    bench = secure_bench()
    for failures in range(1, MAX_FAILURES + 1):
        before = bench.changes
        assert authenticate(bench, key=WRONG) == ResultCode.AUTHENTICATION_FAILED
        assert bench.changes == before + 1
        memory = load_memory(bench.memory.dump(), "test")
        assert memory.lockout.failures == failures % MAX_FAILURES
        again = Bench(memory=memory)
        again.now, again.transaction = bench.now, bench.transaction
        again.wait(0)
        bench = again
    assert authenticate(bench) == ResultCode.UNAVAILABLE
    bench.wait(LOCKED_S)
    assert authenticate(bench) == ResultCode.OK


def test_failures_are_logged_with_who_it_was() -> None:
    bench = secure_bench()
    lock(bench)
    failed = [each for each in bench.memory.events.records if each[0] == 25]
    assert (
        failed
        == [(EventNumber.FAILED_AUTHENTICATION, bench.clock_s, SERVICE.umi_id.encode().hex())] * 3
    )


@pytest.mark.parametrize(
    ("until_s", "is_locked"), [(100, False), (101, True), (160, True), (161, False)]
)
def test_a_clock_set_back_locks_for_no_longer_than_ever(until_s: int, is_locked: bool) -> None:
    assert Lockout(locked_until_s=until_s).is_locked(100) is is_locked


def test_a_clock_set_back_locks_nobody_out_later_either() -> None:
    lockout = Lockout(locked_until_s=1000)
    assert not lockout.is_locked(100)
    assert not lockout.is_locked(990)


def test_a_challenge_takes_one_proof() -> None:
    """The second is refused, even if it is right."""
    bench = secure_bench()
    reply = S1AuthRequestReply.decode(in_clear(bench, REQUEST, SERVICE.umi_id).payload)
    handshake = Handshake(
        role=Role.SERVICE,
        supplicant=SERVICE.umi_id,
        authenticator=VIRTUAL_METER_ID,
        nonce_a=REQUEST.nonce_a,
        nonce_b=reply.nonce_b,
    )
    right = S1AuthReply(tag_a=handshake.tag_a(role_key(Role.SERVICE)))
    for proof in (S1AuthReply(tag_a=bytes(16)), right):
        answer = in_clear(bench, proof, SERVICE.umi_id)
        assert answer.argument == ResultCode.AUTHENTICATION_FAILED
    assert bench.peer.authenticated == {}
    assert bench.memory.lockout.failures == 1


def test_a_proof_is_its_supplicants() -> None:
    """Another source on the line does not use it, and no key was tried by that."""
    bench = secure_bench()
    assert in_clear(bench, REQUEST, SERVICE.umi_id).argument == ResultCode.OK
    proof = S1AuthReply(tag_a=bytes(16))
    assert in_clear(bench, proof, USER.umi_id).argument == ResultCode.AUTHENTICATION_FAILED
    assert bench.memory.lockout.failures == 0


def test_a_challenge_sent_back_proves_nothing() -> None:
    """The meter's own tag, returned to it as the supplicant's proof, is no proof."""
    bench = secure_bench()
    reply = S1AuthRequestReply.decode(in_clear(bench, REQUEST, SERVICE.umi_id).payload)
    answer = in_clear(bench, S1AuthReply(tag_a=reply.tag_b), SERVICE.umi_id)
    assert answer.argument == ResultCode.AUTHENTICATION_FAILED


def test_the_meters_proof_as_a_supplicant_is_none_to_itself() -> None:
    """What S1_AUTH_CHALLENGE yields cannot be played back at the meter in another part."""
    bench = secure_bench()
    source = SERVICE.umi_id
    request = S1AuthRequest(role=Role.METERING_DEVICE, nonce_a=bytes(range(16)))
    reply = S1AuthRequestReply.decode(in_clear(bench, request, source).payload)
    asked = in_clear(bench, S1AuthChallenge(nonce_b=reply.nonce_b), source)
    proof = S1AuthChallengeReply.decode(asked.payload)
    answer = in_clear(bench, S1AuthReply(tag_a=proof.tag_a), source)
    assert answer.argument == ResultCode.AUTHENTICATION_FAILED


def test_equal_ids_are_refused() -> None:
    """Who says to be the meter itself could send its tags back to it."""
    bench = secure_bench()
    answer = in_clear(bench, REQUEST, VIRTUAL_METER_ID)
    assert answer.argument == ResultCode.AUTHENTICATION_FAILED
    answer = in_clear(bench, S1AuthChallenge(nonce_b=bytes(16)), VIRTUAL_METER_ID)
    assert answer.argument == ResultCode.AUTHENTICATION_FAILED


def test_equal_nonces_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = secure_bench()
    monkeypatch.setattr(security_handlers, "new_nonce", lambda: REQUEST.nonce_a)
    answer = in_clear(bench, REQUEST, SERVICE.umi_id)
    assert answer.argument == ResultCode.AUTHENTICATION_FAILED
    answer = in_clear(bench, S1AuthChallenge(nonce_b=REQUEST.nonce_a), SERVICE.umi_id)
    assert answer.argument == ResultCode.AUTHENTICATION_FAILED
    assert bench.peer.challenge is None


def test_the_meter_proves_itself_to_an_authenticator_that_begins() -> None:
    """S1_AUTH_CHALLENGE: direction 1, the meter is the supplicant, as a metering device."""
    bench = secure_bench()
    nonce_b = bytes([0xB0]) * 16
    message = in_clear(bench, S1AuthChallenge(nonce_b=nonce_b), USER.umi_id)
    proof = S1AuthChallengeReply.decode(message.payload)
    handshake = Handshake(
        role=Role(proof.role),
        supplicant=VIRTUAL_METER_ID,
        authenticator=USER.umi_id,
        nonce_a=proof.nonce_a,
        nonce_b=nonce_b,
    )
    handshake.verify_tag_a(role_key(Role.METERING_DEVICE), proof.tag_a)


def test_nonces_are_fresh() -> None:
    bench = secure_bench()
    nonces = {in_clear(bench, REQUEST, SERVICE.umi_id).payload[:16] for _ in range(20)}
    assert len(nonces) == 20
