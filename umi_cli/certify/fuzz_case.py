"""What a fuzz case is: bytes to send, where they come from, and the file that keeps them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from umi_cli.errors import InputError

SCHEMA = "umi-fuzz/1"
MAX_SEED = 2**63
MAX_FILE_BYTES = 1 << 20  # a case has some kilobytes; more is another file
MAX_PIECES = 1000
MAX_PIECE_BYTES = 65_536  # the longest packet (protocol 2.4)
WITH_CHANGES = "changes"

_NAME = re.compile(r"(\d{1,19}):([a-z]+):(\d{1,12})(?::(changes))?")
_NAME_HINT = "write SEED:LAYER:NUMBER, such as 7:link:123, or name a file of a corpus"


class FuzzLayer(StrEnum):
    """What of an exchange is spoilt."""

    LINK = "link"
    PACKET = "packet"
    PAYLOAD = "payload"
    CERTIFICATE = "certificate"
    IMAGE = "image"

    @property
    def changes(self) -> bool:
        """Tell whether its exchanges change the device, were they not spoilt."""
        return self in (FuzzLayer.CERTIFICATE, FuzzLayer.IMAGE)


class Carrier(StrEnum):
    """How the pieces of a case get to the device."""

    FRAMES = "frames"
    """They go out as they stand."""
    PACKETS = "packets"
    """A sound link carries each of them as a packet."""
    SEALED = "sealed"
    """Each is what follows a packet's envelope; it is sealed under a fresh session key first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """What is done to a packet after it was sealed: its bytes are known then alone."""

    at: int
    """Where; past the end counts as the end."""
    flip: int = 0
    """Bits of the byte there that are turned over."""
    remove_bytes: int = 0
    insert: bytes = b""

    def apply(self, packet: bytes) -> bytes:
        """Return the packet with the patch."""
        at = min(self.at, len(packet))
        turned = bytes(each ^ self.flip for each in packet[at : at + 1])
        rest = (turned + packet[at + 1 :])[self.remove_bytes :]
        return packet[:at] + self.insert + rest

    @property
    def record(self) -> dict[str, Any]:
        """Return what a file holds of it."""
        return {
            "at": self.at,
            "flip": self.flip,
            "remove": self.remove_bytes,
            "insert": self.insert.hex(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzCase:
    """Something to send: the same seed, layer and number give the same bytes."""

    seed: int
    layer: FuzzLayer
    number: int
    """Counted from 0, in its layer."""
    changes: bool = False
    """It was made where the device may be changed."""
    base: str
    """The valid exchange that was spoilt, such as `read umi.1.1.0.0`."""
    carrier: Carrier
    pieces: tuple[bytes, ...]
    """What is sent, one after the other."""
    valid: tuple[bytes, ...] = ()
    """What a sound commander would send instead."""
    patch: Patch | None = None
    """What is done to the last packet after it was sealed."""

    @property
    def name(self) -> str:
        """Return what makes the case again, `7:link:123`."""
        tail = f":{WITH_CHANGES}" if self.changes else ""
        return f"{self.seed}:{self.layer}:{self.number}{tail}"

    @property
    def sent_bytes(self) -> int:
        """Return how many bytes it has, without what carries them."""
        return sum(map(len, self.pieces))

    @property
    def record(self) -> dict[str, Any]:
        """Return what a corpus file holds of it."""
        return {
            "schema": SCHEMA,
            "case": self.name,
            "seed": self.seed,
            "layer": self.layer.value,
            "number": self.number,
            "changes": self.changes,
            "base": self.base,
            "carrier": self.carrier.value,
            "pieces": [piece.hex() for piece in self.pieces],
            "valid": [piece.hex() for piece in self.valid],
            "patch": self.patch.record if self.patch else None,
        }

    @classmethod
    def of(cls, record: object) -> Self:
        """Return the case that a corpus file holds.

        Raises:
            InputError: it holds none.
        """
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise InputError(f"this is no fuzz case: its schema is not {SCHEMA}")
        try:
            return cls(
                seed=_number(record, "seed", MAX_SEED),
                layer=FuzzLayer(_one_of(record, "layer", FuzzLayer)),
                number=_number(record, "number", 10**12),
                changes=record["changes"] is True,
                base=str(record["base"]),
                carrier=Carrier(_one_of(record, "carrier", Carrier)),
                pieces=_pieces(record["pieces"], "pieces"),
                valid=_pieces(record.get("valid", []), "valid"),
                patch=_patch(record.get("patch")),
            )
        except KeyError as error:
            raise InputError(f"this is no fuzz case: it has no field {error}") from error
        except ValueError as error:
            raise InputError(f"this is no fuzz case: {error}") from error


@dataclass(frozen=True, slots=True)
class CaseName:
    """Which case: what `--replay` takes instead of a file."""

    seed: int
    layer: FuzzLayer
    number: int
    changes: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `7:link:123`, or `7:link:123:changes`; `InputError` if it is neither."""
        found = _NAME.fullmatch(text.strip())
        if not found or found[2] not in list(FuzzLayer) or int(found[1]) > MAX_SEED:
            raise InputError(f"{text!r:.80} names no fuzz case", hint=_NAME_HINT)
        return cls(int(found[1]), FuzzLayer(found[2]), int(found[3]), bool(found[4]))


def _number(record: Mapping[str, Any], field: str, top: int) -> int:
    value = record[field]
    if type(value) is not int or not 0 <= value <= top:
        raise ValueError(f"its {field}, {value!r:.40}, is no number from 0 to {top}")
    return value


def _one_of(record: Mapping[str, Any], field: str, names: Iterable[str]) -> str:
    value = record[field]
    known = [str(name) for name in names]
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"its {field}, {value!r:.40}, is none of {', '.join(known)}")
    return value


def _hex(value: object, what: str) -> bytes:
    try:
        return bytes.fromhex(value if isinstance(value, str) else "?")
    except ValueError:
        raise ValueError(f"{what}, {value!r:.40}, is no text of hex digits, two a byte") from None


def _pieces(value: object, field: str) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > MAX_PIECES:
        raise ValueError(f"its {field} are no list of {MAX_PIECES} pieces at most")
    pieces = tuple(_hex(each, f"one of its {field}") for each in value)
    if any(len(piece) > MAX_PIECE_BYTES for piece in pieces):
        raise ValueError(f"one of its {field} has more than {MAX_PIECE_BYTES} bytes")
    return pieces


def _patch(value: object) -> Patch | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError("its patch is no object")
    return Patch(
        at=_number(value, "at", MAX_PIECE_BYTES),
        flip=_number(value, "flip", 0xFF),
        remove_bytes=_number(value, "remove", MAX_PIECE_BYTES),
        insert=_hex(value["insert"], "what its patch inserts"),
    )
