"""What a sound device finds in any bytes: how many frames, which packets, how many answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certify.test_fuzz_make import ADDRESSES, GUEST, message
from umi_cli.application.commands import NoOperation
from umi_cli.certify.fuzz_bases import packet_of
from umi_cli.certify.fuzz_model import Seen, SoundDevice
from umi_cli.link.fragment import split
from umi_cli.link.frame import FrameType

PACKET = packet_of(GUEST, message(NoOperation()))
FRAME = ADDRESSES.frame(3, FrameType.SIMPLE, PACKET).encode()
OTHER, LAST = (packet_of(GUEST, message(NoOperation(), transaction=number)) for number in (77, 78))
NEXT = ADDRESSES.frame(4, FrameType.SIMPLE, OTHER).encode()


def taken(*pieces: bytes) -> list[Seen]:
    device = SoundDevice(ADDRESSES)
    return [device.take(piece) for piece in pieces]


def seen(frames: int, answers: int, *packets: bytes, is_clean: bool = True) -> Seen:
    return Seen(frames=frames, answers=answers, packets=packets, is_clean=is_clean)


def test_a_command_is_taken_once_and_its_repeat_is_answered() -> None:
    assert taken(FRAME, FRAME) == [seen(1, 1, PACKET), seen(1, 1)]


def test_frames_that_were_sent_at_once_are_two() -> None:
    """The second may find it busy, and be told so; or the first is answered before it comes."""
    assert taken(FRAME + NEXT) == [seen(2, 2, PACKET, OTHER)]


@pytest.mark.parametrize("before", [b"", b"\x31", bytes(9)], ids=["", "head", "zeros"])
def test_any_frame_of_a_piece_may_be_taken(before: bytes) -> None:
    again = ADDRESSES.frame(4, FrameType.SIMPLE, LAST).encode()
    (found,) = taken(before + FRAME + NEXT + again)
    assert found == seen(3, 3, PACKET, OTHER, LAST, is_clean=not before)


def test_a_late_frame_is_not_taken_behind_another_one_either() -> None:
    late = ADDRESSES.frame(1, FrameType.SIMPLE, OTHER).encode()
    assert taken(FRAME + late) == [seen(2, 2, PACKET)]


@pytest.mark.parametrize("damage", [b"\x31", FRAME[:-1] + b"\0"], ids=["head", "crc"])
def test_what_stands_behind_noise_may_be_lost(damage: bytes) -> None:
    """A device that finds nothing in the first piece is right to take the second."""
    later = ADDRESSES.frame(5, FrameType.SIMPLE, OTHER).encode()
    fourth = ADDRESSES.frame(4, FrameType.SIMPLE, LAST).encode()
    found = taken(damage + later, fourth)
    assert [each.packets for each in found] == [(OTHER,), (LAST,)]


def test_what_stands_behind_a_frame_may_be_lost() -> None:
    """Where a transfer is a frame, as on SPI."""
    later = ADDRESSES.frame(6, FrameType.SIMPLE, OTHER).encode()
    fourth = ADDRESSES.frame(4, FrameType.SIMPLE, LAST).encode()
    assert [each.packets for each in taken(FRAME + later, fourth)] == [(PACKET, OTHER), (LAST,)]


def test_behind_two_at_once_the_case_goes_on_from_either() -> None:
    fourth = ADDRESSES.frame(4, FrameType.SIMPLE, LAST).encode()
    fifth = ADDRESSES.frame(5, FrameType.SIMPLE, LAST).encode()
    assert taken(FRAME + NEXT, fourth, fifth)[1:] == [seen(1, 1, LAST), seen(1, 1, LAST)]


def test_a_wrong_crc_is_no_frame_and_leaves_the_line_in_doubt() -> None:
    wrong = FRAME[:-1] + bytes([FRAME[-1] ^ 1])
    assert taken(wrong, FRAME) == [seen(0, 0, is_clean=False), seen(1, 1, PACKET)]


def test_a_frame_that_is_cut_off_needs_a_pause() -> None:
    assert taken(FRAME[:-3], FRAME) == [seen(0, 0, is_clean=False), seen(1, 1, PACKET)]


def test_the_fragments_of_a_long_command_make_one_packet() -> None:
    long = packet_of(GUEST, message(NoOperation(), payload=bytes(500)))
    parts = [
        ADDRESSES.frame(3 + number, FrameType.FRAGMENT, part).encode()
        for number, part in enumerate(split(long))
    ]
    *before, last = taken(*parts)
    assert all(each == seen(1, 1) for each in before)
    assert last == seen(1, 1, long)


def test_sequences_go_on_behind_those_of_the_check_before() -> None:
    late = ADDRESSES.frame(1, FrameType.SIMPLE, PACKET).encode()
    (found,) = taken(late)
    assert (found.frames, found.packets) == (1, ())


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_bytes_are_taken(pieces: list[bytes]) -> None:
    for found in taken(*pieces):
        assert 0 <= found.answers <= found.frames
        assert len(found.packets) <= found.frames
