"""Every scenario can be failed: readers that are wrong in one thing, and what finds them."""

import pytest

from tests.certify.bad_readers import BAD_READERS
from tests.certify.reader_world import World, examine
from umi_cli.certify.reader_suite import READER_CASES
from umi_cli.certify.run import Verdict

PAIRS = [(name, number) for name, reader in BAD_READERS.items() for number in reader.numbers]


@pytest.mark.parametrize(("name", "number"), PAIRS)
def test_a_bad_reader_fails(world: World, name: str, number: str) -> None:
    verdict, message = examine(world, number, BAD_READERS[name])
    assert verdict is Verdict.FAILED, message
    assert message


def test_every_scenario_is_failed_by_somebody() -> None:
    assert {number for _, number in PAIRS} == set(READER_CASES)
