"""The commander of protocol 2.3 and 2.4, rule by rule, against frames written by hand."""

import pytest

from umi_cli.link.commander import next_command_sequence, next_response_sequence
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import (
    ExchangeFailed,
    FragmentErrorReceived,
    LinkAddresses,
    LinkErrorReceived,
    LinkSettings,
    ResponseReceived,
)
from umi_cli.link.fragment import Fragment, FragmentErrorCode, FragmentType, split
from umi_cli.link.frame import Frame, FrameType, LinkErrorCode

TIMEOUT_S = 2.0
SHORT, LONG = b"command", bytes(range(250))


def reader(attempts: int = 3, limit_bytes: int = 65_536) -> LinkConnection:
    return LinkConnection(
        LinkSettings(timeout_s=TIMEOUT_S, attempts=attempts, limit_bytes=limit_bytes)
    )


def sent(link: LinkConnection) -> Frame:
    """Return the one frame that is to go out."""
    (frame,) = link.frames_to_send()
    return Frame.decode(frame)


def meter_frame(
    sequence: int,
    kind: int,
    payload: bytes = b"",
    *,
    source: int = 1,
    destination: int = 5,
    is_busy: bool = False,
    version: int = 1,
) -> bytes:
    return Frame(
        sequence=sequence,
        frame_type=kind,
        destination=destination,
        source=source,
        payload=payload,
        is_busy=is_busy,
        version=version,
    ).encode()


def fragment(kind: FragmentType, data: int = 0, chunk: bytes = b"") -> bytes:
    return Fragment(fragment_type=kind, data=data, chunk=chunk).encode()


def taken(sequence: int, kind: FragmentType = FragmentType.ACK) -> bytes:
    return meter_frame(sequence, FrameType.FRAGMENT_RESPONSE, fragment(kind))


def piece(sequence: int, kind: FragmentType, data: int = 0, chunk: bytes = b"x") -> bytes:
    return meter_frame(sequence, FrameType.FRAGMENT, fragment(kind, data, chunk))


def commanded(
    packet: bytes = SHORT, *, attempts: int = 3, limit_bytes: int = 65_536
) -> LinkConnection:
    """Return a reader that has re-synced and sent the first frame of the packet."""
    link = reader(attempts, limit_bytes)
    link.command(packet, 0.0)
    link.frames_to_send()
    assert link.receive_data(meter_frame(0, FrameType.RESYNC_RESPONSE), 0.0) == []
    return link


def answer(link: LinkConnection, sequence: int) -> None:
    (event,) = link.receive_data(meter_frame(sequence, FrameType.SIMPLE_RESPONSE, b"ok"), 0.0)
    assert event == ResponseReceived(packet=b"ok", is_busy=False)


def test_sequences_follow() -> None:
    assert [next_command_sequence(number) for number in (0, 1, 14, 15)] == [1, 2, 15, 1]
    assert [next_response_sequence(number) for number in (1, 13, 14, 15)] == [2, 14, 1, 1]


def test_the_first_command_re_syncs_with_0_0_and_learns_both_addresses() -> None:
    link = reader()
    link.command(SHORT, 0.0)
    assert link.frames_to_send() == [bytes.fromhex("01040000fe5b")]
    assert link.receive_data(meter_frame(0, FrameType.RESYNC_RESPONSE), 0.0) == []
    assert link.addresses == LinkAddresses(own=5, peer=1)
    frame = sent(link)
    assert frame == Frame(sequence=1, frame_type=0, destination=1, source=5, payload=SHORT)
    answer(link, 1)
    assert link.is_idle
    assert link.deadline is None


def test_known_addresses_stand_in_resync() -> None:
    link = LinkConnection(addresses=LinkAddresses(own=0, peer=7))
    link.command(SHORT, 0.0)
    frame = sent(link)
    assert (frame.frame_type, frame.source, frame.destination) == (FrameType.RESYNC, 0, 7)


def test_sequences_1_to_15_and_then_resync() -> None:
    link = commanded()
    for sequence in range(1, 16):
        assert sent(link).sequence == sequence
        answer(link, sequence)
        link.command(SHORT, 0.0)
    assert sent(link) == Frame(sequence=0, frame_type=4, destination=1, source=5)
    link.receive_data(meter_frame(0, FrameType.RESYNC_RESPONSE), 0.0)
    assert sent(link).sequence == 1


