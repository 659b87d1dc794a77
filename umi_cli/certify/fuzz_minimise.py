"""The fewest bytes that still fail: delta debugging over the pieces of a case, then their bytes.

What frames and packets say of their own length, and the CRC, is made right again after each cut
where it was right before: else the cut, and not what is looked for, would make the difference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from umi_cli.application.packet import ENVELOPE_BYTES, MESSAGE_HEADER_BYTES, NO_SIGNATURE
from umi_cli.certify.fuzz_case import Carrier, FuzzCase
from umi_cli.link.crc import crc
from umi_cli.link.frame import CRC_BYTES, HEADER_BYTES
from umi_cli.wire import u16

DEFAULT_TRIES = 400

Fails = Callable[[FuzzCase], bool]
Edit = Callable[[bytes, int, int], bytes]
"""Takes bytes, where a part of them begins and how long it is; returns them with it edited."""


class OutOfTries(Exception):
    """The limit of tries is reached: what has been found stands."""


@dataclass(frozen=True, slots=True)
class Cloth:
    """How a piece of a case is taken out of what must fit it, and put back.

    Args:
        length_at: where it says how long the part behind its head is; None if it says so nowhere.
        length_bytes: of that number.
        head_bytes: what does not count in it, before.
        tail_bytes: what does not count in it, behind.
        has_crc: its last two bytes are the CRC of the others.
    """

    length_at: int | None = None
    length_bytes: int = 1
    head_bytes: int = 0
    tail_bytes: int = 0
    has_crc: bool = False

    def bare(self, piece: bytes) -> bytes:
        """Return a piece without what is made anew."""
        return piece[:-CRC_BYTES] if self.has_crc else piece

    def dressed(self, bare: bytes) -> bytes:
        """Return a bare piece with its length and its CRC."""
        end = None if self.length_at is None else self.length_at + self.length_bytes
        if end is not None and len(bare) >= end:
            length = max(0, len(bare) - self.head_bytes - self.tail_bytes)
            raw = length.to_bytes(4, "little")[: self.length_bytes]
            bare = bare[: self.length_at] + raw + bare[end:]
        return bare + u16(crc(bare)) if self.has_crc else bare


def cloth_of(piece: bytes, carrier: Carrier) -> Cloth:
    """Return what fits a piece, as far as it was right."""
    if carrier is Carrier.FRAMES:
        return _cloth_of_frame(piece)
    head = MESSAGE_HEADER_BYTES + (0 if carrier is Carrier.SEALED else ENVELOPE_BYTES)
    if len(piece) < head + len(NO_SIGNATURE):
        return Cloth()
    said = int.from_bytes(piece[head - 2 : head], "little")
    tail = len(piece) - head - said
    if tail < len(NO_SIGNATURE):
        return Cloth()
    return Cloth(length_at=head - 2, length_bytes=2, head_bytes=head, tail_bytes=tail)


def _cloth_of_frame(piece: bytes) -> Cloth:
    if len(piece) < HEADER_BYTES + CRC_BYTES:
        return Cloth()
    has_crc = piece[-CRC_BYTES:] == u16(crc(piece[:-CRC_BYTES]))
    tail = 0 if has_crc else CRC_BYTES
    is_right = piece[2] == len(piece) - HEADER_BYTES - CRC_BYTES
    return Cloth(
        length_at=2 if is_right else None,
        head_bytes=HEADER_BYTES,
        tail_bytes=tail,
        has_crc=has_crc,
    )


def cloths_of(piece: bytes, carrier: Carrier) -> tuple[Cloth, ...]:
    """Return what fits a piece: as far as it was right, its CRC alone, nothing; no two are equal.

    What is looked for may stand in the length itself, or before the CRC is looked at.
    """
    cloth = cloth_of(piece, carrier)
    return tuple(dict.fromkeys((cloth, replace(cloth, length_at=None), Cloth())))


def _cut(bare: bytes, at: int, size: int) -> bytes:
    """Return bytes without a part of them."""
    return bare[:at] + bare[at + size :]


def _cleared(bare: bytes, at: int, size: int) -> bytes:
    """Return bytes of which a part is zero, so that those that matter stand out."""
    return bare[:at] + bytes(len(bare[at : at + size])) + bare[at + size :]


class Minimiser:
    """Makes one failing case smaller.

    Args:
        case: fails.
        fails: sends a case, and tells whether it fails in the same way.
        tries: how often that may be asked.
    """

    def __init__(self, case: FuzzCase, fails: Fails, tries: int = DEFAULT_TRIES) -> None:
        self.best = case
        self.tries = 0
        self._fails = fails
        self._limit = tries

    def run(self) -> FuzzCase:
        """Return the smallest case that was found."""
        try:
            self._drop_pieces()
            for number in reversed(range(len(self.best.pieces))):
                self._halve(number)
        except OutOfTries:
            pass
        return self.best

    def _drop_pieces(self) -> None:
        """Leave out pieces, half of them first, then fewer."""
        size = len(self.best.pieces) // 2
        while size:
            at = 0
            while at < len(self.best.pieces):
                left = self.best.pieces[:at] + self.best.pieces[at + size :]
                at += 0 if left and self._try(left) else size
            size //= 2

    def _halve(self, number: int) -> None:
        """Leave out ever smaller parts of a piece, and clear what has to stay."""
        cloths = cloths_of(self.best.pieces[number], self.best.carrier)
        size = max(1, len(self.best.pieces[number]) // 2)
        while size:
            for edit in (_cut, _cleared):
                for cloth in cloths:
                    self._sweep(number, cloth, size, edit)
            size //= 2

    def _sweep(self, number: int, cloth: Cloth, size: int, edit: Edit) -> None:
        """Edit parts of one size from the first to the last; what still fails stays edited."""
        at = 0
        while at < len(bare := cloth.bare(self.best.pieces[number])):
            edited = edit(bare, at, size)
            is_shorter = len(edited) < len(bare)
            if not edited or not self._try_piece(number, cloth.dressed(edited)) or not is_shorter:
                at += size

    def _try_piece(self, number: int, piece: bytes) -> bool:
        pieces = list(self.best.pieces)
        pieces[number] = piece
        return self._try(tuple(pieces))

    def _try(self, pieces: Sequence[bytes]) -> bool:
        """Send other pieces; they are the best if they still fail."""
        if self.tries >= self._limit:
            raise OutOfTries
        if not all(pieces) or tuple(pieces) == self.best.pieces:
            return False
        self.tries += 1
        case = replace(self.best, pieces=tuple(pieces))
        if not self._fails(case):
            return False
        self.best = case
        return True
