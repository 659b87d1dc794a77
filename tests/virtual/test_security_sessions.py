"""Scheme 2 sessions as a virtual meter keeps them: how they begin, and all the ways they end."""

from itertools import pairwise

import pytest

from tests.certificates.pki import NOW, make_key
from tests.virtual.bench import Bench, opened
from tests.virtual.parties import (
    CLOCK_CONTROL,
    CLOSE_VALVE,
    COUNTER,
    METER,
    READ,
    SALT_A,
    SERVICE,
    SET_LIMIT,
    USER,
    VALVE,
    Commander,
    in_clear,
    party,
    secure_bench,
    told,
)
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import (
    Complete,
    NoOperation,
    ReadObject,
    TunnelData,
    WriteObject,
)
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.security_commands import (
    S2AddCertificate,
    S2EndSession,
    S2GetCertificate,
    S2StartSession,
)
from umi_cli.security.session2 import SealedSession, agree
from umi_cli.types import Role, UmiCode
from umi_cli.virtual.security import SESSION_IDLE_S

WRITE_COUNTER = WriteObject(code=COUNTER, value=b"\x07\0\0\0")


def counter(bench: Bench) -> bytes:
    return bench.memory.store.values[COUNTER]


def test_a_session_reads_and_writes() -> None:
    bench = secure_bench(SERVICE)
    commander = Commander(bench, SERVICE)
    assert commander.ask(READ).payload[-8:] == b"31733978"
    assert commander.told(CLOSE_VALVE) == ResultCode.OK
    assert bench.memory.store.values[VALVE] == b"\x00"


def test_salts_are_fresh_and_no_key_comes_twice() -> None:
    """A recorded START_SESSION begins another session under another key."""
    bench = secure_bench(SERVICE)
    packet = bench.packet(S2StartSession(salt_a=SALT_A), source=SERVICE.umi_id)
    salts = {opened(bench.execute(packet)).payload for _ in range(20)}
    assert len(salts) == 20
    assert not any(salt in (SALT_A, bytes(16)) for salt in salts)


def test_a_salt_that_the_meter_would_repeat_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = secure_bench(SERVICE)
    monkeypatch.setattr(bench.meter._security, "_salt", lambda: SALT_A)
    message = in_clear(bench, S2StartSession(salt_a=SALT_A), SERVICE.umi_id)
    assert message.argument == ResultCode.INVALID_VALUE
    assert bench.peer.pending == {}


def test_who_holds_no_key_of_the_certificate_has_no_session() -> None:
    """Anyone can say START_SESSION with another's ID; nothing he seals can be opened."""
    bench = secure_bench(SERVICE)
    thief = party(0x51, key=make_key(77))
    packet = Commander(bench, thief).seal(CLOSE_VALVE)
    assert told(bench, packet) == ResultCode.NO_SESSION
    assert bench.memory.store.values[VALVE] == b"\x01"


def test_the_older_session_lives_until_the_new_one_is_used() -> None:
    """Else anyone could end it with a START_SESSION in the clear."""
    bench = secure_bench(SERVICE)
    older = Commander(bench, SERVICE)
    assert older.told(READ) == ResultCode.OK
    newer = Commander(bench, SERVICE)
    assert older.told(READ) == ResultCode.OK  # which ends what was begun, for it cannot open this
    assert told(bench, newer.seal(READ)) == ResultCode.NO_SESSION
    older, newer = Commander(bench, SERVICE), Commander(bench, SERVICE)
    assert newer.told(READ) == ResultCode.OK
    assert told(bench, older.seal(READ)) == ResultCode.NO_SESSION


def test_end_session_is_answered_under_the_session() -> None:
    bench = secure_bench(SERVICE)
    commander = Commander(bench, SERVICE)
    assert commander.told(S2EndSession()) == ResultCode.OK
    assert told(bench, commander.seal(READ)) == ResultCode.NO_SESSION
    assert bench.peer.sessions == {}
    assert in_clear(bench, READ, SERVICE.umi_id).argument == ResultCode.OK  # as a guest


@pytest.mark.parametrize("is_used", [False, True])
def test_a_session_that_nobody_uses_ends(is_used: bool) -> None:
    """In the meter's time, to the second, whether it had been used before or not."""
    bench = secure_bench(SERVICE)
    commander = Commander(bench, SERVICE)
    if is_used:
        for _ in range(3):
            bench.wait(SESSION_IDLE_S)
            assert commander.told(READ) == ResultCode.OK
    bench.wait(SESSION_IDLE_S + 1)
    assert told(bench, commander.seal(CLOSE_VALVE)) == ResultCode.NO_SESSION
    assert bench.memory.store.values[VALVE] == b"\x01"
    assert in_clear(bench, READ, SERVICE.umi_id).argument == ResultCode.OK