def test_a_packet_that_needs_more_frames_than_are_left_re_syncs_first() -> None:
    link = commanded()
    for sequence in range(1, 15):
        link.frames_to_send()
        answer(link, sequence)
        link.command(SHORT if sequence < 14 else LONG, 0.0)
    assert sent(link).frame_type == FrameType.RESYNC
    link.receive_data(meter_frame(0, FrameType.RESYNC_RESPONSE), 0.0)
    assert sent(link).sequence == 1


def test_a_packet_that_fits_up_to_15_does_not() -> None:
    link = commanded()
    for sequence in range(1, 14):
        link.frames_to_send()
        answer(link, sequence)
        link.command(SHORT if sequence < 13 else LONG, 0.0)
    assert (first := sent(link)).sequence == 14
    assert first.frame_type == FrameType.FRAGMENT
    link.receive_data(taken(14), 0.0)
    assert sent(link).sequence == 15


def test_a_packet_of_more_than_15_fragments_goes_from_15_on_to_1() -> None:
    packet = bytes(17 * 244)
    link = commanded(packet)
    sequences = []
    for payload in split(packet):
        frame = sent(link)
        assert frame.payload == payload
        sequences.append(frame.sequence)
        link.receive_data(taken(frame.sequence), 0.0)
    assert sequences == [*range(1, 16), 1, 2]
    answer(link, 2)
    link.command(SHORT, 0.0)
    assert sent(link).sequence == 3


@pytest.mark.parametrize("kind", [FragmentType.ACK, FragmentType.NEXT])
def test_next_is_accepted_where_ack_is_due(kind: FragmentType) -> None:
    link = commanded(LONG)
    sent(link)
    assert link.receive_data(taken(1, kind), 0.0) == []
    assert Fragment.decode(sent(link).payload).fragment_type is FragmentType.LAST
    answer(link, 2)


def test_a_long_response_is_called_for_with_next_and_ended_with_ack() -> None:
    link = commanded()
    sent(link)
    replies = []
    for sequence, data in (
        (1, piece(1, FragmentType.FIRST, 6, b"ab")),
        (2, piece(2, FragmentType.MIDDLE, 0, b"cd")),
        (3, piece(3, FragmentType.LAST, 0, b"ef")),
    ):
        events = link.receive_data(data, 0.0)
        reply = sent(link)
        assert (reply.sequence, reply.frame_type) == (sequence, FrameType.FRAGMENT_RESPONSE)
        replies.append(reply.payload.hex())
    assert replies == ["30000000", "30000000", "40000000"]
    assert events == [ResponseReceived(packet=b"abcdef", is_busy=False)]
    assert link.is_idle
    link.command(SHORT, 0.0)
    assert sent(link).sequence == 4


def long_response(link: LinkConnection, sequence: int, fragments: int) -> int:
    """Answer the open command with that many fragments; return the last one's sequence."""
    kinds = [FragmentType.MIDDLE] * (fragments - 2)
    link.receive_data(piece(sequence, FragmentType.FIRST, fragments), 0.0)
    for kind in [*kinds, FragmentType.LAST]:
        sequence = next_response_sequence(sequence)
        events = link.receive_data(piece(sequence, kind), 0.0)
    assert events == [ResponseReceived(packet=b"x" * fragments, is_busy=False)]
    link.frames_to_send()
    return sequence


@pytest.mark.parametrize(
    ("fragments", "last", "following"), [(13, 14, 15), (14, 1, 0), (15, 2, 3), (40, 13, 14)]
)
def test_a_response_that_wraps_onto_its_own_commands_sequence_forces_a_resync(
    fragments: int, last: int, following: int
) -> None:
    """Under that sequence the next command would look like a repeat; else none is needed."""
    link = commanded()
    answer(link, 1)
    link.command(SHORT, 0.0)
    link.frames_to_send()
    assert long_response(link, 2, fragments) == last
    link.command(SHORT, 0.0)
    frame = sent(link)
    assert frame.sequence == following
    assert (frame.frame_type == FrameType.RESYNC) is (following == 0)


