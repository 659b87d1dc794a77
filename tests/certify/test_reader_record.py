"""What a judge is told: commands among frames, in order, whatever a reader sends."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.certify.reader_world import CATALOGUE, OBJECTS, World
from umi_cli.application.commands import ReadObject, WriteObject
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Command
from umi_cli.certify.case import Failure, Level, Need, NotApplicable
from umi_cli.certify.evidence import MAX_PIECES
from umi_cli.certify.reader_case import READER_CASES, Task, judge_reader, reader_case
from umi_cli.certify.reader_judging import expect_waits
from umi_cli.certify.reader_record import Conversation, ReaderRecorder
from umi_cli.certify.reader_suite import READER_CASES as ALL
from umi_cli.certify.run import Verdict
from umi_cli.link.fragment import split
from umi_cli.link.frame import Frame, FrameType
from umi_cli.types import DEFAULT_READER_ID, UNKNOWN_DEVICE, UmiCode
from umi_cli.virtual.examiner import Examiner
from umi_cli.virtual.tricks import TRICKS
from umi_cli.virtual.tricks.base import Means

CODE = UmiCode.parse("umi.1.1.0.0")


def packet_of(command: Command[Any], transaction: int = 0) -> bytes:
    envelope = Envelope(source=DEFAULT_READER_ID, destination=UNKNOWN_DEVICE)
    message = Message(
        transaction=transaction,
        created_s=0,
        packet_type=command.TYPE,
        payload=command.encode(),
    )
    return envelope.encode() + message.encode()


def frame_of(payload: bytes, sequence: int = 1, kind: FrameType = FrameType.SIMPLE) -> bytes:
    return Frame(
        sequence=sequence, frame_type=kind, destination=0, source=5, payload=payload
    ).encode()


def talk_of(recorder: ReaderRecorder) -> Conversation:
    return recorder.conversation(timeout_s=1.0, attempts=3)


def test_a_repeated_frame_is_one_command() -> None:
    recorder = ReaderRecorder()
    frame = frame_of(packet_of(ReadObject(code=CODE)))
    for at_s in (10.0, 11.0, 12.0):
        recorder.passed(1, "in", frame, at_s)
    talk = talk_of(recorder)
    assert [(each.at_s, each.title) for each in talk.asked] == [(0.0, f"READ_OBJECT {CODE}")]
    assert [each.at_s for each in talk.sent()] == [0.0, 1.0, 2.0]


def test_a_frame_in_pieces_is_there_with_the_last_of_them() -> None:
    recorder = ReaderRecorder()
    frame = frame_of(packet_of(ReadObject(code=CODE)))
    recorder.passed(1, "in", frame[:3], 5.0)
    assert talk_of(recorder).asked == []
    recorder.passed(1, "in", frame[3:], 5.01)
    assert [round(each.at_s, 3) for each in talk_of(recorder).asked] == [0.01]


def test_a_command_in_fragments_is_there_with_the_last_of_them() -> None:
    recorder = ReaderRecorder()
    command = WriteObject(code=CODE, value=bytes(600))
    for sequence, payload in enumerate(split(packet_of(command)), start=1):
        assert talk_of(recorder).asked == []
        recorder.passed(1, "in", frame_of(payload, sequence, FrameType.FRAGMENT), 0.0)
    (asked,) = talk_of(recorder).asked
    assert asked.command == command


def test_lines_are_kept_apart() -> None:
    recorder = ReaderRecorder()
    frame = frame_of(packet_of(ReadObject(code=CODE)))
    recorder.passed(1, "in", frame[:4], 0.0)
    recorder.passed(2, "in", frame, 0.0)
    recorder.passed(1, "in", frame[4:], 0.0)
    assert [each.line for each in talk_of(recorder).sent()] == [2, 1]
    assert recorder.open_lines == {1, 2}
    recorder.hung_up(2, 1.0)
    assert recorder.open_lines == {1}


def test_a_frame_behind_noise_is_found_when_the_reader_hangs_up() -> None:
    recorder = ReaderRecorder()
    noise = bytes.fromhex("510080")  # as if 128 bytes were to come
    recorder.passed(1, "in", noise + frame_of(packet_of(ReadObject(code=CODE))), 0.0)
    assert talk_of(recorder).sent() == []
    recorder.hung_up(1, 0.0)
    assert len(talk_of(recorder).sent()) == 1


def test_what_is_no_packet_is_no_command() -> None:
    recorder = ReaderRecorder()
    recorder.passed(1, "in", frame_of(b"\x00\x01"), 0.0)
    assert talk_of(recorder).asked == []


def test_of_a_long_conversation_the_last_pieces_are_kept() -> None:
    recorder = ReaderRecorder()
    for number in range(MAX_PIECES + 3):
        recorder.passed(1, "in", bytes([number & 0xFF]), float(number))
    assert len(recorder.pieces) == MAX_PIECES
    assert recorder.left_out == 3
    assert recorder.duration_s == MAX_PIECES + 2


@pytest.mark.parametrize("number", ALL)
def test_a_trick_that_was_not_played_judges_nobody(number: str) -> None:
    verdict, message = judge_reader(ALL[number], talk_of(ReaderRecorder()))
    assert verdict is Verdict.LEFT_OUT
    assert message.endswith(ALL[number].task.words)


def test_who_hangs_up_before_the_answer_has_not_waited() -> None:
    recorder = ReaderRecorder()
    recorder.passed(1, "in", frame_of(packet_of(ReadObject(code=CODE))), 0.0)
    recorder.hung_up(1, 0.1)
    talk = talk_of(recorder)
    with pytest.raises(Failure, match="hung up"):
        expect_waits(talk, talk.sent()[0], may_repeat=True)


def test_a_number_is_given_once() -> None:
    with pytest.raises(ValueError, match="taken"):
        _register("RDR-001")
    with pytest.raises(ValueError, match="no number"):
        _register("LNK-001")


def _register(number: str) -> None:
    reader_case(
        number,
        "",
        level=Level.LINK,
        clause="2",
        mark="C",
        trick="slow",
        task=Task.READ,
        sends="",
        expects="",
        advice="",
    )(lambda talk: None)


def test_scenarios_say_what_they_are_about() -> None:
    for case in READER_CASES.values():
        texts = (case.title, case.sends, case.expects, case.advice, case.clause)
        assert all(texts), case.number
        assert case.needs <= {Need.CREDENTIALS, Need.ROLE_KEY, Need.AUTHORITY}
        assert TRICKS[case.trick].TITLE


_PACKETS = st.one_of(
    st.builds(
        lambda name, number: packet_of(ReadObject(code=CATALOGUE.resolve(name).code), number),
        st.sampled_from([*OBJECTS, "profile-table"]),
        st.integers(0, 3),
    ),
    st.binary(max_size=60),
)
_FRAMES = st.builds(
    lambda payload, sequence, kind: frame_of(payload, sequence, FrameType(kind)),
    st.one_of(_PACKETS, st.sampled_from([b"", b"\x30\0\0\0", b"\x40\0\0\0", b"\xf0\0\1\0"])),
    st.integers(0, 15),
    st.sampled_from(sorted(FrameType)),
)
_MESSAGES = st.lists(st.one_of(_FRAMES, st.binary(max_size=30)), max_size=12)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.sampled_from(sorted(ALL)), messages=_MESSAGES, pauses=st.floats(0, 0.5))
def test_whatever_a_reader_sends_is_judged(
    world: World, number: str, messages: list[bytes], pauses: float
) -> None:
    case, recorder = ALL[number], ReaderRecorder()
    examiner = Examiner(world.options, lambda: 1.8e9)
    examiner.begin(TRICKS[case.trick](Means(authority=world.authority)), recorder)
    line = examiner.new_line("reader")
    now = 0.0
    for message in [frame_of(b"", 0, FrameType.RESYNC), *messages]:
        line.receive_data(message, now, 1.8e9 + now)
        now += pauses
        line.on_timer(now, 1.8e9 + now)
        line.data_to_send()
    line.close()
    verdict, message_of_it = judge_reader(case, talk_of(recorder))
    assert (verdict is Verdict.PASSED) == (message_of_it == "")


def test_a_strike_without_a_frame_before_it_judges_nobody() -> None:
    recorder = ReaderRecorder()
    recorder.struck(0.0)
    talk = talk_of(recorder)
    for ask in (lambda: talk.struck, lambda: talk.struck_command):
        with pytest.raises(NotApplicable):
            ask()
