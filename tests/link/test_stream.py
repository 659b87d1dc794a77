"""Finding frames in a stream: cuts, noise, sliding, the idle gap (protocol 2.3)."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.independent import checksum
from umi_cli.link.frame import Frame, FrameType
from umi_cli.link.stream import FrameReceiver

known_frames = st.builds(
    Frame,
    sequence=st.integers(0, 15),
    frame_type=st.sampled_from(FrameType),
    destination=st.integers(0, 15),
    source=st.integers(0, 15),
    payload=st.binary(max_size=60),
    is_busy=st.booleans(),
)


def frame(number: int = 1, payload: bytes = b"payload", kind: int = 0, version: int = 1) -> Frame:
    return Frame(
        sequence=number,
        frame_type=kind,
        destination=1,
        source=5,
        payload=payload,
        version=version,
    )


ONE, TWO = frame(1), frame(2, b"")


def take_all(data: bytes, cuts: list[int] | None = None) -> tuple[list[Frame], int]:
    """Return the frames in a stream cut at these places and then silent, and the noise."""
    receiver = FrameReceiver()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    frames = []
    for start, end in pairwise(edges):
        frames += receiver.receive_data(data[start:end], 0.0)
    frames += receiver.on_timer(0.1)
    assert receiver.deadline is None
    return frames, receiver.noise_bytes


@given(st.lists(known_frames, max_size=8), st.lists(st.integers(0, 1_000)))
def test_frames_after_frames_cut_anywhere(frames: list[Frame], cuts: list[int]) -> None:
    data = b"".join(frame.encode() for frame in frames)
    assert take_all(data, cuts) == (frames, 0)


@given(
    st.lists(known_frames.map(Frame.encode) | st.binary(max_size=40), max_size=8),
    st.lists(st.integers(0, 1_000)),
)
def test_frames_and_noise_give_the_same_however_they_are_cut(
    parts: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(parts)
    whole = take_all(data)
    assert take_all(data, cuts) == whole
    assert take_all(data, list(range(len(data)))) == whole
    frames, noise_bytes = whole
    assert noise_bytes + sum(len(frame.encode()) for frame in frames) == len(data)


@given(st.lists(st.tuples(st.binary(max_size=300), st.floats(0, 0.3)), max_size=8))
def test_garbage_never_raises(chunks: list[tuple[bytes, float]]) -> None:
    receiver, now = FrameReceiver(), 0.0
    for data, pause_s in chunks:
        now += pause_s
        receiver.receive_data(data, now)
    receiver.on_timer(now + 0.1)
    assert receiver.deadline is None


@pytest.mark.parametrize(
    "noise",
    [
        b"\xff",
        b"\xff\xff\xff",
        b"\x11\x00\x05\x15\x00",
        b"\x11\x00\xfa\x15",
        ONE.encode()[:-1],
        ONE.encode()[1:],
        ONE.encode()[:-1] + b"\x00",
        b"\x11\x00\xf9\x15" + b"\x00" * 20,
    ],
)
def test_a_frame_behind_noise_is_found_at_once_or_after_the_gap(noise: bytes) -> None:
    frames, noise_bytes = take_all(noise + ONE.encode() + TWO.encode())
    assert frames == [ONE, TWO]
    assert noise_bytes == len(noise)


def test_a_frame_with_a_wrong_crc_is_dropped_in_silence_and_the_next_one_is_not() -> None:
    for bit in range(8 * len(ONE.encode())):
        data = bytearray(ONE.encode())
        data[bit // 8] ^= 1 << bit % 8
        frames, noise_bytes = take_all(bytes(data) + TWO.encode())
        assert frames == [TWO]
        assert noise_bytes == len(data)


def test_sliding_needs_no_gap_where_the_noise_ends() -> None:
    receiver = FrameReceiver()
    assert receiver.receive_data(b"\x11\x00\x01\x15\x00\x00\x00" + ONE.encode(), 0.0) == [ONE]
    assert receiver.deadline is None
    assert receiver.receive_data(TWO.encode(), 0.0) == [TWO]


def test_an_idle_gap_ends_what_is_half_received() -> None:
    receiver = FrameReceiver(idle_gap_s=0.1)
    assert receiver.receive_data(ONE.encode()[:-1], 5.0) == []
    assert receiver.deadline == pytest.approx(5.1)
    assert receiver.receive_data(ONE.encode(), 5.2) == [ONE]
    assert receiver.noise_bytes == len(ONE.encode()) - 1


def test_a_pause_shorter_than_the_gap_ends_nothing() -> None:
    receiver = FrameReceiver(idle_gap_s=0.1)
    for number, byte in enumerate(ONE.encode()[:-1]):
        assert receiver.receive_data(bytes([byte]), 0.09 * number) == []
        assert receiver.on_timer(0.09 * number + 0.05) == []
    assert receiver.receive_data(ONE.encode()[-1:], 0.09 * (number + 1)) == [ONE]


def test_a_gap_brings_out_the_frames_behind_a_length_that_lied() -> None:
    receiver = FrameReceiver()
    data = b"\x11\x00\xf9\x15" + ONE.encode() + TWO.encode() + b"\x11"
    assert receiver.receive_data(data, 1.0) == []
    assert receiver.on_timer(1.05) == []
    assert receiver.on_timer(1.1) == [ONE, TWO]
    assert receiver.noise_bytes == 5


def test_the_timer_does_nothing_where_nothing_waits() -> None:
    receiver = FrameReceiver()
    assert receiver.deadline is None
    assert receiver.on_timer(99.0) == []


@pytest.mark.parametrize("odd", [frame(kind=6), frame(kind=14), frame(version=2)])
def test_unknown_versions_and_types_pass_in_step_alone(odd: Frame) -> None:
    assert take_all(ONE.encode() + odd.encode() + TWO.encode())[0] == [ONE, odd, TWO]
    assert take_all(b"\xff\xff\xff\xff" + odd.encode() + TWO.encode())[0] == [TWO]


def test_a_gap_brings_the_receiver_back_into_step() -> None:
    receiver, odd = FrameReceiver(), frame(kind=6)
    receiver.receive_data(b"\xff\xff\xff\xff", 0.0)
    assert receiver.receive_data(odd.encode(), 1.0) == [odd]


def test_drop_forgets_what_is_half_received() -> None:
    receiver, odd = FrameReceiver(), frame(kind=6)
    receiver.receive_data(b"\xff\xff\xff\xff" + ONE.encode()[:-1], 0.0)
    receiver.drop()
    assert receiver.deadline is None
    assert receiver.receive_data(odd.encode(), 0.0) == [odd]


def test_the_longest_frame_and_one_that_is_longer() -> None:
    longest = frame(payload=bytes(range(249)))
    assert take_all(longest.encode()) == ([longest], 0)
    body = b"\x11\x00\xfa\x15" + bytes(250)
    frames, _ = take_all(body + checksum(body) + ONE.encode())
    assert ONE in frames
    assert all(len(found.payload) <= 249 for found in frames)


def test_a_frame_brings_the_receiver_back_into_step() -> None:
    odd = frame(kind=6)
    assert take_all(b"\xff\xff\xff\xff" + ONE.encode() + odd.encode()) == ([ONE, odd], 4)


@pytest.mark.parametrize("count", [4, 6, 7, 12, 255, 1000])
def test_zeros_are_no_frame_though_their_crc_is_right(count: int) -> None:
    assert checksum(bytes(4)) == bytes(2)
    assert take_all(bytes(count)) == ([], count)
    assert take_all(bytes(count) + ONE.encode() + TWO.encode()) == ([ONE, TWO], count)


def test_a_frame_whose_payload_is_zeros_is_one() -> None:
    empty = frame(payload=bytes(100))
    assert take_all(empty.encode()) == ([empty], 0)


@given(
    st.lists(known_frames.map(Frame.encode) | st.binary(max_size=40), max_size=8),
    st.lists(st.integers(0, 1_000)),
)
def test_every_byte_is_told_in_its_order(chunks: list[bytes], cuts: list[int]) -> None:
    data = b"".join(chunks)
    pieces: list[tuple[bytes, Frame | None]] = []
    receiver = FrameReceiver(on_piece=lambda piece, frame: pieces.append((piece, frame)))
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    frames = []
    for start, end in pairwise(edges):
        frames += receiver.receive_data(data[start:end], 0.0)
    frames += receiver.on_timer(0.1)
    assert b"".join(piece for piece, _ in pieces) == data
    assert [frame for _, frame in pieces if frame] == frames
    assert sum(frame is None for _, frame in pieces) == receiver.noise_bytes
    assert all(len(piece) == 1 for piece, frame in pieces if frame is None)
    assert all(Frame.decode(piece) == frame for piece, frame in pieces if frame)
