"""A line that has shown how prompt it is: what is lost is repeated sooner, and no less often."""

import pytest

from tests.link.test_commander import (
    SHORT,
    TIMEOUT_S,
    meter_frame,
    piece,
    taken,
)
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import ExchangeFailed, LinkSettings, ResponseReceived
from umi_cli.link.fragment import MAX_FRAGMENT_BYTES, FragmentType
from umi_cli.link.frame import MAX_FRAME_BYTES, FrameType
from umi_cli.link.patience import FACTOR, KNOWN_AFTER, MARGIN_S, MAX_MISSES, Patience

IDLE_GAP_S = 0.1
LEAST_S = IDLE_GAP_S + MARGIN_S
SETTINGS = LinkSettings(timeout_s=TIMEOUT_S, idle_gap_s=IDLE_GAP_S)
FRAGMENTS = bytes(14 * MAX_FRAGMENT_BYTES)
ACK_BYTES = 10


def known(slowest_s: float = 0.0) -> Patience:
    patience = Patience(SETTINGS)
    for _ in range(KNOWN_AFTER):
        patience.learn(slowest_s)
    return patience


def test_the_first_answers_have_the_full_timeout() -> None:
    patience = Patience(SETTINGS)
    for _ in range(KNOWN_AFTER):
        assert patience.timeout_s == TIMEOUT_S
        patience.learn(0.0)
    assert patience.timeout_s == pytest.approx(LEAST_S)


@pytest.mark.parametrize(
    ("slowest_s", "timeout_s"),
    [(-0.01, LEAST_S), (0.1, LEAST_S), (0.4, FACTOR * 0.4), (1.1, TIMEOUT_S)],
)
def test_the_slowest_answer_is_what_counts(slowest_s: float, timeout_s: float) -> None:
    patience = known(slowest_s)
    patience.learn(0.0)
    assert patience.timeout_s == pytest.approx(timeout_s)


def test_a_timeout_that_is_short_already_is_not_made_longer() -> None:
    patience = Patience(LinkSettings(timeout_s=0.05, idle_gap_s=IDLE_GAP_S))
    for _ in range(KNOWN_AFTER):
        patience.learn(0.01)
    assert patience.timeout_s == 0.05


def test_a_peer_that_has_become_slow_is_waited_for_again() -> None:
    patience = known()
    for _ in range(MAX_MISSES - 1):
        patience.miss()
    patience.learn(0.0)
    patience.miss()
    assert patience.timeout_s == pytest.approx(LEAST_S)  # not in a row
    for _ in range(MAX_MISSES - 1):
        patience.miss()
    assert patience.timeout_s == TIMEOUT_S


def sending(fragments: int, took_s: float = 0.0, **settings: float) -> tuple[LinkConnection, float]:
    """Return a reader some of whose fragments were acknowledged, and the time."""
    given = {"timeout_s": TIMEOUT_S, "idle_gap_s": IDLE_GAP_S} | settings
    link = LinkConnection(LinkSettings(**given))  # type: ignore[arg-type]
    link.command(FRAGMENTS, 0.0)
    link.receive_data(meter_frame(0, FrameType.RESYNC_RESPONSE), 0.0)
    now = 0.0
    for sequence in range(1, fragments + 1):
        now += took_s
        link.receive_data(taken(sequence), now)
    link.frames_to_send()
    return link, now


def waits(link: LinkConnection, now: float) -> list[float]:
    """Let every deadline pass; return how long each was waited for."""
    found = []
    while link.deadline is not None:
        found.append(link.deadline - now)
        now = link.deadline
        link.on_timer(now)
    return found


def test_a_fragment_is_repeated_sooner_and_given_up_no_sooner() -> None:
    link, now = sending(KNOWN_AFTER)
    found = waits(link, now)
    assert found == pytest.approx([LEAST_S, TIMEOUT_S, TIMEOUT_S + TIMEOUT_S - LEAST_S])
    assert len(link.frames_to_send()) == 2


def test_before_the_line_is_known_a_fragment_has_the_full_timeout() -> None:
    link, now = sending(KNOWN_AFTER - 1)
    assert waits(link, now) == pytest.approx([TIMEOUT_S] * 3)


def test_a_slow_line_is_given_its_time() -> None:
    link, now = sending(KNOWN_AFTER, took_s=0.5)
    assert waits(link, now)[0] == pytest.approx(FACTOR * 0.5)


