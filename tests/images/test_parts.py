"""Which part of a product goes to a Peripheral whose Host we are."""

import io
from dataclasses import replace

import pytest

from tests.certificates.pki import targets
from tests.images.packages import (
    IMAGE,
    LABEL,
    ROLE_KEY,
    STRANGER,
    TARGET,
    built,
    product,
    sealed_with,
    signed,
)
from umi_cli.errors import ImageInvalidError, KeyUnusableError, WrongTargetError
from umi_cli.images.header import Version
from umi_cli.images.parts import Section, find_part
from umi_cli.types import UmiId

VALVE = UmiId(0x0023_7EFE_0001_0001)
FOR_VALVES = replace(
    LABEL, model="VALVE", version=Version(2, 0, 1), targets=targets(VALVE.value, VALVE.value + 9)
)
OWN = signed()
OTHER = signed(built(b"of the valve", FOR_VALVES), key=ROLE_KEY)
SEALED = sealed_with(signed(built(b"of the next valve", FOR_VALVES)))
PRODUCT = signed(product(OWN, OTHER, SEALED))


def found(package: bytes, device: UmiId) -> bytes:
    part, _ = find_part(io.BytesIO(package), device)
    return part.read()


@pytest.mark.parametrize(("device", "package"), [(TARGET, OWN), (VALVE, OTHER)])
def test_the_first_part_for_a_device_is_found_to_the_letter(device: UmiId, package: bytes) -> None:
    assert found(PRODUCT, device) == package
    _, header = find_part(io.BytesIO(PRODUCT), device)
    assert header.encode() == package[: len(header.encode())]


def test_a_part_may_be_encrypted() -> None:
    """Its header stands in the clear: who it is for is no secret."""
    assert found(signed(product(OWN, SEALED, OTHER)), VALVE) == SEALED


@pytest.mark.parametrize("count", [1, 2, 64])
def test_a_part_is_found_wherever_it_stands(count: int) -> None:
    package = product(*[built(b"x" * number) for number in range(1, count)], OTHER)
    assert found(package, VALVE) == OTHER


def test_nothing_is_for_the_device() -> None:
    with pytest.raises(
        WrongTargetError, match=f"no part of the product is for {STRANGER}"
    ) as caught:
        find_part(io.BytesIO(PRODUCT), STRANGER)
    assert (caught.value.reason, caught.value.exit_code) == ("wrong-target", 41)


def test_an_image_for_one_device_has_no_part() -> None:
    with pytest.raises(WrongTargetError):
        find_part(io.BytesIO(OWN), TARGET)


def test_a_product_that_is_encrypted_as_a_whole_cannot_be_taken_apart() -> None:
    with pytest.raises(KeyUnusableError, match="encrypted as a whole") as caught:
        find_part(io.BytesIO(sealed_with(PRODUCT)), TARGET)
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"", b"firmware", PRODUCT[:-1], PRODUCT + b"\0"])
def test_what_is_no_product(content: bytes) -> None:
    with pytest.raises(ImageInvalidError):
        find_part(io.BytesIO(content), TARGET)


# A part of a file, as a file of its own


def section() -> Section:
    return Section(io.BytesIO(b"before" + bytes(range(10)) + b"behind"), 6, 10)


def test_a_section_is_read_like_a_file() -> None:
    part = section()
    assert part.readable()
    assert part.seekable()
    assert [part.read(4), part.read(4), part.read(4), part.read(4)] == [
        bytes(range(4)),
        bytes(range(4, 8)),
        bytes(range(8, 10)),
        b"",
    ]
    assert part.seek(3) == 3
    assert part.read() == bytes(range(3, 10))
    assert part.read() == b""


@pytest.mark.parametrize(("offset", "place"), [(0, 0), (10, 10), (11, 10), (-1, 0)])
def test_a_section_ends_where_its_part_does(offset: int, place: int) -> None:
    part = section()
    assert part.seek(offset) == place
    assert part.read(20) == bytes(range(place, 10))


def test_a_section_is_sought_from_its_start_alone() -> None:
    with pytest.raises(io.UnsupportedOperation, match="from its start"):
        section().seek(0, io.SEEK_END)


def test_two_sections_of_one_file_do_not_disturb_each_other() -> None:
    file = io.BytesIO(IMAGE[:100])
    first, second = Section(file, 0, 50), Section(file, 50, 50)
    assert [first.read(10), second.read(10), first.read(10)] == [
        IMAGE[:10],
        IMAGE[50:60],
        IMAGE[10:20],
    ]
