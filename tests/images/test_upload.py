"""The pure uploader against a device function: order, lengths, what is lost, what is forgotten."""

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli import crypto
from umi_cli.application.codes import ResultCode, refusal
from umi_cli.application.commands import (
    ImageData,
    ImageDataReply,
    ImageEnd,
    ImageEndReply,
    ImageStart,
    ImageStartReply,
)
from umi_cli.application.payload import Command, Payload
from umi_cli.errors import (
    AccessDeniedError,
    ImageInvalidError,
    LostError,
    OutcomeUnknownError,
    PacketTooLargeError,
    RefusedError,
    UmiError,
)
from umi_cli.images.upload import (
    MAX_BLOCK_BYTES,
    MAX_STARTS,
    MIN_BLOCK_BYTES,
    TRIES,
    Transfer,
    Upload,
    UploadState,
)

PACKAGE = bytes(range(250))
BLOCK_BYTES = 100  # three blocks
START = ImageStart(length_bytes=len(PACKAGE))
END, ABORT = ImageEnd(is_valid=1), ImageEnd(is_valid=0)
NOT_UNDER_WAY = ResultCode.IMAGE_PROCESSING_ERROR


def blocks(block_bytes: int = BLOCK_BYTES, first: int = 0) -> list[Command[Any]]:
    starts = range(0, len(PACKAGE), block_bytes)
    found = [ImageData(number=n, data=PACKAGE[at:][:block_bytes]) for n, at in enumerate(starts)]
    return list(found[first:])


@dataclass
class Device:
    """Takes a transfer as protocol 7 has it, but for what a script says of single commands."""

    script: Mapping[int, Callable[["Device", Command[Any]], Payload]] = field(default_factory=dict)
    """What happens to the first, second, … command that comes."""
    takes_repeats: bool = True
    """The last block may come again; otherwise it is out of step."""
    limit_bytes: int = MAX_BLOCK_BYTES
    taken: list[bytes] | None = None
    """The blocks of the transfer that is under way."""
    image: bytes | None = None
    """What it was told is valid."""
    commands: list[Command[Any]] = field(default_factory=list)

    def __call__(self, command: Command[Any]) -> Payload:
        self.commands.append(command)
        return self.script.get(len(self.commands) - 1, Device.run)(self, command)

    def run(self, command: Command[Any]) -> Payload:
        if isinstance(command, ImageStart):
            was_under_way, self.taken = self.taken is not None, []
            if was_under_way:
                raise refusal(ResultCode.TRANSFER_RESTARTED, command.title)
            return ImageStartReply()
        if self.taken is None:
            raise refusal(NOT_UNDER_WAY, command.title)
        if isinstance(command, ImageData):
            self._take(command, self.taken)
            return ImageDataReply()
        assert isinstance(command, ImageEnd)
        if command.is_valid and len(self.received) < len(PACKAGE):
            raise refusal(NOT_UNDER_WAY, command.title)
        self.image, self.taken = self.received if command.is_valid else None, None
        return ImageEndReply()

    @property
    def received(self) -> bytes:
        return b"".join(self.taken or [])

    def _take(self, block: ImageData, taken: list[bytes]) -> None:
        if len(block.data) > self.limit_bytes:
            raise refusal(ResultCode.TOO_LONG, block.title)
        if (
            self.takes_repeats
            and taken
            and (block.number, block.data)
            == (
                len(taken) - 1,
                taken[-1],
            )
        ):
            return
        if block.number != len(taken):
            raise refusal(ResultCode.INVALID_VALUE, block.title)
        due = len(PACKAGE) - len(self.received)
        if len(block.data) != min(len(taken[0]) if taken else len(block.data), due):
            raise refusal(ResultCode.INVALID_LENGTH, block.title)
        taken.append(block.data)


def lost_on_the_way(device: Device, command: Command[Any]) -> Payload:
    raise OutcomeUnknownError(f"{command.title} is lost")


def answer_lost(device: Device, command: Command[Any]) -> Payload:
    try:
        device.run(command)
    except RefusedError as error:
        raise OutcomeUnknownError(f"the refusal of {command.title} is lost") from error
    raise OutcomeUnknownError(f"the answer to {command.title} is lost")


def forgets(device: Device, command: Command[Any]) -> Payload:
    device.taken = None
    return device.run(command)


def refuses(code: ResultCode) -> Callable[[Device, Command[Any]], Payload]:
    def refuse(device: Device, command: Command[Any]) -> Payload:
        raise refusal(code, command.title)

    return refuse


def cannot_join(device: Device, command: Command[Any]) -> Payload:
    raise PacketTooLargeError("the device cannot join our fragments")


