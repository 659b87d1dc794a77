"""What a session sends, what it believes, and what it tells its user (protocol 2.3, 3.1, 3.2)."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.device.scripted import (
    START_UNIX_S,
    Reaction,
    Request,
    ScriptedDevice,
    Step,
    dead,
    done,
    error,
    link_error,
    packet_of,
    play,
    raw,
    refused,
    reply,
    session_with,
    value,
)
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import (
    GetObjectAccess,
    GetObjectAccessReply,
    ImageEnd,
    NoOperation,
    ReadObject,
    ReadObjectPart,
    ReadObjectPartReply,
    ReadObjectReply,
    SetObjectReadAccess,
    SetObjectWriteAccess,
    TunnelData,
    WriteObject,
    WriteObjectPart,
)
from umi_cli.application.packet import MAX_PAYLOAD_BYTES
from umi_cli.application.payload import Command
from umi_cli.device.session import Session
from umi_cli.errors import (
    AccessDeniedError,
    InputError,
    LinkError,
    LostError,
    MalformedError,
    NoAnswerError,
    OutcomeUnknownError,
    RefusedError,
    UmiError,
    UnknownObjectError,
)
from umi_cli.link.crc import crc
from umi_cli.link.fragment import Fragment, FragmentErrorCode, FragmentType, split
from umi_cli.link.frame import Frame, FrameType, LinkErrorCode
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.types import (
    DEFAULT_READER_ID,
    EPOCH_UNIX_S,
    UNKNOWN_DEVICE,
    ObjectPart,
    RoleSet,
    UmiCode,
    UmiId,
)

CODE = UmiCode.parse("umi.1.1.0.0")
OTHER = UmiCode.parse("umi.1.1.0.2")
READ = ReadObject(code=CODE)
WRITE = WriteObject(code=CODE, value=b"\x01\x02")
ANSWER = ReadObjectReply(code=CODE, value=b"value")
METER = UmiId(0x0023_7EFE_0000_0001)
BUSY_PAUSE_S = 0.2
BUSY_TRIES = 25  # 5 s in all


def meter_frame(kind: int, payload: bytes, sequence: int = 1, source: int = 1) -> bytes:
    return Frame(
        sequence=sequence, frame_type=kind, destination=5, source=source, payload=payload
    ).encode()


def test_a_command_and_its_reply() -> None:
    device, session = play(value(b"value"))
    assert session.request(READ) == ANSWER
    assert device.commands == [READ]
    head, message = device.requests[0].envelope, device.requests[0].message
    assert (head.source, head.destination) == (DEFAULT_READER_ID, UNKNOWN_DEVICE)
    assert (head.encryption_scheme, head.protocol, head.encryption_options) == (0, 1, 0)
    assert (message.transaction, message.argument, message.signature) == (0, 0, b"\x00\x02")
    assert message.created_s == START_UNIX_S - EPOCH_UNIX_S


def test_transactions_count_up_and_wrap() -> None:
    device, session = play(*[value(b"")] * 3)
    session._transaction = 65_533
    for _ in range(3):
        session.request(READ)
    assert [each.message.transaction for each in device.requests] == [65_534, 65_535, 0]


def test_own_and_device_id_stand_in_the_envelope() -> None:
    own = UmiId(7)
    device, session = play(value(b""), own_id=own)
    session.device_id = METER
    session.request(READ)
    head = device.requests[0].envelope
    assert (head.source, head.destination) == (own, METER)


def test_the_device_may_answer_all_ones_with_its_own_id() -> None:
    assert play(reply(ANSWER, source=METER))[1].request(READ) == ANSWER


def test_one_resync_for_fifteen_commands_and_another_for_the_next() -> None:
    device, session = play(*[value(b"")] * 16)
    for _ in range(15):
        session.request(READ)
    assert device.resyncs == 1
    session.request(READ)
    assert device.resyncs == 2


def test_a_port_of_the_host_is_commanded_under_its_address() -> None:
    device = ScriptedDevice([value(b"")])
    sent: list[bytes] = []
    session = session_with(device, port=3, observer=lambda way, data: sent.append(data))
    with pytest.raises(LinkError, match=r"refused READ_OBJECT umi\.1\.1\.0\.0: BAD_ADDRESS \(3\)"):
        session.request(READ)
    frames = [Frame.decode(data) for data in sent]
    assert (frames[2].frame_type, frames[2].destination) == (FrameType.SIMPLE, 3)


def test_the_observer_sees_every_piece_both_ways() -> None:
    seen: list[tuple[str, int]] = []

    def observe(way: str, data: bytes) -> None:
        seen.append((way, Frame.decode(data).frame_type))

    play(value(b""), observer=observe)[1].request(READ)
    kinds = (FrameType.RESYNC, FrameType.RESYNC_RESPONSE, FrameType.SIMPLE)
    ways = ("out", "in", "out", "in")
    assert seen == list(zip(ways, (*kinds, FrameType.SIMPLE_RESPONSE), strict=True))


# What is believed


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (reply(ANSWER, transaction=1), "has transaction number 4, the command had 3"),
        (reply(ANSWER, transaction=-1), "has transaction number 2, the command had 3"),
        (
            reply(ANSWER, source=DEFAULT_READER_ID, destination=UNKNOWN_DEVICE),
            "goes from 00237EFE00000004 to FFFFFFFFFFFFFFFF, "
            "the command went from 00237EFE00000004 to FFFFFFFFFFFFFFFF",
        ),
        (reply(ANSWER, destination=UmiId(9)), "goes from FFFFFFFFFFFFFFFF to 0000000000000009"),
        (reply(ANSWER, kind=PacketType.READ_OBJECT_PART_RESPONSE), "with packet type 0x33"),
        (reply(ANSWER, kind=PacketType.READ_OBJECT), "with packet type 0x30"),
        (reply(kind=PacketType.ERROR), "with packet type 0xff"),
        (reply(ReadObjectReply(code=OTHER, value=b"")), r"answered for umi\.1\.1\.0\.2"),
        (reply(ANSWER, encryption_scheme=2), "sealed under scheme 2"),
        (reply(b"\x00\x00\x01"), "too short"),
        (reply(ANSWER.encode() + b"\x00"), "too many"),
    ],
)
def test_a_response_to_something_else_is_not_believed(step: Step, sentence: str) -> None:
    device, session = play(*[step] * 4)
    with pytest.raises(MalformedError, match=sentence) as caught:
        session.request(READ)
    assert caught.value.exit_code == 33
    assert len(device.requests) == 4, "a read is given again"


def test_the_devices_id_is_checked_once_it_is_known() -> None:
    session = play(*[reply(ANSWER, source=UmiId(8))] * 4)[1]
    session.device_id = METER
    with pytest.raises(MalformedError, match="goes from 0000000000000008"):
        session.request(READ)


def test_a_response_signed_under_another_scheme_is_not_believed() -> None:
    def step(request: Request) -> Reaction:
        packet = packet_of(reply(ANSWER), request)
        return packet[:21] + b"\x01" + packet[22:-2] + b"\x01\x02"

    with pytest.raises(MalformedError, match="signed under scheme 1, 0 was asked for"):
        play(*[step] * 4)[1].request(READ)


def test_no_packet_at_all_is_malformed() -> None:
    with pytest.raises(MalformedError, match="packet is too short"):
        play(*[lambda request: b"\x00"] * 4)[1].request(READ)


def test_a_malformed_answer_may_be_right_the_next_time() -> None:
    device, session = play(reply(ANSWER, transaction=5), value(b"value"))
    assert session.request(READ) == ANSWER
    assert [each.message.transaction for each in device.requests] == [0, 1]


def test_a_malformed_answer_to_a_write_leaves_it_in_doubt() -> None:
    device, session = play(reply(transaction=5))
    with pytest.raises(OutcomeUnknownError, match="unknown whether it ran") as caught:
        session.request(WRITE)
    assert caught.value.exit_code == 17
    assert isinstance(caught.value.__cause__, MalformedError)
    assert device.commands == [WRITE]


def test_a_part_is_checked_as_well() -> None:
    part = ObjectPart(CODE, 0, 3)
    session = play(*[reply(ReadObjectPartReply(part=ObjectPart(CODE, 0, 4), value=b""))] * 4)[1]
    with pytest.raises(MalformedError, match=r"answered for umi\.1\.1\.0\.0\[0:4\]"):
        session.request(ReadObjectPart(part=part))


@pytest.mark.parametrize(
    "kind", [PacketType.GET_OBJECT_ACCESS_RESPONSE, PacketType.GET_OBJECT_ACCESS]
)
def test_the_access_reply_is_taken_under_both_numbers(kind: int) -> None:
    answer = GetObjectAccessReply(code=CODE, read_roles=RoleSet(3), write_roles=RoleSet(1))
    session = play(reply(answer, kind=kind))[1]
    assert session.request(GetObjectAccess(code=CODE)) == answer


def test_other_replies_are_not_taken_under_the_commands_number() -> None:
    session = play(*[reply(kind=PacketType.NO_OPERATION)] * 4)[1]
    with pytest.raises(MalformedError, match="NO_OPERATION was answered with packet type 0x00"):
        session.request(NoOperation())


# What is refused


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        (ResultCode.ACCESS_DENIED, AccessDeniedError, 23),
        (ResultCode.UNKNOWN_OBJECT, UnknownObjectError, 31),
        (ResultCode.UNKNOWN_MEMBER, UnknownObjectError, 31),
        (ResultCode.UNKNOWN_ELEMENT, UnknownObjectError, 31),
        (ResultCode.UNKNOWN_EVENT, UnknownObjectError, 31),
        (ResultCode.NOT_IMPLEMENTED, RefusedError, 30),
        (ResultCode.KEY_TABLE_FULL, RefusedError, 30),
        (77, RefusedError, 30),
    ],
)
@pytest.mark.parametrize("form", [refused, error])
def test_a_refusal_is_told_with_its_name_and_number(
    form: Callable[[int], Step], code: int, kind: type[RefusedError], exit_code: int
) -> None:
    device, session = play(form(code))
    with pytest.raises(kind) as caught:
        session.request(READ)
    name = ResultCode(code).name if code in ResultCode.__members__.values() else "RESULT_77"
    assert str(caught.value) == f"the device refused READ_OBJECT umi.1.1.0.0: {name} ({code})"
    assert (caught.value.number, caught.value.name) == (code, name)
    assert caught.value.exit_code == exit_code
    assert len(device.requests) == 1, "a refusal is an answer"


def test_a_refused_write_did_not_run() -> None:
    device, session = play(refused(ResultCode.INVALID_VALUE))
    with pytest.raises(RefusedError, match="INVALID_VALUE"):
        session.request(WRITE)
    assert len(device.requests) == 1


@pytest.mark.parametrize(
    "command",
    [
        WRITE,
        WriteObjectPart(part=ObjectPart(CODE, 0, 1), value=b""),
        SetObjectReadAccess(code=CODE, roles=RoleSet(1)),
        SetObjectWriteAccess(code=CODE, roles=RoleSet(1)),
        ImageEnd(is_valid=0),
        TunnelData(data=b""),
    ],
)
def test_a_dry_run_sends_nothing_that_changes_the_device(command: Command[Any]) -> None:
    device, session = play(dry_run=True)
    with pytest.raises(InputError, match=f"{command.TYPE.name}.* is a dry run") as caught:
        session.request(command)
    assert caught.value.exit_code == 2
    assert (device.requests, device.resyncs) == ([], 0)


def test_a_dry_run_reads() -> None:
    assert play(value(b"value"), dry_run=True)[1].request(READ) == ANSWER


# Link errors


@pytest.mark.parametrize("code", [1, 2, 3])
def test_each_link_error_is_named(code: int) -> None:
    device, session = play(link_error(LinkErrorCode(code)))
    name = LinkErrorCode(code).name
    with pytest.raises(LinkError) as caught:
        session.request(READ)
    assert str(caught.value) == f"the link refused READ_OBJECT umi.1.1.0.0: {name} ({code})"
    assert caught.value.exit_code == 15
    has_own_hint = code == LinkErrorCode.BAD_ADDRESS
    assert ("leave /N off" in caught.value.hint) == has_own_hint
    assert len(device.requests) == 1


@pytest.mark.parametrize(("payload", "number"), [(b"\x4d\x00", 77), (b"", 0)])
def test_an_undefined_link_error_is_told_by_number(payload: bytes, number: int) -> None:
    session = play(raw(meter_frame(FrameType.ERROR, payload)))[1]
    with pytest.raises(LinkError, match=rf"link error {number} \({number}\)"):
        session.request(READ)


@pytest.mark.parametrize("code", [LinkErrorCode.BUSY, LinkErrorCode.CANNOT_FORWARD])
@pytest.mark.parametrize("command", [READ, WRITE])
def test_a_busy_device_is_asked_again_after_a_pause(
    code: LinkErrorCode, command: Command[ReadObjectReply]
) -> None:
    answer = value(b"value") if command is READ else done
    device, session = play(link_error(code), link_error(code), answer)
    session.request(command)
    assert device.commands == [command] * 3
    assert {each.message.transaction for each in device.requests} == {0}, "it did not run"
    pauses = [late - early for early, late in pairwise(device.times)]
    assert pauses == pytest.approx([BUSY_PAUSE_S] * 2)


@pytest.mark.parametrize("command", [READ, WRITE])
def test_a_device_that_stays_busy_is_given_up(command: Command[ReadObjectReply]) -> None:
    device, session = play(*[link_error(LinkErrorCode.BUSY)] * BUSY_TRIES)
    with pytest.raises(LinkError, match=r"BUSY \(5\)"):
        session.request(command)
    assert device.script == []


@pytest.mark.parametrize("code", [LinkErrorCode.BUSY, LinkErrorCode.CANNOT_FORWARD])
@pytest.mark.parametrize(("timeout_s", "tries"), [(0.01, 1), (1.0, 5), (8.0, 40)])
def test_a_busy_device_is_asked_for_as_long_as_the_user_says(
    code: LinkErrorCode, timeout_s: float, tries: int
) -> None:
    device = ScriptedDevice([link_error(code)] * tries)
    with pytest.raises(LinkError):
        session_with(device, timeout_s=timeout_s).request(READ)
    assert device.script == []


def test_a_device_that_vanishes_while_it_is_busy_is_lost() -> None:
    device, session = play(link_error(LinkErrorCode.BUSY), dead)
    with pytest.raises(LinkError) as caught:
        session.request(READ)
    assert caught.value.exit_code == 15, "no packet ever came back, frames did"
    assert len(device.requests) == 2


# Fragments


def test_a_command_that_the_device_cannot_put_together_did_not_run() -> None:
    device = ScriptedDevice([], limit_bytes=1000)
    session = session_with(device)
    with pytest.raises(LinkError, match="cannot take a packet as long as") as caught:
        session.request(WriteObject(code=CODE, value=bytes(1000)))
    assert (caught.value.exit_code, caught.value.code) == (15, "packet-too-large")
    assert "fewer elements" in caught.value.hint
    assert device.requests == []


@pytest.mark.parametrize("number", [1, 2, 3, 4, 9])
def test_each_fragment_error_is_named_and_the_command_given_again(number: int) -> None:
    payload = Fragment(fragment_type=FragmentType.ERROR, data=number).encode()
    refusal = raw(meter_frame(FrameType.FRAGMENT_RESPONSE, payload, sequence=2))  # of LAST
    device, session = play(*[refusal] * 4)
    known = number in FragmentErrorCode.__members__.values()
    name = FragmentErrorCode(number).name if known else "unknown"
    with pytest.raises(LinkError, match=rf"could not join our fragments: {name} \({number}\)"):
        session.request(WriteObject(code=CODE, value=bytes(300)))
    assert device.script == []


def test_a_packet_past_what_fragments_can_announce_is_never_sent() -> None:
    device, session = play()
    with pytest.raises(LinkError, match="makes a packet of 65543 bytes, 65536 fit"):
        session.request(WriteObject(code=CODE, value=bytes(MAX_PAYLOAD_BYTES - 1)))
    assert device.resyncs == 0


def test_the_longest_packets_pass_both_ways() -> None:
    # 8 bytes stand before the value in the payload
    longest = bytes(range(256)) * 255 + bytes(range(MAX_PAYLOAD_BYTES - 8 - 256 * 255))
    device, session = play(done, value(longest))
    session.request(WriteObject(code=CODE, value=longest))
    assert device.commands[0] == WriteObject(code=CODE, value=longest)
    assert session.request(READ).value == longest


def test_fragments_that_cannot_be_joined_are_asked_for_again() -> None:
    first = split(bytes(300))[0]
    wrong = Fragment(fragment_type=FragmentType.MIDDLE).encode()

    def step(request: Request) -> Reaction:
        stream = meter_frame(FrameType.FRAGMENT, first)
        return raw(stream + meter_frame(FrameType.FRAGMENT, wrong, sequence=2))(request)

    device, session = play(*[step] * 4)
    with pytest.raises(LinkError, match="fragments cannot be joined") as caught:
        session.request(READ)
    assert caught.value.exit_code == 15
    assert device.script == []


# Silence, noise, and a peer that is gone


def test_silence_is_no_answer_after_three_attempts() -> None:
    device, session = play()
    device.is_silent = device.is_dead = True
    with pytest.raises(NoAnswerError, match=r"sim does not answer: no answer after 3 attempts"):
        session.request(READ)
    assert device.resyncs == 3


@pytest.mark.parametrize("attempts", [1, 5])
def test_attempts_and_timeout_are_the_users(attempts: int) -> None:
    device, session = play(attempts=attempts, timeout_s=7.0)
    device.is_silent = device.is_dead = True
    began = session._clock.monotonic()
    with pytest.raises(NoAnswerError, match=f"after {attempts} attempts"):
        session.request(READ)
    assert device.resyncs == attempts
    assert session._clock.monotonic() - began == pytest.approx(7.0 * attempts)


def test_a_device_that_answers_resync_alone_is_a_failing_link() -> None:
    device, session = play(dead)
    with pytest.raises(LinkError, match="answers, but not this command"):
        session.request(READ)
    assert device.resyncs == 1 + 3 * 3, "the read is given again three times"


def test_a_device_that_answered_before_is_lost() -> None:
    _, session = play(value(b""), dead)
    session.request(READ)
    with pytest.raises(LostError, match="answered before and no longer does") as caught:
        session.request(READ)
    assert caught.value.exit_code == 17


def test_noise_is_told_from_silence() -> None:
    device, session = play()
    device.is_silent = device.is_dead = True
    device.outbox = [b"\x7f" * 20]
    with pytest.raises(LinkError, match=r"sends bytes \(20\), none of them a UMI frame") as caught:
        session.request(READ)
    assert caught.value.exit_code == 15
    assert "rate" in caught.value.hint


def test_frames_of_a_right_crc_that_nobody_asked_for_are_passed_over() -> None:
    stray = meter_frame(FrameType.SIMPLE_RESPONSE, b"stray", sequence=9)
    foreign = meter_frame(FrameType.SIMPLE_RESPONSE, b"foreign", source=7)

    def step(request: Request) -> Reaction:
        right = packet_of(reply(ANSWER), request)
        return raw(stray + foreign + meter_frame(FrameType.SIMPLE_RESPONSE, right))(request)

    assert play(step)[1].request(READ) == ANSWER


def test_a_frame_of_another_version_is_no_answer() -> None:
    body = bytes([1 << 4 | 2, FrameType.SIMPLE_RESPONSE, 0, 5 << 4 | 1])
    frame = body + crc(body).to_bytes(2, "little")
    _, session = play(*[raw(frame)] * 4)
    with pytest.raises(LinkError, match="answers, but not this command"):
        session.request(READ)


class HangsUpAfterTheLastFragment(ScriptedDevice):
    """Takes every NEXT, and is gone when the answer is whole."""

    def data_to_send(self) -> list[bytes]:
        chunks = super().data_to_send()
        if any(chunk[1] == FrameType.FRAGMENT and chunk[4] >> 4 == 2 for chunk in chunks):
            self.is_hung_up = True
        return chunks


def test_a_long_answer_stands_though_its_acknowledgement_is_lost() -> None:
    device = HangsUpAfterTheLastFragment([value(bytes(1000))])
    session: Session = session_with(device)
    assert session.request(READ).value == bytes(1000)
    with pytest.raises(LostError, match="sim has hung up"):
        session.request(READ)


def test_an_interrupted_command_leaves_the_line_free() -> None:
    """Ctrl-C may come at any moment, and the session is still to be ended then."""

    def interrupt(request: Request) -> Reaction:
        raise KeyboardInterrupt

    device, session = play(interrupt, value(b"x"))
    with pytest.raises(KeyboardInterrupt):
        session.request(READ)
    assert session.request(READ).value == b"x"
    assert device.script == []


def test_errors_are_of_one_tree() -> None:
    device = ScriptedDevice([])
    device.is_hung_up = True
    session = Session(MemoryTransport(device, clock=SimulatedClock(START_UNIX_S)))
    with pytest.raises(UmiError) as caught:
        session.request(WRITE)
    assert caught.type is LostError, "it was never sent, so it is certain that it did not run"


def test_a_host_that_does_not_know_the_time_talks_all_the_same() -> None:
    device = ScriptedDevice([value(b"value")])
    transport = MemoryTransport(device, clock=SimulatedClock(0.0))  # 1970
    with transport:
        session = Session(transport, own_id=DEFAULT_READER_ID)
        assert session.request(READ).value == b"value"
        assert session.utc_s() == 0
    [request] = device.requests
    assert request.message.created_s == 0
