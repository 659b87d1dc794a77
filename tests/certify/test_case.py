"""The tests of the suite as a whole: numbers, words, what they need."""

import re

import pytest

from umi_cli.certify.case import CASES as REGISTERED
from umi_cli.certify.case import (
    Case,
    Failure,
    Level,
    Need,
    case,
    expect,
    expect_same,
    fail,
    in_hex,
    listed,
)
from umi_cli.certify.suite import CASES, chosen

FIELDS = {
    "clause": "2.3",
    "mark": "F",
    "sends": "RESYNC",
    "expects": "an answer",
    "advice": "Answer.",
}


@pytest.mark.parametrize("each", CASES.values(), ids=CASES)
def test_a_test_says_all_that_it_must(each: Case) -> None:
    assert re.fullmatch(r"(LNK|APP|OBJ|SEC|IMG|TIM)-\d{3}", each.number)
    assert each.number.startswith(each.level.prefix)
    assert re.fullmatch(r"[1-9][0-9]?(\.\d+)?", each.clause)
    assert each.mark in ("F", "C")
    for text in (each.title, each.sends, each.expects, each.advice):
        assert text.strip() == text != ""
        assert text.isprintable()
    assert not each.title.endswith(".")
    assert each.advice.endswith(".")


def test_no_two_tests_have_one_title() -> None:
    titles = [each.title for each in CASES.values()]
    assert len(set(titles)) == len(titles)


def test_a_number_is_given_once() -> None:
    with pytest.raises(ValueError, match="LNK-001 is taken"):
        case("LNK-001", "again", **FIELDS)(lambda bench: None)  # type: ignore[arg-type]


def test_a_number_is_of_a_level() -> None:
    with pytest.raises(ValueError, match="XYZ-001 is of no level"):
        case("XYZ-001", "nowhere", **FIELDS)(lambda bench: None)  # type: ignore[arg-type]
    assert "XYZ-001" not in REGISTERED


def test_what_is_expected_holds_or_fails() -> None:
    expect(True, "never said")
    with pytest.raises(Failure, match="said"):
        expect(False, "said")
    with pytest.raises(Failure, match="always"):
        fail("always")


def test_tests_come_in_the_order_of_levels_and_numbers() -> None:
    numbers = [each.number for each in chosen(Level)]
    assert numbers == [
        number for level in Level for number in sorted(CASES) if number.startswith(level.prefix)
    ]
    assert len(numbers) == len(CASES)


@pytest.mark.parametrize(
    ("levels", "patterns", "first"),
    [
        ([Level.OBJECTS], [], "OBJ-001"),
        (list(Level), ["lnk-01?"], "LNK-010"),
        (list(Level), ["SEC-001", "APP-*"], "APP-001"),
        ([Level.LINK], ["SEC-*"], None),
    ],
)
def test_tests_are_chosen(levels: list[Level], patterns: list[str], first: str | None) -> None:
    found = chosen(levels, patterns)
    assert (found[0].number if found else None) == first
    assert {each.level for each in found} <= set(levels)


def test_each_need_says_which_option_meets_it() -> None:
    assert all(need.option.startswith("-") for need in Need)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "no bytes"),
        (bytes(24), "00" * 24),
        (bytes(25), f"{'00' * 24}… (25 bytes)"),
    ],
)
def test_bytes_in_a_message_are_few(data: bytes, text: str) -> None:
    assert in_hex(data) == text


def test_names_in_a_message_are_few() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([*"abcdefghij"]) == "a, b, c, d, e, f, g, h and 2 more"


@pytest.mark.parametrize(
    ("found", "wanted", "text"),
    [
        (b"\1\2", b"\1\3", "it is 0102 instead of 0103"),
        (b"", b"\1", "it is no bytes instead of 01"),
        (
            bytes(40) + b"\1",
            bytes(40) + b"\2",
            f"it is {'00' * 24}… (41 bytes) instead of {'00' * 24}… (41 bytes):"
            " from byte 40 on 01 instead of 02",
        ),
        (
            bytes(30),
            bytes(26),
            f"it is {'00' * 24}… (30 bytes) instead of {'00' * 24}… (26 bytes):"
            " from byte 26 on 00000000 instead of no bytes",
        ),
    ],
)
def test_what_differs_is_shown_where_it_does(found: bytes, wanted: bytes, text: str) -> None:
    with pytest.raises(Failure) as failure:
        expect_same(found, wanted, "it")
    assert str(failure.value) == text
    expect_same(found, found, "it")
