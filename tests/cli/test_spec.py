"""`umi spec` tells the truth: what it names is there, and each choice in the code is named."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import umi_cli
from tests.cli.conftest import run_umi
from umi_cli.spec import FEATURES, Feature

PACKAGE = Path(umi_cli.__file__).parent
CHOICE = re.compile(r"# choice\b")


def modules_of(feature: Feature) -> list[str]:
    return feature.where.split(", ") if feature.where else []


def modules_with_choices() -> list[str]:
    paths = [path for path in PACKAGE.rglob("*.py") if CHOICE.search(path.read_text())]
    names = [path.relative_to(PACKAGE).with_suffix("").as_posix() for path in paths]
    return sorted(name.removesuffix("/__init__").replace("/", ".") for name in names)


@pytest.mark.parametrize("name", modules_with_choices())
def test_each_choice_stands_in_a_row(name: str) -> None:
    rows = [feature for feature in FEATURES if "C" in feature.marks and name in modules_of(feature)]
    assert rows, f"umi_cli/spec.py has no C row that names {name}"


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.feature)
def test_row_is_well_formed(feature: Feature) -> None:
    assert re.fullmatch(r"[SFC](/[SFC])*", feature.marks)
    assert re.fullmatch(r"\d+(\.\d+)?", feature.clause)
    assert bool(feature.where) == (feature.state == "implemented")
    for name in modules_of(feature):
        path = PACKAGE / name.replace(".", "/")
        assert path.is_dir() or find_spec(f"umi_cli.{name}"), name


def test_clauses_are_in_order() -> None:
    clauses = [[int(number) for number in feature.clause.split(".")] for feature in FEATURES]
    assert clauses == sorted(clauses)
    assert {clause[0] for clause in clauses} == set(range(1, 11))


def test_rows_are_unique() -> None:
    assert len({feature.feature for feature in FEATURES}) == len(FEATURES)


def test_mark_selects() -> None:
    data = run_umi("spec", "--mark", "c", "--json").document["data"]
    assert data
    assert all("C" in feature["marks"] for feature in data)


def test_people_are_told_what_a_choice_is() -> None:
    assert "not the licensed UMI standard" in run_umi("spec").stdout
