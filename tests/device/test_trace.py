"""What a trace makes of pieces of bytes: frames cut as the link cuts them, times, comments."""

import tracemalloc
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.application import commands as c
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import Payload
from umi_cli.device.trace import MAX_NOISE_BYTES, Kind, Record, Trace
from umi_cli.link.fragment import split
from umi_cli.link.frame import Direction, Frame, FrameType
from umi_cli.optical.characters import with_parity
from umi_cli.types import UmiCode, UmiId

KEYS, COUNTER = UmiCode.parse("umi.255.0.0.16"), UmiCode.parse("umi.255.0.0.65")
GAP_S = 0.1
START_US = 1_795_000_000_000_000


@dataclass
class HandClock:
    """A clock that is set by hand."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def utc(self) -> float:
        return START_US / 1_000_000 + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Bench:
    """A trace with its clock, and what came of it."""

    def __init__(self, *, is_plain: bool = False, takes_commands: bool = False) -> None:
        self.records: list[Record] = []
        self.clock = HandClock()
        self.trace = Trace(
            self.records.append, is_secret=lambda code: code == KEYS, is_plain=is_plain
        )
        self.trace.begin(self.clock, GAP_S, takes_commands=takes_commands)

    @property
    def rows(self) -> list[tuple[str, str, int, bytes]]:
        """Return kind, direction, time in ms, and bytes of each record."""
        return [
            (r.kind.value, r.direction, (r.utc_us - START_US) // 1000, r.data) for r in self.records
        ]

    @property
    def comments(self) -> list[tuple[str, ...]]:
        return [record.comments for record in self.records]

    def hears(self, data: bytes, after_s: float = 0.0) -> None:
        self.clock.sleep(after_s)
        self.trace.on_link("in", data)

    def sends(self, data: bytes, after_s: float = 0.0) -> None:
        self.clock.sleep(after_s)
        self.trace.on_link("out", data)


def packet(record: Payload, scheme: int = 0) -> bytes:
    return envelope(scheme).encode() + message(record).encode()


def envelope(scheme: int = 2) -> Envelope:
    return Envelope(source=UmiId(4), destination=UmiId(1), encryption_scheme=scheme)


def message(record: Payload) -> Message:
    return Message(transaction=7, created_s=5, packet_type=record.TYPE, payload=record.encode())


def frame(payload: bytes, kind: int = FrameType.SIMPLE, sequence: int = 1) -> bytes:
    return Frame(
        sequence=sequence, frame_type=kind, destination=0, source=5, payload=payload
    ).encode()


ASK = frame(packet(c.ReadObject(code=COUNTER)))
ANSWER = frame(packet(c.ReadObjectReply(code=COUNTER, value=b"abcd")), FrameType.SIMPLE_RESPONSE)


@given(st.lists(st.integers(0, 1000), max_size=6))
def test_a_frame_is_one_record_however_it_comes(cuts: list[int]) -> None:
    bench = Bench()
    bench.sends(ASK)
    data = ANSWER * 2
    edges = sorted({0, *(cut % len(data) for cut in cuts), len(data)})
    for start, end in pairwise(edges):
        bench.hears(data[start:end])
    assert [row[0] for row in bench.rows] == ["frames"] * 3
    assert [row[3] for row in bench.rows] == [ASK, ANSWER, ANSWER]
    assert bench.comments == [(), (), ("repeated, attempt 2",)]


def test_noise_is_told_with_the_time_of_its_last_bytes() -> None:
    bench = Bench()
    bench.hears(b"\xff\xfe\xfd", after_s=1.0)
    bench.hears(b"\xfc", after_s=0.01)
    bench.sends(ASK, after_s=2.0)
    assert bench.rows == [
        ("line", "in", 1010, b"\xff\xfe\xfd\xfc"),
        ("frames", "out", 3010, ASK),
    ]
    assert bench.comments[0] == ("dropped: 4 bytes that are no frame",)


def test_a_frame_with_a_wrong_crc_stays_one() -> None:
    bench = Bench()
    damaged = ANSWER[:-1] + bytes([ANSWER[-1] ^ 1])
    bench.sends(ASK)
    bench.hears(damaged)
    bench.hears(ANSWER, after_s=1.0)
    assert [row[3] for row in bench.rows] == [ASK, damaged, ANSWER]
    assert bench.comments[1] == ("dropped: the CRC is wrong",)
    assert bench.records[1].kind is Kind.FRAME


def test_a_line_that_is_stuck_is_cut_in_records() -> None:
    bench = Bench()
    for _ in range(100):
        bench.hears(b"\xff" * 50)
    bench.trace.close()
    assert sum(len(row[3]) for row in bench.rows) == 5000
    assert max(len(row[3]) for row in bench.rows) == MAX_NOISE_BYTES


def test_half_a_frame_at_the_end_is_told() -> None:
    bench = Bench()
    bench.hears(ANSWER[:9])
    assert bench.rows == []
    bench.trace.close()
    bench.trace.close()
    assert bench.rows == [("line", "in", 0, ANSWER[:9])]


def test_a_sign_on_comes_letter_by_letter() -> None:
    bench = Bench()
    line = with_parity(b"/ELS5EISGMv0\r\n")
    bench.trace.on_line("out", b"/?!\r\n")
    for letter in line * 2:
        bench.clock.sleep(0.5)
        bench.trace.on_line("in", bytes([letter]))
    bench.trace.on_line("in", b"half")
    bench.trace.on_line("out", b"\x06056\r\n")
    bench.trace.on_line("in", b"the end")
    bench.trace.on_line("in", b"x" * MAX_NOISE_BYTES)
    bench.hears(ANSWER)
    assert [row[3] for row in bench.rows] == [
        b"/?!\r\n",
        line,
        line,
        b"half",
        b"\x06056\r\n",
        b"the end" + b"x" * MAX_NOISE_BYTES,
        ANSWER,
    ]
    assert [row[2] for row in bench.rows][:3] == [0, 500, 500 + 500 * len(line)]
    assert {row[0] for row in bench.rows[:-1]} == {"line"}


@pytest.mark.parametrize("is_long", [False, True])
def test_what_is_encrypted_is_told_by_the_session(is_long: bool) -> None:
    bench = Bench(is_plain=True)
    asked, answered = c.ReadObject(code=COUNTER), c.ReadObjectReply(code=COUNTER, value=b"abcd")
    sealed = b"\x02\x01" + bytes(300 if is_long else 60)
    kind = FrameType.FRAGMENT if is_long else FrameType.SIMPLE
    back = FrameType.FRAGMENT if is_long else FrameType.SIMPLE_RESPONSE
    bench.trace.on_message("out", envelope(), message(asked))
    out = [frame(piece, kind, n) for n, piece in enumerate(split(sealed), 1)]
    for each in [out[0], *out]:
        bench.sends(each)
    came = [frame(piece, back, n) for n, piece in enumerate(split(sealed), 6)]
    for each in came:
        bench.hears(each)
        if is_long:
            bench.sends(frame(b"\x40\x00\x00\x00", FrameType.FRAGMENT_RESPONSE))
    assert bench.records[-1].data != came[-1], "held until it was opened"
    bench.trace.on_message("in", envelope(), message(answered))
    by_data = {record.data: record.comments for record in reversed(bench.records)}
    assert by_data[out[0]] == ("encrypted: READ_OBJECT umi.255.0.0.65",)
    assert by_data[came[-1]] == ("encrypted: READ_OBJECT_RESPONSE umi.255.0.0.65, OK, 4 bytes",)
    plain = [record for record in bench.records if record.kind is Kind.PACKET]
    assert [record.data for record in plain] == [packet(asked, 2), packet(answered, 2)]
    assert bench.records[-1] is plain[1]


def test_an_answer_that_is_never_opened_is_told_all_the_same() -> None:
    for is_closed in (True, False):
        bench = Bench()
        bench.trace.on_message("out", envelope(), message(c.NoOperation()))
        bench.hears(ANSWER)
        bench.trace.close() if is_closed else bench.sends(ASK)
        assert bench.rows[0][3] == ANSWER
        assert bench.comments[0] == ()


def test_what_is_in_the_clear_needs_no_comment() -> None:
    bench = Bench(is_plain=True)
    bench.trace.on_message("out", envelope(0), message(c.NoOperation()))
    bench.sends(ASK)
    bench.hears(ANSWER)
    bench.trace.on_message("in", envelope(0), message(c.NoOperation()))
    assert bench.comments == [(), ()]


def test_noise_is_hidden_where_a_secret_may_be_in_it() -> None:
    secret = frame(packet(c.ReadObjectReply(code=KEYS, value=b"SECRETS!")))
    damaged = secret[:-1] + bytes([secret[-1] ^ 1])
    asking = Bench()
    asking.sends(frame(packet(c.ReadObject(code=KEYS))))
    host = Bench(takes_commands=True)
    for bench in (asking, host):
        bench.hears(damaged)
        bench.trace.close()
        assert bench.rows[-1][3] == bytes(len(damaged))
        assert bench.comments[-1][1] == "redacted: they may be a part of a secret"
    plain = Bench(is_plain=True, takes_commands=True)
    plain.hears(damaged)
    plain.trace.close()
    assert plain.rows[-1][3] == damaged


def test_a_line_that_is_served_is_cut_into_frames_on_both_sides() -> None:
    bench = Bench(takes_commands=True)
    damaged = ANSWER[:-1] + bytes([ANSWER[-1] ^ 1])
    for piece in (ASK[:9], ASK[9:]):
        bench.trace.on_served("in", piece)
    for answer in (damaged, ANSWER):
        bench.clock.sleep(2 * GAP_S)
        bench.trace.on_served("out", answer)
    assert [row[1:] for row in bench.rows] == [
        ("in", 0, ASK),
        ("out", 200, bytes(len(ANSWER))),
        ("out", 400, ANSWER),
    ]
    assert bench.comments[1] == (
        f"sent: {len(ANSWER)} bytes that are no frame",
        "redacted: they may be a part of a secret",
    )


def test_a_sign_on_that_is_served_is_told_line_by_line() -> None:
    bench = Bench(takes_commands=True)
    lines: list[tuple[Direction, bytes]] = [
        ("in", b"/?"),
        ("in", b"!\r\n"),
        ("out", b"/ELS5"),
        ("out", b"X\r\n"),
    ]
    for way, data in lines:
        bench.trace.on_served(way, data, is_sign_on=True)
    bench.trace.on_served("in", b"\x06056", is_sign_on=True)
    bench.trace.on_served("in", ASK)
    assert [row[1::2] for row in bench.rows] == [
        ("in", b"/?!\r\n"),
        ("out", b"/ELS5X\r\n"),
        ("in", b"\x06056"),
        ("in", ASK),
    ]
    assert bench.comments == [("sign-on",)] * 3 + [()]


@given(st.lists(st.tuples(st.sampled_from(["in", "out"]), st.binary(min_size=1), st.booleans())))
def test_nothing_that_is_served_is_lost(pieces: list[tuple[Direction, bytes, bool]]) -> None:
    bench = Bench(is_plain=True)
    for way, data, is_sign_on in pieces:
        bench.trace.on_served(way, data, is_sign_on=is_sign_on)
    bench.trace.close()
    for way in ("in", "out"):
        sent = b"".join(data for at, data, _ in pieces if at == way)
        assert b"".join(row[3] for row in bench.rows if row[1] == way) == sent


def test_a_long_trace_keeps_nothing() -> None:
    bench = Bench()
    trace = Trace(lambda record: None, is_secret=lambda code: code == KEYS)
    trace.begin(bench.clock, GAP_S)

    def pass_by(count: int) -> None:
        for n in range(count):
            trace.on_link("out", frame(packet(c.ReadObject(code=UmiCode(n % 50_000)))))
            trace.on_link("in", ANSWER + b"\xff")

    pass_by(100)
    tracemalloc.start()
    pass_by(100)
    before, _ = tracemalloc.get_traced_memory()
    pass_by(5_000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000
