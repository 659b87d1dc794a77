"""Link frames over UMI-spi: power up, wake, clock a frame out, fetch one, power down (protocol 9).

We are the Host: whatever the peripheral has to say, it asks for by INTB.
"""

from collections.abc import Callable
from typing import Self

from umi_cli.errors import LostError, NoAnswerError
from umi_cli.link.frame import CRC_BYTES, HEADER_BYTES, begins_a_frame
from umi_cli.link.stream import DEFAULT_IDLE_GAP_S
from umi_cli.transports.base import Board, Clock

POWER_UP_S = 0.05  # from VDD on to RSTB released
READY_WITHIN_S = 0.5  # from there to INTB low
WAKE_WITHIN_S = 0.1  # from CSB low to INTB low
RISE_WITHIN_S = 0.1  # choice: INTB rises at the end of a frame, protocol 9 does not say how soon
# After a frame of ours we are more patient: an INTB that has not risen announces no answer, and
# what is fetched then is nothing. The link waits for the answer three times as long anyway.
TAKEN_WITHIN_S = 0.3
RESET_S = 0.01  # choice: how long RSTB is held to bring a silent peripheral back
OFF_S = 0.2  # choice: how long the power is away to bring back one that a reset does not


class SpiTransport:
    """A port of the Host with a peripheral, which is switched on, and off when it is closed.

    Args:
        board: the pins, which it closes.
        on_close: called once when the port is closed.

    Raises:
        NoAnswerError: the port is empty; it is off again.
        LostError: the bus is gone.
    """

    timeout_s = 1.0
    idle_gap_s = DEFAULT_IDLE_GAP_S
    has_answered = True
    chunk_bytes: int | None = None

    def __init__(self, board: Board, on_close: Callable[[], None] = lambda: None) -> None:
        self.address = board.address
        self.byte_time_s = board.byte_time_s
        self._board = board
        self._on_close = on_close
        self._inbox: list[bytes] = []
        self._is_present = False
        self._unwoken = self._empty = 0
        why = f"INTB did not fall within {READY_WITHIN_S:g} s of the reset"
        try:
            self._is_present = self._power_up()
            if not self._is_present and board.int_is_low():
                why = "INTB stays low, though the peripheral was selected"
        finally:
            if not self._is_present:
                self.close()
        if not self._is_present:
            raise NoAnswerError(
                f"{self.address}: the port is empty: {why}; it is off again",
                hint="check that the peripheral is plugged in, and the lines int=, rst= and vdd=",
            )

    @property
    def board(self) -> Board:
        """Return the pins, for who moves them himself; `recover` brings the port back."""
        return self._board

    @property
    def clock(self) -> Clock:
        """Return where the time comes from."""
        return self._board.clock

    @property
    def misses(self) -> int:
        """Return how often in a row it did not wake to take a frame, or had none when it called."""
        return max(self._unwoken, self._empty)

    def send(self, data: bytes) -> None:
        """Wake the peripheral and clock a frame out.

        One that does not wake in time misses it, as a frame is lost on any line: the link repeats
        it.

        Raises:
            LostError: the bus is gone.
        """
        if self._board.int_is_low():
            self._inbox.append(self._fetch())  # what it has to say comes first
        self._board.select(True)
        try:
            if self._board.wait_for_int(True, self._in(WAKE_WITHIN_S)):
                self._board.exchange(data)
                self._unwoken = 0
            else:
                self._unwoken += 1
        finally:
            self._board.select(False)
        self._board.wait_for_int(False, self._in(TAKEN_WITHIN_S))

    def receive(self, deadline: float) -> bytes:
        """Fetch a frame as soon as INTB falls; nothing at the deadline.

        Raises:
            LostError: the bus is gone.
        """
        if self._inbox:
            return self._inbox.pop(0)
        return self._fetch() if self._board.wait_for_int(True, deadline) else b""

    def _fetch(self) -> bytes:
        """Clock a frame in: its header, then as much as the length byte says, and the CRC."""
        self._board.select(True)
        try:
            data = self._board.exchange(bytes(HEADER_BYTES))
            if begins_a_frame(data):
                data += self._board.exchange(bytes(data[2] + CRC_BYTES))
                self._empty = 0
            else:  # an INTB that hangs would have us listen for ever
                self._empty += 1
        finally:
            self._board.select(False)
        self._board.wait_for_int(False, self._in(RISE_WITHIN_S))
        return data

    def has_frame(self) -> bool:
        """Tell whether the peripheral has something to say now."""
        return bool(self._inbox) or self._board.int_is_low()

    def fileno(self) -> int:
        """Return a descriptor that is readable when INTB has changed; -1 if there is none."""
        return self._board.fileno()

    @property
    def deadline(self) -> float | None:
        """Return when the board is to be looked at, where no descriptor tells."""
        return self._board.deadline

    def recover(self) -> None:
        """Reset a peripheral that has fallen silent, or switch it off and on.

        Raises:
            LostError: it does not come back; the port is off.
        """
        self._inbox.clear()
        self._unwoken = self._empty = 0
        if self._reset(RESET_S):
            return
        if self._board.switches_power and self.restart():
            return
        self._board.reset(True)
        self._board.power(False)
        raise LostError(
            f"{self.address}: the peripheral does not answer its reset; the port is off",
            hint="check its connector; was it unplugged?",
        )

    def restart(self) -> bool:
        """Switch the port off and on; tell whether the peripheral is there."""
        self._board.reset(True)
        self._board.power(False)
        self._wait(OFF_S)
        return self._power_up()

    def close(self) -> None:
        """Hold the peripheral in reset and switch it off; twice is harmless."""
        try:
            self._board.close()
        finally:
            on_close, self._on_close = self._on_close, lambda: None
            on_close()

    def _power_up(self) -> bool:
        """Switch the peripheral on; tell whether there is one."""
        self._board.reset(True)
        self._board.power(True)
        return self._reset(POWER_UP_S)

    def _reset(self, held_s: float) -> bool:
        self._board.reset(True)
        self._wait(held_s)
        self._board.reset(False)
        if not self._board.wait_for_int(True, self._in(READY_WITHIN_S)):
            return False
        self._board.select(True)  # it has been seen: INTB rises
        has_risen = self._board.wait_for_int(False, self._in(RISE_WITHIN_S))
        self._board.select(False)
        return has_risen

    def _wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    def _in(self, seconds: float) -> float:
        return self.clock.monotonic() + seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
