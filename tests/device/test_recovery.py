"""What is repeated and what is not, when an answer is lost or deferred (protocol 2.3, 3.2)."""

from collections.abc import Callable

import pytest

from tests.device.scripted import (
    DeafToResync,
    Reaction,
    Request,
    ScriptedDevice,
    Step,
    dead,
    done,
    error,
    hang_up,
    link_error,
    lost,
    play,
    play_meter,
    raw,
    refused,
    reply,
    session_with,
    value,
    wait,
)
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import (
    Complete,
    GetObjectAccess,
    GetObjectAccessReply,
    ReadObject,
    SetObjectReadAccess,
    SetObjectWriteAccess,
    TunnelData,
    Wait,
    WriteObject,
)
from umi_cli.device.meter import CHANGE_TRIES
from umi_cli.device.session import MAX_WAITS, RECOVERIES
from umi_cli.errors import (
    LinkError,
    LostError,
    MalformedError,
    OutcomeUnknownError,
    RefusedError,
)
from umi_cli.link.frame import LinkErrorCode
from umi_cli.types import RoleSet, UmiCode

COUNTER = UmiCode.parse("umi.255.0.0.65")
READ = ReadObject(code=COUNTER)
WRITE = WriteObject(code=COUNTER, value=b"\x05\x00\x00\x00")
BUSY_TRIES = 25  # 5 s in all
OLD, NEW = value(b"\x04\x00\x00\x00"), value(b"\x05\x00\x00\x00")


# Reads


@pytest.mark.parametrize("losses", range(1, RECOVERIES + 1))
def test_a_read_whose_answer_is_lost_is_given_again_after_a_resync(losses: int) -> None:
    device, session = play(*[lost] * losses, NEW)
    assert session.request(READ).value == b"\x05\x00\x00\x00"
    assert device.commands == [READ] * (losses + 1)
    assert device.resyncs == losses + 1
    numbers = [each.message.transaction for each in device.requests]
    assert numbers == list(range(losses + 1)), "each is a command of its own"


def test_a_read_is_not_given_again_for_ever() -> None:
    device, session = play(*[lost] * (RECOVERIES + 1))
    with pytest.raises(LinkError, match="not this command"):
        session.request(READ)
    assert device.script == []


def test_a_line_that_is_gone_is_gone() -> None:
    device, session = play(hang_up)
    with pytest.raises(LostError, match="sim has hung up") as caught:
        session.request(READ)
    assert caught.value.exit_code == 17
    assert len(device.requests) == 1


# Writes through the session: one word for what may have run


@pytest.mark.parametrize("command", [WRITE, TunnelData(data=b"once")])
def test_a_change_whose_answer_is_lost_is_never_given_again(command: WriteObject) -> None:
    device, session = play(lost)
    with pytest.raises(OutcomeUnknownError, match="was sent and its answer was lost") as caught:
        session.request(command)
    assert caught.value.exit_code == 17
    assert device.commands == [command]


def test_a_change_that_never_went_out_is_given_again() -> None:
    device = DeafToResync([*[NEW] * 15, done])
    session = session_with(device)
    for _ in range(15):
        session.request(READ)
    session.request(WRITE)
    assert device.missed == 3
    assert device.commands == [READ] * 15 + [WRITE]


def test_a_long_write_that_broke_off_half_way_did_not_run() -> None:
    class LosesAFragment(ScriptedDevice):
        is_deaf = False
        fragments = 0

        def receive_data(self, data: bytes, now: float, utc: float) -> None:
            self.fragments += data[1] == 2
            if data[1] == 4:
                self.is_deaf = False
            elif self.fragments == 2:
                self.is_deaf = True  # to the second fragment and its repeats
            if not self.is_deaf:
                super().receive_data(data, now, utc)

    command = WriteObject(code=COUNTER, value=bytes(700))
    device = LosesAFragment([done])
    session_with(device).request(command)
    assert device.commands == [command], "the half of it that came was thrown away"
    assert device.resyncs == 2


# Writes through the meter: read back, and written again only if they did not run


def test_a_lost_write_that_ran_is_found_by_reading_back() -> None:
    device, meter = play_meter(lost, NEW)
    assert meter.write("counter", 5).value == 5
    assert device.commands == [WRITE, READ]


