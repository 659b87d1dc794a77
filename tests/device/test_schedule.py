"""Moments at a fixed rate."""

from hypothesis import given
from hypothesis import strategies as st

from umi_cli.device.schedule import Beats, Ending


def test_they_do_not_drift() -> None:
    beats = Beats(10.0, 5.0)
    assert beats.next(5.0) == (5.0, 0)
    assert beats.next(7.9) == (15.0, 0)
    assert beats.next(24.9) == (25.0, 0)


def test_what_is_late_is_done_and_what_is_over_is_left_out() -> None:
    beats = Beats(10.0)
    assert beats.next(0.0) == (0.0, 0)
    assert beats.next(15.0) == (10.0, 0)
    assert beats.next(45.0) == (40.0, 2)
    assert beats.next(45.1) == (50.0, 0)


@given(st.floats(0.1, 100), st.lists(st.floats(0, 500), max_size=30))
def test_every_moment_is_told_or_counted_as_missed(every_s: float, took: list[float]) -> None:
    beats = Beats(every_s)
    now_s, number = 0.0, -1
    for took_s in took:
        due_s, missed = beats.next(now_s)
        number += 1 + missed
        assert abs(due_s - number * every_s) < 1e-6
        assert due_s > now_s - every_s - 1e-6
        now_s = max(now_s, due_s) + took_s


def test_endings() -> None:
    assert not Ending().is_after(1e9)
    assert not Ending().is_counted(10**9)
    assert Ending(after_s=10).is_after(10.1)
    assert not Ending(after_s=0.3).is_after(0.1 * 3)
    assert Ending(count=3).is_counted(3)
    assert not Ending(count=3).is_counted(2)
