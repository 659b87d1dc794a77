"""What `-v` shows of a line that hands over a byte at a time."""

import re

import pytest

from umi_cli.cli.byte_log import PAUSE_S, ByteLog

HEAD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (in|out) (\d+) bytes")


def pieces(stderr: str) -> list[tuple[str, int]]:
    """Return the direction and the length of each piece that was shown."""
    found = map(HEAD.fullmatch, stderr.splitlines())
    return [(match[1], int(match[2])) for match in found if match]


def test_what_comes_a_byte_at_a_time_stands_together(capsys: pytest.CaptureFixture[str]) -> None:
    log = ByteLog(is_secret=False, clock=lambda: 100.0)
    log("out", b"abc")
    for byte in b"answer":
        log("in", bytes([byte]))
    log("out", b"de")
    log("in", b"x")
    log.flush()
    log.flush()
    shown = capsys.readouterr().err
    assert pieces(shown) == [("out", 3), ("in", 6), ("out", 2), ("in", 1)]
    assert b"answer".hex() in shown.replace(" ", "")


def test_a_pause_tells_pieces_apart(capsys: pytest.CaptureFixture[str]) -> None:
    moments = iter([100.0, 100.0 + 2 * PAUSE_S])
    log = ByteLog(is_secret=False, clock=lambda: next(moments))
    log("in", b"one")
    log("in", b"two")
    log.flush()
    assert pieces(capsys.readouterr().err) == [("in", 3), ("in", 3)]


def test_no_byte_of_a_secret_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    log = ByteLog(is_secret=True)
    log("out", b"secret")
    log("in", b"secret")
    log.flush()
    shown = capsys.readouterr().err
    assert pieces(shown) == [("out", 6), ("in", 6)]
    assert len(shown.splitlines()) == 2
