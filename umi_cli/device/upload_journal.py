"""What is kept of an upload, so that the same command goes on where an earlier one stopped.

A file for each device and package, whole or not there, and never ahead of the device. Beside
them, how much each model takes at once.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umi_cli import files
from umi_cli.images.upload import MAX_BLOCK_BYTES, MIN_BLOCK_BYTES, UploadState
from umi_cli.types import UmiId

SCHEMA = "umi-upload/1"
_BLOCKS = "blocks.json"
_DIRECTORY_MODE = 0o700
_WRONG = (ValueError, KeyError, TypeError, OSError, OverflowError, RecursionError)


class UploadJournal:
    """The state of one upload on disk.

    Args:
        directory: where uploads are kept; made if it is missing.
        device: who takes the package.
        sha256: of the whole package.
        length_bytes: of the whole package.
    """

    def __init__(self, directory: Path, device: UmiId, sha256: bytes, length_bytes: int) -> None:
        self._path = directory / f"{device}-{sha256.hex()[:32]}.json"
        self._device = device
        self._sha256 = sha256
        self._length_bytes = length_bytes

    def load(self) -> UploadState | None:
        """Return how far the upload came; None if nowhere, or if its file is no use."""
        try:
            record = json.loads(self._path.read_text(encoding="utf-8"))
            is_ours = record == record | self._identity()
            state = UploadState(
                block_bytes=int(record["block_bytes"]), next_number=int(record["next_number"])
            )
        except _WRONG:
            return None
        is_sane = MIN_BLOCK_BYTES <= state.block_bytes <= MAX_BLOCK_BYTES
        return state if is_ours and is_sane and state.next_number > 0 else None

    def keep(self, state: UploadState, reason: str | None = None) -> None:
        """Keep how far the upload is; `OSError` if the disk does not take it.

        A device has one transfer at a time: what was kept of others ends where this one begins.
        """
        if not state.next_number:
            for path in self._path.parent.glob(f"{self._device}-*.json"):
                path.unlink(missing_ok=True)
        record = {
            **self._identity(),
            "block_bytes": state.block_bytes,
            "next_number": state.next_number,
            "downgrade_reason": reason,
        }
        _write(self._path, record)

    def forget(self) -> None:
        """Forget an upload that has ended; if that fails, the device tells that it has ended."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _identity(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "device": str(self._device),
            "sha256": self._sha256.hex(),
            "length_bytes": self._length_bytes,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """An upload that has stopped on its way."""

    device: str
    """Who was to take the package: a UMI ID."""
    next_number: int
    """The block that is next."""


def unfinished(directory: Path) -> list[Unfinished]:
    """Return the uploads that can go on; files that are no use are passed over."""
    found = []
    for path in sorted(directory.glob("*-*.json")):
        with suppress(*_WRONG):
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["schema"] == SCHEMA:
                number = int(record["next_number"])
                found.append(Unfinished(device=str(record["device"]), next_number=number))
    return found


def learned_block_bytes(directory: Path, model: str) -> int | None:
    """Return how much a model was found to take at once; None if that is not known."""
    size = _blocks(directory).get(model)
    is_known = isinstance(size, int) and MIN_BLOCK_BYTES <= size <= MAX_BLOCK_BYTES
    return size if is_known else None


def learn_block_bytes(directory: Path, model: str, size: int) -> None:
    """Remember how much a model takes at once; if that fails, it is learned again."""
    if learned_block_bytes(directory, model) == size:
        return
    with suppress(OSError):
        _write(directory / _BLOCKS, {**_blocks(directory), model: size})


def _blocks(directory: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((directory / _BLOCKS).read_text(encoding="utf-8"))
    except _WRONG:
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, record: Mapping[str, Any]) -> None:
    path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    files.write_atomically(path, json.dumps(record).encode(), mode=files.PRIVATE_MODE)