def test_time_on_the_wire_is_no_turnaround() -> None:
    byte_time_s = 0.01
    on_the_wire_s = byte_time_s * (MAX_FRAGMENT_BYTES + 10 + ACK_BYTES)
    link, now = sending(KNOWN_AFTER, took_s=on_the_wire_s + 0.3, byte_time_s=byte_time_s)
    assert waits(link, now)[0] == pytest.approx(FACTOR * 0.3 + on_the_wire_s)


def test_what_an_application_answers_has_the_full_timeout() -> None:
    """The last fragment makes a command whole, and the device may think about it."""
    link, now = sending(13)
    assert waits(link, now) == pytest.approx([TIMEOUT_S] * 3)


def test_a_repeated_frame_tells_nothing_of_the_line() -> None:
    """Nobody knows which of the two was answered."""
    link, _ = sending(KNOWN_AFTER)
    now = link.deadline or 0.0
    link.on_timer(now)
    link.receive_data(taken(KNOWN_AFTER + 1), now + 1.5)
    now += 1.5
    assert waits(link, now)[0] == pytest.approx(LEAST_S)


def test_two_that_were_late_in_a_row_bring_the_full_timeout_back() -> None:
    link, now = sending(KNOWN_AFTER)
    for sequence in range(KNOWN_AFTER + 1, KNOWN_AFTER + 1 + MAX_MISSES):
        now = link.deadline or 0.0
        link.on_timer(now)
        link.receive_data(taken(sequence), now)
    assert waits(link, now) == pytest.approx([TIMEOUT_S] * 3)


def test_what_is_saved_is_given_back_though_the_line_is_no_longer_known() -> None:
    link, now = sending(KNOWN_AFTER)
    link.on_timer(link.deadline or 0.0)
    now = link.deadline or 0.0
    link.receive_data(taken(KNOWN_AFTER + 1), now)
    assert sum(waits(link, now)) == pytest.approx(3 * TIMEOUT_S)


def test_the_fragments_of_a_response_are_called_for_sooner() -> None:
    byte_time_s = 0.01
    settings = LinkSettings(
        timeout_s=TIMEOUT_S, idle_gap_s=IDLE_GAP_S, byte_time_s=byte_time_s, attempts=2
    )
    link = LinkConnection(settings)
    link.command(SHORT, 0.0)
    link.receive_data(meter_frame(0, FrameType.RESYNC_RESPONSE), 0.0)
    link.receive_data(piece(1, FragmentType.FIRST, 100), 0.0)
    now, took_s = 0.0, byte_time_s * (ACK_BYTES + ACK_BYTES + 1)
    for sequence in range(2, 2 + KNOWN_AFTER):
        now += took_s
        link.receive_data(piece(sequence, FragmentType.MIDDLE), now)
    on_the_wire_s = byte_time_s * (ACK_BYTES + MAX_FRAME_BYTES)
    found = waits(link, now)
    assert found == pytest.approx(
        [LEAST_S + on_the_wire_s, 2 * TIMEOUT_S - LEAST_S + on_the_wire_s]
    )


def test_one_attempt_has_the_full_timeout() -> None:
    link, now = sending(KNOWN_AFTER, attempts=1)
    assert waits(link, now) == pytest.approx([TIMEOUT_S])


def test_an_answer_to_the_first_of_two_frames_is_taken_and_that_to_the_second_is_not() -> None:
    link, _ = sending(KNOWN_AFTER)
    now = link.deadline or 0.0
    link.on_timer(now)
    link.frames_to_send()
    assert link.receive_data(taken(KNOWN_AFTER + 1) * 2, now) == []
    assert len(link.frames_to_send()) == 1
    for sequence in range(KNOWN_AFTER + 2, 14):
        assert link.receive_data(taken(sequence), now) == []
    (event,) = link.receive_data(meter_frame(14, FrameType.SIMPLE_RESPONSE, b"ok"), now)
    assert isinstance(event, ResponseReceived)


def test_silence_still_ends_the_exchange() -> None:
    link, now = sending(KNOWN_AFTER)
    events = []
    while link.deadline is not None:
        now = link.deadline
        events = link.on_timer(now)
    assert events == [
        ExchangeFailed(reason="no answer after 3 attempts", may_have_run=False),
    ]