def test_a_lost_write_that_did_not_run_is_written_again() -> None:
    device, meter = play_meter(lost, OLD, done)
    assert meter.write("counter", 5).value == 5
    assert device.commands == [WRITE, READ, WRITE]


def test_a_write_is_given_up_after_three_tries() -> None:
    device, meter = play_meter(*[lost, OLD] * CHANGE_TRIES)
    with pytest.raises(OutcomeUnknownError):
        meter.write("counter", 5)
    assert device.commands == [WRITE, READ] * CHANGE_TRIES


@pytest.mark.parametrize(
    "read_back",
    [[refused(ResultCode.ACCESS_DENIED)], [dead], [hang_up], [value(b"\x05")]],
    ids=["denied", "silence", "hang up", "of another length"],
)
def test_a_lost_write_that_cannot_be_read_back_is_in_doubt(read_back: list[Step]) -> None:
    device, meter = play_meter(lost, *read_back)
    with pytest.raises(
        OutcomeUnknownError, match=r"WRITE_OBJECT.*unknown whether it ran"
    ) as caught:
        meter.write("counter", 5)
    assert caught.value.exit_code == 17
    assert device.commands == [WRITE, READ]


def test_lost_access_changes_are_read_back() -> None:
    old, new = RoleSet(1), RoleSet(3)

    def access(read: RoleSet, write: RoleSet) -> Step:
        return reply(GetObjectAccessReply(code=COUNTER, read_roles=read, write_roles=write))

    device, meter = play_meter(
        lost, access(old, old), done, lost, access(new, old), done, lost, access(new, new)
    )
    meter.set_access("counter", read=new, write=new)
    meter.set_access("counter", write=new)
    assert device.commands == [
        SetObjectReadAccess(code=COUNTER, roles=new),
        GetObjectAccess(code=COUNTER),
        SetObjectReadAccess(code=COUNTER, roles=new),
        SetObjectWriteAccess(code=COUNTER, roles=new),
        GetObjectAccess(code=COUNTER),
        SetObjectWriteAccess(code=COUNTER, roles=new),
        SetObjectWriteAccess(code=COUNTER, roles=new),
        GetObjectAccess(code=COUNTER),
    ]


# WAIT and COMPLETE


@pytest.mark.parametrize("command", [READ, WRITE])
def test_a_deferred_answer_is_waited_for_and_asked_for(command: ReadObject) -> None:
    of_command: list[Request] = []

    def first(request: Request) -> Reaction:
        of_command.append(request)
        return wait(1500)(request)

    def last(request: Request) -> Reaction:
        answer = NEW if command is READ else done
        return answer(Request(request.envelope, request.message, of_command[0].command))

    device, session = play(first, wait(500), last)
    session.request(command)
    assert device.commands == [command, Complete(), Complete()]
    assert {each.message.transaction for each in device.requests} == {0}
    begin, *later = device.times
    assert [time - begin for time in later] == pytest.approx([1.5, 2.0])


def test_a_wait_of_nothing_is_none() -> None:
    device, session = play(wait(0), wait(0), error(ResultCode.APPLICATION_ERROR))
    with pytest.raises(OutcomeUnknownError):
        session.request(WRITE)
    assert len(set(device.times)) == 1


def test_a_device_that_defers_a_read_for_ever_is_given_up() -> None:
    device, session = play(*[wait(10)] * (MAX_WAITS + 1))
    with pytest.raises(LinkError, match=f"deferred READ_OBJECT {COUNTER} {MAX_WAITS} times"):
        session.request(READ)
    assert device.script == []


def test_a_device_that_defers_a_write_for_ever_leaves_it_in_doubt() -> None:
    device, session = play(*[wait(10)] * (MAX_WAITS + 1))
    with pytest.raises(OutcomeUnknownError, match=f"deferred .* {MAX_WAITS} times"):
        session.request(WRITE)
    assert device.script == []


