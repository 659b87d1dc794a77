"""Somebody in the middle: swaps, replays, reflects, strips, downgrades, forges, holds back.

Whatever he does, nothing changes at the meter that the client did not ask for, no wrong value is
reported, nothing is taken for done that was not done, and no key is agreed with him.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.certificates.pki import FALSE_KEY, make_root
from tests.device.between import (
    Attack,
    Between,
    Forward,
    changed,
    credentials2,
    forged,
    forged_error,
    honest,
    parsed,
    type_of,
    under_scheme1,
    under_scheme2,
)
from tests.virtual.parties import (
    COUNTER,
    LOAD_LIMIT,
    METER,
    SERVICE,
    VALVE,
    Party,
    party,
    trusting_memory,
)
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import NoOperation, ReadObject, WriteObject
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.security_commands import (
    S1AuthReply,
    S1AuthRequest,
    S1AuthRequestReply,
    S2EndSession,
    S2GetCertificateReply,
    S2StartSession,
    S2StartSessionReply,
)
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import ChainError, ChainFailure
from umi_cli.crypto import new_salt
from umi_cli.device.meter import Meter
from umi_cli.device.protection2 import Scheme2
from umi_cli.errors import (
    AuthenticationError,
    MalformedError,
    OutcomeUnknownError,
    RefusedError,
    SessionDeadError,
    SignatureError,
    UmiError,
)
from umi_cli.security.session2 import SealedSession, agree
from umi_cli.types import Role, UmiId
from umi_cli.virtual.delivered import VIRTUAL_METER_ID

PT = PacketType
READ = ReadObject(code=COUNTER)
WRITE = WriteObject(code=COUNTER, value=b"\x05\0\0\0")
SET_LIMIT = WriteObject(code=LOAD_LIMIT, value=b"\x05\0\0\0")


def begun(memory: Any = None) -> tuple[Between, Meter]:
    """Return a line with a confirmed session on it, and nobody in the middle yet."""
    line, meter = under_scheme2(memory=memory)
    meter.ping()
    return line, meter


def once(attack: Attack) -> Attack:
    """Attack the first command only, and be honest from then on."""
    done: list[bytes] = []

    def first(packet: bytes, forward: Forward) -> bytes | None:
        if done:
            return forward(packet)
        done.append(packet)
        return attack(packet, forward)

    return first


def instead(change: Callable[[bytes], bytes]) -> Attack:
    """Give the meter another packet than the client's."""
    return lambda packet, forward: forward(change(packet))


def only(kind: int | None, attack: Attack) -> Attack:
    """Attack commands of that type; None stands for encrypted ones."""

    def some(packet: bytes, forward: Forward) -> bytes | None:
        return attack(packet, forward) if type_of(packet) == kind else forward(packet)

    return some


# --- He swaps the meter's certificate for his own ------------------------------------------------


def false_root() -> Certificate:
    return Certificate.sign(make_root(public_point=FALSE_KEY.public_point).body, FALSE_KEY)


def impostor(**changes: Any) -> Party:
    return party(VIRTUAL_METER_ID.value, Role.METERING_DEVICE, key=FALSE_KEY, **changes)


IMPOSTORS: dict[str, tuple[Party, ChainFailure]] = {
    "signed by himself": (
        impostor(issuer=VIRTUAL_METER_ID, signer=FALSE_KEY),
        ChainFailure.NO_ANCHOR,
    ),
    "signed in the root's name": (impostor(signer=FALSE_KEY), ChainFailure.BAD_SIGNATURE),
    "a technician's own": (party(0x77, key=FALSE_KEY), ChainFailure.WRONG_SUBJECT),
    "a technician's own, of the meter's ID": (
        party(VIRTUAL_METER_ID.value, key=FALSE_KEY),
        ChainFailure.WRONG_ROLE,
    ),
    "another meter's": (
        party(0x78, Role.METERING_DEVICE, key=FALSE_KEY),
        ChainFailure.WRONG_SUBJECT,
    ),
    "issued by a technician": (
        impostor(issuer=SERVICE.umi_id, signer=SERVICE.key),
        ChainFailure.NOT_AN_AUTHORITY,
    ),
}


