"""How a meter is given an image: how much at once, what is told of it, and how a refusal ends."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.device.between import CATALOGUE, Attack, Between, honest
from tests.device.scripted import done, play_meter, refused, value
from tests.images.packages import LABEL, built, product, signed
from tests.virtual.parties import role_key
from tests.virtual.uploads import PROVIDER, knowing, package, with_mac
from umi_cli import crypto
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.packet import ENVELOPE_BYTES, Message
from umi_cli.certificates.authorisation import TargetRange
from umi_cli.device.image_upload import (
    DEFAULT_BLOCK_BYTES,
    OVERHEAD_BYTES,
    Running,
    UploadResult,
    first_block_bytes,
    fitting_block_bytes,
    look_after,
    read_running,
    upload,
)
from umi_cli.device.meter import Meter
from umi_cli.device.protection import Unprotected
from umi_cli.device.session import Session
from umi_cli.errors import (
    ImageError,
    LostError,
    OutcomeUnknownError,
    RefusedError,
    UmiError,
    WrongTargetError,
)
from umi_cli.images.header import Version
from umi_cli.images.parts import find_part
from umi_cli.images.upload import MIN_BLOCK_BYTES, Transfer, UploadState
from umi_cli.link.fragment import MAX_FRAGMENT_BYTES, split
from umi_cli.transports.memory import MemoryTransport
from umi_cli.types import Role, UmiId
from umi_cli.virtual.delivered import VIRTUAL_METER_ID
from umi_cli.virtual.updates import UpdateSettings

BEFORE, AFTER = Version(1, 4, 2), Version(1, 5, 0)
PACKAGE = with_mac(str(AFTER))
END = PacketType.IMAGE_END


def transfer_of(content: bytes, **options: Any) -> Transfer:
    return Transfer(
        file=io.BytesIO(content),
        length_bytes=len(content),
        sha256=crypto.sha256(content),
        request=lambda _: None,
        **options,
    )


class Desk:
    """A meter that takes images, and a client of it.

    Args:
        attack: what the one on the line does.
        settings: of the meter.
    """

    def __init__(self, attack: Attack = honest, **settings: Any) -> None:
        given: dict[str, Any] = {"guest_role": PROVIDER} | settings
        self.line = Between(knowing(), attack, **given)
        self.meter = self.line.client(Unprotected())
        self.result = UploadResult(before=Running())

    def send(self, content: bytes = PACKAGE, **options: Any) -> None:
        given: dict[str, Any] = {"version": AFTER, "block_bytes": 100, "state": None}
        upload(self.meter, transfer_of(content), result=self.result, **(given | options))

    @property
    def runs(self) -> Version:
        return self.line.meter.updates.running.version


def message_of(packet: bytes) -> Message:
    return Message.decode(packet[ENVELOPE_BYTES:])


class AnswersLost:
    """Loses what is answered to a command of one kind, so many times.

    Args:
        kind: of the command.
        times: how often; the client asks three times before it counts an answer as lost.
        arrives: whether the meter gets the command.
    """

    def __init__(self, kind: PacketType, times: int, *, arrives: bool = True) -> None:
        self._kind, self._left, self._arrives = kind, times, arrives

    def __call__(self, packet: bytes, forward: Callable[[bytes], bytes | None]) -> bytes | None:
        if message_of(packet).packet_type != self._kind or not self._left:
            return forward(packet)
        self._left -= 1
        if self._arrives:
            forward(packet)
        return None


# How much at once


def test_a_fitting_block_fills_its_fragments_and_is_never_longer() -> None:
    for limit in (*range(MIN_BLOCK_BYTES, 1200), 16_384, 65_000):
        fitting = fitting_block_bytes(limit)
        assert 0 < fitting <= limit
        if limit + OVERHEAD_BYTES >= MAX_FRAGMENT_BYTES:
            assert (fitting + OVERHEAD_BYTES) % MAX_FRAGMENT_BYTES == 0
            assert limit - fitting < MAX_FRAGMENT_BYTES
        else:
            assert fitting == limit


def test_a_fitting_block_makes_full_frames_of_an_encrypted_packet() -> None:
    """Envelope, header, number, record and tag stand beside the block."""
    packet = bytes(21 + 11 + 4 + fitting_block_bytes(1000) + 2 + crypto.TAG_BYTES)
    assert [len(payload) - 4 for payload in split(packet)] == [MAX_FRAGMENT_BYTES] * 4


class SlowTransport(MemoryTransport):
    """A line that bears no more than so many bytes at once."""

    chunk_bytes = 500


@pytest.mark.parametrize(
    ("learned", "limit"), [(None, DEFAULT_BLOCK_BYTES), (1000, 1000), (65_000, 65_000), (16, 16)]
)
def test_the_first_block_is_what_the_model_takes(learned: int | None, limit: int) -> None:
    assert first_block_bytes(Desk().meter, learned) == fitting_block_bytes(limit)


@pytest.mark.parametrize(("learned", "limit"), [(None, 500), (1000, 500), (400, 400)])
def test_the_first_block_is_no_more_than_the_line_bears(learned: int | None, limit: int) -> None:
    line = Desk().line
    transport = SlowTransport(line, clock=line.clock)
    meter = Meter(transport, Session(transport), CATALOGUE)
    assert first_block_bytes(meter, learned) == fitting_block_bytes(limit)


def test_a_meter_that_takes_less_is_learned_from() -> None:
    desk = Desk(updates=UpdateSettings(max_block_bytes=30))
    desk.send()
    assert desk.result.course.block_bytes == 25
    assert first_block_bytes(desk.meter, 25) == 25
    assert desk.runs == AFTER


# What a meter is and runs


def test_what_a_meter_is_and_runs() -> None:
    assert read_running(Desk().meter) == Running(model="EISGMv0", version=BEFORE, slot=0)


def test_a_meter_that_does_not_say_what_it_is() -> None:
    _, meter = play_meter(refused(ResultCode.ACCESS_DENIED), refused(ResultCode.UNKNOWN_OBJECT))
    assert read_running(meter) == Running()
    _, meter = play_meter(value(b"EISGMv0\0"), refused(ResultCode.UNKNOWN_OBJECT))
    assert read_running(meter) == Running(model="EISGMv0")


def test_a_meter_that_says_what_it_runs_alone() -> None:
    raw = Desk().meter.read("active-software-version").raw
    _, meter = play_meter(refused(ResultCode.ACCESS_DENIED), value(raw))
    assert read_running(meter) == Running(version=BEFORE, slot=0)


# Accepted, activated, running: three facts


def test_an_image_is_accepted_activated_and_runs() -> None:
    desk = Desk()
    desk.send()
    look_after(desk.meter, desk.result, AFTER)
    assert (desk.result.is_accepted, desk.result.is_activated) == (True, True)
    assert desk.result.after == Running(model="EISGMv0", version=AFTER, slot=1)
    assert desk.runs == AFTER


def test_an_image_that_is_activated_later_is_accepted_now() -> None:
    desk = Desk(updates=UpdateSettings(activate_after_s=30))
    desk.send()
    began = desk.line.clock.monotonic()
    look_after(desk.meter, desk.result, AFTER)
    assert desk.line.clock.monotonic() == began
    assert (desk.result.is_accepted, desk.result.is_activated) == (True, False)
    assert desk.result.after.version == BEFORE


@pytest.mark.parametrize(("wait_s", "runs"), [(20.0, False), (30.0, True), (1000.0, True)])
def test_whoever_waits_sees_it_run(wait_s: float, runs: bool) -> None:
    desk = Desk(updates=UpdateSettings(activate_after_s=30))
    desk.send()
    began = desk.line.clock.monotonic()
    look_after(desk.meter, desk.result, AFTER, wait_s=wait_s)
    assert (desk.result.after.version == AFTER) is runs
    assert desk.result.is_activated is runs
    assert desk.result.is_accepted
    assert desk.line.clock.monotonic() - began <= min(wait_s, 32.0)


def test_a_meter_that_is_lost_while_it_is_waited_for() -> None:
    desk = Desk(updates=UpdateSettings(activate_after_s=30))
    desk.send()
    desk.line.is_hung_up = True
    with pytest.raises(LostError):
        look_after(desk.meter, desk.result, AFTER, wait_s=60)
    assert desk.result.is_accepted


def test_a_log_without_an_upgrade_tells_nothing_of_one() -> None:
    desk = Desk()
    look_after(desk.meter, desk.result, AFTER)
    assert desk.result.is_activated is None
    desk.line.memory.events.add(2, desk.line.meter.metering.now_s + 1, b"")
    look_after(desk.meter, desk.result, AFTER)
    assert desk.result.is_activated is False


def test_a_meter_without_a_log() -> None:
    raw = Desk().meter.read("active-software-version").raw
    no = refused(ResultCode.ACCESS_DENIED)
    _, meter = play_meter(no, value(raw), no)
    result = UploadResult(before=Running())
    look_after(meter, result, AFTER)
    assert result.is_activated is None
    status = Desk().meter.read("event-status/entries").raw
    _, meter = play_meter(no, value(raw), value(status), no)
    look_after(meter, result, AFTER)
    assert result.is_activated is None
    _, meter = play_meter(no, value(raw), value(bytes(2)))
    look_after(meter, result, AFTER)
    assert result.is_activated is None


def test_what_is_to_be_done_before_the_end_is_done_when_the_meter_has_it_all() -> None:
    desk = Desk()
    kinds: list[int | None] = []
    desk.send(before_end=lambda: kinds.extend(desk.line.types))
    assert kinds[0] == PacketType.IMAGE_START
    assert kinds.count(PacketType.IMAGE_DATA) == -(-len(PACKAGE) // 100)
    assert END not in kinds
    assert desk.line.types == [*kinds, END]


# What is lost


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("kind", [PacketType.IMAGE_START, PacketType.IMAGE_DATA])
def test_a_block_or_start_whose_answer_is_lost_is_sent_again(
    kind: PacketType, arrives: bool
) -> None:
    desk = Desk(AnswersLost(kind, 3, arrives=arrives))
    desk.send()
    assert (desk.result.is_accepted, desk.result.course.repeats) == (True, 1)
    assert desk.runs == AFTER


def test_an_end_that_never_arrived_is_sent_again() -> None:
    desk = Desk(AnswersLost(END, 3, arrives=False))
    desk.send()
    assert desk.result.is_accepted
    assert desk.runs == AFTER


def test_an_end_whose_answer_was_lost_is_told_by_what_runs() -> None:
    desk = Desk(AnswersLost(END, 3))
    desk.send()
    assert (desk.result.is_accepted, desk.result.is_activated) == (True, True)
    assert desk.result.after.version == AFTER


def test_an_end_whose_answer_was_lost_is_no_success_while_the_old_version_runs() -> None:
    """It waits to be run, but nobody has said so; who waits for it sees it."""
    later = UpdateSettings(activate_after_s=30)
    desk = Desk(AnswersLost(END, 3), updates=later)
    with pytest.raises(OutcomeUnknownError, match="unknown whether the device took") as caught:
        desk.send()
    assert desk.result.is_accepted is None
    assert caught.value.hint
    desk = Desk(AnswersLost(END, 3), updates=later)
    desk.send(wait_s=60)
    assert desk.result.is_accepted
    assert desk.runs == AFTER


def test_an_end_that_was_refused_unheard_is_no_success() -> None:
    bad = with_mac(str(BEFORE))
    desk = Desk(AnswersLost(END, 3))
    with pytest.raises(OutcomeUnknownError):
        desk.send(bad, version=Version(1, 4, 9))
    assert desk.result.is_accepted is None
    assert desk.runs == BEFORE


def test_an_upload_goes_on_from_what_was_kept() -> None:
    kept: list[UploadState] = []
    desk = Desk(AnswersLost(PacketType.IMAGE_DATA, 1000, arrives=True))
    with pytest.raises(LostError):
        upload(
            desk.meter,
            transfer_of(PACKAGE, keep=kept.append),
            version=AFTER,
            block_bytes=50,
            state=None,
            result=desk.result,
        )
    assert kept == [UploadState(block_bytes=50)]
    desk.line.attack = honest
    again = UploadResult(before=Running())
    upload(
        desk.line.client(Unprotected()),
        transfer_of(PACKAGE),
        version=AFTER,
        block_bytes=100,
        state=kept[-1],
        result=again,
    )
    assert (again.course.starts, again.course.resumed_at, again.is_accepted) == (0, 0, True)
    assert desk.runs == AFTER


# What is refused

STRANGERS = TargetRange(lowest=UmiId(5), highest=UmiId(9))
REFUSALS: dict[str, tuple[bytes, type[UmiError], int]] = {
    "not signed": (package(), ImageError, 40),
    "damaged": (PACKAGE[:-1] + b"?", ImageError, 40),
    "no newer": (with_mac(str(BEFORE)), ImageError, 40),
    "for others": (with_mac(targets=STRANGERS), WrongTargetError, 41),
    "of another model": (with_mac(model="EISGMv1"), WrongTargetError, 41),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_an_image_that_the_meter_refuses(name: str) -> None:
    content, kind, exit_code = REFUSALS[name]
    desk = Desk()
    with pytest.raises(kind, match="the device refused IMAGE_END") as caught:
        desk.send(content)
    assert caught.value.exit_code == exit_code
    assert caught.value.hint
    assert desk.result.is_accepted is False
    assert desk.runs == BEFORE
    look_after(desk.meter, desk.result, AFTER)
    assert (desk.result.is_accepted, desk.result.is_activated) == (False, False)


@pytest.mark.parametrize("code", [ResultCode.UNKNOWN_TRANSPORT_KEY_ID, 250])
def test_another_refusal_keeps_its_own_name(code: int) -> None:
    _, meter = play_meter(done, done, refused(code))
    result = UploadResult(before=Running())
    with pytest.raises(RefusedError) as caught:
        upload(
            meter,
            transfer_of(b"a package"),
            version=AFTER,
            block_bytes=100,
            state=None,
            result=result,
        )
    assert (caught.value.number, caught.value.exit_code) == (code, 30)
    assert result.is_accepted is False


def test_who_may_not_upload() -> None:
    desk = Desk(guest_role=Role.USER)
    with pytest.raises(RefusedError) as caught:
        desk.send()
    assert (caught.value.exit_code, desk.result.is_accepted) == (23, None)


# A product


def test_the_part_of_a_product_for_a_peripheral_is_what_is_sent() -> None:
    valve = replace(LABEL, model="VALVE", targets=STRANGERS)
    other = signed(built(b"of a valve", valve), role_key(PROVIDER), PROVIDER)
    whole = signed(product(other, PACKAGE), role_key(PROVIDER), PROVIDER)
    part, header = find_part(io.BytesIO(whole), VIRTUAL_METER_ID)
    content = part.read()
    assert content == PACKAGE
    part.seek(0)
    desk = Desk()
    transfer = replace(transfer_of(content), file=part)
    upload(
        desk.meter,
        transfer,
        version=header.label.version,
        block_bytes=100,
        state=None,
        result=desk.result,
    )
    assert desk.runs == AFTER
