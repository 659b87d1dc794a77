"""What one screen says of a device, and what it says of a device that does not tell all."""

from datetime import UTC, datetime

import pytest

import umi_cli
from tests.device.scripted import START_UNIX_S, Reaction, Request, dead, play_meter, refused, value
from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import ReadObject
from umi_cli.device.info import SECTIONS, Info, read_info
from umi_cli.device.meter import Meter
from umi_cli.device.session import Session
from umi_cli.errors import NoAnswerError, UmiError
from umi_cli.objects.catalogue import Catalogue
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.types import EPOCH_UNIX_S, UmiId
from umi_cli.virtual.line import MeterLine
from umi_cli.virtual.setup import SimOptions, Simulation

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def info_of(address: str) -> Info:
    with umi_cli.connect(address) as meter:
        return read_info(meter)


def test_everything_that_the_virtual_meter_says() -> None:
    found = info_of("sim:?time=2026-11-22T10:00:00Z")
    assert found.device_id == UmiId(0x0023_7EFE_0000_0001)
    assert set(found.objects) == set(SECTIONS)
    assert found.refused == {}
    assert found.addresses == (5, 0)
    identity = found.objects["identity"]
    assert isinstance(identity, dict)
    assert identity["serial"] == "31733978"
    assert found.host_time == NOW
    assert found.clock_difference_s == 0


def test_what_a_device_refuses_is_no_error() -> None:
    # The identity is refused, and with it everything else.
    codes = [ResultCode.ACCESS_DENIED, ResultCode.UNKNOWN_OBJECT, ResultCode.UNAVAILABLE]
    device, meter = play_meter(*[refused(code) for code in codes], *[refused(77)] * 4)
    found = read_info(meter)
    assert device.script == []
    assert (found.device_id, found.objects, found.clock_difference_s) == (None, {}, None)
    assert {name: error.number for name, error in found.refused.items()} == {
        "identity": ResultCode.UNKNOWN_OBJECT,
        "software": ResultCode.UNAVAILABLE,
        "clock": 77,
        "profile": 77,
        "events": 77,
        "life_cycle": 77,
    }


def test_an_id_that_is_refused_for_another_reason_is_no_error_either() -> None:
    _, meter = play_meter(*[refused(ResultCode.NOT_IMPLEMENTED)] * 7)
    found = read_info(meter)
    assert found.device_id is None
    assert found.refused["device"].number == ResultCode.NOT_IMPLEMENTED


def test_a_device_that_does_not_answer_is_one() -> None:
    device, meter = play_meter()
    device.is_silent = device.is_dead = True
    with pytest.raises(NoAnswerError):
        read_info(meter)
    _, meter = play_meter(value(bytes(8)), dead)
    with pytest.raises(UmiError) as caught:
        read_info(meter)
    assert caught.value.exit_code == 17


def clock_answer(request: Request) -> Reaction:
    now = int(START_UNIX_S) - EPOCH_UNIX_S + 90
    return value(now.to_bytes(4, "little") + bytes(8))(request)


def answer(request: Request) -> Reaction:
    if request.command == ReadObject(code=Catalogue.load("ei4").resolve("metrology-clock").code):
        return clock_answer(request)
    return refused(ResultCode.ACCESS_DENIED)(request)


def test_a_clock_that_is_ahead() -> None:
    _, meter = play_meter(*[answer] * 7)
    assert read_info(meter).clock_difference_s == 90


def test_a_clock_that_is_not_set_has_no_difference() -> None:
    _, meter = play_meter(
        *[refused(ResultCode.ACCESS_DENIED)] * 3, value(bytes(12)), *[refused(9)] * 3
    )
    found = read_info(meter)
    assert found.objects["clock"] == {
        "now": None,
        "last_sync": None,
        "local_adjust": 0,
        "status": 0,
    }
    assert found.clock_difference_s is None


class SlowLine:
    """A line on which everything takes ten seconds: 300 baud, and then some."""

    def __init__(self, line: MeterLine, clock: SimulatedClock) -> None:
        self._line, self._clock = line, clock
        self.is_hung_up = False
        self.deadline: float | None = None

    def receive_data(self, data: bytes, now: float, utc: float) -> None:
        self._line.receive_data(data, now, utc)
        self._clock.skip_to(now + 10)

    def on_timer(self, now: float, utc: float) -> None:
        raise AssertionError("it has no deadline")

    def data_to_send(self) -> list[bytes]:
        return self._line.data_to_send()

    def close(self) -> None:
        self._line.close()


def test_the_clock_is_compared_with_the_time_at_which_it_was_read() -> None:
    clock = SimulatedClock(START_UNIX_S)
    line = Simulation(SimOptions(), START_UNIX_S).new_line("line")
    transport = MemoryTransport(SlowLine(line, clock), clock=clock)
    with Meter(transport, Session(transport, timeout_s=60), Catalogue.load("ei4")) as meter:
        found = read_info(meter)
    assert found.clock_difference_s == -10, "one answer was under way, not those after it too"
    assert found.refused == {}


def test_what_a_datasheet_does_not_have_is_not_asked_for(tmp_path: object) -> None:
    with umi_cli.connect("sim", datasheet="virtual") as meter:
        found = read_info(meter)
    assert set(found.objects) == {"life_cycle"}
    assert found.refused == {}