@pytest.mark.parametrize(("his", "failure"), IMPOSTORS.values(), ids=IMPOSTORS)
def test_he_swaps_the_meters_certificate(his: Party, failure: ChainFailure) -> None:
    """Refused with the reason, before any START_SESSION: no key is agreed with him."""

    def swap(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) != PT.S2_GET_CERTIFICATE:
            return forward(packet)
        asked = UmiId(int.from_bytes(parsed(packet)[1].payload, "little"))
        above = SERVICE if asked == SERVICE.umi_id else his
        reply = S2GetCertificateReply(certificate=above.certificate.encode())
        return forged(packet, reply.TYPE, payload=reply.encode())

    line, meter = under_scheme2(swap)
    with pytest.raises(ChainError) as error:
        meter.read("counter")
    assert (error.value.failure, error.value.exit_code) == (failure, 24)
    assert PT.S2_START_SESSION not in line.types
    assert None not in line.types


def test_he_swaps_the_root_as_well() -> None:
    """What he hands over is believed for nothing: the anchor is our own."""
    his = impostor(signer=FALSE_KEY)

    def swap(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) != PT.S2_GET_CERTIFICATE:
            return forward(packet)
        asked = UmiId(int.from_bytes(parsed(packet)[1].payload, "little"))
        certificate = his.certificate if asked == VIRTUAL_METER_ID else false_root()
        return forged(packet, PT.S2_GET_CERTIFICATE_RESPONSE, payload=certificate.encode())

    line, meter = under_scheme2(swap)
    with pytest.raises(ChainError):
        meter.ping()
    assert PT.S2_START_SESSION not in line.types


def test_he_poses_as_a_meter_of_another_id() -> None:
    """A technician with a certificate of his own ID answers as the meter: he is no device."""
    his = party(0x77, key=FALSE_KEY)

    def pose(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) == PT.READ_OBJECT:
            answer = forward(packet)
            assert answer is not None
            payload = parsed(answer)[1].payload[:-8] + his.umi_id.encode()
            return changed(answer, payload=payload)
        reply = S2GetCertificateReply(certificate=his.certificate.encode())
        return forged(packet, reply.TYPE, payload=reply.encode())

    line, meter = under_scheme2(pose)
    with pytest.raises(ChainError) as error:
        meter.ping()
    assert error.value.failure is ChainFailure.WRONG_ROLE
    assert PT.S2_START_SESSION not in line.types


def test_he_hands_the_meter_his_own_certificate_in_our_name() -> None:
    """It is signed by nobody the meter knows; ours is taken."""
    his = party(0x51, key=FALSE_KEY, signer=FALSE_KEY)

    def swap(packet: bytes, forward: Forward) -> bytes | None:
        return forward(changed(packet, payload=his.certificate.encode()))

    line, meter = under_scheme2(only(PT.S2_ADD_CERTIFICATE, swap), memory=trusting_memory())
    with pytest.raises(RefusedError) as error:
        meter.ping()
    assert error.value.number == ResultCode.INVALID_CERTIFICATE_SIGNATURE
    assert line.memory.vault.key_table == {}


# --- He replays ----------------------------------------------------------------------------------


def test_he_replays_a_recorded_start_session_answer() -> None:
    """Our salt is fresh, so the key is another: the meter's old words cannot be read under it."""
    line, meter = begun()
    meter.read("counter")
    meter.close()
    recorded = dict(zip(line.types, line.answers, strict=True))
    old = [answer for answer in line.answers if answer[0]]

    def replay(packet: bytes, forward: Forward) -> bytes | None:
        kind = type_of(packet)
        if kind is None:
            return old[0]
        return changed(recorded[kind], transaction=parsed(packet)[1].transaction)

    line.attack = replay
    again = line.client(Scheme2(credentials2()))
    with pytest.raises((SignatureError, MalformedError, SessionDeadError)) as error:
        again.read("counter")
    assert error.value.exit_code in (17, 33)
    assert not again.session.standing.is_confirmed


