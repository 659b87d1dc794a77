"""The responder of protocol 2.3 and 2.4, rule by rule, against frames written by hand."""

import pytest

from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import CommandReceived, LinkAddresses, LinkSettings, Resynchronised
from umi_cli.link.fragment import Fragment, FragmentErrorCode, FragmentType, split
from umi_cli.link.frame import Frame, FrameType, LinkErrorCode

LONG = bytes(range(250)) * 3  # four fragments
ACK = Fragment(fragment_type=FragmentType.ACK)
RESYNC = bytes.fromhex("01040000fe5b")


def meter(limit_bytes: int = 65_536) -> LinkConnection:
    return LinkConnection(
        LinkSettings(accepts_commands=True, limit_bytes=limit_bytes),
        LinkAddresses(own=1, peer=5),
    )


def reader_frame(
    sequence: int,
    kind: int = FrameType.SIMPLE,
    payload: bytes = b"",
    *,
    destination: int = 1,
    source: int = 5,
    version: int = 1,
) -> bytes:
    return Frame(
        sequence=sequence,
        frame_type=kind,
        destination=destination,
        source=source,
        payload=payload,
        version=version,
    ).encode()


def fragment(
    sequence: int, kind: FragmentType, data: int = 0, chunk: bytes = b"", version: int = 0
) -> bytes:
    payload = Fragment(fragment_type=kind, data=data, chunk=chunk).encode()
    payload = bytes([payload[0] | version]) + payload[1:]
    return reader_frame(sequence, FrameType.FRAGMENT, payload)


def reply(sequence: int, kind: FragmentType) -> bytes:
    return reader_frame(
        sequence, FrameType.FRAGMENT_RESPONSE, Fragment(fragment_type=kind).encode()
    )


def tell(link: LinkConnection, data: bytes) -> list[Frame]:
    """Hand over bytes that make no event; return the answers."""
    assert link.receive_data(data, 0.0) == []
    return [Frame.decode(frame) for frame in link.frames_to_send()]


def command(link: LinkConnection, sequence: int, packet: bytes = b"command") -> None:
    (event,) = link.receive_data(reader_frame(sequence, payload=packet), 0.0)
    assert event == CommandReceived(packet=packet, source=5, destination=1)


def answer(link: LinkConnection, packet: bytes = b"answer", *, is_busy: bool = False) -> Frame:
    link.respond(packet, is_busy=is_busy)
    (frame,) = link.frames_to_send()
    return Frame.decode(frame)


def error_number(frames: list[Frame]) -> int:
    (frame,) = frames
    assert frame.frame_type == FrameType.ERROR
    return int.from_bytes(frame.payload, "little")


def fragment_of(frames: list[Frame]) -> Fragment:
    (frame,) = frames
    return Fragment.decode(frame.payload)


def test_resync_with_0_0_is_answered_with_both_addresses() -> None:
    link = meter()
    assert link.receive_data(RESYNC, 0.0) == [Resynchronised()]
    (data,) = link.frames_to_send()
    assert Frame.decode(data) == Frame(
        sequence=0, frame_type=FrameType.RESYNC_RESPONSE, destination=5, source=1
    )


def test_resync_from_an_address_teaches_that_address() -> None:
    link = meter()
    link.receive_data(reader_frame(0, FrameType.RESYNC, source=9), 0.0)
    (data,) = link.frames_to_send()
    assert Frame.decode(data).destination == 9
    assert link.addresses == LinkAddresses(own=1, peer=9)
    link.receive_data(RESYNC, 0.0)
    (data,) = link.frames_to_send()
    assert Frame.decode(data).destination == 9


@pytest.mark.parametrize("kind", [FrameType.RESYNC, FrameType.SIMPLE, FrameType.FRAGMENT])
def test_another_address_is_error_3(kind: FrameType) -> None:
    link = meter()
    frames = tell(link, reader_frame(1, kind, destination=2))
    assert error_number(frames) == LinkErrorCode.BAD_ADDRESS
    assert (frames[0].sequence, frames[0].source, frames[0].destination) == (1, 1, 5)


def test_the_answer_has_the_commands_sequence_and_addresses() -> None:
    link = meter()
    command(link, 7)
    assert answer(link) == Frame(
        sequence=7,
        frame_type=FrameType.SIMPLE_RESPONSE,
        destination=5,
        source=1,
        payload=b"answer",
    )
    assert link.is_idle


def test_a_repeat_is_answered_from_the_stored_answer_to_the_letter_and_runs_nothing() -> None:
    link = meter()
    data = reader_frame(3, payload=b"command")
    link.receive_data(data, 0.0)
    link.respond(b"answer")
    stored = link.frames_to_send()
    for _ in range(5):
        assert link.receive_data(data, 0.0) == []
        assert link.frames_to_send() == stored