class Desk:
    """An upload of the package, and all that it tells."""

    def __init__(
        self,
        device: Device,
        block_bytes: int = BLOCK_BYTES,
        state: UploadState | None = None,
        content: bytes = PACKAGE,
    ) -> None:
        self.device = device
        self.kept: list[UploadState] = []
        self.told: list[int] = []
        transfer = Transfer(
            file=io.BytesIO(content),
            length_bytes=len(PACKAGE),
            sha256=crypto.sha256(PACKAGE),
            request=device,
            keep=self._keep,
            tell=self.told.append,
        )
        self.upload = Upload(transfer, block_bytes, state)

    def _keep(self, state: UploadState) -> None:
        """The state is never ahead of the device."""
        assert state.next_number <= len(self.device.taken or [])
        self.kept.append(state)

    def run(self) -> bool:
        self.upload.send()
        return self.upload.end()


def uploaded(device: Device, *arguments: Any, **options: Any) -> Desk:
    """Upload, and make sure that the device has the package."""
    desk = Desk(device, *arguments, **options)
    assert desk.run() is True
    assert device.image == PACKAGE
    return desk


def begun(*taken: int, **options: Any) -> Device:
    """Return a device to which an earlier run has sent these blocks."""
    found = [PACKAGE[BLOCK_BYTES * number :][:BLOCK_BYTES] for number in taken]
    return Device(taken=found, **options)


def after(number: int, block_bytes: int = BLOCK_BYTES) -> UploadState:
    return UploadState(block_bytes=block_bytes, next_number=number)


# A whole transfer


def test_a_transfer_in_its_order() -> None:
    device = Device()
    desk = uploaded(device)
    assert device.commands == [START, *blocks(), END]
    assert [state.next_number for state in desk.kept] == [0, 1, 2, 3]
    assert desk.told == [0, 100, 200, 250]
    course = desk.upload.course
    assert (course.block_bytes, course.starts, course.repeats) == (100, 1, 0)
    assert course.resumed_at is None


def test_the_state_is_kept_when_a_block_is_acknowledged_and_not_before() -> None:
    device = Device()
    desk = Desk(device)
    seen: list[tuple[int, int]] = []
    device.script = {
        n: lambda device, command: (
            seen.append((len(device.commands), len(desk.kept)))  # type: ignore[func-returns-value]
            or device.run(command)
        )
        for n in range(5)
    }
    desk.run()
    assert seen == [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]


@pytest.mark.parametrize(
    ("wanted", "used"),
    [(0, MIN_BLOCK_BYTES), (16, 16), (249, 249), (250, 250), (1 << 20, MAX_BLOCK_BYTES)],
)
def test_a_block_has_a_length_within_limits(wanted: int, used: int) -> None:
    device = Device()
    desk = uploaded(device, wanted)
    assert device.commands[1:-1] == blocks(used)
    assert desk.upload.course.block_bytes == used


def test_who_keeps_nothing_and_watches_nothing_uploads_too() -> None:
    device = Device()
    digest = crypto.sha256(PACKAGE)
    transfer = Transfer(
        file=io.BytesIO(PACKAGE), length_bytes=len(PACKAGE), sha256=digest, request=device
    )
    upload = Upload(transfer, BLOCK_BYTES)
    upload.send()
    assert upload.end()
    assert device.image == PACKAGE


# How much at once


def lengths_of_first_blocks(device: Device) -> list[int]:
    found = [each for each in device.commands if isinstance(each, ImageData)]
    return [len(block.data) for block in found if block.number == 0]


@pytest.mark.parametrize("code", [ResultCode.TOO_LONG, ResultCode.INVALID_LENGTH])
def test_a_block_that_is_too_long_is_halved(code: ResultCode) -> None:
    device = Device(script={1: refuses(code), 2: refuses(code)})
    desk = uploaded(device)
    assert lengths_of_first_blocks(device) == [100, 50, 25]
    assert [each for each in device.commands if isinstance(each, ImageStart)] == [START]
    assert desk.upload.course.block_bytes == 25
    assert [state.block_bytes for state in desk.kept[:4]] == [100, 50, 25, 25]


def test_a_block_whose_packet_is_too_large_is_halved() -> None:
    device = Device(script={1: cannot_join})
    uploaded(device)
    assert lengths_of_first_blocks(device) == [100, 50]


def test_a_device_that_takes_no_block_at_all() -> None:
    device = Device(limit_bytes=15)
    desk = Desk(device)
    with pytest.raises(PacketTooLargeError, match="no block of 16 bytes"):
        desk.run()
    assert lengths_of_first_blocks(device) == [100, 50, 25, 16]


