"""Scheme 2 sessions: no nonce ever seals two texts."""

import contextlib
import copy
import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.load_vectors import octets, vector
from umi_cli import crypto
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.errors import LostError, MalformedError, SessionDeadError, SignatureError, UmiError
from umi_cli.security.session2 import CLEAR_BYTES, LAST_COUNTER, SealedSession, agree
from umi_cli.types import UmiId

READER, METER = UmiId(0x0023_7EFE_0000_0004), UmiId(0x0023_7EFE_0000_0001)


def envelope(source: UmiId, destination: UmiId) -> bytes:
    return b"\x02\x01\0\0" + source.encode() + destination.encode() + b"\0"


COMMAND, RESPONSE = envelope(READER, METER), envelope(METER, READER)


def new_key() -> AesKey:
    return AesKey(bytes(range(16)))


def pair(commander: UmiId = READER) -> tuple[SealedSession, SealedSession]:
    return (
        SealedSession.of_commander(new_key(), commander),
        SealedSession.of_responder(new_key(), commander),
    )


def exchange(commander: SealedSession, responder: SealedSession) -> None:
    assert responder.open(commander.seal(COMMAND, b"ask")) == b"ask"
    assert commander.open(responder.seal(RESPONSE, b"answer")) == b"answer"


def test_first_packet_of_the_vector() -> None:
    key = AesKey(octets("s2-encrypted-read", "session_key"))
    packet = octets("s2-encrypted-read", "packet")
    inner = octets("s2-encrypted-read", "plaintext")
    commander = SealedSession.of_commander(key, READER)
    assert commander.seal(packet[:CLEAR_BYTES], inner) == packet
    assert SealedSession.of_responder(key, READER).open(packet) == inner


def test_captured_response_follows_counter_0() -> None:
    case = vector("ei4-read-manufacturer-id-response")
    session = SealedSession.of_commander(AesKey(bytes.fromhex(case["session_key"])), READER)
    packet = bytes.fromhex(case["frame"])[4:-2]
    session.seal(envelope(READER, UmiId.parse("00237EFE00000000")), b"READ_OBJECT")
    assert session.open(packet).hex() == case["plaintext"]


def test_exchanges_follow_each_other() -> None:
    commander, responder = pair()
    before = commander.exchanges_left
    for number in range(300):  # past the low byte of the counter
        packet = commander.seal(COMMAND, b"ask")
        assert packet[20] == 2 * number & 0xFF
        assert responder.open(packet) == b"ask"
        packet = responder.seal(RESPONSE, b"answer")
        assert packet[20] == 2 * number + 1 & 0xFF
        assert commander.open(packet) == b"answer"
    assert commander.exchanges_left == responder.exchanges_left == before - 300
    assert commander.commander == READER


def test_a_responder_follows_a_commander_that_skipped() -> None:
    key = new_key()
    responder = SealedSession.of_responder(key, READER)
    for counter in (4, 6, 256, 510):
        clear = COMMAND[:20] + bytes([counter & 0xFF])
        iv = counter.to_bytes(4, "little") + READER.encode()
        assert responder.open(clear + crypto.gcm_seal(key, iv, b"ask", clear)) == b"ask"
        answer = responder.seal(RESPONSE, b"answer")
        iv = (counter + 1).to_bytes(4, "little") + READER.encode()
        assert crypto.gcm_open(key, iv, answer[21:], answer[:21]) == b"answer"


def test_a_commander_may_pass_over_a_command() -> None:
    commander, responder = pair()
    before = commander.exchanges_left
    commander.pass_over()
    packet = commander.seal(COMMAND, b"ask")
    assert packet[20] == 2
    assert responder.open(packet) == b"ask"
    assert commander.exchanges_left == before - 2
    with pytest.raises(SessionDeadError):
        commander.pass_over()  # an answer is due
    assert not commander.is_alive


def test_an_odd_counter_is_no_command() -> None:
    key = new_key()
    responder = SealedSession.of_responder(key, READER)
    clear = COMMAND[:20] + b"\x01"
    iv = b"\x01\0\0\0" + READER.encode()
    with pytest.raises(SignatureError, match="wrong counter"):
        responder.open(clear + crypto.gcm_seal(key, iv, b"ask", clear))
    assert not responder.is_alive


def test_a_replayed_command_ends_the_session() -> None:
    commander, responder = pair()
    packet = commander.seal(COMMAND, b"ask")
    responder.open(packet)
    responder.seal(RESPONSE, b"answer")
    with pytest.raises(SignatureError):
        responder.open(packet)
    with pytest.raises(SessionDeadError):
        responder.seal(RESPONSE, b"answer")


def test_a_late_response_ends_the_session() -> None:
    commander, responder = pair()
    responder.open(commander.seal(COMMAND, b"ask"))
    late = responder.seal(RESPONSE, b"answer")
    commander.open(late)
    commander.seal(COMMAND, b"again")
    with pytest.raises(SignatureError, match="wrong counter"):
        commander.open(late)
    assert not commander.is_alive


@given(st.integers(0, 60), st.integers(1, 255))
def test_a_changed_byte_ends_the_session(offset: int, change: int) -> None:
    commander, responder = pair()
    packet = bytearray(commander.seal(COMMAND, b"x" * 24))
    packet[offset] ^= change
    with pytest.raises((SignatureError, MalformedError)):
        responder.open(bytes(packet))
    with pytest.raises(SessionDeadError):
        responder.open(bytes(packet))


@given(st.binary(max_size=60))
def test_garbage_raises_no_other_error(data: bytes) -> None:
    commander, responder = pair()
    commander.seal(COMMAND, b"ask")
    for session in (commander, responder):
        for packet in (data, COMMAND + data, RESPONSE + data):
            with pytest.raises((SignatureError, MalformedError, SessionDeadError)):
                session.open(packet)