def test_what_is_not_answered_is_repeated_to_the_letter_three_attempts_in_all() -> None:
    link = commanded()
    first = link.frames_to_send()
    now = 0.0
    for _ in range(2):
        assert link.on_timer(now + TIMEOUT_S - 0.01) == []
        assert link.frames_to_send() == []
        now += TIMEOUT_S
        assert link.deadline == pytest.approx(now)
        assert link.on_timer(now) == []
        assert link.frames_to_send() == first
    (event,) = link.on_timer(now + TIMEOUT_S)
    assert event == ExchangeFailed(reason="no answer after 3 attempts", may_have_run=True)
    assert link.deadline is None
    assert link.frames_to_send() == []


def test_attempts_count_from_the_start_for_every_frame() -> None:
    link = commanded(LONG)
    for repeats in (2, 2):
        for _ in range(repeats):
            assert link.on_timer(link.deadline or 0.0) == []
        frame = Frame.decode(link.frames_to_send()[-1])
        events = link.receive_data(taken(frame.sequence), link.deadline or 0.0)
        assert events == []
    assert link.deadline is not None


def test_a_failed_resync_or_first_fragment_did_not_run_a_last_one_may_have() -> None:
    for packet, answers, may_have_run in (
        (SHORT, [], False),
        (SHORT, [meter_frame(0, 5)], True),
        (LONG, [meter_frame(0, 5)], False),
        (LONG, [meter_frame(0, 5), taken(1)], True),
    ):
        link = reader(attempts=1)
        link.command(packet, 0.0)
        for data in answers:
            link.receive_data(data, 0.0)
        (event,) = link.on_timer(TIMEOUT_S)
        assert isinstance(event, ExchangeFailed)
        assert event.may_have_run is may_have_run


def test_after_a_failure_the_next_command_re_syncs() -> None:
    link = commanded(attempts=1)
    link.on_timer(TIMEOUT_S)
    link.frames_to_send()
    link.command(SHORT, 9.0)
    assert sent(link).frame_type == FrameType.RESYNC


def test_the_timeout_grows_with_the_time_on_the_wire() -> None:
    link = LinkConnection(LinkSettings(timeout_s=2.0, byte_time_s=0.01))
    link.command(SHORT, 0.0)
    assert link.deadline == pytest.approx(2.0 + 0.01 * (6 + 255))


def test_the_next_of_a_long_response_is_repeated_too() -> None:
    link = commanded()
    link.receive_data(piece(1, FragmentType.FIRST, 9), 0.0)
    call = link.frames_to_send()[-1]
    link.on_timer(TIMEOUT_S)
    assert link.frames_to_send() == [call]


def test_one_exchange_is_open_at_a_time() -> None:
    link = commanded()
    with pytest.raises(RuntimeError, match="one exchange"):
        link.command(SHORT, 0.0)
    assert not link.is_idle


def test_a_packet_past_65536_opens_nothing() -> None:
    link = reader()
    with pytest.raises(ValueError, match="65536"):
        link.command(bytes(65_537), 0.0)
    assert link.is_idle
    assert link.frames_to_send() == []


def test_a_destination_of_its_own_needs_no_resync() -> None:
    link = commanded()
    answer(link, 1)
    link.frames_to_send()
    link.command(SHORT, 0.0, destination=0)
    assert (frame := sent(link)).destination == 0
    assert frame.sequence == 2
    wrong = meter_frame(2, FrameType.SIMPLE_RESPONSE, source=1)
    assert link.receive_data(wrong, 0.0) == []
    (event,) = link.receive_data(meter_frame(2, 1, b"host", source=0), 0.0)
    assert event == ResponseReceived(packet=b"host", is_busy=False)
    link.command(SHORT, 0.0)
    assert sent(link).destination == 1