def test_a_repeat_that_comes_before_the_answer_waits_for_it() -> None:
    link = meter()
    command(link, 3)
    assert tell(link, reader_frame(3, payload=b"command")) == []
    assert not link.is_idle
    assert answer(link).payload == b"answer"


def test_another_command_before_the_answer_is_error_5() -> None:
    link = meter()
    command(link, 3)
    assert error_number(tell(link, reader_frame(4))) == LinkErrorCode.BUSY
    assert answer(link).sequence == 3
    command(link, 4)


def test_late_commands_are_dropped() -> None:
    link = meter()
    command(link, 9)
    answer(link)
    for late in (2, 3, 4, 5, 6, 7, 8):
        assert tell(link, reader_frame(late)) == []
    command(link, 10)


def test_seven_sequences_ahead_are_new_and_the_eighth_is_late() -> None:
    for sequence in (1, 8, 12):
        for ahead, is_new in ((7, True), (8, False)):
            link = meter()
            command(link, sequence)
            answer(link)
            data = reader_frame((sequence + ahead - 1) % 15 + 1)
            assert bool(link.receive_data(data, 0.0)) is is_new


def test_the_sequences_ahead_are_new_across_15_too() -> None:
    for sequence, following in ((1, 2), (14, 15), (15, 1), (12, 2)):
        link = meter()
        command(link, sequence)
        answer(link)
        command(link, following)


def test_resync_forgets_the_stored_answer_and_the_sequence() -> None:
    link = meter()
    command(link, 1)
    answer(link)
    for _ in range(3):
        assert link.receive_data(RESYNC, 0.0) == [Resynchronised()]
    assert len(link.frames_to_send()) == 3
    command(link, 1)


def test_resync_ends_a_command_that_is_half_received() -> None:
    link = meter()
    tell(link, fragment(1, FragmentType.FIRST, 9, b"half"))
    link.receive_data(RESYNC, 0.0)
    link.frames_to_send()
    error = fragment_of(tell(link, fragment(2, FragmentType.LAST, 0, b"other")))
    assert error == Fragment(
        fragment_type=FragmentType.ERROR, data=FragmentErrorCode.PROTOCOL_ERROR
    )


def test_resync_ends_a_response_that_is_half_sent_and_one_that_is_due() -> None:
    link = meter()
    command(link, 1)
    answer(link, LONG)
    link.receive_data(RESYNC, 0.0)
    link.frames_to_send()
    assert link.is_idle
    assert tell(link, reply(1, FragmentType.NEXT)) == []
    command(link, 1)
    link.receive_data(RESYNC, 0.0)
    link.frames_to_send()
    link.respond(b"too late")
    link.refuse(LinkErrorCode.BUSY)
    assert link.frames_to_send() == []


def test_respond_and_refuse_without_a_command_say_nothing() -> None:
    link = meter()
    link.respond(b"answer")
    link.refuse(LinkErrorCode.BUSY)
    command(link, 1)
    answer(link)
    link.respond(b"again")
    link.refuse(LinkErrorCode.BUSY)
    assert link.frames_to_send() == []


def test_a_refused_command_does_not_run_when_it_is_repeated() -> None:
    """Who was told that it did not run must be able to rely on it (`LinkErrorReceived`)."""
    link = meter()
    command(link, 1)
    link.refuse(LinkErrorCode.CANNOT_FORWARD)
    refused = link.frames_to_send()
    assert error_number([Frame.decode(frame) for frame in refused]) == 4
    assert link.receive_data(reader_frame(1, payload=b"command"), 0.0) == []
    assert link.frames_to_send() == refused
    command(link, 2)


@pytest.mark.parametrize("is_busy", [False, True])
def test_busy_stands_in_every_frame_of_the_response(is_busy: bool) -> None:
    link = meter()
    command(link, 1)
    assert answer(link, is_busy=is_busy).is_busy is is_busy
    command(link, 2)
    frames = [answer(link, LONG, is_busy=is_busy)]
    for sequence in (2, 3, 4):
        frames += tell(link, reply(sequence, FragmentType.NEXT))
    assert [frame.is_busy for frame in frames] == [is_busy] * 4
    command(link, 6)
    assert not answer(link).is_busy


