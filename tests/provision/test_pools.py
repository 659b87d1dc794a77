"""Ranges of values, and what is no value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import InputError, PlaceholderError
from umi_cli.provision.pools import Pool, Range, checked_value, is_placeholder


@pytest.mark.parametrize(
    ("kind", "text", "shown", "count"),
    [
        ("serial", "SN000100..SN000199", "SN000100..SN000199", 100),
        ("serial", " 7 .. 9 ", "7..9", 3),
        ("serial", "A08+3", "A08..A10", 3),
        ("serial", "X1", "X1..X1", 1),
        ("umi-id", "00-23-7e-fe-00-10-00-0f+2", "00237EFE0010000F..00237EFE00100010", 2),
        ("umi-id", "00237EFE00100000..00237EFE001FFFFF", None, 0x10_0000),
        ("certificate-serial", "1", "1..1", 1),
    ],
)
def test_a_range_has_a_text(kind: str, text: str, shown: str | None, count: int) -> None:
    span = Range.parse(kind, text)
    assert (str(span), len(span)) == (shown or text, count)
    assert Range.parse(kind, str(span)) == span


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("serial", ""),
        ("serial", "A..B"),
        ("serial", "A1..B2"),
        ("serial", "A1..A10"),
        ("serial", "A9..A1"),
        ("serial", "A8+3"),
        ("serial", "A8+0"),
        ("serial", "A8+x"),
        ("serial", "A1....A2"),
        ("serial", "x" * 65 + "1"),
        ("umi-id", ""),
        ("umi-id", "SN1..SN2"),
        ("umi-id", "00237EFE00100001..00237EFE00100000"),
        ("umi-id", "FFFFFFFFFFFFFFFF+2"),
    ],
)
def test_what_is_no_range_is_refused(kind: str, text: str) -> None:
    with pytest.raises(InputError):
        Range.parse(kind, text)


@given(st.integers(0, 999), st.integers(1, 50), st.integers(0, 49))
def test_the_values_of_a_range_follow_each_other(first: int, count: int, step: int) -> None:
    span = Range(prefix="SN", first=first, last=first + count - 1, digits=4)
    values = list(span.values_after(None))
    assert values == sorted(values)
    assert len(set(values)) == len(span) == count
    assert list(span.values_after(values[step % count])) == values[step % count + 1 :]


def test_what_is_no_value_of_a_range_is_behind_nothing() -> None:
    span = Range.parse("serial", "SN10..SN12")
    assert list(span.values_after("SN1A")) == ["SN10", "SN11", "SN12"]
    assert list(span.values_after("S+11")) == ["SN10", "SN11", "SN12"]


def test_a_pool_has_ranges() -> None:
    pool = Pool.parse("ids", "serial", "A1..A3, B7")
    assert pool == Pool.parse("ids", "serial", ["A1..A3", "B7"])
    assert len(pool) == 4
    with pytest.raises(InputError, match="no range"):
        Pool.parse("ids", "serial", [])
    with pytest.raises(ValueError, match="goes up"):
        Range(prefix="", first=2, last=1, digits=1)


@pytest.mark.parametrize("value", ["1", "7", "1111", "SN000000", "31733978", "11111112", "0123"])
def test_numbers_that_somebody_may_have_are_values(value: str) -> None:
    assert checked_value("serial", f" {value} ") == value


@pytest.mark.parametrize("value", ["a\nb", "x" * 65, "\x00"])
def test_what_does_not_print_is_no_value(value: str) -> None:
    with pytest.raises(InputError):
        checked_value("serial", value)


def test_ids_are_compared_in_one_form() -> None:
    assert checked_value("umi-id", "00:23:7e:fe:00:10:00:00") == "00237EFE00100000"
    with pytest.raises(InputError):
        checked_value("umi-id", "0023-7efe")
    with pytest.raises(PlaceholderError):
        checked_value("umi-id", "00-23-7e-fe-00-00-00-04")


@given(st.text("0", max_size=20))
def test_zeros_are_nobodys(zeros: str) -> None:
    assert is_placeholder("serial", zeros)