def test_he_replays_our_start_session_to_the_meter() -> None:
    """The meter's salt is fresh: our recorded commands open under no key it has now."""
    line, meter = begun()
    meter.session.request(WRITE)
    line.memory.store.values[COUNTER] = bytes(4)
    line.lose_power()
    for packet in line.commands:
        answer = line.forward(packet)
        assert answer is not None
        if packet[0]:
            assert parsed(answer)[1].argument == ResultCode.NO_SESSION
    assert line.memory.store.values[COUNTER] == bytes(4)


@pytest.mark.parametrize("is_same_session", [True, False])
def test_he_replays_an_old_encrypted_command(is_same_session: bool) -> None:
    """In its own session its counter is used; in another its key is another. It does not run."""
    line, meter = begun()
    meter.session.request(WRITE)
    recorded = line.commands[-1]
    if not is_same_session:
        meter.session.restart()
    line.memory.store.values[COUNTER] = bytes(4)
    answer = line.forward(recorded)
    assert answer is not None
    assert parsed(answer)[1].argument == ResultCode.NO_SESSION
    assert line.memory.store.values[COUNTER] == bytes(4)
    assert meter.session.request(READ).value == bytes(4)  # in a new session


def test_he_answers_a_read_with_an_older_answer() -> None:
    """To the same question, in the same session: its counter is another."""
    line, meter = begun()
    assert meter.session.request(READ).value == bytes(4)
    old = line.answers[-1]
    meter.session.request(WRITE)
    line.attack = once(lambda packet, forward: old)
    assert meter.session.request(READ).value == WRITE.value


def test_he_holds_commands_and_answers_back_across_sessions() -> None:
    """What was delayed in one session arrives in the next: it runs not, and answers nothing."""
    line, meter = begun()
    held: list[bytes] = []

    def hold(packet: bytes, forward: Forward) -> bytes | None:
        held.append(packet)
        return b"\x02" + bytes(60)

    line.attack = hold
    with pytest.raises(OutcomeUnknownError):
        meter.session.request(WRITE)
    line.attack = honest
    meter.ping()
    assert line.memory.store.values[COUNTER] == bytes(4)
    answer = line.forward(held[0])
    assert answer is not None
    assert answer[0] == 0
    assert line.memory.store.values[COUNTER] == bytes(4)
    meter.ping()
    late = line.answers[-1]
    meter.session.restart()
    line.attack = once(lambda packet, forward: late)
    assert meter.session.request(READ).value == bytes(4)


# --- He reflects ---------------------------------------------------------------------------------


def test_he_reflects_our_own_challenge() -> None:
    """Our request comes back to us as the meter's: no tag of ours goes out (scheme 1)."""

    def reflect(packet: bytes, forward: Forward) -> bytes | None:
        if type_of(packet) != PT.S1_AUTH_REQUEST:
            return forward(packet)
        request = S1AuthRequest.decode(parsed(packet)[1].payload)
        # Another session of ours, to which he is the supplicant, would give him this.
        other = forward(packet)
        assert other is not None
        given = S1AuthRequestReply.decode(parsed(other)[1].payload)
        reply = S1AuthRequestReply(nonce_b=request.nonce_a, tag_b=given.tag_b)
        return forged(packet, reply.TYPE, payload=reply.encode())

    line, meter = under_scheme1(reflect)
    with pytest.raises(AuthenticationError):
        meter.ping()
    assert PT.S1_AUTH_REPLY not in line.types


def test_he_reflects_the_meters_challenge() -> None:
    """The meter's tag, sent back as the supplicant's, does not authenticate him."""
    line, _ = under_scheme1()

    def say(command: Any) -> Message:
        head = Envelope(source=UmiId(0xBAD), destination=VIRTUAL_METER_ID)
        message = Message(
            transaction=1, created_s=0, packet_type=command.TYPE, payload=command.encode()
        )
        answer = line.forward(head.encode() + message.encode())
        assert answer is not None
        return parsed(answer)[1]

    asked = say(S1AuthRequest(role=Role.SERVICE, nonce_a=bytes(range(16))))
    tag = S1AuthRequestReply.decode(asked.payload).tag_b
    assert say(S1AuthReply(tag_a=tag)).argument == ResultCode.AUTHENTICATION_FAILED
    assert line.peer.authenticated == {}


