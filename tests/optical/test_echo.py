"""The echo of a head: dropped whatever its chunks, required once it is known, taken back if not."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.optical.echo import PROOFS, SLACK_S, EchoCanceller, EchoMode

SENT = bytes.fromhex("01040000fe5b")
REPLY = bytes.fromhex("01050050a0ca")
MODES: list[EchoMode] = ["auto", "on"]


def hear(echo: EchoCanceller, data: bytes, cuts: list[int], now: float = 0.0) -> bytes:
    """Return what is no echo of data that comes in pieces."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return b"".join(echo.received(data[start:end], now) for start, end in pairwise(edges))


def proven() -> EchoCanceller:
    """Return what has seen as many echoes as prove a head."""
    echo = EchoCanceller()
    for number in range(PROOFS):
        assert not echo.is_required
        echo.sent(SENT, 0.0)
        assert echo.received(SENT, 0.0) == b""
        assert echo.echoes == number + 1
    assert echo.is_required
    return echo


@pytest.mark.parametrize("mode", MODES)
@given(
    sent=st.binary(min_size=1, max_size=20),
    reply=st.binary(max_size=20),
    cuts=st.lists(st.integers(0, 99)),
)
def test_an_exact_echo_is_dropped_however_it_is_cut(
    mode: EchoMode, sent: bytes, reply: bytes, cuts: list[int]
) -> None:
    echo = EchoCanceller(mode)
    echo.sent(sent, 0.0)
    assert hear(echo, sent + reply, cuts) == reply
    assert (echo.echoes, echo.faults) == (1, 0)


@given(
    sent=st.binary(min_size=1, max_size=20),
    reply=st.binary(max_size=20),
    cuts=st.lists(st.integers(0, 99)),
)
def test_a_reply_that_begins_like_an_echo_survives(
    sent: bytes, reply: bytes, cuts: list[int]
) -> None:
    """A head that does not echo loses nothing, unless the reply begins with all that was sent."""
    echo = EchoCanceller()
    echo.sent(sent, 0.0)
    came = hear(echo, reply, cuts)
    if reply.startswith(sent):
        assert came == reply[len(sent) :]
    elif sent.startswith(reply):  # more may come
        assert came + echo.received(b"", SLACK_S + 0.1) == reply
    else:
        assert came == reply


@given(st.binary(min_size=1, max_size=20), st.binary(max_size=20), st.lists(st.integers(0, 99)))
def test_off_expects_no_echo(sent: bytes, came: bytes, cuts: list[int]) -> None:
    echo = EchoCanceller("off")
    echo.sent(sent, 0.0)
    assert hear(echo, came, cuts) == came
    assert (echo.echoes, echo.faults, echo.is_required) == (0, 0, False)


def test_on_requires_the_first_echo_already() -> None:
    """As many bytes as went out are dropped, whatever they are."""
    echo = EchoCanceller("on")
    assert echo.is_required
    echo.sent(SENT, 0.0)
    assert echo.received(REPLY + REPLY, 0.0) == REPLY
    assert (echo.echoes, echo.faults) == (0, 1)


def test_on_stays_whatever_is_missing() -> None:
    echo = EchoCanceller("on")
    for number in range(2 * PROOFS):
        echo.sent(SENT, 0.0)
        assert echo.received(REPLY, 0.0) == b""
        assert echo.faults == number + 1
        assert echo.is_required


def test_three_echoes_make_the_echo_required() -> None:
    """From then on a damaged echo is dropped as well, and counted as a fault."""
    echo = proven()
    echo.sent(SENT, 0.0)
    damaged = SENT[:2] + b"\xff" + SENT[3:]
    assert echo.received(damaged + REPLY, 0.0) == REPLY
    assert (echo.echoes, echo.faults) == (PROOFS, 1)
    echo.sent(SENT, 0.0)
    assert echo.received(SENT + REPLY, 0.0) == REPLY
    assert (echo.echoes, echo.faults) == (PROOFS + 1, 1)