def test_a_refusal_that_was_deferred_is_a_refusal() -> None:
    denied = reply(result=ResultCode.ACCESS_DENIED, kind=PacketType.WRITE_OBJECT_RESPONSE)
    _, session = play(wait(10), denied)
    with pytest.raises(RefusedError, match=r"refused WRITE_OBJECT .*ACCESS_DENIED") as caught:
        session.request(WRITE)
    assert caught.value.exit_code == 23


@pytest.mark.parametrize("form", [refused, error], ids=["as WAIT", "as ERROR"])
def test_a_device_that_forgot_what_it_deferred_may_have_run_it(form: Callable[[int], Step]) -> None:
    forgot: Step = form(ResultCode.DEFER_ERROR)
    device, session = play(wait(10), forgot)
    with pytest.raises(OutcomeUnknownError, match=r"COMPLETE: DEFER_ERROR \(21\)"):
        session.request(WRITE)
    assert device.commands == [WRITE, Complete()]
    device, session = play(wait(10), forgot, NEW)
    assert session.request(READ).value == b"\x05\x00\x00\x00"
    assert device.commands == [READ, Complete(), READ]


def test_a_read_that_is_forgotten_every_time_is_refused() -> None:
    device, session = play(*[wait(10), refused(ResultCode.DEFER_ERROR)] * (RECOVERIES + 1))
    with pytest.raises(RefusedError, match=r"DEFER_ERROR \(21\)"):
        session.request(READ)
    assert device.script == []


@pytest.mark.parametrize(
    "end",
    [
        [lost],
        [dead],
        [hang_up],
        [link_error(LinkErrorCode.BUSY)] * BUSY_TRIES,
        [link_error(LinkErrorCode.UNKNOWN_FRAME_TYPE)],
        [reply(transaction=1)],
        [reply(b"\x01", kind=PacketType.WAIT)],
        [raw(b"\xff" * 10)],
    ],
    ids=["lost", "dead", "hang up", "busy", "link error", "transaction", "no WAIT", "noise"],
)
def test_a_deferred_write_that_goes_wrong_is_in_doubt_and_never_given_again(
    end: list[Step],
) -> None:
    device, session = play(wait(10), *end)
    with pytest.raises(OutcomeUnknownError):
        session.request(WRITE)
    assert device.commands.count(WRITE) == 1


def test_a_line_lost_while_waiting_leaves_a_write_in_doubt() -> None:
    class HangsUp(ScriptedDevice):
        @property
        def deadline(self) -> float | None:
            return self.times[0] + 1.0 if self.times else super().deadline

        def on_timer(self, now: float, utc: float) -> None:
            self.is_hung_up = True

    device = HangsUp([wait(5000)])
    with pytest.raises(OutcomeUnknownError, match="has hung up"):
        session_with(device).request(WRITE)
    assert device.commands == [WRITE]


def test_a_deferred_write_is_never_given_again_when_complete_cannot_even_be_sent() -> None:
    """COMPLETE needs a RESYNC at the end of the sequences, and that is what fails."""
    device = DeafToResync([*[NEW] * 14, wait(10), done])
    session = session_with(device)
    for _ in range(14):
        session.request(READ)
    with pytest.raises(OutcomeUnknownError):
        session.request(WRITE)
    assert device.commands.count(WRITE) == 1


def test_noise_while_waiting_is_passed_over() -> None:
    def noisy(request: Request) -> Reaction:
        device.outbox.append(b"\x55" * 9)
        return wait(1000)(request)

    last = reply(kind=PacketType.WRITE_OBJECT_RESPONSE)
    device = ScriptedDevice([noisy, last])
    session_with(device).request(WRITE)
    assert device.commands == [WRITE, Complete()]


def test_a_wait_that_cannot_be_parsed_is_malformed_for_a_read() -> None:
    _, session = play(*[reply(b"", kind=PacketType.WAIT)] * (RECOVERIES + 1))
    with pytest.raises(MalformedError):
        session.request(READ)


def test_the_longest_wait_is_what_its_field_holds() -> None:
    device, session = play(wait(0xFFFF), *[reply(Wait(wait_ms=1)), hang_up])
    with pytest.raises(OutcomeUnknownError):
        session.request(WRITE)
    assert device.times[1] - device.times[0] == pytest.approx(65.535)