def test_he_reflects_our_salt() -> None:
    """Salt B equal to salt A is refused: our own packets would open under that key."""

    def reflect(packet: bytes, forward: Forward) -> bytes | None:
        salt_a = S2StartSession.decode(parsed(packet)[1].payload).salt_a
        reply = S2StartSessionReply(salt_b=salt_a)
        return forged(packet, reply.TYPE, payload=reply.encode())

    line, meter = under_scheme2(only(PT.S2_START_SESSION, reflect))
    with pytest.raises(MalformedError, match="not random"):
        meter.ping()
    assert None not in line.types


def sent_back(packet: bytes) -> bytes:
    """Return an encrypted command as if it were its own response."""
    ids = packet[12:20] + packet[4:12]
    return packet[:4] + ids + bytes([packet[20] + 1]) + packet[21:]


def test_he_reflects_our_encrypted_command() -> None:
    """A command is no response: its counter is not the one that is due."""
    line, meter = begun()
    line.attack = once(lambda packet, forward: packet)
    assert meter.session.request(READ).value == bytes(4)
    line.attack = once(lambda packet, forward: sent_back(packet))
    assert meter.session.request(READ).value == bytes(4)
    assert line.types.count(PT.S2_START_SESSION) == 3


# --- He strips -----------------------------------------------------------------------------------


def test_he_strips_the_signature_of_a_command() -> None:
    """In the clear it is a guest's then; and the object demands a signature besides."""
    line, meter = under_scheme1()
    meter.ping()

    def strip(packet: bytes, forward: Forward) -> bytes | None:
        return forward(changed(packet, signature_scheme=0, argument=0, signature=b"\x00\x02"))

    line.attack = strip
    with pytest.raises(OutcomeUnknownError):
        meter.session.request(SET_LIMIT)
    assert parsed(line.answers[-1])[1].argument == ResultCode.INVALID_SIGNATURE
    assert line.memory.store.values[LOAD_LIMIT] == bytes(4)


def test_he_strips_the_mac_of_a_response() -> None:
    line, meter = under_scheme1()
    meter.ping()

    def strip(packet: bytes, forward: Forward) -> bytes | None:
        answer = forward(packet)
        assert answer is not None
        payload = parsed(answer)[1].payload[:-4] + b"\xff" * 4
        return changed(answer, signature_scheme=0, signature=b"\x00\x02", payload=payload)

    line.attack = strip
    with pytest.raises(MalformedError) as error:
        meter.session.request(READ)
    assert error.value.exit_code == 33


# --- He downgrades -------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [20, 1, 2, 7, 9, 17, 18, 19, 130, 131, 0])
@pytest.mark.parametrize("when", ["from the start", "from START_SESSION on", "inside a session"])
def test_he_downgrades_with_errors_in_the_clear(result: int, when: str) -> None:
    """UNKNOWN_ENCRYPTION_SCHEME, NOT_IMPLEMENTED and their like: the client gives up, and says
    nothing of its command in the clear."""
    line, meter = under_scheme2()
    kinds: dict[str, tuple[int | None, ...]] = {
        "from START_SESSION on": (PT.S2_START_SESSION, None),
        "inside a session": (None,),
    }
    hit = kinds.get(when, (PT.READ_OBJECT, PT.S2_GET_CERTIFICATE, PT.S2_START_SESSION, None))
    if when == "inside a session":
        meter.ping()

    def downgrade(packet: bytes, forward: Forward) -> bytes | None:
        return forged_error(packet, result) if type_of(packet) in hit else forward(packet)

    line.attack = downgrade
    with pytest.raises(UmiError) as error:
        meter.session.request(WRITE)
    assert error.value.exit_code in (17, 23, 30, 33)
    for packet in line.commands:
        assert packet[0] == 2 or type_of(packet) in (
            PT.READ_OBJECT,
            PT.S2_GET_CERTIFICATE,
            PT.S2_START_SESSION,
            PT.S2_ADD_CERTIFICATE,
        )
        if type_of(packet) == PT.READ_OBJECT:
            assert parsed(packet)[1].payload == bytes(4)  # the UMI ID, and nothing else
    assert line.memory.store.values[COUNTER] == bytes(4)