def test_a_damaged_byte_counts_wherever_the_echo_is_cut() -> None:
    for cut in range(1, len(SENT)):
        for place in range(len(SENT)):
            echo = proven()
            echo.sent(SENT, 0.0)
            damaged = bytearray(SENT)
            damaged[place] ^= 1
            assert hear(echo, bytes(damaged) + REPLY, [cut]) == REPLY
            assert echo.faults == 1


def test_three_misses_take_it_back() -> None:
    """The head was changed for another: what it does is found out anew."""
    echo = proven()
    for _ in range(PROOFS):
        assert echo.is_required
        echo.sent(SENT, 0.0)
        echo.received(REPLY, 0.0)
    assert not echo.is_required
    assert echo.faults == PROOFS
    echo.sent(SENT, 0.0)
    assert echo.received(REPLY, 0.0) == REPLY
    assert echo.faults == PROOFS  # what is not required is no fault


def test_an_echo_between_misses_counts_them_from_the_start() -> None:
    echo = proven()
    for _ in range(3):
        for came in (REPLY, REPLY, SENT):
            echo.sent(SENT, 0.0)
            echo.received(came, 0.0)
    assert echo.is_required
    assert (echo.echoes, echo.faults) == (PROOFS + 3, 6)


def test_an_overdue_echo_is_given_up() -> None:
    """A required echo that never came takes nothing of what comes later, and is a fault."""
    echo = proven()
    echo.sent(SENT, 1.0)
    assert echo.received(SENT[:2], 1.0) == b""
    assert echo.received(b"", 1.0 + SLACK_S) == b""
    assert echo.faults == 0
    assert echo.received(REPLY, 1.01 + SLACK_S) == REPLY
    assert echo.faults == 1


def test_what_was_held_for_an_overdue_echo_comes_out() -> None:
    echo = EchoCanceller()
    echo.sent(SENT, 1.0)
    assert echo.received(SENT[:2], 1.0) == b""
    assert echo.received(REPLY, 1.01 + SLACK_S) == SENT[:2] + REPLY
    assert (echo.echoes, echo.faults) == (0, 0)


def test_an_echo_has_the_time_that_sending_takes() -> None:
    echo = proven()
    echo.sent(SENT, 1.0, takes_s=0.2)
    assert echo.received(SENT + REPLY, 1.2 + SLACK_S) == REPLY
    assert echo.faults == 0


def test_an_echo_that_never_came_is_given_up_when_more_is_sent() -> None:
    """The head was off for a while: what it missed takes nothing of a later reply."""
    echo = proven()
    for number in range(2):
        echo.sent(SENT, 2.0 * number)
    echo.sent(SENT, 4.0)
    assert echo.received(SENT + REPLY, 4.0) == REPLY
    assert (echo.echoes, echo.faults) == (PROOFS + 1, 2)


def test_what_was_held_comes_out_though_more_was_sent() -> None:
    echo = EchoCanceller()
    echo.sent(SENT, 0.0)
    assert echo.received(SENT[:2], 0.0) == b""
    echo.sent(SENT, 2.0)
    assert echo.received(SENT + REPLY, 2.0) == SENT[:2] + REPLY
    assert echo.received(REPLY, 2.0) == REPLY
    assert echo.echoes == 1


@pytest.mark.parametrize("mode", MODES)
def test_two_sends_are_echoed_in_their_order(mode: EchoMode) -> None:
    echo = EchoCanceller(mode)
    echo.sent(SENT[:2], 0.0)
    echo.sent(SENT[2:], 0.0)
    assert echo.received(SENT[:3], 0.0) == b""
    assert echo.received(SENT[3:] + REPLY, 0.0) == REPLY


def test_without_anything_sent_all_of_it_is_no_echo() -> None:
    echo = EchoCanceller("on")
    assert echo.received(REPLY, 0.0) == REPLY
    assert echo.faults == 0
