"""Arrays that do not fit into one response: asked for, halved, joined (protocol 3.3, 4)."""

from collections.abc import Callable

import pytest

from tests.device.scripted import ScriptedDevice, session_with
from umi_cli.application.codes import ResultCode, refusal
from umi_cli.application.commands import WriteObject
from umi_cli.device.array_read import FIRST_CHUNK_BYTES, ArrayRead, read_array
from umi_cli.errors import (
    LinkError,
    LostError,
    MalformedError,
    RefusedError,
    UmiError,
    UnknownObjectError,
)
from umi_cli.types import MAX_ELEMENT, TO_END, ObjectPart, UmiCode

CODE = UmiCode.parse("umi.1.1.194.23")
ELEMENT_BYTES = 12
WHOLE = ObjectPart(CODE)


def element(number: int) -> bytes:
    return number.to_bytes(ELEMENT_BYTES, "little")


def elements(first: int, last: int) -> bytes:
    return b"".join(element(number) for number in range(first, last + 1))


class Device:
    """An array, and how much of it the device gives at once.

    Args:
        count: how many elements it has.
        at_once: how many a response holds.
        too_long: how the device says that they do not fit.
    """

    def __init__(
        self,
        count: int,
        *,
        at_once: int = TO_END,
        too_long: Callable[[], UmiError] = lambda: refusal(ResultCode.TOO_LONG, "READ"),
    ) -> None:
        self.count = count
        self.at_once = at_once
        self.too_long = too_long
        self.asked: list[tuple[int, int]] = []
        self.fails_at: dict[int, UmiError] = {}

    def __call__(self, part: ObjectPart) -> bytes:
        self.asked.append((part.first, part.last))
        last = self.count - 1 if part.last == TO_END else part.last
        for number, error in self.fails_at.items():
            if part.first <= number <= last:
                raise error
        is_whole = part.first == 0 and part.last == TO_END
        if not is_whole and not part.first <= last < self.count:
            raise refusal(ResultCode.UNKNOWN_ELEMENT, "READ")
        if last - part.first + 1 > self.at_once:
            raise self.too_long()
        return elements(part.first, last)


def read(device: Device, part: ObjectPart = WHOLE, chunk: int | None = None) -> ArrayRead:
    return read_array(device, part, ELEMENT_BYTES, chunk)


def test_what_fits_is_asked_for_at_once() -> None:
    device = Device(336)
    result = read(device)
    assert result == ArrayRead(part=WHOLE, raw=elements(0, 335), chunk_elements=None)
    assert device.asked == [(0, TO_END)]


@pytest.mark.parametrize("at_once", [1, 2, 7, 10, 100, 335, 1000, 1365])
@pytest.mark.parametrize("count", [1366, 1367, 2000])
def test_every_element_comes_once_and_in_order(count: int, at_once: int) -> None:
    device = Device(count, at_once=at_once)
    result = read(device)
    assert result.raw == elements(0, count - 1)
    assert (result.failure, result.part) == (None, WHOLE)
    assert result.chunk_elements is not None
    assert at_once / 2 < result.chunk_elements <= at_once


@pytest.mark.parametrize("at_once", [1, 3, 10, 47])
@pytest.mark.parametrize(("first", "last"), [(0, 47), (5, 99), (1, MAX_ELEMENT - 65_000)])
def test_a_range_comes_to_the_element(first: int, last: int, at_once: int) -> None:
    device = Device(600, at_once=at_once)
    result = read(device, ObjectPart(CODE, first, last))
    assert result.raw == elements(first, last)
    assert result.failure is None
    assert len(device.asked) == len(set(device.asked)), "nothing is asked for twice"


def test_a_range_that_fits_is_asked_for_at_once() -> None:
    device = Device(600)
    result = read(device, ObjectPart(CODE, 5, 99))
    assert (result.raw, result.chunk_elements) == (elements(5, 99), None)
    assert device.asked == [(5, 99)]


@pytest.mark.parametrize("at_once", [1, 10, 99])
def test_the_rest_of_an_array_comes(at_once: int) -> None:
    result = read(Device(600, at_once=at_once), ObjectPart(CODE, 500, TO_END))
    assert result.raw == elements(500, 599)


def test_as_many_elements_as_can_be_numbered() -> None:
    device = Device(MAX_ELEMENT + 1, at_once=5000)
    assert read(device).raw == elements(0, MAX_ELEMENT)


def test_a_command_that_is_too_large_is_halved_as_well() -> None:
    session = session_with(ScriptedDevice([], limit_bytes=1000))
    with pytest.raises(LinkError) as caught:
        session.request(WriteObject(code=CODE, value=bytes(1000)))
    device = Device(2000, at_once=100, too_long=lambda: caught.value)
    assert read(device).raw == elements(0, 1999)