@pytest.mark.parametrize("result", [20, 2, 7, 9, 128])
def test_he_downgrades_scheme_1(result: int) -> None:
    """A client under scheme 1 sends no command without its MAC, whatever it is told."""
    line, meter = under_scheme1(lambda packet, forward: forged_error(packet, result))
    with pytest.raises(UmiError):
        meter.session.request(WRITE)
    assert PT.WRITE_OBJECT not in line.types
    line, meter = under_scheme1()
    meter.ping()
    line.attack = lambda packet, forward: forged_error(packet, result)
    with pytest.raises(OutcomeUnknownError):
        meter.session.request(WRITE)
    macs = [parsed(packet)[1].signature_scheme for packet in line.commands[3:]]
    assert set(macs) == {1}


def of_scheme(scheme: int, packet: bytes) -> bytes:
    return bytes([scheme]) + packet[1:]


def test_he_asks_for_the_other_scheme_in_the_header() -> None:
    """A sealed packet that says to be in the clear is no packet at all; nor one of scheme 1."""
    line, meter = begun()
    for scheme in (0, 1, 3):
        line.attack = once(instead(partial(of_scheme, scheme)))
        assert meter.session.request(READ).value == bytes(4)
    assert line.types.count(PT.S2_START_SESSION) == 4


# --- He answers in the clear ---------------------------------------------------------------------


def true_value(packet: bytes, forward: Forward) -> bytes | None:
    """A perfectly formed answer in the clear, of a value that he would like."""
    payload = COUNTER.encode() + b"\0\0\x04\0" + b"\xff" * 4
    return forged(packet, PT.READ_OBJECT_RESPONSE, payload=payload)


IN_THE_CLEAR: dict[str, Attack] = {
    "a value": true_value,
    "OK": lambda packet, _: forged(packet, PT.WRITE_OBJECT_RESPONSE),
    "a refusal": lambda packet, _: forged(packet, PT.WRITE_OBJECT_RESPONSE, 9),
    "a WAIT": lambda packet, _: forged(packet, PT.WAIT, payload=b"\x01\x00"),
    "an ERROR": lambda packet, _: forged_error(packet, ResultCode.ACCESS_DENIED),
    "an ERROR of OK": lambda packet, _: forged_error(packet, ResultCode.OK),
    "NO_SESSION, not as an ERROR": lambda packet, _: forged(
        packet, PT.READ_OBJECT_RESPONSE, ResultCode.NO_SESSION
    ),
    "an empty packet": lambda packet, _: forged(packet, 0)[:21],
}


@pytest.mark.parametrize("attack", IN_THE_CLEAR.values(), ids=IN_THE_CLEAR)
def test_he_answers_in_the_clear_inside_a_session(attack: Attack) -> None:
    """No unencrypted response is believed; the read is asked again under another key."""
    line, meter = begun()
    line.attack = once(only(None, attack))
    assert meter.session.request(READ).value == bytes(4)
    assert line.types.count(PT.S2_START_SESSION) == 2
    line.attack = once(only(None, attack))
    with pytest.raises(OutcomeUnknownError):
        meter.session.request(WRITE)
    assert line.memory.store.values[COUNTER] == bytes(4)
    line.attack = only(None, attack)
    with pytest.raises(MalformedError) as error:
        meter.session.request(READ)
    assert error.value.exit_code == 33