@pytest.mark.parametrize("effect", [refuses(ResultCode.TOO_LONG), cannot_join])
def test_a_block_that_is_too_long_for_the_line_of_today_begins_anew(
    effect: Callable[[Device, Command[Any]], Payload],
) -> None:
    """An earlier run had another line to the device, and is gone on with over this one."""
    device = begun(0, script={0: effect})
    uploaded(device, state=after(1))
    assert device.commands[1:] == [START, *blocks(50), END]


# Going on


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_transfer_goes_on(number: int) -> None:
    device = begun(*range(number))
    desk = uploaded(device, state=after(number))
    assert device.commands == [*blocks(first=number), END]
    assert desk.upload.course.resumed_at == min(100 * number, 250)
    assert desk.upload.course.starts == 0


@pytest.mark.parametrize("takes_repeats", [True, False])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_block_whose_acknowledgement_was_not_kept(number: int, takes_repeats: bool) -> None:
    """It was taken: a device takes it once more, or is out of step; then it goes on."""
    device = begun(*range(number + 1), takes_repeats=takes_repeats)
    desk = uploaded(device, state=after(number))
    assert device.commands == [*blocks(first=number), END]
    assert desk.upload.course.starts == 0


def test_the_length_of_earlier_blocks_is_kept_to() -> None:
    device = begun(0)
    uploaded(device, 33, state=after(1))
    assert device.commands == [*blocks(first=1), END]


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_transfer_that_was_forgotten_begins_anew(number: int) -> None:
    """After the last block nothing tells but IMAGE_END."""
    device = Device()
    desk = uploaded(device, 50, state=after(number))
    assert device.commands == [(*blocks(), END)[number], START, *blocks(50), END]
    assert desk.upload.course.starts == 1
    assert desk.kept[0] == after(0, 50), "what a cut leaves now must not claim a block"


@pytest.mark.parametrize("takes_repeats", [True, False])
@pytest.mark.parametrize("has", [0, 1])
def test_a_state_that_is_ahead_of_the_device_begins_anew(has: int, takes_repeats: bool) -> None:
    """Another program has begun to send the same: block after block is out of step."""
    for number in range(has + 1, 4):
        device = begun(*range(has), takes_repeats=takes_repeats)
        desk = uploaded(device, state=after(number))
        assert desk.upload.course.starts == 1


def test_blocks_of_another_length_begin_anew() -> None:
    """Another program is sending something else; it loses, and the package arrives whole."""
    device = Device(taken=[b"another image"])
    uploaded(device, state=after(1))
    assert device.commands == [blocks()[1], START, *blocks(), END]


def test_a_device_that_forgets_again_and_again_is_given_up() -> None:
    device = Device(script=dict.fromkeys(range(2, 100, 3), forgets))  # each second block
    desk = Desk(device)
    with pytest.raises(LostError, match="has forgotten the transfer 4 times"):
        desk.run()
    assert device.commands == [START, *blocks()[:2]] * MAX_STARTS
    assert desk.upload.course.starts == MAX_STARTS


def test_a_device_that_forgets_before_each_end_is_given_up() -> None:
    """A run that has seen every block acknowledged believes what the end is told."""
    device = Device(script={4: forgets})
    with pytest.raises(RefusedError) as caught:
        Desk(device).run()
    assert caught.value.number == NOT_UNDER_WAY
    assert device.commands == [START, *blocks(), END]


# What is lost


@pytest.mark.parametrize("effect", [lost_on_the_way, answer_lost])
@pytest.mark.parametrize("takes_repeats", [True, False])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_what_is_lost_is_sent_again(
    place: int, takes_repeats: bool, effect: Callable[[Device, Command[Any]], Payload]
) -> None:
    device = Device(script={place: effect}, takes_repeats=takes_repeats)
    desk = uploaded(device)
    due = [START, *blocks(), END]
    assert device.commands == [*due[: place + 1], *due[place:]]
    assert (desk.upload.course.repeats, desk.upload.course.starts) == (1, 1)


def test_a_start_whose_answer_was_lost_says_nothing_of_the_first_block() -> None:
    """That one has not been sent before: out of step, it is not to be skipped."""
    device = Device(script={0: answer_lost, 2: refuses(ResultCode.INVALID_VALUE)})
    uploaded(device)
    assert device.commands == [START, START, blocks()[0], START, *blocks(), END]


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_device_that_does_not_come_back(place: int) -> None:
    device = Device(script=dict.fromkeys(range(place, 100), lost_on_the_way))
    desk = Desk(device)
    with pytest.raises(LostError, match="is lost"):
        desk.run()
    assert len(device.commands) == place + TRIES
    assert len(desk.kept) == place


def test_an_end_that_never_arrived_is_sent_again() -> None:
    device = Device(script={4: lost_on_the_way})
    uploaded(device)
    assert device.commands == [START, *blocks(), END, END]


