"""The fuzz campaign in the small: `python -m tests.certify.fuzz_campaign` runs it at any length."""

import pytest

from tests.certify import fuzz_campaign
from tests.certify.bad_protections import MacUnchecked
from tests.certify.fuzz_campaign import BATCH, KINDS, Task, run_task, tasks
from tests.certify.fuzz_world import FuzzWorld
from umi_cli import reader_fuzz


def test_the_cases_are_shared_out() -> None:
    shared = list(tasks(6 * BATCH + 1, 100))
    assert sum(each.cases for each in shared) == 6 * BATCH + 1
    assert [each.kind for each in shared] == [*KINDS, KINDS[0]]
    assert len({each.seed for each in shared}) == len(shared)
    assert KINDS.count("reader") * 2 == len(KINDS)


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_nothing_is_violated(kind: str) -> None:
    outcome = run_task(Task(kind, 4711, 120))
    assert outcome.violations == []
    assert outcome.total == 120
    assert (outcome.spoilt > 100) == (kind == "reader")


def test_a_meter_that_does_not_survive_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fragile(**options: bool) -> FuzzWorld:
        return FuzzWorld("hang-on-fragment", **options)

    monkeypatch.setattr(fuzz_campaign, "FuzzWorld", fragile)
    violations = run_task(Task("guest", 1, 300)).violations
    assert violations
    assert "1:link:" in violations[0]
    assert "(guest): the meter no longer answers" in violations[0]


def test_a_reader_that_believes_too_much_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_fuzz, "Scheme1", MacUnchecked)
    violations = run_task(Task("reader", 0, 300)).violations
    assert violations
    assert violations[0].startswith("--seed 0 --replay ")