def test_a_long_command_is_acknowledged_piece_by_piece_and_answered_at_the_end() -> None:
    link = meter()
    *pieces, last = split(LONG)
    for sequence, payload in enumerate(pieces, 1):
        (frame,) = tell(link, reader_frame(sequence, FrameType.FRAGMENT, payload))
        assert (frame.sequence, frame.frame_type) == (sequence, FrameType.FRAGMENT_RESPONSE)
        assert Fragment.decode(frame.payload) == ACK
        assert tell(link, reader_frame(sequence, FrameType.FRAGMENT, payload)) == [frame]
    (event,) = link.receive_data(reader_frame(4, FrameType.FRAGMENT, last), 0.0)
    assert event == CommandReceived(packet=LONG, source=5, destination=1)
    assert answer(link).sequence == 4
    (repeated,) = tell(link, reader_frame(4, FrameType.FRAGMENT, last))
    assert repeated.payload == b"answer"


def test_a_long_response_goes_on_at_each_next_and_ends_with_ack() -> None:
    link = meter()
    command(link, 5)
    frames = [answer(link, LONG)]
    assert frames[0].frame_type == FrameType.FRAGMENT
    for sequence in (5, 6, 7):
        frames += tell(link, reply(sequence, FragmentType.NEXT))
    assert [frame.sequence for frame in frames] == [5, 6, 7, 8]
    assert [frame.payload for frame in frames] == split(LONG)
    idle = [link.is_idle]
    assert tell(link, reply(8, FragmentType.ACK)) == []
    assert [*idle, link.is_idle] == [False, True]
    command(link, 9)


def test_ack_calls_for_the_next_fragment_as_next_does() -> None:
    link = meter()
    command(link, 5)
    answer(link, LONG)
    (frame,) = tell(link, reply(5, FragmentType.ACK))
    assert frame.payload == split(LONG)[1]


@pytest.mark.parametrize(("start", "second"), [(1, 2), (13, 14), (14, 1), (15, 1)])
def test_fragments_of_a_response_go_from_14_on_to_1(start: int, second: int) -> None:
    link = meter()
    command(link, start)
    answer(link, LONG)
    (frame,) = tell(link, reply(start, FragmentType.NEXT))
    assert frame.sequence == second


def test_a_next_that_names_an_earlier_fragment_has_the_last_one_sent_again() -> None:
    link = meter()
    command(link, 5)
    answer(link, LONG)
    second = tell(link, reply(5, FragmentType.NEXT))
    for _ in range(3):
        assert tell(link, reply(5, FragmentType.NEXT)) == second
    (third,) = tell(link, reply(6, FragmentType.NEXT))
    assert third.sequence == 7
    assert tell(link, reply(5, FragmentType.NEXT)) == [third]


def test_a_command_repeated_while_its_response_goes_on_gets_the_first_fragment() -> None:
    link = meter()
    command(link, 5)
    first = answer(link, LONG)
    tell(link, reply(5, FragmentType.NEXT))
    assert tell(link, reader_frame(5, payload=b"command")) == [first]


def test_last_answered_with_next_gets_an_empty_response_each_time() -> None:
    link = meter()
    command(link, 1)
    answer(link, LONG)
    for sequence in (1, 2, 3):
        tell(link, reply(sequence, FragmentType.NEXT))
    for _ in range(3):
        (frame,) = tell(link, reply(4, FragmentType.NEXT))
        assert (frame.sequence, frame.frame_type) == (4, FrameType.SIMPLE_RESPONSE)
        assert frame.payload == b""
        assert link.is_idle
    assert tell(link, reply(3, FragmentType.NEXT)) == []
    assert tell(link, reply(4, FragmentType.ACK)) == []


def test_a_new_command_ends_a_response_whose_ack_was_lost() -> None:
    link = meter()
    command(link, 1)
    answer(link, LONG)
    for sequence in (1, 2, 3):
        tell(link, reply(sequence, FragmentType.NEXT))
    command(link, 5)
    assert answer(link).sequence == 5


def test_a_new_command_ends_a_response_that_nobody_calls_for() -> None:
    link = meter()
    command(link, 1)
    answer(link, LONG)
    command(link, 2)
    assert answer(link).sequence == 2


def test_the_commanders_error_ends_a_response() -> None:
    link = meter()
    command(link, 1)
    answer(link, LONG)
    assert tell(link, reply(1, FragmentType.ERROR)) == []
    assert link.is_idle
    command(link, 2)


def test_a_late_error_ends_nothing() -> None:
    """Neither a command that is at work, which would run again, nor one half received."""
    link = meter()
    command(link, 1)
    assert tell(link, reply(1, FragmentType.ERROR)) == []
    assert answer(link).payload == b"answer"
    tell(link, fragment(2, FragmentType.FIRST, 3, b"a"))
    assert tell(link, reply(2, FragmentType.ERROR)) == []
    assert fragment_of(tell(link, fragment(3, FragmentType.MIDDLE, 0, b"b"))) == ACK
    (event,) = link.receive_data(fragment(4, FragmentType.LAST, 0, b"c"), 0.0)
    assert event == CommandReceived(packet=b"abc", source=5, destination=1)


