"""Failing cases are made small: pieces first, bytes then, lengths and CRC kept right."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certify.test_fuzz_make import ADDRESSES, GUEST, a_case, message
from umi_cli.application.commands import NoOperation, ReadObject
from umi_cli.application.packet import Message
from umi_cli.certify.fuzz_bases import packet_of
from umi_cli.certify.fuzz_case import Carrier, FuzzCase
from umi_cli.certify.fuzz_minimise import Minimiser, cloth_of
from umi_cli.errors import MalformedError
from umi_cli.link.frame import Frame, FrameType
from umi_cli.types import UmiCode

PACKET = packet_of(GUEST, message(ReadObject(code=UmiCode(7))))
FRAME = ADDRESSES.frame(3, FrameType.SIMPLE, PACKET).encode()


def smallest(case: FuzzCase, fails: Callable[[FuzzCase], bool], tries: int = 1000) -> FuzzCase:
    return Minimiser(case, fails, tries).run()


def test_pieces_that_do_not_matter_are_left_out() -> None:
    case = a_case(*(bytes([number]) for number in range(1, 20)), carrier=Carrier.FRAMES)
    found = smallest(case, lambda case: {b"\x03", b"\x0c"} <= set(case.pieces))
    assert found.pieces == (b"\x03", b"\x0c")


def test_bytes_that_do_not_matter_are_left_out_or_zero() -> None:
    case = a_case(bytes(range(60)))
    found = smallest(case, lambda case: b"\x11\x12" in case.pieces[0])
    assert found.pieces == (b"\x11\x12",)
    found = smallest(case, lambda case: len(case.pieces[0]) >= 8 and case.pieces[0][-1] == 59)
    assert found.pieces == (bytes(7) + bytes([59]),)


def is_whole(piece: bytes) -> bool:
    try:
        Frame.decode(piece)
    except MalformedError:
        return False
    return True


def test_a_frame_stays_whole_while_its_payload_shrinks() -> None:
    """A receiver that dies of a byte of the payload looks at frames with a right CRC alone."""

    def fails(case: FuzzCase) -> bool:
        return is_whole(case.pieces[0]) and b"\xfe\x7e" in Frame.decode(case.pieces[0]).payload

    found = smallest(a_case(FRAME, carrier=Carrier.FRAMES), fails)
    assert Frame.decode(found.pieces[0]).payload == b"\xfe\x7e"


def test_a_length_byte_that_was_wrong_stays_as_it_is() -> None:
    wrong = FRAME[:2] + b"\xff" + FRAME[3:]
    found = smallest(
        a_case(wrong, carrier=Carrier.FRAMES), lambda case: case.pieces[0][2:3] == b"\xff"
    )
    assert found.pieces == (b"\x00\x00\xff",)


@pytest.mark.parametrize("carrier", [Carrier.PACKETS, Carrier.SEALED])
def test_a_packet_stays_whole_while_its_payload_shrinks(carrier: Carrier) -> None:
    head = 21 if carrier is Carrier.PACKETS else 0
    whole = packet_of(GUEST, message(NoOperation(), payload=bytes(range(1, 60))))
    piece = whole[21 - head :]

    def fails(case: FuzzCase) -> bool:
        try:
            return b"\x20" in Message.decode(case.pieces[0][head:]).payload
        except MalformedError:
            return False

    found = smallest(a_case(piece, carrier=carrier), fails)
    assert Message.decode(found.pieces[0][head:]).payload == b"\x20"


def test_the_limit_of_tries_is_kept_and_the_best_stands() -> None:
    asked = []

    def fails(case: FuzzCase) -> bool:
        asked.append(case)
        return len(case.pieces[0]) >= 2

    minimiser = Minimiser(a_case(bytes(range(1, 200))), fails, 5)
    found = minimiser.run()
    assert len(asked) == minimiser.tries == 5
    assert 2 <= len(found.pieces[0]) < 199


@given(st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=4), st.integers(0, 255))
def test_what_is_found_fails_and_is_no_longer(pieces: list[bytes], wanted: int) -> None:
    case = a_case(*pieces, bytes([wanted]), carrier=Carrier.FRAMES)

    def fails(case: FuzzCase) -> bool:
        return bytes([wanted]) in b"".join(case.pieces)

    found = smallest(case, fails)
    assert fails(found)
    assert all(found.pieces)
    assert found.sent_bytes == 1
    assert replace(found, pieces=case.pieces) == case


@given(st.binary(max_size=60), st.sampled_from(Carrier))
def test_what_fits_a_piece_gives_it_back(piece: bytes, carrier: Carrier) -> None:
    cloth = cloth_of(piece, carrier)
    assert cloth.dressed(cloth.bare(piece)) == piece


@pytest.mark.parametrize(
    ("piece", "carrier"),
    [(FRAME, Carrier.FRAMES), (PACKET, Carrier.PACKETS), (PACKET[21:], Carrier.SEALED)],
)
def test_what_fits_a_sound_piece_gives_it_back(piece: bytes, carrier: Carrier) -> None:
    cloth = cloth_of(piece, carrier)
    assert cloth.length_at is not None
    assert cloth.dressed(cloth.bare(piece)) == piece
    assert is_whole(FRAME)