def test_the_first_chunk_is_what_a_long_packet_holds() -> None:
    device = Device(5000, at_once=4000)
    read(device)
    assert device.asked[:2] == [(0, TO_END), (0, FIRST_CHUNK_BYTES // ELEMENT_BYTES - 1)]


def test_elements_longer_than_a_chunk_are_asked_for_one_by_one() -> None:
    def give(part: ObjectPart) -> bytes:
        if part.first != part.last:
            raise refusal(ResultCode.TOO_LONG, "READ")
        return bytes(FIRST_CHUNK_BYTES + 1)

    result = read_array(give, ObjectPart(CODE, 0, 1), FIRST_CHUNK_BYTES + 1)
    assert (len(result.raw), result.chunk_elements) == (2 * FIRST_CHUNK_BYTES + 2, 1)


def test_an_element_that_does_not_fit_alone_is_too_long() -> None:
    device = Device(10, at_once=0)
    with pytest.raises(RefusedError, match="TOO_LONG"):
        read(device)
    assert device.asked[-1][0] == device.asked[-1][1] == 0


def test_one_element_that_is_too_long_is_not_asked_for_again() -> None:
    device = Device(10, at_once=0)
    with pytest.raises(RefusedError, match="TOO_LONG"):
        read(device, ObjectPart(CODE, 3, 3))
    assert device.asked == [(3, 3)]


@pytest.mark.parametrize("chunk", [1, 4, 10, 11, 100])
def test_a_remembered_chunk_is_asked_for_first(chunk: int) -> None:
    device = Device(10)
    result = read(device, chunk=chunk)
    assert result.raw == elements(0, 9)
    assert device.asked[0] == (0, chunk - 1)
    assert result.chunk_elements == chunk


def test_a_remembered_chunk_is_halved_when_it_no_longer_fits() -> None:
    result = read(Device(100, at_once=3), chunk=10)
    assert (result.raw, result.chunk_elements) == (elements(0, 99), 3)


def test_a_tail_that_does_not_fit_is_halved() -> None:
    device = Device(15, at_once=3)
    result = read(device, chunk=20)
    assert (result.raw, result.chunk_elements) == (elements(0, 14), 3)


@pytest.mark.parametrize("chunk", [None, 4])
def test_an_empty_array_is_empty(chunk: int | None) -> None:
    result = read(Device(0), chunk=chunk)
    assert (result.raw, result.failure) == (b"", None)


@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize(("first", "last"), [(10, TO_END), (10, 12), (500, 500)])
def test_past_the_end_there_is_nothing_whatever_was_read_before(
    first: int, last: int, chunk: int | None
) -> None:
    with pytest.raises(UnknownObjectError, match="UNKNOWN_ELEMENT"):
        read(Device(10), ObjectPart(CODE, first, last), chunk)


def test_a_range_that_ends_past_the_array_gives_what_there_is_with_the_reason() -> None:
    result = read(Device(10), ObjectPart(CODE, 2, 20), chunk=4)
    assert result.part == ObjectPart(CODE, 2, 9)
    assert result.raw == elements(2, 9)
    assert isinstance(result.failure, UnknownObjectError)


@pytest.mark.parametrize("error", [LostError("gone"), LinkError("noise"), MalformedError("bad")])
def test_a_failure_half_way_says_which_elements_came(error: UmiError) -> None:
    device = Device(100)
    device.fails_at[57] = error
    result = read(device, ObjectPart(CODE, 3, 99), chunk=10)
    assert result.part == ObjectPart(CODE, 3, 52)
    assert result.raw == elements(3, 52)
    assert result.failure is error
    assert result.chunk_elements == 10


def test_a_failure_in_the_tail_says_which_elements_came() -> None:
    device = Device(15)
    device.fails_at[14] = LostError("gone")
    result = read(device, chunk=10)
    assert result.part == ObjectPart(CODE, 0, 9)
    assert result.raw == elements(0, 9)
    assert isinstance(result.failure, LostError)


@pytest.mark.parametrize("chunk", [None, 10])
def test_a_failure_at_once_is_the_failure(chunk: int | None) -> None:
    device = Device(100)
    device.fails_at[0] = LostError("gone")
    with pytest.raises(LostError, match="gone"):
        read(device, chunk=chunk)


def test_a_device_that_gives_too_many_elements_is_not_believed() -> None:
    def give(part: ObjectPart) -> bytes:
        return elements(part.first, part.last + (part.first > 0))

    result = read_array(give, ObjectPart(CODE, 0, 99), ELEMENT_BYTES, 10)
    assert (result.part, result.raw) == (ObjectPart(CODE, 0, 9), elements(0, 9))
    assert isinstance(result.failure, MalformedError)


class Clipping(Device):
    """A device that gives what it has, or what fits, and says nothing of the rest."""

    def __call__(self, part: ObjectPart) -> bytes:
        self.asked.append((part.first, part.last))
        last = min(part.last, self.count - 1, part.first + self.at_once - 1)
        return elements(part.first, last)


@pytest.mark.parametrize("chunk", [None, 10])
def test_fewer_elements_than_asked_for_need_not_be_the_last(chunk: int | None) -> None:
    result = read(Clipping(100, at_once=7), ObjectPart(CODE, 3, 52), chunk)
    assert (result.raw, result.failure) == (elements(3, 52), None)


@pytest.mark.parametrize("chunk", [None, 10])
def test_elements_that_do_not_come_are_missed(chunk: int | None) -> None:
    result = read(Clipping(100), ObjectPart(CODE, 90, 120), chunk)
    assert (result.part, result.raw) == (ObjectPart(CODE, 90, 99), elements(90, 99))
    assert isinstance(result.failure, MalformedError)
    with pytest.raises(MalformedError, match="no bytes came"):
        read(Clipping(100), ObjectPart(CODE, 100, 120), chunk)


def test_an_open_end_is_where_nothing_more_comes() -> None:
    assert read(Clipping(25), chunk=10).raw == elements(0, 24)
    assert read(Clipping(0), chunk=10).raw == b""


def test_half_an_element_is_malformed() -> None:
    with pytest.raises(MalformedError, match="17 bytes came for 3 elements"):
        read_array(lambda part: bytes(17), ObjectPart(CODE, 0, 9), 6, 3)


@pytest.mark.parametrize("member", [0, 3])
def test_the_member_is_asked_for_in_every_chunk(member: int) -> None:
    asked: list[ObjectPart] = []

    def give(part: ObjectPart) -> bytes:
        asked.append(part)
        return bytes(4 * (part.last - part.first + 1))

    read_array(give, ObjectPart(CODE, 0, 5, member), 4, 2)
    assert asked == [ObjectPart(CODE, first, first + 1, member) for first in (0, 2, 4)]