def test_an_end_whose_answer_was_lost_is_not_taken_for_a_success() -> None:
    """The device knows no more of the transfer: it took the image, or it refused it."""
    device = Device(script={4: answer_lost})
    assert Desk(device).run() is False
    assert device.commands == [START, *blocks(), END, END]


def test_an_end_that_is_lost_for_good() -> None:
    device = Device(script=dict.fromkeys(range(4, 100), lost_on_the_way))
    with pytest.raises(LostError):
        Desk(device).run()
    assert device.commands == [START, *blocks(), *[END] * TRIES]


# What is refused


def test_a_start_that_is_refused() -> None:
    device = Device(script={0: refuses(ResultCode.ACCESS_DENIED)})
    desk = Desk(device)
    with pytest.raises(AccessDeniedError):
        desk.run()
    assert desk.kept == []


def test_a_start_that_restarts_a_transfer_is_none_that_is_refused() -> None:
    device = begun(0, 1)
    uploaded(device)
    assert device.commands == [START, *blocks(), END]


@pytest.mark.parametrize("code", [ResultCode.ACCESS_DENIED, ResultCode.INVALID_LENGTH])
def test_a_block_that_is_refused(code: ResultCode) -> None:
    device = Device(script={2: refuses(code)})
    with pytest.raises(RefusedError) as caught:
        Desk(device).run()
    assert caught.value.number == code
    assert device.commands == [START, *blocks()[:2]]


@pytest.mark.parametrize("code", [ResultCode.BAD_IMAGE, ResultCode.WRONG_IMAGE_TARGET])
@pytest.mark.parametrize("number", [None, 3])
def test_an_image_that_is_refused(code: ResultCode, number: int | None) -> None:
    device = begun(0, 1, 2, script={0 if number else 4: refuses(code)})
    state = None if number is None else after(number)
    with pytest.raises(RefusedError) as caught:
        Desk(device, state=state).run()
    assert caught.value.number == code


# A file that changes under our hands

CHANGED = {
    "other bytes in the end": PACKAGE[:-1] + b"?",
    "other bytes at the start": b"?" + PACKAGE[1:],
    "shorter by a byte": PACKAGE[:-1],
    "shorter by a block": PACKAGE[:100],
    "empty": b"",
}


@pytest.mark.parametrize("number", [None, 0, 2, 3])
@pytest.mark.parametrize("name", CHANGED)
def test_a_file_that_was_changed_is_aborted(name: str, number: int | None) -> None:
    device = Device() if number is None else begun(*range(number))
    desk = Desk(device, state=None if number is None else after(number), content=CHANGED[name])
    with pytest.raises(ImageInvalidError, match="has changed since it was verified") as caught:
        desk.run()
    assert (caught.value.reason, caught.value.exit_code) == ("wrong-hash", 40)
    assert device.commands[-1] == ABORT
    assert END not in device.commands
    assert all(len(each.data) for each in device.commands if isinstance(each, ImageData))


@pytest.mark.parametrize("effect", [lost_on_the_way, refuses(ResultCode.ACCESS_DENIED)])
def test_an_abort_that_is_lost_or_refused_changes_nothing_of_that(
    effect: Callable[[Device, Command[Any]], Payload],
) -> None:
    device = Device(script={4: effect})
    with pytest.raises(ImageInvalidError) as caught:
        Desk(device, content=CHANGED["other bytes in the end"]).run()
    assert isinstance(caught.value.__cause__, UmiError)


def test_what_was_added_to_a_file_is_not_sent() -> None:
    device = Device()
    uploaded(device, content=PACKAGE + b"and more")
    assert device.commands == [START, *blocks(), END]


# Everything at once

EFFECTS = (
    Device.run,
    lost_on_the_way,
    answer_lost,
    forgets,
    refuses(ResultCode.INVALID_VALUE),
    refuses(NOT_UNDER_WAY),
)


@given(
    st.lists(st.sampled_from(EFFECTS), max_size=30),
    st.booleans(),
    st.integers(0, 3),
    st.one_of(st.none(), st.integers(0, 3)),
)
def test_whatever_happens_the_state_is_never_ahead_and_success_is_never_false(
    effects: Iterable[Callable[[Device, Command[Any]], Payload]],
    takes_repeats: bool,
    has: int,
    number: int | None,
) -> None:
    """`Desk` checks each state that is kept; and the same upload goes on from the last one."""
    device = begun(*range(has), script=dict(enumerate(effects)), takes_repeats=takes_repeats)
    desk = Desk(device, state=None if number is None else after(number))
    try:
        is_taken = desk.run()
    except (LostError, RefusedError):
        is_taken = False
    assert not is_taken or device.image == PACKAGE
    assert device.image in (None, PACKAGE)
    device.script = {}
    again = uploaded(device, state=desk.kept[-1] if desk.kept else None)
    assert again.upload.course.starts <= 2
