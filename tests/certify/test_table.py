"""Every test of the suite can fail: each defect of the virtual meter is found, a sound one passes.

What `python -m tests.certify.table` finds out in a minute, with all tests against all defects.
"""

import pytest

from tests.certify.table import cover_of, failed_on, faults_of, load_found
from tests.certify.world import PLACES, World
from umi_cli.certify.case import Level
from umi_cli.certify.run import Verdict
from umi_cli.certify.suite import CASES, chosen
from umi_cli.cli.certify import LEVELS
from umi_cli.virtual.defects import DEFECTS

MIN_TESTS, MIN_DEFECTS = 150, 60
ELSEWHERE = {
    "sim": ["TIM-010", "TIM-011", "TIM-020", "TIM-021", "TIM-022"],
    # Nobody switches the power of a meter behind a probe, and it has no pins.
    "opto": ["IMG-050", "TIM-020", "TIM-021", "TIM-022"],
    "spi": [
        *(f"LNK-{number:03}" for number in (16, 17, 18, 19, 20, 21, 22, 23, 25, 26)),
        *("TIM-010", "TIM-011"),
    ],
}
"""What says nothing about a meter on that kind of line."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.made(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("place", PLACES)
def test_a_sound_meter_passes_every_test(world: World, place: str) -> None:
    results = world.results(place, chosen(Level))
    assert [each for each in results if each.verdict is Verdict.FAILED] == []
    left_out = [each.number for each in results if each.verdict is Verdict.LEFT_OUT]
    assert left_out == ELSEWHERE[place]
    assert len(results) == len(CASES)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(world: World, defect: str) -> None:
    numbers = load_found()[defect]
    assert numbers, "no test finds it: python -m tests.certify.table --write"
    assert failed_on(world, defect, numbers) == set(numbers)


def test_every_test_finds_a_defect() -> None:
    found = load_found()
    assert set(found) == set(DEFECTS)
    assert {number for numbers in found.values() for number in numbers} == set(CASES)
    assert len(CASES) >= MIN_TESTS
    assert len(DEFECTS) >= MIN_DEFECTS


def test_a_table_with_holes_is_seen() -> None:
    table = {defect: frozenset[str]() for defect in DEFECTS}
    first, *others = CASES
    table["crc-unchecked"] = frozenset([first])
    faults = faults_of(table)
    assert len(faults) == len(DEFECTS) - 1 + len(others)
    assert f"{others[0]} fails on no defect" in faults
    assert "crc-unchecked fails no test" not in faults


def test_each_test_stands_with_the_defect_that_is_most_its_own() -> None:
    one, two, three = list(CASES)[:3]
    broad, narrow, unsure = frozenset([one, two, three]), frozenset([two]), frozenset([one, three])
    cover = cover_of({"broad": broad, "narrow": narrow, "unsure": unsure})
    assert cover == {"broad": [one], "narrow": [two], "unsure": [one, three]}


def test_the_command_line_knows_the_levels() -> None:
    assert (*(level.value for level in Level), "all") == LEVELS