@pytest.mark.parametrize(
    "late",
    [
        meter_frame(15, FrameType.SIMPLE_RESPONSE),
        meter_frame(1, FrameType.SIMPLE_RESPONSE, destination=4),
        meter_frame(1, FrameType.SIMPLE_RESPONSE, source=2),
        meter_frame(1, FrameType.SIMPLE_RESPONSE, version=2),
        meter_frame(1, FrameType.RESYNC_RESPONSE),
        meter_frame(1, FrameType.SIMPLE),
        meter_frame(1, FrameType.RESYNC),
        meter_frame(1, 6),
        meter_frame(2, FrameType.ERROR, b"\x01\x00"),
        taken(1),
        piece(1, FragmentType.MIDDLE),
        piece(1, FragmentType.LAST),
        piece(2, FragmentType.FIRST, 2),
    ],
)
def test_late_and_stray_frames_are_dropped(late: bytes) -> None:
    link = commanded()
    link.frames_to_send()
    deadline = link.deadline
    assert link.receive_data(late, 0.0) == []
    assert link.frames_to_send() == []
    assert link.deadline == deadline
    answer(link, 1)
    assert link.receive_data(late, 0.0) == []
    assert link.frames_to_send() == []


def test_a_resync_response_alone_answers_resync() -> None:
    link = reader()
    link.command(SHORT, 0.0)
    link.frames_to_send()
    answer_to_nothing = meter_frame(0, FrameType.SIMPLE_RESPONSE, destination=0, source=0)
    assert link.receive_data(answer_to_nothing, 0.0) == []
    assert link.frames_to_send() == []


def test_a_repeated_fragment_of_the_response_is_taken_once() -> None:
    link = commanded()
    first = piece(1, FragmentType.FIRST, 3, b"a")
    second = piece(2, FragmentType.MIDDLE, 0, b"b")
    for data in (first, first, second, second, first):
        assert link.receive_data(data, 0.0) == []
    (event,) = link.receive_data(piece(3, FragmentType.LAST, 0, b"c"), 0.0)
    assert event == ResponseReceived(packet=b"abc", is_busy=False)


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (piece(1, FragmentType.FIRST, 101), FragmentErrorCode.PACKET_TOO_LARGE),
        (piece(1, FragmentType.NEXT), FragmentErrorCode.PROTOCOL_ERROR),
        (meter_frame(1, FrameType.FRAGMENT, b"\x00"), FragmentErrorCode.PROTOCOL_ERROR),
        (piece(1, FragmentType.FIRST, 1, b"ab"), FragmentErrorCode.LENGTH_ERROR),
        (
            meter_frame(1, FrameType.FRAGMENT, b"\x01\0\0\0"),
            FragmentErrorCode.UNKNOWN_FRAGMENT_VERSION,
        ),
    ],
)
def test_a_response_that_cannot_be_joined_is_told_why_and_may_have_run(
    data: bytes, number: FragmentErrorCode
) -> None:
    link = commanded(limit_bytes=100)
    link.frames_to_send()
    (event,) = link.receive_data(data, 0.0)
    assert isinstance(event, ExchangeFailed)
    assert event.may_have_run
    reply = sent(link)
    assert reply.frame_type == FrameType.FRAGMENT_RESPONSE
    assert reply.sequence == 1
    assert Fragment.decode(reply.payload) == Fragment(fragment_type=FragmentType.ERROR, data=number)
    link.command(SHORT, 0.0)
    assert sent(link).frame_type == FrameType.RESYNC


@pytest.mark.parametrize("number", [*LinkErrorCode, 77])
def test_a_link_error_is_reported_and_the_next_command_re_syncs(number: int) -> None:
    link = commanded()
    error = meter_frame(1, FrameType.ERROR, number.to_bytes(2, "little"))
    assert link.receive_data(error, 0.0) == [LinkErrorReceived(number=number)]
    link.frames_to_send()
    link.command(SHORT, 0.0)
    assert sent(link).frame_type == FrameType.RESYNC


@pytest.mark.parametrize(("payload", "number"), [(b"", 0), (b"\x05", 5), (b"\x05\0\1", 5)])
def test_a_link_error_of_another_length_is_one_too(payload: bytes, number: int) -> None:
    link = commanded()
    error = meter_frame(1, FrameType.ERROR, payload)
    assert link.receive_data(error, 0.0) == [LinkErrorReceived(number=number)]


def test_a_link_error_may_come_from_a_host_on_the_way() -> None:
    link = commanded()
    error = meter_frame(1, FrameType.ERROR, b"\x04\x00", source=0)
    assert link.receive_data(error, 0.0) == [LinkErrorReceived(number=4)]


