"""A meter that spoils what it sends: repeatable, and on a bad line never with a right CRC."""

from random import Random

import pytest

from umi_cli.application.packet import Envelope
from umi_cli.errors import MalformedError
from umi_cli.link.frame import Frame, FrameType
from umi_cli.link.stream import FrameReceiver
from umi_cli.types import UmiId
from umi_cli.virtual.fuzzing import FuzzingMeter, Spoiling, Spoilt

FRAMES = [
    Frame(
        sequence=number % 15 + 1,
        frame_type=FrameType.SIMPLE_RESPONSE,
        destination=5,
        source=0,
        payload=bytes(range(number, number + 40)),
    ).encode()
    for number in range(200)
]
RESPONSE = bytes(range(50))


def sent(seed: int, spoiling: Spoiling, rate: float = 0.5) -> list[list[bytes]]:
    meter = FuzzingMeter(Random(seed), rate, spoiling)
    return [meter.frames_out(frame) for frame in FRAMES]


@pytest.mark.parametrize("spoiling", Spoiling)
def test_the_same_chance_spoils_in_the_same_way(spoiling: Spoiling) -> None:
    assert sent(3, spoiling) == sent(3, spoiling)
    assert sent(3, spoiling) != sent(4, spoiling)


@pytest.mark.parametrize("spoiling", Spoiling)
def test_without_a_rate_nothing_is_spoilt(spoiling: Spoiling) -> None:
    meter = FuzzingMeter(Random(0), 0.0, spoiling)
    assert sent(0, spoiling, 0.0) == [[frame] for frame in FRAMES]
    assert meter.packet_out(b"", RESPONSE) == RESPONSE
    assert not meter.counts


def frames_in(chunk: bytes) -> set[bytes]:
    receiver = FrameReceiver()
    found = receiver.receive_data(chunk, 0.0) + receiver.on_timer(1.0)
    return {frame.encode() for frame in found}


def test_a_bad_line_makes_no_frame_that_was_never_sent() -> None:
    known = set(FRAMES)
    for chunks in sent(1, Spoiling.LINE, 1.0):
        for chunk in chunks:
            assert frames_in(chunk) <= known
    meter = FuzzingMeter(Random(0), 1.0, Spoiling.LINE)
    assert meter.packet_out(b"", RESPONSE) == RESPONSE


def test_a_forger_makes_frames_and_packets_that_were_never_sent() -> None:
    known = set(FRAMES)
    forged = [chunk for chunks in sent(1, Spoiling.FORGERY, 1.0) for chunk in chunks]
    assert sum(bool(frames_in(chunk) - known) for chunk in forged) > 20
    meter = FuzzingMeter(Random(0), 1.0, Spoiling.FORGERY)
    assert meter.packet_out(b"", RESPONSE) != RESPONSE


def test_what_is_spoilt_is_told_and_counted() -> None:
    told: list[Spoilt] = []
    meter = FuzzingMeter(Random(0), 0.5, Spoiling.FORGERY, told.append)
    for frame in FRAMES:
        meter.frames_out(frame)
        meter.packet_out(b"", RESPONSE)
    assert [each.number for each in told] == list(range(1, len(told) + 1))
    assert meter.counts.total() == len(told) > 100
    assert {each.what for each in told} == set(meter.counts)
    assert {"packet changed", "frame lost", "frame doubled", "frame old"} <= set(meter.counts)
    assert all(each.sound in (*FRAMES, RESPONSE) for each in told)


def test_bytes_that_are_no_frame_are_spoilt_as_well() -> None:
    """Another defect may have been at them."""
    meter = FuzzingMeter(Random(0), 1.0, Spoiling.FORGERY)
    for _ in range(100):
        meter.frames_out(b"\x01\x02\x03\x04\x05\x06\x07")
    with pytest.raises(MalformedError):
        Frame.decode(b"\x01\x02\x03\x04\x05\x06\x07")


def test_behind_so_many_all_is_sound() -> None:
    meter = FuzzingMeter(Random(0), 1.0, Spoiling.LINE, limit=2)
    sent = [meter.frames_out(frame) for frame in FRAMES]
    assert meter.counts.total() == 2
    assert sent[2:] == [[frame] for frame in FRAMES[2:]]
    assert meter.frames == len(FRAMES)


def test_who_asks_is_counted() -> None:
    meter = FuzzingMeter(Random(0), 0.0, Spoiling.FORGERY)
    reader = UmiId(5)
    command = Envelope(source=reader, destination=UmiId(9)).encode() + bytes(13)
    for packet in (command, command, b"no packet"):
        meter.packet_out(packet, b"response")
    assert meter.readers == {reader: 2}