def test_the_commanders_error_ends_a_command_half_received() -> None:
    link = meter()
    tell(link, fragment(1, FragmentType.FIRST, 9, b"half"))
    assert tell(link, fragment(2, FragmentType.ERROR)) == []
    assert link.is_idle
    error = fragment_of(tell(link, fragment(2, FragmentType.MIDDLE, 0, b"more")))
    assert error.data == FragmentErrorCode.PROTOCOL_ERROR
    assert error.fragment_type is FragmentType.ERROR


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (fragment(2, FragmentType.FIRST, 1_001), FragmentErrorCode.PACKET_TOO_LARGE),
        (fragment(3, FragmentType.MIDDLE, 0, b"x"), FragmentErrorCode.PROTOCOL_ERROR),
        (fragment(3, FragmentType.LAST, 0, b"x"), FragmentErrorCode.PROTOCOL_ERROR),
        (fragment(2, FragmentType.MIDDLE, 0, b""), FragmentErrorCode.PROTOCOL_ERROR),
        (fragment(2, FragmentType.NEXT), FragmentErrorCode.PROTOCOL_ERROR),
        (fragment(2, FragmentType.ACK), FragmentErrorCode.PROTOCOL_ERROR),
        (reader_frame(2, FrameType.FRAGMENT, b"\x10"), FragmentErrorCode.PROTOCOL_ERROR),
        (fragment(2, FragmentType.MIDDLE, 0, bytes(9)), FragmentErrorCode.LENGTH_ERROR),
        (fragment(2, FragmentType.LAST, 0, b"x"), FragmentErrorCode.LENGTH_ERROR),
        (
            fragment(2, FragmentType.LAST, 0, bytes(8), version=3),
            FragmentErrorCode.UNKNOWN_FRAGMENT_VERSION,
        ),
    ],
)
def test_a_bad_fragment_is_answered_with_its_number_and_nothing_runs(
    data: bytes, number: FragmentErrorCode
) -> None:
    link = meter(limit_bytes=1_000)
    tell(link, fragment(1, FragmentType.FIRST, 9, b"a"))
    frames = tell(link, data)
    assert frames[0].frame_type == FrameType.FRAGMENT_RESPONSE
    assert frames[0].sequence == data[0] >> 4
    assert fragment_of(frames) == Fragment(fragment_type=FragmentType.ERROR, data=number)
    assert link.is_idle
    error = fragment_of(tell(link, fragment(2, FragmentType.MIDDLE, 0, b"b")))
    assert error.data == FragmentErrorCode.PROTOCOL_ERROR
    command(link, 4)


def test_first_begins_anew_under_any_new_sequence() -> None:
    link = meter()
    tell(link, fragment(1, FragmentType.FIRST, 9, b"half"))
    assert fragment_of(tell(link, fragment(4, FragmentType.FIRST, 2, b"a"))) == ACK
    (event,) = link.receive_data(fragment(5, FragmentType.LAST, 0, b"b"), 0.0)
    assert event == CommandReceived(packet=b"ab", source=5, destination=1)


def test_a_packet_of_the_limit_is_taken() -> None:
    link = meter(limit_bytes=1_000)
    assert fragment_of(tell(link, fragment(1, FragmentType.FIRST, 1_000, b"a"))) == ACK


def test_a_whole_command_ends_one_half_received() -> None:
    link = meter()
    tell(link, fragment(1, FragmentType.FIRST, 9, b"half"))
    command(link, 2)
    answer(link)
    error = fragment_of(tell(link, fragment(3, FragmentType.LAST, 0, b"other")))
    assert error.data == FragmentErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("payload", [b"", b"\x30", b"\x00\0\0\0", b"\x31\0\0\0", b"\x90\0\0\0"])
def test_a_malformed_call_for_the_next_fragment_is_dropped(payload: bytes) -> None:
    link = meter()
    command(link, 1)
    answer(link, LONG)
    assert tell(link, reader_frame(1, FrameType.FRAGMENT_RESPONSE, payload)) == []
    (frame,) = tell(link, reply(1, FragmentType.NEXT))
    assert frame.payload == split(LONG)[1]


def test_reset_forgets_the_stored_answer() -> None:
    link = meter()
    command(link, 1)
    link.reset()
    link.respond(b"answer")
    assert link.frames_to_send() == []
    command(link, 1)