def test_he_forges_no_session() -> None:
    """It is believed, and ends the session: no more than that. A change is in doubt then."""
    line, meter = begun()
    no_session = once(lambda packet, _: forged_error(packet, ResultCode.NO_SESSION))
    line.attack = no_session
    assert meter.session.request(READ).value == bytes(4)
    assert line.types.count(PT.S2_START_SESSION) == 2
    line.attack = once(lambda packet, _: forged_error(packet, ResultCode.NO_SESSION))
    with pytest.raises(OutcomeUnknownError, match="does not know the session"):
        meter.session.request(WRITE)
    meter.ping()
    line.attack = once(lambda packet, forward: forward(packet) and forged_error(packet, 17))
    written: list[bytes] = []
    line.memory.store.on_write("counter", written.append)
    meter.write("counter", 6)
    assert written == [b"\x06\0\0\0"]  # read back, and not written again


def test_he_forges_no_session_for_ever() -> None:
    """The client gives up: exit 17."""
    line, meter = begun()
    line.attack = only(None, lambda packet, _: forged_error(packet, ResultCode.NO_SESSION))
    with pytest.raises(SessionDeadError) as error:
        meter.session.request(READ)
    assert error.value.exit_code == 17


def test_he_completes_what_was_deferred() -> None:
    """A COMPLETE of his own, in the clear, does not get what the session asked for."""
    line, meter = under_scheme2(defer_ms={COUNTER: 300})
    stolen: list[int] = []

    def complete(packet: bytes, forward: Forward) -> bytes | None:
        answer = forward(packet)
        line.clock.skip_to(line.clock.monotonic() + 1)
        for transaction in range(20):
            head = Envelope(source=UmiId(0xBAD), destination=VIRTUAL_METER_ID)
            message = Message(transaction=transaction, created_s=0, packet_type=PT.COMPLETE)
            given = forward(head.encode() + message.encode())
            assert given is not None
            stolen.append(parsed(given)[1].argument)
        return answer

    meter.ping()
    line.attack = once(complete)
    assert meter.session.request(READ).value == bytes(4)
    assert set(stolen) == {ResultCode.DEFER_ERROR}


# --- He turns bits over --------------------------------------------------------------------------


