"""How an image package goes to a device: started, sent block by block, ended, or gone on with.

Protocol 3.2 (IMAGE_START, IMAGE_DATA, IMAGE_END) and 7. No I/O but through what is handed in: a
function that requests, a file that is read, and one that keeps the state. The state is never
ahead of the device: it is kept after each block that the device has acknowledged, so a block may
have been taken that the state does not know of, and never the other way round.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, NoReturn

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import ImageData, ImageEnd, ImageStart
from umi_cli.application.payload import Command
from umi_cli.crypto import Sha256
from umi_cli.errors import LostError, PacketTooLargeError, RefusedError, UmiError
from umi_cli.images.failures import ImageFailure, refusal

MIN_BLOCK_BYTES = 16
MAX_BLOCK_BYTES = 65_000  # a packet has 65,536 at most, and its own header, signature and tag
MAX_STARTS = 4  # a device that forgets again and again is given up
TRIES = 6  # of one block, over as many breaks of the line
READ_BYTES = 65_536

_TOO_LONG = (ResultCode.TOO_LONG, ResultCode.INVALID_LENGTH)  # of a first block
_OUT_OF_STEP = (ResultCode.INVALID_VALUE,)
_FORGOTTEN = (ResultCode.IMAGE_PROCESSING_ERROR, ResultCode.TRANSFER_RESTARTED)

Request = Callable[[Command[Any]], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadState:
    """How far an upload is; what is kept of it."""

    block_bytes: int
    """Length of every block but the last."""
    next_number: int = 0
    """The first block that the device has not acknowledged; it may have taken that one too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What is sent, and to whom it is told."""

    file: BinaryIO
    """The package; it can be read anywhere."""
    length_bytes: int
    sha256: bytes
    """Of the whole package, as it was verified."""
    request: Request
    """Sends a command and returns its reply, or raises what came of it."""
    keep: Callable[[UploadState], None] = lambda _: None
    """Keeps how far it is, before anything else is sent."""
    tell: Callable[[int], None] = lambda _: None
    """Told how many bytes the device has acknowledged."""


@dataclass(slots=True, kw_only=True)
class Course:
    """What happened on the way."""

    block_bytes: int = 0
    """What the device took at once in the end."""
    resumed_at: int | None = None
    """The byte that an earlier upload was gone on with at."""
    starts: int = 0
    """How often it began anew, in this run."""
    repeats: int = 0
    """How many commands were sent again because their answer was lost."""


class _ForgottenError(Exception):
    """The device no longer knows the transfer."""


class _TooLongError(Exception):
    """The device takes no block of that length."""


class Upload:
    """One upload of one package to one device.

    Args:
        transfer: what is sent.
        block_bytes: how much to send at once, 16 to 65,000; less if the device says so.
        state: how far an earlier run came; None to begin.
    """

    def __init__(
        self, transfer: Transfer, block_bytes: int, state: UploadState | None = None
    ) -> None:
        self._transfer = transfer
        self._block_bytes = min(max(block_bytes, MIN_BLOCK_BYTES), MAX_BLOCK_BYTES)
        self._state = state
        self._is_in_doubt = state is not None
        self._is_assumed = state is not None
        """That the device has all before the next block: this run has not seen it."""
        self.course = Course()
        if state is not None:
            at = state.next_number * state.block_bytes
            self.course.resumed_at = min(at, transfer.length_bytes)

    def send(self) -> None:
        """Send every block; `end` comes next.

        Raises:
            RefusedError: the device refuses the transfer.
            LostError: the device does not come back; the state that was kept can be gone on with.
            ImageInvalidError: the file is no longer what was verified; the transfer is aborted.
        """
        while True:
            try:
                if self._state is None:
                    self._start()
                self._send_blocks()
            except _ForgottenError:
                self._forget()
            else:
                return

    def end(self) -> bool:
        """Tell the device that the image is valid; it checks it now.

        Returns:
            Whether the device took it. If not, an answer was lost, and the device knows no more of
            the transfer: it has taken the image, or refused it.

        Raises:
            RefusedError: it is not to be installed; the result code says why.
            LostError, ImageInvalidError: as in `send`.
        """
        while True:
            try:
                return self._end()
            except _ForgottenError:
                self._forget()
                self.send()

    def _end(self) -> bool:
        repeats = self.course.repeats
        try:
            self._retried(ImageEnd(is_valid=1))  # harmless twice: the second finds no transfer
        except RefusedError as error:
            if error.number not in _FORGOTTEN:
                raise
            if self.course.repeats > repeats:
                return False
            if self._is_assumed:
                raise _ForgottenError from error
            raise
        return True

    def _start(self) -> None:
        if self.course.starts == MAX_STARTS:
            raise LostError(f"the device has forgotten the transfer {MAX_STARTS} times")
        self.course.starts += 1
        try:
            self._retried(ImageStart(length_bytes=self._transfer.length_bytes))
        except RefusedError as error:
            if error.number != ResultCode.TRANSFER_RESTARTED:  # it says that it begins anew
                raise
        self._is_in_doubt = self._is_assumed = False
        self._advance(UploadState(block_bytes=self._block_bytes))

    def _forget(self) -> None:
        """Have the next block be the first again: the device has none of them."""
        self._state = None
        self._transfer.keep(UploadState(block_bytes=self._block_bytes))

    def _advance(self, state: UploadState) -> None:
        self._state = state
        self._transfer.keep(state)
        done = min(state.next_number * state.block_bytes, self._transfer.length_bytes)
        self._transfer.tell(done)

    def _send_blocks(self) -> None:
        """Send what is left, hashing the file as it is read."""
        state = self._state
        assert state is not None  # noqa: S101 - `send` has started
        digest = Sha256()
        self._hash_up_to(digest, state.next_number * state.block_bytes)
        while (at := state.next_number * state.block_bytes) < self._transfer.length_bytes:
            wanted = min(state.block_bytes, self._transfer.length_bytes - at)
            data = self._transfer.file.read(wanted)
            if len(data) < wanted:
                self._abort()
            try:
                is_acknowledged = self._send_block(state.next_number, data)
            except _TooLongError:
                state = self._halve(state)
                continue
            digest.update(data)
            state = replace(state, next_number=state.next_number + 1)
            if is_acknowledged:
                self._advance(state)
        self.course.block_bytes = state.block_bytes
        if digest.finish() != self._transfer.sha256:
            self._abort()

    def _hash_up_to(self, digest: Sha256, offset: int) -> None:
        """Hash what the device has already, and stand behind it."""
        self._transfer.file.seek(0)
        left = min(offset, self._transfer.length_bytes)
        while left and (piece := self._transfer.file.read(min(left, READ_BYTES))):
            digest.update(piece)
            left -= len(piece)

    def _halve(self, state: UploadState) -> UploadState:
        """Begin with blocks half as long."""
        if state.block_bytes <= MIN_BLOCK_BYTES:
            raise PacketTooLargeError(f"the device takes no block of {MIN_BLOCK_BYTES} bytes")
        self._block_bytes = max(MIN_BLOCK_BYTES, state.block_bytes // 2)
        if state.next_number:  # of an earlier run, which had another line to the device
            raise _ForgottenError
        self._transfer.file.seek(0)
        self._state = smaller = UploadState(block_bytes=self._block_bytes)
        self._transfer.keep(smaller)
        return smaller

    def _send_block(self, number: int, data: bytes) -> bool:
        """Have the device take a block, once; tell whether it has acknowledged it."""
        try:
            self._retried(ImageData(number=number, data=data))
        except PacketTooLargeError as error:
            raise _TooLongError from error
        except RefusedError as error:
            self._on_refusal(error, number)
            return False
        self._is_in_doubt = False
        return True

    def _on_refusal(self, error: RefusedError, number: int) -> None:
        """Find out what a refused block means."""
        if error.number == ResultCode.TOO_LONG or (error.number in _TOO_LONG and number == 0):
            raise _TooLongError from error
        is_of_another = error.number in _TOO_LONG and self._is_assumed
        if error.number in _FORGOTTEN or is_of_another:
            raise _ForgottenError from error
        if error.number in _OUT_OF_STEP and self._is_in_doubt:
            # It may have taken the block before the break: then it waits for the next one.
            self._is_in_doubt, self._is_assumed = False, True
            return
        if error.number in _OUT_OF_STEP:
            raise _ForgottenError from error
        raise error

    def _retried(self, command: Command[Any]) -> None:
        """Request what is harmless twice: a start begins anew, a block is known by its number."""
        tries_left = TRIES
        while True:
            try:
                self._transfer.request(command)
            except LostError:
                tries_left -= 1
                if not tries_left:
                    raise
                self.course.repeats += 1
                self._is_in_doubt = True
            else:
                return

    def _abort(self) -> NoReturn:
        """Have the device forget a file that was changed under our hands."""
        try:
            self._transfer.request(ImageEnd(is_valid=0))
        except UmiError as error:
            raise _changed() from error
        raise _changed()


def _changed() -> UmiError:
    return refusal(
        ImageFailure.WRONG_HASH,
        "the file has changed since it was verified; the transfer was aborted",
        hint="upload it again once it is what it should be",
    )
