"""A clock that is read and set: what is lost on the way must not leave it wrong."""

import struct
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from tests.device.scripted import (
    Reaction,
    Request,
    ScriptedDevice,
    Step,
    dead,
    done,
    lost,
    meter_with,
    packet_of,
    value,
)
from umi_cli.application.commands import WriteObject
from umi_cli.device.clock import READINGS, ClockReading, read_clock, set_clock, sync_clock
from umi_cli.device.meter import CHANGE_TRIES, Meter
from umi_cli.errors import LostError, OutcomeUnknownError, ReadBackError
from umi_cli.types import EPOCH_UNIX_S

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOON_S = int(NOON.timestamp()) - EPOCH_UNIX_S
CONTROL = struct.pack("<IHH", 0, 5, 60)


class ClockedDevice(ScriptedDevice):
    """A device with a clock: its steps read and set it."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        super().__init__([])
        self.ahead_s = ahead_s
        self.meter: Meter = meter_with(self)

    @property
    def now_s(self) -> float:
        return self.meter.transport.clock.utc() - EPOCH_UNIX_S + self.ahead_s

    def play(self, *steps: Step) -> Meter:
        self.script = list(steps)
        return self.meter

    def tell(self, request: Request) -> Reaction:
        return packet_of(value(struct.pack("<IIHH", int(self.now_s), 1, 0, 0)), request)

    def after(self, seconds: float) -> Step:
        """Tell the clock, after a while on the line."""

        def step(request: Request) -> Reaction:
            self.meter.transport.clock.sleep(seconds)
            return self.tell(request)

        return step

    def set(self, answer: Step = done, *, late_s: float = 0.0) -> Step:
        """Set the clock, as if the command had lain about for a while, and answer."""

        def step(request: Request) -> Reaction:
            new_s = int.from_bytes(cast(WriteObject, request.command).value[:4], "little")
            self.ahead_s += new_s - self.now_s - late_s
            return answer(request)

        return step

    @property
    def writes(self) -> list[bytes]:
        return [each.value for each in self.commands if isinstance(each, WriteObject)]

    @property
    def times_sent(self) -> list[datetime]:
        return [
            datetime.fromtimestamp(struct.unpack("<I", each[:4])[0] + EPOCH_UNIX_S, UTC)
            for each in self.writes
        ]


def reads(device: ClockedDevice) -> list[Step]:
    return [device.tell] * READINGS


def is_right(device: ClockedDevice, wanted: datetime, began: datetime) -> bool:
    """Tell whether the clock goes as one that was set to a time when the test began."""
    now = datetime.fromtimestamp(device.meter.transport.clock.utc(), UTC)
    due_s = (wanted - began).total_seconds()
    return abs(device.now_s + EPOCH_UNIX_S - now.timestamp() - due_s) <= 2.5


def began(device: ClockedDevice) -> datetime:
    return datetime.fromtimestamp(device.meter.transport.clock.utc(), UTC)


def test_the_difference_is_that_of_the_quickest_reading() -> None:
    """A slow exchange says little: the device may have read its clock at its end or its begin."""
    device = ClockedDevice(ahead_s=30)
    device.play(device.after(3), device.tell, device.after(0.5))
    found = read_clock(device.meter)
    assert (found.difference_s, found.exchange_s, found.uncertainty_s) == (30, 0.0, 0.5)
    assert found.last_sync == datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("fraction_s", [0.0, 0.2, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("ahead_s", [-5, 0, 3])
def test_a_fraction_of_a_second_is_no_difference(fraction_s: float, ahead_s: int) -> None:
    host = NOON + timedelta(seconds=fraction_s)
    device = NOON + timedelta(seconds=ahead_s)  # a datetime leaves the fraction out
    reading = ClockReading(device=device, host=host, last_sync=None, exchange_s=0.0)
    assert reading.difference_s == ahead_s


def test_a_clock_that_is_not_set_has_no_difference() -> None:
    assert ClockReading(device=None, host=NOON, last_sync=None, exchange_s=0).difference_s is None


def test_a_clock_is_set_once() -> None:
    device = ClockedDevice()
    device.play(*reads(device), value(CONTROL), device.set(), device.tell, *reads(device))
    change = set_clock(device.meter, NOON)
    assert device.writes == [struct.pack("<IHH", NOON_S, 5, 60)]
    assert change.new_time == NOON
    assert change.after is not None
    assert change.after.device == NOON


def test_a_lost_answer_of_a_clock_that_was_set_is_enough() -> None:
    """The moving clock tells: it stands where it was set, and some seconds on."""
    device = ClockedDevice(ahead_s=-5000)
    start = began(device)
    device.play(*reads(device), value(CONTROL), device.set(lost), device.tell, *reads(device))
    set_clock(device.meter, NOON)
    assert len(device.writes) == 1
    assert is_right(device, NOON, start)


def test_a_lost_command_is_given_again_with_the_time_of_then() -> None:
    device = ClockedDevice(ahead_s=-5000)
    start = began(device)
    device.play(
        *reads(device), value(CONTROL), lost, device.tell, device.set(), device.tell, *reads(device)
    )  # fmt: skip
    set_clock(device.meter, NOON)
    first, second = device.times_sent
    assert first == NOON
    assert second - first >= timedelta(seconds=2)  # what it took to give the first one up
    assert is_right(device, NOON, start)


def test_a_clock_that_was_set_late_is_set_again() -> None:
    """The command ran, and its time was no longer right when it did."""
    device = ClockedDevice()
    start = began(device)
    device.play(
        *reads(device),
        value(CONTROL),
        device.set(lost, late_s=8),
        device.tell,
        device.set(),
        device.tell,
        *reads(device),
    )
    sync_clock(device.meter)
    assert len(device.writes) == 2
    assert is_right(device, start, start)


def test_a_clock_that_never_takes_it_is_given_up() -> None:
    device = ClockedDevice(ahead_s=-5000)
    device.play(*reads(device), value(CONTROL), *[lost, device.tell] * CHANGE_TRIES)
    with pytest.raises(OutcomeUnknownError):
        set_clock(device.meter, NOON)
    assert len(device.writes) == CHANGE_TRIES


def test_a_device_that_takes_the_time_and_keeps_its_own() -> None:
    device = ClockedDevice(ahead_s=-5000)
    device.play(*reads(device), value(CONTROL), *[done, device.tell] * CHANGE_TRIES)
    with pytest.raises(ReadBackError, match="does not go on from there"):
        set_clock(device.meter, NOON)


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_line_that_breaks_before_the_clock_is_read_back(is_lost: bool) -> None:
    device = ClockedDevice()
    answer = lost if is_lost else done
    device.play(*reads(device), value(CONTROL), device.set(answer), dead)
    with pytest.raises(OutcomeUnknownError if is_lost else LostError):
        set_clock(device.meter, NOON)


def test_nothing_is_sent_where_the_caller_says_no() -> None:
    class NoError(Exception):
        pass

    def check(before: ClockReading, new_time: datetime) -> None:
        assert (before.difference_s, new_time) == (7, NOON)
        raise NoError

    device = ClockedDevice(ahead_s=7)
    device.play(*reads(device))
    with pytest.raises(NoError):
        set_clock(device.meter, NOON, check=check)
    assert device.writes == []
