"""Progress on a terminal and in a log, with a clock that the test turns."""

import pytest

from umi_cli.output.progress import Bar, Gauge, Lines, Silence


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_bar_shows_rate_and_time_left() -> None:
    clock, drawn = Clock(), list[str]()
    bar = Bar("upload", 1000, "B", clock=clock, draw=drawn.append)
    clock.now_s += 10
    bar.update(250)
    assert drawn == ["\rupload [######..................]  25% 25 B/s, 0:30 left"]
    clock.now_s += 30
    bar.update(1000)
    assert drawn[-1].startswith("\rupload [########################] 100% 25 B/s, 0:00 left")
    bar.finish()
    assert drawn[-1] == "\n"


def test_what_was_done_before_does_not_count_for_the_rate() -> None:
    clock, drawn, said = Clock(), list[str](), list[str]()
    bar = Bar("upload", 1000, "B", clock=clock, draw=drawn.append, done=500)
    lines = Lines("upload", 1000, "B", clock=clock, say=said.append, done=500)
    clock.now_s += 5
    for progress in (bar, lines):
        progress.update(509)  # that half is done was said before
        progress.update(600)
    assert drawn == ["\rupload [############............]  50% 1.8 B/s, 4:33 left"]
    assert said == ["upload 60% 20 B/s, 0:20 left"]


def test_the_rate_of_work_that_begins_anew() -> None:
    clock = Clock()
    gauge = Gauge(1000, clock, done=500)
    clock.now_s += 10
    assert gauge.figures(0, "B") == ""
    assert gauge.figures(100, "B") == "10 B/s, 1:30 left"


def test_bar_is_drawn_ten_times_a_second_at_most() -> None:
    clock, drawn = Clock(), list[str]()
    bar = Bar("upload", 1000, "B", clock=clock, draw=drawn.append)
    for done in range(1000):
        clock.now_s += 0.001
        bar.update(done)
    assert 9 <= len(drawn) <= 11


def test_shorter_line_covers_a_longer_one() -> None:
    clock, drawn = Clock(), list[str]()
    bar = Bar("upload", 100_000, "B", clock=clock, draw=drawn.append)
    clock.now_s += 100
    bar.update(1)
    clock.now_s += 1
    bar.update(100_000)
    assert len(drawn[1]) >= len(drawn[0])


def test_bar_that_was_never_drawn_ends_no_line() -> None:
    drawn = list[str]()
    Bar("upload", 10, "B", clock=Clock(), draw=drawn.append).finish()
    assert drawn == []


def test_lines_come_every_ten_per_cent() -> None:
    clock, said = Clock(), list[str]()
    lines = Lines("upload", 1000, "B", clock=clock, say=said.append)
    for done in range(0, 1001, 10):
        lines.update(done)
    lines.finish()
    assert [line.split()[1] for line in said] == [f"{n}%" for n in range(10, 101, 10)]


def test_a_log_has_no_line_of_short_work() -> None:
    clock, said = Clock(), list[str]()
    lines = Lines("export", 100, "objects", clock=clock, say=said.append, quiet_s=2)
    for done in range(101):
        lines.update(done)
        clock.now_s += 0.0199
    lines.finish()
    assert said == []


def test_lines_come_every_ten_seconds() -> None:
    clock, said = Clock(), list[str]()
    lines = Lines("upload", 1_000_000, "B", clock=clock, say=said.append)
    for second in range(61):
        clock.now_s = 100.0 + second
        lines.update(second)
    assert len(said) == 6
    assert said[-1] == "upload 0% 1.0 B/s, 277:45:40 left"


@pytest.mark.parametrize(("done", "percent"), [(0, 0), (5, 50), (10, 100), (11, 100)])
def test_percent(done: int, percent: int) -> None:
    assert Gauge(10, Clock()).percent(done) == percent


def test_nothing_to_do_is_done() -> None:
    gauge = Gauge(0, Clock())
    assert gauge.percent(0) == 100
    assert gauge.figures(0, "B") == ""


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    silence = Silence()
    silence.update(5)
    silence.finish()
    assert capsys.readouterr() == ("", "")