def test_resync_may_be_refused() -> None:
    link = reader()
    link.command(SHORT, 0.0)
    link.on_timer(TIMEOUT_S)
    error = meter_frame(0, FrameType.ERROR, b"\x03\x00", destination=0, source=0)
    assert link.receive_data(error, 0.0) == [LinkErrorReceived(number=3)]


@pytest.mark.parametrize("number", FragmentErrorCode)
def test_a_fragment_error_is_reported_and_the_next_command_re_syncs(
    number: FragmentErrorCode,
) -> None:
    link = commanded(LONG)
    error = meter_frame(1, FrameType.FRAGMENT_RESPONSE, fragment(FragmentType.ERROR, number))
    assert link.receive_data(error, 0.0) == [FragmentErrorReceived(number=number)]
    link.frames_to_send()
    link.command(SHORT, 0.0)
    assert sent(link).frame_type == FrameType.RESYNC


def test_an_error_to_a_repeat_leaves_open_whether_the_command_ran() -> None:
    """The first one may have run, its answer lost, and a Host on the way refused the second."""
    link = commanded()
    error = meter_frame(1, FrameType.ERROR, b"\x04\x00")
    link.on_timer(TIMEOUT_S)
    (event,) = link.receive_data(error, TIMEOUT_S)
    assert isinstance(event, ExchangeFailed)
    assert event.may_have_run


@pytest.mark.parametrize(
    "error",
    [
        meter_frame(1, FrameType.ERROR, b"\x04\x00"),
        piece(2, FragmentType.ERROR, 3),
    ],
)
def test_an_error_inside_a_long_response_ends_a_command_that_ran(error: bytes) -> None:
    link = commanded()
    link.receive_data(piece(1, FragmentType.FIRST, 9), 0.0)
    (event,) = link.receive_data(error, 0.0)
    assert isinstance(event, ExchangeFailed)
    assert event.may_have_run


@pytest.mark.parametrize("is_long", [False, True])
def test_busy_is_reported_with_the_response(is_long: bool) -> None:
    link = commanded()
    data = meter_frame(1, FrameType.SIMPLE_RESPONSE, b"x", is_busy=True)
    if is_long:
        link.receive_data(piece(1, FragmentType.FIRST, 1, b""), 0.0)
        last = fragment(FragmentType.LAST, chunk=b"x")
        data = meter_frame(2, FrameType.FRAGMENT, last, is_busy=True)
    assert link.receive_data(data, 0.0) == [ResponseReceived(packet=b"x", is_busy=True)]


def test_an_endless_response_of_empty_fragments_ends() -> None:
    link = commanded()
    link.receive_data(piece(1, FragmentType.FIRST, 9), 0.0)
    (event,) = link.receive_data(piece(2, FragmentType.MIDDLE, 0, b""), 0.0)
    assert isinstance(event, ExchangeFailed)


def test_reset_forgets_the_exchange_and_what_is_half_received() -> None:
    link = commanded()
    data = meter_frame(1, FrameType.SIMPLE_RESPONSE)
    link.receive_data(data[:3], 0.0)
    link.reset()
    assert link.is_idle
    assert link.deadline is None
    assert link.frames_to_send() == []
    assert link.receive_data(data[3:], 0.0) == []
    link.command(SHORT, 0.0)
    assert sent(link).frame_type == FrameType.RESYNC


def test_a_refused_fragment_is_no_answer_to_a_whole_command() -> None:
    """One that comes late, for an earlier command, must not make this one seem refused."""
    link = LinkConnection()
    link.command(b"a whole command", 0.0)
    link.frames_to_send()
    resync = Frame(sequence=0, frame_type=FrameType.RESYNC_RESPONSE, destination=5, source=0)
    assert link.receive_data(resync.encode(), 0.0) == []
    link.frames_to_send()
    late = Fragment(fragment_type=FragmentType.ERROR, data=1).encode()
    stray = Frame(
        sequence=1,
        frame_type=FrameType.FRAGMENT_RESPONSE,
        destination=5,
        source=0,
        payload=late,
    )
    assert link.receive_data(stray.encode(), 0.0) == []
    answer = Frame(
        sequence=1,
        frame_type=FrameType.SIMPLE_RESPONSE,
        destination=5,
        source=0,
        payload=b"done",
    )
    assert link.receive_data(answer.encode(), 0.0) == [
        ResponseReceived(packet=b"done", is_busy=False)
    ]
