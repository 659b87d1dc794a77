"""A meter that plays tricks: a new one in each scenario, before a witness."""

from typing import Any, Literal

import pytest

from umi_cli.application.commands import ReadObject
from umi_cli.application.packet import Message
from umi_cli.device.session import Session
from umi_cli.errors import InputError
from umi_cli.link.frame import Frame, FrameType
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.types import UmiCode, UmiId
from umi_cli.virtual.examiner import Examiner
from umi_cli.virtual.setup import SimOptions
from umi_cli.virtual.tricks import TRICKS
from umi_cli.virtual.tricks.base import Means, Trick
from umi_cli.virtual.tricks.link import ResponseLost, Slow

CODE = UmiCode.parse("umi.1.1.0.0")


class Notes:
    """A witness that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def passed(self, line: int, way: Literal["in", "out"], data: bytes, at_s: float) -> None:
        self.told.append((way, line, FrameType(Frame.decode(data).frame_type)))

    def opened(self, packet: bytes, message: Message) -> None:
        self.told.append(("opened", message))

    def struck(self, at_s: float) -> None:
        self.told.append(("struck",))

    def hung_up(self, line: int, at_s: float) -> None:
        self.told.append(("hung up", line))


def examiner() -> Examiner:
    return Examiner(SimOptions(), lambda: 1.8e9)


def read_once(stage: Examiner) -> None:
    transport = MemoryTransport(stage.new_line("reader"), clock=SimulatedClock(1.8e9))
    Session(transport).request(ReadObject(code=CODE))
    transport.close()


def test_a_witness_is_told_in_order() -> None:
    stage, notes = examiner(), Notes()
    stage.begin(ResponseLost(Means()), notes)
    read_once(stage)
    assert notes.told == [
        ("in", 1, FrameType.RESYNC),
        ("out", 1, FrameType.RESYNC_RESPONSE),
        ("in", 1, FrameType.SIMPLE),
        ("struck",),
        ("in", 1, FrameType.SIMPLE),
        ("out", 1, FrameType.SIMPLE_RESPONSE),
        ("hung up", 1),
    ]


def test_what_is_late_passes_when_it_is_due() -> None:
    stage, notes = examiner(), Notes()
    stage.begin(Slow(Means(timeout_s=1.0)), notes)
    line = stage.new_line("reader")
    transport = MemoryTransport(line, clock=(clock := SimulatedClock(1.8e9)))
    begun_s = clock.monotonic()
    Session(transport, timeout_s=1.0).request(ReadObject(code=CODE))
    assert clock.monotonic() - begun_s == pytest.approx(0.6)
    assert notes.told[-1] == ("out", 1, FrameType.SIMPLE_RESPONSE)


def test_every_scenario_has_a_meter_of_its_own() -> None:
    stage, notes = examiner(), Notes()
    meters = [stage.begin(Trick(Means()), notes) for _ in range(2)]
    assert meters[0].memory is not meters[1].memory
    for _ in range(2):
        read_once(stage)
    assert [each for each in notes.told if each[0] == "hung up"] == [("hung up", 1), ("hung up", 2)]
    assert ("struck",) not in notes.told


def test_events_of_any_meter_are_told_at_one_place() -> None:
    stage, heard = examiner(), []
    stage.events.subscribers.append(lambda number, now_s: heard.append((number, now_s)))
    for number in (5, 6):
        stage.begin(Trick(Means()), Notes()).memory.events.add(number, 7)
    assert heard == [(5, 7), (6, 7)]


def test_the_meter_is_who_the_options_say() -> None:
    umi_id = UmiId(0x1234)
    stage = Examiner(SimOptions(umi_id=umi_id), lambda: 1.8e9)
    assert stage.begin(Trick(Means()), Notes()).memory.umi_id == umi_id


def test_before_the_first_scenario_nobody_is_served() -> None:
    with pytest.raises(InputError):
        examiner().new_line("reader")


def test_no_scenario_is_played_on_an_optical_port() -> None:
    with pytest.raises(InputError):
        examiner().new_optical_port("probe")


def test_every_trick_has_a_name_and_says_what_it_does() -> None:
    assert all(name == each.NAME and each.TITLE for name, each in TRICKS.items())


def test_a_certificate_needs_its_authority() -> None:
    trick = TRICKS["certificate-expired"](Means())
    with pytest.raises(ValueError, match="authority"):
        _ = trick.issuer  # type: ignore[attr-defined]
