"""What the data of logged events means in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import NotInDatasheetError
from umi_cli.objects.catalogue import Catalogue
from umi_cli.objects.event_data import describe

EI4 = Catalogue.load("ei4")


def words(name: str, data: str) -> tuple[str, str]:
    found = describe(EI4.find_event(name), bytes.fromhex(data))
    return found.text, found.fault


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("software-upgrade", "0100000000000000", "reason completed, error 0"),
        ("software-upgrade", "0900000000000000", "reason 9 (unknown), error 0"),
        ("clock-set", "f0f1ffff00000000", "-3600 s"),
        ("opto-communications", "04000000fe7e2300", "00237EFE00000004"),
        ("opto-communications", "ffffffffffffffff", "FFFFFFFFFFFFFFFF (sign-on)"),
        ("failed-authentication", "ffffffffffffffff", "FFFFFFFFFFFFFFFF"),
        ("configuration-update", "0bc2010100000000", "code umi.1.1.194.11, error 0"),
        ("magnet-off", "0100020003007473", "r squared 1, lower 2, upper 3, temperature 295.56 K"),
        ("battery", "0600000000000000", "inserted"),
        ("restart", "0300000000000000", "cause 3"),
        ("high-flow", "0100000000000000", "calculation"),
        ("valve-closed", "0000000000000000", ""),
    ],
)
def test_words(name: str, data: str, text: str) -> None:
    assert words(name, data) == (text, "")


def test_what_the_datasheet_does_not_lay_out_is_shown_and_said() -> None:
    more = "more data than the datasheet lays out"
    assert words("restart", "0300000001000000") == (f"cause 3; 0300000001000000 ({more})", more)
    assert words("valve-closed", "0000000000000001") == (f"0000000000000001 ({more})", more)


def test_an_unknown_event_is_shown_raw_and_said() -> None:
    found = describe(None, bytes(range(8)))
    assert found.values is None
    assert found.text == "0001020304050607 (not in the datasheet)"


def test_data_that_is_too_short_is_shown_raw_and_said() -> None:
    text, fault = words("clock-set", "f0f1")
    assert text.startswith("f0f1 (does not fit its layout: ")
    assert fault


@given(st.sampled_from([*EI4.events, None]), st.binary(max_size=12))
def test_any_data_is_described_and_none_is_dropped(event: object, data: bytes) -> None:
    found = describe(event, data)  # type: ignore[arg-type]
    explained = found.values is not None and not found.fault
    assert explained or data.hex() in found.text
    assert bool(found.fault) == (found.values is None or (data.hex() in found.text and bool(data)))


@pytest.mark.parametrize("text", ["clock-set", "Clock_Set", "18", " 18 "])
def test_an_event_is_found_by_name_and_number(text: str) -> None:
    assert EI4.find_event(text).number == 18


@pytest.mark.parametrize(("text", "hint"), [("clok-set", "clock-set"), ("99", "such as")])
def test_an_unknown_one_is_an_error_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(NotInDatasheetError) as caught:
        EI4.find_event(text)
    assert hint in caught.value.hint