def flipped(packet: bytes, bit: int) -> bytes:
    spoilt = bytearray(packet)
    spoilt[bit // 8] ^= 1 << bit % 8
    return bytes(spoilt)


def test_he_turns_any_bit_of_an_encrypted_command_over() -> None:
    """The meter's state never changes; the client knows that it does not know."""
    line, meter = begun()
    bits = 8 * (21 + 11 + 12 + 2 + 16)
    before = line.memory.store.values.copy()
    for bit in range(bits):
        meter.ping()
        line.attack = once(instead(partial(flipped, bit=bit)))
        with pytest.raises(OutcomeUnknownError):
            meter.session.request(WRITE)
        assert len(line.commands[-1]) * 8 == bits
        assert line.memory.store.values == before, bit


def test_he_turns_any_bit_of_an_encrypted_response_over() -> None:
    """No wrong value is reported: the read is given again, in another session."""
    line, meter = begun()
    line.memory.store.values[COUNTER] = b"\x12\x34\x56\x78"
    bits = 8 * (21 + 11 + 12 + 2 + 16)

    for bit in range(bits):
        meter.ping()

        def spoil(packet: bytes, forward: Forward, bit: int = bit) -> bytes | None:
            answer = forward(packet)
            assert answer is not None
            assert len(answer) * 8 == bits
            return flipped(answer, bit)

        line.attack = once(spoil)
        sessions = line.types.count(PT.S2_START_SESSION)
        assert meter.session.request(READ).value == b"\x12\x34\x56\x78", bit
        assert line.types.count(PT.S2_START_SESSION) == sessions + 1, bit


def test_he_turns_bits_of_what_begins_a_session_over() -> None:
    """Each bit in turn of each packet in the clear, either way: a session with the meter comes of
    it, or an error; never one with somebody else."""
    line, _ = begun()
    lengths = [[len(each) for each in way[:3]] for way in (line.commands, line.answers)]
    for way in range(2):
        for number, length in enumerate(lengths[way]):
            for bit in range(0, length * 8, 5):
                line.peer = line.meter.new_peer("line")
                line.attack = in_turn(number, way, bit)
                client = line.client(Scheme2(credentials2()), attempts=1)
                failure = failure_of(client.ping)
                assert failure in (None, 15, 17, 23, 24, 30, 31, 33)
                if failure is None:
                    assert client.session.standing.device_certificate == METER.certificate
    assert line.memory.vault.key_table == {SERVICE.umi_id: SERVICE.certificate}


def failure_of(action: Callable[[], None]) -> int | None:
    """Return the exit code that an action fails with, None if it does not."""
    try:
        action()
    except UmiError as error:
        return error.exit_code
    return None


def in_turn(number: int, way: int, bit: int) -> Attack:
    """Turn a bit over in the packet of that number; one way or the other."""
    passed: list[bytes] = []

    def attack(packet: bytes, forward: Forward) -> bytes | None:
        passed.append(packet)
        if len(passed) != number + 1:
            return forward(packet)
        if way == 0:
            return forward(flipped(packet, bit))
        answer = forward(packet)
        return answer and flipped(answer, bit % (len(answer) * 8))

    return attack


# --- He speaks for himself -----------------------------------------------------------------------


def test_he_talks_to_the_meter_beside_us() -> None:
    """As a guest with our ID he begins sessions and ends none; ours goes on."""
    line, meter = begun()

    def meddle(packet: bytes, forward: Forward) -> bytes | None:
        for command in (S2StartSession(salt_a=new_salt()), S2EndSession(), NoOperation(), WRITE):
            head = Envelope(source=SERVICE.umi_id, destination=VIRTUAL_METER_ID)
            message = Message(
                transaction=0x4242, created_s=0, packet_type=command.TYPE, payload=command.encode()
            )
            forward(head.encode() + message.encode())
        return forward(packet)

    line.attack = meddle
    meter.session.request(WriteObject(code=VALVE, value=b"\x00"))
    assert line.memory.store.values[COUNTER] == bytes(4)
    assert line.memory.store.values[VALVE] == b"\x00"
    assert line.types.count(PT.S2_START_SESSION) == 1


def test_he_sits_between_with_certificates_of_his_own_for_both() -> None:
    """Two sessions, one with each, would need a certificate that the root signed for the other's
    ID: without one neither side talks to him."""
    to_meter = party(0x51, key=FALSE_KEY, signer=FALSE_KEY)
    line, meter = begun()
    add = S2GetCertificateReply(certificate=to_meter.certificate.encode())
    head = Envelope(source=SERVICE.umi_id, destination=VIRTUAL_METER_ID)
    message = Message(
        transaction=1,
        created_s=0,
        packet_type=PT.S2_ADD_CERTIFICATE,
        payload=add.encode(),
    )
    answer = line.forward(head.encode() + message.encode())
    assert answer is not None
    assert parsed(answer)[1].argument == ResultCode.INVALID_CERTIFICATE_SIGNATURE
    salt_a = new_salt()
    start = S2StartSession(salt_a=salt_a)
    message = Message(transaction=2, created_s=0, packet_type=start.TYPE, payload=start.encode())
    answer = line.forward(head.encode() + message.encode())
    assert answer is not None
    salt_b = S2StartSessionReply.decode(parsed(answer)[1].payload).salt_b
    key = agree(FALSE_KEY, METER.key.public_point, salt_a, salt_b)
    his = SealedSession.of_commander(key, SERVICE.umi_id)
    sealed = Envelope(source=SERVICE.umi_id, destination=VIRTUAL_METER_ID, encryption_scheme=2)
    inner = Message(transaction=3, created_s=0, packet_type=WRITE.TYPE, payload=WRITE.encode())
    answer = line.forward(his.seal(sealed.encode(), inner.encode()))
    assert answer is not None
    assert parsed(answer)[1].argument == ResultCode.NO_SESSION
    assert line.memory.store.values[COUNTER] == bytes(4)
    assert meter.session.request(READ).value == bytes(4)