def test_an_idle_session_no_longer_keeps_its_commander_from_the_clear() -> None:
    bench = secure_bench(SERVICE)
    Commander(bench, SERVICE).ask(READ)
    bench.wait(SESSION_IDLE_S + 1)
    assert in_clear(bench, READ, SERVICE.umi_id).argument == ResultCode.OK
    assert bench.peer.sessions == {}


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_is_set_is_answered_under_the_session(days: int) -> None:
    """What the session's age is counted in has jumped: the answer is sealed, then it is over."""
    bench = secure_bench(SERVICE)
    commander = Commander(bench, SERVICE)
    new_s = bench.clock_s + days * 86_400
    command = WriteObject(code=CLOCK_CONTROL, value=new_s.to_bytes(4, "little") + bytes(4))
    assert commander.told(command) == ResultCode.OK
    assert bench.clock_s == new_s
    assert told(bench, commander.seal(CLOSE_VALVE)) == ResultCode.NO_SESSION
    assert bench.memory.store.values[VALVE] == b"\x01"


def test_a_session_ends_with_its_certificate() -> None:
    """However often it is used."""
    bench = secure_bench()
    short = party(0x51, valid_until=NOW.replace(hour=10, minute=4))
    bench.memory.vault.key_table[short.umi_id] = short.certificate
    commander = Commander(bench, short)
    bench.wait(240)
    assert commander.told(READ) == ResultCode.OK
    bench.wait(1)
    assert told(bench, commander.seal(READ)) == ResultCode.NO_SESSION
    start = in_clear(bench, S2StartSession(salt_a=SALT_A), short.umi_id)
    assert start.argument == ResultCode.INVALID_CERTIFICATE


def test_a_session_is_gone_with_the_power() -> None:
    bench = secure_bench(SERVICE)
    commander = Commander(bench, SERVICE)
    assert commander.told(READ) == ResultCode.OK
    bench.meter.lose_power(bench.now)
    bench.peer = bench.meter.new_peer("line")
    assert told(bench, commander.seal(CLOSE_VALVE)) == ResultCode.NO_SESSION
    assert "session" not in bench.memory.dump()


def test_one_commanders_sessions_are_apart_by_line() -> None:
    bench = secure_bench(SERVICE)
    other = bench.meter.new_peer("other")
    here, there = Commander(bench, SERVICE), Commander(bench, SERVICE, other)
    assert (here.told(READ), there.told(READ)) == (0, 0)
    assert told(bench, here.seal(READ), other) == ResultCode.NO_SESSION


def test_commanders_on_one_line_are_apart() -> None:
    """A packet that one has sealed is none of the other's, whatever ID is written on it."""
    bench = secure_bench(SERVICE, USER)
    service, user = Commander(bench, SERVICE), Commander(bench, USER)
    assert (service.told(READ), user.told(READ)) == (0, 0)
    packet = user.seal(CLOSE_VALVE)
    claimed = packet[:4] + SERVICE.umi_id.encode() + packet[12:]
    assert told(bench, claimed) == ResultCode.NO_SESSION
    assert bench.memory.store.values[VALVE] == b"\x01"


