"""Commands that are signed here and now, and sent elsewhere later: once, there, and then alone."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates.pki import NOW, ROOT, ROOT_KEY
from tests.device.between import Between, Forward, credentials2, forged, forged_error, honest
from tests.virtual.parties import (
    COUNTER,
    LOAD_LIMIT,
    MANUFACTURER_ID,
    SERVICE,
    SET_LIMIT,
    USER,
    VALVE,
    Party,
    party,
    role_key,
    trusting_memory,
)
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import ReadObject, ReadObjectReply, WriteObject
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.device.credentials import Scheme1Credentials, Scheme2Credentials
from umi_cli.device.meter import Meter
from umi_cli.device.offline import SignedCommand, sign_ahead
from umi_cli.device.protection import Unprotected
from umi_cli.errors import (
    InputError,
    MalformedError,
    NoAnswerError,
    NotTrustedError,
    OutcomeUnknownError,
    RefusedError,
    UmiError,
)
from umi_cli.security.signatures import MAX_WINDOW_S
from umi_cli.types import EPOCH_UNIX_S, MAX_DATETIME_S, UNKNOWN_DEVICE, Role, UmiId
from umi_cli.virtual.delivered import VIRTUAL_METER_ID
from umi_cli.virtual.memory import load_memory
from umi_cli.virtual.vault import USED_SIGNATURES

NOW_S = 1_795_341_600 - EPOCH_UNIX_S  # when the lines of these tests begin
DAY_S = 86_400
LIMIT = SET_LIMIT.value
CREDENTIALS_1 = Scheme1Credentials(role=Role.SERVICE, key=role_key(Role.SERVICE))


def signed(command: Command[Any] = SET_LIMIT, **options: Any) -> SignedCommand:
    given: dict[str, Any] = {
        "credentials": credentials2(),
        "commander": SERVICE.umi_id,
        "target": VIRTUAL_METER_ID,
        "from_s": NOW_S,
        "valid_for_s": DAY_S,
    }
    return sign_ahead(command, **(given | options))


def courier(*known: Party, **options: Any) -> tuple[Between, Meter]:
    """Return a line to a meter, and somebody on it who holds no key."""
    line = Between(trusting_memory(*(known or (SERVICE,))), **options)
    return line, line.client(Unprotected())


def wait(line: Between, seconds: float) -> None:
    line.clock.skip_to(line.clock.monotonic() + seconds)


def refused(code: ResultCode) -> Any:
    return pytest.raises(RefusedError, match=rf"{code.name} \({code}\)")


def limit(line: Between) -> bytes:
    return line.memory.store.values[LOAD_LIMIT]


@pytest.mark.parametrize("credentials", [credentials2(), CREDENTIALS_1], ids=["ECDSA", "MAC"])
@pytest.mark.parametrize("after_s", [0, 3600, DAY_S])
def test_it_runs_inside_its_window(credentials: Any, after_s: int) -> None:
    """Both ends included; the courier holds no key."""
    line, meter = courier()
    wait(line, after_s)
    meter.session.deliver(signed(credentials=credentials))
    assert limit(line) == LIMIT


@pytest.mark.parametrize("credentials", [credentials2(), CREDENTIALS_1], ids=["ECDSA", "MAC"])
@pytest.mark.parametrize("from_s", [NOW_S + 1, NOW_S - DAY_S - 1], ids=["before", "after"])
def test_it_is_refused_outside_its_window(credentials: Any, from_s: int) -> None:
    """Before it opens and after it has closed, to the second: 128, exit 30, and no change."""
    line, meter = courier()
    with refused(ResultCode.INVALID_SIGNATURE) as failure:
        meter.session.deliver(signed(credentials=credentials, from_s=from_s))
    assert failure.value.exit_code == 30
    assert limit(line) == bytes(4)


def test_one_that_came_too_early_runs_when_its_time_has_come() -> None:
    """A refusal does not use it up."""
    line, meter = courier()
    command = signed(from_s=NOW_S + 100)
    with refused(ResultCode.INVALID_SIGNATURE):
        meter.session.deliver(command)
    wait(line, 100)
    meter.session.deliver(command)
    assert limit(line) == LIMIT


def test_the_window_is_in_the_meters_time() -> None:
    line, meter = courier()
    line.memory.clock_offset_s = 10 * DAY_S
    with refused(ResultCode.INVALID_SIGNATURE):
        meter.session.deliver(signed())
    meter.session.deliver(signed(from_s=NOW_S + 10 * DAY_S))
    assert limit(line) == LIMIT


def test_it_is_refused_by_another_meter() -> None:
    """One with another ID takes nothing that is not for it; nor if somebody writes its ID in."""
    line, meter = courier()
    other = UmiId(VIRTUAL_METER_ID.value + 1)
    with refused(ResultCode.UNAVAILABLE):
        meter.session.deliver(signed(target=other))
    readdressed = signed(target=other)
    packet = readdressed.packet
    packet = packet[:12] + VIRTUAL_METER_ID.encode() + packet[20:]
    with refused(ResultCode.INVALID_SIGNATURE):
        meter.session.deliver(SignedCommand.decode(packet))
    assert limit(line) == bytes(4)


def test_it_names_its_meter() -> None:
    """All ones would fit every meter: refused by all of them."""
    line, meter = courier()
    with refused(ResultCode.INVALID_SIGNATURE):
        meter.session.deliver(signed(target=UNKNOWN_DEVICE))
    assert limit(line) == bytes(4)


@pytest.mark.parametrize("credentials", [credentials2(), CREDENTIALS_1], ids=["ECDSA", "MAC"])
@pytest.mark.parametrize("how", ["another line", "a power cut", "a state file"])
def test_it_is_refused_a_second_time(credentials: Any, how: str) -> None:
    line, meter = courier()
    command = signed(credentials=credentials)
    meter.session.deliver(command)
    line.memory.store.values[LOAD_LIMIT] = bytes(4)
    if how == "a state file":
        memory = load_memory(line.memory.dump(), "test")
        line = Between(memory, clock=line.clock)
    elif how == "a power cut":
        line.lose_power()
    line.peer = line.meter.new_peer("another line")
    again = line.client(Unprotected())
    with refused(ResultCode.INVALID_SIGNATURE):
        again.session.deliver(command)
    assert limit(line) == bytes(4)


def test_a_second_time_on_its_line_it_gets_its_answer_and_does_not_run() -> None:
    """As every command that is repeated: the meter remembers what it answered."""
    line, meter = courier()
    command = signed()
    meter.session.deliver(command)
    line.memory.store.values[LOAD_LIMIT] = bytes(4)
    meter.session.deliver(command)
    assert limit(line) == bytes(4)


@pytest.mark.parametrize("credentials", [credentials2(), CREDENTIALS_1], ids=["ECDSA", "MAC"])
def test_no_bit_of_it_can_be_turned_over(credentials: Any) -> None:
    """Anywhere: either it is no signed command any more, or the meter refuses it."""
    line, _ = courier()
    command = signed(credentials=credentials)
    for bit in range(len(command.packet) * 8):
        spoilt = bytearray(command.packet)
        spoilt[bit // 8] ^= 1 << bit % 8
        answer = line.forward(bytes(spoilt))
        assert answer is not None
        assert Message.decode(answer[ENVELOPE_BYTES:]).argument != ResultCode.OK, bit
        assert limit(line) == bytes(4), bit
    line.client(Unprotected()).session.deliver(command)
    assert limit(line) == LIMIT


def test_the_role_is_the_certificates() -> None:
    """A user that signs as service is refused as a forger; as a user, as a user."""
    line, meter = courier(USER)

    def by_user(role: Role) -> SignedCommand:
        other = party(0x41, role, key=USER.key)
        return signed(credentials=credentials2(other), commander=USER.umi_id)

    with refused(ResultCode.INVALID_SIGNATURE):
        meter.session.deliver(by_user(Role.SERVICE))
    with refused(ResultCode.ACCESS_DENIED):
        meter.session.deliver(by_user(Role.USER))
    assert limit(line) == bytes(4)


def test_another_roles_key_makes_no_mac() -> None:
    line, meter = courier()
    claim = Scheme1Credentials(role=Role.SERVICE, key=role_key(Role.USER))
    with refused(ResultCode.INVALID_SIGNATURE):
        meter.session.deliver(signed(credentials=claim))
    assert limit(line) == bytes(4)


def test_the_meter_must_know_the_commander() -> None:
    _, meter = courier(USER)
    with refused(ResultCode.NO_CERTIFICATE):
        meter.session.deliver(signed())


def test_a_commander_revoked_in_between_is_refused() -> None:
    line, meter = courier()
    command = signed()
    line.memory.vault.revoke(SERVICE.certificate.body.name, NOW_S)
    with refused(ResultCode.NO_CERTIFICATE):
        meter.session.deliver(command)


def test_a_certificate_that_ends_before_the_window_does_not_outlive_itself() -> None:
    short = party(0x51, valid_until=NOW + timedelta(hours=1))
    line, meter = courier(short)
    wait(line, 7200)
    with refused(ResultCode.INVALID_CERTIFICATE):
        meter.session.deliver(signed(credentials=credentials2(short)))


def test_memory_for_used_signatures_is_bounded() -> None:
    """Of commands that ran, and until their windows close; then there is room again."""
    line, meter = courier()
    for number in range(USED_SIGNATURES):
        write = WriteObject(code=COUNTER, value=number.to_bytes(4, "little"))
        meter.session.deliver(signed(write, credentials=CREDENTIALS_1))
    with refused(ResultCode.UNAVAILABLE):
        meter.session.deliver(signed(credentials=CREDENTIALS_1))
    assert len(line.memory.vault.used_signatures) == USED_SIGNATURES
    wait(line, DAY_S + 1)
    meter.session.deliver(signed(credentials=CREDENTIALS_1, from_s=NOW_S + DAY_S))
    assert len(line.memory.vault.used_signatures) == 1


def test_refused_commands_take_no_memory() -> None:
    """Nobody fills it with what he is not able to sign."""
    line, _ = courier()
    packet = signed().packet
    for number in range(50):
        line.forward(packet[:-10] + bytes([number]) * 10)
    assert line.memory.vault.used_signatures == {}


# --- Signing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("valid_for_s", [0, 1, 59, 60, DAY_S, MAX_WINDOW_S])
def test_the_window_is_the_one_that_was_asked_for(valid_for_s: int) -> None:
    record = signed(valid_for_s=valid_for_s).signature
    assert (record.valid_from_s, record.valid_until_s) == (NOW_S, NOW_S + valid_for_s)


@pytest.mark.parametrize("valid_for_s", [-1, MAX_WINDOW_S + 1, 10**9])
def test_a_window_is_a_week_at_most(valid_for_s: int) -> None:
    with pytest.raises(InputError, match="7 days"):
        signed(valid_for_s=valid_for_s)


def test_a_week_is_taken_by_the_meter() -> None:
    line, meter = courier()
    meter.session.deliver(signed(valid_for_s=MAX_WINDOW_S))
    assert limit(line) == LIMIT


def test_a_window_ends_with_the_datetimes() -> None:
    record = signed(from_s=MAX_DATETIME_S - 5).signature
    assert record.valid_until_s == MAX_DATETIME_S


def test_two_commands_of_one_text_are_two() -> None:
    """Their transaction numbers are drawn: the same write can be signed for twice a day."""
    numbers = {signed().message.transaction for _ in range(20)}
    assert len(numbers) > 15


def test_an_authority_signs_no_command() -> None:
    with pytest.raises(NotTrustedError):
        signed(credentials=Scheme2Credentials(signer=ROOT_KEY, chain=(ROOT,)))


# --- Its form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("credentials", [credentials2(), CREDENTIALS_1], ids=["ECDSA", "MAC"])
def test_it_round_trips_through_a_file(credentials: Any) -> None:
    """Only the packet is believed; what stands beside it is for people."""
    command = signed(credentials=credentials)
    content = command.to_json()
    assert SignedCommand.parse(json.dumps(content), "file") == command
    assert (content["role"], content["target"]) == ("service", str(VIRTUAL_METER_ID))
    assert content["valid_from"] == "2026-11-22T10:00:00Z"
    lying = {**content, "role": "user", "target": "0" * 16, "command": "NO_OPERATION"}
    assert SignedCommand.parse(json.dumps(lying), "file") == command


def test_it_holds_no_key() -> None:
    for credentials in (credentials2(), CREDENTIALS_1):
        text = json.dumps(signed(credentials=credentials).to_json())
        assert role_key(Role.SERVICE).raw.hex() not in text
        assert SERVICE.key.to_pkcs8()[36:68].hex() not in text


def unsigned() -> bytes:
    message = replace(signed().message, signature_scheme=0, signature=b"\x00\x02")
    return signed().envelope.encode() + message.encode()


NONE: dict[str, bytes] = {
    "nothing": b"",
    "cut": signed().packet[:-1],
    "encrypted": b"\x02" + signed().packet[1:],
    "unsigned": unsigned(),
    "a response": signed().packet[:28] + b"\x35" + signed().packet[29:],
}


@pytest.mark.parametrize("packet", NONE.values(), ids=NONE)
def test_what_is_no_signed_command(packet: bytes) -> None:
    with pytest.raises(MalformedError):
        SignedCommand.decode(packet)
    text = json.dumps({"schema": "umi-command/1", "packet": packet.hex()})
    with pytest.raises(InputError, match="holds no signed command"):
        SignedCommand.parse(text, "file")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "7", '{"schema": "umi-command/2", "packet": ""}', "[" * 100_000]
)
def test_what_is_no_file_of_one(text: str) -> None:
    with pytest.raises(InputError, match="holds no signed command"):
        SignedCommand.parse(text, "file")


@given(
    st.binary(max_size=200) | st.binary(max_size=150).map(lambda tail: signed().packet[:21] + tail)
)
def test_garbage_is_malformed(packet: bytes) -> None:
    with pytest.raises(MalformedError):
        SignedCommand.decode(packet)


# --- Delivery ------------------------------------------------------------------------------------


def test_it_is_sent_to_the_letter() -> None:
    line, meter = courier()
    command = signed()
    meter.session.deliver(command)
    assert line.commands == [command.packet]


def test_a_signed_read_brings_its_value() -> None:
    _, meter = courier()
    reply = meter.session.deliver(signed(ReadObject(code=MANUFACTURER_ID)))
    assert isinstance(reply, ReadObjectReply)
    assert reply.value[-8:] == b"31733978"


def test_a_dry_run_delivers_nothing_that_changes_the_meter() -> None:
    line = Between(trusting_memory(SERVICE))
    meter = line.client(Unprotected(), dry_run=True)
    with pytest.raises(InputError, match="dry run"):
        meter.session.deliver(signed())
    assert line.commands == []


def test_a_deferred_response_is_waited_for() -> None:
    line, meter = courier(defer_ms={LOAD_LIMIT: 500})
    meter.session.deliver(signed())
    assert limit(line) == LIMIT
    assert len(line.commands) == 2


def test_a_lost_answer_is_told_as_unknown() -> None:
    """It may have run: exit 17; nobody repeats it."""

    def lose(packet: bytes, forward: Forward) -> bytes | None:
        forward(packet)
        line.is_hung_up = True
        return None

    line, meter = courier(attack=lose)
    with pytest.raises(OutcomeUnknownError) as failure:
        meter.session.deliver(signed())
    assert failure.value.exit_code == 17
    assert limit(line) == LIMIT
    assert len(line.commands) == 1


@pytest.mark.parametrize("kind", [PacketType.READ_OBJECT_RESPONSE, PacketType.WAIT, 0x77])
def test_what_does_not_answer_it_is_not_believed(kind: int) -> None:
    line, meter = courier(attack=lambda packet, _: forged(packet, kind))
    with pytest.raises(UmiError) as failure:
        meter.session.deliver(signed())
    assert failure.value.exit_code in (17, 33)
    assert limit(line) == bytes(4)


def test_an_answer_to_another_is_not_believed() -> None:
    def other(packet: bytes, forward: Forward) -> bytes | None:
        answer = forward(packet)
        assert answer is not None
        return Envelope(source=UmiId(7), destination=UmiId(8)).encode() + answer[21:]

    _, meter = courier(attack=other)
    with pytest.raises(OutcomeUnknownError):
        meter.session.deliver(signed())


def test_a_meter_that_does_not_answer() -> None:
    line, meter = courier(attack=lambda packet, forward: None)
    with pytest.raises((NoAnswerError, OutcomeUnknownError)):
        meter.session.deliver(signed())
    assert limit(line) == bytes(4)


def test_a_refusal_in_the_clear_is_told() -> None:
    """Nobody signs it, for the courier could not verify it: it is told as it came."""
    line, meter = courier(attack=lambda packet, _: forged_error(packet, ResultCode.BAD_IMAGE))
    with refused(ResultCode.BAD_IMAGE):
        meter.session.deliver(signed())
    line.attack = honest
    meter.session.deliver(signed())
    assert line.memory.store.values[VALVE] == b"\x01"