def test_two_commands_without_an_answer_end_the_session() -> None:
    commander, _ = pair()
    commander.seal(COMMAND, b"ask")
    with pytest.raises(SessionDeadError, match="out of step"):
        commander.seal(COMMAND, b"other")
    with pytest.raises(SessionDeadError, match="has ended"):
        commander.open(RESPONSE + bytes(16))


def test_nothing_is_answered_twice() -> None:
    commander, responder = pair()
    responder.open(commander.seal(COMMAND, b"ask"))
    responder.seal(RESPONSE, b"answer")
    with pytest.raises(SessionDeadError):
        responder.seal(RESPONSE, b"other")


@pytest.mark.parametrize(
    "clear", [RESPONSE, COMMAND[:-1], COMMAND + b"\0", b"\0" + COMMAND[1:], b""]
)
def test_an_envelope_of_another_session_ends_it(clear: bytes) -> None:
    commander, _ = pair()
    with pytest.raises(MalformedError):
        commander.seal(clear, b"ask")
    assert not commander.is_alive


def test_an_interrupt_while_sealing_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    commander, _ = pair()

    def interrupt(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(crypto, "gcm_seal", interrupt)
    with pytest.raises(KeyboardInterrupt):
        commander.seal(COMMAND, b"ask")
    monkeypatch.undo()
    with pytest.raises(SessionDeadError) as caught:
        commander.seal(COMMAND, b"ask")
    assert isinstance(caught.value, LostError)
    assert caught.value.hint


def test_end_is_final() -> None:
    for session in pair():
        assert session.is_alive
        session.end()
        assert session.exchanges_left == 0
        with pytest.raises(SessionDeadError):
            session.seal(COMMAND, b"ask")


def test_the_session_ends_before_its_counter_wraps() -> None:
    commander, responder = pair()
    for session in (commander, responder):
        session._next = LAST_COUNTER
        assert session.exchanges_left == 1
    exchange(commander, responder)
    assert commander.exchanges_left == responder.exchanges_left == 0
    with pytest.raises(SessionDeadError, match="used up"):
        commander.seal(COMMAND, b"ask")
    clear = COMMAND[:20] + bytes([LAST_COUNTER + 2 & 0xFF])
    with pytest.raises(SessionDeadError, match="used up"):
        responder.open(clear + bytes(16))


def test_a_session_is_neither_shown_nor_copied() -> None:
    session, _ = pair()
    assert repr(session) == "<SealedSession, redacted>"
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            take(session)


def test_both_sides_agree_on_a_key() -> None:
    ours, theirs = PrivateKey.generate(), PrivateKey.generate()
    salts = bytes(range(16)), bytes(range(16, 32))
    key = agree(ours, theirs.public_point, *salts)
    assert key == agree(theirs, ours.public_point, *salts)
    assert key != agree(ours, theirs.public_point, salts[1], salts[0])


@pytest.mark.parametrize(
    ("salt_a", "salt_b"),
    [
        (b"a" * 16, b"a" * 16),
        (b"a" * 16, bytes(16)),
        (b"a" * 16, b"b" * 15),
        (b"a" * 17, b"b" * 16),
    ],
)
def test_bad_salts_are_refused(salt_a: bytes, salt_b: bytes) -> None:
    key = PrivateKey.generate()
    with pytest.raises(MalformedError, match="salt"):
        agree(key, key.public_point, salt_a, salt_b)


class Wire(RuleBasedStateMachine):
    """Both directions of one session key over a wire that loses, repeats, mixes and damages."""

    def __init__(self) -> None:
        super().__init__()
        self.sealed: dict[tuple[bytes, bytes], set[bytes]] = {}
        self.packets: list[bytes] = []
        self.number = 0
        meter_commands = pair(METER)  # it publishes events under the same key
        self.ends = [*pair(READER), *meter_commands]
        self.clears = [COMMAND, RESPONSE, RESPONSE, COMMAND]

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        original = crypto.gcm_seal

        def record(key: AesKey, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
            self.sealed.setdefault((key.raw, iv), set()).add(aad + plaintext)
            return original(key, iv, plaintext, aad)

        crypto.gcm_seal = record
        try:
            yield
        finally:
            crypto.gcm_seal = original

    @rule(end=st.integers(0, 3))
    def seal(self, end: int) -> None:
        self.number += 1
        with self.recording(), contextlib.suppress(SessionDeadError):
            text = str(self.number).encode()
            self.packets.append(self.ends[end].seal(self.clears[end], text))

    @precondition(lambda self: self.packets)
    @rule(end=st.integers(0, 3), back=st.integers(1, 4))
    def deliver(self, end: int, back: int) -> None:
        with contextlib.suppress(UmiError):
            self.ends[end].open(self.packets[-min(back, len(self.packets))])

    @rule(end=st.sampled_from([0, 2]))
    def exchange(self, end: int) -> None:
        """Let one undisturbed exchange happen, so that long sessions come about."""
        self.seal(end)
        if self.packets:
            self.deliver(end + 1, 1)
            self.seal(end + 1)
            self.deliver(end, 1)

    @precondition(lambda self: self.packets)
    @rule(end=st.integers(0, 3), offset=st.integers(0, 30), bit=st.integers(0, 7))
    def damage(self, end: int, offset: int, bit: int) -> None:
        packet = bytearray(self.packets[-1])
        packet[offset] ^= 1 << bit
        with contextlib.suppress(UmiError):
            self.ends[end].open(bytes(packet))
            pytest.fail("a damaged packet opens")

    @invariant()
    def no_nonce_seals_two_texts(self) -> None:
        assert all(len(texts) == 1 for texts in self.sealed.values())


TestWire = Wire.TestCase