def test_no_bit_of_an_encrypted_command_can_be_turned_over() -> None:
    """Whatever bit it is, nothing runs, and no answer is sealed: the session is over at most."""
    bench = secure_bench(SERVICE)
    bits = (34 + 4 + 8 + 16) * 8
    for bit in range(bits):
        bench.peer = bench.meter.new_peer("line")
        packet = bytearray(Commander(bench, SERVICE).seal(WRITE_COUNTER))
        assert len(packet) * 8 == bits
        packet[bit // 8] ^= 1 << bit % 8
        answer = bench.execute(bytes(packet)).packet
        assert answer is not None
        assert answer[0] == 0
        assert counter(bench) == bytes(4), bit


def test_an_encrypted_command_does_not_run_twice() -> None:
    """The repeat of a packet is no packet of the session any more; and that is its end."""
    bench = secure_bench(SERVICE)
    commander = Commander(bench, SERVICE)
    packet = commander.seal(WRITE_COUNTER)
    assert commander.open(bench.execute(packet).packet).argument == ResultCode.OK
    bench.memory.store.values[COUNTER] = bytes(4)
    assert told(bench, packet) == ResultCode.NO_SESSION
    assert counter(bench) == bytes(4)


def test_commands_that_never_arrived_do_not_end_a_session() -> None:
    """The counter may leave some out; it never goes back."""
    bench = secure_bench(SERVICE)
    key = Commander(bench, SERVICE).session._key
    ahead = SealedSession.of_commander(key, SERVICE.umi_id)
    head = Envelope(source=SERVICE.umi_id, destination=METER.umi_id, encryption_scheme=2)
    text = Message(transaction=1, created_s=0, packet_type=0).encode()
    packets = []
    for _ in range(4):
        packets.append(ahead.seal(head.encode(), text))
        ahead._turn = type(ahead._turn).SEAL  # as if it had been answered
    assert bench.execute(packets[1]).packet[0] == 2  # type: ignore[index]
    assert bench.execute(packets[3]).packet[0] == 2  # type: ignore[index]
    assert told(bench, packets[2]) == ResultCode.NO_SESSION


def test_every_answer_takes_the_counter_after_its_commands() -> None:
    """WAIT n+1, COMPLETE n+2, and so on (protocol 6.3): no counter is used twice."""
    bench = secure_bench(SERVICE, defer_ms={COUNTER: 100})
    commander = Commander(bench, SERVICE)
    options = []
    for command, wait_s in ((WRITE_COUNTER, 0), (Complete(), 0), (Complete(), 1), (READ, 0)):
        bench.wait(wait_s)
        transaction = None if command is READ else 70
        packet = commander.seal(command, transaction=transaction)
        answer = bench.execute(packet).packet
        commander.open(answer)
        options += [packet[20], answer[20]]  # type: ignore[index]
    assert options == list(range(8))
    assert all(second == first + 1 for first, second in pairwise(options))


def test_waits_under_encryption_end_with_the_response_that_was_due() -> None:
    bench = secure_bench(SERVICE, defer_ms={COUNTER: 100})
    commander = Commander(bench, SERVICE)
    wait = commander.ask(WRITE_COUNTER, transaction=8)
    assert (wait.packet_type, counter(bench)) == (PacketType.WAIT, bytes(4))
    bench.wait(1)
    assert counter(bench) == WRITE_COUNTER.value
    for _ in range(2):
        done = commander.ask(Complete(), transaction=8)
        assert done.packet_type == PacketType.WRITE_OBJECT_RESPONSE
    other = commander.ask(Complete(), transaction=9)
    assert (other.packet_type, other.argument) == (PacketType.WAIT, ResultCode.DEFER_ERROR)


def test_refusals_are_sealed_too() -> None:
    """What a commander may not, what nobody knows, what is not whole: all under the session."""
    bench = secure_bench(USER)
    commander = Commander(bench, USER)
    assert commander.told(CLOSE_VALVE) == ResultCode.ACCESS_DENIED
    assert commander.told(ReadObject(code=UmiCode(77))) == ResultCode.UNKNOWN_OBJECT
    assert commander.told(TunnelData(data=b"")) == ResultCode.NOT_IMPLEMENTED
    assert commander.told(READ, wanted=9) == ResultCode.UNKNOWN_SIGNATURE_SCHEME
    assert commander.told(SET_LIMIT, sign=True) == ResultCode.ACCESS_DENIED
    head = Envelope(source=USER.umi_id, destination=METER.umi_id, encryption_scheme=2)
    unknown = Message(transaction=1, created_s=0, packet_type=0x7E)
    answer = commander.open(
        bench.execute(commander.session.seal(head.encode(), unknown.encode())).packet
    )
    assert (answer.packet_type, answer.argument) == (PacketType.ERROR, 2)


def test_what_is_sealed_and_no_message_is_answered_in_the_clear() -> None:
    """There is no transaction to answer; the commander takes that for the end of the session."""
    bench = secure_bench(SERVICE)
    commander = Commander(bench, SERVICE)
    head = Envelope(source=SERVICE.umi_id, destination=METER.umi_id, encryption_scheme=2)
    packet = commander.session.seal(head.encode(), b"nonsense")
    assert told(bench, packet) == ResultCode.INVALID_PACKET_FORMAT


def test_a_response_that_does_not_fit_encrypted_is_too_long() -> None:
    """The tag, and a signature, take their place in the packet as well."""
    bench = secure_bench(SERVICE, max_packet_bytes=34 + 8 + 23 + 88)
    commander = Commander(bench, SERVICE)
    assert commander.told(READ) == ResultCode.OK
    bench = secure_bench(SERVICE, max_packet_bytes=34 + 8 + 23 + 87)
    assert Commander(bench, SERVICE).told(READ) == ResultCode.TOO_LONG
    assert in_clear(bench, READ, USER.umi_id).argument == ResultCode.OK


def test_what_begins_a_session_is_said_in_the_clear_beside_one() -> None:
    """A commander that has lost its session, and does not know that the meter has not."""
    bench = secure_bench(SERVICE)
    Commander(bench, SERVICE).ask(READ)
    for command in (
        S2StartSession(salt_a=SALT_A),
        S2GetCertificate(subject=METER.umi_id),
        S2AddCertificate(certificate=SERVICE.certificate.encode()),
        ReadObject(code=UmiCode(0)),
    ):
        assert in_clear(bench, command, SERVICE.umi_id).argument == ResultCode.OK
    refused = in_clear(bench, NoOperation(), SERVICE.umi_id)
    assert refused.argument == ResultCode.NO_ENCRYPTION


def test_both_ends_have_the_key_of_the_vectors_rule() -> None:
    """Session key = HMAC-SHA-256 of the shared point over salt A and salt B (protocol 6.3)."""
    bench = secure_bench(SERVICE)
    commander = Commander(bench, SERVICE)
    pending = bench.peer.pending[SERVICE.umi_id]
    assert pending.sealed._key == commander.session._key
    assert pending.role is Role.SERVICE
    point = SERVICE.key.public_point
    assert agree(METER.key, point, SALT_A, bytes([9]) * 16) != pending.sealed._key
    assert len(bench.packet(READ)) > ENVELOPE_BYTES
