"""The fault campaign in the small: `python -m tests.campaign` runs it at any length."""

import pytest

from tests.campaign import run_campaign
from umi_cli.virtual.faults import FaultRates

KINDS = ["drop", "duplicate", "delay", "flip", "truncate", "noise", "power"]


@pytest.mark.parametrize(
    ("spec", "runs"),
    [
        ("all:0.05", 100),
        (",".join(f"{kind}:0.05" for kind in KINDS), 60),
        ("drop:0.3,duplicate:0.3,delay:0.3", 40),
        ("power:0.2,duplicate:0.2", 40),
    ],
)
def test_no_fault_makes_a_wrong_value_or_a_second_write(spec: str, runs: int) -> None:
    outcome = run_campaign(runs, FaultRates.parse(spec))
    assert outcome.violations == []
    assert outcome.runs == runs
    assert sum(outcome.faults.values()) > runs, "the injector struck too seldom to prove anything"
    assert outcome.steps["done"] > 0


@pytest.mark.parametrize("scheme", [1, 2])
def test_no_fault_gets_past_a_protected_session(scheme: int) -> None:
    """The same, and no key and nonce seal two texts (`campaign.watched_nonces`)."""
    for spec in (",".join(f"{kind}:0.05" for kind in KINDS), "drop:0.2,duplicate:0.2,delay:0.2"):
        outcome = run_campaign(40, FaultRates.parse(spec), scheme=scheme)
        assert outcome.violations == []
        assert outcome.steps["done"] > 150
        assert (outcome.seals > 1000) == (scheme == 2)


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_alone_is_survived(kind: str) -> None:
    outcome = run_campaign(15, FaultRates.parse(f"{kind}:0.1"))
    assert outcome.violations == []
    assert outcome.faults[kind] > 0
    assert outcome.steps["done"] > 60


def test_a_sound_line_loses_nothing() -> None:
    outcome = run_campaign(5, FaultRates())
    assert set(outcome.steps) == {"done"}


def test_the_same_seed_gives_the_same_run() -> None:
    rates = FaultRates.parse("all:0.05")
    assert str(run_campaign(5, rates, 7)) == str(run_campaign(5, rates, 7))
